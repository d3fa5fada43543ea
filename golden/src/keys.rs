//! Secret keys, the bootstrapping key and the keyswitching key.

use crate::GoldenError;
use crate::cipher::{GlweCiphertext, LweCiphertext};
use crate::field;
use crate::ntt::NegacyclicNtt;
use crate::params::{BootstrapParameters, GlweDimension, LweDimension, ParameterSet, RingDegree};
use crate::sampling::{self, NoiseDistribution};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Checks the length of a container.
pub(crate) fn expect_len(what: &'static str, expected: usize, found: usize) -> Result<(), GoldenError> {
    if expected == found { Ok(()) } else { Err(GoldenError::Length { what, expected, found }) }
}

/// Checks that a secret key has nothing but bits.
fn expect_bits(bits: &[u64]) -> Result<(), GoldenError> {
    match bits.iter().find(|&&b| b > 1) {
        None => Ok(()),
        Some(b) => Err(GoldenError::Parameter {
            name: "secret key",
            value: b.to_string(),
            rule: "a binary key holds only 0 and 1".into(),
        }),
    }
}

/// A binary LWE secret key of `dimension` bits, wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct LweSecretKey {
    bits: Vec<u64>,
}

impl LweSecretKey {
    /// Draws a uniform binary key.
    pub fn generate(dimension: LweDimension, rng: &mut impl CryptoRng) -> Self {
        Self { bits: sampling::binary(dimension.0, rng) }
    }

    /// Takes existing key bits, one a word.
    ///
    /// # Errors
    /// [`GoldenError::Parameter`] if a word is neither 0 nor 1.
    pub fn from_bits(bits: Vec<u64>) -> Result<Self, GoldenError> {
        expect_bits(&bits)?;
        Ok(Self { bits })
    }

    /// The key bits, one a word.
    pub fn bits(&self) -> &[u64] {
        &self.bits
    }

    /// The dimension n.
    pub fn dimension(&self) -> LweDimension {
        LweDimension(self.bits.len())
    }

    fn mask_product(&self, mask: &[u64]) -> u64 {
        mask.iter().zip(&self.bits).fold(0, |sum: u64, (&a, &s)| sum.wrapping_add(a.wrapping_mul(s)))
    }

    /// Encrypts an encoded message (its scale already applied) mod 2^64.
    pub fn encrypt(&self, encoded: u64, noise: NoiseDistribution, rng: &mut impl CryptoRng) -> LweCiphertext {
        self.encrypt_mod(encoded, noise, 64, rng)
    }

    /// Encrypts mod `2^log2_modulus`: words sit at the top of 64 bits, noise counts in units of that modulus.
    pub fn encrypt_mod(
        &self,
        encoded: u64,
        noise: NoiseDistribution,
        log2_modulus: u32,
        rng: &mut impl CryptoRng,
    ) -> LweCiphertext {
        let mut words = vec![0; self.bits.len() + 1];
        let (body, mask) = words.split_last_mut().expect("a ciphertext has a body");
        sampling::fill_uniform(mask, rng);
        let unit = 64 - log2_modulus;
        for a in mask.iter_mut() {
            *a = (*a >> unit) << unit;
        }
        let error = (noise.sample(rng) as u64) << unit;
        *body = self.mask_product(mask).wrapping_add(encoded).wrapping_add(error);
        LweCiphertext::from_words(words)
    }

    /// The phase `b - <a, s> mod 2^64` of a ciphertext: encoded message plus noise.
    ///
    /// # Errors
    /// [`GoldenError::Length`] if the ciphertext has another dimension.
    pub fn phase(&self, ciphertext: &LweCiphertext) -> Result<u64, GoldenError> {
        expect_len("LWE ciphertext", self.bits.len() + 1, ciphertext.words().len())?;
        Ok(ciphertext.body().wrapping_sub(self.mask_product(ciphertext.mask())))
    }
}

impl std::fmt::Debug for LweSecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LweSecretKey(dimension {})", self.bits.len())
    }
}

