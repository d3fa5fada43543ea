//! Rotation, subtraction and decomposition of an accumulator polynomial, in one pass.

use super::simd::Simd;
use super::torus::Gadget;

/// Digits of `poly * X^exponent - poly`, level by level, as integral doubles: `digits[level * stride + i]`, least
/// significant level first.
#[inline(always)]
pub(crate) fn difference_digits<S: Simd>(
    s: S,
    poly: &[u64],
    exponent: u32,
    gadget: Gadget,
    digits: &mut [f64],
    stride: usize,
) {
    let degree = poly.len();
    let shift = exponent as usize & (degree - 1);
    let turned_over = exponent as usize & degree != 0;
    // Coefficient i of the product is coefficient i - shift of poly, negated when the index wraps.
    segment(s, &poly[degree - shift..], &poly[..shift], !turned_over, gadget, digits, stride);
    segment(s, &poly[..degree - shift], &poly[shift..], turned_over, gadget, &mut digits[shift..], stride);
}

/// Digits of `+-rotated - plain`.
#[inline(always)]
fn segment<S: Simd>(
    s: S,
    rotated: &[u64],
    plain: &[u64],
    negate: bool,
    gadget: Gadget,
    digits: &mut [f64],
    stride: usize,
) {
    let len = plain.len();
    if len < S::LANES {
        for (i, (&r, &p)) in rotated.iter().zip(plain).enumerate() {
            let r = if negate { r.wrapping_neg() } else { r };
            let mut state = gadget.state(r.wrapping_sub(p));
            for level in 0..gadget.level {
                digits[level * stride + i] = gadget.next_digit(&mut state) as f64;
            }
        }
        return;
    }
    let whole = len / S::LANES * S::LANES;
    whole_vectors(s, &rotated[..whole], &plain[..whole], negate, gadget, digits, stride);
    if whole < len {
        // The last vector overlaps the one before.
        let last = len - S::LANES;
        whole_vectors(s, &rotated[last..len], &plain[last..len], negate, gadget, &mut digits[last..], stride);
    }
}

/// Digits of whole vectors.
#[inline(always)]
fn whole_vectors<S: Simd>(
    s: S,
    rotated: &[u64],
    plain: &[u64],
    negate: bool,
    gadget: Gadget,
    digits: &mut [f64],
    stride: usize,
) {
    match (gadget.level, negate) {
        (1, false) => single_digits::<S, false>(s, rotated, plain, gadget, digits),
        (1, true) => single_digits::<S, true>(s, rotated, plain, gadget, digits),
        _ => all_digits(s, rotated, plain, negate, gadget, digits, stride),
    }
}

/// Digits of whole vectors, one level.
#[inline(always)]
fn single_digits<S: Simd, const NEGATE: bool>(
    s: S,
    rotated: &[u64],
    plain: &[u64],
    gadget: Gadget,
    digits: &mut [f64],
) {
    let digit = SingleDigit::<S>::new(s, gadget.base_log);
    let words = rotated.chunks_exact(S::LANES).zip(plain.chunks_exact(S::LANES));
    for ((r, p), digits) in words.zip(digits.chunks_exact_mut(S::LANES)) {
        let (r, p) = (s.load_u(r, 0), s.load_u(p, 0));
        let x = if NEGATE { s.sub_u(s.sub_u(digit.offset, p), r) } else { s.add_u(s.sub_u(r, p), digit.offset) };
        s.store(digits, 0, digit.of(s, x));
    }
}

/// [`Gadget::state`] of one level, which is its only digit, as a double.
///
/// Rounded to the nearest multiple, halves upward, a word gives a digit in `[-B/2, B/2]`; the two ends are the same mod
/// B, and the decomposition wants the other one of them.
struct SingleDigit<S: Simd> {
    /// 2^63, so that words are unsigned.
    offset: S::U,
    /// Exponent B of doubles in [B, 2B), and their last place: it turns halves upward, and nothing else, as where it was
    /// clear there are a half or more of lower words than it.
    exponent: S::U,
    /// The magic number that rounds to integers, and the same with what makes a word unsigned.
    magic: S::F,
    magic_offset: S::F,
    base: S::F,
    /// Just above 1/B: a digit times this is above 1/2 in magnitude for the ends only.
    scale: S::F,
}

impl<S: Simd> SingleDigit<S> {
    #[inline(always)]
    fn new(s: S, base_log: u32) -> Self {
        let base = 2f64.powi(base_log.cast_signed());
        let magic = 1.5 * 2f64.powi(52);
        Self {
            offset: s.splat_u(1 << 63),
            exponent: s.splat_u(base.to_bits() | 1),
            magic: s.splat(magic),
            magic_offset: s.splat(magic + 1.5 * base),
            base: s.splat(base),
            scale: s.splat((1.0 + 2f64.powi(-40)) / base),
        }
    }

