//! Vectors of 64-bit lanes: one trait, an implementation for every instruction set, chosen at run time.
//!
//! Kernels are written once over [`Simd`]. A value of an implementing type is a token: only [`Kernel::detect`] hands
//! one out, after asking the processor, so that the intrinsics behind it may run. [`Simd::run`] compiles its argument
//! for the instruction set.
//!
//! Only this folder holds unsafe code of the kernels. A new instruction set (NEON, SVE, RVV) is one more
//! implementation; until then such processors run [`Portable`], which compilers turn into their baseline vectors.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod points;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use points::{Blocks, Complex, Points, Square};
pub(crate) use portable::Portable;

/// Work to be compiled for an instruction set.
pub(crate) trait Task {
    /// What it returns.
    type Output;
    /// Runs it; implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Lanes of `f64` and of `u64`. Integer operations wrap.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Lanes of a vector: 4 or 8.
    const LANES: usize;
    /// Whether `sar_u` takes no more operations than `shr_u`.
    const SHIFTS_SIGNED: bool;
    /// Whether `sub_if_below` takes no more operations than `sub_if_less`.
    const COMPARES_UNSIGNED: bool;
    /// `LANES` doubles.
    type F: Copy;
    /// `LANES` words.
    type U: Copy;
    /// Proof that the processor has [`Simd::fused_madd16`].
    type Fuses: Copy;

    /// Compiles and runs a task with this instruction set.
    fn run<T: Task>(self, task: T) -> T::Output;
    /// Runs `f` as a function of its own in code that is compiled for this instruction set already, so that its loops have
    /// all registers. It should own what it works with: what it borrows is read from memory.
    fn apart<R>(self, f: impl FnOnce() -> R) -> R;

