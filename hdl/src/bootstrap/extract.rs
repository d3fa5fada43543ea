//! Sample extraction: results as LWE ciphertexts, one word a cycle.
//!
//! For each ciphertext and each function f: coefficient f * `stride` of acc * X^-b as an LWE ciphertext, mask then
//! body. With (c + b) mod 2N as an address whose top bit is a sign, the product with X^-b and the order of the mask,
//! A[i], A[i - 1], .., -A[i + 1] of each of its k polynomials, are one descending count a polynomial.
//!
//! Range:     b in [0, 2N); functions * stride <= N
//! Handshake: `start` while not `busy`; words are pushed while `room`; results must stay until `busy` falls
//! Latency:   kN + 4 cycles a ciphertext and function, when there is room
//! Reset:     `reset` clears control
//! Limits:    one batch at a time

use super::BlindRotation;
use super::shape::{INDEX, POLYNOMIAL, Shape, TURN};
use crate::memory::{ADDRESS, Ram};
use crate::prelude::*;

/// The extractor.
#[derive(LogicBlock)]
pub struct Extract {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Clears control.
    pub reset: Signal<In, Bit>,
    /// Begin a batch.
    pub start: Signal<In, Bit>,
    /// A batch is under way.
    pub busy: Signal<Out, Bit>,
    /// Ciphertexts; still while `busy`.
    pub count: Signal<In, U<5>>,
    /// Functions a table.
    pub functions: Signal<In, U<5>>,
    /// Coefficients between functions.
    pub stride: Signal<In, U<INDEX>>,
    /// Number of the batch, mod 4.
    pub batch: Signal<In, U<2>>,
    /// Write a body's amount.
    pub body_write: Signal<In, Bit>,
    /// Batch * 16 + slot.
    pub body_address: Signal<In, U<ADDRESS>>,
    /// Amount.
    pub body_data: Signal<In, U<TURN>>,
    /// See [`BlindRotation`].
    pub result_address: Signal<Out, U<ADDRESS>>,
    /// See [`BlindRotation`].
    pub result_polynomial: Signal<Out, U<POLYNOMIAL>>,
    /// See [`BlindRotation`].
    pub result_data: Signal<In, U<64>>,
    /// A word may be started.
    pub room: Signal<In, Bit>,
    /// A word comes.
    pub push: Signal<Out, Bit>,
    /// It.
    pub push_data: Signal<Out, U<64>>,
    bodies: Ram<U<TURN>>,
    running: Reg<Bit>,
    phase: Reg<U<2>>,
    slot: Reg<U<5>>,
    function: Reg<U<5>>,
    index: Reg<U<TURN>>,
    first: Reg<U<TURN>>,
    at: Reg<U<TURN>>,
    left: Reg<U<TURN>>,
    polynomial: Reg<U<POLYNOMIAL>>,
    flush: Reg<U<5>>,
    go: Signal<Local, Bit>,
    is_body: Signal<Local, Bit>,
    left_low: Signal<Local, U<TURN>>,
    slot_next: Signal<Local, U<5>>,
    function_next: Signal<Local, U<5>>,
    beginning: Signal<Local, U<TURN>>,
    coefficient: Signal<Local, U<TURN>>,
    coefficient_low: Signal<Local, U<TURN>>,
    flags: Signal<Local, U<2>>,
    line: DelayLine<U<2>>,
    line_now: Signal<Local, U<2>>,
    word: Signal<Local, U<64>>,
    plus: Signal<Local, U<33>>,
    n1_valid: Reg<Bit>,
    n1_low: Reg<U<33>>,
    n1_high: Reg<U<32>>,
    n1_low_now: Signal<Local, U<33>>,
    high: Signal<Local, U<32>>,
    n2_valid: Reg<Bit>,
    n2_word: Reg<U<64>>,
    mask_words: Constant<U<TURN>>,
    low_mask: Constant<U<TURN>>,
    turn_mask: Constant<U<TURN>>,
    _degree_log2: usize,
}

impl Extract {
    /// The extractor of a shape.
    pub fn new(shape: &Shape) -> Self {
        let degree = shape.degree as u64;
        Self {
            clock: Default::default(),
            reset: Default::default(),
            start: Default::default(),
            busy: Default::default(),
            count: Default::default(),
            functions: Default::default(),
            stride: Default::default(),
            batch: Default::default(),
            body_write: Default::default(),
            body_address: Default::default(),
            body_data: Default::default(),
            result_address: Default::default(),
            result_polynomial: Default::default(),
            result_data: Default::default(),
            room: Default::default(),
            push: Default::default(),
            push_data: Default::default(),
            bodies: Ram::new(64),
            running: Default::default(),
            phase: Default::default(),
            slot: Default::default(),
            function: Default::default(),
            index: Default::default(),
            first: Default::default(),
            at: Default::default(),
            left: Default::default(),
            polynomial: Default::default(),
            flush: Default::default(),
            go: Default::default(),
            is_body: Default::default(),
            left_low: Default::default(),
            slot_next: Default::default(),
            function_next: Default::default(),
            beginning: Default::default(),
            coefficient: Default::default(),
            coefficient_low: Default::default(),
            flags: Default::default(),
            line: DelayLine::new(BlindRotation::result_latency(shape)),
            line_now: Default::default(),
            word: Default::default(),
            plus: Default::default(),
            n1_valid: Default::default(),
            n1_low: Default::default(),
            n1_high: Default::default(),
            n1_low_now: Default::default(),
            high: Default::default(),
            n2_valid: Default::default(),
            n2_word: Default::default(),
            mask_words: Constant::new((shape.big_dimension() as u64).into()),
            low_mask: Constant::new((degree - 1).into()),
            turn_mask: Constant::new((2 * degree - 1).into()),
            _degree_log2: shape.degree.trailing_zeros() as usize,
        }
    }
}

