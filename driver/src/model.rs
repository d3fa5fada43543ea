//! A card in software: the register map, rings and commands of the real one, with the transforms and the bootstrap of the
//! golden model, on keys that it reads from its card memory in the card's own order.
//!
//! It runs behind [`crate::in_process::InProcessBus`] or [`crate::vfio_user::server::CardServer`], so that everything
//! above the card is tested without RTL, and it can misbehave on demand ([`Fault`]), so that everything that can go
//! wrong is tested too. Its cycle counts are nominal: `N / lanes` a polynomial and a fixed overhead a command.

use crate::bootstrap::{golden_result, parameters_of};
use crate::card::{CardBackend, DmaFault, HostPort};
use crate::error::{Error, Result};
use glovebox_golden::keys::{KeyswitchKey, NttBootstrapKey};
use glovebox_golden::params::BootstrapParameters;
use glovebox_golden::{GoldenError, field, ntt::NegacyclicNtt};
use glovebox_regmap::command::{BOOTSTRAP_COMMANDS, COMPLETION_BYTES, DESCRIPTOR_BYTES};
use glovebox_regmap::registers::{self, control, ring_control, ring_degree_log2, status};
use glovebox_regmap::{
    BootstrapSettings, CardLimits, Completion, Descriptor, Flags, GlweShape, Opcode, Register, StatusCode, key_layout,
    layout,
};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

/// What the model claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelConfig {
    /// Coefficients a cycle.
    pub lanes: u32,
    /// log2 of the ring degree.
    pub degree_log2: u32,
    /// GLWE dimension k, 1 to 3.
    pub glwe_dimension: u32,
    /// Ring pairs, 1 to 15.
    pub ring_pairs: u32,
    /// Bytes of card memory, rounded down to whole granules.
    pub memory_bytes: u64,
}

impl ModelConfig {
    fn glwe(&self) -> GlweShape {
        GlweShape { dimension: self.glwe_dimension, degree_log2: self.degree_log2 }
    }

    fn granule(&self) -> u64 {
        layout::BEAT_BYTES * u64::from(layout::memory_ports(self.lanes))
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { lanes: 8, degree_log2: 8, glwe_dimension: 1, ring_pairs: 2, memory_bytes: 16 << 20 }
    }
}

/// A way to misbehave, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next command never ends; a soft reset helps.
    Hang,
    /// The next command never ends and soft resets are ignored; a reset of the function helps.
    HangHard,
    /// The next command ends without a completion.
    DropCompletion,
    /// The next command that asks for an interrupt gets none.
    LoseInterrupt,
    /// The next completion comes twice.
    DuplicateCompletion,
    /// The next completion has a reserved bit set.
    GarbageCompletion,
    /// The next completion names a command that does not exist.
    WrongTag,
    /// The next completion claims descriptors fetched that were never submitted.
    WrongHead,
    /// From the next command on every register reads all ones and nothing works any more, as after unplugging.
    Unplug,
}

/// A card in software.
pub struct SoftwareCard {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

struct Shared {
    config: ModelConfig,
    transform: NegacyclicNtt,
    state: Mutex<State>,
    changed: Condvar,
    host: OnceLock<Arc<HostPort>>,
    /// Card memory. What was not written since reset stays unread by the checks of commands.
    memory: Mutex<Vec<u8>>,
}

#[derive(Default)]
struct State {
    stop: bool,
    unplugged: bool,
    /// Counts resets; work of an older epoch is given up.
    epoch: u64,
    /// The ring whose command the worker is inside of.
    serving: Option<usize>,
    /// Someone waits for the end of that.
    awaited: bool,
    soft_reset: bool,
    faults: VecDeque<Option<Fault>>,
    registers: CardRegisters,
}

#[derive(Clone, Default)]
struct CardRegisters {
    enable: bool,
    error: (u32, u32, u64),
    card_fault: bool,
    interrupt_enable: u32,
    interrupt_status: u32,
    scratch: u32,
    rings: Vec<Ring>,
    counters: crate::registers::Counters,
    next_ring: usize,
    /// Bytes of card memory, from 0 on, written since reset.
    memory_written: u64,
    /// Bytes of card memory, from 0 on, beyond which everything is zero.
    memory_dirty: u64,
}

#[derive(Clone, Copy, Default)]
struct Ring {
    enabled: bool,
    sq_log2: u32,
    sq_base: u64,
    sq_tail: u32,
    sq_head: u32,
    cq_base: u64,
    cq_log2: u32,
    cq_head: u32,
    cq_tail: u32,
    vector: u32,
}

impl SoftwareCard {
    /// A card as `config` says.
    ///
    /// # Errors
    /// [`Error::Argument`] for a configuration that the register map cannot express.
    pub fn new(config: ModelConfig) -> Result<Self> {
        let argument = |rule: String| Error::Argument { device: "software card".into(), what: "configuration", rule };
        let pairs = 1..=layout::MAX_RING_PAIRS;
        let dimensions = 1..=layout::MAX_GLWE_DIMENSION;
        if !pairs.contains(&config.ring_pairs)
            || !(1..=16).contains(&config.degree_log2)
            || !dimensions.contains(&config.glwe_dimension)
            || config.lanes == 0
        {
            return Err(argument(format!("{config:?} is out of range")));
        }
        let transform = NegacyclicNtt::new(1 << config.degree_log2).map_err(|error| argument(error.to_string()))?;
        let state = State { registers: CardRegisters::new(config.ring_pairs), ..State::default() };
        let shared = Arc::new(Shared {
            config,
            transform,
            state: Mutex::new(state),
            changed: Condvar::new(),
            host: OnceLock::new(),
            memory: Mutex::new(vec![0; (config.memory_bytes / config.granule() * config.granule()) as usize]),
        });
        let worker = Arc::clone(&shared);
        let spawned = std::thread::Builder::new().name("software-card".into()).spawn(move || worker.run());
        let worker = spawned.map_err(|source| Error::System { what: "starting the software card".into(), source })?;
        Ok(Self { shared, worker: Some(worker) })
    }

