//! Limbs to a word.
//!
//! - [`Fold`]: low + high * 2^32 = x0 + x1 * 2^32 + x2 * 2^64 + addend mod p, 3 cycles, not yet canonical
//! - [`CanonicalSum`]: the same value as a word in [0, p), 4 cycles
//! - [`Canonical`]: without an addend, 4 cycles
//!
//! Range:     limbs any `S<LIMB>`, addend any word; word in [0, p), unsigned, canonical
//! Handshake: none; free running, one triple per cycle
//! Reset:     none
//! Limits:    none

use super::LIMB;
use crate::prelude::*;

/// Folds limbs with 2^64 = 2^32 - 1 until 66 bits are left; no carry is longer than 41 bits.
///
/// `high` is in (-2^10, 2^32 + 2^10): the value is in (-2^42, 2^64 + 2^42).
#[derive(LogicBlock, Default)]
pub struct Fold {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs.
    pub limb_in: [Signal<In, S<LIMB>>; 3],
    /// Word added, any.
    pub addend_in: Signal<In, U<64>>,
    /// Low half.
    pub low_out: Signal<Out, U<32>>,
    /// High half, signed.
    pub high_out: Signal<Out, S<34>>,
    /// The low 32 bits of the high half are ones.
    pub high_is_ones_out: Signal<Out, Bit>,
    /// Low half, one cycle earlier.
    pub early_low_out: Signal<Out, U<32>>,
    s1_low: Reg<S<40>>,
    s1_high: Reg<S<40>>,
    s2_low: Reg<S<41>>,
    s2_high: Reg<S<34>>,
    s3_high: Reg<S<34>>,
    s3_low: Reg<U<32>>,
    s3_high_is_ones: Reg<Bit>,
    carried: Signal<Local, S<32>>,
    differs: Signal<Local, U<32>>,
    addend: [Signal<Local, U<33>>; 2],
    s1_high_low: Signal<Local, U<34>>,
    s2_low_low: Signal<Local, U<32>>,
}

impl Fold {
    /// Cycles from limbs to halves.
    pub const LATENCY: usize = 3;
}

impl Logic for Fold {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, s1_low, s1_high, s2_low, s2_high, s3_high, s3_low, s3_high_is_ones);
        // 1: low + high * 2^32, folding x2 * 2^64 = x2 * 2^32 - x2.
        for i in 0..2 {
            self.addend[i].next = self.addend_in.val().get_bits::<32>(i * 32).to_bits::<33>();
        }
        self.s1_low.d.next = self.limb_in[0].val().to_bits::<40>() - self.limb_in[2].val().to_bits::<40>()
            + signed_cast(self.addend[0].val()).to_bits::<40>();
        self.s1_high.d.next = self.limb_in[1].val().to_bits::<40>()
            + self.limb_in[2].val().to_bits::<40>()
            + signed_cast(self.addend[1].val()).to_bits::<40>();
        // 2: fold the bits of high above 2^32 the same way.
        self.s1_high_low.next = unsigned_cast(self.s1_high.q.val().get_bits::<32>(0)).to_bits::<34>();
        self.s2_low.d.next =
            self.s1_low.q.val().to_bits::<41>() - self.s1_high.q.val().get_bits::<8>(32).to_bits::<41>();
        self.s2_high.d.next =
            signed_cast(self.s1_high_low.val()) + self.s1_high.q.val().get_bits::<8>(32).to_bits::<34>();
        // 3: carry low into high.
        self.s2_low_low.next = unsigned_cast(self.s2_low.q.val().get_bits::<32>(0));
        self.s3_high.d.next = self.s2_high.q.val() + self.s2_low.q.val().get_bits::<9>(32).to_bits::<34>();
        self.s3_low.d.next = self.s2_low_low.val();
        // A sum is all ones when its operands are each other's complement: no carry to wait for.
        self.carried.next = self.s2_low.q.val().get_bits::<9>(32).to_bits::<32>();
        self.differs.next = unsigned_cast(self.s2_high.q.val().get_bits::<32>(0)) ^ unsigned_cast(self.carried.val());
        self.s3_high_is_ones.d.next = self.differs.val().all();
        self.high_is_ones_out.next = self.s3_high_is_ones.q.val();
        self.early_low_out.next = self.s2_low_low.val();
        self.low_out.next = self.s3_low.q.val();
        self.high_out.next = self.s3_high.q.val();
    }
}

