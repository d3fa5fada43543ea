//! The exact multiplication that runs everywhere and for every parameter set: the Goldilocks transform, in integers.
//!
//! Key polynomials are switched to p and transformed once. Each step transforms the digits, multiplies, and transforms
//! back, mod p throughout, so there is nothing to bound.

use super::digits::difference_digits;
use super::memory::AlignedVec;
use super::simd::{Kernel, Portable, Simd};
use super::torus::Gadget;
use super::{goldilocks, goldilocks_ntt};
use glovebox_golden::params::BootstrapParameters;

/// A bootstrapping key in the transform domain, `[n][level][row][column][N]`, canonical mod p.
pub(crate) struct NttKey {
    words: AlignedVec<u64>,
    kernel: Kernel,
    gadget: Gadget,
    degree: usize,
    columns: usize,
}

/// Working memory of one step.
pub(crate) struct NttScratch {
    /// Digits of one polynomial, `[level][N]`.
    digits: AlignedVec<f64>,
    transform: AlignedVec<u64>,
    sums: AlignedVec<u64>,
}

impl NttScratch {
    pub(crate) fn new(key: &NttKey) -> Self {
        Self {
            digits: AlignedVec::zeroed(key.gadget.level * key.degree),
            transform: AlignedVec::zeroed(key.degree),
            sums: AlignedVec::zeroed(key.columns * key.degree),
        }
    }
}

impl NttKey {
    pub(crate) fn new(parameters: &BootstrapParameters, standard: &[u64], kernel: Kernel) -> Self {
        let degree = parameters.ring_degree.0;
        // Polynomials shorter than a vector: there are no sets of that kind but toys.
        let kernel = if degree < kernel.lanes() { Kernel::Portable(Portable) } else { kernel };
        let mut words = AlignedVec::zeroed(standard.len());
        for (target, source) in words.chunks_exact_mut(degree).zip(standard.chunks_exact(degree)) {
            for (t, &s) in target.iter_mut().zip(source) {
                *t = goldilocks::from_torus(s);
            }
            goldilocks_ntt::forward(kernel, target);
        }
        let columns = parameters.glwe_dimension.0 + 1;
        Self { words, kernel, gadget: Gadget::new(parameters.pbs_decomposition()), degree, columns }
    }

    /// The kernel that steps run on.
    pub(crate) fn kernel(&self) -> Kernel {
        self.kernel
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    /// `accumulator += BSK_index [*] (accumulator * X^exponent - accumulator)`.
    #[inline(always)]
    pub(crate) fn step<S: Simd>(
        &self,
        s: S,
        index: usize,
        exponent: u32,
        accumulator: &mut [u64],
        scratch: &mut NttScratch,
    ) {
        let (degree, columns) = (self.degree, self.columns);
        let ggsw_len = self.gadget.level * columns * columns * degree;
        let ggsw = &self.words[index * ggsw_len..(index + 1) * ggsw_len];
        let NttScratch { digits, transform, sums } = scratch;
        sums.fill(0);
        let p = s.splat_u(goldilocks::P);
        for (row, poly) in accumulator.chunks_exact(degree).enumerate() {
            difference_digits(s, poly, exponent, self.gadget, digits, degree);
            for (level, digits) in digits.chunks_exact(degree).enumerate() {
                for i in (0..degree).step_by(S::LANES) {
                    let digit = s.to_int(s.load(digits, i));
                    s.store_u(transform, i, s.add_u(digit, s.and_u(s.sar_u(digit, 63), p)));
                }
                goldilocks_ntt::forward(self.kernel, transform);
                let start = (level * columns + row) * columns * degree;
                let key_row = &ggsw[start..start + columns * degree];
                for (sums, key) in sums.chunks_exact_mut(degree).zip(key_row.chunks_exact(degree)) {
                    if matches!(self.kernel, Kernel::Portable(_)) {
                        for ((sum, &t), &k) in sums.iter_mut().zip(&**transform).zip(key) {
                            // Two canonical factors and a canonical addend fit 128 bits.
                            *sum = goldilocks::reduce_u128(u128::from(t) * u128::from(k) + u128::from(*sum));
                        }
                    } else {
                        goldilocks_ntt::multiply_add(s, sums, transform, key);
                    }
                }
            }
        }
        let half = s.splat_u((1 << 31) - 1);
        for (sum, poly) in sums.chunks_exact_mut(degree).zip(accumulator.chunks_exact_mut(degree)) {
            goldilocks_ntt::inverse(self.kernel, sum);
            for i in (0..degree).step_by(S::LANES) {
                // The modulus switch p -> 2^64, see `goldilocks::to_torus`: canonical words leave room for the half.
                let a = s.load_u(sum, i);
                let torus = s.add_u(a, s.shr_u(s.add_u(a, half), 32));
                s.store_u(poly, i, s.add_u(s.load_u(poly, i), torus));
            }
        }
    }
}
