//! Modulus switch p -> 2^64 and the accumulator's sum, one lane.
//!
//! new = old +- round(y * 2^64 / p) mod 2^64, y = x0 + x1 * 2^32 + x2 * 2^64 mod p; new = old with `keep`
//! Range:     limbs any `S<LIMB>`; old any word
//! Handshake: none; free running, one word per cycle; `old`, `subtract` and `keep` come [`Accumulate::OLD_AFTER`]
//!            cycles behind the limbs
//! Latency:   6 cycles from limbs to word
//! Reset:     none
//! Limits:    none
//!
//! y 2^64 / p = y + y / 2^32 - y / (2^32 p), so the switch adds to y the multiple of 2^-32 `y / 2^32`, less a little, rounded:
//! less than 2^-32 for y in [0, p), where an exact half rounds down: y + ((y + 2^31 - 1) >> 32). The fold leaves y in
//! (-2^42, 2^64 + 2^42), where the switched word differs by a multiple of 2^64 and the same holds, except that below 0 a
//! half rounds up, and from p on what is one step above a half rounds down. So the last correction mod p is not needed.
//! p is odd, so there are no ties and -round(y) = round(-y).

use crate::field::{Fold, LIMB};
use crate::prelude::*;

/// Switch and sum of one word a cycle.
#[derive(LogicBlock, Default)]
pub struct Accumulate {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs of y.
    pub limb_in: [Signal<In, S<LIMB>>; 3],
    /// Accumulator word.
    pub old: Signal<In, U<64>>,
    /// Subtract instead of add.
    pub subtract: Signal<In, Bit>,
    /// Do neither.
    pub keep: Signal<In, Bit>,
    /// Accumulator word.
    pub word_out: Signal<Out, U<64>>,
    fold: Fold,
    zero: Signal<Local, U<64>>,
    none: Signal<Local, U<2>>,
    low: Signal<Local, U<32>>,
    high: Signal<Local, S<34>>,
    high_bits: Signal<Local, U<32>>,
    old_high: Signal<Local, U<32>>,
    low_wide: Signal<Local, U<33>>,
    round_normal: Signal<Local, Bit>,
    round_over: Signal<Local, Bit>,
    carry: Signal<Local, Bit>,
    s4_low: Reg<S<36>>,
    s4_carry: Reg<Bit>,
    s4_high: Reg<U<32>>,
    s4_old: Reg<U<32>>,
    s4_subtract: Reg<Bit>,
    old_wide: Signal<Local, U<33>>,
    carry_wide: Signal<Local, U<2>>,
    s5_low: Reg<S<37>>,
    s5_high: Reg<U<32>>,
    carried: Signal<Local, S<32>>,
    new_high: Signal<Local, U<32>>,
    low_bits: Signal<Local, U<32>>,
    s6_word: Reg<U<64>>,
}

impl Accumulate {
    /// Cycles from limbs to word.
    pub const LATENCY: usize = Fold::LATENCY + 3;
    /// Cycles by which the accumulator's word comes behind the limbs.
    pub const OLD_AFTER: usize = Fold::LATENCY;
}

impl Logic for Accumulate {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, fold, s4_low, s4_carry, s4_high, s4_old, s4_subtract, s5_low, s5_high, s6_word);
        for i in 0..3 {
            self.fold.limb_in[i].next = self.limb_in[i].val();
        }
        self.zero.next = 0u64.into();
        self.none.next = 0u64.into();
        self.fold.addend_in.next = self.zero.val();
        // 4: y + (y >> 32) in halves, and the rounding carry.
        self.low.next = self.fold.low_out.val();
        self.high.next = self.fold.high_out.val();
        self.high_bits.next = unsigned_cast(self.high.val().get_bits::<32>(0));
        self.round_normal.next = self.low.val().get_bit(31) & self.low.val().get_bits::<31>(0).any();
        self.round_over.next = self.low.val().get_bit(31) & self.low.val().get_bits::<30>(1).any();
        self.carry.next = self.round_normal.val();
        if self.high.val().get_bit(33) {
            self.carry.next = self.low.val().get_bit(31);
        } else if self.high.val().get_bit(32) | self.fold.high_is_ones_out.val() {
            self.carry.next = self.round_over.val();
        }
        self.old_high.next = self.old.val().get_bits::<32>(32);
        self.low_wide.next = self.low.val().to_bits::<33>();
        self.s4_low.d.next = signed_cast(self.low_wide.val()).to_bits::<36>() + self.high.val().to_bits::<36>();
        self.s4_carry.d.next = self.carry.val();
        self.s4_high.d.next = self.old_high.val() + self.high_bits.val();
        if self.subtract.val() {
            self.s4_high.d.next = self.old_high.val() - self.high_bits.val();
        }
        if self.keep.val() {
            self.s4_low.d.next = signed_cast(self.none.val()).to_bits::<36>();
            self.s4_carry.d.next = false;
            self.s4_high.d.next = self.old_high.val();
        }
        self.s4_old.d.next = self.old.val().get_bits::<32>(0);
        self.s4_subtract.d.next = self.subtract.val();
        // 5: the low half's sum.
        self.old_wide.next = self.s4_old.q.val().to_bits::<33>();
        self.carry_wide.next = 0u64.into();
        if self.s4_carry.q.val() {
            self.carry_wide.next = 1u64.into();
        }
        self.s5_low.d.next = signed_cast(self.old_wide.val()).to_bits::<37>()
            + self.s4_low.q.val().to_bits::<37>()
            + signed_cast(self.carry_wide.val()).to_bits::<37>();
        if self.s4_subtract.q.val() {
            self.s5_low.d.next = signed_cast(self.old_wide.val()).to_bits::<37>()
                - self.s4_low.q.val().to_bits::<37>()
                - signed_cast(self.carry_wide.val()).to_bits::<37>();
        }
        self.s5_high.d.next = self.s4_high.q.val();
        // 6: its carry into the high half.
        self.carried.next = self.s5_low.q.val().get_bits::<5>(32).to_bits::<32>();
        self.new_high.next = self.s5_high.q.val() + unsigned_cast(self.carried.val());
        self.low_bits.next = unsigned_cast(self.s5_low.q.val().get_bits::<32>(0));
        self.s6_word.d.next = (self.new_high.val().to_bits::<64>() << 32) | self.low_bits.val().to_bits::<64>();
        self.word_out.next = self.s6_word.q.val();
    }
}
