//! The golden model of Glovebox: what keyswitch and bootstrap mean, bit by bit.
//!
//! Plain, safe, single-threaded and slow on purpose: it is the oracle that the CPU engine and the RTL are tested
//! against, and it is itself tested against the `tfhe` crate (in `golden/tfhe-oracle`). It also holds what a client
//! needs: keys, encryption, decryption and look-up tables.
//!
//! ```
//! use glovebox_golden::{Evaluator, keys, lut::Lut, params::TOY_INSECURE};
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//!
//! let set = TOY_INSECURE;
//! let mut rng = ChaCha20Rng::seed_from_u64(1); // a test's seed; data is protected by a generator seeded by the system
//! let secret = keys::SecretKeys::generate(&set, &mut rng)?;
//! let bsk = keys::BootstrapKey::generate(&set, &secret, &mut rng)?;
//! let ksk = keys::KeyswitchKey::generate(&set, &secret, &mut rng)?;
//! let evaluator = Evaluator::new(set.bootstrap, ksk, &bsk)?;
//!
//! let square = Lut::from_fn(&set, |x| x * x % 16)?;
//! let input = secret.big.encrypt(3 * set.delta(), set.glwe_noise, &mut rng);
//! let output = evaluator.bootstrap(&input, square.ciphertext())?;
//! let phase = secret.big.phase(&output)?;
//! assert_eq!(glovebox_golden::decode(&set, phase), 9);
//! # Ok::<(), glovebox_golden::GoldenError>(())
//! ```

pub mod bootstrap;
pub mod card;
pub mod cipher;
pub mod error;
pub mod field;
pub mod keys;
pub mod lut;
pub mod noise;
pub mod ntt;
pub mod params;
pub mod sampling;
pub mod torus;

pub use bootstrap::Evaluator;
pub use error::GoldenError;

/// Rounds a phase to the message it encodes, in `[0, plaintext_modulus)` after dropping the padding bit.
pub fn decode(set: &params::ParameterSet, phase: u64) -> u64 {
    (phase.wrapping_add(set.delta() / 2) / set.delta()) % set.plaintext_modulus()
}
