//! The engine of KEY_UPLOAD and WIPE, the keeper of what card memory holds, and its eraser at a soft reset.
//!
//! card memory (destination ..) = source (KEY_UPLOAD) or 0 (WIPE); `written_beats` = end of what was written since reset
//! `erase`: card memory (0 .. `dirty`) = 0, `dirty` = end of what an upload began to write and no WIPE or erase zeroed since
//! Range:     whole granules; a destination no further than `written_beats` (the descriptor check sees to it)
//! Handshake: `start` is a pulse, given only while `ready`; the command stands still until `done`, a pulse with `status` and
//!            `fault_address`; owns host reads and card memory's writes from `start` to `done`, and card memory's writes while
//!            `erasing`
//! Latency:   1 cycle from `start` to the DMA engines, 3 from the last acknowledgement to `done`; a beat a cycle from host
//!            memory, a granule a cycle of zeros. `erasing` lasts g + c ceil(g / [`ERASE_GRANULES`]) + 1 cycles for g = dirty / P
//!            granules, c the latency of card memory and about 15 cycles more
//! Reset:     `reset`, the power-up reset, gives everything up and forgets what was written, so that nothing can be read until
//!            it is written again. `erase`, a pulse while card memory is quiet and with its reset, gives the command or erase
//!            under way up, forgets what was written and erases it from the top down. Both synchronous, active high
//! Limits:    one command at a time. A command that fails leaves its range partly written and `written_beats` as it was. A
//!            refusal ends an erase with the pulse `erase_failed` (`status` and `fault_address` hold then): what it had not
//!            reached stays, unreadable, for the next one. WIPE makes the next erase shorter only from the top

use super::burst::BEATS;
use crate::ntt::stream::Pack;
use crate::prelude::*;
use crate::word::Lanes;
use glovebox_regmap::{Opcode, StatusCode};

/// Granules of one transfer of an erase: what it has done counts transfer by transfer.
pub const ERASE_GRANULES: usize = 1 << ERASE_LOG2;
const ERASE_LOG2: usize = 12;

/// What the engine does or waits for.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum UploadStep {
    /// A command.
    AwaitStart,
    /// Begin the transfers.
    Begin,
    /// Their ends.
    AwaitTransfers,
    /// Compare the end with what was written before.
    Extend,
    /// A refusal: the end of the bursts under way.
    AwaitQuiet,
    /// Low half of the refused address.
    FaultLow,
    /// High half of it.
    FaultHigh,
    /// Drop what is left.
    Clear,
    /// Report.
    Report,
    /// Erase: the last granule that is not zero, or the end.
    EraseLast,
    /// Granules from the multiple of [`ERASE_GRANULES`] below it.
    EraseSize,
    /// Begin to write zeros there.
    EraseBegin,
    /// Their end.
    AwaitErase,
    /// Drop the zeros queued beyond it; those granules are done.
    EraseClear,
    /// Report the refusal.
    EraseFailed,
}

