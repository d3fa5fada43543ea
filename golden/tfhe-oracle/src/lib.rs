//! The golden model beside the `tfhe` crate.
//!
//! Keys and ciphertexts are made by `tfhe`; every stage of a bootstrap is computed by both and compared word for word
//! in `tests/`. The crate stands apart so that nobody else has to build `tfhe`.

use glovebox_golden::keys::{BootstrapKey, GlweSecretKey, KeyswitchKey, LweSecretKey, SecretKeys};
use glovebox_golden::params::{ModulusSwitchKind, ParameterSet};
use glovebox_golden::sampling::NoiseDistribution;
use glovebox_golden::torus::SwitchedLwe;
use glovebox_golden::{Evaluator, GoldenError};
use tfhe::core_crypto::commons::generators::DeterministicSeeder;
use tfhe::core_crypto::commons::math::random::Seed;
use tfhe::core_crypto::prelude::*;

/// The noise distribution of one of our sets, as tfhe's type for words of type `T`.
pub fn noise<T: UnsignedInteger>(noise: NoiseDistribution, log2_modulus: u32) -> DynamicDistribution<T> {
    match noise {
        NoiseDistribution::TUniform { bound_log2 } => DynamicDistribution::new_t_uniform(bound_log2),
        NoiseDistribution::Gaussian { standard_deviation_log2 } => DynamicDistribution::new_gaussian_from_std_dev(
            StandardDev((standard_deviation_log2 - f64::from(log2_modulus)).exp2()),
        ),
    }
}

/// tfhe's modulus type for a power of two that may fill the word.
fn modulus<T: UnsignedInteger>(log2: u32) -> CiphertextModulus<T> {
    if log2 as usize >= T::BITS { CiphertextModulus::new_native() } else { CiphertextModulus::new(1 << log2) }
}

/// A keyswitching key in the container that tfhe uses for its modulus.
enum TfheKeyswitchKey {
    Words64(LweKeyswitchKeyOwned<u64>),
    Words32(LweKeyswitchKeyOwned<u32>),
}

/// One set of keys, made by tfhe and held by both sides.
pub struct Peer {
    set: ParameterSet,
    small: LweSecretKeyOwned<u64>,
    big: LweSecretKeyOwned<u64>,
    keyswitch_key: TfheKeyswitchKey,
    bootstrap_key: NttLweBootstrapKeyOwned<u64>,
    generator: EncryptionRandomGenerator<DefaultRandomGenerator>,
    /// The golden model with the same evaluation keys.
    pub golden: Evaluator,
    /// The same secret keys on the golden side.
    pub secret: SecretKeys,
}

/// A small LWE ciphertext as tfhe holds it.
#[derive(Clone)]
pub enum SmallLwe {
    /// In 64-bit words.
    Words64(LweCiphertextOwned<u64>),
    /// In 32-bit words.
    Words32(LweCiphertextOwned<u32>),
}

impl SmallLwe {
    /// The words as the golden model holds them: at the top of 64 bits.
    pub fn golden_words(&self) -> Vec<u64> {
        match self {
            Self::Words64(ct) => ct.as_ref().to_vec(),
            Self::Words32(ct) => ct.as_ref().iter().map(|&w| u64::from(w) << 32).collect(),
        }
    }
}

