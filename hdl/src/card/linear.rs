//! The engine of LWE_LINEAR and POINTWISE_MAC: sums of products, a word a cycle.
//!
//! LWE_LINEAR:    out_j = (0, .., 0, c_j) + sum over t of w_jt * ciphertext_jt mod 2^64
//! POINTWISE_MAC: out_j = sum over t of a_jt o b_jt mod p, word by word
//! Range:     any words; POINTWISE_MAC's results in [0, p). The source holds for each j: c_j and for each t: w_jt, the
//!            ciphertext's words; or for each t: the words of a_jt, those of b_jt
//! Handshake: `start` is a pulse, given only while `ready`; the command stands still until `done`, a pulse with `status` and
//!            `fault_address`; owns both DMA engines from `start` to `done`
//! Latency:   8 cycles from `start` to the DMA engines; a word of the source a cycle, a word of the results a cycle, and
//!            [`LinearEngine::DRAIN`] cycles a term, one after the other
//! Reset:     `reset` gives the command up; synchronous, active high; `ready` follows once the pipeline is empty
//! Limits:    one command at a time; source and destination share no byte
//!
//! When host memory refuses a transfer the engine holds further bursts back and waits for those under way before it
//! reports. A refused read is reported in preference to a refused write.

use super::burst::BEATS;
use super::resize::Resize;
use super::single::Single;
use super::torus::TorusMultiplyAdd;
use crate::delay::DelayLine;
use crate::field::{ModAdd, ModMul};
use crate::memory::Ram;
use crate::prelude::*;
use crate::word::Lanes;
use glovebox_regmap::{Opcode, StatusCode, layout};

/// What the engine does or waits for.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum LinearStep {
    /// A command.
    AwaitStart,
    /// Words of a result's terms.
    Settings,
    /// Words in all.
    Products,
    /// Beats.
    Lengths,
    /// Settings in range.
    JudgeSettings,
    /// Source.
    JudgeSource,
    /// Destination.
    JudgeDestination,
    /// Begin both transfers.
    Begin,
    /// The first word of a result's terms.
    BeginResult,
    /// c.
    Addend,
    /// w.
    Weight,
    /// a.
    Factor,
    /// The ciphertext, or b.
    Body,
    /// The pipeline to run empty.
    Drain,
    /// The result goes out.
    Emit,
    /// The rest of the last beat.
    Pad,
    /// The acknowledgements.
    AwaitEnd,
    /// Drop the rest of the source's last beat.
    Finish,
    /// A refusal: the end of the bursts under way.
    AwaitQuiet,
    /// Low half of the refused address.
    FaultLow,
    /// High half of it.
    FaultHigh,
    /// The pipeline to run empty after it.
    AwaitEmpty,
    /// Report.
    Report,
}

/// Bits of a number of words in a ciphertext.
const LEN: usize = 13;

