//! Blind rotation of a batch.
//!
//! acc = table; for i < n: acc += BSK_i [*] (acc * X^(a_i) - acc), [*] the external product; bit for bit golden's
//! `blind_rotation` up to its last product with X^-b, which [`super::extract`] does by addressing.
//!
//! Range:     words mod 2^64; run-time n, base, levels; amounts 0 to 2N - 1
//! Handshake: parameters, amounts and tables are written before `start` and still while `busy`; key stream ready/valid;
//!            results may be read once `finished` exceeds their slot, until the next batch's last step begins, which
//!            waits for `result_free`
//! Latency:   [`Shape::turnaround`] cycles from reading a beat to reading its successor, 4 more with several levels;
//!            one frame of T = 2N/L beats a ciphertext, step and level when the batch fills the pipeline
//! Reset:     `reset` for [`Shape::reset_cycles`]
//! Limits:    one batch at a time
//!
//! k + 1 words a lane and cycle, coefficient `position * W + lane` of the mask's polynomials and of the body, go side by
//! side through rotation, difference, decomposition and transform; all meet in [`Multiply`], whose k + 1 sums go side
//! by side through the transform back, the modulus switch and the sum into the accumulator. What travels beside a
//! beat is delayed by the blocks' latencies. With several levels the sums of the levels before are held in `partial`
//! and enter the next level's sum; the last level's goes on.

use super::rotate::AMOUNT;
use super::schedule::{SIDE, Schedule};
use super::shape::{INDEX, POLYNOMIAL, SLOT, Shape, TURN};
use super::{Accumulate, Decompose, Gadget, KeyStore, Multiply, Rotate};
use crate::field::{LIMB, SelectShift, Split};
use crate::memory::{ADDRESS, Ram};
use crate::ntt::NttLimbs;
use crate::ntt::row::{BEAT, TOKEN};
use crate::prelude::*;

/// Cycles from a result's address to its word, beyond the rotation that picks its lane.
const FETCH: usize = 1;

