//! Look-up tables: the polynomial that blind rotation turns.

use crate::GoldenError;
use crate::cipher::GlweCiphertext;
use crate::params::ParameterSet;
use crate::torus;

/// A table for one or several functions of one encrypted value, as a trivial GLWE ciphertext.
///
/// With p values of plaintext space, the body holds p boxes of N/p equal coefficients; the first half-box is negated
/// and the whole is rotated left by half a box, so that noise of either sign around a value stays in its box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lut {
    ciphertext: GlweCiphertext,
    functions: usize,
}

impl Lut {
    /// The table of `f` on `0 .. plaintext_modulus`; outputs are scaled by delta mod 2^64.
    ///
    /// # Errors
    /// [`GoldenError::Parameter`] if the plaintext space has more values than the ring has coefficients.
    pub fn from_fn(set: &ParameterSet, f: impl Fn(u64) -> u64) -> Result<Self, GoldenError> {
        Self::from_encoded(set, |x| f(x).wrapping_mul(set.delta()))
    }

    /// The table of a function that returns encoded words, its scale already applied.
    ///
    /// # Errors
    /// As [`Lut::from_fn`].
    pub fn from_encoded(set: &ParameterSet, f: impl Fn(u64) -> u64) -> Result<Self, GoldenError> {
        Self::many_encoded(set, &[&f])
    }

    /// Several functions of one value in one table (many-LUT): function j is extracted at coefficient j * N / count.
    ///
    /// The value must leave the top `log2 count` bits of the plaintext space 0: it lies below
    /// `plaintext_modulus / count`, count being the number of functions rounded up to a power of two.
    ///
    /// # Errors
    /// [`GoldenError::Parameter`] if there is no function, or more than the plaintext space has values.
    pub fn many_encoded(set: &ParameterSet, functions: &[&dyn Fn(u64) -> u64]) -> Result<Self, GoldenError> {
        set.bootstrap.validate()?;
        let degree = set.bootstrap.ring_degree.0;
        let values = set.plaintext_modulus() as usize;
        let count = functions.len().next_power_of_two();
        if functions.is_empty() || count > values || 2 * values > degree {
            return Err(GoldenError::Parameter {
                name: "functions",
                value: functions.len().to_string(),
                rule: format!("from 1 to {values} functions, and 2 * {values} values at most N = {degree}"),
            });
        }
        let box_len = degree / values;
        let mut body = vec![0; degree];
        for (i, c) in body.iter_mut().enumerate() {
            let value = i / box_len;
            let per_function = values / count;
            // A count that is not a power of two leaves its last regions at 0.
            *c = functions.get(value / per_function).map_or(0, |f| f((value % per_function) as u64));
        }
        // Rotating left by half a box is a product with X^(2N - half), which also negates what wraps around.
        let body = torus::multiply_by_monomial(&body, 2 * degree - box_len / 2);
        Ok(Self {
            ciphertext: GlweCiphertext::trivial(set.bootstrap.glwe_dimension.0, &body),
            functions: functions.len(),
        })
    }

    /// Takes an existing table, possibly an encrypted one.
    ///
    /// # Errors
    /// [`GoldenError::Length`] if it is not a GLWE ciphertext of the parameters.
    pub fn from_ciphertext(
        set: &crate::params::BootstrapParameters,
        ciphertext: GlweCiphertext,
    ) -> Result<Self, GoldenError> {
        crate::keys::expect_len("look-up table", set.glwe_len(), ciphertext.words().len())?;
        Ok(Self { ciphertext, functions: 1 })
    }

    /// The table as the initial accumulator.
    pub fn ciphertext(&self) -> &GlweCiphertext {
        &self.ciphertext
    }

    /// Number of functions in the table.
    pub fn functions(&self) -> usize {
        self.functions
    }

    /// The coefficient at which function `index` is extracted.
    pub fn extraction_index(&self, index: usize) -> usize {
        index * self.ciphertext.degree() / self.functions.next_power_of_two()
    }
}
