//! Host memory into a stream: the card's one AXI4 read master.
//!
//! The stream is the beats `address / 64 .. address / 64 + beats` of host memory, in order.
//! Range:     `address` a multiple of 64; `beats` 0 to 2^26; the range does not wrap
//! Handshake: `start` begins a transfer once the last one is done; `done` is true from its end to the next `start`;
//!            ready/valid stream; AXI4, one id, INCR bursts of up to 16 beats of 64 bytes that never cross 4 KiB
//! Latency:   3 cycles from `start` to ARVALID, 2 from a beat of R to the stream; one beat a cycle
//! Reset:     `reset` clears control, synchronous, active high; assert it only while `quiet`, or when the bus is reset too
//! Limits:    up to [`DEPTH`] beats are under way. Room is promised before a burst is asked for, so RREADY is always 1
//!
//! An error response ends the transfer: no further burst is asked for, `fault` is set and `fault_beat` numbers the first
//! beat that was refused; `done` follows when the bursts under way are in. The stream ends ahead of the refused beat, and
//! only `reset` makes the engine fit for the next transfer. `stop` also holds further bursts back, and then
//! `done` does not come: only `reset` ends that.

use super::burst::{BEATS, BurstPlanner};
use super::fifo::Fifo;
use crate::prelude::*;
use crate::word::Lanes;

/// Beats that may be under way or wait in the queue: 8 KiB, which hides about 128 cycles of latency.
pub const DEPTH: usize = 128;
/// Bits of a count of those.
const COUNT: usize = 8;

/// The read master.
#[derive(LogicBlock)]
pub struct ReadDma {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Clears control.
    pub reset: Signal<In, Bit>,
    /// Begins a transfer.
    pub start: Signal<In, Bit>,
    /// Its first byte.
    pub address: Signal<In, U<64>>,
    /// Its beats.
    pub beats: Signal<In, U<BEATS>>,
    /// Asks for no further burst.
    pub stop: Signal<In, Bit>,
    /// The last transfer is over, with or without a fault.
    pub done: Signal<Out, Bit>,
    /// Nothing is under way on the bus.
    pub quiet: Signal<Out, Bit>,
    /// Host memory refused a beat since the last start.
    pub fault: Signal<Out, Bit>,
    /// Number of the first beat that was refused.
    pub fault_beat: Signal<Out, U<BEATS>>,
    /// A beat arrived well.
    pub beat_done: Signal<Out, Bit>,
    /// Beats are under way and none is there to be taken.
    pub stalled: Signal<Out, Bit>,
    /// Beat out.
    pub q: Signal<Out, Lanes<8>>,
    /// A beat is offered.
    pub q_valid: Signal<Out, Bit>,
    /// It is taken.
    pub q_ready: Signal<In, Bit>,
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
    /// Data valid.
    pub rvalid: Signal<In, Bit>,
    /// Data taken: always 1.
    pub rready: Signal<Out, Bit>,
    planner: BurstPlanner,
    queue: Fifo<Lanes<8>>,
    s1_address: Reg<U<64>>,
    s1_length: Reg<U<8>>,
    s1_valid: Reg<Bit>,
    /// Beats asked for and not arrived.
    waiting: Reg<U<COUNT>>,
    /// Beats of room not promised.
    room: Reg<U<COUNT>>,
    received: Reg<U<BEATS>>,
    failed: Reg<Bit>,
    failed_beat: Reg<U<BEATS>>,
    issue: Signal<Local, Bit>,
    arrive: Signal<Local, Bit>,
    give: Signal<Local, Bit>,
    refused: Signal<Local, Bit>,
    waiting_now: Signal<Local, U<COUNT>>,
    room_now: Signal<Local, U<COUNT>>,
    depth: Constant<U<COUNT>>,
}