/// A binary GLWE secret key: k polynomials of N bits, wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct GlweSecretKey {
    bits: Vec<u64>,
    degree: usize,
}

impl GlweSecretKey {
    /// Draws a uniform binary key.
    pub fn generate(dimension: GlweDimension, degree: RingDegree, rng: &mut impl CryptoRng) -> Self {
        Self { bits: sampling::binary(dimension.0 * degree.0, rng), degree: degree.0 }
    }

    /// Takes existing key bits, one a word, polynomial by polynomial, ascending coefficients.
    ///
    /// # Errors
    /// [`GoldenError::Parameter`] if a word is neither 0 nor 1, [`GoldenError::Length`] if polynomials are incomplete.
    pub fn from_bits(bits: Vec<u64>, degree: RingDegree) -> Result<Self, GoldenError> {
        expect_bits(&bits)?;
        if degree.0 == 0 || bits.is_empty() || !bits.len().is_multiple_of(degree.0) {
            return Err(GoldenError::Length { what: "GLWE secret key", expected: degree.0, found: bits.len() });
        }
        Ok(Self { bits, degree: degree.0 })
    }

    /// The flattened key: the secret key of big LWE ciphertexts.
    pub fn to_lwe_secret_key(&self) -> LweSecretKey {
        LweSecretKey { bits: self.bits.clone() }
    }

    /// Key bits, one a word.
    pub fn bits(&self) -> &[u64] {
        &self.bits
    }

    /// `sum_i A_i * S_i mod (X^N + 1, 2^64)` by shifting and adding.
    fn mask_product(&self, mask: &[u64]) -> Vec<u64> {
        let n = self.degree;
        let mut product = vec![0u64; n];
        for (a, s) in mask.chunks_exact(n).zip(self.bits.chunks_exact(n)) {
            for (shift, _) in s.iter().enumerate().filter(|(_, bit)| **bit == 1) {
                for (p, c) in product[shift..].iter_mut().zip(a) {
                    *p = p.wrapping_add(*c);
                }
                for (p, c) in product[..shift].iter_mut().zip(&a[n - shift..]) {
                    *p = p.wrapping_sub(*c);
                }
            }
        }
        product
    }

    /// Encrypts an encoded polynomial mod 2^64.
    ///
    /// # Errors
    /// [`GoldenError::Length`] if the polynomial does not have N coefficients.
    pub fn encrypt(
        &self,
        encoded: &[u64],
        noise: NoiseDistribution,
        rng: &mut impl CryptoRng,
    ) -> Result<GlweCiphertext, GoldenError> {
        expect_len("plaintext polynomial", self.degree, encoded.len())?;
        let mut words = vec![0; self.bits.len() + self.degree];
        sampling::fill_uniform(&mut words[..self.bits.len()], rng);
        let product = self.mask_product(&words[..self.bits.len()]);
        for ((body, p), m) in words[self.bits.len()..].iter_mut().zip(product).zip(encoded) {
            *body = p.wrapping_add(*m).wrapping_add(noise.sample(rng) as u64);
        }
        Ok(GlweCiphertext::from_words(words, self.degree))
    }

    /// The phase polynomial `B - sum_i A_i * S_i` of a ciphertext.
    ///
    /// # Errors
    /// [`GoldenError::Length`] if the ciphertext has another shape.
    pub fn phase(&self, ciphertext: &GlweCiphertext) -> Result<Vec<u64>, GoldenError> {
        expect_len("GLWE ciphertext", self.bits.len() + self.degree, ciphertext.words().len())?;
        let product = self.mask_product(&ciphertext.words()[..self.bits.len()]);
        Ok(ciphertext.body().iter().zip(product).map(|(b, p)| b.wrapping_sub(p)).collect())
    }
}

impl std::fmt::Debug for GlweSecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GlweSecretKey({} polynomials of degree {})", self.bits.len() / self.degree, self.degree)
    }
}

