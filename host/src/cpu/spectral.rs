//! Products of digits with a bootstrapping key by the transform in floating point: what `float` and `limbs` share.
//!
//! Every key polynomial is held as LIMBS spectra; a product of digits with a column of the key therefore has LIMBS
//! polynomials, which the caller puts together as they leave the last pass of the transform.

use super::digits::difference_digits;
use super::double;
use super::fft::{self, FftPlan};
use super::memory::{Ahead, AlignedVec};
use super::simd::{Blocks, Kernel, Simd, Task};
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
    /// The largest 2-norm of a limb of a polynomial.
    pub(crate) largest_norm: f64,
}

/// A bootstrapping key in the transform domain with its multiplication.
pub(crate) trait SpectralProduct {
    fn scratch(&self) -> SpectralScratch;

    /// `accumulator += BSK_index [*] (accumulator * X^exponent - accumulator)`. The first of the ciphertexts that go through
    /// the key together asks for its words.
    fn step<S: Simd>(
        &self,
        s: S,
        index: usize,
        exponent: u32,
        accumulator: &mut [u64],
        scratch: &mut SpectralScratch,
        first: bool,
    );
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
    /// Transforms a standard key. `integers` gives a coefficient's limbs; each is multiplied by `gain`, a power of two.
    pub(crate) fn new(
        parameters: &BootstrapParameters,
        standard: &[u64],
        kernel: Kernel,
        integers: impl Fn(u64) -> [i64; LIMBS],
        gain: f64,
    ) -> Self {
        let degree = parameters.ring_degree.0;
        let mut key = Self {
            spectra: AlignedVec::zeroed(LIMBS * standard.len()),
            plan: FftPlan::new(degree, kernel.lanes()),
            gadget: Gadget::new(parameters.pbs_decomposition()),
            degree,
            columns: parameters.glwe_dimension.0 + 1,
            largest_norm: 0.0,
        };
        key.largest_norm = kernel.run(Convert { key: &mut key, standard, integers, gain });
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

    /// The key from step `index` on, to be asked for during that step, LINES for every part of it.
    pub(crate) fn ahead<const LINES: usize>(&self, index: usize) -> Ahead<'_, f64, LINES> {
        Ahead::new(&self.spectra, index, self.ggsw_len())
    }

    /// Decomposes `accumulator * X^exponent - accumulator` and transforms a part of the digits.
    #[inline(always)]
    pub(crate) fn transform_digits<S: Simd, const AHEAD: usize>(
        &self,
        s: S,
        exponent: u32,
        accumulator: &[u64],
        part: Part,
        scratch: &mut SpectralScratch,
        ahead: &mut Ahead<'_, f64, AHEAD>,
    ) {
        let (degree, gadget, columns, rows) = (self.degree, self.gadget, self.columns, self.rows());
        let SpectralScratch { digits, work, spectra } = scratch;
        for (row, poly) in accumulator.chunks_exact(degree).enumerate() {
            let all = &mut digits[..];
            s.apart(
                #[inline(always)]
                move || difference_digits(s, poly, exponent, gadget, all, degree),
            );
            for (level, digits) in digits.chunks_exact_mut(degree).enumerate() {
                if part != Part::All {
                    let unit = f64::from(1u32 << self.low_bits());
                    for d in digits.iter_mut() {
                        let high = (*d / unit).round_ties_even();
                        *d = if part == Part::High { high } else { *d - high * unit };
                    }
                }
                let (plan, work, spectra) = (&self.plan, &mut work[..degree], &mut spectra[..]);
                let (places, before) = ((level * columns + row, rows), *ahead);
                *ahead = s.apart(
                    #[inline(always)]
                    move || {
                        let mut ahead = before;
                        fft::forward(
                            s,
                            plan,
                            digits,
                            work,
                            spectra,
                            places,
                            #[inline(always)]
                            || ahead.worked(s),
                        );
                        ahead
                    },
                );
            }
        }
    }

