//! The fast multiplication: products in double precision.
//!
//! The key is the standard one mod 2^64, transformed in double-double precision and rounded to 53 bits. Rounding errors of
//! the transforms add to the output's noise, no more than tfhe-rs's floating-point bootstrap adds (`docs/cpu-engine.md`,
//! `tests/cpu_engine.rs`); the low bits differ from the exact engine's and between instruction sets.

use super::digits::difference_digits;
use super::double;
use super::fft::{self, FftPlan};
use super::memory::{Ahead, AlignedVec};
use super::simd::{Kernel, Simd, Task};
use super::torus::Gadget;
use glovebox_golden::params::BootstrapParameters;

/// A bootstrapping key in the transform domain, `[n][column][square][row][re LANES^2, im LANES^2]`, in units of 2^64 * M,
/// so that products leave the inverse transform as fractions of the torus.
pub(crate) struct FloatKey {
    spectra: AlignedVec<f64>,
    plan: FftPlan,
    gadget: Gadget,
    degree: usize,
    columns: usize,
}

/// Working memory of one step.
pub(crate) struct FloatScratch {
    /// Digits of one polynomial, then the points on the way back.
    work: AlignedVec<f64>,
    /// Transformed digits, `[row][N]`.
    spectra: AlignedVec<f64>,
}

impl FloatScratch {
    pub(crate) fn new(key: &FloatKey) -> Self {
        let levels = key.gadget.level * key.degree;
        Self { work: AlignedVec::zeroed(levels), spectra: AlignedVec::zeroed(levels * key.columns) }
    }
}

impl FloatKey {
    /// Whether the set has a transform with this kernel.
    pub(crate) fn supports(parameters: &BootstrapParameters, kernel: Kernel) -> bool {
        FftPlan::supports(parameters.ring_degree.0, kernel.lanes())
    }

    pub(crate) fn new(parameters: &BootstrapParameters, standard: &[u64], kernel: Kernel) -> Self {
        let degree = parameters.ring_degree.0;
        let mut key = Self {
            spectra: AlignedVec::zeroed(standard.len()),
            plan: FftPlan::new(degree, kernel.lanes()),
            gadget: Gadget::new(parameters.pbs_decomposition()),
            degree,
            columns: parameters.glwe_dimension.0 + 1,
        };
        kernel.run(Convert { key: &mut key, standard });
        key
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.spectra)
    }

    /// `accumulator += BSK_index [*] (accumulator * X^exponent - accumulator)`; with `prefetch`, asks for the key of the
    /// next index meanwhile.
    #[inline(always)]
    pub(crate) fn step<S: Simd>(
        &self,
        s: S,
        index: usize,
        exponent: u32,
        accumulator: &mut [u64],
        scratch: &mut FloatScratch,
        prefetch: bool,
    ) {
        let (degree, columns, levels) = (self.degree, self.columns, self.gadget.level);
        let (rows, size) = (levels * columns, S::LANES * S::LANES);
        let ggsw_len = rows * columns * degree;
        let ggsw = &self.spectra[index * ggsw_len..];
        let FloatScratch { work, spectra } = scratch;
        let units = (rows + columns) * self.plan.work();
        let ahead = Ahead::new(&self.spectra, index, ggsw_len, units, prefetch);
        for (row, poly) in accumulator.chunks_exact(degree).enumerate() {
            difference_digits(s, poly, exponent, self.gadget, work, degree);
            for (level, digits) in work.chunks_exact_mut(degree).enumerate() {
                let row = level * columns + row;
                let out = &mut spectra[row * degree..(row + 1) * degree];
                fft::forward(
                    s,
                    &self.plan,
                    digits,
                    out,
                    #[inline(always)]
                    |units| ahead.worked(s, units),
                );
            }
        }
        for (column, poly) in accumulator.chunks_exact_mut(degree).enumerate() {
            let key = &ggsw[column * rows * degree..];
            let work = &mut work[..degree];
            fft::inverse(
                s,
                &self.plan,
                #[inline(always)]
                |square: usize, re: &mut [S::F; 8], im: &mut [S::F; 8]| {
                    let key = &key[square * rows * 2 * size..];
                    for row in 0..rows {
                        let digits = &spectra[row * degree + square * 2 * size..][..2 * size];
                        let key = &key[row * 2 * size..][..2 * size];
                        for j in 0..S::LANES {
                            let (d, e) = (s.load(digits, j * S::LANES), s.load(digits, size + j * S::LANES));
                            let (k, l) = (s.load(key, j * S::LANES), s.load(key, size + j * S::LANES));
                            re[j] = s.fnma(e, l, s.fma(d, k, re[j]));
                            im[j] = s.fma(e, k, s.fma(d, l, im[j]));
                        }
                    }
                },
                work,
                #[inline(always)]
                |units| ahead.worked(s, units),
            );
            let torus = s.splat(18_446_744_073_709_551_616.0);
            for i in (0..degree).step_by(S::LANES) {
                let x = s.load(work, i);
                let fraction = s.sub(x, s.round(x));
                let product = s.to_int(s.mul(fraction, torus));
                s.store_u(poly, i, s.add_u(s.load_u(poly, i), product));
            }
        }
    }
}

struct Convert<'a> {
    key: &'a mut FloatKey,
    standard: &'a [u64],
}

impl Task for Convert<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { key, standard } = self;
        let (degree, columns, size) = (key.degree, key.columns, S::LANES * S::LANES);
        let rows = key.gadget.level * columns;
        let unit = 1.0 / (18_446_744_073_709_551_616.0 * key.plan.points() as f64);
        let spectra = &mut key.spectra;
        double::transform(
            s,
            &key.plan,
            standard,
            u64::cast_signed,
            unit,
            #[inline(always)]
            |index, position, re, im| {
                // Standard order is [n][row][column].
                let (ggsw, row, column) = (index / (rows * columns), index / columns % rows, index % columns);
                let start = (ggsw * columns + column) * rows * degree;
                let at = start + (position / size * rows + row) * 2 * size + position % size;
                spectra[at] = re;
                spectra[at + size] = im;
            },
        );
    }
}