/// The engine.
#[derive(LogicBlock)]
pub struct LinearEngine {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Gives the command up.
    pub reset: Signal<In, Bit>,
    /// Begin.
    pub start: Signal<In, Bit>,
    /// Can begin.
    pub ready: Signal<Out, Bit>,
    /// LWE_LINEAR or POINTWISE_MAC.
    pub opcode: Signal<In, U<8>>,
    /// Results, 1 to 4095.
    pub count: Signal<In, U<32>>,
    /// Source address.
    pub source: Signal<In, U<64>>,
    /// Destination address.
    pub destination: Signal<In, U<64>>,
    /// Word 4: `glovebox_regmap::LinearSettings`.
    pub operand: Signal<In, U<64>>,
    /// The command is over.
    pub done: Signal<Out, Bit>,
    /// Its status code.
    pub status: Signal<Out, U<8>>,
    /// The address refused, or 0.
    pub fault_address: Signal<Out, U<64>>,
    /// Begin both transfers.
    pub dma_start: Signal<Out, Bit>,
    /// Beats of the source.
    pub read_beats: Signal<Out, U<BEATS>>,
    /// Beats of the destination.
    pub write_beats: Signal<Out, U<BEATS>>,
    /// Bytes of its last beat.
    pub strobe: Signal<Out, U<64>>,
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
    narrow: Resize<8, 1>,
    widen: Resize<1, 8>,
    pack: Single,
    factors: Ram<U<64>>,
    sums: Ram<U<64>>,
    multiply: ModMul,
    add: ModAdd,
    torus: TorusMultiplyAdd,
    torus_a: DelayLine<U<64>>,
    torus_b: DelayLine<U<64>>,
    torus_sum: DelayLine<U<64>>,
    /// Index and, above it, whether there is one: from the factors to the read of the sums, and on to their write.
    to_read: DelayLine<U<14>>,
    to_write: DelayLine<U<14>>,
    step: Reg<LinearStep>,
    result: Reg<U<8>>,
    low: Reg<U<32>>,
    high: Reg<U<32>>,
    carry: Reg<U<32>>,
    reports: Reg<Bit>,
    pause: Reg<U<6>>,
    bad: Reg<Bit>,
    length: Reg<U<LEN>>,
    block: Reg<U<20>>,
    total_in: Reg<U<32>>,
    total_out: Reg<U<26>>,
    in_beats: Reg<U<BEATS>>,
    out_beats: Reg<U<BEATS>>,
    out_strobe: Reg<U<64>>,
    pad_left: Reg<U<3>>,
    left: Reg<U<12>>,
    term: Reg<U<8>>,
    first: Reg<Bit>,
    index: Reg<U<LEN>>,
    addend: Reg<U<64>>,
    weight: Reg<U<64>>,
    s1_word: Reg<U<64>>,
    s1_token: Reg<U<14>>,
    is_last: Reg<Bit>,
    offered: Reg<Bit>,
    pointwise: Signal<Local, Bit>,
    terms: Signal<Local, U<8>>,
    one_more: Signal<Local, U<LEN>>,
    lwe_block: Signal<Local, U<20>>,
    in_up: Signal<Local, U<32>>,
    out_up: Signal<Local, U<26>>,
    strobe_shift: Signal<Local, U<6>>,
    spare: Signal<Local, U<64>>,
    host_address: Signal<Local, U<64>>,
    host_words: Signal<Local, U<30>>,
    host_bytes: Signal<Local, U<33>>,
    host_end: Signal<Local, U<33>>,
    host_bad: Signal<Local, Bit>,
    flush: Signal<Local, Bit>,
    takes: Signal<Local, Bit>,
    word: Signal<Local, U<64>>,
    given: Signal<Local, Bit>,
    next_index: Signal<Local, U<LEN>>,
    next_read: Signal<Local, U<LEN>>,
    last_word: Signal<Local, Bit>,
    token: Signal<Local, U<14>>,
    factor: Signal<Local, U<64>>,
    start_value: Signal<Local, U<64>>,
    sum_before: Signal<Local, U<64>>,
    emits: Signal<Local, Bit>,
    advance: Signal<Local, Bit>,
    refused_low: Signal<Local, U<32>>,
    refused_high: Signal<Local, U<32>>,
    refused_beat: Signal<Local, U<BEATS>>,
    sum: Signal<Local, U<33>>,
    offset: Signal<Local, U<33>>,
    running: Signal<Local, Bit>,
    pointwise_code: Constant<U<8>>,
    bad_operand: Constant<U<8>>,
    bad_source: Constant<U<8>>,
    bad_destination: Constant<U<8>>,
    read_fault_code: Constant<U<8>>,
    write_fault_code: Constant<U<8>>,
    degree: Constant<U<LEN>>,
    max_length: Constant<U<LEN>>,
    block_shift: Constant<U<5>>,
    seven: Constant<U<32>>,
    seven_out: Constant<U<26>>,
    all_bytes: Constant<U<64>>,
    drain: Constant<U<6>>,
    present: Constant<U<14>>,
}

impl LinearEngine {
    /// Cycles for which the pipeline is left to run empty.
    pub const DRAIN: usize = ModMul::LATENCY + ModAdd::LATENCY + 4;

