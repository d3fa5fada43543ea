//! The client's side: the only place where secret keys live.

use crate::Error;
use crate::evaluation::EvaluationKeys;
use crate::interchange;
use crate::seeded::SeededCiphertexts;
use glovebox_golden::cipher::LweCiphertext;
use glovebox_golden::keys::{BootstrapKey, GlweSecretKey, KeyswitchKey, LweSecretKey, SecretKeys};
use glovebox_golden::params::{self, ParameterSet};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use std::path::Path;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A ChaCha20 generator seeded by the operating system.
pub(crate) fn system_rng() -> Result<ChaCha20Rng, Error> {
    ChaCha20Rng::try_from_rng(&mut getrandom::SysRng).map_err(|e| Error::Randomness(e.to_string()))
}

/// A client's secret keys with their parameter set: encrypts, decrypts, and makes the keys a server needs.
pub struct ClientKey {
    set: ParameterSet,
    secret: SecretKeys,
}

/// The secret key file. Bits are written as hexadecimal digits, four bits each, first bit highest.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: String,
    set: String,
    small_lwe_key: String,
    glwe_key: String,
}

const KEY_FORMAT: &str = "glovebox-client-key-1";

fn to_hex(bits: &[u64]) -> String {
    let nibble = |c: &[u64]| (0..4).fold(0, |n, i| n * 2 + c.get(i).copied().unwrap_or(0) as u32);
    bits.chunks(4).filter_map(|c| char::from_digit(nibble(c), 16)).collect()
}

fn from_hex(text: &str, len: usize) -> Option<Vec<u64>> {
    let mut bits = Vec::with_capacity(len + 3);
    for digit in text.chars() {
        let nibble = u64::from(digit.to_digit(16)?);
        bits.extend((0..4).map(|i| nibble >> (3 - i) & 1));
    }
    let padded = len.div_ceil(4) * 4;
    if bits.len() != padded || bits[len..].iter().any(|&b| b != 0) {
        bits.zeroize();
        return None;
    }
    bits.truncate(len);
    Some(bits)
}

impl ClientKey {
    /// Draws fresh secret keys.
    ///
    /// # Errors
    /// [`Error::Randomness`] if the operating system gives none.
    pub fn generate(set: ParameterSet) -> Result<Self, Error> {
        Self::generate_from(set, &mut system_rng()?)
    }

    /// Draws secret keys from a seed that the caller knows: for tests only, such keys protect nothing.
    ///
    /// # Errors
    /// [`Error::Golden`] for a set that breaks a rule.
    pub fn generate_insecure_from_seed(set: ParameterSet, seed: u64) -> Result<Self, Error> {
        Self::generate_from(set, &mut ChaCha20Rng::seed_from_u64(seed))
    }

    fn generate_from(set: ParameterSet, rng: &mut ChaCha20Rng) -> Result<Self, Error> {
        Ok(Self { set, secret: SecretKeys::generate(&set, rng)? })
    }

    /// The parameter set.
    pub fn set(&self) -> &ParameterSet {
        &self.set
    }

    /// Makes the evaluation keys: all that a server gets.
    ///
    /// # Errors
    /// [`Error::Randomness`] if the operating system gives none.
    pub fn evaluation_keys(&self) -> Result<EvaluationKeys, Error> {
        let mut rng = system_rng()?;
        let bootstrap_key = BootstrapKey::generate(&self.set, &self.secret, &mut rng)?;
        let keyswitch_key = KeyswitchKey::generate(&self.set, &self.secret, &mut rng)?;
        EvaluationKeys::new(self.set.bootstrap, keyswitch_key, bootstrap_key)
    }

    fn check_message(&self, message: u64) -> Result<u64, Error> {
        if message >= self.set.plaintext_modulus() {
            let rule = format!("a message of set {} lies below {}", self.set.name, self.set.plaintext_modulus());
            return Err(Error::value("message", message, rule));
        }
        Ok(message * self.set.delta())
    }

    /// Encrypts messages, each below the set's plaintext modulus; returns the words of `[count, k*N+1]`.
    ///
    /// # Errors
    /// [`Error::Value`] for a message out of range, [`Error::Randomness`] if the operating system gives none.
    pub fn encrypt(&self, messages: &[u64]) -> Result<Vec<u64>, Error> {
        let mut rng = system_rng()?;
        let mut words = Vec::with_capacity(messages.len() * (self.set.bootstrap.big_lwe_dimension().0 + 1));
        for &message in messages {
            let encoded = self.check_message(message)?;
            words.extend(self.secret.big.encrypt(encoded, self.set.glwe_noise, &mut rng).into_words());
        }
        Ok(words)
    }

