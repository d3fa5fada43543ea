//! Keyswitch of a batch: every key word is read once and meets all ciphertexts.
//!
//! out(slot, column) = - sum over entries e = (i, level) of digit(slot, e) * key(e, column) mod 2^64
//! Range:     digits of base 2^1 to 2^4 ([`Digits`]), 1 to 8 levels; kN l <= 2^14; key words of 64, 32 or 21 bits, at the
//!            top of the word they stand for
//! Handshake: mask words are written slot by slot (`word_write`), complete [`Digits::LATENCY`] + 2 cycles before
//!            `start`; the key stream is ready/valid, in the order of `glovebox_regmap::key_layout`; results come one a
//!            cycle without back-pressure, block by block of V columns, slot by slot, columns ascending
//! Latency:   kN l cycles a block of V columns, and count * V + 11 to bring its sums out
//! Reset:     `reset` clears control
//! Limits:    one batch at a time; parameters still while `busy`
//!
//! Output-stationary: V columns of every slot are held in registers while all entries stream past, so sums never go
//! through a memory, and a digit is read once a block. A digit is taken apart in base 4, so a product is two
//! multiplexers, and the sum has three operands; words are in three limbs of 22, 21 and 21 bits, whose sums stay within
//! 41 bits.

use super::digits::{DIGIT, DIGITS, Digits};
use super::shape::{INDEX, SLOT, Shape};
use crate::memory::{ADDRESS, Ram};
use crate::prelude::*;

/// Bits of a limb's sum.
pub const SUM: usize = 41;

/// One slot and column: a digit times a word's limb, added up.
#[derive(LogicBlock, Default)]
pub struct Column {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs of the key word.
    pub limb: [Signal<In, U<22>>; 3],
    /// Digit in base 4: 0 one, 1 two, 2 negative of the low part, 5:3 of the high part.
    pub digit: Signal<In, U<6>>,
    /// The product two cycles on counts.
    pub add: Signal<In, Bit>,
    /// Take the neighbour's sums.
    pub shift: Signal<In, Bit>,
    /// Forget the sums.
    pub clear: Signal<In, Bit>,
    /// Neighbour's sums.
    pub next: [Signal<In, S<SUM>>; 3],
    /// Sums.
    pub sum: [Signal<Out, S<SUM>>; 3],
    wide: [Signal<Local, U<24>>; 3],
    low: [Signal<Local, U<24>>; 3],
    high: [Signal<Local, U<26>>; 3],
    low_term: [Reg<S<24>>; 3],
    high_term: [Reg<S<26>>; 3],
    total: [Reg<S<SUM>>; 3],
    none: Signal<Local, U<2>>,
}

impl Logic for Column {
    #[hdl_gen]
    fn update(&mut self) {
        self.none.next = 0u64.into();
        for i in 0..3 {
            self.low_term[i].clock.next = self.clock.val();
            self.high_term[i].clock.next = self.clock.val();
            self.total[i].clock.next = self.clock.val();
            // 1: 0, +-1 or +-2 times the limb.
            self.wide[i].next = self.limb[i].val().to_bits::<24>();
            self.low[i].next = 0u64.into();
            if self.digit.val().get_bit(0) {
                self.low[i].next = self.wide[i].val();
            }
            if self.digit.val().get_bit(1) {
                self.low[i].next = self.wide[i].val() << 1;
            }
            self.low_term[i].d.next = signed_cast(self.low[i].val());
            if self.digit.val().get_bit(2) {
                self.low_term[i].d.next = signed_cast(self.none.val()).to_bits::<24>() - signed_cast(self.low[i].val());
            }
            self.high[i].next = 0u64.into();
            if self.digit.val().get_bit(3) {
                self.high[i].next = self.wide[i].val().to_bits::<26>() << 2;
            }
            if self.digit.val().get_bit(4) {
                self.high[i].next = self.wide[i].val().to_bits::<26>() << 3;
            }
            self.high_term[i].d.next = signed_cast(self.high[i].val());
            if self.digit.val().get_bit(5) {
                self.high_term[i].d.next =
                    signed_cast(self.none.val()).to_bits::<26>() - signed_cast(self.high[i].val());
            }
            // 2: add.
            self.total[i].d.next = self.total[i].q.val();
            if self.add.val() {
                self.total[i].d.next = self.total[i].q.val()
                    + self.low_term[i].q.val().to_bits::<SUM>()
                    + self.high_term[i].q.val().to_bits::<SUM>();
            }
            if self.shift.val() {
                self.total[i].d.next = self.next[i].val();
            }
            if self.clear.val() {
                self.total[i].d.next = signed_cast(self.none.val()).to_bits::<SUM>();
            }
            self.sum[i].next = self.total[i].q.val();
        }
    }
}

