//! The engine of COPY, NTT and INTT.
//!
//! destination = source, NTT(source mod p) or INTT(source mod p), polynomial by polynomial
//! Range:     words of any value; results of the transforms in [0, p)
//! Handshake: `start` is a pulse, given only while `ready`; the command stands still until `done`, a pulse with `status` and
//!            `fault_address`; owns both DMA engines from `start` to `done`
//! Latency:   1 cycle from `start` to the DMA engines, 2 from the last acknowledgement to `done`
//! Reset:     `reset` gives the command up; synchronous, active high; `ready` follows once the transforms are empty
//! Limits:    one command at a time; source and destination are the same range or share no byte
//!
//! When host memory refuses a transfer the engine holds further bursts back, waits for those under way, and empties the
//! transforms before it reports: nothing of the failed command is left for the next one. A refused read is reported in
//! preference to a refused write.

use super::burst::BEATS;
use super::reduce::ReduceOnce;
use super::resize::Resize;
use crate::ntt::{NttStream, Plan};
use crate::prelude::*;
use crate::word::Lanes;
use glovebox_regmap::{Opcode, StatusCode};

/// What the engine does or waits for.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum TransferStep {
    /// A command.
    AwaitStart,
    /// Begin both transfers.
    Begin,
    /// Their ends.
    AwaitTransfers,
    /// A refusal: the end of the bursts under way.
    AwaitQuiet,
    /// Low half of the refused address.
    FaultLow,
    /// High half of it.
    FaultHigh,
    /// The transforms to run empty.
    AwaitEmpty,
    /// Report.
    Report,
}

/// Cycles by which the transforms' reset is held beyond their latency: the stages around the pipelines.
const MARGIN: usize = 8;

/// The engine over `L` lanes.
#[derive(LogicBlock)]
pub struct TransferEngine<const L: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Gives the command up.
    pub reset: Signal<In, Bit>,
    /// Begin.
    pub start: Signal<In, Bit>,
    /// Can begin.
    pub ready: Signal<Out, Bit>,
    /// COPY, NTT or INTT.
    pub opcode: Signal<In, U<8>>,
    /// Source address.
    pub source: Signal<In, U<64>>,
    /// Destination address.
    pub destination: Signal<In, U<64>>,
    /// The command is over.
    pub done: Signal<Out, Bit>,
    /// Its status code.
    pub status: Signal<Out, U<8>>,
    /// The address refused, or 0.
    pub fault_address: Signal<Out, U<64>>,
    /// A beat entered the forward transform.
    pub ntt_beat: Signal<Out, Bit>,
    /// A beat entered the inverse transform.
    pub intt_beat: Signal<Out, Bit>,
    /// Begin the DMA engines, the read from `source` and the write to `destination`.
    pub dma_start: Signal<Out, Bit>,
    /// Hold further bursts back.
    pub dma_stop: Signal<Out, Bit>,
    /// Drop what is left.
    pub dma_clear: Signal<Out, Bit>,
    /// The read is over.
    pub read_done: Signal<In, Bit>,
    /// Nothing of it is under way.
    pub read_quiet: Signal<In, Bit>,
    /// It was refused.
    pub read_fault: Signal<In, Bit>,
    /// At this beat.
    pub read_fault_beat: Signal<In, U<BEATS>>,
    /// The write is over.
    pub write_done: Signal<In, Bit>,
    /// Nothing of it is under way.
    pub write_quiet: Signal<In, Bit>,
    /// It was refused.
    pub write_fault: Signal<In, Bit>,
    /// In the burst that begins at this beat.
    pub write_fault_beat: Signal<In, U<BEATS>>,
    /// Beat of the source.
    pub q: Signal<In, Lanes<8>>,
    /// It is offered.
    pub q_valid: Signal<In, Bit>,
    /// It is taken.
    pub q_ready: Signal<Out, Bit>,
    /// Beat for the destination.
    pub d: Signal<Out, Lanes<8>>,
    /// It is offered.
    pub d_valid: Signal<Out, Bit>,
    /// It is taken.
    pub d_ready: Signal<In, Bit>,
    narrow: Resize<8, L>,
    reduce: ReduceOnce<L>,
    forward: NttStream<L>,
    inverse: NttStream<L>,
    widen: Resize<L, 8>,
    step: Reg<TransferStep>,
    result: Reg<U<8>>,
    low: Reg<U<32>>,
    high: Reg<U<32>>,
    carry: Reg<U<32>>,
    empty: Reg<U<12>>,
    reports: Reg<Bit>,
    flush: Signal<Local, Bit>,
    is_copy: Signal<Local, Bit>,
    is_ntt: Signal<Local, Bit>,
    refused_low: Signal<Local, U<32>>,
    refused_high: Signal<Local, U<32>>,
    refused_beat: Signal<Local, U<BEATS>>,
    sum: Signal<Local, U<33>>,
    offset: Signal<Local, U<33>>,
    copy: Constant<U<8>>,
    ntt: Constant<U<8>>,
    read_fault_code: Constant<U<8>>,
    write_fault_code: Constant<U<8>>,
    empty_cycles: Constant<U<12>>,
}

