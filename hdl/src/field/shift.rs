//! Products with powers of two in limb form: wiring, a mux, one sum.
//!
//! - [`SelectShift`]: q = d * 2^e(tap), 1 cycle for up to two e, else 2
//! - [`ShiftButterfly`]: x = a + 2^k b, y = a - 2^k b, 1 cycle, k fixed
//! - [`ModShift`]: q = d * 2^k mod p on canonical words, 5 cycles, k fixed
//!
//! Range:     limbs `S<LIMB>` within the bounds of [`super::limbs::Bound`]; words in [0, p)
//! Handshake: none; free running, one operand set per cycle
//! Reset:     none
//! Limits:    exponents are taken mod 192; at most 32 taps

use super::limbs::Rotation;
use super::{Canonical, LIMB};
use crate::prelude::*;

/// Bits of a sum that takes its carry by one more bit below.
const SUM: usize = LIMB + 1;

fn constants(bits: [bool; 3]) -> [Constant<Bit>; 3] {
    bits.map(Constant::new)
}

/// The two addends and the carry of every limb of d * 2^k: limb j is low + high + carry, limb 2 less 2^32.
///
/// Negated parts are complements, of which each lacks 1. That of a low part is the limb's carry. That of a high part,
/// which weighs 2^32 of the limb below, cancels with the 2^32 by which the complement of that limb's low part, read as
/// unsigned, is too large: both come from one limb and have one sign. Only between limbs 2 and 0 does the sign change,
/// because 2^96 = -1: there one of the two is negated, whatever k is, and the rest is the 2^32 of limb 2. So a limb is
/// a sum of two operands, not of three.
#[derive(LogicBlock)]
pub struct ShiftTap {
    /// Limbs.
    pub d: [Signal<In, S<LIMB>>; 3],
    /// Low parts, complemented where negative.
    pub low: [Signal<Out, U<32>>; 3],
    /// High parts, complemented where negative.
    pub high: [Signal<Out, S<LIMB>>; 3],
    /// Carries into the sums.
    pub carry: [Signal<Out, U<1>>; 3],
    low_bits: [Signal<Local, U<32>>; 3],
    high_bits: [Signal<Local, S<LIMB>>; 3],
    negate_low: [Constant<Bit>; 3],
    negate_high: [Constant<Bit>; 3],
    lack: [Constant<U<1>>; 3],
    _rotate: usize,
    _shift: usize,
}

impl ShiftTap {
    /// The tap of a product with `2^exponent`.
    pub fn new(exponent: i64) -> Self {
        let r = Rotation::new(exponent);
        Self {
            d: Default::default(),
            low: Default::default(),
            high: Default::default(),
            carry: Default::default(),
            low_bits: Default::default(),
            high_bits: Default::default(),
            negate_low: constants(r.negate_low),
            negate_high: constants(r.negate_high),
            lack: r.negate_low.map(|negated| Constant::new(u64::from(negated).into())),
            _rotate: r.rotate,
            _shift: r.shift,
        }
    }
}

impl Logic for ShiftTap {
    #[hdl_gen]
    fn update(&mut self) {
        for q in self._rotate..self._rotate.saturating_add(1) {
            for s in self._shift..self._shift.saturating_add(1) {
                for j in 0..3 {
                    self.low_bits[j].next = unsigned_cast(self.d[(j + 3 - q) % 3].val().get_bits::<32>(0)) << s;
                    self.high_bits[j].next = self.d[(j + 2 - q) % 3].val() >> (32 - s);
                }
            }
        }
        for j in 0..3 {
            self.low[j].next = self.low_bits[j].val();
            if self.negate_low[j].val() {
                self.low[j].next = !self.low_bits[j].val();
            }
            self.high[j].next = self.high_bits[j].val();
            if self.negate_high[j].val() {
                self.high[j].next = !self.high_bits[j].val();
            }
            self.carry[j].next = self.lack[j].val();
        }
    }
}

