//! Eight lanes: AVX-512 F, DQ and BW.

#![allow(unsafe_code)]

use super::{Simd, Task};
use std::arch::asm;
use std::arch::x86_64::*;

/// Proof that the processor has AVX-512 F, DQ and BW.
#[derive(Clone, Copy)]
pub(crate) struct Avx512 {
    vnni: Option<Vnni>,
}

/// Proof that it also has AVX-512 VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Vnni(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        // Nothing has DQ without BW, but each is asked for.
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw"))
        .then(|| Self { vnni: is_x86_feature_detected!("avx512vnni").then_some(Vnni(())) })
    }
}

/// [`Simd::settle`].
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw")]
fn settle_with_avx512(a: &mut [__m512d; 8], b: &mut [__m512d; 8]) {
    // SAFETY: a comment for instructions; registers hold the same before and after.
    unsafe {
        asm!(
            "/* {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} */",
            inout(zmm_reg) a[0],
            inout(zmm_reg) a[1],
            inout(zmm_reg) a[2],
            inout(zmm_reg) a[3],
            inout(zmm_reg) a[4],
            inout(zmm_reg) a[5],
            inout(zmm_reg) a[6],
            inout(zmm_reg) a[7],
            inout(zmm_reg) b[0],
            inout(zmm_reg) b[1],
            inout(zmm_reg) b[2],
            inout(zmm_reg) b[3],
            inout(zmm_reg) b[4],
            inout(zmm_reg) b[5],
            inout(zmm_reg) b[6],
            inout(zmm_reg) b[7],
            options(nostack, preserves_flags)
        );
    }
}

