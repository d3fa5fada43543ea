//! Multiply and add mod 2^64.
//!
//! sum(t + 8) = a(t) * b(t) + c(t + 6) mod 2^64
//! Range:     any words
//! Handshake: none, free running
//! Latency:   8 cycles from the factors, 2 from the addend; one sum a cycle
//! Reset:     none
//! Limits:    none
//!
//! The rows of [`Product64`] are added two at a time in halves of 32 bits: no carry is longer than 34 bits.

use crate::field::Product64;
use crate::prelude::*;

/// The multiply-adder.
#[derive(LogicBlock, Default)]
pub struct TorusMultiplyAdd {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// First factor.
    pub a_in: Signal<In, U<64>>,
    /// Second factor.
    pub b_in: Signal<In, U<64>>,
    /// Addend, [`TorusMultiplyAdd::PRODUCT`] cycles after the factors.
    pub c_in: Signal<In, U<64>>,
    /// Sum.
    pub sum_out: Signal<Out, U<64>>,
    s2_product: Product64,
    row: [Signal<Local, U<128>>; 7],
    low: [Signal<Local, U<34>>; 7],
    high: [Signal<Local, U<32>>; 7],
    s3_low: [Reg<U<34>>; 2],
    s3_high: [Reg<U<32>>; 4],
    s4_low: Reg<U<34>>,
    s4_high: [Reg<U<32>>; 2],
    s5_low: Reg<U<34>>,
    s5_high: Reg<U<32>>,
    s6_low: Reg<U<32>>,
    s6_high: Reg<U<32>>,
    s7_low: Reg<U<33>>,
    s7_high: Reg<U<32>>,
    s8_sum: Reg<U<64>>,
    top: Signal<Local, U<32>>,
}

impl TorusMultiplyAdd {
    /// Cycles from the factors to when the addend is taken.
    pub const PRODUCT: usize = Product64::LATENCY + 4;
    /// Cycles from the addend to the sum.
    pub const SUM: usize = 2;
}

impl Logic for TorusMultiplyAdd {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, s2_product, s4_low, s5_low, s5_high, s6_low, s6_high, s7_low, s7_high, s8_sum);
        for i in 0..2 {
            self.s3_low[i].clock.next = self.clock.val();
            self.s4_high[i].clock.next = self.clock.val();
        }
        for i in 0..4 {
            self.s3_high[i].clock.next = self.clock.val();
        }
        // 2: rows that add up to the product; of those above row 0 only 3 and 4 reach below 2^32.
        self.s2_product.a_in.next = self.a_in.val();
        self.s2_product.b_in.next = self.b_in.val();
        for i in 0..7 {
            self.row[i].next = self.s2_product.row_out[i].val();
            self.low[i].next = self.row[i].val().get_bits::<32>(0).to_bits::<34>();
            self.high[i].next = self.row[i].val().get_bits::<32>(32);
        }
        // 3, 4, 5: halves.
        self.s3_low[0].d.next = self.low[0].val() + self.low[3].val();
        self.s3_low[1].d.next = self.low[4].val();
        for i in 0..3 {
            self.s3_high[i].d.next = self.high[2 * i].val() + self.high[2 * i + 1].val();
        }
        self.s3_high[3].d.next = self.high[6].val();
        self.s4_low.d.next = self.s3_low[0].q.val() + self.s3_low[1].q.val();
        for i in 0..2 {
            self.s4_high[i].d.next = self.s3_high[2 * i].q.val() + self.s3_high[2 * i + 1].q.val();
        }
        self.s5_low.d.next = self.s4_low.q.val();
        self.s5_high.d.next = self.s4_high[0].q.val() + self.s4_high[1].q.val();
        // 6: the carry between them.
        self.s6_low.d.next = self.s5_low.q.val().get_bits::<32>(0);
        self.s6_high.d.next = self.s5_high.q.val() + self.s5_low.q.val().get_bits::<2>(32).to_bits::<32>();
        // 7, 8: the addend.
        self.s7_low.d.next = self.s6_low.q.val().to_bits::<33>() + self.c_in.val().get_bits::<32>(0).to_bits::<33>();
        self.s7_high.d.next = self.s6_high.q.val() + self.c_in.val().get_bits::<32>(32);
        self.top.next = self.s7_high.q.val() + self.s7_low.q.val().get_bits::<1>(32).to_bits::<32>();
        self.s8_sum.d.next =
            (self.top.val().to_bits::<64>() << 32) | self.s7_low.q.val().get_bits::<32>(0).to_bits::<64>();
        self.sum_out.next = self.s8_sum.q.val();
    }
}
