//! Rows: one operation on all lanes, with the control token that travels beside the data.
//!
//! Handshake: a token `{valid, beat}` runs [`Pace::lead`] cycles ahead of each beat; gaps between frames carry no valid token
//! Latency:   [`RowPlan::latency`] cycles for data and token alike
//! Reset:     none; tokens are cleared at the pipeline's input
//! Limits:    frames are gapless inside

use super::feedback::{FeedbackDelay, FeedbackSums};
use super::tables::{Pace, RowPlan};
use crate::field::{LIMB, PlainButterfly, SelectShift, ShiftButterfly};
use crate::prelude::*;

/// Bits of a beat number.
pub const BEAT: usize = 10;
/// Bits of a token: a beat number, then valid.
pub const TOKEN: usize = BEAT + 1;

/// Butterflies between words `depth` beats apart: single-path delay feedback.
///
/// For beats t and t + depth of a block: first their sum, `depth` cycles later their difference.
/// Range:     limbs; the bound doubles
/// Handshake: `second` marks the valid beats of the second half of a block
/// Latency:   depth + 1 cycles; one word a cycle
/// Reset:     none; what the delay line holds outside of frames is never read
/// Limits:    a block is gapless
#[derive(LogicBlock)]
pub struct Sdf {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs.
    pub d: [Signal<In, S<LIMB>>; 3],
    /// Second half of a block; the same three times, so that each limb can have it from a register nearby.
    pub second: [Signal<In, Bit>; 3],
    /// Results.
    pub q: [Signal<Out, S<LIMB>>; 3],
    delay: FeedbackDelay,
    sums: [FeedbackSums; 3],
    s1_limb: [Reg<S<LIMB>>; 3],
}

impl Sdf {
    /// Latency without the delay line's depth.
    pub const LATENCY_BEYOND_DEPTH: usize = 1;

    /// Butterflies over `depth` beats.
    pub fn new(depth: usize) -> Self {
        Self {
            clock: Default::default(),
            d: Default::default(),
            second: Default::default(),
            q: Default::default(),
            delay: FeedbackDelay::new(depth),
            sums: Default::default(),
            s1_limb: Default::default(),
        }
    }
}

impl Logic for Sdf {
    #[hdl_gen]
    fn update(&mut self) {
        // First half: store, and let the previous block's differences out. Second half: sums out, differences stored.
        clock!(self, clock, delay);
        for j in 0..3 {
            self.s1_limb[j].clock.next = self.clock.val();
            self.sums[j].second.next = self.second[j].val();
            self.sums[j].d.next = self.d[j].val();
            self.sums[j].kept.next = self.delay.q[j].val();
            self.delay.d[j].next = self.sums[j].stored.val();
            self.s1_limb[j].d.next = self.sums[j].leaving.val();
            self.q[j].next = self.s1_limb[j].q.val();
        }
    }
}

/// One row of lanes.
#[derive(LogicBlock)]
pub struct Row {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs, three a lane.
    pub d: Vec<Signal<In, S<LIMB>>>,
    /// The token of the beat that arrives [`Pace::lead`] cycles later.
    pub token_in: Signal<In, U<TOKEN>>,
    /// Limbs, three a lane.
    pub q: Vec<Signal<Out, S<LIMB>>>,
    /// The token of the beat that leaves as many cycles later.
    pub token_out: Signal<Out, U<TOKEN>>,
    token: DelayLine<U<TOKEN>>,
    /// The token one cycle ahead of its beat, once for each limb.
    near: Vec<Signal<Local, U<TOKEN>>>,
    beat: Vec<Signal<Local, U<BEAT>>>,
    /// Where the token is more than one cycle ahead: replicas of it.
    early: Vec<Replica<U<TOKEN>>>,
    /// What a beat is told, once for each limb: replicas.
    second: Vec<Replica<Bit>>,
    tap: Vec<Rom<5, BEAT>>,
    select: Vec<SelectShift>,
    sdf: Vec<Sdf>,
    butterfly: Vec<ShiftButterfly>,
    plain: Vec<PlainButterfly>,
    _limbs: usize,
    _early: usize,
    _selects: usize,
    _sdfs: usize,
    _butterflies: usize,
    _plains: usize,
    _stride: usize,
    _depth_log2: usize,
    _beat_low: usize,
}

