//! Random words: uniform masks, binary keys and encryption noise.
//!
//! Every function draws from the generator that the caller passes and nothing else, so that a seeded generator makes
//! a test repeatable. Anything that protects data passes a cryptographic generator seeded by the operating system.

use rand_core::CryptoRng;

/// A noise distribution, in units of the least significant bit of its modulus.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NoiseDistribution {
    /// The tail-less distribution of tfhe-rs: uniform on `[-2^b, 2^b]` with the two ends half as likely.
    TUniform {
        /// b
        bound_log2: u32,
    },
    /// A rounded Gaussian.
    Gaussian {
        /// Base-2 logarithm of the standard deviation.
        standard_deviation_log2: f64,
    },
}

impl NoiseDistribution {
    /// Draws one signed sample.
    pub fn sample(&self, rng: &mut impl CryptoRng) -> i64 {
        match *self {
            Self::TUniform { bound_log2 } => {
                // b + 2 random bits, halved with rounding up, give 0 ..= 2^(b+1) with half-weight ends.
                let bits = rng.next_u64() >> (62 - bound_log2);
                (bits.div_ceil(2) as i64) - (1 << bound_log2)
            }
            Self::Gaussian { standard_deviation_log2 } => {
                // Box-Muller on 53-bit uniforms; the first lies in (0, 1], so its logarithm is finite.
                let unit = |x: u64| ((x >> 11) + 1) as f64 / (1u64 << 53) as f64;
                let radius = (-2.0 * unit(rng.next_u64()).ln()).sqrt();
                let angle = std::f64::consts::TAU * unit(rng.next_u64());
                (radius * angle.cos() * standard_deviation_log2.exp2()).round() as i64
            }
        }
    }

    /// The variance, in squared units of the least significant bit.
    pub fn variance(&self) -> f64 {
        match *self {
            Self::TUniform { bound_log2 } => ((2.0 * bound_log2 as f64 + 1.0).exp2() + 1.0) / 6.0,
            Self::Gaussian { standard_deviation_log2 } => (2.0 * standard_deviation_log2).exp2(),
        }
    }
}

/// Fills a mask with uniform 64-bit words.
pub fn fill_uniform(words: &mut [u64], rng: &mut impl CryptoRng) {
    for word in words {
        *word = rng.next_u64();
    }
}

/// Draws `len` uniform bits, one a word.
pub fn binary(len: usize, rng: &mut impl CryptoRng) -> Vec<u64> {
    (0..len).map(|_| rng.next_u64() >> 63).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    #[test]
    fn tuniform_small_bound_has_half_weight_ends() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut count = [0u32; 5];
        let draws = 80_000;
        for _ in 0..draws {
            let x = NoiseDistribution::TUniform { bound_log2: 1 }.sample(&mut rng);
            count[usize::try_from(x + 2).unwrap()] += 1;
        }
        for (value, expected) in count.into_iter().zip([1, 2, 2, 2, 1]) {
            let expected = f64::from(expected) * f64::from(draws) / 8.0;
            assert!((f64::from(value) - expected).abs() < 6.0 * expected.sqrt(), "{count:?}");
        }
    }

    #[test]
    fn measured_variance_equals_stated_variance() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        for noise in [
            NoiseDistribution::TUniform { bound_log2: 17 },
            NoiseDistribution::TUniform { bound_log2: 0 },
            NoiseDistribution::Gaussian { standard_deviation_log2: 20.0 },
        ] {
            let draws = 100_000;
            let squares: f64 = (0..draws).map(|_| (noise.sample(&mut rng) as f64).powi(2)).sum();
            let ratio = squares / f64::from(draws) / noise.variance();
            assert!((0.97..1.03).contains(&ratio), "{noise:?}: {ratio}");
        }
    }
}
