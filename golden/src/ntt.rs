//! The negacyclic number-theoretic transform over the Goldilocks field.
//!
//! For a polynomial `x` of degree below N (N a power of two) and `psi` the project's primitive 2N-th root of unity,
//!
//! ```text
//! X[k] = sum_i x[i] * psi^((2k + 1) * i)   mod p,   k = 0 .. N-1
//! ```
//!
//! so that the product of polynomials mod `X^N + 1` becomes the pointwise product of their transforms. Inputs and
//! outputs of this module are in natural order unless a name says otherwise; values are canonical, `[0, p)`.
//!
//! [`forward_naive`] and [`inverse_naive`] are that definition, O(N^2), and the oracle of the O(N log N)
//! [`NegacyclicNtt`].

use crate::GoldenError;
use crate::field::{self, P};

/// Largest supported `log2 N`: `Z_p` has roots of unity of order 2N up to 2^32.
pub const MAX_LOG2_DEGREE: u32 = 31;

/// Returns `log2 degree`, or the error that every transform of an unsupported degree reports.
fn log2_degree(degree: usize) -> Result<u32, GoldenError> {
    if degree.is_power_of_two() && (1..=MAX_LOG2_DEGREE).contains(&degree.trailing_zeros()) {
        Ok(degree.trailing_zeros())
    } else {
        Err(GoldenError::RingDegree { degree })
    }
}

/// The primitive 2N-th root of unity `psi` of a ring of degree N: `psi^N = -1`.
///
/// # Errors
/// [`GoldenError::RingDegree`] if `degree` is not a power of two in `2 ..= 2^31`.
pub fn psi(degree: usize) -> Result<u64, GoldenError> {
    let log2 = log2_degree(degree)?;
    field::root_of_unity(log2 + 1).ok_or(GoldenError::RingDegree { degree })
}

/// The forward transform by its definition: natural order in and out, `[0, p)`.
///
/// # Errors
/// [`GoldenError::RingDegree`] for an unsupported length.
pub fn forward_naive(x: &[u64]) -> Result<Vec<u64>, GoldenError> {
    let psi = psi(x.len())?;
    let order = 2 * x.len() as u64;
    Ok((0..x.len() as u64)
        .map(|k| {
            let w = |i: u64| field::pow(psi, (2 * k + 1) * i % order);
            x.iter().zip(0..).fold(0, |sum, (&c, i)| field::add(sum, field::mul(c, w(i))))
        })
        .collect())
}

/// The inverse transform by its definition, 1/N included: natural order in and out, `[0, p)`.
///
/// # Errors
/// [`GoldenError::RingDegree`] for an unsupported length.
pub fn inverse_naive(y: &[u64]) -> Result<Vec<u64>, GoldenError> {
    let psi_inverse = field::inv(psi(y.len())?);
    let scale = field::inv(y.len() as u64);
    let order = 2 * y.len() as u64;
    Ok((0..y.len() as u64)
        .map(|i| {
            let w = |k: u64| field::pow(psi_inverse, (2 * k + 1) * i % order);
            let sum = y.iter().zip(0..).fold(0, |sum, (&c, k)| field::add(sum, field::mul(c, w(k))));
            field::mul(sum, scale)
        })
        .collect())
}

/// Reverses the low `bits` bits of `index`.
///
/// The accelerator and every in-place transform hold `X[k]` at position `bit_reverse(k, log2 N)`.
pub const fn bit_reverse(index: usize, bits: u32) -> usize {
    if bits == 0 { 0 } else { index.reverse_bits() >> (usize::BITS - bits) }
}

/// Reorders a vector between natural and bit-reversed order (the permutation is its own inverse).
///
/// # Errors
/// [`GoldenError::RingDegree`] for an unsupported length.
pub fn bit_reverse_permute(x: &[u64]) -> Result<Vec<u64>, GoldenError> {
    let bits = log2_degree(x.len())?;
    Ok((0..x.len()).map(|i| x[bit_reverse(i, bits)]).collect())
}

