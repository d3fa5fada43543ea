//! Fully homomorphic encryption offloaded to a Glovebox card, with a bit-identical CPU fallback.

pub mod cpu;
