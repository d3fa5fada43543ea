//! The register map, descriptors and completions of the Glovebox card: one definition for RTL, driver and documents.
//!
//! * [`registers`] holds BAR0: every register with its offset, access, reset value and fields. The RTL decodes these
//!   offsets, the driver has no other way to name one, and [`document`] writes the C header and the Markdown table
//!   that are committed beside this crate (`registers.md`, `glovebox_regs.h`; a test compares them with their source).
//! * [`command`] holds the 64-byte descriptor and the 32-byte completion, with encoders and hostile-safe decoders.
//! * [`key_layout`] holds the order of keys in card memory.
//! * [`layout`] holds the numbers both sides agree on: PCI identity, BAR size, alignment, limits.
//!
//! The crate is `no_std` (with `alloc` for the generators) and has no dependencies.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod command;
pub mod document;
pub mod key_layout;
pub mod layout;
pub mod registers;

pub use command::{
    BootstrapSettings, CardLimits, Completion, Descriptor, DescriptorError, Flags, LinearSettings, Opcode, StatusCode,
};
pub use layout::GlweShape;
pub use registers::{Access, Field, Register, RegisterOffset, RingRegister};
