//! The keyswitch's digits of one word a cycle, all levels at once.
//!
//! digit i of `decompose(x)`, least significant first, in bits 5 i + 4 : 5 i of the output, two's complement
//! Range:     any word; base 2^1 to 2^4, 1 to 8 levels; digits in [-B/2, B/2]
//! Handshake: none; free running, one word per cycle
//! Latency:   [`Digits::LATENCY`] cycles
//! Reset:     none
//! Limits:    parameters still while words are under way; digits past the last level are arbitrary

use crate::prelude::*;

/// Most levels of a keyswitch.
pub const KS_LEVELS: usize = 8;
/// Bits of a digit.
pub const DIGIT: usize = 5;
/// Bits of a word's digits.
pub const DIGITS: usize = KS_LEVELS * DIGIT;

/// One level: the state's lowest digit, and the state without it.
#[derive(LogicBlock, Default)]
pub struct DigitStage {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// log2 B.
    pub base_log: Signal<In, U<3>>,
    /// B/2.
    pub half: Signal<In, U<4>>,
    /// State.
    pub d: Signal<In, S<34>>,
    /// State without the digit, its carry added.
    pub q: Signal<Out, S<34>>,
    /// Digit.
    pub digit: Signal<Out, U<DIGIT>>,
    low: Signal<Local, U<4>>,
    raw: Signal<Local, U<4>>,
    below: Signal<Local, U<4>>,
    rest: Signal<Local, S<34>>,
    rest_low: Signal<Local, U<4>>,
    high: Signal<Local, U<4>>,
    carry: Signal<Local, Bit>,
    carry_word: Signal<Local, U<2>>,
    s1_state: Reg<S<34>>,
    s1_digit: Reg<U<DIGIT>>,
}

impl Logic for DigitStage {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, s1_state, s1_digit);
        self.low.next = unsigned_cast(self.d.val().get_bits::<4>(0));
        self.below.next = self.half.val() - 1u64;
        self.raw.next = self.low.val() & (self.half.val() | self.below.val());
        self.rest.next = self.d.val() >> 4;
        if self.base_log.val() == 1u64.into() {
            self.rest.next = self.d.val() >> 1;
        }
        if self.base_log.val() == 2u64.into() {
            self.rest.next = self.d.val() >> 2;
        }
        if self.base_log.val() == 3u64.into() {
            self.rest.next = self.d.val() >> 3;
        }
        self.rest_low.next = unsigned_cast(self.rest.val().get_bits::<4>(0));
        self.high.next = self.rest_low.val() & self.half.val();
        self.carry.next =
            (self.raw.val() > self.half.val()) | ((self.raw.val() == self.half.val()) & self.high.val().any());
        self.carry_word.next = 0u64.into();
        self.s1_digit.d.next = self.raw.val().to_bits::<DIGIT>();
        if self.carry.val() {
            self.carry_word.next = 1u64.into();
            self.s1_digit.d.next = self.raw.val().to_bits::<DIGIT>() - (self.half.val().to_bits::<DIGIT>() << 1);
        }
        self.s1_state.d.next = self.rest.val() + signed_cast(self.carry_word.val()).to_bits::<34>();
        self.q.next = self.s1_state.q.val();
        self.digit.next = self.s1_digit.q.val();
    }
}

/// All levels.
#[derive(LogicBlock)]
pub struct Digits {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// log2 B.
    pub base_log: Signal<In, U<3>>,
    /// Levels.
    pub levels: Signal<In, U<4>>,
    /// Word.
    pub x: Signal<In, U<64>>,
    /// Its digits.
    pub q: Signal<Out, U<DIGITS>>,
    kept: Reg<U<6>>,
    one: Signal<Local, U<33>>,
    unit: Reg<U<33>>,
    keep: Reg<U<33>>,
    top: Reg<U<33>>,
    half: Reg<U<4>>,
    down: Reg<U<6>>,
    kept_1: Signal<Local, U<6>>,
    kept_2: Signal<Local, U<6>>,
    kept_4: Signal<Local, U<6>>,
    thirty_two: Signal<Local, U<6>>,
    coarse: Choose<U<33>>,
    fine: Choose<U<33>>,
    s1: Reg<U<33>>,
    s2: Reg<U<33>>,
    s1_now: Signal<Local, U<33>>,
    s2_now: Signal<Local, U<33>>,
    sum: Signal<Local, U<34>>,
    s3: Reg<U<33>>,
    s3_round: Reg<Bit>,
    at_half: Signal<Local, U<33>>,
    others: Signal<Local, U<33>>,
    state: Signal<Local, U<34>>,
    s4: Reg<S<34>>,
    stage: Vec<DigitStage>,
    align: Vec<DelayLine<U<DIGIT>>>,
    aligned: Vec<Signal<Local, U<DIGITS>>>,
}

impl Digits {
    /// Cycles from a word to its digits.
    pub const LATENCY: usize = 4 + KS_LEVELS + 1;
}