/// q = d * 2^e(tap): a mux of wirings and one sum a limb, with a register between them for more than two wirings.
#[derive(LogicBlock)]
pub struct SelectShift {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs.
    pub d: [Signal<In, S<LIMB>>; 3],
    /// Which exponent of the list: the same number for each limb's low part and for its high part, so that each can have it
    /// from a register nearby.
    pub tap: [Signal<In, U<5>>; 6],
    /// Product.
    pub q: [Signal<Out, S<LIMB>>; 3],
    shift: Vec<ShiftTap>,
    low: [Choose<U<32>>; 3],
    high: [Choose<S<LIMB>>; 3],
    carry: [Choose<U<1>>; 3],
    /// The chosen wiring; empty without the register.
    s1_low: Vec<Reg<U<32>>>,
    s1_high: Vec<Reg<S<LIMB>>>,
    s1_carry: Vec<Reg<U<1>>>,
    chosen_low: [Signal<Local, U<32>>; 3],
    chosen_high: [Signal<Local, S<LIMB>>; 3],
    chosen_carry: [Signal<Local, U<1>>; 3],
    /// The operands above one more bit, which makes the carry: a 1 and the carry itself.
    low_wide: [Signal<Local, U<SUM>>; 3],
    high_wide: [Signal<Local, U<SUM>>; 3],
    sum: [Signal<Local, U<SUM>>; 3],
    sum_limb: [Signal<Local, U<LIMB>>; 3],
    /// The 1, and in limb 2 the -2^32.
    beside_low: [Constant<U<SUM>>; 3],
    limb: [Reg<S<LIMB>>; 3],
    _taps: usize,
    _registered: usize,
}

impl SelectShift {
    /// Cycles from operand to product for a list of `taps` exponents: two wirings are chosen ahead of the sum in one
    /// cycle, more need one of their own.
    pub const fn latency(taps: usize) -> usize {
        if taps <= 2 { 1 } else { 2 }
    }

    /// A choice among these exponents, in 1 or 2 cycles.
    ///
    /// # Panics
    /// If the list is empty or has more than 32 entries, or is too long for the latency.
    pub fn new(exponents: &[i64], latency: usize) -> Self {
        let taps = exponents.len();
        assert!((1..=32).contains(&taps), "{taps} shifts to choose from: SelectShift has 1 to 32");
        assert!(
            (Self::latency(taps)..=2).contains(&latency),
            "{taps} shifts in {latency} cycles: SelectShift takes {} or 2",
            Self::latency(taps)
        );
        let registered = 3 * (latency - 1);
        Self {
            clock: Default::default(),
            d: Default::default(),
            tap: Default::default(),
            q: Default::default(),
            shift: exponents.iter().map(|&e| ShiftTap::new(e)).collect(),
            low: std::array::from_fn(|_| Choose::new(taps)),
            high: std::array::from_fn(|_| Choose::new(taps)),
            carry: std::array::from_fn(|_| Choose::new(taps)),
            s1_low: (0..registered).map(|_| Default::default()).collect(),
            s1_high: (0..registered).map(|_| Default::default()).collect(),
            s1_carry: (0..registered).map(|_| Default::default()).collect(),
            chosen_low: Default::default(),
            chosen_high: Default::default(),
            chosen_carry: Default::default(),
            low_wide: Default::default(),
            high_wide: Default::default(),
            sum: Default::default(),
            sum_limb: Default::default(),
            beside_low: [1, 1, 1 | (((1 << LIMB) - (1 << 32)) << 1)].map(|bits: u64| Constant::new(bits.into())),
            limb: Default::default(),
            _taps: taps,
            _registered: registered,
        }
    }
}

