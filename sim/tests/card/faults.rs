//! What goes wrong: bad descriptors, memory that refuses, doorbells too far, resets in the middle of things.

use crate::bench::{BASE, Bench, RING_LOG2, words};
use glovebox_regmap::registers::{self, control, status};
use glovebox_regmap::{Descriptor, LinearSettings, Opcode, StatusCode, layout};
use glovebox_sim::card::Traffic;

/// An address that nothing is mapped at.
const HOLE: u64 = 0x7000_0000_0000;

/// After whatever happened the card transforms a polynomial right.
fn still_right(bench: &mut Bench, seed: u64) {
    let data = words(seed, 2 * 256);
    bench.put(0x10_000, &data);
    let done = bench.run(bench.command(Opcode::Ntt, 2, 0x10_000, 0x20_000));
    assert_eq!(done.status, StatusCode::Ok, "seed {seed}");
    assert!(bench.get(0x20_000, 512) == bench.golden(&data, true), "transform after the case, seed {seed}");
}

#[test]
fn descriptors_of_every_kind_are_judged_as_the_map_says() {
    let mut bench = Bench::new(8, 256, Traffic::steady(3), 1);
    let base = bench.command(Opcode::Ntt, 1, 0, 0x8000);
    let mut random = words(1, 4000).into_iter();
    let mut next = || random.next().unwrap();
    let mut counts = [0; 8];
    for round in 0..400 {
        let mut words = base;
        words[0] = (words[0] & !0xff) | (next() % 13);
        for _ in 0..next() % 3 {
            let (word, bit) = (next() as usize % 4, next() % 64);
            words[word] ^= 1 << bit;
        }
        match next() % 8 {
            0 => words[1] = [0, 0xffff, 0x1_0000, 0xffff_ffff][next() as usize % 4],
            1 => words[2] = u64::MAX - 63 - 64 * (next() % 40),
            2 => words[3] = u64::MAX - 63 - 64 * (next() % 40),
            _ => {}
        }
        // The map's own decoder is the reference; commands that it lets through must not run for long.
        let mut bytes = [0; 64];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        let limits = bench.limits();
        let verdict = Descriptor::decode(&bytes).and_then(|d| d.check(&limits).map(|()| d.bytes(limits.glwe).1));
        let (status, address) = match verdict {
            Err(error) => (error.status(), error.address()),
            Ok(bytes) if bytes > 1 << 16 => continue,
            Ok(_) => (StatusCode::Ok, 0),
        };
        let done = bench.run(words);
        if status == StatusCode::Ok {
            let allowed = [StatusCode::Ok, StatusCode::ReadFault, StatusCode::WriteFault];
            assert!(allowed.contains(&done.status), "round {round}: {words:x?} gave {done:x?}");
        } else {
            assert_eq!((done.status, done.fault_address), (status, address), "round {round}: {words:x?}");
            assert_eq!(bench.read(registers::ERROR_CODE), u32::from(status.code()));
            assert_eq!(bench.read64(registers::ERROR_ADDRESS), address);
        }
        assert_eq!((done.tag, done.opcode), ((words[0] >> 32) as u32, words[0] as u8));
        counts[usize::from(status.code()).min(7)] += 1;
    }
    assert!(counts[..6].iter().all(|&n| n >= 5), "each verdict was met: {counts:?}");
    still_right(&mut bench, 1);
}

#[test]
fn memory_that_refuses_is_reported_with_the_address_and_leaves_nothing_behind() {
    for seed in 1..6 {
        let traffic = if seed == 1 { Traffic::steady(20) } else { Traffic::random(seed) };
        let mut bench = Bench::new(8, 256, traffic, seed);
        // The end of memory lies inside the range: the beat there, or its burst, is the one refused.
        let end = BASE + (8 << 20);
        let before = 64 * (40 + 3 * seed);
        for opcode in [Opcode::Copy, Opcode::Ntt, Opcode::Intt, Opcode::LweLinear, Opcode::PointwiseMac] {
            let count = if opcode == Opcode::Copy { 16_384 } else { 8 };
            let operands = [LinearSettings { words: 777, terms: 1 }.pack(), 0, 0, 0];
            let with = |source: u64, destination: u64| {
                Descriptor { count, source, destination, operands, tag: 5, ..Descriptor::new(opcode) }.words()
            };
            let near = bench.data(0);
            let done = bench.run(with(HOLE, near));
            assert_eq!((done.status, done.fault_address), (StatusCode::ReadFault, HOLE), "{opcode:?} seed {seed}");
            let done = bench.run(with(near, HOLE));
            assert_eq!((done.status, done.fault_address), (StatusCode::WriteFault, HOLE), "{opcode:?} seed {seed}");
            let done = bench.run(with(end - before, near));
            assert_eq!((done.status, done.fault_address), (StatusCode::ReadFault, end), "{opcode:?} seed {seed}");
            let done = bench.run(with(near, end - before));
            assert_eq!((done.status, done.fault_address), (StatusCode::WriteFault, end), "{opcode:?} seed {seed}");
            let expected = (u32::from(StatusCode::WriteFault.code()), 5, end);
            let code = bench.read(registers::ERROR_CODE);
            assert_eq!((code, bench.read(registers::ERROR_TAG), bench.read64(registers::ERROR_ADDRESS)), expected);
            assert!(!status::FAULT.is_set(bench.read(registers::STATUS)), "a failed command does not stop the card");
            bench.write(registers::ERROR_CODE, 0);
            assert_eq!(bench.read64(registers::ERROR_ADDRESS), 0);
            still_right(&mut bench, seed);
        }
        assert_eq!(bench.read64(registers::COMMANDS_FAILED), 20);
    }
}