/// The secret keys of one client: the small LWE key and the GLWE key.
#[derive(Clone, Debug)]
pub struct SecretKeys {
    /// Key of ciphertexts between keyswitch and blind rotation, dimension n.
    pub small: LweSecretKey,
    /// Key of the accumulator.
    pub glwe: GlweSecretKey,
    /// Key of ciphertexts outside of a bootstrap: the flattened GLWE key, dimension k * N.
    pub big: LweSecretKey,
}

impl SecretKeys {
    /// Draws the keys of a parameter set.
    ///
    /// # Errors
    /// [`GoldenError::Parameter`] for a set that breaks a rule.
    pub fn generate(set: &ParameterSet, rng: &mut impl CryptoRng) -> Result<Self, GoldenError> {
        set.bootstrap.validate()?;
        let small = LweSecretKey::generate(set.bootstrap.lwe_dimension, rng);
        let glwe = GlweSecretKey::generate(set.bootstrap.glwe_dimension, set.bootstrap.ring_degree, rng);
        let big = glwe.to_lwe_secret_key();
        Ok(Self { small, glwe, big })
    }
}

/// The bootstrapping key in the coefficient domain mod 2^64: a GGSW encryption of every bit of the small key.
///
/// Layout `[n][level][row 0..=k][column 0..=k][N]`; level index 0 belongs to the least significant digit. Row r < k of
/// bit s_i at gadget factor g encrypts `-s_i * g * S_r`, row k encrypts `s_i * g`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapKey {
    words: Vec<u64>,
}

impl BootstrapKey {
    /// Encrypts the small key under the GLWE key.
    ///
    /// # Errors
    /// [`GoldenError::Parameter`] for parameters that break a rule.
    pub fn generate(set: &ParameterSet, keys: &SecretKeys, rng: &mut impl CryptoRng) -> Result<Self, GoldenError> {
        let p = &set.bootstrap;
        p.validate()?;
        let (k, degree, base_log) = (p.glwe_dimension.0, p.ring_degree.0, p.pbs_base_log.0);
        let mut words = Vec::with_capacity(p.bootstrap_key_len());
        for &bit in keys.small.bits() {
            for level_index in 0..p.pbs_level.0 {
                let level = (p.pbs_level.0 - level_index) as u32;
                let factor = bit << (64 - base_log * level);
                for row in 0..=k {
                    let plaintext: Vec<u64> = if row < k {
                        let s = &keys.glwe.bits()[row * degree..(row + 1) * degree];
                        s.iter().map(|&s| s.wrapping_mul(factor.wrapping_neg())).collect()
                    } else {
                        let mut constant = vec![0; degree];
                        constant[0] = factor;
                        constant
                    };
                    words.extend(keys.glwe.encrypt(&plaintext, set.glwe_noise, rng)?.into_words());
                }
            }
        }
        Ok(Self { words })
    }

    /// Takes the words of an existing key in the layout above.
    ///
    /// # Errors
    /// [`GoldenError::Length`] if their number does not fit the parameters.
    pub fn from_words(parameters: &BootstrapParameters, words: Vec<u64>) -> Result<Self, GoldenError> {
        parameters.validate()?;
        expect_len("bootstrapping key", parameters.bootstrap_key_len(), words.len())?;
        Ok(Self { words })
    }

    /// The words in the layout above.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The key as blind rotation uses it: every polynomial switched to p and transformed.
    ///
    /// # Errors
    /// [`GoldenError::Length`] if the key belongs to other parameters.
    pub fn to_ntt(&self, parameters: &BootstrapParameters) -> Result<NttBootstrapKey, GoldenError> {
        parameters.validate()?;
        expect_len("bootstrapping key", parameters.bootstrap_key_len(), self.words.len())?;
        let ntt = NegacyclicNtt::new(parameters.ring_degree.0)?;
        let mut words: Vec<u64> = self.words.iter().map(|&w| field::from_torus(w)).collect();
        for polynomial in words.chunks_exact_mut(parameters.ring_degree.0) {
            ntt.forward_bit_reversed(polynomial)?;
        }
        Ok(NttBootstrapKey { words })
    }
}