    /// Multiplies the transformed digits by a column of the key of step `index` and transforms back:
    /// `update(state, i, x, c)` gets coefficients i to i + LANES of every limb's product, and those of `poly`, and returns
    /// what is to stand in their place. Returns the state, which `start` makes.
    #[inline(always)]
    pub(crate) fn multiply_back<S: Simd, const AHEAD: usize, T>(
        &self,
        s: S,
        (index, column): (usize, usize),
        (scratch, ahead): (&mut SpectralScratch, &mut Ahead<'_, f64, AHEAD>),
        poly: &mut [u64],
        start: impl FnOnce() -> T,
        mut update: impl FnMut(&mut T, usize, [S::F; LIMBS], S::U) -> S::U,
    ) -> T {
        let (degree, rows, plan) = (self.degree, self.rows(), &self.plan);
        let SpectralScratch { work, spectra, .. } = scratch;
        let len = rows * LIMBS * degree;
        let key = &self.spectra[index * self.ggsw_len() + column * len..][..len];
        let all = &mut work[..];
        let before = *ahead;
        *ahead = if rows == 2 {
            s.apart(
                #[inline(always)]
                move || multiply_squares::<S, LIMBS, 2, AHEAD>(s, plan, spectra, key, all, rows, before),
            )
        } else {
            s.apart(
                #[inline(always)]
                move || multiply_squares::<S, LIMBS, 0, AHEAD>(s, plan, spectra, key, all, rows, before),
            )
        };
        for work in work.chunks_exact_mut(degree) {
            let before = *ahead;
            *ahead = s.apart(
                #[inline(always)]
                move || {
                    let mut ahead = before;
                    fft::inverse_passes(
                        s,
                        plan,
                        work,
                        #[inline(always)]
                        || ahead.worked(s),
                    );
                    ahead
                },
            );
        }
        let mut products: [&[f64]; LIMBS] = [&[]; LIMBS];
        for (product, work) in products.iter_mut().zip(work.chunks_exact(degree)) {
            *product = work;
        }
        let before = *ahead;
        let state;
        (state, *ahead) = s.apart(
            #[inline(always)]
            move || {
                let (mut state, mut ahead) = (start(), before);
                fft::update_words(
                    s,
                    products,
                    poly,
                    #[inline(always)]
                    |i, x, c| update(&mut state, i, x, c),
                    #[inline(always)]
                    || ahead.worked(s),
                );
                (state, ahead)
            },
        );
        state
    }
}

/// Products of the digits' squares with those of a column of the key, all limbs, and the first part of the way back. ROWS as
/// in [`Blocks::products`]. Returns what is still to be asked for.
#[inline(always)]
fn multiply_squares<'a, S: Simd, const LIMBS: usize, const ROWS: usize, const AHEAD: usize>(
    s: S,
    plan: &FftPlan,
    digits: &[f64],
    key: &[f64],
    work: &mut [f64],
    rows: usize,
    mut ahead: Ahead<'a, f64, AHEAD>,
) -> Ahead<'a, f64, AHEAD> {
    let (digits, key, mut work) = (Blocks::new::<S>(digits), Blocks::new::<S>(key), Blocks::new::<S>(work));
    let (squares, mut at) = (plan.squares(), 0);
    for (square, factors) in plan.square_factors::<S>().enumerate() {
        let mut to = square;
        for _ in 0..LIMBS {
            let mut x = digits.products::<S, _, ROWS>(s, square * rows, &key, at, rows);
            fft::inverse_square(
                s,
                factors,
                &mut x,
                #[inline(always)]
                || ahead.worked(s),
            );
            work.store(s, to, &x);
            ahead.worked(s);
            (at, to) = (at + rows, to + squares);
        }
    }
    ahead
}

struct Convert<'a, const LIMBS: usize, I> {
    key: &'a mut SpectralKey<LIMBS>,
    standard: &'a [u64],
    integers: I,
    gain: f64,
}

impl<const LIMBS: usize, I: Fn(u64) -> [i64; LIMBS]> Task for Convert<'_, LIMBS, I> {
    /// The largest norm.
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Self { key, standard, integers, gain } = self;
        let (columns, rows, size) = (key.columns, key.rows(), S::LANES * S::LANES);
        let squares = key.plan.squares();
        let spectra = &mut key.spectra;
        double::transform(
            s,
            &key.plan,
            standard,
            integers,
            gain,
            #[inline(always)]
            |limb, index, spectrum| {
                // Standard order is [n][row][column].
                let (ggsw, row, column) = (index / (rows * columns), index / columns % rows, index % columns);
                let mut points = spectrum.points();
                for square in 0..squares {
                    let block = ((ggsw * columns + column) * squares + square) * LIMBS + limb;
                    let (re, im) = spectra[(block * rows + row) * 2 * size..][..2 * size].split_at_mut(size);
                    for ((re, im), point) in re.iter_mut().zip(im).zip(&mut points) {
                        (*re, *im) = point;
                    }
                }
            },
        )
    }
}