#[test]
fn descriptor_fetch_refused_stops_the_card_until_the_error_is_cleared() {
    let mut bench = Bench::new(8, 256, Traffic::random(2), 2);
    bench.ring64(registers::SQ_BASE, 1, HOLE);
    bench.queue(1, Descriptor::new(Opcode::Nop).words());
    bench.doorbell(1);
    bench.settle();
    assert_eq!(bench.read(registers::ERROR_CODE), u32::from(StatusCode::FetchFault.code()));
    assert_eq!((bench.read(registers::ERROR_TAG), bench.read64(registers::ERROR_ADDRESS)), (0, HOLE));
    assert!(status::FAULT.is_set(bench.read(registers::STATUS)));
    assert_eq!(bench.card.interrupts()[usize::from(layout::FAULT_VECTOR)], 1);
    // Nothing is served meanwhile.
    bench.queue(0, Descriptor::new(Opcode::Nop).words());
    bench.doorbell(0);
    bench.settle();
    assert!(bench.completion(0).is_none());
    bench.ring(registers::RING_CONTROL, 1, 0);
    bench.write(registers::ERROR_CODE, 0);
    bench.settle();
    assert_eq!(bench.completion(0).unwrap().status, StatusCode::Ok);
    still_right(&mut bench, 2);
}

#[test]
fn completion_refused_stops_the_card() {
    let mut bench = Bench::new(8, 256, Traffic::random(3), 3);
    bench.ring64(registers::CQ_BASE, 1, HOLE);
    bench.queue(1, Descriptor::new(Opcode::Nop).words());
    bench.doorbell(1);
    bench.settle();
    assert_eq!(bench.read(registers::ERROR_CODE), u32::from(StatusCode::CompletionFault.code()));
    assert_eq!((bench.read(registers::ERROR_TAG), bench.read64(registers::ERROR_ADDRESS)), (0, HOLE));
    assert!(status::FAULT.is_set(bench.read(registers::STATUS)));
    bench.write(registers::ERROR_CODE, 0);
    still_right(&mut bench, 3);
}

#[test]
fn doorbell_beyond_its_ring_stops_the_card_before_anything_is_fetched() {
    for (register, value) in
        [(registers::SQ_TAIL, (1 << RING_LOG2) + 1), (registers::SQ_TAIL, u32::MAX), (registers::CQ_HEAD, 1)]
    {
        let mut bench = Bench::new(8, 256, Traffic::steady(5), 4);
        bench.ring(register, 2, value);
        bench.settle();
        assert_eq!(bench.read(registers::ERROR_CODE), u32::from(StatusCode::RingOverrun.code()), "{value}");
        assert_eq!(bench.read64(registers::READ_BEATS), 0, "nothing was fetched");
        assert_eq!(bench.card.interrupts()[usize::from(layout::FAULT_VECTOR)], 1);
        assert_eq!(bench.read(registers::INTERRUPT_STATUS), 1);
        bench.write(registers::INTERRUPT_STATUS, 1);
        assert_eq!(bench.read(registers::INTERRUPT_STATUS), 0);
    }
    // Exactly full is not too far.
    let mut bench = Bench::new(8, 256, Traffic::steady(5), 4);
    for _ in 0..1 << RING_LOG2 {
        bench.queue(2, Descriptor::new(Opcode::Nop).words());
    }
    bench.doorbell(2);
    bench.settle();
    assert_eq!(bench.read(registers::ERROR_CODE), 0);
    assert_eq!(bench.read64(registers::COMMANDS_DONE), 1 << RING_LOG2);
}

/// A long command of ring 1 under way.
fn busy_bench(seed: u64) -> Bench {
    let mut bench = Bench::new(8, 256, Traffic::random(seed), seed);
    let command = bench.command(Opcode::Copy, 60_000, 0, 0x40_000);
    bench.queue(1, command);
    bench.doorbell(1);
    while bench.read64(registers::READ_BEATS) < 20 {}
    bench
}

