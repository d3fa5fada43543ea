//! The exact multiplication: the key in limbs small enough that double precision gives every integer of a product.
//!
//! A step needs `S = sum over rows of digits * key` mod p, and from it `round(S 2^64 / p)` mod 2^64. Write
//! `key = 2^33 sum_j k_j a^j` mod p, `|k_j| <= a/2`, a = 5 * 2^19, three limbs. Then `S = 2^33 sum_j s_j a^j` mod p, with `s_j = sum over rows of digits * k_j` over the integers, and
//! the transform gives `y_j = s_j + e_j` with an error `e_j` far below one half.
//!
//! # Rounding to the torus
//! `2^64 / p = (1 + 2^-32) / (1 + 2^-96)`, so with S = 2^33 S' as an integer
//!
//! `S 2^64 / p = (2^33 + 2) S' - g`, `g = S' (1 + 2^-32) 2^-63 / (1 + 2^-96)`:
//!
//! the first part is an integer, of which only the value mod 2^64 matters; the second is small enough for a double. Its
//! error stays below 2^-19 units of the last place, and coefficients for which that leaves two choices (one in 2^18) are
//! settled in 128-bit integers. The factor 2^33 is there for this: with a factor of 1, (1 + 2^-32) S' would have a fraction
//! of 32 bits beside an integer of 60.
//!
//! # Why the integers are right
//! `docs/cpu-engine.md` has the figures. In short: errors of independent roundings give e_j a normal distribution of
//! standard deviation `LimbKey::predicted_error`, at most 0.05. Every step checks all y_j: the nearest integer is within
//! 1/4, and |y_j| < 2^50. A wrong integer needs an error of 3/4 in one of them, 15 standard deviations or more, while no
//! other reaches 1/4 and betrays it. If the check fails (seldom, but always for digits made to do so), the step is
//! undone and done again with the digits in two parts, whose worst-case error is *proven* to be below 1/4 when the key is
//! loaded:
//!
//! `|e_j| <= c u sum over rows of |d_row| |k_row|`, `c = 2 F + 2 sqrt(2) R + 1 + 0.2 log2(N)`,
//!
//! u = 2^-53, norms being 2-norms over coefficients, F [`FftPlan::error_factor`](super::fft::FftPlan::error_factor) (once
//! for the digits, once for the way back), 2 sqrt(2) R the 2 R roundings of a sum of R complex products in both parts, 1
//! the rounding of the key's transform, which is computed in double-double precision, and 0.2 a level the error of its
//! factors (parts within 2^-56). The forward error acts in the 2-norm, the products of norms come from Cauchy and
//! Schwarz, and a coefficient is at most the mean of the absolute values of the points (1-norm), in which the error of the
//! way back accumulates.

use super::goldilocks;
use super::simd::{Kernel, Simd, Task};
use super::spectral::{self, Part, SpectralKey, SpectralProduct, SpectralScratch};
use glovebox_golden::params::BootstrapParameters;

/// The unit of products: a power of two, so that integers up to 2^50 lie below 1.
const UNIT: f64 = 1.0 / (1u64 << 50) as f64;
/// Added to a double below 1 in magnitude, it leaves twice its nearest half-integer number of units in the low bits.
const MAGIC: f64 = 3.0;
/// The bit of half a unit: set where a product is further than a quarter from an integer.
const HALF: u64 = 1;
/// Bits of sums with [`MAGIC`] that are zero for products below 1 in magnitude: in `[2, 4)`, sign and exponent are 0x400.
/// Other signs and exponents have one of them set, except for a sum of zero.
const OUT_OF_RANGE: u64 = 0xBFF << 52;
/// Bits of the fraction of g.
const FRACTION: u32 = 20;
/// The error of g that is allowed for, in units of 2^-20. Each y_j is within 1/4 of s_j (0.2 units in all), g stays below
/// 2^30 (0.1 units for each of at most six roundings), and the sum with its magic number is rounded to a multiple of 1.
const DOUBT: u64 = 2;
/// `1.5 * 2^32 + 1/2`, and the error allowed for.
const FRACTION_MAGIC: f64 = 6_442_450_944.5 + DOUBT as f64 / (1 << FRACTION) as f64;

