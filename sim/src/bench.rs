//! A simulated card whose clock the caller holds, with host memory and rings of its own: every run gives the same cycles.

use crate::SimError;
use crate::card::{CardBuild, CardSimulation};
use glovebox_driver::card::{CardBackend, DmaPermissions, HostPort, PciFunction};
use glovebox_driver::memory::HostMemory;
use glovebox_regmap::command::{COMPLETION_WORDS, Completion};
use glovebox_regmap::registers::{self, Register, RingRegister, control, ring_control};
use glovebox_regmap::{Descriptor, StatusCode};
use std::sync::{Arc, Mutex, PoisonError};

/// Where host memory begins for the card.
pub const BASE: u64 = 0x12_3456_0000;
/// Bytes of the area of a ring pair: submission ring, then completion ring in its second half.
pub const RING_AREA: u64 = 0x1_0000;
/// log2 of the rings' entries.
pub const RING_LOG2: u32 = 3;
/// Cycles after which a command, or a result of one, is given up.
pub(crate) const STUCK_CYCLES: u64 = 40_000_000;
/// Ring pairs that there is room for.
const RINGS: usize = 15;
/// Offset of the data behind the rings.
const DATA: u64 = (RINGS as u64 + 1) * RING_AREA;
/// Offset and bits of the PCI command register: memory space and bus mastering.
const PCI_COMMAND: (u64, [u8; 2]) = (4, [6, 0]);

/// A backend that only hands its host on.
#[derive(Default)]
struct Capture(Mutex<Option<Arc<HostPort>>>);

impl CardBackend for Capture {
    fn attach(&self, host: Arc<HostPort>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(host);
    }
    fn read32(&self, _: u32) -> u32 {
        0
    }
    fn write32(&self, _: u32, _: u32) {}
    fn reset(&self) {}
}

/// The card, its host memory, and where each ring stands.
pub struct CardBench {
    /// The card.
    pub card: CardSimulation,
    /// The card's way to host memory.
    pub host: Arc<HostPort>,
    /// The PCI function that the mappings belong to.
    pub function: PciFunction,
    tails: [u32; RINGS],
    heads: [u32; RINGS],
    // Last: the card's mappings go first.
    _memory: HostMemory,
}

impl CardBench {
    /// A card with its rings programmed and running, and `data_bytes` of host memory for data.
    ///
    /// # Errors
    /// As [`CardBuild::simulation`]; [`SimError::Host`] if the system has no memory.
    pub fn new(build: CardBuild<'_>, data_bytes: usize) -> Result<Self, SimError> {
        let mut card = build.simulation()?;
        let capture = Arc::new(Capture::default());
        let function = PciFunction::new(Arc::clone(&capture) as Arc<dyn CardBackend>);
        let memory = HostMemory::new(DATA as usize + data_bytes)?;
        let all = DmaPermissions { read: true, write: true };
        let bytes = memory.len() as u64;
        memory.file().try_clone().and_then(|file| function.dma_map(BASE, bytes, 0, all, file)).map_err(|source| {
            glovebox_driver::Error::System { what: "mapping the bench's host memory".into(), source }
        })?;
        function.config_write(PCI_COMMAND.0, &PCI_COMMAND.1);
        // `PciFunction::new` has attached it.
        let host = capture.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        card.attach(Arc::clone(&host));
        let mut bench = Self { card, host, function, tails: [0; RINGS], heads: [0; RINGS], _memory: memory };
        bench.start()?;
        Ok(bench)
    }

    /// Programs every ring pair and lets the card run.
    ///
    /// # Errors
    /// As [`CardSimulation::write32`].
    pub fn start(&mut self) -> Result<(), SimError> {
        let rings = self.read(registers::RING_PAIRS)?.min(RINGS as u32);
        for ring in 0..rings {
            let area = BASE + u64::from(ring) * RING_AREA;
            self.put_at(area, &vec![0; RING_AREA as usize])?;
            self.ring(registers::SQ_LOG2, ring, RING_LOG2)?;
            self.ring(registers::CQ_LOG2, ring, RING_LOG2)?;
            self.ring64(registers::SQ_BASE, ring, area)?;
            self.ring64(registers::CQ_BASE, ring, area + RING_AREA / 2)?;
            self.ring(registers::RING_VECTOR, ring, ring + 1)?;
            self.ring(registers::RING_CONTROL, ring, ring_control::ENABLE.mask())?;
        }
        (self.tails, self.heads) = ([0; RINGS], [0; RINGS]);
        self.write(registers::INTERRUPT_ENABLE, u32::MAX)?;
        self.write(registers::CONTROL, control::ENABLE.mask())
    }

    /// Reads a register.
    ///
    /// # Errors
    /// As [`CardSimulation::read32`].
    pub fn read(&mut self, register: Register) -> Result<u32, SimError> {
        self.card.read32(register.offset.get())
    }

    /// Reads a register of 64 bits, low half first.
    ///
    /// # Errors
    /// As [`CardSimulation::read32`].
    pub fn read64(&mut self, register: Register) -> Result<u64, SimError> {
        let low = self.card.read32(register.offset.get())?;
        let high = self.card.read32(register.offset.get() + 4)?;
        Ok(u64::from(low) | u64::from(high) << 32)
    }