    /// Misbehaves once, at the next opportunity after faults injected earlier.
    pub fn inject(&self, fault: Fault) {
        self.inject_after(0, fault);
    }

    /// As [`SoftwareCard::inject`], once `commands` more commands have been carried out well.
    pub fn inject_after(&self, commands: usize, fault: Fault) {
        let mut state = self.shared.lock();
        state.faults.extend(std::iter::repeat_n(None, commands));
        state.faults.push_back(Some(fault));
    }

    /// The bytes of a range of card memory, as somebody with a probe on its chips would see them. Empty for a range that
    /// is not there.
    pub fn card_memory(&self, range: std::ops::Range<u64>) -> Vec<u8> {
        let memory = self.shared.memory();
        memory.get(range.start as usize..range.end as usize).unwrap_or_default().to_vec()
    }
}

impl Drop for SoftwareCard {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stop = true;
        state.epoch += 1;
        drop(state);
        self.shared.changed.notify_all();
        if let Some(worker) = self.worker.take() {
            // A panic there has been reported by the panic hook.
            let _ = worker.join();
        }
    }
}

impl CardRegisters {
    fn new(ring_pairs: u32) -> Self {
        Self { rings: vec![Ring::default(); ring_pairs as usize], ..Self::default() }
    }

    /// Ring and register of an offset in the ring blocks.
    fn ring_at(offset: u32) -> Option<(usize, u32)> {
        let inside = offset.checked_sub(layout::RING_BLOCK_OFFSET)?;
        Some(((inside / layout::RING_BLOCK_STRIDE) as usize, inside % layout::RING_BLOCK_STRIDE))
    }

    fn fail(&mut self, status: StatusCode, tag: u32, address: u64) {
        self.error = (status.code().into(), tag, address);
        self.card_fault |= status.is_card_wide();
    }
}

fn half(value: u64, offset: u32, register: Register) -> u32 {
    (value >> (8 * (offset - register.offset.get()))) as u32
}

fn replace_half(value: &mut u64, offset: u32, register: Register, word: u32) {
    let shift = 8 * (offset - register.offset.get());
    *value = (*value & !(0xffff_ffff << shift)) | u64::from(word) << shift;
}