/// word = x0 + x1 * 2^32 + x2 * 2^64 + addend mod p.
#[derive(LogicBlock, Default)]
pub struct CanonicalSum {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs.
    pub limb_in: [Signal<In, S<LIMB>>; 3],
    /// Word added, any.
    pub addend_in: Signal<In, U<64>>,
    /// Word, `[0, p)`.
    pub word_out: Signal<Out, U<64>>,
    fold: Fold,
    s3_low_less_1: Reg<U<32>>,
    s3_low_plus_1: Reg<U<32>>,
    s3_low_is_0: Reg<Bit>,
    s3_low_is_ones: Reg<Bit>,
    s4_word: Reg<U<64>>,
    s3_high: Signal<Local, S<34>>,
    early_low: Signal<Local, U<32>>,
    high_bits: Signal<Local, U<32>>,
    low: Signal<Local, U<32>>,
    high: Signal<Local, U<32>>,
}

impl CanonicalSum {
    /// Cycles from limbs to word.
    pub const LATENCY: usize = Fold::LATENCY + 1;
}

impl Logic for CanonicalSum {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, fold, s3_low_less_1, s3_low_plus_1, s3_low_is_0, s3_low_is_ones, s4_word);
        for i in 0..3 {
            self.fold.limb_in[i].next = self.limb_in[i].val();
        }
        self.fold.addend_in.next = self.addend_in.val();
        // 3, beside the fold: low +- 1 in advance.
        self.early_low.next = self.fold.early_low_out.val();
        self.s3_low_less_1.d.next = self.early_low.val() - 1u64;
        self.s3_low_plus_1.d.next = self.early_low.val() + 1u64;
        self.s3_low_is_0.d.next = !self.early_low.val().any();
        self.s3_low_is_ones.d.next = self.early_low.val().all();
        // 4: fold the last overflow of high, or subtract p once.
        self.s3_high.next = self.fold.high_out.val();
        self.high_bits.next = unsigned_cast(self.s3_high.val().get_bits::<32>(0));
        self.low.next = self.fold.low_out.val();
        self.high.next = self.high_bits.val();
        if self.s3_high.val().get_bit(33) {
            // Below 0: subtract 2^32 - 1.
            self.low.next = self.s3_low_plus_1.q.val();
            if !self.s3_low_is_ones.q.val() {
                self.high.next = self.high_bits.val() - 1u64;
            }
        } else if self.s3_high.val().get_bit(32) | (self.fold.high_is_ones_out.val() & !self.s3_low_is_0.q.val()) {
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

/// word = x0 + x1 * 2^32 + x2 * 2^64 mod p.
#[derive(LogicBlock)]
pub struct Canonical {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs.
    pub limb_in: [Signal<In, S<LIMB>>; 3],
    /// Word, `[0, p)`.
    pub word_out: Signal<Out, U<64>>,
    sum: CanonicalSum,
    zero: Constant<U<64>>,
}

impl Canonical {
    /// Cycles from limbs to word.
    pub const LATENCY: usize = CanonicalSum::LATENCY;
}

impl Default for Canonical {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            limb_in: Default::default(),
            word_out: Default::default(),
            sum: Default::default(),
            zero: Constant::new(0u64.into()),
        }
    }
}

impl Logic for Canonical {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, sum);
        for i in 0..3 {
            self.sum.limb_in[i].next = self.limb_in[i].val();
        }
        self.sum.addend_in.next = self.zero.val();
        self.word_out.next = self.sum.word_out.val();
    }
}
