//! From ring to completion: fetches descriptors, has them carried out one at a time, and reports.
//!
//! For the ring granted: fetch the descriptor at SQ_HEAD, check it, run its engine, write the completion at CQ_TAIL once
//! every write of the command has been acknowledged, then raise the ring's interrupt if the descriptor asks for it
//! Range:     as the register map says
//! Handshake: `grant` and `granted` from the arbiter; `engine_start` is a pulse, given only while `engine_ready`, and the
//!            command's words stand still from there until `engine_done`; start pulses and streams of the DMA engines
//! Latency:   4 cycles from a grant to `read_start`, 6 from the descriptor to `engine_start`, 4 from `engine_done` to
//!            `write_start`, 7 from `write_done` to the next grant
//! Reset:     `reset` gives everything up; synchronous, active high
//! Limits:    one command at a time, so FENCE has nothing to wait for
//!
//! SQ_HEAD steps when the descriptor is in, CQ_TAIL before the completion is written: a driver that sees a completion may
//! ring CQ_HEAD at once.

use super::burst::BEATS;
use super::check::DescriptorCheck;
use super::counter::Counter;
use crate::ntt::stream::Pack;
use crate::prelude::*;
use crate::word::Lanes;
use glovebox_regmap::StatusCode;

/// What the sequencer does or waits for.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum Step {
    /// A ring with something to do.
    AwaitGrant,
    /// The ring's registers.
    SelectRing,
    /// Low half of the descriptor's address.
    FetchLow,
    /// High half of it.
    FetchHigh,
    /// Begin the read.
    FetchStart,
    /// The descriptor.
    AwaitDescriptor,
    /// The checker.
    AwaitCheck,
    /// Look at what it says.
    Dispatch,
    /// Begin the engine.
    EngineStart,
    /// The engine.
    AwaitEngine,
    /// Count and record.
    Record,
    /// Low half of the completion's address.
    CompleteLow,
    /// High half of it.
    CompleteHigh,
    /// Begin the write.
    CompleteStart,
    /// The write engine takes the completion.
    CompleteData,
    /// The acknowledgement.
    AwaitAcknowledge,
    /// Host memory refused the descriptor.
    FetchFault,
    /// Host memory refused the completion.
    CompleteFault,
    /// The ring's request is stale.
    Settle,
}

