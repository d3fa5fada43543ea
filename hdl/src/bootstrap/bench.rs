//! The lane blocks side by side: one model to test them all.

use super::rotate::AMOUNT;
use super::{Accumulate, Decompose, Gadget, Multiply, Rotate};
use crate::field::LIMB;
use crate::prelude::*;

/// Lanes of the bench's rotation.
pub const BENCH_LANES: usize = 16;

/// One of each.
#[derive(LogicBlock)]
pub struct DatapathBench {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// log2 of the decomposition's base.
    pub base_log: Signal<In, U<6>>,
    /// Levels.
    pub levels: Signal<In, U<2>>,
    /// See [`Decompose`].
    pub x: Signal<In, U<64>>,
    /// See [`Decompose`].
    pub y: Signal<In, U<64>>,
    /// See [`Decompose`].
    pub negate: Signal<In, Bit>,
    /// See [`Decompose`].
    pub multi: Signal<In, Bit>,
    /// See [`Decompose`].
    pub level: Signal<In, U<2>>,
    /// See [`Decompose`].
    pub last: Signal<In, Bit>,
    /// See [`Decompose`].
    pub flip: Signal<In, Bit>,
    /// See [`Decompose`].
    pub digit: [Signal<Out, S<LIMB>>; 2],
    /// Limbs for [`Accumulate`] and [`Multiply`].
    pub limb: [Signal<In, S<LIMB>>; 12],
    /// See [`Accumulate`].
    pub old: Signal<In, U<64>>,
    /// See [`Accumulate`].
    pub subtract: Signal<In, Bit>,
    /// See [`Accumulate`].
    pub keep: Signal<In, Bit>,
    /// See [`Accumulate`].
    pub accumulated: Signal<Out, U<64>>,
    /// See [`Multiply`].
    pub key: [Signal<In, U<64>>; 16],
    /// See [`Multiply`].
    pub less: [Signal<In, S<LIMB>>; 12],
    /// See [`Multiply`], k = 1.
    pub product: [Signal<Out, S<LIMB>>; 6],
    /// See [`Multiply`], k = 2.
    pub product_2: [Signal<Out, S<LIMB>>; 9],
    /// See [`Multiply`], k = 3.
    pub product_3: [Signal<Out, S<LIMB>>; 12],
    /// See [`Rotate`].
    pub amount: Signal<In, U<AMOUNT>>,
    /// See [`Rotate`].
    pub beat: Vec<Signal<In, U<64>>>,
    /// See [`Rotate`].
    pub turned: Vec<Signal<Out, U<64>>>,
    gadget: Gadget,
    decompose: Decompose,
    accumulate: Accumulate,
    multiply: Multiply,
    multiply_2: Multiply,
    multiply_3: Multiply,
    rotate: Rotate,
    _lanes: usize,
}

impl DatapathBench {
    pub(crate) fn new() -> Self {
        Self {
            clock: Default::default(),
            base_log: Default::default(),
            levels: Default::default(),
            x: Default::default(),
            y: Default::default(),
            negate: Default::default(),
            multi: Default::default(),
            level: Default::default(),
            last: Default::default(),
            flip: Default::default(),
            digit: Default::default(),
            limb: Default::default(),
            old: Default::default(),
            subtract: Default::default(),
            keep: Default::default(),
            accumulated: Default::default(),
            key: Default::default(),
            less: Default::default(),
            product: Default::default(),
            product_2: Default::default(),
            product_3: Default::default(),
            amount: Default::default(),
            beat: (0..BENCH_LANES).map(|_| Default::default()).collect(),
            turned: (0..BENCH_LANES).map(|_| Default::default()).collect(),
            gadget: Default::default(),
            decompose: Default::default(),
            accumulate: Default::default(),
            multiply: Multiply::new(2),
            multiply_2: Multiply::new(3),
            multiply_3: Multiply::new(4),
            rotate: Rotate::new(BENCH_LANES),
            _lanes: BENCH_LANES,
        }
    }
}

impl Logic for DatapathBench {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, gadget, decompose, accumulate, multiply, multiply_2, multiply_3, rotate);
        self.gadget.base_log.next = self.base_log.val();
        self.gadget.level.next = self.levels.val();
        self.decompose.round.next = self.gadget.round.val();
        self.decompose.keep.next = self.gadget.keep.val();
        for i in 0..2 {
            self.decompose.add[i].next = self.gadget.add[i].val();
            self.decompose.add_tie[i].next = self.gadget.add_tie[i].val();
            self.decompose.tie[i].next = self.gadget.tie[i].val();
            self.decompose.clear[i].next = self.gadget.clear[i].val();
            self.digit[i].next = self.decompose.limb_out[i].val();
        }
        self.decompose.x.next = self.x.val();
        self.decompose.y.next = self.y.val();
        self.decompose.negate.next = self.negate.val();
        self.decompose.multi.next = self.multi.val();
        self.decompose.level.next = self.level.val();
        self.decompose.last.next = self.last.val();
        self.decompose.flip.next = self.flip.val();
        for i in 0..3 {
            self.accumulate.limb_in[i].next = self.limb[i].val();
        }
        self.accumulate.old.next = self.old.val();
        self.accumulate.subtract.next = self.subtract.val();
        self.accumulate.keep.next = self.keep.val();
        self.accumulated.next = self.accumulate.word_out.val();
        for i in 0..6 {
            self.multiply.d[i].next = self.limb[i].val();
            self.multiply.x[i].next = self.less[i].val();
            self.product[i].next = self.multiply.q[i].val();
        }
        for i in 0..4 {
            self.multiply.key[i].next = self.key[i].val();
        }
        for i in 0..9 {
            self.multiply_2.d[i].next = self.limb[i].val();
            self.multiply_2.x[i].next = self.less[i].val();
            self.multiply_2.key[i].next = self.key[i].val();
            self.product_2[i].next = self.multiply_2.q[i].val();
        }
        for i in 0..12 {
            self.multiply_3.d[i].next = self.limb[i].val();
            self.multiply_3.x[i].next = self.less[i].val();
            self.product_3[i].next = self.multiply_3.q[i].val();
        }
        for i in 0..16 {
            self.multiply_3.key[i].next = self.key[i].val();
        }
        self.rotate.amount.next = self.amount.val();
        for i in 0..self._lanes {
            self.rotate.d[i].next = self.beat[i].val();
            self.turned[i].next = self.rotate.q[i].val();
        }
    }
}