/// The datapath and its schedule.
#[derive(LogicBlock)]
pub struct BlindRotation {
    /// Rising carry_over.
    pub clock: Signal<In, Clock>,
    /// Clears control.
    pub reset: Signal<In, Bit>,
    /// Begin a batch.
    pub start: Signal<In, Bit>,
    /// A batch is under way.
    pub busy: Signal<Out, Bit>,
    /// Ciphertexts.
    pub count: Signal<In, U<5>>,
    /// n.
    pub dimension: Signal<In, U<INDEX>>,
    /// l.
    pub levels: Signal<In, U<2>>,
    /// log2 B.
    pub base_log: Signal<In, U<6>>,
    /// Bank of rotation amounts.
    pub bank: Signal<In, Bit>,
    /// The batch's table, or its first ciphertext's.
    pub lut: Signal<In, U<SLOT>>,
    /// Ciphertext i has table `table + i`.
    pub lut_each: Signal<In, Bit>,
    /// See [`Schedule`].
    pub turn_write: Signal<In, Bit>,
    /// See [`Schedule`].
    pub turn_address: Signal<In, U<ADDRESS>>,
    /// See [`Schedule`].
    pub turn_data: Signal<In, U<TURN>>,
    /// Write a word of a table's body; its mask is 0.
    pub table_write: Signal<In, Bit>,
    /// Its place: table * N + coefficient.
    pub table_address: Signal<In, U<ADDRESS>>,
    /// The word.
    pub table_data: Signal<In, U<64>>,
    /// See [`KeyStore`].
    pub key_data: Vec<Signal<In, U<64>>>,
    /// See [`KeyStore`].
    pub key_valid: Signal<In, Bit>,
    /// See [`KeyStore`].
    pub key_ready: Signal<Out, Bit>,
    /// The last step may write its results.
    pub result_free: Signal<In, Bit>,
    /// Results complete, in the order of slots; 0 from `start` on.
    pub finished: Signal<Out, U<5>>,
    /// Result wanted: slot * N + coefficient.
    pub result_address: Signal<In, U<ADDRESS>>,
    /// Of this polynomial of the mask; k: of the body.
    pub result_polynomial: Signal<In, U<POLYNOMIAL>>,
    /// Word, [`BlindRotation::result_latency`] cycles later.
    pub result_data: Signal<Out, U<64>>,
    /// A beat of the forward transform's multipliers is valid.
    pub forward_active: Signal<Out, Bit>,
    /// A beat of the backward transform's multipliers is valid.
    pub inverse_active: Signal<Out, Bit>,
    /// A step waits for its key.
    pub key_stalled: Signal<Out, Bit>,
    schedule: Schedule,
    gadget: Gadget,
    keys: KeyStore,
    multi: Signal<Local, Bit>,
    side_0: Signal<Local, U<SIDE>>,
    // Read and rotate: W words of each polynomial of the mask, then of the body.
    read: Vec<Ram<U<64>>>,
    same: Vec<Ram<U<64>>>,
    source_address: [Signal<Local, U<ADDRESS>>; 2],
    source_slot: Signal<Local, U<ADDRESS>>,
    carry_over: Vec<Constant<U<AMOUNT>>>,
    lane_number: Vec<Constant<U<AMOUNT>>>,
    amount_1: Reg<U<AMOUNT>>,
    rotate: Vec<Rotate>,
    amount_r: DelayLine<U<AMOUNT>>,
    signs: Signal<Local, U<2>>,
    sign_bit: [Signal<Local, U<2>>; 2],
    signs_r: DelayLine<U<2>>,
    signs_now: Signal<Local, U<2>>,
    negate: Vec<Reg<Bit>>,
    side_r: DelayLine<U<SIDE>>,
    same_side: Signal<Local, U<SIDE>>,
    same_address: Signal<Local, U<ADDRESS>>,
    decompose: Vec<Decompose>,
    side_single: DelayLine<U<SIDE>>,
    side_multi: DelayLine<U<SIDE>>,
    side_f: Signal<Local, U<SIDE>>,
    // Transform, multiply, transform back.
    forward: Vec<NttLimbs>,
    zero: Signal<Local, U<2>>,
    side_forward: DelayLine<U<SIDE>>,
    side_m: Signal<Local, U<SIDE>>,
    key_address: Signal<Local, U<ADDRESS>>,
    key_half: Signal<Local, U<ADDRESS>>,
    product_address: DelayLine<U<ADDRESS>>,
    side_product: DelayLine<U<SIDE>>,
    side_x: Signal<Local, U<SIDE>>,
    freed: Signal<Local, Bit>,
    partial: Vec<Ram<S<LIMB>>>,
    partial_address: Signal<Local, U<ADDRESS>>,
    normal: Vec<SelectShift>,
    tap: Constant<U<5>>,
    product_word: Vec<Reg<U<64>>>,
    split: Vec<Split>,
    first_1: Reg<Bit>,
    first_2: Reg<Bit>,
    x: Vec<Reg<S<LIMB>>>,
    multiply: Vec<Multiply>,
    side_multiply: DelayLine<U<SIDE>>,
    side_i: Signal<Local, U<SIDE>>,
    side_partial: Reg<U<SIDE>>,
    side_q: Signal<Local, U<SIDE>>,
    inverse_token: Signal<Local, U<TOKEN>>,
    inverse: Vec<NttLimbs>,
    side_inverse: DelayLine<U<SIDE>>,
    side_o: Signal<Local, U<SIDE>>,
    // Sum and write back.
    side_old: DelayLine<U<SIDE>>,
    side_w: Signal<Local, U<SIDE>>,
    old_address: Signal<Local, U<ADDRESS>>,
    old: Vec<Ram<U<64>>>,
    tables: Vec<Ram<U<64>>>,
    table_slot: Signal<Local, U<SLOT>>,
    table_read: Signal<Local, U<ADDRESS>>,
    table_words: Signal<Local, U<ADDRESS>>,
    table_lane: Signal<Local, U<ADDRESS>>,
    table_lanes: Constant<U<ADDRESS>>,
    address_lane: Vec<Constant<U<ADDRESS>>>,
    side_sum: Reg<U<SIDE>>,
    side_s: Signal<Local, U<SIDE>>,
    old_word: Vec<Signal<Local, U<64>>>,
    accumulate: Vec<Accumulate>,
    side_write: DelayLine<U<SIDE>>,
    side_y: Signal<Local, U<SIDE>>,
    side_early: DelayLine<U<SIDE>>,
    side_e: Signal<Local, U<SIDE>>,
    write_address: Signal<Local, U<ADDRESS>>,
    write: Signal<Local, Bit>,
    write_result: Signal<Local, Bit>,
    results: Vec<Ram<U<64>>>,
    result_beat: Signal<Local, U<ADDRESS>>,
    result_lane: Signal<Local, U<ADDRESS>>,
    result_turn: Signal<Local, U<AMOUNT>>,
    pick_amount: Reg<U<AMOUNT>>,
    pick_polynomial: Reg<U<POLYNOMIAL>>,
    polynomial_number: Vec<Constant<U<POLYNOMIAL>>>,
    pick: Rotate,
    done: Reg<U<5>>,
    beat_mask: Constant<U<INDEX>>,
    half_place: Constant<U<ADDRESS>>,
    beat_last: Constant<U<BEAT>>,
    y_beat: Signal<Local, U<BEAT>>,
    x_beat: Signal<Local, U<BEAT>>,
    _rows: usize,
    _masks: usize,
    _factors: usize,
    _points: usize,
    _points_log2: usize,
    _words: usize,
    _beats_log2: usize,
    _key_words: usize,
}

