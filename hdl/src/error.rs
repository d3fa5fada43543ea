//! The error type of the crate.

/// What can go wrong while RTL is built and written as Verilog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HdlError {
    /// A kernel says something that cannot be written as Verilog without changing its meaning.
    #[error("module `{module}`: {reason}")]
    Kernel {
        /// Instance path of the module, from the top down.
        module: String,
        /// What is wrong and how to write it instead.
        reason: String,
    },
    /// The catalogue has no design of that name.
    #[error("no design is called `{name}`; known designs: {known}")]
    UnknownDesign {
        /// The name asked for.
        name: String,
        /// The names that exist, comma separated.
        known: String,
    },
    /// A design does not exist for the parameters asked for.
    #[error("design `{design}` has no instance with {parameter} = {value}; supported: {supported}")]
    Parameter {
        /// The design.
        design: String,
        /// The parameter's name.
        parameter: &'static str,
        /// The refused value.
        value: usize,
        /// The values that exist.
        supported: String,
    },
    /// The generator thread could not be started or ended without a result.
    #[error("generating `{top}` failed: {reason}; the generator needs {stack_mib} MiB of address space for its stack")]
    Generator {
        /// Top module asked for.
        top: String,
        /// The operating system's or the panic's message.
        reason: String,
        /// Stack size asked for, in MiB.
        stack_mib: usize,
    },
}
