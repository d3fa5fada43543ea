//! The negacyclic transform mod p = 2^64 - 2^32 + 1 in vectors, words in natural order to bit-reversed order and back.
//!
//! A step splits `X^(rh) - c` into r = 2, 4 or 8 factors as `fft` does: products by the powers of `zeta = c^(1/r)`, then a
//! transform of r words with roots that are powers of two (8th roots: 2^24), which costs shifts only. So a word meets one
//! general product in three levels. The first step has r = 4 or 2, where zeta itself is a power of two, 2^24 or 2^48; where
//! all levels go by three, one of 4 and one of 2 are taken together, in registers, and zeta of the second is 2^12, 2^36, 2^60 or
//! 2^84. The inverse puts off the products of a step to the start of the next, so that both directions multiply first.
//!
//! # Numbers
//! Between steps a residue is a signed word a, `-2^63 <= a < 2^63 - 2^31`, with 2^63 added where unsigned words compare as quickly
//! (that saves an addition a join). Within a step it is a pair of signed limbs, `lo + hi 2^32`, whose sums need no carries;
//! `2^64 = 2^32 - 1` and `2^96 = -1` turn powers of two into shifts by 24 bits or less and exchanges of limbs.
//!
//! - *Product.* Let `a = a0 + a1 2^32`, limbs in `[-2^31, 2^31)`, a0 not negative if a1 is -2^31, and let u and v be such
//!   limbs of w and `w 2^32`. Of every factor, `low = a0 u0 + a1 v0` is at most 2^63 - 2^31 in magnitude,
//!   `high = a0 u1 + a1 v1` at most 2^63 - 2^32 (a test computes both at the corners of a's range), so
//!   `high + floor(low / 2^32)` fits a word too. Carrying twice leaves limbs in `[-2^31, 3 2^31]`. Where signed shifts are
//!   slow, `LIFT`, zero mod p, is added to low and high before they carry: then `1 <= low <= 2^64 - 2^32 + 1` and
//!   `2^32 <= high <= 2^64 - 2^32`, which a carry below 2^32 does not make wrap. That leaves `(-2^32, 2^32)` in the lower
//!   limb and `[0, 2^33)` in the upper.
//! - *Transform.* Other words enter it with limbs in `[-2^31, 2^32)`: so differences in the first level are at most
//!   `5 2^31` in magnitude, sums `8 2^31`. Differences shifted by 24 bits, and a sum of their limbs shifted by 8 bits, make
//!   that at most `1.25 2^57 + 2^43` before the last level, which adds less than 2^53. All stay below 2^58. In the second step
//!   of the first pass, shifts of at most 20 bits act on limbs or sums of two, below 2^35: at most 2^55. Those by 28 bits, and
//!   all on the way back, where differences are below 2^33 and sums of their limbs below 2^34, make at most 2^62, and carry as
//!   products do.
//! - *Joining.* The constant `2^27 (1, 2^32 - 1) - 2^29 (2^32, -1)`, zero mod p, is added (to word 0 before a transform,
//!   from where it reaches every result): hi lies in `[0, 2^60)`, lo within 2^58 + 2^27 of -2^61. With
//!   `h = floor((hi + 2^31) / 2^32)` the value is `t + (lo + h (2^32 - 1))`, t being the low half of hi, signed, times
//!   2^32. The sum in parentheses lies in `(-2^62, 0)` and t below 2^63 - 2^31, so only a wrap below -2^63 has to be put
//!   right, by 2^32 - 1. The 2^31 that round are in the constant.

use super::goldilocks::{EPSILON, NttTables, P, ROOT_2_32, mul, pow};
use super::simd::{Kernel, Simd, Task};
use std::sync::OnceLock;

/// In-place forward transform of canonical words, 4 to 65536 of them.
pub(crate) fn forward(kernel: Kernel, x: &mut [u64]) {
    match plan(kernel, x.len()) {
        Plan::Vector(plan) => plan.forward(kernel, x),
        Plan::Scalar(tables) => tables.forward(x),
    }
}

/// In-place inverse transform, 1/N included; canonical.
pub(crate) fn inverse(kernel: Kernel, x: &mut [u64]) {
    match plan(kernel, x.len()) {
        Plan::Vector(plan) => plan.inverse(kernel, x),
        Plan::Scalar(tables) => tables.inverse(x),
    }
}

/// `sums[i] += a[i] * b[i]`, all canonical; as many as a whole number of vectors.
#[inline(always)]
pub(crate) fn multiply_add<S: Simd>(s: S, sums: &mut [u64], a: &[u64], b: &[u64]) {
    // Hidden from the compiler, which would turn products by it into shifts and differences: three for one.
    let (p, epsilon) = (s.splat_u(P), s.splat_u(std::hint::black_box(EPSILON)));
    for i in (0..sums.len()).step_by(S::LANES) {
        let product = unsigned_product(s, s.load_u(a, i), s.load_u(b, i), epsilon);
        let addend = s.load_u(sums, i);
        // With one canonical operand a sum wraps to at most p - 2, so adding 2^64 mod p does not wrap again.
        let sum = s.add_u(addend, product);
        let sum = s.add_if_below(sum, epsilon, sum, addend);
        s.store_u(sums, i, s.min_u(sum, s.sub_u(sum, p)));
    }
}

/// `a b` mod p, any 64-bit integers.
#[inline(always)]
fn unsigned_product<S: Simd>(s: S, a: S::U, b: S::U, epsilon: S::U) -> S::U {
    let (a_high, b_high) = (s.shr_u(a, 32), s.shr_u(b, 32));
    let low = s.mul32_u(a, b);
    let middle = s.add_u(s.mul32_u(a_high, b), s.shr_u(low, 32));
    let other = s.add_u(s.mul32_u(a, b_high), s.and_u(middle, epsilon));
    let high = s.add_u(s.add_u(s.mul32_u(a_high, b_high), s.shr_u(middle, 32)), s.shr_u(other, 32));
    let low = s.low_halves(low, other);
    // 2^96 = -1 and 2^64 = 2^32 - 1.
    let top = s.shr_u(high, 32);
    let less = s.sub_if_below(s.sub_u(low, top), epsilon, low, top);
    let carried = s.mul32_u(high, epsilon);
    let sum = s.add_u(less, carried);
    s.add_if_below(sum, epsilon, sum, carried)
}

