//! Four lanes in plain Rust: runs everywhere, and is the reference for the others.

#![allow(unsafe_code)]

use super::{Simd, Task};
use std::convert::Infallible;

/// No instruction set beyond the target's baseline.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn map2<T: Copy>(a: [T; 4], b: [T; 4], f: impl Fn(T, T) -> T) -> [T; 4] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

#[inline(always)]
fn transpose4<T: Copy>(rows: &mut [[T; 4]; 8]) {
    let old = *rows;
    for i in 0..4 {
        for j in 0..4 {
            rows[i][j] = old[j][i];
        }
    }
}

/// [`Simd::madd16`] in plain Rust.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
pub(crate) fn plain_madd16(c: [u64; 4], a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    let half = |x: u64, at: usize| i32::from((x >> (16 * at)) as i16);
    let sum = |i: usize, at: usize| half(a[i], at) * half(b[i], at) + half(a[i], at + 1) * half(b[i], at + 1);
    let lane = |c: u64, sum: i32| u64::from((c as u32).wrapping_add(sum.cast_unsigned()));
    std::array::from_fn(|i| lane(c[i], sum(i, 0)) | lane(c[i] >> 32, sum(i, 2)) << 32)
}

/// The same for half a vector, with the instruction that compilers do not find by themselves.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
#[inline(always)]
fn baseline_madd16(c: [u64; 2], a: [u64; 2], b: [u64; 2]) -> [u64; 2] {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 belongs to every x86-64 processor.
    unsafe {
        let a = _mm_set_epi64x(a[1].cast_signed(), a[0].cast_signed());
        let b = _mm_set_epi64x(b[1].cast_signed(), b[0].cast_signed());
        let c = _mm_set_epi64x(c[1].cast_signed(), c[0].cast_signed());
        let sums = _mm_add_epi32(c, _mm_madd_epi16(a, b));
        [_mm_cvtsi128_si64(sums).cast_unsigned(), _mm_cvtsi128_si64(_mm_unpackhi_epi64(sums, sums)).cast_unsigned()]
    }
}

impl Simd for Portable {
    const LANES: usize = 4;
    const SHIFTS_SIGNED: bool = true;
    const COMPARES_UNSIGNED: bool = true;
    type F = [f64; 4];
    type U = [u64; 4];
    type Fuses = Infallible;