fn covers(register: Register, offset: u32) -> bool {
    (register.offset.get()..register.offset.get() + register.bits / 8).contains(&offset)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, offset: u32) -> u32 {
        let state = self.lock();
        if state.unplugged {
            return u32::MAX;
        }
        let card = &state.registers;
        if let Some((ring, offset)) = CardRegisters::ring_at(offset) {
            return card.rings.get(ring).map_or(0, |ring| ring.read(offset));
        }
        let Some(&register) = registers::REGISTERS.iter().find(|r| covers(**r, offset)) else { return 0 };
        let c = &card.counters;
        let long = |value| half(value, offset, register);
        match register {
            registers::LANES => self.config.lanes,
            registers::RING_DEGREE_LOG2 => {
                let word = ring_degree_log2::LOG2.set(0, self.config.degree_log2);
                ring_degree_log2::GLWE_DIMENSION_LESS_1.set(word, self.config.glwe_dimension - 1)
            }
            registers::RING_PAIRS => self.config.ring_pairs,
            registers::COMMANDS => BOOTSTRAP_COMMANDS,
            // "software" in ASCII: there is no Verilog to hash.
            registers::BUILD_ID_0 => long(u64::from_le_bytes(*b"software")),
            registers::BUILD_ID_1 => 0,
            registers::CONTROL => {
                control::SOFT_RESET.set(control::ENABLE.set(0, card.enable.into()), state.soft_reset.into())
            }
            registers::STATUS => {
                let quiet = state.serving.is_none();
                let word = status::BUSY.set(0, state.serving.is_some().into());
                let word = status::FAULT.set(word, card.card_fault.into());
                status::QUIET.set(status::RESETTING.set(word, state.soft_reset.into()), quiet.into())
            }
            registers::ERROR_CODE => card.error.0,
            registers::ERROR_TAG => card.error.1,
            registers::ERROR_ADDRESS => long(card.error.2),
            registers::INTERRUPT_ENABLE => card.interrupt_enable,
            registers::INTERRUPT_STATUS => card.interrupt_status,
            registers::SCRATCH => card.scratch,
            registers::CARD_MEMORY_BYTES => long(self.memory().len() as u64),
            registers::CARD_MEMORY_WRITTEN => long(card.memory_written),
            registers::CARD_MEMORY_GRANULE => self.config.granule() as u32,
            registers::CARD_READ_BEATS => long(c.card_read_beats),
            registers::CARD_WRITE_BEATS => long(c.card_write_beats),
            registers::CYCLES => long(c.cycles),
            registers::BUSY_CYCLES => long(c.busy_cycles),
            registers::READ_BEATS => long(c.read_beats),
            registers::WRITE_BEATS => long(c.write_beats),
            registers::READ_STALLS => long(c.read_stalls),
            registers::WRITE_STALLS => long(c.write_stalls),
            registers::COMMANDS_DONE => long(c.commands_done),
            registers::COMMANDS_FAILED => long(c.commands_failed),
            registers::NTT_BEATS => long(c.ntt_beats),
            registers::INTT_BEATS => long(c.intt_beats),
            constant => constant.reset.map_or(0, long),
        }
    }

    fn write(&self, offset: u32, value: u32) {
        let mut state = self.lock();
        if state.unplugged {
            return;
        }
        let mut fault = false;
        if let Some((ring, offset)) = CardRegisters::ring_at(offset) {
            let serving = state.serving == Some(ring);
            let overrun = state.registers.rings.get_mut(ring).is_some_and(|ring| !ring.write(offset, value, serving));
            if overrun {
                state.registers.fail(StatusCode::RingOverrun, 0, 0);
                fault = true;
            }
        } else if let Some(&register) = registers::REGISTERS.iter().find(|r| r.offset.get() == offset) {
            let card = &mut state.registers;
            match register {
                registers::CONTROL => {
                    card.enable = control::ENABLE.is_set(value);
                    if control::SOFT_RESET.is_set(value) {
                        state.soft_reset = true;
                        state.epoch += 1;
                    }
                }
                registers::ERROR_CODE => {
                    card.error = (0, 0, 0);
                    card.card_fault = false;
                }
                registers::INTERRUPT_ENABLE => card.interrupt_enable = value,
                registers::INTERRUPT_STATUS => card.interrupt_status &= !value,
                registers::SCRATCH => card.scratch = value,
                _ => {}
            }
        }
        if fault {
            self.interrupt(&mut state, layout::FAULT_VECTOR.into());
        }
        drop(state);
        self.changed.notify_all();
    }

    fn interrupt(&self, state: &mut State, vector: u32) {
        state.registers.interrupt_status |= 1u32.checked_shl(vector).unwrap_or(0);
        if state.registers.interrupt_enable.checked_shr(vector).unwrap_or(0) & 1 == 1
            && let (Some(host), Ok(vector)) = (self.host.get(), u16::try_from(vector))
        {
            host.fire(vector);
        }
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            if state.stop {
                return;
            }
            if state.soft_reset {
                self.renew(&mut state);
                self.changed.notify_all();
            }
            let unplugged = state.unplugged;
            let Some(index) = state.registers.next().filter(|_| !unplugged) else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.serving = Some(index);
            state = self.serve(state, index);
            state.serving = None;
            if std::mem::take(&mut state.awaited) {
                self.changed.notify_all();
            }
        }
    }

    /// Takes one descriptor from ring `index` and carries it out; the lock is open meanwhile.
    fn serve<'a>(&'a self, mut state: MutexGuard<'a, State>, index: usize) -> MutexGuard<'a, State> {
        let Some(host) = self.host.get() else { return state };
        let epoch = state.epoch;
        let fault = state.faults.pop_front().flatten();
        let ring = state.registers.rings[index];
        if fault == Some(Fault::Unplug) {
            state.unplugged = true;
            return state;
        }
        drop(state);
        let mut bytes = [0; DESCRIPTOR_BYTES];
        let place = u64::from(ring.sq_head) & ((1 << ring.sq_log2) - 1);
        let fetched = host.read(ring.sq_base.wrapping_add(place * DESCRIPTOR_BYTES as u64), &mut bytes);
        let mut state = self.lock();
        if let Err(DmaFault { address }) = fetched {
            if state.epoch == epoch {
                state.registers.fail(StatusCode::FetchFault, 0, address);
                self.interrupt(&mut state, layout::FAULT_VECTOR.into());
            }
            return state;
        }
        if let Some(hang @ (Fault::Hang | Fault::HangHard)) = fault {
            return self.hang(state, epoch, hang == Fault::HangHard);
        }
        drop(state);
        let decoded = Descriptor::decode(&bytes);
        let checked = decoded.and_then(|d| d.check(&self.limits()).map(|()| d));
        let (status, address, work) = match &checked {
            Ok(descriptor) => self.execute(descriptor, host, epoch),
            Err(error) => (error.status(), error.address(), Work::default()),
        };
        let mut state = self.lock();
        if state.epoch != epoch {
            return state; // reset meanwhile: nothing is reported
        }
        let tag = Descriptor::tag_of(&bytes);
        let card = &mut state.registers;
        card.count(&work, status);
        if status != StatusCode::Ok {
            card.fail(status, tag, address);
        }
        let head = ring.sq_head.wrapping_add(1);
        card.rings[index].sq_head = head;
        if card.rings[index].sq_tail.wrapping_add(1) == head {
            // The tail was taken back under the fetch.
            card.fail(StatusCode::RingOverrun, 0, 0);
            self.interrupt(&mut state, layout::FAULT_VECTOR.into());
        }
        let mut completion = Completion {
            cycles: work.cycles,
            fault_address: address,
            submission_head: head,
            tag,
            status,
            opcode: bytes[0],
            phase: false,
        };
        match fault {
            Some(Fault::DropCompletion) => return state,
            Some(Fault::WrongTag) => completion.tag ^= 0x1234_0000,
            Some(Fault::WrongHead) => completion.submission_head = head.wrapping_add(0x10_0000),
            _ => {}
        }
        let copies = if fault == Some(Fault::DuplicateCompletion) { 2 } else { 1 };
        for _ in 0..copies {
            let card = &mut state.registers;
            let ring = &mut card.rings[index];
            completion.phase = (ring.cq_tail >> ring.cq_log2) & 1 == 0;
            let mut words = completion.encode();
            if fault == Some(Fault::GarbageCompletion) {
                words[COMPLETION_BYTES - 1] |= 0x40;
            }
            let place = u64::from(ring.cq_tail) & ((1 << ring.cq_log2) - 1);
            let to = ring.cq_base.wrapping_add(place * COMPLETION_BYTES as u64);
            ring.cq_tail = ring.cq_tail.wrapping_add(1);
            if let Err(DmaFault { address }) = host.write(to, &words) {
                card.fail(StatusCode::CompletionFault, 0, address);
                self.interrupt(&mut state, layout::FAULT_VECTOR.into());
                return state;
            }
        }
        let wanted = (bytes[1] & Flags::INTERRUPT.bits()) != 0;
        if wanted && fault != Some(Fault::LoseInterrupt) {
            self.interrupt(&mut state, ring.vector);
        }
        state
    }

    fn hang<'a>(&'a self, mut state: MutexGuard<'a, State>, epoch: u64, hard: bool) -> MutexGuard<'a, State> {
        let released = |state: &State| state.epoch != epoch && !(hard && state.soft_reset);
        while !state.stop && !released(&state) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    fn memory(&self) -> MutexGuard<'_, Vec<u8>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limits(&self) -> CardLimits {
        // One lock at a time.
        let memory_bytes = self.memory().len() as u64;
        CardLimits {
            commands: BOOTSTRAP_COMMANDS,
            glwe: self.config.glwe(),
            lanes: self.config.lanes,
            memory_bytes,
            memory_granule_bytes: self.config.granule(),
            memory_written_bytes: self.lock().registers.memory_written,
        }
    }

    /// Brings every register to its reset value and erases card memory; only while no command is under way.
    fn renew(&self, state: &mut State) {
        self.memory()[..state.registers.memory_dirty as usize].fill(0);
        state.registers = CardRegisters::new(self.config.ring_pairs);
        state.soft_reset = false;
    }

    /// KEY_UPLOAD and WIPE, a piece at a time.
    fn fill(&self, descriptor: &Descriptor, host: &HostPort, epoch: u64) -> (StatusCode, u64, Work) {
        let mut work = Work { cycles: 16, ..Work::default() };
        let (total, start) = (u64::from(descriptor.count), descriptor.destination);
        let mut buffer = vec![0; PIECE.min(total) as usize];
        let mut done = 0;
        while done < total {
            let bytes = &mut buffer[..PIECE.min(total - done) as usize];
            if descriptor.opcode == Opcode::KeyUpload {
                if let Err(DmaFault { address }) = host.read(descriptor.source + done, bytes) {
                    return (StatusCode::ReadFault, address & !(layout::BEAT_BYTES - 1), work);
                }
                work.read_beats += bytes.len() as u64 / layout::BEAT_BYTES;
            }
            let mut state = self.lock();
            if state.epoch != epoch {
                return (StatusCode::Ok, 0, work);
            }
            if descriptor.opcode == Opcode::KeyUpload {
                let dirty = &mut state.registers.memory_dirty;
                *dirty = (*dirty).max(start + total);
            }
            let at = (start + done) as usize;
            self.memory()[at..at + bytes.len()].copy_from_slice(bytes);
            done += bytes.len() as u64;
        }
        work.card_write_beats = total / self.config.granule();
        work.cycles += total / layout::BEAT_BYTES;
        let mut state = self.lock();
        if state.epoch == epoch {
            let written = &mut state.registers.memory_written;
            *written = (*written).max(start + total);
            let dirty = &mut state.registers.memory_dirty;
            if descriptor.opcode == Opcode::Wipe && start + total >= *dirty {
                *dirty = (*dirty).min(start);
            }
        }
        (StatusCode::Ok, 0, work)
    }

    /// Words of card memory.
    fn card_words(&self, address: u64, bytes: u64) -> Vec<u64> {
        words_of(&self.memory()[address as usize..(address + bytes) as usize])
    }

    /// KEYSWITCH and BOOTSTRAP by the golden model.
    fn bootstrap(&self, descriptor: &Descriptor, host: &HostPort, epoch: u64) -> (StatusCode, u64, Work) {
        let mut work = Work { cycles: 16, ..Work::default() };
        let Some(settings) = descriptor.settings() else { return (StatusCode::BadOperand, 0, work) };
        let (from, to) = descriptor.bytes(self.config.glwe());
        let mut input = vec![0; from as usize];
        if let Err(DmaFault { address }) = host.read(descriptor.source, &mut input) {
            return (StatusCode::ReadFault, address & !(layout::BEAT_BYTES - 1), work);
        }
        let output = match self.bootstrap_words(descriptor, &settings, &words_of(&input), epoch) {
            Ok(output) => output,
            Err(error) => {
                tracing::error!(%error, "the golden model refuses what the card's checks let through");
                return (StatusCode::BadOperand, 0, work);
            }
        };
        let output: Vec<u8> = output.iter().flat_map(|word| word.to_le_bytes()).collect();
        if self.lock().epoch != epoch {
            return (StatusCode::Ok, 0, work);
        }
        if let Err(DmaFault { address }) = host.write(descriptor.destination, &output) {
            return (StatusCode::WriteFault, address & !(layout::BEAT_BYTES - 1), work);
        }
        work.read_beats = from.div_ceil(layout::BEAT_BYTES);
        work.write_beats = to.div_ceil(layout::BEAT_BYTES);
        let degree = 1u64 << self.config.degree_log2;
        let steps = u64::from(descriptor.count) * u64::from(settings.dimension) * u64::from(settings.pbs_levels);
        work.cycles += steps * (2 * degree / u64::from(self.config.lanes)).max(1);
        (StatusCode::Ok, 0, work)
    }

    /// LWE_LINEAR and POINTWISE_MAC, word by word.
    fn linear(&self, descriptor: &Descriptor, host: &HostPort, epoch: u64) -> (StatusCode, u64, Work) {
        let mut work = Work { cycles: 16, ..Work::default() };
        let Some(settings) = descriptor.linear() else { return (StatusCode::BadOperand, 0, work) };
        let (from, to) = descriptor.bytes(self.config.glwe());
        let mut input = vec![0; from as usize];
        if let Err(DmaFault { address }) = host.read(descriptor.source, &mut input) {
            return (StatusCode::ReadFault, address & !(layout::BEAT_BYTES - 1), work);
        }
        let (words, _) = settings.words_a_result(descriptor.opcode, self.config.degree_log2);
        let mut output: Vec<u8> = vec![];
        for result in words_of(&input).chunks_exact(words as usize) {
            let sum = if descriptor.opcode == Opcode::PointwiseMac {
                let degree = 1 << self.config.degree_log2;
                result.chunks_exact(2 * degree).fold(vec![0; degree], |mut sum, term| {
                    let (a, b) = term.split_at(degree);
                    for ((sum, &a), &b) in sum.iter_mut().zip(a).zip(b) {
                        *sum = field::add(*sum, field::mul(field::reduce(a), field::reduce(b)));
                    }
                    sum
                })
            } else {
                let len = usize::from(settings.words);
                let mut sum = vec![0; len];
                sum[len - 1] = result[0];
                for term in result[1..].chunks_exact(1 + len) {
                    for (sum, word) in sum.iter_mut().zip(&term[1..]) {
                        *sum = term[0].wrapping_mul(*word).wrapping_add(*sum);
                    }
                }
                sum
            };
            output.extend(sum.iter().flat_map(|word| word.to_le_bytes()));
        }
        if self.lock().epoch != epoch {
            return (StatusCode::Ok, 0, work);
        }
        if let Err(DmaFault { address }) = host.write(descriptor.destination, &output) {
            return (StatusCode::WriteFault, address & !(layout::BEAT_BYTES - 1), work);
        }
        work.read_beats = from.div_ceil(layout::BEAT_BYTES);
        work.write_beats = to.div_ceil(layout::BEAT_BYTES);
        work.cycles += (from + to) / 8;
        (StatusCode::Ok, 0, work)
    }

    fn bootstrap_words(
        &self,
        descriptor: &Descriptor,
        settings: &BootstrapSettings,
        input: &[u64],
        epoch: u64,
    ) -> std::result::Result<Vec<u64>, GoldenError> {
        let (glwe, lanes) = (self.config.glwe(), self.config.lanes);
        let p = parameters_of(settings, glwe);
        let [bsk, ksk, lut, _] = descriptor.operands;
        let bootstraps = descriptor.opcode == Opcode::Bootstrap;
        let keyswitch_key = if settings.keyswitch {
            let words = self.card_words(ksk, settings.keyswitch_key_bytes(glwe, lanes));
            let columns = layout::keyswitch_columns(lanes) as usize;
            Some(KeyswitchKey::from_words(&p, golden_keyswitch_key(&words, &p, settings, columns))?)
        } else {
            None
        };
        let bootstrap_key = if bootstraps {
            let words = self.card_words(bsk, settings.bootstrap_key_bytes(glwe));
            Some(NttBootstrapKey::from_words(&p, golden_bootstrap_key(&words, &p, lanes))?)
        } else {
            None
        };
        let mut output = vec![];
        for (index, words) in input.chunks_exact(settings.source_words(glwe) as usize).enumerate() {
            if self.lock().epoch != epoch {
                break;
            }
            let table = if settings.lut_each { index as u64 } else { 0 };
            let bytes = 8 * glwe.degree();
            let body = bootstrap_key.as_ref().map(|_| self.card_words(lut + table * bytes, bytes));
            let rotation = bootstrap_key.as_ref().zip(body.as_deref());
            output.extend(golden_result(&p, keyswitch_key.as_ref(), rotation, settings.functions.into(), words)?);
        }
        Ok(output)
    }

    /// Carries a checked command out, a piece at a time; gives up once the card has been reset.
    fn execute(&self, descriptor: &Descriptor, host: &HostPort, epoch: u64) -> (StatusCode, u64, Work) {
        match descriptor.opcode {
            Opcode::KeyUpload | Opcode::Wipe => return self.fill(descriptor, host, epoch),
            Opcode::Keyswitch | Opcode::Bootstrap => return self.bootstrap(descriptor, host, epoch),
            Opcode::LweLinear | Opcode::PointwiseMac => return self.linear(descriptor, host, epoch),
            _ => {}
        }
        let degree_bytes = 8u64 << self.config.degree_log2;
        let mut work = Work { cycles: 16, ..Work::default() };
        let (total, _) = descriptor.bytes(self.config.glwe());
        let piece = if descriptor.opcode == Opcode::Copy { PIECE } else { degree_bytes };
        let mut buffer = vec![0; piece.min(total) as usize];
        let mut done = 0;
        while done < total {
            if self.lock().epoch != epoch {
                break;
            }
            let bytes = &mut buffer[..piece.min(total - done) as usize];
            if let Err(DmaFault { address }) = host.read(descriptor.source + done, bytes) {
                // The card reads by bursts: it knows the beat.
                return (StatusCode::ReadFault, address & !(layout::BEAT_BYTES - 1), work);
            }
            let beats = (bytes.len() as u64).div_ceil(layout::BEAT_BYTES);
            let groups = degree_bytes / 8 / u64::from(self.config.lanes).min(degree_bytes / 8);
            match descriptor.opcode {
                Opcode::Ntt => {
                    self.transform(bytes, true);
                    work.ntt_beats += groups;
                }
                Opcode::Intt => {
                    self.transform(bytes, false);
                    work.intt_beats += groups;
                }
                _ => {}
            }
            if let Err(DmaFault { address }) = host.write(descriptor.destination + done, bytes) {
                return (StatusCode::WriteFault, address & !(layout::BEAT_BYTES - 1), work);
            }
            work.read_beats += beats;
            work.write_beats += beats;
            work.cycles += beats.max(if descriptor.opcode == Opcode::Copy { 0 } else { groups });
            done += bytes.len() as u64;
        }
        (StatusCode::Ok, 0, work)
    }

    fn transform(&self, bytes: &mut [u8], forward: bool) {
        let mut words: Vec<u64> = words_of(bytes).into_iter().map(field::reduce).collect();
        let done = if forward {
            self.transform.forward_bit_reversed(&mut words)
        } else {
            self.transform.inverse_bit_reversed(&mut words)
        };
        if let Err(error) = done {
            tracing::error!(%error, "a polynomial of another length came to the transform");
        }
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
    }
}

