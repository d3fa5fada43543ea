//! Keyswitch of a batch: one pass over the key serves all ciphertexts, and threads split its columns.
//!
//! The key is cut into tiles of 32 columns, each contiguous over all entries, so that a pass reads memory in order and
//! keeps its sums in registers. Keys of at most 32 bits are held in 32-bit words.

use super::memory::{AlignedVec, Plain};
use super::simd::{Kernel, Simd, Task};
use super::torus::{self, Gadget};
use glovebox_golden::params::BootstrapParameters;

/// Columns of a tile.
pub(crate) const TILE: usize = 32;
/// Entries that all ciphertexts of a batch pass before the next ones are read: 128 KiB of key, which stay in cache.
const BLOCK: usize = 512;
/// How far ahead the key is asked for, in words.
const AHEAD: usize = 4 * TILE;

/// Key words, `[tile][entry][TILE]`.
enum Words {
    /// Mod 2^64.
    Full(AlignedVec<u64>),
    /// The upper halves of words of which the lower ones are zero.
    Narrow(AlignedVec<u32>),
}

/// A keyswitching key in the engine's layout.
pub(crate) struct KeyswitchRows {
    words: Words,
    gadget: Gadget,
    input_dimension: usize,
    columns: usize,
    modulus_log2: u32,
}

impl KeyswitchRows {
    pub(crate) fn new(parameters: &BootstrapParameters, standard: &[u64]) -> Self {
        let columns = parameters.lwe_dimension.0 + 1;
        let words = if parameters.ks_modulus_log2 <= 32 {
            Words::Narrow(tiles(standard, columns, |word| (word >> 32) as u32))
        } else {
            Words::Full(tiles(standard, columns, |word| word))
        };
        Self {
            words,
            gadget: Gadget::new(parameters.ks_decomposition()),
            input_dimension: parameters.big_lwe_dimension().0,
            columns,
            modulus_log2: parameters.ks_modulus_log2,
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.words {
            Words::Full(words) => size_of_val(&**words),
            Words::Narrow(words) => size_of_val(&**words),
        }
    }

    /// The digits of a batch, `[ciphertext][input word][level]`, as words mod 2^64.
    pub(crate) fn digits(&self, inputs: &[u64]) -> Vec<u64> {
        let mut digits = Vec::with_capacity(inputs.len() * self.gadget.level);
        for input in inputs.chunks_exact(self.input_dimension + 1) {
            for &a in &input[..self.input_dimension] {
                let mut state = self.gadget.state(a);
                for _ in 0..self.gadget.level {
                    digits.push(self.gadget.next_digit(&mut state).cast_unsigned());
                }
            }
        }
        digits
    }

    /// The columns from `first_tile` on of every output; `outputs` holds one row of those columns a ciphertext.
    pub(crate) fn run_columns(
        &self,
        kernel: Kernel,
        inputs: &[u64],
        digits: &[u64],
        first_tile: usize,
        outputs: &mut [&mut [u64]],
    ) {
        let width = outputs.first().map_or(0, |output| output.len());
        let entries = self.input_dimension * self.gadget.level;
        let mut sums = vec![0u64; outputs.len() * TILE];
        for (tile, start) in (0..width).step_by(TILE).enumerate() {
            let at = (first_tile + tile) * entries * TILE;
            sums.fill(0);
            match &self.words {
                Words::Full(words) => {
                    kernel.run(Pass { key: FullWords(&words[at..]), digits, entries, sums: &mut sums })
                }
                Words::Narrow(words) => {
                    kernel.run(Pass { key: NarrowWords(&words[at..]), digits, entries, sums: &mut sums })
                }
            }
            let unit = if matches!(self.words, Words::Narrow(_)) { 32 } else { 0 };
            for (output, sums) in outputs.iter_mut().zip(sums.chunks_exact(TILE)) {
                for (o, &sum) in output[start..].iter_mut().zip(sums) {
                    *o = 0u64.wrapping_sub(sum << unit);
                }
            }
        }
        if first_tile * TILE + width == self.columns {
            for (output, input) in outputs.iter_mut().zip(inputs.chunks_exact(self.input_dimension + 1)) {
                if let Some(body) = output.last_mut() {
                    let rounded = torus::round_to_modulus(input[self.input_dimension], self.modulus_log2);
                    *body = body.wrapping_add(rounded);
                }
            }
        }
    }
}

/// Rows of `columns` words as `[tile][entry][TILE]`.
fn tiles<T: Plain>(standard: &[u64], columns: usize, convert: impl Fn(u64) -> T) -> AlignedVec<T> {
    let entries = standard.len() / columns;
    let mut words = AlignedVec::zeroed(columns.div_ceil(TILE) * entries * TILE);
    for (entry, row) in standard.chunks_exact(columns).enumerate() {
        for (tile, row) in row.chunks(TILE).enumerate() {
            let at = (tile * entries + entry) * TILE;
            for (word, &w) in words[at..].iter_mut().zip(row) {
                *word = convert(w);
            }
        }
    }
    words
}

/// Where key words come from.
trait Source: Copy {
    fn load<S: Simd>(self, s: S, i: usize) -> S::U;
    fn prefetch<S: Simd>(self, s: S, i: usize);
    /// Words of a cache line.
    const LINE: usize;
}

#[derive(Clone, Copy)]
struct FullWords<'a>(&'a [u64]);

