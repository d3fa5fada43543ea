//! Butterflies without a factor.
//!
//! x = a + b, y = a - b, limb by limb
//! Range:     limbs; the bound of a plus that of b must fit
//! Handshake: none; free running, one pair per cycle
//! Latency:   1 cycle
//! Reset:     none
//! Limits:    overflow is not checked
//!
//! Behind a [`super::SelectShift`] the same as a [`super::ShiftButterfly`], whose sums are of three operands.

use super::LIMB;
use crate::prelude::*;

/// x = a + b, y = a - b.
#[derive(LogicBlock, Default)]
pub struct PlainButterfly {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// First operand.
    pub a: [Signal<In, S<LIMB>>; 3],
    /// Second operand.
    pub b: [Signal<In, S<LIMB>>; 3],
    /// Sum.
    pub x: [Signal<Out, S<LIMB>>; 3],
    /// Difference.
    pub y: [Signal<Out, S<LIMB>>; 3],
    s1_x: [Reg<S<LIMB>>; 3],
    s1_y: [Reg<S<LIMB>>; 3],
}

impl PlainButterfly {
    /// Cycles from operands to results.
    pub const LATENCY: usize = 1;
}

impl Logic for PlainButterfly {
    #[hdl_gen]
    fn update(&mut self) {
        for j in 0..3 {
            self.s1_x[j].clock.next = self.clock.val();
            self.s1_y[j].clock.next = self.clock.val();
            self.s1_x[j].d.next = self.a[j].val() + self.b[j].val();
            self.s1_y[j].d.next = self.a[j].val() - self.b[j].val();
            self.x[j].next = self.s1_x[j].q.val();
            self.y[j].next = self.s1_y[j].q.val();
        }
    }
}