impl<const L: usize> TransferEngine<L> {
    /// The engine of these two transforms.
    ///
    /// # Panics
    /// If a plan is for another number of lanes.
    pub fn new(forward: &Plan, inverse: &Plan) -> Self {
        let code = |status: StatusCode| Constant::new(u64::from(status.code()).into());
        let opcode = |opcode: Opcode| Constant::new(u64::from(opcode.code()).into());
        let empty = forward.latency().max(inverse.latency()) + MARGIN;
        assert!(empty < 1 << 12, "a latency of {empty} cycles: the counter has 12 bits");
        Self {
            clock: Default::default(),
            reset: Default::default(),
            start: Default::default(),
            ready: Default::default(),
            opcode: Default::default(),
            source: Default::default(),
            destination: Default::default(),
            done: Default::default(),
            status: Default::default(),
            fault_address: Default::default(),
            ntt_beat: Default::default(),
            intt_beat: Default::default(),
            dma_start: Default::default(),
            dma_stop: Default::default(),
            dma_clear: Default::default(),
            read_done: Default::default(),
            read_quiet: Default::default(),
            read_fault: Default::default(),
            read_fault_beat: Default::default(),
            write_done: Default::default(),
            write_quiet: Default::default(),
            write_fault: Default::default(),
            write_fault_beat: Default::default(),
            q: Default::default(),
            q_valid: Default::default(),
            q_ready: Default::default(),
            d: Default::default(),
            d_valid: Default::default(),
            d_ready: Default::default(),
            narrow: Default::default(),
            reduce: Default::default(),
            forward: NttStream::new(forward),
            inverse: NttStream::new(inverse),
            widen: Default::default(),
            step: Default::default(),
            result: Default::default(),
            low: Default::default(),
            high: Default::default(),
            carry: Default::default(),
            empty: Default::default(),
            reports: Default::default(),
            flush: Default::default(),
            is_copy: Default::default(),
            is_ntt: Default::default(),
            refused_low: Default::default(),
            refused_high: Default::default(),
            refused_beat: Default::default(),
            sum: Default::default(),
            offset: Default::default(),
            copy: opcode(Opcode::Copy),
            ntt: opcode(Opcode::Ntt),
            read_fault_code: code(StatusCode::ReadFault),
            write_fault_code: code(StatusCode::WriteFault),
            empty_cycles: Constant::new((empty as u64).into()),
        }
    }
}

