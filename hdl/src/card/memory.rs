//! Card memory behind `P` ports: one address space, striped beat by beat.
//!
//! Beat b of card memory is beat b / P of port b mod P; a granule is P beats, one of each port
//! Range:     addresses and lengths whole granules; `W = 8 P` words a granule
//! Handshake: as [`MemoryPort`]; addresses are those of card memory over P, beats those of one port. Streams out are
//!            ready/valid by granules; the write stream goes port by port
//! Latency:   as [`MemoryPort`]; a granule a cycle
//! Reset:     as [`MemoryPort`]
//! Limits:    as [`MemoryPort`]. A fault is that of the highest port that has one

use super::burst::BEATS;
use super::gather::Gather;
use super::memory_port::MemoryPort;
use crate::prelude::*;
use crate::word::Lanes;

/// The ports.
#[derive(LogicBlock)]
pub struct CardMemory<const P: usize, const W: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Clears control.
    pub reset: Signal<In, Bit>,
    /// Holds further bursts back.
    pub stop: Signal<In, Bit>,
    /// Nothing is under way on any port.
    pub quiet: Signal<Out, Bit>,
    /// Begin a write on every port.
    pub write_start: Signal<In, Bit>,
    /// First byte on each port.
    pub write_address: Signal<In, U<64>>,
    /// Beats of each port.
    pub write_beats: Signal<In, U<BEATS>>,
    /// All are over.
    pub write_done: Signal<Out, Bit>,
    /// One was refused.
    pub write_fault: Signal<Out, Bit>,
    /// In the burst that begins at this granule.
    pub write_fault_beat: Signal<Out, U<BEATS>>,
    /// Beat to write.
    pub d: Signal<In, Lanes<8>>,
    /// It is offered to this port.
    pub d_valid: [Signal<In, Bit>; P],
    /// The port takes it.
    pub d_ready: [Signal<Out, Bit>; P],
    /// Clears the key's stream.
    pub key_clear: Signal<In, Bit>,
    /// Begin a read of the key's stream.
    pub key_start: Signal<In, Bit>,
    /// First byte on each port.
    pub key_address: Signal<In, U<64>>,
    /// Granules.
    pub key_beats: Signal<In, U<BEATS>>,
    /// It is over.
    pub key_done: Signal<Out, Bit>,
    /// It was refused.
    pub key_fault: Signal<Out, Bit>,
    /// At this granule.
    pub key_fault_beat: Signal<Out, U<BEATS>>,
    /// Granule of the key's stream.
    pub key_q: Signal<Out, Lanes<W>>,
    /// It is offered.
    pub key_valid: Signal<Out, Bit>,
    /// It is taken.
    pub key_ready: Signal<In, Bit>,
    /// Clears the side stream.
    pub side_clear: Signal<In, Bit>,
    /// Begin a read of the side stream.
    pub side_start: Signal<In, Bit>,
    /// First byte on each port.
    pub side_address: Signal<In, U<64>>,
    /// Granules.
    pub side_beats: Signal<In, U<BEATS>>,
    /// It is over.
    pub side_done: Signal<Out, Bit>,
    /// It was refused.
    pub side_fault: Signal<Out, Bit>,
    /// At this granule.
    pub side_fault_beat: Signal<Out, U<BEATS>>,
    /// Granule of the side stream.
    pub side_q: Signal<Out, Lanes<W>>,
    /// It is offered.
    pub side_valid: Signal<Out, Bit>,
    /// It is taken.
    pub side_ready: Signal<In, Bit>,
    /// Port 0 read a beat.
    pub read_beat: Signal<Out, Bit>,
    /// Port 0 wrote a beat.
    pub write_beat: Signal<Out, Bit>,
    /// Read address.
    pub araddr: [Signal<Out, U<64>>; P],
    /// Beats less 1.
    pub arlen: [Signal<Out, U<8>>; P],
    /// Read address valid.
    pub arvalid: [Signal<Out, Bit>; P],
    /// Read address taken.
    pub arready: [Signal<In, Bit>; P],
    /// Read data.
    pub rdata: [Signal<In, Lanes<8>>; P],
    /// Read response.
    pub rresp: [Signal<In, U<2>>; P],
    /// Last beat of its burst.
    pub rlast: [Signal<In, Bit>; P],
    /// Read data valid.
    pub rvalid: [Signal<In, Bit>; P],
    /// Read data taken.
    pub rready: [Signal<Out, Bit>; P],
    /// Write address.
    pub awaddr: [Signal<Out, U<64>>; P],
    /// Beats less 1.
    pub awlen: [Signal<Out, U<8>>; P],
    /// Write address valid.
    pub awvalid: [Signal<Out, Bit>; P],
    /// Write address taken.
    pub awready: [Signal<In, Bit>; P],
    /// Write data.
    pub wdata: [Signal<Out, Lanes<8>>; P],
    /// Bytes that count.
    pub wstrb: [Signal<Out, U<64>>; P],
    /// Last beat of its burst.
    pub wlast: [Signal<Out, Bit>; P],
    /// Write data valid.
    pub wvalid: [Signal<Out, Bit>; P],
    /// Write data taken.
    pub wready: [Signal<In, Bit>; P],
    /// Write response.
    pub bresp: [Signal<In, U<2>>; P],
    /// Write response valid.
    pub bvalid: [Signal<In, Bit>; P],
    /// Write response taken.
    pub bready: [Signal<Out, Bit>; P],
    port: [MemoryPort; P],
    key_beat: Gather<P, W>,
    side_beat: Gather<P, W>,
    key_all: Signal<Local, Bit>,
    side_all: Signal<Local, Bit>,
}

