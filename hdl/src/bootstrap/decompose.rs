//! Signed decomposition of a rotated difference, one lane.
//!
//! digit(i) * 2^(64 - (l - i) B), i the level index, of `decompose((-1)^negate x - y)`, with tfhe-rs's tie rules
//! Range:     x, y any words; B l <= [`MAX_KEPT_BITS`], l <= 3; limbs within `Bound::CANONICAL`
//! Handshake: none; free running, one word per cycle; `level`, `last`, `flip` belong to the cycle in which the digit is
//!            computed, one cycle before it leaves
//! Latency:   [`Decompose::LATENCY`] cycles for one level, [`Decompose::LATENCY_MULTI`] for several (`multi`)
//! Reset:     none
//! Limits:    the masks must come from [`Gadget`] and be still
//!
//! A digit leaves where it stands in the word, not shifted down to the units: the key's words carry the inverse of its
//! scale, which is exact in the field, so no lane has a run-time shift. Everything of the word below bit 24 is gone
//! after the difference's first carry.

use crate::field::LIMB;
use crate::prelude::*;

/// Most bits that the digits of all levels take together: the rounding bit must stand above the carry into bit 24.
pub const MAX_KEPT_BITS: usize = 36;
/// Bits of a word's top part.
pub const TOP: usize = 40;

/// Decomposition of one word a cycle.
#[derive(LogicBlock, Default)]
pub struct Decompose {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Rotated word.
    pub x: Signal<In, U<64>>,
    /// The rotation carried it over X^N.
    pub negate: Signal<In, Bit>,
    /// The word itself.
    pub y: Signal<In, U<64>>,
    /// More than one level.
    pub multi: Signal<In, Bit>,
    /// Masks.
    pub round: Signal<In, U<TOP>>,
    /// The bits kept.
    pub keep: Signal<In, U<TOP>>,
    /// What a step adds, without and with the tie's carry.
    pub add: [Signal<In, U<TOP>>; 2],
    /// As `add`, with the tie's carry.
    pub add_tie: [Signal<In, U<TOP>>; 2],
    /// The bit that decides a step's tie.
    pub tie: [Signal<In, U<TOP>>; 2],
    /// The bits that stay after a step.
    pub clear: [Signal<In, U<TOP>>; 2],
    /// Level index of the digit.
    pub level: Signal<In, U<2>>,
    /// It is the most significant one.
    pub last: Signal<In, Bit>,
    /// Negate the digit.
    pub flip: Signal<In, Bit>,
    /// Digit in limbs; the third would be 0.
    pub limb_out: [Signal<Out, S<LIMB>>; 2],
    x_signed: Signal<Local, U<64>>,
    y_not: Signal<Local, U<64>>,
    carry_in: Signal<Local, U<26>>,
    s1_low: Reg<U<26>>,
    s1_x: Reg<U<TOP>>,
    s1_y: Reg<U<TOP>>,
    carry: Signal<Local, U<TOP>>,
    s2_sum: Reg<U<TOP>>,
    kept: Signal<Local, U<TOP>>,
    s3_kept: Reg<U<TOP>>,
    s3_any: Reg<Bit>,
    s3_round: Reg<Bit>,
    negative: Signal<Local, Bit>,
    state_bits: Signal<Local, U<41>>,
    state: Signal<Local, S<41>>,
    tie_bits: [Signal<Local, U<TOP>>; 2],
    s4_state: Reg<S<41>>,
    s4_tie: Reg<Bit>,
    wide_add: [Signal<Local, U<41>>; 2],
    stepped: [Signal<Local, S<41>>; 2],
    wide_clear: [Signal<Local, U<41>>; 2],
    s5_state: Reg<S<41>>,
    s5_next: Reg<S<41>>,
    s6_state: Reg<S<41>>,
    s6_next: Reg<S<41>>,
    s6_tie: Reg<Bit>,
    s7_state: Reg<S<41>>,
    s7_next: Reg<S<41>>,
    s7_after: Reg<S<41>>,
    zero: Signal<Local, U<2>>,
    from: Signal<Local, S<41>>,
    less: Signal<Local, S<41>>,
    digit: Reg<S<41>>,
    low: Signal<Local, U<34>>,
}

impl Decompose {
    /// Cycles from the words to the digit of a single level.
    pub const LATENCY: usize = 4;
    /// Cycles from the words to a digit of several levels.
    pub const LATENCY_MULTI: usize = 8;
}

