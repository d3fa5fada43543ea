//! The first half of a batch: words in, keyswitch, modulus switch; or keyswitch alone, words out.
//!
//! Range:     see [`super::Keyswitch`], [`super::ModulusSwitch`]; bodies are rounded to 64, 32 or 21 bits first
//! Handshake: `start` while `idle`; words ready/valid, ciphertext by ciphertext, mask then body: kN + 1 words with
//!            `keyswitch`, n + 1 without; then with `bootstrap` amounts are written and `done` stays up until `taken`,
//!            else n + 1 words a ciphertext are pushed out once `drained` says that earlier batches' words are
//! Latency:   count (kN + 1) + keyswitch + count (n + 22) + 40 cycles
//! Reset:     `reset` clears control
//! Limits:    one batch at a time

use super::digits::Digits;
use super::shape::{INDEX, SLOT, Shape, TURN};
use super::{Keyswitch, ModulusSwitch};
use crate::memory::{ADDRESS, Ram};
use crate::prelude::*;

/// Bits of the index of a word of a big ciphertext, 0 to kN.
const WORD: usize = 12;
const IDLE: u64 = 0;
const LOAD: u64 = 1;
const SETTLE: u64 = 2;
const KEYSWITCH: u64 = 3;
const SWITCH: u64 = 4;
const EMIT: u64 = 5;
const DONE: u64 = 6;

/// Load, keyswitch, switch.
#[derive(LogicBlock)]
pub struct Front {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Clears control.
    pub reset: Signal<In, Bit>,
    /// Begin a batch; parameters stay still until `idle`.
    pub start: Signal<In, Bit>,
    /// No batch is under way.
    pub idle: Signal<Out, Bit>,
    /// Amounts are written.
    pub done: Signal<Out, Bit>,
    /// The batch goes on to blind rotation.
    pub taken: Signal<In, Bit>,
    /// Number of the batch, mod 4.
    pub batch: Signal<Out, U<2>>,
    /// Keyswitch first.
    pub keyswitch: Signal<In, Bit>,
    /// Prepare a bootstrap.
    pub bootstrap: Signal<In, Bit>,
    /// Ciphertexts.
    pub count: Signal<In, U<5>>,
    /// n.
    pub dimension: Signal<In, U<INDEX>>,
    /// See [`Keyswitch`].
    pub base_log: Signal<In, U<3>>,
    /// See [`Keyswitch`].
    pub levels: Signal<In, U<4>>,
    /// See [`Keyswitch`].
    pub words_per_slot: Signal<In, U<2>>,
    /// See [`ModulusSwitch`].
    pub centred: Signal<In, Bit>,
    /// Words in.
    pub s_data: Signal<In, U<64>>,
    /// See [`Front`].
    pub s_valid: Signal<In, Bit>,
    /// See [`Front`].
    pub s_ready: Signal<Out, Bit>,
    /// See [`Keyswitch`].
    pub key_data: Vec<Signal<In, U<64>>>,
    /// See [`Keyswitch`].
    pub key_valid: Signal<In, Bit>,
    /// See [`Keyswitch`].
    pub key_ready: Signal<Out, Bit>,
    /// Write an amount.
    pub turn_write: Signal<Out, Bit>,
    /// Its place.
    pub turn_address: Signal<Out, U<ADDRESS>>,
    /// It.
    pub turn_data: Signal<Out, U<TURN>>,
    /// It is a body's: its place is batch * 16 + slot.
    pub body_write: Signal<Out, Bit>,
    /// Batch * 16 + slot.
    pub body_address: Signal<Out, U<ADDRESS>>,
    /// Earlier words are out.
    pub drained: Signal<In, Bit>,
    /// A word may be pushed.
    pub room: Signal<In, Bit>,
    /// A word out.
    pub push: Signal<Out, Bit>,
    /// It.
    pub push_data: Signal<Out, U<64>>,
    /// State, for counters: 1 load, 2 and 3 keyswitch, 4 switch, 5 words out, 6 waiting for blind rotation.
    pub state_out: Signal<Out, U<3>>,
    /// See [`Keyswitch`].
    pub key_stalled: Signal<Out, Bit>,
    state: Reg<U<3>>,
    slot: Reg<U<5>>,
    index: Reg<U<WORD>>,
    wait: Reg<U<5>>,
    gap: Reg<Bit>,
    number: Reg<U<2>>,
    unit: Keyswitch,
    bodies: Ram<U<64>>,
    small_words: Ram<U<64>>,
    modulus: ModulusSwitch,
    loading: Signal<Local, Bit>,
    take: Signal<Local, Bit>,
    last: Signal<Local, U<WORD>>,
    at_last: Signal<Local, Bit>,
    slot_next: Signal<Local, U<5>>,
    slot_low: Signal<Local, U<SLOT>>,
    a_word: Signal<Local, U<64>>,
    last_slot: Signal<Local, Bit>,
    body: Signal<Local, U<64>>,
    top_32: Signal<Local, U<32>>,
    top_21: Signal<Local, U<21>>,
    reading: Signal<Local, Bit>,
    place: Signal<Local, U<ADDRESS>>,
    a_valid: Reg<Bit>,
    a_slot: Reg<U<SLOT>>,
    a_column: Reg<U<INDEX>>,
    a_data: Reg<U<64>>,
    addend: Signal<Local, U<64>>,
    b_valid: Reg<Bit>,
    b_low: Reg<U<33>>,
    b_high: Reg<U<32>>,
    b_place: Reg<U<ADDRESS>>,
    b_low_now: Signal<Local, U<33>>,
    b_sum: Signal<Local, U<32>>,
    r_valid: Reg<Bit>,
    r_body: Reg<Bit>,
    tag: Signal<Local, U<18>>,
    tag_line: DelayLine<U<18>>,
    tag_now: Signal<Local, U<18>>,
    e_valid: Reg<Bit>,
    bank: Signal<Local, U<ADDRESS>>,
    mask_words: Constant<U<WORD>>,
    settle: Constant<U<5>>,
    idle_state: Constant<U<3>>,
    load_state: Constant<U<3>>,
    settle_state: Constant<U<3>>,
    keyswitch_state: Constant<U<3>>,
    switch_state: Constant<U<3>>,
    emit_state: Constant<U<3>>,
    done_state: Constant<U<3>>,
    _columns: usize,
}

