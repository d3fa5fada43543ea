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
    for i in (0..len / S::LANES * S::LANES).step_by(S::LANES) {
        vector(s, rotated, plain, negate, gadget, digits, stride, i);
    }
    if !len.is_multiple_of(S::LANES) {
        // The last vector overlaps the one before.
        vector(s, rotated, plain, negate, gadget, digits, stride, len - S::LANES);
    }
}

/// Digits of coefficients i .. i + LANES.
#[expect(clippy::too_many_arguments, reason = "the loop body of `segment`")]
#[inline(always)]
fn vector<S: Simd>(
    s: S,
    rotated: &[u64],
    plain: &[u64],
    negate: bool,
    gadget: Gadget,
    digits: &mut [f64],
    stride: usize,
    i: usize,
) {
    let (r, p) = (s.load_u(rotated, i), s.load_u(plain, i));
    let r = if negate { s.sub_u(s.splat_u(0), r) } else { r };
    let x = s.sub_u(r, p);
    if gadget.level == 1 {
        s.store(digits, i, s.small_int_to_f(single_digit(s, gadget.base_log, x)));
    } else {
        let mut state = vector_state(s, gadget.bits(), x);
        for level in 0..gadget.level {
            let digit = next_vector_digit(s, gadget.base_log, &mut state);
            s.store(digits, level * stride + i, s.small_int_to_f(digit));
        }
    }
}

/// [`Gadget::state`] of one level, which is its only digit.
#[inline(always)]
fn single_digit<S: Simd>(s: S, base_log: u32, x: S::U) -> S::U {
    let digit = s.sar_u(s.add_u(x, s.splat_u(1 << (63 - base_log))), 64 - base_log);
    // The word at exactly minus one half, and up to half a step above, gives plus one half.
    let least = s.splat_u(u64::MAX << base_log);
    s.select_equal(digit, s.splat_u(1 << (base_log - 1)), s.sar_u(x, 63 - base_log), least)
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