impl BlindRotation {
    /// Cycles from a result's address to its word.
    pub fn result_latency(shape: &Shape) -> usize {
        FETCH + Rotate::latency(shape.points())
    }

    /// The block of a shape.
    ///
    /// # Panics
    /// As [`Shape::check`].
    pub fn new(shape: &Shape) -> Self {
        shape.check();
        let (rows, points) = (shape.rows(), shape.points());
        let words = rows * points;
        let (forward, inverse) = (shape.forward(), shape.inverse());
        let accumulator = || (0..words).map(|_| Ram::new(shape.depth * shape.beats())).collect();
        let turn = Rotate::latency(points);
        fn many<T>(count: usize, make: impl Fn(usize) -> T) -> Vec<T> {
            (0..count).map(make).collect()
        }
        Self {
            clock: Default::default(),
            reset: Default::default(),
            start: Default::default(),
            busy: Default::default(),
            count: Default::default(),
            dimension: Default::default(),
            levels: Default::default(),
            base_log: Default::default(),
            bank: Default::default(),
            lut: Default::default(),
            lut_each: Default::default(),
            turn_write: Default::default(),
            turn_address: Default::default(),
            turn_data: Default::default(),
            table_write: Default::default(),
            table_address: Default::default(),
            table_data: Default::default(),
            key_data: many(shape.key_words, |_| Default::default()),
            key_valid: Default::default(),
            key_ready: Default::default(),
            result_free: Default::default(),
            finished: Default::default(),
            result_address: Default::default(),
            result_polynomial: Default::default(),
            result_data: Default::default(),
            forward_active: Default::default(),
            inverse_active: Default::default(),
            key_stalled: Default::default(),
            schedule: Schedule::new(shape),
            gadget: Default::default(),
            keys: KeyStore::new(shape),
            multi: Default::default(),
            side_0: Default::default(),
            read: accumulator(),
            same: accumulator(),
            source_address: Default::default(),
            source_slot: Default::default(),
            carry_over: many(points, |i| Constant::new(((points - 1 - i) as u64).into())),
            lane_number: many(points, |i| Constant::new((i as u64).into())),
            amount_1: Default::default(),
            rotate: many(rows, |_| Rotate::new(points)),
            amount_r: DelayLine::new(turn),
            signs: Default::default(),
            sign_bit: Default::default(),
            signs_r: DelayLine::new(turn),
            signs_now: Default::default(),
            negate: many(points, |_| Default::default()),
            side_r: DelayLine::new(turn),
            same_side: Default::default(),
            same_address: Default::default(),
            decompose: many(words, |_| Default::default()),
            side_single: DelayLine::new(Decompose::LATENCY),
            side_multi: DelayLine::new(Decompose::LATENCY_MULTI - Decompose::LATENCY),
            side_f: Default::default(),
            forward: many(rows, |_| NttLimbs::new(&forward)),
            zero: Default::default(),
            side_forward: DelayLine::new(forward.core_latency()),
            side_m: Default::default(),
            key_address: Default::default(),
            key_half: Default::default(),
            // Memory, normalise, subtract: x is there `x_after` cycles behind the digits.
            product_address: DelayLine::new(Multiply::x_after(rows) - 2),
            side_product: DelayLine::new(Multiply::x_after(rows) - 2),
            side_x: Default::default(),
            freed: Default::default(),
            partial: many(3 * words, |_| Ram::new(shape.beats())),
            partial_address: Default::default(),
            normal: many(words, |_| SelectShift::new(&[0], 1)),
            tap: Constant::new(0u64.into()),
            product_word: many(words, |_| Default::default()),
            split: many(words, |_| Default::default()),
            first_1: Default::default(),
            first_2: Default::default(),
            x: many(3 * words, |_| Default::default()),
            multiply: many(points, |_| Multiply::new(rows)),
            side_multiply: DelayLine::new(Multiply::latency(rows)),
            side_i: Default::default(),
            side_partial: Default::default(),
            side_q: Default::default(),
            inverse_token: Default::default(),
            inverse: many(rows, |_| NttLimbs::new(&inverse)),
            side_inverse: DelayLine::new(inverse.core_latency()),
            side_o: Default::default(),
            side_old: DelayLine::new(Accumulate::OLD_AFTER),
            side_w: Default::default(),
            old_address: Default::default(),
            old: accumulator(),
            tables: many(points, |_| Ram::new(shape.tables * shape.beats())),
            table_slot: Default::default(),
            table_read: Default::default(),
            table_words: Default::default(),
            table_lane: Default::default(),
            table_lanes: Constant::new((points as u64 - 1).into()),
            address_lane: many(points, |i| Constant::new((i as u64).into())),
            side_sum: Default::default(),
            side_s: Default::default(),
            old_word: many(words, |_| Default::default()),
            accumulate: many(words, |_| Default::default()),
            side_write: DelayLine::new(Accumulate::LATENCY + 1),
            side_y: Default::default(),
            side_early: DelayLine::new(Accumulate::LATENCY),
            side_e: Default::default(),
            write_address: Default::default(),
            write: Default::default(),
            write_result: Default::default(),
            results: accumulator(),
            result_beat: Default::default(),
            result_lane: Default::default(),
            result_turn: Default::default(),
            pick_amount: Default::default(),
            pick_polynomial: Default::default(),
            polynomial_number: many(rows, |c| Constant::new((c as u64).into())),
            pick: Rotate::new(points),
            done: Default::default(),
            beat_mask: Constant::new((shape.beats() as u64 - 1).into()),
            half_place: Constant::new((4 * shape.beats() as u64).into()),
            beat_last: Constant::new((shape.beats() as u64 - 1).into()),
            y_beat: Default::default(),
            x_beat: Default::default(),
            _rows: rows,
            _masks: shape.glwe_dimension,
            _factors: rows * rows,
            _points: points,
            _points_log2: shape.points_log2(),
            _words: words,
            _beats_log2: shape.beats_log2(),
            _key_words: shape.key_words,
        }
    }
}

