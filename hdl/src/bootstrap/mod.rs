//! The bootstrap engine: keyswitch, modulus switch, blind rotation and sample extraction of batches, bit for bit as
//! golden does them.
//!
//! | block | what it does |
//! |---|---|
//! | [`BootstrapEngine`] | the top: commands, streams, the three stages side by side, counters |
//! | [`Front`] | words in, [`Keyswitch`] ([`Digits`]), [`ModulusSwitch`] |
//! | [`BlindRotation`] | the datapath of a step, ordered by [`Schedule`], fed by [`KeyStore`] |
//! | [`Rotate`], [`Decompose`], [`Multiply`], [`Accumulate`] | its parts, a lane or a point each |
//! | [`Extract`] | results as LWE ciphertexts |
//! | [`WordFifo`] | words out |
//!
//! [`Shape`] holds the generator values. `README.md` beside this file has the block diagram, the schedule and the cycle
//! budget.

pub mod accumulate;
mod bench;
pub mod decompose;
pub mod digits;
pub mod engine;
pub mod extract;
pub mod fifo;
pub mod front;
pub mod key;
pub mod keyswitch;
pub mod multiply;
pub mod rotate;
pub mod rotation;
pub mod schedule;
pub mod shape;
pub mod switch;

pub use accumulate::Accumulate;
pub use bench::{BENCH_LANES, DatapathBench};
pub use decompose::{Decompose, Gadget};
pub use digits::Digits;
pub use engine::BootstrapEngine;
pub use extract::Extract;
pub use fifo::WordFifo;
pub use front::Front;
pub use key::KeyStore;
pub use keyswitch::Keyswitch;
pub use multiply::Multiply;
pub use rotate::Rotate;
pub use rotation::BlindRotation;
pub use schedule::Schedule;
pub use shape::Shape;
pub use switch::ModulusSwitch;
