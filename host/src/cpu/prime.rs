//! The negacyclic transform modulo M = 1125899903827969, the largest prime below 2^50 that is 1 mod 2^17, in 52-bit
//! multiply-accumulate instructions.
//!
//! Butterflies are those of Harvey (Journal of Symbolic Computation 60, 2014) with Montgomery products by constants, in
//! unsigned words of which `4 M < 2^52`:
//!
//! `product(b, w) = M + high(b W) - high(q M)`, `W = w 2^52 mod M`, `q = low(b W') `, `W' = W / M mod 2^52`,
//!
//! for any b below 2^52. As q M and b W agree in their low 52 bits, this is exactly `(b W - q M) / 2^52 + M = b w` mod M,
//! in `(0, 2M)`.
//!
//! Passes over memory take up to four levels. The last takes blocks of 2 LANES vectors: the levels between those, then
//! those within each of its two squares of LANES x LANES words, which are transposed for it and stay so, as in `fft`.

use super::simd::Ifma;

/// The modulus.
pub(crate) const M: u64 = 1_125_899_903_827_969;
/// A primitive 2^17-th root of unity: 11^((M - 1) / 2^17).
const ROOT_2_17: u64 = 1_077_102_403_560_341;
const MASK: u64 = (1 << 52) - 1;

pub(crate) const fn mul_mod(a: u64, b: u64) -> u64 {
    (a as u128 * b as u128 % M as u128) as u64
}

pub(crate) const fn pow_mod(base: u64, mut exponent: u64) -> u64 {
    let (mut result, mut square) = (1, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = mul_mod(result, square);
        }
        square = mul_mod(square, square);
        exponent >>= 1;
    }
    result
}

/// 1 / M mod 2^52, by Newton's iteration.
pub(crate) const M_INVERSE: u64 = {
    let mut x = 1u64;
    let mut i = 0;
    while i < 6 {
        x = x.wrapping_mul(2u64.wrapping_sub(M.wrapping_mul(x)));
        i += 1;
    }
    x & MASK
};

/// `w 2^52 mod M`: w as the constant of a Montgomery product.
pub(crate) const fn to_montgomery(w: u64) -> u64 {
    mul_mod(w, (1 << 52) % M)
}

/// `[W, W']` of a constant.
pub(crate) fn constant(w: u64) -> [u64; 2] {
    let w = to_montgomery(w);
    [w, w.wrapping_mul(M_INVERSE) & MASK]
}

/// Tables of one degree, forward or inverse.
#[derive(Clone, Debug)]
struct Tables {
    passes: Vec<Pass>,
    /// For every block: constants of the levels between its vectors.
    outer: Vec<u64>,
    /// For every square: constants of the levels within its rows, a vector of W and one of W' each.
    inner: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Pass {
    levels: u32,
    /// Distance of the closest words that meet.
    distance: usize,
    /// For every block: constants, level by level.
    constants: Vec<u64>,
}

/// The transform of one degree.
#[derive(Clone, Debug)]
pub(crate) struct PrimePlan {
    degree: usize,
    lanes: usize,
    forward: Tables,
    inverse: Tables,
}

impl PrimePlan {
    /// Whether there is a transform of this degree for vectors of that many lanes.
    pub(crate) fn supports(degree: usize, lanes: usize) -> bool {
        degree.is_power_of_two() && (2 * lanes * lanes..=1 << 16).contains(&degree)
    }

    /// Tables for `degree` coefficients; see [`PrimePlan::supports`].
    pub(crate) fn new(degree: usize, lanes: usize) -> Self {
        let log2 = degree.trailing_zeros();
        let psi = pow_mod(ROOT_2_17, 1 << (16 - log2));
        let tables = |root: u64| {
            let mut roots = vec![0; degree];
            let mut power = 1;
            for exponent in 0..degree {
                roots[exponent.reverse_bits() >> (usize::BITS - log2)] = power;
                power = mul_mod(power, root);
            }
            Tables::new(&roots, lanes)
        };
        Self { degree, lanes, forward: tables(psi), inverse: tables(pow_mod(psi, 2 * degree as u64 - 1)) }
    }

