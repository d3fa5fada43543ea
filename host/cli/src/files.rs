//! `glovebox keygen`, `encrypt`, `decrypt` and `lut`: keys, ciphertexts and tables in files.

use crate::arguments::{Decrypt, Encrypt, Keygen, Lut};
use crate::{CliError, Outcome, progress, report};
use glovebox::client::ClientKey;
use glovebox::golden::{lut, params};
use glovebox::{Error, interchange};
use std::path::Path;

pub(crate) fn keygen(options: &Keygen) -> Result<Outcome, CliError> {
    let set = params::by_name(&options.set)?;
    let path = |name: &str| options.out.join(name);
    let secret = path("client.key");
    // A secret key that is overwritten cannot be had again, and with it everything that it encrypted is lost.
    if secret.exists() {
        return Err(format!("{} is there already: choose another folder, or move it away", secret.display()).into());
    }
    std::fs::create_dir_all(&options.out).map_err(|e| format!("could not make {}: {e}", options.out.display()))?;
    let spinner = progress::spinner("making keys");
    let key = ClientKey::generate(set)?;
    key.evaluation_keys()?.save(&path("params.toml"), &path("bsk.npy"), &path("ksk.npy"))?;
    key.save(&secret)?;
    spinner.finish_and_clear();
    if !set.secure_128 {
        report::note(&format!("set {} gives no security: for tests only", set.name));
    }
    report::print(&format!(
        "{}: client.key (secret, keep it), params.toml, bsk.npy, ksk.npy (for the server)",
        options.out.display()
    ))?;
    Ok(Outcome::Done)
}

pub(crate) fn encrypt(options: &Encrypt) -> Result<Outcome, CliError> {
    let key = ClientKey::load(&options.key)?;
    let messages = match &options.input {
        Some(path) => read_messages(path)?,
        None => options.messages.clone(),
    };
    interchange::write_ciphertexts(&options.output, &key.set().bootstrap, &key.encrypt(&messages)?)?;
    Ok(Outcome::Done)
}

pub(crate) fn decrypt(options: &Decrypt) -> Result<Outcome, CliError> {
    let key = ClientKey::load(&options.key)?;
    let (words, _) = interchange::read_ciphertexts(&options.input, &key.set().bootstrap)?;
    let messages = key.decrypt(&words)?;
    match &options.output {
        Some(path) => interchange::write_array(path, &[messages.len()], &messages)?,
        None => {
            let lines: Vec<String> = messages.iter().map(u64::to_string).collect();
            report::print(&lines.join("\n"))?;
        }
    }
    Ok(Outcome::Done)
}

pub(crate) fn lut(options: &Lut) -> Result<Outcome, CliError> {
    let set = params::by_name(&options.set)?;
    let values = &options.values;
    if values.len() as u64 != set.plaintext_modulus() || values.iter().any(|&v| v >= set.plaintext_modulus()) {
        let modulus = set.plaintext_modulus();
        return Err(format!("a table of set {} has {modulus} values below {modulus}, not {values:?}", set.name).into());
    }
    let table = lut::Lut::from_fn(&set, |x| values.get(x as usize).copied().unwrap_or(0))?;
    let shape = [1, set.bootstrap.glwe_dimension.0 + 1, set.bootstrap.ring_degree.0];
    interchange::write_array(&options.output, &shape, table.ciphertext().words())?;
    Ok(Outcome::Done)
}

fn read_messages(path: &Path) -> Result<Vec<u64>, Error> {
    let array = interchange::read_array(path)?;
    if array.ndim() != 1 {
        return Err(Error::Shape {
            path: path.into(),
            what: "the messages",
            expected: "[count]".into(),
            found: array.shape().to_vec(),
        });
    }
    Ok(array.iter().copied().collect())
}