#[test]
fn ring_enabled_while_it_is_served_stops_the_card() {
    let mut bench = busy_bench(6);
    bench.ring(registers::RING_CONTROL, 1, 1);
    bench.settle();
    assert_eq!(bench.read(registers::ERROR_CODE), u32::from(StatusCode::RingOverrun.code()));
    assert!(status::FAULT.is_set(bench.read(registers::STATUS)));
    assert_eq!(bench.card.interrupts()[usize::from(layout::FAULT_VECTOR)], 1);
    // Of another ring it is nobody's fault.
    let mut bench = busy_bench(7);
    bench.ring(registers::RING_CONTROL, 2, 1);
    bench.settle();
    assert_eq!(bench.read(registers::ERROR_CODE), 0);
    assert_eq!(bench.completion(1).unwrap().status, StatusCode::Ok);
}

#[test]
fn tail_taken_back_under_a_fetch_stops_the_card() {
    let mut met = [0; 2];
    for seed in 1..9 {
        let mut bench = Bench::new(8, 256, Traffic::random(seed), seed);
        if seed % 2 == 0 {
            // By then the card has left its reset.
            bench.run(Descriptor::new(Opcode::Nop).words());
        }
        let before = bench.read64(registers::COMMANDS_DONE);
        bench.queue(1, Descriptor::new(Opcode::Nop).words());
        bench.ring(registers::SQ_TAIL, 1, 1);
        // Some cycles later, by seed.
        for _ in 1..seed {
            bench.read(registers::SCRATCH);
        }
        bench.ring(registers::SQ_TAIL, 1, 0);
        bench.settle();
        // Before the card began to fetch nothing has happened; else its head has passed the tail.
        let head = bench.read_ring(registers::SQ_HEAD, 1);
        let fault = bench.read(registers::ERROR_CODE) == u32::from(StatusCode::RingOverrun.code());
        assert_eq!(fault, head == 1, "seed {seed}: SQ_HEAD {head}");
        assert_eq!(bench.read64(registers::COMMANDS_DONE), before + u64::from(head), "and nothing is served after it");
        met[head as usize] += 1;
    }
    assert!(met[0] > 0 && met[1] > 0, "{met:?} before and under the fetch");
}

#[test]
fn soft_reset_in_mid_command_lets_transfers_end_and_leaves_reset_values() {
    for seed in 1..12 {
        let mut bench = Bench::new(8, 256, Traffic::random(seed), seed);
        let command = bench.command(
            if seed % 2 == 0 { Opcode::Ntt } else { Opcode::Copy },
            if seed % 2 == 0 { 40 } else { 60_000 },
            0,
            0x40_000,
        );
        bench.queue(0, command);
        bench.doorbell(0);
        for _ in 0..150 * seed {
            bench.card.step().unwrap();
        }
        bench.write(registers::CONTROL, control::SOFT_RESET.mask() | control::ENABLE.mask());
        // The bus model checks that every burst which began is carried through.
        let mut polls = 0;
        while control::SOFT_RESET.is_set(bench.read(registers::CONTROL)) {
            assert!(status::RESETTING.is_set(bench.read(registers::STATUS)) || polls > 0);
            polls += 1;
            assert!(polls < 10_000, "the reset does not end, seed {seed}");
        }
        assert!(status::QUIET.is_set(bench.read(registers::STATUS)));
        for register in registers::REGISTERS {
            let offset = register.offset.get();
            if let Some(value) = register.reset.filter(|_| offset >= registers::CONTROL.offset.get()) {
                assert_eq!(bench.card.read32(offset).unwrap(), value as u32, "{} after the reset", register.name);
            }
        }
        bench.start();
        still_right(&mut bench, seed);
    }
}

#[test]
fn reset_pin_in_mid_command_brings_the_card_back() {
    for seed in 1..12 {
        let mut bench = Bench::new(8, 256, Traffic::random(seed), seed);
        let command = bench.command(Opcode::Intt, 30, 0, 0x40_000);
        bench.queue(0, command);
        bench.doorbell(0);
        for _ in 0..170 * seed {
            bench.card.step().unwrap();
        }
        bench.card.reset().unwrap();
        assert_eq!(bench.read(registers::CONTROL), 0);
        bench.start();
        still_right(&mut bench, seed);
    }
}

#[test]
fn bus_mastering_off_is_a_refusal_like_any_other() {
    let mut bench = Bench::new(8, 256, Traffic::steady(9), 5);
    bench.queue(0, Descriptor::new(Opcode::Nop).words());
    bench.function.config_write(4, &[2, 0]);
    bench.doorbell(0);
    bench.settle();
    assert_eq!(bench.read(registers::ERROR_CODE), u32::from(StatusCode::FetchFault.code()));
    bench.function.config_write(4, &[6, 0]);
    bench.write(registers::ERROR_CODE, 0);
    bench.settle();
    assert_eq!(bench.completion(0).unwrap().status, StatusCode::Ok);
}
