//! Evaluation keys: what a server holds, and all that it holds.

use crate::Error;
use crate::interchange;
use glovebox_golden::GoldenError;
use glovebox_golden::keys::{BootstrapKey, KeyswitchKey};
use glovebox_golden::params::BootstrapParameters;
use std::path::Path;
use std::sync::Arc;

/// Keyswitching and bootstrapping key of one client, with the parameters they belong to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EvaluationKeys {
    parameters: BootstrapParameters,
    keyswitch_key: Arc<KeyswitchKey>,
    bootstrap_key: Arc<BootstrapKey>,
}

impl EvaluationKeys {
    /// Puts keys and parameters together.
    ///
    /// # Errors
    /// [`Error::Golden`] if a key does not fit the parameters.
    pub fn new(
        parameters: BootstrapParameters,
        keyswitch_key: KeyswitchKey,
        bootstrap_key: BootstrapKey,
    ) -> Result<Self, Error> {
        parameters.validate()?;
        for (what, expected, found) in [
            ("keyswitching key", parameters.keyswitch_key_len(), keyswitch_key.words().len()),
            ("bootstrapping key", parameters.bootstrap_key_len(), bootstrap_key.words().len()),
        ] {
            if expected != found {
                return Err(GoldenError::Length { what, expected, found }.into());
            }
        }
        Ok(Self { parameters, keyswitch_key: Arc::new(keyswitch_key), bootstrap_key: Arc::new(bootstrap_key) })
    }

    /// Reads parameters and keys from interchange files.
    ///
    /// # Errors
    /// [`Error`] that names the file that cannot be read or does not fit.
    pub fn load(parameters: &Path, bootstrap_key: &Path, keyswitch_key: &Path) -> Result<Self, Error> {
        let p = interchange::read_parameters(parameters)?;
        let keyswitch_key = interchange::read_keyswitch_key(keyswitch_key, &p)?;
        let bootstrap_key = interchange::read_bootstrap_key(bootstrap_key, &p)?;
        Self::new(p, keyswitch_key, bootstrap_key)
    }

    /// Writes parameters and keys as interchange files.
    ///
    /// # Errors
    /// [`Error::File`] if one cannot be written.
    pub fn save(&self, parameters: &Path, bootstrap_key: &Path, keyswitch_key: &Path) -> Result<(), Error> {
        let p = &self.parameters;
        interchange::write_parameters(parameters, p)?;
        interchange::write_array(bootstrap_key, &interchange::bootstrap_key_shape(p), self.bootstrap_key.words())?;
        interchange::write_array(keyswitch_key, &interchange::keyswitch_key_shape(p), self.keyswitch_key.words())
    }

    /// The parameters.
    pub fn parameters(&self) -> &BootstrapParameters {
        &self.parameters
    }

    /// The keyswitching key.
    pub fn keyswitch_key(&self) -> &KeyswitchKey {
        &self.keyswitch_key
    }

    /// The bootstrapping key.
    pub fn bootstrap_key(&self) -> &BootstrapKey {
        &self.bootstrap_key
    }

    /// Bytes of both keys as they travel.
    pub fn transfer_bytes(&self) -> usize {
        8 * (self.keyswitch_key.words().len() + self.bootstrap_key.words().len())
    }
}
