//! The Goldilocks field, p = 2^64 - 2^32 + 1, and its negacyclic transform, in portable integer code.
//!
//! Values are canonical, `[0, p)`, unless a name says otherwise. This is the kernel that runs everywhere; the vector
//! kernels of the transform live in `goldilocks_ntt`.

/// The modulus.
pub(crate) const P: u64 = 0xFFFF_FFFF_0000_0001;
/// 2^64 mod p.
pub(crate) const EPSILON: u64 = 0xFFFF_FFFF;
/// A primitive 2^32-th root of unity, the one the whole project uses.
pub(crate) const ROOT_2_32: u64 = 16_334_397_945_464_290_598;

/// `a + b`, operands and result canonical.
#[inline(always)]
pub(crate) const fn add(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    let (reduced, borrow) = sum.overflowing_sub(P);
    if carry || !borrow { reduced } else { sum }
}

/// `a - b`, operands and result canonical.
#[inline(always)]
pub(crate) const fn sub(a: u64, b: u64) -> u64 {
    let (difference, borrow) = a.overflowing_sub(b);
    if borrow { difference.wrapping_add(P) } else { difference }
}

/// Any 128-bit integer mod p, canonical: 2^64 = 2^32 - 1 and 2^96 = -1.
#[inline(always)]
pub(crate) const fn reduce_u128(x: u128) -> u64 {
    let (low, high) = (x as u64, (x >> 64) as u64);
    let (mut t, borrow) = low.overflowing_sub(high >> 32);
    if borrow {
        t = t.wrapping_sub(EPSILON);
    }
    let (mut r, carry) = t.overflowing_add((high & EPSILON) * EPSILON);
    if carry {
        r = r.wrapping_add(EPSILON);
    }
    if r >= P { r - P } else { r }
}

/// `a * b`, operands any 64-bit integers, result canonical.
#[inline(always)]
pub(crate) const fn mul(a: u64, b: u64) -> u64 {
    reduce_u128(a as u128 * b as u128)
}

/// `base^exponent`.
pub(crate) const fn pow(base: u64, mut exponent: u64) -> u64 {
    let (mut result, mut square) = (1, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = mul(result, square);
        }
        square = mul(square, square);
        exponent >>= 1;
    }
    result
}

/// The modulus switch 2^64 -> p, `floor((x * p + 2^63) / 2^64)`.
#[inline(always)]
pub(crate) const fn from_torus(x: u64) -> u64 {
    ((x as u128 * P as u128 + (1 << 63)) >> 64) as u64
}

/// The modulus switch p -> 2^64 of a canonical value, rounded to nearest.
#[inline(always)]
pub(crate) const fn to_torus(a: u64) -> u64 {
    // The sum wraps only where its upper half is 2^32, which the wrapped shift would lose.
    let (sum, carry) = a.overflowing_add((1 << 31) - 1);
    a.wrapping_add((sum >> 32) + ((carry as u64) << 32))
}

/// Tables of the negacyclic transform of one degree: natural order in, bit-reversed out, and back.
#[derive(Clone, Debug)]
pub(crate) struct NttTables {
    /// `roots[j] = psi^bit_reverse(j)`: the factor of butterfly block j, level by level.
    roots: Vec<u64>,
    /// Inverses of `roots`.
    inverse_roots: Vec<u64>,
    /// 1/N.
    inverse_degree: u64,
}

impl NttTables {
    /// Tables for `degree` coefficients, a power of two from 2 to 2^31.
    pub(crate) fn new(degree: usize) -> Self {
        let log2 = degree.trailing_zeros();
        let psi = pow(ROOT_2_32, 1 << (31 - log2));
        let psi_inverse = pow(psi, 2 * degree as u64 - 1);
        let table = |root: u64| {
            let mut values = vec![1u64; degree];
            let mut power = 1;
            for exponent in 0..degree {
                values[exponent.reverse_bits() >> (usize::BITS - log2)] = power;
                power = mul(power, root);
            }
            values
        };
        Self {
            roots: table(psi),
            inverse_roots: table(psi_inverse),
            // p = 1 mod N, so 1/N = p - (p - 1)/N.
            inverse_degree: P - (P - 1) / degree as u64,
        }
    }

    /// In-place forward transform.
    pub(crate) fn forward(&self, x: &mut [u64]) {
        let mut half = x.len() / 2;
        let mut blocks = 1;
        while half > 0 {
            for (chunk, &root) in x.chunks_exact_mut(2 * half).zip(&self.roots[blocks..2 * blocks]) {
                let (low, high) = chunk.split_at_mut(half);
                for (a, b) in low.iter_mut().zip(high) {
                    let t = mul(*b, root);
                    *b = sub(*a, t);
                    *a = add(*a, t);
                }
            }
            half /= 2;
            blocks *= 2;
        }
    }

    /// In-place inverse transform, 1/N included.
    pub(crate) fn inverse(&self, y: &mut [u64]) {
        let mut half = 1;
        let mut blocks = y.len() / 2;
        while blocks > 0 {
            for (chunk, &root) in y.chunks_exact_mut(2 * half).zip(&self.inverse_roots[blocks..2 * blocks]) {
                let (low, high) = chunk.split_at_mut(half);
                for (a, b) in low.iter_mut().zip(high) {
                    let difference = sub(*a, *b);
                    *a = add(*a, *b);
                    *b = mul(difference, root);
                }
            }
            half *= 2;
            blocks /= 2;
        }
        for c in y {
            *c = mul(*c, self.inverse_degree);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glovebox_golden::field;
    use glovebox_golden::ntt::NegacyclicNtt;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn field_operations_equal_golden(a: u64, b: u64) {
            prop_assert_eq!(mul(a, b), field::mul(a, b));
            prop_assert_eq!(reduce_u128((a as u128) << 64 | b as u128), (((a as u128) << 64 | b as u128) % P as u128) as u64);
            prop_assert_eq!(from_torus(a), field::from_torus(a));
            let (a, b) = (a % P, b % P);
            prop_assert_eq!(add(a, b), field::add(a, b));
            prop_assert_eq!(sub(a, b), field::sub(a, b));
            prop_assert_eq!(to_torus(a), field::to_torus(a));
        }

        #[test]
        fn field_operations_equal_golden_near_edges(i in 0usize..6, j in 0usize..6, d in -3i64..4, e in -3i64..4) {
            let edges = [0, 1 << 31, 1 << 32, EPSILON << 31, P / 2, P - 1];
            let (a, b) = (edges[i].wrapping_add_signed(d) % P, edges[j].wrapping_add_signed(e) % P);
            prop_assert_eq!(add(a, b), field::add(a, b));
            prop_assert_eq!(sub(a, b), field::sub(a, b));
            prop_assert_eq!(mul(a, b), field::mul(a, b));
            prop_assert_eq!(to_torus(a), field::to_torus(a));
            prop_assert_eq!(from_torus(a), field::from_torus(a));
        }
    }

    #[test]
    fn transform_equals_golden_at_every_degree() {
        for log2 in 1..=13 {
            let degree = 1 << log2;
            let x: Vec<u64> = (0..degree).map(|i| pow(7, i * i + 5)).collect();
            let (tables, golden) = (NttTables::new(x.len()), NegacyclicNtt::new(x.len()).unwrap());
            let (mut ours, mut theirs) = (x.clone(), x.clone());
            tables.forward(&mut ours);
            golden.forward_bit_reversed(&mut theirs).unwrap();
            assert_eq!(ours, theirs, "{degree}");
            tables.inverse(&mut ours);
            assert_eq!(ours, x, "{degree}");
        }
    }
}