/// The unit.
#[derive(LogicBlock)]
pub struct Keyswitch {
    /// Rising edge.
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
    /// log2 B.
    pub base_log: Signal<In, U<3>>,
    /// Levels.
    pub levels: Signal<In, U<4>>,
    /// Words a slot of the stream: 1, 2 or 3 (of 64, 32 and 21 bits).
    pub words_per_slot: Signal<In, U<2>>,
    /// A mask word of a ciphertext comes.
    pub word_write: Signal<In, Bit>,
    /// Of which.
    pub word_slot: Signal<In, U<SLOT>>,
    /// Its index.
    pub word_index: Signal<In, U<INDEX>>,
    /// The word.
    pub word_data: Signal<In, U<64>>,
    /// Slots of the stream, V of 64 bits.
    pub data: Vec<Signal<In, U<64>>>,
    /// They are valid.
    pub valid: Signal<In, Bit>,
    /// They are taken.
    pub ready: Signal<Out, Bit>,
    /// The stream is awaited.
    pub stalled: Signal<Out, Bit>,
    /// A result comes.
    pub out_valid: Signal<Out, Bit>,
    /// Of which ciphertext.
    pub out_slot: Signal<Out, U<SLOT>>,
    /// Which word of n + 1, or a padding column behind them.
    pub out_column: Signal<Out, U<INDEX>>,
    /// Minus the sum.
    pub out_data: Signal<Out, U<64>>,
    digits: Digits,
    write_line: DelayLine<Bit>,
    slot_line: DelayLine<U<SLOT>>,
    index_line: DelayLine<U<INDEX>>,
    memory: Vec<Ram<U<DIGITS>>>,
    running: Reg<Bit>,
    have: Reg<Bit>,
    slots: Vec<Reg<U<64>>>,
    sub: Reg<U<2>>,
    index: Reg<U<INDEX>>,
    level: Reg<U<4>>,
    first_column: Reg<U<INDEX>>,
    draining: Reg<Bit>,
    settle: Reg<U<4>>,
    drain_slot: Reg<U<5>>,
    drain_column: Reg<U<INDEX>>,
    last_level: Signal<Local, Bit>,
    last_entry: Signal<Local, Bit>,
    slot_done: Signal<Local, Bit>,
    take: Signal<Local, Bit>,
    ready_now: Signal<Local, Bit>,
    level_next: Signal<Local, U<4>>,
    sub_next: Signal<Local, U<2>>,
    word: Vec<Signal<Local, U<64>>>,
    narrow_32: Vec<Signal<Local, U<32>>>,
    narrow_21: Vec<Signal<Local, U<21>>>,
    w1: Vec<Reg<U<64>>>,
    w2: Vec<Reg<U<64>>>,
    w3: Vec<Reg<U<64>>>,
    level_1: Reg<U<4>>,
    valid_line: DelayLine<Bit>,
    pick: Vec<Choose<U<DIGIT>>>,
    digit: Vec<Reg<U<DIGIT>>>,
    digit_low: Vec<Signal<Local, U<2>>>,
    digit_high: Vec<Signal<Local, U<3>>>,
    digit_sign: Vec<Signal<Local, U<3>>>,
    code_low: Vec<Signal<Local, U<6>>>,
    code_high: Vec<Signal<Local, U<6>>>,
    code: Vec<Reg<U<6>>>,
    column: Vec<Column>,
    shift: Signal<Local, Bit>,
    clear: Signal<Local, Bit>,
    next_block: Signal<Local, U<INDEX>>,
    c1_valid: Reg<Bit>,
    c2_valid: Reg<Bit>,
    c3_valid: Reg<Bit>,
    c4_valid: Reg<Bit>,
    tag: [Reg<U<15>>; 4],
    tag_out: Signal<Local, U<15>>,
    drain_slot_low: Signal<Local, U<SLOT>>,
    total_0: Signal<Local, S<SUM>>,
    c1_low: Reg<U<22>>,
    c1_middle: Reg<S<42>>,
    c1_high: Reg<S<SUM>>,
    c2_low: Reg<U<22>>,
    c2_middle: Reg<U<21>>,
    c2_high: Reg<S<42>>,
    high_bits: Signal<Local, U<21>>,
    middle_bits: Signal<Local, U<21>>,
    low_bits: Signal<Local, U<22>>,
    joined: Signal<Local, U<64>>,
    c3: Reg<U<64>>,
    inverted: Signal<Local, U<64>>,
    c4_low: Reg<U<33>>,
    c4_high: Reg<U<32>>,
    result_high: Signal<Local, U<32>>,
    c4_low_now: Signal<Local, U<33>>,
    index_last: Constant<U<INDEX>>,
    columns: Constant<U<INDEX>>,
    column_last: Constant<U<INDEX>>,
    slot_number: Vec<Constant<U<SLOT>>>,
    _depth: usize,
    _columns: usize,
    _units: usize,
    _last_unit: usize,
}