impl Row {
    /// The row of a plan.
    ///
    /// # Panics
    /// If the plan is for another number of lanes.
    pub fn new(plan: &RowPlan, pace: Pace, lanes: usize) -> Self {
        // Only these tell their beats something.
        let tells = matches!(plan, RowPlan::Select { .. } | RowPlan::Sdf { .. });
        let limbs = if tells { 3 * lanes } else { 0 };
        let early = if pace.lead() > 1 { limbs } else { 0 };
        let mut row = Self {
            clock: Default::default(),
            d: (0..3 * lanes).map(|_| Default::default()).collect(),
            token_in: Default::default(),
            q: (0..3 * lanes).map(|_| Default::default()).collect(),
            token_out: Default::default(),
            token: DelayLine::new(plan.latency(pace)),
            near: (0..limbs).map(|_| Default::default()).collect(),
            beat: (0..limbs).map(|_| Default::default()).collect(),
            early: (0..early).map(|_| Default::default()).collect(),
            second: vec![],
            tap: vec![],
            select: vec![],
            sdf: vec![],
            butterfly: vec![],
            plain: vec![],
            _limbs: limbs,
            _early: early,
            _selects: 0,
            _sdfs: 0,
            _butterflies: 0,
            _plains: 0,
            _stride: 1,
            _depth_log2: 0,
            _beat_low: 0,
        };
        match plan {
            RowPlan::Select { exponents } => {
                assert_eq!(exponents.len(), lanes, "a plan for other than {lanes} lanes");
                // Beats 2^low apart share a tap in every lane: drop those address bits.
                let same = |low: usize| {
                    exponents.iter().all(|list| list.chunks(1 << low).all(|c| c.iter().all(|e| *e == c[0])))
                };
                let low = (0..BEAT).rev().find(|&low| (1 << low) <= exponents[0].len() && same(low)).unwrap_or(0);
                for list in exponents {
                    let mut per_address: Vec<i64> = list.chunks(1 << low).map(|c| c[0]).collect();
                    // A list that repeats needs only its period.
                    while per_address.len() > 1
                        && per_address[..per_address.len() / 2] == per_address[per_address.len() / 2..]
                    {
                        per_address.truncate(per_address.len() / 2);
                    }
                    let mut distinct = per_address.clone();
                    distinct.sort_unstable();
                    distinct.dedup();
                    let number = |e: &i64| distinct.iter().position(|d| d == e).unwrap_or(0) as u64;
                    for _ in 0..6 {
                        row.tap.push(Rom::replica(per_address.iter().map(number).collect()));
                    }
                    row.select.push(SelectShift::new(&distinct, plan.latency(pace)));
                }
                (row._selects, row._beat_low) = (lanes, low);
            }
            RowPlan::Sdf { depth } => {
                row.second = (0..3 * lanes).map(|_| Default::default()).collect();
                row.sdf = (0..lanes).map(|_| Sdf::new(*depth)).collect();
                (row._sdfs, row._depth_log2) = (lanes, depth.trailing_zeros() as usize);
            }
            RowPlan::Fixed { stride, exponents } => {
                assert_eq!(exponents.len(), lanes / 2, "a plan for other than {lanes} lanes");
                row.butterfly = exponents.iter().map(|&e| ShiftButterfly::new(e)).collect();
                (row._butterflies, row._stride) = (lanes / 2, *stride);
            }
            RowPlan::Plain { stride } => {
                row.plain = (0..lanes / 2).map(|_| Default::default()).collect();
                (row._plains, row._stride) = (lanes / 2, *stride);
            }
        }
        row
    }
}

impl Logic for Row {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, token);
        self.token.d.next = self.token_in.val();
        self.token_out.next = self.token.q.val();
        for i in 0..self._early {
            self.early[i].clock.next = self.clock.val();
            self.early[i].d.next = self.token_in.val();
            self.near[i].next = self.early[i].q.val();
        }
        for i in self._early..self._limbs {
            self.near[i].next = self.token_in.val();
        }
        for i in 0..self._limbs {
            self.beat[i].next = self.near[i].val().get_bits::<BEAT>(0);
        }
        for i in 0..self._selects {
            self.select[i].clock.next = self.clock.val();
            for k in 0..3 {
                self.tap[i * 6 + k].clock.next = self.clock.val();
                self.tap[i * 6 + k + 3].clock.next = self.clock.val();
                for s in self._beat_low..self._beat_low.saturating_add(1) {
                    self.tap[i * 6 + k].address.next = self.beat[i * 3 + k].val() >> s;
                    self.tap[i * 6 + k + 3].address.next = self.beat[i * 3 + k].val() >> s;
                }
                self.select[i].tap[k].next = self.tap[i * 6 + k].data.val();
                self.select[i].tap[k + 3].next = self.tap[i * 6 + k + 3].data.val();
                self.select[i].d[k].next = self.d[i * 3 + k].val();
                self.q[i * 3 + k].next = self.select[i].q[k].val();
            }
        }
        for i in 0..self._sdfs {
            self.sdf[i].clock.next = self.clock.val();
            for k in 0..3 {
                self.second[i * 3 + k].clock.next = self.clock.val();
                for b in self._depth_log2..self._depth_log2.saturating_add(1) {
                    self.second[i * 3 + k].d.next =
                        self.near[i * 3 + k].val().get_bit(10) & self.near[i * 3 + k].val().get_bit(b);
                }
                self.sdf[i].second[k].next = self.second[i * 3 + k].q.val();
                self.sdf[i].d[k].next = self.d[i * 3 + k].val();
                self.q[i * 3 + k].next = self.sdf[i].q[k].val();
            }
        }
        for h in self._stride..self._stride.saturating_add(1) {
            for i in 0..self._butterflies {
                self.butterfly[i].clock.next = self.clock.val();
                for k in 0..3 {
                    self.butterfly[i].a[k].next = self.d[(i / h * h + i) * 3 + k].val();
                    self.butterfly[i].b[k].next = self.d[(i / h * h + i + h) * 3 + k].val();
                    self.q[(i / h * h + i) * 3 + k].next = self.butterfly[i].x[k].val();
                    self.q[(i / h * h + i + h) * 3 + k].next = self.butterfly[i].y[k].val();
                }
            }
            for i in 0..self._plains {
                self.plain[i].clock.next = self.clock.val();
                for k in 0..3 {
                    self.plain[i].a[k].next = self.d[(i / h * h + i) * 3 + k].val();
                    self.plain[i].b[k].next = self.d[(i / h * h + i + h) * 3 + k].val();
                    self.q[(i / h * h + i) * 3 + k].next = self.plain[i].x[k].val();
                    self.q[(i / h * h + i + h) * 3 + k].next = self.plain[i].y[k].val();
                }
            }
        }
    }
}