/// Products of the low 32 bits. For the intrinsic the compiler would take a 64-bit product, which is three, or a difference,
/// where it knows a factor's upper half or the factor.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw")]
fn multiply_with_avx512(a: __m512i, b: __m512i) -> __m512i {
    let product;
    // SAFETY: one instruction, which reads and writes only its registers.
    unsafe {
        asm!(
            "vpmuludq {}, {}, {}",
            lateout(zmm_reg) product,
            in(zmm_reg) a,
            in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    product
}

/// [`Simd::fused_madd16`], which the compiler takes from those alone who have VNNI at compile time.
///
/// # Safety
/// The processor must have AVX-512 VNNI.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw")]
unsafe fn madd16_with_vnni(mut c: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: one instruction, which reads and writes only its registers.
    unsafe {
        asm!(
            "vpdpwssd {}, {}, {}",
            inout(zmm_reg) c,
            in(zmm_reg) a,
            in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    c
}

/// Evaluates intrinsics.
macro_rules! intrinsic {
    ($e:expr) => {{
        // SAFETY: the token `self` exists only where the processor has these instructions; pointers come from slices
        // whose bounds were checked in the same expression.
        unsafe { $e }
    }};
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw")]
fn with_avx512<T: Task>(token: Avx512, task: T) -> T::Output {
    task.run(token)
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw")]
#[inline(never)]
fn apart_with_avx512<R>(f: impl FnOnce() -> R) -> R {
    f()
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw")]
#[inline]
fn transpose8(r: &mut [__m512d; 8]) {
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    // Pairs of rows: 128-bit part c of `a[2q + s]` is column 2c + s of rows 2q and 2q + 1.
    let a0 = _mm512_unpacklo_pd(r[0], r[1]);
    let a1 = _mm512_unpackhi_pd(r[0], r[1]);
    let a2 = _mm512_unpacklo_pd(r[2], r[3]);
    let a3 = _mm512_unpackhi_pd(r[2], r[3]);
    let a4 = _mm512_unpacklo_pd(r[4], r[5]);
    let a5 = _mm512_unpackhi_pd(r[4], r[5]);
    let a6 = _mm512_unpacklo_pd(r[6], r[7]);
    let a7 = _mm512_unpackhi_pd(r[6], r[7]);
    // Four rows: parts c and c + 2, of columns of parity s.
    let b0 = _mm512_shuffle_f64x2::<EVEN>(a0, a2);
    let b1 = _mm512_shuffle_f64x2::<EVEN>(a1, a3);
    let b2 = _mm512_shuffle_f64x2::<ODD>(a0, a2);
    let b3 = _mm512_shuffle_f64x2::<ODD>(a1, a3);
    let b4 = _mm512_shuffle_f64x2::<EVEN>(a4, a6);
    let b5 = _mm512_shuffle_f64x2::<EVEN>(a5, a7);
    let b6 = _mm512_shuffle_f64x2::<ODD>(a4, a6);
    let b7 = _mm512_shuffle_f64x2::<ODD>(a5, a7);
    r[0] = _mm512_shuffle_f64x2::<EVEN>(b0, b4);
    r[1] = _mm512_shuffle_f64x2::<EVEN>(b1, b5);
    r[2] = _mm512_shuffle_f64x2::<EVEN>(b2, b6);
    r[3] = _mm512_shuffle_f64x2::<EVEN>(b3, b7);
    r[4] = _mm512_shuffle_f64x2::<ODD>(b0, b4);
    r[5] = _mm512_shuffle_f64x2::<ODD>(b1, b5);
    r[6] = _mm512_shuffle_f64x2::<ODD>(b2, b6);
    r[7] = _mm512_shuffle_f64x2::<ODD>(b3, b7);
}

impl Simd for Avx512 {
    const LANES: usize = 8;
    const SHIFTS_SIGNED: bool = true;
    const COMPARES_UNSIGNED: bool = true;
    type F = __m512d;
    type U = __m512i;
    type Fuses = Vnni;

    #[inline(always)]
    fn run<T: Task>(self, task: T) -> T::Output {
        intrinsic!(with_avx512(self, task))
    }
    #[inline(always)]
    fn apart<R>(self, f: impl FnOnce() -> R) -> R {
        intrinsic!(apart_with_avx512(f))
    }

    #[inline(always)]
    fn splat(self, x: f64) -> Self::F {
        intrinsic!(_mm512_set1_pd(x))
    }
    #[inline(always)]
    fn load(self, x: &[f64], i: usize) -> Self::F {
        intrinsic!(_mm512_loadu_pd(x[i..i + 8].as_ptr()))
    }
    #[inline(always)]
    fn store(self, x: &mut [f64], i: usize, v: Self::F) {
        intrinsic!(_mm512_storeu_pd(x[i..i + 8].as_mut_ptr(), v));
    }
    #[inline(always)]
    unsafe fn load_at(self, x: *const f64) -> Self::F {
        // SAFETY: the caller's; the token `self` exists only where the processor has these instructions.
        unsafe { _mm512_loadu_pd(x) }
    }
    #[inline(always)]
    unsafe fn store_at(self, x: *mut f64, v: Self::F) {
        // SAFETY: as in `load_at`.
        unsafe { _mm512_storeu_pd(x, v) }
    }
    #[inline(always)]
    unsafe fn load_u_at(self, x: *const u64) -> Self::U {
        // SAFETY: as in `load_at`.
        unsafe { _mm512_loadu_si512(x.cast()) }
    }
    #[inline(always)]
    unsafe fn store_u_at(self, x: *mut u64, v: Self::U) {
        // SAFETY: as in `load_at`.
        unsafe { _mm512_storeu_si512(x.cast(), v) }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        intrinsic!(_mm512_add_pd(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        intrinsic!(_mm512_sub_pd(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        intrinsic!(_mm512_mul_pd(a, b))
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        intrinsic!(_mm512_fmadd_pd(a, b, c))
    }
    #[inline(always)]
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        intrinsic!(_mm512_fnmadd_pd(a, b, c))
    }
    #[inline(always)]
    fn fms(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        intrinsic!(_mm512_fmsub_pd(a, b, c))
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        intrinsic!(_mm512_roundscale_pd::<0>(a))
    }
    #[inline(always)]
    fn settle(self, a: &mut [Self::F; 8], b: &mut [Self::F; 8]) {
        intrinsic!(settle_with_avx512(a, b));
    }
    #[inline(always)]
    fn transpose(self, rows: &mut [Self::F; 8]) {
        intrinsic!(transpose8(rows));
    }
    #[inline(always)]
    fn small_int_to_f(self, a: Self::U) -> Self::F {
        intrinsic!(_mm512_cvtepi64_pd(a))
    }
    #[inline(always)]
    fn bits(self, a: Self::F) -> Self::U {
        intrinsic!(_mm512_castpd_si512(a))
    }
    #[inline(always)]
    fn bits_to_f(self, a: Self::U) -> Self::F {
        intrinsic!(_mm512_castsi512_pd(a))
    }
    #[inline(always)]
    fn to_int(self, a: Self::F) -> Self::U {
        // Out of range, 2^63 becomes the integer indefinite, 2^63: the value mod 2^64.
        intrinsic!(_mm512_cvtpd_epi64(a))
    }

    #[inline(always)]
    fn splat_u(self, x: u64) -> Self::U {
        intrinsic!(_mm512_set1_epi64(x.cast_signed()))
    }
    #[inline(always)]
    fn load_u(self, x: &[u64], i: usize) -> Self::U {
        intrinsic!(_mm512_loadu_si512(x[i..i + 8].as_ptr().cast()))
    }
    #[inline(always)]
    fn store_u(self, x: &mut [u64], i: usize, v: Self::U) {
        intrinsic!(_mm512_storeu_si512(x[i..i + 8].as_mut_ptr().cast(), v));
    }
    #[inline(always)]
    fn add_u(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm512_add_epi64(a, b))
    }
    #[inline(always)]
    fn sub_u(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm512_sub_epi64(a, b))
    }
    #[inline(always)]
    fn and_u(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm512_and_si512(a, b))
    }
    #[inline(always)]
    fn or_u(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm512_or_si512(a, b))
    }
    #[inline(always)]
    fn shl_u(self, a: Self::U, count: u32) -> Self::U {
        intrinsic!(_mm512_sllv_epi64(a, self.splat_u(count.into())))
    }
    #[inline(always)]
    fn shr_u(self, a: Self::U, count: u32) -> Self::U {
        intrinsic!(_mm512_srlv_epi64(a, self.splat_u(count.into())))
    }
    #[inline(always)]
    fn sar_u(self, a: Self::U, count: u32) -> Self::U {
        intrinsic!(_mm512_srav_epi64(a, self.splat_u(count.into())))
    }
    #[inline(always)]
    fn low_halves(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm512_mask_shuffle_epi32::<_MM_PERM_CCAA>(a, 0xAAAA, b))
    }
    #[inline(always)]
    fn add_upper_times_ones(self, a: Self::U, b: Self::U) -> Self::U {
        let ones = self.splat_u(0xFFFF_FFFF);
        intrinsic!(_mm512_add_epi64(a, self.mul32_u(_mm512_srli_epi64::<32>(b), ones)))
    }
    #[inline(always)]
    fn mul32_u(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(multiply_with_avx512(a, b))
    }
    #[inline(always)]
    fn mul32_i(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm512_mul_epi32(a, b))
    }
    #[inline(always)]
    fn min_u(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm512_min_epu64(a, b))
    }
    #[inline(always)]
    fn min_halves(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm512_min_epu32(a, b))
    }
    #[inline(always)]
    fn max_halves(self, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm512_max_epu32(a, b))
    }
    #[inline(always)]
    fn add_if_below(self, a: Self::U, c: Self::U, x: Self::U, y: Self::U) -> Self::U {
        intrinsic!(_mm512_mask_add_epi64(a, _mm512_cmplt_epu64_mask(x, y), a, c))
    }
    #[inline(always)]
    fn sub_if_below(self, a: Self::U, c: Self::U, x: Self::U, y: Self::U) -> Self::U {
        intrinsic!(_mm512_mask_sub_epi64(a, _mm512_cmplt_epu64_mask(x, y), a, c))
    }
    #[inline(always)]
    fn sub_if_less(self, a: Self::U, c: Self::U, x: Self::U, y: Self::U) -> Self::U {
        intrinsic!(_mm512_mask_sub_epi64(a, _mm512_cmplt_epi64_mask(x, y), a, c))
    }
    #[inline(always)]
    fn madd16(self, c: Self::U, a: Self::U, b: Self::U) -> Self::U {
        intrinsic!(_mm512_add_epi32(c, _mm512_madd_epi16(a, b)))
    }
    #[inline(always)]
    fn fuses(self) -> Option<Vnni> {
        self.vnni
    }
    #[inline(always)]
    fn fused_madd16(self, _: Vnni, c: Self::U, a: Self::U, b: Self::U) -> Self::U {
        // The second token is the proof of VNNI.
        intrinsic!(madd16_with_vnni(c, a, b))
    }
    #[inline(always)]
    fn transpose_u(self, rows: &mut [Self::U; 8]) {
        let [a, b, c, d, e, f, g, h] = *rows;
        intrinsic!({
            let mut r = [
                _mm512_castsi512_pd(a),
                _mm512_castsi512_pd(b),
                _mm512_castsi512_pd(c),
                _mm512_castsi512_pd(d),
                _mm512_castsi512_pd(e),
                _mm512_castsi512_pd(f),
                _mm512_castsi512_pd(g),
                _mm512_castsi512_pd(h),
            ];
            transpose8(&mut r);
            let [a, b, c, d, e, f, g, h] = r;
            *rows = [
                _mm512_castpd_si512(a),
                _mm512_castpd_si512(b),
                _mm512_castpd_si512(c),
                _mm512_castpd_si512(d),
                _mm512_castpd_si512(e),
                _mm512_castpd_si512(f),
                _mm512_castpd_si512(g),
                _mm512_castpd_si512(h),
            ];
        });
    }
    #[inline(always)]
    fn prefetch<T>(self, x: &[T], i: usize) {
        // A prefetch reads no memory that the program can observe, whatever the address.
        intrinsic!(_mm_prefetch::<_MM_HINT_T1>(x.as_ptr().wrapping_add(i).cast()));
    }
}
