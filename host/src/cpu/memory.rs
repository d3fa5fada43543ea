//! Key storage and prefetch. Keys are zeroed at first, aligned to a cache line or, when large, to a huge page that the system is asked for.
//!
//! A pass over a key touches tens of megabytes; with 4 KiB pages the address translation alone costs a third of the
//! bandwidth.

#![allow(unsafe_code)]

use super::simd::Simd;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

const CACHE_LINE: usize = 64;
const HUGE_PAGE: usize = 2 << 20;

/// Plain numbers: every bit pattern is a value, and zero bytes are the value zero.
pub(crate) trait Plain: Copy + Default + Send + Sync + 'static {}
impl Plain for u64 {}
impl Plain for f64 {}

/// A fixed-length array of `T` that starts at a cache line.
pub(crate) struct AlignedVec<T: Plain> {
    pointer: NonNull<T>,
    len: usize,
}

// SAFETY: the buffer is owned exclusively, like a Vec's, and T itself can move between threads.
unsafe impl<T: Plain> Send for AlignedVec<T> {}
// SAFETY: shared access only reads T, which is Sync.
unsafe impl<T: Plain> Sync for AlignedVec<T> {}

impl<T: Plain> AlignedVec<T> {
    fn layout(len: usize) -> Layout {
        let bytes = len * size_of::<T>();
        let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { CACHE_LINE };
        // A length that overflows isize cannot come from a key that exists in memory.
        Layout::from_size_align(bytes.max(CACHE_LINE).next_multiple_of(align), align)
            .unwrap_or(Layout::new::<[u8; CACHE_LINE]>())
    }

    /// `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        let layout = Self::layout(len);
        assert!(layout.size() >= len * size_of::<T>(), "allocation too large");
        // SAFETY: the layout's size is not zero.
        let raw = unsafe { alloc_zeroed(layout) };
        let Some(pointer) = NonNull::new(raw.cast::<T>()) else { handle_alloc_error(layout) };
        #[cfg(target_os = "linux")]
        if layout.align() == HUGE_PAGE {
            // SAFETY: the range is the whole allocation just made, page-aligned; the advice changes no contents. A
            // refusal only costs speed.
            unsafe { libc::madvise(raw.cast(), layout.size(), libc::MADV_HUGEPAGE) };
        }
        Self { pointer, len }
    }
}

impl<T: Plain> Drop for AlignedVec<T> {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this layout.
        unsafe { dealloc(self.pointer.as_ptr().cast(), Self::layout(self.len)) }
    }
}

impl<T: Plain> Deref for AlignedVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the allocation holds `len` initialised (zeroed) values that live as long as self.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.len) }
    }
}

impl<T: Plain> DerefMut for AlignedVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and self is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.len) }
    }
}

/// Asks for the key of the next step while this one computes, evenly: what memory can have under way at a time is small,
/// and bursts wait for it.
///
/// A step counts its work in units, one vector through one level of a transform.
pub(crate) struct Ahead<'a, T, const WANTED: bool> {
    words: Cell<&'a [T]>,
    /// Lines for a unit of work, in 2^-16.
    rate: u32,
    /// Lines due, in 2^-16.
    due: Cell<u32>,
}

impl<'a, T, const WANTED: bool> Ahead<'a, T, WANTED> {
    /// The words of step `index + 1` of a key with `step_len` words a step, or none unless WANTED; a step is `units` of work.
    pub(crate) fn new(key: &'a [T], index: usize, step_len: usize, units: usize) -> Self {
        let next = (index + 1) * step_len;
        let words = if WANTED { key.get(next..next + step_len) } else { None }.unwrap_or_default();
        let rate = ((size_of_val(words) / CACHE_LINE) << 16).div_ceil(units.max(1));
        Self { words: Cell::new(words), rate: rate as u32, due: Cell::new(0) }
    }

    /// Asks for the lines due after `units` of work.
    #[inline(always)]
    pub(crate) fn worked<S: Simd>(&self, s: S, units: usize) {
        if !WANTED {
            return;
        }
        let due = self.due.get() + self.rate * units as u32;
        if due >> 16 > 0 {
            let line = CACHE_LINE / size_of::<T>();
            let words = self.words.get();
            let (now, later) = words.split_at(((due >> 16) as usize * line).min(words.len()));
            for i in (0..now.len()).step_by(line) {
                s.prefetch(now, i);
            }
            self.words.set(later);
        }
        self.due.set(due & 0xFFFF);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_zeroed_aligned_and_writable() {
        for len in [0usize, 1, 7, 1 << 12, 1 << 19] {
            let mut v = AlignedVec::<u64>::zeroed(len);
            assert_eq!(v.len(), len);
            assert_eq!(v.as_ptr() as usize % CACHE_LINE, 0);
            assert!(v.iter().all(|&w| w == 0));
            v.iter_mut().enumerate().for_each(|(i, w)| *w = i as u64);
            assert!(v.iter().enumerate().all(|(i, &w)| w == i as u64));
        }
    }
}
