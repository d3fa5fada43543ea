//! The negacyclic transform mod p = 2^64 - 2^32 + 1 in vectors, words in natural order to bit-reversed order and back.
//!
//! A pass splits `X^(rh) - c` into r = 2, 4 or 8 factors as `fft` does: products by the powers of `zeta = c^(1/r)`, then a
//! transform of r words with roots that are powers of two (8th roots: 2^24), which costs shifts only. So a word meets one
//! general product in three levels.
//!
//! Words are any 64-bit integers unless a name says canonical, `[0, p)`. Sums and differences need one canonical operand:
//! `a + b` with b canonical wraps to at most p - 2, so adding 2^32 - 1 = 2^64 mod p does not wrap again; `a - b` likewise.

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
    let field = Field::new(s);
    for i in (0..sums.len()).step_by(S::LANES) {
        let b = s.load_u(b, i);
        let product = field.mul(s.load_u(a, i), [b, s.shr_u(b, 32)]);
        let sum = field.canonical(field.add(s.load_u(sums, i), product));
        s.store_u(sums, i, sum);
    }
}

/// Whether all words are canonical.
pub(crate) fn all_canonical(kernel: Kernel, x: &[u64]) -> bool {
    struct Check<'a>(&'a [u64]);
    impl Task for Check<'_> {
        type Output = bool;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> bool {
            let (vectors, rest) = self.0.split_at(self.0.len() / S::LANES * S::LANES);
            let (one, most) = (s.splat_u(1), s.splat_u(P - 1));
            let mut above = s.splat_u(0);
            for i in (0..vectors.len()).step_by(S::LANES) {
                above = s.add_if_below(above, one, most, s.load_u(vectors, i));
            }
            let mut counts = [0; 8];
            s.store_u(&mut counts, 0, above);
            counts == [0; 8] && rest.iter().all(|&word| word < P)
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
    let vector = !matches!(kernel, Kernel::Portable(_)) && GoldilocksPlan::supports(degree, lanes);
    let layout = if !vector { 0 } else { 1 + usize::from(lanes == 8) };
    PLANS[layout][degree.trailing_zeros() as usize].get_or_init(|| {
        if vector { Plan::Vector(GoldilocksPlan::new(degree, lanes)) } else { Plan::Scalar(NttTables::new(degree)) }
    })
}

/// Tables of one degree for vectors of one length.
#[derive(Clone, Debug)]
struct GoldilocksPlan {
    degree: usize,
    forward: Tables,
    inverse: Tables,
}

#[derive(Clone, Debug)]
struct Tables {
    passes: Vec<Pass>,
    /// As in a pass, for every square: powers of the step between its rows.
    square_outer: Vec<u64>,
    /// For every square: powers of the steps within its rows, two vectors each.
    square_inner: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Pass {
    radix: usize,
    distance: usize,
    /// For every block: zeta^0 .. zeta^(radix-1), each a word and its upper half.
    factors: Vec<u64>,
}

impl GoldilocksPlan {
    /// Whether there is a transform of this degree for vectors of that many lanes.
    fn supports(degree: usize, lanes: usize) -> bool {
        degree.is_power_of_two() && (lanes * lanes..=1 << 16).contains(&degree)
    }

    /// Tables for `degree` coefficients; see [`GoldilocksPlan::supports`].
    fn new(degree: usize, lanes: usize) -> Self {
        let psi = pow(ROOT_2_32, 1 << (31 - degree.trailing_zeros()));
        Self {
            degree,
            forward: Tables::new(psi, 1, degree, lanes),
            // p = 1 mod N, so 1/N = p - (p - 1)/N.
            inverse: Tables::new(pow(psi, 2 * degree as u64 - 1), P - (P - 1) / degree as u64, degree, lanes),
        }
    }

    /// In-place forward transform of canonical words.
    fn forward(&self, kernel: Kernel, x: &mut [u64]) {
        kernel.run(Forward(self, x));
    }

    /// In-place inverse transform, 1/N included; canonical.
    fn inverse(&self, kernel: Kernel, x: &mut [u64]) {
        kernel.run(Inverse(self, x));
    }
}

struct Forward<'a>(&'a GoldilocksPlan, &'a mut [u64]);

impl Task for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        run_forward(s, self.0, self.1);
    }
}

