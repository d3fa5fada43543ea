//! Criterion benches of the Glovebox engines beside their peers.

pub mod peer;
pub mod workload;
