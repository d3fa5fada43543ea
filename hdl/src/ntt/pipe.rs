//! The free-running transform pipeline.
//!
//! y = NTT(d) or NTT^-1(d), see [`super`] for the orders
//! Range:     words in [0, p) in and out
//! Handshake: `valid_in` marks the beats of a frame and `beat_in` numbers them; a frame is gapless, gaps between
//!            frames are free; no back-pressure
//! Latency:   [`Plan::latency`] cycles from a beat in to the same beat out; one beat a cycle
//! Reset:     `reset` clears the valid bits at the input and must be held for the latency; data has none
//! Limits:    words >= p give wrong words (unchecked)

use super::limbs::NttLimbs;
use super::row::{BEAT, TOKEN};
use super::tables::{Pace, Plan};
use crate::field::{Canonical, CanonicalFast, Split};
use crate::prelude::*;

/// The pipeline over `L` lanes.
#[derive(LogicBlock)]
pub struct NttPipe<const L: usize> {
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
    /// The same from a register of its own, for memories that lie all over a chip.
    pub valid_replica: Signal<Out, Bit>,
    /// Its number in the frame.
    pub beat_out: Signal<Out, U<BEAT>>,
    /// The input registers, during which the token runs ahead.
    word: [DelayLine<U<64>>; L],
    split: [Split; L],
    transform: NttLimbs,
    /// One of both, by the pace.
    output: Vec<Canonical>,
    output_fast: Vec<CanonicalFast>,
    output_token: DelayLine<U<TOKEN>>,
    output_last: DelayLine<U<TOKEN>>,
    replica: Replica<Bit>,
    token: Signal<Local, U<TOKEN>>,
    valid_bit: Constant<U<TOKEN>>,
    leaving: Signal<Local, U<TOKEN>>,
    _short: usize,
    _fast: usize,
}

impl<const L: usize> NttPipe<L> {
    /// The pipeline of a plan.
    ///
    /// # Panics
    /// If the plan is for another number of lanes.
    pub fn new(plan: &Plan) -> Self {
        assert!(plan.lanes == L, "a plan of {} lanes for {L} lanes", plan.lanes);
        let (short, fast) = if plan.pace == Pace::Fast { (0, L) } else { (L, 0) };
        Self {
            clock: Default::default(),
            reset: Default::default(),
            d: std::array::from_fn(|_| Default::default()),
            valid_in: Default::default(),
            beat_in: Default::default(),
            q: std::array::from_fn(|_| Default::default()),
            valid_out: Default::default(),
            valid_replica: Default::default(),
            beat_out: Default::default(),
            word: std::array::from_fn(|_| DelayLine::new(plan.pace.lead())),
            split: std::array::from_fn(|_| Default::default()),
            transform: NttLimbs::new(plan),
            output: (0..short).map(|_| Default::default()).collect(),
            output_fast: (0..fast).map(|_| Default::default()).collect(),
            output_token: DelayLine::new(plan.pace.canonical() + plan.pace.lead() - 1),
            output_last: DelayLine::new(1),
            replica: Default::default(),
            token: Default::default(),
            valid_bit: Constant::new((1u64 << BEAT).into()),
            leaving: Default::default(),
            _short: short,
            _fast: fast,
        }
    }
}

impl<const L: usize> Logic for NttPipe<L> {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, transform, output_token, output_last, replica);
        // The token enters ahead of the registered word.
        self.token.next = self.beat_in.val().to_bits::<TOKEN>();
        if self.valid_in.val() & !self.reset.val() {
            self.token.next = self.beat_in.val().to_bits::<TOKEN>() | self.valid_bit.val();
        }
        self.transform.token_in.next = self.token.val();
        for i in 0..L {
            self.word[i].clock.next = self.clock.val();
            self.word[i].d.next = self.d[i].val();
            self.split[i].word_in.next = self.word[i].q.val();
            for k in 0..3 {
                self.transform.d[i * 3 + k].next = self.split[i].limb_out[k].val();
            }
        }
        for i in 0..self._short {
            self.output[i].clock.next = self.clock.val();
            for k in 0..3 {
                self.output[i].limb_in[k].next = self.transform.q[i * 3 + k].val();
            }
            self.q[i].next = self.output[i].word_out.val();
        }
        for i in 0..self._fast {
            self.output_fast[i].clock.next = self.clock.val();
            for k in 0..3 {
                self.output_fast[i].limb_in[k].next = self.transform.q[i * 3 + k].val();
            }
            self.q[i].next = self.output_fast[i].word_out.val();
        }
        // Back in step with the words.
        self.output_token.d.next = self.transform.token_out.val();
        self.output_last.d.next = self.output_token.q.val();
        self.leaving.next = self.output_last.q.val();
        self.replica.d.next = self.output_token.q.val().get_bit(10);
        self.valid_replica.next = self.replica.q.val();
        self.valid_out.next = self.leaving.val().get_bit(10);
        self.beat_out.next = self.leaving.val().get_bits::<BEAT>(0);
    }
}
