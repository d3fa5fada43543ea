//! The engine: batches of keyswitch and bootstrap, back to back.
//!
//! Three stages hand a batch on: [`Front`] (words in, keyswitch, modulus switch), [`BlindRotation`], [`Extract`]; so the
//! keyswitch of a batch and the extraction of the one before run beside blind rotation.
//!
//! Range:     see the stages; a command out of range gives wrong words or hangs: check it before
//! Handshake: commands, words in, both keys and words out are ready/valid; no ready depends on a valid of the same
//!            cycle; words come out in the order of commands, ciphertexts and functions. Tables are written while no
//!            batch that uses them is in blind rotation's first step
//! Latency:   count (kN + 1) + keyswitch + count (n + 30) + (n + 1) steps + kN + 10 to the first word
//! Reset:     `reset` for [`Shape::reset_cycles`]
//! Limits:    keys are read once a batch, from their first word to their last, in the order of batches

use super::fifo::WordFifo;
use super::shape::{INDEX, SLOT, Shape};
use super::{BlindRotation, Extract, Front};
use crate::memory::ADDRESS;
use crate::prelude::*;

/// Bits of a performance counter.
pub const COUNTER: usize = 40;
/// Performance counters: cycles in which
///
/// 0. words are read in
/// 1. the keyswitch is under way
/// 2. the modulus switch is under way
/// 3. a batch is ready for blind rotation and waits for the one before
/// 4. blind rotation is under way
/// 5. sample extraction is under way
/// 6. blind rotation waits for its key
/// 7. the keyswitch waits for its key
/// 8. the forward transforms' and the products' multipliers work
/// 9. the inverse transforms' multipliers work
pub const COUNTERS: usize = 10;

/// The engine.
#[derive(LogicBlock)]
pub struct BootstrapEngine {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Clears control.
    pub reset: Signal<In, Bit>,
    /// A command is offered.
    pub command_valid: Signal<In, Bit>,
    /// It is taken.
    pub command_ready: Signal<Out, Bit>,
    /// Keyswitch first; else ciphertexts come small, n + 1 words.
    pub keyswitch: Signal<In, Bit>,
    /// Bootstrap; else keyswitched ciphertexts go out.
    pub bootstrap: Signal<In, Bit>,
    /// Ciphertexts, 1 to depth.
    pub count: Signal<In, U<5>>,
    /// n, 1 to `MAX_DIMENSION`.
    pub dimension: Signal<In, U<INDEX>>,
    /// Keyswitch base, 1 to 4.
    pub ks_base_log: Signal<In, U<3>>,
    /// Keyswitch levels, 1 to 8.
    pub ks_levels: Signal<In, U<4>>,
    /// Keyswitching-key words of 64, 32 or 21 bits: 1, 2 or 3 in 64 bits. Also the modulus of the small ciphertext.
    pub ks_words_per_slot: Signal<In, U<2>>,
    /// Centred modulus switch.
    pub centred: Signal<In, Bit>,
    /// Bootstrap base; base_log * levels <= `MAX_KEPT_BITS`.
    pub base_log: Signal<In, U<6>>,
    /// Bootstrap levels, 1 to 3.
    pub levels: Signal<In, U<2>>,
    /// Table of the batch, or of its first ciphertext.
    pub lut: Signal<In, U<SLOT>>,
    /// Ciphertext i has table lut + i.
    pub lut_each: Signal<In, Bit>,
    /// Functions a table, 1 to 16.
    pub functions: Signal<In, U<5>>,
    /// Coefficients between functions, N / (functions rounded up to a power of two), mod 2^11.
    pub stride: Signal<In, U<INDEX>>,
    /// Words in.
    pub s_data: Signal<In, U<64>>,
    /// A word is offered.
    pub s_valid: Signal<In, Bit>,
    /// It is taken.
    pub s_ready: Signal<Out, Bit>,
    /// Words out.
    pub m_data: Signal<Out, U<64>>,
    /// A word is offered.
    pub m_valid: Signal<Out, Bit>,
    /// It is taken.
    pub m_ready: Signal<In, Bit>,
    /// Bootstrapping-key words, `key_words` a beat, in the order of `glovebox_regmap::key_layout`.
    pub bsk_data: Vec<Signal<In, U<64>>>,
    /// A beat is offered.
    pub bsk_valid: Signal<In, Bit>,
    /// It is taken.
    pub bsk_ready: Signal<Out, Bit>,
    /// Keyswitching-key slots, `columns` a beat, in the order of `glovebox_regmap::key_layout`.
    pub ksk_data: Vec<Signal<In, U<64>>>,
    /// A beat is offered.
    pub ksk_valid: Signal<In, Bit>,
    /// It is taken.
    pub ksk_ready: Signal<Out, Bit>,
    /// Write a word of a table's body (its mask is 0).
    pub table_write: Signal<In, Bit>,
    /// Its place: table * N + coefficient.
    pub table_address: Signal<In, U<ADDRESS>>,
    /// The word.
    pub table_data: Signal<In, U<64>>,
    /// No command is under way and no word waits.
    pub idle: Signal<Out, Bit>,
    /// A batch has left blind rotation.
    pub rotated: Signal<Out, Bit>,
    /// Set the counters to 0.
    pub clear_counters: Signal<In, Bit>,
    /// See [`COUNTERS`].
    pub counters: [Signal<Out, U<COUNTER>>; COUNTERS],
    front: Front,
    rotation: BlindRotation,
    extract: Extract,
    words: WordFifo,
    start_front: Signal<Local, Bit>,
    take: Signal<Local, Bit>,
    start_rotation: Reg<Bit>,
    rotating: Reg<Bit>,
    start_extract: Reg<Bit>,
    rotation_ends: Signal<Local, Bit>,
    count_now: [Signal<Local, Bit>; COUNTERS],
    state: Signal<Local, U<3>>,
    c_keyswitch: Reg<Bit>,
    c_bootstrap: Reg<Bit>,
    c_count: Reg<U<5>>,
    c_dimension: Reg<U<INDEX>>,
    c_ks_base_log: Reg<U<3>>,
    c_ks_levels: Reg<U<4>>,
    c_ks_words_per_slot: Reg<U<2>>,
    c_centred: Reg<Bit>,
    c_base_log: Reg<U<6>>,
    c_levels: Reg<U<2>>,
    c_lut: Reg<U<SLOT>>,
    c_lut_each: Reg<Bit>,
    c_functions: Reg<U<5>>,
    c_stride: Reg<U<INDEX>>,
    r_count: Reg<U<5>>,
    r_dimension: Reg<U<INDEX>>,
    r_base_log: Reg<U<6>>,
    r_levels: Reg<U<2>>,
    r_lut: Reg<U<SLOT>>,
    r_lut_each: Reg<Bit>,
    r_batch: Reg<U<2>>,
    r_functions: Reg<U<5>>,
    r_stride: Reg<U<INDEX>>,
    x_count: Reg<U<5>>,
    x_functions: Reg<U<5>>,
    x_stride: Reg<U<INDEX>>,
    x_batch: Reg<U<2>>,
    counter: [Reg<U<COUNTER>>; COUNTERS],
    _key_words: usize,
    _columns: usize,
}