/// Whether all words are canonical.
pub(crate) fn all_canonical(kernel: Kernel, x: &[u64]) -> bool {
    struct Check<'a>(&'a [u64]);
    impl Task for Check<'_> {
        type Output = bool;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> bool {
            const AT_ONCE: usize = 4;
            let bunches = self.0.chunks_exact(AT_ONCE * S::LANES);
            let rest = bunches.remainder();
            let mut most = s.splat_u(0);
            for bunch in bunches {
                for v in 0..AT_ONCE {
                    most = s.max_halves(most, s.load_u(bunch, v * S::LANES));
                }
            }
            let mut halves = [0; 8];
            s.store_u(&mut halves, 0, most);
            // A word of p or more has an upper half of ones; of others, one in 2^32 has.
            let few = halves.iter().all(|&half| half >> 32 < EPSILON);
            if few { rest.iter().all(|&word| word < P) } else { self.0.iter().all(|&word| word < P) }
        }
    }
    kernel.run(Check(x))
}

/// A transform of one degree.
enum Plan {
    Vector(GoldilocksPlan),
    /// For degrees too small for vectors, and where there are none: 128-bit products are faster than emulated lanes.
    Scalar(NttTables),
}

/// The tables of a degree for a kernel, made once a process.
fn plan(kernel: Kernel, degree: usize) -> &'static Plan {
    static PLANS: [[OnceLock<Plan>; 17]; 3] = [const { [const { OnceLock::new() }; 17] }; 3];
    let lanes = kernel.lanes();
    let vector = !matches!(kernel, Kernel::Portable(_)) && GoldilocksPlan::supports(degree);
    let layout = if !vector { 0 } else { 1 + usize::from(lanes == 8) };
    PLANS[layout][degree.trailing_zeros() as usize].get_or_init(|| {
        if vector { Plan::Vector(GoldilocksPlan::new(degree, lanes)) } else { Plan::Scalar(NttTables::new(degree)) }
    })
}

/// Tables of one degree for vectors of one length.
#[derive(Clone, Debug)]
struct GoldilocksPlan {
    degree: usize,
    forward: Forward,
    inverse: Inverse,
}

/// Tables of the forward transform. The factors of a step are zeta^1 .. zeta^(radix-1) of each of its blocks.
#[derive(Clone, Debug)]
struct Forward {
    /// Over memory, then between the rows of squares: broadcast factors, none in the first.
    steps: Vec<Step>,
    /// Within the rows of squares, a row a lane: vectors of factors, for as many rows at a time as there are lanes.
    inner: Vec<u64>,
}

/// Tables of the inverse transform. Its factors belong to the step before, which is the next within.
#[derive(Clone, Debug)]
struct Inverse {
    /// For every square, before the step between its rows: a vector of factors for each row, times 1/N; then for the next
    /// vectors of the rows.
    inner: Vec<u64>,
    /// Steps over memory, outermost first. For every block, for every stretch of its words that has the same factors (but
    /// the first, where they are 1): those of the `radix` vectors that meet.
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    radix: usize,
    /// Distance of the words that meet.
    distance: usize,
    factors: Vec<u64>,
}

/// Words of a broadcast factor: limbs of w, then of w 2^32.
const BROADCAST: usize = 4;

/// `[u0, u1]` with `w = u0 + u1 2^32` mod p.
fn limbs(w: u64) -> [i32; 2] {
    let split = |w: i128| {
        let low = w as i32;
        i32::try_from((w - i128::from(low)) >> 32).ok().map(|high| [low, high])
    };
    // Of the numbers nearest to zero only `(p - 1) / 2` lacks limbs; `(p - 1) / 2 - p` has them.
    let w = i128::from(w);
    let centred = if w > i128::from(P / 2) { w - i128::from(P) } else { w };
    split(centred).or_else(|| split(centred - i128::from(P))).unwrap_or_default()
}

/// The limbs of w, then of w 2^32.
fn factor_limbs(w: u64) -> [i32; 4] {
    let ([u0, u1], [v0, v1]) = (limbs(w), limbs(mul(w, 1 << 32)));
    [u0, u1, v0, v1]
}

/// A factor to be broadcast.
fn broadcast_words(w: u64) -> [u64; BROADCAST] {
    factor_limbs(w).map(|limb| u64::from(limb.cast_unsigned()))
}

/// A vector of factors: one of the limbs of w, low and high half, and one of those of w 2^32.
fn vector_words(factors: &[u64]) -> Vec<u64> {
    let pack = |at: usize| {
        factors.iter().map(move |&w| {
            let limbs = broadcast_words(w);
            limbs[at] | limbs[at + 1] << 32
        })
    };
    pack(0).chain(pack(2)).collect()
}

/// Rows and words of a row of a square.
const SIDE: usize = 8;
/// Words of a square.
const SQUARE: usize = SIDE * SIDE;
/// Words whose steps are taken together once they are a block of their own: 32 KiB stay in or near the first-level cache.
const NEAR: usize = 4096;

/// The radices of the steps down to squares, and of the step between their rows.
fn radices(degree: usize) -> Vec<usize> {
    let mut left = (degree / SQUARE).trailing_zeros();
    let mut radices = Vec::new();
    while left > 0 {
        // Three levels at a time, if need be two first, but never leave a single one.
        let levels = match left {
            4 => 2,
            _ if radices.is_empty() && !left.is_multiple_of(3) => left.min(2),
            _ => left.min(3),
        };
        left -= levels;
        radices.push(1 << levels);
    }
    radices.push(SIDE);
    radices
}

/// `zeta^j`, zeta being the factor of a block of the 2^level blocks of a step: `psi^((2 reverse(block) + 1) N / (radix 2^level))`.
fn power(psi: u64, degree: usize, level: u32, block: usize, radix: usize, j: usize) -> u64 {
    let reversed = if level == 0 { 0 } else { block.reverse_bits() >> (usize::BITS - level) };
    pow(psi, ((2 * reversed + 1) * (degree >> level) / radix * j) as u64)
}

impl GoldilocksPlan {
    /// Whether there is a transform of this degree.
    fn supports(degree: usize) -> bool {
        degree.is_power_of_two() && (2 * SQUARE..=1 << 16).contains(&degree)
    }