impl Logic for SelectShift {
    #[hdl_gen]
    fn update(&mut self) {
        for j in 0..3 {
            for t in 0..self._taps {
                self.shift[t].d[j].next = self.d[j].val();
                self.low[j].d[t].next = self.shift[t].low[j].val();
                self.high[j].d[t].next = self.shift[t].high[j].val();
                self.carry[j].d[t].next = self.shift[t].carry[j].val();
            }
            self.low[j].select.next = self.tap[j].val();
            self.high[j].select.next = self.tap[j + 3].val();
            self.carry[j].select.next = self.tap[j + 3].val();
        }
        for j in 0..self._registered {
            self.s1_low[j].clock.next = self.clock.val();
            self.s1_high[j].clock.next = self.clock.val();
            self.s1_carry[j].clock.next = self.clock.val();
            self.s1_low[j].d.next = self.low[j].q.val();
            self.s1_high[j].d.next = self.high[j].q.val();
            self.s1_carry[j].d.next = self.carry[j].q.val();
            self.chosen_low[j].next = self.s1_low[j].q.val();
            self.chosen_high[j].next = self.s1_high[j].q.val();
            self.chosen_carry[j].next = self.s1_carry[j].q.val();
        }
        for j in self._registered..3 {
            self.chosen_low[j].next = self.low[j].q.val();
            self.chosen_high[j].next = self.high[j].q.val();
            self.chosen_carry[j].next = self.carry[j].q.val();
        }
        for j in 0..3 {
            self.limb[j].clock.next = self.clock.val();
            self.low_wide[j].next = (self.chosen_low[j].val().to_bits::<SUM>() << 1) | self.beside_low[j].val();
            self.high_wide[j].next = (unsigned_cast(self.chosen_high[j].val()).to_bits::<SUM>() << 1)
                | self.chosen_carry[j].val().to_bits::<SUM>();
            self.sum[j].next = self.low_wide[j].val() + self.high_wide[j].val();
            self.sum_limb[j].next = self.sum[j].val().get_bits::<LIMB>(1);
            self.limb[j].d.next = signed_cast(self.sum_limb[j].val());
            self.q[j].next = self.limb[j].q.val();
        }
    }
}

/// x = a + 2^k b, y = a - 2^k b: one three-operand sum a limb, no mux.
#[derive(LogicBlock)]
pub struct ShiftButterfly {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// First operand.
    pub a: [Signal<In, S<LIMB>>; 3],
    /// Second operand, the shifted one.
    pub b: [Signal<In, S<LIMB>>; 3],
    /// Sum.
    pub x: [Signal<Out, S<LIMB>>; 3],
    /// Difference.
    pub y: [Signal<Out, S<LIMB>>; 3],
    low_bits: [Signal<Local, U<32>>; 3],
    low: [Signal<Local, U<33>>; 3],
    high: [Signal<Local, S<LIMB>>; 3],
    negate_low: [Constant<Bit>; 3],
    negate_high: [Constant<Bit>; 3],
    s1_x: [Reg<S<LIMB>>; 3],
    s1_y: [Reg<S<LIMB>>; 3],
    _rotate: usize,
    _shift: usize,
}

impl ShiftButterfly {
    /// Cycles from operands to results.
    pub const LATENCY: usize = 1;

    /// The butterfly with the factor `2^exponent`.
    pub fn new(exponent: i64) -> Self {
        let r = Rotation::new(exponent);
        Self {
            clock: Default::default(),
            a: Default::default(),
            b: Default::default(),
            x: Default::default(),
            y: Default::default(),
            low_bits: Default::default(),
            low: Default::default(),
            high: Default::default(),
            negate_low: constants(r.negate_low),
            negate_high: constants(r.negate_high),
            s1_x: Default::default(),
            s1_y: Default::default(),
            _rotate: r.rotate,
            _shift: r.shift,
        }
    }
}