/// Bytes that a command moves at a time.
const PIECE: u64 = 64 << 10;

fn words_of(bytes: &[u8]) -> Vec<u64> {
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    bytes.chunks_exact(8).map(word).collect()
}

/// A bootstrapping key in golden's order and scale from card memory: [`key_layout`]'s order undone, the factors times
/// 2^(64 - (l - i) B), by which they were divided.
fn golden_bootstrap_key(words: &[u64], p: &BootstrapParameters, lanes: u32) -> Vec<u64> {
    let (degree, levels) = (p.ring_degree.0, p.pbs_level.0);
    let points = (lanes as usize / 2).clamp(1, degree);
    let mut key = vec![0; p.bootstrap_key_len()];
    let rows = p.glwe_dimension.0 + 1;
    let components = key_layout::components(p.glwe_dimension.0 as u32) as usize;
    for (block, (from, to)) in
        words.chunks_exact(components * degree).zip(key.chunks_exact_mut(rows * rows * degree)).enumerate()
    {
        let scale = field::pow(2, 64 - (levels - block % levels) as u64 * u64::from(p.pbs_base_log.0));
        for (beat, group) in from.chunks_exact(components * points).enumerate() {
            // Components are rows within columns; golden has columns within rows.
            for (component, part) in group.chunks_exact(points).take(rows * rows).enumerate() {
                let (column, row) = (component / rows, component % rows);
                for (point, &word) in part.iter().enumerate() {
                    to[(row * rows + column) * degree + beat * points + point] = field::mul(word, scale);
                }
            }
        }
    }
    key
}

