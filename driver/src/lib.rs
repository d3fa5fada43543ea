//! The road to a Glovebox card: user-space driver over kernel VFIO or a vfio-user socket.
//!
//! ```no_run
//! use glovebox_driver::Device;
//!
//! # fn main() -> glovebox_driver::Result<()> {
//! let device = Device::open(&"vfio-user:/run/card.sock".parse()?)?;
//! let degree = device.parameters().degree();
//! let transformed = device.ntt(&vec![1; 4 * degree])?;
//! let back = device.intt(&transformed)?;
//! assert_eq!(back, vec![1; 4 * degree]);
//! # Ok(())
//! # }
//! ```
//!
//! * [`Device`] opens a card by [`DeviceAddress`], submits [`Command`]s to its ring pairs and recovers from faults.
//! * [`Bus`] is what it needs of a road: [`vfio_user::client`] (socket), [`vfio`] (kernel), [`in_process`].
//! * [`DmaBuffer`] is memory that the card can reach.
//! * [`discovery`] lists the cards of a machine and says what makes each usable.
//! * [`card`] and [`vfio_user::server`] put a card that is a program behind a PCI function or a socket; [`model`] is
//!   such a card in software.
//! * [`bootstrap`] puts parameters and keys into the card's form.
//! * [`conformance`] is the suite that every road and every card passes; [`reference`] makes its bootstraps and their
//!   expected results.
//!
//! `unsafe` is confined to `sys`, `memory`, `vfio` and two functions of `vfio_user`.

pub mod address;
pub mod bootstrap;
pub mod bus;
pub mod card;
mod card_memory;
pub mod conformance;
pub mod device;
pub mod discovery;
pub mod dma;
pub mod error;
pub mod in_process;
pub mod iova;
pub mod memory;
pub mod model;
pub mod pci;
pub mod reference;
pub mod registers;
pub mod vfio;
pub mod vfio_user;

mod queue;
mod sys;

pub use address::{DeviceAddress, PciAddress};
pub use bus::Bus;
pub use card_memory::{CardBuffer, CardSlice};
pub use device::{Command, CompletionMode, Device, DeviceConfig, Health, Ticket};
pub use dma::{DmaBuffer, DmaSlice};
pub use error::{Error, Result};
pub use iova::{Iova, IovaRange};
pub use queue::Done;
pub use registers::{CardParameters, Counters};
