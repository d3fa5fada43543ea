//! `cargo xtask`: what the project does around its code. Everything that a person or CI runs starts here.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod axi;
mod coverage;
mod fpga;
mod vm;

use clap::{Parser, Subcommand};
use glovebox_sim::synthesis;
use glovebox_sim::verilator::{self, Tool};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Anything that ends a task early.
type TaskError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install the tools that the project needs into its build folder: Verilator, yosys, yosys-smtbmc, Yices.
    Setup,
    /// Set up, build and run `glovebox demo`; arguments go to it.
    Demo {
        /// Arguments of `glovebox demo`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Set up, then check formatting, lints and all tests, those in virtual machines last: what CI runs.
    Test,
    /// Let everything go wrong between host and card that can, and print the table of faults and outcomes.
    Faults,
    /// Run the driver's tests, its unsafe code among them, under AddressSanitizer, once it has found a planted error.
    Sanitize,
    /// Drive the smallest card by bus models that are not ours, cocotbext-axi, and check every rule of its AXI ports.
    AxiCheck,
    /// Run the small card's tests on a model that counts, and print which lines of its Verilog they reach.
    Coverage,
    /// Synthesise, place and route a design for a board and print what it takes and how fast it is.
    Fpga(fpga::Arguments),
    /// Test the driver through a real kernel: QEMU, a virtual IOMMU, stock vfio-pci, the simulated card.
    VmTest(vm::Arguments),
}

/// The folder of the workspace: the one above this package.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Runs a program in the workspace's folder and fails if it fails.
fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<(), TaskError> {
    let mut command = Command::new(program.as_ref());
    let status = command.args(arguments).current_dir(root()).status();
    let shown = format!("{} {}", program.as_ref().display(), arguments.join(" "));
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` failed ({status})").into()),
        Err(e) => Err(format!("could not run `{shown}`: {e}").into()),
    }
}

/// The cargo that runs this task.
fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn cargo(arguments: &[&str]) -> Result<(), TaskError> {
    println!("\n=== cargo {}", arguments.join(" "));
    run(cargo_program(), arguments)
}

/// Shows that something is under way while `work` runs.
fn show<T>(what: &str, work: impl FnOnce() -> Result<T, TaskError>) -> Result<T, TaskError> {
    let spinner = indicatif::ProgressBar::new_spinner().with_message(what.to_string());
    spinner.enable_steady_tick(Duration::from_millis(120));
    let result = work();
    spinner.finish_and_clear();
    result
}

/// Finds or installs Verilator.
fn setup_verilator() -> Result<(), TaskError> {
    if let Ok(tool) = Tool::find() {
        println!("Verilator {} is there", tool.version());
        return Ok(());
    }
    let folder = verilator::tools_dir();
    let tool = show("installing Verilator", || Ok(verilator::install(&folder)?))?;
    println!("Verilator {} is installed in {}", tool.version(), folder.display());
    Ok(())
}

/// Finds or installs yosys.
fn setup_yosys() -> Result<(), TaskError> {
    let installed = show("installing yosys", || Ok(synthesis::install_yosys()?))?;
    println!("yosys is {}", if installed { "installed" } else { "there" });
    Ok(())
}

/// Finds or installs yosys-smtbmc and Yices.
fn setup_smtbmc() -> Result<(), TaskError> {
    let installed = show("installing yosys-smtbmc and Yices", || Ok(synthesis::install_smtbmc()?))?;
    println!("yosys-smtbmc and Yices are {}", if installed { "installed" } else { "there" });
    Ok(())
}

/// Where cargo puts release programs.
fn release_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from).join("release")
}

fn demo(arguments: &[String]) -> Result<(), TaskError> {
    setup_verilator()?;
    cargo(&["build", "--release", "--package", "glovebox-cli"])?;
    let mut all = vec!["demo"];
    all.extend(arguments.iter().map(String::as_str));
    // The demo's own exit code is the task's: it has said what is wrong.
    let status = Command::new(release_folder().join("glovebox")).args(all).current_dir(root()).status()?;
    std::process::exit(status.code().unwrap_or(1))
}

fn test() -> Result<(), TaskError> {
    setup_verilator()?;
    setup_yosys()?;
    setup_smtbmc()?;
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    // One selection of packages: another has other features of dependencies, and builds most of them anew.
    cargo(&["test", "--workspace", "--exclude", "glovebox-benches"])?;
    cargo(&[
        "clippy",
        "--package",
        "glovebox-driver",
        "--features",
        "iommufd",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])?;
    println!("\n=== vm-test");
    vm::run(&vm::Arguments::default())
}

/// Runs the driver's fault tests and prints the rows that they print as one table.
fn faults() -> Result<(), TaskError> {
    let arguments =
        ["test", "--package", "glovebox-driver", "--test", "faults", "--", "--nocapture", "--test-threads=1"];
    let output = Command::new(cargo_program())
        .args(arguments)
        .current_dir(root())
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{text}\na fault is not survived").into());
    }
    // The test runner prints its own words at the beginning of a line.
    let rows: Vec<Vec<&str>> =
        text.lines().filter_map(|line| Some(line.split_once("fault-table\t")?.1.split('\t').collect())).collect();
    let header = vec!["fault", "what became of the commands", "afterwards"];
    let all: Vec<&Vec<&str>> = std::iter::once(&header).chain(&rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1)];
    for row in &all {
        println!("{:<a$}  {:<b$}  {}", row[0], row[1], row[2], a = widths[0], b = widths[1]);
    }
    println!("{} faults survived", rows.len());
    Ok(())
}

/// `cargo test` of the driver under AddressSanitizer. The toolchain has the sanitizer's runtime but allows its switch only
/// where told to take itself for a nightly one; the library of Rust itself stays as it is.
fn sanitized(arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_program());
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    command
        .args(["test", "--package", "glovebox-driver", "--target", &target, "--target-dir"])
        .arg(release_folder().with_file_name("sanitize"))
        .args(arguments)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address")
        // Some tests forget memory on purpose.
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .current_dir(root());
    command
}

fn sanitize() -> Result<(), TaskError> {
    println!("\n=== a planted error");
    let planted = sanitized(&["--test", "planted", "--", "--ignored"]).output()?;
    let said = String::from_utf8_lossy(&planted.stderr);
    if planted.status.success() || !said.contains("AddressSanitizer: heap-buffer-overflow") {
        return Err(format!("{said}\nthe sanitizer does not find a planted error").into());
    }
    println!("found: {}", said.lines().find(|line| line.contains("SUMMARY")).unwrap_or_default().trim());
    println!("\n=== the driver's tests under AddressSanitizer");
    let status = sanitized(&["--lib", "--tests"]).status()?;
    if status.success() { Ok(()) } else { Err("the driver's tests do not pass under AddressSanitizer".into()) }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Setup => setup_verilator().and_then(|()| setup_yosys()).and_then(|()| setup_smtbmc()),
        Task::Demo { arguments } => demo(&arguments),
        Task::Test => test(),
        Task::Faults => faults(),
        Task::Sanitize => sanitize(),
        Task::AxiCheck => axi::run(),
        Task::Coverage => coverage::run(),
        Task::Fpga(arguments) => fpga::run(&arguments),
        Task::VmTest(arguments) => vm::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {error}");
            ExitCode::from(2)
        }
    }
}
