//! The card's RTL as a card: AXI around the Verilator model, host memory behind it.
//!
//! ```no_run
//! use glovebox_sim::card::{CardBuild, Traffic};
//! use std::path::Path;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let card = CardBuild::new(8, 256).traffic(Traffic::random(1)).build()?;
//! let server = card.serve(Path::new("/tmp/glovebox.sock"))?; // until dropped
//! let device = glovebox_driver::Device::open(&server.address())?;
//! # Ok(())
//! # }
//! ```
//!
//! [`CardSimulation`] is the model with its bus models, clocked by whoever holds it: the same calls give the same cycles.
//! [`VerilatedCard`] runs one on a thread of its own, as a [`CardBackend`]; it stops the clock while the card says that it
//! is idle, so CYCLES counts the cycles in which there was something to do.

use crate::SimError;
use crate::verilator::{Build, Model, Port, Step, Trace};
use glovebox_driver::card::{CardBackend, HostPort};
use glovebox_driver::vfio_user::server::CardServer;
use glovebox_hdl::Design;
use glovebox_regmap::layout::BEAT_BYTES;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// Bytes of a beat, as a length.
const BEAT: usize = BEAT_BYTES as usize;
/// Bursts that host memory takes before it has answered one.
const READS_HELD: usize = 32;
/// Cycles for which the card must be idle before its clock is stopped: more than any register takes to have its effect.
const IDLE_CYCLES: u32 = 16;
/// Cycles within which a register access must be answered.
const REGISTER_CYCLES: u32 = 64;

/// How host memory behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Seed of everything random here.
    pub seed: u64,
    /// Shortest latency of a burst, in cycles, at least 1.
    pub latency_min_cycles: u32,
    /// Longest latency of a burst, in cycles.
    pub latency_max_cycles: u32,
    /// In how many of 100 cycles each channel does not move.
    pub stall_percent: u32,
}

impl Traffic {
    /// Every burst after the same latency, no stalls.
    pub const fn steady(latency_cycles: u32) -> Self {
        Self { seed: 0, latency_min_cycles: latency_cycles, latency_max_cycles: latency_cycles, stall_percent: 0 }
    }

    /// Latencies from 1 to 200 cycles and a third of all cycles stalled, on each channel for itself.
    pub const fn random(seed: u64) -> Self {
        Self { seed, latency_min_cycles: 1, latency_max_cycles: 200, stall_percent: 33 }
    }
}

/// A card to be built.
pub struct CardBuild<'a> {
    lanes: usize,
    degree: usize,
    traffic: Traffic,
    reset_seed: u64,
    trace: Option<PathBuf>,
    progress: Option<Box<dyn FnMut(Step) + 'a>>,
}

impl<'a> CardBuild<'a> {
    /// The catalogue's card of `lanes` words a cycle and this ring degree, on memory with a latency of 100 cycles.
    pub fn new(lanes: usize, degree: usize) -> Self {
        Self { lanes, degree, traffic: Traffic::steady(100), reset_seed: 1, trace: None, progress: None }
    }

    /// Host memory that behaves like this.
    #[must_use]
    pub fn traffic(mut self, traffic: Traffic) -> Self {
        self.traffic = traffic;
        self
    }

    /// Seed of the values that registers power up with.
    #[must_use]
    pub fn reset_seed(mut self, seed: u64) -> Self {
        self.reset_seed = seed;
        self
    }

    /// Records waveforms into this VCD file from power-up on. Slow and large: for short runs.
    #[must_use]
    pub fn trace(mut self, path: impl Into<PathBuf>) -> Self {
        self.trace = Some(path.into());
        self
    }

    /// Calls back before each step of the model's build; not called when the model is in the cache.
    #[must_use]
    pub fn progress(mut self, callback: impl FnMut(Step) + 'a) -> Self {
        self.progress = Some(Box::new(callback));
        self
    }

    /// The card with its bus models, reset, its clock in the caller's hands.
    ///
    /// # Errors
    /// [`SimError::Hdl`] for parameters that the catalogue lacks, and what [`Build::load`] says.
    pub fn simulation(self) -> Result<CardSimulation, SimError> {
        let design = Design::new("card", self.lanes, self.degree)?;
        let verilog = design.verilog()?;
        let mut build = Build::new(&design.top, &verilog);
        if self.trace.is_some() {
            build = build.trace(Trace::Vcd);
        }
        if let Some(progress) = self.progress {
            build = build.progress(progress);
        }
        let mut model = build.load(self.reset_seed)?;
        if let Some(path) = &self.trace {
            model.trace_to(path)?;
        }
        let build_id: [u8; 32] = Sha256::digest(verilog.as_bytes()).into();
        CardSimulation::new(model, self.traffic, &build_id)
    }

