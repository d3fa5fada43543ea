//! Keyswitch of a batch: one pass over the key serves all ciphertexts, and threads split its columns.
//!
//! Key words are held as balanced limbs of 16 bits, `sum over t of limb[t] 2^(16 t)` with limbs in `[-2^15, 2^15)`: four of
//! a word mod 2^64, two of the upper half where the key is mod 2^32 or less. The entries 2q and 2q + 1 of a column stand
//! side by side, limb by limb, so that one multiply-add of 16-bit pairs takes two digits times eight limbs (AVX2). The key
//! is cut into tiles of a few columns, each contiguous over all entries: a pass reads memory in order and keeps its sums
//! in registers.
//!
//! # Numbers
//! Digits lie in `[-2^(B-1), 2^(B-1)]`. Those of a base above 2^8 are cut into parts of 8 bits in [-2^7, 2^7], which pass
//! the key like digits of ciphertexts of their own. A pair of products is at most 2^7 2^15 2 = 2^23 in magnitude, so sums
//! over the 2^6 pairs of a block stay within 2^29, in lanes of 32 bits. Then they are joined to words mod 2^64. Of the two
//! lanes in a word the lower one has the limb of lower weight and starts at 2^31: it never becomes negative, so that the
//! word less 2^31 is `lower + upper 2^32` without extending a sign.

use super::memory::AlignedVec;
use super::simd::{Kernel, Simd, Task};
use super::torus::{self, Gadget};
use glovebox_golden::params::BootstrapParameters;

/// Words of a tile that belong to a pair of entries: two cache lines.
const TILE: usize = 16;
/// Pairs of entries that all ciphertexts of a batch pass before the next ones are read: 8 KiB of key, which stay in the
/// first-level cache.
const BLOCK: usize = 64;
/// How far ahead a single group asks for the key, in pairs.
const AHEAD: usize = 8;
/// Bits of a part of a digit.
const PART: u32 = 8;
const _: () = assert!((BLOCK as u64) << (PART - 1 + 15 + 1) < 1 << 31);

/// A keyswitching key in the engine's layout.
pub(crate) struct KeyswitchRows {
    /// `[tile][pair of entries][TILE]`. Of 16-bit limbs from the least significant, each of both entries, a word has 0 and 2
    /// in the first half of the tile, 1 and 3 in the second half; if narrow, 0 and 1 of the upper halves.
    words: AlignedVec<u64>,
    /// The lower halves of words are zero and left out.
    narrow: bool,
    gadget: Gadget,
    input_dimension: usize,
    columns: usize,
    modulus_log2: u32,
}

