//! The far side of one AXI4 master of the card: memory with a latency, stalls and a bandwidth.

use crate::SimError;
use crate::verilator::{Model, Port};
use glovebox_regmap::layout::BEAT_BYTES;
use std::collections::VecDeque;

/// Bytes of a beat, as a length.
const BEAT: usize = BEAT_BYTES as usize;
/// Bursts that a memory takes before it has answered one.
const READS_HELD: usize = 32;
/// Bytes that a memory may be ahead of its bandwidth: what its own buffers hold.
const CREDIT_BYTES: u64 = 1024;

/// How a memory behaves.
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
    /// Bytes a port moves in 1000 cycles, reads and writes together; `None` if only the bus limits it.
    pub bytes_per_kilocycle: Option<u32>,
}

impl Traffic {
    /// Every burst after the same latency, no stalls.
    pub const fn steady(latency_cycles: u32) -> Self {
        Self {
            seed: 0,
            latency_min_cycles: latency_cycles,
            latency_max_cycles: latency_cycles,
            stall_percent: 0,
            bytes_per_kilocycle: None,
        }
    }

    /// Latencies from 1 to 200 cycles and a third of all cycles stalled, on each channel for itself.
    pub const fn random(seed: u64) -> Self {
        Self { seed, latency_min_cycles: 1, latency_max_cycles: 200, stall_percent: 33, bytes_per_kilocycle: None }
    }

    /// One channel of DDR4: 19 GB/s and 60 to 90 cycles of latency at a card clock of 300 MHz.
    pub const fn ddr4() -> Self {
        Self {
            seed: 4,
            latency_min_cycles: 60,
            latency_max_cycles: 90,
            stall_percent: 0,
            bytes_per_kilocycle: Some(63_333),
        }
    }

    /// Two pseudo-channels of HBM2 behind each port: 28.8 GB/s, so that the port's 64 bytes a cycle are the limit, and 80
    /// to 120 cycles of latency at a card clock of 300 MHz.
    pub const fn hbm() -> Self {
        Self {
            seed: 5,
            latency_min_cycles: 80,
            latency_max_cycles: 120,
            stall_percent: 0,
            bytes_per_kilocycle: Some(96_000),
        }
    }
}

/// What is behind a memory port.
pub(crate) trait Target {
    /// Reads; false if it is refused.
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> bool;
    /// Writes; false if it is refused.
    fn write(&mut self, address: u64, bytes: &[u8]) -> bool;
}

macro_rules! ports {
    ($($name:ident)*) => {
        #[derive(Clone, Copy)]
        struct Ports { $($name: Port,)* }

        impl Ports {
            fn of(model: &Model, prefix: &str, suffix: &str) -> Result<Self, SimError> {
                Ok(Self { $($name: model.port(&format!("{prefix}{}{suffix}", stringify!($name)))?,)* })
            }
        }
    };
}

ports! {
    araddr arlen arsize arburst arvalid arready rdata rresp rlast rvalid rready
    awaddr awlen awsize awburst awvalid awready wdata wstrb wlast wvalid wready bresp bvalid bready
}

/// A burst that the memory has accepted.
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

/// A burst being read: its beats, and for each whether the memory refused it.
type Reading = VecDeque<([u8; BEAT], bool)>;

/// One memory port; deterministic.
pub(crate) struct AxiMemory {
    name: String,
    ports: Ports,
    traffic: Traffic,
    random: u64,
    reads: VecDeque<Burst>,
    reading: Reading,
    /// A beat of R is on the bus.
    read_offered: bool,
    writes: VecDeque<Burst>,
    write_beats: VecDeque<WriteBeat>,
    /// Written bursts, to be carried out and answered when due.
    written: VecDeque<(Burst, Vec<WriteBeat>)>,
    answer_offered: bool,
    /// What a channel offered and was not taken, to check that it stands still.
    offers: [Option<Vec<u64>>; 3],
    /// Bytes by 1000 that may move now.
    credit: u64,
    read_bytes: u64,
    written_bytes: u64,
}

impl AxiMemory {
    /// The far side of the master whose ports are `prefix` + AXI name + `suffix`.
    pub(crate) fn new(model: &Model, prefix: &str, suffix: &str, traffic: Traffic) -> Result<Self, SimError> {
        Ok(Self {
            name: format!("{prefix}*{suffix}"),
            ports: Ports::of(model, prefix, suffix)?,
            traffic,
            random: traffic.seed,
            reads: VecDeque::new(),
            reading: Reading::new(),
            read_offered: false,
            writes: VecDeque::new(),
            write_beats: VecDeque::new(),
            written: VecDeque::new(),
            answer_offered: false,
            offers: Default::default(),
            credit: 0,
            read_bytes: 0,
            written_bytes: 0,
        })
    }

    /// Changes how the memory behaves.
    pub(crate) fn set_traffic(&mut self, traffic: Traffic) {
        self.traffic = traffic;
    }

