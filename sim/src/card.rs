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
pub use crate::axi::Traffic;
use crate::axi::{ArrayPort, AxiMemory, MemoryArray, Target};
use crate::verilator::{Build, Model, Port, Step, Trace};
use glovebox_driver::card::{CardBackend, HostPort};
use glovebox_driver::vfio_user::server::CardServer;
use glovebox_hdl::Design;
use glovebox_regmap::layout::{BEAT_BYTES, memory_ports};
use glovebox_regmap::registers::{self, control, status};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// Bytes of card memory unless the build says otherwise.
const MEMORY_BYTES: u64 = 16 << 20;
/// What every byte of card memory is before it is written.
const POWER_UP: u8 = 0xa5;
/// Cycles for which the card must be idle before its clock is stopped: more than any register takes to have its effect.
const IDLE_CYCLES: u32 = 16;
/// Cycles within which a register access must be answered.
const REGISTER_CYCLES: u32 = 64;
/// Cycles within which a soft reset must take effect: many times what the longest bursts under way need.
const RESET_CYCLES: u64 = 100_000;

/// A card to be built.
pub struct CardBuild<'a> {
    lanes: usize,
    degree: usize,
    glwe_dimension: usize,
    traffic: Traffic,
    memory: Traffic,
    memory_bytes: u64,
    reset_seed: u64,
    trace: Option<PathBuf>,
    progress: Option<Box<dyn FnMut(Step) + 'a>>,
}

impl<'a> CardBuild<'a> {
    /// The catalogue's card of `lanes` words a cycle, this ring degree and k = 1, on host memory with a latency of 100 cycles and
    /// 16 MiB of card memory: one channel of DDR4, or HBM where the card has several ports to it.
    pub fn new(lanes: usize, degree: usize) -> Self {
        let memory = if memory_ports(lanes as u32) == 1 { Traffic::ddr4() } else { Traffic::hbm() };
        Self {
            lanes,
            degree,
            glwe_dimension: 1,
            traffic: Traffic::steady(100),
            memory,
            memory_bytes: MEMORY_BYTES,
            reset_seed: 1,
            trace: None,
            progress: None,
        }
    }

    /// A card of this GLWE dimension k.
    #[must_use]
    pub fn glwe_dimension(mut self, glwe_dimension: usize) -> Self {
        self.glwe_dimension = glwe_dimension;
        self
    }

    /// Host memory that behaves like this.
    #[must_use]
    pub fn traffic(mut self, traffic: Traffic) -> Self {
        self.traffic = traffic;
        self
    }

    /// Card memory that behaves like this, on every port.
    #[must_use]
    pub fn memory_traffic(mut self, traffic: Traffic) -> Self {
        self.memory = traffic;
        self
    }

    /// Card memory of this many bytes, rounded down to whole granules.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
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
        let design = Design::new("card", self.lanes, self.degree)?.with_glwe_dimension(self.glwe_dimension)?;
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
        let ports = u64::from(memory_ports(self.lanes as u32));
        let bytes = self.memory_bytes / (BEAT_BYTES * ports) * (BEAT_BYTES * ports);
        let array = MemoryArray { bytes: vec![POWER_UP; bytes as usize], ports, refused: 0..0 };
        CardSimulation::new(model, self.traffic, self.memory, array, &build_id)
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
    reset build_id_0 build_id_1 card_memory_beats interrupt_request idle
    s_axil_awaddr s_axil_awvalid s_axil_awready s_axil_wdata s_axil_wstrb s_axil_wvalid s_axil_wready
    s_axil_bresp s_axil_bvalid s_axil_bready
    s_axil_araddr s_axil_arvalid s_axil_arready s_axil_rdata s_axil_rresp s_axil_rvalid s_axil_rready
}

/// Host memory behind the card's master.
struct HostTarget<'a>(Option<&'a HostPort>);

impl Target for HostTarget<'_> {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> bool {
        self.0.is_some_and(|host| host.read(address, bytes).is_ok())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> bool {
        self.0.is_some_and(|host| host.write(address, bytes).is_ok())
    }
}

/// The model of the card with the bus models around it; deterministic.
pub struct CardSimulation {
    model: Model,
    ports: Ports,
    host: Option<Arc<HostPort>>,
    host_bus: AxiMemory,
    memory_buses: Vec<AxiMemory>,
    memory: MemoryArray,
    idle_for: u32,
    interrupts: [u64; 16],
    /// Bytes written to host memory, each to be noted when it is reached, and when those before it were.
    marks_due: VecDeque<u64>,
    marks: Vec<u64>,
}