impl Source for FullWords<'_> {
    const LINE: usize = 8;

    #[inline(always)]
    fn load<S: Simd>(self, s: S, i: usize) -> S::U {
        s.load_u(self.0, i)
    }
    #[inline(always)]
    fn prefetch<S: Simd>(self, s: S, i: usize) {
        s.prefetch_far(self.0, i);
    }
}

#[derive(Clone, Copy)]
struct NarrowWords<'a>(&'a [u32]);

impl Source for NarrowWords<'_> {
    const LINE: usize = 16;

    #[inline(always)]
    fn load<S: Simd>(self, s: S, i: usize) -> S::U {
        s.load_u32(self.0, i)
    }
    #[inline(always)]
    fn prefetch<S: Simd>(self, s: S, i: usize) {
        s.prefetch_far(self.0, i);
    }
}

/// Sums of `digit * key` over all entries of a tile, for every ciphertext: `sums` is `[ciphertext][TILE]`.
struct Pass<'a, K> {
    key: K,
    digits: &'a [u64],
    entries: usize,
    sums: &'a mut [u64],
}

impl<K: Source> Task for Pass<'_, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // 16 sums of 8 lanes fit 32 registers, 8 of 4 lanes 16.
        let group = if S::LANES == 8 { 4 } else { 1 };
        for first in (0..self.entries).step_by(BLOCK) {
            let last = (first + BLOCK).min(self.entries);
            let groups = self.sums.chunks_mut(group * TILE).zip(self.digits.chunks(group * self.entries));
            for (index, (sums, digits)) in groups.enumerate() {
                // The first group of a block brings the key into cache.
                let ahead = index == 0;
                if sums.len() == 4 * TILE {
                    accumulate::<S, K, 4>(s, self.key, digits, self.entries, first..last, sums, ahead);
                } else {
                    for (sums, digits) in sums.chunks_mut(TILE).zip(digits.chunks(self.entries)) {
                        accumulate::<S, K, 1>(s, self.key, digits, self.entries, first..last, sums, ahead);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn accumulate<S: Simd, K: Source, const COUNT: usize>(
    s: S,
    key: K,
    digits: &[u64],
    entries: usize,
    range: std::ops::Range<usize>,
    sums: &mut [u64],
    ahead: bool,
) {
    let vectors = TILE / S::LANES;
    let mut acc = [[s.splat_u(0); 8]; COUNT];
    for i in 0..COUNT {
        for v in 0..vectors {
            acc[i][v] = s.load_u(sums, i * TILE + v * S::LANES);
        }
    }
    for entry in range {
        if ahead {
            for line in (0..TILE).step_by(K::LINE) {
                key.prefetch(s, entry * TILE + AHEAD + line);
            }
        }
        for v in 0..vectors {
            let k = key.load(s, entry * TILE + v * S::LANES);
            for i in 0..COUNT {
                let digit = s.splat_u(digits[i * entries + entry]);
                acc[i][v] = s.add_u(acc[i][v], s.mul_u(k, digit));
            }
        }
    }
    for i in 0..COUNT {
        for v in 0..vectors {
            s.store_u(sums, i * TILE + v * S::LANES, acc[i][v]);
        }
    }
}