struct Inverse<'a>(&'a GoldilocksPlan, &'a mut [u64]);

impl Task for Inverse<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        run_inverse(s, self.0, self.1);
    }
}

impl Tables {
    fn new(psi: u64, scale: u64, degree: usize, lanes: usize) -> Self {
        // zeta of block j of 2^level: psi^((2 reverse(j) + 1) N / (radix 2^level)).
        let powers = |level: u32, block: usize, radix: usize| {
            let reversed = if level == 0 { 0 } else { block.reverse_bits() >> (usize::BITS - level) };
            let zeta = pow(psi, ((2 * reversed + 1) * (degree >> level) / radix) as u64);
            // The step over whole polynomials, which is the last of the inverse, takes 1/N along.
            let scale = if level == 0 { scale } else { 1 };
            (0..radix as u64).map(move |j| mul(pow(zeta, j), scale))
        };
        let halves = |w: u64| [w, w >> 32];
        let mut left = (degree / (lanes * lanes)).trailing_zeros();
        let (mut level, mut passes) = (0, Vec::new());
        while left > 0 {
            // Three levels at a time, but never leave a single one.
            let levels = if left == 4 { 2 } else { left.min(3) };
            left -= levels;
            let radix = 1 << levels;
            let factors = (0..1 << level).flat_map(|block| powers(level, block, radix)).flat_map(halves).collect();
            level += levels;
            passes.push(Pass { radix, distance: degree >> level, factors });
        }
        let side = lanes.trailing_zeros();
        let (mut square_outer, mut square_inner) = (Vec::new(), Vec::new());
        for square in 0..1 << level {
            square_outer.extend(powers(level, square, lanes).flat_map(halves));
            let rows: Vec<Vec<u64>> =
                (0..lanes).map(|row| powers(level + side, (square << side) + row, lanes).collect()).collect();
            for j in 0..lanes {
                square_inner.extend(rows.iter().map(|row| row[j]));
                square_inner.extend(rows.iter().map(|row| row[j] >> 32));
            }
        }
        Self { passes, square_outer, square_inner }
    }
}

#[inline(always)]
fn broadcast<S: Simd>(s: S, factors: &[u64], j: usize) -> [S::U; 2] {
    [s.splat_u(factors[2 * j]), s.splat_u(factors[2 * j + 1])]
}

#[inline(always)]
fn vectors<S: Simd>(s: S, factors: &[u64], j: usize) -> [S::U; 2] {
    [s.load_u(factors, 2 * j * S::LANES), s.load_u(factors, (2 * j + 1) * S::LANES)]
}

/// Vectors of constants.
#[derive(Clone, Copy)]
struct Field<S: Simd> {
    s: S,
    p: S::U,
    epsilon: S::U,
}

impl<S: Simd> Field<S> {
    #[inline(always)]
    fn new(s: S) -> Self {
        // Hidden from the compiler, which would turn products by it into shifts and differences: three for one.
        let epsilon = std::hint::black_box(EPSILON);
        Self { s, p: s.splat_u(P), epsilon: s.splat_u(epsilon) }
    }

    #[inline(always)]
    fn canonical(self, a: S::U) -> S::U {
        self.s.min_u(a, self.s.sub_u(a, self.p))
    }

    /// `a + b`, one of them canonical.
    #[inline(always)]
    fn add(self, a: S::U, b: S::U) -> S::U {
        let sum = self.s.add_u(a, b);
        self.s.add_if_below(sum, self.epsilon, sum, a)
    }

    /// `a - b`, b canonical.
    #[inline(always)]
    fn sub(self, a: S::U, b: S::U) -> S::U {
        self.s.sub_if_below(self.s.sub_u(a, b), self.epsilon, a, b)
    }

    /// `a b`, canonical; b comes with its upper half.
    #[inline(always)]
    fn mul(self, a: S::U, b: [S::U; 2]) -> S::U {
        self.canonical(self.product(a, b))
    }

