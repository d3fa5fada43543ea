//! Checks of a card of any size.

use crate::bench::{Bench, words};
use glovebox_driver::{Device, DeviceConfig, conformance};
use glovebox_hdl::card::upload::ERASE_GRANULES;
use glovebox_regmap::registers::control;
use glovebox_regmap::{Descriptor, Opcode, StatusCode, registers};
use glovebox_sim::card::{CardBuild, Traffic};
use std::fmt::Write as _;
use std::time::Duration;

/// A change is a decision, so it shows in review.
const BASELINE: &str = include_str!("cycle_baseline.txt");
/// Latency of host memory for the table: about that of PCIe at 100 MHz.
pub(crate) const LATENCY_CYCLES: u32 = 60;

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
pub(crate) fn equals_the_baseline(lanes: usize, degree: usize) {
    let mut table = String::new();
    lines(lanes, degree, &mut table);
    let card = format!("{lanes} {degree} ");
    let expected: String = BASELINE.lines().filter(|line| line.starts_with(&card)).flat_map(|l| [l, "\n"]).collect();
    assert_eq!(table, expected, "if the change is meant, put the left side into sim/tests/card/cycle_baseline.txt");
}

/// Every command of one card, on one kind of memory.
pub(crate) fn commands(lanes: usize, degree: usize, traffic: Traffic, seed: u64) {
    let mut bench = Bench::new(lanes, degree, traffic, seed);
    let done = bench.run(Descriptor { tag: 7, ..Descriptor::new(Opcode::Nop) }.words());
    assert_eq!((done.status, done.tag, done.submission_head, done.opcode), (StatusCode::Ok, 7, 1, 0));
    let data = words(seed, 5 * degree);
    bench.put(0, &data);
    let far = 64 * degree + 0x340;
    for (opcode, expected) in [
        (Opcode::Ntt, bench.golden(&data, true)),
        (Opcode::Intt, bench.golden(&data, false)),
        (Opcode::Ntt, bench.golden(&data, true)),
    ] {
        let done = bench.run(bench.command(opcode, 5, 0, far));
        assert_eq!((done.status, done.fault_address), (StatusCode::Ok, 0), "{opcode:?} seed {seed}");
        assert!(bench.get(far, 5 * degree) == expected, "{opcode:?}, {lanes} lanes, N = {degree}, seed {seed}");
    }
    // In place, and back.
    let done = bench.run(bench.command(Opcode::Intt, 5, far, far));
    assert_eq!(done.status, StatusCode::Ok);
    let reduced: Vec<u64> = data.iter().map(|&word| glovebox_golden::field::reduce(word)).collect();
    assert!(bench.get(far, 5 * degree) == reduced, "inverse of forward, {lanes} lanes, N = {degree}, seed {seed}");
    // Copies that end inside a word and a beat.
    for bytes in [1, 63, 64, 65, 1000, 4097] {
        let (from, to) = (0x40 * (bytes % 7), far + 0x1040);
        bench.put(to, &[0x5a5a_5a5a_5a5a_5a5a; 600]);
        assert_eq!(bench.run(bench.command(Opcode::Copy, bytes as u32, from, to)).status, StatusCode::Ok);
        let (found, source) = (bench.get(to, 600), bench.get(from, 600));
        let byte = |words: &[u64], i: usize| (words[i / 8] >> (8 * (i % 8))) as u8;
        for i in 0..600 * 8 {
            let expected = if i < bytes { byte(&source, i) } else { 0x5a };
            assert_eq!(byte(&found, i), expected, "byte {i} of a copy of {bytes}, seed {seed}");
        }
    }
}

/// A soft reset erases on every port what was uploaded, and nothing else.
pub(crate) fn erases(lanes: usize, degree: usize, seed: u64) {
    let build = CardBuild::new(lanes, degree).memory_traffic(Traffic::random(seed));
    let mut bench = Bench::of(build, degree, Traffic::random(seed + 1), seed);
    let granule = bench.read(registers::CARD_MEMORY_GRANULE) as usize;
    let count = granule * (ERASE_GRANULES + 33);
    bench.put(0, &vec![0x1122_3344_5566_7788; count / 8]);
    let source = bench.data(0);
    let upload = Descriptor { count: count as u32, source, ..Descriptor::new(Opcode::KeyUpload) };
    assert_eq!(bench.run(upload.words()).status, StatusCode::Ok);
    let before = bench.card.memory().to_vec();
    assert!(before[..count].iter().all(|&byte| byte != 0));
    bench.write(registers::CONTROL, control::SOFT_RESET.mask());
    bench.settle();
    assert_eq!(bench.read(registers::CONTROL), 0);
    assert!(bench.card.memory()[..count].iter().all(|&byte| byte == 0), "a byte stays");
    assert!(bench.card.memory()[count..] == before[count..], "a byte beyond is changed");
    let written: Vec<u64> = bench.card.memory_moved_bytes().iter().map(|moved| moved.1).collect();
    assert_eq!(written, vec![2 * (count / written.len()) as u64; granule / 64], "once each, on every port alike");
}

/// One card behind one socket passes every case, and no case needed a recovery.
pub(crate) fn conforms(build: CardBuild<'_>, traffic: Traffic, reset_seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let card = build.traffic(traffic).reset_seed(reset_seed).build().unwrap();
    let server = card.serve(&folder.path().join("card.sock")).unwrap();
    let open = |config: DeviceConfig| {
        // Simulated cycles are not the card's: a loaded machine must not look like a card that hangs.
        Device::open_with(
            &server.address(),
            DeviceConfig {
                command_timeout: Duration::from_secs(600),
                reset_timeout: Duration::from_secs(60),
                erase_timeout: Duration::from_secs(600),
                reply_timeout: Duration::from_secs(120),
                ..config
            },
        )
    };
    let passed = conformance::run_all(&open, reset_seed).unwrap_or_else(|e| panic!("{traffic:?}: {e}"));
    assert_eq!(passed.len(), conformance::CASES.len());
}