impl KeyswitchRows {
    pub(crate) fn new(parameters: &BootstrapParameters, standard: &[u64]) -> Self {
        let columns = parameters.lwe_dimension.0 + 1;
        let narrow = parameters.ks_modulus_log2 <= 32;
        let width = if narrow { TILE } else { TILE / 2 };
        let pairs = (standard.len() / columns).div_ceil(2);
        let mut words = AlignedVec::zeroed(columns.div_ceil(width) * pairs * TILE);
        for (entry, row) in standard.chunks_exact(columns).enumerate() {
            let odd = entry as u32 % 2 * 16;
            for (tile, row) in row.chunks(width).enumerate() {
                let at = (tile * pairs + entry / 2) * TILE;
                let words = &mut words[at..at + TILE];
                for (column, &word) in row.iter().enumerate() {
                    if narrow {
                        let [low, high, ..] = balanced(word >> 32);
                        words[column] |= (low | high << 32) << odd;
                    } else {
                        let [a, b, c, d] = balanced(word);
                        words[column] |= (a | c << 32) << odd;
                        words[width + column] |= (b | d << 32) << odd;
                    }
                }
            }
        }
        Self {
            words,
            narrow,
            gadget: Gadget::new(parameters.ks_decomposition()),
            input_dimension: parameters.big_lwe_dimension().0,
            columns,
            modulus_log2: parameters.ks_modulus_log2,
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    /// Columns of a tile.
    pub(crate) fn tile_columns(&self) -> usize {
        if self.narrow { TILE } else { TILE / 2 }
    }

    /// Parts of a digit.
    fn parts(&self) -> usize {
        self.gadget.base_log.div_ceil(PART) as usize
    }

    /// Pairs of entries, the last one padded with a zero digit.
    fn pairs(&self) -> usize {
        (self.input_dimension * self.gadget.level).div_ceil(2)
    }

    /// The digits of a batch, `[ciphertext][part][pair of entries]`: a word holds the pair twice, in 16 bits each.
    pub(crate) fn digits(&self, inputs: &[u64]) -> Vec<u64> {
        let (parts, pairs) = (self.parts(), self.pairs());
        let count = inputs.len() / (self.input_dimension + 1);
        let mut digits = vec![0; count * parts * pairs];
        for (input, digits) in inputs.chunks_exact(self.input_dimension + 1).zip(digits.chunks_exact_mut(parts * pairs))
        {
            let mut entry = 0;
            for &a in &input[..self.input_dimension] {
                let mut state = self.gadget.state(a);
                for _ in 0..self.gadget.level {
                    let mut left = self.gadget.next_digit(&mut state);
                    for part in 0..parts {
                        // The last part is within [-2^7, 2^7], as the digit is in [-2^(B-1), 2^(B-1)].
                        let low = if part + 1 == parts { left } else { i64::from(left as i8) };
                        left = (left - low) >> PART;
                        let twice = u64::from(low as u16) * ((1 << 32) + 1);
                        digits[part * pairs + entry / 2] |= twice << (entry % 2 * 16);
                    }
                    entry += 1;
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
        let columns = outputs.first().map_or(0, |output| output.len());
        let (parts, pairs, width) = (self.parts(), self.pairs(), self.tile_columns());
        let mut sums = vec![0; outputs.len() * parts * width];
        for (tile, start) in (0..columns).step_by(width).enumerate() {
            let key = &self.words[(first_tile + tile) * pairs * TILE..];
            sums.fill(0);
            kernel.run(Pass { key, narrow: self.narrow, digits, pairs, sums: &mut sums });
            for (output, sums) in outputs.iter_mut().zip(sums.chunks_exact(parts * width)) {
                for (column, o) in output[start..].iter_mut().take(width).enumerate() {
                    let sum = sums[column..]
                        .iter()
                        .step_by(width)
                        .rev()
                        .fold(0u64, |sum, &part| (sum << PART).wrapping_add(part));
                    *o = sum.wrapping_neg();
                }
            }
        }
        if first_tile * width + columns == self.columns {
            for (output, input) in outputs.iter_mut().zip(inputs.chunks_exact(self.input_dimension + 1)) {
                if let Some(body) = output.last_mut() {
                    let rounded = torus::round_to_modulus(input[self.input_dimension], self.modulus_log2);
                    *body = body.wrapping_add(rounded);
                }
            }
        }
    }
}

/// The balanced 16-bit limbs of a word mod 2^64, least significant first, as bits.
fn balanced(word: u64) -> [u64; 4] {
    let mut left = word;
    std::array::from_fn(|_| {
        let limb = left as i16;
        left = left.wrapping_sub(i64::from(limb).cast_unsigned()) >> 16;
        u64::from(limb.cast_unsigned())
    })
}

/// Sums of `digit * key` over all entries of a tile, for every part of every ciphertext's digits: `sums` holds
/// `TILE / 2` columns of each, or `TILE` if the key is narrow.
struct Pass<'a> {
    key: &'a [u64],
    narrow: bool,
    digits: &'a [u64],
    pairs: usize,
    sums: &'a mut [u64],
}

impl Task for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.narrow { self.blocks::<S, true>(s) } else { self.blocks::<S, false>(s) }
    }
}

impl Pass<'_> {
    #[inline(always)]
    fn blocks<S: Simd, const NARROW: bool>(self, s: S) {
        let Self { key, digits, pairs, sums, .. } = self;
        let width = if NARROW { TILE } else { TILE / 2 };
        let rows = sums.len() / width;
        // 16 sums of 8 lanes fit 32 registers, 8 of 4 lanes 16.
        let most = if S::LANES == 8 { 8 } else { 2 };
        let groups = rows / most + (rows % most).count_ones() as usize;
        for first in (0..pairs).step_by(BLOCK) {
            let range = first..(first + BLOCK).min(pairs);
            let (mut row, mut turn) = (0, (0, groups));
            while row < rows {
                let group = 1 << (rows - row).min(most).ilog2();
                let (digits, sums) = (&digits[row * pairs..], &mut sums[row * width..]);
                match group {
                    8 => accumulate::<S, NARROW, 8>(s, key, digits, pairs, range.clone(), sums, turn),
                    4 => accumulate::<S, NARROW, 4>(s, key, digits, pairs, range.clone(), sums, turn),
                    2 => accumulate::<S, NARROW, 2>(s, key, digits, pairs, range.clone(), sums, turn),
                    _ => accumulate::<S, NARROW, 1>(s, key, digits, pairs, range.clone(), sums, turn),
                }
                row += group;
                turn.0 += 1;
            }
        }
    }
}

/// A block of the key, times `COUNT` rows of digits. The groups of a block take turns in asking for the next one, so that
/// it comes while all of them compute: this is `turn` of `turns`.
#[inline(always)]
fn accumulate<S: Simd, const NARROW: bool, const COUNT: usize>(
    s: S,
    key: &[u64],
    digits: &[u64],
    pairs: usize,
    range: std::ops::Range<usize>,
    sums: &mut [u64],
    (turn, turns): (usize, usize),
) {
    let vectors = TILE / S::LANES;
    let bias = s.splat_u(1 << 31);
    let mut acc = [[if NARROW { s.splat_u(0) } else { bias }; 4]; COUNT];
    let digits: [&[u64]; COUNT] = std::array::from_fn(|i| &digits[i * pairs..][range.clone()]);
    let ahead = if turns == 1 { AHEAD } else { BLOCK } * TILE;
    let mut next = turn;
    for (pair, k) in key[range.start * TILE..range.end * TILE].chunks_exact(TILE).enumerate() {
        if pair == next {
            for line in (0..TILE).step_by(8) {
                s.prefetch(k, ahead + line);
            }
            next += turns;
        }
        let mut words = [bias; 4];
        for v in 0..vectors {
            words[v] = s.load_u(k, v * S::LANES);
        }
        for i in 0..COUNT {
            let digit = s.splat_u(digits[i][pair]);
            for v in 0..vectors {
                acc[i][v] = s.madd16(acc[i][v], words[v], digit);
            }
        }
    }
    for i in 0..COUNT {
        if NARROW {
            for v in 0..vectors {
                let at = i * TILE + v * S::LANES;
                let word = s.add_u(s.shl_u(acc[i][v], 32), s.shl_u(s.shr_u(acc[i][v], 32), 48));
                s.store_u(sums, at, s.add_u(s.load_u(sums, at), word));
            }
        } else {
            for v in 0..vectors / 2 {
                let at = i * TILE / 2 + v * S::LANES;
                let (even, odd) = (s.sub_u(acc[i][v], bias), s.sub_u(acc[i][v + vectors / 2], bias));
                let word = s.add_u(even, s.shl_u(odd, 16));
                s.store_u(sums, at, s.add_u(s.load_u(sums, at), word));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn limbs_make_the_word(word: u64) {
            for word in [word, word & 0x8000_8000_8000_8000, word | 0x7FFF_7FFF_7FFF_7FFF] {
                let limbs = balanced(word);
                prop_assert!(limbs.iter().all(|limb| limb >> 16 == 0));
                let join = |value: u64, &limb: &u64| (value << 16).wrapping_add(i64::from(limb as i16).cast_unsigned());
                prop_assert_eq!(limbs.iter().rev().fold(0, join), word);
            }
        }
    }
}
