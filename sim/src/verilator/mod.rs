//! Verilog into a running model: find or install Verilator, build a shared object, drive it.
//!
//! ```no_run
//! use glovebox_sim::verilator::Build;
//! # fn main() -> Result<(), glovebox_sim::SimError> {
//! # let verilog = String::new();
//! let mut model = Build::new("counter", &verilog).load(1)?; // random state from seed 1
//! let (reset, count) = (model.port("reset")?, model.port("count")?);
//! model.set(reset, 1);
//! model.tick()?;
//! model.set(reset, 0);
//! model.tick()?;
//! assert_eq!(model.get(count), 1);
//! # Ok(())
//! # }
//! ```
//!
//! - [`Build`]: `verilator --cc`, then the C++ compiler, without make or perl; cached by content in
//!   `target/glovebox-models` (or `GLOVEBOX_BUILD_DIR`), safe against concurrent builds.
//! - [`Model`]: ports are raw words inside the model; `tick` is a rising and a falling edge.
//! - [`lint`], [`check_synthesis`]: the same text through Verilator's linter and through yosys.
//! - [`install`]: what `cargo xtask setup` calls.

mod build;
mod lint;
mod model;
mod tool;

pub use build::{Build, Step, Trace};
pub(crate) use lint::{Scratch, write_file};
pub use lint::{check_synthesis, lint};
pub use model::{Direction, Model, Port, PortInfo};
pub use tool::{Tool, install, models_dir, tools_dir};
pub(crate) use tool::{pip, printed};