    /// Tables for `degree` coefficients and vectors of `lanes` words; see [`GoldilocksPlan::supports`].
    fn new(degree: usize, lanes: usize) -> Self {
        let psi = pow(ROOT_2_32, 1 << (31 - degree.trailing_zeros()));
        let psi_inverse = pow(psi, 2 * degree as u64 - 1);
        let radices = radices(degree);
        let (mut level, mut steps, mut back) = (0, Vec::new(), Vec::new());
        for (index, &radix) in radices.iter().enumerate() {
            let blocks = 1usize << level;
            let distance = (degree >> level) / radix;
            let factors = (0..if index == 0 { 0 } else { blocks })
                .flat_map(|block| (1..radix).map(move |j| power(psi, degree, level, block, radix, j)))
                .flat_map(broadcast_words)
                .collect();
            steps.push(Step { radix, distance, factors });
            let within = level + radix.ilog2();
            if let Some(&next) = radices.get(index + 1) {
                // Word i of a block belongs to power i / (distance / next) of the step within.
                let factors = (0..blocks)
                    .flat_map(|block| (1..next).map(move |j| (block, j)))
                    .flat_map(|(block, j)| {
                        (0..radix).map(move |k| power(psi_inverse, degree, within, block * radix + k, next, j))
                    })
                    .flat_map(broadcast_words)
                    .collect();
                back.push(Step { radix, distance, factors });
            }
            level = within;
        }
        // p = 1 mod N, so 1/N = p - (p - 1)/N.
        let scale = P - (P - 1) / degree as u64;
        let (mut forward, mut inverse) = (Vec::new(), Vec::new());
        for first in (0..degree / SIDE).step_by(lanes) {
            for j in 1..SIDE {
                let row = |row| power(psi, degree, level, row, SIDE, j);
                forward.extend(vector_words(&(first..first + lanes).map(row).collect::<Vec<_>>()));
            }
        }
        for square in 0..degree / SQUARE {
            for first in (0..SIDE).step_by(lanes) {
                for row in square * SIDE..(square + 1) * SIDE {
                    let word = |j| mul(scale, power(psi_inverse, degree, level, row, SIDE, j));
                    inverse.extend(vector_words(&(first..first + lanes).map(word).collect::<Vec<_>>()));
                }
            }
        }
        let (forward, inverse) = (Forward { steps, inner: forward }, Inverse { inner: inverse, steps: back });
        Self { degree, forward, inverse }
    }

    /// In-place forward transform of canonical words.
    fn forward(&self, kernel: Kernel, x: &mut [u64]) {
        kernel.run(RunForward(self, x));
    }

    /// In-place inverse transform, 1/N included; canonical.
    fn inverse(&self, kernel: Kernel, x: &mut [u64]) {
        kernel.run(RunInverse(self, x));
    }
}

struct RunForward<'a>(&'a GoldilocksPlan, &'a mut [u64]);

impl Task for RunForward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        run_forward(s, self.0, self.1);
    }
}

struct RunInverse<'a>(&'a GoldilocksPlan, &'a mut [u64]);

impl Task for RunInverse<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        run_inverse(s, self.0, self.1);
    }
}

/// A factor: limbs of w, then of w 2^32.
type Factor<S> = [<S as Simd>::U; 4];

#[inline(always)]
fn broadcast<S: Simd>(s: S, factors: &[u64], j: usize) -> Factor<S> {
    let at = j * BROADCAST;
    [s.splat_at(factors, at), s.splat_at(factors, at + 1), s.splat_at(factors, at + 2), s.splat_at(factors, at + 3)]
}

#[inline(always)]
fn vectors<S: Simd>(s: S, factors: &[u64], j: usize) -> Factor<S> {
    let (u, v) = (s.load_u(factors, 2 * j * S::LANES), s.load_u(factors, (2 * j + 1) * S::LANES));
    [u, s.shr_u(u, 32), v, s.shr_u(v, 32)]
}

/// `LIFT[0] + LIFT[1] 2^32` is zero mod p: added to the sums of a product, it keeps them from being negative.
const LIFT: [u64; 2] = [(1 << 63) - (1 << 31) + 1, 1 << 63];

/// Signed limbs: `.0 + .1 2^32`.
type Pair<S> = (<S as Simd>::U, <S as Simd>::U);

/// Arithmetic on words and pairs; the ranges are in the module's documentation.
#[derive(Clone, Copy)]
struct Field<S: Simd> {
    s: S,
    /// Half the unit of the upper limb, less the offset of words.
    half: S::U,
    epsilon: S::U,
    bias: Pair<S>,
    /// The bias for limbs as [`Field::offset_split`] leaves them.
    split_bias: Pair<S>,
}

/// Calls `f` with 0 to `count - 1`; 2, 4 or 8. Compilers do not unroll all loops this long, and without that the words of a
/// step go through memory.
#[inline(always)]
fn unrolled(count: usize, mut f: impl FnMut(usize)) {
    f(0);
    f(1);
    if count > 2 {
        f(2);
        f(3);
    }
    if count > 4 {
        f(4);
        f(5);
        f(6);
        f(7);
    }
}

impl<S: Simd> Field<S> {
    #[inline(always)]
    fn new(s: S) -> Self {
        let half = 1 << 31;
        let (low, high) = ((1u64 << 27).wrapping_sub(1 << 61), (EPSILON << 27) + (1 << 29) + half);
        let bias = |high| (s.splat_u(low), s.splat_u(high));
        Self {
            s,
            half: s.splat_u(half.wrapping_sub(Self::OFFSET)),
            epsilon: s.splat_u(EPSILON),
            bias: bias(high),
            split_bias: bias(high - (Self::OFFSET >> 32)),
        }
    }

    /// What words between steps have added to them: nothing, or what makes signed words unsigned ones.
    const OFFSET: u64 = if S::COMPARES_UNSIGNED { 1 << 63 } else { 0 };

    /// The canonical word of one between steps.
    #[inline(always)]
    fn canonical(self, a: S::U) -> S::U {
        let s = self.s;
        let a = if S::COMPARES_UNSIGNED { s.sub_u(a, s.splat_u(Self::OFFSET)) } else { a };
        s.sub_if_less(a, s.splat_u(P.wrapping_neg()), a, s.splat_u(0))
    }

    #[inline(always)]
    fn split(self, a: S::U) -> Pair<S> {
        let (low, high) = self.offset_split(a);
        (low, if S::COMPARES_UNSIGNED { self.s.sub_u(high, self.s.splat_u(Self::OFFSET >> 32)) } else { high })
    }

    /// The limbs of a word, the upper one with the offset.
    #[inline(always)]
    fn offset_split(self, a: S::U) -> Pair<S> {
        let s = self.s;
        (s.and_u(a, self.epsilon), if S::COMPARES_UNSIGNED { s.shr_u(a, 32) } else { s.sar_u(a, 32) })
    }

    #[inline(always)]
    fn split_canonical(self, a: S::U) -> Pair<S> {
        (self.s.and_u(a, self.epsilon), self.s.shr_u(a, 32))
    }

    #[inline(always)]
    fn product(self, a: S::U, w: Factor<S>) -> Pair<S> {
        let s = self.s;
        let a_high = s.shr_u(s.add_u(a, self.half), 32);
        let low = s.add_u(s.mul32_i(a, w[0]), s.mul32_i(a_high, w[2]));
        let high = s.add_u(s.mul32_i(a, w[1]), s.mul32_i(a_high, w[3]));
        self.carried(low, high)
    }

