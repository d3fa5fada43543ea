//! Cycles of whole commands on one kind of memory, against the committed table.

use crate::bench::Bench;
use crate::bootstrap::Keys;
use crate::checks::{LATENCY_CYCLES, equals_the_baseline};
use glovebox_golden::params::{BootstrapParameters, LweDimension, TOY_INSECURE};
use glovebox_regmap::registers;
use glovebox_sim::card::{CardBuild, Traffic};
use std::fmt::Write as _;

/// What bootstraps take; a change is a decision, so it shows in review.
const BOOTSTRAPS: &str = include_str!("bootstrap_baseline.txt");

#[test]
fn commands_8_lanes_256_take_the_cycles_of_the_committed_baseline() {
    equals_the_baseline(8, 256);
}

#[test]
fn bootstraps_take_the_cycles_of_the_committed_baseline() {
    let build = CardBuild::new(8, 256).memory_traffic(Traffic::ddr4());
    let mut bench = Bench::of(build, 256, Traffic::steady(LATENCY_CYCLES), 1);
    let keys = Keys::of(BootstrapParameters { lwe_dimension: LweDimension(5), ..TOY_INSECURE.bootstrap }, 1);
    keys.upload(&mut bench);
    let mut table = format!(
        "# lanes degree n count cycles, of which blind rotation, waits for bsk, for ksk; host memory of {LATENCY_CYCLES} \
         cycles latency, DDR4\n"
    );
    for count in [1, 4, 16] {
        let counters = [registers::ROTATION_CYCLES, registers::BSK_STALLS, registers::KSK_STALLS];
        let before = counters.map(|register| bench.read64(register));
        let done = keys.check(&mut bench, count, 1);
        let after = counters.map(|register| bench.read64(register));
        let [rotation, bsk, ksk] = std::array::from_fn(|i| after[i] - before[i]);
        let _ = writeln!(table, "8 256 5 {count} {} {rotation} {bsk} {ksk}", done.cycles);
    }
    assert_eq!(
        table, BOOTSTRAPS,
        "if the change is meant, replace sim/tests/card/bootstrap_baseline.txt by the left side"
    );
}
