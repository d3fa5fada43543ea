//! Complex points of a transform in memory, with one bounds check for all that is done with a block of them.

#![allow(unsafe_code)]

use super::Simd;
use std::ops::{Deref, DerefMut};

/// A complex vector.
pub(crate) type Complex<S> = (<S as Simd>::F, <S as Simd>::F);

/// The first LANES of these are a square of points.
pub(crate) type Square<S> = ([<S as Simd>::F; 8], [<S as Simd>::F; 8]);

/// COUNT runs of points; a point of each meets those at its place in the others. A run is blocks of LANES vectors.
///
/// - NATURAL order: the real parts of all runs, one behind the other, then the imaginary parts.
/// - Else blocked order: run by run, block by block, the LANES^2 real parts of a block before its imaginary parts.
pub(crate) struct Points<T, const COUNT: usize, const NATURAL: bool> {
    x: T,
    /// From a point to that of the next run.
    run: usize,
    /// From a real part to its imaginary part.
    part: usize,
    /// Blocks of a run: `blocks * COUNT * 2 LANES^2` is the length of `x`.
    blocks: usize,
}

impl<E, T: Deref<Target = [E]>, const COUNT: usize, const NATURAL: bool> Points<T, COUNT, NATURAL> {
    #[inline(always)]
    pub(crate) fn new<S: Simd>(x: T) -> Self {
        let size = S::LANES * S::LANES;
        let blocks = x.len() / (2 * size * COUNT);
        assert!(COUNT > 0 && blocks * (2 * size * COUNT) == x.len(), "no {COUNT} runs of blocks");
        let (run, part) = if NATURAL { (blocks * size, COUNT * blocks * size) } else { (2 * blocks * size, size) };
        Self { x, run, part, blocks }
    }

    /// Blocks of a run.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// The index of a vector of real parts in the first run.
    #[inline(always)]
    fn at<S: Simd>(&self, block: usize, vector: usize) -> usize {
        assert!(block < self.blocks && vector < S::LANES, "point out of range");
        let size = S::LANES * S::LANES;
        block * if NATURAL { size } else { 2 * size } + vector * S::LANES
    }
}

impl<T: Deref<Target = [f64]>, const COUNT: usize, const NATURAL: bool> Points<T, COUNT, NATURAL> {
    /// The points at a vector of a block of every run.
    #[inline(always)]
    pub(crate) fn load<S: Simd>(&self, s: S, block: usize, vector: usize) -> [Complex<S>; COUNT] {
        let at = self.at::<S>(block, vector);
        let zero = s.splat(0.0);
        let mut points = [(zero, zero); COUNT];
        for (j, point) in points.iter_mut().enumerate() {
            // SAFETY: `at` is within the first run's blocks; in every order all runs and parts have as many, which `new`
            // has seen to be in the slice.
            *point = unsafe {
                let x = self.x.as_ptr().add(j * self.run + at);
                (s.load_at(x), s.load_at(x.add(self.part)))
            };
        }
        points
    }

    /// The inverse of `load`.
    #[inline(always)]
    pub(crate) fn store<S: Simd>(&mut self, s: S, block: usize, vector: usize, points: [Complex<S>; COUNT])
    where
        T: DerefMut,
    {
        let at = self.at::<S>(block, vector);
        for (j, (re, im)) in points.into_iter().enumerate() {
            // SAFETY: as in `load`.
            unsafe {
                let x = self.x.as_mut_ptr().add(j * self.run + at);
                s.store_at(x, re);
                s.store_at(x.add(self.part), im);
            }
        }
    }
}

impl<T: Deref<Target = [f64]>> Points<T, 1, false> {
    /// The real (0) or imaginary (1) parts at a vector of a block.
    #[inline(always)]
    pub(crate) fn load_part<S: Simd>(&self, s: S, block: usize, vector: usize, part: usize) -> S::F {
        let i = part * self.part + self.at::<S>(block, vector);
        assert!(part < 2, "part out of range");
        // SAFETY: as in `load`.
        unsafe { s.load_at(self.x.as_ptr().add(i)) }
    }
}

impl Points<&mut [u64], 1, true> {
    /// Puts `f(i, c)` in place of the words c of real (0) or imaginary (1) parts at a vector of a block; i is the index of
    /// the first of them.
    #[inline(always)]
    pub(crate) fn update<S: Simd>(
        &mut self,
        s: S,
        (block, vector): (usize, usize),
        part: usize,
        f: impl FnOnce(usize, S::U) -> S::U,
    ) {
        let i = part * self.part + self.at::<S>(block, vector);
        assert!(part < 2, "part out of range");
        // SAFETY: as in `load`; a u64 and an f64 have the same size.
        unsafe {
            let x = self.x.as_mut_ptr().add(i);
            s.store_u_at(x, f(i, s.load_u_at(x)));
        }
    }
}