    /// `a b`; b comes with its upper half.
    #[inline(always)]
    fn product(self, a: S::U, [b, b_high]: [S::U; 2]) -> S::U {
        let s = self.s;
        let a_high = s.shr_u(a, 32);
        let low = s.mul32_u(a, b);
        let middle = s.add_u(s.mul32_u(a_high, b), s.shr_u(low, 32));
        let other = s.add_u(s.mul32_u(a, b_high), s.and_u(middle, self.epsilon));
        let high = s.add_u(s.add_u(s.mul32_u(a_high, b_high), s.shr_u(middle, 32)), s.shr_u(other, 32));
        let low = s.low_halves(low, other);
        // 2^96 = -1 and 2^64 = 2^32 - 1.
        let top = s.shr_u(high, 32);
        let less = s.sub_if_below(s.sub_u(low, top), self.epsilon, low, top);
        let carried = s.mul32_u(high, self.epsilon);
        let sum = s.add_u(less, carried);
        s.add_if_below(sum, self.epsilon, sum, carried)
    }

    /// `a 2^24`.
    #[inline(always)]
    fn shift_24(self, a: S::U) -> S::U {
        let s = self.s;
        let carried = s.mul32_u(s.shr_u(a, 40), self.epsilon);
        let sum = s.add_u(s.shl_u(a, 24), carried);
        s.add_if_below(sum, self.epsilon, sum, carried)
    }

    /// `a 2^48`, canonical.
    #[inline(always)]
    fn shift_48(self, a: S::U) -> S::U {
        let s = self.s;
        let carried = s.mul32_u(s.shr_u(a, 16), self.epsilon);
        let sum = s.add_u(s.shl_u(a, 48), carried);
        let sum = s.add_if_below(sum, self.epsilon, sum, carried);
        let top = s.shr_u(a, 48);
        self.canonical(s.sub_if_below(s.sub_u(sum, top), self.epsilon, sum, top))
    }

    /// `a 2^72`, canonical: `(a 2^8 mod 2^32) (2^32 - 1) - floor(a / 2^24)`.
    #[inline(always)]
    fn shift_72(self, a: S::U) -> S::U {
        let s = self.s;
        let (plus, minus) = (s.mul32_u(s.shl_u(a, 8), self.epsilon), s.shr_u(a, 24));
        s.sub_if_below(s.sub_u(plus, minus), self.epsilon, plus, minus)
    }

    /// Transforms of 2, 4 or 8 words, natural order to bit-reversed; the second half canonical.
    #[inline(always)]
    fn dft(self, x: &mut [S::U; 8], count: usize) {
        match count {
            2 => (x[0], x[1]) = (self.add(x[0], x[1]), self.sub(x[0], x[1])),
            4 => self.dft4(x, 0),
            _ => {
                for j in 0..4 {
                    (x[j], x[j + 4]) = (self.add(x[j], x[j + 4]), self.sub(x[j], x[j + 4]));
                }
                x[2] = self.canonical(x[2]);
                x[3] = self.canonical(x[3]);
                x[5] = self.shift_24(x[5]);
                x[6] = self.shift_48(x[6]);
                x[7] = self.shift_72(x[7]);
                self.dft4(x, 0);
                self.dft4(x, 4);
            }
        }
    }

    /// The second half canonical.
    #[inline(always)]
    fn dft4(self, x: &mut [S::U; 8], at: usize) {
        for j in at..at + 2 {
            (x[j], x[j + 2]) = (self.add(x[j], x[j + 2]), self.sub(x[j], x[j + 2]));
        }
        x[at + 1] = self.canonical(x[at + 1]);
        x[at + 3] = self.shift_48(x[at + 3]);
        for j in [at, at + 2] {
            (x[j], x[j + 1]) = (self.add(x[j], x[j + 1]), self.sub(x[j], x[j + 1]));
        }
    }

    /// The inverse of [`Field::dft`], times `count`; canonical words.
    #[inline(always)]
    fn inverse_dft(self, x: &mut [S::U; 8], count: usize) {
        match count {
            2 => (x[0], x[1]) = (self.add(x[0], x[1]), self.sub(x[0], x[1])),
            4 => self.inverse_dft4(x, 0),
            _ => {
                self.inverse_dft4(x, 0);
                self.inverse_dft4(x, 4);
                // 2^-24 = -2^72, 2^-48 = -2^48, 2^-72 = -2^24.
                x[4] = self.canonical(x[4]);
                x[5] = self.shift_72(x[5]);
                x[6] = self.shift_48(x[6]);
                x[7] = self.canonical(self.shift_24(x[7]));
                (x[0], x[4]) = (self.add(x[0], x[4]), self.sub(x[0], x[4]));
                for j in 1..4 {
                    (x[j], x[j + 4]) = (self.sub(x[j], x[j + 4]), self.add(x[j], x[j + 4]));
                }
            }
        }
    }