impl<const P: usize, const W: usize> Default for CardMemory<P, W> {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            stop: Default::default(),
            quiet: Default::default(),
            write_start: Default::default(),
            write_address: Default::default(),
            write_beats: Default::default(),
            write_done: Default::default(),
            write_fault: Default::default(),
            write_fault_beat: Default::default(),
            d: Default::default(),
            d_valid: std::array::from_fn(|_| Default::default()),
            d_ready: std::array::from_fn(|_| Default::default()),
            key_clear: Default::default(),
            key_start: Default::default(),
            key_address: Default::default(),
            key_beats: Default::default(),
            key_done: Default::default(),
            key_fault: Default::default(),
            key_fault_beat: Default::default(),
            key_q: Default::default(),
            key_valid: Default::default(),
            key_ready: Default::default(),
            side_clear: Default::default(),
            side_start: Default::default(),
            side_address: Default::default(),
            side_beats: Default::default(),
            side_done: Default::default(),
            side_fault: Default::default(),
            side_fault_beat: Default::default(),
            side_q: Default::default(),
            side_valid: Default::default(),
            side_ready: Default::default(),
            read_beat: Default::default(),
            write_beat: Default::default(),
            araddr: std::array::from_fn(|_| Default::default()),
            arlen: std::array::from_fn(|_| Default::default()),
            arvalid: std::array::from_fn(|_| Default::default()),
            arready: std::array::from_fn(|_| Default::default()),
            rdata: std::array::from_fn(|_| Default::default()),
            rresp: std::array::from_fn(|_| Default::default()),
            rlast: std::array::from_fn(|_| Default::default()),
            rvalid: std::array::from_fn(|_| Default::default()),
            rready: std::array::from_fn(|_| Default::default()),
            awaddr: std::array::from_fn(|_| Default::default()),
            awlen: std::array::from_fn(|_| Default::default()),
            awvalid: std::array::from_fn(|_| Default::default()),
            awready: std::array::from_fn(|_| Default::default()),
            wdata: std::array::from_fn(|_| Default::default()),
            wstrb: std::array::from_fn(|_| Default::default()),
            wlast: std::array::from_fn(|_| Default::default()),
            wvalid: std::array::from_fn(|_| Default::default()),
            wready: std::array::from_fn(|_| Default::default()),
            bresp: std::array::from_fn(|_| Default::default()),
            bvalid: std::array::from_fn(|_| Default::default()),
            bready: std::array::from_fn(|_| Default::default()),
            port: std::array::from_fn(|_| Default::default()),
            key_beat: Default::default(),
            side_beat: Default::default(),
            key_all: Default::default(),
            side_all: Default::default(),
        }
    }
}

