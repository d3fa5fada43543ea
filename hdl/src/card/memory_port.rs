//! One AXI4 port to card memory: a write stream and two read streams.
//!
//! Each stream is a [`WriteDma`] or [`ReadDma`] of its own; the two read streams take turns on AR, burst by burst.
//! Range:     as [`ReadDma`] and [`WriteDma`]; addresses are the port's own
//! Handshake: as [`ReadDma`] and [`WriteDma`]; R comes in the order of AR (one id)
//! Latency:   1 cycle more than [`ReadDma`] to ARVALID; one beat a cycle
//! Reset:     `reset` clears everything, `key_clear` and `side_clear` one read stream each; synchronous, active high; only
//!            while quiet, or when the memory is reset too
//! Limits:    [`BURSTS`] read bursts are under way at once

use super::burst::BEATS;
use super::fifo::Fifo;
use super::read_dma::ReadDma;
use super::write_dma::WriteDma;
use crate::prelude::*;
use crate::word::Lanes;

/// Read bursts under way.
pub const BURSTS: usize = 32;
const COUNT: usize = 6;

/// The port.
#[derive(LogicBlock)]
pub struct MemoryPort {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Clears control.
    pub reset: Signal<In, Bit>,
    /// Holds further bursts back.
    pub stop: Signal<In, Bit>,
    /// Nothing is under way on the bus.
    pub quiet: Signal<Out, Bit>,
    /// Begin a write.
    pub write_start: Signal<In, Bit>,
    /// Its first byte.
    pub write_address: Signal<In, U<64>>,
    /// Its beats.
    pub write_beats: Signal<In, U<BEATS>>,
    /// It is over.
    pub write_done: Signal<Out, Bit>,
    /// It was refused.
    pub write_fault: Signal<Out, Bit>,
    /// In the burst that begins at this beat.
    pub write_fault_beat: Signal<Out, U<BEATS>>,
    /// Beat to write.
    pub d: Signal<In, Lanes<8>>,
    /// It is offered.
    pub d_valid: Signal<In, Bit>,
    /// It is taken.
    pub d_ready: Signal<Out, Bit>,
    /// Clears the key's stream.
    pub key_clear: Signal<In, Bit>,
    /// Begin a read of the key's stream.
    pub key_start: Signal<In, Bit>,
    /// Its first byte.
    pub key_address: Signal<In, U<64>>,
    /// Its beats.
    pub key_beats: Signal<In, U<BEATS>>,
    /// It is over.
    pub key_done: Signal<Out, Bit>,
    /// It was refused.
    pub key_fault: Signal<Out, Bit>,
    /// At this beat.
    pub key_fault_beat: Signal<Out, U<BEATS>>,
    /// Beat of the key's stream.
    pub key_q: Signal<Out, Lanes<8>>,
    /// It is offered.
    pub key_valid: Signal<Out, Bit>,
    /// It is taken.
    pub key_ready: Signal<In, Bit>,
    /// Clears the side stream.
    pub side_clear: Signal<In, Bit>,
    /// Begin a read of the side stream.
    pub side_start: Signal<In, Bit>,
    /// Its first byte.
    pub side_address: Signal<In, U<64>>,
    /// Its beats.
    pub side_beats: Signal<In, U<BEATS>>,
    /// It is over.
    pub side_done: Signal<Out, Bit>,
    /// It was refused.
    pub side_fault: Signal<Out, Bit>,
    /// At this beat.
    pub side_fault_beat: Signal<Out, U<BEATS>>,
    /// Beat of the side stream.
    pub side_q: Signal<Out, Lanes<8>>,
    /// It is offered.
    pub side_valid: Signal<Out, Bit>,
    /// It is taken.
    pub side_ready: Signal<In, Bit>,
    /// A beat was read.
    pub read_beat: Signal<Out, Bit>,
    /// A beat was written.
    pub write_beat: Signal<Out, Bit>,
    /// AXI4 read address.
    pub araddr: Signal<Out, U<64>>,
    /// Beats less 1.
    pub arlen: Signal<Out, U<8>>,
    /// Address valid.
    pub arvalid: Signal<Out, Bit>,
    /// Address taken.
    pub arready: Signal<In, Bit>,
    /// Read data.
    pub rdata: Signal<In, Lanes<8>>,
    /// Response.
    pub rresp: Signal<In, U<2>>,
    /// Last beat of its burst.
    pub rlast: Signal<In, Bit>,
    /// Data valid.
    pub rvalid: Signal<In, Bit>,
    /// Data taken.
    pub rready: Signal<Out, Bit>,
    /// AXI4 write address.
    pub awaddr: Signal<Out, U<64>>,
    /// Beats less 1.
    pub awlen: Signal<Out, U<8>>,
    /// Address valid.
    pub awvalid: Signal<Out, Bit>,
    /// Address taken.
    pub awready: Signal<In, Bit>,
    /// Write data.
    pub wdata: Signal<Out, Lanes<8>>,
    /// Bytes that count: all.
    pub wstrb: Signal<Out, U<64>>,
    /// Last beat of its burst.
    pub wlast: Signal<Out, Bit>,
    /// Data valid.
    pub wvalid: Signal<Out, Bit>,
    /// Data taken.
    pub wready: Signal<In, Bit>,
    /// Response.
    pub bresp: Signal<In, U<2>>,
    /// Response valid.
    pub bvalid: Signal<In, Bit>,
    /// Response taken.
    pub bready: Signal<Out, Bit>,
    writer: WriteDma,
    key_reader: ReadDma,
    side_reader: ReadDma,
    /// Whose bursts are under way: 1 the side stream's.
    owners: Fifo<U<1>>,
    under_way: Reg<U<COUNT>>,
    s1_valid: Reg<Bit>,
    s1_address: Reg<U<64>>,
    s1_length: Reg<U<8>>,
    /// The side stream's turn.
    turn: Reg<Bit>,
    load: Signal<Local, Bit>,
    take_key: Signal<Local, Bit>,
    take_side: Signal<Local, Bit>,
    take: Signal<Local, Bit>,
    ends: Signal<Local, Bit>,
    of_side: Signal<Local, Bit>,
    all_bytes: Constant<U<64>>,
    most: Constant<U<COUNT>>,
}