impl BootstrapEngine {
    /// The engine of a shape.
    ///
    /// # Panics
    /// As [`Shape::check`].
    pub fn new(shape: &Shape) -> Self {
        shape.check();
        Self {
            clock: Default::default(),
            reset: Default::default(),
            command_valid: Default::default(),
            command_ready: Default::default(),
            keyswitch: Default::default(),
            bootstrap: Default::default(),
            count: Default::default(),
            dimension: Default::default(),
            ks_base_log: Default::default(),
            ks_levels: Default::default(),
            ks_words_per_slot: Default::default(),
            centred: Default::default(),
            base_log: Default::default(),
            levels: Default::default(),
            lut: Default::default(),
            lut_each: Default::default(),
            functions: Default::default(),
            stride: Default::default(),
            s_data: Default::default(),
            s_valid: Default::default(),
            s_ready: Default::default(),
            m_data: Default::default(),
            m_valid: Default::default(),
            m_ready: Default::default(),
            bsk_data: (0..shape.key_words).map(|_| Default::default()).collect(),
            bsk_valid: Default::default(),
            bsk_ready: Default::default(),
            ksk_data: (0..shape.columns).map(|_| Default::default()).collect(),
            ksk_valid: Default::default(),
            ksk_ready: Default::default(),
            table_write: Default::default(),
            table_address: Default::default(),
            table_data: Default::default(),
            idle: Default::default(),
            rotated: Default::default(),
            clear_counters: Default::default(),
            counters: Default::default(),
            front: Front::new(shape),
            rotation: BlindRotation::new(shape),
            extract: Extract::new(shape),
            words: Default::default(),
            start_front: Default::default(),
            take: Default::default(),
            start_rotation: Default::default(),
            rotating: Default::default(),
            start_extract: Default::default(),
            rotation_ends: Default::default(),
            count_now: Default::default(),
            state: Default::default(),
            c_keyswitch: Default::default(),
            c_bootstrap: Default::default(),
            c_count: Default::default(),
            c_dimension: Default::default(),
            c_ks_base_log: Default::default(),
            c_ks_levels: Default::default(),
            c_ks_words_per_slot: Default::default(),
            c_centred: Default::default(),
            c_base_log: Default::default(),
            c_levels: Default::default(),
            c_lut: Default::default(),
            c_lut_each: Default::default(),
            c_functions: Default::default(),
            c_stride: Default::default(),
            r_count: Default::default(),
            r_dimension: Default::default(),
            r_base_log: Default::default(),
            r_levels: Default::default(),
            r_lut: Default::default(),
            r_lut_each: Default::default(),
            r_batch: Default::default(),
            r_functions: Default::default(),
            r_stride: Default::default(),
            x_count: Default::default(),
            x_functions: Default::default(),
            x_stride: Default::default(),
            x_batch: Default::default(),
            counter: Default::default(),
            _key_words: shape.key_words,
            _columns: shape.columns,
        }
    }
}

