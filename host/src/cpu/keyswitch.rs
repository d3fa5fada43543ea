//! Keyswitch of a batch: one pass over the key serves all ciphertexts, and threads split its columns.
//!
//! The key is held column by column, in two halves: `word = lower + upper 2^32` mod 2^64, each half `l + h 2^16` with
//! balanced limbs of 16 bits in `[-2^15, 2^15)`. Keys mod 2^32 or less have the upper half only. The entries 2q and 2q + 1
//! of a column stand side by side, limb by limb, so that a multiply-add of 16-bit pairs takes two digits times both limbs in
//! 64 bits. A pass takes a few columns and ciphertexts at a time, whose sums stay in registers.
//!
//! # Numbers
//! Digits lie in `[-2^(B-1), 2^(B-1)]`. Those of a base above 2^8 are cut into parts of 8 bits in [-2^7, 2^7], which pass
//! the key like digits of ciphertexts of their own. A pair of products is at most 2^7 2^15 2 = 2^23 in magnitude, so sums
//! over the 2^6 pairs that a lane gets of a block stay within 2^29, in lanes of 32 bits. These start at 2^31, so that they
//! never become negative, and are joined to words at the end of a block.
//!
//! # Rotations without the lower half
//! A blind rotation needs of a mask word its upper log2(2N) bits, rounded. The sums of the upper half give a word but for the
//! sum of the lower one, which is at most `sum |digit| (2^31 + 2^15)` in magnitude: `2^46` for the default set, where one
//! word in 30 lies that close to where the rounding changes. Only for those columns the lower half is read. Half of the
//! key's bytes then need not come from memory. The centred modulus switch also takes the sum of all rounding errors, hence
//! of all words of the mask: the key has a column more, the sum of the mask's.

use super::memory::AlignedVec;
use super::simd::{Kernel, Simd, Task};
use super::torus::{self, Gadget};
use glovebox_golden::params::{BootstrapParameters, ModulusSwitchKind};

/// Columns that are taken at a time, and with them ciphertexts: 16 sums fit 32 registers, 8 of them 16.
pub(crate) const COLUMNS: usize = 4;
/// Vectors of a column that all ciphertexts of a batch pass before the next ones are read: with the other columns' 16 KiB
/// at most, which stay in the first-level cache.
const BLOCK: usize = 64;
/// Pairs of entries in a cache line, of which a column has whole ones.
const LINE: usize = 8;
/// Bits of a part of a digit.
const PART: u32 = 8;
const _: () = assert!((BLOCK as u64) << (PART - 1 + 15 + 1) < 1 << 31);
/// The magnitude of a lower half.
const MOST_LOWER: u64 = (1 << 31) + (1 << 15);

/// A keyswitching key in the engine's layout.
pub(crate) struct KeyswitchRows {
    /// The upper halves and, unless the key is mod 2^32 or less, the lower ones.
    halves: Vec<Half>,
    parameters: BootstrapParameters,
    gadget: Gadget,
    /// Words of an output, n + 1.
    columns: usize,
    /// Whether a rotation's exponents come from the upper half: the lower one is held, and few of them should be in doubt.
    upper_suffices: bool,
}

/// One half of every word: `[column][pair of entries]`, four 16-bit limbs a pair: l of both, h of both.
struct Half {
    words: AlignedVec<u64>,
    /// Words from a column to the next: an odd number of cache lines, so that columns do not share their places in caches.
    stride: usize,
    /// Pairs of entries, in whole cache lines.
    pairs: usize,
}

/// What a pass over the key is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The words of the outputs.
    Words,
    /// Words for [`KeyswitchRows::exponents`]. Where the upper half suffices, they lack the lower one, and one more is the sum of
    /// the mask's.
    Exponents,
}

/// Decomposed ciphertexts.
pub(crate) struct KeyswitchDigits {
    /// `[ciphertext][part][pair of entries]`: a word holds the pair twice, in 16 bits each.
    words: Vec<u64>,
    /// Words of a ciphertext.
    each: usize,
    /// For every ciphertext, the sum of its digits' magnitudes.
    magnitudes: Vec<u64>,
}

impl KeyswitchDigits {
    /// The words of ciphertext `index`.
    fn of(&self, index: usize) -> &[u64] {
        &self.words[index * self.each..][..self.each]
    }
}

