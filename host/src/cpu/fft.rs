//! The negacyclic transform in floating point.
//!
//! A real polynomial of N coefficients folds to M = N/2 complex ones, `z_j = x_j + i x_(j+M)`, in `C[X]/(X^M - i)`. The
//! forward transform evaluates at the M roots of X^M - i by splitting `X^(rh) - c` into r factors `X^h - c_k`,
//! `c_k = c^(1/r) w^k`, `w = exp(2 pi i / r)`:
//!
//! `y_k = sum_j (x_j zeta^j) w^(jk)`, `zeta = c^(1/r)`.
//!
//! So every block has its own factors, no twist is needed, and inverse passes mirror forward ones. First radix-4 (or one
//! radix-2) passes over memory, then one pass over squares of LANES x LANES points: a radix-LANES step between vectors,
//! a transpose, and another within. Points lie in blocks of such squares, `[square][re LANES^2, im LANES^2]`, and results
//! stay in the order of that pass, since products do not care. The inverse leaves out the factor 1/M; it comes in two
//! parts, so that products are formed square by square just before the first.
//!
//! Rounding: [`FftPlan::error_factor`].

use super::simd::{Blocks, Complex, Points, Simd, Square};

/// Tables of the transform for one degree and vector length.
#[derive(Clone, Debug)]
pub(crate) struct FftPlan {
    points: usize,
    lanes: usize,
    passes: Vec<Pass>,
    /// For every square: zeta^1 .. zeta^(lanes-1), each (re, im).
    square_outer: Vec<f64>,
    /// For every square: the same for its rows, a vector of re and one of im for each power.
    square_inner: Vec<f64>,
    /// The constants of the squares.
    squares: Vec<Constant>,
}

#[derive(Clone, Debug)]
struct Pass {
    radix: usize,
    /// Distance of the points that meet.
    distance: usize,
    /// For every block: zeta^1 .. zeta^(radix-1), each (re, im).
    factors: Vec<f64>,
}

/// `2^60 exp(2 pi i numerator / 2^log2)`, each part within 16 units.
fn fixed_unit_root(numerator: u64, log2: u32) -> (i64, i64) {
    /// pi in units of 2^-60.
    const PI: u64 = 0x3243_F6A8_885A_308D;
    const ONE: u64 = 1 << 60;
    // Eighths of a turn, and the rest of the angle, mirrored into [0, pi/4].
    let turn = (u128::from(numerator) << (63 - log2)) & ((1 << 63) - 1);
    let (eighth, rest) = ((turn >> 60) as u64, (turn & ((1 << 60) - 1)) as u64);
    let rest = if eighth & 1 == 1 { ONE - rest } else { rest };
    let angle = ((u128::from(PI) * u128::from(rest)) >> 62) as u64;
    // Taylor series; terms below the last place end it.
    let (mut term, mut sums, mut k) = (ONE, [ONE, 0u64], 1u64);
    while term > 0 {
        term = ((u128::from(term) * u128::from(angle)) >> 60) as u64 / k;
        let sum = &mut sums[(k & 1) as usize];
        *sum = if k & 2 == 0 { *sum + term } else { *sum - term };
        k += 1;
    }
    let [cos, sin] = sums.map(u64::cast_signed);
    // Odd eighths were mirrored at the next axis.
    let (x, y) = if (eighth + 1) & 2 == 0 { (cos, sin) } else { (sin, cos) };
    match eighth / 2 {
        0 => (x, y),
        1 => (-x, y),
        2 => (-x, -y),
        _ => (x, -y),
    }
}

/// `exp(2 pi i numerator / 2^log2)`, each part within `2^-54 + 2^-56`.
fn unit_root(numerator: u64, log2: u32) -> (f64, f64) {
    let (re, im) = fixed_unit_root(numerator, log2);
    (re as f64 / (1u64 << 60) as f64, im as f64 / (1u64 << 60) as f64)
}

/// A constant `exp(2 pi i numerator / 2^log2)` of the factorisation.
#[derive(Clone, Copy, Debug)]
struct Constant {
    numerator: u64,
    log2: u32,
}

impl Constant {
    /// `zeta^j` with `zeta^radix` this constant.
    fn factor(self, radix: usize, j: usize) -> (f64, f64) {
        unit_root(self.numerator * j as u64, self.log2 + radix.trailing_zeros())
    }