    /// Limbs that may enter a transform, of the sums of a product or smaller ones.
    #[inline(always)]
    fn carried(self, low: S::U, high: S::U) -> Pair<S> {
        let s = self.s;
        let lift = |x, by| if S::SHIFTS_SIGNED { x } else { s.add_u(x, s.splat_u(by)) };
        let shift = |x| if S::SHIFTS_SIGNED { s.sar_u(x, 32) } else { s.shr_u(x, 32) };
        let low = lift(low, LIFT[0]);
        let high = s.add_u(lift(high, LIFT[1]), shift(low));
        let top = shift(high);
        (s.sub_u(s.and_u(low, self.epsilon), top), s.add_u(s.and_u(high, self.epsilon), top))
    }

    /// Makes room for [`Field::join`].
    #[inline(always)]
    fn biased(self, a: Pair<S>) -> Pair<S> {
        self.add(a, self.bias)
    }

    /// The word of a pair that holds the bias.
    #[inline(always)]
    fn join(self, (low, high): Pair<S>) -> S::U {
        let s = self.s;
        // The bias rounds: high has half a unit too much for its digit, which makes that unsigned.
        let less = s.add_upper_times_ones(low, high);
        if S::COMPARES_UNSIGNED {
            let digit = s.shl_u(high, 32);
            let sum = s.add_u(digit, less);
            s.sub_if_below(sum, self.epsilon, digit, sum)
        } else {
            let digit = s.shl_u(s.sub_u(high, self.half), 32);
            let sum = s.add_u(digit, less);
            s.sub_if_less(sum, self.epsilon, digit, sum)
        }
    }

    #[inline(always)]
    fn add(self, a: Pair<S>, b: Pair<S>) -> Pair<S> {
        (self.s.add_u(a.0, b.0), self.s.add_u(a.1, b.1))
    }

    #[inline(always)]
    fn sub(self, a: Pair<S>, b: Pair<S>) -> Pair<S> {
        (self.s.sub_u(a.0, b.0), self.s.sub_u(a.1, b.1))
    }

    /// `a + b`, the low limb of b negated.
    #[inline(always)]
    fn add_mixed(self, a: Pair<S>, b: Pair<S>) -> Pair<S> {
        (self.s.sub_u(a.0, b.0), self.s.add_u(a.1, b.1))
    }

    /// `a - b`, the low limb of b negated.
    #[inline(always)]
    fn sub_mixed(self, a: Pair<S>, b: Pair<S>) -> Pair<S> {
        (self.s.add_u(a.0, b.0), self.s.sub_u(a.1, b.1))
    }

    #[inline(always)]
    fn shift_24(self, a: Pair<S>) -> Pair<S> {
        (self.s.shl_u(a.0, 24), self.s.shl_u(a.1, 24))
    }

    /// `a 2^48`, the low limb negated: `-hi 2^16 + (lo + hi) 2^48`.
    #[inline(always)]
    fn shift_48(self, a: Pair<S>) -> Pair<S> {
        (self.s.shl_u(a.1, 16), self.s.shl_u(self.s.add_u(a.0, a.1), 16))
    }

    /// `a 2^72`, the low limb negated: `-(lo + hi) 2^8 + lo 2^40`.
    #[inline(always)]
    fn shift_72(self, a: Pair<S>) -> Pair<S> {
        (self.s.shl_u(self.s.add_u(a.0, a.1), 8), self.s.shl_u(a.0, 8))
    }

    /// `a 2^24 + b 2^72` and `a 2^72 + b 2^24`, which is `(a 2^24 - b 2^72) 2^48`.
    #[inline(always)]
    fn eighths(self, a: Pair<S>, b: Pair<S>) -> [Pair<S>; 2] {
        [self.add_mixed(self.shift_24(a), self.shift_72(b)), self.add_mixed(self.shift_24(b), self.shift_72(a))]
    }

    /// Transforms of 2, 4 or 8 words, natural order to bit-reversed.
    #[inline(always)]
    fn dft(self, x: &mut [Pair<S>; 8], count: usize) {
        match count {
            2 => (x[0], x[1]) = (self.add(x[0], x[1]), self.sub(x[0], x[1])),
            4 => self.dft4(x),
            _ => {
                for j in 0..4 {
                    (x[j], x[j + 4]) = (self.add(x[j], x[j + 4]), self.sub(x[j], x[j + 4]));
                }
                self.dft4(x);
                [x[4], x[5], x[6], x[7]] = self.turned_dft4([x[4], x[5], x[6], x[7]]);
            }
        }
    }

    /// Of four words times 1, 2^24, 2^48 and 2^72.
    #[inline(always)]
    fn turned_dft4(self, [a, b, c, d]: [Pair<S>; 4]) -> [Pair<S>; 4] {
        let c = self.shift_48(c);
        let (even, odd) = (self.add_mixed(a, c), self.sub_mixed(a, c));
        let [e, f] = self.eighths(b, d);
        [self.add(even, e), self.sub(even, e), self.add(odd, f), self.sub(odd, f)]
    }

    /// The inverse of [`Field::turned_dft4`], times 4.
    #[inline(always)]
    fn inverse_turned_dft4(self, [a, b, c, d]: [Pair<S>; 4]) -> [Pair<S>; 4] {
        let (s, t) = (self.add(a, b), self.add(c, d));
        // 2^-24 = -2^72, 2^-48 = -2^48, 2^-72 = -2^24: all differences are taken the other way round.
        let [z, y] = self.eighths(self.sub(b, a), self.sub(d, c));
        let zero = (self.s.splat_u(0), self.s.splat_u(0));
        [self.add(s, t), y, self.add_mixed(zero, self.shift_48(self.sub(t, s))), z]
    }

    /// Of the first four.
    #[inline(always)]
    fn dft4(self, x: &mut [Pair<S>; 8]) {
        for j in 0..2 {
            (x[j], x[j + 2]) = (self.add(x[j], x[j + 2]), self.sub(x[j], x[j + 2]));
        }
        (x[0], x[1]) = (self.add(x[0], x[1]), self.sub(x[0], x[1]));
        let quarter = self.shift_48(x[3]);
        (x[2], x[3]) = (self.add_mixed(x[2], quarter), self.sub_mixed(x[2], quarter));
    }

    /// The inverse of [`Field::dft`], times `count`.
    #[inline(always)]
    fn inverse_dft(self, x: &mut [Pair<S>; 8], count: usize) {
        match count {
            2 => (x[0], x[1]) = (self.add(x[0], x[1]), self.sub(x[0], x[1])),
            4 => self.inverse_dft4(x),
            _ => {
                self.inverse_dft4(x);
                let turned = self.inverse_turned_dft4([x[4], x[5], x[6], x[7]]);
                for j in 0..4 {
                    (x[j], x[j + 4]) = (self.add(x[j], turned[j]), self.sub(x[j], turned[j]));
                }
            }
        }
    }

