//! The vfio-user protocol: a PCI device over a Unix socket.
//!
//! [`client`] is the driver's road to a card server; [`server`] serves a card to this driver or to QEMU's
//! `vfio-user-pci`. Both use the messages of [`protocol`].

pub mod client;
pub mod protocol;
pub mod server;

mod socket;