/// The sequencer.
#[derive(LogicBlock)]
pub struct Sequencer {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Gives everything up.
    pub reset: Signal<In, Bit>,
    /// Serve rings.
    pub run: Signal<In, Bit>,
    /// Some ring asks.
    pub granted: Signal<In, Bit>,
    /// This one comes next.
    pub grant: Signal<In, U<4>>,
    /// Where the arbiter begins.
    pub first: Signal<Out, U<4>>,
    /// The ring being served.
    pub ring: Signal<Out, U<4>>,
    /// Its registers.
    pub sq_base: Signal<In, U<64>>,
    /// log2 of its entries.
    pub sq_log2: Signal<In, U<4>>,
    /// Descriptors fetched.
    pub sq_head: Signal<In, U<32>>,
    /// Base of its completions.
    pub cq_base: Signal<In, U<64>>,
    /// log2 of their entries.
    pub cq_log2: Signal<In, U<4>>,
    /// Completions written.
    pub cq_tail: Signal<In, U<32>>,
    /// A descriptor was fetched.
    pub head_step: Signal<Out, Bit>,
    /// A completion is being written.
    pub tail_step: Signal<Out, Bit>,
    /// A descriptor of `ring` is being fetched or executed, up to the step of its completion.
    pub serving: Signal<Out, Bit>,
    /// Not waiting for a grant.
    pub busy: Signal<Out, Bit>,
    /// A command is being executed.
    pub executing: Signal<Out, Bit>,
    /// A command ended well.
    pub command_done: Signal<Out, Bit>,
    /// A command failed.
    pub command_failed: Signal<Out, Bit>,
    /// Record an error.
    pub fail: Signal<Out, Bit>,
    /// It stops the card.
    pub fail_card: Signal<Out, Bit>,
    /// Its status code.
    pub fail_code: Signal<Out, U<8>>,
    /// The command's tag.
    pub fail_tag: Signal<Out, U<32>>,
    /// The address refused.
    pub fail_address: Signal<Out, U<64>>,
    /// Interrupt on the vector of the ring being served.
    pub raise: Signal<Out, Bit>,
    /// Number of the engine that owns the DMA engines; 0 is the sequencer.
    pub owner: Signal<Out, U<4>>,
    /// Begin.
    pub engine_start: Signal<Out, Bit>,
    /// Every engine can begin.
    pub engine_ready: Signal<In, Bit>,
    /// The engine is done.
    pub engine_done: Signal<In, Bit>,
    /// How.
    pub engine_status: Signal<In, U<8>>,
    /// The address refused.
    pub engine_address: Signal<In, U<64>>,
    /// The command: opcode.
    pub opcode: Signal<Out, U<8>>,
    /// Polynomials, bytes or ciphertexts.
    pub count: Signal<Out, U<32>>,
    /// Source address.
    pub source: Signal<Out, U<64>>,
    /// Destination address.
    pub destination: Signal<Out, U<64>>,
    /// Words 4 to 7.
    pub operand: [Signal<Out, U<64>>; 4],
    /// Beats of card memory.
    pub memory_beats: Signal<In, U<32>>,
    /// Beats of it, from 0 on, written since reset.
    pub written_beats: Signal<In, U<32>>,
    /// Beats of source and destination.
    pub beats: Signal<Out, U<BEATS>>,
    /// Bytes of the last beat.
    pub strobe: Signal<Out, U<64>>,
    /// Begin a read of one beat.
    pub read_start: Signal<Out, Bit>,
    /// Begin a write of one beat.
    pub write_start: Signal<Out, Bit>,
    /// Address of either: of its beat.
    pub address: Signal<Out, U<64>>,
    /// Bytes of the completion in its beat.
    pub write_strobe: Signal<Out, U<64>>,
    /// Drop what a refused transfer left behind.
    pub dma_clear: Signal<Out, Bit>,
    /// The read is over.
    pub read_done: Signal<In, Bit>,
    /// It was refused.
    pub read_fault: Signal<In, Bit>,
    /// The write is over.
    pub write_done: Signal<In, Bit>,
    /// It was refused.
    pub write_fault: Signal<In, Bit>,
    /// Descriptor.
    pub q: Signal<In, Lanes<8>>,
    /// It is there.
    pub q_valid: Signal<In, Bit>,
    /// It is taken.
    pub q_ready: Signal<Out, Bit>,
    /// Completion.
    pub d: Signal<Out, Lanes<8>>,
    /// It is offered.
    pub d_valid: Signal<Out, Bit>,
    /// It is taken.
    pub d_ready: Signal<In, Bit>,
    check: DescriptorCheck,
    cycles: Counter,
    pack: Pack<8>,
    step: Reg<Step>,
    pause: Reg<U<3>>,
    first_ring: Reg<U<4>>,
    this_ring: Reg<U<4>>,
    place: Reg<U<15>>,
    phase: Reg<Bit>,
    low: Reg<U<32>>,
    carry: Reg<U<32>>,
    high: Reg<U<32>>,
    head_word: Reg<U<64>>,
    count_word: Reg<U<64>>,
    source_word: Reg<U<64>>,
    destination_word: Reg<U<64>>,
    operand_word: [Reg<U<64>>; 4],
    status: Reg<U<8>>,
    fault_address: Reg<U<64>>,
    base_low: Signal<Local, U<32>>,
    base_high: Signal<Local, U<32>>,
    offset: Signal<Local, U<33>>,
    sum: Signal<Local, U<33>>,
    log2: Signal<Local, U<4>>,
    index: Signal<Local, U<16>>,
    beyond: Signal<Local, U<15>>,
    lap: Signal<Local, U<16>>,
    completing: Signal<Local, Bit>,
    descriptor: Signal<Local, Bit>,
    here: Signal<Local, U<64>>,
    beat_low: Signal<Local, U<32>>,
    phase_word: Signal<Local, U<64>>,
    last_word: Signal<Local, U<64>>,
    cycles_word: Signal<Local, U<64>>,
    low_half: Constant<U<64>>,
    high_half: Constant<U<64>>,
    all_places: Constant<U<15>>,
    last_ring: Constant<U<4>>,
    check_pause: Constant<U<3>>,
    settle_pause: Constant<U<3>>,
    fetch_fault: Constant<U<8>>,
    complete_fault: Constant<U<8>>,
}