/// The bootstrapping key in the transform domain mod p, bit-reversed order, otherwise laid out as [`BootstrapKey`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NttBootstrapKey {
    words: Vec<u64>,
}

impl NttBootstrapKey {
    /// Takes the words of an existing key in the layout above, in `[0, p)`.
    ///
    /// # Errors
    /// [`GoldenError::Length`] if their number does not fit the parameters, [`GoldenError::Parameter`] if a word is not
    /// canonical.
    pub fn from_words(parameters: &BootstrapParameters, words: Vec<u64>) -> Result<Self, GoldenError> {
        parameters.validate()?;
        expect_len("bootstrapping key", parameters.bootstrap_key_len(), words.len())?;
        match words.iter().find(|&&word| word >= crate::field::P) {
            Some(word) => Err(GoldenError::Parameter {
                name: "bootstrapping key",
                value: word.to_string(),
                rule: "words of a transformed key are below p".into(),
            }),
            None => Ok(Self { words }),
        }
    }

    /// The words, canonical in `[0, p)`.
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}

/// The keyswitching key from the big to the small LWE key.
///
/// Layout `[k * N][level][n + 1]`; level index 0 belongs to the least significant digit. Entry (i, level) encrypts
/// `S_i * 2^64 / B^level`. Words of a modulus below 2^64 sit at the top of the 64-bit word, low bits 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyswitchKey {
    words: Vec<u64>,
}

impl KeyswitchKey {
    /// Encrypts the big key under the small key.
    ///
    /// # Errors
    /// [`GoldenError::Parameter`] for parameters that break a rule.
    pub fn generate(set: &ParameterSet, keys: &SecretKeys, rng: &mut impl CryptoRng) -> Result<Self, GoldenError> {
        let p = &set.bootstrap;
        p.validate()?;
        let mut words = Vec::with_capacity(p.keyswitch_key_len());
        for &bit in keys.big.bits() {
            for level_index in 0..p.ks_level.0 {
                let level = (p.ks_level.0 - level_index) as u32;
                let encoded = bit << (64 - p.ks_base_log.0 * level);
                let entry = keys.small.encrypt_mod(encoded, set.lwe_noise, p.ks_modulus_log2, rng);
                words.extend(entry.into_words());
            }
        }
        Ok(Self { words })
    }

    /// Takes the words of an existing key in the layout above, in any form that is in use for a modulus 2^m, m < 64:
    /// integers in `[0, 2^m)`, or (as tfhe-rs keeps them) multiples of `2^(w - m)` in words of w = 32 or 64 bits.
    ///
    /// # Errors
    /// [`GoldenError::Length`] if their number does not fit the parameters, [`GoldenError::Parameter`] if the words
    /// are in none of the forms.
    pub fn from_words(parameters: &BootstrapParameters, mut words: Vec<u64>) -> Result<Self, GoldenError> {
        parameters.validate()?;
        expect_len("keyswitching key", parameters.keyswitch_key_len(), words.len())?;
        let m = parameters.ks_modulus_log2;
        let fits = |shift: u32| {
            words.iter().all(|&w| (w << shift) >> shift == w && (w << shift).is_multiple_of(1 << (64 - m)))
        };
        if m < 64 {
            let Some(shift) = [64 - m, 32, 0].into_iter().find(|&shift| fits(shift)) else {
                return Err(GoldenError::Parameter {
                    name: "keyswitching key",
                    value: format!("words that are not all mod 2^{m}"),
                    rule: format!("integers below 2^{m}, or multiples of 2^(w - {m}) in words of w = 32 or 64 bits"),
                });
            };
            words.iter_mut().for_each(|w| *w <<= shift);
        }
        Ok(Self { words })
    }

    /// The words in the layout above.
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}
