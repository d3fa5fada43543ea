//! Keyswitch, modulus switch, blind rotation and sample extraction: the bootstrap of TFHE in tfhe-rs's order.
//!
//! Sources: Chillotti, Gama, Georgieva, Izabachene, "TFHE: Fast Fully Homomorphic Encryption over the Torus", Journal
//! of Cryptology 2020, algorithms 2, 3, 7 and 9; keyswitch before bootstrap as in Bergerat et al., "Parameter
//! optimization and larger precision for (T)FHE", 2023. The transform is over the Goldilocks prime while the
//! accumulator lives mod 2^64.

use crate::GoldenError;
use crate::cipher::{GlweCiphertext, LweCiphertext};
use crate::field;
use crate::keys::{BootstrapKey, KeyswitchKey, NttBootstrapKey, expect_len};
use crate::lut::Lut;
use crate::ntt::NegacyclicNtt;
use crate::params::BootstrapParameters;
use crate::torus::{self, SwitchedLwe};

/// Changes the key of a ciphertext from the big to the small LWE key.
///
/// `out = (0, b) - sum_i sum_level digit * ksk[i][level]`, the body first rounded to the key's modulus. Input: k*N + 1
/// words mod 2^64. Output: n + 1 words; those of a modulus below 2^64 sit at the top of the word.
///
/// # Errors
/// [`GoldenError::Length`] if key or ciphertext belong to other parameters.
pub fn keyswitch(
    parameters: &BootstrapParameters,
    key: &KeyswitchKey,
    input: &LweCiphertext,
) -> Result<LweCiphertext, GoldenError> {
    parameters.validate()?;
    expect_len("LWE ciphertext", parameters.big_lwe_dimension().0 + 1, input.words().len())?;
    expect_len("keyswitching key", parameters.keyswitch_key_len(), key.words().len())?;
    let small_len = parameters.lwe_dimension.0 + 1;
    let mut output = vec![0u64; small_len];
    output[small_len - 1] = torus::round_to_modulus(input.body(), parameters.ks_modulus_log2);
    let mut entries = key.words().chunks_exact(small_len);
    for &a in input.mask() {
        for digit in torus::decompose(a, parameters.ks_decomposition()) {
            for (o, &k) in output.iter_mut().zip(entries.next().unwrap_or(&[])) {
                *o = o.wrapping_sub(k.wrapping_mul(digit as u64));
            }
        }
    }
    Ok(LweCiphertext::from_words(output))
}

/// The external product of a GGSW ciphertext (in the transform domain) and a GLWE ciphertext, added to `accumulator`.
///
/// Every polynomial of `input` is decomposed; digits are transformed, multiplied into the rows of the GGSW ciphertext,
/// summed over rows and levels mod p, transformed back, switched to 2^64 and added.
fn add_external_product(
    parameters: &BootstrapParameters,
    ntt: &NegacyclicNtt,
    ggsw: &[u64],
    input: &[Vec<u64>],
    accumulator: &mut [Vec<u64>],
) -> Result<(), GoldenError> {
    let degree = parameters.ring_degree.0;
    let columns = parameters.glwe_dimension.0 + 1;
    let mut sums = vec![vec![0u64; degree]; columns];
    for (row, polynomial) in input.iter().enumerate() {
        let digits: Vec<Vec<i64>> =
            polynomial.iter().map(|&c| torus::decompose(c, parameters.pbs_decomposition())).collect();
        for level in 0..parameters.pbs_level.0 {
            let mut transform: Vec<u64> = digits.iter().map(|d| field::from_signed(d[level])).collect();
            ntt.forward_bit_reversed(&mut transform)?;
            for (column, sum) in sums.iter_mut().enumerate() {
                let start = ((level * columns + row) * columns + column) * degree;
                for ((s, &t), &g) in sum.iter_mut().zip(&transform).zip(&ggsw[start..start + degree]) {
                    *s = field::add(*s, field::mul(t, g));
                }
            }
        }
    }
    for (mut sum, target) in sums.into_iter().zip(accumulator) {
        ntt.inverse_bit_reversed(&mut sum)?;
        for (t, s) in target.iter_mut().zip(sum) {
            *t = t.wrapping_add(field::to_torus(s));
        }
    }
    Ok(())
}

/// Turns the accumulator by the encrypted phase: `lut * X^(-body + <mask, s>)`, n controlled rotations and a plain one.
///
/// For every mask element a that is not 0: `acc += BSK_i [*] (acc * X^a - acc)`, `[*]` the external product. At the
/// end the accumulator is multiplied by `X^-body`.
///
/// # Errors
/// [`GoldenError::Length`] if key, table or ciphertext belong to other parameters.
pub fn blind_rotation(
    parameters: &BootstrapParameters,
    key: &NttBootstrapKey,
    lut: &GlweCiphertext,
    switched: &SwitchedLwe,
) -> Result<GlweCiphertext, GoldenError> {
    parameters.validate()?;
    expect_len("bootstrapping key", parameters.bootstrap_key_len(), key.words().len())?;
    expect_len("look-up table", parameters.glwe_len(), lut.words().len())?;
    expect_len("switched mask", parameters.lwe_dimension.0, switched.mask.len())?;
    let degree = parameters.ring_degree.0;
    let ntt = NegacyclicNtt::new(degree)?;
    let ggsw_len = parameters.bootstrap_key_len() / parameters.lwe_dimension.0;
    let mut accumulator: Vec<Vec<u64>> = lut.words().chunks_exact(degree).map(<[u64]>::to_vec).collect();
    for (&a, ggsw) in switched.mask.iter().zip(key.words().chunks_exact(ggsw_len)) {
        if a == 0 {
            continue;
        }
        let difference: Vec<Vec<u64>> = accumulator
            .iter()
            .map(|poly| {
                let rotated = torus::multiply_by_monomial(poly, a);
                rotated.iter().zip(poly).map(|(r, p)| r.wrapping_sub(*p)).collect()
            })
            .collect();
        add_external_product(parameters, &ntt, ggsw, &difference, &mut accumulator)?;
    }
    let turn_back = 2 * degree - switched.body % (2 * degree);
    let words = accumulator.iter().flat_map(|poly| torus::multiply_by_monomial(poly, turn_back)).collect();
    Ok(GlweCiphertext::from_words(words, degree))
}

