//! Cycles of whole commands on one kind of memory, against the committed table.

use crate::bench::{Bench, words};
use crate::bootstrap::Keys;
use glovebox_golden::params::{BootstrapParameters, LweDimension, TOY_INSECURE};
use glovebox_regmap::{Descriptor, Opcode, StatusCode, registers};
use glovebox_sim::card::{CardBuild, Traffic};
use std::fmt::Write as _;

/// A change is a decision, so it shows in review.
const BASELINE: &str = include_str!("cycle_baseline.txt");
/// The same for bootstraps.
const BOOTSTRAPS: &str = include_str!("bootstrap_baseline.txt");
/// Latency of host memory for the table: about that of PCIe at 100 MHz.
const LATENCY_CYCLES: u32 = 60;

/// The lines of one card: the cycles that completions report.
fn lines(lanes: usize, degree: usize, table: &mut String) {
    let mut bench = Bench::new(lanes, degree, Traffic::steady(LATENCY_CYCLES), 1);
    bench.put(0, &words(9, 64 * degree));
    let far = 64 * 8 * degree;
    let cases = [
        ("NOP", Descriptor::new(Opcode::Nop).words()),
        ("COPY", bench.command(Opcode::Copy, 64, 0, far)),
        ("COPY", bench.command(Opcode::Copy, 65_536, 0, far)),
        ("NTT", bench.command(Opcode::Ntt, 1, 0, far)),
        ("NTT", bench.command(Opcode::Ntt, 32, 0, far)),
        ("INTT", bench.command(Opcode::Intt, 1, 0, far)),
        ("INTT", bench.command(Opcode::Intt, 32, 0, far)),
    ];
    for (name, words) in cases {
        let before = bench.read64(registers::BUSY_CYCLES);
        let done = bench.run(words);
        assert_eq!(done.status, StatusCode::Ok);
        let busy = bench.read64(registers::BUSY_CYCLES) - before;
        assert_eq!(busy, done.cycles, "the counter and the completion of {name} count the same cycles");
        let _ = writeln!(table, "{lanes} {degree} {name} {} {}", words[1] as u32, done.cycles);
    }
    // Many commands behind one doorbell: what a command costs beyond its work.
    bench.write(registers::CONTROL, 0);
    for _ in 0..8 {
        bench.queue(0, Descriptor::new(Opcode::Nop).words());
    }
    bench.doorbell(0);
    bench.settle();
    bench.write(registers::CONTROL, 1);
    let from = bench.card.cycles();
    bench.settle();
    let _ = writeln!(table, "{lanes} {degree} eight-NOPs-to-idle 0 {}", bench.card.cycles() - from);
}

/// The card's lines of the table are those committed.
fn equals_the_baseline(lanes: usize, degree: usize) {
    let mut table = String::new();
    lines(lanes, degree, &mut table);
    let card = format!("{lanes} {degree} ");
    let expected: String = BASELINE.lines().filter(|line| line.starts_with(&card)).flat_map(|l| [l, "\n"]).collect();
    assert_eq!(table, expected, "if the change is meant, put the left side into sim/tests/card/cycle_baseline.txt");
}

#[test]
fn commands_8_lanes_256_take_the_cycles_of_the_committed_baseline() {
    equals_the_baseline(8, 256);
}

#[test]
fn commands_32_lanes_2048_take_the_cycles_of_the_committed_baseline() {
    equals_the_baseline(32, 2048);
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
