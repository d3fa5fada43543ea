//! The error type of the golden model.

/// What the golden model refuses, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GoldenError {
    /// A ring degree that no transform exists for.
    #[error("ring degree N = {degree} is not supported: use a power of two from 2 to 2^31")]
    RingDegree {
        /// The refused degree.
        degree: usize,
    },
    /// A container whose length does not fit the parameters.
    #[error("{what} holds {found} words where the parameters ask for {expected}: use data made for this parameter set")]
    Length {
        /// What was passed.
        what: &'static str,
        /// Words expected.
        expected: usize,
        /// Words found.
        found: usize,
    },
    /// A parameter outside its range.
    #[error("parameter {name} = {value} is out of range: {rule}")]
    Parameter {
        /// Name of the parameter, as in a parameter file.
        name: &'static str,
        /// The refused value.
        value: String,
        /// The rule that it breaks.
        rule: String,
    },
}