    /// Writes a register.
    ///
    /// # Errors
    /// As [`CardSimulation::write32`].
    pub fn write(&mut self, register: Register, value: u32) -> Result<(), SimError> {
        self.card.write32(register.offset.get(), value)
    }

    /// Writes a ring's register.
    ///
    /// # Errors
    /// As [`CardSimulation::write32`]; [`SimError::Bench`] if there is no such ring.
    pub fn ring(&mut self, register: RingRegister, ring: u32, value: u32) -> Result<(), SimError> {
        let register = Self::of_ring(register, ring)?;
        self.write(register, value)
    }

    /// Writes a ring's register of 64 bits.
    ///
    /// # Errors
    /// As [`CardBench::ring`].
    pub fn ring64(&mut self, register: RingRegister, ring: u32, value: u64) -> Result<(), SimError> {
        let offset = Self::of_ring(register, ring)?.offset.get();
        self.card.write32(offset, value as u32)?;
        self.card.write32(offset + 4, (value >> 32) as u32)
    }

    /// Reads a ring's register.
    ///
    /// # Errors
    /// As [`CardBench::ring`].
    pub fn read_ring(&mut self, register: RingRegister, ring: u32) -> Result<u32, SimError> {
        self.read(Self::of_ring(register, ring)?)
    }

    fn of_ring(register: RingRegister, ring: u32) -> Result<Register, SimError> {
        register.of(ring).ok_or_else(|| SimError::Bench(format!("there is no ring {ring}")))
    }

    /// The card's address of byte `at` of the data area.
    pub fn data(&self, at: usize) -> u64 {
        BASE + DATA + at as u64
    }

    fn put_at(&self, address: u64, bytes: &[u8]) -> Result<(), SimError> {
        self.host.write(address, bytes).map_err(|_| outside(address, bytes.len()))
    }

    /// Puts words into the data area.
    ///
    /// # Errors
    /// [`SimError::Bench`] if they reach beyond it.
    pub fn put(&self, at: usize, words: &[u64]) -> Result<(), SimError> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put_at(self.data(at), &bytes)
    }

    /// Words of the data area.
    ///
    /// # Errors
    /// As [`CardBench::put`].
    pub fn get(&self, at: usize, words: usize) -> Result<Vec<u64>, SimError> {
        self.words_at(self.data(at), words)
    }

    fn words_at(&self, address: u64, words: usize) -> Result<Vec<u64>, SimError> {
        let mut bytes = vec![0; 8 * words];
        self.host.read(address, &mut bytes).map_err(|_| outside(address, 8 * words))?;
        Ok(bytes.chunks_exact(8).map(|chunk| chunk.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b))).collect())
    }

    /// Puts a descriptor into a ring without ringing the doorbell.
    ///
    /// # Errors
    /// [`SimError::Bench`] if there is no such ring.
    pub fn queue(&mut self, ring: u32, words: [u64; 8]) -> Result<(), SimError> {
        let tail =
            self.tails.get_mut(ring as usize).ok_or_else(|| SimError::Bench(format!("there is no ring {ring}")))?;
        let at = BASE + u64::from(ring) * RING_AREA + u64::from(*tail % (1 << RING_LOG2)) * 64;
        *tail += 1;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put_at(at, &bytes)
    }

    /// Rings a ring's doorbell for everything queued.
    ///
    /// # Errors
    /// As [`CardBench::ring`].
    pub fn doorbell(&mut self, ring: u32) -> Result<(), SimError> {
        let tail = self.tails.get(ring as usize).copied().unwrap_or(0);
        self.ring(registers::SQ_TAIL, ring, tail)
    }

    /// The next completion of a ring, consumed; `None` if there is none yet.
    ///
    /// # Errors
    /// As [`CardBench::ring`]; [`SimError::Bench`] for a completion that does not decode.
    pub fn completion(&mut self, ring: u32) -> Result<Option<Completion>, SimError> {
        let head = self.heads.get(ring as usize).copied().unwrap_or(0);
        let at = BASE + u64::from(ring) * RING_AREA + RING_AREA / 2 + u64::from(head % (1 << RING_LOG2)) * 32;
        let mut words = [0; COMPLETION_WORDS];
        words.copy_from_slice(&self.words_at(at, COMPLETION_WORDS)?);
        if Completion::phase_of(words[3]) != ((head >> RING_LOG2) & 1 == 0) {
            return Ok(None);
        }
        self.ring(registers::CQ_HEAD, ring, head + 1)?;
        self.heads[ring as usize] += 1;
        Completion::decode(words)
            .map(Some)
            .map_err(|error| SimError::Bench(format!("completion {head} of ring {ring}: {error:?}")))
    }

    /// Runs a command on ring 0 to its completion, which must be without error.
    ///
    /// # Errors
    /// [`SimError::Bench`] if it fails or does not end; as the functions above.
    pub fn succeed(&mut self, descriptor: Descriptor) -> Result<Completion, SimError> {
        self.queue(0, descriptor.words())?;
        self.doorbell(0)?;
        self.card.run(STUCK_CYCLES)?;
        match self.completion(0)? {
            Some(done) if done.status == StatusCode::Ok => Ok(done),
            other => Err(SimError::Bench(format!("{:?} ended with {other:?}", descriptor.opcode))),
        }
    }
}

fn outside(address: u64, bytes: usize) -> SimError {
    SimError::Bench(format!("{bytes} bytes at {address:#x} are outside the bench's host memory"))
}