impl Front {
    /// The half of a shape.
    pub fn new(shape: &Shape) -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            start: Default::default(),
            idle: Default::default(),
            done: Default::default(),
            taken: Default::default(),
            batch: Default::default(),
            keyswitch: Default::default(),
            bootstrap: Default::default(),
            count: Default::default(),
            dimension: Default::default(),
            base_log: Default::default(),
            levels: Default::default(),
            words_per_slot: Default::default(),
            centred: Default::default(),
            s_data: Default::default(),
            s_valid: Default::default(),
            s_ready: Default::default(),
            key_data: (0..shape.columns).map(|_| Default::default()).collect(),
            key_valid: Default::default(),
            key_ready: Default::default(),
            turn_write: Default::default(),
            turn_address: Default::default(),
            turn_data: Default::default(),
            body_write: Default::default(),
            body_address: Default::default(),
            drained: Default::default(),
            room: Default::default(),
            push: Default::default(),
            push_data: Default::default(),
            state_out: Default::default(),
            key_stalled: Default::default(),
            state: Default::default(),
            slot: Default::default(),
            index: Default::default(),
            wait: Default::default(),
            gap: Default::default(),
            number: Default::default(),
            unit: Keyswitch::new(shape),
            bodies: Ram::new(16),
            small_words: Ram::new(shape.depth << (INDEX - 1)),
            modulus: ModulusSwitch::new(shape.degree),
            loading: Default::default(),
            take: Default::default(),
            last: Default::default(),
            at_last: Default::default(),
            slot_next: Default::default(),
            slot_low: Default::default(),
            a_word: Default::default(),
            last_slot: Default::default(),
            body: Default::default(),
            top_32: Default::default(),
            top_21: Default::default(),
            reading: Default::default(),
            place: Default::default(),
            a_valid: Default::default(),
            a_slot: Default::default(),
            a_column: Default::default(),
            a_data: Default::default(),
            addend: Default::default(),
            b_valid: Default::default(),
            b_low: Default::default(),
            b_high: Default::default(),
            b_place: Default::default(),
            b_low_now: Default::default(),
            b_sum: Default::default(),
            r_valid: Default::default(),
            r_body: Default::default(),
            tag: Default::default(),
            tag_line: DelayLine::new(ModulusSwitch::LATENCY + 1),
            tag_now: Default::default(),
            e_valid: Default::default(),
            bank: Default::default(),
            mask_words: Constant::new((shape.big_dimension() as u64).into()),
            settle: Constant::new((Digits::LATENCY as u64 + 4).into()),
            idle_state: Constant::new(IDLE.into()),
            load_state: Constant::new(LOAD.into()),
            settle_state: Constant::new(SETTLE.into()),
            keyswitch_state: Constant::new(KEYSWITCH.into()),
            switch_state: Constant::new(SWITCH.into()),
            emit_state: Constant::new(EMIT.into()),
            done_state: Constant::new(DONE.into()),
            _columns: shape.columns,
        }
    }
}

