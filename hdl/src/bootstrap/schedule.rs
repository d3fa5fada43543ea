//! The order of blind rotation: which beat of which ciphertext is read in which cycle.
//!
//! for index = -1 .. n - 1, for slot < count, for level < levels: a frame of T beats. Index -1 brings the look-up table
//! into the accumulator: its frame has no rotation, the write-back takes the table.
//!
//! The decomposed difference may enter the transform turned by any s beats, because everything behind the
//! decomposition is linear: X^(-sW) turns the result back, and what wraps changes its sign twice. A frame is therefore
//! read from the beat s on, and written back in that order. The first beats of the next step of the same ciphertext
//! need beats that this one writes last, unless its s is chosen for it: with r = floor(a/W) mod T, reading from
//! s + r + 1 needs r + 2 beats written, reading from s needs T - r + 1. The schedule takes the smaller, so a lone
//! ciphertext waits for at most T/2 + 1 beats instead of T.
//!
//! Range:     count 1 to depth, n 1 to [`MAX_DIMENSION`], levels 1 to 3; rotation amounts 0 to 2N
//! Handshake: `start` while not `busy`; one frame after another, gapless inside; a frame starts when what it reads is
//!            written (`written` counts beats one cycle before they can be read), the step's key is loaded
//!            (`key_loaded` pulses) and, for the last step, `result_free`
//! Latency:   an idle pipe is read 7 cycles after `start`
//! Reset:     `reset` clears control
//! Limits:    one batch at a time; amounts must be written before `start`, into the bank it names

use super::rotate::AMOUNT;
use super::shape::{INDEX, SLOT, Shape, TURN};
use crate::memory::{ADDRESS, Ram};
use crate::ntt::row::BEAT;
use crate::prelude::*;

/// Bits of what travels beside a beat.
pub const SIDE: usize = 33;

