//! What every stage of a transform multiplies by, derived from golden's roots.

use crate::field::limbs::Bound;
use crate::field::{Canonical, CanonicalFast, MulLimbs, PlainButterfly, SelectShift, ShiftButterfly};
use glovebox_golden::{field, ntt};
use std::collections::BTreeSet;

/// Which transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transform {
    /// Coefficients to bit-reversed transform.
    Forward,
    /// Bit-reversed transform to coefficients, 1/N included.
    Inverse,
}

/// The stages ahead of the general product in the forward direction: those of the 32-point negacyclic transform.
const NEGACYCLIC_STAGES: usize = 5;

/// What a transform's pipeline is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Fewest cycles: an engine of many lanes waits for its transforms.
    Short,
    /// Shortest cycle: at most one sum, or two levels of logic, and what many cells are told comes from registers among
    /// them. Throughput is the same.
    Fast,
}

impl Pace {
    /// Cycles by which a beat's token is ahead of the beat.
    pub const fn lead(self) -> usize {
        match self {
            Self::Short => 1,
            Self::Fast => 2,
        }
    }

    /// Cycles from limbs to a word.
    pub const fn canonical(self) -> usize {
        match self {
            Self::Short => Canonical::LATENCY,
            Self::Fast => CanonicalFast::LATENCY,
        }
    }

    /// Cycles of a general product.
    pub const fn product(self) -> usize {
        match self {
            Self::Short => MulLimbs::LATENCY,
            Self::Fast => MulLimbs::LATENCY_FAST,
        }
    }
}

/// One row of the pipeline: one operation on all lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowPlan {
    /// `exponents[lane][beat]`: each word times a power of two.
    Select {
        /// One list a lane, one exponent a beat.
        exponents: Vec<Vec<i64>>,
    },
    /// Butterflies between words `depth` beats apart.
    Sdf {
        /// Distance in beats.
        depth: usize,
    },
    /// Butterflies between lanes `stride` apart, the second operand times `2^exponents[pair]`.
    Fixed {
        /// Distance in lanes.
        stride: usize,
        /// One exponent a pair, pairs in the order of their first lane.
        exponents: Vec<i64>,
    },
    /// Butterflies between lanes `stride` apart.
    Plain {
        /// Distance in lanes.
        stride: usize,
    },
}

impl RowPlan {
    /// Cycles from a row's input to its output, for the same beat.
    pub fn latency(&self, pace: Pace) -> usize {
        match self {
            Self::Select { exponents } => {
                let most = exponents.iter().map(|list| taps(list)).max().unwrap_or(1);
                // Neither a choice nor an inverter is ahead of a sum in a short cycle.
                if pace == Pace::Fast { 2 } else { SelectShift::latency(most) }
            }
            Self::Sdf { depth } => depth + super::row::Sdf::LATENCY_BEYOND_DEPTH,
            Self::Fixed { .. } => ShiftButterfly::LATENCY,
            Self::Plain { .. } => PlainButterfly::LATENCY,
        }
    }

    fn bound(&self, before: Bound) -> Bound {
        match self {
            Self::Select { exponents } => {
                exponents.iter().flatten().map(|&e| before.shifted(e)).max().unwrap_or(before)
            }
            Self::Sdf { .. } | Self::Plain { .. } => before.plus(before),
            Self::Fixed { exponents, .. } => {
                exponents.iter().map(|&e| before.plus(before.shifted(e))).max().unwrap_or(before)
            }
        }
    }
}

/// How many exponents a lane chooses among.
fn taps(exponents: &[i64]) -> usize {
    exponents.iter().collect::<BTreeSet<_>>().len()
}