    /// The constants of the `radix` blocks that it splits into.
    fn children(self, radix: usize) -> impl Iterator<Item = Self> {
        let log2 = self.log2 + radix.trailing_zeros();
        (0..radix as u64).map(move |k| Self { numerator: self.numerator + (k << self.log2), log2 })
    }
}

impl FftPlan {
    /// Whether there is a transform of this degree for vectors of that many lanes.
    pub(crate) fn supports(degree: usize, lanes: usize) -> bool {
        degree.is_power_of_two() && degree / 2 >= lanes * lanes
    }

    /// Tables for `degree` real coefficients; see [`FftPlan::supports`].
    pub(crate) fn new(degree: usize, lanes: usize) -> Self {
        let points = degree / 2;
        let mut blocks = vec![Constant { numerator: 1, log2: 2 }];
        let mut passes = Vec::new();
        let mut levels = (points / (lanes * lanes)).trailing_zeros();
        while levels > 0 {
            let radix = if levels % 2 == 1 { 2 } else { 4 };
            levels -= u32::ilog2(radix as u32);
            let powers = |c: &Constant| (1..radix).map(|j| c.factor(radix, j)).collect::<Vec<_>>();
            let factors = blocks.iter().flat_map(powers).flat_map(|(re, im)| [re, im]).collect();
            passes.push(Pass { radix, distance: points / blocks.len() / radix, factors });
            blocks = blocks.into_iter().flat_map(|c| c.children(radix)).collect();
        }
        let (mut square_outer, mut square_inner) = (Vec::new(), Vec::new());
        for square in &blocks {
            for j in 1..lanes {
                let (re, im) = square.factor(lanes, j);
                square_outer.extend([re, im]);
            }
            let rows: Vec<_> = square.children(lanes).collect();
            for j in 1..lanes {
                square_inner.extend(rows.iter().map(|row| row.factor(lanes, j).0));
                square_inner.extend(rows.iter().map(|row| row.factor(lanes, j).1));
            }
        }
        Self { points, lanes, passes, square_outer, square_inner, squares: blocks }
    }

    /// Complex points, N/2.
    pub(crate) fn points(&self) -> usize {
        self.points
    }

    /// The factors of every square: of the step between vectors and of that within.
    #[inline(always)]
    pub(crate) fn square_factors<S: Simd>(&self) -> impl Iterator<Item = (&[f64], &[f64])> {
        let (outer, inner) = (2 * S::LANES - 2, 2 * S::LANES * S::LANES - 2 * S::LANES);
        let factors = self.square_outer.chunks_exact(outer).zip(self.square_inner.chunks_exact(inner));
        // Cut once more: the compiler loses the lengths on the way, and would check every factor.
        factors.map(
            #[inline(always)]
            move |(o, i)| (&o[..outer], &i[..inner]),
        )
    }

    /// Squares of a transform.
    pub(crate) fn squares(&self) -> usize {
        self.squares.len()
    }

    /// The constants of the factorisation by radix 2: those of block b of 2^l at index `2^l + b`, up to the points.
    fn binary_tree(&self) -> Vec<Constant> {
        let mut tree = vec![Constant { numerator: 1, log2: 2 }; 2];
        for i in 1..self.points {
            let parent = tree[i];
            tree.extend(parent.children(2));
        }
        tree
    }

    /// For every point, square by square as in a transform's result: its index in the order of a radix-2 transform.
    pub(crate) fn order(&self) -> Vec<usize> {
        let leaves = &self.binary_tree()[self.points..];
        let mut by_numerator = vec![0; 4 * self.points];
        for (index, leaf) in leaves.iter().enumerate() {
            by_numerator[leaf.numerator as usize] = index;
        }
        let size = self.lanes * self.lanes;
        let mut order = vec![0; self.points];
        for (square, constant) in self.squares.iter().enumerate() {
            for (lane, row) in constant.children(self.lanes).enumerate() {
                for (k, point) in row.children(self.lanes).enumerate() {
                    order[square * size + k * self.lanes + lane] = by_numerator[point.numerator as usize];
                }
            }
        }
        order
    }

