//! Keys as the card multiplies them: the same numbers in the form its datapath wants.
//!
//! The order of words in card memory is `glovebox_regmap::key_layout`'s; here is only the arithmetic.

use crate::GoldenError;
use crate::field;
use crate::keys::{NttBootstrapKey, expect_len};
use crate::params::BootstrapParameters;

/// Components of a point of the bootstrapping key: b00, b10, b01, b11 (row, column), b00 b10, b01 b11.
pub const COMPONENTS: usize = 6;

/// The bootstrapping key of k = 1 as `[n][level][component][N]`, transform in bit-reversed order, words in `[0, p)`.
///
/// The card's digits stand where they stood in the word: digit i of l in base 2^B carries the factor 2^(64 - (l - i) B).
/// Its inverse is in the key. The card multiplies two digits at a time by Winograd's identity, `d0 b0 + d1 b1 =
/// (d0 + b1)(d1 + b0) - d0 d1 - b0 b1`, for which the key brings the products `b0 b1` of each column.
///
/// # Errors
/// [`GoldenError::Parameter`] for another k, [`GoldenError::Length`] if the key belongs to other parameters.
pub fn bootstrap_key_words(parameters: &BootstrapParameters, key: &NttBootstrapKey) -> Result<Vec<u64>, GoldenError> {
    parameters.validate()?;
    if parameters.glwe_dimension.0 != 1 {
        return Err(GoldenError::Parameter {
            name: "k",
            value: parameters.glwe_dimension.to_string(),
            rule: "the card's bootstrap has k = 1".into(),
        });
    }
    expect_len("bootstrapping key", parameters.bootstrap_key_len(), key.words().len())?;
    let (degree, levels) = (parameters.ring_degree.0, parameters.pbs_level.0);
    let mut words = Vec::with_capacity(parameters.bootstrap_key_len() / 4 * COMPONENTS);
    for (i, block) in key.words().chunks_exact(4 * degree).enumerate() {
        let place = 64 - (levels - i % levels) as u64 * u64::from(parameters.pbs_base_log.0);
        let scale = field::inv(field::pow(2, place));
        let scaled: Vec<u64> = block.iter().map(|&w| field::mul(w, scale)).collect();
        // Rows within columns.
        let part = |row: usize, column: usize| &scaled[(2 * row + column) * degree..][..degree];
        for (row, column) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            words.extend_from_slice(part(row, column));
        }
        for column in 0..2 {
            words.extend(part(0, column).iter().zip(part(1, column)).map(|(&a, &b)| field::mul(a, b)));
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{BootstrapKey, SecretKeys};
    use crate::params::TOY_INSECURE;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    #[test]
    fn winograd_form_of_a_key_gives_its_external_product() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let p = TOY_INSECURE.bootstrap;
        let secret = SecretKeys::generate(&TOY_INSECURE, &mut rng).unwrap();
        let key = BootstrapKey::generate(&TOY_INSECURE, &secret, &mut rng).unwrap().to_ntt(&p).unwrap();
        let words = bootstrap_key_words(&p, &key).unwrap();
        let degree = p.ring_degree.0;
        for (step, point, d0, d1) in [(0, 0, 5, 7), (3, 100, field::P - 1, 1 << 40), (9, 255, 0, 12345)] {
            let card = |component: usize| words[(step * COMPONENTS + component) * degree + point];
            let plain = |row: usize, column: usize| key.words()[((step * 2 + row) * 2 + column) * degree + point];
            // The digits as the card places them.
            let scale = field::pow(2, 64 - 23);
            let (e0, e1) = (field::mul(d0, scale), field::mul(d1, scale));
            for column in 0..2 {
                let sum = field::mul(field::add(e0, card(2 * column + 1)), field::add(e1, card(2 * column)));
                let found = field::sub(field::sub(sum, field::mul(e0, e1)), card(4 + column));
                let expected = field::add(field::mul(d0, plain(0, column)), field::mul(d1, plain(1, column)));
                assert_eq!(found, expected);
            }
        }
    }
}