/// Shares the factors of a stage's blocks between both words of a butterfly: for each block an f, so that `2^f (a + 2^e b)`
/// is computed as `2^f a + 2^(f + e) b`, or `2^f (a + b)` and `2^(f + e) (a - b)` take the place of `a + b` and
/// `2^e (a - b)`.
///
/// A lane whose first words come in other beats than the second ones chooses among all f and all f + e. With f = 0 that
/// are n + 1 exponents for n blocks; split like the digits of a number, a high digit in f and a low one in f + e, it is
/// about 2 sqrt(n): 8 instead of 17 for 16 blocks. Within a beat no lane has both, and f is 0.
fn balance(exponents: &[i64], across_beats: bool) -> Vec<i64> {
    if !across_beats {
        return vec![0; exponents.len()];
    }
    let mut sorted = exponents.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let digit = 1 << (sorted.len().next_power_of_two().trailing_zeros().div_ceil(2));
    let rank = |e: &i64| sorted.iter().position(|s| s == e).unwrap_or(0);
    exponents.iter().map(|e| sorted[0] - sorted[rank(e) / digit * digit]).collect()
}

/// Everything that one transform at one width multiplies, delays and selects.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which transform.
    pub transform: Transform,
    /// For few cycles or for short ones.
    pub pace: Pace,
    /// Words a beat.
    pub lanes: usize,
    /// Words a frame.
    pub degree: usize,
    /// Rows ahead of the general product.
    pub before: Vec<RowPlan>,
    /// Factors of the general product, `[lane][beat]`.
    pub factors: Vec<Vec<u64>>,
    /// Rows behind it.
    pub after: Vec<RowPlan>,
}

impl Plan {
    /// Plans a transform of `degree` words over `lanes` lanes, in few cycles.
    ///
    /// # Panics
    /// If either is no power of two, or `2 <= lanes <= degree / 2 <= 1024` and `degree >= 64` do not hold: the
    /// catalogue checks its parameters first.
    pub fn new(transform: Transform, lanes: usize, degree: usize) -> Self {
        Self::at(Pace::Short, transform, lanes, degree)
    }

    /// The same for a fast clock: what [`super::NttStream`] is made of where nothing waits for a single frame.
    ///
    /// # Panics
    /// As [`Plan::new`].
    pub fn fast(transform: Transform, lanes: usize, degree: usize) -> Self {
        Self::at(Pace::Fast, transform, lanes, degree)
    }

    fn at(pace: Pace, transform: Transform, lanes: usize, degree: usize) -> Self {
        assert!(
            lanes.is_power_of_two() && degree.is_power_of_two() && (64..=2048).contains(&degree),
            "{lanes} lanes, degree {degree}: both are powers of two, 64 <= degree <= 2048"
        );
        assert!((2..=degree / 2).contains(&lanes), "{lanes} lanes for degree {degree}: from 2 to half the degree");
        let roots = Roots::new(degree);
        let plan = match transform {
            Transform::Forward => Self::forward(&roots, lanes, pace),
            Transform::Inverse => Self::inverse(&roots, lanes, pace),
        };
        plan.check(Bound::CANONICAL);
        plan
    }

    /// Checks that no limb overflows for inputs within a bound, and gives the bound of the outputs.
    ///
    /// # Panics
    /// If a limb could overflow.
    pub fn check(&self, input: Bound) -> Bound {
        let bound = |rows: &[RowPlan], start| rows.iter().fold(start, |bound, row| row.bound(bound));
        let _middle = bound(&self.before, input);
        bound(&self.after, Bound::PRODUCT)
    }

    /// Beats a frame.
    pub fn beats(&self) -> usize {
        self.degree / self.lanes
    }

    /// Cycles from a beat's input to the same beat's output of [`super::NttLimbs`].
    pub fn core_latency(&self) -> usize {
        let rows = |rows: &[RowPlan]| rows.iter().map(|row| row.latency(self.pace)).sum::<usize>();
        rows(&self.before) + self.pace.canonical() + self.pace.product() + rows(&self.after)
    }

    /// Cycles from a beat's input to the same beat's output of [`super::NttPipe`].
    pub fn latency(&self) -> usize {
        self.pace.lead() + self.core_latency() + self.pace.canonical()
    }

