//! Four lanes: AVX2 and FMA.

#![allow(unsafe_code)]

use super::{Simd, Task};
use std::arch::asm;
use std::arch::x86_64::*;
use std::convert::Infallible;

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

#[target_feature(enable = "avx2,fma")]
fn with_avx2<T: Task>(token: Avx2, task: T) -> T::Output {
    task.run(token)
}

#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn apart_with_avx2<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// [`Simd::settle`].
#[inline]
#[target_feature(enable = "avx2,fma")]
fn settle_with_avx2(a: &mut [__m256d; 8], b: &mut [__m256d; 8]) {
    // SAFETY: a comment for instructions; registers hold the same before and after.
    unsafe {
        asm!(
            "/* {} {} {} {} {} {} {} {} */",
            inout(ymm_reg) a[0],
            inout(ymm_reg) a[1],
            inout(ymm_reg) a[2],
            inout(ymm_reg) a[3],
            inout(ymm_reg) b[0],
            inout(ymm_reg) b[1],
            inout(ymm_reg) b[2],
            inout(ymm_reg) b[3],
            options(nostack, preserves_flags)
        );
    }
}

/// Evaluates intrinsics.
macro_rules! intrinsic {
    ($e:expr) => {{
        // SAFETY: the token `self` exists only where the processor has these instructions; pointers come from slices
        // whose bounds were checked in the same expression.
        unsafe { $e }
    }};
}

const SIGN: u64 = 1 << 63;

/// 2^52 + 2^51: added to a double within 2^51 in magnitude, it leaves the nearest integer in the low bits.
const MAGIC: f64 = 6_755_399_441_055_744.0;

impl Avx2 {
    /// All ones in lanes where `x < y` unsigned.
    #[inline(always)]
    fn below(self, x: __m256i, y: __m256i) -> __m256i {
        let sign = self.splat_u(SIGN);
        intrinsic!(_mm256_cmpgt_epi64(_mm256_xor_si256(y, sign), _mm256_xor_si256(x, sign)))
    }
}

impl Simd for Avx2 {
    const LANES: usize = 4;
    const SHIFTS_SIGNED: bool = false;
    const COMPARES_UNSIGNED: bool = false;
    type F = __m256d;
    type U = __m256i;
    type Fuses = Infallible;

    #[inline(always)]
    fn run<T: Task>(self, task: T) -> T::Output {
        intrinsic!(with_avx2(self, task))
    }
    #[inline(always)]
    fn apart<R>(self, f: impl FnOnce() -> R) -> R {
        intrinsic!(apart_with_avx2(f))
    }

