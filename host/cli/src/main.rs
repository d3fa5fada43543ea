//! The `glovebox` command.
//!
//! Exit code 0: done. 1: the demo's answers or bits disagree. 2: wrong usage, bad input, or a device, file or tool that
//! failed; a message on standard error names it and says what to do.

mod arguments;
mod bootstrap;
mod demo;
mod devices;
mod files;
mod profile;
mod progress;
mod report;
mod rtl;
mod simulator;

use arguments::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

/// Anything that ends a command early; printed with its causes.
type CliError = Box<dyn std::error::Error + Send + Sync>;

/// How a command ended, when nothing failed.
enum Outcome {
    Done,
    /// Answers or bits that should be equal are not.
    Disagreement,
}

fn run(arguments: Arguments) -> Result<Outcome, CliError> {
    match arguments.command {
        Command::Demo(options) => demo::run(&options),
        Command::Devices(options) => devices::run(&options),
        Command::Bootstrap(options) => bootstrap::run(&options),
        Command::Keygen(options) => files::keygen(&options),
        Command::Encrypt(options) => files::encrypt(&options),
        Command::Decrypt(options) => files::decrypt(&options),
        Command::Lut(options) => files::lut(&options),
        Command::Rtl(options) => rtl::run(&options),
        Command::Serve(options) => simulator::serve(&options),
        Command::Profile(options) => profile::run(&options),
    }
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("GLOVEBOX_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    match run(Arguments::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Disagreement) => ExitCode::from(1),
        Err(error) => {
            report::error(error.as_ref());
            ExitCode::from(2)
        }
    }
}