impl Logic for BlindRotation {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, schedule, gadget, keys, amount_1, amount_r, signs_r, side_r, side_single, side_multi);
        clock!(self, clock, side_forward, product_address, side_product, first_1, first_2, side_multiply);
        clock!(self, clock, side_partial, side_inverse, side_old, side_sum, side_write, side_early);
        clock!(self, clock, pick_amount, pick_polynomial, pick);
        dff_setup!(self, clock, done);

        // Control.
        self.schedule.reset.next = self.reset.val();
        self.schedule.start.next = self.start.val();
        self.schedule.count.next = self.count.val();
        self.schedule.dimension.next = self.dimension.val();
        self.schedule.levels.next = self.levels.val();
        self.schedule.bank.next = self.bank.val();
        self.schedule.turn_write.next = self.turn_write.val();
        self.schedule.turn_address.next = self.turn_address.val();
        self.schedule.turn_data.next = self.turn_data.val();
        self.schedule.result_free.next = self.result_free.val();
        self.schedule.key_loaded.next = self.keys.loaded.val();
        self.key_stalled.next = self.schedule.key_stalled.val();
        self.busy.next = self.schedule.busy.val();
        self.gadget.base_log.next = self.base_log.val();
        self.gadget.level.next = self.levels.val();
        self.multi.next = self.levels.val() != 1u64.into();
        self.keys.reset.next = self.reset.val();
        self.keys.start.next = self.start.val();
        self.keys.dimension.next = self.dimension.val();
        self.keys.levels.next = self.levels.val();
        for i in 0..self._key_words {
            self.keys.data[i].next = self.key_data[i].val();
        }
        self.keys.valid.next = self.key_valid.val();
        self.key_ready.next = self.keys.ready.val();

        // Read: a source lane that the rotation carries into the next beat reads the beat before.
        self.side_0.next = self.schedule.side.val();
        for t in self._beats_log2..self._beats_log2.saturating_add(1) {
            self.source_slot.next = self.side_0.val().get_bits::<SLOT>(22).to_bits::<ADDRESS>() << t;
            // Past the wrap the position counts from 0 again, the sources go on: their sign turns over.
            self.sign_bit[0].next = self.schedule.source.val().get_bits::<1>(t).to_bits::<2>()
                ^ self.side_0.val().get_bits::<1>(21).to_bits::<2>();
            self.sign_bit[1].next = self.schedule.source_before.val().get_bits::<1>(t).to_bits::<2>()
                ^ self.side_0.val().get_bits::<1>(21).to_bits::<2>();
        }
        self.source_address[0].next = (self.schedule.source.val().to_bits::<ADDRESS>()
            & self.beat_mask.val().to_bits::<ADDRESS>())
            | self.source_slot.val();
        self.source_address[1].next = (self.schedule.source_before.val().to_bits::<ADDRESS>()
            & self.beat_mask.val().to_bits::<ADDRESS>())
            | self.source_slot.val();
        self.amount_1.d.next = self.schedule.amount.val();
        self.amount_r.d.next = self.schedule.amount.val();
        self.signs.next = self.sign_bit[0].val() | (self.sign_bit[1].val() << 1);
        self.signs_r.d.next = self.signs.val();
        self.signs_now.next = self.signs_r.q.val();
        self.side_r.d.next = self.side_0.val();
        self.same_side.next = self.side_r.q.val();
        for t in self._beats_log2..self._beats_log2.saturating_add(1) {
            self.same_address.next = (self.same_side.val().get_bits::<SLOT>(22).to_bits::<ADDRESS>() << t)
                | self.same_side.val().get_bits::<BEAT>(11).to_bits::<ADDRESS>();
        }
        for n in self._points..self._points.saturating_add(1) {
            for p in 0..self._rows {
                self.rotate[p].clock.next = self.clock.val();
                self.rotate[p].amount.next = self.amount_1.q.val();
                for i in 0..self._points {
                    self.read[p * n + i].read_address.next = self.source_address[0].val();
                    if self.schedule.amount.val() > self.carry_over[i].val() {
                        self.read[p * n + i].read_address.next = self.source_address[1].val();
                    }
                    self.rotate[p].d[i].next = self.read[p * n + i].read_data.val();
                    self.decompose[p * n + i].x.next = self.rotate[p].q[i].val();
                    self.decompose[p * n + i].negate.next = self.negate[i].q.val();
                }
            }
        }
        for i in 0..self._points {
            self.negate[i].clock.next = self.clock.val();
            self.negate[i].d.next = self.signs_now.val().get_bit(0);
            if self.amount_r.q.val() > self.lane_number[i].val() {
                self.negate[i].d.next = self.signs_now.val().get_bit(1);
            }
        }

        // Difference and digits.
        self.side_single.d.next = self.side_r.q.val();
        self.side_multi.d.next = self.side_single.q.val();
        self.side_f.next = self.side_single.q.val();
        if self.multi.val() {
            self.side_f.next = self.side_multi.q.val();
        }
        for i in 0..self._words {
            self.read[i].clock.next = self.clock.val();
            self.read[i].read_enable.next = true;
            self.same[i].clock.next = self.clock.val();
            self.same[i].read_enable.next = true;
            self.same[i].read_address.next = self.same_address.val();
            self.decompose[i].clock.next = self.clock.val();
            self.decompose[i].y.next = self.same[i].read_data.val();
            self.decompose[i].multi.next = self.multi.val();
            self.decompose[i].round.next = self.gadget.round.val();
            self.decompose[i].keep.next = self.gadget.keep.val();
            self.decompose[i].level.next = self.side_f.val().get_bits::<2>(28);
            self.decompose[i].last.next = self.side_f.val().get_bit(30);
            self.decompose[i].flip.next = self.side_f.val().get_bit(21);
            for k in 0..2 {
                self.decompose[i].add[k].next = self.gadget.add[k].val();
                self.decompose[i].add_tie[k].next = self.gadget.add_tie[k].val();
                self.decompose[i].tie[k].next = self.gadget.tie[k].val();
                self.decompose[i].clear[k].next = self.gadget.clear[k].val();
            }
        }

        // Transform.
        self.zero.next = 0u64.into();
        for n in self._points..self._points.saturating_add(1) {
            for p in 0..self._rows {
                self.forward[p].clock.next = self.clock.val();
                self.forward[p].token_in.next = self.side_f.val().get_bits::<TOKEN>(0);
                for i in 0..self._points {
                    self.forward[p].d[i * 3].next = self.decompose[p * n + i].limb_out[0].val();
                    self.forward[p].d[i * 3 + 1].next = self.decompose[p * n + i].limb_out[1].val();
                    self.forward[p].d[i * 3 + 2].next = signed_cast(self.zero.val()).to_bits::<LIMB>();
                }
            }
        }
        self.side_forward.d.next = self.side_f.val();
        self.side_m.next = self.side_forward.q.val();
        self.forward_active.next = self.side_m.val().get_bit(10);

        // Key words, and what the levels before have summed.
        self.key_half.next = 0u64.into();
        if self.side_m.val().get_bit(31) {
            self.key_half.next = self.half_place.val();
        }
        for t in self._beats_log2..self._beats_log2.saturating_add(1) {
            self.key_address.next = self.side_m.val().get_bits::<BEAT>(0).to_bits::<ADDRESS>()
                | (self.side_m.val().get_bits::<2>(28).to_bits::<ADDRESS>() << t)
                | self.key_half.val();
        }
        self.keys.address.next = self.key_address.val();
        self.product_address.d.next = self.key_address.val();
        self.keys.product_address.next = self.product_address.q.val();
        self.side_product.d.next = self.side_m.val();
        self.side_x.next = self.side_product.q.val();
        self.x_beat.next = self.side_x.val().get_bits::<BEAT>(0);
        self.freed.next = self.side_x.val().get_bit(10) & self.side_x.val().get_bit(32) & !self.x_beat.val().any();
        self.keys.freed.next = self.freed.val();
        self.first_1.d.next = self.side_x.val().get_bits::<2>(28) == 0u64.into();
        self.first_2.d.next = self.first_1.q.val();
        self.side_multiply.d.next = self.side_m.val();
        self.side_i.next = self.side_multiply.q.val();
        self.side_partial.d.next = self.side_i.val();
        self.side_q.next = self.side_partial.q.val();
        self.partial_address.next = self.side_q.val().get_bits::<BEAT>(0).to_bits::<ADDRESS>();
        for n in self._points..self._points.saturating_add(1) {
            for i in 0..self._points {
                self.multiply[i].clock.next = self.clock.val();
                for p in 0..self._rows {
                    for k in 0..3 {
                        self.multiply[i].d[p * 3 + k].next = self.forward[p].q[i * 3 + k].val();
                    }
                }
                for c in 0..self._factors {
                    self.multiply[i].key[c].next = self.keys.q[c * n + i].val();
                }
                for c in 0..self._rows {
                    self.product_word[c * n + i].clock.next = self.clock.val();
                    for f in self._factors..self._factors.saturating_add(1) {
                        self.product_word[c * n + i].d.next = self.keys.q[c * n + n * f + i].val();
                    }
                    self.split[c * n + i].word_in.next = self.product_word[c * n + i].q.val();
                    self.normal[c * n + i].clock.next = self.clock.val();
                    for k in 0..3 {
                        self.normal[c * n + i].tap[k].next = self.tap.val();
                        self.normal[c * n + i].tap[k + 3].next = self.tap.val();
                        self.partial[(c * n + i) * 3 + k].clock.next = self.clock.val();
                        self.partial[(c * n + i) * 3 + k].read_enable.next = true;
                        self.partial[(c * n + i) * 3 + k].read_address.next = self.x_beat.val().to_bits::<ADDRESS>();
                        self.partial[(c * n + i) * 3 + k].write_enable.next = self.side_q.val().get_bit(10);
                        self.partial[(c * n + i) * 3 + k].write_address.next = self.partial_address.val();
                        self.partial[(c * n + i) * 3 + k].write_data.next = self.multiply[i].q[c * 3 + k].val();
                        self.normal[c * n + i].d[k].next = self.partial[(c * n + i) * 3 + k].read_data.val();
                        self.x[(c * n + i) * 3 + k].clock.next = self.clock.val();
                        self.x[(c * n + i) * 3 + k].d.next =
                            self.split[c * n + i].limb_out[k].val() - self.normal[c * n + i].q[k].val();
                        if self.first_2.q.val() {
                            self.x[(c * n + i) * 3 + k].d.next = self.split[c * n + i].limb_out[k].val();
                        }
                        self.multiply[i].x[c * 3 + k].next = self.x[(c * n + i) * 3 + k].q.val();
                        self.inverse[c].d[i * 3 + k].next = self.multiply[i].q[c * 3 + k].val();
                    }
                }
            }
        }

        // Transform back: the last level only.
        self.inverse_token.next = 0u64.into();
        if self.side_i.val().get_bit(30) {
            self.inverse_token.next = self.side_i.val().get_bits::<TOKEN>(0);
        }
        self.inverse_active.next = self.inverse_token.val().get_bit(10);
        for c in 0..self._rows {
            self.inverse[c].clock.next = self.clock.val();
            self.inverse[c].token_in.next = self.inverse_token.val();
        }
        self.side_inverse.d.next = 0u64.into();
        if self.side_i.val().get_bit(30) {
            self.side_inverse.d.next = self.side_i.val();
        }
        self.side_o.next = self.side_inverse.q.val();

        // The word to add to: of the accumulator, or of the table.
        self.side_old.d.next = self.side_o.val();
        self.side_w.next = self.side_old.q.val();
        self.table_slot.next = self.lut.val();
        if self.lut_each.val() {
            self.table_slot.next = self.lut.val() + self.side_w.val().get_bits::<SLOT>(22);
        }
        for t in self._beats_log2..self._beats_log2.saturating_add(1) {
            self.old_address.next = (self.side_w.val().get_bits::<SLOT>(22).to_bits::<ADDRESS>() << t)
                | self.side_w.val().get_bits::<BEAT>(11).to_bits::<ADDRESS>();
            self.table_read.next = (self.table_slot.val().to_bits::<ADDRESS>() << t)
                | self.side_w.val().get_bits::<BEAT>(11).to_bits::<ADDRESS>();
        }
        self.side_sum.d.next = self.side_w.val();
        self.side_s.next = self.side_sum.q.val();
        for s in self._points_log2..self._points_log2.saturating_add(1) {
            self.table_words.next = self.table_address.val() >> s;
            self.result_beat.next = self.result_address.val() >> s;
        }
        self.table_lane.next = self.table_address.val() & self.table_lanes.val();
        for n in self._points..self._points.saturating_add(1) {
            for i in 0..self._points {
                self.tables[i].clock.next = self.clock.val();
                self.tables[i].write_enable.next =
                    self.table_write.val() & (self.table_lane.val() == self.address_lane[i].val());
                self.tables[i].write_address.next = self.table_words.val();
                self.tables[i].write_data.next = self.table_data.val();
                self.tables[i].read_enable.next = true;
                self.tables[i].read_address.next = self.table_read.val();
                for c in 0..self._masks {
                    self.old_word[c * n + i].next = self.old[c * n + i].read_data.val();
                    if self.side_s.val().get_bit(26) {
                        self.old_word[c * n + i].next = 0u64.into();
                    }
                }
                for b in self._masks..self._rows {
                    self.old_word[b * n + i].next = self.old[b * n + i].read_data.val();
                    if self.side_s.val().get_bit(26) {
                        self.old_word[b * n + i].next = self.tables[i].read_data.val();
                    }
                }
                for c in 0..self._rows {
                    for k in 0..3 {
                        self.accumulate[c * n + i].limb_in[k].next = self.inverse[c].q[i * 3 + k].val();
                    }
                }
            }
        }

        // Write back.
        self.side_early.d.next = self.side_o.val();
        self.side_e.next = self.side_early.q.val();
        self.schedule.written.next = self.side_e.val().get_bit(10);
        self.side_write.d.next = self.side_o.val();
        self.side_y.next = self.side_write.q.val();
        self.write.next = self.side_y.val().get_bit(10);
        self.write_result.next = self.side_y.val().get_bit(10) & self.side_y.val().get_bit(27);
        for t in self._beats_log2..self._beats_log2.saturating_add(1) {
            self.write_address.next = (self.side_y.val().get_bits::<SLOT>(22).to_bits::<ADDRESS>() << t)
                | self.side_y.val().get_bits::<BEAT>(11).to_bits::<ADDRESS>();
        }
        for i in 0..self._words {
            self.accumulate[i].clock.next = self.clock.val();
            self.accumulate[i].old.next = self.old_word[i].val();
            self.accumulate[i].subtract.next = self.side_s.val().get_bit(21);
            self.accumulate[i].keep.next = self.side_s.val().get_bit(26);
            self.old[i].clock.next = self.clock.val();
            self.old[i].read_enable.next = true;
            self.old[i].read_address.next = self.old_address.val();
            self.read[i].write_enable.next = self.write.val();
            self.read[i].write_address.next = self.write_address.val();
            self.read[i].write_data.next = self.accumulate[i].word_out.val();
            self.same[i].write_enable.next = self.write.val();
            self.same[i].write_address.next = self.write_address.val();
            self.same[i].write_data.next = self.accumulate[i].word_out.val();
            self.old[i].write_enable.next = self.write.val();
            self.old[i].write_address.next = self.write_address.val();
            self.old[i].write_data.next = self.accumulate[i].word_out.val();
            self.results[i].clock.next = self.clock.val();
            self.results[i].write_enable.next = self.write_result.val();
            self.results[i].write_address.next = self.write_address.val();
            self.results[i].write_data.next = self.accumulate[i].word_out.val();
            self.results[i].read_enable.next = true;
            self.results[i].read_address.next = self.result_beat.val();
        }
        self.y_beat.next = self.side_y.val().get_bits::<BEAT>(0);
        if self.write_result.val() & (self.y_beat.val() == self.beat_last.val()) {
            self.done.d.next = self.done.q.val() + 1u64;
        }
        if self.start.val() | self.reset.val() {
            self.done.d.next = 0u64.into();
        }
        self.finished.next = self.done.q.val();

        // Pick one word of a result: turn its lane to lane 0.
        self.result_lane.next = self.result_address.val() & self.table_lanes.val();
        self.result_turn.next = self.result_lane.val().get_bits::<AMOUNT>(0);
        self.pick_amount.d.next = (!self.result_turn.val() + 1u64) & self.table_lanes.val().get_bits::<AMOUNT>(0);
        self.pick_polynomial.d.next = self.result_polynomial.val();
        self.pick.amount.next = self.pick_amount.q.val();
        for n in self._points..self._points.saturating_add(1) {
            for i in 0..self._points {
                self.pick.d[i].next = self.results[i].read_data.val();
                for c in 1..self._rows {
                    if self.pick_polynomial.q.val() == self.polynomial_number[c].val() {
                        self.pick.d[i].next = self.results[c * n + i].read_data.val();
                    }
                }
            }
        }
        self.result_data.next = self.pick.q[0].val();
    }
}