/// A standard deviation of errors at which one step in 140 of the default size is repeated: 1/4 is five of them.
const MOST_ERROR: f64 = 0.05;

/// A bootstrapping key in limbs, each in the transform domain and divided by the transform's gain.
pub(crate) struct LimbKey {
    key: SpectralKey<LIMBS>,
    /// The standard deviation of errors that is expected for uniform digits.
    #[cfg_attr(not(test), expect(dead_code, reason = "told when the key is made; tests compare it"))]
    predicted_error: f64,
}

/// Limbs of a key coefficient.
const LIMBS: usize = 3;
/// a, the base of the limbs: just above 2^(64/3).
const RADIX: i64 = 5 << 19;

/// `a = 2^21 + 2^19`.
const SHIFTS: [u32; 2] = [21, 19];

/// The limbs of a key coefficient: `2^-33 k` mod p, centred, in base a.
fn limbs_of(c: u64) -> [i64; LIMBS] {
    // 2^-33 = -2^63, since 2^96 = -1.
    let k = goldilocks::sub(0, goldilocks::mul(goldilocks::from_torus(c), 1 << 63));
    let mut rest = if k > goldilocks::P / 2 { k.wrapping_sub(goldilocks::P).cast_signed() } else { k.cast_signed() };
    std::array::from_fn(|j| {
        if j + 1 == LIMBS {
            return rest;
        }
        // A limb of half the base stays positive.
        let quotient = (rest + (RADIX / 2 - 1)).div_euclid(RADIX);
        let limb = rest - quotient * RADIX;
        rest = quotient;
        limb
    })
}

/// `round(2^64 S / p)` mod 2^64, `S = 2^33 sum_j s_j a^j`, `|s_j| < 2^62`.
fn torus_of(s: [i64; LIMBS]) -> u64 {
    let p = i128::from(goldilocks::P);
    let reduced = s.iter().rev().fold(0i128, |sum, &s| (sum * i128::from(RADIX) + i128::from(s)).rem_euclid(p));
    goldilocks::to_torus(goldilocks::mul(reduced as u64, 1 << 33))
}

/// Constants of the rounding.
#[derive(Clone, Copy)]
struct Rounding<S: Simd> {
    /// [`MAGIC`] and even numbers of half units, so that what all magic numbers add to a word is 0 mod 2^64: for the lower
    /// two limbs, and for the upper one.
    magic: [S::F; 2],
    fraction_magic: S::F,
    /// `a^j (1 + 2^-32) 2^-63`, over [`UNIT`].
    weights: [S::F; LIMBS],
    /// `a^2 / 2^32`.
    square: S::U,
    /// [`SHIFTS`], which the compiler must not see: it would make one product of them, which is slower.
    shifts: [u32; 2],
}

impl<S: Simd> Rounding<S> {
    #[inline(always)]
    fn new(s: S) -> Self {
        let scale = (1.0 + 2f64.powi(-32)) * 2f64.powi(-63) / UNIT;
        // From memory: the compiler would broadcast known constants where they are used.
        let [low, high] = magic_numbers();
        std::hint::black_box(Self {
            magic: [s.splat(low), s.splat(high)],
            fraction_magic: s.splat(FRACTION_MAGIC),
            weights: [s.splat(scale), s.splat(scale * RADIX as f64), s.splat(scale * RADIX as f64 * RADIX as f64)],
            square: s.splat_u((RADIX * RADIX) as u64 >> 32),
            shifts: SHIFTS,
        })
    }

