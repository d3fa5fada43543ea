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
    let (head, tail) = poly.split_at(degree - shift);
    let (front, back) = poly.split_at(shift);
    if gadget.level == 1 && gadget.base_log <= SingleDigits::<S>::LARGEST_BASE_LOG {
        let mut quick = SingleDigits::new(s, gadget.base_log);
        quick.segment(s, tail, front, !turned_over, &mut digits[..shift]);
        quick.segment(s, head, back, turned_over, &mut digits[shift..degree]);
        if quick.are_right(s) {
            return;
        }
    }
    segment(s, tail, front, !turned_over, gadget, digits, stride);
    segment(s, head, back, turned_over, gadget, &mut digits[shift..], stride);
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
    all_digits(s, &rotated[..whole], &plain[..whole], negate, gadget, digits, stride);
    if whole < len {
        // The last vector overlaps the one before.
        let last = len - S::LANES;
        all_digits(s, &rotated[last..len], &plain[last..len], negate, gadget, &mut digits[last..], stride);
    }
}

/// [`Gadget::state`] of one level, which is its only digit, as a double: right unless it is the lowest one.
///
/// Rounded to the nearest multiple, halves upward, a word gives a digit in `[-B/2, B/2]`, whose two ends are the same mod B:
/// a word that was rounded up to B/2 has -B/2, and one that was rounded down to -B/2 has B/2. Here both have -B/2.
struct SingleDigits<S: Simd> {
    /// Half the unit of digits, so that cutting rounds, and 2^63, so that words are unsigned.
    offset: S::U,
    shift: u32,
    /// The bits of 2^52, in whose lowest place stands 1; and 2^52 with what makes digits signed.
    magic: S::U,
    magic_offset: S::F,
    /// The least upper halves of the words that were cut.
    least: S::U,
}

impl<S: Simd> SingleDigits<S> {
    /// A digit lies in the upper half of its word.
    const LARGEST_BASE_LOG: u32 = 32;

    #[inline(always)]
    fn new(s: S, base_log: u32) -> Self {
        let (magic, half) = (2f64.powi(52), 2f64.powi(base_log.cast_signed() - 1));
        Self {
            offset: s.splat_u((1 << 63) + (1 << (63 - base_log))),
            shift: 64 - base_log,
            magic: s.splat_u(magic.to_bits()),
            magic_offset: s.splat(magic + half),
            least: s.splat_u(!0),
        }
    }

    /// Digits of `+-rotated - plain`.
    #[inline(always)]
    fn segment(&mut self, s: S, rotated: &[u64], plain: &[u64], negate: bool, digits: &mut [f64]) {
        if negate {
            self.signed_segment::<true>(s, rotated, plain, digits);
        } else {
            self.signed_segment::<false>(s, rotated, plain, digits);
        }
    }

    #[inline(always)]
    fn signed_segment<const NEGATE: bool>(&mut self, s: S, rotated: &[u64], plain: &[u64], digits: &mut [f64]) {
        const AT_ONCE: usize = 4;
        let len = plain.len();
        if len < S::LANES {
            // One vector with zeros behind, which have no lowest digit.
            let (mut r, mut p, mut d) = ([0; 8], [0; 8], [0.0; 8]);
            r[..len].copy_from_slice(rotated);
            p[..len].copy_from_slice(plain);
            self.vector::<NEGATE>(s, &r, &p, &mut d, 0);
            digits.copy_from_slice(&d[..len]);
            return;
        }
        let bunch = AT_ONCE * S::LANES;
        let words = rotated.chunks_exact(bunch).zip(plain.chunks_exact(bunch));
        for ((r, p), d) in words.zip(digits.chunks_exact_mut(bunch)) {
            // Cut once more: the compiler loses the lengths on the way.
            let (r, p, d) = (&r[..bunch], &p[..bunch], &mut d[..bunch]);
            for v in 0..AT_ONCE {
                self.vector::<NEGATE>(s, r, p, d, v * S::LANES);
            }
        }
        for i in (len / bunch * bunch..len).step_by(S::LANES) {
            // The last vector may overlap the one before.
            self.vector::<NEGATE>(s, rotated, plain, digits, i.min(len - S::LANES));
        }
    }

    #[inline(always)]
    fn vector<const NEGATE: bool>(&mut self, s: S, rotated: &[u64], plain: &[u64], digits: &mut [f64], i: usize) {
        let (r, p) = (s.load_u(rotated, i), s.load_u(plain, i));
        let x = if NEGATE { s.sub_u(s.sub_u(self.offset, p), r) } else { s.add_u(s.sub_u(r, p), self.offset) };
        self.least = s.min_halves(self.least, x);
        let bits = s.or_u(s.shr_u(x, self.shift), self.magic);
        s.store(digits, i, s.sub(s.bits_to_f(bits), self.magic_offset));
    }

    /// Whether no digit was the lowest one.
    #[inline(always)]
    fn are_right(&self, s: S) -> bool {
        let mut lanes = [0; 8];
        s.store_u(&mut lanes, 0, self.least);
        lanes[..S::LANES].iter().all(|lane| lane >> self.shift > 0)
    }
}

/// Digits of whole vectors.
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
