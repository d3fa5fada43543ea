//! The order of a key's words in card memory: what its streams bring, beat by beat.
//!
//! All words are little-endian. A key begins at any beat of the memory; both orders are gapless, and a batch reads its
//! key from the first byte to the last, once.
//!
//! **Bootstrapping key** of n steps, l levels (the least significant digit's first), ring degree N, for an engine of
//! L lanes, W = L/2 points a cycle: `[step][level][beat of N/W][component of (k + 1)(k + 2)][point of W]`, words of 64
//! bits; point i of beat b is word b W + i of the bit-reversed transform. Components: the factors of each column, rows
//! within columns, then for each column the sum of the products of its rows 2j and 2j + 1; for k = 1 b00, b10, b01, b11
//! (row, column), b00 b10, b01 b11.
//!
//! **Keyswitching key** from kN to n words with l levels, for an engine of V columns a cycle:
//! `[block of ceil((n + 1)/V)][group of entries][column of V]`, slots of 64 bits. An entry is (mask word i, level index)
//! in golden's order, number i l + level index. A slot holds 1, 2 or 3 consecutive entries' words of one column: one
//! of 64 bits, two of 32 or three of 21, the first in the low bits; bit 63 of the last form is 0. Columns past n + 1 and
//! entries past kN l are 0.

use crate::layout::GlweShape;
use alloc::vec::Vec;

/// Components of a point of the bootstrapping key, (k + 1)(k + 2).
pub const fn components(glwe_dimension: u32) -> u64 {
    let rows = glwe_dimension as u64 + 1;
    rows * (rows + 1)
}

/// Puts `[n][level][component][N]` into the order of an engine of `lanes` lanes.
///
/// Empty if the number of words is no multiple of `components * N`, or N none of `lanes / 2`.
pub fn stripe_bootstrap_key(words: &[u64], glwe: GlweShape, lanes: usize) -> Vec<u64> {
    let (degree, points) = (glwe.degree() as usize, lanes / 2);
    let block = components(glwe.dimension) as usize * degree;
    if points == 0 || !degree.is_multiple_of(points) || !words.len().is_multiple_of(block) {
        return Vec::new();
    }
    let mut striped = Vec::with_capacity(words.len());
    for block in words.chunks_exact(block) {
        for beat in 0..degree / points {
            for component in block.chunks_exact(degree) {
                striped.extend_from_slice(&component[beat * points..][..points]);
            }
        }
    }
    striped
}

/// Bits of a keyswitching-key word in card memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyswitchWord {
    /// One word a slot.
    Bits64,
    /// Two words a slot.
    Bits32,
    /// Three words a slot.
    Bits21,
}

impl KeyswitchWord {
    /// The narrowest form for a modulus of 2^m.
    pub const fn for_modulus_log2(m: u32) -> Self {
        match m {
            0..=21 => Self::Bits21,
            22..=32 => Self::Bits32,
            _ => Self::Bits64,
        }
    }

    /// Width in bits.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bits64 => 64,
            Self::Bits32 => 32,
            Self::Bits21 => 21,
        }
    }

    /// Words a slot.
    pub const fn per_slot(self) -> usize {
        (64 / self.bits()) as usize
    }
}

/// Puts `[entry][n + 1]` (words at the top of 64 bits, as golden's) into the order of an engine of `columns` columns.
///
/// Empty if the number of words is no multiple of `small_len`, or a length is 0.
pub fn stripe_keyswitch_key(words: &[u64], small_len: usize, columns: usize, form: KeyswitchWord) -> Vec<u64> {
    if small_len == 0 || columns == 0 || !words.len().is_multiple_of(small_len) {
        return Vec::new();
    }
    let (entries, per_slot, bits) = (words.len() / small_len, form.per_slot(), form.bits());
    let mut striped = Vec::new();
    for block in 0..small_len.div_ceil(columns) {
        for group in 0..entries.div_ceil(per_slot) {
            for column in block * columns..(block + 1) * columns {
                let word = |k: usize| {
                    let entry = group * per_slot + k;
                    let known = column < small_len && entry < entries;
                    if known { words[entry * small_len + column] >> (64 - bits) } else { 0 }
                };
                striped.push((0..per_slot).fold(0, |slot, k| slot | word(k) << (bits * k as u32)));
            }
        }
    }
    striped
}
