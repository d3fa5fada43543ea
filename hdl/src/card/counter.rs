//! A 64-bit event counter.
//!
//! value(t + 1) = value(t) + step(t)
//! Range:     0 .. 2^64, wrapping
//! Handshake: none; `step` counts one event a cycle
//! Latency:   1 cycle to `low`; `high` follows the carry of `low` one cycle later
//! Reset:     `reset` clears both halves; synchronous, active high
//! Limits:    a reader takes high, low, high, and again if the high half moved: then the late carry cannot be missed,
//!            because its reads are at least two cycles apart
//!
//! The halves are separate so that no carry is longer than 32 bits.

use crate::prelude::*;

/// The counter.
#[derive(LogicBlock, Default)]
pub struct Counter {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Clears the counter.
    pub reset: Signal<In, Bit>,
    /// One event.
    pub step: Signal<In, Bit>,
    /// Bits 31:0.
    pub low: Signal<Out, U<32>>,
    /// Bits 63:32.
    pub high: Signal<Out, U<32>>,
    s1_low: Reg<U<32>>,
    s1_carry: Reg<Bit>,
    s2_high: Reg<U<32>>,
}

impl Logic for Counter {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, s1_low, s1_carry, s2_high);
        self.s1_carry.d.next = self.step.val() & self.s1_low.q.val().all();
        if self.step.val() {
            self.s1_low.d.next = self.s1_low.q.val() + 1u64;
        }
        if self.s1_carry.q.val() {
            self.s2_high.d.next = self.s2_high.q.val() + 1u64;
        }
        if self.reset.val() {
            self.s1_low.d.next = 0u64.into();
            self.s1_carry.d.next = false;
            self.s2_high.d.next = 0u64.into();
        }
        self.low.next = self.s1_low.q.val();
        self.high.next = self.s2_high.q.val();
    }
}
