//! What the CPU engine refuses, and why.

use glovebox_golden::GoldenError;

/// The error type of the CPU engine. Every variant names what was wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CpuError {
    /// Parameters that break a rule of the arithmetic, or a key that does not fit them.
    #[error(transparent)]
    Parameters(#[from] GoldenError),
    /// A batch whose length is not a whole number of ciphertexts.
    #[error(
        "{what} hold {found} words, which is not a whole number of {unit} words: pass whole ciphertexts of the keys' parameter set"
    )]
    NotWhole {
        /// What was passed.
        what: &'static str,
        /// Words found.
        found: usize,
        /// Words of one item.
        unit: usize,
    },
    /// A batch that does not fit the others of the same call.
    #[error("{what} hold {found} words where this call needs {expected}: size them for the number of inputs")]
    Length {
        /// What was passed.
        what: &'static str,
        /// Words expected.
        expected: usize,
        /// Words found.
        found: usize,
    },
    /// A coefficient index outside of the polynomial.
    #[error(
        "extraction index {index} is not below N = {degree}: pass coefficient indices of the look-up table's polynomial"
    )]
    ExtractionIndex {
        /// The refused index.
        index: usize,
        /// The ring degree.
        degree: usize,
    },
    /// A ring degree without a transform in this engine.
    #[error("a transform of {degree} words is not supported: use a power of two from 4 to 65536")]
    RingDegree {
        /// The refused degree.
        degree: usize,
    },
    /// A transform input outside of the field.
    #[error(
        "word {index} of the transform's input is {value}, not below p = 2^64 - 2^32 + 1: reduce inputs mod p first"
    )]
    NotCanonical {
        /// Position of the first such word.
        index: usize,
        /// The word.
        value: u64,
    },
    /// An instruction set that this processor lacks.
    #[error("this processor cannot run the {kernel} kernel: choose one of {available}")]
    Kernel {
        /// The kernel asked for.
        kernel: String,
        /// Names of those that can run.
        available: String,
    },
}
