//! Complex points that meet in a pass of a transform, with one bounds check for all of them.

#![allow(unsafe_code)]

use super::Simd;
use std::ops::{Deref, DerefMut};

/// A complex vector.
pub(crate) type Complex<S> = (<S as Simd>::F, <S as Simd>::F);

/// COUNT runs of points; point i of each meets those of the others. Part 0 of a point is real, part 1 imaginary.
///
/// - Natural order: the real parts of all runs, one behind the other, then the imaginary parts.
/// - Blocked order: run by run; each is blocks of LANES^2 real parts and the LANES^2 imaginary parts that belong to them.
///   Index i addresses a real part.
pub(crate) struct Points<T, const COUNT: usize> {
    x: T,
    /// From a point to that of the next run.
    run: usize,
    /// From a real part to its imaginary part.
    part: usize,
    /// Largest index; `last + (COUNT - 1) * run + part + LANES` is the length of `x`.
    last: usize,
}

impl<E, T: Deref<Target = [E]>, const COUNT: usize> Points<T, COUNT> {
    #[inline(always)]
    pub(crate) fn natural<S: Simd>(x: T) -> Self {
        let run = x.len() / (2 * COUNT);
        assert!(COUNT > 0 && run * 2 * COUNT == x.len() && run >= S::LANES, "no {COUNT} runs of vectors");
        Self { x, run, part: COUNT * run, last: run - S::LANES }
    }

    #[inline(always)]
    pub(crate) fn blocked<S: Simd>(x: T) -> Self {
        let (run, part) = (x.len() / COUNT, S::LANES * S::LANES);
        assert!(COUNT > 0 && run * COUNT == x.len() && run >= 2 * part, "no {COUNT} runs of blocks");
        Self { x, run, part, last: run - part - S::LANES }
    }
}

impl<T: Deref<Target = [f64]>, const COUNT: usize> Points<T, COUNT> {
    /// The points at i of every run.
    #[inline(always)]
    pub(crate) fn load<S: Simd>(&self, s: S, i: usize) -> [Complex<S>; COUNT] {
        assert!(i <= self.last, "point out of range");
        let zero = s.splat(0.0);
        let mut points = [(zero, zero); COUNT];
        for (j, point) in points.iter_mut().enumerate() {
            let at = j * self.run + i;
            // SAFETY: the constructors give `last` so that the last vector ends with the slice.
            *point = unsafe { (s.load_at(self.x.as_ptr().add(at)), s.load_at(self.x.as_ptr().add(at + self.part))) };
        }
        points
    }

    /// The inverse of `load`.
    #[inline(always)]
    pub(crate) fn store<S: Simd>(&mut self, s: S, i: usize, points: [Complex<S>; COUNT])
    where
        T: DerefMut,
    {
        assert!(i <= self.last, "point out of range");
        for (j, (re, im)) in points.into_iter().enumerate() {
            let at = j * self.run + i;
            // SAFETY: as in `load`.
            unsafe {
                s.store_at(self.x.as_mut_ptr().add(at), re);
                s.store_at(self.x.as_mut_ptr().add(at + self.part), im);
            }
        }
    }
}

impl<const COUNT: usize> Points<&mut [u64], COUNT> {
    /// Puts `f` of the words at i of one part of a run in their place.
    #[inline(always)]
    pub(crate) fn update<S: Simd>(&mut self, s: S, run: usize, part: usize, i: usize, f: impl FnOnce(S::U) -> S::U) {
        assert!(i <= self.last && run < COUNT && part < 2, "point out of range");
        let at = run * self.run + part * self.part + i;
        // SAFETY: as in `load`; a u64 and an f64 have the same size.
        unsafe {
            let x = self.x.as_mut_ptr().add(at);
            s.store_u_at(x, f(s.load_u_at(x)));
        }
    }
}
