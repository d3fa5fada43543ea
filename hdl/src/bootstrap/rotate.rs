//! Barrel rotation of a beat.
//!
//! q[(i + amount) mod W] = d[i]
//! Range:     any words; amount below W; W a power of two up to 64
//! Handshake: none; free running, one beat per cycle
//! Latency:   [`Rotate::latency`] cycles: one a stage of three bits of the amount
//! Reset:     none
//! Limits:    none

use crate::prelude::*;

/// Bits of an amount.
pub const AMOUNT: usize = 6;

/// One stage: a mux of up to eight lanes, `weight` apart.
#[derive(LogicBlock)]
pub struct RotateStage {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Words.
    pub d: Vec<Signal<In, U<64>>>,
    /// Lanes to move by, whole amount.
    pub amount: Signal<In, U<AMOUNT>>,
    /// Words.
    pub q: Vec<Signal<Out, U<64>>>,
    select: Signal<Local, U<5>>,
    choose: Vec<Choose<U<64>>>,
    word: Vec<Reg<U<64>>>,
    _lanes: usize,
    _ways: usize,
    _weight: usize,
    _offset: usize,
}

impl RotateStage {
    fn new(lanes: usize, offset: usize) -> Self {
        let ways = (lanes >> offset).min(8);
        Self {
            clock: Default::default(),
            d: (0..lanes).map(|_| Default::default()).collect(),
            amount: Default::default(),
            q: (0..lanes).map(|_| Default::default()).collect(),
            select: Default::default(),
            choose: (0..lanes).map(|_| Choose::new(ways)).collect(),
            word: (0..lanes).map(|_| Default::default()).collect(),
            _lanes: lanes,
            _ways: ways,
            _weight: 1 << offset,
            _offset: offset,
        }
    }
}

impl Logic for RotateStage {
    #[hdl_gen]
    fn update(&mut self) {
        for o in self._offset..self._offset.saturating_add(1) {
            self.select.next = self.amount.val().get_bits::<3>(o).to_bits::<5>();
        }
        for n in self._lanes..self._lanes.saturating_add(1) {
            for w in self._weight..self._weight.saturating_add(1) {
                for i in 0..self._lanes {
                    self.choose[i].select.next = self.select.val();
                    for v in 0..self._ways {
                        self.choose[i].d[v].next = self.d[(i + n - v * w) % n].val();
                    }
                    self.word[i].clock.next = self.clock.val();
                    self.word[i].d.next = self.choose[i].q.val();
                    self.q[i].next = self.word[i].q.val();
                }
            }
        }
    }
}

/// A rotation by any number of lanes.
#[derive(LogicBlock)]
pub struct Rotate {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Words.
    pub d: Vec<Signal<In, U<64>>>,
    /// Lanes to move by.
    pub amount: Signal<In, U<AMOUNT>>,
    /// Words.
    pub q: Vec<Signal<Out, U<64>>>,
    stage: Vec<RotateStage>,
    later: Reg<U<AMOUNT>>,
    _lanes: usize,
    _stages: usize,
}

impl Rotate {
    /// A rotation of `lanes` lanes.
    ///
    /// # Panics
    /// If the number of lanes is no power of two from 2 to 64.
    pub fn new(lanes: usize) -> Self {
        assert!(lanes.is_power_of_two() && (2..=64).contains(&lanes), "{lanes} lanes: a power of two from 2 to 64");
        let stages = Self::latency(lanes);
        Self {
            clock: Default::default(),
            d: (0..lanes).map(|_| Default::default()).collect(),
            amount: Default::default(),
            q: (0..lanes).map(|_| Default::default()).collect(),
            stage: (0..stages).map(|s| RotateStage::new(lanes, 3 * s)).collect(),
            later: Default::default(),
            _lanes: lanes,
            _stages: stages,
        }
    }

    /// Cycles from words to words.
    pub fn latency(lanes: usize) -> usize {
        (lanes.trailing_zeros() as usize).div_ceil(3)
    }
}

impl Logic for Rotate {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, later);
        self.later.d.next = self.amount.val();
        self.stage[0].amount.next = self.amount.val();
        for i in 0..self._lanes {
            self.stage[0].d[i].next = self.d[i].val();
        }
        for s in 0..self._stages {
            self.stage[s].clock.next = self.clock.val();
        }
        for s in 1..self._stages {
            self.stage[s].amount.next = self.later.q.val();
            for i in 0..self._lanes {
                self.stage[s].d[i].next = self.stage[s - 1].q[i].val();
            }
        }
        for s in self._stages..self._stages.saturating_add(1) {
            for i in 0..self._lanes {
                self.q[i].next = self.stage[s - 1].q[i].val();
            }
        }
    }
}
