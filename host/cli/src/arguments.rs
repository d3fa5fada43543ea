//! The command line.

use clap::{Args, Parser, Subcommand};
use glovebox::Device;
use std::path::PathBuf;

/// Encrypted computing on a Glovebox card, a simulated card or the CPU.
#[derive(Debug, Parser)]
#[command(name = "glovebox", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask an encrypted question of real patient records, end to end.
    Demo(Demo),
    /// List the cards of this machine and what each needs to be usable.
    Devices(Devices),
    /// Keyswitch and bootstrap ciphertexts from files, on any device.
    Bootstrap(Bootstrap),
    /// Make a client's secret key, and the parameters and keys that a server needs.
    Keygen(Keygen),
    /// Encrypt messages with a client's secret key.
    Encrypt(Encrypt),
    /// Decrypt ciphertexts with a client's secret key.
    Decrypt(Decrypt),
    /// Make a look-up table for `bootstrap`.
    Lut(Lut),
    /// Write the Verilog of a design.
    Rtl(Rtl),
    /// Serve a simulated card on a socket, for any device named vfio-user:PATH.
    Serve(Serve),
    /// Run bootstraps on the simulated card and report where the cycles go.
    Profile(Profile),
}

/// What `profile` runs.
#[derive(Debug, Args)]
pub(crate) struct Profile {
    /// Lanes of the simulated card: 4, 8, 32 or 128. A wide model takes long to build: 128 lanes some ten minutes.
    #[arg(long, default_value_t = 8)]
    pub(crate) lanes: usize,
    /// Name of a parameter set.
    #[arg(long, default_value = "CPU_KS_PBS_TUNIFORM_2M128")]
    pub(crate) params: String,
    /// Run a shorter blind rotation of this many steps n instead of the set's: cycles and bytes a step stay the same.
    #[arg(long)]
    pub(crate) dimension: Option<usize>,
    /// Ciphertexts of the command, up to 4095 [default: two of the card's batches].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4095))]
    pub(crate) count: Option<u16>,
    /// Card memory: `hbm` two pseudo-channels a port, `ddr4` one channel a port (19 GB/s at 300 MHz), `ideal` limited by the bus alone.
    #[arg(long, default_value = "hbm", value_parser = ["hbm", "ddr4", "ideal"])]
    pub(crate) memory: String,
    /// Bootstrap small ciphertexts, without the keyswitch.
    #[arg(long)]
    pub(crate) no_keyswitch: bool,
    /// Run every number of ciphertexts up to the card's batch, and two batches; show from which on keys arrive in time.
    #[arg(long, conflicts_with_all = ["count", "svg"])]
    pub(crate) sweep: bool,
    /// Cycles between two samples of the timeline [default: a five-hundredth of the run, about].
    #[arg(long)]
    pub(crate) sample_cycles: Option<u64>,
    /// Write the timeline as a picture.
    #[arg(long)]
    pub(crate) svg: Option<PathBuf>,
    /// Print the report as JSON, samples of the timeline included.
    #[arg(long)]
    pub(crate) json: bool,
    /// Seed of keys, ciphertexts and power-up values.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Which card to simulate.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct SimulatedCard {
    /// Lanes of the simulated card: coefficients a cycle.
    #[arg(long, default_value_t = 8, value_parser = lanes)]
    pub(crate) lanes: u32,
}

