//! Modular multiplication in `Z_p`, p = 2^64 - 2^32 + 1.
//!
//! product = a * b mod p
//! Range:     a, b any 64-bit words; product in limbs ([`MulLimbs`]) or canonical ([`ModMul`])
//! Handshake: none; free running
//! Latency:   4 cycles to limbs, 8 to a canonical word; accepts one pair per cycle
//! Reset:     none
//! Limits:    none

use super::{Canonical, LIMB, Product16};
use crate::prelude::*;

/// The product in limb form: 16 products of 16 bits, columns, limbs. No carry crosses a limb.
#[derive(LogicBlock, Default)]
pub struct MulLimbs {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// First factor, any 64-bit word.
    pub a_in: Signal<In, U<64>>,
    /// Second factor, any 64-bit word.
    pub b_in: Signal<In, U<64>>,
    /// Product, within [`super::limbs::Bound::PRODUCT`].
    pub limb_out: [Signal<Out, S<LIMB>>; 3],
    /// Part 4i + j is limb i of a times limb j of b.
    s2_part: [Product16; 16],
    s3_edge: Reg<S<34>>,
    s3_column: [Reg<U<34>>; 5],
    s4_limb: [Reg<S<LIMB>>; 3],
    a_part: [Signal<Local, U<16>>; 4],
    b_part: [Signal<Local, U<16>>; 4],
    part: [Signal<Local, U<34>>; 16],
    signed_part: [Signal<Local, U<33>>; 2],
    column_low: [Signal<Local, U<33>>; 3],
    column_high: [Signal<Local, U<19>>; 3],
    whole: [Signal<Local, U<35>>; 2],
}

impl MulLimbs {
    /// Cycles from factors to limbs.
    pub const LATENCY: usize = 4;
}

impl Logic for MulLimbs {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, s3_edge);
        for i in 0..4 {
            self.a_part[i].next = self.a_in.val().get_bits::<16>(i * 16);
            self.b_part[i].next = self.b_in.val().get_bits::<16>(i * 16);
        }
        // 2: part 4i + j has weight 2^(16 (i + j)).
        for i in 0..16 {
            self.s2_part[i].clock.next = self.clock.val();
            self.s2_part[i].a_in.next = self.a_part[i / 4].val();
            self.s2_part[i].b_in.next = self.b_part[i % 4].val();
            self.part[i].next = self.s2_part[i].product_out.val().to_bits::<34>();
        }
        // 3: columns of equal weight; weight 2^96 is -1 and joins weight 1.
        self.signed_part[0].next = self.s2_part[0].product_out.val().to_bits::<33>();
        self.signed_part[1].next = self.s2_part[15].product_out.val().to_bits::<33>();
        self.s3_edge.d.next = signed_cast(self.signed_part[0].val()).to_bits::<34>()
            - signed_cast(self.signed_part[1].val()).to_bits::<34>();
        for i in 0..5 {
            self.s3_column[i].clock.next = self.clock.val();
        }
        self.s3_column[0].d.next = self.part[1].val() + self.part[4].val();
        self.s3_column[1].d.next = self.part[2].val() + self.part[5].val() + self.part[8].val();
        self.s3_column[2].d.next =
            (self.part[3].val() + self.part[6].val()) + (self.part[9].val() + self.part[12].val());
        self.s3_column[3].d.next = self.part[7].val() + self.part[10].val() + self.part[13].val();
        self.s3_column[4].d.next = self.part[11].val() + self.part[14].val();
        // 4: odd columns straddle two limbs.
        for i in 0..3 {
            self.column_low[i].next = self.s3_column[i * 2].q.val().get_bits::<16>(0).to_bits::<33>() << 16;
            self.column_high[i].next = self.s3_column[i * 2].q.val().get_bits::<18>(16).to_bits::<19>();
            self.s4_limb[i].clock.next = self.clock.val();
            self.limb_out[i].next = self.s4_limb[i].q.val();
        }
        for i in 0..2 {
            self.whole[i].next = self.s3_column[i * 2 + 1].q.val().to_bits::<35>();
        }
        self.s4_limb[0].d.next = self.s3_edge.q.val().to_bits::<LIMB>()
            + signed_cast(self.column_low[0].val()).to_bits::<LIMB>()
            - signed_cast(self.column_high[2].val()).to_bits::<LIMB>();
        self.s4_limb[1].d.next = signed_cast(self.whole[0].val()).to_bits::<LIMB>()
            + signed_cast(self.column_low[1].val()).to_bits::<LIMB>()
            + signed_cast(self.column_high[0].val()).to_bits::<LIMB>();
        self.s4_limb[2].d.next = signed_cast(self.whole[1].val()).to_bits::<LIMB>()
            + signed_cast(self.column_low[2].val()).to_bits::<LIMB>()
            + signed_cast(self.column_high[1].val()).to_bits::<LIMB>();
    }
}

/// The product as a canonical word.
#[derive(LogicBlock, Default)]
pub struct ModMul {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// First factor, any 64-bit word.
    pub a_in: Signal<In, U<64>>,
    /// Second factor, any 64-bit word.
    pub b_in: Signal<In, U<64>>,
    /// Product, `[0, p)`.
    pub product_out: Signal<Out, U<64>>,
    multiply: MulLimbs,
    canonical: Canonical,
}

impl ModMul {
    /// Cycles from factors to product.
    pub const LATENCY: usize = MulLimbs::LATENCY + Canonical::LATENCY;
}

impl Logic for ModMul {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, multiply, canonical);
        self.multiply.a_in.next = self.a_in.val();
        self.multiply.b_in.next = self.b_in.val();
        for i in 0..3 {
            self.canonical.limb_in[i].next = self.multiply.limb_out[i].val();
        }
        self.product_out.next = self.canonical.word_out.val();
    }
}