impl Default for MemoryPort {
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
            d_valid: Default::default(),
            d_ready: Default::default(),
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
            araddr: Default::default(),
            arlen: Default::default(),
            arvalid: Default::default(),
            arready: Default::default(),
            rdata: Default::default(),
            rresp: Default::default(),
            rlast: Default::default(),
            rvalid: Default::default(),
            rready: Default::default(),
            awaddr: Default::default(),
            awlen: Default::default(),
            awvalid: Default::default(),
            awready: Default::default(),
            wdata: Default::default(),
            wstrb: Default::default(),
            wlast: Default::default(),
            wvalid: Default::default(),
            wready: Default::default(),
            bresp: Default::default(),
            bvalid: Default::default(),
            bready: Default::default(),
            writer: Default::default(),
            key_reader: Default::default(),
            side_reader: Default::default(),
            under_way: Default::default(),
            s1_valid: Default::default(),
            s1_address: Default::default(),
            s1_length: Default::default(),
            turn: Default::default(),
            load: Default::default(),
            take_key: Default::default(),
            take_side: Default::default(),
            take: Default::default(),
            ends: Default::default(),
            of_side: Default::default(),
            owners: Fifo::new(BURSTS),
            all_bytes: Constant::new(u64::MAX.into()),
            most: Constant::new((BURSTS as u64).into()),
        }
    }
}

