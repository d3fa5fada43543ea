//! Predicted noise variances, in squared units of the least significant bit of a 64-bit word.
//!
//! The formulas follow Chillotti, Gama, Georgieva, Izabachene (Journal of Cryptology 2020, theorems 4.2 and 5.2) for
//! binary keys, with the exact variances of this project's decomposition and noise.

use crate::params::{BootstrapParameters, Decomposition, ModulusSwitchKind, ParameterSet};

/// Mean square of a balanced digit in base B, (B^2 + 2) / 12.
fn digit_variance(decomposition: Decomposition) -> f64 {
    ((2.0 * f64::from(decomposition.base_log.0)).exp2() + 2.0) / 12.0
}

/// Variance of the error left by rounding to the digits, uniform over a step of `2^64 / B^l`.
fn rounding_variance(decomposition: Decomposition) -> f64 {
    let step_log2 = 64.0 - f64::from(decomposition.base_log.0) * decomposition.level.0 as f64;
    (2.0 * step_log2).exp2() / 12.0
}

/// Variance that a keyswitch adds.
pub fn keyswitch_added_variance(set: &ParameterSet) -> f64 {
    let p = &set.bootstrap;
    let unit = (2.0 * f64::from(64 - p.ks_modulus_log2)).exp2();
    let big = p.big_lwe_dimension().0 as f64;
    let key_noise = set.lwe_noise.variance() * unit;
    let body_rounding = if p.ks_modulus_log2 < 64 { unit / 12.0 } else { 0.0 };
    big * p.ks_level.0 as f64 * key_noise * digit_variance(p.ks_decomposition())
        + big / 2.0 * rounding_variance(p.ks_decomposition())
        + body_rounding
}

/// Variance of a bootstrap's output; it does not depend on the input's noise.
pub fn bootstrap_variance(set: &ParameterSet) -> f64 {
    let p = &set.bootstrap;
    let polynomials = (p.glwe_dimension.0 + 1) as f64;
    let degree = p.ring_degree.0 as f64;
    let half_key = p.big_lwe_dimension().0 as f64 / 2.0;
    // Switching the key to p rounds every word by up to one half, seen through the phase.
    let key_noise = set.glwe_noise.variance() + (1.0 + half_key) / 12.0;
    let product = p.pbs_level.0 as f64 * polynomials * degree * key_noise * digit_variance(p.pbs_decomposition());
    let rounding = (1.0 + half_key) * rounding_variance(p.pbs_decomposition()) / 2.0;
    p.lwe_dimension.0 as f64 * (product + rounding)
}

/// Variance that the modulus switch to 2N adds.
pub fn modulus_switch_added_variance(parameters: &BootstrapParameters) -> f64 {
    let step = (2.0 * f64::from(63 - parameters.ring_degree.log2())).exp2() / 12.0;
    let n = parameters.lwe_dimension.0 as f64;
    match parameters.modulus_switch {
        ModulusSwitchKind::Standard => step * (1.0 + n / 2.0),
        ModulusSwitchKind::CenteredMean => step * (1.0 + n / 4.0),
    }
}
