//! The default parameter set through the whole card, every word, every cycle.

use glovebox_golden::params::CPU_KS_PBS_TUNIFORM_2M128;
use glovebox_sim::card::Traffic;
use glovebox_sim::profile::{Profiler, Workload};

/// What the run takes; a change is a decision, so it shows in review.
const BASELINE: &str = include_str!("full_size_baseline.txt");

#[test]
fn bootstrap_of_the_default_set_equals_golden_and_takes_the_cycles_of_the_committed_baseline() {
    let workload = Workload { lanes: 8, keyswitch: true, memory: Traffic::ddr4(), host: Traffic::steady(300), seed: 1 };
    let mut profiler = Profiler::new(workload, CPU_KS_PBS_TUNIFORM_2M128.bootstrap, 1, |_| {}).unwrap();
    let run = profiler.run(1, u64::MAX, |_| {}).unwrap();
    let [bsk, ksk, table] = run.key_bytes;
    assert_eq!(run.card_read_bytes, bsk + (ksk + table).next_multiple_of(64), "each key is read once");
    let c = run.counted;
    let found = format!(
        "# lanes degree n count cycles, of which keyswitch, blind rotation, waits for bsk, for ksk; host 300, DDR4\n\
         8 2048 918 1 {} {} {} {} {}\n",
        run.cycles, c.keyswitch, c.rotation, c.bsk_stall, c.ksk_stall
    );
    assert_eq!(
        found, BASELINE,
        "if the change is meant, replace sim/tests/card/full_size_baseline.txt by the left side"
    );
}
