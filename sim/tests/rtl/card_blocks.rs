//! The card's small blocks by themselves: queue, width converter, burst planner.

use crate::common::Values;
use glovebox_hdl::card::burst::{BURST_BEATS, BurstPlanner};
use glovebox_hdl::card::fifo::Fifo;
use glovebox_hdl::card::resize::Resize;
use glovebox_hdl::verilog::generate;
use glovebox_hdl::word::U;
use glovebox_sim::SimError;
use glovebox_sim::verilator::{Build, Model, Port};
use std::collections::VecDeque;

fn port(model: &Model, name: &str) -> Port {
    model.port(name).unwrap()
}

fn reset(model: &mut Model) {
    let port = port(model, "reset");
    model.set(port, 1);
    model.tick().unwrap();
    model.set(port, 0);
    model.eval().unwrap();
}

#[test]
fn fifo_random_traffic_keeps_order_and_overflow_stops_the_simulation() {
    const DEPTH: usize = 8;
    let text = generate("test_fifo", "", || Fifo::<U<16>>::new(DEPTH)).unwrap();
    for seed in 1..4 {
        let mut model = Build::new("test_fifo", &text).load(seed).unwrap();
        let [push, d, q, valid, ready] = ["push", "d", "q", "valid", "ready"].map(|name| port(&model, name));
        reset(&mut model);
        // A lone word: two cycles from push to valid.
        model.set(push, 1);
        model.set(d, 77);
        model.tick().unwrap();
        model.set(push, 0);
        assert_eq!(model.get(valid), 0);
        model.tick().unwrap();
        assert_eq!((model.get(valid), model.get(q)), (1, 77));
        let mut values = Values::new(seed);
        let mut held = VecDeque::from([77]);
        let mut taken = 0;
        for _ in 0..5000 {
            let give = held.len() < DEPTH && values.chance(60);
            let (word, take) = (values.word() & 0xffff, values.chance(55));
            model.set(push, give.into());
            model.set(d, word);
            model.set(ready, take.into());
            if take && model.get(valid) == 1 {
                assert_eq!(Some(model.get(q)), held.pop_front(), "seed {seed}");
                taken += 1;
            }
            if give {
                held.push_back(word);
            }
            model.tick().unwrap();
        }
        assert!(taken > 2000, "{taken} words passed, seed {seed}");
        // Depth words in memory and one in the output register; one more is a defect of whoever pushes.
        model.set(ready, 0);
        model.set(push, 1);
        let stopped = (0..DEPTH + 3).map(|_| model.tick()).find_map(Result::err);
        assert!(matches!(stopped, Some(SimError::Stopped { message, .. }) if message.contains("overflow")));
    }
}

/// Words in equal words out, in order, for every pattern of stalls.
fn resizes(top: &str, text: &str, from: usize, to: usize) {
    for (seed, offer, take) in [(1, 100, 100), (2, 50, 100), (3, 100, 40), (4, 60, 60)] {
        let mut model = Build::new(top, text).load(seed).unwrap();
        let names = ["s_tdata", "s_tvalid", "s_tready", "m_tdata", "m_tvalid", "m_tready"];
        let [data, valid, ready, out, out_valid, out_ready] = names.map(|name| port(&model, name));
        reset(&mut model);
        let mut values = Values::new(seed);
        let words: Vec<u64> = (0..64 * from.max(to)).map(|_| values.word()).collect();
        let (mut sent, mut found, mut offered) = (0, vec![], false);
        let mut cycles = 0;
        while found.len() < words.len() {
            cycles += 1;
            assert!(cycles < 20_000, "{top} hangs, seed {seed}");
            offered = offered || (sent < words.len() && values.chance(offer));
            for lane in 0..from {
                let word = if offered { words[sent + lane] } else { values.word() };
                model.set_lane(data, lane, word);
            }
            let taking = values.chance(take);
            model.set(valid, offered.into());
            model.set(out_ready, taking.into());
            model.eval().unwrap();
            if offered && model.get(ready) == 1 {
                sent += from;
                offered = false;
            }
            if taking && model.get(out_valid) == 1 {
                found.extend((0..to).map(|lane| model.lane(out, lane)));
            }
            model.tick().unwrap();
        }
        assert!(found == words, "{top}, seed {seed}");
        if offer == 100 && take == 100 {
            // The narrower side moves every cycle.
            assert_eq!(cycles, words.len() / from.min(to) + 1, "{top}: full rate");
        }
    }
}

#[test]
fn resize_words_keep_their_order_at_full_rate() {
    resizes("test_widen", &generate("test_widen", "", Resize::<8, 32>::default).unwrap(), 8, 32);
    resizes("test_narrow", &generate("test_narrow", "", Resize::<32, 8>::default).unwrap(), 32, 8);
    resizes("test_same", &generate("test_same", "", Resize::<8, 8>::default).unwrap(), 8, 8);
}

#[test]
fn planner_bursts_cover_the_range_and_cross_no_boundary() {
    let text = generate("test_planner", "", BurstPlanner::default).unwrap();
    let mut model = Build::new("test_planner", &text).load(1).unwrap();
    let names = ["start", "address", "beats", "take", "valid", "burst_address", "burst_beats", "burst_last", "busy"];
    let [start, address, beats, take, valid, burst_address, burst_beats, burst_last, busy] =
        names.map(|name| port(&model, name));
    reset(&mut model);
    let mut values = Values::new(5);
    for round in 0..600 {
        let count = [1, 15, 16, 17, values.word() % 200, values.word() % 1000][round % 6].max(1);
        // Often just below a carry into the high half.
        let near = (values.word() << 32).wrapping_sub(64 * (values.word() % 300));
        let first = if round % 2 == 0 { near } else { values.word() } & !63 & (u64::MAX >> 1);
        model.set(start, 1);
        model.set(address, first);
        model.set(beats, count);
        model.set(take, 0);
        model.tick().unwrap();
        model.set(start, 0);
        let mut next = first;
        let end = first + 64 * count;
        let mut cycles = 0;
        while model.get(busy) == 1 {
            cycles += 1;
            assert!(cycles < 10_000, "round {round} hangs");
            let taking = values.chance(70);
            model.set(take, taking.into());
            if taking && model.get(valid) == 1 {
                let (at, length) = (model.get(burst_address), model.get(burst_beats));
                assert_eq!(at, next, "round {round}: bursts follow each other");
                assert!((1..=BURST_BEATS as u64).contains(&length));
                assert_eq!(at >> 12, (at + 64 * length - 1) >> 12, "round {round}: 4 KiB");
                next += 64 * length;
                assert_eq!(model.get(burst_last) == 1, next == end, "round {round}");
            }
            model.tick().unwrap();
        }
        assert_eq!(next, end, "round {round}");
    }
}
