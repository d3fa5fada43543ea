//! Products of digits with a bootstrapping key by the transform in floating point: what `float` and `limbs` share.
//!
//! Every key polynomial is held as LIMBS spectra; a product of digits with a column of the key therefore has LIMBS
//! polynomials, which the caller puts together as they leave the last pass of the transform.

use super::digits::difference_digits;
use super::double;
use super::fft::{self, FftPlan};
use super::memory::{Ahead, AlignedVec};
use super::simd::{Kernel, Simd, Task};
use super::torus::Gadget;
use glovebox_golden::params::BootstrapParameters;

/// A bootstrapping key in the transform domain, `[n][column][square][limb][row][re LANES^2, im LANES^2]`: the order in which
/// a step reads it.
pub(crate) struct SpectralKey<const LIMBS: usize> {
    spectra: AlignedVec<f64>,
    pub(crate) plan: FftPlan,
    pub(crate) gadget: Gadget,
    pub(crate) degree: usize,
    pub(crate) columns: usize,
}

/// Working memory of one step.
pub(crate) struct SpectralScratch {
    /// Digits of one row, `[level][N]`.
    digits: AlignedVec<f64>,
    /// Points of one row, then those of one column's products, `[limb][N]`.
    work: AlignedVec<f64>,
    /// Transformed digits, `[square][row][re LANES^2, im LANES^2]`.
    spectra: AlignedVec<f64>,
}

/// A part of a digit `d = low + high * 2^w`, `w = SpectralKey::low_bits`, `|low| <= 2^(w-1)`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    Low,
    High,
}

/// Whether a set has a transform with this kernel.
pub(crate) fn supports(parameters: &BootstrapParameters, kernel: Kernel) -> bool {
    FftPlan::supports(parameters.ring_degree.0, kernel.lanes())
}

impl<const LIMBS: usize> SpectralKey<LIMBS> {
    /// Transforms a standard key. `integer` gives a coefficient's limb; each is multiplied by `gain`, a power of two.
    pub(crate) fn new(
        parameters: &BootstrapParameters,
        standard: &[u64],
        kernel: Kernel,
        integer: impl Fn(usize, u64) -> i64,
        gain: f64,
    ) -> Self {
        let degree = parameters.ring_degree.0;
        let mut key = Self {
            spectra: AlignedVec::zeroed(LIMBS * standard.len()),
            plan: FftPlan::new(degree, kernel.lanes()),
            gadget: Gadget::new(parameters.pbs_decomposition()),
            degree,
            columns: parameters.glwe_dimension.0 + 1,
        };
        for limb in 0..LIMBS {
            kernel.run(Convert { key: &mut key, standard, limb, integer: |c| integer(limb, c), gain });
        }
        key
    }

    pub(crate) fn scratch(&self) -> SpectralScratch {
        SpectralScratch {
            digits: AlignedVec::zeroed(self.gadget.level * self.degree),
            work: AlignedVec::zeroed(LIMBS * self.degree),
            spectra: AlignedVec::zeroed(self.rows() * self.degree),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.spectra)
    }

    /// Rows of a GGSW ciphertext: levels times columns.
    pub(crate) fn rows(&self) -> usize {
        self.gadget.level * self.columns
    }

    /// Bits of [`Part::Low`].
    pub(crate) fn low_bits(&self) -> u32 {
        self.gadget.base_log.div_ceil(2)
    }

    fn ggsw_len(&self) -> usize {
        self.rows() * self.columns * LIMBS * self.degree
    }