impl Logic for ShiftButterfly {
    #[hdl_gen]
    fn update(&mut self) {
        for q in self._rotate..self._rotate.saturating_add(1) {
            for s in self._shift..self._shift.saturating_add(1) {
                for j in 0..3 {
                    self.low_bits[j].next = unsigned_cast(self.b[(j + 3 - q) % 3].val().get_bits::<32>(0)) << s;
                    self.high[j].next = self.b[(j + 2 - q) % 3].val() >> (32 - s);
                }
            }
        }
        for j in 0..3 {
            self.s1_x[j].clock.next = self.clock.val();
            self.s1_y[j].clock.next = self.clock.val();
            self.x[j].next = self.s1_x[j].q.val();
            self.y[j].next = self.s1_y[j].q.val();
            self.low[j].next = self.low_bits[j].val().to_bits::<33>();
            if self.negate_low[j].val() {
                if self.negate_high[j].val() {
                    self.s1_x[j].d.next =
                        self.a[j].val() - signed_cast(self.low[j].val()).to_bits::<LIMB>() - self.high[j].val();
                    self.s1_y[j].d.next =
                        self.a[j].val() + signed_cast(self.low[j].val()).to_bits::<LIMB>() + self.high[j].val();
                } else {
                    self.s1_x[j].d.next =
                        self.a[j].val() - signed_cast(self.low[j].val()).to_bits::<LIMB>() + self.high[j].val();
                    self.s1_y[j].d.next =
                        self.a[j].val() + signed_cast(self.low[j].val()).to_bits::<LIMB>() - self.high[j].val();
                }
            } else {
                if self.negate_high[j].val() {
                    self.s1_x[j].d.next =
                        self.a[j].val() + signed_cast(self.low[j].val()).to_bits::<LIMB>() - self.high[j].val();
                    self.s1_y[j].d.next =
                        self.a[j].val() - signed_cast(self.low[j].val()).to_bits::<LIMB>() + self.high[j].val();
                } else {
                    self.s1_x[j].d.next =
                        self.a[j].val() + signed_cast(self.low[j].val()).to_bits::<LIMB>() + self.high[j].val();
                    self.s1_y[j].d.next =
                        self.a[j].val() - signed_cast(self.low[j].val()).to_bits::<LIMB>() - self.high[j].val();
                }
            }
        }
    }
}

/// q = d * 2^k mod p on canonical words.
#[derive(LogicBlock)]
pub struct ModShift {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Word, `[0, p)`.
    pub d: Signal<In, U<64>>,
    /// Product, `[0, p)`.
    pub q: Signal<Out, U<64>>,
    shift: SelectShift,
    canonical: Canonical,
    split: Split,
    zero: Constant<U<5>>,
}

impl ModShift {
    /// Cycles from word to product.
    pub const LATENCY: usize = SelectShift::latency(1) + Canonical::LATENCY;

    /// The product with `2^exponent`.
    pub fn new(exponent: i64) -> Self {
        Self {
            clock: Default::default(),
            d: Default::default(),
            q: Default::default(),
            shift: SelectShift::new(&[exponent], SelectShift::latency(1)),
            canonical: Default::default(),
            split: Default::default(),
            zero: Constant::new(0u64.into()),
        }
    }
}

impl Logic for ModShift {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, shift, canonical);
        self.split.word_in.next = self.d.val();
        for i in 0..3 {
            self.shift.tap[i].next = self.zero.val();
            self.shift.tap[i + 3].next = self.zero.val();
            self.shift.d[i].next = self.split.limb_out[i].val();
            self.canonical.limb_in[i].next = self.shift.q[i].val();
        }
        self.q.next = self.canonical.word_out.val();
    }
}

/// A 64-bit word as limbs: wiring.
#[derive(LogicBlock, Default)]
pub struct Split {
    /// Any 64-bit word.
    pub word_in: Signal<In, U<64>>,
    /// Its halves, and 0.
    pub limb_out: [Signal<Out, S<LIMB>>; 3],
    half: [Signal<Local, U<33>>; 2],
    zero: Signal<Local, U<2>>,
}

impl Logic for Split {
    #[hdl_gen]
    fn update(&mut self) {
        for i in 0..2 {
            self.half[i].next = self.word_in.val().get_bits::<32>(i * 32).to_bits::<33>();
            self.limb_out[i].next = signed_cast(self.half[i].val()).to_bits::<LIMB>();
        }
        self.zero.next = 0u64.into();
        self.limb_out[2].next = signed_cast(self.zero.val()).to_bits::<LIMB>();
    }
}