impl Peer {
    /// Makes every key with tfhe, from a fixed seed, and hands the same words to the golden model.
    ///
    /// # Errors
    /// [`GoldenError`] if the golden model refuses tfhe's keys.
    pub fn new(set: ParameterSet, seed: u128) -> Result<Self, GoldenError> {
        let p = &set.bootstrap;
        let mut seeder = DeterministicSeeder::<DefaultRandomGenerator>::new(Seed(seed));
        let mut secret_generator = SecretRandomGenerator::<DefaultRandomGenerator>::new(seeder.seed());
        let mut generator = EncryptionRandomGenerator::<DefaultRandomGenerator>::new(seeder.seed(), &mut seeder);
        let small =
            allocate_and_generate_new_binary_lwe_secret_key(LweDimension(p.lwe_dimension.0), &mut secret_generator);
        let glwe = allocate_and_generate_new_binary_glwe_secret_key(
            GlweDimension(p.glwe_dimension.0),
            PolynomialSize(p.ring_degree.0),
            &mut secret_generator,
        );
        let big: LweSecretKeyOwned<u64> = glwe.clone().into_lwe_secret_key();

        let (ks_base, ks_level) =
            (DecompositionBaseLog(p.ks_base_log.0 as usize), DecompositionLevelCount(p.ks_level.0));
        let lwe_noise = set.lwe_noise;
        let (keyswitch_key, ksk_words) = if p.ks_modulus_log2 > 32 {
            let key = allocate_and_generate_new_lwe_keyswitch_key(
                &big,
                &small,
                ks_base,
                ks_level,
                noise::<u64>(lwe_noise, p.ks_modulus_log2),
                modulus(p.ks_modulus_log2),
                &mut generator,
            );
            let words = key.as_ref().to_vec();
            (TfheKeyswitchKey::Words64(key), words)
        } else {
            let bits = small.as_ref().iter().map(|&b| b as u32).collect();
            let key = allocate_and_generate_new_lwe_keyswitch_key(
                &big,
                &LweSecretKeyOwned::<u32>::from_container(bits),
                ks_base,
                ks_level,
                noise::<u32>(lwe_noise, p.ks_modulus_log2),
                modulus(p.ks_modulus_log2),
                &mut generator,
            );
            let words = key.as_ref().iter().map(|&w| u64::from(w)).collect();
            (TfheKeyswitchKey::Words32(key), words)
        };

        let standard = par_allocate_and_generate_new_lwe_bootstrap_key(
            &small,
            &glwe,
            DecompositionBaseLog(p.pbs_base_log.0 as usize),
            DecompositionLevelCount(p.pbs_level.0),
            noise::<u64>(set.glwe_noise, 64),
            CiphertextModulus::new_native(),
            &mut generator,
        );
        let mut bootstrap_key = NttLweBootstrapKeyOwned::<u64>::new(
            0,
            standard.input_lwe_dimension(),
            standard.glwe_size(),
            standard.polynomial_size(),
            standard.decomposition_base_log(),
            standard.decomposition_level_count(),
            CiphertextModulus::try_new((1 << 64) - (1 << 32) + 1).expect("the Goldilocks prime fits 64 bits"),
        );
        convert_standard_lwe_bootstrap_key_to_ntt64(&standard, &mut bootstrap_key, NttLweBootstrapKeyOption::Raw);

        let ksk = KeyswitchKey::from_words(p, ksk_words)?;
        let bsk = BootstrapKey::from_words(p, standard.as_ref().to_vec())?;
        let golden = Evaluator::new(*p, ksk, &bsk)?;
        let secret = SecretKeys {
            small: LweSecretKey::from_bits(small.as_ref().to_vec())?,
            glwe: GlweSecretKey::from_bits(glwe.as_ref().to_vec(), p.ring_degree)?,
            big: LweSecretKey::from_bits(big.as_ref().to_vec())?,
        };
        Ok(Self { set, small, big, keyswitch_key, bootstrap_key, generator, golden, secret })
    }

    /// Encrypts a message under the big key with tfhe.
    pub fn encrypt(&mut self, message: u64) -> LweCiphertextOwned<u64> {
        allocate_and_encrypt_new_lwe_ciphertext(
            &self.big,
            Plaintext(message.wrapping_mul(self.set.delta())),
            noise::<u64>(self.set.glwe_noise, 64),
            CiphertextModulus::new_native(),
            &mut self.generator,
        )
    }

    /// Decrypts words of a big LWE ciphertext with tfhe.
    pub fn decrypt(&self, words: &[u64]) -> u64 {
        let ct = LweCiphertext::from_container(words, CiphertextModulus::new_native());
        glovebox_golden::decode(&self.set, decrypt_lwe_ciphertext(&self.big, &ct).0)
    }

    /// Decrypts a small LWE ciphertext to its phase with tfhe, as a 64-bit torus word.
    pub fn small_phase(&self, words: &[u64]) -> u64 {
        let ct = LweCiphertext::from_container(words, CiphertextModulus::new_native());
        decrypt_lwe_ciphertext(&self.small, &ct).0
    }

