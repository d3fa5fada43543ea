//! Modular multiplication in `Z_p`, p = 2^64 - 2^32 + 1.
//!
//! product = a * b mod p
//! Range:     a, b any 64-bit words; product in limbs ([`MulLimbs`]) or canonical ([`ModMul`])
//! Handshake: none; free running
//! Latency:   5 cycles to limbs (6 with a register more), 9 to a canonical word; accepts one pair per cycle
//! Reset:     none
//! Limits:    none

use super::product::ROWS;
use super::{Canonical, LIMB, Product64};
use crate::prelude::*;

/// The product in limb form: rows of small products, cut into slices of 32 bits, two slices a sum, because the way out of
/// a DSP block is long. No carry crosses a limb.
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
    s2_product: Product64,
    /// The rows one cycle later; empty without that register.
    behind: Vec<Reg<U<128>>>,
    _behind: usize,
    row: [Signal<Local, U<128>>; ROWS],
    /// Slice `4 r + c` is bits 32 c and up of row r.
    slice: [Signal<Local, U<33>>; 28],
    /// Slices c of rows 0 and 1, but of row 0 alone at both ends.
    s3_01: [Reg<U<33>>; 4],
    /// Slices c of rows 3 and 4.
    s3_34: [Reg<U<33>>; 4],
    /// The middle slices of row 2.
    s3_2: [Reg<U<33>>; 2],
    /// The middle slices of rows 5 and 6.
    s3_56: [Reg<U<33>>; 2],
    /// The upper end of row 1.
    s3_1: Reg<U<33>>,
    wide_01: [Signal<Local, U<35>>; 4],
    wide_34: [Signal<Local, U<35>>; 4],
    wide_2: [Signal<Local, U<35>>; 2],
    wide_56: [Signal<Local, U<35>>; 2],
    /// Slices c of rows 0, 3, 4 at both ends, of rows 0, 1, 2 in the middle.
    s4_first: [Reg<U<35>>; 4],
    /// The middle slices of rows 3, 4, 5, 6.
    s4_second: [Reg<U<35>>; 2],
    s4_1: Reg<U<33>>,
    s5_limb: [Reg<S<LIMB>>; 3],
    first: [Signal<Local, U<36>>; 4],
    second: [Signal<Local, U<36>>; 2],
    beyond: Signal<Local, U<34>>,
}

impl MulLimbs {
    /// Cycles from factors to limbs.
    pub const LATENCY: usize = Product64::LATENCY + 3;
    /// The same with a register between multipliers and sums.
    pub const LATENCY_FAST: usize = Self::LATENCY + 1;

    /// With a register between the multipliers, which lie in few places of a chip, and the sums.
    pub fn fast() -> Self {
        Self { behind: (0..ROWS).map(|_| Default::default()).collect(), _behind: ROWS, ..Self::default() }
    }
}

impl Logic for MulLimbs {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, s2_product, s3_1, s4_1);
        // 2: rows that add up to the product.
        self.s2_product.a_in.next = self.a_in.val();
        self.s2_product.b_in.next = self.b_in.val();
        for r in 0..self._behind {
            self.behind[r].clock.next = self.clock.val();
            self.behind[r].d.next = self.s2_product.row_out[r].val();
            self.row[r].next = self.behind[r].q.val();
        }
        for r in self._behind..7 {
            self.row[r].next = self.s2_product.row_out[r].val();
        }
        for r in 0..7 {
            for c in 0..4 {
                self.slice[r * 4 + c].next = self.row[r].val().get_bits::<32>(c * 32).to_bits::<33>();
            }
        }
        // 3 and 4: sums of equal weight.
        for c in 0..4 {
            self.s3_01[c].clock.next = self.clock.val();
            self.s3_34[c].clock.next = self.clock.val();
            self.s3_34[c].d.next = self.slice[12 + c].val() + self.slice[16 + c].val();
            self.wide_01[c].next = self.s3_01[c].q.val().to_bits::<35>();
            self.wide_34[c].next = self.s3_34[c].q.val().to_bits::<35>();
            self.s4_first[c].clock.next = self.clock.val();
            self.first[c].next = self.s4_first[c].q.val().to_bits::<36>();
        }
        self.s3_1.d.next = self.slice[7].val();
        self.s4_1.d.next = self.s3_1.q.val();
        self.beyond.next = self.s4_1.q.val().to_bits::<34>();
        for c in 0..2 {
            self.s3_01[c * 3].d.next = self.slice[c * 3].val();
            self.s4_first[c * 3].d.next = self.wide_01[c * 3].val() + self.wide_34[c * 3].val();
            self.s3_01[c + 1].d.next = self.slice[c + 1].val() + self.slice[c + 5].val();
            self.s3_2[c].clock.next = self.clock.val();
            self.s3_2[c].d.next = self.slice[c + 9].val();
            self.wide_2[c].next = self.s3_2[c].q.val().to_bits::<35>();
            self.s4_first[c + 1].d.next = self.wide_01[c + 1].val() + self.wide_2[c].val();
            self.s3_56[c].clock.next = self.clock.val();
            self.s3_56[c].d.next = self.slice[c + 21].val() + self.slice[c + 25].val();
            self.wide_56[c].next = self.s3_56[c].q.val().to_bits::<35>();
            self.s4_second[c].clock.next = self.clock.val();
            self.s4_second[c].d.next = self.wide_34[c + 1].val() + self.wide_56[c].val();
            self.second[c].next = self.s4_second[c].q.val().to_bits::<36>();
        }
        // 5: limbs; weight 2^96 is -1 and joins weight 1.
        for c in 0..3 {
            self.s5_limb[c].clock.next = self.clock.val();
            self.limb_out[c].next = self.s5_limb[c].q.val();
        }
        self.s5_limb[0].d.next = signed_cast(self.first[0].val()).to_bits::<LIMB>()
            - signed_cast(self.first[3].val()).to_bits::<LIMB>()
            - signed_cast(self.beyond.val()).to_bits::<LIMB>();
        for c in 0..2 {
            self.s5_limb[c + 1].d.next = signed_cast(self.first[c + 1].val()).to_bits::<LIMB>()
                + signed_cast(self.second[c].val()).to_bits::<LIMB>();
        }
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