    /// Of the first four.
    #[inline(always)]
    fn inverse_dft4(self, x: &mut [Pair<S>; 8]) {
        for j in [0, 2] {
            (x[j], x[j + 1]) = (self.add(x[j], x[j + 1]), self.sub(x[j], x[j + 1]));
        }
        (x[0], x[2]) = (self.add(x[0], x[2]), self.sub(x[0], x[2]));
        let quarter = self.shift_48(x[3]);
        (x[1], x[3]) = (self.sub_mixed(x[1], quarter), self.add_mixed(x[1], quarter));
    }

    /// A step of the forward transform between the first `count` vectors; `factor(j - 1)` is zeta^j.
    #[inline(always)]
    fn step(self, x: &mut [S::U; 8], count: usize, factor: impl Fn(usize) -> Factor<S>) {
        let mut pairs = [self.bias; 8];
        unrolled(
            count,
            #[inline(always)]
            |j| {
                pairs[j] = if j == 0 {
                    self.add(self.offset_split(x[0]), self.split_bias)
                } else {
                    self.product(x[j], factor(j - 1))
                };
            },
        );
        self.dft(&mut pairs, count);
        self.join_all(x, &pairs, count);
    }

    /// A step of the inverse transform, times `count`; the words are multiplied first.
    #[inline(always)]
    fn inverse_step(self, x: &mut [S::U; 8], count: usize, factor: impl Fn(usize) -> Pair<S>) {
        let mut pairs = [self.bias; 8];
        unrolled(
            count,
            #[inline(always)]
            |j| pairs[j] = factor(j),
        );
        pairs[0] = self.biased(pairs[0]);
        self.inverse_dft(&mut pairs, count);
        self.join_all(x, &pairs, count);
    }

    #[inline(always)]
    fn join_all(self, x: &mut [S::U; 8], pairs: &[Pair<S>; 8], count: usize) {
        unrolled(
            count,
            #[inline(always)]
            |j| x[j] = self.join(pairs[j]),
        );
    }

    /// The first step of the forward transform, of canonical words.
    #[inline(always)]
    fn outermost(self, x: &mut [S::U; 8], count: usize) {
        let mut pairs = [self.bias; 8];
        unrolled(
            count,
            #[inline(always)]
            |j| pairs[j] = self.split_canonical(x[j]),
        );
        pairs[0] = self.biased(pairs[0]);
        if count == 4 {
            [pairs[0], pairs[1], pairs[2], pairs[3]] = self.turned_dft4([pairs[0], pairs[1], pairs[2], pairs[3]]);
        } else {
            let turned = self.shift_48(pairs[1]);
            (pairs[0], pairs[1]) = (self.add_mixed(pairs[0], turned), self.sub_mixed(pairs[0], turned));
        }
        self.join_all(x, &pairs, count);
    }

    /// As [`Field::outermost`] for eight words: a step of four, then one of two, with zeta 2^12, 2^60, 2^36 and 2^84 for its
    /// blocks.
    #[inline(always)]
    fn outermost_8(self, x: &mut [S::U; 8]) {
        let s = self.s;
        unrolled(
            2,
            #[inline(always)]
            |odd| {
                let mut four = *x;
                unrolled(
                    4,
                    #[inline(always)]
                    |j| four[j] = x[2 * j + odd],
                );
                self.outermost(&mut four, 4);
                unrolled(
                    4,
                    #[inline(always)]
                    |j| x[2 * j + odd] = four[j],
                );
            },
        );
        unrolled(
            4,
            #[inline(always)]
            |block| {
                let a = self.add(self.offset_split(x[2 * block]), self.split_bias);
                let (low, high) = self.split(x[2 * block + 1]);
                let both = s.add_u(low, high);
                let [sum, difference] = if block < 2 {
                    let b = if block == 0 {
                        (s.shl_u(low, 12), s.shl_u(high, 12))
                    } else {
                        // By 60, which leaves limbs too large to be joined.
                        self.carried(s.shl_u(s.sub_u(s.splat_u(0), high), 28), s.shl_u(both, 28))
                    };
                    [self.add(a, b), self.sub(a, b)]
                } else {
                    // By 36 and by 84, the low limb negated.
                    let b = if block == 2 {
                        (s.shl_u(high, 4), s.shl_u(both, 4))
                    } else {
                        (s.shl_u(both, 20), s.shl_u(low, 20))
                    };
                    [self.add_mixed(a, b), self.sub_mixed(a, b)]
                };
                (x[2 * block], x[2 * block + 1]) = (self.join(sum), self.join(difference));
            },
        );
    }

    /// As [`Field::inverse_outermost`] for eight words, the inverse of [`Field::outermost_8`].
    #[inline(always)]
    fn inverse_outermost_8(self, x: &mut [S::U; 8], factor: impl Fn(usize) -> Pair<S>) {
        let s = self.s;
        let mut turned = [self.bias; 4];
        unrolled(
            4,
            #[inline(always)]
            |block| {
                let (a, b) = (factor(2 * block), factor(2 * block + 1));
                x[2 * block] = self.join(self.biased(self.add(a, b)));
                // 2^-12 = -2^84, 2^-60 = -2^36, 2^-36 = -2^60, 2^-84 = -2^12: differences are taken the other way round.
                let ((low, high), minus) = (self.sub(b, a), self.sub(a, b));
                turned[block] = match block {
                    0 => self.carried(s.shl_u(s.add_u(minus.0, minus.1), 20), s.shl_u(low, 20)),
                    1 => self.carried(s.shl_u(minus.1, 4), s.shl_u(s.add_u(low, high), 4)),
                    2 => self.carried(s.shl_u(minus.1, 28), s.shl_u(s.add_u(low, high), 28)),
                    _ => self.carried(s.shl_u(low, 12), s.shl_u(high, 12)),
                };
            },
        );
        unrolled(
            2,
            #[inline(always)]
            |odd| {
                let mut four = *x;
                self.inverse_outermost(
                    &mut four,
                    4,
                    #[inline(always)]
                    |j| if odd == 0 { self.split(x[2 * j]) } else { turned[j] },
                );
                unrolled(
                    4,
                    #[inline(always)]
                    |j| x[2 * j + odd] = four[j],
                );
            },
        );
    }

    /// The last step of the inverse transform, to canonical words; otherwise as [`Field::inverse_step`].
    #[inline(always)]
    fn inverse_outermost(self, x: &mut [S::U; 8], count: usize, factor: impl Fn(usize) -> Pair<S>) {
        let mut pairs = [self.bias; 8];
        unrolled(
            count,
            #[inline(always)]
            |j| pairs[j] = factor(j),
        );
        if count == 4 {
            [pairs[0], pairs[1], pairs[2], pairs[3]] =
                self.inverse_turned_dft4([pairs[0], pairs[1], pairs[2], pairs[3]]);
        } else {
            // 2^-48 = -2^48.
            let zero = (self.s.splat_u(0), self.s.splat_u(0));
            let turned = self.shift_48(self.sub(pairs[1], pairs[0]));
            (pairs[0], pairs[1]) = (self.add(pairs[0], pairs[1]), self.add_mixed(zero, turned));
        }
        unrolled(
            count,
            #[inline(always)]
            |j| x[j] = self.canonical(self.join(self.biased(pairs[j]))),
        );
    }
}