impl Sequencer {
    /// Cycles for which a ring's request is stale after a step.
    const SETTLE: u64 = 5;

    /// The sequencer of a card with these commands, ring degree, ports to card memory and ring pairs.
    ///
    /// # Panics
    /// As [`DescriptorCheck::new`], and if there is no ring pair.
    pub fn new(commands: u32, degree_log2: u32, ports: usize, ring_pairs: usize) -> Self {
        assert!((1..=15).contains(&ring_pairs), "{ring_pairs} ring pairs: 1 to 15");
        let code = |status: StatusCode| Constant::new(u64::from(status.code()).into());
        Self {
            clock: Default::default(),
            reset: Default::default(),
            run: Default::default(),
            granted: Default::default(),
            grant: Default::default(),
            first: Default::default(),
            ring: Default::default(),
            sq_base: Default::default(),
            sq_log2: Default::default(),
            sq_head: Default::default(),
            cq_base: Default::default(),
            cq_log2: Default::default(),
            cq_tail: Default::default(),
            head_step: Default::default(),
            tail_step: Default::default(),
            serving: Default::default(),
            busy: Default::default(),
            executing: Default::default(),
            command_done: Default::default(),
            command_failed: Default::default(),
            fail: Default::default(),
            fail_card: Default::default(),
            fail_code: Default::default(),
            fail_tag: Default::default(),
            fail_address: Default::default(),
            raise: Default::default(),
            owner: Default::default(),
            engine_start: Default::default(),
            engine_ready: Default::default(),
            engine_done: Default::default(),
            engine_status: Default::default(),
            engine_address: Default::default(),
            opcode: Default::default(),
            count: Default::default(),
            source: Default::default(),
            destination: Default::default(),
            operand: Default::default(),
            memory_beats: Default::default(),
            written_beats: Default::default(),
            beats: Default::default(),
            strobe: Default::default(),
            read_start: Default::default(),
            write_start: Default::default(),
            address: Default::default(),
            write_strobe: Default::default(),
            dma_clear: Default::default(),
            read_done: Default::default(),
            read_fault: Default::default(),
            write_done: Default::default(),
            write_fault: Default::default(),
            q: Default::default(),
            q_valid: Default::default(),
            q_ready: Default::default(),
            d: Default::default(),
            d_valid: Default::default(),
            d_ready: Default::default(),
            check: DescriptorCheck::new(commands, degree_log2, ports),
            cycles: Default::default(),
            pack: Pack::new(),
            step: Default::default(),
            pause: Default::default(),
            first_ring: Default::default(),
            this_ring: Default::default(),
            place: Default::default(),
            phase: Default::default(),
            low: Default::default(),
            carry: Default::default(),
            high: Default::default(),
            head_word: Default::default(),
            count_word: Default::default(),
            source_word: Default::default(),
            destination_word: Default::default(),
            operand_word: Default::default(),
            status: Default::default(),
            fault_address: Default::default(),
            base_low: Default::default(),
            base_high: Default::default(),
            offset: Default::default(),
            sum: Default::default(),
            log2: Default::default(),
            index: Default::default(),
            beyond: Default::default(),
            lap: Default::default(),
            completing: Default::default(),
            descriptor: Default::default(),
            here: Default::default(),
            beat_low: Default::default(),
            phase_word: Default::default(),
            last_word: Default::default(),
            cycles_word: Default::default(),
            low_half: Constant::new(0xffff_ffffu64.into()),
            high_half: Constant::new((0xffff_ffffu64 << 32).into()),
            all_places: Constant::new(0x7fffu64.into()),
            last_ring: Constant::new((ring_pairs as u64 - 1).into()),
            check_pause: Constant::new((DescriptorCheck::LATENCY as u64).into()),
            settle_pause: Constant::new(Self::SETTLE.into()),
            fetch_fault: code(StatusCode::FetchFault),
            complete_fault: code(StatusCode::CompletionFault),
        }
    }
}