impl<const P: usize, const W: usize> Logic for CardMemory<P, W> {
    #[hdl_gen]
    fn update(&mut self) {
        self.quiet.next = true;
        self.write_done.next = true;
        self.write_fault.next = false;
        self.write_fault_beat.next = self.port[0].write_fault_beat.val();
        self.key_done.next = true;
        self.key_fault.next = false;
        self.key_fault_beat.next = self.port[0].key_fault_beat.val();
        self.key_all.next = true;
        self.side_done.next = true;
        self.side_fault.next = false;
        self.side_fault_beat.next = self.port[0].side_fault_beat.val();
        self.side_all.next = true;
        self.read_beat.next = self.port[0].read_beat.val();
        self.write_beat.next = self.port[0].write_beat.val();
        self.key_q.next = self.key_beat.q.val();
        self.side_q.next = self.side_beat.q.val();
        for i in 0..P {
            self.port[i].clock.next = self.clock.val();
            self.port[i].reset.next = self.reset.val();
            self.port[i].stop.next = self.stop.val();
            if !self.port[i].quiet.val() {
                self.quiet.next = false;
            }
            self.port[i].write_start.next = self.write_start.val();
            self.port[i].write_address.next = self.write_address.val();
            self.port[i].write_beats.next = self.write_beats.val();
            if !self.port[i].write_done.val() {
                self.write_done.next = false;
            }
            self.port[i].d.next = self.d.val();
            self.port[i].d_valid.next = self.d_valid[i].val();
            self.d_ready[i].next = self.port[i].d_ready.val();
            self.port[i].key_clear.next = self.key_clear.val();
            self.port[i].key_start.next = self.key_start.val();
            self.port[i].key_address.next = self.key_address.val();
            self.port[i].key_beats.next = self.key_beats.val();
            if !self.port[i].key_done.val() {
                self.key_done.next = false;
            }
            self.key_beat.d[i].next = self.port[i].key_q.val();
            if !self.port[i].key_valid.val() {
                self.key_all.next = false;
            }
            self.port[i].side_clear.next = self.side_clear.val();
            self.port[i].side_start.next = self.side_start.val();
            self.port[i].side_address.next = self.side_address.val();
            self.port[i].side_beats.next = self.side_beats.val();
            if !self.port[i].side_done.val() {
                self.side_done.next = false;
            }
            self.side_beat.d[i].next = self.port[i].side_q.val();
            if !self.port[i].side_valid.val() {
                self.side_all.next = false;
            }
            if self.port[i].write_fault.val() {
                self.write_fault.next = true;
                self.write_fault_beat.next = self.port[i].write_fault_beat.val();
            }
            if self.port[i].key_fault.val() {
                self.key_fault.next = true;
                self.key_fault_beat.next = self.port[i].key_fault_beat.val();
            }
            if self.port[i].side_fault.val() {
                self.side_fault.next = true;
                self.side_fault_beat.next = self.port[i].side_fault_beat.val();
            }
        }
        self.key_valid.next = self.key_all.val();
        self.side_valid.next = self.side_all.val();
        for i in 0..P {
            self.port[i].key_ready.next = self.key_all.val() & self.key_ready.val();
            self.port[i].side_ready.next = self.side_all.val() & self.side_ready.val();
            self.araddr[i].next = self.port[i].araddr.val();
            self.arlen[i].next = self.port[i].arlen.val();
            self.arvalid[i].next = self.port[i].arvalid.val();
            self.port[i].arready.next = self.arready[i].val();
            self.port[i].rdata.next = self.rdata[i].val();
            self.port[i].rresp.next = self.rresp[i].val();
            self.port[i].rlast.next = self.rlast[i].val();
            self.port[i].rvalid.next = self.rvalid[i].val();
            self.rready[i].next = self.port[i].rready.val();
            self.awaddr[i].next = self.port[i].awaddr.val();
            self.awlen[i].next = self.port[i].awlen.val();
            self.awvalid[i].next = self.port[i].awvalid.val();
            self.port[i].awready.next = self.awready[i].val();
            self.wdata[i].next = self.port[i].wdata.val();
            self.wstrb[i].next = self.port[i].wstrb.val();
            self.wlast[i].next = self.port[i].wlast.val();
            self.wvalid[i].next = self.port[i].wvalid.val();
            self.port[i].wready.next = self.wready[i].val();
            self.port[i].bresp.next = self.bresp[i].val();
            self.port[i].bvalid.next = self.bvalid[i].val();
            self.bready[i].next = self.port[i].bready.val();
        }
    }
}
