//! A card whose clock the test holds, with host memory and rings of its own.

use glovebox_driver::card::{CardBackend, DmaPermissions, HostPort, PciFunction};
use glovebox_driver::memory::HostMemory;
use glovebox_golden::field;
use glovebox_golden::ntt::NegacyclicNtt;
use glovebox_regmap::command::{COMPLETION_WORDS, Completion};
use glovebox_regmap::registers::{self, Register, RingRegister, control, ring_control};
use glovebox_regmap::{CardLimits, Descriptor, Opcode};
use glovebox_sim::card::{CardBuild, CardSimulation, Traffic};
use std::sync::{Arc, Mutex};

/// Where host memory begins for the card.
pub(crate) const BASE: u64 = 0x12_3456_0000;
/// Bytes of host memory.
const BYTES: usize = 8 << 20;
/// Bytes of the area of a ring pair: submission ring, then completion ring in its second half.
const RING_AREA: u64 = 0x1_0000;
/// Offset of the data behind the rings.
const DATA: u64 = 16 * RING_AREA;
/// log2 of the rings' entries.
pub(crate) const RING_LOG2: u32 = 3;
/// Longest time that a test waits for the card to be idle.
const LIMIT_CYCLES: u64 = 40_000_000;
/// Offset and bits of the PCI command register: memory space and bus mastering.
const PCI_COMMAND: (u64, [u8; 2]) = (4, [6, 0]);

/// A backend that only hands its host on.
#[derive(Default)]
struct Capture(Mutex<Option<Arc<HostPort>>>);

impl CardBackend for Capture {
    fn attach(&self, host: Arc<HostPort>) {
        *self.0.lock().unwrap() = Some(host);
    }
    fn read32(&self, _: u32) -> u32 {
        0
    }
    fn write32(&self, _: u32, _: u32) {}
    fn reset(&self) {}
}

/// The card, its memory, and where each ring stands.
pub(crate) struct Bench {
    pub(crate) card: CardSimulation,
    pub(crate) host: Arc<HostPort>,
    pub(crate) function: PciFunction,
    tails: [u32; 15],
    heads: [u32; 15],
    degree: usize,
    // Last: the card's mappings go first.
    _memory: HostMemory,
}

impl Bench {
    /// A card with its rings programmed and running.
    pub(crate) fn new(lanes: usize, degree: usize, traffic: Traffic, reset_seed: u64) -> Self {
        Self::of(CardBuild::new(lanes, degree), degree, traffic, reset_seed)
    }

    /// The card of this build, of ring degree `degree`.
    pub(crate) fn of(build: CardBuild<'_>, degree: usize, traffic: Traffic, reset_seed: u64) -> Self {
        let mut card = build.traffic(traffic).reset_seed(reset_seed).simulation().unwrap();
        let capture = Arc::new(Capture::default());
        let function = PciFunction::new(Arc::clone(&capture) as Arc<dyn CardBackend>);
        let memory = HostMemory::new(BYTES).unwrap();
        let all = DmaPermissions { read: true, write: true };
        function.dma_map(BASE, BYTES as u64, 0, all, memory.file().try_clone().unwrap()).unwrap();
        function.config_write(PCI_COMMAND.0, &PCI_COMMAND.1);
        let host = capture.0.lock().unwrap().take().unwrap();
        card.attach(Arc::clone(&host));
        let mut bench = Self { card, host, function, tails: [0; 15], heads: [0; 15], degree, _memory: memory };
        bench.start();
        bench
    }

    /// Programs every ring pair and lets the card run.
    pub(crate) fn start(&mut self) {
        let rings = self.read(registers::RING_PAIRS);
        for ring in 0..rings {
            let area = BASE + u64::from(ring) * RING_AREA;
            self.host.write(area, &vec![0; RING_AREA as usize]).unwrap();
            self.ring(registers::SQ_LOG2, ring, RING_LOG2);
            self.ring(registers::CQ_LOG2, ring, RING_LOG2);
            self.ring64(registers::SQ_BASE, ring, area);
            self.ring64(registers::CQ_BASE, ring, area + RING_AREA / 2);
            self.ring(registers::RING_VECTOR, ring, ring + 1);
            self.ring(registers::RING_CONTROL, ring, ring_control::ENABLE.mask());
        }
        (self.tails, self.heads) = ([0; 15], [0; 15]);
        self.write(registers::INTERRUPT_ENABLE, u32::MAX);
        self.write(registers::CONTROL, control::ENABLE.mask());
    }