/// The engine over `P` ports.
#[derive(LogicBlock)]
pub struct UploadEngine<const P: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Gives everything up and forgets what was written.
    pub reset: Signal<In, Bit>,
    /// Gives everything up, forgets what was written and erases it.
    pub erase: Signal<In, Bit>,
    /// That is under way.
    pub erasing: Signal<Out, Bit>,
    /// It was refused.
    pub erase_failed: Signal<Out, Bit>,
    /// Begin.
    pub start: Signal<In, Bit>,
    /// Can begin.
    pub ready: Signal<Out, Bit>,
    /// KEY_UPLOAD or WIPE.
    pub opcode: Signal<In, U<8>>,
    /// Source address.
    pub source: Signal<In, U<64>>,
    /// Card address.
    pub destination: Signal<In, U<64>>,
    /// Beats of 64 bytes.
    pub beats: Signal<In, U<BEATS>>,
    /// The command is over.
    pub done: Signal<Out, Bit>,
    /// Its status code.
    pub status: Signal<Out, U<8>>,
    /// The address refused, or 0.
    pub fault_address: Signal<Out, U<64>>,
    /// Beats of card memory, from 0 on, written since reset.
    pub written_beats: Signal<Out, U<32>>,
    /// Begin the host read from `source`.
    pub read_start: Signal<Out, Bit>,
    /// Hold further bursts back, in host and card memory.
    pub stop: Signal<Out, Bit>,
    /// Drop what is left, in host and card memory.
    pub clear: Signal<Out, Bit>,
    /// The host read is over.
    pub read_done: Signal<In, Bit>,
    /// Nothing of it is under way.
    pub read_quiet: Signal<In, Bit>,
    /// It was refused.
    pub read_fault: Signal<In, Bit>,
    /// At this beat.
    pub read_fault_beat: Signal<In, U<BEATS>>,
    /// Beat of the source.
    pub q: Signal<In, Lanes<8>>,
    /// It is offered.
    pub q_valid: Signal<In, Bit>,
    /// It is taken.
    pub q_ready: Signal<Out, Bit>,
    /// Begin the writes on all ports.
    pub write_start: Signal<Out, Bit>,
    /// First byte on each port.
    pub write_address: Signal<Out, U<64>>,
    /// Beats of each port.
    pub write_beats: Signal<Out, U<BEATS>>,
    /// All are over.
    pub write_done: Signal<In, Bit>,
    /// Nothing is under way in card memory.
    pub write_quiet: Signal<In, Bit>,
    /// A write was refused.
    pub write_fault: Signal<In, Bit>,
    /// In the burst that begins at this granule.
    pub write_fault_beat: Signal<In, U<BEATS>>,
    /// Beat to write.
    pub d: Signal<Out, Lanes<8>>,
    /// It is offered to this port.
    pub d_valid: [Signal<Out, Bit>; P],
    /// The port takes it.
    pub d_ready: [Signal<In, Bit>; P],
    step: Reg<UploadStep>,
    result: Reg<U<8>>,
    low: Reg<U<32>>,
    high: Reg<U<32>>,
    carry: Reg<U<32>>,
    written: Reg<U<32>>,
    reach: Reg<U<32>>,
    /// Beats from 0 on beyond which everything written is zero.
    dirty: Reg<U<32>>,
    erases: Reg<Bit>,
    /// Last granule of a transfer of an erase, and the granules of it.
    last: Reg<U<32>>,
    span: Reg<U<BEATS>>,
    /// The port that the next beat of the source goes to.
    turn: Reg<U<4>>,
    uploads: Signal<Local, Bit>,
    busy: Signal<Local, Bit>,
    erase_from: Signal<Local, U<32>>,
    target: Signal<Local, U<64>>,
    base_low: Signal<Local, U<32>>,
    base_high: Signal<Local, U<32>>,
    offset: Signal<Local, U<33>>,
    sum: Signal<Local, U<33>>,
    zeros: Signal<Local, Lanes<8>>,
    zero: Pack<8>,
    upload_code: Constant<U<8>>,
    read_fault_code: Constant<U<8>>,
    write_fault_code: Constant<U<8>>,
    port_shift: Constant<U<5>>,
    granule_shift: Constant<U<5>>,
    erase_shift: Constant<U<5>>,
    last_turn: Constant<U<4>>,
    number: [Constant<U<4>>; P],
}

impl<const P: usize> Default for UploadEngine<P> {
    /// # Panics
    /// If `P` is no power of two up to 16.
    fn default() -> Self {
        assert!(P.is_power_of_two() && P <= 16, "{P} ports to card memory: a power of two up to 16");
        let code = |status: StatusCode| Constant::new(u64::from(status.code()).into());
        let shift = |by: u32| Constant::new(u64::from(by).into());
        Self {
            clock: Default::default(),
            reset: Default::default(),
            erase: Default::default(),
            erasing: Default::default(),
            erase_failed: Default::default(),
            start: Default::default(),
            ready: Default::default(),
            opcode: Default::default(),
            source: Default::default(),
            destination: Default::default(),
            beats: Default::default(),
            done: Default::default(),
            status: Default::default(),
            fault_address: Default::default(),
            written_beats: Default::default(),
            read_start: Default::default(),
            stop: Default::default(),
            clear: Default::default(),
            read_done: Default::default(),
            read_quiet: Default::default(),
            read_fault: Default::default(),
            read_fault_beat: Default::default(),
            q: Default::default(),
            q_valid: Default::default(),
            q_ready: Default::default(),
            write_start: Default::default(),
            write_address: Default::default(),
            write_beats: Default::default(),
            write_done: Default::default(),
            write_quiet: Default::default(),
            write_fault: Default::default(),
            write_fault_beat: Default::default(),
            d: Default::default(),
            d_valid: std::array::from_fn(|_| Default::default()),
            d_ready: std::array::from_fn(|_| Default::default()),
            step: Default::default(),
            result: Default::default(),
            low: Default::default(),
            high: Default::default(),
            carry: Default::default(),
            written: Default::default(),
            reach: Default::default(),
            dirty: Default::default(),
            erases: Default::default(),
            last: Default::default(),
            span: Default::default(),
            turn: Default::default(),
            uploads: Default::default(),
            busy: Default::default(),
            erase_from: Default::default(),
            target: Default::default(),
            base_low: Default::default(),
            base_high: Default::default(),
            offset: Default::default(),
            sum: Default::default(),
            zeros: Default::default(),
            zero: Pack::new(),
            upload_code: Constant::new(u64::from(Opcode::KeyUpload.code()).into()),
            read_fault_code: code(StatusCode::ReadFault),
            write_fault_code: code(StatusCode::CardWriteFault),
            port_shift: shift(P.trailing_zeros()),
            granule_shift: shift(6 + P.trailing_zeros()),
            erase_shift: shift(ERASE_GRANULES.trailing_zeros()),
            last_turn: Constant::new((P as u64 - 1).into()),
            number: std::array::from_fn(|i| Constant::new((i as u64).into())),
        }
    }
}