    /// Factors of a radix-2 transform as `[re, its error, im, its error]`, within 2^-56: block b of 2^l at `2^l + b`.
    pub(crate) fn double_factors(&self) -> Vec<[f64; 4]> {
        let unit = (1u64 << 60) as f64;
        let double = |x: i64| {
            let high = x as f64;
            [high / unit, (x - high as i64) as f64 / unit]
        };
        let factor = |c: Constant| {
            let (re, im) = fixed_unit_root(c.numerator, c.log2 + 1);
            let ([a, b], [c, d]) = (double(re), double(im));
            [a, b, c, d]
        };
        self.binary_tree()[..self.points].iter().map(|&c| factor(c)).collect()
    }

    /// A bound of the rounding error of a transform, forward or inverse, in units of 2^-53.
    ///
    /// With u = 2^-53 and fused multiply-add, every pass multiplies by a factor (2 u: one product of magnitude at most
    /// |x| and the result are rounded, in both parts; 0.9 u for the factor, whose parts are within 2^-54 + 2^-56) and
    /// adds log2(radix) times (u each). Radix 8 has one more factor, sqrt(1/2) (1 + i): an addition (u) and the constant
    /// (0.71 u); its product is rounded with the addition it is fused with. Each of these is relative to the values it
    /// acts on, and no step increases their norm beyond the transform's own gain: forward errors add up in the 2-norm.
    /// Backward, values of a level that meet in one coefficient stem from distinct points, with factors of modulus 1:
    /// there they add up in the 1-norm of the points.
    pub(crate) fn error_factor(&self) -> f64 {
        let step = |radix: usize| 2.9 + f64::from(radix.ilog2()) + if radix == 8 { 1.71 } else { 0.0 };
        let sum: f64 = self.passes.iter().map(|pass| step(pass.radix)).sum::<f64>() + 2.0 * step(self.lanes);
        // Terms of second order: (1 + u)^k - 1 < 1.001 k u for the k < 100 of any degree.
        1.001 * sum
    }
}

#[inline(always)]
fn broadcast<S: Simd>(s: S, factors: &[f64], j: usize) -> Complex<S> {
    (s.splat(factors[2 * j]), s.splat(factors[2 * j + 1]))
}

/// `a * w`.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(s: S, a: Complex<S>, w: Complex<S>) -> Complex<S> {
    (s.fms(a.0, w.0, s.mul(a.1, w.1)), s.fma(a.0, w.1, s.mul(a.1, w.0)))
}

/// `a * conj(w)`.
#[inline(always)]
fn multiply_conjugate<S: Simd>(s: S, a: Complex<S>, w: Complex<S>) -> Complex<S> {
    (s.fma(a.0, w.0, s.mul(a.1, w.1)), s.fms(a.1, w.0, s.mul(a.0, w.1)))
}

#[inline(always)]
fn add<S: Simd>(s: S, a: Complex<S>, b: Complex<S>) -> Complex<S> {
    (s.add(a.0, b.0), s.add(a.1, b.1))
}

#[inline(always)]
fn sub<S: Simd>(s: S, a: Complex<S>, b: Complex<S>) -> Complex<S> {
    (s.sub(a.0, b.0), s.sub(a.1, b.1))
}

/// `a + i b`.
#[inline(always)]
fn add_i<S: Simd>(s: S, a: Complex<S>, b: Complex<S>) -> Complex<S> {
    (s.sub(a.0, b.1), s.add(a.1, b.0))
}

/// `a - i b`.
#[inline(always)]
fn sub_i<S: Simd>(s: S, a: Complex<S>, b: Complex<S>) -> Complex<S> {
    (s.add(a.0, b.1), s.sub(a.1, b.0))
}

/// `y_k = sum x_j i^(jk)`.
#[inline(always)]
fn dft4<S: Simd>(s: S, x: [Complex<S>; 4]) -> [Complex<S>; 4] {
    let (p, q) = (add(s, x[0], x[2]), sub(s, x[0], x[2]));
    let (r, t) = (add(s, x[1], x[3]), sub(s, x[1], x[3]));
    [add(s, p, r), add_i(s, q, t), sub(s, p, r), sub_i(s, q, t)]
}