    #[inline(always)]
    fn run<T: Task>(self, task: T) -> T::Output {
        task.run(self)
    }
    #[inline(never)]
    fn apart<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }

    #[inline(always)]
    fn splat(self, x: f64) -> Self::F {
        [x; 4]
    }
    #[inline(always)]
    fn load(self, x: &[f64], i: usize) -> Self::F {
        let x = &x[i..i + 4];
        [x[0], x[1], x[2], x[3]]
    }
    #[inline(always)]
    fn store(self, x: &mut [f64], i: usize, v: Self::F) {
        x[i..i + 4].copy_from_slice(&v);
    }
    #[inline(always)]
    unsafe fn load_at(self, x: *const f64) -> Self::F {
        // SAFETY: the caller's.
        unsafe { x.cast::<[f64; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn store_at(self, x: *mut f64, v: Self::F) {
        // SAFETY: the caller's.
        unsafe { x.cast::<[f64; 4]>().write(v) }
    }
    #[inline(always)]
    unsafe fn load_u_at(self, x: *const u64) -> Self::U {
        // SAFETY: the caller's.
        unsafe { x.cast::<[u64; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn store_u_at(self, x: *mut u64, v: Self::U) {
        // SAFETY: the caller's.
        unsafe { x.cast::<[u64; 4]>().write(v) }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        map2(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        map2(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // Without hardware support a fused product is a slow library call.
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        self.sub(c, self.mul(a, b))
    }
    #[inline(always)]
    fn exact_product(self, a: Self::F, b: Self::F) -> (Self::F, Self::F) {
        // Without fused products: halves of 26 bits (Dekker, Numerische Mathematik 18, 1971).
        let halves = |x: [f64; 4]| {
            let high = x.map(|x| {
                let wide = x * 134_217_729.0;
                wide - (wide - x)
            });
            (high, self.sub(x, high))
        };
        let (product, (a_high, a_low), (b_high, b_low)) = (self.mul(a, b), halves(a), halves(b));
        let error = self.sub(self.mul(a_high, b_high), product);
        let error = self.add(self.add(error, self.mul(a_high, b_low)), self.mul(a_low, b_high));
        (product, self.add(error, self.mul(a_low, b_low)))
    }
    #[inline(always)]
    fn fms(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        self.sub(self.mul(a, b), c)
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        a.map(f64::round_ties_even)
    }
    #[inline(always)]
    fn settle(self, _: &mut [Self::F; 8], _: &mut [Self::F; 8]) {}
    #[inline(always)]
    fn transpose(self, rows: &mut [Self::F; 8]) {
        transpose4(rows);
    }
    #[inline(always)]
    fn small_int_to_f(self, a: Self::U) -> Self::F {
        a.map(|a| a.cast_signed() as f64)
    }
    #[inline(always)]
    fn bits(self, a: Self::F) -> Self::U {
        a.map(f64::to_bits)
    }
    #[inline(always)]
    fn bits_to_f(self, a: Self::U) -> Self::F {
        a.map(f64::from_bits)
    }
    #[inline(always)]
    fn to_int(self, a: Self::F) -> Self::U {
        // 2^63 itself, which saturates to 2^63 - 1 as a signed integer, is a value mod 2^64 too.
        a.map(|a| if a >= 9_223_372_036_854_775_808.0 { 1 << 63 } else { (a as i64).cast_unsigned() })
    }

    #[inline(always)]
    fn splat_u(self, x: u64) -> Self::U {
        [x; 4]
    }
    #[inline(always)]
    fn load_u(self, x: &[u64], i: usize) -> Self::U {
        let x = &x[i..i + 4];
        [x[0], x[1], x[2], x[3]]
    }
    #[inline(always)]
    fn store_u(self, x: &mut [u64], i: usize, v: Self::U) {
        x[i..i + 4].copy_from_slice(&v);
    }
    #[inline(always)]
    fn add_u(self, a: Self::U, b: Self::U) -> Self::U {
        map2(a, b, u64::wrapping_add)
    }
    #[inline(always)]
    fn sub_u(self, a: Self::U, b: Self::U) -> Self::U {
        map2(a, b, u64::wrapping_sub)
    }
    #[inline(always)]
    fn and_u(self, a: Self::U, b: Self::U) -> Self::U {
        map2(a, b, |a, b| a & b)
    }
    #[inline(always)]
    fn or_u(self, a: Self::U, b: Self::U) -> Self::U {
        map2(a, b, |a, b| a | b)
    }
    #[inline(always)]
    fn shl_u(self, a: Self::U, count: u32) -> Self::U {
        a.map(|a| a << count)
    }
    #[inline(always)]
    fn shr_u(self, a: Self::U, count: u32) -> Self::U {
        a.map(|a| a >> count)
    }
    #[inline(always)]
    fn sar_u(self, a: Self::U, count: u32) -> Self::U {
        a.map(|a| (a.cast_signed() >> count).cast_unsigned())
    }
    #[inline(always)]
    fn low_halves(self, a: Self::U, b: Self::U) -> Self::U {
        map2(a, b, |a, b| (a & 0xFFFF_FFFF) | (b << 32))
    }
    #[inline(always)]
    fn mul32_u(self, a: Self::U, b: Self::U) -> Self::U {
        map2(a, b, |a, b| (a & 0xFFFF_FFFF) * (b & 0xFFFF_FFFF))
    }
    #[inline(always)]
    fn mul32_i(self, a: Self::U, b: Self::U) -> Self::U {
        map2(a, b, |a, b| (i64::from(a as i32) * i64::from(b as i32)).cast_unsigned())
    }
    #[inline(always)]
    fn min_u(self, a: Self::U, b: Self::U) -> Self::U {
        map2(a, b, u64::min)
    }
    #[inline(always)]
    fn min_halves(self, a: Self::U, b: Self::U) -> Self::U {
        map2(a, b, |a, b| (a & 0xFFFF_FFFF).min(b & 0xFFFF_FFFF) | (a >> 32).min(b >> 32) << 32)
    }
    #[inline(always)]
    fn max_halves(self, a: Self::U, b: Self::U) -> Self::U {
        map2(a, b, |a, b| (a & 0xFFFF_FFFF).max(b & 0xFFFF_FFFF) | (a >> 32).max(b >> 32) << 32)
    }
    #[inline(always)]
    fn add_if_below(self, a: Self::U, c: Self::U, x: Self::U, y: Self::U) -> Self::U {
        std::array::from_fn(|i| if x[i] < y[i] { a[i].wrapping_add(c[i]) } else { a[i] })
    }
    #[inline(always)]
    fn sub_if_below(self, a: Self::U, c: Self::U, x: Self::U, y: Self::U) -> Self::U {
        std::array::from_fn(|i| if x[i] < y[i] { a[i].wrapping_sub(c[i]) } else { a[i] })
    }
    #[inline(always)]
    fn sub_if_less(self, a: Self::U, c: Self::U, x: Self::U, y: Self::U) -> Self::U {
        std::array::from_fn(|i| if x[i].cast_signed() < y[i].cast_signed() { a[i].wrapping_sub(c[i]) } else { a[i] })
    }
    #[inline(always)]
    fn madd16(self, c: Self::U, a: Self::U, b: Self::U) -> Self::U {
        #[cfg(target_arch = "x86_64")]
        {
            let low = baseline_madd16([c[0], c[1]], [a[0], a[1]], [b[0], b[1]]);
            let high = baseline_madd16([c[2], c[3]], [a[2], a[3]], [b[2], b[3]]);
            [low[0], low[1], high[0], high[1]]
        }
        #[cfg(not(target_arch = "x86_64"))]
        plain_madd16(c, a, b)
    }
    #[inline(always)]
    fn transpose_u(self, rows: &mut [Self::U; 8]) {
        transpose4(rows);
    }
    #[inline(always)]
    fn prefetch<T>(self, _: &[T], _: usize) {}
}
