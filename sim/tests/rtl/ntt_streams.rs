//! The streaming transforms in Verilator against golden's; the widest are in `wide.rs`.

use crate::stream_bench::{Bench, FULL, Flow, conform, extreme_frames, frames};

#[test]
fn ntt_forward_8_lanes_2048_conforms() {
    conform("ntt-forward", 8, 2048);
}

#[test]
fn ntt_inverse_8_lanes_2048_conforms() {
    conform("ntt-inverse", 8, 2048);
}

#[test]
fn ntt_forward_32_lanes_256_conforms() {
    conform("ntt-forward", 32, 256);
}

#[test]
fn ntt_inverse_8_lanes_256_conforms() {
    conform("ntt-inverse", 8, 256);
}

#[test]
fn ntt_forward_4_lanes_1024_conforms() {
    conform("ntt-forward", 4, 1024);
}

#[test]
fn ntt_inverse_4_lanes_1024_conforms() {
    conform("ntt-inverse", 4, 1024);
}

#[test]
fn ntt_of_ecp5_cells_conforms() {
    // Output buffers of 1024 and 2048 words, delay lines in LUT RAM and in block RAM, both with factors in block RAM.
    for (name, degree) in [("ntt-forward", 1024), ("ntt-inverse", 2048)] {
        let mut bench = Bench::of_ecp5_cells(name, 4, degree, 21);
        bench.check(&frames(degree, 4, 22), FULL, 0, 22);
        bench.check(&extreme_frames(degree)[..8], Flow { offer: 80, take: 60 }, 3, 23);
    }
}