/// Vectors of a square of words: `[i][row]` holds those from `i * LANES` on of a row.
type Square<S> = [[<S as Simd>::U; SIDE]; 2];

/// Exchanges rows and columns.
#[inline(always)]
fn transpose<S: Simd>(s: S, x: &mut Square<S>) {
    if S::LANES == SIDE {
        s.transpose_u(&mut x[0]);
    } else {
        let mut columns = *x;
        for (i, half) in x.iter().enumerate() {
            for first in [0, 4] {
                let mut rows = *half;
                for row in 0..4 {
                    rows[row] = half[first + row];
                }
                s.transpose_u(&mut rows);
                for column in 0..4 {
                    columns[first / 4][4 * i + column] = rows[column];
                }
            }
        }
        *x = columns;
    }
}

#[inline(always)]
fn run_forward<S: Simd>(s: S, plan: &GoldilocksPlan, x: &mut [u64]) {
    let field = Field::new(s);
    let x = &mut x[..plan.degree];
    let Some((outer, steps)) = plan.forward.steps.split_last() else { return };
    let far = steps.iter().take_while(|step| step.radix * step.distance > NEAR).count().max(1);
    let (far, near) = steps.split_at(far);
    for (index, step) in far.iter().enumerate() {
        match (index, step.radix) {
            (0, 8) => outermost_pass::<S, 8>(field, step, x),
            (0, 4) => outermost_pass::<S, 4>(field, step, x),
            (0, _) => outermost_pass::<S, 2>(field, step, x),
            (_, radix) => forward_pass(field, radix, step.distance, &step.factors, x),
        }
    }
    let block = near.first().unwrap_or(outer);
    let block = block.radix * block.distance;
    let blocks = x.len() / block;
    for (index, x) in x.chunks_exact_mut(block).enumerate() {
        for step in near {
            forward_pass(field, step.radix, step.distance, part(&step.factors, blocks, index), x);
        }
        let outer = part(&outer.factors, blocks, index).chunks_exact((SIDE - 1) * BROADCAST);
        let inner = part(&plan.forward.inner, blocks, index).chunks_exact(2 * (SIDE - 1) * SIDE);
        for (x, (outer, inner)) in x.chunks_exact_mut(SQUARE).zip(outer.zip(inner)) {
            forward_square(field, outer, inner, x);
        }
    }
}

/// Part `index` of `parts` equal ones.
#[inline(always)]
fn part(words: &[u64], parts: usize, index: usize) -> &[u64] {
    let len = words.len() / parts;
    &words[index * len..][..len]
}

/// The steps between and within the rows of a square; makes canonical words.
#[inline(always)]
fn forward_square<S: Simd>(field: Field<S>, outer: &[u64], inner: &[u64], x: &mut [u64]) {
    let s = field.s;
    let halves = SIDE / S::LANES;
    // Checked once.
    let (outer, inner) = (&outer[..(SIDE - 1) * BROADCAST], &inner[..2 * (SIDE - 1) * SIDE]);
    let x = &mut x[..SQUARE];
    let mut square = [[field.epsilon; SIDE]; 2];
    for (i, v) in square.iter_mut().take(halves).enumerate() {
        for row in 0..SIDE {
            v[row] = s.load_u(x, row * SIDE + i * S::LANES);
        }
        field.step(
            v,
            SIDE,
            #[inline(always)]
            |j| broadcast(s, outer, j),
        );
    }
    transpose(s, &mut square);
    for (i, v) in square.iter_mut().take(halves).enumerate() {
        field.step(
            v,
            SIDE,
            #[inline(always)]
            |j| vectors(s, inner, i * (SIDE - 1) + j),
        );
        for j in 0..SIDE {
            v[j] = field.canonical(v[j]);
        }
    }
    transpose(s, &mut square);
    for (i, v) in square.iter().take(halves).enumerate() {
        for row in 0..SIDE {
            s.store_u(x, row * SIDE + i * S::LANES, v[row]);
        }
    }
}

/// `COUNT` times h words, apart: then one check of bounds serves all.
#[inline(always)]
fn rows<const COUNT: usize>(x: &mut [u64], h: usize) -> [&mut [u64]; COUNT] {
    let (mut rest, mut rows) = (x, std::array::from_fn(|_| <&mut [u64]>::default()));
    unrolled(
        COUNT,
        #[inline(always)]
        |j| (rows[j], rest) = std::mem::take(&mut rest).split_at_mut(h),
    );
    rows
}

/// The vectors at i of rows.
#[inline(always)]
fn load<S: Simd, const COUNT: usize>(s: S, rows: &[&mut [u64]; COUNT], i: usize) -> [S::U; 8] {
    let mut v = [s.splat_u(0); 8];
    unrolled(
        COUNT,
        #[inline(always)]
        |j| v[j] = s.load_u(rows[j], i),
    );
    v
}

/// Puts the vectors at i of rows.
#[inline(always)]
fn store<S: Simd, const COUNT: usize>(s: S, rows: &mut [&mut [u64]; COUNT], i: usize, v: &[S::U; 8]) {
    unrolled(
        COUNT,
        #[inline(always)]
        |j| s.store_u(rows[j], i, v[j]),
    );
}

/// The first pass over memory.
#[inline(always)]
fn outermost_pass<S: Simd, const COUNT: usize>(field: Field<S>, step: &Step, x: &mut [u64]) {
    let (s, h) = (field.s, step.distance);
    let mut rows = rows::<COUNT>(x, h);
    for i in (0..h).step_by(S::LANES) {
        let mut v = load(s, &rows, i);
        if COUNT == 8 {
            field.outermost_8(&mut v);
        } else {
            field.outermost(&mut v, COUNT);
        }
        store(s, &mut rows, i, &v);
    }
}

/// A pass over memory with `radix` words at distance h meeting.
#[inline(always)]
fn forward_pass<S: Simd>(field: Field<S>, radix: usize, h: usize, factors: &[u64], x: &mut [u64]) {
    if radix == 8 {
        forward_pass_of::<S, 8>(field, h, factors, x);
    } else {
        forward_pass_of::<S, 4>(field, h, factors, x);
    }
}

