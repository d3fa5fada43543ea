//! Keyswitch of a batch: one pass over the key serves all ciphertexts, and threads split its columns.

use super::memory::AlignedVec;
use super::torus::{self, Gadget};
use glovebox_golden::params::BootstrapParameters;
use std::ops::Range;

/// A keyswitching key in the engine's layout.
pub(crate) struct KeyswitchRows {
    words: AlignedVec<u64>,
    gadget: Gadget,
    input_dimension: usize,
    columns: usize,
    modulus_log2: u32,
}

impl KeyswitchRows {
    pub(crate) fn new(parameters: &BootstrapParameters, standard: &[u64]) -> Self {
        let mut words = AlignedVec::zeroed(standard.len());
        words.copy_from_slice(standard);
        Self {
            words,
            gadget: Gadget::new(parameters.ks_decomposition()),
            input_dimension: parameters.big_lwe_dimension().0,
            columns: parameters.lwe_dimension.0 + 1,
            modulus_log2: parameters.ks_modulus_log2,
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    /// The digits of a batch, `[ciphertext][input word][level]`.
    pub(crate) fn digits(&self, inputs: &[u64]) -> Vec<i64> {
        let mut digits = Vec::with_capacity(inputs.len() * self.gadget.level);
        for input in inputs.chunks_exact(self.input_dimension + 1) {
            for &a in &input[..self.input_dimension] {
                let mut state = self.gadget.state(a);
                digits.extend((0..self.gadget.level).map(|_| self.gadget.next_digit(&mut state)));
            }
        }
        digits
    }

    /// The given columns of every output; `outputs` holds one row of those columns a ciphertext.
    pub(crate) fn run_columns(
        &self,
        inputs: &[u64],
        digits: &[i64],
        columns: Range<usize>,
        outputs: &mut [&mut [u64]],
    ) {
        let entries = self.input_dimension * self.gadget.level;
        for output in outputs.iter_mut() {
            output.fill(0);
        }
        for (entry, key) in self.words.chunks_exact(self.columns).enumerate() {
            let key = &key[columns.clone()];
            for (output, digits) in outputs.iter_mut().zip(digits.chunks_exact(entries)) {
                let digit = digits[entry] as u64;
                if digit != 0 {
                    for (o, &k) in output.iter_mut().zip(key) {
                        *o = o.wrapping_sub(k.wrapping_mul(digit));
                    }
                }
            }
        }
        if columns.end == self.columns {
            for (output, input) in outputs.iter_mut().zip(inputs.chunks_exact(self.input_dimension + 1)) {
                if let Some(body) = output.last_mut() {
                    let rounded = torus::round_to_modulus(input[self.input_dimension], self.modulus_log2);
                    *body = body.wrapping_add(rounded);
                }
            }
        }
    }
}