    /// The card on a thread of its own.
    ///
    /// # Errors
    /// As [`CardBuild::simulation`], and [`SimError::Thread`].
    pub fn build(self) -> Result<VerilatedCard, SimError> {
        VerilatedCard::start(self.simulation()?)
    }
}

macro_rules! ports {
    ($($name:ident)*) => {
        #[derive(Clone, Copy)]
        struct Ports { $($name: Port,)* }

        impl Ports {
            fn of(model: &Model) -> Result<Self, SimError> {
                Ok(Self { $($name: model.port(stringify!($name))?,)* })
            }
        }
    };
}

ports! {
    reset build_id_0 build_id_1 interrupt_request idle
    s_axil_awaddr s_axil_awvalid s_axil_awready s_axil_wdata s_axil_wstrb s_axil_wvalid s_axil_wready
    s_axil_bresp s_axil_bvalid s_axil_bready
    s_axil_araddr s_axil_arvalid s_axil_arready s_axil_rdata s_axil_rresp s_axil_rvalid s_axil_rready
    m_axi_araddr m_axi_arlen m_axi_arsize m_axi_arburst m_axi_arvalid m_axi_arready
    m_axi_rdata m_axi_rresp m_axi_rlast m_axi_rvalid m_axi_rready
    m_axi_awaddr m_axi_awlen m_axi_awsize m_axi_awburst m_axi_awvalid m_axi_awready
    m_axi_wdata m_axi_wstrb m_axi_wlast m_axi_wvalid m_axi_wready
    m_axi_bresp m_axi_bvalid m_axi_bready
}

/// A burst that host memory has accepted.
struct Burst {
    address: u64,
    beats: usize,
    due: u64,
}

/// A beat written, and which of its bytes count.
struct WriteBeat {
    bytes: [u8; BEAT],
    strobe: u64,
    last: bool,
}

/// A burst being read: its beats, and for each whether host memory refused it.
struct Reading {
    beats: VecDeque<([u8; BEAT], bool)>,
}

/// What a channel offered and was not taken, to check that it stands still.
#[derive(Default, PartialEq, Eq, Clone)]
struct Offer(Option<Vec<u64>>);

/// The model of the card with the bus models around it; deterministic.
pub struct CardSimulation {
    model: Model,
    ports: Ports,
    traffic: Traffic,
    random: u64,
    host: Option<Arc<HostPort>>,
    reads: VecDeque<Burst>,
    reading: Option<Reading>,
    /// A beat of R is on the bus.
    read_offered: bool,
    writes: VecDeque<Burst>,
    write_beats: VecDeque<WriteBeat>,
    /// Written bursts, to be carried out and answered when due.
    written: VecDeque<(Burst, Vec<WriteBeat>)>,
    answer_offered: bool,
    offers: [Offer; 3],
    idle_for: u32,
    interrupts: [u64; 16],
}