impl Keyswitch {
    /// Cycles from a word of the stream to its digits' sums.
    const DEPTH: usize = 4;

    /// The unit of a shape.
    pub fn new(shape: &Shape) -> Self {
        fn many<T>(count: usize, make: impl Fn(usize) -> T) -> Vec<T> {
            (0..count).map(make).collect()
        }
        let (depth, columns) = (shape.depth, shape.columns);
        Self {
            clock: Default::default(),
            reset: Default::default(),
            start: Default::default(),
            busy: Default::default(),
            count: Default::default(),
            dimension: Default::default(),
            base_log: Default::default(),
            levels: Default::default(),
            words_per_slot: Default::default(),
            word_write: Default::default(),
            word_slot: Default::default(),
            word_index: Default::default(),
            word_data: Default::default(),
            data: many(columns, |_| Default::default()),
            valid: Default::default(),
            ready: Default::default(),
            stalled: Default::default(),
            out_valid: Default::default(),
            out_slot: Default::default(),
            out_column: Default::default(),
            out_data: Default::default(),
            digits: Default::default(),
            write_line: DelayLine::new(Digits::LATENCY),
            slot_line: DelayLine::new(Digits::LATENCY),
            index_line: DelayLine::new(Digits::LATENCY),
            memory: many(depth, |_| Ram::new(shape.big_dimension().next_power_of_two())),
            running: Default::default(),
            have: Default::default(),
            slots: many(columns, |_| Default::default()),
            sub: Default::default(),
            index: Default::default(),
            level: Default::default(),
            first_column: Default::default(),
            draining: Default::default(),
            settle: Default::default(),
            drain_slot: Default::default(),
            drain_column: Default::default(),
            last_level: Default::default(),
            last_entry: Default::default(),
            slot_done: Default::default(),
            take: Default::default(),
            ready_now: Default::default(),
            level_next: Default::default(),
            sub_next: Default::default(),
            word: many(columns, |_| Default::default()),
            narrow_32: many(columns, |_| Default::default()),
            narrow_21: many(columns, |_| Default::default()),
            w1: many(columns, |_| Default::default()),
            w2: many(columns, |_| Default::default()),
            w3: many(columns, |_| Default::default()),
            level_1: Default::default(),
            valid_line: DelayLine::new(Self::DEPTH),
            pick: many(depth, |_| Choose::new(8)),
            digit: many(depth, |_| Default::default()),
            digit_low: many(depth, |_| Default::default()),
            digit_high: many(depth, |_| Default::default()),
            digit_sign: many(depth, |_| Default::default()),
            code_low: many(depth, |_| Default::default()),
            code_high: many(depth, |_| Default::default()),
            code: many(depth, |_| Default::default()),
            column: many(depth * columns, |_| Default::default()),
            shift: Default::default(),
            clear: Default::default(),
            next_block: Default::default(),
            c1_valid: Default::default(),
            c2_valid: Default::default(),
            c3_valid: Default::default(),
            c4_valid: Default::default(),
            tag: Default::default(),
            tag_out: Default::default(),
            drain_slot_low: Default::default(),
            total_0: Default::default(),
            c1_low: Default::default(),
            c1_middle: Default::default(),
            c1_high: Default::default(),
            c2_low: Default::default(),
            c2_middle: Default::default(),
            c2_high: Default::default(),
            high_bits: Default::default(),
            middle_bits: Default::default(),
            low_bits: Default::default(),
            joined: Default::default(),
            c3: Default::default(),
            inverted: Default::default(),
            c4_low: Default::default(),
            c4_high: Default::default(),
            result_high: Default::default(),
            c4_low_now: Default::default(),
            index_last: Constant::new((shape.big_dimension() as u64 - 1).into()),
            columns: Constant::new((columns as u64).into()),
            column_last: Constant::new((columns as u64 - 1).into()),
            slot_number: many(depth, |i| Constant::new((i as u64).into())),
            _depth: depth,
            _columns: columns,
            _units: depth * columns,
            _last_unit: depth * columns - 1,
        }
    }
}