impl CardSimulation {
    fn new(
        model: Model,
        traffic: Traffic,
        memory_traffic: Traffic,
        memory: MemoryArray,
        build_id: &[u8; 32],
    ) -> Result<Self, SimError> {
        let ports = Ports::of(&model)?;
        let buses = (0..memory.ports)
            .map(|port| AxiMemory::new(&model, "m_mem_", &format!("_{port}"), of_port(memory_traffic, port)));
        let memory_buses = buses.collect::<Result<Vec<_>, _>>()?;
        let host_bus = AxiMemory::new(&model, "m_axi_", "", traffic)?;
        let mut card = Self {
            model,
            ports,
            host: None,
            host_bus,
            memory_buses,
            memory,
            idle_for: 0,
            interrupts: [0; 16],
            marks_due: VecDeque::new(),
            marks: vec![],
        };
        card.model.set(ports.card_memory_beats, card.memory.bytes.len() as u64 / BEAT_BYTES);
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

    /// The reset pin, for one cycle; traffic under way is forgotten on both sides. Card memory keeps its bytes.
    ///
    /// # Errors
    /// [`SimError::Stopped`].
    pub fn reset(&mut self) -> Result<(), SimError> {
        self.host_bus.reset(&mut self.model);
        for bus in &mut self.memory_buses {
            bus.reset(&mut self.model);
        }
        self.idle_for = 0;
        for port in [self.ports.s_axil_awvalid, self.ports.s_axil_wvalid, self.ports.s_axil_arvalid] {
            self.model.set(port, 0);
        }
        self.model.set(self.ports.reset, 1);
        self.model.tick()?;
        self.model.set(self.ports.reset, 0);
        self.model.eval()
    }

    /// What a shell does at a function-level reset: a soft reset, and the reset pin if that does not take effect. When this
    /// returns, registers are at their reset values; the card may still be erasing its memory.
    ///
    /// # Errors
    /// As [`CardSimulation::read32`].
    pub fn function_reset(&mut self) -> Result<(), SimError> {
        let until = self.cycles() + RESET_CYCLES;
        self.write32(registers::CONTROL.offset.get(), control::SOFT_RESET.mask())?;
        while self.cycles() < until {
            if !status::RESETTING.is_set(self.read32(registers::STATUS.offset.get())?) {
                return Ok(());
            }
        }
        tracing::warn!(cycles = RESET_CYCLES, "a soft reset of the simulated card does not take effect: its bus hangs");
        self.reset()
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

    /// The contents of card memory.
    pub fn memory(&self) -> &[u8] {
        &self.memory.bytes
    }

    /// The contents of card memory, to be put there without the card. What the card has not written since reset it does
    /// not read, and what it has not uploaded itself it does not erase.
    pub fn memory_mut(&mut self) -> &mut [u8] {
        &mut self.memory.bytes
    }

    /// Changes how card memory behaves.
    pub fn set_memory_traffic(&mut self, traffic: Traffic) {
        for (bus, port) in self.memory_buses.iter_mut().zip(0..) {
            bus.set_traffic(of_port(traffic, port));
        }
    }

    /// Lets card memory refuse these addresses, whole beats.
    pub fn refuse_memory(&mut self, addresses: Range<u64>) {
        self.memory.refused = addresses;
    }

    /// Bytes read from and written to each port of card memory since power-up.
    pub fn memory_moved_bytes(&self) -> Vec<(u64, u64)> {
        self.memory_buses.iter().map(AxiMemory::moved_bytes).collect()
    }

    /// Bytes read from and written to host memory since power-up, in whole beats.
    pub fn host_moved_bytes(&self) -> (u64, u64) {
        self.host_bus.moved_bytes()
    }

    /// Notes the cycles in which the bytes written to host memory reach these numbers, which do not fall; earlier notes are
    /// forgotten.
    pub fn mark_written(&mut self, bytes: impl IntoIterator<Item = u64>) {
        self.marks_due = bytes.into_iter().collect();
        self.marks.clear();
    }

    /// Cycles, since power-up, in which the numbers of [`CardSimulation::mark_written`] were reached, as far as they have been.
    pub fn marks(&self) -> &[u64] {
        &self.marks
    }

    /// One clock, with both sides of every channel.
    ///
    /// # Errors
    /// [`SimError::Stopped`] if an assertion in the RTL fails, [`SimError::Protocol`] if the card breaks a rule of AXI.
    pub fn step(&mut self) -> Result<(), SimError> {
        let p = self.ports;
        let mut moved = self.host_bus.step(&mut self.model, &mut HostTarget(self.host.as_deref()));
        for (bus, port) in self.memory_buses.iter_mut().zip(0..) {
            let mut target = ArrayPort { array: &mut self.memory, port };
            moved = moved.and_then(|()| bus.step(&mut self.model, &mut target));
        }
        moved.map_err(|what| self.broken(what))?;
        while self.marks_due.front().is_some_and(|&bytes| bytes <= self.host_bus.moved_bytes().1) {
            self.marks_due.pop_front();
            self.marks.push(self.model.cycle());
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
}

/// Ports behave alike, not in step.
fn of_port(traffic: Traffic, port: u64) -> Traffic {
    Traffic { seed: traffic.seed.wrapping_add(port << 32), ..traffic }
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
                card.function_reset()?;
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
