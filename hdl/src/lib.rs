//! RTL of the Glovebox FHE accelerator in rust-hdl, and its Verilog.

pub mod delay;
mod error;
pub mod field;
pub mod prelude;
mod reg;
pub mod verilog;
pub mod word;

pub use error::HdlError;
pub use reg::Reg;