impl Logic for Front {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(
            self,
            clock,
            unit,
            bodies,
            small_words,
            modulus,
            a_valid,
            a_slot,
            a_column,
            a_data,
            b_valid,
            b_low,
            b_high
        );
        clock!(self, clock, b_place, r_valid, r_body, tag_line, e_valid);
        dff_setup!(self, clock, state, slot, index, wait, gap, number);

        self.unit.reset.next = self.reset.val();
        self.unit.count.next = self.count.val();
        self.unit.dimension.next = self.dimension.val();
        self.unit.base_log.next = self.base_log.val();
        self.unit.levels.next = self.levels.val();
        self.unit.words_per_slot.next = self.words_per_slot.val();
        for i in 0..self._columns {
            self.unit.data[i].next = self.key_data[i].val();
        }
        self.unit.valid.next = self.key_valid.val();
        self.key_ready.next = self.unit.ready.val();
        self.key_stalled.next = self.unit.stalled.val();

        // The walk over words, in three of the states.
        self.last.next = self.dimension.val().to_bits::<WORD>();
        if (self.state.q.val() == self.load_state.val()) & self.keyswitch.val() {
            self.last.next = self.mask_words.val();
        }
        self.at_last.next = self.index.q.val() == self.last.val();
        self.slot_next.next = self.slot.q.val() + 1u64;
        self.last_slot.next = self.slot_next.val() == self.count.val();
        // Words come once the masks of the parameters have settled.
        self.loading.next = (self.state.q.val() == self.load_state.val()) & (self.wait.q.val() == 8u64.into());
        self.s_ready.next = self.loading.val();
        self.take.next = self.loading.val() & self.s_valid.val();
        self.reading.next = ((self.state.q.val() == self.switch_state.val()) & !self.gap.q.val())
            | ((self.state.q.val() == self.emit_state.val()) & self.drained.val() & self.room.val());
        self.place.next = (self.slot.q.val().to_bits::<ADDRESS>() << 10) | self.index.q.val().to_bits::<ADDRESS>();
        if self.take.val() | self.reading.val() {
            self.index.d.next = self.index.q.val() + 1u64;
            if self.at_last.val() {
                self.index.d.next = 0u64.into();
                self.slot.d.next = self.slot_next.val();
            }
        }
        self.unit.start.next = false;
        self.modulus.clear.next = false;
        if self.state.q.val() == self.load_state.val() {
            self.gap.d.next = true;
            if !self.loading.val() {
                self.wait.d.next = self.wait.q.val() + 1u64;
            }
            if self.take.val() & self.at_last.val() & self.last_slot.val() {
                self.slot.d.next = 0u64.into();
                self.wait.d.next = 0u64.into();
                self.state.d.next = self.emit_state.val();
                if self.bootstrap.val() {
                    self.state.d.next = self.switch_state.val();
                }
                if self.keyswitch.val() {
                    self.state.d.next = self.settle_state.val();
                }
            }
        }
        if self.state.q.val() == self.settle_state.val() {
            self.wait.d.next = self.wait.q.val() + 1u64;
            if self.wait.q.val() == self.settle.val() {
                self.wait.d.next = 0u64.into();
                self.unit.start.next = true;
                self.state.d.next = self.keyswitch_state.val();
            }
        }
        if self.state.q.val() == self.keyswitch_state.val() {
            self.wait.d.next = 0u64.into();
            if !self.unit.busy.val() {
                // Not before it has begun, and until its last word is in the memory.
                self.wait.d.next = self.wait.q.val() + 1u64;
                if self.wait.q.val() == 6u64.into() {
                    self.wait.d.next = 0u64.into();
                    self.state.d.next = self.emit_state.val();
                    if self.bootstrap.val() {
                        self.state.d.next = self.switch_state.val();
                    }
                }
            }
        }
        if self.state.q.val() == self.switch_state.val() {
            // A gap ahead of each ciphertext: the one before has left the switch.
            if self.gap.q.val() {
                self.wait.d.next = self.wait.q.val() + 1u64;
                if self.wait.q.val() == 20u64.into() {
                    self.modulus.clear.next = true;
                    self.wait.d.next = 0u64.into();
                    self.gap.d.next = false;
                    if self.slot.q.val() == self.count.val() {
                        self.state.d.next = self.done_state.val();
                    }
                }
            } else if self.at_last.val() {
                self.gap.d.next = true;
            }
        }
        if (self.state.q.val() == self.emit_state.val())
            & self.reading.val()
            & self.at_last.val()
            & self.last_slot.val()
        {
            self.state.d.next = self.idle_state.val();
        }
        if (self.state.q.val() == self.done_state.val()) & self.taken.val() {
            self.state.d.next = self.idle_state.val();
            self.number.d.next = self.number.q.val() + 1u64;
        }
        if self.start.val() & (self.state.q.val() == self.idle_state.val()) {
            self.state.d.next = self.load_state.val();
            self.wait.d.next = 0u64.into();
            self.slot.d.next = 0u64.into();
            self.index.d.next = 0u64.into();
        }