impl<const L: usize> Logic for TransferEngine<L> {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, narrow, forward, inverse, widen);
        dff_setup!(self, clock, step, result, low, high, carry, empty, reports);
        self.is_copy.next = self.opcode.val() == self.copy.val();
        self.is_ntt.next = self.opcode.val() == self.ntt.val();
        self.flush.next = self.reset.val() | (self.step.q.val() == TransferStep::AwaitEmpty);

        // Source to transform, or straight to the destination.
        self.narrow.reset.next = self.flush.val();
        self.narrow.s.tdata.next = self.q.val();
        self.narrow.s.tvalid.next = self.q_valid.val() & !self.is_copy.val();
        self.q_ready.next = self.narrow.s.tready.val();
        if self.is_copy.val() {
            self.q_ready.next = self.d_ready.val();
        }
        self.reduce.d.next = self.narrow.m.tdata.val();
        self.forward.reset.next = self.flush.val();
        self.forward.s.tdata.next = self.reduce.q.val();
        self.forward.s.tvalid.next = self.narrow.m.tvalid.val() & self.is_ntt.val();
        self.inverse.reset.next = self.flush.val();
        self.inverse.s.tdata.next = self.reduce.q.val();
        self.inverse.s.tvalid.next = self.narrow.m.tvalid.val() & !self.is_ntt.val();
        self.narrow.m.tready.next = self.inverse.s.tready.val();
        if self.is_ntt.val() {
            self.narrow.m.tready.next = self.forward.s.tready.val();
        }
        self.ntt_beat.next = self.narrow.m.tvalid.val() & self.is_ntt.val() & self.forward.s.tready.val();
        self.intt_beat.next = self.narrow.m.tvalid.val() & !self.is_ntt.val() & self.inverse.s.tready.val();

        // Transform to destination.
        self.widen.reset.next = self.flush.val();
        self.widen.s.tdata.next = self.inverse.m.tdata.val();
        self.widen.s.tvalid.next = self.inverse.m.tvalid.val();
        self.forward.m.tready.next = false;
        self.inverse.m.tready.next = self.widen.s.tready.val();
        if self.is_ntt.val() {
            self.widen.s.tdata.next = self.forward.m.tdata.val();
            self.widen.s.tvalid.next = self.forward.m.tvalid.val();
            self.forward.m.tready.next = self.widen.s.tready.val();
            self.inverse.m.tready.next = false;
        }
        self.d.next = self.widen.m.tdata.val();
        self.d_valid.next = self.widen.m.tvalid.val();
        self.widen.m.tready.next = self.d_ready.val();
        if self.is_copy.val() {
            self.d.next = self.q.val();
            self.d_valid.next = self.q_valid.val();
        }

        // The refused address: base + beat * 64, in two halves.
        self.refused_low.next = self.destination.val().get_bits::<32>(0);
        self.refused_high.next = self.destination.val().get_bits::<32>(32);
        self.refused_beat.next = self.write_fault_beat.val();
        if self.read_fault.val() {
            self.refused_low.next = self.source.val().get_bits::<32>(0);
            self.refused_high.next = self.source.val().get_bits::<32>(32);
            self.refused_beat.next = self.read_fault_beat.val();
        }
        self.offset.next = self.refused_beat.val().to_bits::<33>() << 6;
        self.sum.next = self.refused_low.val().to_bits::<33>() + self.offset.val();

        self.ready.next = self.step.q.val() == TransferStep::AwaitStart;
        self.dma_start.next = self.step.q.val() == TransferStep::Begin;
        self.dma_stop.next = (self.step.q.val() == TransferStep::AwaitQuiet)
            | (self.step.q.val() == TransferStep::FaultLow)
            | (self.step.q.val() == TransferStep::FaultHigh);
        self.dma_clear.next = self.step.q.val() == TransferStep::AwaitEmpty;
        self.done.next = self.step.q.val() == TransferStep::Report;
        self.status.next = self.result.q.val();
        self.fault_address.next = (self.high.q.val().to_bits::<64>() << 32) | self.low.q.val().to_bits::<64>();
        match self.step.q.val() {
            TransferStep::AwaitStart => {
                self.result.d.next = 0u64.into();
                self.low.d.next = 0u64.into();
                self.high.d.next = 0u64.into();
                if self.start.val() {
                    self.step.d.next = TransferStep::Begin;
                }
            }
            TransferStep::Begin => {
                self.step.d.next = TransferStep::AwaitTransfers;
            }
            TransferStep::AwaitTransfers => {
                if self.read_fault.val() | self.write_fault.val() {
                    self.step.d.next = TransferStep::AwaitQuiet;
                } else if self.read_done.val() & self.write_done.val() {
                    self.step.d.next = TransferStep::Report;
                }
            }
            TransferStep::AwaitQuiet => {
                self.result.d.next = self.write_fault_code.val();
                if self.read_fault.val() {
                    self.result.d.next = self.read_fault_code.val();
                }
                if self.read_quiet.val() & self.write_quiet.val() {
                    self.step.d.next = TransferStep::FaultLow;
                }
            }
            TransferStep::FaultLow => {
                self.low.d.next = self.sum.val().get_bits::<32>(0);
                self.carry.d.next = self.sum.val().get_bit(32).into();
                self.step.d.next = TransferStep::FaultHigh;
            }
            TransferStep::FaultHigh => {
                self.high.d.next = self.refused_high.val() + self.carry.q.val();
                self.empty.d.next = 0u64.into();
                self.reports.d.next = true;
                self.step.d.next = TransferStep::AwaitEmpty;
            }
            TransferStep::AwaitEmpty => {
                self.empty.d.next = self.empty.q.val() + 1u64;
                if self.empty.q.val() == self.empty_cycles.val() {
                    self.step.d.next = TransferStep::AwaitStart;
                    if self.reports.q.val() {
                        self.step.d.next = TransferStep::Report;
                    }
                }
            }
            TransferStep::Report => {
                self.step.d.next = TransferStep::AwaitStart;
            }
        }
        if self.reset.val() {
            self.step.d.next = TransferStep::AwaitEmpty;
            self.empty.d.next = 0u64.into();
            self.reports.d.next = false;
        }
    }
}