impl CardSimulation {
    fn new(model: Model, traffic: Traffic, build_id: &[u8; 32]) -> Result<Self, SimError> {
        let ports = Ports::of(&model)?;
        let mut card = Self {
            model,
            ports,
            traffic,
            random: traffic.seed,
            host: None,
            reads: VecDeque::new(),
            reading: None,
            read_offered: false,
            writes: VecDeque::new(),
            write_beats: VecDeque::new(),
            written: VecDeque::new(),
            answer_offered: false,
            offers: Default::default(),
            idle_for: 0,
            interrupts: [0; 16],
        };
        let half = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&build_id[at..at + 8]);
            u64::from_le_bytes(word)
        };
        card.model.set(ports.build_id_0, half(0));
        card.model.set(ports.build_id_1, half(8));
        card.model.set(ports.s_axil_wstrb, 0xf);
        card.model.set(ports.s_axil_bready, 1);
        card.model.set(ports.s_axil_rready, 1);
        card.reset()?;
        Ok(card)
    }

    /// Gives the card its host.
    pub fn attach(&mut self, host: Arc<HostPort>) {
        self.host = Some(host);
    }

    /// Clock cycles since power-up.
    pub fn cycles(&self) -> u64 {
        self.model.cycle()
    }

    /// Interrupt messages that the card has asked for, by vector.
    pub fn interrupts(&self) -> &[u64; 16] {
        &self.interrupts
    }

    /// The reset pin, for one cycle; traffic under way is forgotten on both sides.
    ///
    /// # Errors
    /// [`SimError::Stopped`].
    pub fn reset(&mut self) -> Result<(), SimError> {
        self.reads.clear();
        self.reading = None;
        self.read_offered = false;
        self.writes.clear();
        self.write_beats.clear();
        self.written.clear();
        self.answer_offered = false;
        self.offers = Default::default();
        self.idle_for = 0;
        for port in [
            self.ports.m_axi_arready,
            self.ports.m_axi_rvalid,
            self.ports.m_axi_awready,
            self.ports.m_axi_wready,
            self.ports.m_axi_bvalid,
            self.ports.s_axil_awvalid,
            self.ports.s_axil_wvalid,
            self.ports.s_axil_arvalid,
        ] {
            self.model.set(port, 0);
        }
        self.model.set(self.ports.reset, 1);
        self.model.tick()?;
        self.model.set(self.ports.reset, 0);
        self.model.eval()
    }

    /// Reads a register.
    ///
    /// # Errors
    /// [`SimError::Stopped`]; [`SimError::Protocol`] if the card does not answer.
    pub fn read32(&mut self, offset: u32) -> Result<u32, SimError> {
        let p = self.ports;
        self.model.set(p.s_axil_araddr, offset.into());
        self.model.set(p.s_axil_arvalid, 1);
        self.until(p.s_axil_arready, "s_axil_arready")?;
        self.model.set(p.s_axil_arvalid, 0);
        self.wait(p.s_axil_rvalid, "s_axil_rvalid")?;
        let (data, response) = (self.model.get(p.s_axil_rdata), self.model.get(p.s_axil_rresp));
        self.step()?;
        if response != 0 {
            return Err(self.broken(format!("register read at {offset:#x} answered with {response}")));
        }
        Ok(data as u32)
    }

    /// Writes a register.
    ///
    /// # Errors
    /// As [`CardSimulation::read32`].
    pub fn write32(&mut self, offset: u32, value: u32) -> Result<(), SimError> {
        let p = self.ports;
        self.model.set(p.s_axil_awaddr, offset.into());
        self.model.set(p.s_axil_awvalid, 1);
        self.model.set(p.s_axil_wdata, value.into());
        self.model.set(p.s_axil_wvalid, 1);
        self.wait(p.s_axil_awready, "s_axil_awready")?;
        if self.model.get(p.s_axil_wready) != 1 {
            return Err(self.broken("write address taken without its data".into()));
        }
        self.step()?;
        self.model.set(p.s_axil_awvalid, 0);
        self.model.set(p.s_axil_wvalid, 0);
        self.wait(p.s_axil_bvalid, "s_axil_bvalid")?;
        let response = self.model.get(p.s_axil_bresp);
        self.step()?;
        self.idle_for = 0;
        if response != 0 {
            return Err(self.broken(format!("register write at {offset:#x} answered with {response}")));
        }
        Ok(())
    }

    /// Clocks until `port` is 1.
    fn wait(&mut self, port: Port, name: &str) -> Result<(), SimError> {
        for _ in 0..REGISTER_CYCLES {
            if self.model.get(port) == 1 {
                return Ok(());
            }
            self.step()?;
        }
        Err(self.broken(format!("{name} did not come within {REGISTER_CYCLES} cycles")))
    }

    /// Clocks until and through a cycle in which `port` is 1.
    fn until(&mut self, port: Port, name: &str) -> Result<(), SimError> {
        self.wait(port, name)?;
        self.step()
    }

    /// Whether nothing will happen until the next register write.
    pub fn is_idle(&self) -> bool {
        self.idle_for >= IDLE_CYCLES
    }

    /// Clocks until the card is idle; the cycles that took.
    ///
    /// # Errors
    /// [`SimError::Stopped`]; [`SimError::Protocol`] after `limit_cycles`.
    pub fn run(&mut self, limit_cycles: u64) -> Result<u64, SimError> {
        let from = self.cycles();
        while !self.is_idle() {
            if self.cycles() - from >= limit_cycles {
                return Err(self.broken(format!("not idle after {limit_cycles} cycles")));
            }
            self.step()?;
        }
        Ok(self.cycles() - from)
    }

    fn broken(&self, what: String) -> SimError {
        SimError::Protocol { model: self.model.name().into(), cycle: self.model.cycle(), what }
    }

    fn word(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Whether a channel moves this cycle.
    fn moves(&mut self) -> bool {
        self.traffic.stall_percent == 0 || self.word() % 100 >= u64::from(self.traffic.stall_percent)
    }

    fn due(&mut self) -> u64 {
        let (low, high) = (self.traffic.latency_min_cycles.max(1), self.traffic.latency_max_cycles);
        let spread = u64::from(high.saturating_sub(low)) + 1;
        let more = if spread == 1 { 0 } else { self.word() % spread };
        self.model.cycle() + u64::from(low) + more
    }

    /// An offer that was not taken must stand still: AXI's first rule.
    fn check_offer(&mut self, channel: usize, name: &str, now: Option<Vec<u64>>, taken: bool) -> Result<(), SimError> {
        if self.offers[channel].0.is_some() && self.offers[channel].0 != now {
            return Err(self.broken(format!("{name} changed or withdrew an offer that was not taken")));
        }
        self.offers[channel].0 = if taken { None } else { now };
        Ok(())
    }

    /// The burst on an address channel, checked against the rules that the card promises.
    fn burst(&mut self, address: u64, beats: usize, shape: (u64, u64)) -> Result<Burst, SimError> {
        let last = address + (beats * BEAT) as u64 - 1;
        if !address.is_multiple_of(BEAT_BYTES) || beats > 16 || address >> 12 != last >> 12 || shape != (6, 1) {
            return Err(self.broken(format!("burst of {beats} beats at {address:#x}, size and kind {shape:?}")));
        }
        Ok(Burst { address, beats, due: self.due() })
    }

    /// One clock, with both sides of every channel.
    ///
    /// # Errors
    /// [`SimError::Stopped`] if an assertion in the RTL fails, [`SimError::Protocol`] if the card breaks a rule of AXI.
    pub fn step(&mut self) -> Result<(), SimError> {
        let p = self.ports;
        let now = self.model.cycle();

        // AR.
        let offered = self.model.get(p.m_axi_arvalid) == 1;
        let ready = self.reads.len() < READS_HELD && self.moves();
        self.model.set(p.m_axi_arready, ready.into());
        let (address, beats) = (self.model.get(p.m_axi_araddr), self.model.get(p.m_axi_arlen) as usize + 1);
        self.check_offer(0, "AR", offered.then(|| vec![address, beats as u64]), ready)?;
        if offered && ready {
            let shape = (self.model.get(p.m_axi_arsize), self.model.get(p.m_axi_arburst));
            let burst = self.burst(address, beats, shape)?;
            self.reads.push_back(burst);
        }

        // R: a beat stays until it is taken.
        if !self.read_offered && self.next_read_due(now) && self.moves() {
            self.offer_read();
        }
        self.model.set(p.m_axi_rvalid, self.read_offered.into());
        if self.read_offered && self.model.get(p.m_axi_rready) == 1 {
            self.read_offered = false;
        }

        // AW.
        let offered = self.model.get(p.m_axi_awvalid) == 1;
        let ready = self.moves();
        self.model.set(p.m_axi_awready, ready.into());
        let (address, beats) = (self.model.get(p.m_axi_awaddr), self.model.get(p.m_axi_awlen) as usize + 1);
        self.check_offer(1, "AW", offered.then(|| vec![address, beats as u64]), ready)?;
        if offered && ready {
            let shape = (self.model.get(p.m_axi_awsize), self.model.get(p.m_axi_awburst));
            let burst = self.burst(address, beats, shape)?;
            self.writes.push_back(burst);
        }

        // W.
        let offered = self.model.get(p.m_axi_wvalid) == 1;
        let ready = self.moves();
        self.model.set(p.m_axi_wready, ready.into());
        let strobe = self.model.get(p.m_axi_wstrb);
        let last = self.model.get(p.m_axi_wlast) == 1;
        let data = offered.then(|| {
            let lanes = (0..BEAT / 8).map(|lane| self.model.lane(p.m_axi_wdata, lane));
            lanes.chain([strobe, last.into()]).collect::<Vec<u64>>()
        });
        if let Some(data) = data.as_ref().filter(|_| ready) {
            let mut bytes = [0; BEAT];
            for (chunk, word) in bytes.chunks_exact_mut(8).zip(data) {
                chunk.copy_from_slice(&word.to_le_bytes());
            }
            self.write_beats.push_back(WriteBeat { bytes, strobe, last });
        }
        self.check_offer(2, "W", data, ready)?;
        self.gather_write()?;

        // B: the write is carried out first, so that whoever sees the answer sees the data.
        if !self.answer_offered && self.written.front().is_some_and(|w| w.0.due <= now) && self.moves() {
            let fault = self.written.pop_front().is_some_and(|(burst, beats)| !self.write_burst(&burst, &beats));
            self.model.set(p.m_axi_bresp, if fault { 2 } else { 0 });
            self.answer_offered = true;
        }
        self.model.set(p.m_axi_bvalid, self.answer_offered.into());
        if self.answer_offered && self.model.get(p.m_axi_bready) == 1 {
            self.answer_offered = false;
        }

        // Interrupts.
        let request = self.model.get(p.interrupt_request);
        if request != 0 {
            for vector in (0..16u16).filter(|v| request >> v & 1 == 1) {
                self.interrupts[usize::from(vector)] += 1;
                if let Some(host) = &self.host {
                    host.fire(vector);
                }
            }
        }

        let idle = self.model.get(p.idle) == 1 && request == 0;
        self.idle_for = if idle { self.idle_for.saturating_add(1) } else { 0 };
        self.model.tick()
    }

    fn next_read_due(&self, now: u64) -> bool {
        self.reading.is_some() || self.reads.front().is_some_and(|burst| burst.due <= now)
    }

    /// Puts the next beat of the oldest burst on R.
    fn offer_read(&mut self) {
        let p = self.ports;
        if self.reading.is_none() {
            let Some(burst) = self.reads.pop_front() else { return };
            self.reading = Some(self.read_burst(&burst));
        }
        let Some(reading) = &mut self.reading else { return };
        let Some((bytes, fault)) = reading.beats.pop_front() else { return };
        let last = reading.beats.is_empty();
        if last {
            self.reading = None;
        }
        for (lane, chunk) in bytes.chunks_exact(8).enumerate() {
            let word = chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
            self.model.set_lane(p.m_axi_rdata, lane, word);
        }
        self.model.set(p.m_axi_rresp, if fault { 2 } else { 0 });
        self.model.set(p.m_axi_rlast, last.into());
        self.read_offered = true;
    }

    fn read_burst(&self, burst: &Burst) -> Reading {
        let mut bytes = vec![0; burst.beats * BEAT];
        let whole = self.host.as_ref().is_some_and(|host| host.read(burst.address, &mut bytes).is_ok());
        let beats = bytes.chunks_exact_mut(BEAT).enumerate().map(|(index, chunk)| {
            let address = burst.address + (index * BEAT) as u64;
            let fault = !whole && self.host.as_ref().is_none_or(|host| host.read(address, chunk).is_err());
            let mut beat = [0; BEAT];
            beat.copy_from_slice(chunk);
            (beat, fault)
        });
        Reading { beats: beats.collect() }
    }

    /// Moves a burst whose data is complete on to be carried out.
    fn gather_write(&mut self) -> Result<(), SimError> {
        let Some(beats) = self.writes.front().map(|burst| burst.beats) else { return Ok(()) };
        if self.write_beats.len() < beats {
            return Ok(());
        }
        let data: Vec<WriteBeat> = self.write_beats.drain(..beats).collect();
        if data.iter().enumerate().any(|(index, beat)| beat.last != (index + 1 == beats)) {
            return Err(self.broken(format!("WLAST is not on the last of {beats} beats")));
        }
        if let Some(mut burst) = self.writes.pop_front() {
            burst.due = burst.due.max(self.model.cycle() + 1);
            self.written.push_back((burst, data));
        }
        Ok(())
    }

    /// Carries a burst out, by runs of bytes that count; false if host memory refused.
    fn write_burst(&self, burst: &Burst, beats: &[WriteBeat]) -> bool {
        let Some(host) = &self.host else { return false };
        let bytes: Vec<u8> = beats.iter().flat_map(|beat| beat.bytes).collect();
        let counts = |at: usize| at < bytes.len() && beats[at / BEAT].strobe >> (at % BEAT) & 1 == 1;
        let mut at = 0;
        while at < bytes.len() {
            if !counts(at) {
                at += 1;
                continue;
            }
            let end = (at..).find(|&i| !counts(i)).unwrap_or(bytes.len());
            if host.write(burst.address + at as u64, &bytes[at..end]).is_err() {
                return false;
            }
            at = end;
        }
        true
    }
}