    fn by_lane<T>(lanes: usize, degree: usize, f: impl Fn(usize) -> T) -> Vec<Vec<T>> {
        (0..lanes).map(|lane| (0..degree / lanes).map(|beat| f(beat * lanes + lane)).collect()).collect()
    }

    /// The rows of a stage `(a, b) -> (2^e(a) a + 2^e(b) b, 2^e(a) a - 2^e(b) b)`, by position; within a beat e(a) is 0.
    fn shift_then_butterfly(
        (pace, lanes, degree): (Pace, usize, usize),
        half: usize,
        e: impl Fn(usize) -> i64,
    ) -> Vec<RowPlan> {
        let second = |p: usize| p & half != 0;
        let exponents = Self::by_lane(lanes, degree, |p| e(p).rem_euclid(192));
        if half >= lanes {
            return vec![RowPlan::Select { exponents }, RowPlan::Sdf { depth: half / lanes }];
        }
        if pace == Pace::Fast {
            return vec![RowPlan::Select { exponents }, RowPlan::Plain { stride: half }];
        }
        let seconds: Vec<&Vec<i64>> = (0..lanes).filter(|&l| second(l)).map(|l| &exponents[l]).collect();
        if seconds.iter().all(|list| list.iter().all(|e| *e == list[0])) {
            return vec![RowPlan::Fixed { stride: half, exponents: seconds.iter().map(|list| list[0]).collect() }];
        }
        vec![RowPlan::Select { exponents }, RowPlan::Fixed { stride: half, exponents: vec![0; lanes / 2] }]
    }

    /// The rows of a stage `(a, b) -> (2^e(a) (a + b), 2^e(b) (a - b))`, by position; within a beat e(a) is 0.
    fn butterfly_then_shift(
        (pace, lanes, degree): (Pace, usize, usize),
        half: usize,
        e: impl Fn(usize) -> i64,
    ) -> Vec<RowPlan> {
        let exponents = Self::by_lane(lanes, degree, |p| e(p).rem_euclid(192));
        let butterfly = if half >= lanes {
            RowPlan::Sdf { depth: half / lanes }
        } else if pace == Pace::Fast {
            RowPlan::Plain { stride: half }
        } else {
            RowPlan::Fixed { stride: half, exponents: vec![0; lanes / 2] }
        };
        vec![butterfly, RowPlan::Select { exponents }]
    }

    /// The exponents of a stage's words, by position, shared between both words of a butterfly; what that multiplies words by
    /// too much is taken from `pending`.
    fn shared(half: usize, lanes: usize, exponents: &[i64], pending: &mut [i64]) -> Vec<i64> {
        let share = balance(exponents, half >= lanes);
        let shared = pending.iter_mut().enumerate().map(|(p, pending)| {
            let block = p / (2 * half);
            *pending -= share[block];
            share[block] + if p & half != 0 { exponents[block] } else { 0 }
        });
        shared.collect()
    }

    fn forward(roots: &Roots, lanes: usize, pace: Pace) -> Self {
        let degree = roots.degree;
        let size = (pace, lanes, degree);
        // The word at position p is what the pipe holds times 2^pending[p]; the product's constants absorb it.
        let mut pending = vec![0i64; degree];
        let mut before = vec![];
        for s in 1..=NEGACYCLIC_STAGES {
            let half = degree >> s;
            let exponents: Vec<i64> = (0..degree / (2 * half)).map(|block| roots.exponent(s, block)).collect();
            let shared = Self::shared(half, lanes, &exponents, &mut pending);
            before.extend(Self::shift_then_butterfly(size, half, |p| shared[p]));
        }
        let factor = |p: usize| field::mul(roots.twist(p), field::pow(2, pending[p].rem_euclid(192) as u64));
        let after = (NEGACYCLIC_STAGES + 1..=roots.stages()).flat_map(|s| {
            let half = degree >> s;
            let exponent = |p: usize| if p & half != 0 { roots.exponent(s, p / (2 * half)) } else { 0 };
            Self::shift_then_butterfly(size, half, exponent)
        });
        Self {
            transform: Transform::Forward,
            pace,
            lanes,
            degree,
            before,
            factors: Self::by_lane(lanes, degree, factor),
            after: after.collect(),
        }
    }

