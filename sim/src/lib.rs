//! The Glovebox RTL running in Verilator: model binding, memory and PCIe models, the card as a vfio-user server.

mod axi;
pub mod bench;
pub mod card;
mod error;
pub mod formal;
pub mod keys;
pub mod profile;
pub mod synthesis;
pub mod verilator;

pub use error::SimError;
