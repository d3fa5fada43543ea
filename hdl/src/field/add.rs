//! Modular addition in `Z_p`, p = 2^64 - 2^32 + 1.
//!
//! sum = a + b mod p
//! Range:     a, b, sum in [0, p), unsigned, canonical
//! Handshake: none; free running
//! Latency:   3 cycles; accepts one pair per cycle
//! Reset:     none
//! Limits:    inputs >= p give a wrong sum (unchecked)

use crate::prelude::*;

/// `sum = a + b mod p` in three stages of at most a 34-bit carry: halves, carry, correction.
#[derive(LogicBlock, Default)]
pub struct ModAdd {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// First operand, `[0, p)`.
    pub a_in: Signal<In, U<64>>,
    /// Second operand, `[0, p)`.
    pub b_in: Signal<In, U<64>>,
    /// Sum, `[0, p)`.
    pub sum_out: Signal<Out, U<64>>,
    s1_low: Reg<U<33>>,
    s1_high: Reg<U<33>>,
    s2_low: Reg<U<32>>,
    s2_low_less_1: Reg<U<32>>,
    s2_low_is_0: Reg<Bit>,
    s2_high: Reg<U<33>>,
    s3_sum: Reg<U<64>>,
    over: Signal<Local, Bit>,
    high: Signal<Local, U<32>>,
    low: Signal<Local, U<32>>,
    low_1: Signal<Local, U<32>>,
}

impl ModAdd {
    /// Cycles from operands to sum.
    pub const LATENCY: usize = 3;
}

impl Logic for ModAdd {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, s1_low, s1_high, s2_low, s2_low_less_1, s2_low_is_0, s2_high, s3_sum);
        // 1: both halves.
        self.s1_low.d.next =
            self.a_in.val().get_bits::<32>(0).to_bits::<33>() + self.b_in.val().get_bits::<32>(0).to_bits::<33>();
        self.s1_high.d.next =
            self.a_in.val().get_bits::<32>(32).to_bits::<33>() + self.b_in.val().get_bits::<32>(32).to_bits::<33>();
        // 2: the carry between them; low - 1 in advance.
        self.low_1.next = self.s1_low.q.val().get_bits::<32>(0);
        self.s2_low.d.next = self.low_1.val();
        self.s2_low_less_1.d.next = self.low_1.val() - 1u64;
        self.s2_low_is_0.d.next = !self.low_1.val().any();
        self.s2_high.d.next = self.s1_high.q.val() + self.s1_low.q.val().get_bits::<1>(32).to_bits::<33>();
        // 3: the sum is at least p when it passes 2^64, or its high half is all ones and its low half is not 0;
        // subtracting p adds 2^32 - 1 mod 2^64.
        self.over.next = self.s2_high.q.val().get_bit(32)
            | (self.s2_high.q.val().get_bits::<32>(0).all() & !self.s2_low_is_0.q.val());
        self.high.next = self.s2_high.q.val().get_bits::<32>(0);
        self.low.next = self.s2_low.q.val();
        if self.over.val() {
            self.low.next = self.s2_low_less_1.q.val();
            if !self.s2_low_is_0.q.val() {
                self.high.next = self.s2_high.q.val().get_bits::<32>(0) + 1u64;
            }
        }
        self.s3_sum.d.next = (self.high.val().to_bits::<64>() << 32) | self.low.val().to_bits::<64>();
        self.sum_out.next = self.s3_sum.q.val();
    }
}
