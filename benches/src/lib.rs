//! Criterion benches of the Glovebox engines beside their peers.