/// `y_k = sum x_j (-i)^(jk)`.
#[inline(always)]
fn inverse_dft4<S: Simd>(s: S, x: [Complex<S>; 4]) -> [Complex<S>; 4] {
    let [a, b, c, d] = dft4(s, x);
    [a, d, c, b]
}

/// `y_k = sum x_j w^(jk)`, `w = exp(2 pi i / 8)`.
#[inline(always)]
fn dft8<S: Simd>(s: S, x: [Complex<S>; 8]) -> [Complex<S>; 8] {
    let e = dft4(s, [x[0], x[2], x[4], x[6]]);
    let o = dft4(s, [x[1], x[3], x[5], x[7]]);
    let half = s.splat(std::f64::consts::FRAC_1_SQRT_2);
    // sqrt(2) w o1 and sqrt(2) w^3 o3.
    let p = (s.sub(o[1].0, o[1].1), s.add(o[1].0, o[1].1));
    let q = (s.add(o[3].0, o[3].1), s.sub(o[3].0, o[3].1));
    [
        add(s, e[0], o[0]),
        (s.fma(p.0, half, e[1].0), s.fma(p.1, half, e[1].1)),
        add_i(s, e[2], o[2]),
        (s.fnma(q.0, half, e[3].0), s.fma(q.1, half, e[3].1)),
        sub(s, e[0], o[0]),
        (s.fnma(p.0, half, e[1].0), s.fnma(p.1, half, e[1].1)),
        sub_i(s, e[2], o[2]),
        (s.fma(q.0, half, e[3].0), s.fnma(q.1, half, e[3].1)),
    ]
}

/// `y_k = sum x_j w^(-jk)`.
#[inline(always)]
fn inverse_dft8<S: Simd>(s: S, x: [Complex<S>; 8]) -> [Complex<S>; 8] {
    let [a, b, c, d, e, f, g, h] = dft8(s, x);
    [a, h, g, f, e, d, c, b]
}

/// The first COUNT points of 8.
#[inline(always)]
fn gather<F: Copy, const COUNT: usize>(re: &[F; 8], im: &[F; 8]) -> [(F, F); COUNT] {
    let mut points = [(re[0], im[0]); COUNT];
    for j in 0..COUNT {
        points[j] = (re[j], im[j]);
    }
    points
}

/// The inverse of [`gather`].
#[inline(always)]
fn scatter<F: Copy, const COUNT: usize>(points: [(F, F); COUNT], re: &mut [F; 8], im: &mut [F; 8]) {
    for j in 0..COUNT {
        (re[j], im[j]) = points[j];
    }
}

/// The radix-LANES step between the first LANES of 8 vectors: factors, then the small transform.
#[inline(always)]
fn step<S: Simd>(s: S, re: &mut [S::F; 8], im: &mut [S::F; 8], factor: impl Fn(usize) -> Complex<S>) {
    for j in 1..S::LANES {
        (re[j], im[j]) = multiply(s, (re[j], im[j]), factor(j - 1));
    }
    if S::LANES == 8 {
        let y = dft8(s, gather(re, im));
        scatter(y, re, im);
    } else {
        let y = dft4(s, gather(re, im));
        scatter(y, re, im);
    }
}

/// The inverse of [`step`], times LANES.
#[inline(always)]
fn inverse_step<S: Simd>(s: S, re: &mut [S::F; 8], im: &mut [S::F; 8], factor: impl Fn(usize) -> Complex<S>) {
    if S::LANES == 8 {
        let x = inverse_dft8(s, gather(re, im));
        scatter(x, re, im);
    } else {
        let x = inverse_dft4(s, gather(re, im));
        scatter(x, re, im);
    }
    for j in 1..S::LANES {
        (re[j], im[j]) = multiply_conjugate(s, (re[j], im[j]), factor(j - 1));
    }
}

/// Vectors in a part of the work, after which the caller may ask for memory. Parts are small, since what is asked for in a burst
/// keeps the loads of the next part waiting.
const PART: usize = 4;

/// Calls `step` with the block and the number within it of every vector of a run; after each part, `worked`.
#[inline(always)]
fn for_blocks<S: Simd>(blocks: usize, mut step: impl FnMut(usize, usize), mut worked: impl FnMut()) {
    for block in 0..blocks {
        for first in (0..S::LANES).step_by(PART) {
            for vector in first..first + PART {
                step(block, vector);
            }
            worked();
        }
    }
}

