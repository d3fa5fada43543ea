//! A transfer cut into AXI bursts.
//!
//! The bursts cover beats `address / 64 .. address / 64 + beats` in order; each but the first starts at a multiple of
//! 1024 bytes and none is longer than [`BURST_BEATS`] beats, so none crosses a 4 KiB boundary
//! Range:     `address` a multiple of 64; `beats` 0 to 2^26; the range does not wrap
//! Handshake: `start` loads a transfer; `valid` offers a burst until `take`; `stop` holds back what is not yet offered
//! Latency:   2 cycles from `start` to the first `valid`; one burst every 2 cycles, 3 after a carry into the high half
//! Reset:     `reset` forgets the transfer; synchronous, active high; address has none
//! Limits:    `start` during a transfer replaces it

use crate::prelude::*;

/// Most beats of a burst.
pub const BURST_BEATS: usize = 16;
/// Bits of a count of beats.
pub const BEATS: usize = 27;
/// Bits of a count of beats in one burst.
pub const LENGTH: usize = 5;

/// The planner.
#[derive(LogicBlock)]
pub struct BurstPlanner {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Forgets the transfer.
    pub reset: Signal<In, Bit>,
    /// Loads a transfer.
    pub start: Signal<In, Bit>,
    /// Its first byte.
    pub address: Signal<In, U<64>>,
    /// Its beats.
    pub beats: Signal<In, U<BEATS>>,
    /// Offer no further burst.
    pub stop: Signal<In, Bit>,
    /// A burst is offered.
    pub valid: Signal<Out, Bit>,
    /// Its first byte.
    pub burst_address: Signal<Out, U<64>>,
    /// Its beats, 1 to 16.
    pub burst_beats: Signal<Out, U<LENGTH>>,
    /// It ends the transfer.
    pub burst_last: Signal<Out, Bit>,
    /// It is taken.
    pub take: Signal<In, Bit>,
    /// Bursts are left.
    pub busy: Signal<Out, Bit>,
    left: Reg<U<BEATS>>,
    low: Reg<U<32>>,
    high: Reg<U<32>>,
    carry: Reg<Bit>,
    offered: Reg<Bit>,
    length: Reg<U<LENGTH>>,
    ends: Reg<Bit>,
    to_boundary: Signal<Local, U<LENGTH>>,
    step: Signal<Local, U<33>>,
    sum: Signal<Local, U<33>>,
    full: Constant<U<LENGTH>>,
}

impl Default for BurstPlanner {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            start: Default::default(),
            address: Default::default(),
            beats: Default::default(),
            stop: Default::default(),
            valid: Default::default(),
            burst_address: Default::default(),
            burst_beats: Default::default(),
            burst_last: Default::default(),
            take: Default::default(),
            busy: Default::default(),
            left: Default::default(),
            low: Default::default(),
            high: Default::default(),
            carry: Default::default(),
            offered: Default::default(),
            length: Default::default(),
            ends: Default::default(),
            to_boundary: Default::default(),
            step: Default::default(),
            sum: Default::default(),
            full: Constant::new((BURST_BEATS as u64).into()),
        }
    }
}

impl Logic for BurstPlanner {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, left, low, high, carry, offered, length, ends);
        self.to_boundary.next = self.full.val() - self.low.q.val().get_bits::<4>(6).to_bits::<LENGTH>();
        self.step.next = self.length.q.val().to_bits::<33>() << 6;
        self.sum.next = self.low.q.val().to_bits::<33>() + self.step.val();
        if self.carry.q.val() {
            self.high.d.next = self.high.q.val() + 1u64;
            self.carry.d.next = false;
        }
        if !self.offered.q.val() & !self.carry.q.val() & self.left.q.val().any() & !self.stop.val() {
            // Plan: to the boundary, or to the end if that is nearer.
            self.offered.d.next = true;
            self.length.d.next = self.to_boundary.val();
            self.ends.d.next = self.left.q.val() == self.to_boundary.val().to_bits::<BEATS>();
            if !self.left.q.val().get_bits::<23>(4).any()
                & (self.left.q.val().get_bits::<LENGTH>(0) < self.to_boundary.val())
            {
                self.length.d.next = self.left.q.val().get_bits::<LENGTH>(0);
                self.ends.d.next = true;
            }
        }
        if self.offered.q.val() & self.take.val() {
            self.offered.d.next = false;
            self.left.d.next = self.left.q.val() - self.length.q.val().to_bits::<BEATS>();
            self.low.d.next = self.sum.val().get_bits::<32>(0);
            self.carry.d.next = self.sum.val().get_bit(32);
        }
        if self.start.val() {
            self.left.d.next = self.beats.val();
            self.low.d.next = self.address.val().get_bits::<32>(0);
            self.high.d.next = self.address.val().get_bits::<32>(32);
            self.carry.d.next = false;
            self.offered.d.next = false;
        }
        if self.reset.val() {
            self.left.d.next = 0u64.into();
            self.carry.d.next = false;
            self.offered.d.next = false;
        }
        self.valid.next = self.offered.q.val();
        self.burst_address.next = (self.high.q.val().to_bits::<64>() << 32) | self.low.q.val().to_bits::<64>();
        self.burst_beats.next = self.length.q.val();
        self.burst_last.next = self.ends.q.val();
        self.busy.next = self.left.q.val().any();
    }
}