    /// What decides about a descriptor now, by the card's own registers.
    pub(crate) fn limits(&mut self) -> CardLimits {
        CardLimits {
            commands: self.read(registers::COMMANDS),
            degree_log2: self.read(registers::RING_DEGREE_LOG2),
            lanes: self.read(registers::LANES),
            memory_bytes: self.read64(registers::CARD_MEMORY_BYTES),
            memory_granule_bytes: self.read(registers::CARD_MEMORY_GRANULE).into(),
            memory_written_bytes: self.read64(registers::CARD_MEMORY_WRITTEN),
        }
    }

    pub(crate) fn read(&mut self, register: Register) -> u32 {
        self.card.read32(register.offset.get()).unwrap()
    }

    pub(crate) fn read64(&mut self, register: Register) -> u64 {
        let low = self.card.read32(register.offset.get()).unwrap();
        u64::from(low) | u64::from(self.card.read32(register.offset.get() + 4).unwrap()) << 32
    }

    pub(crate) fn write(&mut self, register: Register, value: u32) {
        self.card.write32(register.offset.get(), value).unwrap();
    }

    pub(crate) fn ring(&mut self, register: RingRegister, ring: u32, value: u32) {
        self.write(register.of(ring).unwrap(), value);
    }

    pub(crate) fn ring64(&mut self, register: RingRegister, ring: u32, value: u64) {
        let offset = register.of(ring).unwrap().offset.get();
        self.card.write32(offset, value as u32).unwrap();
        self.card.write32(offset + 4, (value >> 32) as u32).unwrap();
    }

    pub(crate) fn read_ring(&mut self, register: RingRegister, ring: u32) -> u32 {
        self.read(register.of(ring).unwrap())
    }

    /// The card's address of byte `at` of the data area.
    pub(crate) fn data(&self, at: usize) -> u64 {
        BASE + DATA + at as u64
    }

    pub(crate) fn put(&self, at: usize, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.host.write(self.data(at), &bytes).unwrap();
    }

    pub(crate) fn get(&self, at: usize, words: usize) -> Vec<u64> {
        let mut bytes = vec![0; 8 * words];
        self.host.read(self.data(at), &mut bytes).unwrap();
        bytes.chunks_exact(8).map(|chunk| chunk.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b))).collect()
    }

    /// Puts a descriptor into a ring without ringing the doorbell.
    pub(crate) fn queue(&mut self, ring: u32, words: [u64; 8]) {
        let tail = &mut self.tails[ring as usize];
        let at = BASE + u64::from(ring) * RING_AREA + u64::from(*tail % (1 << RING_LOG2)) * 64;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.host.write(at, &bytes).unwrap();
        *tail += 1;
    }

    pub(crate) fn doorbell(&mut self, ring: u32) {
        self.ring(registers::SQ_TAIL, ring, self.tails[ring as usize]);
    }

    /// The next completion of a ring, consumed.
    pub(crate) fn completion(&mut self, ring: u32) -> Option<Completion> {
        let head = self.heads[ring as usize];
        let at = BASE + u64::from(ring) * RING_AREA + RING_AREA / 2 + u64::from(head % (1 << RING_LOG2)) * 32;
        let mut bytes = [0; 8 * COMPLETION_WORDS];
        self.host.read(at, &mut bytes).unwrap();
        let mut words = [0; COMPLETION_WORDS];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = chunk.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b));
        }
        if Completion::phase_of(words[3]) != ((head >> RING_LOG2) & 1 == 0) {
            return None;
        }
        self.heads[ring as usize] += 1;
        self.ring(registers::CQ_HEAD, ring, head + 1);
        Some(Completion::decode(words).unwrap())
    }

    /// Clocks until the card is idle.
    pub(crate) fn settle(&mut self) -> u64 {
        self.card.run(LIMIT_CYCLES).unwrap()
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