    /// tfhe's look-up table of `f`, all (k + 1) * N words.
    pub fn lut(&self, f: impl Fn(u64) -> u64) -> GlweCiphertextOwned<u64> {
        generate_programmable_bootstrap_glwe_lut(
            PolynomialSize(self.set.bootstrap.ring_degree.0),
            GlweDimension(self.set.bootstrap.glwe_dimension.0).to_glwe_size(),
            self.set.plaintext_modulus() as usize,
            CiphertextModulus::new_native(),
            self.set.delta(),
            f,
        )
    }

    /// tfhe's keyswitch.
    pub fn keyswitch(&self, input: &LweCiphertextOwned<u64>) -> SmallLwe {
        let size = LweDimension(self.set.bootstrap.lwe_dimension.0).to_lwe_size();
        match &self.keyswitch_key {
            TfheKeyswitchKey::Words64(key) => {
                let mut output = LweCiphertext::new(0, size, key.ciphertext_modulus());
                keyswitch_lwe_ciphertext(key, input, &mut output);
                SmallLwe::Words64(output)
            }
            TfheKeyswitchKey::Words32(key) => {
                let mut output = LweCiphertext::new(0, size, key.ciphertext_modulus());
                keyswitch_lwe_ciphertext_with_scalar_change(key, input, &mut output);
                SmallLwe::Words32(output)
            }
        }
    }

    /// tfhe's modulus switch to 2N, reduced mod 2N.
    pub fn modulus_switch(&self, small: &SmallLwe) -> SwitchedLwe {
        switch(small, self.set.bootstrap.modulus_switch, self.set.bootstrap.ring_degree.0)
    }

    /// tfhe's ntt64 bnf blind rotation of `accumulator`, modulus switch included.
    pub fn blind_rotation(
        &self,
        small: &SmallLwe,
        mut accumulator: GlweCiphertextOwned<u64>,
    ) -> GlweCiphertextOwned<u64> {
        let log = PolynomialSize(self.set.bootstrap.ring_degree.0).to_blind_rotation_input_modulus_log();
        let centered = self.set.bootstrap.modulus_switch == ModulusSwitchKind::CenteredMean;
        macro_rules! rotate {
            ($ct:expr) => {
                if centered {
                    let switched = lwe_ciphertext_centered_binary_modulus_switch($ct.clone(), log);
                    blind_rotate_ntt64_bnf_assign(&switched, &mut accumulator, &self.bootstrap_key);
                } else {
                    let switched = lwe_ciphertext_modulus_switch($ct.clone(), log);
                    blind_rotate_ntt64_bnf_assign(&switched, &mut accumulator, &self.bootstrap_key);
                }
            };
        }
        match small {
            SmallLwe::Words64(ct) => rotate!(ct),
            SmallLwe::Words32(ct) => rotate!(ct),
        }
        accumulator
    }

    /// tfhe's extraction of a coefficient.
    pub fn sample_extract(&self, glwe: &GlweCiphertextOwned<u64>, index: usize) -> Vec<u64> {
        let mut output = LweCiphertext::new(0, self.big.lwe_dimension().to_lwe_size(), CiphertextModulus::new_native());
        extract_lwe_sample_from_glwe_ciphertext(glwe, &mut output, MonomialDegree(index));
        output.into_container()
    }
}

/// tfhe's modulus switch of a small LWE ciphertext to 2N, reduced mod 2N.
pub fn switch(small: &SmallLwe, kind: ModulusSwitchKind, degree: usize) -> SwitchedLwe {
    fn collect(ct: &impl ModulusSwitchedLweCiphertext<usize>, degree: usize) -> SwitchedLwe {
        SwitchedLwe { mask: ct.mask().map(|a| a % (2 * degree)).collect(), body: ct.body() % (2 * degree) }
    }
    let log = PolynomialSize(degree).to_blind_rotation_input_modulus_log();
    macro_rules! switch {
        ($ct:expr) => {
            match kind {
                ModulusSwitchKind::Standard => collect(&lwe_ciphertext_modulus_switch($ct.clone(), log), degree),
                ModulusSwitchKind::CenteredMean => {
                    collect(&lwe_ciphertext_centered_binary_modulus_switch($ct.clone(), log), degree)
                }
            }
        };
    }
    match small {
        SmallLwe::Words64(ct) => switch!(ct),
        SmallLwe::Words32(ct) => switch!(ct),
    }
}
