//! Limbs to a canonical word.
//!
//! word = x0 + x1 * 2^32 + x2 * 2^64 mod p
//! Range:     limbs any `S<LIMB>`; word in [0, p), unsigned, canonical
//! Handshake: none; free running
//! Latency:   4 cycles; accepts one triple per cycle
//! Reset:     none
//! Limits:    none

use super::LIMB;
use crate::prelude::*;

/// Folds the limbs with 2^64 = 2^32 - 1 until one word is left; no carry is longer than 41 bits.
#[derive(LogicBlock, Default)]
pub struct Canonical {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs.
    pub limb_in: [Signal<In, S<LIMB>>; 3],
    /// Word, `[0, p)`.
    pub word_out: Signal<Out, U<64>>,
    s1_low: Reg<S<39>>,
    s1_high: Reg<S<39>>,
    s2_low: Reg<S<40>>,
    s2_high: Reg<S<34>>,
    s3_high: Reg<S<34>>,
    s3_low: Reg<U<32>>,
    s3_low_less_1: Reg<U<32>>,
    s3_low_plus_1: Reg<U<32>>,
    s3_low_is_0: Reg<Bit>,
    s3_low_is_ones: Reg<Bit>,
    s4_word: Reg<U<64>>,
    s1_high_low: Signal<Local, U<34>>,
    s2_low_low: Signal<Local, U<32>>,
    high_bits: Signal<Local, U<32>>,
    low: Signal<Local, U<32>>,
    high: Signal<Local, U<32>>,
}

impl Canonical {
    /// Cycles from limbs to word.
    pub const LATENCY: usize = 4;
}

impl Logic for Canonical {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, s1_low, s1_high, s2_low, s2_high, s3_high, s3_low, s4_word);
        clock!(self, clock, s3_low_less_1, s3_low_plus_1, s3_low_is_0, s3_low_is_ones);
        // 1: low + high * 2^32, folding x2 * 2^64 = x2 * 2^32 - x2.
        self.s1_low.d.next = self.limb_in[0].val().to_bits::<39>() - self.limb_in[2].val().to_bits::<39>();
        self.s1_high.d.next = self.limb_in[1].val().to_bits::<39>() + self.limb_in[2].val().to_bits::<39>();
        // 2: fold the bits of high above 2^32 the same way.
        self.s1_high_low.next = unsigned_cast(self.s1_high.q.val().get_bits::<32>(0)).to_bits::<34>();
        self.s2_low.d.next =
            self.s1_low.q.val().to_bits::<40>() - self.s1_high.q.val().get_bits::<7>(32).to_bits::<40>();
        self.s2_high.d.next =
            signed_cast(self.s1_high_low.val()) + self.s1_high.q.val().get_bits::<7>(32).to_bits::<34>();
        // 3: carry low into high; low +- 1 in advance.
        self.s2_low_low.next = unsigned_cast(self.s2_low.q.val().get_bits::<32>(0));
        self.s3_high.d.next = self.s2_high.q.val() + self.s2_low.q.val().get_bits::<8>(32).to_bits::<34>();
        self.s3_low.d.next = self.s2_low_low.val();
        self.s3_low_less_1.d.next = self.s2_low_low.val() - 1u64;
        self.s3_low_plus_1.d.next = self.s2_low_low.val() + 1u64;
        self.s3_low_is_0.d.next = !self.s2_low_low.val().any();
        self.s3_low_is_ones.d.next = self.s2_low_low.val().all();
        // 4: high is in (-2^10, 2^32 + 2^10): fold its last overflow, or subtract p once.
        self.high_bits.next = unsigned_cast(self.s3_high.q.val().get_bits::<32>(0));
        self.low.next = self.s3_low.q.val();
        self.high.next = self.high_bits.val();
        if self.s3_high.q.val().get_bit(33) {
            // Below 0: subtract 2^32 - 1.
            self.low.next = self.s3_low_plus_1.q.val();
            if !self.s3_low_is_ones.q.val() {
                self.high.next = self.high_bits.val() - 1u64;
            }
        } else if self.s3_high.q.val().get_bit(32) | (self.high_bits.val().all() & !self.s3_low_is_0.q.val()) {
            // At least 2^64, or in [p, 2^64): add 2^32 - 1.
            self.low.next = self.s3_low_less_1.q.val();
            if !self.s3_low_is_0.q.val() {
                self.high.next = self.high_bits.val() + 1u64;
            }
        }
        self.s4_word.d.next = (self.high.val().to_bits::<64>() << 32) | self.low.val().to_bits::<64>();
        self.word_out.next = self.s4_word.q.val();
    }
}