    /// Bytes read from and written to this port since power-up.
    pub(crate) fn moved_bytes(&self) -> (u64, u64) {
        (self.read_bytes, self.written_bytes)
    }

    /// Forgets traffic under way.
    pub(crate) fn reset(&mut self, model: &mut Model) {
        self.reads.clear();
        self.reading.clear();
        self.read_offered = false;
        self.writes.clear();
        self.write_beats.clear();
        self.written.clear();
        self.answer_offered = false;
        self.offers = Default::default();
        let p = self.ports;
        for port in [p.arready, p.rvalid, p.awready, p.wready, p.bvalid] {
            model.set(port, 0);
        }
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

    /// Whether the bandwidth has room for a beat.
    fn affords(&self) -> bool {
        self.traffic.bytes_per_kilocycle.is_none() || self.credit >= BEAT_BYTES * 1000
    }

    fn pay(&mut self) {
        self.credit = self.credit.saturating_sub(BEAT_BYTES * 1000);
    }

    fn due(&mut self, now: u64) -> u64 {
        let (low, high) = (self.traffic.latency_min_cycles.max(1), self.traffic.latency_max_cycles);
        let spread = u64::from(high.saturating_sub(low)) + 1;
        let more = if spread == 1 { 0 } else { self.word() % spread };
        now + u64::from(low) + more
    }

    fn broken(&self, what: &str) -> String {
        format!("{}: {what}", self.name)
    }

    /// An offer that was not taken must stand still: AXI's first rule.
    fn check_offer(&mut self, channel: usize, name: &str, now: Option<Vec<u64>>, taken: bool) -> Result<(), String> {
        if self.offers[channel].is_some() && self.offers[channel] != now {
            return Err(self.broken(&format!("{name} changed or withdrew an offer that was not taken")));
        }
        self.offers[channel] = if taken { None } else { now };
        Ok(())
    }

    /// The burst on an address channel, checked against the rules that the card promises.
    fn burst(&mut self, now: u64, address: u64, beats: usize, shape: (u64, u64)) -> Result<Burst, String> {
        let last = address + (beats * BEAT) as u64 - 1;
        if !address.is_multiple_of(BEAT_BYTES) || beats > 16 || address >> 12 != last >> 12 || shape != (6, 1) {
            return Err(self.broken(&format!("burst of {beats} beats at {address:#x}, size and kind {shape:?}")));
        }
        Ok(Burst { address, beats, due: self.due(now) })
    }

    /// The inputs of one clock.
    ///
    /// # Errors
    /// What rule of AXI the card broke.
    pub(crate) fn step(&mut self, model: &mut Model, target: &mut dyn Target) -> Result<(), String> {
        let p = self.ports;
        let now = model.cycle();
        if let Some(rate) = self.traffic.bytes_per_kilocycle {
            self.credit = (self.credit + u64::from(rate)).min(CREDIT_BYTES * 1000);
        }

        // AR.
        let offered = model.get(p.arvalid) == 1;
        let ready = self.reads.len() < READS_HELD && self.moves();
        model.set(p.arready, ready.into());
        let (address, beats) = (model.get(p.araddr), model.get(p.arlen) as usize + 1);
        self.check_offer(0, "AR", offered.then(|| vec![address, beats as u64]), ready)?;
        if offered && ready {
            let burst = self.burst(now, address, beats, (model.get(p.arsize), model.get(p.arburst)))?;
            self.reads.push_back(burst);
        }

        // R: a beat stays until it is taken.
        let next = !self.reading.is_empty() || self.reads.front().is_some_and(|burst| burst.due <= now);
        if !self.read_offered && next && self.affords() && self.moves() {
            self.offer_read(model, target);
            self.pay();
        }
        model.set(p.rvalid, self.read_offered.into());
        if self.read_offered && model.get(p.rready) == 1 {
            self.read_offered = false;
            self.read_bytes += BEAT_BYTES;
        }

        // AW.
        let offered = model.get(p.awvalid) == 1;
        let ready = self.moves();
        model.set(p.awready, ready.into());
        let (address, beats) = (model.get(p.awaddr), model.get(p.awlen) as usize + 1);
        self.check_offer(1, "AW", offered.then(|| vec![address, beats as u64]), ready)?;
        if offered && ready {
            let burst = self.burst(now, address, beats, (model.get(p.awsize), model.get(p.awburst)))?;
            self.writes.push_back(burst);
        }

        // W.
        let offered = model.get(p.wvalid) == 1;
        let ready = self.affords() && self.moves();
        model.set(p.wready, ready.into());
        let strobe = model.get(p.wstrb);
        let last = model.get(p.wlast) == 1;
        let data = offered.then(|| {
            let lanes = (0..BEAT / 8).map(|lane| model.lane(p.wdata, lane));
            lanes.chain([strobe, last.into()]).collect::<Vec<u64>>()
        });
        if let Some(data) = data.as_ref().filter(|_| ready) {
            let mut bytes = [0; BEAT];
            for (chunk, word) in bytes.chunks_exact_mut(8).zip(data) {
                chunk.copy_from_slice(&word.to_le_bytes());
            }
            self.write_beats.push_back(WriteBeat { bytes, strobe, last });
            self.written_bytes += BEAT_BYTES;
            self.pay();
        }
        self.check_offer(2, "W", data, ready)?;
        self.gather_write(now)?;

        // B: the write is carried out first, so that whoever sees the answer sees the data.
        if !self.answer_offered && self.written.front().is_some_and(|w| w.0.due <= now) && self.moves() {
            let fault = self.written.pop_front().is_some_and(|(burst, beats)| !write_burst(target, &burst, &beats));
            model.set(p.bresp, if fault { 2 } else { 0 });
            self.answer_offered = true;
        }
        model.set(p.bvalid, self.answer_offered.into());
        if self.answer_offered && model.get(p.bready) == 1 {
            self.answer_offered = false;
        }
        Ok(())
    }

    /// Puts the next beat of the oldest burst on R.
    fn offer_read(&mut self, model: &mut Model, target: &mut dyn Target) {
        let p = self.ports;
        if self.reading.is_empty() {
            let Some(burst) = self.reads.pop_front() else { return };
            self.reading = read_burst(target, &burst);
        }
        let Some((bytes, fault)) = self.reading.pop_front() else { return };
        for (lane, chunk) in bytes.chunks_exact(8).enumerate() {
            let word = chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
            model.set_lane(p.rdata, lane, word);
        }
        model.set(p.rresp, if fault { 2 } else { 0 });
        model.set(p.rlast, self.reading.is_empty().into());
        self.read_offered = true;
    }

    /// Moves a burst whose data is complete on to be carried out.
    fn gather_write(&mut self, now: u64) -> Result<(), String> {
        let Some(beats) = self.writes.front().map(|burst| burst.beats) else { return Ok(()) };
        if self.write_beats.len() < beats {
            return Ok(());
        }
        let data: Vec<WriteBeat> = self.write_beats.drain(..beats).collect();
        if data.iter().enumerate().any(|(index, beat)| beat.last != (index + 1 == beats)) {
            return Err(self.broken(&format!("WLAST is not on the last of {beats} beats")));
        }
        if let Some(mut burst) = self.writes.pop_front() {
            burst.due = burst.due.max(now + 1);
            self.written.push_back((burst, data));
        }
        Ok(())
    }
}

fn read_burst(target: &mut dyn Target, burst: &Burst) -> Reading {
    let mut bytes = vec![0; burst.beats * BEAT];
    let whole = target.read(burst.address, &mut bytes);
    let beats = bytes.chunks_exact_mut(BEAT).enumerate().map(|(index, chunk)| {
        let address = burst.address + (index * BEAT) as u64;
        let fault = !whole && !target.read(address, chunk);
        let mut beat = [0; BEAT];
        beat.copy_from_slice(chunk);
        (beat, fault)
    });
    beats.collect()
}

/// Carries a burst out, by runs of bytes that count; false if the memory refused.
fn write_burst(target: &mut dyn Target, burst: &Burst, beats: &[WriteBeat]) -> bool {
    let bytes: Vec<u8> = beats.iter().flat_map(|beat| beat.bytes).collect();
    let counts = |at: usize| at < bytes.len() && beats[at / BEAT].strobe >> (at % BEAT) & 1 == 1;
    let mut at = 0;
    while at < bytes.len() {
        if !counts(at) {
            at += 1;
            continue;
        }
        let end = (at..).find(|&i| !counts(i)).unwrap_or(bytes.len());
        if !target.write(burst.address + at as u64, &bytes[at..end]) {
            return false;
        }
        at = end;
    }
    true
}

/// Card memory: one array behind several ports.
pub(crate) struct MemoryArray {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ports: u64,
    /// Addresses that are refused, for tests.
    pub(crate) refused: std::ops::Range<u64>,
}

/// One port's view of the array: its beat b is beat b * ports + port of the array.
pub(crate) struct ArrayPort<'a> {
    pub(crate) array: &'a mut MemoryArray,
    pub(crate) port: u64,
}

impl ArrayPort<'_> {
    /// Where each beat of a range of whole beats is.
    fn place(&self, address: u64, index: usize) -> Option<usize> {
        let beat = (address / BEAT_BYTES + index as u64) * self.array.ports + self.port;
        let at = beat * BEAT_BYTES;
        let there = at < self.array.bytes.len() as u64 && !self.array.refused.contains(&at);
        there.then_some(at as usize)
    }
}

impl Target for ArrayPort<'_> {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> bool {
        for (index, chunk) in bytes.chunks_mut(BEAT).enumerate() {
            let Some(at) = self.place(address, index) else { return false };
            chunk.copy_from_slice(&self.array.bytes[at..at + chunk.len()]);
        }
        true
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> bool {
        for (index, chunk) in bytes.chunks(BEAT).enumerate() {
            let Some(at) = self.place(address, index) else { return false };
            self.array.bytes[at..at + chunk.len()].copy_from_slice(chunk);
        }
        true
    }
}