/// The fast transform for one ring degree, with its table of roots.
///
/// It splits `X^(2m) - r^2 = (X^m - r)(X^m + r)` until the factors are linear, one radix-2 butterfly a pair
/// (Cooley-Tukey; Longa and Naehrig, "Speeding up the NTT for faster ideal lattice-based cryptography", 2016).
#[derive(Clone, Debug)]
pub struct NegacyclicNtt {
    log2_degree: u32,
    /// `roots[j] = psi^bit_reverse(j)`, `j` in `0 .. N`: the factor `r` of butterfly block `j`.
    roots: Vec<u64>,
    inverse_roots: Vec<u64>,
    inverse_degree: u64,
}

impl NegacyclicNtt {
    /// Prepares the transform of `degree` coefficients.
    ///
    /// # Errors
    /// [`GoldenError::RingDegree`] if `degree` is not a power of two in `2 ..= 2^31`.
    pub fn new(degree: usize) -> Result<Self, GoldenError> {
        let log2_degree = log2_degree(degree)?;
        let psi = psi(degree)?;
        let mut roots = vec![1; degree];
        let mut power = 1;
        for exponent in 0..degree {
            roots[bit_reverse(exponent, log2_degree)] = power;
            power = field::mul(power, psi);
        }
        let inverse_roots = roots.iter().map(|&r| field::inv(r)).collect();
        Ok(Self { log2_degree, roots, inverse_roots, inverse_degree: field::inv(degree as u64) })
    }

    /// The ring degree N.
    pub fn degree(&self) -> usize {
        self.roots.len()
    }

    fn check(&self, len: usize) -> Result<(), GoldenError> {
        if len == self.degree() {
            Ok(())
        } else {
            Err(GoldenError::Length { what: "polynomial", expected: self.degree(), found: len })
        }
    }

    /// In-place forward transform: coefficients in natural order in, transform in bit-reversed order out.
    ///
    /// # Errors
    /// [`GoldenError::Length`] if `x` does not hold N words.
    pub fn forward_bit_reversed(&self, x: &mut [u64]) -> Result<(), GoldenError> {
        self.check(x.len())?;
        let mut half = self.degree();
        let mut blocks = 1;
        while half > 1 {
            half /= 2;
            for block in 0..blocks {
                let r = self.roots[blocks + block];
                let start = 2 * half * block;
                for i in start..start + half {
                    let a = x[i];
                    let b = field::mul(x[i + half], r);
                    x[i] = field::add(a, b);
                    x[i + half] = field::sub(a, b);
                }
            }
            blocks *= 2;
        }
        Ok(())
    }

    /// In-place inverse transform, 1/N included: bit-reversed order in, coefficients in natural order out.
    ///
    /// # Errors
    /// [`GoldenError::Length`] if `y` does not hold N words.
    pub fn inverse_bit_reversed(&self, y: &mut [u64]) -> Result<(), GoldenError> {
        self.check(y.len())?;
        let mut half = 1;
        let mut blocks = self.degree();
        while blocks > 1 {
            blocks /= 2;
            for block in 0..blocks {
                let r = self.inverse_roots[blocks + block];
                let start = 2 * half * block;
                for i in start..start + half {
                    let (a, b) = (y[i], y[i + half]);
                    y[i] = field::add(a, b);
                    y[i + half] = field::mul(field::sub(a, b), r);
                }
            }
            half *= 2;
        }
        for c in y {
            *c = field::mul(*c, self.inverse_degree);
        }
        Ok(())
    }

    /// The forward transform, natural order in and out.
    ///
    /// # Errors
    /// [`GoldenError::Length`] if `x` does not hold N words.
    pub fn forward(&self, x: &[u64]) -> Result<Vec<u64>, GoldenError> {
        let mut y = x.to_vec();
        self.forward_bit_reversed(&mut y)?;
        bit_reverse_permute(&y)
    }