/// Transforms the real coefficients `x` to `out`: square i to place `first + i * rows`. `work` is as long as `x`.
/// `worked` is called evenly while it works: in every pass for every [`PART`] vectors of a run, and of a square.
#[inline(always)]
pub(crate) fn forward<S: Simd>(
    s: S,
    plan: &FftPlan,
    x: &[f64],
    work: &mut [f64],
    out: &mut [f64],
    (first, rows): (usize, usize),
    mut worked: impl FnMut(),
) {
    let lanes = S::LANES;
    match plan.passes.first() {
        Some(pass) if pass.radix == 4 => {
            let points = Points::<_, 4, true>::new::<S>(x);
            let mut blocks = Points::<_, 4, false>::new::<S>(&mut *work);
            let w = radix4_factors(s, &pass.factors);
            for_blocks::<S>(
                points.blocks(),
                #[inline(always)]
                |b, v| blocks.store(s, b, v, radix4(s, points.load(s, b, v), w)),
                &mut worked,
            );
        }
        Some(pass) => {
            let points = Points::<_, 2, true>::new::<S>(x);
            let mut blocks = Points::<_, 2, false>::new::<S>(&mut *work);
            let w = broadcast(s, &pass.factors, 0);
            for_blocks::<S>(
                points.blocks(),
                #[inline(always)]
                |b, v| {
                    let [x, y] = points.load(s, b, v);
                    let y = multiply(s, y, w);
                    blocks.store(s, b, v, [add(s, x, y), sub(s, x, y)]);
                },
                &mut worked,
            );
        }
        // One block, whose order is natural.
        None => work.copy_from_slice(x),
    }
    for pass in plan.passes.iter().skip(1) {
        for (x, factors) in work.chunks_exact_mut(8 * pass.distance).zip(pass.factors.chunks_exact(6)) {
            let mut points = Points::<_, 4, false>::new::<S>(x);
            let w = radix4_factors(s, factors);
            for_blocks::<S>(
                points.blocks(),
                #[inline(always)]
                |b, v| {
                    let y = radix4(s, points.load(s, b, v), w);
                    points.store(s, b, v, y);
                },
                &mut worked,
            );
        }
    }
    let (squares, mut out) = (Blocks::new::<S>(&*work), Blocks::new::<S>(out));
    for (square, (outer, inner)) in plan.square_factors::<S>().enumerate() {
        let (mut re, mut im) = squares.load(s, square);
        step(
            s,
            &mut re,
            &mut im,
            #[inline(always)]
            |j| broadcast(s, outer, j),
        );
        s.transpose(&mut re);
        s.transpose(&mut im);
        s.settle(&mut re, &mut im);
        if lanes > PART {
            worked();
        }
        step(
            s,
            &mut re,
            &mut im,
            #[inline(always)]
            |j| (s.load(inner, 2 * j * lanes), s.load(inner, (2 * j + 1) * lanes)),
        );
        out.store(s, first + square * rows, &(re, im));
        worked();
    }
}

/// The first of the two parts of the inverse transform, for one square, whose factors are given. `worked` as in [`forward`], but
/// the last call is left to the caller, after the square's stores: compilers keep asking for memory and loads in order, and so
/// would load the last step's factors ahead, which registers do not hold.
#[inline(always)]
pub(crate) fn inverse_square<S: Simd>(
    s: S,
    (outer, inner): (&[f64], &[f64]),
    (re, im): &mut Square<S>,
    mut worked: impl FnMut(),
) {
    let lanes = S::LANES;
    inverse_step(
        s,
        re,
        im,
        #[inline(always)]
        |j| (s.load(inner, 2 * j * lanes), s.load(inner, (2 * j + 1) * lanes)),
    );
    s.transpose(re);
    s.transpose(im);
    s.settle(re, im);
    if lanes > PART {
        worked();
    }
    inverse_step(
        s,
        re,
        im,
        #[inline(always)]
        |j| broadcast(s, outer, j),
    );
}

