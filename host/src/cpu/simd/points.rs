//! Complex points that meet in a pass of a transform, with one bounds check for all of them.

#![allow(unsafe_code)]

use super::Simd;
use std::ops::{Deref, DerefMut};

/// A complex vector.
pub(crate) type Complex<S> = (<S as Simd>::F, <S as Simd>::F);

/// COUNT runs of points of equal length, one behind the other; point i of each run meets those of the others.
pub(crate) struct Points<T, const COUNT: usize> {
    re: T,
    im: T,
    run: usize,
}

impl<T: Deref<Target = [f64]>, const COUNT: usize> Points<T, COUNT> {
    /// The real and the imaginary parts, of the same length, a multiple of COUNT.
    #[inline(always)]
    pub(crate) fn new(re: T, im: T) -> Self {
        let run = re.len() / COUNT;
        assert!(re.len() == im.len() && run * COUNT == re.len(), "runs of different lengths");
        Self { re, im, run }
    }

    /// Points i to i + LANES of every run.
    #[inline(always)]
    pub(crate) fn load<S: Simd>(&self, s: S, i: usize) -> [Complex<S>; COUNT] {
        assert!(i < self.run && self.run - i >= S::LANES, "point out of range");
        let zero = s.splat(0.0);
        let mut points = [(zero, zero); COUNT];
        for (j, point) in points.iter_mut().enumerate() {
            let at = j * self.run + i;
            // SAFETY: at + LANES <= (j + 1) * run <= COUNT * run, the length of both parts, as `new` and the assertion saw.
            *point = unsafe { (s.load_at(self.re.as_ptr().add(at)), s.load_at(self.im.as_ptr().add(at))) };
        }
        points
    }

    /// The inverse of `load`.
    #[inline(always)]
    pub(crate) fn store<S: Simd>(&mut self, s: S, i: usize, points: [Complex<S>; COUNT])
    where
        T: DerefMut,
    {
        assert!(i < self.run && self.run - i >= S::LANES, "point out of range");
        for (j, (re, im)) in points.into_iter().enumerate() {
            let at = j * self.run + i;
            // SAFETY: as in `load`.
            unsafe {
                s.store_at(self.re.as_mut_ptr().add(at), re);
                s.store_at(self.im.as_mut_ptr().add(at), im);
            }
        }
    }
}