    /// The engine of a card of this ring degree.
    ///
    /// # Panics
    /// If polynomials are longer than ciphertexts may be, or the pipelines cannot be balanced.
    pub fn new(degree: usize) -> Self {
        assert!(
            degree.is_power_of_two() && degree <= layout::MAX_LINEAR_WORDS as usize,
            "degree {degree}: a power of two up to {}",
            layout::MAX_LINEAR_WORDS
        );
        const {
            assert!(ModMul::LATENCY > TorusMultiplyAdd::PRODUCT && ModAdd::LATENCY > TorusMultiplyAdd::SUM);
            assert!(Self::DRAIN < 1 << 6);
        }
        let code = |status: StatusCode| Constant::new(u64::from(status.code()).into());
        let words = layout::MAX_LINEAR_WORDS as usize;
        Self {
            clock: Default::default(),
            reset: Default::default(),
            start: Default::default(),
            ready: Default::default(),
            opcode: Default::default(),
            count: Default::default(),
            source: Default::default(),
            destination: Default::default(),
            operand: Default::default(),
            done: Default::default(),
            status: Default::default(),
            fault_address: Default::default(),
            dma_start: Default::default(),
            read_beats: Default::default(),
            write_beats: Default::default(),
            strobe: Default::default(),
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
            widen: Default::default(),
            pack: Default::default(),
            factors: Ram::new(degree),
            sums: Ram::new(words),
            multiply: Default::default(),
            add: Default::default(),
            torus: Default::default(),
            torus_a: DelayLine::new(ModMul::LATENCY - TorusMultiplyAdd::PRODUCT),
            torus_b: DelayLine::new(ModMul::LATENCY - TorusMultiplyAdd::PRODUCT),
            torus_sum: DelayLine::new(ModAdd::LATENCY - TorusMultiplyAdd::SUM),
            to_read: DelayLine::new(ModMul::LATENCY - 1),
            to_write: DelayLine::new(1 + ModAdd::LATENCY),
            step: Default::default(),
            result: Default::default(),
            low: Default::default(),
            high: Default::default(),
            carry: Default::default(),
            reports: Default::default(),
            pause: Default::default(),
            bad: Default::default(),
            length: Default::default(),
            block: Default::default(),
            total_in: Default::default(),
            total_out: Default::default(),
            in_beats: Default::default(),
            out_beats: Default::default(),
            out_strobe: Default::default(),
            pad_left: Default::default(),
            left: Default::default(),
            term: Default::default(),
            first: Default::default(),
            index: Default::default(),
            addend: Default::default(),
            weight: Default::default(),
            s1_word: Default::default(),
            s1_token: Default::default(),
            is_last: Default::default(),
            offered: Default::default(),
            pointwise: Default::default(),
            terms: Default::default(),
            one_more: Default::default(),
            lwe_block: Default::default(),
            in_up: Default::default(),
            out_up: Default::default(),
            strobe_shift: Default::default(),
            spare: Default::default(),
            host_address: Default::default(),
            host_words: Default::default(),
            host_bytes: Default::default(),
            host_end: Default::default(),
            host_bad: Default::default(),
            flush: Default::default(),
            takes: Default::default(),
            word: Default::default(),
            given: Default::default(),
            next_index: Default::default(),
            next_read: Default::default(),
            last_word: Default::default(),
            token: Default::default(),
            factor: Default::default(),
            start_value: Default::default(),
            sum_before: Default::default(),
            emits: Default::default(),
            advance: Default::default(),
            refused_low: Default::default(),
            refused_high: Default::default(),
            refused_beat: Default::default(),
            sum: Default::default(),
            offset: Default::default(),
            running: Default::default(),
            pointwise_code: Constant::new(u64::from(Opcode::PointwiseMac.code()).into()),
            bad_operand: code(StatusCode::BadOperand),
            bad_source: code(StatusCode::BadSource),
            bad_destination: code(StatusCode::BadDestination),
            read_fault_code: code(StatusCode::ReadFault),
            write_fault_code: code(StatusCode::WriteFault),
            degree: Constant::new((degree as u64).into()),
            max_length: Constant::new(layout::MAX_LINEAR_WORDS.into()),
            block_shift: Constant::new(u64::from(degree.trailing_zeros() + 1).into()),
            seven: Constant::new(7u64.into()),
            seven_out: Constant::new(7u64.into()),
            all_bytes: Constant::new(u64::MAX.into()),
            drain: Constant::new((Self::DRAIN as u64).into()),
            present: Constant::new((1u64 << LEN).into()),
        }
    }
}

