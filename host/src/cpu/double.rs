//! The transform of keys in double-double precision, rounded once: a key is transformed once and used for ever.

use super::fft::FftPlan;
use super::memory::AlignedVec;
use super::simd::Simd;

/// Transforms every polynomial of `standard`, `integer` giving its coefficients, times `gain`, a power of two.
///
/// `sink(polynomial, position, re, im)` gets the points, at their positions in a transform's result.
#[inline(always)]
pub(crate) fn transform<S: Simd>(
    s: S,
    plan: &FftPlan,
    standard: &[u64],
    integer: impl Fn(u64) -> i64,
    gain: f64,
    mut sink: impl FnMut(usize, usize, f64, f64),
) {
    let points = plan.points();
    let degree = 2 * points;
    let (order, factors) = (plan.order(), plan.double_factors());
    // One polynomial a lane: [point][re high, re low, im high, im low][lane].
    let mut x = AlignedVec::<f64>::zeroed(points * 4 * S::LANES);
    for (group, polys) in standard.chunks(S::LANES * degree).enumerate() {
        for (lane, poly) in polys.chunks_exact(degree).enumerate() {
            for (j, point) in x.chunks_exact_mut(4 * S::LANES).enumerate() {
                for (part, c) in [poly[j], poly[j + points]].into_iter().enumerate() {
                    let k = integer(c);
                    let high = k as f64;
                    point[2 * part * S::LANES + lane] = high * gain;
                    // Small integers are doubles; |k - high| is at most 2^10: exact, and 2^63 as a double does not leave i128.
                    let low = if k.unsigned_abs() < 1 << 53 { 0.0 } else { (i128::from(k) - high as i128) as f64 };
                    point[(2 * part + 1) * S::LANES + lane] = low * gain;
                }
            }
        }
        forward(s, &factors, &mut x);
        for lane in 0..polys.len() / degree {
            for (position, &leaf) in order.iter().enumerate() {
                // Normalised: the high part is the sum rounded to nearest.
                let (re, im) = (x[leaf * 4 * S::LANES + lane], x[(leaf * 4 + 2) * S::LANES + lane]);
                sink(group * S::LANES + lane, position, re, im);
            }
        }
    }
}

/// A double-double vector.
type Double<S> = (<S as Simd>::F, <S as Simd>::F);

#[inline(always)]
fn two_sum<S: Simd>(s: S, a: S::F, b: S::F) -> Double<S> {
    let sum = s.add(a, b);
    let b_part = s.sub(sum, a);
    (sum, s.add(s.sub(a, s.sub(sum, b_part)), s.sub(b, b_part)))
}

#[inline(always)]
fn double_add<S: Simd>(s: S, a: Double<S>, b: Double<S>) -> Double<S> {
    let (sum, error) = two_sum(s, a.0, b.0);
    two_sum(s, sum, s.add(error, s.add(a.1, b.1)))
}

#[inline(always)]
fn double_sub<S: Simd>(s: S, a: Double<S>, b: Double<S>) -> Double<S> {
    let zero = s.splat(0.0);
    double_add(s, a, (s.sub(zero, b.0), s.sub(zero, b.1)))
}

#[inline(always)]
fn double_mul<S: Simd>(s: S, a: Double<S>, b: Double<S>) -> Double<S> {
    let (product, error) = s.exact_product(a.0, b.0);
    let error = s.fma(a.1, b.0, s.fma(a.0, b.1, error));
    two_sum(s, product, error)
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
