//! The bootstrap engine.

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
