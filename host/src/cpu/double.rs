//! The transform of keys in double-double precision, rounded once: a key is transformed once and used for ever.

use super::fft::FftPlan;
use super::memory::AlignedVec;
use super::simd::Simd;

/// Transforms every polynomial of `standard`, `integers` giving the limbs of a coefficient, times `gain`, a power of two.
///
/// `sink(limb, polynomial, spectrum)` gets the transform of each limb. Returns the largest 2-norm of a limb of a polynomial.
#[inline(always)]
pub(crate) fn transform<S: Simd, const LIMBS: usize>(
    s: S,
    plan: &FftPlan,
    standard: &[u64],
    integers: impl Fn(u64) -> [i64; LIMBS],
    gain: f64,
    mut sink: impl FnMut(usize, usize, Spectrum<'_>),
) -> f64 {
    let points = plan.points();
    let degree = 2 * points;
    let (order, factors) = (plan.order(), plan.double_factors());
    // One polynomial a lane: [limb][point][re high, re low, im high, im low][lane].
    let len = points * 4 * S::LANES;
    let mut x = AlignedVec::<f64>::zeroed(LIMBS * len);
    let mut largest = 0f64;
    for (group, polys) in standard.chunks(S::LANES * degree).enumerate() {
        for (lane, poly) in polys.chunks_exact(degree).enumerate() {
            let (re, im) = poly.split_at(points);
            let mut squares = [0f64; LIMBS];
            for (j, parts) in re.iter().zip(im).enumerate() {
                for (part, &c) in [parts.0, parts.1].into_iter().enumerate() {
                    let at = (4 * j + 2 * part) * S::LANES + lane;
                    for ((x, square), k) in x.chunks_exact_mut(len).zip(&mut squares).zip(integers(c)) {
                        let high = k as f64;
                        *square += high * high;
                        x[at] = high * gain;
                        // Small integers are doubles; |k - high| is at most 2^10: exact, and 2^63 as a double does not leave i128.
                        let small = k.unsigned_abs() < 1 << 53;
                        let low = if small { 0.0 } else { (i128::from(k) - high as i128) as f64 };
                        x[at + S::LANES] = low * gain;
                    }
                }
            }
            largest = squares.into_iter().fold(largest, f64::max);
        }
        for (limb, x) in x.chunks_exact_mut(len).enumerate() {
            forward(s, &factors, x);
            for lane in 0..polys.len() / degree {
                sink(limb, group * S::LANES + lane, Spectrum { x, order: &order, lanes: S::LANES, lane });
            }
        }
    }
    largest.sqrt()
}

/// A transform's result, to be read point by point.
pub(crate) struct Spectrum<'a> {
    x: &'a [f64],
    order: &'a [usize],
    lanes: usize,
    lane: usize,
}

impl Spectrum<'_> {
    /// The real and imaginary parts of all points, by their positions in a transform's result.
    #[inline(always)]
    pub(crate) fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.order.iter().map(
            #[inline(always)]
            |&leaf| {
                // Normalised: the high part is the sum rounded to nearest.
                let point = &self.x[leaf * 4 * self.lanes..][..4 * self.lanes];
                (point[self.lane], point[2 * self.lanes + self.lane])
            },
        )
    }
}

/// A double-double vector.
type Double<S> = (<S as Simd>::F, <S as Simd>::F);

/// A sum and its rounding error, exactly.
#[inline(always)]
fn two_sum<S: Simd>(s: S, a: S::F, b: S::F) -> Double<S> {
    let sum = s.add(a, b);
    let b_part = s.sub(sum, a);
    (sum, s.add(s.sub(a, s.sub(sum, b_part)), s.sub(b, b_part)))
}

/// A difference and its rounding error, exactly.
#[inline(always)]
fn two_difference<S: Simd>(s: S, a: S::F, b: S::F) -> Double<S> {
    let difference = s.sub(a, b);
    let b_part = s.sub(difference, a);
    (difference, s.sub(s.sub(a, s.sub(difference, b_part)), s.add(b, b_part)))
}

/// A sum and its rounding error, exactly if `error` is the smaller. Where cancellation has left the larger one there, what is
/// lost is of the order of 2^-106 of the terms that cancelled.
#[inline(always)]
fn normalised<S: Simd>(s: S, a: S::F, error: S::F) -> Double<S> {
    let sum = s.add(a, error);
    (sum, s.sub(error, s.sub(sum, a)))
}

