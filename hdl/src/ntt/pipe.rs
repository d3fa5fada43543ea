//! The free-running transform pipeline.
//!
//! y = NTT(d) or NTT^-1(d), see [`super`] for the orders
//! Range:     words in [0, p) in and out
//! Handshake: `valid_in` marks the beats of a frame and `beat_in` numbers them; a frame is gapless, gaps between
//!            frames are free; no back-pressure
//! Latency:   [`Plan::latency`] cycles from a beat in to the same beat out; one beat a cycle
//! Reset:     `reset` clears the valid bits at the input and must be held for the latency; data has none
//! Limits:    words >= p give wrong words (unchecked)

use super::row::{BEAT, Row, TOKEN};
use super::tables::Plan;
use crate::field::{Canonical, LIMB, MulLimbs, Split};
use crate::prelude::*;

/// Cycles ahead of the first row: the input register, during which the token runs ahead.
pub const INPUT_LATENCY: usize = 1;

/// The pipeline over `L` lanes; `L3 = 3 L`.
#[derive(LogicBlock)]
pub struct NttPipe<const L: usize, const L3: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Clears the tokens that enter.
    pub reset: Signal<In, Bit>,
    /// Words of a beat.
    pub d: [Signal<In, U<64>>; L],
    /// A beat of a frame is on `d`.
    pub valid_in: Signal<In, Bit>,
    /// Its number in the frame.
    pub beat_in: Signal<In, U<BEAT>>,
    /// Words of a beat.
    pub q: [Signal<Out, U<64>>; L],
    /// A beat of a frame is on `q`.
    pub valid_out: Signal<Out, Bit>,
    /// Its number in the frame.
    pub beat_out: Signal<Out, U<BEAT>>,
    word: [Reg<U<64>>; L],
    split: [Split; L],
    before: Vec<Row<L, L3>>,
    factor: [Rom<64, BEAT>; L],
    factor_token: DelayLine<U<TOKEN>>,
    canonical: [Canonical; L],
    multiply: [MulLimbs; L],
    middle_token: DelayLine<U<TOKEN>>,
    after: Vec<Row<L, L3>>,
    output: [Canonical; L],
    output_token: DelayLine<U<TOKEN>>,
    token: Signal<Local, U<TOKEN>>,
    valid_bit: Constant<U<TOKEN>>,
    middle: [Signal<Local, S<LIMB>>; L3],
    product: [Signal<Local, S<LIMB>>; L3],
    result: [Signal<Local, S<LIMB>>; L3],
    token_before: Signal<Local, U<TOKEN>>,
    token_after: Signal<Local, U<TOKEN>>,
    leaving: Signal<Local, U<TOKEN>>,
    _before: usize,
    _after: usize,
}

impl<const L: usize, const L3: usize> NttPipe<L, L3> {
    /// The pipeline of a plan.
    ///
    /// # Panics
    /// If the plan is for another number of lanes.
    pub fn new(plan: &Plan) -> Self {
        assert!(plan.lanes == L && L3 == 3 * L, "a plan of {} lanes for {L} lanes and {L3} limbs", plan.lanes);
        Self {
            clock: Default::default(),
            reset: Default::default(),
            d: std::array::from_fn(|_| Default::default()),
            valid_in: Default::default(),
            beat_in: Default::default(),
            q: std::array::from_fn(|_| Default::default()),
            valid_out: Default::default(),
            beat_out: Default::default(),
            word: std::array::from_fn(|_| Default::default()),
            split: std::array::from_fn(|_| Default::default()),
            before: plan.before.iter().map(Row::new).collect(),
            factor: std::array::from_fn(|lane| Rom::new(plan.factors[lane].clone())),
            factor_token: DelayLine::new(Canonical::LATENCY),
            canonical: std::array::from_fn(|_| Default::default()),
            multiply: std::array::from_fn(|_| Default::default()),
            middle_token: DelayLine::new(MulLimbs::LATENCY),
            after: plan.after.iter().map(Row::new).collect(),
            output: std::array::from_fn(|_| Default::default()),
            output_token: DelayLine::new(Canonical::LATENCY + 1),
            token: Default::default(),
            valid_bit: Constant::new((1u64 << BEAT).into()),
            middle: std::array::from_fn(|_| Default::default()),
            product: std::array::from_fn(|_| Default::default()),
            result: std::array::from_fn(|_| Default::default()),
            token_before: Default::default(),
            token_after: Default::default(),
            leaving: Default::default(),
            _before: plan.before.len(),
            _after: plan.after.len(),
        }
    }
}