    #[inline(always)]
    fn splat(self, x: f64) -> Self::F {
        intrinsic!(_mm256_set1_pd(x))
    }
    #[inline(always)]
    fn load(self, x: &[f64], i: usize) -> Self::F {
        intrinsic!(_mm256_loadu_pd(x[i..i + 4].as_ptr()))
    }
    #[inline(always)]
    fn store(self, x: &mut [f64], i: usize, v: Self::F) {
        intrinsic!(_mm256_storeu_pd(x[i..i + 4].as_mut_ptr(), v));
    }
    #[inline(always)]
    unsafe fn load_at(self, x: *const f64) -> Self::F {
        // SAFETY: the caller's; the token `self` exists only where the processor has these instructions.
        unsafe { _mm256_loadu_pd(x) }
    }
    #[inline(always)]
    unsafe fn store_at(self, x: *mut f64, v: Self::F) {
        // SAFETY: as in `load_at`.
        unsafe { _mm256_storeu_pd(x, v) }
    }
    #[inline(always)]
    unsafe fn load_u_at(self, x: *const u64) -> Self::U {
        // SAFETY: as in `load_at`.
        unsafe { _mm256_loadu_si256(x.cast()) }
    }
    #[inline(always)]
    unsafe fn store_u_at(self, x: *mut u64, v: Self::U) {
        // SAFETY: as in `load_at`.
        unsafe { _mm256_storeu_si256(x.cast(), v) }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        intrinsic!(_mm256_add_pd(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        intrinsic!(_mm256_sub_pd(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        intrinsic!(_mm256_mul_pd(a, b))
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        intrinsic!(_mm256_fmadd_pd(a, b, c))
    }
    #[inline(always)]
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        intrinsic!(_mm256_fnmadd_pd(a, b, c))
    }
    #[inline(always)]
    fn fms(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        intrinsic!(_mm256_fmsub_pd(a, b, c))
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        intrinsic!(_mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn settle(self, a: &mut [Self::F; 8], b: &mut [Self::F; 8]) {
        intrinsic!(settle_with_avx2(a, b));
    }
    #[inline(always)]
    fn transpose(self, rows: &mut [Self::F; 8]) {
        let [a, b, c, d, ..] = *rows;
        intrinsic!({
            let (p, q) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            let (r, s) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
            rows[0] = _mm256_permute2f128_pd::<0x20>(p, r);
            rows[1] = _mm256_permute2f128_pd::<0x20>(q, s);
            rows[2] = _mm256_permute2f128_pd::<0x31>(p, r);
            rows[3] = _mm256_permute2f128_pd::<0x31>(q, s);
        });
    }
    #[inline(always)]
    fn small_int_to_f(self, a: Self::U) -> Self::F {
        let magic = self.splat(MAGIC);
        intrinsic!(_mm256_sub_pd(_mm256_castsi256_pd(_mm256_add_epi64(a, _mm256_castpd_si256(magic))), magic))
    }
    #[inline(always)]
    fn bits(self, a: Self::F) -> Self::U {
        intrinsic!(_mm256_castpd_si256(a))
    }
    #[inline(always)]
    fn bits_to_f(self, a: Self::U) -> Self::F {
        intrinsic!(_mm256_castsi256_pd(a))
    }
    #[inline(always)]
    fn to_int(self, a: Self::F) -> Self::U {
        // High and low 32 bits apart: a / 2^32 rounded, and what that left.
        let magic = self.splat(MAGIC);
        let high = self.round(self.mul(a, self.splat(1.0 / 4_294_967_296.0)));
        let low = self.fnma(high, self.splat(4_294_967_296.0), a);
        intrinsic!({
            let bits = _mm256_castpd_si256(magic);
            let high = _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(high, magic)), bits);
            let low = _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(low, magic)), bits);
            _mm256_add_epi64(_mm256_slli_epi64::<32>(high), low)
        })
    }

    #[inline(always)]
    fn splat_u(self, x: u64) -> Self::U {
        intrinsic!(_mm256_set1_epi64x(x.cast_signed()))
    }
    #[inline(always)]
    fn splat_at(self, x: &[u64], i: usize) -> Self::U {
        // As a word, the compiler would extend its low half's sign ahead of a product, in scalar registers: three operations
        // for one.
        intrinsic!(_mm256_castpd_si256(_mm256_broadcast_sd(&f64::from_bits(x[i]))))
    }
    #[inline(always)]
    fn load_u(self, x: &[u64], i: usize) -> Self::U {
        intrinsic!(_mm256_loadu_si256(x[i..i + 4].as_ptr().cast()))
    }
    #[inline(always)]
    fn store_u(self, x: &mut [u64], i: usize, v: Self::U) {
        intrinsic!(_mm256_storeu_si256(x[i..i + 4].as_mut_ptr().cast(), v));
    }
    #[inline(always)]
    fn add_u(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm256_add_epi64(a, b))
    }
    #[inline(always)]
    fn sub_u(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm256_sub_epi64(a, b))
    }
    #[inline(always)]
    fn and_u(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm256_and_si256(a, b))
    }
    #[inline(always)]
    fn or_u(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm256_or_si256(a, b))
    }
    #[inline(always)]
    fn shl_u(self, a: Self::U, count: u32) -> Self::U {
        intrinsic!(_mm256_sllv_epi64(a, self.splat_u(count.into())))
    }
    #[inline(always)]
    fn shr_u(self, a: Self::U, count: u32) -> Self::U {
        intrinsic!(_mm256_srlv_epi64(a, self.splat_u(count.into())))
    }
    #[inline(always)]
    fn sar_u(self, a: Self::U, count: u32) -> Self::U {
        // There is no 64-bit arithmetic shift: shift with the sign bit flipped, then take its weight back.
        let shifted = self.shr_u(intrinsic!(_mm256_xor_si256(a, _mm256_set1_epi64x(i64::MIN))), count);
        self.sub_u(shifted, self.shr_u(self.splat_u(SIGN), count))
    }
    #[inline(always)]
    fn low_halves(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm256_blend_epi32::<0b1010_1010>(a, _mm256_slli_epi64::<32>(b)))
    }
    #[inline(always)]
    fn mul32_u(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm256_mul_epu32(a, b))
    }
    #[inline(always)]
    fn mul32_i(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm256_mul_epi32(a, b))
    }
    #[inline(always)]
    fn min_u(self, a: Self::U, b: Self::U) -> Self::U {
        let below = self.below(a, b);
        intrinsic!(_mm256_blendv_epi8(b, a, below))
    }
    #[inline(always)]
    fn min_halves(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm256_min_epu32(a, b))
    }
    #[inline(always)]
    fn max_halves(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm256_max_epu32(a, b))
    }
    #[inline(always)]
    fn add_if_below(self, a: Self::U, c: Self::U, x: Self::U, y: Self::U) -> Self::U {
        self.add_u(a, self.and_u(c, self.below(x, y)))
    }
    #[inline(always)]
    fn sub_if_below(self, a: Self::U, c: Self::U, x: Self::U, y: Self::U) -> Self::U {
        self.sub_u(a, self.and_u(c, self.below(x, y)))
    }
    #[inline(always)]
    fn sub_if_less(self, a: Self::U, c: Self::U, x: Self::U, y: Self::U) -> Self::U {
        self.sub_u(a, self.and_u(c, intrinsic!(_mm256_cmpgt_epi64(y, x))))
    }
    #[inline(always)]
    fn madd16(self, c: Self::U, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm256_add_epi32(c, _mm256_madd_epi16(a, b)))
    }
    #[inline(always)]
    fn transpose_u(self, rows: &mut [Self::U; 8]) {
        let [a, b, c, d, ..] = *rows;
        intrinsic!({
            let (p, q) = (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
            let (r, s) = (_mm256_unpacklo_epi64(c, d), _mm256_unpackhi_epi64(c, d));
            rows[0] = _mm256_permute2x128_si256::<0x20>(p, r);
            rows[1] = _mm256_permute2x128_si256::<0x20>(q, s);
            rows[2] = _mm256_permute2x128_si256::<0x31>(p, r);
            rows[3] = _mm256_permute2x128_si256::<0x31>(q, s);
        });
    }
    #[inline(always)]
    fn prefetch<T>(self, x: &[T], i: usize) {
        // A prefetch reads no memory that the program can observe, whatever the address.
        intrinsic!(_mm_prefetch::<_MM_HINT_T1>(x.as_ptr().wrapping_add(i).cast()));
    }
}