impl<const P: usize> Logic for UploadEngine<P> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, step, result, low, high, carry, written, reach, turn);
        dff_setup!(self, clock, dirty, erases, last, span);
        self.uploads.next = (self.opcode.val() == self.upload_code.val()) & !self.erases.q.val();
        self.busy.next =
            (self.step.q.val() == UploadStep::AwaitTransfers) | (self.step.q.val() == UploadStep::AwaitErase);
        for i in 0..8 {
            self.zero.d[i].next = 0u64.into();
        }
        self.zeros.next = self.zero.q.val();
        self.written_beats.next = self.written.q.val();

        // Beats of the source to the ports in turn; zeros to all at once.
        self.d.next = self.zeros.val();
        if self.uploads.val() {
            self.d.next = self.q.val();
        }
        self.q_ready.next = false;
        for i in 0..P {
            self.d_valid[i].next = self.busy.val();
            if self.uploads.val() {
                self.d_valid[i].next = self.q_valid.val() & (self.turn.q.val() == self.number[i].val());
                if self.turn.q.val() == self.number[i].val() {
                    self.q_ready.next = self.d_ready[i].val();
                }
            }
        }
        if self.q_valid.val() & self.q_ready.val() {
            self.turn.d.next = self.turn.q.val() + 1u64;
            if self.turn.q.val() == self.last_turn.val() {
                self.turn.d.next = 0u64.into();
            }
        }

        // The refused address: base + beat * 64 or granule * 64 P, in two halves.
        self.erase_from.next = (self.last.q.val() >> self.erase_shift.val()) << self.erase_shift.val();
        self.target.next = self.destination.val();
        if self.erases.q.val() {
            self.target.next = self.erase_from.val().to_bits::<64>() << self.granule_shift.val();
        }
        self.base_low.next = self.target.val().get_bits::<32>(0);
        self.base_high.next = self.target.val().get_bits::<32>(32);
        self.offset.next = self.write_fault_beat.val().to_bits::<33>() << self.granule_shift.val();
        if self.read_fault.val() & self.uploads.val() {
            self.base_low.next = self.source.val().get_bits::<32>(0);
            self.base_high.next = self.source.val().get_bits::<32>(32);
            self.offset.next = self.read_fault_beat.val().to_bits::<33>() << 6;
        }
        self.sum.next = self.base_low.val().to_bits::<33>() + self.offset.val();

        self.ready.next = self.step.q.val() == UploadStep::AwaitStart;
        self.read_start.next = (self.step.q.val() == UploadStep::Begin) & self.uploads.val();
        self.write_start.next =
            (self.step.q.val() == UploadStep::Begin) | (self.step.q.val() == UploadStep::EraseBegin);
        self.write_address.next = self.target.val() >> self.port_shift.val();
        self.write_beats.next = self.beats.val() >> self.port_shift.val();
        if self.erases.q.val() {
            self.write_beats.next = self.span.q.val();
        }
        self.stop.next = (self.step.q.val() == UploadStep::AwaitQuiet)
            | (self.step.q.val() == UploadStep::FaultLow)
            | (self.step.q.val() == UploadStep::FaultHigh);
        // Zeros that were queued beyond the end are dropped too.
        self.clear.next = (self.step.q.val() == UploadStep::Clear) | (self.step.q.val() == UploadStep::EraseClear);
        self.erasing.next = self.erases.q.val();
        self.erase_failed.next = self.step.q.val() == UploadStep::EraseFailed;
        self.done.next = self.step.q.val() == UploadStep::Report;
        self.status.next = self.result.q.val();
        self.fault_address.next = (self.high.q.val().to_bits::<64>() << 32) | self.low.q.val().to_bits::<64>();
        match self.step.q.val() {
            UploadStep::AwaitStart => {
                self.result.d.next = 0u64.into();
                self.low.d.next = 0u64.into();
                self.high.d.next = 0u64.into();
                self.turn.d.next = 0u64.into();
                if self.start.val() {
                    self.step.d.next = UploadStep::Begin;
                }
            }
            UploadStep::Begin => {
                self.reach.d.next = self.destination.val().get_bits::<32>(6) + self.beats.val().to_bits::<32>();
                self.step.d.next = UploadStep::AwaitTransfers;
            }
            UploadStep::AwaitTransfers => {
                // Before the first burst is announced: it may be given up, or a reset come, at any time after.
                if self.uploads.val() & (self.reach.q.val() > self.dirty.q.val()) {
                    self.dirty.d.next = self.reach.q.val();
                }
                if self.read_fault.val() | self.write_fault.val() {
                    self.step.d.next = UploadStep::AwaitQuiet;
                } else if self.write_done.val() & (self.read_done.val() | !self.uploads.val()) {
                    self.step.d.next = UploadStep::Extend;
                }
            }
            UploadStep::Extend => {
                if self.reach.q.val() > self.written.q.val() {
                    self.written.d.next = self.reach.q.val();
                }
                if !self.uploads.val()
                    & (self.reach.q.val() >= self.dirty.q.val())
                    & (self.destination.val().get_bits::<32>(6) < self.dirty.q.val())
                {
                    self.dirty.d.next = self.destination.val().get_bits::<32>(6);
                }
                self.step.d.next = UploadStep::Clear;
            }
            UploadStep::AwaitQuiet => {
                self.result.d.next = self.write_fault_code.val();
                if self.read_fault.val() & self.uploads.val() {
                    self.result.d.next = self.read_fault_code.val();
                }
                if self.read_quiet.val() & self.write_quiet.val() {
                    self.step.d.next = UploadStep::FaultLow;
                }
            }
            UploadStep::FaultLow => {
                self.low.d.next = self.sum.val().get_bits::<32>(0);
                self.carry.d.next = self.sum.val().get_bit(32).into();
                self.step.d.next = UploadStep::FaultHigh;
            }
            UploadStep::FaultHigh => {
                self.high.d.next = self.base_high.val() + self.carry.q.val();
                self.step.d.next = UploadStep::Clear;
            }
            UploadStep::Clear => {
                self.step.d.next = UploadStep::Report;
                if self.erases.q.val() {
                    self.step.d.next = UploadStep::EraseFailed;
                }
            }
            UploadStep::Report => {
                self.step.d.next = UploadStep::AwaitStart;
            }
            UploadStep::EraseLast => {
                self.last.d.next = (self.dirty.q.val() >> self.port_shift.val()) - 1u64;
                self.step.d.next = UploadStep::EraseSize;
                if !self.dirty.q.val().any() {
                    self.erases.d.next = false;
                    self.step.d.next = UploadStep::AwaitStart;
                }
            }
            UploadStep::EraseSize => {
                self.span.d.next = self.last.q.val().get_bits::<ERASE_LOG2>(0).to_bits::<BEATS>() + 1u64;
                self.step.d.next = UploadStep::EraseBegin;
            }
            UploadStep::EraseBegin => {
                self.step.d.next = UploadStep::AwaitErase;
            }
            UploadStep::AwaitErase => {
                if self.write_fault.val() {
                    self.step.d.next = UploadStep::AwaitQuiet;
                } else if self.write_done.val() {
                    self.step.d.next = UploadStep::EraseClear;
                }
            }
            UploadStep::EraseClear => {
                self.dirty.d.next = self.erase_from.val() << self.port_shift.val();
                self.step.d.next = UploadStep::EraseLast;
            }
            UploadStep::EraseFailed => {
                self.erases.d.next = false;
                self.step.d.next = UploadStep::AwaitStart;
            }
        }
        if self.erase.val() {
            self.step.d.next = UploadStep::EraseLast;
            self.written.d.next = 0u64.into();
            self.erases.d.next = true;
        }
        if self.reset.val() {
            self.step.d.next = UploadStep::AwaitStart;
            self.written.d.next = 0u64.into();
            self.dirty.d.next = 0u64.into();
            self.erases.d.next = false;
        }
    }
}