/// Squares of points: LANES^2 real parts and the imaginary parts that belong to them, one square behind the other.
pub(crate) struct Blocks<T> {
    x: T,
    count: usize,
}

impl<T: Deref<Target = [f64]>> Blocks<T> {
    #[inline(always)]
    pub(crate) fn new<S: Simd>(x: T) -> Self {
        let count = x.len() / (2 * S::LANES * S::LANES);
        Self { x, count }
    }

    #[inline(always)]
    pub(crate) fn load<S: Simd>(&self, s: S, square: usize) -> Square<S> {
        assert!(square < self.count, "square out of range");
        let size = S::LANES * S::LANES;
        let (mut re, mut im) = ([s.splat(0.0); 8], [s.splat(0.0); 8]);
        for j in 0..S::LANES {
            // SAFETY: `new` has counted the squares of the slice.
            unsafe {
                let x = self.x.as_ptr().add(2 * size * square + j * S::LANES);
                (re[j], im[j]) = (s.load_at(x), s.load_at(x.add(size)));
            }
        }
        (re, im)
    }

    #[inline(always)]
    pub(crate) fn store<S: Simd>(&mut self, s: S, square: usize, (re, im): &Square<S>)
    where
        T: DerefMut,
    {
        assert!(square < self.count, "square out of range");
        let size = S::LANES * S::LANES;
        for j in 0..S::LANES {
            // SAFETY: as in `load`.
            unsafe {
                let x = self.x.as_mut_ptr().add(2 * size * square + j * S::LANES);
                s.store_at(x, re[j]);
                s.store_at(x.add(size), im[j]);
            }
        }
    }

    /// `sum over r below rows of self[first + r] * other[other_first + r]`, point by point. ROWS is their number, or 0 for
    /// any: known, they need no loop.
    #[inline(always)]
    pub(crate) fn products<S: Simd, U: Deref<Target = [f64]>, const ROWS: usize>(
        &self,
        s: S,
        first: usize,
        other: &Blocks<U>,
        other_first: usize,
        rows: usize,
    ) -> Square<S> {
        let rows = if ROWS == 0 { rows } else { ROWS };
        let (end, other_end) = (first.saturating_add(rows), other_first.saturating_add(rows));
        assert!(rows > 0 && end <= self.count && other_end <= other.count, "squares out of range");
        let step = 2 * S::LANES * S::LANES;
        let (mut re, mut im) = ([s.splat(0.0); 8], [s.splat(0.0); 8]);
        // SAFETY: `new` has counted the squares of both slices.
        unsafe {
            let (a, b) = (self.x.as_ptr().add(step * first), other.x.as_ptr().add(step * other_first));
            add_products::<S, true>(s, a, b, &mut re, &mut im);
            for row in 1..rows {
                add_products::<S, false>(s, a.add(row * step), b.add(row * step), &mut re, &mut im);
            }
        }
        (re, im)
    }
}

/// Adds the products of two squares to `re` and `im`, or puts them there if FIRST.
///
/// # Safety
/// Both squares must be readable.
#[inline(always)]
unsafe fn add_products<S: Simd, const FIRST: bool>(
    s: S,
    a: *const f64,
    b: *const f64,
    re: &mut [S::F; 8],
    im: &mut [S::F; 8],
) {
    let size = S::LANES * S::LANES;
    for j in 0..S::LANES {
        // SAFETY: within the squares, which are `2 * size` long.
        let [a_re, a_im, b_re, b_im] = unsafe {
            let (a, b) = (a.add(j * S::LANES), b.add(j * S::LANES));
            [s.load_at(a), s.load_at(a.add(size)), s.load_at(b), s.load_at(b.add(size))]
        };
        if FIRST {
            (re[j], im[j]) = (s.mul(a_re, b_re), s.mul(a_re, b_im));
        } else {
            (re[j], im[j]) = (s.fma(a_re, b_re, re[j]), s.fma(a_re, b_im, im[j]));
        }
        (re[j], im[j]) = (s.fnma(a_im, b_im, re[j]), s.fma(a_im, b_re, im[j]));
    }
    s.settle(re, im);
}
