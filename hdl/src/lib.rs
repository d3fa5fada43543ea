//! RTL of the Glovebox FHE accelerator in rust-hdl, and its Verilog.
//!
//! - [`bootstrap`]: the bootstrap engine
//! - [`field`]: arithmetic in Z_p, p = 2^64 - 2^32 + 1
//! - [`ntt`]: the streaming negacyclic transform
//! - [`card`]: the card around it: registers, rings, DMA, engines
//! - [`Design`]: the catalogue that the command line, the lint tests and the FPGA flow iterate
//! - [`prelude`], [`word`], [`verilog`]: the language the blocks are written in, and its generator
//!
//! Every block's header says its function, range, handshake, latency, reset and limits. Widths and depths are checked
//! by constructors, which panic on a programmer's error; [`Design`] returns typed errors for bad parameters.

mod block_ram;
pub mod bootstrap;
pub mod card;
mod catalogue;
pub mod delay;
mod error;
pub mod field;
pub mod memory;
pub mod ntt;
pub mod prelude;
mod reg;
mod replica;
pub mod verilog;
pub mod word;

pub use catalogue::{BENCH_SHIFTS, DEGREES, Design, FieldBench, GLWE_DIMENSIONS, LANES};
pub use error::HdlError;
pub use reg::Reg;
pub use replica::Replica;
