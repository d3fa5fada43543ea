//! What a soft reset leaves of card memory: zeros where something was uploaded, and nothing changed elsewhere.

use crate::bench::Bench;
use crate::bootstrap::{Keys, card, upload, wipe};
use crate::checks::erases;
use glovebox_hdl::card::upload::ERASE_GRANULES;
use glovebox_regmap::registers::{self, control, status};
use glovebox_regmap::{Descriptor, Opcode, StatusCode};
use glovebox_sim::card::Traffic;

/// Bytes of the toy card's granule.
const GRANULE: usize = 64;
/// What card memory holds before it is written.
const POWER_UP: u8 = 0xa5;
/// Words of uploads: no byte of them is 0 or that.
const WORD: u64 = 0x1122_3344_5566_7788;

/// Starts a soft reset.
fn begin(bench: &mut Bench) {
    bench.write(registers::CONTROL, control::SOFT_RESET.mask() | control::ENABLE.mask());
}

/// Waits for its end; the cycles from here.
fn finish(bench: &mut Bench) -> u64 {
    let from = bench.card.cycles();
    while control::SOFT_RESET.is_set(bench.read(registers::CONTROL)) {
        assert!(bench.card.cycles() - from < 1_000_000, "the reset does not end");
    }
    bench.card.cycles() - from
}

/// A whole soft reset: its cycles, and the bytes that it wrote to card memory.
fn reset(bench: &mut Bench) -> (u64, u64) {
    let before = bench.card.memory_moved_bytes();
    begin(bench);
    let cycles = finish(bench);
    let after = bench.card.memory_moved_bytes();
    (cycles, after.iter().zip(before).map(|(after, before)| after.1 - before.1).sum())
}

/// Card memory is 0 up to `end` and as it was at power-up from there on.
fn assert_erased(bench: &Bench, end: usize, what: &str) {
    let (erased, rest) = bench.card.memory().split_at(end);
    assert_eq!(erased.iter().position(|&byte| byte != 0), None, "{what}: a byte stays");
    assert_eq!(rest.iter().position(|&byte| byte != POWER_UP), None, "{what}: a byte beyond is changed");
}

#[test]
fn soft_reset_erases_what_was_uploaded_and_nothing_else_before_anything_is_served() {
    let keys = Keys::new(4);
    // One granule; around the limits of a transfer of an erase; several of them.
    for (seed, granules) in
        [1, 17, ERASE_GRANULES - 1, ERASE_GRANULES, ERASE_GRANULES + 1, 2 * ERASE_GRANULES + 37].into_iter().enumerate()
    {
        let seed = seed as u64 + 1;
        let mut bench = card(Traffic::random(seed), Traffic::random(seed + 50), seed);
        assert_eq!(upload(&mut bench, &vec![WORD; granules * GRANULE / 8], 0).status, StatusCode::Ok);
        begin(&mut bench);
        while status::RESETTING.is_set(bench.read(registers::STATUS)) {}
        assert_eq!(bench.read64(registers::CARD_MEMORY_WRITTEN), 0, "unreadable before it is erased");
        // Registers can be written meanwhile; rings are not served.
        let early = status::ERASING.is_set(bench.read(registers::STATUS));
        bench.start();
        bench.queue(0, Descriptor::new(Opcode::Nop).words());
        bench.doorbell(0);
        if granules > 1000 {
            assert!(early && status::ERASING.is_set(bench.read(registers::STATUS)), "{granules} granules take time");
            assert!(
                bench.card.memory()[..granules * GRANULE].contains(&WORD.to_le_bytes()[0]) && !bench.card.is_idle()
            );
            assert!(bench.completion(0).is_none());
        }
        finish(&mut bench);
        assert_erased(&bench, granules * GRANULE, &format!("{granules} granules"));
        assert_eq!(bench.read64(registers::CARD_WRITE_BEATS), 0, "commands have written nothing since");
        bench.card.run(10_000).unwrap();
        assert_eq!(bench.completion(0).unwrap().status, StatusCode::Ok);
        keys.upload(&mut bench);
        keys.check(&mut bench, 2, seed);
    }
}

#[test]
fn uploads_are_erased_once_on_every_port() {
    erases(8, 256, 13);
}