impl<const L: usize, const L3: usize> Logic for NttPipe<L, L3> {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, factor_token, middle_token, output_token);
        // The token enters one cycle ahead of the registered word.
        self.token.next = self.beat_in.val().to_bits::<TOKEN>();
        if self.valid_in.val() & !self.reset.val() {
            self.token.next = self.beat_in.val().to_bits::<TOKEN>() | self.valid_bit.val();
        }
        for i in 0..L {
            self.word[i].clock.next = self.clock.val();
            self.word[i].d.next = self.d[i].val();
            self.split[i].word_in.next = self.word[i].q.val();
            for k in 0..3 {
                self.before[0].d[i * 3 + k].next = self.split[i].limb_out[k].val();
            }
        }
        self.before[0].token_in.next = self.token.val();
        for r in 0..self._before {
            self.before[r].clock.next = self.clock.val();
        }
        for r in 1..self._before {
            self.before[r].token_in.next = self.before[r - 1].token_out.val();
            for i in 0..L3 {
                self.before[r].d[i].next = self.before[r - 1].q[i].val();
            }
        }
        for r in self._before..self._before.saturating_add(1) {
            self.token_before.next = self.before[r - 1].token_out.val();
            for i in 0..L3 {
                self.middle[i].next = self.before[r - 1].q[i].val();
            }
        }
        // The one general product of the transform.
        self.factor_token.d.next = self.token_before.val();
        self.middle_token.d.next = self.factor_token.q.val();
        for i in 0..L {
            self.canonical[i].clock.next = self.clock.val();
            self.multiply[i].clock.next = self.clock.val();
            self.factor[i].clock.next = self.clock.val();
            self.factor[i].address.next = self.factor_token.q.val().get_bits::<BEAT>(0);
            for k in 0..3 {
                self.canonical[i].limb_in[k].next = self.middle[i * 3 + k].val();
                self.product[i * 3 + k].next = self.multiply[i].limb_out[k].val();
            }
            self.multiply[i].a_in.next = self.canonical[i].word_out.val();
            self.multiply[i].b_in.next = self.factor[i].data.val();
        }
        for r in 0..self._after {
            self.after[r].clock.next = self.clock.val();
        }
        self.after[0].token_in.next = self.middle_token.q.val();
        for i in 0..L3 {
            self.after[0].d[i].next = self.product[i].val();
        }
        for r in 1..self._after {
            self.after[r].token_in.next = self.after[r - 1].token_out.val();
            for i in 0..L3 {
                self.after[r].d[i].next = self.after[r - 1].q[i].val();
            }
        }
        for r in self._after..self._after.saturating_add(1) {
            self.token_after.next = self.after[r - 1].token_out.val();
            for i in 0..L3 {
                self.result[i].next = self.after[r - 1].q[i].val();
            }
        }
        for i in 0..L {
            self.output[i].clock.next = self.clock.val();
            for k in 0..3 {
                self.output[i].limb_in[k].next = self.result[i * 3 + k].val();
            }
            self.q[i].next = self.output[i].word_out.val();
        }
        // Back in step with the words.
        self.output_token.d.next = self.token_after.val();
        self.leaving.next = self.output_token.q.val();
        self.valid_out.next = self.leaving.val().get_bit(10);
        self.beat_out.next = self.leaving.val().get_bits::<BEAT>(0);
    }
}