    #[inline(always)]
    fn inverse_dft4(self, x: &mut [S::U; 8], at: usize) {
        for j in [at, at + 2] {
            (x[j], x[j + 1]) = (self.add(x[j], x[j + 1]), self.sub(x[j], x[j + 1]));
        }
        x[at + 2] = self.canonical(x[at + 2]);
        x[at + 3] = self.shift_48(x[at + 3]);
        (x[at], x[at + 2]) = (self.add(x[at], x[at + 2]), self.sub(x[at], x[at + 2]));
        (x[at + 1], x[at + 3]) = (self.sub(x[at + 1], x[at + 3]), self.add(x[at + 1], x[at + 3]));
    }

    /// A step of the forward transform between the first `count` vectors.
    #[inline(always)]
    fn step(self, x: &mut [S::U; 8], count: usize, factor: impl Fn(usize) -> [S::U; 2]) {
        for j in 1..count {
            x[j] = self.product(x[j], factor(j));
            if j >= count / 2 {
                x[j] = self.canonical(x[j]);
            }
        }
        self.dft(x, count);
    }

    /// The inverse of [`Field::step`], times `count`; canonical words in and out.
    #[inline(always)]
    fn inverse_step(self, x: &mut [S::U; 8], count: usize, last: bool, factor: impl Fn(usize) -> [S::U; 2]) {
        self.inverse_dft(x, count);
        // The factor zeta^0 is 1 but in the last step.
        x[0] = if last { self.mul(x[0], factor(0)) } else { self.canonical(x[0]) };
        for j in 1..count {
            x[j] = self.mul(x[j], factor(j));
        }
    }
}

#[inline(always)]
fn run_forward<S: Simd>(s: S, plan: &GoldilocksPlan, x: &mut [u64]) {
    let field = Field::new(s);
    let tables = &plan.forward;
    for pass in &tables.passes {
        match pass.radix {
            8 => forward_pass::<S, 8>(field, pass, x),
            4 => forward_pass::<S, 4>(field, pass, x),
            _ => forward_pass::<S, 2>(field, pass, x),
        }
    }
    let (lanes, size) = (S::LANES, S::LANES * S::LANES);
    let factors = tables.square_outer.chunks_exact(2 * lanes).zip(tables.square_inner.chunks_exact(2 * size));
    for (x, (outer, inner)) in x[..plan.degree].chunks_exact_mut(size).zip(factors) {
        let mut v = [field.p; 8];
        for j in 0..lanes {
            v[j] = s.load_u(x, j * lanes);
        }
        field.step(
            &mut v,
            lanes,
            #[inline(always)]
            |j| broadcast(s, outer, j),
        );
        s.transpose_u(&mut v);
        field.step(
            &mut v,
            lanes,
            #[inline(always)]
            |j| vectors(s, inner, j),
        );
        for j in 0..lanes {
            v[j] = field.canonical(v[j]);
        }
        s.transpose_u(&mut v);
        for j in 0..lanes {
            s.store_u(x, j * lanes, v[j]);
        }
    }
}

#[inline(always)]
fn forward_pass<S: Simd, const COUNT: usize>(field: Field<S>, pass: &Pass, x: &mut [u64]) {
    let (s, h) = (field.s, pass.distance);
    for (block, factors) in pass.factors.chunks_exact(2 * COUNT).enumerate() {
        let base = block * COUNT * h;
        for i in (base..base + h).step_by(S::LANES) {
            let mut v = [field.p; 8];
            for j in 0..COUNT {
                v[j] = s.load_u(x, i + j * h);
            }
            field.step(
                &mut v,
                COUNT,
                #[inline(always)]
                |j| broadcast(s, factors, j),
            );
            for j in 0..COUNT {
                s.store_u(x, i + j * h, v[j]);
            }
        }
    }
}