enum Request {
    Attach(Arc<HostPort>),
    Read(u32, SyncSender<u32>),
    Write(u32, u32),
    Reset(SyncSender<()>),
    Stop,
}

/// The card's RTL on a thread of its own: a card for every road of the driver.
///
/// If the RTL stops, by an assertion or by breaking a rule of its bus, the reason is logged and the card reads all ones from
/// then on, as one that has been unplugged.
pub struct VerilatedCard {
    requests: Sender<Request>,
    cycles: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl VerilatedCard {
    fn start(mut simulation: CardSimulation) -> Result<Self, SimError> {
        let (requests, receiver) = channel();
        let cycles = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&cycles);
        let thread = std::thread::Builder::new()
            .name("verilated-card".into())
            .spawn(move || {
                if let Err(error) = serve(&mut simulation, &receiver, &shown) {
                    tracing::error!(%error, "the simulated card is dead");
                    drop(simulation);
                    for request in receiver {
                        match request {
                            Request::Read(_, reply) => drop(reply.send(u32::MAX)),
                            Request::Reset(reply) => drop(reply.send(())),
                            Request::Stop => return,
                            Request::Attach(_) | Request::Write(..) => {}
                        }
                    }
                }
            })
            .map_err(|source| SimError::Thread { what: "simulated card", source })?;
        Ok(Self { requests, cycles, thread: Some(thread) })
    }

