//! The bootstrapping key's two newest steps, read once from outside and as often as the batch needs inside.
//!
//! A step's key comes as levels (least significant first) of T beats of C W words, C = (k + 1)(k + 2), each beat in
//! C W / `key_words` beats of the stream: word `c W + i` of a beat is component c of point i, components the factors of each
//! column, rows within columns, then each column's sum of products; for k = 1 b00, b10, b01, b11 (row, column), b00 b10,
//! b01 b11. See `glovebox_regmap::key_layout` and `glovebox_golden::card` for the words themselves.
//!
//! Range:     words in [0, p)
//! Handshake: ready/valid; `key_ready` comes from registers. `loaded` pulses when a step is complete, `freed` when
//!            the first beat of the oldest has been read for the last time: the others are read before the stream
//!            can overwrite them, a beat a cycle. `start` begins a batch of `dimension` steps
//! Latency:   reads 1 cycle; `product_address` is separate because products are needed later
//! Reset:     `reset` clears control
//! Limits:    reading a step that is not loaded gives arbitrary words

use super::shape::{INDEX, Shape};
use crate::memory::{ADDRESS, Ram};
use crate::ntt::row::BEAT;
use crate::prelude::*;

/// The double buffer.
#[derive(LogicBlock)]
pub struct KeyStore {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Clears control.
    pub reset: Signal<In, Bit>,
    /// A batch begins.
    pub start: Signal<In, Bit>,
    /// Steps.
    pub dimension: Signal<In, U<INDEX>>,
    /// Levels a step.
    pub levels: Signal<In, U<2>>,
    /// Words of the stream.
    pub data: Vec<Signal<In, U<64>>>,
    /// They are valid.
    pub valid: Signal<In, Bit>,
    /// They are taken.
    pub ready: Signal<Out, Bit>,
    /// A step is complete.
    pub loaded: Signal<Out, Bit>,
    /// The oldest step is done with.
    pub freed: Signal<In, Bit>,
    /// Where to read the factors: beat, level, half.
    pub address: Signal<In, U<ADDRESS>>,
    /// Where to read the products.
    pub product_address: Signal<In, U<ADDRESS>>,
    /// The components, W words each.
    pub q: Vec<Signal<Out, U<64>>>,
    memory: Vec<Ram<U<64>>>,
    running: Reg<Bit>,
    half: Reg<Bit>,
    level: Reg<U<2>>,
    beat: Reg<U<BEAT>>,
    group: Reg<U<4>>,
    step: Reg<U<INDEX>>,
    held: Reg<U<2>>,
    r_loaded: Reg<Bit>,
    accepts: Signal<Local, Bit>,
    take: Signal<Local, Bit>,
    done: Signal<Local, Bit>,
    last_group: Signal<Local, Bit>,
    last_beat: Signal<Local, Bit>,
    level_next: Signal<Local, U<2>>,
    step_next: Signal<Local, U<INDEX>>,
    half_bit: Signal<Local, U<ADDRESS>>,
    write_address: Signal<Local, U<ADDRESS>>,
    write: Vec<Signal<Local, Bit>>,
    group_number: Vec<Constant<U<4>>>,
    group_last: Constant<U<4>>,
    beat_last: Constant<U<BEAT>>,
    half_place: Constant<U<ADDRESS>>,
    _beats_log2: usize,
    _words: usize,
    _factors: usize,
    _key_words: usize,
    _groups: usize,
}