    /// The work of a transform: vectors times levels.
    pub(crate) fn work(&self) -> usize {
        self.degree / self.lanes * self.degree.ilog2() as usize
    }
}

impl Tables {
    /// `roots[2^level + block]` is the factor of a block.
    fn new(roots: &[u64], lanes: usize) -> Self {
        let degree = roots.len();
        // The factors of `levels` levels below a block: 1, 2, 4 .. of them.
        let below = |first: u32, block: usize, levels: u32| {
            (0..levels).flat_map(move |l| (0..1usize << l).map(move |sub| (1 << (first + l)) + (block << l) + sub))
        };
        let side = lanes.trailing_zeros();
        let mut left = (degree / (2 * lanes * lanes)).trailing_zeros();
        let (mut done, mut passes) = (0, Vec::new());
        while left > 0 {
            // As few passes as possible, of at most 4 levels.
            let levels = left.div_ceil(left.div_ceil(4));
            left -= levels;
            let constants =
                (0..1 << done).flat_map(|block| below(done, block, levels)).flat_map(|i| constant(roots[i])).collect();
            done += levels;
            passes.push(Pass { levels, distance: degree >> done, constants });
        }
        let (mut outer, mut inner) = (Vec::new(), Vec::new());
        for block in 0..1usize << done {
            outer.extend(below(done, block, side + 1).flat_map(|i| constant(roots[i])));
        }
        done += side + 1;
        for first in (0..1usize << done).step_by(lanes) {
            let rows: Vec<Vec<[u64; 2]>> = (first..first + lanes)
                .map(|row| below(done, row, side).map(|i| constant(roots[i])).collect())
                .collect();
            for k in 0..lanes - 1 {
                inner.extend(rows.iter().map(|row| row[k][0]));
                inner.extend(rows.iter().map(|row| row[k][1]));
            }
        }
        Self { passes, outer, inner }
    }
}

/// Vectors of the modulus.
#[derive(Clone, Copy)]
pub(crate) struct Modulus<S: Ifma> {
    pub(crate) m: S::U,
    pub(crate) two_m: S::U,
    zero: S::U,
}

impl<S: Ifma> Modulus<S> {
    #[inline(always)]
    pub(crate) fn new(s: S) -> Self {
        Self { m: s.splat_u(M), two_m: s.splat_u(2 * M), zero: s.splat_u(0) }
    }

    /// From `[0, 4M)` to `[0, 2M)`.
    #[inline(always)]
    pub(crate) fn reduce(&self, s: S, a: S::U) -> S::U {
        s.min_u(a, s.sub_u(a, self.two_m))
    }

    /// `b w` in `(0, 2M)`, b below 2^52.
    #[inline(always)]
    pub(crate) fn product(&self, s: S, b: S::U, [w, w_over_m]: [S::U; 2]) -> S::U {
        let q = s.madd_low(self.zero, b, w_over_m);
        s.sub_u(s.madd_high(self.m, b, w), s.madd_high(self.zero, q, self.m))
    }

    /// `(a + b w, a - b w)`, all in `[0, 4M)`.
    #[inline(always)]
    fn forward(&self, s: S, a: S::U, b: S::U, w: [S::U; 2]) -> (S::U, S::U) {
        self.reduced_forward(s, self.reduce(s, a), b, w)
    }

    /// As [`Modulus::forward`] for a in `[0, 2M)`.
    #[inline(always)]
    fn reduced_forward(&self, s: S, a: S::U, b: S::U, w: [S::U; 2]) -> (S::U, S::U) {
        let t = self.product(s, b, w);
        (s.add_u(a, t), s.sub_u(s.add_u(a, self.two_m), t))
    }