impl KeyswitchRows {
    pub(crate) fn new(parameters: &BootstrapParameters, standard: &[u64]) -> Self {
        let columns = parameters.lwe_dimension.0 + 1;
        let narrow = parameters.ks_modulus_log2 <= 32;
        let stored = if narrow { columns } else { columns + 1 };
        let entries = standard.len() / columns;
        let lines = entries.div_ceil(2 * LINE);
        let (pairs, stride) = (lines * LINE, (lines | 1) * LINE);
        let half = || Half { words: AlignedVec::zeroed(stored * stride), stride, pairs };
        let mut halves: Vec<Half> = (0..if narrow { 1 } else { 2 }).map(|_| half()).collect();
        for (line, rows) in standard.chunks(2 * LINE * columns).enumerate() {
            let mask_sum = |row: &[u64]| row[..columns - 1].iter().fold(0u64, |sum, &word| sum.wrapping_add(word));
            let sums: Vec<u64> = rows.chunks_exact(columns).map(mask_sum).collect();
            for column in 0..stored {
                for (entry, &sum) in sums.iter().enumerate() {
                    let word = if column < columns { rows[entry * columns + column] } else { sum };
                    let at = column * stride + line * LINE + entry / 2;
                    // Of a key mod 2^32 or less, the lower two are zero.
                    let [a, b, c, d] = balanced(word);
                    for (half, (l, h)) in halves.iter_mut().zip([(c, d), (a, b)]) {
                        half.words[at] |= (l | h << 32) << (entry % 2 * 16);
                    }
                }
            }
        }
        let gadget = Gadget::new(parameters.ks_decomposition());
        // Digits are a quarter of their base in the mean.
        let usual_magnitude = entries as f64 * f64::from(gadget.base_log).exp2() / 4.0;
        let upper_suffices = !narrow && usual_magnitude * MOST_LOWER as f64 <= most_doubt(parameters) as f64;
        Self { halves, parameters: *parameters, gadget, columns, upper_suffices }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.halves.iter().map(|half| size_of_val(&*half.words)).sum()
    }

    /// Parts of a digit.
    fn parts(&self) -> usize {
        self.gadget.base_log.div_ceil(PART) as usize
    }

    /// Columns of a ciphertext.
    pub(crate) fn columns(&self, wanted: Wanted) -> usize {
        self.columns + usize::from(wanted == Wanted::Exponents && self.upper_suffices)
    }

    /// The digits of a batch.
    pub(crate) fn digits(&self, inputs: &[u64]) -> KeyswitchDigits {
        let (parts, pairs) = (self.parts(), self.halves[0].pairs);
        let big = self.parameters.big_lwe_dimension().0;
        let count = inputs.len() / (big + 1);
        let each = parts * pairs;
        let (mut words, mut magnitudes) = (vec![0; count * each], vec![0; count]);
        let ciphertexts = inputs.chunks_exact(big + 1).zip(words.chunks_exact_mut(each));
        for ((input, words), magnitude) in ciphertexts.zip(&mut magnitudes) {
            let mut entry = 0;
            for &a in &input[..big] {
                let mut state = self.gadget.state(a);
                for _ in 0..self.gadget.level {
                    let mut left = self.gadget.next_digit(&mut state);
                    *magnitude += left.unsigned_abs();
                    for part in 0..parts {
                        // The last part is within [-2^7, 2^7], as the digit is in [-2^(B-1), 2^(B-1)].
                        let low = if part + 1 == parts { left } else { i64::from(left as i8) };
                        left = (left - low) >> PART;
                        let twice = u64::from(low as u16) * ((1 << 32) + 1);
                        words[part * pairs + entry / 2] |= twice << (entry % 2 * 16);
                    }
                    entry += 1;
                }
            }
        }
        KeyswitchDigits { words, each, magnitudes }
    }

    /// The columns from `first` on of every output; `outputs` holds one row of those columns a ciphertext.
    pub(crate) fn run_columns(
        &self,
        kernel: Kernel,
        wanted: Wanted,
        inputs: &[u64],
        digits: &KeyswitchDigits,
        first: usize,
        outputs: &mut [&mut [u64]],
    ) {
        let halves = if wanted == Wanted::Exponents && self.upper_suffices { 1 } else { self.halves.len() };
        let columns: Vec<usize> = (first..).take(outputs.first().map_or(0, |output| output.len())).collect();
        let big = self.parameters.big_lwe_dimension().0;
        let body = columns.iter().position(|column| column + 1 == self.columns);
        for (output, input) in outputs.iter_mut().zip(inputs.chunks_exact(big + 1)) {
            output.fill(0);
            if let Some(body) = body {
                output[body] = torus::round_to_modulus(input[big], self.parameters.ks_modulus_log2);
            }
        }
        for (half, shift) in self.halves[..halves].iter().zip([32, 0]) {
            let mut sums = self.sums(kernel, half, &digits.words, &columns).into_iter();
            for o in outputs.iter_mut().flat_map(|output| output.iter_mut()) {
                *o = o.wrapping_sub(sums.next().unwrap_or(0) << shift);
            }
        }
    }