/// The second part, in place: all passes. `worked` as in [`forward`].
#[inline(always)]
pub(crate) fn inverse_passes<S: Simd>(s: S, plan: &FftPlan, work: &mut [f64], mut worked: impl FnMut()) {
    for pass in plan.passes.iter().rev() {
        if pass.radix == 2 {
            // The first pass of a plan and so the last one here: one block.
            let mut points = Points::<_, 2, false>::new::<S>(&mut *work);
            let w = broadcast(s, &pass.factors, 0);
            for_blocks::<S>(
                points.blocks(),
                #[inline(always)]
                |b, v| {
                    let x = inverse_radix2(s, points.load(s, b, v), w);
                    points.store(s, b, v, x);
                },
                &mut worked,
            );
            continue;
        }
        for (x, factors) in work.chunks_exact_mut(8 * pass.distance).zip(pass.factors.chunks_exact(6)) {
            let mut points = Points::<_, 4, false>::new::<S>(x);
            let w = radix4_factors(s, factors);
            for_blocks::<S>(
                points.blocks(),
                #[inline(always)]
                |b, v| {
                    let x = inverse_radix4(s, points.load(s, b, v), w);
                    points.store(s, b, v, x);
                },
                &mut worked,
            );
        }
    }
}

/// What is left to do is use the results, of COUNT transforms together: `update(i, x, c)` gets coefficients i to i + LANES of
/// each, times M, and those words of `words`, and returns what is to stand in their place.
#[inline(always)]
pub(crate) fn update_words<S: Simd, const COUNT: usize>(
    s: S,
    results: [&[f64]; COUNT],
    words: &mut [u64],
    mut update: impl FnMut(usize, [S::F; COUNT], S::U) -> S::U,
    worked: impl FnMut(),
) {
    let results = results.map(Points::<_, 1, false>::new::<S>);
    let mut words = Points::<_, 1, true>::new::<S>(words);
    for_blocks::<S>(
        words.blocks(),
        #[inline(always)]
        |b, v| {
            // One after the other: registers hold the values of one.
            for part in 0..2 {
                let mut x = [s.splat(0.0); COUNT];
                for l in 0..COUNT {
                    x[l] = results[l].load_part(s, b, v, part);
                }
                words.update(
                    s,
                    (b, v),
                    part,
                    #[inline(always)]
                    |i, c| update(i, x, c),
                );
            }
        },
        worked,
    );
}

#[inline(always)]
fn radix4_factors<S: Simd>(s: S, factors: &[f64]) -> [Complex<S>; 3] {
    [broadcast(s, factors, 0), broadcast(s, factors, 1), broadcast(s, factors, 2)]
}

/// A radix-4 step.
#[inline(always)]
fn radix4<S: Simd>(s: S, x: [Complex<S>; 4], w: [Complex<S>; 3]) -> [Complex<S>; 4] {
    dft4(s, [x[0], multiply(s, x[1], w[0]), multiply(s, x[2], w[1]), multiply(s, x[3], w[2])])
}

/// A radix-2 step back, times 2.
#[inline(always)]
fn inverse_radix2<S: Simd>(s: S, [y, z]: [Complex<S>; 2], w: Complex<S>) -> [Complex<S>; 2] {
    [add(s, y, z), multiply_conjugate(s, sub(s, y, z), w)]
}

