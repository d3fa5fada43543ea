//! Commands against golden, bit for bit.

use crate::bench::{Bench, words};
use crate::checks::commands;
use glovebox_driver::card::{CardBackend, HostPort};
use glovebox_regmap::command::Flags;
use glovebox_regmap::registers;
use glovebox_regmap::{Descriptor, Opcode};
use glovebox_sim::card::Traffic;

#[test]
fn commands_4_lanes_256_equal_golden() {
    commands(4, 256, Traffic::random(1), 11);
}

#[test]
fn commands_8_lanes_256_equal_golden() {
    for seed in 1..4 {
        commands(8, 256, Traffic::steady(seed as u32 * 7), seed);
        commands(8, 256, Traffic::random(seed), seed);
    }
}

#[test]
fn rings_all_with_work_are_served_in_turn() {
    let mut bench = Bench::new(8, 256, Traffic::random(5), 5);
    let rings = bench.read(registers::RING_PAIRS);
    // Stopped while the doorbells ring, so that every ring has work when it starts.
    bench.write(registers::CONTROL, 0);
    let flags = Flags::INTERRUPT;
    for ring in 0..rings {
        for _ in 0..3 {
            bench.queue(ring, Descriptor { tag: ring, flags, ..Descriptor::new(Opcode::Nop) }.words());
        }
        bench.doorbell(ring);
    }
    bench.settle();
    assert_eq!(bench.read64(registers::COMMANDS_DONE), 0, "a card that is not enabled does nothing");
    bench.write(registers::CONTROL, 1);
    let mut order = vec![];
    while !bench.card.is_idle() {
        bench.card.step().unwrap();
        for ring in 0..rings as usize {
            order.extend(
                (order.iter().filter(|&&r| r == ring).count() < bench.card.interrupts()[ring + 1] as usize)
                    .then_some(ring),
            );
        }
    }
    let expected: Vec<usize> = (0..3).flat_map(|_| 0..rings as usize).collect();
    assert_eq!(order, expected, "interrupts by ring");
    for ring in 0..rings {
        for lap in 0..3 {
            let done = bench.completion(ring).unwrap();
            assert_eq!((done.tag, done.submission_head), (ring, lap + 1));
        }
        assert!(bench.completion(ring).is_none());
    }
}

#[test]
fn completion_ring_full_holds_its_ring_back() {
    let mut bench = Bench::new(8, 256, Traffic::steady(10), 6);
    bench.ring(registers::RING_CONTROL, 0, 0);
    bench.ring(registers::CQ_LOG2, 0, 1);
    bench.ring(registers::RING_CONTROL, 0, 1);
    for _ in 0..5 {
        bench.queue(0, Descriptor::new(Opcode::Nop).words());
    }
    bench.doorbell(0);
    bench.settle();
    assert_eq!(bench.read_ring(registers::CQ_TAIL, 0), 2);
    bench.ring(registers::CQ_HEAD, 0, 1);
    bench.settle();
    assert_eq!(bench.read_ring(registers::CQ_TAIL, 0), 3);
    bench.ring(registers::CQ_HEAD, 0, 3);
    bench.settle();
    assert_eq!((bench.read_ring(registers::CQ_TAIL, 0), bench.read_ring(registers::SQ_HEAD, 0)), (5, 5));
}

/// The registers that hold what is written, and the bits that they keep.
#[test]
fn registers_read_back_as_the_software_card_does() {
    use glovebox_driver::model::{ModelConfig, SoftwareCard};
    let mut bench = Bench::new(8, 256, Traffic::steady(10), 8);
    bench.card.reset().unwrap();
    let software = SoftwareCard::new(ModelConfig {
        lanes: 8,
        degree_log2: 8,
        ring_pairs: glovebox_hdl::card::RING_PAIRS as u32,
        ..ModelConfig::default()
    })
    .unwrap();
    software.attach(std::sync::Arc::new(HostPort::default()));
    let free: Vec<u32> = [registers::BUILD_ID_0, registers::BUILD_ID_1, registers::CYCLES]
        .iter()
        .flat_map(|r| [r.offset.get(), r.offset.get() + 4])
        .collect();
    let values = words(3, 4096);
    for pass in 0..2 {
        for offset in (0..0x1400).step_by(4) {
            if pass == 1 && offset != registers::CONTROL.offset.get() {
                // No doorbell beyond its ring, which would stop the card: an overrun has a test of its own.
                let value = if offset >= 0x1000 && matches!(offset % 64, 0x10 | 0x24) {
                    0
                } else {
                    values[offset as usize / 4] as u32
                };
                bench.card.write32(offset, value).unwrap();
                software.write32(offset, value);
            }
            if !free.contains(&offset) {
                let found = bench.card.read32(offset).unwrap();
                assert_eq!(found, software.read32(offset), "offset {offset:#x}, pass {pass}");
            }
        }
    }
}