    /// The exponents of the blind rotation of ciphertext `index`, as [`torus::modulus_switch`] makes of its words; `words` are
    /// those that [`Wanted::Exponents`] gave.
    pub(crate) fn exponents(
        &self,
        kernel: Kernel,
        digits: &KeyswitchDigits,
        index: usize,
        words: &[u64],
        exponents: &mut [u32],
    ) {
        if !self.upper_suffices {
            return torus::modulus_switch(&self.parameters, words, exponents);
        }
        if self.exponents_of_most(kernel, digits, index, words, exponents).is_none() {
            let columns: Vec<usize> = (0..self.columns).collect();
            let sums = self.sums(kernel, &self.halves[1], digits.of(index), &columns);
            let words: Vec<u64> = words.iter().zip(&sums).map(|(word, sum)| word.wrapping_sub(*sum)).collect();
            torus::modulus_switch(&self.parameters, &words, exponents);
        }
    }

    /// [`KeyswitchRows::exponents`] by the upper half and a few columns of the lower one, if few words are in doubt.
    fn exponents_of_most(
        &self,
        kernel: Kernel,
        digits: &KeyswitchDigits,
        index: usize,
        upper: &[u64],
        exponents: &mut [u32],
    ) -> Option<()> {
        // The most that words are off.
        let bound = digits.magnitudes[index].saturating_mul(MOST_LOWER);
        let (n, bits) = (self.columns - 1, self.parameters.ring_degree.log2() + 1);
        let (unit, half) = (1u64 << (64 - bits), 1u64 << (63 - bits));
        // The sum of n errors must be known by its remainder.
        if bound > most_doubt(&self.parameters) || n >= 1 << bits {
            return None;
        }
        // Body and sum, and what lies within the bound of a multiple of the unit.
        let mut columns = vec![n, n + 1];
        for (column, (&word, exponent)) in upper[..n].iter().zip(exponents.iter_mut()).enumerate() {
            *exponent = torus::switch_word(word, bits);
            if word.wrapping_add(half).wrapping_add(bound) & (unit - 1) <= 2 * bound {
                columns.push(column);
            }
        }
        let sums = self.sums(kernel, &self.halves[1], digits.of(index), &columns);
        let word = |i: usize| upper[columns[i]].wrapping_sub(sums[i]);
        for (i, &column) in columns.iter().enumerate().skip(2) {
            exponents[column] = torus::switch_word(word(i), bits);
        }
        let switched = |correction: i64| torus::switch_word(word(0).wrapping_add_signed(correction), bits);
        exponents[n] = match self.parameters.modulus_switch {
            ModulusSwitchKind::Standard => switched(0),
            ModulusSwitchKind::CenteredMean => {
                // `sum of truncated halves - lost / 2` is half the sum of all errors; odd sums are rounded up or down, which
                // the words themselves decide.
                let rounded = exponents[..n].iter().fold(0u64, |sum, &e| sum.wrapping_add(u64::from(e) << (64 - bits)));
                let errors = rounded.wrapping_sub(word(1)).cast_signed();
                let [low, high] = [errors >> 1, (errors >> 1) + (errors & 1)].map(|x| switched(x - half.cast_signed()));
                if low != high {
                    return None;
                }
                low
            }
        };
        Some(())
    }

    /// `sum over entries of digit * half` for the given columns, mod 2^64: `[ciphertext][column]`.
    fn sums(&self, kernel: Kernel, half: &Half, digits: &[u64], columns: &[usize]) -> Vec<u64> {
        let parts = self.parts();
        let rows = digits.len() / half.pairs;
        let mut sums = vec![0; rows * columns.len()];
        kernel.run(Pass { half, columns, digits, rows, sums: &mut sums });
        if parts == 1 {
            return sums;
        }
        let join = |parts: &[u64]| -> Vec<u64> {
            let part = |i: usize| parts[i..].iter().step_by(columns.len()).rev();
            (0..columns.len()).map(|i| part(i).fold(0u64, |sum, &part| (sum << PART).wrapping_add(part))).collect()
        };
        sums.chunks_exact(parts * columns.len().max(1)).flat_map(join).collect()
    }
}