    /// The key of the step after `index`, to be asked for during that step if WANTED.
    pub(crate) fn ahead<const WANTED: bool>(&self, index: usize) -> Ahead<'_, f64, WANTED> {
        let units = (self.rows() + self.columns * LIMBS) * self.plan.work();
        Ahead::new(&self.spectra, index, self.ggsw_len(), units)
    }

    /// Decomposes `accumulator * X^exponent - accumulator` and transforms a part of the digits.
    #[inline(always)]
    pub(crate) fn transform_digits<S: Simd, const AHEAD: bool>(
        &self,
        s: S,
        exponent: u32,
        accumulator: &[u64],
        part: Part,
        scratch: &mut SpectralScratch,
        ahead: &Ahead<'_, f64, AHEAD>,
    ) {
        let (degree, columns, rows) = (self.degree, self.columns, self.rows());
        let SpectralScratch { digits, work, spectra } = scratch;
        for (row, poly) in accumulator.chunks_exact(degree).enumerate() {
            difference_digits(s, poly, exponent, self.gadget, digits, degree);
            for (level, digits) in digits.chunks_exact_mut(degree).enumerate() {
                if part != Part::All {
                    let unit = f64::from(1u32 << self.low_bits());
                    for d in digits.iter_mut() {
                        let high = (*d / unit).round_ties_even();
                        *d = if part == Part::High { high } else { *d - high * unit };
                    }
                }
                let row = level * columns + row;
                fft::forward(
                    s,
                    &self.plan,
                    digits,
                    &mut work[..degree],
                    spectra,
                    (row, rows),
                    #[inline(always)]
                    |units| ahead.worked(s, units),
                );
            }
        }
    }

    /// Multiplies the transformed digits by a column of the key of step `index` and transforms back: `update(i, x, c)` gets coefficients i
    /// to i + LANES of every limb's product, and those of `poly`, and returns what is to stand in their place.
    #[inline(always)]
    pub(crate) fn multiply_back<S: Simd, const AHEAD: bool>(
        &self,
        s: S,
        (index, column): (usize, usize),
        scratch: &mut SpectralScratch,
        ahead: &Ahead<'_, f64, AHEAD>,
        poly: &mut [u64],
        update: impl FnMut(usize, [S::F; LIMBS], S::U) -> S::U,
    ) {
        let (degree, rows, size) = (self.degree, self.rows(), S::LANES * S::LANES);
        let SpectralScratch { work, spectra, .. } = scratch;
        let start = index * self.ggsw_len() + column * rows * LIMBS * degree;
        let key = &self.spectra[start..start + rows * LIMBS * degree];
        let square_work = 2 * S::LANES * S::LANES.ilog2() as usize;
        let len = rows * 2 * size;
        for square in 0..self.plan.squares() {
            let factors = self.plan.square_factors(square, S::LANES);
            let digits = &spectra[square * len..][..len];
            for limb in 0..LIMBS {
                let key = &key[(square * LIMBS + limb) * len..][..len];
                let (mut re, mut im) = ([s.splat(0.0); 8], [s.splat(0.0); 8]);
                for row in 0..rows {
                    let (digits, key) = (&digits[row * 2 * size..][..2 * size], &key[row * 2 * size..][..2 * size]);
                    for j in 0..S::LANES {
                        let (d, e) = (s.load(digits, j * S::LANES), s.load(digits, size + j * S::LANES));
                        let (k, l) = (s.load(key, j * S::LANES), s.load(key, size + j * S::LANES));
                        if row == 0 {
                            (re[j], im[j]) = (s.mul(d, k), s.mul(d, l));
                        } else {
                            (re[j], im[j]) = (s.fma(d, k, re[j]), s.fma(d, l, im[j]));
                        }
                        (re[j], im[j]) = (s.fnma(e, l, re[j]), s.fma(e, k, im[j]));
                    }
                }
                let block = &mut work[limb * degree + square * 2 * size..][..2 * size];
                fft::inverse_square(s, factors, &mut re, &mut im, block);
                ahead.worked(s, square_work);
            }
        }
        for work in work.chunks_exact_mut(degree) {
            fft::inverse_passes(
                s,
                &self.plan,
                work,
                #[inline(always)]
                |units| ahead.worked(s, units),
            );
        }
        let mut products: [&[f64]; LIMBS] = [&[]; LIMBS];
        for (product, work) in products.iter_mut().zip(work.chunks_exact(degree)) {
            *product = work;
        }
        fft::inverse_last(
            s,
            &self.plan,
            products,
            poly,
            update,
            #[inline(always)]
            |units| ahead.worked(s, units),
        );
    }
}

struct Convert<'a, const LIMBS: usize, I> {
    key: &'a mut SpectralKey<LIMBS>,
    standard: &'a [u64],
    limb: usize,
    integer: I,
    gain: f64,
}

impl<const LIMBS: usize, I: Fn(u64) -> i64> Task for Convert<'_, LIMBS, I> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { key, standard, limb, integer, gain } = self;
        let (degree, columns, size) = (key.degree, key.columns, S::LANES * S::LANES);
        let (rows, squares) = (key.rows(), key.plan.squares());
        let spectra = &mut key.spectra;
        double::transform(
            s,
            &key.plan,
            standard,
            integer,
            gain,
            #[inline(always)]
            |index, position, re, im| {
                // Standard order is [n][row][column].
                let (ggsw, row, column) = (index / (rows * columns), index / columns % rows, index % columns);
                let block = ((ggsw * columns + column) * squares + position / size) * LIMBS + limb;
                let at = (block * rows + row) * 2 * size + position % size;
                spectra[at] = re;
                spectra[at + size] = im;
            },
        );
        debug_assert_eq!(degree, squares * 2 * size);
    }
}
