//! The Goldilocks prime field `Z_p`, p = 2^64 - 2^32 + 1.
//!
//! Every element is an unsigned 64-bit integer in canonical form, `[0, p)`. The functions here are written to be read:
//! products go through 128-bit integers and one `%`. The CPU engine and the RTL have their own fast forms and are
//! tested against this one.
//!
//! Facts used elsewhere: 2 has multiplicative order 192 in `Z_p`, 8 has order 64, and p - 1 = 2^32 * (2^32 - 1), so
//! roots of unity exist for every power of two up to 2^32.

/// The modulus, p = 2^64 - 2^32 + 1.
pub const P: u64 = 0xFFFF_FFFF_0000_0001;

/// A primitive 2^32-th root of unity of `Z_p`; every other root used by the project is a power of it.
pub const ROOT_2_32: u64 = 16_334_397_945_464_290_598;

/// Multiplicative order of 2 in `Z_p`: a product with a power of two is a shift by an amount taken mod 192.
pub const ORDER_OF_TWO: u32 = 192;

/// Reduces any 64-bit integer to `[0, p)`.
pub const fn reduce(x: u64) -> u64 {
    if x >= P { x - P } else { x }
}

/// `a + b mod p`; operands and result in `[0, p)`.
pub const fn add(a: u64, b: u64) -> u64 {
    let sum = a as u128 + b as u128;
    if sum >= P as u128 { (sum - P as u128) as u64 } else { sum as u64 }
}

/// `a - b mod p`; operands and result in `[0, p)`.
pub const fn sub(a: u64, b: u64) -> u64 {
    if a >= b { a - b } else { (a as u128 + P as u128 - b as u128) as u64 }
}

/// `-a mod p`; operand and result in `[0, p)`.
pub const fn neg(a: u64) -> u64 {
    sub(0, a)
}

/// `a * b mod p`; operands any 64-bit integers, result in `[0, p)`.
pub const fn mul(a: u64, b: u64) -> u64 {
    ((a as u128 * b as u128) % P as u128) as u64
}

/// `base^exponent mod p`, result in `[0, p)`; `pow(0, 0)` is 1.
pub const fn pow(base: u64, exponent: u64) -> u64 {
    let mut result = 1;
    let mut square = reduce(base);
    let mut rest = exponent;
    while rest > 0 {
        if rest & 1 == 1 {
            result = mul(result, square);
        }
        square = mul(square, square);
        rest >>= 1;
    }
    result
}

/// The inverse of `a` mod p by Fermat's little theorem; 0 maps to 0.
pub const fn inv(a: u64) -> u64 {
    pow(a, P - 2)
}

/// The primitive root of unity of order `2^log2_order` that the project uses, `ROOT_2_32^(2^(32 - log2_order))`.
///
/// Returns `None` for `log2_order > 32`, where `Z_p` has no such root.
pub const fn root_of_unity(log2_order: u32) -> Option<u64> {
    if log2_order > 32 {
        return None;
    }
    Some(pow(ROOT_2_32, 1 << (32 - log2_order)))
}

/// Maps a signed integer to its representative in `[0, p)`.
pub const fn from_signed(x: i64) -> u64 {
    if x < 0 { sub(0, x.unsigned_abs()) } else { reduce(x as u64) }
}

/// The modulus switch 2^64 -> p of one word: `floor((x * p + 2^63) / 2^64)`, in `[0, p)`.
///
/// Bootstrapping-key words pass through it once, when a key is loaded.
pub const fn from_torus(x: u64) -> u64 {
    // (2^64 - 1) * p + 2^63 < 2^128, and the quotient is at most p - 1 for every 64-bit x.
    ((x as u128 * P as u128 + (1 << 63)) >> 64) as u64
}

/// The modulus switch p -> 2^64 of one word: `floor((a * 2^64 + floor(p / 2)) / p) mod 2^64` for `a` in `[0, p)`.
///
/// The accelerator computes the same value without a division; see `glovebox_hdl`.
pub const fn to_torus(a: u64) -> u64 {
    ((((a as u128) << 64) | (P >> 1) as u128) / P as u128) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The values around which carries and reductions change.
    pub(crate) const EDGES: [u64; 12] = [
        0,
        1,
        2,
        0xFFFF_FFFE,
        0xFFFF_FFFF,
        0x1_0000_0000,
        0x1_0000_0001,
        0x7FFF_FFFF_FFFF_FFFF,
        0x8000_0000_0000_0000,
        0xFFFF_FFFE_FFFF_FFFF,
        0xFFFF_FFFF_0000_0000 - 1,
        0xFFFF_FFFF_0000_0000,
    ];

    #[test]
    fn field_constants_have_stated_orders() {
        assert_eq!(P as u128, (1u128 << 64) - (1u128 << 32) + 1);
        assert_eq!(pow(2, 192), 1);
        assert_ne!(pow(2, 96), 1);
        assert_ne!(pow(2, 64), 1);
        assert_eq!(pow(ROOT_2_32, 1 << 31), P - 1);
        assert_eq!(root_of_unity(0), Some(1));
        assert_eq!(root_of_unity(1), Some(P - 1));
        assert_eq!(root_of_unity(6), Some(8));
        assert_eq!(root_of_unity(33), None);
    }

    #[test]
    fn root_of_order_4096_is_the_documented_psi() {
        let psi = root_of_unity(12).unwrap();
        assert_eq!(psi, 10_974_926_054_405_199_669);
        assert_eq!(pow(psi, 2048), P - 1);
        assert_eq!(pow(psi, 64), 8);
    }

    #[test]
    fn torus_switches_round_trip_at_edges() {
        for x in EDGES {
            let a = from_torus(x);
            assert!(a < P);
            // p < 2^64, so the round trip may move a word by at most one.
            assert!(to_torus(a).wrapping_sub(x).wrapping_add(1) <= 2, "{x}");
        }
        assert_eq!(from_torus(u64::MAX), P - 1);
    }

    proptest! {
        #[test]
        fn ring_laws_hold(a in 0..P, b in 0..P, c in 0..P) {
            prop_assert_eq!(add(a, b), add(b, a));
            prop_assert_eq!(sub(add(a, b), b), a);
            prop_assert_eq!(mul(a, add(b, c)), add(mul(a, b), mul(a, c)));
            prop_assert_eq!(add(a, neg(a)), 0);
            prop_assert_eq!(mul(a, inv(a)), u64::from(a != 0));
        }

        #[test]
        fn signed_values_keep_their_negation(x in i64::MIN + 1..i64::MAX) {
            prop_assert_eq!(add(from_signed(x), from_signed(-x)), 0);
        }

        #[test]
        fn division_free_switch_equals_the_definition(a in 0..P) {
            prop_assert_eq!(a.wrapping_add(((a as u128 + (1 << 31) - 1) >> 32) as u64), to_torus(a));
        }
    }

    #[test]
    fn division_free_switch_equals_the_definition_at_edges() {
        for e in EDGES {
            for d in 0..8u64 {
                for a in
                    [e.wrapping_add(d), e.wrapping_sub(d), e.wrapping_add((1 << 31) - d), e.wrapping_add((1 << 31) + d)]
                {
                    if a < P {
                        assert_eq!(a.wrapping_add(((a as u128 + (1 << 31) - 1) >> 32) as u64), to_torus(a), "{a:#x}");
                    }
                }
            }
        }
    }
}
