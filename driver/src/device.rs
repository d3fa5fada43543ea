//! One card: opening, commands, completions, recovery.

use crate::address::DeviceAddress;
use crate::bootstrap::settings_of;
use crate::bus::Bus;
use crate::card_memory::{CardBuffer, CardMemory, CardSlice, Resident, Wiping};
use crate::dma::{DmaBuffer, DmaSlice, DmaSpace};
use crate::error::{Error, Result};
use crate::queue::{self, Done, Held, Pending, Queue, RingViolation};
use crate::registers::{CardParameters, Counters, Registers};
use crate::sys;
use crate::vfio::VfioBus;
use crate::vfio_user::client::VfioUserBus;
use crossbeam::channel::{Receiver, RecvTimeoutError, TryRecvError, bounded};
use glovebox_golden::params::BootstrapParameters;
use glovebox_regmap::registers as map;
use glovebox_regmap::{BootstrapSettings, Descriptor, Flags, LinearSettings, Opcode, StatusCode, layout};
use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vmm_sys_util::eventfd::EventFd;

/// How the driver hears of completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletionMode {
    /// By interrupt; a slow look at the rings makes up for one that gets lost.
    Interrupt,
    /// By looking at the rings all the time while commands are outstanding: less latency, one busy core.
    Polling,
}

/// Settings of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceConfig {
    /// log2 of the entries of each ring, 1 to 15.
    pub ring_log2: u32,
    /// Ring pairs to use: at most those that the card has; at least 1.
    pub ring_pairs: u32,
    /// How the driver hears of completions.
    pub completion: CompletionMode,
    /// Longest time from submission of a command to its completion; then the card is reset.
    pub command_timeout: Duration,
    /// Longest wait for the answer to one request over a socket.
    pub reply_timeout: Duration,
    /// Longest wait for a soft reset to take effect before the function is reset.
    pub reset_timeout: Duration,
    /// Longest wait, after that, for the card to erase its memory.
    pub erase_timeout: Duration,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            ring_log2: 8,
            ring_pairs: layout::MAX_RING_PAIRS,
            completion: CompletionMode::Interrupt,
            command_timeout: Duration::from_secs(60),
            reply_timeout: crate::bus::REPLY_TIMEOUT,
            reset_timeout: Duration::from_secs(1),
            // 64 GB at 1 GB/s.
            erase_timeout: Duration::from_secs(64),
        }
    }
}

/// What the card is asked to do. Source and destination are the same range or share no byte.
#[derive(Clone, Debug)]
pub enum Command {
    /// Nothing.
    Nop,
    /// Completes after every earlier command of its ring pair.
    Fence,
    /// Copies bytes.
    Copy {
        /// From here.
        source: DmaSlice,
        /// To here; of the same length.
        destination: DmaSlice,
    },
    /// Forward negacyclic NTT of whole polynomials: natural order in, bit-reversed out, values `[0, p)`.
    Ntt {
        /// Polynomials, N words each.
        source: DmaSlice,
        /// Room for as many.
        destination: DmaSlice,
    },
    /// Inverse of [`Command::Ntt`], 1/N included: bit-reversed order in, natural out.
    Intt {
        /// Polynomials, N words each.
        source: DmaSlice,
        /// Room for as many.
        destination: DmaSlice,
    },
    /// Linear combinations of LWE ciphertexts and plaintexts mod 2^64.
    LweLinear {
        /// For each result its plaintext, and for each term a weight and a ciphertext; see `glovebox_regmap::command`.
        source: DmaSlice,
        /// Room for the results; shares no byte with the source.
        destination: DmaSlice,
        /// Words of a ciphertext and terms of a result.
        settings: LinearSettings,
    },
    /// Sums of pointwise products of polynomials mod p.
    PointwiseMac {
        /// For each result and term two polynomials, N words each.
        source: DmaSlice,
        /// Room for the results, N words each; shares no byte with the source.
        destination: DmaSlice,
        /// Terms of a result, 1 to 255.
        terms: u8,
    },
    /// Overwrites card memory.
    Upload {
        /// From here.
        source: DmaSlice,
        /// To here; of the same length, whole granules.
        destination: CardSlice,
    },
    /// Overwrites card memory with 0.
    Wipe {
        /// Whole granules.
        destination: CardSlice,
    },
    /// Keyswitches LWE ciphertexts.
    Keyswitch {
        /// Ciphertexts of N + 1 words.
        source: DmaSlice,
        /// Room for as many of n + 1 words; shares no byte with the source.
        destination: DmaSlice,
        /// Keyswitching key, in the order of `glovebox_regmap::key_layout` for the card's lanes.
        key: CardSlice,
        /// Run-time values.
        settings: BootstrapSettings,
    },
    /// Bootstraps LWE ciphertexts.
    Bootstrap {
        /// Ciphertexts of N + 1 words with keyswitch, of n + 1 words without.
        source: DmaSlice,
        /// Room for `functions` ciphertexts of N + 1 words for each; shares no byte with the source.
        destination: DmaSlice,
        /// Bootstrapping key, in the order of `glovebox_regmap::key_layout` for the card's lanes.
        bootstrap_key: CardSlice,
        /// Keyswitching key, if the settings ask for a keyswitch.
        keyswitch_key: Option<CardSlice>,
        /// Bodies of the look-up tables, N words each: one, or one for each ciphertext.
        luts: CardSlice,
        /// Run-time values.
        settings: BootstrapSettings,
    },
}

impl Command {
    fn opcode(&self) -> Opcode {
        match self {
            Command::Nop => Opcode::Nop,
            Command::Fence => Opcode::Fence,
            Command::Copy { .. } => Opcode::Copy,
            Command::Ntt { .. } => Opcode::Ntt,
            Command::Intt { .. } => Opcode::Intt,
            Command::LweLinear { .. } => Opcode::LweLinear,
            Command::PointwiseMac { .. } => Opcode::PointwiseMac,
            Command::Upload { .. } => Opcode::KeyUpload,
            Command::Wipe { .. } => Opcode::Wipe,
            Command::Keyswitch { .. } => Opcode::Keyswitch,
            Command::Bootstrap { .. } => Opcode::Bootstrap,
        }
    }
}

/// A command that was submitted. Dropping it forgets the result; the command goes on.
#[derive(Debug)]
pub struct Ticket {
    device: Arc<str>,
    receiver: Receiver<Result<Done>>,
}

impl Ticket {
    fn lost(&self) -> Error {
        Error::DeviceLost { device: self.device.to_string(), reason: "it was closed".into() }
    }

    /// Waits for the command. Bounded by the device's command timeout and the time of a reset.
    ///
    /// # Errors
    /// How the command failed.
    pub fn wait(self) -> Result<Done> {
        self.receiver.recv().unwrap_or_else(|_| Err(self.lost()))
    }

    /// Waits at most `limit`.
    ///
    /// # Errors
    /// [`Error::StillRunning`] if the time is over first; the ticket stays good. Otherwise how the command failed.
    pub fn wait_timeout(&self, limit: Duration) -> Result<Done> {
        match self.receiver.recv_timeout(limit) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                Err(Error::StillRunning { device: self.device.to_string(), after: limit })
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.lost()),
        }
    }

    /// The result, if it is there.
    pub fn try_wait(&self) -> Option<Result<Done>> {
        match self.receiver.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(self.lost())),
        }
    }
}