impl Logic for Decompose {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, s1_low, s1_x, s1_y, s2_sum, s3_kept, s3_any, s3_round, s4_state, s4_tie);
        clock!(self, clock, s5_state, s5_next, s6_state, s6_next, s6_tie, s7_state, s7_next, s7_after, digit);
        // 1: +-x - y = x' + ~y + 1, and one more for the complement; the carry of the low 24 bits.
        self.x_signed.next = self.x.val();
        self.carry_in.next = 1u64.into();
        if self.negate.val() {
            self.x_signed.next = !self.x.val();
            self.carry_in.next = 2u64.into();
        }
        self.y_not.next = !self.y.val();
        self.s1_low.d.next = self.x_signed.val().get_bits::<24>(0).to_bits::<26>()
            + self.y_not.val().get_bits::<24>(0).to_bits::<26>()
            + self.carry_in.val();
        self.s1_x.d.next = self.x_signed.val().get_bits::<TOP>(24);
        self.s1_y.d.next = self.y_not.val().get_bits::<TOP>(24);
        // 2: the top; the rounding constant stands above the carry.
        self.carry.next = self.s1_low.q.val().get_bits::<2>(24).to_bits::<TOP>() | self.round.val();
        self.s2_sum.d.next = self.s1_x.q.val() + self.s1_y.q.val() + self.carry.val();
        // 3: the kept bits; the rounding constant turned the rounding bit over.
        self.kept.next = self.s2_sum.q.val() & self.keep.val();
        self.s3_kept.d.next = self.kept.val();
        self.s3_any.d.next = self.kept.val().get_bits::<39>(0).any();
        self.s3_round.d.next = (self.s2_sum.q.val() & self.round.val()) == 0u64.into();
        // The signed state: negative above one half, and at one half if the rounding bit is 1.
        self.negative.next = self.s3_kept.q.val().get_bit(39) & (self.s3_any.q.val() | self.s3_round.q.val());
        self.state_bits.next = self.s3_kept.q.val().to_bits::<41>();
        if self.negative.val() {
            self.state_bits.next = self.s3_kept.q.val().to_bits::<41>() | 0x100_0000_0000u64;
        }
        self.state.next = signed_cast(self.state_bits.val());
        // 4 to 7, several levels only: state i + 1 is state i without its lowest digit, and its carry.
        for i in 0..2 {
            self.wide_clear[i].next = self.clear[i].val().to_bits::<41>() | 0x100_0000_0000u64;
        }
        self.tie_bits[0].next = self.s3_kept.q.val() & self.tie[0].val();
        self.s4_tie.d.next = self.tie_bits[0].val().any();
        self.s4_state.d.next = self.state.val();
        self.wide_add[0].next = self.add[0].val().to_bits::<41>();
        if self.s4_tie.q.val() {
            self.wide_add[0].next = self.add_tie[0].val().to_bits::<41>();
        }
        self.stepped[0].next = self.s4_state.q.val() + signed_cast(self.wide_add[0].val());
        self.s5_state.d.next = self.s4_state.q.val();
        self.s5_next.d.next = self.stepped[0].val() & signed_cast(self.wide_clear[0].val());
        self.tie_bits[1].next = unsigned_cast(self.s5_next.q.val().get_bits::<TOP>(0)) & self.tie[1].val();
        self.s6_tie.d.next = self.tie_bits[1].val().any();
        self.s6_state.d.next = self.s5_state.q.val();
        self.s6_next.d.next = self.s5_next.q.val();
        self.wide_add[1].next = self.add[1].val().to_bits::<41>();
        if self.s6_tie.q.val() {
            self.wide_add[1].next = self.add_tie[1].val().to_bits::<41>();
        }
        self.stepped[1].next = self.s6_next.q.val() + signed_cast(self.wide_add[1].val());
        self.s7_state.d.next = self.s6_state.q.val();
        self.s7_next.d.next = self.s6_next.q.val();
        self.s7_after.d.next = self.stepped[1].val() & signed_cast(self.wide_clear[1].val());
        // 4 or 8: digit i = state i - state i + 1.
        self.zero.next = 0u64.into();
        self.from.next = self.s7_state.q.val();
        self.less.next = self.s7_next.q.val();
        if self.level.val() == 1u64.into() {
            self.from.next = self.s7_next.q.val();
            self.less.next = self.s7_after.q.val();
        }
        if self.level.val() == 2u64.into() {
            self.from.next = self.s7_after.q.val();
        }
        if self.last.val() {
            self.less.next = signed_cast(self.zero.val()).to_bits::<41>();
        }
        if !self.multi.val() {
            self.from.next = self.state.val();
        }
        self.digit.d.next = self.from.val() - self.less.val();
        if self.flip.val() {
            self.digit.d.next = self.less.val() - self.from.val();
        }
        // Bit 0 of the state is bit 24 of the word.
        self.low.next = unsigned_cast(self.digit.q.val().get_bits::<8>(0)).to_bits::<34>() << 24;
        self.limb_out[0].next = signed_cast(self.low.val()).to_bits::<LIMB>();
        self.limb_out[1].next = self.digit.q.val().get_bits::<33>(8).to_bits::<LIMB>();
    }
}

