//! Words of the discretised torus, `Z / 2^64`: signed decomposition, modulus switching, rotation by monomials.
//!
//! The conventions are tfhe-rs's, to the last bit; each function states them in full.

use crate::params::{BootstrapParameters, Decomposition, ModulusSwitchKind, RingDegree};

/// Splits `x` into `level` signed digits in base `2^base_log`, least significant digit first.
///
/// The word is first rounded to its top `level * base_log` bits. Digits lie in `[-B/2, B/2]`; a digit of exactly B/2
/// becomes -B/2 with a carry when the remaining bits are at least one half (the balanced rule of tfhe-rs, which keeps
/// the expected value at 0).
pub fn decompose(x: u64, decomposition: Decomposition) -> Vec<i64> {
    let base_log = decomposition.base_log.0;
    let kept_bits = base_log * decomposition.level.0 as u32;
    // Round to the kept bits, remembering the bit that decides ties.
    let shifted = x >> (63 - kept_bits);
    let rounding_bit = shifted & 1;
    let rounded = (shifted.wrapping_add(1) >> 1) & ((1u64 << kept_bits) - 1);
    let half = 1u64 << (kept_bits - 1);
    let is_negative = rounded > half || (rounded == half && rounding_bit == 1);
    let mut state = rounded.wrapping_sub(u64::from(is_negative) << kept_bits) as i64;

    let base = 1i64 << base_log;
    (0..decomposition.level.0)
        .map(|_| {
            let digit = state & (base - 1);
            state >>= base_log;
            let next_is_high = state & (base / 2) != 0;
            let carries = digit > base / 2 || (digit == base / 2 && next_is_high);
            state += i64::from(carries);
            digit - if carries { base } else { 0 }
        })
        .collect()
}

/// Puts digits back together: the multiple of `2^(64 - level * base_log)` that [`decompose`] rounded to.
pub fn recompose(digits: &[i64], decomposition: Decomposition) -> u64 {
    let base_log = decomposition.base_log.0;
    let lowest = 64 - base_log * decomposition.level.0 as u32;
    digits.iter().zip(0..).fold(0, |sum: u64, (&digit, i)| sum.wrapping_add((digit as u64) << (lowest + base_log * i)))
}

/// Rounds `x` to the nearest multiple of `2^(64 - log2_modulus)`, halves upward, mod 2^64.
pub fn round_to_modulus(x: u64, log2_modulus: u32) -> u64 {
    if log2_modulus >= 64 {
        return x;
    }
    let dropped = 64 - log2_modulus;
    (((x >> (dropped - 1)) + 1) >> 1).checked_shl(dropped).unwrap_or(0)
}

/// The exponents that drive blind rotation: an LWE ciphertext mod 2N.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchedLwe {
    /// Mask, n values in `[0, 2N)`.
    pub mask: Vec<usize>,
    /// Body, in `[0, 2N)`.
    pub body: usize,
}

/// `round(x * 2N / 2^64) mod 2N`, halves upward.
fn switch_word(x: u64, degree: RingDegree) -> usize {
    let bits = degree.log2() + 1;
    ((x.wrapping_add(1 << (63 - bits))) >> (64 - bits)) as usize
}

/// What [`ModulusSwitchKind::CenteredMean`] adds to the body before it is rounded.
///
/// Under a binary key each mask word's rounding error e contributes e * s, of expected value e / 2. The sum of those
/// halves, less half a step (which centres the result on a step), is added to the body. The halves truncate toward
/// zero in the word that holds the ciphertext, and half the sum of what truncation lost is taken back, truncated again.
fn centered_mean_correction(mask: &[u64], degree: RingDegree, word_bits: u32) -> u64 {
    let bits = degree.log2() + 1;
    let unit = 64 - word_bits;
    let mut half_errors = 0i64;
    let mut halving_errors_doubled = 0i64;
    for &a in mask {
        let rounded = (switch_word(a, degree) as u64) << (64 - bits);
        let error = (rounded.wrapping_sub(a) as i64) >> unit;
        let half = error / 2;
        halving_errors_doubled += 2 * half - error;
        half_errors = half_errors.wrapping_add(half);
    }
    let sum = half_errors.wrapping_sub(halving_errors_doubled / 2);
    ((sum as u64) << unit).wrapping_sub(1 << (63 - bits))
}

