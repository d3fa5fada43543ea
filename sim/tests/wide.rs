//! Checks of designs so wide that they take minutes: `cargo test -p glovebox-sim --test wide`.

#[allow(dead_code, unused_imports)]
#[path = "card/bench.rs"]
mod bench;
#[allow(dead_code)]
#[path = "card/checks.rs"]
mod checks;
#[allow(dead_code)]
#[path = "rtl/common.rs"]
mod common;
#[allow(dead_code)]
#[path = "rtl/stream_bench.rs"]
mod stream_bench;

use glovebox_golden::params::{
    BootstrapParameters, CPU_KS_PBS_TUNIFORM_2M128, GlweDimension, LweDimension, RingDegree,
};
use glovebox_hdl::Design;
use glovebox_sim::card::{CardBuild, Traffic};
use glovebox_sim::profile::{Profiler, Workload};
use glovebox_sim::verilator::lint;

#[test]
fn catalogue_wide_engines_and_cards_lint_clean() {
    // Of k > 1 the widest say nothing that the others do not.
    let said = |d: &Design| d.glwe_dimension == 1 || d.lanes == 32;
    for design in Design::all().iter().filter(|d| ["bootstrap", "card"].contains(&d.name) && said(d)) {
        lint(&design.top, &design.verilog().unwrap()).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn ntt_forward_32_lanes_2048_conforms() {
    stream_bench::conform("ntt-forward", 32, 2048);
}

#[test]
fn ntt_inverse_32_lanes_2048_conforms() {
    stream_bench::conform("ntt-inverse", 32, 2048);
}

#[test]
fn card_32_lanes_1024_equals_golden() {
    checks::commands(32, 1024, Traffic::random(3), 12);
}

#[test]
fn card_32_lanes_1024_erases_on_both_ports() {
    checks::erases(32, 1024, 13);
}

#[test]
fn card_32_lanes_1024_passes_the_suite() {
    checks::conforms(CardBuild::new(32, 1024), Traffic::steady(60), 1);
}

/// The blind rotation of tfhe-rs's `V1_4_PARAM_MESSAGE_2_CARRY_1_KS_PBS_GAUSSIAN_2M128` (n = 884, k = 2, N = 1024, base 2^23,
/// centred modulus switch) behind a keyswitch in base 2^4: the set's own has base 2^5, which the card has no form for.
#[test]
fn bootstrap_of_full_size_and_k_2_equals_golden() {
    let parameters = BootstrapParameters {
        lwe_dimension: LweDimension(884),
        glwe_dimension: GlweDimension(2),
        ring_degree: RingDegree(1024),
        ..CPU_KS_PBS_TUNIFORM_2M128.bootstrap
    };
    let workload = Workload { lanes: 8, keyswitch: true, memory: Traffic::ddr4(), host: Traffic::steady(300), seed: 1 };
    let mut profiler = Profiler::new(workload, parameters, 1, |_| {}).unwrap();
    // The profiler compares every word with golden's.
    let run = profiler.run(1, u64::MAX, |_| {}).unwrap();
    let [bsk, ksk, table] = run.key_bytes;
    assert_eq!(bsk, 884 * 12 * 1024 * 8);
    assert_eq!(run.card_read_bytes, bsk + (ksk + table).next_multiple_of(64), "each key is read once");
    // A lone ciphertext is bound by its key: 6 T = 1536 beats a step.
    let bound = 884 * 1536;
    assert!((bound..bound + bound / 50).contains(&run.counted.rotation), "{:?}", run.counted);
}

/// Registers, memories and the order of stalls differ from seed to seed.
#[test]
fn bootstraps_of_full_size_from_several_power_up_states_equal_golden() {
    for seed in [11, 23, 47] {
        let workload = Workload {
            lanes: 8,
            keyswitch: true,
            memory: Traffic::random(seed),
            host: Traffic::random(seed + 1),
            seed,
        };
        let mut profiler = Profiler::new(workload, CPU_KS_PBS_TUNIFORM_2M128.bootstrap, 1, |_| {}).unwrap();
        // The profiler compares every word with golden's.
        let run = profiler.run(1, u64::MAX, |_| {}).unwrap();
        assert!(run.counted.rotation > 918 * 3 * 512, "seed {seed}: {:?}", run.counted);
    }
}