fn lanes(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(lanes @ (8 | 32)) => Ok(lanes),
        _ => Err("the card is built with 8 or 32 lanes".into()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// `sim`: the CPU engine, and a sample of the bootstraps on the simulated card too; `cpu`: the CPU engine alone.
    #[arg(long, default_value = "sim", value_parser = ["cpu", "sim"])]
    pub(crate) device: String,
    /// Number of patients, from the first on.
    #[arg(long, default_value_t = 569)]
    pub(crate) rows: usize,
    /// The measurement.
    #[arg(long, default_value = "mean radius")]
    pub(crate) column: String,
    /// The threshold; a patient counts if the measurement is strictly above.
    #[arg(long, default_value = "15.0")]
    pub(crate) threshold: String,
    /// Who belongs to the group.
    #[arg(long, default_value = "malignant", value_parser = ["malignant", "benign", "all"])]
    pub(crate) group: String,
    /// Bootstraps to recompute on the golden model and on the simulated card, one of each step at most.
    #[arg(long, default_value_t = 4)]
    pub(crate) sample: usize,
    #[command(flatten)]
    pub(crate) card: SimulatedCard,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// Print the list as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Bootstrap {
    /// cpu, cpu-fast, golden, sim, vfio-user:PATH, vfio:PCI-ADDRESS or auto.
    #[arg(long, default_value = "auto")]
    pub(crate) device: Device,
    /// Parameter file (TOML).
    #[arg(long)]
    pub(crate) params: PathBuf,
    /// Bootstrapping key, [n, level, k+1, k+1, N].
    #[arg(long)]
    pub(crate) bsk: PathBuf,
    /// Keyswitching key, [k*N, level, n+1].
    #[arg(long)]
    pub(crate) ksk: PathBuf,
    /// Look-up tables, [luts, k+1, N]: one, or one a ciphertext.
    #[arg(long)]
    pub(crate) lut: PathBuf,
    /// Ciphertexts, [count, k*N+1].
    #[arg(long = "in")]
    pub(crate) input: PathBuf,
    /// Where the results go, [count, k*N+1].
    #[arg(long = "out")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) card: SimulatedCard,
    /// Print what was done as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// Parameter set by name.
    #[arg(long, default_value = glovebox::golden::params::CPU_KS_PBS_TUNIFORM_2M128.name)]
    pub(crate) set: String,
    /// Folder for client.key (secret), params.toml, bsk.npy and ksk.npy; made if it is not there.
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Encrypt {
    /// The client's secret key.
    #[arg(long)]
    pub(crate) key: PathBuf,
    /// Messages, each below the set's plaintext modulus.
    #[arg(required_unless_present = "input", conflicts_with = "input")]
    pub(crate) messages: Vec<u64>,
    /// Messages from a .npy array of one dimension instead.
    #[arg(long = "in")]
    pub(crate) input: Option<PathBuf>,
    /// Where the ciphertexts go, [count, k*N+1].
    #[arg(long = "out")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Decrypt {
    /// The client's secret key.
    #[arg(long)]
    pub(crate) key: PathBuf,
    /// Ciphertexts, [count, k*N+1].
    #[arg(long = "in")]
    pub(crate) input: PathBuf,
    /// Write the messages to a .npy array of one dimension instead of standard output.
    #[arg(long = "out")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Lut {
    /// Parameter set by name.
    #[arg(long, default_value = glovebox::golden::params::CPU_KS_PBS_TUNIFORM_2M128.name)]
    pub(crate) set: String,
    /// The value of the function at 0, 1, 2 ..: as many as the plaintext space has values.
    #[arg(required = true)]
    pub(crate) values: Vec<u64>,
    /// Where the table goes, [1, k+1, N].
    #[arg(long = "out")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Rtl {
    /// The design; without it, the designs there are.
    #[arg(long)]
    pub(crate) design: Option<String>,
    /// Lanes L: coefficients a cycle.
    #[arg(long, default_value_t = 8)]
    pub(crate) lanes: usize,
    /// Ring degree N.
    #[arg(long, default_value_t = 2048)]
    pub(crate) degree: usize,
    /// GLWE dimension k of engines and cards.
    #[arg(long, default_value_t = 1)]
    pub(crate) glwe_dimension: usize,
    /// Folder for the Verilog; made if it is not there.
    #[arg(long, default_value = ".")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where the socket goes.
    #[arg(long)]
    pub(crate) socket: PathBuf,
    /// Ring degree N of the card.
    #[arg(long, default_value_t = 2048)]
    pub(crate) degree: usize,
    /// GLWE dimension k of the card.
    #[arg(long, default_value_t = 1)]
    pub(crate) glwe_dimension: usize,
    /// Card memory in MiB; the keys of the default parameter set take 129.
    #[arg(long, default_value_t = 256)]
    pub(crate) memory_mib: u32,
    #[command(flatten)]
    pub(crate) card: SimulatedCard,
}