    /// Clock cycles simulated so far.
    pub fn cycles(&self) -> u64 {
        self.cycles.load(Ordering::Relaxed)
    }

    /// Serves the card over vfio-user on a new socket, until the server is dropped.
    ///
    /// # Errors
    /// As [`CardServer::start`].
    pub fn serve(self, path: &Path) -> glovebox_driver::Result<CardServer> {
        CardServer::start(path, Arc::new(self))
    }
}

/// Clocks the card while it has something to do, and between accesses waits for the next one.
fn serve(card: &mut CardSimulation, requests: &Receiver<Request>, cycles: &AtomicU64) -> Result<(), SimError> {
    loop {
        let next = if card.is_idle() { requests.recv().ok().or(Some(Request::Stop)) } else { requests.try_recv().ok() };
        match next {
            None => card.step()?,
            Some(Request::Attach(host)) => card.attach(host),
            Some(Request::Read(offset, reply)) => {
                let value = card.read32(offset)?;
                // Whoever asked may be gone.
                let _ = reply.send(value);
            }
            Some(Request::Write(offset, value)) => card.write32(offset, value)?,
            Some(Request::Reset(reply)) => {
                card.reset()?;
                let _ = reply.send(());
            }
            Some(Request::Stop) => return Ok(()),
        }
        cycles.store(card.cycles(), Ordering::Relaxed);
    }
}

impl CardBackend for VerilatedCard {
    fn attach(&self, host: Arc<HostPort>) {
        // The thread lives as long as `self`.
        let _ = self.requests.send(Request::Attach(host));
    }

    fn read32(&self, offset: u32) -> u32 {
        let (reply, answer) = sync_channel(1);
        let _ = self.requests.send(Request::Read(offset, reply));
        answer.recv().unwrap_or(u32::MAX)
    }

    fn write32(&self, offset: u32, value: u32) {
        let _ = self.requests.send(Request::Write(offset, value));
    }

    fn reset(&self) {
        let (reply, answer) = sync_channel(1);
        let _ = self.requests.send(Request::Reset(reply));
        // A card that is dead is at rest.
        let _ = answer.recv();
    }
}

impl Drop for VerilatedCard {
    fn drop(&mut self) {
        let _ = self.requests.send(Request::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}
