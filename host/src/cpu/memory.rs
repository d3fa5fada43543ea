//! Key storage and prefetch. Keys are zeroed at first, aligned to a cache line or, when large, to a huge page that the system is asked for.
//!
//! A pass over a key touches tens of megabytes; with 4 KiB pages the address translation alone costs a third of the
//! bandwidth.

#![allow(unsafe_code)]

use super::simd::Simd;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
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
        let raw = unsafe { alloc(layout) };
        let Some(pointer) = NonNull::new(raw.cast::<T>()) else { handle_alloc_error(layout) };
        #[cfg(target_os = "linux")]
        if layout.align() == HUGE_PAGE {
            // Ahead of the first write, which gives the memory its pages.
            // SAFETY: the range is the whole allocation just made, page-aligned; the advice changes no contents. A
            // refusal only costs speed.
            unsafe { libc::madvise(raw.cast(), layout.size(), libc::MADV_HUGEPAGE) };
        }
        // SAFETY: the allocation has that size.
        unsafe { raw.write_bytes(0, layout.size()) };
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

/// Where a step asks for the key: processors fetch ahead by themselves within a page, each page a few lines far. So four
/// places have as much under way again as one, and more than the requests that the first-level cache can wait for.
const STREAMS: usize = 4;

/// Asks for the key words of the next step while one computes, evenly: what memory can have under way at a time is small, and
/// bursts wait for it. A step asks for all that the next one uses, a quarter in each of [`STREAMS`].
///
/// LINES are asked for at a call, without a loop or a check; none if 0.
#[derive(Clone, Copy)]
pub(crate) struct Ahead<'a, T, const LINES: usize> {
    key: &'a [T],
    /// Indices of the first words to ask for, by turns; they may be beyond the key, whose neighbours are asked for in vain then.
    next: [usize; STREAMS],
}

impl<'a, T, const LINES: usize> Ahead<'a, T, LINES> {
    /// For step `index` of a key with `step_len` words a step.
    pub(crate) fn new(key: &'a [T], index: usize, step_len: usize) -> Self {
        Self { key, next: std::array::from_fn(|i| (index + 1) * step_len + i * step_len / STREAMS) }
    }

    /// Asks for the lines due after a part of the work.
    #[inline(always)]
    pub(crate) fn worked<S: Simd>(&mut self, s: S) {
        let line = CACHE_LINE / size_of::<T>();
        let [now, b, c, d] = self.next;
        for i in 0..LINES {
            s.prefetch(self.key, now + i * line);
        }
        self.next = [b, c, d, now + LINES * line];
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