impl Logic for LinearEngine {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(
            self, clock, narrow, widen, factors, sums, multiply, add, torus, torus_a, torus_b, torus_sum, to_read,
            to_write
        );
        dff_setup!(
            self, clock, step, result, low, high, carry, reports, pause, bad, length, block, total_in, total_out
        );
        dff_setup!(self, clock, in_beats, out_beats, out_strobe, pad_left, left, term, first, index, addend, weight);
        dff_setup!(self, clock, s1_word, s1_token, is_last, offered);

        // Fields of the settings, and lengths.
        self.pointwise.next = self.opcode.val() == self.pointwise_code.val();
        self.terms.next = self.operand.val().get_bits::<8>(16);
        self.one_more.next = self.operand.val().get_bits::<LEN>(0) + 1u64;
        self.lwe_block.next = self.terms.val().to_bits::<20>() * self.one_more.val().to_bits::<20>();
        self.in_up.next = self.total_in.q.val() + self.seven.val();
        self.out_up.next = self.total_out.q.val() + self.seven_out.val();
        self.strobe_shift.next = self.total_out.q.val().get_bits::<3>(0).to_bits::<6>() << 3;
        self.spare.next = self.all_bytes.val() << self.strobe_shift.val();

        // Ranges in host memory.
        self.host_address.next = self.destination.val();
        self.host_words.next = self.total_out.q.val().to_bits::<30>();
        if self.step.q.val() == LinearStep::JudgeSource {
            self.host_address.next = self.source.val();
            self.host_words.next = self.total_in.q.val().get_bits::<30>(0);
        }
        self.host_bytes.next = self.host_words.val().to_bits::<33>() << 3;
        self.host_end.next = self.host_address.val().get_bits::<32>(0).to_bits::<33>() + self.host_bytes.val();
        self.host_bad.next = self.host_address.val().get_bits::<6>(0).any()
            | (self.host_end.val().get_bit(32) & self.host_address.val().get_bits::<32>(32).all());

        // Words in.
        self.flush.next = self.reset.val()
            | (self.step.q.val() == LinearStep::Finish)
            | (self.step.q.val() == LinearStep::AwaitEmpty);
        self.takes.next = (self.step.q.val() == LinearStep::Addend)
            | (self.step.q.val() == LinearStep::Weight)
            | (self.step.q.val() == LinearStep::Factor)
            | (self.step.q.val() == LinearStep::Body);
        self.narrow.reset.next = self.flush.val();
        self.narrow.s.tdata.next = self.q.val();
        self.narrow.s.tvalid.next = self.q_valid.val();
        self.q_ready.next = self.narrow.s.tready.val();
        self.narrow.m.tready.next = self.takes.val();
        self.word.next = self.narrow.m.tdata.val().get_bits::<64>(0);
        self.given.next = self.narrow.m.tvalid.val() & self.takes.val();
        self.next_index.next = self.index.q.val() + 1u64;
        self.last_word.next = self.next_index.val() == self.length.q.val();

