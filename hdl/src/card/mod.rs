//! The card around the transforms: registers, rings, DMA, engines.
//!
//! ```text
//!            AXI4-Lite                         AXI4 read                AXI4 write
//!                |                                 |                         ^
//!         axi_lite::AxiLiteSlave          read_dma::ReadDma         write_dma::WriteDma
//!                |                                 |    burst::BurstPlanner  |
//!      +---------+----------+                      v                         |
//! registers::   ring::    arbiter::          dma_switch::DmaSwitch, by owner: 0 sequencer, 1 .. engines
//! CardRegisters RingRegs  RoundRobin               |                         ^
//!      ^         |  ^        |                     v                         |
//!      |         v  |        v            transfer::TransferEngine: resize, reduce, NttStream x 2, resize
//!      +------ sequencer::Sequencer <---> (command interface)
//!               check::DescriptorCheck
//! ```
//!
//! One clock, one synchronous reset, active high. [`GloveboxCard`] is the top.

pub mod arbiter;
pub mod axi_lite;
pub mod bootstrap;
pub mod burst;
pub mod check;
pub mod counter;
pub mod dma_switch;
pub mod fifo;
pub mod gather;
pub mod linear;
pub mod memory;
pub mod memory_port;
pub mod read_dma;
pub mod reduce;
pub mod registers;
pub mod resize;
pub mod ring;
pub mod sequencer;
pub mod single;
pub mod top;
pub mod torus;
pub mod transfer;
pub mod upload;
pub mod write_dma;

pub use top::{GloveboxCard, RING_PAIRS};