    /// The rounded torus words, the bits of the sums with magic numbers, and the fraction of g in the upper bits of the lower
    /// half of each lane.
    #[inline(always)]
    fn round(&self, s: S, y: [S::F; LIMBS]) -> (S::U, [S::U; LIMBS], S::U) {
        let mut bits = [self.square; LIMBS];
        for j in 0..LIMBS {
            bits[j] = s.bits(s.add(y[j], self.magic[j / 2]));
        }
        let g = s.fma(y[1], self.weights[1], s.mul(y[2], self.weights[2]));
        let g = s.bits(s.add(s.fma(y[0], self.weights[0], g), self.fraction_magic));
        // (2^32 + 1) times the sum of a^j bits_j: of a^2, a multiple of 2^32, only the low half of its factor matters.
        let low = s.add_u(s.add_u(bits[0], s.shl_u(bits[1], self.shifts[0])), s.shl_u(bits[1], self.shifts[1]));
        let high = s.shl_u(s.add_u(low, s.mul32_u(bits[2], self.square)), 32);
        let integer = s.add_u(low, high);
        (s.sub_u(integer, s.shr_u(g, FRACTION)), bits, s.shl_u(g, 32 - FRACTION))
    }
}

/// [`MAGIC`] for the lower two limbs and for the upper one, and even numbers m and m' of half units below 2^39 besides, with
/// `(2^32 + 1) ((1 + a) (bits of MAGIC + m) + a^2 (bits of MAGIC + m')) = bits of FRACTION_MAGIC / 2^FRACTION` mod 2^64.
const fn magic_numbers() -> [f64; 2] {
    let radix = RADIX as u64;
    // 1 - 2^32 is the inverse of 1 + 2^32.
    let wanted = (FRACTION_MAGIC.to_bits() >> FRACTION).wrapping_mul(0xFFFF_FFFF_0000_0001);
    let powers = 1u64.wrapping_add(radix).wrapping_add(radix.wrapping_mul(radix));
    let rest = wanted.wrapping_sub(MAGIC.to_bits().wrapping_mul(powers));
    // a^2 = 25 * 2^38: m makes the rest a multiple of 2^39.
    let low = rest.wrapping_mul(inverse(1 + radix)) & ((1 << 39) - 1);
    let rest = rest.wrapping_sub(low.wrapping_mul(1 + radix));
    let high = (rest >> 38).wrapping_mul(inverse(25)) & ((1 << 26) - 1);
    [f64::from_bits(MAGIC.to_bits() + low), f64::from_bits(MAGIC.to_bits() + high)]
}

