//! Card memory and the bootstrap through descriptors: contents, faults, resets, under any traffic of both memories.

use crate::bench::{Bench, words};
use glovebox_golden::params::{BootstrapParameters, GlweDimension, LweDimension, TOY_INSECURE};
use glovebox_regmap::layout::batch_depth;
use glovebox_regmap::registers::{self, control};
use glovebox_regmap::{Completion, Descriptor, Opcode, StatusCode};
use glovebox_sim::card::{CardBuild, Traffic};
use glovebox_sim::keys::CardKeys;

const LANES: usize = 8;
const DEGREE: usize = 256;
/// Ciphertexts that fill the card.
const DEPTH: usize = batch_depth(LANES as u32) as usize;
/// Bytes of one piece of an upload.
const PIECE: usize = 2 << 20;
/// Where the key's bytes are put for their upload.
const STAGE: usize = 0x20_0000;

pub(crate) fn card(traffic: Traffic, memory: Traffic, reset_seed: u64) -> Bench {
    card_of_k(1, traffic, memory, reset_seed)
}

fn card_of_k(glwe_dimension: usize, traffic: Traffic, memory: Traffic, reset_seed: u64) -> Bench {
    let build = CardBuild::new(LANES, DEGREE).glwe_dimension(glwe_dimension);
    Bench::of(build.memory_bytes(2 << 20).memory_traffic(memory), DEGREE, traffic, reset_seed)
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Uploads words, padded to whole beats, to `at`, a piece at a time; the last completion.
pub(crate) fn upload(bench: &mut Bench, data: &[u64], at: u64) -> Completion {
    let mut last = None;
    for (piece, at) in data.chunks(PIECE / 8).zip((at..).step_by(PIECE)) {
        let mut piece = piece.to_vec();
        piece.resize(piece.len().next_multiple_of(8), 0);
        bench.put(STAGE, &piece);
        let count = 8 * piece.len() as u32;
        let source = bench.data(STAGE);
        last = Some(
            bench.run(Descriptor { count, source, destination: at, ..Descriptor::new(Opcode::KeyUpload) }.words()),
        );
    }
    last.unwrap()
}

pub(crate) fn wipe(bench: &mut Bench, at: u64, count: u32) -> Completion {
    bench.run(Descriptor { count, destination: at, ..Descriptor::new(Opcode::Wipe) }.words())
}

/// A key set of random words, on the card by upload.
pub(crate) struct Keys(CardKeys);

impl Keys {
    pub(crate) fn new(seed: u64) -> Self {
        Self::of(BootstrapParameters { lwe_dimension: LweDimension(5), ..TOY_INSECURE.bootstrap }, seed)
    }

    pub(crate) fn of(p: BootstrapParameters, seed: u64) -> Self {
        let mut seeds = seed..;
        Self(CardKeys::random(p, LANES, |count| words(seeds.next().unwrap(), count)).unwrap())
    }

    pub(crate) fn upload(&self, bench: &mut Bench) {
        for (words, at) in self.0.parts().iter().zip(self.0.addresses()) {
            assert_eq!(upload(bench, words, at).status, StatusCode::Ok);
        }
    }

    fn command(&self, bench: &Bench, count: u32) -> [u64; 8] {
        let (source, destination) = (bench.data(0), bench.data(0x10_000));
        Descriptor { count, source, destination, tag: 7, ..self.0.descriptor(self.0.settings) }.words()
    }

    /// A command with `count` ciphertexts, every word of its results.
    pub(crate) fn check(&self, bench: &mut Bench, count: usize, seed: u64) -> Completion {
        let len = self.0.parameters.big_lwe_dimension().0 + 1;
        let input = words(seed, count * len);
        bench.put(0, &input);
        let done = bench.run(self.command(bench, count as u32));
        assert_eq!((done.status, done.fault_address), (StatusCode::Ok, 0), "seed {seed}");
        let expected: Vec<u64> =
            input.chunks_exact(len).flat_map(|ciphertext| self.0.expected(true, ciphertext).unwrap()).collect();
        assert!(bench.get(0x10_000, expected.len()) == expected, "{count} bootstraps, seed {seed}");
        done
    }
}

#[test]
fn uploads_and_wipes_change_exactly_their_range() {
    for seed in 1..4 {
        let traffic = if seed == 1 { Traffic::steady(20) } else { Traffic::random(seed) };
        let mut bench = card(traffic, Traffic::random(seed + 10), seed);
        let data = words(seed, 8 * 133);
        let mut expected = bench.card.memory().to_vec();
        let place =
            |expected: &mut Vec<u8>, at: usize, bytes: &[u8]| expected[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(upload(&mut bench, &data, 0).status, StatusCode::Ok);
        place(&mut expected, 0, &bytes_of(&data));
        assert_eq!(upload(&mut bench, &data[..8 * 17], 64 * 133).status, StatusCode::Ok);
        place(&mut expected, 64 * 133, &bytes_of(&data[..8 * 17]));
        assert_eq!(wipe(&mut bench, 64 * 7, 64 * 40).status, StatusCode::Ok);
        place(&mut expected, 64 * 7, &[0; 64 * 40]);
        assert_eq!(upload(&mut bench, &data[..8], 64 * 9).status, StatusCode::Ok);
        place(&mut expected, 64 * 9, &bytes_of(&data[..8]));
        assert!(bench.card.memory() == expected, "seed {seed}");
        assert_eq!(bench.read64(registers::CARD_MEMORY_WRITTEN), 64 * 150);
        assert_eq!(bench.read64(registers::CARD_WRITE_BEATS), 133 + 17 + 40 + 1);
        // After a reset nothing counts as written.
        bench.card.reset().unwrap();
        assert_eq!(bench.read64(registers::CARD_MEMORY_WRITTEN), 0);
    }
}

#[test]
fn bootstraps_equal_golden_under_any_traffic_and_read_each_key_once_a_batch() {
    let keys = Keys::new(1);
    let mut cycles = vec![];
    for seed in 1..5 {
        let (host, memory) = match seed {
            1 => (Traffic::steady(60), Traffic::ddr4()),
            _ => (Traffic::random(seed), Traffic::random(seed + 20)),
        };
        let mut bench = card(host, memory, seed);
        keys.upload(&mut bench);
        let uploaded = bench.card.memory_moved_bytes();
        assert_eq!(
            uploaded,
            vec![(0, 8 * keys.0.parts().iter().map(|w| w.len().next_multiple_of(8) as u64).sum::<u64>())]
        );
        for count in [1, DEPTH, 2 * DEPTH + 1] {
            let before = bench.card.memory_moved_bytes()[0].0;
            cycles.push(keys.check(&mut bench, count, seed * 100 + count as u64).cycles);
            let read = bench.card.memory_moved_bytes()[0].0 - before;
            let [bsk, ksk, table] = keys.0.parts().each_ref().map(|words| 64 * words.len().div_ceil(8) as u64);
            let batches = count.div_ceil(DEPTH) as u64;
            assert_eq!(read, batches * (bsk + ksk) + table, "bytes from card memory for {count} bootstraps");
        }
        assert!(bench.read64(registers::ROTATION_CYCLES) > 0 && bench.read64(registers::FORWARD_ACTIVE) > 0);
    }
    assert!(cycles[1] < DEPTH as u64 * cycles[0], "a batch overlaps: {cycles:?}");
}

#[test]
fn bootstraps_of_k_2_equal_golden_and_read_each_key_once_a_batch() {
    let keys = |change: fn(&mut BootstrapParameters), seed| {
        let mut p = TOY_INSECURE.bootstrap;
        (p.lwe_dimension, p.glwe_dimension) = (LweDimension(5), GlweDimension(2));
        change(&mut p);
        Keys::of(p, seed)
    };
    let one_level = keys(|_| {}, 1);
    let three_levels = keys(|p| (p.pbs_base_log.0, p.pbs_level.0, p.lwe_dimension.0) = (7, 3, 3), 2);
    for (seed, host, memory) in
        [(1, Traffic::steady(60), Traffic::ddr4()), (2, Traffic::random(2), Traffic::random(22))]
    {
        for keys in [&one_level, &three_levels] {
            let mut bench = card_of_k(2, host, memory, seed);
            keys.upload(&mut bench);
            for count in [1, DEPTH + 1] {
                let before = bench.card.memory_moved_bytes()[0].0;
                keys.check(&mut bench, count, seed * 100 + count as u64);
                let read = bench.card.memory_moved_bytes()[0].0 - before;
                let [bsk, ksk, table] = keys.0.parts().each_ref().map(|words| 64 * words.len().div_ceil(8) as u64);
                let batches = count.div_ceil(DEPTH) as u64;
                assert_eq!(read, batches * (bsk + ksk) + table, "bytes from card memory for {count} bootstraps");
            }
        }
    }
}

#[test]
fn refused_card_memory_is_reported_with_the_address_and_leaves_nothing_behind() {
    let keys = Keys::new(2);
    for seed in 1..4 {
        let mut bench = card(Traffic::random(seed), Traffic::random(seed + 30), seed);
        keys.upload(&mut bench);
        let [bsk, ksk, lut] = keys.0.addresses();
        for at in [bsk + 64 * 100, ksk + 64 * 33, lut + 64 * 3] {
            bench.card.refuse_memory(at..at + 64);
            let done = bench.run(keys.command(&bench, 5));
            assert_eq!((done.status, done.fault_address), (StatusCode::CardReadFault, at), "seed {seed}");
            bench.card.refuse_memory(0..0);
            keys.check(&mut bench, 2, seed);
        }
        bench.card.refuse_memory(64 * 16..64 * 17);
        let done = wipe(&mut bench, 0, 64 * 40);
        assert_eq!((done.status, done.fault_address), (StatusCode::CardWriteFault, 64 * 16), "seed {seed}");
        bench.card.refuse_memory(0..0);
        keys.upload(&mut bench);
        keys.check(&mut bench, 5, seed + 1);
    }
}

#[test]
fn reset_in_mid_batch_takes_the_keys_away_and_the_next_batch_is_right() {
    let keys = Keys::new(3);
    for seed in 1..7 {
        let mut bench = card(Traffic::random(seed), Traffic::random(seed + 40), seed);
        keys.upload(&mut bench);
        let command = keys.command(&bench, 9);
        bench.queue(0, command);
        bench.doorbell(0);
        for _ in 0..2500 * seed {
            bench.card.step().unwrap();
        }
        if seed % 2 == 0 {
            bench.card.reset().unwrap();
        } else {
            bench.write(registers::CONTROL, control::SOFT_RESET.mask() | control::ENABLE.mask());
            let mut polls = 0;
            while control::SOFT_RESET.is_set(bench.read(registers::CONTROL)) {
                polls += 1;
                assert!(polls < 10_000, "the reset does not end, seed {seed}");
            }
            let end = keys.0.total_bytes() as usize;
            assert!(
                bench.card.memory()[..end].iter().all(|&byte| byte == 0),
                "the keys stay in the chips, seed {seed}"
            );
        }
        bench.start();
        let done = bench.run(keys.command(&bench, 1));
        assert_eq!((done.status, done.fault_address), (StatusCode::NoKeySet, 0), "seed {seed}");
        keys.upload(&mut bench);
        keys.check(&mut bench, 5, seed);
    }
}