    /// The digits of `offset_word - 2^63`.
    #[inline(always)]
    fn of(&self, s: S, offset_word: S::U) -> S::F {
        let x = s.from_bits(s.or_u(s.shr_u(offset_word, 12), self.exponent));
        let digit = s.sub(s.add(x, self.magic), self.magic_offset);
        let ends = s.round(s.mul(digit, self.scale));
        s.fnma(ends, self.base, digit)
    }
}

/// Digits of whole vectors, any number of levels.
#[inline(always)]
fn all_digits<S: Simd>(
    s: S,
    rotated: &[u64],
    plain: &[u64],
    negate: bool,
    gadget: Gadget,
    digits: &mut [f64],
    stride: usize,
) {
    for i in (0..plain.len()).step_by(S::LANES) {
        let x = difference(s, s.load_u(rotated, i), s.load_u(plain, i), negate);
        let mut state = vector_state(s, gadget.bits(), x);
        for level in 0..gadget.level {
            let digit = next_vector_digit(s, gadget.base_log, &mut state);
            s.store(digits, level * stride + i, s.small_int_to_f(digit));
        }
    }
}

/// `+-rotated - plain`.
#[inline(always)]
fn difference<S: Simd>(s: S, rotated: S::U, plain: S::U, negate: bool) -> S::U {
    if negate { s.sub_u(s.splat_u(0), s.add_u(rotated, plain)) } else { s.sub_u(rotated, plain) }
}

/// [`Gadget::state`].
#[inline(always)]
fn vector_state<S: Simd>(s: S, bits: u32, x: S::U) -> S::U {
    let one = s.splat_u(1);
    let shifted = s.shr_u(x, 63 - bits);
    let rounded = s.and_u(s.shr_u(s.add_u(shifted, one), 1), s.splat_u((1 << bits) - 1));
    // Negative above one half, and at one half that was rounded up to.
    let above = s.add_u(rounded, s.and_u(shifted, one));
    s.sub_if_below(rounded, s.splat_u(1 << bits), s.splat_u(1 << (bits - 1)), above)
}

/// [`Gadget::next_digit`].
#[inline(always)]
fn next_vector_digit<S: Simd>(s: S, base_log: u32, state: &mut S::U) -> S::U {
    let one = s.splat_u(1);
    let low = s.and_u(*state, s.splat_u((1 << base_log) - 1));
    let rest = s.sar_u(*state, base_log);
    let carry = s.and_u(s.shr_u(s.and_u(s.or_u(s.sub_u(low, one), rest), low), base_log - 1), one);
    *state = s.add_u(rest, carry);
    s.sub_u(low, s.shl_u(carry, base_log))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::{Kernel, Task};
    use glovebox_golden::params::{Decomposition, DecompositionBaseLog, DecompositionLevelCount};
    use glovebox_golden::torus;
    use proptest::prelude::*;

    struct Digits<'a>(&'a [u64], u32, Gadget);

    impl Task for Digits<'_> {
        type Output = Vec<f64>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<f64> {
            let mut digits = vec![0.0; self.0.len() * self.2.level];
            difference_digits(s, self.0, self.1, self.2, &mut digits, self.0.len());
            digits
        }
    }

    proptest! {
        #[test]
        fn every_kernel_equals_golden(
            words in proptest::collection::vec(any::<u64>(), 64),
            edges in proptest::collection::vec((0usize..64, 0u32..64, -2i64..3), 20),
            exponent in 0u32..128, base_log in 1u32..33, level_share in 0.0f64..1.0,
        ) {
            let most = 63 / base_log as usize;
            let level = ((most as f64 * level_share) as usize + 1).min(most);
            let golden =
                Decomposition { base_log: DecompositionBaseLog(base_log), level: DecompositionLevelCount(level) };
            // Words whose difference with their rotated partner lies at ties of the decomposition.
            let mut poly = words;
            for (i, bit, d) in edges {
                let partner = (i + exponent as usize) % 64;
                poly[partner] = poly[i].wrapping_add(1 << bit).wrapping_add_signed(d);
            }
            let rotated = torus::multiply_by_monomial(&poly, exponent as usize);
            for kernel in Kernel::available() {
                let digits = kernel.run(Digits(&poly, exponent, Gadget::new(golden)));
                for i in 0..64 {
                    let expected = torus::decompose(rotated[i].wrapping_sub(poly[i]), golden);
                    for (level, &e) in expected.iter().enumerate() {
                        prop_assert_eq!(digits[level * 64 + i] as i64, e, "{} {} {}", kernel.name(), i, level);
                    }
                }
            }
        }
    }
}