    /// `(a + b, (a - b) w)`, all in `[0, 2M)`.
    #[inline(always)]
    fn inverse(&self, s: S, a: S::U, b: S::U, w: [S::U; 2]) -> (S::U, S::U) {
        let difference = s.sub_u(s.add_u(a, self.two_m), b);
        (self.reduce(s, s.add_u(a, b)), self.product(s, difference, w))
    }
}

/// Forward butterflies between the first `count` vectors, of the level with that many blocks and those below.
#[inline(always)]
fn forward_levels<S: Ifma>(
    s: S,
    m: &Modulus<S>,
    x: &mut [S::U],
    count: usize,
    mut blocks: usize,
    w: impl Fn(usize) -> [S::U; 2],
) {
    let mut half = count / (2 * blocks);
    while half > 0 {
        for block in 0..blocks {
            let w = w(blocks - 1 + block);
            for i in 2 * block * half..(2 * block + 1) * half {
                (x[i], x[i + half]) = m.forward(s, x[i], x[i + half], w);
            }
        }
        half /= 2;
        blocks *= 2;
    }
}

/// The inverse of [`forward_levels`], times `count`.
#[inline(always)]
fn inverse_levels<S: Ifma>(s: S, m: &Modulus<S>, x: &mut [S::U], count: usize, w: impl Fn(usize) -> [S::U; 2]) {
    let (mut half, mut blocks) = (1, count / 2);
    while blocks > 0 {
        for block in 0..blocks {
            let w = w(blocks - 1 + block);
            for i in 2 * block * half..(2 * block + 1) * half {
                (x[i], x[i + half]) = m.inverse(s, x[i], x[i + half], w);
            }
        }
        half *= 2;
        blocks /= 2;
    }
}

#[inline(always)]
fn broadcast<S: Ifma>(s: S, constants: &[u64], k: usize) -> [S::U; 2] {
    [s.splat_u(constants[2 * k]), s.splat_u(constants[2 * k + 1])]
}

#[inline(always)]
fn vectors<S: Ifma>(s: S, constants: &[u64], k: usize) -> [S::U; 2] {
    [s.load_u(constants, 2 * k * S::LANES), s.load_u(constants, (2 * k + 1) * S::LANES)]
}

/// One pass over memory with `COUNT` words meeting; the first takes words in `[0, 2M)`.
#[inline(always)]
fn forward_pass<S: Ifma, const COUNT: usize>(
    s: S,
    m: &Modulus<S>,
    pass: &Pass,
    first: bool,
    mut load: impl FnMut(&[u64], usize) -> S::U,
    x: &mut [u64],
    worked: &impl Fn(usize),
) {
    let (h, half) = (pass.distance, COUNT / 2);
    for (block, constants) in pass.constants.chunks_exact(2 * COUNT - 2).enumerate() {
        let base = block * COUNT * h;
        for i in (base..base + h).step_by(S::LANES) {
            let mut v = [m.zero; 16];
            let w = broadcast(s, constants, 0);
            // The first level as words come, which keeps few of them waiting.
            for j in 0..half {
                let (a, b) = (load(x, i + j * h), load(x, i + (j + half) * h));
                let a = if first { a } else { m.reduce(s, a) };
                (v[j], v[j + half]) = m.reduced_forward(s, a, b, w);
            }
            forward_levels(
                s,
                m,
                &mut v,
                COUNT,
                2,
                #[inline(always)]
                |k| broadcast(s, constants, k),
            );
            for j in 0..COUNT {
                s.store_u(x, i + j * h, v[j]);
            }
            worked(COUNT * COUNT.ilog2() as usize);
        }
    }
}

/// As [`forward_pass`], back.
#[inline(always)]
fn inverse_pass<S: Ifma, const COUNT: usize>(
    s: S,
    m: &Modulus<S>,
    pass: &Pass,
    x: &mut [u64],
    worked: &impl Fn(usize),
) {
    let h = pass.distance;
    for (block, constants) in pass.constants.chunks_exact(2 * COUNT - 2).enumerate() {
        let base = block * COUNT * h;
        for i in (base..base + h).step_by(S::LANES) {
            let mut v = [m.zero; 16];
            for j in 0..COUNT {
                v[j] = s.load_u(x, i + j * h);
            }
            inverse_levels(
                s,
                m,
                &mut v,
                COUNT,
                #[inline(always)]
                |k| broadcast(s, constants, k),
            );
            for j in 0..COUNT {
                s.store_u(x, i + j * h, v[j]);
            }
            worked(COUNT * COUNT.ilog2() as usize);
        }
    }
}

/// Calls a pass for its number of levels.
macro_rules! with_count {
    ($pass:ident::<$simd:ident>, $levels:expr, $arguments:tt) => {
        match $levels {
            4 => $pass::<$simd, 16> $arguments,
            3 => $pass::<$simd, 8> $arguments,
            2 => $pass::<$simd, 4> $arguments,
            _ => $pass::<$simd, 2> $arguments,
        }
    };
}

/// The levels within the rows of the square that starts at vector `at`.
#[inline(always)]
fn forward_rows<S: Ifma>(s: S, m: &Modulus<S>, v: &[S::U; 16], at: usize, constants: &[u64], x: &mut [u64]) {
    let mut rows = [m.zero; 8];
    rows[..S::LANES].copy_from_slice(&v[at..at + S::LANES]);
    s.transpose_u(&mut rows);
    forward_levels(
        s,
        m,
        &mut rows,
        S::LANES,
        1,
        #[inline(always)]
        |k| vectors(s, constants, k),
    );
    for j in 0..S::LANES {
        s.store_u(x, j * S::LANES, rows[j]);
    }
}

/// The inverse of [`forward_rows`], times LANES.
#[inline(always)]
fn inverse_rows<S: Ifma>(s: S, m: &Modulus<S>, rows: &mut [S::U; 8], constants: &[u64], v: &mut [S::U; 16], at: usize) {
    inverse_levels(
        s,
        m,
        rows,
        S::LANES,
        #[inline(always)]
        |k| vectors(s, constants, k),
    );
    s.transpose_u(rows);
    v[at..at + S::LANES].copy_from_slice(&rows[..S::LANES]);
}

/// Transforms to `[0, 4M)` in `x`; `source(i)` gives coefficients i .. i + LANES in `[0, 2M)`;
/// `worked` hears of the work done, in vectors times levels, which is [`PrimePlan::work`] in all.
#[inline(always)]
pub(crate) fn forward<S: Ifma>(
    s: S,
    plan: &PrimePlan,
    mut source: impl FnMut(usize) -> S::U,
    x: &mut [u64],
    worked: impl Fn(usize),
) {
    let m = Modulus::new(s);
    let x = &mut x[..plan.degree];
    let tables = &plan.forward;
    if tables.passes.is_empty() {
        for i in (0..plan.degree).step_by(S::LANES) {
            s.store_u(x, i, source(i));
        }
    }
    for (index, pass) in tables.passes.iter().enumerate() {
        if index == 0 {
            with_count!(
                forward_pass::<S>,
                pass.levels,
                (
                    s,
                    &m,
                    pass,
                    true,
                    #[inline(always)]
                    |_, i| source(i),
                    x,
                    &worked
                )
            );
        } else {
            with_count!(
                forward_pass::<S>,
                pass.levels,
                (
                    s,
                    &m,
                    pass,
                    false,
                    #[inline(always)]
                    |x, i| s.load_u(x, i),
                    x,
                    &worked
                )
            );
        }
    }
    let (lanes, size) = (S::LANES, S::LANES * S::LANES);
    let constants = tables.outer.chunks_exact(2 * (2 * lanes - 1));
    let constants = constants.zip(tables.inner.chunks_exact(4 * (size - lanes)));
    for (x, (outer, inner)) in x.chunks_exact_mut(2 * size).zip(constants) {
        let mut v = [m.zero; 16];
        for j in 0..2 * lanes {
            v[j] = s.load_u(x, j * lanes);
        }
        forward_levels(
            s,
            &m,
            &mut v,
            2 * lanes,
            1,
            #[inline(always)]
            |k| broadcast(s, outer, k),
        );
        let (first, second) = inner.split_at(2 * (size - lanes));
        let (low, high) = x.split_at_mut(size);
        forward_rows(s, &m, &v, 0, first, low);
        forward_rows(s, &m, &v, lanes, second, high);
        worked(2 * lanes * (2 * lanes.ilog2() as usize + 1));
    }
}

/// Transforms back, times N, to `[0, 2M)` in `x`; `source(square, words)` gives the words of a square in `[0, 2M)`;
/// `worked` as in [`forward`].
#[inline(always)]
pub(crate) fn inverse<S: Ifma>(
    s: S,
    plan: &PrimePlan,
    mut source: impl FnMut(usize, &mut [S::U; 8]),
    x: &mut [u64],
    worked: impl Fn(usize),
) {
    let m = Modulus::new(s);
    let x = &mut x[..plan.degree];
    let tables = &plan.inverse;
    let (lanes, size) = (S::LANES, S::LANES * S::LANES);
    let constants = tables.outer.chunks_exact(2 * (2 * lanes - 1));
    let constants = constants.zip(tables.inner.chunks_exact(4 * (size - lanes)));
    for ((block, x), (outer, inner)) in x.chunks_exact_mut(2 * size).enumerate().zip(constants) {
        let mut v = [m.zero; 16];
        let (first, second) = inner.split_at(2 * (size - lanes));
        let mut rows = [m.zero; 8];
        source(2 * block, &mut rows);
        inverse_rows(s, &m, &mut rows, first, &mut v, 0);
        source(2 * block + 1, &mut rows);
        inverse_rows(s, &m, &mut rows, second, &mut v, lanes);
        inverse_levels(
            s,
            &m,
            &mut v,
            2 * lanes,
            #[inline(always)]
            |k| broadcast(s, outer, k),
        );
        for j in 0..2 * lanes {
            s.store_u(x, j * lanes, v[j]);
        }
        worked(2 * lanes * (2 * lanes.ilog2() as usize + 1));
    }
    for pass in tables.passes.iter().rev() {
        with_count!(inverse_pass::<S>, pass.levels, (s, &m, pass, x, &worked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::{IfmaTask, Kernel};
    use proptest::prelude::*;

    #[test]
    fn constants_are_what_they_claim() {
        const { assert!(4 * M < 1 << 52) };
        assert_eq!(M.wrapping_mul(M_INVERSE) & MASK, 1);
        assert_eq!(pow_mod(ROOT_2_17, 1 << 16), M - 1);
        // M is prime: a prime below 2^25 would divide it, or none.
        assert!((3..1 << 25).step_by(2).all(|d| !M.is_multiple_of(d)));
    }

    struct Product<'a>(&'a PrimePlan, &'a [u64], &'a [u64]);

    impl IfmaTask for Product<'_> {
        type Output = Vec<u64>;

        #[inline(always)]
        fn run<S: Ifma>(self, s: S) -> Vec<u64> {
            let Self(plan, a, b) = self;
            let degree = a.len();
            let (mut fa, mut fb, mut x) = (vec![0; degree], vec![0; degree], vec![0; degree]);
            forward(s, plan, |i| s.load_u(a, i), &mut fa, |_| ());
            forward(s, plan, |i| s.load_u(b, i), &mut fb, |_| ());
            assert!(fa.iter().chain(&fb).all(|&f| f < 4 * M));
            for (a, b) in fa.iter_mut().zip(fb) {
                *a = mul_mod(*a, b);
            }
            let (lanes, size) = (S::LANES, S::LANES * S::LANES);
            let source = |square: usize, v: &mut [S::U; 8]| {
                for j in 0..lanes {
                    v[j] = s.load_u(&fa, square * size + j * lanes);
                }
            };
            inverse(s, plan, source, &mut x, |_| ());
            assert!(x.iter().all(|&x| x < 2 * M));
            let scale = pow_mod(degree as u64, M - 2);
            x.into_iter().map(|x| mul_mod(x, scale)).collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn products_equal_the_definition(log2 in 7usize..=12, seed: u64) {
            let degree = 1usize << log2;
            // Extremes of the range and pseudorandom words.
            let word = |i: usize, salt: u64| match (i as u64 ^ seed) % 5 {
                0 => 2 * M - 1,
                1 => 0,
                _ => (i as u64).wrapping_mul(seed | 1).wrapping_add(salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) % (2 * M),
            };
            let a: Vec<u64> = (0..degree).map(|i| word(i, 1)).collect();
            let b: Vec<u64> = (0..degree).map(|i| word(i, 2)).collect();
            let mut expected = vec![0; degree];
            for (i, &x) in a.iter().enumerate() {
                for (j, &y) in b.iter().enumerate() {
                    let product = mul_mod(x % M, y % M);
                    let e = &mut expected[(i + j) % degree];
                    *e = if i + j < degree { (*e + product) % M } else { (*e + M - product) % M };
                }
            }
            for kernel in Kernel::available() {
                let plan = PrimePlan::new(degree, kernel.lanes());
                if let Some(product) = kernel.run_ifma(Product(&plan, &a, &b)) {
                    prop_assert_eq!(&product, &expected, "{}", kernel.name());
                }
            }
        }
    }
}