        // 0: the factor's read. 1: both factors.
        self.factors.write_enable.next = self.given.val() & (self.step.q.val() == LinearStep::Factor);
        self.factors.write_address.next = self.index.q.val().to_bits::<16>();
        self.factors.write_data.next = self.word.val();
        self.factors.read_enable.next = true;
        self.factors.read_address.next = self.index.q.val().to_bits::<16>();
        self.s1_word.d.next = self.word.val();
        self.token.next = self.index.q.val().to_bits::<14>();
        self.s1_token.d.next = 0u64.into();
        if self.given.val() & (self.step.q.val() == LinearStep::Body) {
            self.s1_token.d.next = self.token.val() | self.present.val();
        }
        self.factor.next = self.weight.q.val();
        if self.pointwise.val() {
            self.factor.next = self.factors.read_data.val();
        }
        self.multiply.a_in.next = self.factor.val();
        self.multiply.b_in.next = self.s1_word.q.val();
        self.torus_a.d.next = self.factor.val();
        self.torus_b.d.next = self.s1_word.q.val();
        self.torus.a_in.next = self.torus_a.q.val();
        self.torus.b_in.next = self.torus_b.q.val();
        self.to_read.d.next = self.s1_token.q.val();
        self.to_write.d.next = self.to_read.q.val();

        // The sum so far, one cycle before the product; while results go out, the next word of them.
        self.emits.next = self.step.q.val() == LinearStep::Emit;
        self.advance.next = !self.offered.q.val() | self.widen.s.tready.val();
        self.sums.read_enable.next = !self.emits.val() | self.advance.val();
        self.sums.read_address.next = self.to_read.q.val().get_bits::<LEN>(0).to_bits::<16>();
        if self.emits.val() {
            self.sums.read_address.next = self.index.q.val().to_bits::<16>();
        }
        self.next_read.next = self.to_read.q.val().get_bits::<LEN>(0) + 1u64;
        self.is_last.d.next = self.next_read.val() == self.length.q.val();
        self.start_value.next = 0u64.into();
        if self.is_last.q.val() & !self.pointwise.val() {
            self.start_value.next = self.addend.q.val();
        }
        self.sum_before.next = self.sums.read_data.val();
        if self.first.q.val() {
            self.sum_before.next = self.start_value.val();
        }
        self.add.a_in.next = self.multiply.product_out.val();
        self.add.b_in.next = self.sum_before.val();
        self.torus.c_in.next = self.sum_before.val();
        self.torus_sum.d.next = self.torus.sum_out.val();
        self.sums.write_enable.next = self.to_write.q.val().get_bit(13);
        self.sums.write_address.next = self.to_write.q.val().get_bits::<LEN>(0).to_bits::<16>();
        self.sums.write_data.next = self.torus_sum.q.val();
        if self.pointwise.val() {
            self.sums.write_data.next = self.add.sum_out.val();
        }

        // Words out, and what fills the last beat: its bytes are not written.
        self.widen.reset.next = self.flush.val();
        self.pack.d.next = self.sums.read_data.val();
        self.widen.s.tdata.next = self.pack.q.val();
        self.widen.s.tvalid.next =
            self.offered.q.val() | ((self.step.q.val() == LinearStep::Pad) & self.pad_left.q.val().any());
        self.d.next = self.widen.m.tdata.val();
        self.d_valid.next = self.widen.m.tvalid.val();
        self.widen.m.tready.next = self.d_ready.val();

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