#[inline(always)]
fn forward_pass_of<S: Simd, const COUNT: usize>(field: Field<S>, h: usize, factors: &[u64], x: &mut [u64]) {
    let s = field.s;
    let factors = factors.chunks_exact((COUNT - 1) * BROADCAST);
    for (x, factors) in x.chunks_exact_mut(COUNT * h).zip(factors) {
        // Checked once.
        let factors = &factors[..(COUNT - 1) * BROADCAST];
        let mut rows = rows::<COUNT>(x, h);
        for i in (0..h).step_by(S::LANES) {
            let mut v = load(s, &rows, i);
            field.step(
                &mut v,
                COUNT,
                #[inline(always)]
                |j| broadcast(s, factors, j),
            );
            store(s, &mut rows, i, &v);
        }
    }
}

#[inline(always)]
fn run_inverse<S: Simd>(s: S, plan: &GoldilocksPlan, x: &mut [u64]) {
    let field = Field::new(s);
    let x = &mut x[..plan.degree];
    let tables = &plan.inverse;
    let far = tables.steps.iter().take_while(|step| step.radix * step.distance > NEAR).count().max(1);
    let (far, near) = tables.steps.split_at(far);
    let block = near.first().map_or(SQUARE, |step| step.radix * step.distance);
    let blocks = x.len() / block;
    for (index, x) in x.chunks_exact_mut(block).enumerate() {
        let inner = part(&tables.inner, blocks, index).chunks_exact(2 * SQUARE);
        for (x, inner) in x.chunks_exact_mut(SQUARE).zip(inner) {
            inverse_square(field, inner, x);
        }
        for step in near.iter().rev() {
            inverse_pass::<S, false>(field, step, part(&step.factors, blocks, index), x);
        }
    }
    for (index, step) in far.iter().enumerate().rev() {
        if index == 0 {
            inverse_pass::<S, true>(field, step, &step.factors, x);
        } else {
            inverse_pass::<S, false>(field, step, &step.factors, x);
        }
    }
}

/// As [`forward_square`], back, from canonical words.
#[inline(always)]
fn inverse_square<S: Simd>(field: Field<S>, inner: &[u64], x: &mut [u64]) {
    let s = field.s;
    let halves = SIDE / S::LANES;
    // Checked once.
    let (inner, x) = (&inner[..2 * SQUARE], &mut x[..SQUARE]);
    let mut square = [[field.epsilon; SIDE]; 2];
    for (i, v) in square.iter_mut().take(halves).enumerate() {
        for row in 0..SIDE {
            v[row] = s.load_u(x, row * SIDE + i * S::LANES);
        }
    }
    transpose(s, &mut square);
    for v in square.iter_mut().take(halves) {
        let words = *v;
        field.inverse_step(
            v,
            SIDE,
            #[inline(always)]
            |j| field.split_canonical(words[j]),
        );
    }
    transpose(s, &mut square);
    for (i, v) in square.iter_mut().take(halves).enumerate() {
        let words = *v;
        field.inverse_step(
            v,
            SIDE,
            #[inline(always)]
            |j| field.product(words[j], vectors(s, inner, i * SIDE + j)),
        );
        for row in 0..SIDE {
            s.store_u(x, row * SIDE + i * S::LANES, v[row]);
        }
    }
}

/// As [`forward_pass`], back; the last makes canonical words.
#[inline(always)]
fn inverse_pass<S: Simd, const LAST: bool>(field: Field<S>, step: &Step, factors: &[u64], x: &mut [u64]) {
    match step.radix {
        8 => inverse_pass_of::<S, 8, LAST>(field, step.distance, factors, x),
        4 => inverse_pass_of::<S, 4, LAST>(field, step.distance, factors, x),
        _ => inverse_pass_of::<S, 2, LAST>(field, step.distance, factors, x),
    }
}

#[inline(always)]
fn inverse_pass_of<S: Simd, const COUNT: usize, const LAST: bool>(
    field: Field<S>,
    h: usize,
    factors: &[u64],
    x: &mut [u64],
) {
    let s = field.s;
    let blocks = x.len() / (COUNT * h);
    let multiplied = factors.len() / (blocks * COUNT * BROADCAST);
    let factors = factors.chunks_exact(multiplied * COUNT * BROADCAST);
    for (x, factors) in x.chunks_exact_mut(COUNT * h).zip(factors) {
        let len = h / (multiplied + 1);
        let mut rows = rows::<COUNT>(x, h);
        for i in (0..len).step_by(S::LANES) {
            inverse_vectors::<S, COUNT, LAST>(
                field,
                i,
                #[inline(always)]
                |_, word| field.split(word),
                &mut rows,
            );
        }
        for (stretch, factors) in factors.chunks_exact(COUNT * BROADCAST).enumerate() {
            // Checked once.
            let factors = &factors[..COUNT * BROADCAST];
            for i in ((stretch + 1) * len..(stretch + 2) * len).step_by(S::LANES) {
                inverse_vectors::<S, COUNT, LAST>(
                    field,
                    i,
                    #[inline(always)]
                    |j, word| field.product(word, broadcast(s, factors, j)),
                    &mut rows,
                );
            }
        }
    }
}

