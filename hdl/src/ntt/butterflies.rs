//! The heart of a transform, four words wide: general product, two stages of butterflies, canonical words.
//!
//! With y_i = d_i w_i and r = 2^48, r^2 = -1: the 4-point transform that splits X^4 - 1,
//! q = [y0 + y1 + y2 + y3, (y0 + y2) - (y1 + y3), (y0 - y2) + r (y1 - y3), (y0 - y2) - r (y1 - y3)] mod p
//! Range:     d, w any 64-bit words; q in [0, p)
//! Handshake: none; free running, four words per cycle
//! Latency:   11 cycles
//! Reset:     none
//! Limits:    none
//!
//! What every transform over four lanes and more holds behind its feedback rows, small enough to place and route alone:
//! a figure for the clock of butterfly networks.

use crate::field::limbs::Bound;
use crate::field::{Canonical, LIMB, MulLimbs, ShiftButterfly};
use crate::prelude::*;

/// log2 of the factor of the second stage's second butterfly.
const SECOND_HALF: i64 = 48;

/// Four words a cycle.
#[derive(LogicBlock)]
pub struct Butterflies {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Words.
    pub d: [Signal<In, U<64>>; 4],
    /// Factors.
    pub w: [Signal<In, U<64>>; 4],
    /// Results.
    pub q: [Signal<Out, U<64>>; 4],
    multiply: [MulLimbs; 4],
    /// Words 0, 2 and 1, 3; then words 0, 1 and 2, 3.
    butterfly: [ShiftButterfly; 4],
    canonical: [Canonical; 4],
    middle: [Signal<Local, S<LIMB>>; 12],
}

impl Butterflies {
    /// Cycles from words to results.
    pub const LATENCY: usize = MulLimbs::LATENCY + 2 * ShiftButterfly::LATENCY + Canonical::LATENCY;
}

impl Default for Butterflies {
    fn default() -> Self {
        let first = Bound::PRODUCT.plus(Bound::PRODUCT.shifted(0));
        let _limbs_fit = first.plus(first.shifted(SECOND_HALF));
        Self {
            clock: Default::default(),
            d: Default::default(),
            w: Default::default(),
            q: Default::default(),
            multiply: Default::default(),
            butterfly: [0, 0, 0, SECOND_HALF].map(ShiftButterfly::new),
            canonical: Default::default(),
            middle: Default::default(),
        }
    }
}

impl Logic for Butterflies {
    #[hdl_gen]
    fn update(&mut self) {
        for i in 0..4 {
            self.multiply[i].clock.next = self.clock.val();
            self.butterfly[i].clock.next = self.clock.val();
            self.canonical[i].clock.next = self.clock.val();
            self.multiply[i].a_in.next = self.d[i].val();
            self.multiply[i].b_in.next = self.w[i].val();
        }
        for i in 0..2 {
            for k in 0..3 {
                self.butterfly[i].a[k].next = self.multiply[i].limb_out[k].val();
                self.butterfly[i].b[k].next = self.multiply[i + 2].limb_out[k].val();
                self.middle[i * 3 + k].next = self.butterfly[i].x[k].val();
                self.middle[i * 3 + k + 6].next = self.butterfly[i].y[k].val();
            }
        }
        for i in 0..2 {
            for k in 0..3 {
                self.butterfly[i + 2].a[k].next = self.middle[i * 6 + k].val();
                self.butterfly[i + 2].b[k].next = self.middle[i * 6 + k + 3].val();
                self.canonical[i * 2].limb_in[k].next = self.butterfly[i + 2].x[k].val();
                self.canonical[i * 2 + 1].limb_in[k].next = self.butterfly[i + 2].y[k].val();
            }
        }
        for i in 0..4 {
            self.q[i].next = self.canonical[i].word_out.val();
        }
    }
}
