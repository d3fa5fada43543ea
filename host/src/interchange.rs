//! Parameter files and arrays: how keys, tables and ciphertexts come from and go to other programs.
//!
//! Arrays are little-endian u64 `.npy` files, coefficient domain, q = 2^64, in tfhe-rs's container order: bootstrapping
//! key `[n, level, k+1, k+1, N]`, keyswitching key `[k*N, level, n+1]`, look-up tables `[luts, k+1, N]`, ciphertexts
//! `[count, k*N+1]`. A file appears whole or not at all.

use crate::Error;
use glovebox_golden::keys::{BootstrapKey, KeyswitchKey};
use glovebox_golden::params::BootstrapParameters;
use ndarray::{ArrayD, ArrayViewD, IxDyn};
use ndarray_npy::{ReadNpyError, ReadNpyExt, WriteNpyExt};
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

/// Writes a file atomically: `write` fills a temporary file beside it, which then takes its name.
///
/// # Errors
/// [`Error::File`] if the folder is not writable or the disk is full; the old file, if any, is then untouched.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let fail = |source| Error::file("write", path, source);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(fail)?;
    {
        let mut buffered = BufWriter::new(file.as_file_mut());
        write(&mut buffered).map_err(fail)?;
        buffered.flush().map_err(fail)?;
    }
    file.as_file().sync_all().map_err(fail)?;
    file.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
}

/// Lets everyone read a file that [`write_atomically`] made: temporary files are private to their owner.
fn make_public(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).map_err(|e| Error::file("share", path, e))
}

/// Writes public bytes atomically.
///
/// # Errors
/// [`Error::File`] as [`write_atomically`].
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_atomically(path, |w| w.write_all(bytes))?;
    make_public(path)
}

/// Reads a parameter file (TOML) and checks it.
///
/// # Errors
/// [`Error::File`] if it cannot be read, [`Error::Format`] if a field is missing, unknown or out of range.
pub fn read_parameters(path: &Path) -> Result<BootstrapParameters, Error> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::file("read", path, e))?;
    let parameters: BootstrapParameters = toml::from_str(&text)
        .map_err(|e| Error::format(path, format!("not a parameter file: {}", e.to_string().trim_end())))?;
    parameters.validate().map_err(|e| Error::format(path, e.to_string()))?;
    Ok(parameters)
}

/// Writes a parameter file.
///
/// # Errors
/// [`Error::File`] as [`write_atomically`].
pub fn write_parameters(path: &Path, parameters: &BootstrapParameters) -> Result<(), Error> {
    let text = toml::to_string(parameters).map_err(|e| Error::format(path, e.to_string()))?;
    write_public(path, text.as_bytes())
}

/// Reads a u64 array of any shape, C order.
///
/// # Errors
/// [`Error::File`] or [`Error::Format`] for what is no such array, truncated or followed by other bytes.
pub fn read_array(path: &Path) -> Result<ArrayD<u64>, Error> {
    let file = std::fs::File::open(path).map_err(|e| Error::file("open", path, e))?;
    let array = ArrayD::<u64>::read_npy(BufReader::new(file)).map_err(|e| match e {
        ReadNpyError::Io(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::file("read", path, source)
        }
        ReadNpyError::Io(_) | ReadNpyError::MissingData => {
            Error::format(path, "the file ends before its data does: copy or make it again")
        }
        ReadNpyError::ExtraBytes(count) => {
            Error::format(path, format!("{count} bytes follow the array: it was not written whole, make it again"))
        }
        ReadNpyError::WrongDescriptor(found) => Error::format(
            path,
            format!("holds elements of type {found}: pass little-endian unsigned 64-bit integers ('<u8')"),
        ),
        other => Error::format(path, format!("not a .npy array: {other}")),
    })?;
    // Fortran order on disk becomes C order here, so that words can be taken in sequence.
    Ok(if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() })
}

/// The words of an array in C order.
fn into_words(array: ArrayD<u64>) -> Vec<u64> {
    array.into_raw_vec_and_offset().0
}

/// Reads an array whose shape is known.
fn read_exact(path: &Path, what: &'static str, expected: &[usize]) -> Result<Vec<u64>, Error> {
    let array = read_array(path)?;
    if array.shape() != expected {
        return Err(Error::Shape {
            path: path.into(),
            what,
            expected: format!("{expected:?}"),
            found: array.shape().to_vec(),
        });
    }
    Ok(into_words(array))
}

/// Reads an array of `count` items of known shape; returns its words and `count`.
fn read_list(path: &Path, what: &'static str, item: &[usize]) -> Result<(Vec<u64>, usize), Error> {
    let array = read_array(path)?;
    match array.shape() {
        [count, rest @ ..] if rest == item => {
            let count = *count;
            Ok((into_words(array), count))
        }
        found => {
            let expected = format!("[count, {}]", item.iter().map(usize::to_string).collect::<Vec<_>>().join(", "));
            Err(Error::Shape { path: path.into(), what, expected, found: found.to_vec() })
        }
    }
}

/// Writes words as an array of `shape`.
///
/// # Errors
/// [`Error::Format`] if the words do not fill the shape, [`Error::File`] as [`write_atomically`].
pub fn write_array(path: &Path, shape: &[usize], words: &[u64]) -> Result<(), Error> {
    let view = ArrayViewD::from_shape(IxDyn(shape), words).map_err(|e| Error::format(path, e.to_string()))?;
    write_atomically(path, |w| view.write_npy(w).map_err(std::io::Error::other))?;
    make_public(path)
}