/// A bound of words up to which one in eight is in doubt: with more, the whole key is read as quickly.
fn most_doubt(parameters: &BootstrapParameters) -> u64 {
    1 << (63 - parameters.ring_degree.log2() - 4)
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

/// Sums of `digit * key` over all entries of the given columns, for every part of every ciphertext's digits.
struct Pass<'a> {
    half: &'a Half,
    columns: &'a [usize],
    digits: &'a [u64],
    rows: usize,
    /// `[row of digits][column]`.
    sums: &'a mut [u64],
}

/// What the lanes of a vector start a block with, and what that makes of its sum.
const BIAS: u64 = (1 << 31) + (1 << 63);
const BIAS_OF_SUM: u64 = (1 << 31) + (1 << 47);

impl Task for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if let Some(proof) = s.fuses() {
            self.all_columns(
                s,
                #[inline(always)]
                |c, a, b| s.fused_madd16(proof, c, a, b),
            );
        } else {
            self.all_columns(
                s,
                #[inline(always)]
                |c, a, b| s.madd16(c, a, b),
            );
        }
    }
}

impl Pass<'_> {
    #[inline(always)]
    fn all_columns<S: Simd>(mut self, s: S, madd16: impl Fn(S::U, S::U, S::U) -> S::U + Copy) {
        let (width, mut first) = (self.columns.len(), 0);
        while first < width {
            if first + COLUMNS <= width {
                self.columns_from::<S, COLUMNS>(s, madd16, first);
                first += COLUMNS;
            } else {
                self.columns_from::<S, 1>(s, madd16, first);
                first += 1;
            }
        }
    }

    /// COUNT columns, the first of which is number `first` of the list.
    #[inline(always)]
    fn columns_from<S: Simd, const COUNT: usize>(
        &mut self,
        s: S,
        madd16: impl Fn(S::U, S::U, S::U) -> S::U + Copy,
        first: usize,
    ) {
        let Self { half, columns, digits, rows, .. } = *self;
        let (pairs, width) = (half.pairs, columns.len());
        let at: [usize; COUNT] = std::array::from_fn(|c| columns[first + c] * half.stride);
        let next_columns: [usize; COUNT] =
            std::array::from_fn(|c| columns.get(first + COUNT + c).map_or(at[c], |column| column * half.stride));
        let most = if S::LANES == 8 { 4 } else { 2 };
        let groups = rows / most + (rows % most).count_ones() as usize;
        let mut lanes = vec![0; rows * COUNT * S::LANES];
        let block_pairs = BLOCK * S::LANES;
        for start in (0..pairs).step_by(block_pairs) {
            let len = block_pairs.min(pairs - start);
            let key: [&[u64]; COUNT] = at.map(|at| &half.words[at + start..][..len]);
            let following = if start + len < pairs { at.map(|at| at + start + len) } else { next_columns };
            let (mut row, mut turn) = (0, 0);
            while row < rows {
                let group = 1 << (rows - row).min(most).ilog2();
                let next = NextBlock { words: &half.words, at: following, turn, turns: groups };
                let (digits, lanes) = (&digits[row * pairs + start..], &mut lanes[row * COUNT * S::LANES..]);
                match group {
                    4 => accumulate::<S, COUNT, 4>(s, madd16, key, digits, pairs, lanes, next),
                    2 => accumulate::<S, COUNT, 2>(s, madd16, key, digits, pairs, lanes, next),
                    _ => accumulate::<S, COUNT, 1>(s, madd16, key, digits, pairs, lanes, next),
                }
                row += group;
                turn += 1;
            }
        }
        let bias = BIAS_OF_SUM.wrapping_mul((pairs.div_ceil(block_pairs) * S::LANES) as u64);
        for (row, lanes) in lanes.chunks_exact(COUNT * S::LANES).enumerate() {
            for (column, lanes) in lanes.chunks_exact(S::LANES).enumerate() {
                let sum = lanes.iter().fold(0u64, |sum, &lane| sum.wrapping_add(lane));
                self.sums[row * width + first + column] = sum.wrapping_sub(bias);
            }
        }
    }
}

/// The groups of rows of a block take turns in asking for the next one, so that it comes while all of them compute.
struct NextBlock<'a, const COUNT: usize> {
    words: &'a [u64],
    /// Where its columns begin.
    at: [usize; COUNT],
    turn: usize,
    turns: usize,
}