    fn inverse(roots: &Roots, lanes: usize, pace: Pace) -> Self {
        let degree = roots.degree;
        let size = (pace, lanes, degree);
        // The word at position p is what the pipe holds times 2^pending[p].
        let mut pending = vec![0i64; degree];
        let mut before = vec![];
        for s in (NEGACYCLIC_STAGES + 1..=roots.stages()).rev() {
            let half = degree >> s;
            before.extend(Self::shift_then_butterfly(size, half, |p| {
                if p & half != 0 { pending[p] - pending[p - half] } else { 0 }
            }));
            for p in (0..degree).filter(|p| p & half == 0) {
                pending[p + half] = pending[p] - roots.exponent(s, p / (2 * half));
            }
        }
        let mut after = vec![];
        for s in (1..=NEGACYCLIC_STAGES).rev() {
            let half = degree >> s;
            let exponents: Vec<i64> =
                (0..degree / (2 * half)).map(|block| (-roots.exponent(s, block)).rem_euclid(192)).collect();
            // The product's constants take away ahead of the stage what its words have too much behind it.
            let shared = Self::shared(half, lanes, &exponents, &mut pending);
            after.extend(Self::butterfly_then_shift(size, half, |p| shared[p]));
        }
        let scale = field::inv(degree as u64);
        let factor = |p: usize| {
            let power = field::pow(2, pending[p].rem_euclid(192) as u64);
            field::mul(field::mul(field::inv(roots.twist(p)), scale), power)
        };
        Self {
            transform: Transform::Inverse,
            pace,
            lanes,
            degree,
            before,
            factors: Self::by_lane(lanes, degree, factor),
            after,
        }
    }
}

/// Golden's roots, split into shifts and one twist.
struct Roots {
    degree: usize,
    psi: u64,
    /// `log2[i] = (2^i, i)`, sorted.
    log2: Vec<(u64, i64)>,
}

impl Roots {
    fn new(degree: usize) -> Self {
        let Some(psi) = field::root_of_unity(degree.trailing_zeros() + 1) else {
            unreachable!("degrees up to 2048 have roots")
        };
        let mut log2: Vec<(u64, i64)> = (0..192).map(|i| (field::pow(2, i as u64), i)).collect();
        log2.sort_unstable();
        Self { degree, psi, log2 }
    }

    fn stages(&self) -> usize {
        self.degree.trailing_zeros() as usize
    }

    /// `r` of block `block` at stage `stage` (counted from 1): golden's root number `2^(stage - 1) + block`.
    fn root(&self, stage: usize, block: usize) -> u64 {
        let index = (1 << (stage - 1)) + block;
        field::pow(self.psi, ntt::bit_reverse(index, self.degree.trailing_zeros()) as u64)
    }

    /// `w` of the block of N/32 words that holds position p: its first word is the value at `w`.
    fn w(&self, p: usize) -> u64 {
        let m = self.degree >> NEGACYCLIC_STAGES;
        let first = p / m * m;
        field::pow(self.psi, 2 * ntt::bit_reverse(first, self.degree.trailing_zeros()) as u64 + 1)
    }

    /// The general product's factor at position p, `w^(p mod N/32)`.
    fn twist(&self, p: usize) -> u64 {
        field::pow(self.w(p), (p % (self.degree >> NEGACYCLIC_STAGES)) as u64)
    }