        self.ready.next = self.step.q.val() == LinearStep::AwaitStart;
        self.dma_start.next = self.step.q.val() == LinearStep::Begin;
        self.read_beats.next = self.in_beats.q.val();
        self.write_beats.next = self.out_beats.q.val();
        self.strobe.next = self.out_strobe.q.val();
        self.dma_stop.next = (self.step.q.val() == LinearStep::AwaitQuiet)
            | (self.step.q.val() == LinearStep::FaultLow)
            | (self.step.q.val() == LinearStep::FaultHigh);
        self.dma_clear.next = self.step.q.val() == LinearStep::AwaitEmpty;
        self.done.next = self.step.q.val() == LinearStep::Report;
        self.status.next = self.result.q.val();
        self.fault_address.next = (self.high.q.val().to_bits::<64>() << 32) | self.low.q.val().to_bits::<64>();
        self.running.next = self.takes.val()
            | self.emits.val()
            | (self.step.q.val() == LinearStep::BeginResult)
            | (self.step.q.val() == LinearStep::Drain)
            | (self.step.q.val() == LinearStep::Pad)
            | (self.step.q.val() == LinearStep::AwaitEnd);
        match self.step.q.val() {
            LinearStep::AwaitStart => {
                self.result.d.next = 0u64.into();
                self.low.d.next = 0u64.into();
                self.high.d.next = 0u64.into();
                self.offered.d.next = false;
                if self.start.val() {
                    self.step.d.next = LinearStep::Settings;
                }
            }
            LinearStep::Settings => {
                self.length.d.next = self.operand.val().get_bits::<LEN>(0);
                self.block.d.next = self.lwe_block.val() + 1u64;
                self.bad.d.next = self.operand.val().get_bits::<3>(13).any()
                    | self.operand.val().get_bits::<40>(24).any()
                    | !self.terms.val().any();
                if self.pointwise.val() {
                    self.length.d.next = self.degree.val();
                    self.block.d.next = self.terms.val().to_bits::<20>() << self.block_shift.val();
                }
                self.left.d.next = self.count.val().get_bits::<12>(0);
                self.step.d.next = LinearStep::Products;
            }
            LinearStep::Products => {
                self.total_in.d.next =
                    self.count.val().get_bits::<12>(0).to_bits::<32>() * self.block.q.val().to_bits::<32>();
                self.total_out.d.next =
                    self.count.val().get_bits::<12>(0).to_bits::<26>() * self.length.q.val().to_bits::<26>();
                self.bad.d.next =
                    self.bad.q.val() | !self.length.q.val().any() | (self.length.q.val() > self.max_length.val());
                self.step.d.next = LinearStep::Lengths;
            }
            LinearStep::Lengths => {
                self.in_beats.d.next = self.in_up.val().get_bits::<BEATS>(3);
                self.out_beats.d.next = self.out_up.val().get_bits::<23>(3).to_bits::<BEATS>();
                self.out_strobe.d.next = self.all_bytes.val();
                if self.total_out.q.val().get_bits::<3>(0).any() {
                    self.out_strobe.d.next = !self.spare.val();
                }
                self.pad_left.d.next = !self.total_out.q.val().get_bits::<3>(0) + 1u64;
                self.bad.d.next = self.bad.q.val() | self.total_in.q.val().get_bits::<3>(29).any();
                self.step.d.next = LinearStep::JudgeSettings;
            }
            LinearStep::JudgeSettings => {
                self.step.d.next = LinearStep::JudgeSource;
                if self.bad.q.val() {
                    self.result.d.next = self.bad_operand.val();
                    self.step.d.next = LinearStep::Report;
                }
            }
            LinearStep::JudgeSource => {
                self.step.d.next = LinearStep::JudgeDestination;
                if self.host_bad.val() {
                    self.result.d.next = self.bad_source.val();
                    self.low.d.next = self.source.val().get_bits::<32>(0);
                    self.high.d.next = self.source.val().get_bits::<32>(32);
                    self.step.d.next = LinearStep::Report;
                }
            }
            LinearStep::JudgeDestination => {
                self.step.d.next = LinearStep::Begin;
                if self.host_bad.val() {
                    self.result.d.next = self.bad_destination.val();
                    self.low.d.next = self.destination.val().get_bits::<32>(0);
                    self.high.d.next = self.destination.val().get_bits::<32>(32);
                    self.step.d.next = LinearStep::Report;
                }
            }
            LinearStep::Begin => {
                self.step.d.next = LinearStep::BeginResult;
            }
            LinearStep::BeginResult => {
                self.term.d.next = self.terms.val();
                self.first.d.next = true;
                self.index.d.next = 0u64.into();
                self.left.d.next = self.left.q.val() - 1u64;
                self.step.d.next = LinearStep::Addend;
                if self.pointwise.val() {
                    self.step.d.next = LinearStep::Factor;
                }
                if !self.left.q.val().any() {
                    self.step.d.next = LinearStep::Pad;
                }
            }
            LinearStep::Addend => {
                self.addend.d.next = self.word.val();
                if self.given.val() {
                    self.step.d.next = LinearStep::Weight;
                }
            }
            LinearStep::Weight => {
                self.weight.d.next = self.word.val();
                if self.given.val() {
                    self.step.d.next = LinearStep::Body;
                }
            }
            LinearStep::Factor => {
                if self.given.val() {
                    self.index.d.next = self.index.q.val() + 1u64;
                    if self.last_word.val() {
                        self.index.d.next = 0u64.into();
                        self.step.d.next = LinearStep::Body;
                    }
                }
            }
            LinearStep::Body => {
                self.pause.d.next = self.drain.val();
                if self.given.val() {
                    self.index.d.next = self.index.q.val() + 1u64;
                    if self.last_word.val() {
                        self.index.d.next = 0u64.into();
                        self.term.d.next = self.term.q.val() - 1u64;
                        self.step.d.next = LinearStep::Drain;
                    }
                }
            }
            LinearStep::Drain => {
                self.pause.d.next = self.pause.q.val() - 1u64;
                if !self.pause.q.val().any() {
                    self.first.d.next = false;
                    self.step.d.next = LinearStep::Emit;
                    if self.term.q.val().any() {
                        self.step.d.next = LinearStep::Weight;
                        if self.pointwise.val() {
                            self.step.d.next = LinearStep::Factor;
                        }
                    }
                }
            }
            LinearStep::Emit => {
                if self.advance.val() {
                    self.offered.d.next = true;
                    self.index.d.next = self.index.q.val() + 1u64;
                    if self.index.q.val() == self.length.q.val() {
                        self.offered.d.next = false;
                        self.step.d.next = LinearStep::BeginResult;
                    }
                }
            }
            LinearStep::Pad => {
                if self.widen.s.tready.val() & self.pad_left.q.val().any() {
                    self.pad_left.d.next = self.pad_left.q.val() - 1u64;
                }
                if !self.pad_left.q.val().any() {
                    self.step.d.next = LinearStep::AwaitEnd;
                }
            }
            LinearStep::AwaitEnd => {
                if self.read_done.val() & self.write_done.val() {
                    self.step.d.next = LinearStep::Finish;
                }
            }
            LinearStep::Finish => {
                self.step.d.next = LinearStep::Report;
            }
            LinearStep::AwaitQuiet => {
                self.result.d.next = self.write_fault_code.val();
                if self.read_fault.val() {
                    self.result.d.next = self.read_fault_code.val();
                }
                if self.read_quiet.val() & self.write_quiet.val() {
                    self.step.d.next = LinearStep::FaultLow;
                }
            }
            LinearStep::FaultLow => {
                self.low.d.next = self.sum.val().get_bits::<32>(0);
                self.carry.d.next = self.sum.val().get_bit(32).into();
                self.step.d.next = LinearStep::FaultHigh;
            }
            LinearStep::FaultHigh => {
                self.high.d.next = self.refused_high.val() + self.carry.q.val();
                self.pause.d.next = self.drain.val();
                self.reports.d.next = true;
                self.step.d.next = LinearStep::AwaitEmpty;
            }
            LinearStep::AwaitEmpty => {
                self.offered.d.next = false;
                self.pause.d.next = self.pause.q.val() - 1u64;
                if !self.pause.q.val().any() {
                    self.step.d.next = LinearStep::AwaitStart;
                    if self.reports.q.val() {
                        self.step.d.next = LinearStep::Report;
                    }
                }
            }
            LinearStep::Report => {
                self.step.d.next = LinearStep::AwaitStart;
            }
        }
        if self.running.val() & (self.read_fault.val() | self.write_fault.val()) {
            self.step.d.next = LinearStep::AwaitQuiet;
        }
        if self.reset.val() {
            self.step.d.next = LinearStep::AwaitEmpty;
            self.pause.d.next = self.drain.val();
            self.reports.d.next = false;
        }
    }
}