impl Logic for Extract {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, bodies, line, n1_valid, n1_low, n1_high, n2_valid, n2_word);
        dff_setup!(self, clock, running, phase, slot, function, index, first, at, left, polynomial, flush);
        self.bodies.write_enable.next = self.body_write.val();
        self.bodies.write_address.next = self.body_address.val();
        self.bodies.write_data.next = self.body_data.val();
        self.bodies.read_enable.next = true;
        self.bodies.read_address.next =
            self.slot.q.val().to_bits::<ADDRESS>() | (self.batch.val().to_bits::<ADDRESS>() << 4);

        self.slot_next.next = self.slot.q.val() + 1u64;
        self.function_next.next = self.function.q.val() + 1u64;
        self.beginning.next = (self.bodies.read_data.val() + self.index.q.val()) & self.turn_mask.val();
        self.is_body.next = !self.left.q.val().any();
        self.left_low.next = self.left.q.val() & self.low_mask.val();
        self.go.next = (self.phase.q.val() == 3u64.into()) & self.room.val();
        // 0: idle; 1: read b; 2: where to begin; 3: words.
        if self.phase.q.val() == 1u64.into() {
            self.phase.d.next = 2u64.into();
        }
        if self.phase.q.val() == 2u64.into() {
            self.phase.d.next = 3u64.into();
            self.first.d.next = self.beginning.val();
            self.at.d.next = self.beginning.val();
            self.left.d.next = self.mask_words.val();
            self.polynomial.d.next = 0u64.into();
        }
        if self.go.val() {
            self.at.d.next = (self.at.q.val() - 1u64) & self.turn_mask.val();
            self.left.d.next = self.left.q.val() - 1u64;
            // The last word of a polynomial: each begins where the first did, and so does the body.
            if self.left_low.val() == 1u64.into() {
                self.at.d.next = self.first.q.val();
                self.polynomial.d.next = self.polynomial.q.val() + 1u64;
            }
            if self.is_body.val() {
                self.phase.d.next = 1u64.into();
                self.function.d.next = self.function_next.val();
                self.index.d.next = self.index.q.val() + self.stride.val().to_bits::<TURN>();
                if self.function_next.val() == self.functions.val() {
                    self.function.d.next = 0u64.into();
                    self.index.d.next = 0u64.into();
                    self.slot.d.next = self.slot_next.val();
                    if self.slot_next.val() == self.count.val() {
                        self.phase.d.next = 0u64.into();
                        self.flush.d.next = 16u64.into();
                    }
                }
            }
        }
        if self.running.q.val() & (self.phase.q.val() == 0u64.into()) {
            self.flush.d.next = self.flush.q.val() - 1u64;
            if self.flush.q.val() == 0u64.into() {
                self.running.d.next = false;
            }
        }
        self.coefficient.next = self.at.q.val();
        self.coefficient_low.next = self.coefficient.val() & self.low_mask.val();
        self.result_polynomial.next = self.polynomial.q.val();
        self.flags.next = 0u64.into();
        for t in self._degree_log2..self._degree_log2.saturating_add(1) {
            self.result_address.next =
                (self.slot.q.val().to_bits::<ADDRESS>() << t) | self.coefficient_low.val().to_bits::<ADDRESS>();
            if self.go.val() & !self.reset.val() {
                self.flags.next = 1u64.into();
                if self.coefficient.val().get_bit(t) {
                    self.flags.next = 3u64.into();
                }
            }
        }
        self.line.d.next = self.flags.val();
        self.line_now.next = self.line.q.val();
        // The sign.
        self.word.next = self.result_data.val();
        self.plus.next = 0u64.into();
        if self.line_now.val().get_bit(1) {
            self.word.next = !self.result_data.val();
            self.plus.next = 1u64.into();
        }
        self.n1_valid.d.next = self.line_now.val().get_bit(0);
        self.n1_low.d.next = self.word.val().get_bits::<32>(0).to_bits::<33>() + self.plus.val();
        self.n1_high.d.next = self.word.val().get_bits::<32>(32);
        self.n1_low_now.next = self.n1_low.q.val();
        self.high.next = self.n1_high.q.val() + self.n1_low_now.val().get_bits::<1>(32).to_bits::<32>();
        self.n2_valid.d.next = self.n1_valid.q.val();
        self.n2_word.d.next =
            (self.high.val().to_bits::<64>() << 32) | self.n1_low_now.val().get_bits::<32>(0).to_bits::<64>();
        self.push.next = self.n2_valid.q.val();
        self.push_data.next = self.n2_word.q.val();

        self.busy.next = self.running.q.val();
        if self.start.val() {
            self.running.d.next = true;
            self.phase.d.next = 1u64.into();
            self.slot.d.next = 0u64.into();
            self.function.d.next = 0u64.into();
            self.index.d.next = 0u64.into();
        }
        if self.reset.val() {
            self.running.d.next = false;
            self.phase.d.next = 0u64.into();
        }
    }
}