impl KeyStore {
    /// The store of a shape.
    pub fn new(shape: &Shape) -> Self {
        let words = shape.components() * shape.points();
        let groups = words / shape.key_words;
        Self {
            clock: Default::default(),
            reset: Default::default(),
            start: Default::default(),
            dimension: Default::default(),
            levels: Default::default(),
            data: (0..shape.key_words).map(|_| Default::default()).collect(),
            valid: Default::default(),
            ready: Default::default(),
            loaded: Default::default(),
            freed: Default::default(),
            address: Default::default(),
            product_address: Default::default(),
            q: (0..words).map(|_| Default::default()).collect(),
            memory: (0..words).map(|_| Ram::new(8 * shape.beats())).collect(),
            running: Default::default(),
            half: Default::default(),
            level: Default::default(),
            beat: Default::default(),
            group: Default::default(),
            step: Default::default(),
            held: Default::default(),
            r_loaded: Default::default(),
            accepts: Default::default(),
            take: Default::default(),
            done: Default::default(),
            last_group: Default::default(),
            last_beat: Default::default(),
            level_next: Default::default(),
            step_next: Default::default(),
            half_bit: Default::default(),
            write_address: Default::default(),
            write: (0..groups).map(|_| Default::default()).collect(),
            group_number: (0..groups).map(|g| Constant::new((g as u64).into())).collect(),
            group_last: Constant::new((groups as u64 - 1).into()),
            beat_last: Constant::new((shape.beats() as u64 - 1).into()),
            half_place: Constant::new((4 * shape.beats() as u64).into()),
            _beats_log2: shape.beats_log2(),
            _words: words,
            _factors: shape.rows() * shape.rows() * shape.points(),
            _key_words: shape.key_words,
            _groups: groups,
        }
    }
}

impl Logic for KeyStore {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, running, half, level, beat, group, step, held, r_loaded);
        self.accepts.next = self.running.q.val() & (self.held.q.val() < 2u64.into());
        self.ready.next = self.accepts.val();
        self.take.next = self.accepts.val() & self.valid.val();
        self.last_group.next = self.group.q.val() == self.group_last.val();
        self.last_beat.next = self.beat.q.val() == self.beat_last.val();
        self.level_next.next = self.level.q.val() + 1u64;
        self.step_next.next = self.step.q.val() + 1u64;
        self.done.next = false;
        if self.take.val() {
            self.group.d.next = self.group.q.val() + 1u64;
            if self.last_group.val() {
                self.group.d.next = 0u64.into();
                self.beat.d.next = self.beat.q.val() + 1u64;
                if self.last_beat.val() {
                    self.beat.d.next = 0u64.into();
                    self.level.d.next = self.level_next.val();
                    if self.level_next.val() == self.levels.val() {
                        self.level.d.next = 0u64.into();
                        self.half.d.next = !self.half.q.val();
                        self.step.d.next = self.step_next.val();
                        self.done.next = true;
                        if self.step_next.val() == self.dimension.val() {
                            self.running.d.next = false;
                        }
                    }
                }
            }
        }
        if self.done.val() & !self.freed.val() {
            self.held.d.next = self.held.q.val() + 1u64;
        }
        if !self.done.val() & self.freed.val() {
            self.held.d.next = self.held.q.val() - 1u64;
        }
        // One cycle later: the last beat is in the memory.
        self.r_loaded.d.next = self.done.val();
        self.loaded.next = self.r_loaded.q.val();

        self.half_bit.next = 0u64.into();
        if self.half.q.val() {
            self.half_bit.next = self.half_place.val();
        }
        for t in self._beats_log2..self._beats_log2.saturating_add(1) {
            self.write_address.next = self.beat.q.val().to_bits::<ADDRESS>()
                | (self.level.q.val().to_bits::<ADDRESS>() << t)
                | self.half_bit.val();
        }
        for g in 0..self._groups {
            self.write[g].next = self.take.val() & (self.group.q.val() == self.group_number[g].val());
        }
        for k in self._key_words..self._key_words.saturating_add(1) {
            for m in 0..self._words {
                self.memory[m].clock.next = self.clock.val();
                self.memory[m].write_enable.next = self.write[m / k].val();
                self.memory[m].write_address.next = self.write_address.val();
                self.memory[m].write_data.next = self.data[m % k].val();
                self.memory[m].read_enable.next = true;
                self.q[m].next = self.memory[m].read_data.val();
            }
        }
        for m in 0..self._factors {
            self.memory[m].read_address.next = self.address.val();
        }
        for m in self._factors..self._words {
            self.memory[m].read_address.next = self.product_address.val();
        }
        if self.start.val() {
            self.running.d.next = true;
            self.half.d.next = false;
            self.level.d.next = 0u64.into();
            self.beat.d.next = 0u64.into();
            self.group.d.next = 0u64.into();
            self.step.d.next = 0u64.into();
            self.held.d.next = 0u64.into();
        }
        if self.reset.val() {
            self.running.d.next = false;
            self.held.d.next = 0u64.into();
        }
    }
}