#[inline(always)]
fn double_add<S: Simd>(s: S, a: Double<S>, b: Double<S>) -> Double<S> {
    let (sum, error) = two_sum(s, a.0, b.0);
    normalised(s, sum, s.add(error, s.add(a.1, b.1)))
}

#[inline(always)]
fn double_sub<S: Simd>(s: S, a: Double<S>, b: Double<S>) -> Double<S> {
    let (difference, error) = two_difference(s, a.0, b.0);
    normalised(s, difference, s.add(error, s.sub(a.1, b.1)))
}

#[inline(always)]
fn double_mul<S: Simd>(s: S, a: Double<S>, b: Double<S>) -> Double<S> {
    let (product, error) = s.exact_product(a.0, b.0);
    normalised(s, product, s.fma(a.1, b.0, s.fma(a.0, b.1, error)))
}

#[inline(always)]
fn load_double<S: Simd>(s: S, x: &[f64], i: usize) -> Double<S> {
    (s.load(x, 2 * i * S::LANES), s.load(x, (2 * i + 1) * S::LANES))
}

#[inline(always)]
fn store_double<S: Simd>(s: S, x: &mut [f64], i: usize, value: Double<S>) {
    s.store(x, 2 * i * S::LANES, value.0);
    s.store(x, (2 * i + 1) * S::LANES, value.1);
}

/// The forward transform in double-double precision, radix 2, one polynomial a lane.
#[inline(always)]
fn forward<S: Simd>(s: S, factors: &[[f64; 4]], x: &mut [f64]) {
    let points = x.len() / (4 * S::LANES);
    let (mut half, mut blocks) = (points / 2, 1);
    while half > 0 {
        for (block, f) in factors[blocks..2 * blocks].iter().enumerate() {
            let re = (s.splat(f[0]), s.splat(f[1]));
            let im = (s.splat(f[2]), s.splat(f[3]));
            for i in 2 * block * half..(2 * block + 1) * half {
                let a = [load_double(s, x, 2 * i), load_double(s, x, 2 * i + 1)];
                let b = [load_double(s, x, 2 * (i + half)), load_double(s, x, 2 * (i + half) + 1)];
                let t = [
                    double_sub(s, double_mul(s, b[0], re), double_mul(s, b[1], im)),
                    double_add(s, double_mul(s, b[0], im), double_mul(s, b[1], re)),
                ];
                for part in 0..2 {
                    let (sum, difference) = (double_add(s, a[part], t[part]), double_sub(s, a[part], t[part]));
                    store_double(s, x, 2 * i + part, sum);
                    store_double(s, x, 2 * (i + half) + part, difference);
                }
            }
        }
        half /= 2;
        blocks *= 2;
    }
}

#[cfg(test)]
mod tests {
    use crate::cpu::simd::{Kernel, Simd, Task};

    struct Products<'a>(&'a [f64], &'a [f64]);

    impl Task for Products<'_> {
        type Output = Vec<(f64, f64)>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let mut results = Vec::new();
            for i in (0..self.0.len()).step_by(S::LANES) {
                let (product, error) = s.exact_product(s.load(self.0, i), s.load(self.1, i));
                let mut words = [[0.0; 8]; 2];
                s.store(&mut words[0], 0, product);
                s.store(&mut words[1], 0, error);
                results.extend((0..S::LANES).map(|lane| (words[0][lane], words[1][lane])));
            }
            results
        }
    }

    proptest::proptest! {
        #[test]
        fn products_are_exact_in_every_kernel(
            a in proptest::collection::vec(-(1i64 << 53)..1 << 53, 16),
            b in proptest::collection::vec(-(1i64 << 53)..1 << 53, 16),
        ) {
            let [x, y] = [&a, &b].map(|v| v.iter().map(|&v| v as f64).collect::<Vec<_>>());
            for kernel in Kernel::available() {
                for (i, (product, error)) in kernel.run(Products(&x, &y)).into_iter().enumerate() {
                    let exact = i128::from(a[i]) * i128::from(b[i]);
                    proptest::prop_assert_eq!(product as i128 + error as i128, exact, "{}", kernel.name());
                    proptest::prop_assert_eq!(product, exact as f64, "{}", kernel.name());
                }
            }
        }
    }
}