/// The vectors of [`inverse_pass`] that meet at i.
#[inline(always)]
fn inverse_vectors<S: Simd, const COUNT: usize, const LAST: bool>(
    field: Field<S>,
    i: usize,
    factor: impl Fn(usize, S::U) -> Pair<S>,
    rows: &mut [&mut [u64]; COUNT],
) {
    let s = field.s;
    let words = load(s, rows, i);
    let mut v = words;
    if LAST && COUNT == 8 {
        field.inverse_outermost_8(
            &mut v,
            #[inline(always)]
            |j| factor(j, words[j]),
        );
    } else if LAST {
        field.inverse_outermost(
            &mut v,
            COUNT,
            #[inline(always)]
            |j| factor(j, words[j]),
        );
    } else {
        field.inverse_step(
            &mut v,
            COUNT,
            #[inline(always)]
            |j| factor(j, words[j]),
        );
    }
    store(s, rows, i, &v);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::goldilocks;
    use glovebox_golden::ntt::NegacyclicNtt;

    #[test]
    fn every_kernel_equals_golden_at_every_degree() {
        for kernel in Kernel::available() {
            for log2 in 4..=16 {
                let degree = 1usize << log2;
                if !GoldilocksPlan::supports(degree) {
                    continue;
                }
                let plan = GoldilocksPlan::new(degree, kernel.lanes());
                let golden = NegacyclicNtt::new(degree).unwrap();
                let edges = [0, 1, EPSILON, EPSILON + 1, P - 1, P - 2, P - EPSILON, 1 << 63, (1 << 63) - 1];
                for round in 0..4u64 {
                    let x: Vec<u64> = (0..degree as u64)
                        .map(|i| match round {
                            0 => P - 1,
                            1 => edges[(i * i % 9) as usize],
                            _ => goldilocks::mul(pow(7, i + round), i | 1 << 40),
                        })
                        .collect();
                    let (mut ours, mut theirs) = (x.clone(), x.clone());
                    plan.forward(kernel, &mut ours);
                    golden.forward_bit_reversed(&mut theirs).unwrap();
                    assert!(ours == theirs, "{} at {degree}, round {round}", kernel.name());
                    plan.inverse(kernel, &mut ours);
                    assert!(ours == x, "{} at {degree}, round {round}, back", kernel.name());
                }
            }
        }
    }

    /// Whether the limbs of w and w 2^32 belong together and products by them are within the bounds.
    fn fits([u0, u1, v0, v1]: [i32; 4]) -> bool {
        let value = |low: i32, high: i32| (i128::from(low) + (i128::from(high) << 32)).rem_euclid(i128::from(P)) as u64;
        let (least, most) = (-(1i64 << 31), (1i64 << 31) - 1);
        let corners = [(least, least + 1), (least, most), (most, least + 1), (most, most), (0, least), (most, least)];
        let within = |u: i32, v: i32, bound: i128| {
            corners
                .iter()
                .all(|&(a0, a1)| (i128::from(a0) * i128::from(u) + i128::from(a1) * i128::from(v)).abs() <= bound)
        };
        mul(value(u0, u1), 1 << 32) == value(v0, v1)
            && within(u0, v0, (1 << 63) - (1 << 31))
            && within(u1, v1, (1 << 63) - (1 << 32))
    }

    #[test]
    fn factors_are_within_the_bound_of_products() {
        for (lanes, log2) in [4, 8].into_iter().flat_map(|lanes| (7..=16).map(move |log2| (lanes, log2))) {
            let plan = GoldilocksPlan::new(1 << log2, lanes);
            let steps = plan.forward.steps.iter().chain(&plan.inverse.steps).map(|step| &step.factors[..]);
            for factors in steps {
                for factor in factors.as_chunks::<BROADCAST>().0 {
                    assert!(fits(factor.map(|limb| limb as i32)), "{lanes} lanes, N = 2^{log2}: {factor:x?}");
                }
            }
            for vectors in plan.forward.inner.chunks(2 * lanes).chain(plan.inverse.inner.chunks(2 * lanes)) {
                for (u, v) in vectors[..lanes].iter().zip(&vectors[lanes..]) {
                    let limbs = [*u as i32, (u >> 32) as i32, *v as i32, (v >> 32) as i32];
                    assert!(fits(limbs), "{lanes} lanes, N = 2^{log2}: {u:x} {v:x}");
                }
            }
        }
    }

    /// Words of a field operation's operands: signed words, then canonical ones.
    struct Operations<'a> {
        signed: &'a [u64],
        canonical: &'a [u64],
        factor: u64,
    }

    impl Task for Operations<'_> {
        /// Products and differences of shifts of the signed words, products of the canonical ones.
        type Output = Vec<[u64; 6]>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let Self { signed, canonical, factor } = self;
            let field = Field::new(s);
            let w = broadcast(s, &broadcast_words(factor), 0);
            let mut results = Vec::new();
            for i in (0..signed.len()).step_by(S::LANES) {
                let a = s.add_u(s.load_u(signed, i), s.splat_u(Field::<S>::OFFSET));
                let packed = vector_words(&canonical[i..i + S::LANES]);
                let zero = (s.splat_u(0), s.splat_u(0));
                let join = |pair| field.canonical(field.join(field.biased(pair)));
                let pair = field.product(a, w);
                let vectors = [
                    join(pair),
                    join(field.product(a, vectors(s, &packed, 0))),
                    join(field.add_mixed(zero, field.shift_48(field.split(a)))),
                    join(field.eighths(pair, field.split(a))[0]),
                    join(field.eighths(pair, field.split(a))[1]),
                    {
                        let mut sums = vec![P - 1; S::LANES];
                        multiply_add(s, &mut sums, &canonical[i..], &canonical[i..]);
                        s.load_u(&sums, 0)
                    },
                ];
                let mut words = [[0; 8]; 6];
                for (words, vector) in words.iter_mut().zip(vectors) {
                    s.store_u(words, 0, vector);
                }
                results.extend((0..S::LANES).map(|lane| words.map(|w| w[lane])));
            }
            results
        }
    }

    proptest::proptest! {
        #[test]
        fn field_operations_of_every_kernel_equal_golden(
            a in proptest::collection::vec(proptest::prelude::any::<i64>(), 64),
            b in proptest::collection::vec(proptest::prelude::any::<u64>(), 64),
            factor: u64,
        ) {
            use glovebox_golden::field;
            // Every third word at an edge of its range; with 2^63 as factor, the third edge makes the largest product.
            let edges = [i64::MIN, i64::MIN + 1, i64::MIN + (1 << 31), -1, 0, (1 << 31) - 1, 1 << 31, (1 << 62) + (1 << 31)];
            let most = i64::MAX - (1 << 31);
            let edge = |x: i64| match x.rem_euclid(10) {
                8 => most,
                9 => most - (1 << 32),
                i => edges[i as usize],
            };
            let signed: Vec<i64> =
                a.iter().enumerate().map(|(i, &x)| if i % 3 == 0 { edge(x) } else { x.min(most) }).collect();
            let edges = [0, 1, EPSILON, P - 1, P / 2, (1 << 63) - (1 << 31), 1 << 32, P - 2];
            let canonical: Vec<u64> = b
                .iter()
                .enumerate()
                .map(|(i, &x)| if i % 3 == 0 { edges[(x % 8) as usize] } else { x % P })
                .map(|x| if fits(factor_limbs(x)) { x } else { 3 })
                .collect();
            let factor = if factor % 4 == 0 { 1 << 63 } else { factor % P };
            let factor = if fits(factor_limbs(factor)) { factor } else { 5 };
            let words: Vec<u64> = signed.iter().map(|x| x.cast_unsigned()).collect();
            for kernel in Kernel::available() {
                let results = kernel.run(Operations { signed: &words, canonical: &canonical, factor });
                for (i, r) in results.into_iter().enumerate() {
                    let x = i128::from(signed[i]).rem_euclid(i128::from(P)) as u64;
                    let c = canonical[i];
                    let product = field::mul(x, factor);
                    let shift = |x: u64, bits: u32| field::mul(x, field::pow(2, bits.into()));
                    let expected = [
                        product,
                        field::mul(x, c),
                        shift(x, 48),
                        field::add(shift(product, 24), shift(x, 72)),
                        field::add(shift(product, 72), shift(x, 24)),
                        field::add(field::mul(c, c), P - 1),
                    ];
                    proptest::prop_assert_eq!(r, expected, "{} {:#x} {:#x}", kernel.name(), words[i], c);
                }
            }
        }
    }
}
