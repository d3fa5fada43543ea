//! Keys as the card multiplies them: the same numbers in the form its datapath wants.
//!
//! The order of words in card memory is `glovebox_regmap::key_layout`'s; here is only the arithmetic.

use crate::GoldenError;
use crate::field;
use crate::keys::{NttBootstrapKey, expect_len};
use crate::params::BootstrapParameters;

/// Words that a bootstrapping key has a point on the card, (k + 1)(k + 2): the factors, column by column, rows within them, then
/// for each column the sum of the products of its rows 2j and 2j + 1.
///
/// For k = 1: b00, b10, b01, b11 (row, column), b00 b10, b01 b11.
pub const fn components(glwe_dimension: usize) -> usize {
    (glwe_dimension + 1) * (glwe_dimension + 2)
}

/// The bootstrapping key as `[n][level][component][N]`, transform in bit-reversed order, words in `[0, p)`.
///
/// The card's digits stand where they stood in the word: digit i of l in base 2^B carries the factor 2^(64 - (l - i) B).
/// Its inverse is in the key. The card multiplies digits pair by pair by Winograd's identity, `d0 b0 + d1 b1 =
/// (d0 + b1)(d1 + b0) - d0 d1 - b0 b1`, for which the key brings the sum of the pairs' `b0 b1` of each column; an odd last
/// digit is multiplied as it is.
///
/// # Errors
/// [`GoldenError::Length`] if the key belongs to other parameters; as [`BootstrapParameters::validate`].
pub fn bootstrap_key_words(parameters: &BootstrapParameters, key: &NttBootstrapKey) -> Result<Vec<u64>, GoldenError> {
    parameters.validate()?;
    expect_len("bootstrapping key", parameters.bootstrap_key_len(), key.words().len())?;
    let (degree, levels) = (parameters.ring_degree.0, parameters.pbs_level.0);
    let rows = parameters.glwe_dimension.0 + 1;
    let blocks = parameters.lwe_dimension.0 * levels;
    let mut words = Vec::with_capacity(blocks * components(parameters.glwe_dimension.0) * degree);
    for (i, block) in key.words().chunks_exact(rows * rows * degree).enumerate() {
        let place = 64 - (levels - i % levels) as u64 * u64::from(parameters.pbs_base_log.0);
        let scale = field::inv(field::pow(2, place));
        let scaled: Vec<u64> = block.iter().map(|&w| field::mul(w, scale)).collect();
        // Golden has columns within rows.
        let part = |row: usize, column: usize| &scaled[(rows * row + column) * degree..][..degree];
        for column in 0..rows {
            for row in 0..rows {
                words.extend_from_slice(part(row, column));
            }
        }
        for column in 0..rows {
            words.extend((0..degree).map(|point| {
                (0..rows / 2).fold(0, |sum, pair| {
                    let product = field::mul(part(2 * pair, column)[point], part(2 * pair + 1, column)[point]);
                    field::add(sum, product)
                })
            }));
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

    /// What the card makes of a point's digits and key words: pairs by Winograd's identity, an odd last one as it is.
    fn card_sum(digits: &[u64], factors: &[u64], product_sum: u64) -> u64 {
        let pairs = digits.chunks_exact(2).zip(factors.chunks_exact(2));
        let paired = pairs.fold(0, |sum, (d, b)| {
            let product = field::mul(field::add(d[0], b[1]), field::add(d[1], b[0]));
            field::add(sum, field::sub(product, field::mul(d[0], d[1])))
        });
        let last = digits.chunks_exact(2).remainder().iter().zip(factors.chunks_exact(2).remainder());
        let all = last.fold(paired, |sum, (&d, &b)| field::add(sum, field::mul(d, b)));
        field::sub(all, product_sum)
    }

    #[test]
    fn winograd_form_of_a_key_gives_its_external_product() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        for k in 1..=3 {
            let mut set = TOY_INSECURE;
            set.bootstrap.glwe_dimension.0 = k;
            let p = set.bootstrap;
            let secret = SecretKeys::generate(&set, &mut rng).unwrap();
            let key = BootstrapKey::generate(&set, &secret, &mut rng).unwrap().to_ntt(&p).unwrap();
            let words = bootstrap_key_words(&p, &key).unwrap();
            let (degree, rows, components) = (p.ring_degree.0, k + 1, components(k));
            assert_eq!(words.len(), p.lwe_dimension.0 * components * degree);
            let digits = [5, 7, 0, 12345, field::P - 1, 1 << 40, 3, field::P - 77];
            for (step, point, first) in [(0, 0, 0), (3, 100, 2), (9, 255, 4)] {
                let card = |component: usize| words[(step * components + component) * degree + point];
                let plain =
                    |row: usize, column: usize| key.words()[((step * rows + row) * rows + column) * degree + point];
                let digits = &digits[first..][..rows];
                // The digits as the card places them.
                let scale = field::pow(2, 64 - 23);
                let placed: Vec<u64> = digits.iter().map(|&d| field::mul(d, scale)).collect();
                for column in 0..rows {
                    let factors: Vec<u64> = (0..rows).map(|row| card(column * rows + row)).collect();
                    let found = card_sum(&placed, &factors, card(rows * rows + column));
                    let expected = digits
                        .iter()
                        .enumerate()
                        .fold(0, |sum, (row, &d)| field::add(sum, field::mul(d, plain(row, column))));
                    assert_eq!(found, expected, "k = {k}, step {step}, column {column}");
                }
            }
        }
    }
}
