//! A stream into host memory: the card's one AXI4 write master.
//!
//! Beat i of the stream goes to beat `address / 64 + i` of host memory; of the last beat only the bytes of `strobe`.
//! Range:     `address` a multiple of 64; `beats` 0 to 2^26; the range does not wrap
//! Handshake: `start` begins a transfer once the last one is done; `done` is true from its end, every response included,
//!            to the next `start`; ready/valid stream; AXI4, one id, INCR bursts of up to 16 beats of 64 bytes that never
//!            cross 4 KiB
//! Latency:   a burst is announced once all of it is in the queue, about 4 cycles after its last beat; one beat a cycle
//! Reset:     `reset` clears control, synchronous, active high; assert it only while `quiet`, or when the bus is reset too
//! Limits:    [`BURSTS`] bursts are under way. A burst that was announced is always delivered, whatever `stop` says
//!
//! An error response ends the transfer: no further burst is announced, `fault` is set and `fault_beat` numbers the first
//! beat of the first burst that was refused; `done` follows when the bursts under way are answered. `stop` also holds
//! further bursts back, and then `done` does not come: only `reset` ends that.

use super::burst::{BEATS, BurstPlanner, LENGTH};
use super::fifo::Fifo;
use crate::prelude::*;
use crate::word::Lanes;

/// Beats in the queue.
pub const DEPTH: usize = 64;
/// Bursts announced and not answered.
pub const BURSTS: usize = 15;
/// Bits of a count of beats in the queue.
const COUNT: usize = 7;

/// The write master.
#[derive(LogicBlock)]
pub struct WriteDma {
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
    /// Bytes of the last beat; steady from `start` to `done`.
    pub strobe: Signal<In, U<64>>,
    /// Announces no further burst.
    pub stop: Signal<In, Bit>,
    /// The last transfer is over, with or without a fault.
    pub done: Signal<Out, Bit>,
    /// Nothing is under way on the bus.
    pub quiet: Signal<Out, Bit>,
    /// Host memory refused a burst since the last start.
    pub fault: Signal<Out, Bit>,
    /// Number of the first beat of that burst.
    pub fault_beat: Signal<Out, U<BEATS>>,
    /// A beat was taken by host memory.
    pub beat_done: Signal<Out, Bit>,
    /// A beat is ready and host memory does not take it.
    pub stalled: Signal<Out, Bit>,
    /// Beat in.
    pub d: Signal<In, Lanes<8>>,
    /// A beat is offered.
    pub d_valid: Signal<In, Bit>,
    /// It is taken.
    pub d_ready: Signal<Out, Bit>,
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
    /// Bytes that count.
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
    /// Response taken: always 1.
    pub bready: Signal<Out, Bit>,
    planner: BurstPlanner,
    queue: Fifo<Lanes<8>>,
    s1_address: Reg<U<64>>,
    s1_length: Reg<U<8>>,
    s1_valid: Reg<Bit>,
    /// Beats of room in the queue.
    room: Reg<U<COUNT>>,
    /// Beats in the queue that belong to no announced burst.
    loose: Reg<U<COUNT>>,
    /// Beats of the present burst not yet taken.
    left: Reg<U<LENGTH>>,
    ends: Reg<Bit>,
    /// Bursts announced and not answered.
    waiting: Reg<U<4>>,
    /// Number of the first beat of the oldest of those, and its place in its kilobyte.
    answer_beat: Reg<U<BEATS>>,
    answer_place: Reg<U<4>>,
    failed: Reg<Bit>,
    failed_beat: Reg<U<BEATS>>,
    give: Signal<Local, Bit>,
    announce: Signal<Local, Bit>,
    deliver: Signal<Local, Bit>,
    is_last: Signal<Local, Bit>,
    offered: Signal<Local, Bit>,
    to_boundary: Signal<Local, U<LENGTH>>,
    loose_now: Signal<Local, U<COUNT>>,
    waiting_now: Signal<Local, U<4>>,
    depth: Constant<U<COUNT>>,
    full: Constant<U<LENGTH>>,
    one: Constant<U<LENGTH>>,
    most: Constant<U<4>>,
    all_bytes: Constant<U<64>>,
}

impl Default for WriteDma {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            start: Default::default(),
            address: Default::default(),
            beats: Default::default(),
            strobe: Default::default(),
            stop: Default::default(),
            done: Default::default(),
            quiet: Default::default(),
            fault: Default::default(),
            fault_beat: Default::default(),
            beat_done: Default::default(),
            stalled: Default::default(),
            d: Default::default(),
            d_valid: Default::default(),
            d_ready: Default::default(),
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
            planner: Default::default(),
            queue: Fifo::new(DEPTH),
            s1_address: Default::default(),
            s1_length: Default::default(),
            s1_valid: Default::default(),
            room: Default::default(),
            loose: Default::default(),
            left: Default::default(),
            ends: Default::default(),
            waiting: Default::default(),
            answer_beat: Default::default(),
            answer_place: Default::default(),
            failed: Default::default(),
            failed_beat: Default::default(),
            give: Default::default(),
            announce: Default::default(),
            deliver: Default::default(),
            is_last: Default::default(),
            offered: Default::default(),
            to_boundary: Default::default(),
            loose_now: Default::default(),
            waiting_now: Default::default(),
            depth: Constant::new((DEPTH as u64).into()),
            full: Constant::new((super::burst::BURST_BEATS as u64).into()),
            one: Constant::new(1u64.into()),
            most: Constant::new((BURSTS as u64).into()),
            all_bytes: Constant::new(u64::MAX.into()),
        }
    }
}