/// The inverse of an odd number mod 2^64, by Newton's iteration.
const fn inverse(odd: u64) -> u64 {
    // Right in three bits, then in twice as many each time.
    let mut inverse = odd;
    let mut bits = 3;
    while bits < 64 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

/// Lanes whose rounding may be off: the lower half is at most this.
const DOUBTFUL: u64 = (2 * DOUBT) << (32 - FRACTION);

/// The lanes of a vector.
#[inline(always)]
fn lanes<S: Simd>(s: S, v: S::U) -> [u64; 8] {
    let mut lanes = [0; 8];
    s.store_u(&mut lanes, 0, v);
    lanes
}

/// The integer that a product stands for.
fn integer(y: f64) -> i64 {
    (y / UNIT).round_ties_even() as i64
}

/// Whether the lower half of a lane is at most [`DOUBTFUL`].
fn doubtful(lane: u64) -> bool {
    lane & 0xFFFF_FFFF <= DOUBTFUL
}

impl LimbKey {
    /// Converts a key, if its products are expected to be exact.
    pub(crate) fn new(parameters: &BootstrapParameters, standard: &[u64], kernel: Kernel) -> Option<Self> {
        if !spectral::supports(parameters, kernel) {
            return None;
        }
        let (rows, degree) = (parameters.pbs_level.0 * (parameters.glwe_dimension.0 + 1), parameters.ring_degree.0);
        let base = 2f64.powi(parameters.pbs_base_log.0.cast_signed());
        // The standard deviations of products of uniform digits with a key of that norm, and of their errors.
        let deviations = |norm: f64| {
            let deviation = (rows as f64).sqrt() * base / 12f64.sqrt() * norm;
            (deviation, 2f64.powi(-53) * Self::error_growth(degree) * deviation)
        };
        // Such products stay below 2^50 by a factor of eight standard deviations.
        let promising = |(deviation, error): (f64, f64)| error <= MOST_ERROR && 8.0 * deviation <= 2f64.powi(50);
        // Of a key like any, before it is converted in vain.
        if !promising(deviations(RADIX as f64 * (degree as f64 / 12.0).sqrt())) {
            return None;
        }
        let gain = UNIT / (degree / 2) as f64;
        let key = SpectralKey::new(parameters, standard, kernel, limbs_of, gain);
        let (deviation, predicted_error) = deviations(key.largest_norm);
        // The bound for digits in two parts.
        let factor = 2.0 * key.plan.error_factor()
            + 2.0 * std::f64::consts::SQRT_2 * rows as f64
            + 1.0
            + 0.2 * f64::from(degree.ilog2());
        let part = (2f64.powi(key.low_bits().cast_signed() - 1) + 1.0) * (degree as f64).sqrt();
        let magnitude = rows as f64 * part * key.largest_norm;
        // Twice, for kernels without fused multiply-add, which round its product too.
        let exact = 2.0 * factor * 2f64.powi(-53) * magnitude < 0.25 && magnitude < 2f64.powi(50);
        tracing::debug!("products in limbs: errors with a standard deviation of {predicted_error} are expected");
        (promising((deviation, predicted_error)) && exact).then_some(Self { key, predicted_error })
    }

    /// The standard deviation of a product's error over that of the product, in units of 2^-53.
    fn error_growth(degree: usize) -> f64 {
        // Both transforms and the product: the variance of a level, measured (`errors_are_as_predicted`).
        (0.7 * f64::from(degree.ilog2())).sqrt()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.key.memory_bytes()
    }

    /// [`SpectralProduct::step`]; asks for AHEAD lines of the key for every part of the work.
    #[inline(always)]
    fn step_asking<S: Simd, const AHEAD: usize>(
        &self,
        s: S,
        index: usize,
        exponent: u32,
        accumulator: &mut [u64],
        scratch: &mut SpectralScratch,
    ) {
        let degree = self.key.degree;
        let mut ahead = self.key.ahead::<AHEAD>(index);
        self.key.transform_digits(s, exponent, accumulator, Part::All, scratch, &mut ahead);
        let mut done = 0;
        let mut trusted = true;
        while trusted && done < self.key.columns {
            let poly = &mut accumulator[done * degree..(done + 1) * degree];
            // All bits seen, and the fractions closest to a doubtful rounding.
            let (_, any, least) = self.key.multiply_back(
                s,
                (index, done),
                (scratch, &mut ahead),
                poly,
                #[inline(always)]
                || (Rounding::<S>::new(s), s.splat_u(0), s.splat_u(!0)),
                #[inline(always)]
                |(rounding, any, least), _, y, c| {
                    let (torus, bits, fraction) = rounding.round(s, y);
                    for j in 0..LIMBS {
                        *any = s.or_u(*any, bits[j]);
                    }
                    *least = s.min_halves(*least, fraction);
                    s.add_u(c, torus)
                },
            );
            done += 1;
            trusted = lanes(s, any)[..S::LANES].iter().all(|lane| lane & (HALF | OUT_OF_RANGE) == 0);
            if lanes(s, least)[..S::LANES].iter().any(|&lane| doubtful(lane)) {
                self.again(s, index, done - 1, poly, scratch, Again::Settle);
            }
        }
        if !trusted {
            for column in 0..done {
                let poly = &mut accumulator[column * degree..(column + 1) * degree];
                self.again(s, index, column, poly, scratch, Again::Undo);
            }
            self.split_step(s, index, exponent, accumulator, scratch);
        }
    }
}

impl SpectralProduct for LimbKey {
    fn scratch(&self) -> SpectralScratch {
        self.key.scratch()
    }

    #[inline(always)]
    fn step<S: Simd>(
        &self,
        s: S,
        index: usize,
        exponent: u32,
        accumulator: &mut [u64],
        scratch: &mut SpectralScratch,
        first: bool,
    ) {
        // A step of the default set has 3072 lines, and 1024 parts, or 448 with eight lanes.
        match (first, S::LANES) {
            (true, 8) => self.step_asking::<S, 7>(s, index, exponent, accumulator, scratch),
            (true, _) => self.step_asking::<S, 3>(s, index, exponent, accumulator, scratch),
            (false, _) => self.step_asking::<S, 0>(s, index, exponent, accumulator, scratch),
        }
    }
}

/// What a repeated product is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Put doubtful lanes right.
    Settle,
    /// Take back what was added, settled lanes included.
    Undo,
}