/// A keyswitching key in golden's order from card memory: words at the top of 64 bits, padding dropped.
fn golden_keyswitch_key(
    slots: &[u64],
    p: &BootstrapParameters,
    settings: &BootstrapSettings,
    columns: usize,
) -> Vec<u64> {
    let per_slot = usize::from(settings.ks_words_per_slot);
    let bits = 64 / per_slot as u32;
    let small = p.lwe_dimension.0 + 1;
    let entries = p.big_lwe_dimension().0 * p.ks_level.0;
    let groups = entries.div_ceil(per_slot);
    let mut key = vec![0; entries * small];
    for (entry, row) in key.chunks_exact_mut(small).enumerate() {
        for (column, word) in row.iter_mut().enumerate() {
            let slot = ((column / columns) * groups + entry / per_slot) * columns + column % columns;
            *word = slots[slot] >> (bits * (entry % per_slot) as u32) << (64 - bits);
        }
    }
    key
}

/// What a command cost.
#[derive(Default)]
struct Work {
    cycles: u64,
    read_beats: u64,
    write_beats: u64,
    ntt_beats: u64,
    intt_beats: u64,
    card_write_beats: u64,
}

impl CardRegisters {
    /// The next ring with something to do, in turn.
    fn next(&mut self) -> Option<usize> {
        if !self.enable || self.card_fault {
            return None;
        }
        let count = self.rings.len();
        let ready = |ring: &Ring| {
            ring.enabled && ring.sq_head != ring.sq_tail && ring.cq_tail.wrapping_sub(ring.cq_head) < 1 << ring.cq_log2
        };
        let index = (0..count).map(|k| (self.next_ring + k) % count).find(|&k| ready(&self.rings[k]))?;
        self.next_ring = (index + 1) % count;
        Some(index)
    }