/// Shape of a bootstrapping key.
pub fn bootstrap_key_shape(p: &BootstrapParameters) -> [usize; 5] {
    let columns = p.glwe_dimension.0 + 1;
    [p.lwe_dimension.0, p.pbs_level.0, columns, columns, p.ring_degree.0]
}

/// Shape of a keyswitching key.
pub fn keyswitch_key_shape(p: &BootstrapParameters) -> [usize; 3] {
    [p.big_lwe_dimension().0, p.ks_level.0, p.lwe_dimension.0 + 1]
}

/// Reads a bootstrapping key.
///
/// # Errors
/// [`Error`] for what [`read_array`] refuses or another shape.
pub fn read_bootstrap_key(path: &Path, p: &BootstrapParameters) -> Result<BootstrapKey, Error> {
    let words = read_exact(path, "the bootstrapping key [n, level, k+1, k+1, N]", &bootstrap_key_shape(p))?;
    Ok(BootstrapKey::from_words(p, words)?)
}

/// Reads a keyswitching key, in any of the forms of [`KeyswitchKey::from_words`].
///
/// # Errors
/// [`Error`] for what [`read_array`] refuses, another shape, or words that do not fit the modulus.
pub fn read_keyswitch_key(path: &Path, p: &BootstrapParameters) -> Result<KeyswitchKey, Error> {
    let words = read_exact(path, "the keyswitching key [k*N, level, n+1]", &keyswitch_key_shape(p))?;
    KeyswitchKey::from_words(p, words).map_err(|e| Error::format(path, e.to_string()))
}

/// Reads look-up tables: their words and their number.
///
/// # Errors
/// [`Error`] for what [`read_array`] refuses or another shape.
pub fn read_luts(path: &Path, p: &BootstrapParameters) -> Result<(Vec<u64>, usize), Error> {
    read_list(path, "the look-up tables [luts, k+1, N]", &[p.glwe_dimension.0 + 1, p.ring_degree.0])
}

/// Reads big LWE ciphertexts: their words and their number.
///
/// # Errors
/// [`Error`] for what [`read_array`] refuses or another shape.
pub fn read_ciphertexts(path: &Path, p: &BootstrapParameters) -> Result<(Vec<u64>, usize), Error> {
    read_list(path, "the ciphertexts [count, k*N+1]", &[p.big_lwe_dimension().0 + 1])
}

/// Writes big LWE ciphertexts.
///
/// # Errors
/// As [`write_array`].
pub fn write_ciphertexts(path: &Path, p: &BootstrapParameters, words: &[u64]) -> Result<(), Error> {
    let len = p.big_lwe_dimension().0 + 1;
    write_array(path, &[words.len() / len, len], words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use glovebox_golden::params::{self, ModulusSwitchKind};

    #[test]
    fn parameter_file_round_trips_and_reads_as_documented() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        for set in params::ALL {
            write_parameters(&path, &set.bootstrap).unwrap();
            assert_eq!(read_parameters(&path).unwrap(), set.bootstrap);
        }
        let text = "n = 10\nk = 1\nN = 256\npbs_base_log = 23\npbs_level = 1\nks_base_log = 4\nks_level = 4\nks_modulus_log2 = 64\nmodulus_switch = \"centered-mean\"\n";
        std::fs::write(&path, text).unwrap();
        let read = read_parameters(&path).unwrap();
        assert_eq!(read, params::TOY_INSECURE.bootstrap);
        assert_eq!(read.modulus_switch, ModulusSwitchKind::CenteredMean);
        for (from, to, needle) in [
            ("N = 256", "N = 3", "power of two"),
            ("n = 10\n", "", "missing field `n`"),
            ("n = 10", "n = -1", "invalid value"),
            ("n = 10", "n = 10\nq = 3", "unknown field `q`"),
            ("centered-mean", "centred", "unknown variant"),
        ] {
            std::fs::write(&path, text.replace(from, to)).unwrap();
            let message = read_parameters(&path).unwrap_err().to_string();
            assert!(message.contains(needle) && message.contains("p.toml"), "{message}");
        }
    }

    #[test]
    fn arrays_round_trip_and_damaged_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let words: Vec<u64> = (0..24).map(|i| i * 0x0123_4567_89AB_CDEF).collect();
        write_array(&path, &[2, 3, 4], &words).unwrap();
        assert_eq!(read_exact(&path, "it", &[2, 3, 4]).unwrap(), words);
        assert!(matches!(read_exact(&path, "it", &[4, 3, 2]), Err(Error::Shape { .. })));
        assert!(matches!(read_list(&path, "it", &[4, 3]), Err(Error::Shape { .. })));

        let bytes = std::fs::read(&path).unwrap();
        for cut in [0, 5, 60, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(matches!(read_array(&path), Err(Error::Format { .. })), "cut at {cut}");
        }
        std::fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
        assert!(read_array(&path).unwrap_err().to_string().contains("1 bytes follow"));
        std::fs::write(&path, String::from_utf8_lossy(&bytes[..40]).replace("<u8", "<f8")).unwrap();
        assert!(read_array(&path).is_err());
        assert!(matches!(read_array(&folder.path().join("none.npy")), Err(Error::File { .. })));
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        write_public(&path, b"old").unwrap();
        let failed = write_atomically(&path, |w| {
            w.write_all(b"half of the new")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().contains("disk full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
