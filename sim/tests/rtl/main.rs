//! The RTL in Verilator against the golden model, and through the static checks.

mod blind_rotation;
mod bootstrap_engine;
mod bootstrap_lanes;
mod card_blocks;
mod common;
mod field_blocks;
mod ntt_streams;
mod static_checks;
mod stream_bench;
