//! Multiply-accumulate of one point of the external product: two digits, two columns, three products.
//!
//! q_c = d0 b0c + d1 b1c - x_c + b0c b1c = (d0 + b1c)(d1 + b0c) - d0 d1 - x_c, c = 0, 1
//!
//! With x_c = b0c b1c - (sum of the levels before), q_c is the sum including this level (Winograd's identity for inner
//! products, exact in a field; d0 d1 is shared by both columns and b0c b1c known when the key is made).
//!
//! Range:     digits any `S<LIMB>`; key words any; x limbs within 2^33; q limbs within [`Multiply::bound`]
//! Handshake: none; free running, one point per cycle; x comes [`Multiply::X_AFTER`] cycles behind digits and key
//! Latency:   10 cycles
//! Reset:     none
//! Limits:    none

use crate::field::limbs::Bound;
use crate::field::{CanonicalSum, LIMB, MulLimbs};
use crate::prelude::*;

/// One point a cycle.
#[derive(LogicBlock)]
pub struct Multiply {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs of d0, then of d1.
    pub d: [Signal<In, S<LIMB>>; 6],
    /// Key words b00, b10, b01, b11: row, column.
    pub key: [Signal<In, U<64>>; 4],
    /// Limbs of x_0, then of x_1.
    pub x: [Signal<In, S<LIMB>>; 6],
    /// Limbs of q_0, then of q_1.
    pub q: [Signal<Out, S<LIMB>>; 6],
    zero: Constant<U<64>>,
    /// d0, d0 + b10, d0 + b11, d1, d1 + b00, d1 + b01.
    sum: [CanonicalSum; 6],
    /// d0 d1, and both columns' products.
    product: [MulLimbs; 3],
    result: [Reg<S<LIMB>>; 6],
}

impl Default for Multiply {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            d: Default::default(),
            key: Default::default(),
            x: Default::default(),
            q: Default::default(),
            zero: Constant::new(0u64.into()),
            sum: Default::default(),
            product: Default::default(),
            result: Default::default(),
        }
    }
}

impl Multiply {
    /// Cycles from digits to result.
    pub const LATENCY: usize = CanonicalSum::LATENCY + MulLimbs::LATENCY + 1;
    /// Cycles by which x comes behind the digits.
    pub const X_AFTER: usize = Self::LATENCY - 1;

    /// The bound of the results: the difference of two products, a word and a sum that was shifted by 0 to normalise it.
    pub fn bound() -> Bound {
        Bound::PRODUCT_DIFFERENCE.plus(Bound::CANONICAL).plus(Bound::NORMALISED)
    }
}

impl Logic for Multiply {
    #[hdl_gen]
    fn update(&mut self) {
        for i in 0..6 {
            self.sum[i].clock.next = self.clock.val();
            for k in 0..3 {
                self.sum[i].limb_in[k].next = self.d[i / 3 * 3 + k].val();
            }
        }
        self.sum[0].addend_in.next = self.zero.val();
        self.sum[1].addend_in.next = self.key[1].val();
        self.sum[2].addend_in.next = self.key[3].val();
        self.sum[3].addend_in.next = self.zero.val();
        self.sum[4].addend_in.next = self.key[0].val();
        self.sum[5].addend_in.next = self.key[2].val();
        for i in 0..3 {
            self.product[i].clock.next = self.clock.val();
            self.product[i].a_in.next = self.sum[i].word_out.val();
            self.product[i].b_in.next = self.sum[i + 3].word_out.val();
        }
        for i in 0..6 {
            self.result[i].clock.next = self.clock.val();
            self.result[i].d.next =
                self.product[i / 3 + 1].limb_out[i % 3].val() - self.product[0].limb_out[i % 3].val() - self.x[i].val();
            self.q[i].next = self.result[i].q.val();
        }
    }
}