impl Default for ReadDma {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            start: Default::default(),
            address: Default::default(),
            beats: Default::default(),
            stop: Default::default(),
            done: Default::default(),
            quiet: Default::default(),
            fault: Default::default(),
            fault_beat: Default::default(),
            beat_done: Default::default(),
            stalled: Default::default(),
            q: Default::default(),
            q_valid: Default::default(),
            q_ready: Default::default(),
            araddr: Default::default(),
            arlen: Default::default(),
            arvalid: Default::default(),
            arready: Default::default(),
            rdata: Default::default(),
            rresp: Default::default(),
            rvalid: Default::default(),
            rready: Default::default(),
            planner: Default::default(),
            queue: Fifo::new(DEPTH),
            s1_address: Default::default(),
            s1_length: Default::default(),
            s1_valid: Default::default(),
            waiting: Default::default(),
            room: Default::default(),
            received: Default::default(),
            failed: Default::default(),
            failed_beat: Default::default(),
            issue: Default::default(),
            arrive: Default::default(),
            give: Default::default(),
            refused: Default::default(),
            waiting_now: Default::default(),
            room_now: Default::default(),
            depth: Constant::new((DEPTH as u64).into()),
        }
    }
}

impl Logic for ReadDma {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, planner, queue);
        dff_setup!(self, clock, s1_address, s1_length, s1_valid, waiting, room, received, failed, failed_beat);
        self.planner.reset.next = self.reset.val();
        self.planner.start.next = self.start.val();
        self.planner.address.next = self.address.val();
        self.planner.beats.next = self.beats.val();
        self.planner.stop.next = self.stop.val() | self.failed.q.val();

        // Ask for a burst when the queue has room for all of it.
        self.issue.next = self.planner.valid.val()
            & (self.room.q.val() >= self.planner.burst_beats.val().to_bits::<COUNT>())
            & (!self.s1_valid.q.val() | self.arready.val())
            & !self.stop.val()
            & !self.failed.q.val();
        self.planner.take.next = self.issue.val();
        if self.arready.val() {
            self.s1_valid.d.next = false;
        }
        if self.issue.val() {
            self.s1_valid.d.next = true;
            self.s1_address.d.next = self.planner.burst_address.val();
            self.s1_length.d.next = self.planner.burst_beats.val().to_bits::<8>() - 1u64;
        }
        self.araddr.next = self.s1_address.q.val();
        self.arlen.next = self.s1_length.q.val();
        self.arvalid.next = self.s1_valid.q.val();

        // Take what arrives; a refused beat and all behind it are dropped, and their room stays promised until a reset.
        self.rready.next = true;
        self.arrive.next = self.rvalid.val();
        self.refused.next = self.rvalid.val() & self.rresp.val().get_bit(1);
        self.queue.reset.next = self.reset.val();
        self.queue.push.next = self.rvalid.val() & !self.rresp.val().get_bit(1) & !self.failed.q.val();
        self.queue.d.next = self.rdata.val();
        self.beat_done.next = self.rvalid.val() & !self.rresp.val().get_bit(1);
        if self.arrive.val() {
            self.received.d.next = self.received.q.val() + 1u64;
        }
        if self.refused.val() & !self.failed.q.val() {
            self.failed.d.next = true;
            self.failed_beat.d.next = self.received.q.val();
        }
        self.q.next = self.queue.q.val();
        self.q_valid.next = self.queue.valid.val();
        self.queue.ready.next = self.q_ready.val();
        self.give.next = self.queue.valid.val() & self.q_ready.val();

        // Count.
        self.waiting_now.next = self.waiting.q.val();
        if self.arrive.val() {
            self.waiting_now.next = self.waiting.q.val() - 1u64;
        }
        self.waiting.d.next = self.waiting_now.val();
        self.room_now.next = self.room.q.val();
        if self.give.val() {
            self.room_now.next = self.room.q.val() + 1u64;
        }
        self.room.d.next = self.room_now.val();
        if self.issue.val() {
            self.waiting.d.next = self.waiting_now.val() + self.planner.burst_beats.val().to_bits::<COUNT>();
            self.room.d.next = self.room_now.val() - self.planner.burst_beats.val().to_bits::<COUNT>();
        }
        self.quiet.next = !self.waiting.q.val().any();
        self.done.next = !self.waiting.q.val().any() & (!self.planner.busy.val() | self.failed.q.val());
        self.fault.next = self.failed.q.val();
        self.fault_beat.next = self.failed_beat.q.val();
        self.stalled.next = self.waiting.q.val().any() & !self.queue.valid.val();

        if self.start.val() {
            self.received.d.next = 0u64.into();
            self.failed.d.next = false;
        }
        if self.reset.val() {
            self.s1_valid.d.next = false;
            self.waiting.d.next = 0u64.into();
            self.room.d.next = self.depth.val();
            self.received.d.next = 0u64.into();
            self.failed.d.next = false;
        }
    }
}
