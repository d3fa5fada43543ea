//! Fully homomorphic encryption offloaded to a Glovebox card, with a bit-identical CPU fallback.
//!
//! A client encrypts with a [`client::ClientKey`] and hands a server its [`evaluation::EvaluationKeys`]. The server opens
//! an [`Engine`] on a [`Device`] and runs batches of bootstraps; [`cohort`] is a complete workload on top of that.
//!
//! ```
//! use glovebox::client::ClientKey;
//! use glovebox::cpu::Luts;
//! use glovebox::golden::{lut::Lut, params};
//! use glovebox::{Batch, Device, Engine};
//!
//! let set = params::TOY_INSECURE; // real data: params::CPU_KS_PBS_TUNIFORM_2M128
//! let client = ClientKey::generate(set)?;
//! let inputs = client.encrypt(&[3, 5])?;
//!
//! let engine = Engine::open(&Device::Auto, &client.evaluation_keys()?)?;
//! let square = Lut::from_fn(&set, |x| x * x % 16)?;
//! let lut = Luts::One(square.ciphertext().words());
//! let outputs = engine.bootstrap(&Batch { inputs: &inputs, luts: lut, extract: &[0] })?;
//! assert_eq!(client.decrypt(&outputs)?, [9, 9]);
//! # Ok::<(), glovebox::Error>(())
//! ```

mod card;
pub mod client;
pub mod cohort;
pub mod cpu;
pub mod device;
pub mod engine;
pub mod error;
pub mod evaluation;
pub mod interchange;
pub mod seeded;
pub mod table;

pub use device::Device;
pub use engine::{Batch, Engine, Stats};
pub use error::Error;

/// The driver, for programs that talk to a card directly.
pub use glovebox_driver as driver;
/// The golden model: parameter sets, look-up tables, containers.
pub use glovebox_golden as golden;
