//! The bootstrap engine.

pub mod accumulate;
mod bench;
pub mod decompose;
pub mod multiply;
pub mod rotate;

pub use accumulate::Accumulate;
pub use bench::{BENCH_LANES, DatapathBench};
pub use decompose::{Decompose, Gadget};
pub use multiply::Multiply;
pub use rotate::Rotate;
