//! The transform from limbs to limbs: the pipeline without its edges.
//!
//! y = NTT(d) or NTT^-1(d), see [`super`] for the orders
//! Range:     limbs in, within the bound that [`Plan::check`] was given; limbs out, within the bound it returns
//! Handshake: a token `{valid, beat}` runs [`super::Pace::lead`] cycles ahead of each beat; a frame is gapless, gaps between frames are
//!            free; no back-pressure
//! Latency:   [`Plan::core_latency`] cycles for data and token alike; one beat a cycle
//! Reset:     none; hold `token_in` at 0 for the latency
//! Limits:    bounds are not checked in hardware

use super::row::{BEAT, Row, TOKEN};
use super::tables::{Pace, Plan};
use crate::field::{Canonical, CanonicalFast, LIMB, MulLimbs};
use crate::memory::RegisteredRom;
use crate::prelude::*;

/// The rows, the one general product, the rows.
#[derive(LogicBlock)]
pub struct NttLimbs {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs, three a lane.
    pub d: Vec<Signal<In, S<LIMB>>>,
    /// The token of the beat that arrives [`super::Pace::lead`] cycles later.
    pub token_in: Signal<In, U<TOKEN>>,
    /// Limbs, three a lane.
    pub q: Vec<Signal<Out, S<LIMB>>>,
    /// The token of the beat that leaves as many cycles later.
    pub token_out: Signal<Out, U<TOKEN>>,
    before: Vec<Row>,
    factor: Vec<RegisteredRom<BEAT>>,
    factor_token: DelayLine<U<TOKEN>>,
    /// One of both, by the pace.
    canonical: Vec<Canonical>,
    canonical_fast: Vec<CanonicalFast>,
    multiply: Vec<MulLimbs>,
    middle_token: DelayLine<U<TOKEN>>,
    after: Vec<Row>,
    token_before: Signal<Local, U<TOKEN>>,
    middle: Vec<Signal<Local, S<LIMB>>>,
    product: Vec<Signal<Local, S<LIMB>>>,
    word: Vec<Signal<Local, U<64>>>,
    _lanes: usize,
    _short: usize,
    _fast: usize,
    _limbs: usize,
    _before: usize,
    _after: usize,
}

impl NttLimbs {
    /// The pipeline of a plan.
    pub fn new(plan: &Plan) -> Self {
        let limbs = 3 * plan.lanes;
        let (short, fast) = match plan.pace {
            Pace::Short => (plan.lanes, 0),
            Pace::Fast => (0, plan.lanes),
        };
        // A factor is looked up while its word becomes canonical.
        let look_up = plan.pace.canonical() + plan.pace.lead() - RegisteredRom::<BEAT>::LATENCY;
        Self {
            clock: Default::default(),
            d: (0..limbs).map(|_| Default::default()).collect(),
            token_in: Default::default(),
            q: (0..limbs).map(|_| Default::default()).collect(),
            token_out: Default::default(),
            before: plan.before.iter().map(|row| Row::new(row, plan.pace, plan.lanes)).collect(),
            factor: plan.factors.iter().map(|list| RegisteredRom::new(list.clone())).collect(),
            factor_token: DelayLine::new(look_up),
            canonical: (0..short).map(|_| Default::default()).collect(),
            canonical_fast: (0..fast).map(|_| Default::default()).collect(),
            multiply: (0..plan.lanes)
                .map(|_| if plan.pace == Pace::Fast { MulLimbs::fast() } else { MulLimbs::default() })
                .collect(),
            middle_token: DelayLine::new(plan.pace.canonical() + plan.pace.product() - look_up),
            after: plan.after.iter().map(|row| Row::new(row, plan.pace, plan.lanes)).collect(),
            token_before: Default::default(),
            middle: (0..limbs).map(|_| Default::default()).collect(),
            product: (0..limbs).map(|_| Default::default()).collect(),
            word: (0..plan.lanes).map(|_| Default::default()).collect(),
            _lanes: plan.lanes,
            _short: short,
            _fast: fast,
            _limbs: limbs,
            _before: plan.before.len(),
            _after: plan.after.len(),
        }
    }
}

impl Logic for NttLimbs {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, factor_token, middle_token);
        for r in 0..self._before {
            self.before[r].clock.next = self.clock.val();
        }
        self.before[0].token_in.next = self.token_in.val();
        for i in 0..self._limbs {
            self.before[0].d[i].next = self.d[i].val();
        }
        for r in 1..self._before {
            self.before[r].token_in.next = self.before[r - 1].token_out.val();
            for i in 0..self._limbs {
                self.before[r].d[i].next = self.before[r - 1].q[i].val();
            }
        }
        for r in self._before..self._before.saturating_add(1) {
            self.token_before.next = self.before[r - 1].token_out.val();
            for i in 0..self._limbs {
                self.middle[i].next = self.before[r - 1].q[i].val();
            }
        }
        // The one general product of the transform.
        self.factor_token.d.next = self.token_before.val();
        self.middle_token.d.next = self.factor_token.q.val();
        for i in 0..self._lanes {
            self.multiply[i].clock.next = self.clock.val();
            self.factor[i].clock.next = self.clock.val();
            self.factor[i].address.next = self.factor_token.q.val().get_bits::<BEAT>(0);
            for k in 0..3 {
                self.product[i * 3 + k].next = self.multiply[i].limb_out[k].val();
            }
            self.multiply[i].a_in.next = self.word[i].val();
            self.multiply[i].b_in.next = self.factor[i].data.val();
        }
        for i in 0..self._short {
            self.canonical[i].clock.next = self.clock.val();
            for k in 0..3 {
                self.canonical[i].limb_in[k].next = self.middle[i * 3 + k].val();
            }
            self.word[i].next = self.canonical[i].word_out.val();
        }
        for i in 0..self._fast {
            self.canonical_fast[i].clock.next = self.clock.val();
            for k in 0..3 {
                self.canonical_fast[i].limb_in[k].next = self.middle[i * 3 + k].val();
            }
            self.word[i].next = self.canonical_fast[i].word_out.val();
        }
        for r in 0..self._after {
            self.after[r].clock.next = self.clock.val();
        }
        self.after[0].token_in.next = self.middle_token.q.val();
        for i in 0..self._limbs {
            self.after[0].d[i].next = self.product[i].val();
        }
        for r in 1..self._after {
            self.after[r].token_in.next = self.after[r - 1].token_out.val();
            for i in 0..self._limbs {
                self.after[r].d[i].next = self.after[r - 1].q[i].val();
            }
        }
        for r in self._after..self._after.saturating_add(1) {
            self.token_out.next = self.after[r - 1].token_out.val();
            for i in 0..self._limbs {
                self.q[i].next = self.after[r - 1].q[i].val();
            }
        }
    }
}