/// The scheduler.
#[derive(LogicBlock)]
pub struct Schedule {
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
    /// l.
    pub levels: Signal<In, U<2>>,
    /// Bank of rotation amounts.
    pub bank: Signal<In, Bit>,
    /// Write a rotation amount.
    pub turn_write: Signal<In, Bit>,
    /// Its place: bank, slot, index.
    pub turn_address: Signal<In, U<ADDRESS>>,
    /// The amount.
    pub turn_data: Signal<In, U<TURN>>,
    /// A beat can be read from the next cycle but one on.
    pub written: Signal<In, Bit>,
    /// A step's key is complete.
    pub key_loaded: Signal<In, Bit>,
    /// The results of the batch before have been fetched.
    pub result_free: Signal<In, Bit>,
    /// Turned beat of source lanes that do not wrap, mod 2T; the top bit is its sign.
    pub source: Signal<Out, U<INDEX>>,
    /// The one before it, for lanes that do.
    pub source_before: Signal<Out, U<INDEX>>,
    /// Lanes to rotate by.
    pub amount: Signal<Out, U<AMOUNT>>,
    /// Everything else of the beat: 9:0 number in the frame, 10 valid, 20:11 position, 21 past the wrap, 25:22 slot,
    /// 26 table, 27 last step, 29:28 level, 30 last level, 31 key half, 32 last reading of the step's
    /// key begins.
    pub side: Signal<Out, U<SIDE>>,
    /// A step waits for its key.
    pub key_stalled: Signal<Out, Bit>,
    turns: Ram<U<TURN>>,
    starts: Ram<U<BEAT>>,
    // The walk over frames.
    running: Reg<Bit>,
    phase: Reg<U<3>>,
    slot: Reg<U<5>>,
    index: Reg<U<INDEX>>,
    lut: Reg<Bit>,
    turn_beats: Reg<U<INDEX>>,
    turn_lanes: Reg<U<AMOUNT>>,
    need: Reg<U<INDEX>>,
    jump: Reg<U<INDEX>>,
    first: Reg<U<BEAT>>,
    source_first: Reg<U<INDEX>>,
    level: Reg<U<2>>,
    ready: Reg<Bit>,
    // The frame being read.
    active: Reg<Bit>,
    beat: Reg<U<BEAT>>,
    position: Reg<U<BEAT>>,
    wrapped: Reg<Bit>,
    f_source: Reg<U<INDEX>>,
    f_before: Reg<U<INDEX>>,
    f_amount: Reg<U<AMOUNT>>,
    f_slot: Reg<U<5>>,
    f_table: Reg<Bit>,
    f_final: Reg<Bit>,
    f_level: Reg<U<2>>,
    f_last_level: Reg<Bit>,
    f_half: Reg<Bit>,
    f_release: Reg<Bit>,
    /// Beats that may still be read before another is written.
    credit: Reg<U<15>>,
    keys: Reg<U<2>>,
    turn: Signal<Local, U<TURN>>,
    turn_shifted: Signal<Local, U<TURN>>,
    turn_masked: Signal<Local, U<TURN>>,
    turn_low: Signal<Local, U<INDEX>>,
    flag: [Signal<Local, U<SIDE>>; 7],
    up: Signal<Local, U<INDEX>>,
    down: Signal<Local, U<INDEX>>,
    start_beat: Signal<Local, U<INDEX>>,
    first_wide: Signal<Local, U<INDEX>>,
    last_slot: Signal<Local, Bit>,
    last_index: Signal<Local, Bit>,
    last_level: Signal<Local, Bit>,
    frame_end: Signal<Local, Bit>,
    begins_step: Signal<Local, Bit>,
    begins_data: Signal<Local, Bit>,
    go: Signal<Local, Bit>,
    takes_key: Signal<Local, Bit>,
    takes_credit: Signal<Local, Bit>,
    full: Signal<Local, U<15>>,
    slot_next: Signal<Local, U<5>>,
    index_next: Signal<Local, U<INDEX>>,
    level_next: Signal<Local, U<2>>,
    beats: Constant<U<INDEX>>,
    beat_mask: Constant<U<INDEX>>,
    turn_mask: Constant<U<INDEX>>,
    beat_last: Constant<U<BEAT>>,
    lane_mask: Constant<U<TURN>>,
    bank_bit: Constant<U<ADDRESS>>,
    _points_log2: usize,
    _beats_log2: usize,
}

impl Schedule {
    /// The scheduler of a shape.
    pub fn new(shape: &Shape) -> Self {
        let beats = shape.beats() as u64;
        Self {
            clock: Default::default(),
            reset: Default::default(),
            start: Default::default(),
            busy: Default::default(),
            count: Default::default(),
            dimension: Default::default(),
            levels: Default::default(),
            bank: Default::default(),
            turn_write: Default::default(),
            turn_address: Default::default(),
            turn_data: Default::default(),
            written: Default::default(),
            key_loaded: Default::default(),
            result_free: Default::default(),
            source: Default::default(),
            source_before: Default::default(),
            amount: Default::default(),
            side: Default::default(),
            key_stalled: Default::default(),
            turns: Ram::new(2 << (SLOT + INDEX - 1)),
            starts: Ram::new(16),
            running: Default::default(),
            phase: Default::default(),
            slot: Default::default(),
            index: Default::default(),
            lut: Default::default(),
            turn_beats: Default::default(),
            turn_lanes: Default::default(),
            need: Default::default(),
            jump: Default::default(),
            first: Default::default(),
            source_first: Default::default(),
            level: Default::default(),
            ready: Default::default(),
            active: Default::default(),
            beat: Default::default(),
            position: Default::default(),
            wrapped: Default::default(),
            f_source: Default::default(),
            f_before: Default::default(),
            f_amount: Default::default(),
            f_slot: Default::default(),
            f_table: Default::default(),
            f_final: Default::default(),
            f_level: Default::default(),
            f_last_level: Default::default(),
            f_half: Default::default(),
            f_release: Default::default(),
            credit: Default::default(),
            keys: Default::default(),
            turn: Default::default(),
            turn_shifted: Default::default(),
            turn_masked: Default::default(),
            turn_low: Default::default(),
            flag: Default::default(),
            up: Default::default(),
            down: Default::default(),
            start_beat: Default::default(),
            first_wide: Default::default(),
            last_slot: Default::default(),
            last_index: Default::default(),
            last_level: Default::default(),
            frame_end: Default::default(),
            begins_step: Default::default(),
            begins_data: Default::default(),
            go: Default::default(),
            takes_key: Default::default(),
            takes_credit: Default::default(),
            full: Default::default(),
            slot_next: Default::default(),
            index_next: Default::default(),
            level_next: Default::default(),
            beats: Constant::new(beats.into()),
            beat_mask: Constant::new((beats - 1).into()),
            turn_mask: Constant::new((2 * beats - 1).into()),
            beat_last: Constant::new((beats - 1).into()),
            lane_mask: Constant::new((shape.points() as u64 - 1).into()),
            bank_bit: Constant::new((1u64 << (SLOT + INDEX - 1)).into()),
            _points_log2: shape.points_log2(),
            _beats_log2: shape.beats_log2(),
        }
    }
}

