//! Limbs to a word, for a fast clock.
//!
//! word = x0 + x1 * 2^32 + x2 * 2^64 mod p
//! Range:     limbs any `S<LIMB>`; word in [0, p), unsigned, canonical
//! Handshake: none; free running, one triple per cycle
//! Latency:   6 cycles
//! Reset:     none
//! Limits:    none
//!
//! As [`super::Canonical`], which takes 4: here a cycle is a sum with nothing ahead of it, or two levels of logic.

use super::LIMB;
use crate::prelude::*;

/// Bits of a sum of halves that takes its carry by one more bit below.
const SUM: usize = 33;

/// word = x0 + x1 * 2^32 + x2 * 2^64 mod p; no carry is longer than 41 bits.
#[derive(LogicBlock)]
pub struct CanonicalFast {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs.
    pub limb_in: [Signal<In, S<LIMB>>; 3],
    /// Word, `[0, p)`.
    pub word_out: Signal<Out, U<64>>,
    s1_low: Reg<S<40>>,
    s1_high: Reg<S<40>>,
    s2_low: Reg<S<41>>,
    s2_high: Reg<S<34>>,
    s3_low: Reg<U<32>>,
    s3_high: Reg<S<34>>,
    /// By bytes, whether they are 0 or ones.
    s3_low_zeros: Reg<U<4>>,
    s3_low_ones: Reg<U<4>>,
    s4_low: Reg<U<32>>,
    s4_high: Reg<S<34>>,
    s4_low_is_0: Reg<Bit>,
    s4_low_is_ones: Reg<Bit>,
    s4_high_ones: Reg<U<4>>,
    s5_low: Reg<U<32>>,
    s5_high: Reg<U<32>>,
    /// What the halves still lack: 1, -1 or 0.
    s5_low_plus: Reg<U<1>>,
    s5_low_minus: Reg<Bit>,
    s5_high_plus: Reg<U<1>>,
    s5_high_minus: Reg<Bit>,
    s6_low: Reg<U<32>>,
    s6_high: Reg<U<32>>,
    s1_high_low: Signal<Local, U<34>>,
    s2_low_low: Signal<Local, U<32>>,
    s3_high_low: Signal<Local, U<32>>,
    low_zeros: [Signal<Local, U<1>>; 4],
    low_ones: [Signal<Local, U<1>>; 4],
    high_ones: [Signal<Local, U<1>>; 4],
    below: Signal<Local, Bit>,
    above: Signal<Local, Bit>,
    low_step: Signal<Local, U<SUM>>,
    high_step: Signal<Local, U<SUM>>,
    low_sum: Signal<Local, U<SUM>>,
    high_sum: Signal<Local, U<SUM>>,
    minus: Constant<U<SUM>>,
    carry: Constant<U<SUM>>,
}

impl CanonicalFast {
    /// Cycles from limbs to word.
    pub const LATENCY: usize = 6;
}

impl Default for CanonicalFast {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            limb_in: Default::default(),
            word_out: Default::default(),
            s1_low: Default::default(),
            s1_high: Default::default(),
            s2_low: Default::default(),
            s2_high: Default::default(),
            s3_low: Default::default(),
            s3_high: Default::default(),
            s3_low_zeros: Default::default(),
            s3_low_ones: Default::default(),
            s4_low: Default::default(),
            s4_high: Default::default(),
            s4_low_is_0: Default::default(),
            s4_low_is_ones: Default::default(),
            s4_high_ones: Default::default(),
            s5_low: Default::default(),
            s5_high: Default::default(),
            s5_low_plus: Default::default(),
            s5_low_minus: Default::default(),
            s5_high_plus: Default::default(),
            s5_high_minus: Default::default(),
            s6_low: Default::default(),
            s6_high: Default::default(),
            s1_high_low: Default::default(),
            s2_low_low: Default::default(),
            s3_high_low: Default::default(),
            low_zeros: Default::default(),
            low_ones: Default::default(),
            high_ones: Default::default(),
            below: Default::default(),
            above: Default::default(),
            low_step: Default::default(),
            high_step: Default::default(),
            low_sum: Default::default(),
            high_sum: Default::default(),
            minus: Constant::new((((1u64 << 32) - 1) << 1).into()),
            carry: Constant::new(1u64.into()),
        }
    }
}