        // Words to their places; a body rounded to the key's modulus.
        self.unit.word_write.next = self.take.val() & self.keyswitch.val() & !self.at_last.val();
        self.unit.word_slot.next = self.slot_low.val();
        self.slot_low.next = self.slot.q.val().get_bits::<SLOT>(0);
        self.unit.word_index.next = self.index.q.val().get_bits::<INDEX>(0);
        self.unit.word_data.next = self.s_data.val();
        self.top_32.next = self.s_data.val().get_bits::<32>(32) + self.s_data.val().get_bits::<1>(31).to_bits::<32>();
        self.top_21.next = self.s_data.val().get_bits::<21>(43) + self.s_data.val().get_bits::<1>(42).to_bits::<21>();
        self.body.next = self.s_data.val();
        if self.words_per_slot.val() == 2u64.into() {
            self.body.next = self.top_32.val().to_bits::<64>() << 32;
        }
        if self.words_per_slot.val() == 3u64.into() {
            self.body.next = self.top_21.val().to_bits::<64>() << 43;
        }
        self.bodies.write_enable.next = self.take.val() & self.at_last.val();
        self.bodies.write_address.next = self.slot.q.val().to_bits::<ADDRESS>();
        self.bodies.write_data.next = self.body.val();

        // Keyswitched words: the body's gets its addend.
        self.bodies.read_enable.next = true;
        self.bodies.read_address.next = self.unit.out_slot.val().to_bits::<ADDRESS>();
        self.a_valid.d.next = self.unit.out_valid.val() & (self.unit.out_column.val() <= self.dimension.val());
        self.a_slot.d.next = self.unit.out_slot.val();
        self.a_column.d.next = self.unit.out_column.val();
        self.a_data.d.next = self.unit.out_data.val();
        self.addend.next = 0u64.into();
        if self.a_column.q.val() == self.dimension.val() {
            self.addend.next = self.bodies.read_data.val();
        }
        self.a_word.next = self.a_data.q.val();
        self.b_valid.d.next = self.a_valid.q.val();
        self.b_low.d.next =
            self.a_word.val().get_bits::<32>(0).to_bits::<33>() + self.addend.val().get_bits::<32>(0).to_bits::<33>();
        self.b_high.d.next = self.a_word.val().get_bits::<32>(32) + self.addend.val().get_bits::<32>(32);
        self.b_place.d.next =
            (self.a_slot.q.val().to_bits::<ADDRESS>() << 10) | self.a_column.q.val().to_bits::<ADDRESS>();
        self.b_low_now.next = self.b_low.q.val();
        self.b_sum.next = self.b_high.q.val() + self.b_low_now.val().get_bits::<1>(32).to_bits::<32>();
        self.small_words.write_enable.next = self.take.val() & !self.keyswitch.val();
        self.small_words.write_address.next = self.place.val();
        self.small_words.write_data.next = self.s_data.val();
        if self.b_valid.q.val() {
            self.small_words.write_enable.next = true;
            self.small_words.write_address.next = self.b_place.q.val();
            self.small_words.write_data.next =
                (self.b_sum.val().to_bits::<64>() << 32) | self.b_low_now.val().get_bits::<32>(0).to_bits::<64>();
        }