impl Logic for Schedule {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, turns, starts);
        dff_setup!(self, clock, running, phase, slot, index, lut, turn_beats, turn_lanes, need, jump, first);
        dff_setup!(self, clock, source_first, level, ready, active, beat, position, wrapped, f_source, f_before);
        dff_setup!(self, clock, f_amount, f_slot, f_table, f_final, f_level, f_last_level, f_half, f_release);
        dff_setup!(self, clock, credit, keys);

        self.turns.write_enable.next = self.turn_write.val();
        self.turns.write_address.next = self.turn_address.val();
        self.turns.write_data.next = self.turn_data.val();
        self.turns.read_enable.next = self.phase.q.val() == 1u64.into();
        self.turns.read_address.next =
            (self.slot.q.val().to_bits::<ADDRESS>() << 10) | self.index.q.val().to_bits::<ADDRESS>();
        if self.bank.val() {
            self.turns.read_address.next = (self.slot.q.val().to_bits::<ADDRESS>() << 10)
                | self.index.q.val().to_bits::<ADDRESS>()
                | self.bank_bit.val();
        }
        self.starts.read_enable.next = self.phase.q.val() == 2u64.into();
        self.starts.read_address.next = self.slot.q.val().to_bits::<ADDRESS>();
        self.starts.write_enable.next = self.phase.q.val() == 4u64.into();
        self.starts.write_address.next = self.slot.q.val().to_bits::<ADDRESS>();
        self.starts.write_data.next = self.first_wide.val().get_bits::<BEAT>(0);

        // Parameters of the next frame. 1: read the amount. 2: split it.
        if self.phase.q.val() == 1u64.into() {
            self.phase.d.next = 2u64.into();
        }
        self.turn.next = self.turns.read_data.val();
        if self.lut.q.val() {
            self.turn.next = 0u64.into();
        }
        for s in self._points_log2..self._points_log2.saturating_add(1) {
            self.turn_shifted.next = self.turn.val() >> s;
        }
        self.turn_masked.next = self.turn.val() & self.lane_mask.val();
        if self.phase.q.val() == 2u64.into() {
            self.phase.d.next = 3u64.into();
            self.turn_beats.d.next = self.turn_shifted.val().get_bits::<INDEX>(0) & self.turn_mask.val();
            self.turn_lanes.d.next = self.turn_masked.val().get_bits::<AMOUNT>(0);
        }
        // 3: from which beat on, and how many beats that needs.
        self.turn_low.next = self.turn_beats.q.val() & self.beat_mask.val();
        self.up.next = self.turn_low.val() + 2u64;
        self.down.next = self.beats.val() - self.turn_low.val() + 1u64;
        if self.phase.q.val() == 3u64.into() {
            self.phase.d.next = 4u64.into();
            self.need.d.next = self.down.val();
            self.jump.d.next = 0u64.into();
            if self.up.val() < self.down.val() {
                self.need.d.next = self.up.val();
                self.jump.d.next = self.turn_low.val() + 1u64;
            }
        }
        // 4: the first beat, and its source.
        self.start_beat.next = self.starts.read_data.val().to_bits::<INDEX>();
        self.first_wide.next = (self.start_beat.val() + self.jump.q.val()) & self.beat_mask.val();
        if self.lut.q.val() {
            self.first_wide.next = 0u64.into();
        }
        if self.phase.q.val() == 4u64.into() {
            self.phase.d.next = 5u64.into();
            self.first.d.next = self.first_wide.val().get_bits::<BEAT>(0);
            self.source_first.d.next = (self.first_wide.val() - self.turn_beats.q.val()) & self.turn_mask.val();
            self.level.d.next = 0u64.into();
            self.ready.d.next = true;
        }

        // Start it when it may.
        self.full.next = self.count.val().to_bits::<15>();
        for t in self._beats_log2..self._beats_log2.saturating_add(1) {
            self.full.next = self.count.val().to_bits::<15>() << t;
        }
        self.slot_next.next = self.slot.q.val() + 1u64;
        self.index_next.next = self.index.q.val() + 1u64;
        self.level_next.next = self.level.q.val() + 1u64;
        self.last_slot.next = self.slot_next.val() == self.count.val();
        self.last_index.next = !self.lut.q.val() & (self.index_next.val() == self.dimension.val());
        self.last_level.next = self.lut.q.val() | (self.level_next.val() == self.levels.val());
        self.frame_end.next = self.beat.q.val() == self.beat_last.val();
        self.begins_data.next = self.level.q.val() == 0u64.into();
        self.begins_step.next = !self.lut.q.val() & self.begins_data.val() & !self.slot.q.val().any();
        self.go.next = self.ready.q.val()
            & (!self.active.q.val() | self.frame_end.val())
            & (!self.begins_data.val() | (self.credit.q.val() >= self.need.q.val().to_bits::<15>()))
            & (!self.begins_step.val() | self.keys.q.val().any())
            & (!self.last_index.val() | self.result_free.val());
        self.key_stalled.next = self.ready.q.val()
            & (!self.active.q.val() | self.frame_end.val())
            & self.begins_step.val()
            & !self.keys.q.val().any();
        self.takes_key.next = self.go.val() & self.begins_step.val();
        self.takes_credit.next = self.go.val() & self.begins_data.val();
        if self.active.q.val() {
            self.beat.d.next = self.beat.q.val() + 1u64;
            self.position.d.next = self.position.q.val() + 1u64;
            self.f_source.d.next = (self.f_source.q.val() + 1u64) & self.turn_mask.val();
            self.f_before.d.next = (self.f_before.q.val() + 1u64) & self.turn_mask.val();
            if self.position.q.val() == self.beat_last.val() {
                self.position.d.next = 0u64.into();
                self.wrapped.d.next = true;
            }
            if self.frame_end.val() {
                self.active.d.next = false;
            }
        }
        if self.go.val() {
            self.active.d.next = true;
            self.beat.d.next = 0u64.into();
            self.position.d.next = self.first.q.val();
            self.wrapped.d.next = false;
            self.f_source.d.next = self.source_first.q.val();
            self.f_before.d.next = (self.source_first.q.val() - 1u64) & self.turn_mask.val();
            self.f_amount.d.next = self.turn_lanes.q.val();
            self.f_slot.d.next = self.slot.q.val();
            self.f_table.d.next = self.lut.q.val();
            self.f_final.d.next = self.last_index.val();
            self.f_level.d.next = self.level.q.val();
            self.f_last_level.d.next = self.last_level.val();
            self.f_half.d.next = self.index.q.val().get_bit(0);
            self.f_release.d.next = !self.lut.q.val() & self.last_slot.val() & self.begins_data.val();
            // Walk on.
            if !self.last_level.val() {
                self.level.d.next = self.level_next.val();
            } else {
                self.ready.d.next = false;
                self.phase.d.next = 1u64.into();
                self.slot.d.next = self.slot_next.val();
                if self.last_slot.val() {
                    self.slot.d.next = 0u64.into();
                    self.lut.d.next = false;
                    self.index.d.next = self.index_next.val();
                    if self.lut.q.val() {
                        self.index.d.next = 0u64.into();
                    }
                    if self.last_index.val() {
                        self.phase.d.next = 0u64.into();
                    }
                }
            }
        }
        if self.running.q.val()
            & !self.active.q.val()
            & (self.phase.q.val() == 0u64.into())
            & (self.credit.q.val() == self.full.val())
        {
            self.running.d.next = false;
        }

        // Beats that may be read, and keys that are there.
        if self.takes_credit.val() {
            self.credit.d.next = self.credit.q.val() - self.beats.val().to_bits::<15>();
            if self.written.val() {
                self.credit.d.next = self.credit.q.val() - self.beats.val().to_bits::<15>() + 1u64;
            }
        } else if self.written.val() {
            self.credit.d.next = self.credit.q.val() + 1u64;
        }
        if self.takes_key.val() & !self.key_loaded.val() {
            self.keys.d.next = self.keys.q.val() - 1u64;
        }
        if !self.takes_key.val() & self.key_loaded.val() {
            self.keys.d.next = self.keys.q.val() + 1u64;
        }
        if self.start.val() & !self.running.q.val() {
            self.running.d.next = true;
            self.phase.d.next = 1u64.into();
            self.slot.d.next = 0u64.into();
            self.index.d.next = 0u64.into();
            self.lut.d.next = true;
            self.credit.d.next = self.full.val();
            self.keys.d.next = 0u64.into();
        }
        if self.reset.val() {
            self.running.d.next = false;
            self.phase.d.next = 0u64.into();
            self.ready.d.next = false;
            self.active.d.next = false;
            self.keys.d.next = 0u64.into();
        }

        self.busy.next = self.running.q.val();
        self.source.next = self.f_source.q.val();
        self.source_before.next = self.f_before.q.val();
        self.amount.next = self.f_amount.q.val();
        for i in 0..7 {
            self.flag[i].next = 0u64.into();
        }
        if self.active.q.val() & !self.reset.val() {
            self.flag[0].next = 0x400u64.into();
        }
        if self.wrapped.q.val() {
            self.flag[1].next = 0x200000u64.into();
        }
        if self.f_table.q.val() {
            self.flag[2].next = 0x4000000u64.into();
        }
        if self.f_final.q.val() {
            self.flag[3].next = 0x8000000u64.into();
        }
        if self.f_last_level.q.val() {
            self.flag[4].next = 0x40000000u64.into();
        }
        if self.f_half.q.val() {
            self.flag[5].next = 0x80000000u64.into();
        }
        if self.f_release.q.val() {
            self.flag[6].next = 0x100000000u64.into();
        }
        self.side.next = self.beat.q.val().to_bits::<SIDE>()
            | (self.position.q.val().to_bits::<SIDE>() << 11)
            | (self.f_slot.q.val().to_bits::<SIDE>() << 22)
            | (self.f_level.q.val().to_bits::<SIDE>() << 28)
            | self.flag[0].val()
            | self.flag[1].val()
            | self.flag[2].val()
            | self.flag[3].val()
            | self.flag[4].val()
            | self.flag[5].val()
            | self.flag[6].val();
    }
}