/// A block of COUNT columns of the key, times ROWS rows of digits, which are `pairs` words apart; adds to the lanes of their
/// sums, `[row][column][LANES]`.
#[inline(always)]
fn accumulate<S: Simd, const COUNT: usize, const ROWS: usize>(
    s: S,
    madd16: impl Fn(S::U, S::U, S::U) -> S::U,
    key: [&[u64]; COUNT],
    digits: &[u64],
    pairs: usize,
    lanes: &mut [u64],
    next: NextBlock<'_, COUNT>,
) {
    let len = key[0].len();
    let key = key.map(|key| &key[..len]);
    let digits: [&[u64]; ROWS] = std::array::from_fn(|row| &digits[row * pairs..][..len]);
    let mut sums = [[s.splat_u(BIAS); COUNT]; ROWS];
    let mut turn = next.turn;
    for i in (0..len).step_by(S::LANES) {
        if turn == 0 {
            for at in next.at {
                s.prefetch(next.words, at + i);
            }
            turn = next.turns;
        }
        turn -= 1;
        let mut words = sums[0];
        for column in 0..COUNT {
            words[column] = s.load_u(key[column], i);
        }
        for row in 0..ROWS {
            let digit = s.load_u(digits[row], i);
            for column in 0..COUNT {
                sums[row][column] = madd16(sums[row][column], words[column], digit);
            }
        }
    }
    let ones = s.splat_u(u32::MAX.into());
    for row in 0..ROWS {
        for column in 0..COUNT {
            let (sum, at) = (sums[row][column], (row * COUNT + column) * S::LANES);
            let word = s.add_u(s.and_u(sum, ones), s.shl_u(s.shr_u(sum, 32), 16));
            s.store_u(lanes, at, s.add_u(s.load_u(lanes, at), word));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glovebox_golden::bootstrap::keyswitch;
    use glovebox_golden::cipher::LweCiphertext;
    use glovebox_golden::keys::KeyswitchKey;
    use glovebox_golden::params::{self, DecompositionBaseLog, DecompositionLevelCount, LweDimension};
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    /// Compares words and exponents of all kernels with the golden model's; returns for how many ciphertexts the
    /// upper half and a few columns of the lower one gave the exponents.
    fn quick_ones(p: &BootstrapParameters, key: &[u64], inputs: &[u64]) -> usize {
        let (big, small) = (p.big_lwe_dimension().0 + 1, p.lwe_dimension.0 + 1);
        let golden_key = KeyswitchKey::from_words(p, key.to_vec()).unwrap();
        let golden = |input: &[u64]| keyswitch(p, &golden_key, &LweCiphertext::from_words(input.to_vec())).unwrap();
        let golden: Vec<LweCiphertext> = inputs.chunks_exact(big).map(golden).collect();
        let rows = KeyswitchRows::new(p, key);
        let digits = rows.digits(inputs);
        let mut quick = 0;
        for kernel in Kernel::available() {
            let width = rows.columns(Wanted::Exponents);
            let (mut words, mut upper) = (vec![0; golden.len() * small], vec![0; golden.len() * width]);
            for (wanted, outputs, width) in [(Wanted::Words, &mut words, small), (Wanted::Exponents, &mut upper, width)]
            {
                let mut outputs: Vec<&mut [u64]> = outputs.chunks_exact_mut(width).collect();
                rows.run_columns(kernel, wanted, inputs, &digits, 0, &mut outputs);
            }
            for (index, golden) in golden.iter().enumerate() {
                assert_eq!(&words[index * small..][..small], golden.words(), "{}", kernel.name());
                let upper = &upper[index * width..][..width];
                let mut ours = vec![0; small];
                rows.exponents(kernel, &digits, index, upper, &mut ours);
                let switched = glovebox_golden::torus::modulus_switch(golden.words(), p);
                let expected: Vec<u32> = switched.mask.iter().chain([&switched.body]).map(|&e| e as u32).collect();
                assert_eq!(ours, expected, "{} {index}", kernel.name());
                if rows.upper_suffices {
                    let of_most = rows.exponents_of_most(kernel, &digits, index, upper, &mut ours);
                    quick += usize::from(of_most.is_some());
                }
            }
        }
        quick / Kernel::available().len()
    }

    fn random_words(count: usize, rng: &mut ChaCha20Rng) -> Vec<u64> {
        (0..count).map(|_| rng.next_u64()).collect()
    }

    #[test]
    fn words_and_exponents_equal_golden_for_every_kind_of_set() {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        const COUNT: usize = 7;
        for set in params::ALL {
            // 43 columns do not fill the last group.
            let p = BootstrapParameters { lwe_dimension: LweDimension(42), ..set.bootstrap };
            let unit = 64 - p.ks_modulus_log2;
            let key: Vec<u64> =
                random_words(p.keyswitch_key_len(), &mut rng).into_iter().map(|word| word >> unit << unit).collect();
            let inputs = random_words(COUNT * (p.big_lwe_dimension().0 + 1), &mut rng);
            let quick = quick_ones(&p, &key, &inputs);
            assert_eq!(quick, if p.ks_modulus_log2 <= 32 { 0 } else { COUNT }, "{}", set.name);
        }
        // Digits so large that every word is in doubt, in two parts; and more words than errors can be told for.
        let p = params::TOY_INSECURE.bootstrap;
        let wide =
            BootstrapParameters { ks_base_log: DecompositionBaseLog(16), ks_level: DecompositionLevelCount(2), ..p };
        let many = BootstrapParameters { lwe_dimension: LweDimension(2 * p.ring_degree.0), ..p };
        for p in [wide, many] {
            let key = random_words(p.keyswitch_key_len(), &mut rng);
            let inputs = random_words(2 * (p.big_lwe_dimension().0 + 1), &mut rng);
            assert_eq!(quick_ones(&p, &key, &inputs), 0);
        }
    }

    #[test]
    fn exponents_equal_golden_where_rounding_is_in_doubt() {
        let mut rng = ChaCha20Rng::seed_from_u64(6);
        for set in [params::TOY_INSECURE, params::TOY_K2_L3_INSECURE] {
            let p = BootstrapParameters { lwe_dimension: LweDimension(50), ..set.bootstrap };
            let (columns, levels) = (p.lwe_dimension.0 + 1, p.ks_level.0);
            let half = 1u64 << (62 - p.ring_degree.log2());
            for round in 0..8u64 {
                // The first digit is 1 and its row an odd number of half units and little else; other rows have lower halves.
                let mut inputs = random_words(p.big_lwe_dimension().0 + 1, &mut rng);
                inputs[0] = 1 << (64 - p.ks_base_log.0);
                let mut key = vec![0; p.keyswitch_key_len()];
                for (entry, row) in key.chunks_exact_mut(columns).enumerate() {
                    for word in row {
                        let bits = rng.next_u64();
                        *word = match (entry < levels, round % 2) {
                            (true, _) => half.wrapping_mul(bits >> 40 | 1).wrapping_add(bits % 3).wrapping_sub(1),
                            (false, 0) => (bits as i32 as i64).cast_unsigned(),
                            // At the ends of the lower half's range.
                            (false, _) => {
                                if bits & 1 == 0 {
                                    0x7FFF_7FFF
                                } else {
                                    0u64.wrapping_sub(0x8000_8000)
                                }
                            }
                        };
                    }
                }
                if round >= 4 {
                    key[levels * columns..].fill(0);
                }
                assert_eq!(quick_ones(&p, &key, &inputs), 1, "{}", set.name);
            }
        }
    }

    #[test]
    fn sums_of_errors_that_could_be_rounded_either_way_are_left_to_the_words() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let p = params::TOY_INSECURE.bootstrap;
        let unit_log2 = 63 - p.ring_degree.log2();
        let key = random_words(p.keyswitch_key_len(), &mut rng);
        let golden_key = KeyswitchKey::from_words(&p, key.clone()).unwrap();
        let mut odd = 0;
        for _ in 0..16 {
            let mut input = random_words(p.big_lwe_dimension().0 + 1, &mut rng);
            let words = keyswitch(&p, &golden_key, &LweCiphertext::from_words(input.clone())).unwrap();
            let rounded = |a: u64| a.wrapping_add(1 << (unit_log2 - 1)) >> unit_log2 << unit_log2;
            let error = |&a: &u64| rounded(a).wrapping_sub(a).cast_signed();
            let errors: i64 = words.mask().iter().map(error).sum();
            if errors % 2 != 0 {
                // Half of them, rounded down, makes the body the last word of an exponent.
                let sum = words.body().wrapping_add_signed(errors >> 1);
                let last = input.len() - 1;
                input[last] = input[last].wrapping_add(((1 << unit_log2) - 1) - sum % (1 << unit_log2));
                assert_eq!(quick_ones(&p, &key, &input), 0);
                odd += 1;
            }
        }
        assert!(odd > 2, "{odd}");
    }

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