    /// Encrypts messages with masks that a public seed expands to: one word a ciphertext instead of k*N + 1.
    ///
    /// # Errors
    /// As [`ClientKey::encrypt`].
    pub fn encrypt_seeded(&self, messages: &[u64]) -> Result<SeededCiphertexts, Error> {
        let mut rng = system_rng()?;
        let mut seed = [0u8; 32];
        rng.fill_bytes(&mut seed);
        let dimension = self.set.bootstrap.big_lwe_dimension().0;
        let mut seeded = SeededCiphertexts::new(seed, dimension);
        for &message in messages {
            let encoded = self.check_message(message)?;
            let noise = self.set.glwe_noise.sample(&mut rng) as u64;
            // The phase of (mask, 0) is -<mask, s>: the body that makes the phase what it should be.
            let phase = self.secret.big.phase(&LweCiphertext::from_words(seeded.next_with_body(0)))?;
            seeded.push(encoded.wrapping_add(noise).wrapping_sub(phase));
        }
        Ok(seeded)
    }

    /// Decrypts the words of `[count, k*N+1]` to messages below the plaintext modulus.
    ///
    /// # Errors
    /// [`Error::Golden`] if the words are not whole ciphertexts of the set.
    pub fn decrypt(&self, words: &[u64]) -> Result<Vec<u64>, Error> {
        let len = self.set.bootstrap.big_lwe_dimension().0 + 1;
        words
            .chunks(len)
            .map(|c| {
                let phase = self.secret.big.phase(&LweCiphertext::from_words(c.to_vec()))?;
                Ok(glovebox_golden::decode(&self.set, phase))
            })
            .collect()
    }

    /// Writes the secret keys to a file that only its owner can read.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let file = KeyFile {
            format: KEY_FORMAT.into(),
            set: self.set.name.into(),
            small_lwe_key: to_hex(self.secret.small.bits()),
            glwe_key: to_hex(self.secret.glwe.bits()),
        };
        let text = Zeroizing::new(toml::to_string(&file).map_err(|e| Error::format(path, e.to_string()))?);
        interchange::write_atomically(path, |w| w.write_all(text.as_bytes()))
    }

    /// Reads secret keys that [`ClientKey::save`] wrote.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Format`] if it is no key file or its keys do not fit its set.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| Error::file("read", path, e))?);
        // toml's own message would quote the line, which may hold key bits.
        let no_key = || Error::format(path, "not a client key file: pass the one that `glovebox keygen` wrote");
        let file: KeyFile = toml::from_str(&text).map_err(|_| no_key())?;
        if file.format != KEY_FORMAT {
            return Err(no_key());
        }
        let set = params::by_name(&file.set).map_err(|e| Error::format(path, e.to_string()))?;
        let damaged =
            || Error::format(path, format!("the keys are damaged or not of set {}: make them again", set.name));
        let small = from_hex(&file.small_lwe_key, set.bootstrap.lwe_dimension.0).ok_or_else(damaged)?;
        let glwe = from_hex(&file.glwe_key, set.bootstrap.big_lwe_dimension().0).ok_or_else(damaged)?;
        let small = LweSecretKey::from_bits(small)?;
        let glwe = GlweSecretKey::from_bits(glwe, set.bootstrap.ring_degree)?;
        let big = glwe.to_lwe_secret_key();
        Ok(Self { set, secret: SecretKeys { small, glwe, big } })
    }
}

impl std::fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientKey(set {})", self.set.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glovebox_golden::params::TOY_INSECURE;

    #[test]
    fn encryption_round_trips_plain_and_seeded() {
        let key = ClientKey::generate(TOY_INSECURE).unwrap();
        let messages: Vec<u64> = (0..16).collect();
        assert_eq!(key.decrypt(&key.encrypt(&messages).unwrap()).unwrap(), messages);
        let seeded = key.encrypt_seeded(&messages).unwrap();
        assert_eq!(key.decrypt(&seeded.expand(0..16)).unwrap(), messages);
        assert_eq!(key.decrypt(&seeded.expand(5..7)).unwrap(), [5, 6]);
        assert!(matches!(key.encrypt(&[16]), Err(Error::Value { .. })));
        assert!(key.decrypt(&[1, 2, 3]).is_err());
    }

    #[test]
    fn key_file_round_trips_is_private_and_damage_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.key");
        let key = ClientKey::generate(TOY_INSECURE).unwrap();
        key.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let words = key.encrypt(&[3, 9]).unwrap();
        assert_eq!(ClientKey::load(&path).unwrap().decrypt(&words).unwrap(), [3, 9]);
        assert!(!format!("{key:?}").contains("bits"));

        let text = std::fs::read_to_string(&path).unwrap();
        for damaged in [
            text.replace("small_lwe_key = \"", "small_lwe_key = \"0"),
            text.replace("TOY_INSECURE", "TOY_K2_L3_INSECURE"),
            text.replace("glwe_key = \"", "glwe_key = \"x"),
            text.replace("client-key-1", "client-key-9"),
            text[..text.len() / 2].to_string(),
        ] {
            std::fs::write(&path, damaged).unwrap();
            assert!(matches!(ClientKey::load(&path), Err(Error::Format { .. })));
        }
    }
}
