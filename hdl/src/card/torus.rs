//! Multiply and add mod 2^64.
//!
//! sum(t + 8) = a(t) * b(t) + c(t + 6) mod 2^64
//! Range:     any words
//! Handshake: none, free running
//! Latency:   8 cycles from the factors, 2 from the addend; one sum a cycle
//! Reset:     none
//! Limits:    none
//!
//! Ten products of 16 bits, then columns and halves: no carry is longer than 34 bits.

use crate::field::Product16;
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
    /// Parts of equal weight side by side: 00; 01, 10; 02, 11, 20; 03, 12, 21, 30.
    s2_part: [Product16; 10],
    s3_column_0: Reg<U<32>>,
    s3_column_1: Reg<U<33>>,
    s3_column_2: Reg<U<32>>,
    s3_column_2_rest: Reg<U<32>>,
    s3_column_3: [Reg<U<16>>; 2],
    s4_low: Reg<U<34>>,
    s4_middle: Reg<U<17>>,
    s4_high: Reg<U<32>>,
    s4_top: Reg<U<16>>,
    s5_low: Reg<U<32>>,
    s5_carry: Reg<U<18>>,
    s5_high: Reg<U<32>>,
    s6_low: Reg<U<32>>,
    s6_high: Reg<U<32>>,
    s7_low: Reg<U<33>>,
    s7_high: Reg<U<32>>,
    s8_sum: Reg<U<64>>,
    a_part: [Signal<Local, U<16>>; 4],
    b_part: [Signal<Local, U<16>>; 4],
    part: [Signal<Local, U<32>>; 10],
    shifted: Signal<Local, U<34>>,
    top: Signal<Local, U<32>>,
    high: Signal<Local, U<32>>,
}

impl TorusMultiplyAdd {
    /// Cycles from the factors to when the addend is taken.
    pub const PRODUCT: usize = 6;
    /// Cycles from the addend to the sum.
    pub const SUM: usize = 2;
}

impl Logic for TorusMultiplyAdd {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(
            self,
            clock,
            s3_column_0,
            s3_column_1,
            s3_column_2,
            s3_column_2_rest,
            s4_low,
            s4_middle,
            s4_high,
            s4_top
        );
        clock!(self, clock, s5_low, s5_carry, s5_high, s6_low, s6_high, s7_low, s7_high, s8_sum);
        for i in 0..2 {
            self.s3_column_3[i].clock.next = self.clock.val();
        }
        for i in 0..4 {
            self.a_part[i].next = self.a_in.val().get_bits::<16>(i * 16);
            self.b_part[i].next = self.b_in.val().get_bits::<16>(i * 16);
        }
        // 2: parts.
        for i in 0..10 {
            self.s2_part[i].clock.next = self.clock.val();
            self.part[i].next = self.s2_part[i].product_out.val();
        }
        self.s2_part[0].a_in.next = self.a_part[0].val();
        self.s2_part[0].b_in.next = self.b_part[0].val();
        for i in 0..2 {
            self.s2_part[i + 1].a_in.next = self.a_part[i].val();
            self.s2_part[i + 1].b_in.next = self.b_part[1 - i].val();
        }
        for i in 0..3 {
            self.s2_part[i + 3].a_in.next = self.a_part[i].val();
            self.s2_part[i + 3].b_in.next = self.b_part[2 - i].val();
        }
        for i in 0..4 {
            self.s2_part[i + 6].a_in.next = self.a_part[i].val();
            self.s2_part[i + 6].b_in.next = self.b_part[3 - i].val();
        }
        // 3: columns of weight 2^0, 2^16, 2^32, 2^48, what lies above 2^64 left out.
        self.s3_column_0.d.next = self.part[0].val();
        self.s3_column_1.d.next = self.part[1].val().to_bits::<33>() + self.part[2].val().to_bits::<33>();
        self.s3_column_2.d.next = self.part[3].val() + self.part[4].val();
        self.s3_column_2_rest.d.next = self.part[5].val();
        self.s3_column_3[0].d.next = self.part[6].val().get_bits::<16>(0) + self.part[7].val().get_bits::<16>(0);
        self.s3_column_3[1].d.next = self.part[8].val().get_bits::<16>(0) + self.part[9].val().get_bits::<16>(0);
        // 4: two columns a half.
        self.shifted.next = self.s3_column_1.q.val().get_bits::<16>(0).to_bits::<34>() << 16;
        self.s4_low.d.next = self.s3_column_0.q.val().to_bits::<34>() + self.shifted.val();
        self.s4_middle.d.next = self.s3_column_1.q.val().get_bits::<17>(16);
        self.s4_high.d.next = self.s3_column_2.q.val() + self.s3_column_2_rest.q.val();
        self.s4_top.d.next = self.s3_column_3[0].q.val() + self.s3_column_3[1].q.val();
        // 5, 6: the high half.
        self.top.next = self.s4_top.q.val().to_bits::<32>() << 16;
        self.s5_low.d.next = self.s4_low.q.val().get_bits::<32>(0);
        self.s5_carry.d.next =
            self.s4_middle.q.val().to_bits::<18>() + self.s4_low.q.val().get_bits::<2>(32).to_bits::<18>();
        self.s5_high.d.next = self.s4_high.q.val() + self.top.val();
        self.s6_low.d.next = self.s5_low.q.val();
        self.s6_high.d.next = self.s5_high.q.val() + self.s5_carry.q.val().to_bits::<32>();
        // 7, 8: the addend.
        self.s7_low.d.next = self.s6_low.q.val().to_bits::<33>() + self.c_in.val().get_bits::<32>(0).to_bits::<33>();
        self.s7_high.d.next = self.s6_high.q.val() + self.c_in.val().get_bits::<32>(32);
        self.high.next = self.s7_high.q.val() + self.s7_low.q.val().get_bits::<1>(32).to_bits::<32>();
        self.s8_sum.d.next =
            (self.high.val().to_bits::<64>() << 32) | self.s7_low.q.val().get_bits::<32>(0).to_bits::<64>();
        self.sum_out.next = self.s8_sum.q.val();
    }
}
