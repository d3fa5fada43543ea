//! The limb form of a residue and its bounds.
//!
//! `x0 + x1 * 2^32 + x2 * 2^64` with signed limbs, modulo 2^96 + 1, of which p is a factor.

/// Bits of a signed limb.
pub const LIMB: usize = 38;

/// Largest magnitude of a limb that [`LIMB`] bits hold on both sides.
pub const LIMB_MAX: i128 = (1 << (LIMB - 1)) - 1;

/// How a product with 2^k moves the limbs: a rotation by `rotate` places, then a shift by `shift` bits.
///
/// Limb j of the product is `±low(source j - rotate) ± high(source j - rotate - 1)`, where `low` is the source times
/// 2^shift mod 2^32, and `high` the source shifted right by `32 - shift` with its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Places, 0 to 2.
    pub rotate: usize,
    /// Bits, 0 to 31.
    pub shift: usize,
    /// Whether limb j takes its low part negated.
    pub negate_low: [bool; 3],
    /// Whether limb j takes its high part negated.
    pub negate_high: [bool; 3],
}

impl Rotation {
    /// The rotation of a product with `2^exponent`; the exponent is taken mod 192.
    pub fn new(exponent: i64) -> Self {
        let k = exponent.rem_euclid(192) as usize;
        let (places, shift) = (k / 32, k % 32);
        let rotate = places % 3;
        let mut negate_low = [false; 3];
        let mut negate_high = [false; 3];
        for source in 0..3 {
            // 2^96 = -1: every passage over the top changes the sign.
            let (low, high) = (source + places, source + places + 1);
            negate_low[low % 3] = (low / 3) % 2 == 1;
            negate_high[high % 3] = (high / 3) % 2 == 1;
        }
        Self { rotate, shift, negate_low, negate_high }
    }
}

/// The largest magnitude that any limb of a word can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound(i128);

impl Bound {
    /// A canonical word split into limbs.
    pub const CANONICAL: Self = Self((1 << 32) - 1);
    /// What [`super::MulLimbs`] gives: seven slices of 32 bits.
    pub const PRODUCT: Self = Self(7 << 32);
    /// A difference of two products: limbs 1 and 2 are in [0, 7 * 2^32), limb 0 in (-4 * 2^32, 3 * 2^32).
    pub const PRODUCT_DIFFERENCE: Self = Self(7 << 32);
    /// Any limb after a product with 2^0, which hands its top bits on.
    pub const NORMALISED: Self = Self((1 << 32) + (LIMB_MAX >> 32) + 1);

    /// Checks a magnitude against the limb's width.
    ///
    /// # Panics
    /// If a limb could overflow: the pipeline needs a normalising stage there, or a wider [`LIMB`].
    fn new(magnitude: i128) -> Self {
        assert!(magnitude <= LIMB_MAX, "limbs up to {magnitude:#x} need more than the {LIMB} bits of LIMB");
        Self(magnitude)
    }

    /// The magnitude.
    pub fn magnitude(self) -> i128 {
        self.0
    }

    /// After a product with 2^exponent.
    pub fn shifted(self, exponent: i64) -> Self {
        Self::new((1 << 32) + (self.0 >> (32 - Rotation::new(exponent).shift)) + 1)
    }

    /// After a limb-wise sum or difference.
    pub fn plus(self, other: Self) -> Self {
        Self::new(self.0 + other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glovebox_golden::field::{self, P};
    use proptest::prelude::*;

    fn value(limbs: [i128; 3]) -> u64 {
        let sum = limbs.iter().rev().fold(0i128, |sum, &l| (sum * (1 << 32) + l).rem_euclid(i128::from(P)));
        sum as u64
    }

    proptest! {
        #[test]
        fn rotation_is_a_product_with_a_power_of_two(
            limbs in proptest::array::uniform3(-LIMB_MAX..=LIMB_MAX), exponent in -192i64..192
        ) {
            let r = Rotation::new(exponent);
            let mut out = [0i128; 3];
            for (j, limb) in out.iter_mut().enumerate() {
                let low = (limbs[(j + 3 - r.rotate) % 3] << r.shift) & 0xFFFF_FFFF;
                let high = limbs[(j + 2 - r.rotate) % 3] >> (32 - r.shift);
                *limb += if r.negate_low[j] { -low } else { low };
                *limb += if r.negate_high[j] { -high } else { high };
            }
            let expected = field::mul(value(limbs), field::pow(2, exponent.rem_euclid(192) as u64));
            prop_assert_eq!(value(out), expected);
            let bound = Bound::new(limbs.iter().map(|l| l.abs()).max().unwrap()).shifted(exponent);
            prop_assert!(out.iter().all(|l| l.abs() <= bound.magnitude()));
            // The same product as sums of two operands and a carry: the addends of `ShiftTap`.
            let mut sum = [0i128; 3];
            for (j, limb) in sum.iter_mut().enumerate() {
                let low = (limbs[(j + 3 - r.rotate) % 3] << r.shift) & 0xFFFF_FFFF;
                let high = limbs[(j + 2 - r.rotate) % 3] >> (32 - r.shift);
                *limb += if r.negate_low[j] { low ^ 0xFFFF_FFFF } else { low };
                *limb += if r.negate_high[j] { !high } else { high };
                *limb += i128::from(r.negate_low[j]) - (i128::from(j == 2) << 32);
            }
            prop_assert_eq!(value(sum), expected);
            prop_assert!(sum.iter().all(|l| l.abs() <= bound.magnitude()));
        }
    }
}