impl Logic for BootstrapEngine {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, front, rotation, extract, words);
        dff_setup!(self, clock, start_rotation, rotating, start_extract, r_batch, r_functions, r_stride, x_batch);
        dff_setup!(self, clock, c_keyswitch, c_bootstrap, c_count, c_dimension, c_ks_base_log, c_ks_levels);
        dff_setup!(self, clock, c_ks_words_per_slot, c_centred, c_base_log, c_levels, c_lut, c_lut_each);
        dff_setup!(self, clock, c_functions, c_stride, r_count, r_dimension, r_base_log, r_levels);
        dff_setup!(self, clock, r_lut, r_lut_each, x_count, x_functions, x_stride);

        // A command: its parameters are the front's until it hands the batch on.
        self.command_ready.next = self.front.idle.val();
        self.start_front.next = self.front.idle.val() & self.command_valid.val();
        self.front.reset.next = self.reset.val();
        self.front.start.next = self.start_front.val();
        if self.start_front.val() {
            self.c_keyswitch.d.next = self.keyswitch.val();
            self.c_bootstrap.d.next = self.bootstrap.val();
            self.c_count.d.next = self.count.val();
            self.c_dimension.d.next = self.dimension.val();
            self.c_ks_base_log.d.next = self.ks_base_log.val();
            self.c_ks_levels.d.next = self.ks_levels.val();
            self.c_ks_words_per_slot.d.next = self.ks_words_per_slot.val();
            self.c_centred.d.next = self.centred.val();
            self.c_base_log.d.next = self.base_log.val();
            self.c_levels.d.next = self.levels.val();
            self.c_lut.d.next = self.lut.val();
            self.c_lut_each.d.next = self.lut_each.val();
            self.c_functions.d.next = self.functions.val();
            self.c_stride.d.next = self.stride.val();
        }
        self.front.keyswitch.next = self.c_keyswitch.q.val();
        self.front.bootstrap.next = self.c_bootstrap.q.val();
        self.front.count.next = self.c_count.q.val();
        self.front.dimension.next = self.c_dimension.q.val();
        self.front.centred.next = self.c_centred.q.val();
        self.front.base_log.next = self.c_ks_base_log.q.val();
        self.front.levels.next = self.c_ks_levels.q.val();
        self.front.words_per_slot.next = self.c_ks_words_per_slot.q.val();
        self.front.s_data.next = self.s_data.val();
        self.front.s_valid.next = self.s_valid.val();
        self.s_ready.next = self.front.s_ready.val();
        for i in 0..self._columns {
            self.front.key_data[i].next = self.ksk_data[i].val();
        }
        self.front.key_valid.next = self.ksk_valid.val();
        self.ksk_ready.next = self.front.key_ready.val();
        self.front.room.next = self.words.room.val();
        self.front.drained.next = !self.rotating.q.val() & !self.start_extract.q.val() & !self.extract.busy.val();

        // On to blind rotation.
        self.take.next = self.front.done.val() & !self.rotating.q.val();
        self.front.taken.next = self.take.val();
        self.start_rotation.d.next = self.take.val();
        if self.take.val() {
            self.rotating.d.next = true;
            self.r_count.d.next = self.c_count.q.val();
            self.r_dimension.d.next = self.c_dimension.q.val();
            self.r_base_log.d.next = self.c_base_log.q.val();
            self.r_levels.d.next = self.c_levels.q.val();
            self.r_lut.d.next = self.c_lut.q.val();
            self.r_lut_each.d.next = self.c_lut_each.q.val();
            self.r_functions.d.next = self.c_functions.q.val();
            self.r_stride.d.next = self.c_stride.q.val();
            self.r_batch.d.next = self.front.batch.val();
        }
        self.rotation.count.next = self.r_count.q.val();
        self.rotation.dimension.next = self.r_dimension.q.val();
        self.rotation.base_log.next = self.r_base_log.q.val();
        self.rotation.levels.next = self.r_levels.q.val();
        self.rotation.lut.next = self.r_lut.q.val();
        self.rotation.lut_each.next = self.r_lut_each.q.val();
        self.rotation.bank.next = self.r_batch.q.val().get_bit(0);
        self.rotation.reset.next = self.reset.val();
        self.rotation.start.next = self.start_rotation.q.val();
        self.rotation.turn_write.next = self.front.turn_write.val();
        self.rotation.turn_address.next = self.front.turn_address.val();
        self.rotation.turn_data.next = self.front.turn_data.val();
        self.rotation.table_write.next = self.table_write.val();
        self.rotation.table_address.next = self.table_address.val();
        self.rotation.table_data.next = self.table_data.val();
        for i in 0..self._key_words {
            self.rotation.key_data[i].next = self.bsk_data[i].val();
        }
        self.rotation.key_valid.next = self.bsk_valid.val();
        self.bsk_ready.next = self.rotation.key_ready.val();
        self.rotation.result_free.next = !self.extract.busy.val() & !self.start_extract.q.val();

        // On to extraction.
        self.rotation_ends.next = self.rotating.q.val() & !self.start_rotation.q.val() & !self.rotation.busy.val();
        self.start_extract.d.next = self.rotation_ends.val();
        self.rotated.next = self.start_extract.q.val();
        if self.rotation_ends.val() {
            self.rotating.d.next = false;
            self.x_count.d.next = self.r_count.q.val();
            self.x_functions.d.next = self.r_functions.q.val();
            self.x_stride.d.next = self.r_stride.q.val();
            self.x_batch.d.next = self.r_batch.q.val();
        }
        self.extract.count.next = self.x_count.q.val();
        self.extract.functions.next = self.x_functions.q.val();
        self.extract.stride.next = self.x_stride.q.val();
        self.extract.batch.next = self.x_batch.q.val();
        self.extract.reset.next = self.reset.val();
        self.extract.start.next = self.start_extract.q.val();
        self.extract.body_write.next = self.front.body_write.val();
        self.extract.body_address.next = self.front.body_address.val();
        self.extract.body_data.next = self.front.turn_data.val();
        self.extract.room.next = self.words.room.val();
        self.extract.result_data.next = self.rotation.result_data.val();
        self.rotation.result_address.next = self.extract.result_address.val();
        self.rotation.result_polynomial.next = self.extract.result_polynomial.val();
        self.words.reset.next = self.reset.val();
        self.words.push.next = self.extract.push.val() | self.front.push.val();
        self.words.data.next = self.extract.push_data.val();
        if self.front.push.val() {
            self.words.data.next = self.front.push_data.val();
        }
        self.m_data.next = self.words.m_data.val();
        self.m_valid.next = self.words.m_valid.val();
        self.words.m_ready.next = self.m_ready.val();
        self.idle.next = self.front.idle.val()
            & !self.rotating.q.val()
            & !self.start_extract.q.val()
            & !self.extract.busy.val()
            & !self.front.push.val()
            & self.words.empty.val();

        // Counters.
        self.state.next = self.front.state_out.val();
        self.count_now[0].next = self.state.val() == 1u64.into();
        self.count_now[1].next = (self.state.val() == 2u64.into()) | (self.state.val() == 3u64.into());
        self.count_now[2].next = self.state.val() == 4u64.into();
        self.count_now[3].next = self.state.val() == 6u64.into();
        self.count_now[4].next = self.rotating.q.val();
        self.count_now[5].next = self.extract.busy.val();
        self.count_now[6].next = self.rotation.key_stalled.val();
        self.count_now[7].next = self.front.key_stalled.val();
        self.count_now[8].next = self.rotation.forward_active.val();
        self.count_now[9].next = self.rotation.inverse_active.val();
        for i in 0..COUNTERS {
            self.counter[i].clock.next = self.clock.val();
            self.counter[i].d.next = self.counter[i].q.val();
            if self.count_now[i].val() {
                self.counter[i].d.next = self.counter[i].q.val() + 1u64;
            }
            if self.clear_counters.val() | self.reset.val() {
                self.counter[i].d.next = 0u64.into();
            }
            self.counters[i].next = self.counter[i].q.val();
        }
        if self.reset.val() {
            self.start_rotation.d.next = false;
            self.rotating.d.next = false;
            self.start_extract.d.next = false;
        }
    }
}