impl Default for Digits {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            base_log: Default::default(),
            levels: Default::default(),
            x: Default::default(),
            q: Default::default(),
            kept: Default::default(),
            one: Default::default(),
            unit: Default::default(),
            keep: Default::default(),
            top: Default::default(),
            half: Default::default(),
            down: Default::default(),
            kept_1: Default::default(),
            kept_2: Default::default(),
            kept_4: Default::default(),
            thirty_two: Default::default(),
            coarse: Choose::new(4),
            fine: Choose::new(8),
            s1: Default::default(),
            s2: Default::default(),
            s1_now: Default::default(),
            s2_now: Default::default(),
            sum: Default::default(),
            s3: Default::default(),
            s3_round: Default::default(),
            at_half: Default::default(),
            others: Default::default(),
            state: Default::default(),
            s4: Default::default(),
            stage: (0..KS_LEVELS).map(|_| Default::default()).collect(),
            align: (0..KS_LEVELS).map(|i| DelayLine::new(KS_LEVELS - i)).collect(),
            aligned: (0..KS_LEVELS).map(|_| Default::default()).collect(),
        }
    }
}

impl Logic for Digits {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, kept, unit, keep, top, half, down, s1, s2, s3, s3_round, s4);
        // Masks, from parameters that are still.
        self.kept_1.next = 0u64.into();
        self.kept_2.next = 0u64.into();
        self.kept_4.next = 0u64.into();
        if self.base_log.val().get_bit(0) {
            self.kept_1.next = self.levels.val().to_bits::<6>();
        }
        if self.base_log.val().get_bit(1) {
            self.kept_2.next = self.levels.val().to_bits::<6>() << 1;
        }
        if self.base_log.val().get_bit(2) {
            self.kept_4.next = self.levels.val().to_bits::<6>() << 2;
        }
        self.thirty_two.next = 32u64.into();
        self.kept.d.next = self.kept_1.val() + self.kept_2.val() + self.kept_4.val();
        self.down.d.next = self.thirty_two.val() - self.kept.q.val();
        self.one.next = 1u64.into();
        self.unit.d.next = self.one.val() << self.kept.q.val();
        self.keep.d.next = self.unit.q.val() - 1u64;
        self.top.d.next = self.unit.q.val() >> 1;
        self.half.d.next = 8u64.into();
        if self.base_log.val() == 1u64.into() {
            self.half.d.next = 1u64.into();
        }
        if self.base_log.val() == 2u64.into() {
            self.half.d.next = 2u64.into();
        }
        if self.base_log.val() == 3u64.into() {
            self.half.d.next = 4u64.into();
        }
        // 1, 2: the kept bits and the rounding bit, right-aligned.
        self.coarse.select.next = self.down.q.val().get_bits::<2>(3).to_bits::<5>();
        self.fine.select.next = self.down.q.val().get_bits::<3>(0).to_bits::<5>();
        self.s1_now.next = self.s1.q.val();
        self.s2_now.next = self.s2.q.val();
        self.coarse.d[0].next = self.x.val().get_bits::<33>(31);
        self.coarse.d[1].next = self.x.val().get_bits::<25>(39).to_bits::<33>();
        self.coarse.d[2].next = self.x.val().get_bits::<17>(47).to_bits::<33>();
        self.coarse.d[3].next = self.x.val().get_bits::<9>(55).to_bits::<33>();
        self.s1.d.next = self.coarse.q.val();
        for i in 0..8 {
            self.fine.d[i].next = self.s1_now.val() >> i;
        }
        self.s2.d.next = self.fine.q.val();
        // 3: round.
        self.sum.next = self.s2_now.val().to_bits::<34>() + 1u64;
        self.s3.d.next = self.sum.val().get_bits::<33>(1) & self.keep.q.val();
        self.s3_round.d.next = self.s2_now.val().get_bit(0);
        // 4: negative above one half, and at one half if the rounding bit is 1.
        self.at_half.next = self.s3.q.val() & self.top.q.val();
        self.others.next = self.s3.q.val() & !self.top.q.val();
        self.state.next = self.s3.q.val().to_bits::<34>();
        if self.at_half.val().any() & (self.others.val().any() | self.s3_round.q.val()) {
            self.state.next = self.s3.q.val().to_bits::<34>() - self.unit.q.val().to_bits::<34>();
        }
        self.s4.d.next = signed_cast(self.state.val());
        // 5 to 13: a digit a stage.
        self.stage[0].d.next = self.s4.q.val();
        for i in 1..8 {
            self.stage[i].d.next = self.stage[i - 1].q.val();
        }
        for i in 0..8 {
            self.stage[i].clock.next = self.clock.val();
            self.stage[i].base_log.next = self.base_log.val();
            self.stage[i].half.next = self.half.q.val();
            self.align[i].clock.next = self.clock.val();
            self.align[i].d.next = self.stage[i].digit.val();
            self.aligned[i].next = self.align[i].q.val().to_bits::<DIGITS>() << (i * 5);
        }
        self.q.next = self.aligned[0].val()
            | self.aligned[1].val()
            | self.aligned[2].val()
            | self.aligned[3].val()
            | self.aligned[4].val()
            | self.aligned[5].val()
            | self.aligned[6].val()
            | self.aligned[7].val();
    }
}
