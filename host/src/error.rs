//! The error type of the host library.

use glovebox_golden::GoldenError;
use std::path::{Path, PathBuf};

/// What the host library refuses or could not do, on what, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Parameters, keys or ciphertexts that do not fit together.
    #[error(transparent)]
    Golden(#[from] GoldenError),
    /// A batch that the CPU engine refuses.
    #[error(transparent)]
    Cpu(#[from] crate::cpu::CpuError),
    /// A card that cannot be opened or failed.
    #[error(transparent)]
    Driver(#[from] glovebox_driver::Error),
    /// A file that could not be read, written or put in place.
    #[error("could not {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file whose content is not what its kind asks for.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// An array of another shape than the parameters ask for.
    #[error("{}: {what} has shape {found:?} where the parameters ask for {expected}: pass the file that was made with these parameters", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What the file should hold.
        what: &'static str,
        /// The shape asked for.
        expected: String,
        /// The shape found.
        found: Vec<usize>,
    },
    /// A device name that is none.
    #[error("no device is called {name:?}: use cpu, golden, sim, vfio-user:PATH, vfio:PCI-ADDRESS or auto")]
    DeviceName {
        /// The name.
        name: String,
    },
    /// A device that cannot be used.
    #[error("device {device}: {reason}")]
    Device {
        /// The device.
        device: String,
        /// What failed, and what to do.
        reason: String,
    },
    /// The operating system gave no randomness.
    #[error("the operating system's random generator failed: {0}; encryption stops rather than use a weaker one")]
    Randomness(String),
    /// A value that the chosen encoding cannot hold.
    #[error("{what} = {value} does not fit: {rule}")]
    Value {
        /// What the value is.
        what: String,
        /// The value.
        value: String,
        /// The rule that it breaks.
        rule: String,
    },
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { action, path: path.to_path_buf(), source }
    }

    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Self {
        Self::Format { path: path.to_path_buf(), reason: reason.into() }
    }

    pub(crate) fn value(what: impl Into<String>, value: impl ToString, rule: impl Into<String>) -> Self {
        Self::Value { what: what.into(), value: value.to_string(), rule: rule.into() }
    }
}