impl Logic for CanonicalFast {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, s1_low, s1_high, s2_low, s2_high, s3_low, s3_high, s3_low_zeros, s3_low_ones);
        clock!(self, clock, s4_low, s4_high, s4_low_is_0, s4_low_is_ones, s4_high_ones);
        clock!(self, clock, s5_low, s5_high, s5_low_plus, s5_low_minus, s5_high_plus, s5_high_minus, s6_low, s6_high);
        // 1: low + high * 2^32, folding x2 * 2^64 = x2 * 2^32 - x2.
        self.s1_low.d.next = self.limb_in[0].val().to_bits::<40>() - self.limb_in[2].val().to_bits::<40>();
        self.s1_high.d.next = self.limb_in[1].val().to_bits::<40>() + self.limb_in[2].val().to_bits::<40>();
        // 2: fold the bits of high above 2^32 the same way.
        self.s1_high_low.next = unsigned_cast(self.s1_high.q.val().get_bits::<32>(0)).to_bits::<34>();
        self.s2_low.d.next =
            self.s1_low.q.val().to_bits::<41>() - self.s1_high.q.val().get_bits::<8>(32).to_bits::<41>();
        self.s2_high.d.next =
            signed_cast(self.s1_high_low.val()) + self.s1_high.q.val().get_bits::<8>(32).to_bits::<34>();
        // 3: carry low into high, which is in (-2^10, 2^32 + 2^10) then.
        self.s2_low_low.next = unsigned_cast(self.s2_low.q.val().get_bits::<32>(0));
        self.s3_low.d.next = self.s2_low_low.val();
        self.s3_high.d.next = self.s2_high.q.val() + self.s2_low.q.val().get_bits::<9>(32).to_bits::<34>();
        for i in 0..4 {
            self.low_zeros[i].next = 0u64.into();
            if !self.s2_low_low.val().get_bits::<8>(i * 8).any() {
                self.low_zeros[i].next = 1u64.into();
            }
            self.low_ones[i].next = 0u64.into();
            if self.s2_low_low.val().get_bits::<8>(i * 8).all() {
                self.low_ones[i].next = 1u64.into();
            }
            self.high_ones[i].next = 0u64.into();
            if self.s3_high_low.val().get_bits::<8>(i * 8).all() {
                self.high_ones[i].next = 1u64.into();
            }
        }
        self.s3_low_zeros.d.next = self.low_zeros[0].val().to_bits::<4>()
            | (self.low_zeros[1].val().to_bits::<4>() << 1)
            | (self.low_zeros[2].val().to_bits::<4>() << 2)
            | (self.low_zeros[3].val().to_bits::<4>() << 3);
        self.s3_low_ones.d.next = self.low_ones[0].val().to_bits::<4>()
            | (self.low_ones[1].val().to_bits::<4>() << 1)
            | (self.low_ones[2].val().to_bits::<4>() << 2)
            | (self.low_ones[3].val().to_bits::<4>() << 3);
        // 4: what the decision needs of many bits.
        self.s3_high_low.next = unsigned_cast(self.s3_high.q.val().get_bits::<32>(0));
        self.s4_low.d.next = self.s3_low.q.val();
        self.s4_high.d.next = self.s3_high.q.val();
        self.s4_low_is_0.d.next = self.s3_low_zeros.q.val().all();
        self.s4_low_is_ones.d.next = self.s3_low_ones.q.val().all();
        self.s4_high_ones.d.next = self.high_ones[0].val().to_bits::<4>()
            | (self.high_ones[1].val().to_bits::<4>() << 1)
            | (self.high_ones[2].val().to_bits::<4>() << 2)
            | (self.high_ones[3].val().to_bits::<4>() << 3);
        // 5: below 0, 2^32 - 1 is subtracted; at least p, it is added.
        self.below.next = self.s4_high.q.val().get_bit(33);
        self.above.next = !self.s4_high.q.val().get_bit(33)
            & (self.s4_high.q.val().get_bit(32) | (self.s4_high_ones.q.val().all() & !self.s4_low_is_0.q.val()));
        self.s5_low.d.next = self.s4_low.q.val();
        self.s5_high.d.next = unsigned_cast(self.s4_high.q.val().get_bits::<32>(0));
        self.s5_low_plus.d.next = 0u64.into();
        if self.below.val() {
            self.s5_low_plus.d.next = 1u64.into();
        }
        self.s5_low_minus.d.next = self.above.val();
        self.s5_high_plus.d.next = 0u64.into();
        if self.above.val() & !self.s4_low_is_0.q.val() {
            self.s5_high_plus.d.next = 1u64.into();
        }
        self.s5_high_minus.d.next = self.below.val() & !self.s4_low_is_ones.q.val();
        // 6: both halves, each with its 1 or -1.
        self.low_step.next = 0u64.into();
        if self.s5_low_minus.q.val() {
            self.low_step.next = self.minus.val();
        }
        self.high_step.next = 0u64.into();
        if self.s5_high_minus.q.val() {
            self.high_step.next = self.minus.val();
        }
        self.low_sum.next = ((self.s5_low.q.val().to_bits::<SUM>() << 1) | self.carry.val())
            + (self.low_step.val() | self.s5_low_plus.q.val().to_bits::<SUM>());
        self.high_sum.next = ((self.s5_high.q.val().to_bits::<SUM>() << 1) | self.carry.val())
            + (self.high_step.val() | self.s5_high_plus.q.val().to_bits::<SUM>());
        self.s6_low.d.next = self.low_sum.val().get_bits::<32>(1);
        self.s6_high.d.next = self.high_sum.val().get_bits::<32>(1);
        self.word_out.next = (self.s6_high.q.val().to_bits::<64>() << 32) | self.s6_low.q.val().to_bits::<64>();
    }
}