#[test]
fn erase_takes_a_cycle_a_granule_and_a_little_for_each_transfer() {
    let latency = 20;
    for granules in [1, ERASE_GRANULES, 3 * ERASE_GRANULES + 5] {
        let mut bench = card(Traffic::steady(20), Traffic::steady(latency), 1);
        upload(&mut bench, &vec![WORD; granules * GRANULE / 8], 0);
        let (cycles, bytes) = reset(&mut bench);
        assert_eq!(bytes, (granules * GRANULE) as u64, "each byte once");
        let transfers = granules.div_ceil(ERASE_GRANULES) as u64;
        // A poll more at either end.
        let most = granules as u64 + transfers * (u64::from(latency) + 40) + 20;
        assert!((granules as u64..=most).contains(&cycles), "{granules} granules in {cycles} cycles, not {most}");
        assert!(reset(&mut bench).0 < 20, "nothing is left to erase");
    }
}

#[test]
fn upload_given_up_or_refused_in_its_middle_is_erased_to_its_end() {
    let granules = 3000;
    let mut given_up = [0; 2];
    for seed in 1..13 {
        let mut bench = card(Traffic::random(seed), Traffic::random(seed + 60), seed);
        bench.put(0, &vec![WORD; granules * GRANULE / 8]);
        let count = (granules * GRANULE) as u32;
        let source = bench.data(0);
        let command = Descriptor { count, source, ..Descriptor::new(Opcode::KeyUpload) };
        if seed % 3 == 0 {
            // Host memory ends inside.
            let source = bench.data(7 << 20) - u64::from(count) / 2;
            bench.put((7 << 20) - count as usize / 2, &vec![WORD; granules * GRANULE / 16]);
            assert_eq!(bench.run(Descriptor { source, ..command }.words()).status, StatusCode::ReadFault);
        } else {
            bench.queue(0, command.words());
            bench.doorbell(0);
            for _ in 0..17 * seed * seed {
                bench.card.step().unwrap();
            }
        }
        let wrote = bench.card.memory().iter().any(|&byte| byte != POWER_UP);
        begin(&mut bench);
        finish(&mut bench);
        // One that had not begun has nothing to erase.
        let began = bench.card.memory()[0] == 0;
        given_up[usize::from(wrote)] += 1;
        assert!(began || !wrote, "seed {seed}");
        assert_erased(&bench, if began { count as usize } else { 0 }, &format!("seed {seed}"));
    }
    assert!(given_up.iter().all(|&n| n >= 2), "before and after its first byte: {given_up:?}");
}

#[test]
fn wipes_from_the_top_down_leave_a_reset_nothing_to_do() {
    let (low, high) = (64 * 500, 64 * 900);
    let words = |bytes: u64| vec![WORD; bytes as usize / 8];
    // What is wiped, in order, and what a reset then has to erase.
    let cases: [(&[(u64, u64)], u64); 7] = [
        (&[], high),
        (&[(low, high)], low),
        (&[(low, high), (0, low)], 0),
        (&[(0, high)], 0),
        // From the bottom: the topmost alone counts.
        (&[(0, low), (low, high)], low),
        (&[(0, low)], high),
        // In the middle, and up to the end from there.
        (&[(low, high - 64), (low - 64, high)], low - 64),
    ];
    for (wipes, left) in cases {
        let mut bench = card(Traffic::random(left), Traffic::random(left + 1), 1);
        assert_eq!(upload(&mut bench, &words(low), 0).status, StatusCode::Ok);
        assert_eq!(upload(&mut bench, &words(high - low), low).status, StatusCode::Ok);
        for &(from, to) in wipes {
            assert_eq!(wipe(&mut bench, from, (to - from) as u32).status, StatusCode::Ok);
        }
        assert_eq!(bench.read64(registers::CARD_MEMORY_WRITTEN), high, "what is wiped stays readable");
        let (_, bytes) = reset(&mut bench);
        assert_eq!(bytes, left, "after {wipes:?}");
        assert_erased(&bench, high as usize, &format!("{wipes:?}"));
    }
    // A wipe beyond everything makes memory readable, not dirty; an upload above it dirties all again.
    let mut bench = card(Traffic::steady(9), Traffic::steady(9), 1);
    assert_eq!(wipe(&mut bench, 0, low as u32).status, StatusCode::Ok);
    assert_eq!(upload(&mut bench, &words(64), low).status, StatusCode::Ok);
    assert_eq!(reset(&mut bench).1, low + 64);
    assert_erased(&bench, low as usize + 64, "upload above a wipe");
}