#[inline(always)]
fn run_inverse<S: Simd>(s: S, plan: &GoldilocksPlan, x: &mut [u64]) {
    let field = Field::new(s);
    let tables = &plan.inverse;
    let (lanes, size) = (S::LANES, S::LANES * S::LANES);
    let last = tables.passes.is_empty();
    let factors = tables.square_outer.chunks_exact(2 * lanes).zip(tables.square_inner.chunks_exact(2 * size));
    for (x, (outer, inner)) in x[..plan.degree].chunks_exact_mut(size).zip(factors) {
        let mut v = [field.p; 8];
        for j in 0..lanes {
            v[j] = s.load_u(x, j * lanes);
        }
        s.transpose_u(&mut v);
        field.inverse_step(
            &mut v,
            lanes,
            false,
            #[inline(always)]
            |j| vectors(s, inner, j),
        );
        s.transpose_u(&mut v);
        field.inverse_step(
            &mut v,
            lanes,
            last,
            #[inline(always)]
            |j| broadcast(s, outer, j),
        );
        for j in 0..lanes {
            s.store_u(x, j * lanes, v[j]);
        }
    }
    for (index, pass) in tables.passes.iter().enumerate().rev() {
        match pass.radix {
            8 => inverse_pass::<S, 8>(field, pass, index == 0, x),
            4 => inverse_pass::<S, 4>(field, pass, index == 0, x),
            _ => inverse_pass::<S, 2>(field, pass, index == 0, x),
        }
    }
}

#[inline(always)]
fn inverse_pass<S: Simd, const COUNT: usize>(field: Field<S>, pass: &Pass, last: bool, x: &mut [u64]) {
    let (s, h) = (field.s, pass.distance);
    for (block, factors) in pass.factors.chunks_exact(2 * COUNT).enumerate() {
        let base = block * COUNT * h;
        for i in (base..base + h).step_by(S::LANES) {
            let mut v = [field.p; 8];
            for j in 0..COUNT {
                v[j] = s.load_u(x, i + j * h);
            }
            field.inverse_step(
                &mut v,
                COUNT,
                last,
                #[inline(always)]
                |j| broadcast(s, factors, j),
            );
            for j in 0..COUNT {
                s.store_u(x, i + j * h, v[j]);
            }
        }
    }
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
                if !GoldilocksPlan::supports(degree, kernel.lanes()) {
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

    struct Elementwise<'a>(&'a [u64], &'a [u64]);

    impl Task for Elementwise<'_> {
        type Output = Vec<[u64; 7]>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let field = Field::new(s);
            let mut results = Vec::new();
            for i in (0..self.0.len()).step_by(S::LANES) {
                let (a, b) = (s.load_u(self.0, i), s.load_u(self.1, i));
                let c = field.canonical(b);
                let vectors = [
                    field.mul(a, [b, s.shr_u(b, 32)]),
                    field.canonical(field.add(a, c)),
                    field.canonical(field.sub(a, c)),
                    field.canonical(field.shift_24(a)),
                    field.shift_48(a),
                    field.shift_72(a),
                    c,
                ];
                let mut words = [[0; 8]; 7];
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
            a in proptest::collection::vec(proptest::prelude::any::<u64>(), 64),
            b in proptest::collection::vec(proptest::prelude::any::<u64>(), 64),
        ) {
            // Every third word at an edge.
            let edges = [0, 1, EPSILON, P - 1, P, P + 1, u64::MAX, 1 << 63];
            let [a, b] = [a, b].map(|x| {
                x.into_iter()
                    .enumerate()
                    .map(|(i, x)| if i % 3 == 0 { edges[(x % 8) as usize].wrapping_add(x >> 62) } else { x })
                    .collect::<Vec<_>>()
            });
            for kernel in Kernel::available() {
                for (i, r) in kernel.run(Elementwise(&a, &b)).into_iter().enumerate() {
                    use glovebox_golden::field;
                    let (x, y) = (field::reduce(a[i]), field::reduce(b[i]));
                    let expected = [
                        field::mul(x, y),
                        field::add(x, y),
                        field::sub(x, y),
                        field::mul(x, 1 << 24),
                        field::mul(x, 1 << 48),
                        field::mul(field::mul(x, 1 << 48), 1 << 24),
                        y,
                    ];
                    proptest::prop_assert_eq!(r, expected, "{} {:#x} {:#x}", kernel.name(), a[i], b[i]);
                }
            }
        }
    }
}
