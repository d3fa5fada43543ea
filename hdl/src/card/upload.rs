//! The engine of KEY_UPLOAD and WIPE, and the keeper of what card memory holds.
//!
//! card memory (destination ..) = source (KEY_UPLOAD) or 0 (WIPE); `written_beats` = end of what was written since reset
//! Range:     whole granules; a destination no further than `written_beats` (the descriptor check sees to it)
//! Handshake: `start` is a pulse, given only while `ready`; the command stands still until `done`, a pulse with `status` and
//!            `fault_address`; owns host reads and card memory's writes from `start` to `done`
//! Latency:   1 cycle from `start` to the DMA engines, 3 from the last acknowledgement to `done`; a beat a cycle from host
//!            memory, a granule a cycle of zeros
//! Reset:     `reset` gives the command up and forgets what was written, so that nothing can be read until it is
//!            written again; synchronous, active high
//! Limits:    one command at a time. A command that fails leaves its range partly written and `written_beats` as it was

use super::burst::BEATS;
use crate::ntt::stream::Pack;
use crate::prelude::*;
use crate::word::Lanes;
use glovebox_regmap::{Opcode, StatusCode};

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
}

/// The engine over `P` ports.
#[derive(LogicBlock)]
pub struct UploadEngine<const P: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Gives the command up and forgets what was written.
    pub reset: Signal<In, Bit>,
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
    /// The port that the next beat of the source goes to.
    turn: Reg<U<4>>,
    uploads: Signal<Local, Bit>,
    busy: Signal<Local, Bit>,
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
            turn: Default::default(),
            uploads: Default::default(),
            busy: Default::default(),
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
            last_turn: Constant::new((P as u64 - 1).into()),
            number: std::array::from_fn(|i| Constant::new((i as u64).into())),
        }
    }
}

impl<const P: usize> Logic for UploadEngine<P> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, step, result, low, high, carry, written, reach, turn);
        self.uploads.next = self.opcode.val() == self.upload_code.val();
        self.busy.next = self.step.q.val() == UploadStep::AwaitTransfers;
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
        self.base_low.next = self.destination.val().get_bits::<32>(0);
        self.base_high.next = self.destination.val().get_bits::<32>(32);
        self.offset.next = self.write_fault_beat.val().to_bits::<33>() << self.granule_shift.val();
        if self.read_fault.val() {
            self.base_low.next = self.source.val().get_bits::<32>(0);
            self.base_high.next = self.source.val().get_bits::<32>(32);
            self.offset.next = self.read_fault_beat.val().to_bits::<33>() << 6;
        }
        self.sum.next = self.base_low.val().to_bits::<33>() + self.offset.val();

        self.ready.next = self.step.q.val() == UploadStep::AwaitStart;
        self.read_start.next = (self.step.q.val() == UploadStep::Begin) & self.uploads.val();
        self.write_start.next = self.step.q.val() == UploadStep::Begin;
        self.write_address.next = self.destination.val() >> self.port_shift.val();
        self.write_beats.next = self.beats.val() >> self.port_shift.val();
        self.stop.next = (self.step.q.val() == UploadStep::AwaitQuiet)
            | (self.step.q.val() == UploadStep::FaultLow)
            | (self.step.q.val() == UploadStep::FaultHigh);
        // Zeros that were queued beyond the end are dropped too.
        self.clear.next = self.step.q.val() == UploadStep::Clear;
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
                self.step.d.next = UploadStep::Clear;
            }
            UploadStep::AwaitQuiet => {
                self.result.d.next = self.write_fault_code.val();
                if self.read_fault.val() {
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
            }
            UploadStep::Report => {
                self.step.d.next = UploadStep::AwaitStart;
            }
        }
        if self.reset.val() {
            self.step.d.next = UploadStep::AwaitStart;
            self.written.d.next = 0u64.into();
        }
    }
}