/// The masks of a gadget, from its run-time parameters.
///
/// Range:     base_log 1 to 32, level 1 to 3, base_log * level <= [`MAX_KEPT_BITS`]
/// Handshake: none
/// Latency:   3 cycles from parameters to masks
/// Reset:     none
/// Limits:    parameters out of range give wrong masks (unchecked)
#[derive(LogicBlock, Default)]
pub struct Gadget {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// log2 B.
    pub base_log: Signal<In, U<6>>,
    /// l.
    pub level: Signal<In, U<2>>,
    /// See [`Decompose`].
    pub round: Signal<Out, U<TOP>>,
    /// See [`Decompose`].
    pub keep: Signal<Out, U<TOP>>,
    /// See [`Decompose`].
    pub add: [Signal<Out, U<TOP>>; 2],
    /// See [`Decompose`].
    pub add_tie: [Signal<Out, U<TOP>>; 2],
    /// See [`Decompose`].
    pub tie: [Signal<Out, U<TOP>>; 2],
    /// See [`Decompose`].
    pub clear: [Signal<Out, U<TOP>>; 2],
    kept: Signal<Local, U<7>>,
    one: Signal<Local, U<41>>,
    place: [Reg<U<7>>; 4],
    power: [Reg<U<41>>; 4],
    below: [Signal<Local, U<41>>; 3],
    half: [Signal<Local, U<41>>; 4],
    step: [Signal<Local, U<41>>; 2],
    r_round: Reg<U<TOP>>,
    r_keep: Reg<U<TOP>>,
    r_add: [Reg<U<TOP>>; 2],
    r_add_tie: [Reg<U<TOP>>; 2],
    r_tie: [Reg<U<TOP>>; 2],
    r_clear: [Reg<U<TOP>>; 2],
    top: Signal<Local, U<7>>,
}

impl Logic for Gadget {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, r_round, r_keep);
        // 1: where digit i begins.
        self.kept.next = self.base_log.val().to_bits::<7>();
        if self.level.val() == 2u64.into() {
            self.kept.next = self.base_log.val().to_bits::<7>() << 1;
        }
        if self.level.val() == 3u64.into() {
            self.kept.next = (self.base_log.val().to_bits::<7>() << 1) + self.base_log.val().to_bits::<7>();
        }
        self.top.next = 40u64.into();
        self.one.next = 1u64.into();
        self.place[0].d.next = self.top.val() - self.kept.val();
        self.place[1].d.next = (self.top.val() - self.kept.val()) + self.base_log.val().to_bits::<7>();
        self.place[2].d.next = (self.top.val() - self.kept.val()) + (self.base_log.val().to_bits::<7>() << 1);
        self.place[3].d.next = (self.top.val() - self.kept.val())
            + (self.base_log.val().to_bits::<7>() << 1)
            + self.base_log.val().to_bits::<7>();
        // 2: the powers of two at these places.
        for i in 0..4 {
            self.place[i].clock.next = self.clock.val();
            self.power[i].clock.next = self.clock.val();
            self.power[i].d.next = self.one.val() << self.place[i].q.val();
            self.half[i].next = self.power[i].q.val() >> 1;
        }
        // 3: the masks.
        for i in 0..3 {
            self.below[i].next = self.power[i].q.val() - 1u64;
        }
        self.r_round.d.next = self.half[0].val().get_bits::<TOP>(0);
        self.r_keep.d.next = !self.below[0].val().get_bits::<TOP>(0);
        self.round.next = self.r_round.q.val();
        self.keep.next = self.r_keep.q.val();
        for i in 0..2 {
            self.r_add[i].clock.next = self.clock.val();
            self.r_add_tie[i].clock.next = self.clock.val();
            self.r_tie[i].clock.next = self.clock.val();
            self.r_clear[i].clock.next = self.clock.val();
            self.step[i].next = self.half[i + 1].val() - self.power[i].q.val();
            self.r_add[i].d.next = self.step[i].val().get_bits::<TOP>(0);
            self.r_add_tie[i].d.next = self.half[i + 1].val().get_bits::<TOP>(0);
            self.r_tie[i].d.next = self.half[i + 2].val().get_bits::<TOP>(0);
            self.r_clear[i].d.next = !self.below[i + 1].val().get_bits::<TOP>(0);
            self.add[i].next = self.r_add[i].q.val();
            self.add_tie[i].next = self.r_add_tie[i].q.val();
            self.tie[i].next = self.r_tie[i].q.val();
            self.clear[i].next = self.r_clear[i].q.val();
        }
    }
}