    fn count(&mut self, work: &Work, status: StatusCode) {
        let c = &mut self.counters;
        c.cycles += work.cycles;
        c.busy_cycles += work.cycles;
        c.read_beats += work.read_beats + 1;
        c.write_beats += work.write_beats + 1;
        c.ntt_beats += work.ntt_beats;
        c.intt_beats += work.intt_beats;
        c.card_write_beats += work.card_write_beats;
        if status == StatusCode::Ok {
            c.commands_done += 1;
        } else {
            c.commands_failed += 1;
        }
    }
}

impl Ring {
    fn read(&self, offset: u32) -> u32 {
        let Some(register) = registers::RING_REGISTERS.iter().find(|r| covers(r.in_block(), offset)) else { return 0 };
        let long = |value| half(value, offset, register.in_block());
        match *register {
            registers::RING_CONTROL => self.enabled.into(),
            registers::SQ_LOG2 => self.sq_log2,
            registers::SQ_BASE => long(self.sq_base),
            registers::SQ_TAIL => self.sq_tail,
            registers::SQ_HEAD => self.sq_head,
            registers::CQ_BASE => long(self.cq_base),
            registers::CQ_LOG2 => self.cq_log2,
            registers::CQ_HEAD => self.cq_head,
            registers::CQ_TAIL => self.cq_tail,
            registers::RING_VECTOR => self.vector,
            _ => 0,
        }
    }

