//! Words mod 2^64: signed decomposition, modulus switching, extraction.

use glovebox_golden::params::{BootstrapParameters, Decomposition, ModulusSwitchKind};

/// A signed decomposition with its shifts worked out once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gadget {
    pub(crate) base_log: u32,
    pub(crate) level: usize,
}

impl Gadget {
    pub(crate) fn new(decomposition: Decomposition) -> Self {
        Self { base_log: decomposition.base_log.0, level: decomposition.level.0 }
    }

    /// Bits that the digits keep.
    pub(crate) fn bits(self) -> u32 {
        self.base_log * self.level as u32
    }

    /// The word rounded to its kept bits, as a signed integer in `[-2^(bits-1), 2^(bits-1)]`.
    ///
    /// A word that is rounded up to one half becomes negative; one half that needed no rounding up stays positive.
    #[inline(always)]
    pub(crate) fn state(self, x: u64) -> i64 {
        let shift = 63 - self.bits();
        let half = 1u64 << (self.bits() - 1);
        let shifted = x >> shift;
        let rounded = ((shifted + 1) >> 1) & (half << 1).wrapping_sub(1);
        let negative = rounded > half || (rounded == half && shifted & 1 == 1);
        rounded.wrapping_sub(u64::from(negative) << self.bits()) as i64
    }

    /// Takes the least significant digit off `state`.
    #[inline(always)]
    pub(crate) fn next_digit(self, state: &mut i64) -> i64 {
        let low = *state & ((1i64 << self.base_log) - 1);
        let rest = *state >> self.base_log;
        // low > B/2, or low == B/2 with the next digit's top bit set: bit (base_log - 1) of ((low - 1) | rest) & low.
        let carry = ((low.wrapping_sub(1) | rest) & low) >> (self.base_log - 1) & 1;
        *state = rest + carry;
        low - (carry << self.base_log)
    }
}

/// Rounds to the nearest multiple of `2^(64 - log2_modulus)`, halves upward.
pub(crate) fn round_to_modulus(x: u64, log2_modulus: u32) -> u64 {
    if log2_modulus >= 64 {
        return x;
    }
    let unit = 64 - log2_modulus;
    (((x >> (unit - 1)) + 1) >> 1) << unit
}

/// The exponent mod `2^bits` that a word is nearest to, halves upward.
#[inline(always)]
pub(crate) fn switch_word(x: u64, bits: u32) -> u32 {
    (x.wrapping_add(1 << (63 - bits)) >> (64 - bits)) as u32
}

/// The exponents of one blind rotation: n mask values, then the body, all in `[0, 2N)`.
pub(crate) fn modulus_switch(parameters: &BootstrapParameters, lwe: &[u64], exponents: &mut [u32]) {
    let bits = parameters.ring_degree.log2() + 1;
    let half = 1u64 << (63 - bits);
    for (e, &x) in exponents.iter_mut().zip(lwe) {
        *e = switch_word(x, bits);
    }
    if parameters.modulus_switch == ModulusSwitchKind::CenteredMean {
        // Errors are halved in the word that holds the ciphertext: 32-bit words for a key mod 2^32.
        let unit = if parameters.ks_modulus_log2 == 32 { 32 } else { 0 };
        let n = lwe.len() - 1;
        let (mut halves, mut lost) = (0i64, 0i64);
        for (&x, &e) in lwe[..n].iter().zip(exponents.iter()) {
            let error = ((u64::from(e) << (64 - bits)).wrapping_sub(x) as i64) >> unit;
            let truncated = error / 2;
            halves = halves.wrapping_add(truncated);
            lost += 2 * truncated - error;
        }
        let correction = ((halves.wrapping_sub(lost / 2) as u64) << unit).wrapping_sub(half);
        exponents[n] = switch_word(lwe[n].wrapping_add(correction), bits);
    }
}

/// Coefficient `index` of `accumulator * X^-body` as an LWE ciphertext: the last turn costs no pass of its own.
pub(crate) fn extract(accumulator: &[u64], degree: usize, body: u32, index: usize, output: &mut [u64]) {
    // Coefficient j of poly * X^-body is coefficient j + body of poly, negated once for every wrap.
    let at = |poly: &[u64], j: usize| {
        let position = j + body as usize;
        let c = poly[position & (degree - 1)];
        if position & degree == 0 { c } else { c.wrapping_neg() }
    };
    let masks = accumulator.len() / degree - 1;
    for (poly, out) in accumulator.chunks_exact(degree).zip(output.chunks_mut(degree)).take(masks) {
        for (j, o) in out.iter_mut().enumerate() {
            *o = if j <= index { at(poly, index - j) } else { at(poly, degree + index - j).wrapping_neg() };
        }
    }
    output[masks * degree] = at(&accumulator[masks * degree..], index);
}

#[cfg(test)]
mod tests {
    use super::*;
    use glovebox_golden::bootstrap::sample_extract;
    use glovebox_golden::cipher::GlweCiphertext;
    use glovebox_golden::params::{self, DecompositionBaseLog, DecompositionLevelCount};
    use glovebox_golden::torus;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_equal_golden(x: u64, base_log in 1u32..33, level_share in 0.0f64..1.0, edge in 0u32..3, d in -2i64..3) {
            let most = 63 / base_log as usize;
            let level = ((most as f64 * level_share) as usize + 1).min(most);
            let bits = base_log * level as u32;
            let x = match edge {
                0 => x,
                1 => (1u64 << 63).wrapping_add_signed(d),
                _ => ((x >> (63 - bits)) << (63 - bits)).wrapping_add_signed(d),
            };
            let golden = Decomposition {
                base_log: DecompositionBaseLog(base_log),
                level: DecompositionLevelCount(level),
            };
            let gadget = Gadget::new(golden);
            let mut state = gadget.state(x);
            let digits: Vec<i64> = (0..level).map(|_| gadget.next_digit(&mut state)).collect();
            prop_assert_eq!(digits, torus::decompose(x, golden));
        }

        #[test]
        fn rounding_and_switching_equal_golden(lwe in proptest::collection::vec(any::<u64>(), 25), set in 0usize..7) {
            let p = params::ALL[set].bootstrap;
            let lwe: Vec<u64> = lwe.into_iter().map(|x| torus::round_to_modulus(x, p.ks_modulus_log2)).collect();
            let golden = torus::modulus_switch(&lwe, &p);
            let mut ours = vec![0; lwe.len()];
            modulus_switch(&p, &lwe, &mut ours);
            prop_assert_eq!(golden.body, ours.pop().unwrap() as usize);
            prop_assert_eq!(golden.mask, ours.into_iter().map(|e| e as usize).collect::<Vec<_>>());
            for log2 in 1..=64 {
                prop_assert_eq!(round_to_modulus(lwe[0], log2), torus::round_to_modulus(lwe[0], log2));
            }
        }

        #[test]
        fn extraction_turns_and_extracts_as_golden(words in proptest::collection::vec(any::<u64>(), 24), body in 0u32..16, index in 0usize..8) {
            let turned: Vec<u64> = words.chunks(8).flat_map(|p| torus::multiply_by_monomial(p, 16 - body as usize)).collect();
            let golden = sample_extract(&GlweCiphertext::from_words(turned, 8), index).unwrap();
            let mut ours = vec![0; 17];
            extract(&words, 8, body, index, &mut ours);
            prop_assert_eq!(golden.words(), &ours[..]);
        }
    }
}
