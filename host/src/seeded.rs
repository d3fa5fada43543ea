//! Ciphertexts whose masks come from a public seed: what a client uploads is one word each.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::ops::Range;

/// LWE ciphertexts of one dimension; mask i is the output of ChaCha20 stream i under the seed.
///
/// The seed is public: a mask is uniform and independent of everything else, whoever knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeededCiphertexts {
    seed: [u8; 32],
    dimension: usize,
    bodies: Vec<u64>,
}

impl SeededCiphertexts {
    pub(crate) fn new(seed: [u8; 32], dimension: usize) -> Self {
        Self { seed, dimension, bodies: Vec::new() }
    }

    /// The words of the ciphertext that the next push completes, with another body.
    pub(crate) fn next_with_body(&self, body: u64) -> Vec<u64> {
        let mut words = Vec::with_capacity(self.dimension + 1);
        self.expand_mask(self.bodies.len(), &mut words);
        words.push(body);
        words
    }

    pub(crate) fn push(&mut self, body: u64) {
        self.bodies.push(body);
    }

    fn expand_mask(&self, index: usize, words: &mut Vec<u64>) {
        let mut rng = ChaCha20Rng::from_seed(self.seed);
        rng.set_stream(index as u64);
        words.extend((0..self.dimension).map(|_| rng.next_u64()));
    }

    /// Number of ciphertexts.
    pub fn len(&self) -> usize {
        self.bodies.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bodies.is_empty()
    }

    /// Bytes that travel: the seed and the bodies.
    pub fn transfer_bytes(&self) -> usize {
        self.seed.len() + 8 * self.bodies.len()
    }

    /// The words of the ciphertexts of a range, `[count, dimension + 1]`. Indices past the end are left out.
    pub fn expand(&self, range: Range<usize>) -> Vec<u64> {
        let range = range.start..range.end.min(self.len());
        let mut words = Vec::with_capacity(range.len() * (self.dimension + 1));
        for index in range {
            self.expand_mask(index, &mut words);
            words.push(self.bodies[index]);
        }
        words
    }
}