/// Events of a device's life since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Resets after a timeout, a fault or a bad completion.
    pub recoveries: u64,
    /// Looks at the rings that found completions whose interrupt had not come.
    pub late_interrupts: u64,
}

/// An open card. Methods take `&self` and may be called from several threads.
pub struct Device {
    core: Arc<Core>,
    dispatcher: Option<JoinHandle<()>>,
    pool: Mutex<Vec<DmaBuffer>>,
}

pub(crate) struct Core {
    name: Arc<str>,
    space: Arc<DmaSpace>,
    memory: CardMemory,
    parameters: CardParameters,
    config: DeviceConfig,
    queues: Vec<(Mutex<Queue>, Condvar)>,
    lost: RwLock<Option<String>>,
    stop: AtomicBool,
    /// The dispatcher sleeps without a deadline.
    idle: AtomicBool,
    /// Something told a submitter that the card is in trouble.
    trouble: AtomicBool,
    wake: EventFd,
    vectors: Vec<EventFd>,
    recoveries: AtomicU64,
    late_interrupts: AtomicU64,
}

/// A descriptor without its tag, and the memory that it names.
type Prepared = ([u64; 8], Held);

/// How often rings are looked at without an interrupt.
const LOST_INTERRUPT: Duration = Duration::from_millis(20);
/// How often the card's status is read while commands are outstanding and nothing completes.
const HEALTH_CHECK: Duration = Duration::from_millis(500);
/// How often a card is asked whether its reset is over.
const RESET_POLL: Duration = Duration::from_micros(200);
/// Interrupts are asked for at every so many commands of a batch, and at its last.
const INTERRUPT_EVERY: usize = 16;
/// Bytes of one piece of a blocking transform or copy.
const PIECE_BYTES: usize = 4 << 20;
/// Pieces in flight at once.
const PIECES_IN_FLIGHT: usize = 4;
/// Buffers kept for the next blocking call.
const POOLED_BUFFERS: usize = 8;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device {
    /// Opens the card at `address` with default settings.
    ///
    /// # Errors
    /// Nobody answers, the card is taken, or it is not one that this driver knows.
    pub fn open(address: &DeviceAddress) -> Result<Self> {
        Self::open_with(address, DeviceConfig::default())
    }

    /// Opens the card at `address`.
    ///
    /// # Errors
    /// As [`Device::open`], and [`Error::Argument`] for settings out of range.
    pub fn open_with(address: &DeviceAddress, config: DeviceConfig) -> Result<Self> {
        let bus: Arc<dyn Bus> = match address {
            DeviceAddress::VfioUser(path) => Arc::new(VfioUserBus::connect(path, config.reply_timeout)?),
            DeviceAddress::Vfio(address) => Arc::new(VfioBus::open(*address)?),
        };
        Self::from_bus(bus, config)
    }

    /// Opens the card behind `bus`: resets it, checks its identity, sets the rings up.
    ///
    /// # Errors
    /// As [`Device::open_with`].
    pub fn from_bus(bus: Arc<dyn Bus>, config: DeviceConfig) -> Result<Self> {
        let name: Arc<str> = bus.name().into();
        let sizes = layout::MIN_RING_LOG2..=layout::MAX_RING_LOG2;
        if !sizes.contains(&config.ring_log2) || config.ring_pairs == 0 {
            return Err(Error::Argument {
                device: name.to_string(),
                what: "device settings",
                rule: format!(
                    "{} ring pairs of 2^{} entries: use 1 or more of 2^1 to 2^15",
                    config.ring_pairs, config.ring_log2
                ),
            });
        }
        // A stranger is not reset: look at it first.
        Registers(&*bus).identify()?;
        bus.reset()?;
        await_erased(&*bus, config.erase_timeout)?;
        let parameters = Registers(&*bus).identify()?;
        let space = Arc::new(DmaSpace::new(bus));
        let system = |source| Error::System { what: "making an event".into(), source };
        let event = || EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC).map_err(system);
        let pairs = config.ring_pairs.min(parameters.ring_pairs);
        let queues = (0..pairs)
            .map(|index| Ok((Mutex::new(Queue::new(&space, index, config.ring_log2)?), Condvar::new())))
            .collect::<Result<Vec<_>>>()?;
        let vectors = (0..space.bus.vectors()).map(|_| event()).collect::<Result<Vec<_>>>()?;
        let core = Arc::new(Core {
            name,
            memory: CardMemory::new(parameters.card_memory_bytes, parameters.card_memory_granule_bytes.into()),
            parameters,
            config,
            queues,
            lost: RwLock::new(None),
            stop: AtomicBool::new(false),
            idle: AtomicBool::new(false),
            trouble: AtomicBool::new(false),
            wake: event()?,
            vectors,
            recoveries: AtomicU64::new(0),
            late_interrupts: AtomicU64::new(0),
            space,
        });
        // Made before the card runs, so that whatever fails below closes it in an orderly way.
        let mut device = Self { core: Arc::clone(&core), dispatcher: None, pool: Mutex::default() };
        let events: Vec<&EventFd> = core.vectors.iter().collect();
        core.space.bus.set_interrupts(&events)?;
        let mut guards: Vec<_> = core.queues.iter().map(|(queue, _)| locked(queue)).collect();
        core.start(&mut guards)?;
        drop(guards);
        let spawned = std::thread::Builder::new().name("card-dispatcher".into()).spawn(move || core.dispatch());
        device.dispatcher =
            Some(spawned.map_err(|source| Error::System { what: "starting the dispatcher".into(), source })?);
        Ok(device)
    }

    /// The address that the device was opened at.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// What the card says of itself.
    pub fn parameters(&self) -> &CardParameters {
        &self.core.parameters
    }

    /// Ring pairs in use; commands may be submitted to each.
    pub fn queues(&self) -> usize {
        self.core.queues.len()
    }

    /// Commands that one ring pair holds.
    pub fn queue_depth(&self) -> usize {
        1 << self.core.config.ring_log2
    }

    /// The card's performance counters since it was last reset.
    ///
    /// # Errors
    /// If the card cannot be reached.
    pub fn counters(&self) -> Result<Counters> {
        self.core.check_alive()?;
        Registers(&*self.core.space.bus).counters()
    }

    /// Recoveries and other incidents since the device was opened.
    pub fn health(&self) -> Health {
        Health {
            recoveries: self.core.recoveries.load(Ordering::Relaxed),
            late_interrupts: self.core.late_interrupts.load(Ordering::Relaxed),
        }
    }

    /// Why the device cannot be used any more, if so.
    pub fn lost(&self) -> Option<String> {
        self.core.lost.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Memory that the card can reach, zeroed.
    ///
    /// # Errors
    /// Out of memory, of lockable memory, or of device addresses.
    pub fn allocate(&self, bytes: usize) -> Result<DmaBuffer> {
        self.core.check_alive()?;
        self.core.space.allocate(bytes)
    }

    /// Submits commands to a ring pair, in order, and waits for room where there is none.
    ///
    /// # Errors
    /// [`Error::Argument`] or [`Error::Unsupported`] if any command is one that the card would refuse (then none is
    /// submitted); [`Error::CardMemoryLost`] if it names card memory from before a reset; [`Error::RingFull`] if no room
    /// came within the command timeout, [`Error::DeviceLost`]. Commands that found room before such an error go on: their
    /// memory stays theirs, and what they write is to be ignored.
    pub fn submit(&self, queue: usize, commands: &[Command]) -> Result<Vec<Ticket>> {
        self.core.submit(queue, commands, true)
    }

    /// Submits all of the commands, or none if there is not room for all now.
    ///
    /// # Errors
    /// As [`Device::submit`], without the wait.
    pub fn try_submit(&self, queue: usize, commands: &[Command]) -> Result<Vec<Ticket>> {
        self.core.submit(queue, commands, false)
    }

    /// Submits eight words as they are, tag apart, and waits: for the conformance suite's look at the card's own checks.
    ///
    /// Not for callers outside: words can name memory and keys that the caller holds no handle of.
    pub(crate) fn run_words(&self, queue: usize, words: [u64; 8]) -> Result<Done> {
        let tickets = self.core.enqueue(queue, vec![(words, Held::default())], true)?;
        self.last_of(tickets)
    }

    /// Uploads bytes into card memory of their own, padded with zeros to whole granules.
    ///
    /// # Errors
    /// [`Error::OutOfCardMemory`]; [`Error::Argument`] for no byte at all; as [`Device::run`].
    pub fn upload(&self, data: &[u8]) -> Result<CardBuffer> {
        self.upload_pieces(data.len(), |buffer, from, bytes| buffer.write(0, &data[from..from + bytes]))
    }

    /// As [`Device::upload`], 64-bit words.
    ///
    /// # Errors
    /// As [`Device::upload`].
    pub fn upload_words(&self, words: &[u64]) -> Result<CardBuffer> {
        let put =
            |buffer: &DmaBuffer, from: usize, bytes: usize| buffer.write_words(0, &words[from / 8..(from + bytes) / 8]);
        self.upload_pieces(size_of_val(words), put)
    }

    fn upload_pieces(&self, bytes: usize, put: impl Fn(&DmaBuffer, usize, usize) -> Result<()>) -> Result<CardBuffer> {
        let core = &self.core;
        if !core.parameters.can(Opcode::KeyUpload) {
            return Err(Error::Unsupported { device: self.name().into(), command: Opcode::KeyUpload.name() });
        }
        if bytes == 0 {
            return Err(core.argument("length of an upload", "there is no byte to upload".into()));
        }
        let granule = core.memory.granule();
        let order = locked(&core.memory.uploads);
        let (range, epoch) = core.allocate_card_memory((bytes as u64).next_multiple_of(granule))?;
        let card = CardBuffer(Arc::new(Resident { core: Arc::downgrade(core), range, epoch }));
        for from in (0..bytes).step_by(PIECE_BYTES) {
            let length = PIECE_BYTES.min(bytes - from);
            let whole = length.next_multiple_of(granule as usize);
            let buffer = self.buffer(whole)?;
            put(&buffer, from, length)?;
            buffer.write(length, &vec![0; whole - length])?;
            let command = Command::Upload {
                source: buffer.slice(0, whole)?,
                destination: card.slice(from as u64, whole as u64)?,
            };
            self.run(0, command)?;
            self.give_back(buffer);
        }
        drop(order);
        Ok(card)
    }

    /// Waits until all card memory released so far is wiped.
    ///
    /// # Errors
    /// As [`Device::run`]: memory that could not be wiped is not given out again.
    pub fn settle_card_memory(&self) -> Result<()> {
        let _order = locked(&self.core.memory.uploads);
        self.core.reclaim_card_memory()
    }

    /// Bytes of card memory that are free, and bytes in all.
    pub fn card_memory(&self) -> (u64, u64) {
        self.core.memory.room()
    }

    fn last_of(&self, tickets: Vec<Ticket>) -> Result<Done> {
        let mut last = Err(Error::DeviceLost { device: self.name().into(), reason: "no ticket".into() });
        for ticket in tickets {
            last = ticket.wait();
        }
        last
    }

    /// Submits one command and waits for it.
    ///
    /// # Errors
    /// As [`Device::submit`] and [`Ticket::wait`].
    pub fn run(&self, queue: usize, command: Command) -> Result<Done> {
        self.last_of(self.submit(queue, &[command])?)
    }

    /// A command that does nothing: a round trip through the card.
    ///
    /// # Errors
    /// As [`Device::run`].
    pub fn nop(&self) -> Result<Done> {
        self.run(0, Command::Nop)
    }

    /// Forward NTT of polynomials of N words one after another: natural order in, bit-reversed out.
    ///
    /// # Errors
    /// [`Error::Argument`] if the length is not a multiple of N, and as [`Device::run`].
    pub fn ntt(&self, polynomials: &[u64]) -> Result<Vec<u64>> {
        self.transform(polynomials, |slice| Command::Ntt { source: slice.clone(), destination: slice })
    }

    /// Inverse NTT, 1/N included, of polynomials of N words one after another: bit-reversed order in, natural out.
    ///
    /// # Errors
    /// As [`Device::ntt`].
    pub fn intt(&self, polynomials: &[u64]) -> Result<Vec<u64>> {
        self.transform(polynomials, |slice| Command::Intt { source: slice.clone(), destination: slice })
    }

    /// Sends bytes through the card's copy engine and back.
    ///
    /// # Errors
    /// As [`Device::run`].
    pub fn copy(&self, data: &[u8]) -> Result<Vec<u8>> {
        let mut out = vec![0; data.len()];
        let source = self.buffer(data.len().max(1))?;
        let destination = self.buffer(data.len().max(1))?;
        source.write(0, data)?;
        for start in (0..data.len()).step_by(PIECE_BYTES) {
            let length = PIECE_BYTES.min(data.len() - start);
            let (from, to) = (source.slice(start, length)?, destination.slice(start, length)?);
            self.run(0, Command::Copy { source: from, destination: to })?;
        }
        destination.read(0, &mut out)?;
        self.give_back(source);
        self.give_back(destination);
        Ok(out)
    }

    /// Linear combinations of LWE ciphertexts mod 2^64: for each result of the source its plaintext, and for each term a
    /// weight and a ciphertext of `settings.words` words. Results have as many words as a ciphertext.
    ///
    /// # Errors
    /// As [`Device::run`].
    pub fn lwe_linear(&self, settings: LinearSettings, source: &[u64]) -> Result<Vec<u64>> {
        let command = |source, destination| Command::LweLinear { source, destination, settings };
        self.linear(Opcode::LweLinear, settings, source, command)
    }

    /// The run-time values of a keyswitch and bootstrap under `p` on this card, of one function and one table for all
    /// ciphertexts.
    ///
    /// # Errors
    /// [`Error::OtherRing`] if the card is built for another N or k, [`Error::Argument`] if no card has a form for `p`.
    pub fn bootstrap_settings(&self, p: &BootstrapParameters) -> Result<BootstrapSettings> {
        let card = self.parameters().glwe();
        let (degree, dimension) = (p.ring_degree.0, p.glwe_dimension.0);
        if (card.degree(), u64::from(card.dimension)) != (degree as u64, dimension as u64) {
            return Err(Error::OtherRing { device: self.name().into(), card, degree, dimension });
        }
        settings_of(p).ok_or_else(|| Error::Argument {
            device: self.name().into(),
            what: "parameters of a bootstrap",
            rule: format!("{p:?} have no form on a card"),
        })
    }

    /// Sums of pointwise products mod p: for each result of the source and each of its `terms`, two polynomials of N words.
    ///
    /// # Errors
    /// As [`Device::run`].
    pub fn pointwise_mac(&self, terms: u8, source: &[u64]) -> Result<Vec<u64>> {
        let command = |source, destination| Command::PointwiseMac { source, destination, terms };
        self.linear(Opcode::PointwiseMac, LinearSettings { words: 0, terms }, source, command)
    }

    fn linear(
        &self,
        opcode: Opcode,
        settings: LinearSettings,
        source: &[u64],
        command: impl FnOnce(DmaSlice, DmaSlice) -> Command,
    ) -> Result<Vec<u64>> {
        if source.is_empty() {
            return Ok(vec![]);
        }
        let (from, to) = settings.words_a_result(opcode, self.parameters().degree_log2);
        let results = (source.len() as u64).checked_div(from).unwrap_or(0);
        let mut out = vec![0; (results * to) as usize];
        let (input, output) = (self.buffer(8 * source.len())?, self.buffer(8 * out.len().max(1))?);
        input.write_words(0, source)?;
        self.run(0, command(input.slice(0, 8 * source.len())?, output.slice(0, 8 * out.len())?))?;
        output.read_words(0, &mut out)?;
        self.give_back(input);
        self.give_back(output);
        Ok(out)
    }

    fn transform(&self, polynomials: &[u64], command: impl Fn(DmaSlice) -> Command) -> Result<Vec<u64>> {
        let degree = self.parameters().degree();
        if !polynomials.len().is_multiple_of(degree) {
            return Err(Error::Argument {
                device: self.name().into(),
                what: "length of the polynomials",
                rule: format!("{} words are no multiple of N = {degree}", polynomials.len()),
            });
        }
        let words = (PIECE_BYTES / 8 / degree).max(1) * degree;
        let mut out = vec![0; polynomials.len()];
        let mut flying: VecDeque<(usize, DmaBuffer, Vec<Ticket>)> = VecDeque::new();
        let mut collect = |(start, buffer, tickets): (usize, DmaBuffer, Vec<Ticket>)| -> Result<()> {
            for ticket in tickets {
                ticket.wait()?;
            }
            let end = (start + words).min(out.len());
            buffer.read_words(0, &mut out[start..end])?;
            self.give_back(buffer);
            Ok(())
        };
        for (index, piece) in polynomials.chunks(words).enumerate() {
            if flying.len() == PIECES_IN_FLIGHT
                && let Some(oldest) = flying.pop_front()
            {
                collect(oldest)?;
            }
            let buffer = self.buffer(size_of_val(piece))?;
            buffer.write_words(0, piece)?;
            let tickets = self.submit(0, &[command(buffer.slice(0, size_of_val(piece))?)])?;
            flying.push_back((index * words, buffer, tickets));
        }
        flying.into_iter().try_for_each(collect)?;
        Ok(out)
    }

    /// A pooled buffer of at least `bytes`.
    fn buffer(&self, bytes: usize) -> Result<DmaBuffer> {
        let mut pool = locked(&self.pool);
        let fits = |b: &DmaBuffer| b.len() >= bytes && b.len() / 4 <= bytes.max(4096);
        if let Some(at) = pool.iter().position(fits) {
            return Ok(pool.swap_remove(at));
        }
        drop(pool);
        self.allocate(bytes.max(4096).next_power_of_two())
    }

    fn give_back(&self, buffer: DmaBuffer) {
        let mut pool = locked(&self.pool);
        if pool.len() == POOLED_BUFFERS {
            pool.remove(0);
        }
        pool.push(buffer);
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.core.stop.store(true, Ordering::Release);
        self.core.rouse();
        if let Some(thread) = self.dispatcher.take() {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
        let bus = &self.core.space.bus;
        // Memory stays mapped unless the card is known to be quiet. What was uploaded the card erases by itself: whoever
        // opens it next waits for that.
        if let Err(error) = bus.reset() {
            tracing::warn!(device = %self.core.name, %error, "the card could not be reset when it was closed");
            self.core.space.freeze();
        } else if let Err(error) = bus.set_interrupts(&[]) {
            tracing::debug!(%error, "interrupts could not be taken away");
        }
        for (queue, _) in &self.core.queues {
            // Commands of a dispatcher that never ran or died. They go when the ring is unlocked again: what they hold may
            // want to use it.
            let left = locked(queue).drain();
            drop(left);
        }
    }
}

impl Core {
    fn check_alive(&self) -> Result<()> {
        match &*self.lost.read().unwrap_or_else(PoisonError::into_inner) {
            Some(reason) => Err(Error::DeviceLost { device: self.name.to_string(), reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn rouse(&self) {
        // The event can only be full if the dispatcher is being woken already.
        let _ = self.wake.write(1);
    }

    fn argument(&self, what: &'static str, rule: String) -> Error {
        Error::Argument { device: self.name.to_string(), what, rule }
    }

    pub(crate) fn device_name(&self) -> String {
        self.name.to_string()
    }

    pub(crate) fn card_memory(&self) -> &CardMemory {
        &self.memory
    }

    /// The commands that wipe a range of card memory of this epoch.
    fn wipes(&self, range: &Range<u64>, epoch: u64) -> Vec<Prepared> {
        let most = layout::MAX_COPY_BYTES / self.memory.granule() * self.memory.granule();
        let starts = (range.start..range.end).step_by(most as usize);
        let wipe = |start: u64| {
            let count = (range.end - start).min(most) as u32;
            let descriptor = Descriptor { count, destination: start, ..Descriptor::new(Opcode::Wipe) };
            (descriptor.words(), Held { epoch: Some(epoch), ..Held::default() })
        };
        starts.map(wipe).collect()
    }

    /// Has a range wiped before it is free again; never waits.
    pub(crate) fn release_card_memory(&self, range: Range<u64>, epoch: u64) {
        if self.memory.epoch() != epoch {
            return;
        }
        let order = locked(&self.memory.releases);
        self.submit_wipes(range, epoch, &order);
    }

    fn submit_wipes(&self, range: Range<u64>, epoch: u64, _order: &MutexGuard<'_, ()>) {
        let tickets = self.enqueue(0, self.wipes(&range, epoch), false).unwrap_or_default();
        self.memory.keep(Wiping { range, tickets }, epoch);
    }

    /// Wipes what was released while there was no room in the ring.
    fn resubmit_wipes(&self) {
        let order = locked(&self.memory.releases);
        let (ranges, epoch) = self.memory.take_unsubmitted();
        for range in ranges {
            self.submit_wipes(range, epoch, &order);
        }
    }

    /// Whether the card memory that a command names is as young as the card's last reset. Asked under a ring's lock, which
    /// a reset takes: so no command reaches what has been given to someone else since.
    fn check_age(&self, held: &Held) -> Result<()> {
        if held.epoch.is_some_and(|epoch| epoch != self.memory.epoch()) {
            return Err(Error::CardMemoryLost { device: self.name.to_string() });
        }
        held.card.iter().flatten().try_for_each(|slice| slice.check(self))
    }

    /// Waits for the wipes under way and frees what they wiped. Ranges whose wipe failed are kept and tried again.
    fn reclaim_card_memory(&self) -> Result<()> {
        let (wiping, epoch) = {
            let _order = locked(&self.memory.releases);
            self.memory.take_wiping()
        };
        let mut result = Ok(());
        for Wiping { range, mut tickets } in wiping {
            let submitted =
                if tickets.is_empty() { self.enqueue(0, self.wipes(&range, epoch), true) } else { Ok(vec![]) };
            let done = submitted.and_then(|more| {
                tickets.extend(more);
                tickets.into_iter().try_for_each(|ticket| ticket.wait().map(drop))
            });
            match done {
                Ok(()) => self.memory.give(range, epoch),
                Err(error) => {
                    self.memory.keep(Wiping { range, tickets: vec![] }, epoch);
                    result = Err(error);
                }
            }
        }
        result
    }

    /// The lowest free range of card memory, and the epoch that it belongs to. What is waiting to be wiped is wiped first,
    /// so that nothing below it is unwritten.
    fn allocate_card_memory(&self, bytes: u64) -> Result<(Range<u64>, u64)> {
        self.check_alive()?;
        self.reclaim_card_memory()?;
        self.memory.take(bytes).ok_or_else(|| {
            let (free, total) = self.memory.room();
            Error::OutOfCardMemory { device: self.name.to_string(), bytes, free, total }
        })
    }

    /// Checks a command as the card would, and that its memory belongs to this card.
    fn prepare(&self, command: &Command) -> Result<(Descriptor, Held)> {
        let opcode = command.opcode();
        if !self.parameters.can(opcode) {
            return Err(Error::Unsupported { device: self.name.to_string(), command: opcode.name() });
        }
        let mut descriptor = Descriptor::new(opcode);
        let mut held = Held::default();
        match command {
            Command::Nop => return Ok((descriptor, held)),
            Command::Fence => {
                descriptor.flags = Flags::FENCE;
                return Ok((descriptor, held));
            }
            Command::Copy { source, destination }
            | Command::Ntt { source, destination }
            | Command::Intt { source, destination } => {
                let unit = if opcode == Opcode::Copy { 1 } else { 8u64 << self.parameters.degree_log2 };
                self.check_lengths(source.len(), destination.len())?;
                if source.partly_overlaps(destination) {
                    return Err(self.argument("memory of a command", "source and destination overlap in part".into()));
                }
                descriptor.count = self.count(source.len(), unit, "polynomials")?;
                held.host = [Some(source.clone()), Some(destination.clone())];
            }
            Command::LweLinear { source, destination, settings } => {
                held.host = [Some(source.clone()), Some(destination.clone())];
                self.prepare_linear(&mut descriptor, source, destination, *settings)?;
            }
            Command::PointwiseMac { source, destination, terms } => {
                held.host = [Some(source.clone()), Some(destination.clone())];
                self.prepare_linear(&mut descriptor, source, destination, LinearSettings { words: 0, terms: *terms })?;
            }
            Command::Upload { source, destination } => {
                self.check_lengths(source.len(), destination.len())?;
                descriptor.count = self.count(source.len(), 1, "bytes")?;
                descriptor.destination = destination.address();
                held.host[0] = Some(source.clone());
                held.card[0] = Some(destination.clone());
            }
            Command::Wipe { destination } => {
                descriptor.count = self.count(destination.len(), 1, "bytes")?;
                descriptor.destination = destination.address();
                held.card[0] = Some(destination.clone());
            }
            Command::Keyswitch { source, destination, key, settings } => {
                held.host = [Some(source.clone()), Some(destination.clone())];
                held.card[1] = Some(key.clone());
                self.prepare_bootstrap(&mut descriptor, &held, settings)?;
            }
            Command::Bootstrap { source, destination, bootstrap_key, keyswitch_key, luts, settings } => {
                held.host = [Some(source.clone()), Some(destination.clone())];
                held.card = [Some(bootstrap_key.clone()), keyswitch_key.clone(), Some(luts.clone())];
                self.prepare_bootstrap(&mut descriptor, &held, settings)?;
            }
        }
        if held.host.iter().flatten().any(|slice| !slice.is_in(&self.space)) {
            return Err(self.argument("memory of a command", "it was allocated on another device".into()));
        }
        held.card.iter().flatten().try_for_each(|slice| slice.check(self))?;
        let [source, destination] = held.host.each_ref().map(|slice| slice.as_ref().map(|s| s.iova().get()));
        descriptor.source = source.unwrap_or(descriptor.source);
        descriptor.destination = destination.unwrap_or(descriptor.destination);
        descriptor
            .check(&self.parameters.limits())
            .map_err(|error| self.argument("memory of a command", format!("the card would refuse it: {error:?}")))?;
        Ok((descriptor, held))
    }

    fn check_lengths(&self, source: u64, destination: u64) -> Result<()> {
        if source == destination {
            return Ok(());
        }
        let rule = format!("source has {source} bytes, destination {destination}");
        Err(self.argument("memory of a command", rule))
    }

    /// How many units of `unit` bytes a range holds.
    fn count(&self, bytes: u64, unit: u64, units: &'static str) -> Result<u32> {
        if !bytes.is_multiple_of(unit) {
            let rule = format!("{bytes} bytes are no whole {units} of {unit} bytes");
            return Err(self.argument("memory of a command", rule));
        }
        let too_long = |_| self.argument("memory of a command", format!("{bytes} bytes are too many"));
        u32::try_from(bytes / unit).map_err(too_long)
    }

    /// Count, operand and lengths of LWE_LINEAR and POINTWISE_MAC.
    fn prepare_linear(
        &self,
        descriptor: &mut Descriptor,
        source: &DmaSlice,
        destination: &DmaSlice,
        settings: LinearSettings,
    ) -> Result<()> {
        let opcode = descriptor.opcode;
        if LinearSettings::unpack(opcode, settings.pack()) != Some(settings) {
            return Err(self.argument("settings of a linear operation", format!("{settings:?} is out of range")));
        }
        let (from, to) = settings.words_a_result(opcode, self.parameters.degree_log2);
        descriptor.count = self.count(source.len(), 8 * from, "terms of results")?;
        self.check_lengths(u64::from(descriptor.count) * 8 * to, destination.len())?;
        if source.overlaps(destination) {
            return Err(self.argument("memory of a command", "source and destination overlap".into()));
        }
        descriptor.operands[0] = settings.pack();
        Ok(())
    }

    /// Count, operands and lengths of KEYSWITCH and BOOTSTRAP.
    fn prepare_bootstrap(&self, descriptor: &mut Descriptor, held: &Held, settings: &BootstrapSettings) -> Result<()> {
        let (glwe, lanes) = (self.parameters.glwe(), self.parameters.lanes);
        let bad = |rule: String| self.argument("settings of a bootstrap", rule);
        let keyswitches = descriptor.opcode == Opcode::Keyswitch;
        if BootstrapSettings::unpack(settings.pack()) != Some(*settings) || (keyswitches && !settings.keyswitch) {
            return Err(bad(format!("{settings:?} is out of range")));
        }
        let [source, destination] = held.host.each_ref().map(Option::as_ref);
        let (Some(source), Some(destination)) = (source, destination) else { return Ok(()) };
        let from = 8 * settings.source_words(glwe);
        let to = 8 * settings.destination_words(descriptor.opcode, glwe);
        descriptor.count = self.count(source.len(), from, "ciphertexts")?;
        self.check_lengths(u64::from(descriptor.count) * to, destination.len())?;
        if source.overlaps(destination) {
            return Err(self.argument("memory of a command", "source and destination overlap".into()));
        }
        let tables = if settings.lut_each { u64::from(descriptor.count) } else { 1 };
        let needs = [
            (!keyswitches, settings.bootstrap_key_bytes(glwe), "bootstrapping key"),
            (settings.keyswitch, settings.keyswitch_key_bytes(glwe, lanes), "keyswitching key"),
            (!keyswitches, tables * 8 * glwe.degree(), "look-up tables"),
        ];
        for ((slice, (needed, bytes, what)), operand) in held.card.iter().zip(needs).zip(descriptor.operands.iter_mut())
        {
            let there = slice.as_ref().map_or(0, CardSlice::len);
            if needed && there < bytes {
                return Err(bad(format!("the {what} has {bytes} bytes, its card memory {there}")));
            }
            *operand = slice.as_ref().map_or(0, CardSlice::address);
        }
        descriptor.operands[3] = settings.pack();
        Ok(())
    }

    fn submit(&self, index: usize, commands: &[Command], wait: bool) -> Result<Vec<Ticket>> {
        let prepare = |command| self.prepare(command).map(|(descriptor, memory)| (descriptor.words(), memory));
        self.enqueue(index, commands.iter().map(prepare).collect::<Result<Vec<_>>>()?, wait)
    }

    fn enqueue(&self, index: usize, commands: Vec<Prepared>, wait: bool) -> Result<Vec<Ticket>> {
        let (queue, room) = self
            .queues
            .get(index)
            .ok_or_else(|| self.argument("ring pair", format!("{index} is not below {}", self.queues.len())))?;
        let wanted = commands.len();
        let full = |room| Error::RingFull { device: self.name.to_string(), queue: index, wanted, room };
        let mut tickets = Vec::with_capacity(wanted);
        let patience = Instant::now() + self.config.command_timeout;
        let mut guard = locked(queue);
        self.check_alive()?;
        if !wait && guard.room() < wanted {
            return Err(full(guard.room()));
        }
        let mut left = commands.into_iter();
        while !left.as_slice().is_empty() {
            while guard.room() == 0 {
                let time = patience.saturating_duration_since(Instant::now());
                if time.is_zero() {
                    return Err(full(0));
                }
                guard = room.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner).0;
                self.check_alive()?;
            }
            // The lock was open while this waited.
            left.as_slice().iter().try_for_each(|(_, held)| self.check_age(held))?;
            let batch = guard.room().min(left.len());
            for (at, (mut words, memory)) in left.by_ref().take(batch).enumerate() {
                if at + 1 == batch || at % INTERRUPT_EVERY == INTERRUPT_EVERY - 1 {
                    words[0] |= u64::from(Flags::INTERRUPT.bits()) << 8;
                }
                let (sender, receiver) = bounded(1);
                guard.push(words, memory, self.config.command_timeout, sender);
                tickets.push(Ticket { device: Arc::clone(&self.name), receiver });
            }
            if let Err(error) = guard.ring_doorbell(&*self.space.bus) {
                tracing::warn!(device = %self.name, %error, "doorbell failed");
                self.trouble.store(true, Ordering::Release);
                self.rouse();
            }
            if self.idle.swap(false, Ordering::AcqRel) {
                self.rouse();
            }
        }
        Ok(tickets)
    }

    /// Programs a card that has just been reset and lets it run.
    fn start(&self, queues: &mut [MutexGuard<'_, Queue>]) -> Result<()> {
        self.memory.restart();
        let bus = &*self.space.bus;
        let card = Registers(bus);
        bus.set_bus_master(true)?;
        let vectors = self.space.bus.vectors();
        for (queue, index) in queues.iter_mut().zip(0..) {
            queue.program(bus, queue::vector_of(index, vectors).into())?;
        }
        card.write(map::INTERRUPT_ENABLE, u32::MAX)?;
        card.write(map::CONTROL, map::control::ENABLE.set(0, 1))
    }

    /// The dispatcher's life.
    fn dispatch(&self) {
        let mut last_progress = Instant::now();
        let mut woken_by_time = false;
        while !self.stop.load(Ordering::Acquire) {
            let mut trouble = self.trouble.swap(false, Ordering::AcqRel).then(|| "a doorbell failed".to_owned());
            match self.reap() {
                Ok(0) => {}
                Ok(_) => {
                    self.resubmit_wipes();
                    if woken_by_time && self.config.completion == CompletionMode::Interrupt {
                        self.late_interrupts.fetch_add(1, Ordering::Relaxed);
                    }
                    last_progress = Instant::now();
                }
                Err(RingViolation(what)) => trouble = Some(what),
            }
            let now = Instant::now();
            let deadline = self.queues.iter().filter_map(|(queue, _)| locked(queue).next_deadline()).min();
            if deadline.is_some_and(|d| d <= now) {
                trouble = trouble.or_else(|| Some("a command timed out".into()));
            }
            if trouble.is_none() && deadline.is_some() && now - last_progress >= HEALTH_CHECK {
                trouble = fault(&*self.space.bus);
                last_progress = now;
            }
            if let Some(reason) = trouble {
                self.recover(&reason);
                last_progress = Instant::now();
                continue;
            }
            woken_by_time = self.sleep(deadline.map(|d| d.saturating_duration_since(now)));
        }
        let reason = "the device was closed".to_owned();
        let pending: Vec<Pending> = self.queues.iter().flat_map(|(queue, _)| locked(queue).drain()).collect();
        if !pending.is_empty() && self.space.bus.reset().is_err() {
            self.space.freeze();
        }
        self.fail(pending, |command| Error::Aborted { device: self.name.to_string(), command, reason: reason.clone() });
    }

    /// Waits for an interrupt, a submission, an end of the peer or the time to look again; true if it was the time.
    fn sleep(&self, until_deadline: Option<Duration>) -> bool {
        let limit = match (until_deadline, self.config.completion) {
            (Some(_), CompletionMode::Polling) => Some(Duration::ZERO),
            (Some(left), CompletionMode::Interrupt) => Some(left.min(LOST_INTERRUPT)),
            (None, _) => {
                self.idle.store(true, Ordering::SeqCst);
                // A submission between the last look and this store did not see the flag.
                let none = self.queues.iter().all(|(queue, _)| locked(queue).outstanding() == 0);
                if none { None } else { Some(Duration::ZERO) }
            }
        };
        let mut fds = vec![self.wake.as_raw_fd()];
        fds.extend(self.vectors.iter().map(AsRawFd::as_raw_fd));
        let lost = self.lost.read().unwrap_or_else(PoisonError::into_inner).is_some();
        let hangup = self.space.bus.hangup().filter(|_| !lost);
        fds.extend(hangup);
        let ready = match sys::poll(&fds, limit) {
            Ok(ready) => ready,
            Err(error) => {
                tracing::error!(device = %self.name, %error, "cannot wait for interrupts");
                std::thread::sleep(LOST_INTERRUPT);
                return true;
            }
        };
        self.idle.store(false, Ordering::SeqCst);
        let mut nothing = true;
        for (at, state) in ready.iter().enumerate().filter(|(_, state)| **state != sys::Ready::default()) {
            nothing = false;
            if at == 0 {
                let _ = self.wake.read();
            } else if let Some(vector) = self.vectors.get(at - 1) {
                let _ = vector.read();
                if at - 1 == usize::from(layout::FAULT_VECTOR)
                    && let Some(fault) = fault(&*self.space.bus)
                {
                    self.recover(&fault);
                }
            } else if state.hung_up && !lost {
                self.recover("the card server went away");
            }
        }
        if self.config.completion == CompletionMode::Polling {
            std::thread::yield_now();
        }
        nothing
    }

    fn reap(&self) -> std::result::Result<usize, RingViolation> {
        let mut total = 0;
        for (queue, room) in &self.queues {
            let mut guard = locked(queue);
            let mut finished = vec![];
            let count = guard.reap(&*self.space.bus, |pending, completion| {
                finished.push((queue::result_of(&self.name, pending.opcode.1, completion), pending));
            });
            drop(guard);
            if !finished.is_empty() {
                room.notify_all();
            }
            for (result, pending) in finished {
                pending.answer(result);
            }
            total += count?;
        }
        Ok(total)
    }

    /// Makes the card quiet, gives every outstanding command back, and starts the card again, or gives it up.
    fn recover(&self, reason: &str) {
        if self.check_alive().is_err() {
            return;
        }
        tracing::warn!(device = %self.name, reason, "recovering");
        self.recoveries.fetch_add(1, Ordering::Relaxed);
        let mut guards: Vec<_> = self.queues.iter().map(|(queue, _)| locked(queue)).collect();
        let now = Instant::now();
        // What the card finished in time is not thrown away.
        let mut finished = vec![];
        for guard in &mut guards {
            let bus = &*self.space.bus;
            let _ = guard.reap(bus, |pending, completion| {
                finished.push((queue::result_of(&self.name, pending.opcode.1, completion), pending));
            });
        }
        let pending: Vec<Pending> = guards.iter_mut().flat_map(|guard| guard.drain()).collect();
        let restarted = self.quiesce().and_then(|()| {
            let found = Registers(&*self.space.bus).identify()?;
            if found != self.parameters {
                return Err(Error::BadValue {
                    device: self.name.to_string(),
                    what: "identity after the reset",
                    value: found.build_id_text(),
                    rule: "is that of another card",
                });
            }
            self.start(&mut guards)
        });
        let lost = restarted.err().map(|error| format!("{reason}; the reset failed: {error}"));
        if let Some(lost) = &lost {
            tracing::error!(device = %self.name, reason = %lost, "lost");
            self.space.freeze();
            *self.lost.write().unwrap_or_else(PoisonError::into_inner) = Some(lost.clone());
        }
        drop(guards);
        for (_, room) in &self.queues {
            room.notify_all();
        }
        for (result, pending) in finished {
            pending.answer(result);
        }
        let (late, others): (Vec<_>, Vec<_>) = pending.into_iter().partition(|p| p.deadline <= now && lost.is_none());
        for one in late {
            let error =
                Error::CommandTimeout { device: self.name.to_string(), command: one.opcode.1, after: one.timeout };
            one.answer(Err(error));
        }
        self.fail(others, |command| match &lost {
            Some(reason) => Error::DeviceLost { device: self.name.to_string(), reason: reason.clone() },
            None => Error::Aborted { device: self.name.to_string(), command, reason: reason.to_owned() },
        });
    }

    fn fail(&self, pending: Vec<Pending>, error: impl Fn(&'static str) -> Error) {
        for one in pending {
            let error = error(one.opcode.1);
            one.answer(Err(error));
        }
    }

    /// Brings the card to rest: by its own reset, which lets transfers end, or else by a reset of the function.
    fn quiesce(&self) -> Result<()> {
        let bus = &*self.space.bus;
        let card = Registers(bus);
        let until = Instant::now() + self.config.reset_timeout;
        card.write(map::CONTROL, map::control::SOFT_RESET.set(0, 1))?;
        while Instant::now() < until {
            let control = card.read(map::CONTROL)?;
            if control == u32::MAX {
                break; // unplugged or unpowered
            }
            let status = card.read(map::STATUS)?;
            let done = !map::control::SOFT_RESET.is_set(control) && map::status::QUIET.is_set(status);
            let erases = map::status::ERASING.is_set(status) && !map::status::RESETTING.is_set(status);
            if done || erases {
                return await_erased(bus, self.config.erase_timeout);
            }
            std::thread::sleep(RESET_POLL);
        }
        bus.reset()?;
        await_erased(bus, self.config.erase_timeout)
    }
}

/// What the card's status says is wrong, if anything.
fn fault(bus: &dyn Bus) -> Option<String> {
    let card = Registers(bus);
    let status = match card.read(map::STATUS) {
        Ok(status) => status,
        Err(error) => return Some(error.to_string()),
    };
    if status == u32::MAX {
        return Some("every register reads all ones".into());
    }
    if !map::status::FAULT.is_set(status) {
        return None;
    }
    let code = card.read(map::ERROR_CODE).unwrap_or(u32::MAX);
    let name = u16::try_from(code).ok().and_then(StatusCode::from_code).map_or("unknown code", StatusCode::name);
    let address = card.read64(map::ERROR_ADDRESS).unwrap_or(u64::MAX);
    Some(format!("the card reports {name} ({code}) at address {address:#x}"))
}

/// Waits while a card that has been reset, by whichever way, erases its memory.
fn await_erased(bus: &dyn Bus, limit: Duration) -> Result<()> {
    let not_erased = |reason| Error::NotErased { device: bus.name().into(), reason };
    let until = Instant::now() + limit;
    loop {
        let control = Registers(bus).read(map::CONTROL)?;
        if control == u32::MAX {
            return Ok(()); // unplugged or unpowered: whoever asks for its identity next says so
        }
        if !map::control::SOFT_RESET.is_set(control) {
            return fault(bus).map_or(Ok(()), |reason| Err(not_erased(reason)));
        }
        if Instant::now() >= until {
            return Err(not_erased(format!("it has not ended within {limit:?}")));
        }
        std::thread::sleep(RESET_POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_process::InProcessBus;
    use crate::model::{ModelConfig, SoftwareCard};
    use crate::reference::ReferenceKeys;

    fn device(card: &Arc<SoftwareCard>, config: DeviceConfig) -> Device {
        Device::from_bus(Arc::new(InProcessBus::new("model", Arc::clone(card) as _)), config).unwrap()
    }

    fn card() -> Arc<SoftwareCard> {
        Arc::new(SoftwareCard::new(ModelConfig::default()).unwrap())
    }

    /// A thread that has prepared its command when the card is reset must not reach what the next owner of that card
    /// memory uploads.
    #[test]
    fn command_prepared_before_a_reset_does_not_reach_card_memory_after_it() {
        let card = card();
        let device = device(&card, DeviceConfig::default());
        let keys = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 1).unwrap();
        let job = keys.job(&device, Opcode::Bootstrap, 1, keys.settings(), 2).unwrap();
        let (descriptor, held) = device.core.prepare(&job.command()).unwrap();
        let (range, epoch) = (0..keys.bootstrap_key().len(), device.core.memory.epoch());
        device.core.recover("a test");
        let next = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 3).unwrap();
        let late = device.core.enqueue(0, vec![(descriptor.words(), held)], true);
        assert!(matches!(late, Err(Error::CardMemoryLost { .. })), "{late:?}");
        // Nor does a wipe of the old owner's range.
        let late = device.core.enqueue(0, device.core.wipes(&range, epoch), true);
        assert!(matches!(late, Err(Error::CardMemoryLost { .. })), "{late:?}");
        let stale = device.submit(0, &[job.command()]);
        assert!(matches!(stale, Err(Error::CardMemoryLost { .. })), "{stale:?}");
        let job = next.job(&device, Opcode::Bootstrap, 2, next.settings(), 4).unwrap();
        device.run(0, job.command()).unwrap();
        assert!(job.found().unwrap() == job.expected());
    }

    /// Commands in every place of ring pair 0, which the card is not told of yet.
    fn fill_ring(core: &Core) -> Vec<Ticket> {
        let mut queue = locked(&core.queues[0].0);
        let mut tickets = vec![];
        while queue.room() > 0 {
            let (sender, receiver) = bounded(1);
            let words = Descriptor { flags: Flags::INTERRUPT, ..Descriptor::new(Opcode::Nop) }.words();
            queue.push(words, Held::default(), Duration::from_secs(60), sender);
            tickets.push(Ticket { device: Arc::clone(&core.name), receiver });
        }
        tickets
    }

    /// Released while the ring is full: wiped as soon as there is room, without anybody asking.
    #[test]
    fn key_released_while_the_ring_is_full_is_wiped_all_the_same() {
        let card = card();
        let device = device(&card, DeviceConfig { ring_log2: 1, ..DeviceConfig::default() });
        let key = device.upload(&[0x77; 4096]).unwrap();
        let range = 0..key.len();
        assert_eq!(card.card_memory(range.clone()), [0x77; 4096]);
        let free = device.card_memory().0;
        // Both places taken, and none given back while the key goes.
        let tickets = fill_ring(&device.core);
        drop(key);
        assert_eq!(device.card_memory().0, free, "it is not free before it is wiped");
        locked(&device.core.queues[0].0).ring_doorbell(&*device.core.space.bus).unwrap();
        device.core.rouse();
        for ticket in tickets {
            ticket.wait().unwrap();
        }
        let patience = Instant::now() + Duration::from_secs(30);
        while card.card_memory(range.clone()) != [0; 4096] {
            assert!(Instant::now() < patience, "it is never wiped");
            std::thread::yield_now();
        }
        device.settle_card_memory().unwrap();
        assert_eq!(device.card_memory().0, device.card_memory().1);
    }

    /// Between leaving the list of what is to be wiped and coming back with its tickets, a range must not look free of
    /// wipes to whoever waits for them.
    #[test]
    fn settling_waits_for_wipes_that_another_thread_is_submitting() {
        let card = card();
        let device = device(&card, DeviceConfig { ring_log2: 1, ..DeviceConfig::default() });
        let key = device.upload(&[0x77; 4096]).unwrap();
        let core = &device.core;
        let tickets = fill_ring(core);
        // No room: kept back without tickets.
        drop(key);
        let guard = locked(&core.queues[0].0);
        std::thread::scope(|threads| {
            let submitting = threads.spawn(|| core.resubmit_wipes());
            while core.memory.keeps_back() {
                std::thread::yield_now();
            }
            // It waits for the ring now, the range in its hands.
            let (sender, settled) = bounded(1);
            let device = &device;
            threads.spawn(move || sender.send(device.settle_card_memory()));
            let early = settled.recv_timeout(Duration::from_millis(200));
            guard.ring_doorbell(&*core.space.bus).unwrap();
            drop(guard);
            core.rouse();
            submitting.join().unwrap();
            assert!(early.is_err(), "settled although nothing has been wiped: {early:?}");
            settled.recv().unwrap().unwrap();
        });
        for ticket in tickets {
            ticket.wait().unwrap();
        }
        assert_eq!(device.card_memory().0, device.card_memory().1);
        assert_eq!(card.card_memory(0..4096), [0; 4096]);
    }

    /// What a stray write to a ring's control register does: the card stops, the driver resets it and goes on.
    #[test]
    fn ring_enabled_under_the_card_s_hands_is_noticed_and_recovered_from() {
        let card = card();
        let device = device(&card, DeviceConfig::default());
        card.inject(crate::model::Fault::Hang);
        let [ticket] = device.submit(0, &[Command::Nop]).unwrap().try_into().unwrap();
        let bus = &*device.core.space.bus;
        while Registers(bus).read(map::STATUS).unwrap() & map::status::BUSY.mask() == 0 {
            std::thread::yield_now();
        }
        bus.write32(map::RING_CONTROL.of(0).unwrap().offset.get(), 1).unwrap();
        let aborted = ticket.wait();
        assert!(matches!(aborted, Err(Error::Aborted { .. })), "{aborted:?}");
        assert_eq!(device.health().recoveries, 1);
        device.nop().unwrap();
    }

    /// A card that does not become quiet leaves its owner's memory mapped; the next owner on the same bus works around it.
    #[test]
    fn device_is_opened_beside_the_mappings_that_another_has_left() {
        let card = card();
        let bus = Arc::new(InProcessBus::new("model", Arc::clone(&card) as _));
        let device = Device::from_bus(Arc::clone(&bus) as Arc<dyn Bus>, DeviceConfig::default()).unwrap();
        let left = device.allocate(1 << 20).unwrap();
        device.core.space.freeze();
        let iova = left.iova();
        drop((left, device));
        let device = Device::from_bus(bus, DeviceConfig::default()).unwrap();
        assert_ne!(device.allocate(1 << 20).unwrap().iova(), iova);
        assert_eq!(device.copy(&[1, 2, 3]).unwrap(), [1, 2, 3]);
    }
}
