//! The fast multiplication: double precision, the key mod 2^64.
//!
//! The transform of the key is computed in double-double precision and rounded once. What the roundings of the transforms
//! of the digits add to the output's noise, no more than tfhe-rs's floating-point bootstrap adds (`docs/cpu-engine.md`,
//! `tests/cpu_engine.rs`); the low bits differ from the exact engine's and between instruction sets.

use super::simd::{Kernel, Simd};
use super::spectral::{self, Part, SpectralKey, SpectralProduct, SpectralScratch};
use glovebox_golden::params::BootstrapParameters;

const TORUS: f64 = 18_446_744_073_709_551_616.0;

/// A bootstrapping key in the transform domain, in units of 2^64 * M, so that products leave the inverse transform as
/// fractions of the torus.
pub(crate) struct FloatKey(SpectralKey<1>);

impl FloatKey {
    pub(crate) fn new(parameters: &BootstrapParameters, standard: &[u64], kernel: Kernel) -> Option<Self> {
        if !spectral::supports(parameters, kernel) {
            return None;
        }
        let gain = 1.0 / (TORUS * (parameters.ring_degree.0 / 2) as f64);
        Some(Self(SpectralKey::new(parameters, standard, kernel, |c| [c.cast_signed()], gain)))
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    /// [`SpectralProduct::step`]; asks for AHEAD lines of the key for every part of the work.
    #[inline(always)]
    fn step_asking<S: Simd, const AHEAD: usize>(
        &self,
        s: S,
        index: usize,
        exponent: u32,
        accumulator: &mut [u64],
        scratch: &mut SpectralScratch,
    ) {
        let mut ahead = self.0.ahead::<AHEAD>(index);
        self.0.transform_digits(s, exponent, accumulator, Part::All, scratch, &mut ahead);
        for (column, poly) in accumulator.chunks_exact_mut(self.0.degree).enumerate() {
            self.0.multiply_back(
                s,
                (index, column),
                (scratch, &mut ahead),
                poly,
                #[inline(always)]
                || s.splat(TORUS),
                #[inline(always)]
                |torus, _, [x], c| {
                    let fraction = s.sub(x, s.round(x));
                    let product = s.to_int(s.mul(fraction, *torus));
                    s.add_u(c, product)
                },
            );
        }
    }
}

impl SpectralProduct for FloatKey {
    fn scratch(&self) -> SpectralScratch {
        self.0.scratch()
    }

    #[inline(always)]
    fn step<S: Simd>(
        &self,
        s: S,
        index: usize,
        exponent: u32,
        accumulator: &mut [u64],
        scratch: &mut SpectralScratch,
        first: bool,
    ) {
        // A step of the default set has 1024 lines, and 576 parts, or 256 with eight lanes.
        match (first, S::LANES) {
            (true, 8) => self.step_asking::<S, 4>(s, index, exponent, accumulator, scratch),
            (true, _) => self.step_asking::<S, 2>(s, index, exponent, accumulator, scratch),
            (false, _) => self.step_asking::<S, 0>(s, index, exponent, accumulator, scratch),
        }
    }
}