impl Logic for Keyswitch {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, digits, write_line, slot_line, index_line, level_1, valid_line, c1_valid, c2_valid);
        clock!(self, clock, c3_valid, c4_valid, c1_low, c1_middle, c1_high, c2_low, c2_middle, c2_high, c3, c4_low);
        clock!(self, clock, c4_high);
        dff_setup!(self, clock, running, have, sub, index, level, first_column, draining, settle, drain_slot);
        dff_setup!(self, clock, drain_column);

        // Digits of the mask words, into a memory a slot.
        self.digits.base_log.next = self.base_log.val();
        self.digits.levels.next = self.levels.val();
        self.digits.x.next = self.word_data.val();
        self.write_line.d.next = self.word_write.val();
        self.slot_line.d.next = self.word_slot.val();
        self.index_line.d.next = self.word_index.val();
        for s in 0..self._depth {
            self.memory[s].clock.next = self.clock.val();
            self.memory[s].write_enable.next =
                self.write_line.q.val() & (self.slot_line.q.val() == self.slot_number[s].val());
            self.memory[s].write_address.next = self.index_line.q.val().to_bits::<ADDRESS>();
            self.memory[s].write_data.next = self.digits.q.val();
            self.memory[s].read_enable.next = true;
            self.memory[s].read_address.next = self.index.q.val().to_bits::<ADDRESS>();
        }

        // The walk: an entry a cycle while the stream brings words.
        self.level_next.next = self.level.q.val() + 1u64;
        self.sub_next.next = self.sub.q.val() + 1u64;
        self.last_level.next = self.level_next.val() == self.levels.val();
        self.last_entry.next = self.last_level.val() & (self.index.q.val() == self.index_last.val());
        self.slot_done.next =
            self.have.q.val() & (self.last_entry.val() | (self.sub_next.val() == self.words_per_slot.val()));
        self.ready_now.next = self.running.q.val()
            & !self.draining.q.val()
            & (!self.have.q.val() | (self.slot_done.val() & !self.last_entry.val()));
        self.ready.next = self.ready_now.val();
        self.take.next = self.ready_now.val() & self.valid.val();
        self.stalled.next = self.running.q.val() & !self.draining.q.val() & !self.have.q.val();
        if self.have.q.val() {
            self.sub.d.next = self.sub_next.val();
            self.level.d.next = self.level_next.val();
            if self.last_level.val() {
                self.level.d.next = 0u64.into();
                self.index.d.next = self.index.q.val() + 1u64;
            }
            if self.slot_done.val() {
                self.have.d.next = false;
            }
            if self.last_entry.val() {
                self.index.d.next = 0u64.into();
                self.draining.d.next = true;
                self.settle.d.next = 0u64.into();
                self.drain_slot.d.next = 0u64.into();
                self.drain_column.d.next = 0u64.into();
            }
        }
        if self.take.val() {
            self.have.d.next = true;
            self.sub.d.next = 0u64.into();
        }

        // Words, at the top of 64 bits.
        for i in 0..self._columns {
            self.slots[i].clock.next = self.clock.val();
            self.slots[i].d.next = self.slots[i].q.val();
            if self.take.val() {
                self.slots[i].d.next = self.data[i].val();
            }
            self.narrow_32[i].next = self.slots[i].q.val().get_bits::<32>(0);
            self.narrow_21[i].next = self.slots[i].q.val().get_bits::<21>(0);
            if self.sub.q.val() == 1u64.into() {
                self.narrow_32[i].next = self.slots[i].q.val().get_bits::<32>(32);
                self.narrow_21[i].next = self.slots[i].q.val().get_bits::<21>(21);
            }
            if self.sub.q.val() == 2u64.into() {
                self.narrow_21[i].next = self.slots[i].q.val().get_bits::<21>(42);
            }
            self.word[i].next = self.slots[i].q.val();
            if self.words_per_slot.val() == 2u64.into() {
                self.word[i].next = self.narrow_32[i].val().to_bits::<64>() << 32;
            }
            if self.words_per_slot.val() == 3u64.into() {
                self.word[i].next = self.narrow_21[i].val().to_bits::<64>() << 43;
            }
            self.w1[i].clock.next = self.clock.val();
            self.w2[i].clock.next = self.clock.val();
            self.w3[i].clock.next = self.clock.val();
            self.w1[i].d.next = self.word[i].val();
            self.w2[i].d.next = self.w1[i].q.val();
            self.w3[i].d.next = self.w2[i].q.val();
        }
        // Digits: memory, choice of the level, base 4.
        self.level_1.d.next = self.level.q.val();
        self.valid_line.d.next = self.have.q.val() & !self.reset.val();
        for s in 0..self._depth {
            self.pick[s].select.next = self.level_1.q.val().to_bits::<5>();
            for l in 0..8 {
                self.pick[s].d[l].next = self.memory[s].read_data.val().get_bits::<DIGIT>(l * 5);
            }
            self.digit[s].clock.next = self.clock.val();
            self.digit[s].d.next = self.pick[s].q.val();
            self.digit_low[s].next = self.digit[s].q.val().get_bits::<2>(0);
            self.digit_high[s].next = self.digit[s].q.val().get_bits::<3>(2);
            // The low part is -2 to 1, so the high one is one more where it is negative.
            self.digit_sign[s].next = self.digit_high[s].val();
            if self.digit_low[s].val().get_bit(1) {
                self.digit_sign[s].next = self.digit_high[s].val() + 1u64;
            }
            self.code_low[s].next = 0u64.into();
            if self.digit_low[s].val() == 1u64.into() {
                self.code_low[s].next = 1u64.into();
            }
            if self.digit_low[s].val() == 2u64.into() {
                self.code_low[s].next = 6u64.into();
            }
            if self.digit_low[s].val() == 3u64.into() {
                self.code_low[s].next = 5u64.into();
            }
            self.code_high[s].next = 0u64.into();
            if self.digit_sign[s].val() == 1u64.into() {
                self.code_high[s].next = 8u64.into();
            }
            if self.digit_sign[s].val() == 2u64.into() {
                self.code_high[s].next = 16u64.into();
            }
            if self.digit_sign[s].val() == 7u64.into() {
                self.code_high[s].next = 40u64.into();
            }
            if self.digit_sign[s].val() == 6u64.into() {
                self.code_high[s].next = 48u64.into();
            }
            self.code[s].clock.next = self.clock.val();
            self.code[s].d.next = self.code_low[s].val() | self.code_high[s].val();
        }
        for v in self._columns..self._columns.saturating_add(1) {
            for u in 0..self._units {
                self.column[u].clock.next = self.clock.val();
                self.column[u].digit.next = self.code[u / v].q.val();
                self.column[u].limb[0].next = self.w3[u % v].q.val().get_bits::<22>(0);
                self.column[u].limb[1].next = self.w3[u % v].q.val().get_bits::<21>(22).to_bits::<22>();
                self.column[u].limb[2].next = self.w3[u % v].q.val().get_bits::<21>(43).to_bits::<22>();
                self.column[u].add.next = self.valid_line.q.val();
                self.column[u].shift.next = self.shift.val();
                self.column[u].clear.next = self.clear.val();
            }
        }
        for u in 0..self._last_unit {
            for k in 0..3 {
                self.column[u].next[k].next = self.column[u + 1].sum[k].val();
            }
        }
        for u in self._last_unit..self._last_unit.saturating_add(1) {
            for k in 0..3 {
                self.column[u].next[k].next = self.column[u].sum[k].val();
            }
        }

        // Bring a block's sums out.
        self.next_block.next = self.first_column.q.val() + self.columns.val();
        self.shift.next = self.draining.q.val() & (self.settle.q.val() == 6u64.into());
        self.clear.next = self.start.val();
        if self.draining.q.val() {
            if self.settle.q.val() != 6u64.into() {
                self.settle.d.next = self.settle.q.val() + 1u64;
            } else {
                self.drain_column.d.next = self.drain_column.q.val() + 1u64;
                if self.drain_column.q.val() == self.column_last.val() {
                    self.drain_column.d.next = 0u64.into();
                    self.drain_slot.d.next = self.drain_slot.q.val() + 1u64;
                }
                if self.drain_slot.q.val() == self.count.val() {
                    self.draining.d.next = false;
                    self.clear.next = true;
                    self.first_column.d.next = self.next_block.val();
                    if self.next_block.val() > self.dimension.val() {
                        self.running.d.next = false;
                    }
                }
            }
        }
        // The sum's limbs to a word, and its negation.
        self.c1_valid.d.next = self.shift.val() & (self.drain_slot.q.val() != self.count.val());
        self.c2_valid.d.next = self.c1_valid.q.val();
        self.c3_valid.d.next = self.c2_valid.q.val();
        self.c4_valid.d.next = self.c3_valid.q.val();
        for i in 0..4 {
            self.tag[i].clock.next = self.clock.val();
        }
        self.tag[0].d.next = ((self.first_column.q.val().to_bits::<15>() + self.drain_column.q.val().to_bits::<15>())
            << 4)
            | self.drain_slot_low.val().to_bits::<15>();
        self.drain_slot_low.next = self.drain_slot.q.val().get_bits::<SLOT>(0);
        for i in 1..4 {
            self.tag[i].d.next = self.tag[i - 1].q.val();
        }
        self.total_0.next = self.column[0].sum[0].val();
        self.c1_low.d.next = unsigned_cast(self.total_0.val().get_bits::<22>(0));
        self.c1_middle.d.next =
            self.column[0].sum[1].val().to_bits::<42>() + self.total_0.val().get_bits::<19>(22).to_bits::<42>();
        self.c1_high.d.next = self.column[0].sum[2].val();
        self.c2_low.d.next = self.c1_low.q.val();
        self.c2_middle.d.next = unsigned_cast(self.c1_middle.q.val().get_bits::<21>(0));
        self.c2_high.d.next =
            self.c1_high.q.val().to_bits::<42>() + self.c1_middle.q.val().get_bits::<21>(21).to_bits::<42>();
        self.high_bits.next = unsigned_cast(self.c2_high.q.val().get_bits::<21>(0));
        self.middle_bits.next = self.c2_middle.q.val();
        self.low_bits.next = self.c2_low.q.val();
        self.joined.next = (self.high_bits.val().to_bits::<64>() << 43)
            | (self.middle_bits.val().to_bits::<64>() << 22)
            | self.low_bits.val().to_bits::<64>();
        self.c3.d.next = self.joined.val();
        self.inverted.next = !self.c3.q.val();
        self.c4_low.d.next = self.inverted.val().get_bits::<32>(0).to_bits::<33>() + 1u64;
        self.c4_high.d.next = self.inverted.val().get_bits::<32>(32);
        self.c4_low_now.next = self.c4_low.q.val();
        self.result_high.next = self.c4_high.q.val() + self.c4_low_now.val().get_bits::<1>(32).to_bits::<32>();
        self.out_data.next =
            (self.result_high.val().to_bits::<64>() << 32) | self.c4_low_now.val().get_bits::<32>(0).to_bits::<64>();
        self.out_valid.next = self.c4_valid.q.val();
        self.tag_out.next = self.tag[3].q.val();
        self.out_slot.next = self.tag_out.val().get_bits::<SLOT>(0);
        self.out_column.next = self.tag_out.val().get_bits::<INDEX>(4);

        if self.start.val() {
            self.running.d.next = true;
            self.have.d.next = false;
            self.sub.d.next = 0u64.into();
            self.index.d.next = 0u64.into();
            self.level.d.next = 0u64.into();
            self.first_column.d.next = 0u64.into();
            self.draining.d.next = false;
        }
        if self.reset.val() {
            self.running.d.next = false;
            self.have.d.next = false;
            self.draining.d.next = false;
        }
        self.busy.next = self.running.q.val()
            | self.c1_valid.q.val()
            | self.c2_valid.q.val()
            | self.c3_valid.q.val()
            | self.c4_valid.q.val();
    }
}