impl Logic for MemoryPort {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, writer, key_reader, side_reader, owners);
        dff_setup!(self, clock, under_way, s1_valid, s1_address, s1_length, turn);
        self.quiet.next = self.writer.quiet.val() & self.key_reader.quiet.val() & self.side_reader.quiet.val();

        // Writes.
        self.writer.reset.next = self.reset.val();
        self.writer.start.next = self.write_start.val();
        self.writer.address.next = self.write_address.val();
        self.writer.beats.next = self.write_beats.val();
        self.writer.strobe.next = self.all_bytes.val();
        self.writer.stop.next = self.stop.val();
        self.write_done.next = self.writer.done.val();
        self.write_fault.next = self.writer.fault.val();
        self.write_fault_beat.next = self.writer.fault_beat.val();
        self.write_beat.next = self.writer.beat_done.val();
        self.writer.d.next = self.d.val();
        self.writer.d_valid.next = self.d_valid.val();
        self.d_ready.next = self.writer.d_ready.val();
        self.awaddr.next = self.writer.awaddr.val();
        self.awlen.next = self.writer.awlen.val();
        self.awvalid.next = self.writer.awvalid.val();
        self.writer.awready.next = self.awready.val();
        self.wdata.next = self.writer.wdata.val();
        self.wstrb.next = self.writer.wstrb.val();
        self.wlast.next = self.writer.wlast.val();
        self.wvalid.next = self.writer.wvalid.val();
        self.writer.wready.next = self.wready.val();
        self.writer.bresp.next = self.bresp.val();
        self.writer.bvalid.next = self.bvalid.val();
        self.bready.next = self.writer.bready.val();

        // Reads.
        self.key_reader.reset.next = self.reset.val() | self.key_clear.val();
        self.key_reader.start.next = self.key_start.val();
        self.key_reader.address.next = self.key_address.val();
        self.key_reader.beats.next = self.key_beats.val();
        self.key_reader.stop.next = self.stop.val();
        self.key_done.next = self.key_reader.done.val();
        self.key_fault.next = self.key_reader.fault.val();
        self.key_fault_beat.next = self.key_reader.fault_beat.val();
        self.key_q.next = self.key_reader.q.val();
        self.key_valid.next = self.key_reader.q_valid.val();
        self.key_reader.q_ready.next = self.key_ready.val();
        self.side_reader.reset.next = self.reset.val() | self.side_clear.val();
        self.side_reader.start.next = self.side_start.val();
        self.side_reader.address.next = self.side_address.val();
        self.side_reader.beats.next = self.side_beats.val();
        self.side_reader.stop.next = self.stop.val();
        self.side_done.next = self.side_reader.done.val();
        self.side_fault.next = self.side_reader.fault.val();
        self.side_fault_beat.next = self.side_reader.fault_beat.val();
        self.side_q.next = self.side_reader.q.val();
        self.side_valid.next = self.side_reader.q_valid.val();
        self.side_reader.q_ready.next = self.side_ready.val();
        self.read_beat.next = self.key_reader.beat_done.val() | self.side_reader.beat_done.val();

        // AR: by turns where both ask.
        self.load.next = (!self.s1_valid.q.val() | self.arready.val()) & (self.under_way.q.val() != self.most.val());
        self.take_side.next =
            self.load.val() & self.side_reader.arvalid.val() & (self.turn.q.val() | !self.key_reader.arvalid.val());
        self.take_key.next =
            self.load.val() & self.key_reader.arvalid.val() & (!self.turn.q.val() | !self.side_reader.arvalid.val());
        self.take.next = self.take_key.val() | self.take_side.val();
        self.key_reader.arready.next = self.take_key.val();
        self.side_reader.arready.next = self.take_side.val();
        if self.arready.val() {
            self.s1_valid.d.next = false;
        }
        if self.take_key.val() {
            self.s1_valid.d.next = true;
            self.s1_address.d.next = self.key_reader.araddr.val();
            self.s1_length.d.next = self.key_reader.arlen.val();
            self.turn.d.next = true;
        }
        if self.take_side.val() {
            self.s1_valid.d.next = true;
            self.s1_address.d.next = self.side_reader.araddr.val();
            self.s1_length.d.next = self.side_reader.arlen.val();
            self.turn.d.next = false;
        }
        self.araddr.next = self.s1_address.q.val();
        self.arlen.next = self.s1_length.q.val();
        self.arvalid.next = self.s1_valid.q.val();

        // R: to whoever asked; both have promised room.
        self.owners.reset.next = self.reset.val();
        self.owners.push.next = self.take.val();
        self.owners.d.next = self.take_side.val().into();
        self.of_side.next = self.owners.q.val().get_bit(0);
        self.rready.next = self.owners.valid.val();
        self.ends.next = self.owners.valid.val() & self.rvalid.val() & self.rlast.val();
        self.owners.ready.next = self.ends.val();
        self.key_reader.rdata.next = self.rdata.val();
        self.key_reader.rresp.next = self.rresp.val();
        self.key_reader.rvalid.next = self.rvalid.val() & self.owners.valid.val() & !self.of_side.val();
        self.side_reader.rdata.next = self.rdata.val();
        self.side_reader.rresp.next = self.rresp.val();
        self.side_reader.rvalid.next = self.rvalid.val() & self.owners.valid.val() & self.of_side.val();
        if self.take.val() & !self.ends.val() {
            self.under_way.d.next = self.under_way.q.val() + 1u64;
        }
        if !self.take.val() & self.ends.val() {
            self.under_way.d.next = self.under_way.q.val() - 1u64;
        }
        if self.reset.val() {
            self.s1_valid.d.next = false;
            self.under_way.d.next = 0u64.into();
            self.turn.d.next = false;
        }
    }
}