    /// False if a doorbell is too far ahead, or the ring is enabled while it is being served.
    fn write(&mut self, offset: u32, value: u32, serving: bool) -> bool {
        let Some(register) = registers::RING_REGISTERS.iter().find(|r| covers(r.in_block(), offset)) else {
            return true;
        };
        match *register {
            registers::RING_CONTROL => {
                self.enabled = ring_control::ENABLE.is_set(value);
                if self.enabled {
                    (self.sq_tail, self.sq_head, self.cq_head, self.cq_tail) = (0, 0, 0, 0);
                    return !serving;
                }
            }
            registers::SQ_LOG2 => self.sq_log2 = value & 0xf,
            registers::SQ_BASE => replace_half(&mut self.sq_base, offset, register.in_block(), value),
            registers::SQ_TAIL => {
                self.sq_tail = value;
                return value.wrapping_sub(self.sq_head) <= 1 << self.sq_log2;
            }
            registers::CQ_BASE => replace_half(&mut self.cq_base, offset, register.in_block(), value),
            registers::CQ_LOG2 => self.cq_log2 = value & 0xf,
            registers::CQ_HEAD => {
                self.cq_head = value;
                return self.cq_tail.wrapping_sub(value) <= 1 << self.cq_log2;
            }
            registers::RING_VECTOR => self.vector = value,
            _ => {}
        }
        true
    }
}

impl CardBackend for SoftwareCard {
    fn attach(&self, host: Arc<HostPort>) {
        if self.shared.host.set(host).is_err() {
            tracing::error!("a software card serves one host: the second is ignored");
        }
    }

    fn read32(&self, offset: u32) -> u32 {
        self.shared.read(offset)
    }

    fn write32(&self, offset: u32, value: u32) {
        self.shared.write(offset, value);
    }

    fn reset(&self) {
        let mut state = self.shared.lock();
        state.epoch += 1;
        state.soft_reset = false;
        // The worker must see the new epoch before its registers are new.
        self.shared.changed.notify_all();
        while state.serving.is_some() && !state.stop {
            state.awaited = true;
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.shared.renew(&mut state);
    }
}
