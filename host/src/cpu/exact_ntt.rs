//! The exact multiplication that runs everywhere and for every parameter set: the Goldilocks transform, in integers.
//!
//! Key polynomials are switched to p and transformed once. Each step transforms the digits, multiplies, and transforms
//! back, mod p throughout, so there is nothing to bound.

use super::memory::AlignedVec;
use super::simd::Kernel;
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
#[derive(Default)]
pub(crate) struct NttScratch {
    states: Vec<i64>,
    transform: Vec<u64>,
    sums: Vec<u64>,
}

impl NttKey {
    pub(crate) fn new(parameters: &BootstrapParameters, standard: &[u64], kernel: Kernel) -> Self {
        let degree = parameters.ring_degree.0;
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

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    /// `accumulator += BSK_index [*] (accumulator * X^exponent - accumulator)`.
    pub(crate) fn step(&self, index: usize, exponent: u32, accumulator: &mut [u64], scratch: &mut NttScratch) {
        let (degree, columns) = (self.degree, self.columns);
        let ggsw_len = self.gadget.level * columns * columns * degree;
        let ggsw = &self.words[index * ggsw_len..(index + 1) * ggsw_len];
        scratch.states.resize(degree, 0);
        scratch.transform.resize(degree, 0);
        scratch.sums.clear();
        scratch.sums.resize(columns * degree, 0);
        for (row, poly) in accumulator.chunks_exact(degree).enumerate() {
            difference_states(poly, exponent, self.gadget, &mut scratch.states);
            for level in 0..self.gadget.level {
                for (t, state) in scratch.transform.iter_mut().zip(&mut scratch.states) {
                    *t = goldilocks::from_signed(self.gadget.next_digit(state));
                }
                goldilocks_ntt::forward(self.kernel, &mut scratch.transform);
                let start = (level * columns + row) * columns * degree;
                let key_row = &ggsw[start..start + columns * degree];
                for (sum, key) in scratch.sums.chunks_exact_mut(degree).zip(key_row.chunks_exact(degree)) {
                    for ((s, &t), &k) in sum.iter_mut().zip(&scratch.transform).zip(key) {
                        // Two canonical factors and a canonical addend fit 128 bits.
                        *s = goldilocks::reduce_u128(u128::from(t) * u128::from(k) + u128::from(*s));
                    }
                }
            }
        }
        for (sum, poly) in scratch.sums.chunks_exact_mut(degree).zip(accumulator.chunks_exact_mut(degree)) {
            goldilocks_ntt::inverse(self.kernel, sum);
            for (c, &s) in poly.iter_mut().zip(&*sum) {
                *c = c.wrapping_add(goldilocks::to_torus(s));
            }
        }
    }
}

/// The decomposition states of `poly * X^exponent - poly`.
fn difference_states(poly: &[u64], exponent: u32, gadget: Gadget, states: &mut [i64]) {
    let degree = poly.len();
    let shift = exponent as usize & (degree - 1);
    let turned_over = exponent as usize & degree != 0;
    // Coefficient i of the product is coefficient i - shift of poly, negated when the index wraps.
    let (wrapped, straight) = states.split_at_mut(shift);
    let sources = [
        (wrapped, &poly[degree - shift..], &poly[..shift], !turned_over),
        (straight, &poly[..degree - shift], &poly[shift..], turned_over),
    ];
    for (targets, rotated, plain, negate) in sources {
        for ((t, &r), &p) in targets.iter_mut().zip(rotated).zip(plain) {
            let r = if negate { r.wrapping_neg() } else { r };
            *t = gadget.state(r.wrapping_sub(p));
        }
    }
}