#[test]
fn erase_that_card_memory_refuses_ends_with_a_fault_and_the_next_one_finishes_it() {
    let granules = 2 * ERASE_GRANULES + 100;
    let keys = Keys::new(5);
    // In the first transfer, the second and the last; every burst begins at a multiple of 16 granules.
    for (seed, at) in [(1, granules - 20), (2, ERASE_GRANULES + 16), (3, 0)] {
        let at = (at / 16 * 16 * GRANULE) as u64;
        let mut bench = card(Traffic::random(seed), Traffic::random(seed + 70), seed);
        upload(&mut bench, &vec![WORD; granules * GRANULE / 8], 0);
        bench.card.refuse_memory(at..at + 64);
        reset(&mut bench);
        let word = bench.read(registers::STATUS);
        assert!(status::FAULT.is_set(word) && !status::ERASING.is_set(word), "seed {seed}: {word:#x}");
        assert_eq!(bench.read(registers::ERROR_CODE), u32::from(StatusCode::CardWriteFault.code()));
        assert_eq!((bench.read(registers::ERROR_TAG), bench.read64(registers::ERROR_ADDRESS)), (0, at));
        assert_eq!(bench.read64(registers::CARD_MEMORY_WRITTEN), 0);
        assert!(bench.card.memory()[at as usize] != 0);
        // No ring is served before someone has taken note.
        bench.start();
        bench.queue(0, Descriptor::new(Opcode::Nop).words());
        bench.doorbell(0);
        bench.settle();
        assert!(bench.completion(0).is_none(), "seed {seed}");
        bench.write(registers::ERROR_CODE, 0);
        bench.settle();
        assert_eq!(bench.completion(0).unwrap().status, StatusCode::Ok);
        bench.card.refuse_memory(0..0);
        reset(&mut bench);
        assert!(!status::FAULT.is_set(bench.read(registers::STATUS)));
        assert_erased(&bench, granules * GRANULE, &format!("seed {seed}"));
        bench.start();
        keys.upload(&mut bench);
        keys.check(&mut bench, 2, seed);
    }
}

#[test]
fn soft_resets_during_an_erase_begin_it_again_and_it_ends() {
    let granules = 3 * ERASE_GRANULES;
    for seed in 1..4 {
        let mut bench = card(Traffic::random(seed), Traffic::random(seed + 80), seed);
        upload(&mut bench, &vec![WORD; granules * GRANULE / 8], 0);
        begin(&mut bench);
        for steps in [3, 200, 5000] {
            for _ in 0..steps {
                bench.card.step().unwrap();
            }
            assert!(control::SOFT_RESET.is_set(bench.read(registers::CONTROL)));
            // Registers written meanwhile are reset again.
            bench.write(registers::SCRATCH, 0x5eed);
            begin(&mut bench);
        }
        finish(&mut bench);
        assert_eq!(bench.read(registers::SCRATCH), 0, "seed {seed}");
        assert_erased(&bench, granules * GRANULE, &format!("seed {seed}"));
    }
}

#[test]
fn function_reset_erases_and_the_reset_pin_does_not() {
    let granules = 100;
    let mut bench = card(Traffic::random(1), Traffic::random(2), 1);
    upload(&mut bench, &vec![WORD; granules * GRANULE / 8], 0);
    bench.card.function_reset().unwrap();
    finish(&mut bench);
    assert_erased(&bench, granules * GRANULE, "function-level reset");
    bench.start();
    upload(&mut bench, &vec![WORD; granules * GRANULE / 8], 0);
    bench.card.reset().unwrap();
    assert_eq!(bench.read64(registers::CARD_MEMORY_WRITTEN), 0);
    assert!(bench.card.memory()[..granules * GRANULE].iter().all(|&byte| byte != 0), "the pin leaves bytes unreadable");
    assert_eq!(reset(&mut bench).1, 0, "the card has forgotten them");
}
