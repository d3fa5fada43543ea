//! The bench of a simulated card for tests: what fails, fails the test.

use glovebox_golden::field;
use glovebox_golden::ntt::NegacyclicNtt;
use glovebox_regmap::command::Completion;
use glovebox_regmap::registers::{self, Register, RingRegister, ring_degree_log2};
use glovebox_regmap::{CardLimits, Descriptor, GlweShape, Opcode};
use glovebox_sim::bench::CardBench;
pub(crate) use glovebox_sim::bench::{BASE, RING_LOG2};
use glovebox_sim::card::{CardBuild, Traffic};
use std::ops::{Deref, DerefMut};

/// Bytes of host memory for data; with the rings' area they make 8 MiB.
const BYTES: usize = 7 << 20;
/// Longest time that a test waits for the card to be idle.
const LIMIT_CYCLES: u64 = 40_000_000;

/// A bench, and the ring degree of its card.
pub(crate) struct Bench {
    bench: CardBench,
    degree: usize,
}

impl Deref for Bench {
    type Target = CardBench;
    fn deref(&self) -> &CardBench {
        &self.bench
    }
}

impl DerefMut for Bench {
    fn deref_mut(&mut self) -> &mut CardBench {
        &mut self.bench
    }
}

impl Bench {
    /// A card with its rings programmed and running.
    pub(crate) fn new(lanes: usize, degree: usize, traffic: Traffic, reset_seed: u64) -> Self {
        Self::of(CardBuild::new(lanes, degree), degree, traffic, reset_seed)
    }

    /// The card of this build, of ring degree `degree`.
    pub(crate) fn of(build: CardBuild<'_>, degree: usize, traffic: Traffic, reset_seed: u64) -> Self {
        Self { bench: CardBench::new(build.traffic(traffic).reset_seed(reset_seed), BYTES).unwrap(), degree }
    }

    /// Programs every ring pair and lets the card run.
    pub(crate) fn start(&mut self) {
        self.bench.start().unwrap();
    }

    /// What decides about a descriptor now, by the card's own registers.
    pub(crate) fn limits(&mut self) -> CardLimits {
        let ring = self.read(registers::RING_DEGREE_LOG2);
        let dimension = ring_degree_log2::GLWE_DIMENSION_LESS_1.get(ring) + 1;
        CardLimits {
            commands: self.read(registers::COMMANDS),
            glwe: GlweShape { dimension, degree_log2: ring_degree_log2::LOG2.get(ring) },
            lanes: self.read(registers::LANES),
            memory_bytes: self.read64(registers::CARD_MEMORY_BYTES),
            memory_granule_bytes: self.read(registers::CARD_MEMORY_GRANULE).into(),
            memory_written_bytes: self.read64(registers::CARD_MEMORY_WRITTEN),
        }
    }

    pub(crate) fn read(&mut self, register: Register) -> u32 {
        self.bench.read(register).unwrap()
    }

    pub(crate) fn read64(&mut self, register: Register) -> u64 {
        self.bench.read64(register).unwrap()
    }

    pub(crate) fn write(&mut self, register: Register, value: u32) {
        self.bench.write(register, value).unwrap();
    }

    pub(crate) fn ring(&mut self, register: RingRegister, ring: u32, value: u32) {
        self.bench.ring(register, ring, value).unwrap();
    }

    pub(crate) fn ring64(&mut self, register: RingRegister, ring: u32, value: u64) {
        self.bench.ring64(register, ring, value).unwrap();
    }

    pub(crate) fn read_ring(&mut self, register: RingRegister, ring: u32) -> u32 {
        self.bench.read_ring(register, ring).unwrap()
    }

    pub(crate) fn put(&self, at: usize, words: &[u64]) {
        self.bench.put(at, words).unwrap();
    }

    pub(crate) fn get(&self, at: usize, words: usize) -> Vec<u64> {
        self.bench.get(at, words).unwrap()
    }

    /// Puts a descriptor into a ring without ringing the doorbell.
    pub(crate) fn queue(&mut self, ring: u32, words: [u64; 8]) {
        self.bench.queue(ring, words).unwrap();
    }

    pub(crate) fn doorbell(&mut self, ring: u32) {
        self.bench.doorbell(ring).unwrap();
    }

    /// The next completion of a ring, consumed.
    pub(crate) fn completion(&mut self, ring: u32) -> Option<Completion> {
        self.bench.completion(ring).unwrap()
    }

    /// Clocks until the card is idle.
    pub(crate) fn settle(&mut self) -> u64 {
        self.bench.card.run(LIMIT_CYCLES).unwrap()
    }

    /// One command on ring 0, to its completion.
    pub(crate) fn run(&mut self, words: [u64; 8]) -> Completion {
        self.queue(0, words);
        self.doorbell(0);
        self.settle();
        self.completion(0).unwrap_or_else(|| panic!("no completion of {words:x?}"))
    }

    /// A command from one place of the data area to another.
    pub(crate) fn command(&self, opcode: Opcode, count: u32, from: usize, to: usize) -> [u64; 8] {
        let (source, destination) = (self.data(from), self.data(to));
        Descriptor { tag: 0xabcd_0000 | count & 0xffff, count, source, destination, ..Descriptor::new(opcode) }.words()
    }

    /// What a transform makes of polynomials by golden, words reduced once by p first.
    pub(crate) fn golden(&self, data: &[u64], forward: bool) -> Vec<u64> {
        let ntt = NegacyclicNtt::new(self.degree).unwrap();
        let mut out: Vec<u64> = data.iter().map(|&word| field::reduce(word)).collect();
        for polynomial in out.chunks_mut(self.degree) {
            if forward {
                ntt.forward_bit_reversed(polynomial).unwrap();
            } else {
                ntt.inverse_bit_reversed(polynomial).unwrap();
            }
        }
        out
    }
}

/// Seeded words (splitmix64), of which some are not canonical.
pub(crate) fn words(seed: u64, count: usize) -> Vec<u64> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            if z.is_multiple_of(16) { u64::MAX - (z >> 40) } else { z }
        })
        .collect()
}