impl Logic for Sequencer {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, check, cycles);
        dff_setup!(self, clock, step, pause, first_ring, this_ring, place, phase, low, carry, high);
        dff_setup!(self, clock, head_word, count_word, source_word, destination_word, status, fault_address);
        for i in 0..4 {
            self.operand_word[i].clock.next = self.clock.val();
            self.operand_word[i].d.next = self.operand_word[i].q.val();
            self.operand[i].next = self.operand_word[i].q.val();
        }
        self.check.head.next = self.head_word.q.val();
        self.check.count.next = self.count_word.q.val();
        self.check.source.next = self.source_word.q.val();
        self.check.destination.next = self.destination_word.q.val();
        self.check.memory_beats.next = self.memory_beats.val();
        self.check.written_beats.next = self.written_beats.val();
        self.opcode.next = self.head_word.q.val().get_bits::<8>(0);
        self.count.next = self.count_word.q.val().get_bits::<32>(0);
        self.source.next = self.source_word.q.val();
        self.destination.next = self.destination_word.q.val();
        self.beats.next = self.check.beats.val();
        self.strobe.next = self.check.strobe.val();
        self.first.next = self.first_ring.q.val();
        self.ring.next = self.this_ring.q.val();

        // Where the next descriptor or completion is: base + place * 64 or * 32, in two halves.
        self.completing.next = (self.step.q.val() == Step::CompleteLow)
            | (self.step.q.val() == Step::CompleteHigh)
            | (self.step.q.val() == Step::Record);
        self.log2.next = self.sq_log2.val();
        self.index.next = self.sq_head.val().get_bits::<16>(0);
        self.base_low.next = self.sq_base.val().get_bits::<32>(0);
        self.base_high.next = self.sq_base.val().get_bits::<32>(32);
        self.offset.next = self.place.q.val().to_bits::<33>() << 6;
        if self.completing.val() {
            self.log2.next = self.cq_log2.val();
            self.index.next = self.cq_tail.val().get_bits::<16>(0);
            self.base_low.next = self.cq_base.val().get_bits::<32>(0);
            self.base_high.next = self.cq_base.val().get_bits::<32>(32);
            self.offset.next = self.place.q.val().to_bits::<33>() << 5;
        }
        self.beyond.next = self.all_places.val() << self.log2.val();
        self.lap.next = self.index.val() >> self.log2.val();
        self.sum.next = self.base_low.val().to_bits::<33>() + self.offset.val();
        self.here.next = (self.high.q.val().to_bits::<64>() << 32) | self.low.q.val().to_bits::<64>();
        self.beat_low.next = self.low.q.val().get_bits::<26>(6).to_bits::<32>() << 6;
        self.address.next = (self.high.q.val().to_bits::<64>() << 32) | self.beat_low.val().to_bits::<64>();

        // The completion, twice in its beat; the strobe chooses.
        self.cycles.reset.next = self.reset.val() | (self.step.q.val() == Step::FetchStart);
        self.cycles_word.next = (self.cycles.high.val().to_bits::<64>() << 32) | self.cycles.low.val().to_bits::<64>();
        self.phase_word.next = self.phase.q.val().into();
        self.last_word.next = (self.phase_word.val() << 63)
            | (self.head_word.q.val().get_bits::<8>(0).to_bits::<64>() << 48)
            | (self.status.q.val().to_bits::<64>() << 32)
            | self.head_word.q.val().get_bits::<32>(32).to_bits::<64>();
        for half in 0..2 {
            self.pack.d[half * 4].next = self.cycles_word.val();
            self.pack.d[half * 4 + 1].next = self.fault_address.q.val();
            self.pack.d[half * 4 + 2].next = self.sq_head.val().to_bits::<64>();
            self.pack.d[half * 4 + 3].next = self.last_word.val();
        }
        self.d.next = self.pack.q.val();
        self.write_strobe.next = self.low_half.val();
        if self.low.q.val().get_bit(5) {
            self.write_strobe.next = self.high_half.val();
        }

        // Everything that happens in one step.
        self.busy.next = self.step.q.val() != Step::AwaitGrant;
        self.serving.next = (self.step.q.val() != Step::AwaitGrant)
            & (self.step.q.val() != Step::CompleteData)
            & (self.step.q.val() != Step::AwaitAcknowledge)
            & (self.step.q.val() != Step::FetchFault)
            & (self.step.q.val() != Step::CompleteFault)
            & (self.step.q.val() != Step::Settle);
        self.executing.next = (self.step.q.val() == Step::AwaitCheck)
            | (self.step.q.val() == Step::Dispatch)
            | (self.step.q.val() == Step::EngineStart)
            | (self.step.q.val() == Step::AwaitEngine);
        self.cycles.step.next = (self.step.q.val() == Step::AwaitCheck)
            | (self.step.q.val() == Step::Dispatch)
            | (self.step.q.val() == Step::EngineStart)
            | (self.step.q.val() == Step::AwaitEngine);
        self.owner.next = 0u64.into();
        if (self.step.q.val() == Step::EngineStart) | (self.step.q.val() == Step::AwaitEngine) {
            self.owner.next = self.check.engine.val();
        }
        self.engine_start.next = self.step.q.val() == Step::EngineStart;
        self.read_start.next = self.step.q.val() == Step::FetchStart;
        self.write_start.next = self.step.q.val() == Step::CompleteStart;
        self.tail_step.next = self.step.q.val() == Step::CompleteStart;
        self.d_valid.next = self.step.q.val() == Step::CompleteData;
        self.descriptor.next = (self.step.q.val() == Step::AwaitDescriptor)
            & self.read_done.val()
            & !self.read_fault.val()
            & self.q_valid.val();
        self.q_ready.next = self.descriptor.val();
        self.head_step.next = self.descriptor.val();
        self.command_done.next = (self.step.q.val() == Step::Record) & !self.status.q.val().any();
        self.command_failed.next = (self.step.q.val() == Step::Record) & self.status.q.val().any();
        self.dma_clear.next = (self.step.q.val() == Step::FetchFault) | (self.step.q.val() == Step::CompleteFault);
        self.fail_card.next = (self.step.q.val() == Step::FetchFault) | (self.step.q.val() == Step::CompleteFault);
        self.fail.next = ((self.step.q.val() == Step::Record) & self.status.q.val().any())
            | (self.step.q.val() == Step::FetchFault)
            | (self.step.q.val() == Step::CompleteFault);
        self.fail_code.next = self.status.q.val();
        self.fail_tag.next = self.head_word.q.val().get_bits::<32>(32);
        self.fail_address.next = self.fault_address.q.val();
        if self.step.q.val() == Step::FetchFault {
            self.fail_code.next = self.fetch_fault.val();
            self.fail_tag.next = 0u64.into();
            self.fail_address.next = self.here.val();
        }
        if self.step.q.val() == Step::CompleteFault {
            self.fail_code.next = self.complete_fault.val();
            self.fail_tag.next = 0u64.into();
            self.fail_address.next = self.here.val();
        }
        self.raise.next = (self.step.q.val() == Step::AwaitAcknowledge)
            & self.write_done.val()
            & !self.write_fault.val()
            & self.head_word.q.val().get_bit(8);

        match self.step.q.val() {
            Step::AwaitGrant => {
                self.pause.d.next = 0u64.into();
                if self.run.val() & self.granted.val() & self.engine_ready.val() {
                    self.this_ring.d.next = self.grant.val();
                    self.step.d.next = Step::SelectRing;
                }
            }
            Step::SelectRing => {
                self.first_ring.d.next = self.this_ring.q.val() + 1u64;
                if self.this_ring.q.val() == self.last_ring.val() {
                    self.first_ring.d.next = 0u64.into();
                }
                self.place.d.next = self.index.val().get_bits::<15>(0) & !self.beyond.val();
                self.step.d.next = Step::FetchLow;
            }
            Step::FetchLow => {
                self.low.d.next = self.sum.val().get_bits::<32>(0);
                self.carry.d.next = self.sum.val().get_bit(32).into();
                self.step.d.next = Step::FetchHigh;
            }
            Step::FetchHigh => {
                self.high.d.next = self.base_high.val() + self.carry.q.val();
                self.step.d.next = Step::FetchStart;
            }
            Step::FetchStart => {
                self.step.d.next = Step::AwaitDescriptor;
            }
            Step::AwaitDescriptor => {
                if self.descriptor.val() {
                    self.head_word.d.next = self.q.val().get_bits::<64>(0);
                    self.count_word.d.next = self.q.val().get_bits::<64>(64);
                    self.source_word.d.next = self.q.val().get_bits::<64>(128);
                    self.destination_word.d.next = self.q.val().get_bits::<64>(192);
                    for i in 0..4 {
                        self.operand_word[i].d.next = self.q.val().get_bits::<64>(i * 64 + 256);
                    }
                    self.step.d.next = Step::AwaitCheck;
                }
                if self.read_done.val() & self.read_fault.val() {
                    self.step.d.next = Step::FetchFault;
                }
            }
            Step::AwaitCheck => {
                self.pause.d.next = self.pause.q.val() + 1u64;
                if self.pause.q.val() == self.check_pause.val() {
                    self.step.d.next = Step::Dispatch;
                }
            }
            Step::Dispatch => {
                self.status.d.next = self.check.status.val();
                self.fault_address.d.next = self.check.address.val();
                self.step.d.next = Step::EngineStart;
                if self.check.status.val().any() | !self.check.engine.val().any() {
                    self.step.d.next = Step::Record;
                }
            }
            Step::EngineStart => {
                self.step.d.next = Step::AwaitEngine;
            }
            Step::AwaitEngine => {
                if self.engine_done.val() {
                    self.status.d.next = self.engine_status.val();
                    self.fault_address.d.next = self.engine_address.val();
                    self.step.d.next = Step::Record;
                }
            }
            Step::Record => {
                self.place.d.next = self.index.val().get_bits::<15>(0) & !self.beyond.val();
                self.phase.d.next = !self.lap.val().get_bit(0);
                self.step.d.next = Step::CompleteLow;
            }
            Step::CompleteLow => {
                self.low.d.next = self.sum.val().get_bits::<32>(0);
                self.carry.d.next = self.sum.val().get_bit(32).into();
                self.step.d.next = Step::CompleteHigh;
            }
            Step::CompleteHigh => {
                self.high.d.next = self.base_high.val() + self.carry.q.val();
                self.step.d.next = Step::CompleteStart;
            }
            Step::CompleteStart => {
                self.step.d.next = Step::CompleteData;
            }
            Step::CompleteData => {
                if self.d_ready.val() {
                    self.step.d.next = Step::AwaitAcknowledge;
                }
            }
            Step::AwaitAcknowledge => {
                self.pause.d.next = 0u64.into();
                if self.write_done.val() {
                    self.step.d.next = Step::Settle;
                    if self.write_fault.val() {
                        self.step.d.next = Step::CompleteFault;
                    }
                }
            }
            Step::FetchFault => {
                self.step.d.next = Step::Settle;
            }
            Step::CompleteFault => {
                self.step.d.next = Step::Settle;
            }
            Step::Settle => {
                self.pause.d.next = self.pause.q.val() + 1u64;
                if self.pause.q.val() == self.settle_pause.val() {
                    self.step.d.next = Step::AwaitGrant;
                }
            }
        }

        if self.reset.val() {
            self.step.d.next = Step::Settle;
            self.pause.d.next = 0u64.into();
            self.first_ring.d.next = 0u64.into();
        }
    }
}