/// The LWE encryption of coefficient `index` of a GLWE ciphertext, under the flattened GLWE key.
///
/// Mask of each polynomial A: `A[index], A[index-1], .., A[0], -A[N-1], .., -A[index+1]`; body `B[index]`.
///
/// # Errors
/// [`GoldenError::Parameter`] if `index` is not below N.
pub fn sample_extract(glwe: &GlweCiphertext, index: usize) -> Result<LweCiphertext, GoldenError> {
    let degree = glwe.degree();
    if index >= degree {
        return Err(GoldenError::Parameter {
            name: "extraction index",
            value: index.to_string(),
            rule: format!("a coefficient index lies below N = {degree}"),
        });
    }
    let masks = glwe.words().len() / degree - 1;
    let mut words = Vec::with_capacity(masks * degree + 1);
    for poly in glwe.polynomials().take(masks) {
        words.extend(
            (0..degree).map(|j| if j <= index { poly[index - j] } else { poly[degree + index - j].wrapping_neg() }),
        );
    }
    words.push(glwe.body()[index]);
    Ok(LweCiphertext::from_words(words))
}

/// The keys and parameters of one evaluation, ready to bootstrap.
#[derive(Clone, Debug)]
pub struct Evaluator {
    parameters: BootstrapParameters,
    keyswitch_key: KeyswitchKey,
    bootstrap_key: NttBootstrapKey,
}

impl Evaluator {
    /// Transforms the bootstrapping key once and keeps both keys.
    ///
    /// # Errors
    /// [`GoldenError`] if parameters break a rule or a key does not fit them.
    pub fn new(
        parameters: BootstrapParameters,
        keyswitch_key: KeyswitchKey,
        bootstrap_key: &BootstrapKey,
    ) -> Result<Self, GoldenError> {
        parameters.validate()?;
        expect_len("keyswitching key", parameters.keyswitch_key_len(), keyswitch_key.words().len())?;
        let bootstrap_key = bootstrap_key.to_ntt(&parameters)?;
        Ok(Self { parameters, keyswitch_key, bootstrap_key })
    }

    /// The parameters.
    pub fn parameters(&self) -> &BootstrapParameters {
        &self.parameters
    }

    /// The keyswitching key.
    pub fn keyswitch_key(&self) -> &KeyswitchKey {
        &self.keyswitch_key
    }

    /// The bootstrapping key.
    pub fn bootstrap_key(&self) -> &NttBootstrapKey {
        &self.bootstrap_key
    }

    /// The keyswitch alone; see [`keyswitch`].
    ///
    /// # Errors
    /// [`GoldenError::Length`] for a ciphertext of other parameters.
    pub fn keyswitch(&self, input: &LweCiphertext) -> Result<LweCiphertext, GoldenError> {
        keyswitch(&self.parameters, &self.keyswitch_key, input)
    }

    /// Blind rotation of `lut` by a small LWE ciphertext, modulus switch included.
    ///
    /// # Errors
    /// [`GoldenError::Length`] for data of other parameters.
    pub fn blind_rotation(&self, lut: &GlweCiphertext, small: &LweCiphertext) -> Result<GlweCiphertext, GoldenError> {
        expect_len("small LWE ciphertext", self.parameters.lwe_dimension.0 + 1, small.words().len())?;
        let switched = torus::modulus_switch(small.words(), &self.parameters);
        blind_rotation(&self.parameters, &self.bootstrap_key, lut, &switched)
    }

    /// Keyswitch and bootstrap of one ciphertext with a table of one function.
    ///
    /// # Errors
    /// [`GoldenError::Length`] for data of other parameters.
    pub fn bootstrap(&self, input: &LweCiphertext, lut: &GlweCiphertext) -> Result<LweCiphertext, GoldenError> {
        sample_extract(&self.blind_rotation(lut, &self.keyswitch(input)?)?, 0)
    }

    /// Keyswitch and bootstrap of one ciphertext with a table of one or several functions, one output a function.
    ///
    /// # Errors
    /// [`GoldenError::Length`] for data of other parameters.
    pub fn bootstrap_many(&self, input: &LweCiphertext, lut: &Lut) -> Result<Vec<LweCiphertext>, GoldenError> {
        let turned = self.blind_rotation(lut.ciphertext(), &self.keyswitch(input)?)?;
        (0..lut.functions()).map(|j| sample_extract(&turned, lut.extraction_index(j))).collect()
    }
}