impl Logic for WriteDma {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, planner, queue);
        dff_setup!(self, clock, s1_address, s1_length, s1_valid, room, loose, left, ends);
        dff_setup!(self, clock, waiting, answer_beat, answer_place, failed, failed_beat);
        self.planner.reset.next = self.reset.val();
        self.planner.start.next = self.start.val();
        self.planner.address.next = self.address.val();
        self.planner.beats.next = self.beats.val();
        self.planner.stop.next = self.stop.val() | self.failed.q.val();

        // Queue the stream.
        self.give.next = self.d_valid.val() & self.room.q.val().any();
        self.d_ready.next = self.room.q.val().any();
        self.queue.reset.next = self.reset.val();
        self.queue.push.next = self.give.val();
        self.queue.d.next = self.d.val();

        // Announce a burst when all of it is queued and the one before it leaves.
        self.offered.next = self.left.q.val().any() & self.queue.valid.val();
        self.deliver.next = self.offered.val() & self.wready.val();
        self.is_last.next = self.left.q.val() == self.one.val();
        self.announce.next = self.planner.valid.val()
            & (self.loose.q.val() >= self.planner.burst_beats.val().to_bits::<COUNT>())
            & (!self.left.q.val().any() | (self.is_last.val() & self.deliver.val()))
            & (!self.s1_valid.q.val() | self.awready.val())
            & (self.waiting.q.val() != self.most.val())
            & !self.stop.val()
            & !self.failed.q.val();
        self.planner.take.next = self.announce.val();
        if self.awready.val() {
            self.s1_valid.d.next = false;
        }
        if self.deliver.val() {
            self.left.d.next = self.left.q.val() - 1u64;
        }
        if self.announce.val() {
            self.s1_valid.d.next = true;
            self.s1_address.d.next = self.planner.burst_address.val();
            self.s1_length.d.next = self.planner.burst_beats.val().to_bits::<8>() - 1u64;
            self.left.d.next = self.planner.burst_beats.val();
            self.ends.d.next = self.planner.burst_last.val();
        }
        self.awaddr.next = self.s1_address.q.val();
        self.awlen.next = self.s1_length.q.val();
        self.awvalid.next = self.s1_valid.q.val();
        self.wdata.next = self.queue.q.val();
        self.wvalid.next = self.offered.val();
        self.wlast.next = self.is_last.val();
        self.wstrb.next = self.all_bytes.val();
        if self.is_last.val() & self.ends.q.val() {
            self.wstrb.next = self.strobe.val();
        }
        self.queue.ready.next = self.left.q.val().any() & self.wready.val();
        self.beat_done.next = self.deliver.val();
        self.stalled.next = self.offered.val() & !self.wready.val();

        // Answers come in order: the burst they belong to follows from where the transfer began.
        self.bready.next = true;
        self.to_boundary.next = self.full.val() - self.answer_place.q.val().to_bits::<LENGTH>();
        if self.bvalid.val() {
            self.answer_beat.d.next = self.answer_beat.q.val() + self.to_boundary.val().to_bits::<BEATS>();
            self.answer_place.d.next = 0u64.into();
            if self.bresp.val().get_bit(1) & !self.failed.q.val() {
                self.failed.d.next = true;
                self.failed_beat.d.next = self.answer_beat.q.val();
            }
        }

        // Count.
        if self.give.val() & !self.deliver.val() {
            self.room.d.next = self.room.q.val() - 1u64;
        }
        if !self.give.val() & self.deliver.val() {
            self.room.d.next = self.room.q.val() + 1u64;
        }
        self.loose_now.next = self.loose.q.val();
        if self.give.val() {
            self.loose_now.next = self.loose.q.val() + 1u64;
        }
        self.loose.d.next = self.loose_now.val();
        self.waiting_now.next = self.waiting.q.val();
        if self.bvalid.val() {
            self.waiting_now.next = self.waiting.q.val() - 1u64;
        }
        self.waiting.d.next = self.waiting_now.val();
        if self.announce.val() {
            self.loose.d.next = self.loose_now.val() - self.planner.burst_beats.val().to_bits::<COUNT>();
            self.waiting.d.next = self.waiting_now.val() + 1u64;
        }
        self.quiet.next = !self.waiting.q.val().any();
        self.done.next = !self.waiting.q.val().any() & (!self.planner.busy.val() | self.failed.q.val());
        self.fault.next = self.failed.q.val();
        self.fault_beat.next = self.failed_beat.q.val();

        if self.start.val() {
            self.answer_beat.d.next = 0u64.into();
            self.answer_place.d.next = self.address.val().get_bits::<4>(6);
            self.failed.d.next = false;
        }
        if self.reset.val() {
            self.s1_valid.d.next = false;
            self.room.d.next = self.depth.val();
            self.loose.d.next = 0u64.into();
            self.left.d.next = 0u64.into();
            self.waiting.d.next = 0u64.into();
            self.failed.d.next = false;
        }
    }
}