    /// The inverse transform, natural order in and out.
    ///
    /// # Errors
    /// [`GoldenError::Length`] if `y` does not hold N words.
    pub fn inverse(&self, y: &[u64]) -> Result<Vec<u64>, GoldenError> {
        self.check(y.len())?;
        let mut x = bit_reverse_permute(y)?;
        self.inverse_bit_reversed(&mut x)?;
        Ok(x)
    }

    /// `log2 N`.
    pub fn log2_degree(&self) -> u32 {
        self.log2_degree
    }
}

/// The product `a * b mod (X^N + 1, p)` by the schoolbook rule: the oracle of products through the transform.
///
/// # Errors
/// [`GoldenError::RingDegree`] for an unsupported length, [`GoldenError::Length`] if the lengths differ.
pub fn negacyclic_product_naive(a: &[u64], b: &[u64]) -> Result<Vec<u64>, GoldenError> {
    log2_degree(a.len())?;
    if a.len() != b.len() {
        return Err(GoldenError::Length { what: "second factor", expected: a.len(), found: b.len() });
    }
    let n = a.len();
    let mut product = vec![0; n];
    for (i, &x) in a.iter().enumerate() {
        for (j, &y) in b.iter().enumerate() {
            let term = field::mul(x, y);
            let slot = &mut product[(i + j) % n];
            *slot = if i + j < n { field::add(*slot, term) } else { field::sub(*slot, term) };
        }
    }
    Ok(product)
}

/// The pointwise product of two transforms in the same order.
pub fn pointwise_product(a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(&x, &y)| field::mul(x, y)).collect()
}

const _: () = assert!(P > u32::MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn polynomial(max_log2: u32) -> impl Strategy<Value = Vec<u64>> {
        (1..=max_log2).prop_flat_map(|log2| proptest::collection::vec(0..P, 1usize << log2))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn fast_transform_equals_naive(x in polynomial(7)) {
            let ntt = NegacyclicNtt::new(x.len()).unwrap();
            let y = forward_naive(&x).unwrap();
            prop_assert_eq!(&ntt.forward(&x).unwrap(), &y);
            prop_assert_eq!(&ntt.inverse(&y).unwrap(), &x);
            prop_assert_eq!(&inverse_naive(&y).unwrap(), &x);
        }

        #[test]
        fn product_through_transform_equals_schoolbook(log2 in 1u32..8, seed in any::<u64>()) {
            let n = 1usize << log2;
            let word = |i: usize| field::pow(seed | 3, i as u64 + 1);
            let a: Vec<u64> = (0..n).map(word).collect();
            let b: Vec<u64> = (n..2 * n).map(word).collect();
            let ntt = NegacyclicNtt::new(n).unwrap();
            let c = pointwise_product(&ntt.forward(&a).unwrap(), &ntt.forward(&b).unwrap());
            prop_assert_eq!(ntt.inverse(&c).unwrap(), negacyclic_product_naive(&a, &b).unwrap());
        }
    }

    #[test]
    fn full_size_transform_equals_naive() {
        let x: Vec<u64> = (0..2048).map(|i| field::pow(7, i * i + 1)).collect();
        let ntt = NegacyclicNtt::new(2048).unwrap();
        let y = forward_naive(&x).unwrap();
        assert_eq!(ntt.forward(&x).unwrap(), y);
        assert_eq!(ntt.inverse(&y).unwrap(), x);
    }

    #[test]
    fn unsupported_degrees_are_refused() {
        for degree in [0, 1, 3, 12, 2047] {
            assert_eq!(NegacyclicNtt::new(degree).unwrap_err(), GoldenError::RingDegree { degree });
            assert!(forward_naive(&vec![0; degree]).is_err());
        }
        assert!(NegacyclicNtt::new(4).unwrap().forward(&[1, 2]).is_err());
    }
}