/// A radix-4 step back, times 4.
#[inline(always)]
fn inverse_radix4<S: Simd>(s: S, y: [Complex<S>; 4], w: [Complex<S>; 3]) -> [Complex<S>; 4] {
    let x = inverse_dft4(s, y);
    [x[0], multiply_conjugate(s, x[1], w[0]), multiply_conjugate(s, x[2], w[1]), multiply_conjugate(s, x[3], w[2])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::{Kernel, Task};

    #[test]
    fn fixed_roots_are_accurate_to_16_units() {
        // A root squared is the root of twice the angle. The angle's error therefore halves with the angle, plus half of
        // what the comparison allows, from the exact quarter turns on; the modulus is checked by itself.
        let log2 = 17;
        for numerator in 0..1u64 << log2 {
            let (re, im) = fixed_unit_root(numerator, log2);
            let (re, im) = (i128::from(re), i128::from(im));
            let (re2, im2) = fixed_unit_root(2 * numerator, log2);
            let errors = [re * re - im * im - (i128::from(re2) << 60), 2 * re * im - (i128::from(im2) << 60)];
            assert!(errors.iter().all(|e| e.abs() <= 16 << 60), "{numerator}: {errors:?}");
            assert!((re * re + im * im - (1 << 120)).abs() <= (2 * 16) << 60, "{numerator}: modulus");
        }
        assert_eq!([0, 1, 2, 3].map(|n| fixed_unit_root(n, 2)), {
            let one = 1i64 << 60;
            [(one, 0), (0, one), (-one, 0), (0, -one)]
        });
    }

    struct Product<'a> {
        plan: &'a FftPlan,
        a: &'a [f64],
        b: &'a [f64],
    }

    impl Task for Product<'_> {
        type Output = Vec<f64>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<f64> {
            let degree = self.a.len();
            let (mut fa, mut fb) = (vec![0.0; degree], vec![0.0; degree]);
            let mut work = vec![0.0; degree];
            forward(s, self.plan, self.a, &mut work, &mut fa, (0, 1), || ());
            forward(s, self.plan, self.b, &mut work, &mut fb, (0, 1), || ());
            let (fa, fb, mut squares) =
                (Blocks::new::<S>(&fa[..]), Blocks::new::<S>(&fb[..]), Blocks::new::<S>(&mut work[..]));
            for (square, factors) in self.plan.square_factors::<S>().enumerate() {
                let mut x = fa.products::<S, _, 1>(s, square, &fb, square, 1);
                inverse_square(s, factors, &mut x, || ());
                squares.store(s, square, &x);
            }
            inverse_passes(s, self.plan, &mut work, || ());
            let (mut out, mut words) = (vec![0.0; degree], vec![1; degree]);
            update_words(
                s,
                [&work],
                &mut words,
                |i, [x], c| {
                    s.store(&mut out, i, x);
                    s.add_u(c, c)
                },
                || (),
            );
            assert!(words.iter().all(|&w| w == 2), "every word updated once");
            out
        }
    }

    #[test]
    fn unit_roots_are_rounded_to_the_stated_accuracy() {
        for log2 in [2, 3, 5, 14] {
            for numerator in 0..1u64 << log2 {
                let (re, im) = unit_root(numerator, log2);
                let angle = std::f64::consts::TAU * numerator as f64 / f64::from(1 << log2);
                assert!((re - angle.cos()).abs() < 1e-15 && (im - angle.sin()).abs() < 1e-15, "{numerator}/2^{log2}");
                // Two parts each off by 2^-54 move the squared norm by at most 2 sqrt(2) 2^-54; its own rounding adds 2^-54.
                let norm = re.mul_add(re, im.mul_add(im, -1.0));
                assert!(norm.abs() <= 3.9 * 2f64.powi(-54), "{numerator}/2^{log2}: {norm:e}");
            }
        }
    }

    #[test]
    fn products_of_small_integers_are_exact_in_every_kernel_and_degree() {
        for kernel in Kernel::available() {
            for log2 in 5..=13 {
                let degree = 1usize << log2;
                if !FftPlan::supports(degree, kernel.lanes()) {
                    continue;
                }
                let plan = FftPlan::new(degree, kernel.lanes());
                let a: Vec<i64> = (0..degree as i64).map(|i| (i * i * 31 + 7 * i + 3) % 1001 - 500).collect();
                let b: Vec<i64> = (0..degree as i64).map(|i| (i * i * 17 + 11 * i + 1) % 777 - 388).collect();
                let mut expected = vec![0i64; degree];
                for (i, &x) in a.iter().enumerate() {
                    for (j, &y) in b.iter().enumerate() {
                        let sign = if i + j < degree { 1 } else { -1 };
                        expected[(i + j) % degree] += sign * x * y;
                    }
                }
                let [a, b] = [a, b].map(|x| x.iter().map(|&x| x as f64).collect::<Vec<_>>());
                let product = kernel.run(Product { plan: &plan, a: &a, b: &b });
                for (p, &e) in product.iter().zip(&expected) {
                    let p = p / plan.points() as f64;
                    assert!((p - e as f64).abs() < 1e-3, "{} at {degree}: {p} is not {e}", kernel.name());
                }
            }
        }
    }
}
