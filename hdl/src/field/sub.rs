//! Modular subtraction in `Z_p`, p = 2^64 - 2^32 + 1.
//!
//! difference = a - b mod p
//! Range:     a, b, difference in [0, p), unsigned, canonical
//! Handshake: none; free running
//! Latency:   3 cycles; accepts one pair per cycle
//! Reset:     none
//! Limits:    inputs >= p give a wrong difference (unchecked)

use crate::prelude::*;

/// `difference = a - b mod p` in three stages of at most a 33-bit carry: halves, borrow, correction.
#[derive(LogicBlock, Default)]
pub struct ModSub {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Minuend, `[0, p)`.
    pub a_in: Signal<In, U<64>>,
    /// Subtrahend, `[0, p)`.
    pub b_in: Signal<In, U<64>>,
    /// Difference, `[0, p)`.
    pub difference_out: Signal<Out, U<64>>,
    s1_low: Reg<U<33>>,
    s1_high: Reg<U<33>>,
    s2_low: Reg<U<32>>,
    s2_low_plus_1: Reg<U<32>>,
    s2_low_is_ones: Reg<Bit>,
    s2_high: Reg<U<33>>,
    s3_difference: Reg<U<64>>,
    high: Signal<Local, U<32>>,
    low: Signal<Local, U<32>>,
    low_1: Signal<Local, U<32>>,
}

impl ModSub {
    /// Cycles from operands to difference.
    pub const LATENCY: usize = 3;
}

impl Logic for ModSub {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, s1_low, s1_high, s2_low, s2_low_plus_1, s2_low_is_ones, s2_high, s3_difference);
        // 1: both halves; bit 32 is the borrow.
        self.s1_low.d.next =
            self.a_in.val().get_bits::<32>(0).to_bits::<33>() - self.b_in.val().get_bits::<32>(0).to_bits::<33>();
        self.s1_high.d.next =
            self.a_in.val().get_bits::<32>(32).to_bits::<33>() - self.b_in.val().get_bits::<32>(32).to_bits::<33>();
        // 2: the borrow between them; low + 1 in advance.
        self.low_1.next = self.s1_low.q.val().get_bits::<32>(0);
        self.s2_low.d.next = self.low_1.val();
        self.s2_low_plus_1.d.next = self.low_1.val() + 1u64;
        self.s2_low_is_ones.d.next = self.low_1.val().all();
        self.s2_high.d.next = self.s1_high.q.val() - self.s1_low.q.val().get_bits::<1>(32).to_bits::<33>();
        // 3: if the whole borrowed, adding p subtracts 2^32 - 1 mod 2^64.
        self.high.next = self.s2_high.q.val().get_bits::<32>(0);
        self.low.next = self.s2_low.q.val();
        if self.s2_high.q.val().get_bit(32) {
            self.low.next = self.s2_low_plus_1.q.val();
            if !self.s2_low_is_ones.q.val() {
                self.high.next = self.s2_high.q.val().get_bits::<32>(0) - 1u64;
            }
        }
        self.s3_difference.d.next = (self.high.val().to_bits::<64>() << 32) | self.low.val().to_bits::<64>();
        self.difference_out.next = self.s3_difference.q.val();
    }
}