/// Brings a small LWE ciphertext (mask then body, words at the top of 64 bits) from its modulus to 2N.
///
/// A keyswitching key mod 2^32 is kept in 32-bit words by tfhe-rs, every other in 64-bit words; the halving of the
/// centred switch truncates in that word.
pub fn modulus_switch(lwe: &[u64], parameters: &BootstrapParameters) -> SwitchedLwe {
    let degree = parameters.ring_degree;
    let (body, mask) = lwe.split_last().map_or((0, lwe), |(b, a)| (*b, a));
    let correction = match parameters.modulus_switch {
        ModulusSwitchKind::Standard => 0,
        ModulusSwitchKind::CenteredMean => {
            let word_bits = if parameters.ks_modulus_log2 == 32 { 32 } else { 64 };
            centered_mean_correction(mask, degree, word_bits)
        }
    };
    SwitchedLwe {
        mask: mask.iter().map(|&a| switch_word(a, degree)).collect(),
        body: switch_word(body.wrapping_add(correction), degree),
    }
}

/// `poly * X^exponent mod (X^N + 1)` over `Z / 2^64`; any exponent, taken mod 2N.
pub fn multiply_by_monomial(poly: &[u64], exponent: usize) -> Vec<u64> {
    let n = poly.len();
    let mut product = vec![0; n];
    for (i, &c) in poly.iter().enumerate() {
        let target = (i + exponent) % (2 * n);
        if target < n {
            product[target] = c;
        } else {
            product[target - n] = c.wrapping_neg();
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{DecompositionBaseLog, DecompositionLevelCount, TOY_INSECURE};
    use proptest::prelude::*;

    fn gadget(base_log: u32, level: usize) -> Decomposition {
        Decomposition { base_log: DecompositionBaseLog(base_log), level: DecompositionLevelCount(level) }
    }

    proptest! {
        #[test]
        fn decomposition_recomposes_to_the_nearest_multiple(x: u64, base_log in 1u32..24, level in 1usize..8) {
            prop_assume!(base_log as usize * level <= 63);
            let g = gadget(base_log, level);
            let digits = decompose(x, g);
            let half = 1i64 << (base_log - 1);
            prop_assert!(digits.iter().all(|d| (-half..=half).contains(d)));
            let error = recompose(&digits, g).wrapping_sub(x) as i64;
            prop_assert!(error.unsigned_abs() <= 1 << (63 - base_log as usize * level));
        }

        #[test]
        fn monomials_compose(poly in proptest::collection::vec(any::<u64>(), 16), a in 0usize..32, b in 0usize..32) {
            let twice = multiply_by_monomial(&multiply_by_monomial(&poly, a), b);
            prop_assert_eq!(twice, multiply_by_monomial(&poly, a + b));
        }
    }

    #[test]
    fn decomposition_ties_follow_the_rounding_bit() {
        // Kept bits 4: 0x7800.. rounds up to exactly half with rounding bit 1 (negative), 0x8000.. is half with 0.
        let g = gadget(4, 1);
        assert_eq!(decompose(0x7800_0000_0000_0000, g), [-8]);
        assert_eq!(decompose(0x8000_0000_0000_0000, g), [8]);
        assert_eq!(decompose(0x8800_0000_0000_0000, g), [-7]);
        assert_eq!(decompose(u64::MAX, g), [0]);
        assert_eq!(decompose(u64::MAX, gadget(21, 3)), [0, 0, 0]);
        // Low digit exactly B/2: carries only when the next digit is high.
        let g = gadget(4, 2);
        assert_eq!(decompose(0x1800_0000_0000_0000, g), [8, 1]);
        assert_eq!(decompose(0x9800_0000_0000_0000, g), [-8, -6]);
    }

    #[test]
    fn rounding_to_a_modulus_wraps_at_the_top() {
        assert_eq!(round_to_modulus(u64::MAX, 21), 0);
        assert_eq!(round_to_modulus(1 << 42, 21), 1 << 43);
        assert_eq!(round_to_modulus((1 << 42) - 1, 21), 0);
        assert_eq!(round_to_modulus(123, 64), 123);
    }

    #[test]
    fn modulus_switch_rounds_halves_up_and_wraps() {
        let mut p = TOY_INSECURE.bootstrap;
        p.modulus_switch = ModulusSwitchKind::Standard;
        let step = 1u64 << 55; // 2N = 512
        let switched = modulus_switch(&[0, step / 2, step / 2 - 1, u64::MAX, 3 * step], &p);
        assert_eq!(switched, SwitchedLwe { mask: vec![0, 1, 0, 0], body: 3 });
    }

    #[test]
    fn centred_switch_removes_the_expected_rounding_error() {
        let p = TOY_INSECURE.bootstrap;
        let step = 1u64 << 55;
        // One mask word with error -step/4: the expected contribution -step/8 is added, then half a step removed.
        let body = 7 * step + step / 8;
        let switched = modulus_switch(&[step / 4, body], &p);
        assert_eq!(switched.mask, [0]);
        assert_eq!(switched.body, 7); // 7*step + step/8 - step/8 - step/2 lies at a half and rounds up
        assert_eq!(modulus_switch(&[step / 4, body - 1], &p).body, 6);
    }
}