        // Modulus switch.
        self.small_words.read_enable.next = true;
        self.small_words.read_address.next = self.place.val();
        self.r_valid.d.next = self.reading.val() & (self.state.q.val() == self.switch_state.val());
        self.r_body.d.next = self.at_last.val();
        self.modulus.centred.next = self.centred.val();
        self.modulus.narrow.next = self.keyswitch.val() & (self.words_per_slot.val() == 2u64.into());
        self.modulus.valid.next = self.r_valid.q.val();
        self.modulus.body.next = self.r_body.q.val();
        self.modulus.x.next = self.small_words.read_data.val();
        self.tag.next = 0u64.into();
        if self.reading.val() & (self.state.q.val() == self.switch_state.val()) {
            self.tag.next = self.place.val().to_bits::<18>() | 0x1_0000u64;
            if self.at_last.val() {
                self.tag.next = self.slot.q.val().to_bits::<18>() | 0x2_0000u64;
            }
        }
        self.tag_line.d.next = self.tag.val();
        self.tag_now.next = self.tag_line.q.val();
        self.bank.next = 0u64.into();
        if self.number.q.val().get_bit(0) {
            self.bank.next = 0x4000u64.into();
        }
        self.turn_write.next = self.tag_now.val().get_bit(16) & !self.reset.val();
        self.turn_address.next = self.tag_now.val().get_bits::<14>(0).to_bits::<ADDRESS>() | self.bank.val();
        self.turn_data.next = self.modulus.turn.val();
        self.body_write.next = self.tag_now.val().get_bit(17) & !self.reset.val();
        self.body_address.next = self.tag_now.val().get_bits::<SLOT>(0).to_bits::<ADDRESS>()
            | (self.number.q.val().to_bits::<ADDRESS>() << 4);

        // Words out.
        self.e_valid.d.next = self.reading.val() & (self.state.q.val() == self.emit_state.val());
        self.push.next = self.e_valid.q.val();
        self.push_data.next = self.small_words.read_data.val();

        self.idle.next = self.state.q.val() == self.idle_state.val();
        self.done.next = self.state.q.val() == self.done_state.val();
        self.batch.next = self.number.q.val();
        self.state_out.next = self.state.q.val();
        if self.reset.val() {
            self.state.d.next = self.idle_state.val();
            self.number.d.next = 0u64.into();
            self.e_valid.d.next = false;
            self.r_valid.d.next = false;
            self.a_valid.d.next = false;
            self.b_valid.d.next = false;
        }
    }
}