impl LimbKey {
    /// Multiplies by a column once more, with the same bits.
    #[cold]
    #[inline(never)]
    fn again<S: Simd>(
        &self,
        s: S,
        index: usize,
        column: usize,
        poly: &mut [u64],
        scratch: &mut SpectralScratch,
        what: Again,
    ) {
        struct Repeat<'a>(&'a LimbKey, usize, usize, &'a mut [u64], &'a mut SpectralScratch, Again);
        impl Task for Repeat<'_> {
            type Output = ();

            #[inline(always)]
            fn run<S: Simd>(self, s: S) {
                let Self(key, index, column, poly, scratch, what) = self;
                let rounding = Rounding::<S>::new(s);
                key.key.multiply_back(
                    s,
                    (index, column),
                    (scratch, &mut key.key.ahead::<0>(index)),
                    poly,
                    || (),
                    #[inline(always)]
                    |(), _, y, c| {
                        let (torus, _, fraction) = rounding.round(s, y);
                        let (torus, fraction, mut c) = (lanes(s, torus), lanes(s, fraction), lanes(s, c));
                        let mut exact = [[0.0; 8]; LIMBS];
                        for j in 0..LIMBS {
                            s.store(&mut exact[j], 0, y[j]);
                        }
                        for (lane, c) in c[..S::LANES].iter_mut().enumerate() {
                            let settled = if doubtful(fraction[lane]) {
                                torus_of(exact.map(|y| integer(y[lane])))
                            } else {
                                torus[lane]
                            };
                            *c = match what {
                                Again::Settle => c.wrapping_add(settled.wrapping_sub(torus[lane])),
                                Again::Undo => c.wrapping_sub(settled),
                            };
                        }
                        s.load_u(&c, 0)
                    },
                );
            }
        }
        s.run(Repeat(self, index, column, poly, scratch, what));
    }

    /// The step for any digits: in two parts.
    #[cold]
    #[inline(never)]
    fn split_step<S: Simd>(
        &self,
        s: S,
        index: usize,
        exponent: u32,
        accumulator: &mut [u64],
        scratch: &mut SpectralScratch,
    ) {
        struct Split<'a>(&'a LimbKey, usize, u32, &'a mut [u64], &'a mut SpectralScratch);
        impl Task for Split<'_> {
            type Output = ();

            #[inline(always)]
            fn run<S: Simd>(self, s: S) {
                let Self(key, index, exponent, accumulator, scratch) = self;
                let (mut ahead, degree) = (key.key.ahead::<0>(index), key.key.degree);
                let mut sums = vec![[0i64; LIMBS]; accumulator.len()];
                for part in [Part::Low, Part::High] {
                    let shift = if part == Part::High { key.key.low_bits() } else { 0 };
                    key.key.transform_digits(s, exponent, accumulator, part, scratch, &mut ahead);
                    let columns = sums.chunks_exact_mut(degree).zip(accumulator.chunks_exact_mut(degree));
                    for (column, (sums, poly)) in columns.enumerate() {
                        key.key.multiply_back(
                            s,
                            (index, column),
                            (scratch, &mut ahead),
                            poly,
                            || (),
                            #[inline(always)]
                            |(), i, y, c| {
                                for j in 0..LIMBS {
                                    let mut lanes = [0.0; 8];
                                    s.store(&mut lanes, 0, y[j]);
                                    for (sum, y) in sums[i..i + S::LANES].iter_mut().zip(lanes) {
                                        sum[j] += integer(y) << shift;
                                    }
                                }
                                c
                            },
                        );
                    }
                }
                for (c, sum) in accumulator.iter_mut().zip(sums) {
                    *c = c.wrapping_add(torus_of(sum));
                }
            }
        }
        s.run(Split(self, index, exponent, accumulator, scratch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::Kernel;
    use glovebox_golden::field;
    use glovebox_golden::params::{self, BootstrapParameters, LweDimension};
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    fn words(count: usize, rng: &mut ChaCha20Rng) -> Vec<u64> {
        (0..count).map(|_| rng.next_u64()).collect()
    }

    /// The products of one step, `[column][limb][N]`.
    struct Products<'a>(&'a LimbKey, &'a [u64], Part);

    impl Task for Products<'_> {
        type Output = Vec<f64>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<f64> {
            let Self(LimbKey { key, .. }, accumulator, part) = self;
            let (mut scratch, mut ahead) = (key.scratch(), key.ahead::<0>(0));
            key.transform_digits(s, 77, accumulator, part, &mut scratch, &mut ahead);
            let mut products = vec![0.0; LIMBS * accumulator.len()];
            for (column, products) in products.chunks_exact_mut(LIMBS * key.degree).enumerate() {
                let mut words = vec![0; key.degree];
                key.multiply_back(
                    s,
                    (0, column),
                    (&mut scratch, &mut ahead),
                    &mut words,
                    || (),
                    |(), i, y, c| {
                        for j in 0..LIMBS {
                            s.store(products, j * key.degree + i, s.mul(y[j], s.splat(1.0 / UNIT)));
                        }
                        c
                    },
                );
            }
            products
        }
    }

    #[test]
    fn errors_are_as_predicted() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let p = BootstrapParameters { lwe_dimension: LweDimension(1), ..params::CPU_KS_PBS_TUNIFORM_2M128.bootstrap };
        for kernel in Kernel::available() {
            let (mut squares, mut count, mut most) = ([0.0; 3], 0.0, 0f64);
            let mut predicted = 0f64;
            for _ in 0..20 {
                let key = LimbKey::new(&p, &words(p.bootstrap_key_len(), &mut rng), kernel).expect("in bounds");
                predicted = key.predicted_error;
                let products = kernel.run(Products(&key, &words(p.glwe_len(), &mut rng), Part::All));
                for (i, products) in products.chunks_exact(p.ring_degree.0).enumerate() {
                    for y in products {
                        let error = y - y.round_ties_even();
                        squares[i % 3] += error * error;
                        most = most.max(error.abs());
                    }
                }
                count += 2.0 * p.ring_degree.0 as f64;
            }
            let errors = squares.map(|s| (s / count).sqrt());
            let close = errors.iter().all(|e| (0.8..1.1).contains(&(e / predicted)));
            assert!(close && most < 0.25, "{}: {errors:?}, at most {most}, {predicted} predicted", kernel.name());
        }
    }

    /// Words and whether they are doubtful, for products of which there are as many as lanes or twice that.
    struct Rounded<'a>(&'a [[f64; LIMBS]]);

    impl Task for Rounded<'_> {
        type Output = Vec<(u64, bool)>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let rounding = Rounding::<S>::new(s);
            let mut words = Vec::new();
            for products in self.0.chunks_exact(S::LANES) {
                let y = std::array::from_fn(|j| {
                    let limb: Vec<f64> = products.iter().map(|y| y[j] * UNIT).collect();
                    s.load(&limb, 0)
                });
                let (torus, _, fraction) = rounding.round(s, y);
                let (torus, fraction) = (lanes(s, torus), lanes(s, fraction));
                words.extend((0..S::LANES).map(|lane| (torus[lane], doubtful(fraction[lane]))));
            }
            words
        }
    }

    /// Golden's word for the integers of limbs of three, least significant first.
    fn golden_torus(s: [i64; 3]) -> u64 {
        let p = i128::from(goldilocks::P);
        let [a, b, c] = s.map(i128::from);
        let sum = (a + (b << 21) + (b << 19) + 25 * (c << 38)).rem_euclid(p);
        field::to_torus((sum * (1 << 33) % p) as u64)
    }

    proptest! {
        #[test]
        fn rounding_equals_golden_or_is_doubtful(
            integers in proptest::collection::vec([-(1i64 << 49)..1 << 49, -(1i64 << 49)..1 << 49, -(1i64 << 49)..1 << 49], 8),
            halves in proptest::collection::vec((-(1i128 << 27)..1 << 27, -40i128..41), 8),
            errors in proptest::collection::vec([-0.24..0.24, -0.24..0.24, -0.24..0.24], 16),
        ) {
            let mut sums = integers;
            // g within a few units of 2^-20 of a half, where the rounding is in doubt.
            for (integer, quarter_units) in halves {
                let target = (integer << 63) + (1 << 62) + (quarter_units << 41);
                let mut rest = target - (target >> 32);
                let radix = i128::from(RADIX);
                let low = [(); 2].map(|()| {
                    let limb = rest.rem_euclid(radix);
                    rest = rest.div_euclid(radix);
                    limb as i64
                });
                sums.push([low[0], low[1], rest as i64]);
            }
            let products: Vec<[f64; 3]> =
                sums.iter().zip(&errors).map(|(s, e)| std::array::from_fn(|j| s[j] as f64 + e[j])).collect();
            for kernel in Kernel::available() {
                let words = kernel.run(Rounded(&products));
                for (i, (&sum, &(word, doubtful))) in sums.iter().zip(&words).enumerate() {
                    let golden = golden_torus(sum);
                    prop_assert_eq!(torus_of(sum), golden, "{:?}", sum);
                    prop_assert!(doubtful || word == golden, "{} {:?}", kernel.name(), sum);
                    prop_assert!(i < 8 || word.abs_diff(golden) <= 1, "{} {:?}", kernel.name(), sum);
                }
            }
        }
    }

    /// One step by the usual way and in two parts.
    struct BothWays<'a>(&'a LimbKey, &'a [u64]);

    impl Task for BothWays<'_> {
        type Output = [Vec<u64>; 2];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let Self(key, accumulator) = self;
            let (mut usual, mut split, mut undone) = (accumulator.to_vec(), accumulator.to_vec(), accumulator.to_vec());
            let mut scratch = key.scratch();
            key.step_asking::<S, 0>(s, 0, 3000, &mut usual, &mut scratch);
            key.split_step(s, 0, 3000, &mut split, &mut scratch);
            // What a step adds can be taken back.
            key.step_asking::<S, 0>(s, 0, 3000, &mut undone, &mut scratch);
            for (column, poly) in undone.chunks_exact_mut(key.key.degree).enumerate() {
                key.again(s, 0, column, poly, &mut scratch, Again::Undo);
            }
            assert!(undone == accumulator, "a step was not undone");
            [usual, split]
        }
    }

    #[test]
    fn steps_in_two_parts_equal_others_and_can_be_undone() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let p = BootstrapParameters { lwe_dimension: LweDimension(1), ..params::CPU_KS_PBS_TUNIFORM_2M128.bootstrap };
        for kernel in Kernel::available() {
            let key = LimbKey::new(&p, &words(p.bootstrap_key_len(), &mut rng), kernel).expect("in bounds");
            for _ in 0..4 {
                let [usual, split] = kernel.run(BothWays(&key, &words(p.glwe_len(), &mut rng)));
                assert!(usual == split, "{}", kernel.name());
            }
        }
    }
}