    fn splat(self, x: f64) -> Self::F;
    /// `x[i..i + LANES]`.
    fn load(self, x: &[f64], i: usize) -> Self::F;
    fn store(self, x: &mut [f64], i: usize, v: Self::F);
    /// `LANES` doubles.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load_at(self, x: *const f64) -> Self::F;
    /// # Safety
    /// `LANES` doubles must be writable.
    unsafe fn store_at(self, x: *mut f64, v: Self::F);
    /// # Safety
    /// `LANES` words must be readable.
    unsafe fn load_u_at(self, x: *const u64) -> Self::U;
    /// # Safety
    /// `LANES` words must be writable.
    unsafe fn store_u_at(self, x: *mut u64, v: Self::U);
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once where the instruction set can.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c - a * b`, as `fma`.
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a * b - c`, as `fma`.
    fn fms(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a * b` and its rounding error, exactly.
    #[inline(always)]
    fn exact_product(self, a: Self::F, b: Self::F) -> (Self::F, Self::F) {
        let product = self.mul(a, b);
        (product, self.fms(a, b, product))
    }
    /// The nearest integers.
    fn round(self, a: Self::F) -> Self::F;
    /// Has the compiler finish the first `LANES` vectors of both, and then go on: if it mixes what follows with what was
    /// before, it has more values than registers.
    fn settle(self, a: &mut [Self::F; 8], b: &mut [Self::F; 8]);
    /// Transposes the square of the first `LANES` vectors.
    fn transpose(self, rows: &mut [Self::F; 8]);
    /// Doubles of signed integers below 2^51 in magnitude.
    fn small_int_to_f(self, a: Self::U) -> Self::F;
    /// The bits of doubles.
    fn bits(self, a: Self::F) -> Self::U;
    /// The doubles of bits.
    fn bits_to_f(self, a: Self::U) -> Self::F;
    /// Integers mod 2^64 of integral doubles within 2^63 in magnitude.
    fn to_int(self, a: Self::F) -> Self::U;

    fn splat_u(self, x: u64) -> Self::U;
    /// `x[i]` in every lane; for words in memory that only products read.
    #[inline(always)]
    fn splat_at(self, x: &[u64], i: usize) -> Self::U {
        self.splat_u(x[i])
    }
    /// `x[i..i + LANES]`.
    fn load_u(self, x: &[u64], i: usize) -> Self::U;
    fn store_u(self, x: &mut [u64], i: usize, v: Self::U);
    fn add_u(self, a: Self::U, b: Self::U) -> Self::U;
    fn sub_u(self, a: Self::U, b: Self::U) -> Self::U;
    fn and_u(self, a: Self::U, b: Self::U) -> Self::U;
    fn or_u(self, a: Self::U, b: Self::U) -> Self::U;
    fn shl_u(self, a: Self::U, count: u32) -> Self::U;
    fn shr_u(self, a: Self::U, count: u32) -> Self::U;
    /// Shift right that keeps the sign; `count` below 64.
    fn sar_u(self, a: Self::U, count: u32) -> Self::U;
    /// The low 32 bits of `a` below the low 32 bits of `b`.
    fn low_halves(self, a: Self::U, b: Self::U) -> Self::U;
    /// `a + h (2^32 - 1)`, h being the upper half of b.
    #[inline(always)]
    fn add_upper_times_ones(self, a: Self::U, b: Self::U) -> Self::U {
        // As a difference: multiplying takes fewer operations, but longer.
        self.add_u(self.sub_u(a, self.shr_u(b, 32)), self.and_u(b, self.splat_u(0xFFFF_FFFF << 32)))
    }
    /// Products of the low 32 bits.
    fn mul32_u(self, a: Self::U, b: Self::U) -> Self::U;
    /// Products of the low 32 bits, signed.
    fn mul32_i(self, a: Self::U, b: Self::U) -> Self::U;
    /// The smaller, unsigned.
    fn min_u(self, a: Self::U, b: Self::U) -> Self::U;
    /// The smaller of the lower and of the upper 32 bits, unsigned.
    fn min_halves(self, a: Self::U, b: Self::U) -> Self::U;
    /// The larger of the lower and of the upper 32 bits, unsigned.
    fn max_halves(self, a: Self::U, b: Self::U) -> Self::U;
    /// `a + c` in lanes where `x < y` unsigned, else `a`.
    fn add_if_below(self, a: Self::U, c: Self::U, x: Self::U, y: Self::U) -> Self::U;
    /// `a - c` in lanes where `x < y` unsigned, else `a`.
    fn sub_if_below(self, a: Self::U, c: Self::U, x: Self::U, y: Self::U) -> Self::U;
    /// `a - c` in lanes where `x < y` signed, else `a`.
    fn sub_if_less(self, a: Self::U, c: Self::U, x: Self::U, y: Self::U) -> Self::U;
    /// To each 32-bit lane of `c`, the products of the signed 16-bit halves of that lane of `a` and `b`, which are not all
    /// -2^15.
    fn madd16(self, c: Self::U, a: Self::U, b: Self::U) -> Self::U;
    /// Whether there is one instruction for `madd16`. Not every processor with this instruction set need have it.
    #[inline(always)]
    fn fuses(self) -> Option<Self::Fuses> {
        None
    }
    /// `madd16` in that instruction.
    #[inline(always)]
    fn fused_madd16(self, _: Self::Fuses, c: Self::U, a: Self::U, b: Self::U) -> Self::U {
        self.madd16(c, a, b)
    }
    /// Transposes the square of the first `LANES` vectors.
    fn transpose_u(self, rows: &mut [Self::U; 8]);
    /// Asks for the cache line that holds `x[i]`, from the second-level cache on: the first is for what is worked on.
    fn prefetch<T>(self, x: &[T], i: usize);
}

/// An instruction set that this processor has.
#[derive(Clone, Copy)]
pub(crate) enum Kernel {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Kernel {
    /// Every instruction set that can run here, best first; never empty.
    pub(crate) fn available() -> Vec<Self> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            kernels.extend(Avx512::detect().map(Self::Avx512));
            kernels.extend(Avx2::detect().map(Self::Avx2));
        }
        kernels.push(Self::Portable(Portable));
        kernels
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Portable(_) => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
        }
    }

    /// Runs a task with this instruction set.
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        match self {
            Self::Portable(s) => s.run(task),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(s) => s.run(task),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(s) => s.run(task),
        }
    }

    /// Lanes of a vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Portable(_) => Portable::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Avx512::LANES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Madd16<'a>([&'a [u64]; 3]);

    impl Task for Madd16<'_> {
        type Output = Vec<u64>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<u64> {
            let [c, a, b] = self.0;
            let mut sums = vec![0; c.len()];
            for i in (0..c.len()).step_by(S::LANES) {
                let (c, a, b) = (s.load_u(c, i), s.load_u(a, i), s.load_u(b, i));
                s.store_u(&mut sums, i, s.madd16(c, a, b));
                if let Some(proof) = s.fuses() {
                    let mut fused = vec![0; S::LANES];
                    s.store_u(&mut fused, 0, s.fused_madd16(proof, c, a, b));
                    assert_eq!(fused, sums[i..i + S::LANES], "fused");
                }
            }
            sums
        }
    }

    proptest! {
        #[test]
        fn sums_of_16_bit_products_equal_plain_ones(words: [[u64; 8]; 3], extreme: u8) {
            let [c, mut a, mut b] = words;
            // Both ends of the range, but never four times -2^15.
            a[0] = if extreme & 1 == 0 { 0x8000_8000_7FFF_7FFF } else { 0x8000_7FFF_8000_7FFF };
            b[0] = if extreme & 2 == 0 { 0x8001_8001_8001_8001 } else { 0x7FFF_7FFF_7FFF_7FFF };
            let quarter = |x: &[u64; 8], i: usize| std::array::from_fn(|lane| x[4 * i + lane]);
            let plain: Vec<u64> =
                (0..2).flat_map(|i| portable::plain_madd16(quarter(&c, i), quarter(&a, i), quarter(&b, i))).collect();
            for kernel in Kernel::available() {
                prop_assert_eq!(&kernel.run(Madd16([&c, &a, &b])), &plain, "{}", kernel.name());
            }
        }
    }
}