    /// log2 of the factor of a block: of `r`, or behind the twist of `r / w^half`.
    fn exponent(&self, stage: usize, block: usize) -> i64 {
        let r = self.root(stage, block);
        let half = self.degree >> stage;
        let factor = if stage <= NEGACYCLIC_STAGES {
            r
        } else {
            field::mul(r, field::inv(field::pow(self.w(block * 2 * half), half as u64)))
        };
        match self.log2.binary_search_by_key(&factor, |entry| entry.0) {
            Ok(at) => self.log2[at].1,
            Err(_) => unreachable!("stage {stage} block {block} of degree {}: no power of two", self.degree),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glovebox_golden::field::{add, mul, pow, sub};

    /// Runs a plan on whole polynomials: the stage algebra without the hardware.
    fn run(plan: &Plan, x: &[u64]) -> Vec<u64> {
        let mut x = x.to_vec();
        let lanes = plan.lanes;
        let shift = |v: u64, e: i64| mul(v, pow(2, e.rem_euclid(192) as u64));
        let row = |row: &RowPlan, x: &mut Vec<u64>| match row {
            RowPlan::Select { exponents } => {
                for (p, v) in x.iter_mut().enumerate() {
                    *v = shift(*v, exponents[p % lanes][p / lanes]);
                }
            }
            RowPlan::Sdf { depth } => {
                let half = depth * lanes;
                for p in (0..x.len()).filter(|p| p & half == 0) {
                    (x[p], x[p + half]) = (add(x[p], x[p + half]), sub(x[p], x[p + half]));
                }
            }
            RowPlan::Plain { stride } => {
                for p in (0..x.len()).filter(|p| p & stride == 0) {
                    (x[p], x[p + stride]) = (add(x[p], x[p + stride]), sub(x[p], x[p + stride]));
                }
            }
            RowPlan::Fixed { stride, exponents } => {
                for p in (0..x.len()).filter(|p| p & stride == 0) {
                    let lane = p % lanes;
                    let pair = lane / (2 * stride) * stride + lane % stride;
                    let b = shift(x[p + stride], exponents[pair]);
                    (x[p], x[p + stride]) = (add(x[p], b), sub(x[p], b));
                }
            }
        };
        plan.before.iter().for_each(|r| row(r, &mut x));
        for (p, v) in x.iter_mut().enumerate() {
            *v = mul(*v, plan.factors[p % lanes][p / lanes]);
        }
        plan.after.iter().for_each(|r| row(r, &mut x));
        x
    }

    #[test]
    fn plans_of_every_instance_compute_goldens_transform() {
        for degree in [256, 1024, 2048] {
            let golden = ntt::NegacyclicNtt::new(degree).unwrap();
            let x: Vec<u64> = (0..degree as u64).map(|i| pow(7, i * i + 3)).collect();
            let mut y = x.clone();
            golden.forward_bit_reversed(&mut y).unwrap();
            for lanes in [4, 8, 32, 128] {
                for pace in [Pace::Short, Pace::Fast] {
                    let plan = |transform| Plan::at(pace, transform, lanes, degree);
                    assert_eq!(run(&plan(Transform::Forward), &x), y, "{pace:?} {lanes} {degree}");
                    assert_eq!(run(&plan(Transform::Inverse), &y), x, "{pace:?} {lanes} {degree}");
                }
            }
        }
    }

    #[test]
    fn shares_leave_few_exponents() {
        let most = |row: &RowPlan| match row {
            RowPlan::Select { exponents } => exponents.iter().map(|list| taps(list)).max(),
            _ => None,
        };
        let forward = Plan::new(Transform::Forward, 4, 1024);
        assert_eq!(forward.before.iter().filter_map(most).collect::<Vec<_>>(), [2, 3, 4, 6, 8]);
        let inverse = Plan::new(Transform::Inverse, 4, 1024);
        assert_eq!(inverse.after.iter().filter_map(most).collect::<Vec<_>>(), [8, 6, 4, 3, 2]);
    }

    #[test]
    fn plan_at_128_lanes_fits_the_step_budget() {
        for transform in [Transform::Forward, Transform::Inverse] {
            let latency = Plan::new(transform, 128, 2048).latency();
            assert!(latency <= 49, "{transform:?}: {latency}");
        }
    }
}
