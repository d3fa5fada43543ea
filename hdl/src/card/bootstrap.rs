//! The engine of KEYSWITCH and BOOTSTRAP: judges the command, cuts it into batches, and feeds [`BootstrapEngine`].
//!
//! destination = results of the engine for the ciphertexts of source, in order
//! Range:     descriptors as `glovebox_regmap::Descriptor::check` lets through, which it checks in the same order
//! Handshake: `start` is a pulse, given only while `ready`; the command stands still until `done`, a pulse with `status` and
//!            `fault_address`; owns the host's DMA engines and card memory's read streams from `start` to `done`
//! Latency:   14 cycles from `start` to the DMA engines; then one batch behind the other as [`BootstrapEngine`] takes them
//! Reset:     `reset` gives the command up; synchronous, active high; `ready` follows once the engine's pipelines are empty
//! Limits:    one command at a time; the pipelines run empty between commands, not between a command's batches
//!
//! A batch is up to `depth` ciphertexts, or half the tables' number if each has its own: then the tables of a batch are
//! loaded into the other half while the batch before is in blind rotation. The bootstrapping key is read once a batch, and
//! its stream runs on from batch to batch. The keyswitching key's stream is cleared between batches, because a key need
//! not end with a granule; it starts with the batch's ciphertexts, ahead of its use.
//!
//! When a memory refuses something the engine holds further bursts back, waits for those under way, and resets the
//! engine before it reports. A refused host read is reported in preference to a host write, that to card memory.

use super::burst::BEATS;
use super::resize::Resize;
use super::single::Single;
use crate::bootstrap::engine::{COUNTER, COUNTERS};
use crate::bootstrap::shape::{INDEX, SLOT};
use crate::bootstrap::{BootstrapEngine, Shape};
use crate::memory::ADDRESS;
use crate::prelude::*;
use crate::word::Lanes;
use glovebox_regmap::{Opcode, StatusCode, layout};

/// What the unit does or waits for.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum BootstrapStep {
    /// A command.
    AwaitStart,
    /// Sums and small products of the settings.
    Settings,
    /// Products.
    Products,
    /// Lengths in beats.
    Lengths,
    /// Settings in range.
    JudgeSettings,
    /// Source.
    JudgeSource,
    /// Destination.
    JudgeDestination,
    /// Alignment of the card addresses.
    JudgeAlignment,
    /// The bootstrapping key is there.
    JudgeKey,
    /// The keyswitching key is there.
    JudgeSide,
    /// The tables are there.
    JudgeTables,
    /// Begin the host's transfers.
    Begin,
    /// The next batch's size.
    NextBatch,
    /// The engine's front and the side stream to be free.
    AwaitFront,
    /// Drop the rest of the side stream.
    ClearSide,
    /// Begin reading tables.
    StartTables,
    /// Their last word.
    AwaitTables,
    /// The rest of their last granule.
    AwaitTablesEnd,
    /// Drop it.
    ClearTables,
    /// Hand the batch to the engine.
    Issue,
    /// Begin reading its keyswitching key.
    StartSide,
    /// The last results.
    AwaitEnd,
    /// Drop the rest of the streams.
    Finish,
    /// A refusal: the end of the bursts under way.
    AwaitQuiet,
    /// Low half of the refused address.
    FaultLow,
    /// High half of it.
    FaultHigh,
    /// The engine to run empty.
    AwaitEmpty,
    /// Report.
    Report,
}

/// Cycles by which the engine's reset is held beyond what it asks for.
const MARGIN: usize = 8;

/// The unit: `L` lanes, granules of `W` words, `V` columns.
#[derive(LogicBlock)]
pub struct BootstrapUnit<const L: usize, const W: usize, const V: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Gives the command up.
    pub reset: Signal<In, Bit>,
    /// Begin.
    pub start: Signal<In, Bit>,
    /// Can begin.
    pub ready: Signal<Out, Bit>,
    /// KEYSWITCH or BOOTSTRAP.
    pub opcode: Signal<In, U<8>>,
    /// Ciphertexts, 1 to 4095.
    pub count: Signal<In, U<32>>,
    /// Source address.
    pub source: Signal<In, U<64>>,
    /// Destination address.
    pub destination: Signal<In, U<64>>,
    /// Words 4 to 7.
    pub operand: [Signal<In, U<64>>; 4],
    /// Beats of card memory, from 0 on, written since reset.
    pub written_beats: Signal<In, U<32>>,
    /// The command is over.
    pub done: Signal<Out, Bit>,
    /// Its status code.
    pub status: Signal<Out, U<8>>,
    /// The address refused, or 0.
    pub fault_address: Signal<Out, U<64>>,
    /// Begin both host transfers.
    pub dma_start: Signal<Out, Bit>,
    /// Beats of the source.
    pub read_beats: Signal<Out, U<BEATS>>,
    /// Beats of the destination.
    pub write_beats: Signal<Out, U<BEATS>>,
    /// Bytes of its last beat.
    pub strobe: Signal<Out, U<64>>,
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
    /// The host write is over.
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
    /// Nothing is under way in card memory.
    pub memory_quiet: Signal<In, Bit>,
    /// Begin a read of the bootstrapping key.
    pub key_start: Signal<Out, Bit>,
    /// First byte on each port.
    pub key_address: Signal<Out, U<64>>,
    /// Granules.
    pub key_beats: Signal<Out, U<BEATS>>,
    /// It is over.
    pub key_done: Signal<In, Bit>,
    /// It was refused.
    pub key_fault: Signal<In, Bit>,
    /// At this granule.
    pub key_fault_beat: Signal<In, U<BEATS>>,
    /// Granule of the bootstrapping key.
    pub key_q: Signal<In, Lanes<W>>,
    /// It is offered.
    pub key_valid: Signal<In, Bit>,
    /// It is taken.
    pub key_ready: Signal<Out, Bit>,
    /// Drop what is left of the side stream.
    pub side_clear: Signal<Out, Bit>,
    /// Begin a read of tables or keyswitching key.
    pub side_start: Signal<Out, Bit>,
    /// First byte on each port.
    pub side_address: Signal<Out, U<64>>,
    /// Granules.
    pub side_beats: Signal<Out, U<BEATS>>,
    /// It is over.
    pub side_done: Signal<In, Bit>,
    /// It was refused.
    pub side_fault: Signal<In, Bit>,
    /// At this granule.
    pub side_fault_beat: Signal<In, U<BEATS>>,
    /// Granule of tables or keyswitching key.
    pub side_q: Signal<In, Lanes<W>>,
    /// It is offered.
    pub side_valid: Signal<In, Bit>,
    /// It is taken.
    pub side_ready: Signal<Out, Bit>,
    /// The engine's counters.
    pub counters: [Signal<Out, U<COUNTER>>; COUNTERS],
    engine: BootstrapEngine,
    narrow: Resize<8, 1>,
    widen: Resize<1, 8>,
    key: Resize<W, L>,
    side: Resize<W, V>,
    tables: Resize<W, 1>,
    pack: Single,
    step: Reg<BootstrapStep>,
    result: Reg<U<8>>,
    low: Reg<U<32>>,
    high: Reg<U<32>>,
    carry: Reg<U<32>>,
    empty: Reg<U<13>>,
    reports: Reg<Bit>,
    bad: Reg<Bit>,
    small_len: Reg<U<11>>,
    words_in: Reg<U<12>>,
    words_out: Reg<U<16>>,
    kept: Reg<U<8>>,
    digits: Reg<U<7>>,
    blocks: Reg<U<11>>,
    groups: Reg<U<15>>,
    steps: Reg<U<13>>,
    stride: Reg<U<INDEX>>,
    total_in: Reg<U<24>>,
    total_out: Reg<U<28>>,
    rows: Reg<U<26>>,
    key_length: Reg<U<26>>,
    in_beats: Reg<U<BEATS>>,
    out_beats: Reg<U<BEATS>>,
    out_strobe: Reg<U<64>>,
    side_length: Reg<U<26>>,
    table_length: Reg<U<26>>,
    left: Reg<U<12>>,
    batch: Reg<U<5>>,
    first: Reg<Bit>,
    half: Reg<Bit>,
    table_beat: Reg<U<32>>,
    side_beat: Reg<U<32>>,
    loads: Reg<Bit>,
    table_left: Reg<U<16>>,
    table_at: Reg<U<ADDRESS>>,
    keys_due: Reg<U<5>>,
    key_pause: Reg<U<2>>,
    side_pause: Reg<U<2>>,
    in_left: Reg<U<24>>,
    out_left: Reg<U<28>>,
    pad_left: Reg<U<3>>,
    settings: Signal<Local, U<64>>,
    bootstraps: Signal<Local, Bit>,
    keyswitch: Signal<Local, Bit>,
    each: Signal<Local, Bit>,
    functions: Signal<Local, U<5>>,
    functions_less_1: Signal<Local, U<5>>,
    group_index: Signal<Local, U<5>>,
    slots: Signal<Local, U<2>>,
    one_more: Signal<Local, U<11>>,
    blocks_up: Signal<Local, U<11>>,
    in_up: Signal<Local, U<24>>,
    out_up: Signal<Local, U<28>>,
    spare: Signal<Local, U<64>>,
    rows_up: Signal<Local, U<26>>,
    strobe_shift: Signal<Local, U<6>>,
    host_address: Signal<Local, U<64>>,
    host_words: Signal<Local, U<28>>,
    host_bytes: Signal<Local, U<33>>,
    host_end: Signal<Local, U<33>>,
    host_bad: Signal<Local, Bit>,
    low_bits: Signal<Local, U<16>>,
    card_address: Signal<Local, U<64>>,
    card_length: Signal<Local, U<26>>,
    card_end: Signal<Local, U<33>>,
    beyond: Signal<Local, Bit>,
    key_rest: Signal<Local, U<16>>,
    side_rest: Signal<Local, U<16>>,
    cap: Signal<Local, U<12>>,
    base: Signal<Local, U<64>>,
    offset: Signal<Local, U<33>>,
    sum: Signal<Local, U<33>>,
    faulted: Signal<Local, Bit>,
    running: Signal<Local, Bit>,
    flush: Signal<Local, Bit>,
    word_in: Signal<Local, Bit>,
    word_out: Signal<Local, Bit>,
    table_word: Signal<Local, Bit>,
    key_go: Signal<Local, Bit>,
    issued: Signal<Local, Bit>,
    side_bytes: Signal<Local, U<64>>,
    keyswitch_code: Constant<U<8>>,
    bad_operand: Constant<U<8>>,
    bad_source: Constant<U<8>>,
    bad_destination: Constant<U<8>>,
    no_key_set: Constant<U<8>>,
    no_lut: Constant<U<8>>,
    read_fault_code: Constant<U<8>>,
    write_fault_code: Constant<U<8>>,
    card_fault_code: Constant<U<8>>,
    max_base: Constant<U<6>>,
    max_kept: Constant<U<8>>,
    max_ks_base: Constant<U<3>>,
    max_ks_levels: Constant<U<4>>,
    max_digits: Constant<U<7>>,
    max_functions: Constant<U<5>>,
    three: Constant<U<2>>,
    big_len: Constant<U<12>>,
    degree: Constant<U<12>>,
    step_beats: Constant<U<26>>,
    columns_less_1: Constant<U<11>>,
    columns_shift: Constant<U<5>>,
    rows_less_1: Constant<U<26>>,
    rows_shift: Constant<U<5>>,
    port_shift: Constant<U<5>>,
    granule_shift: Constant<U<5>>,
    granule_mask: Constant<U<16>>,
    table_shift: Constant<U<5>>,
    degree_shift: Constant<U<5>>,
    seven: Constant<U<24>>,
    seven_out: Constant<U<28>>,
    depth: Constant<U<12>>,
    half_tables: Constant<U<12>>,
    half_slot: Constant<U<SLOT>>,
    half_at: Constant<U<ADDRESS>>,
    all_bytes: Constant<U<64>>,
    empty_cycles: Constant<U<13>>,
    group_number: [Constant<U<5>>; 32],
    group_count: [Constant<U<15>>; 32],
}

impl<const L: usize, const W: usize, const V: usize> BootstrapUnit<L, W, V> {
    /// The unit of an engine of this shape.
    ///
    /// # Panics
    /// As [`Shape::check`], and if `L`, `W` or `V` are not the shape's key words, whole beats and the shape's columns.
    pub fn new(shape: &Shape) -> Self {
        assert_eq!((shape.key_words, shape.columns), (L, V), "beats of the keys");
        assert_eq!(layout::keyswitch_columns(L as u32), V as u64, "the map's columns");
        assert!(W >= V && W.is_multiple_of(8) && W.is_power_of_two(), "granules of {W} words");
        let cap = shape.depth.min(shape.tables / 2);
        assert!(cap > 0 && shape.tables * shape.degree <= 1 << ADDRESS, "{} tables", shape.tables);
        let degree_log2 = shape.degree.trailing_zeros();
        let code = |status: StatusCode| Constant::new(u64::from(status.code()).into());
        let shift = |by: u32| Constant::new(u64::from(by).into());
        let groups = |index: usize| {
            let (per_slot, levels) = (index / 8, if index.is_multiple_of(8) { 8 } else { index % 8 });
            (levels * shape.big_dimension()).div_ceil(per_slot.max(1)) as u64
        };
        let empty = shape.reset_cycles() + MARGIN;
        assert!(empty < 1 << 13, "a reset of {empty} cycles: the counter has 13 bits");
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
            written_beats: Default::default(),
            done: Default::default(),
            status: Default::default(),
            fault_address: Default::default(),
            dma_start: Default::default(),
            read_beats: Default::default(),
            write_beats: Default::default(),
            strobe: Default::default(),
            stop: Default::default(),
            clear: Default::default(),
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
            memory_quiet: Default::default(),
            key_start: Default::default(),
            key_address: Default::default(),
            key_beats: Default::default(),
            key_done: Default::default(),
            key_fault: Default::default(),
            key_fault_beat: Default::default(),
            key_q: Default::default(),
            key_valid: Default::default(),
            key_ready: Default::default(),
            side_clear: Default::default(),
            side_start: Default::default(),
            side_address: Default::default(),
            side_beats: Default::default(),
            side_done: Default::default(),
            side_fault: Default::default(),
            side_fault_beat: Default::default(),
            side_q: Default::default(),
            side_valid: Default::default(),
            side_ready: Default::default(),
            counters: Default::default(),
            narrow: Default::default(),
            widen: Default::default(),
            key: Default::default(),
            side: Default::default(),
            tables: Default::default(),
            pack: Default::default(),
            step: Default::default(),
            result: Default::default(),
            low: Default::default(),
            high: Default::default(),
            carry: Default::default(),
            empty: Default::default(),
            reports: Default::default(),
            bad: Default::default(),
            small_len: Default::default(),
            words_in: Default::default(),
            words_out: Default::default(),
            kept: Default::default(),
            digits: Default::default(),
            blocks: Default::default(),
            groups: Default::default(),
            steps: Default::default(),
            stride: Default::default(),
            total_in: Default::default(),
            total_out: Default::default(),
            rows: Default::default(),
            key_length: Default::default(),
            in_beats: Default::default(),
            out_beats: Default::default(),
            out_strobe: Default::default(),
            side_length: Default::default(),
            table_length: Default::default(),
            left: Default::default(),
            batch: Default::default(),
            first: Default::default(),
            half: Default::default(),
            table_beat: Default::default(),
            side_beat: Default::default(),
            loads: Default::default(),
            table_left: Default::default(),
            table_at: Default::default(),
            keys_due: Default::default(),
            key_pause: Default::default(),
            side_pause: Default::default(),
            in_left: Default::default(),
            out_left: Default::default(),
            pad_left: Default::default(),
            settings: Default::default(),
            bootstraps: Default::default(),
            keyswitch: Default::default(),
            each: Default::default(),
            functions: Default::default(),
            functions_less_1: Default::default(),
            group_index: Default::default(),
            slots: Default::default(),
            one_more: Default::default(),
            blocks_up: Default::default(),
            in_up: Default::default(),
            out_up: Default::default(),
            spare: Default::default(),
            rows_up: Default::default(),
            strobe_shift: Default::default(),
            host_address: Default::default(),
            host_words: Default::default(),
            host_bytes: Default::default(),
            host_end: Default::default(),
            host_bad: Default::default(),
            low_bits: Default::default(),
            card_address: Default::default(),
            card_length: Default::default(),
            card_end: Default::default(),
            beyond: Default::default(),
            key_rest: Default::default(),
            side_rest: Default::default(),
            cap: Default::default(),
            base: Default::default(),
            offset: Default::default(),
            sum: Default::default(),
            faulted: Default::default(),
            running: Default::default(),
            flush: Default::default(),
            word_in: Default::default(),
            word_out: Default::default(),
            table_word: Default::default(),
            key_go: Default::default(),
            issued: Default::default(),
            side_bytes: Default::default(),
            engine: BootstrapEngine::new(shape),
            keyswitch_code: Constant::new(u64::from(Opcode::Keyswitch.code()).into()),
            bad_operand: code(StatusCode::BadOperand),
            bad_source: code(StatusCode::BadSource),
            bad_destination: code(StatusCode::BadDestination),
            no_key_set: code(StatusCode::NoKeySet),
            no_lut: code(StatusCode::NoLut),
            read_fault_code: code(StatusCode::ReadFault),
            write_fault_code: code(StatusCode::WriteFault),
            card_fault_code: code(StatusCode::CardReadFault),
            max_base: Constant::new(32u64.into()),
            max_kept: Constant::new(layout::MAX_KEPT_BITS.into()),
            max_ks_base: Constant::new(4u64.into()),
            max_ks_levels: Constant::new(8u64.into()),
            max_digits: Constant::new(21u64.into()),
            max_functions: Constant::new(16u64.into()),
            three: Constant::new(3u64.into()),
            big_len: Constant::new((shape.big_dimension() as u64 + 1).into()),
            degree: Constant::new((shape.degree as u64).into()),
            step_beats: Constant::new(((shape.components() * shape.degree) as u64 / 8).into()),
            columns_less_1: Constant::new((V as u64 - 1).into()),
            columns_shift: shift(V.trailing_zeros()),
            rows_less_1: Constant::new(((W / V) as u64 - 1).into()),
            rows_shift: shift((W / V).trailing_zeros()),
            port_shift: shift((W / 8).trailing_zeros()),
            granule_shift: shift((8 * W).trailing_zeros()),
            granule_mask: Constant::new((8 * W as u64 - 1).into()),
            table_shift: shift(degree_log2 - 3),
            degree_shift: shift(degree_log2),
            seven: Constant::new(7u64.into()),
            seven_out: Constant::new(7u64.into()),
            depth: Constant::new((shape.depth as u64).into()),
            half_tables: Constant::new((cap as u64).into()),
            half_slot: Constant::new((cap as u64).into()),
            half_at: Constant::new(((cap * shape.degree) as u64).into()),
            all_bytes: Constant::new(u64::MAX.into()),
            empty_cycles: Constant::new((empty as u64).into()),
            group_number: std::array::from_fn(|i| Constant::new((i as u64).into())),
            group_count: std::array::from_fn(|i| Constant::new(groups(i).into())),
        }
    }
}

impl<const L: usize, const W: usize, const V: usize> Logic for BootstrapUnit<L, W, V> {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, engine, narrow, widen, key, side, tables);
        dff_setup!(self, clock, step, result, low, high, carry, empty, reports, bad);
        dff_setup!(self, clock, small_len, words_in, words_out, kept, digits, blocks, groups, steps, stride);
        dff_setup!(self, clock, total_in, total_out, rows, key_length, in_beats, out_beats, out_strobe);
        dff_setup!(self, clock, side_length, table_length, left, batch, first, half, table_beat, side_beat);
        dff_setup!(self, clock, loads, table_left, table_at, keys_due, key_pause, side_pause);
        dff_setup!(self, clock, in_left, out_left, pad_left);

        // Fields of the settings; see `glovebox_regmap::BootstrapSettings`.
        self.settings.next = self.operand[3].val();
        self.bootstraps.next = self.opcode.val() != self.keyswitch_code.val();
        self.keyswitch.next = self.settings.val().get_bit(29);
        self.each.next = self.settings.val().get_bit(30) & self.bootstraps.val();
        self.functions.next = self.settings.val().get_bits::<5>(31);
        self.functions_less_1.next = self.functions.val() - 1u64;
        self.slots.next = self.settings.val().get_bits::<2>(26);
        self.group_index.next =
            (self.slots.val().to_bits::<5>() << 3) | self.settings.val().get_bits::<3>(22).to_bits::<5>();

        // What the lengths need.
        self.one_more.next = self.settings.val().get_bits::<11>(0) + 1u64;
        self.blocks_up.next = self.one_more.val() + self.columns_less_1.val();
        self.in_up.next = self.total_in.q.val() + self.seven.val();
        self.out_up.next = self.total_out.q.val() + self.seven_out.val();
        self.rows_up.next = self.rows.q.val() + self.rows_less_1.val();
        self.strobe_shift.next = self.total_out.q.val().get_bits::<3>(0).to_bits::<6>() << 3;
        self.spare.next = self.all_bytes.val() << self.strobe_shift.val();

        // Ranges in host memory.
        self.host_address.next = self.destination.val();
        self.host_words.next = self.total_out.q.val();
        if self.step.q.val() == BootstrapStep::JudgeSource {
            self.host_address.next = self.source.val();
            self.host_words.next = self.total_in.q.val().to_bits::<28>();
        }
        self.host_bytes.next = self.host_words.val().to_bits::<33>() << 3;
        self.host_end.next = self.host_address.val().get_bits::<32>(0).to_bits::<33>() + self.host_bytes.val();
        self.host_bad.next = self.host_address.val().get_bits::<6>(0).any()
            | (self.host_end.val().get_bit(32) & self.host_address.val().get_bits::<32>(32).all());

        // Ranges in card memory.
        self.low_bits.next = 0u64.into();
        if self.bootstraps.val() {
            self.low_bits.next = self.operand[0].val().get_bits::<16>(0) | self.operand[2].val().get_bits::<16>(0);
        }
        self.key_rest.next = self.low_bits.val() & self.granule_mask.val();
        self.side_rest.next = self.operand[1].val().get_bits::<16>(0) & self.granule_mask.val();
        self.card_address.next = self.operand[0].val();
        self.card_length.next = self.key_length.q.val();
        if self.step.q.val() == BootstrapStep::JudgeSide {
            self.card_address.next = self.operand[1].val();
            self.card_length.next = self.side_length.q.val() << self.port_shift.val();
        }
        if self.step.q.val() == BootstrapStep::JudgeTables {
            self.card_address.next = self.operand[2].val();
            self.card_length.next = self.table_length.q.val();
        }
        self.card_end.next =
            self.card_address.val().get_bits::<32>(6).to_bits::<33>() + self.card_length.val().to_bits::<33>();
        self.beyond.next = self.card_address.val().get_bits::<26>(38).any()
            | (self.card_end.val() > self.written_beats.val().to_bits::<33>());

        // The refused address: base + beat * 64 or granule * 8 W, in two halves.
        self.base.next = self.side_bytes.val();
        self.offset.next = self.side_fault_beat.val().to_bits::<33>() << self.granule_shift.val();
        if self.key_fault.val() {
            self.base.next = self.operand[0].val();
            self.offset.next = self.key_fault_beat.val().to_bits::<33>() << self.granule_shift.val();
        }
        if self.write_fault.val() {
            self.base.next = self.destination.val();
            self.offset.next = self.write_fault_beat.val().to_bits::<33>() << 6;
        }
        if self.read_fault.val() {
            self.base.next = self.source.val();
            self.offset.next = self.read_fault_beat.val().to_bits::<33>() << 6;
        }
        self.sum.next = self.base.val().get_bits::<32>(0).to_bits::<33>() + self.offset.val();
        self.faulted.next =
            self.read_fault.val() | self.write_fault.val() | self.key_fault.val() | self.side_fault.val();

        // Words in: the source's, none of its last beat's rest.
        self.flush.next = self.reset.val()
            | (self.step.q.val() == BootstrapStep::Finish)
            | (self.step.q.val() == BootstrapStep::AwaitEmpty);
        self.narrow.reset.next = self.flush.val();
        self.narrow.s.tdata.next = self.q.val();
        self.narrow.s.tvalid.next = self.q_valid.val();
        self.q_ready.next = self.narrow.s.tready.val();
        self.engine.s_data.next = self.narrow.m.tdata.val().get_bits::<64>(0);
        self.word_in.next = self.narrow.m.tvalid.val() & self.in_left.q.val().any();
        self.engine.s_valid.next = self.word_in.val();
        self.narrow.m.tready.next = self.engine.s_ready.val() & self.in_left.q.val().any();
        if self.word_in.val() & self.engine.s_ready.val() {
            self.in_left.d.next = self.in_left.q.val() - 1u64;
        }

        // Words out, and zeros to fill the last beat.
        self.widen.reset.next = self.flush.val();
        self.pack.d.next = self.engine.m_data.val();
        self.widen.s.tdata.next = self.pack.q.val();
        self.word_out.next = self.engine.m_valid.val() & self.out_left.q.val().any();
        self.widen.s.tvalid.next = self.word_out.val() | (!self.out_left.q.val().any() & self.pad_left.q.val().any());
        self.engine.m_ready.next = self.widen.s.tready.val() & self.out_left.q.val().any();
        if self.widen.s.tready.val() {
            if self.word_out.val() {
                self.out_left.d.next = self.out_left.q.val() - 1u64;
            }
            if !self.out_left.q.val().any() & self.pad_left.q.val().any() {
                self.pad_left.d.next = self.pad_left.q.val() - 1u64;
            }
        }
        self.d.next = self.widen.m.tdata.val();
        self.d_valid.next = self.widen.m.tvalid.val();
        self.widen.m.tready.next = self.d_ready.val();

        // The bootstrapping key: begun again for each batch as soon as the one before is in.
        self.running.next = (self.step.q.val() == BootstrapStep::NextBatch)
            | (self.step.q.val() == BootstrapStep::AwaitFront)
            | (self.step.q.val() == BootstrapStep::ClearSide)
            | (self.step.q.val() == BootstrapStep::StartTables)
            | (self.step.q.val() == BootstrapStep::AwaitTables)
            | (self.step.q.val() == BootstrapStep::AwaitTablesEnd)
            | (self.step.q.val() == BootstrapStep::ClearTables)
            | (self.step.q.val() == BootstrapStep::Issue)
            | (self.step.q.val() == BootstrapStep::StartSide)
            | (self.step.q.val() == BootstrapStep::AwaitEnd);
        self.key.reset.next = self.flush.val();
        self.key.s.tdata.next = self.key_q.val();
        self.key.s.tvalid.next = self.key_valid.val();
        self.key_ready.next = self.key.s.tready.val();
        for i in 0..L {
            self.engine.bsk_data[i].next = self.key.m.tdata.val().get_bits::<64>(i * 64);
        }
        self.engine.bsk_valid.next = self.key.m.tvalid.val();
        self.key.m.tready.next = self.engine.bsk_ready.val();
        self.key_go.next =
            self.running.val() & self.keys_due.q.val().any() & self.key_done.val() & !self.key_pause.q.val().any();
        self.key_start.next = self.key_go.val();
        self.key_address.next = self.operand[0].val() >> self.port_shift.val();
        self.key_beats.next = self.key_length.q.val().to_bits::<BEATS>() >> self.port_shift.val();
        if self.key_pause.q.val().any() {
            self.key_pause.d.next = self.key_pause.q.val() - 1u64;
        }
        if self.key_go.val() {
            self.key_pause.d.next = self.three.val();
        }
        self.issued.next =
            (self.step.q.val() == BootstrapStep::Issue) & self.engine.command_ready.val() & self.bootstraps.val();
        if self.issued.val() & !self.key_go.val() {
            self.keys_due.d.next = self.keys_due.q.val() + 1u64;
        }
        if !self.issued.val() & self.key_go.val() {
            self.keys_due.d.next = self.keys_due.q.val() - 1u64;
        }

        // Tables and the keyswitching key.
        self.side_clear.next =
            (self.step.q.val() == BootstrapStep::ClearSide) | (self.step.q.val() == BootstrapStep::ClearTables);
        self.side.reset.next = self.flush.val() | self.side_clear.val();
        self.side.s.tdata.next = self.side_q.val();
        self.side.s.tvalid.next = self.side_valid.val() & !self.loads.q.val();
        self.tables.reset.next = self.flush.val() | self.side_clear.val();
        self.tables.s.tdata.next = self.side_q.val();
        self.tables.s.tvalid.next = self.side_valid.val() & self.loads.q.val();
        self.side_ready.next = self.side.s.tready.val();
        if self.loads.q.val() {
            self.side_ready.next = self.tables.s.tready.val();
        }
        for i in 0..V {
            self.engine.ksk_data[i].next = self.side.m.tdata.val().get_bits::<64>(i * 64);
        }
        self.engine.ksk_valid.next = self.side.m.tvalid.val();
        self.side.m.tready.next = self.engine.ksk_ready.val();
        self.table_word.next = self.tables.m.tvalid.val() & self.table_left.q.val().any();
        self.tables.m.tready.next = true;
        self.engine.table_write.next = self.table_word.val();
        self.engine.table_address.next = self.table_at.q.val();
        self.engine.table_data.next = self.tables.m.tdata.val().get_bits::<64>(0);
        if self.table_word.val() {
            self.table_left.d.next = self.table_left.q.val() - 1u64;
            self.table_at.d.next = self.table_at.q.val() + 1u64;
        }
        self.side_start.next =
            (self.step.q.val() == BootstrapStep::StartTables) | (self.step.q.val() == BootstrapStep::StartSide);
        self.side_bytes.next = self.side_beat.q.val().to_bits::<64>() << 6;
        self.side_address.next = self.side_bytes.val() >> self.port_shift.val();
        self.side_beats.next = self.side_length.q.val().to_bits::<BEATS>();
        if self.loads.q.val() {
            self.side_beats.next = self.table_length.q.val().to_bits::<BEATS>() >> self.port_shift.val();
        }
        if self.side_pause.q.val().any() {
            self.side_pause.d.next = self.side_pause.q.val() - 1u64;
        }
        if self.side_start.val() {
            self.side_pause.d.next = self.three.val();
        }

        // The engine's command.
        self.engine.reset.next = self.reset.val() | (self.step.q.val() == BootstrapStep::AwaitEmpty);
        self.engine.clear_counters.next = false;
        self.engine.command_valid.next = self.step.q.val() == BootstrapStep::Issue;
        self.engine.keyswitch.next = self.keyswitch.val();
        self.engine.bootstrap.next = self.bootstraps.val();
        self.engine.count.next = self.batch.q.val();
        self.engine.dimension.next = self.settings.val().get_bits::<11>(0);
        self.engine.base_log.next = self.settings.val().get_bits::<6>(11);
        self.engine.levels.next = self.settings.val().get_bits::<2>(17);
        self.engine.ks_base_log.next = self.settings.val().get_bits::<3>(19);
        self.engine.ks_levels.next = self.settings.val().get_bits::<4>(22);
        self.engine.ks_words_per_slot.next = self.slots.val();
        self.engine.centred.next = self.settings.val().get_bit(28);
        self.engine.lut.next = 0u64.into();
        if self.each.val() & self.half.q.val() {
            self.engine.lut.next = self.half_slot.val();
        }
        self.engine.lut_each.next = self.each.val();
        self.engine.functions.next = self.functions.val();
        self.engine.stride.next = self.stride.q.val();
        for i in 0..10 {
            self.counters[i].next = self.engine.counters[i].val();
        }

        self.cap.next = self.depth.val();
        if self.each.val() {
            self.cap.next = self.half_tables.val();
        }
        self.ready.next = self.step.q.val() == BootstrapStep::AwaitStart;
        self.dma_start.next = self.step.q.val() == BootstrapStep::Begin;
        self.read_beats.next = self.in_beats.q.val();
        self.write_beats.next = self.out_beats.q.val();
        self.strobe.next = self.out_strobe.q.val();
        self.stop.next = (self.step.q.val() == BootstrapStep::AwaitQuiet)
            | (self.step.q.val() == BootstrapStep::FaultLow)
            | (self.step.q.val() == BootstrapStep::FaultHigh);
        self.clear.next =
            (self.step.q.val() == BootstrapStep::AwaitEmpty) | (self.step.q.val() == BootstrapStep::Finish);
        self.done.next = self.step.q.val() == BootstrapStep::Report;
        self.status.next = self.result.q.val();
        self.fault_address.next = (self.high.q.val().to_bits::<64>() << 32) | self.low.q.val().to_bits::<64>();
        match self.step.q.val() {
            BootstrapStep::AwaitStart => {
                self.result.d.next = 0u64.into();
                self.low.d.next = 0u64.into();
                self.high.d.next = 0u64.into();
                self.keys_due.d.next = 0u64.into();
                self.key_pause.d.next = 0u64.into();
                self.side_pause.d.next = 0u64.into();
                self.loads.d.next = false;
                if self.start.val() {
                    self.step.d.next = BootstrapStep::Settings;
                }
            }
            BootstrapStep::Settings => {
                self.small_len.d.next = self.one_more.val();
                self.words_in.d.next = self.one_more.val().to_bits::<12>();
                if self.keyswitch.val() {
                    self.words_in.d.next = self.big_len.val();
                }
                self.words_out.d.next = self.one_more.val().to_bits::<16>();
                if self.bootstraps.val() {
                    self.words_out.d.next = self.big_len.val().to_bits::<16>() * self.functions.val().to_bits::<16>();
                }
                self.kept.d.next = self.settings.val().get_bits::<6>(11).to_bits::<8>()
                    * self.settings.val().get_bits::<2>(17).to_bits::<8>();
                self.digits.d.next = self.settings.val().get_bits::<3>(19).to_bits::<7>()
                    * self.settings.val().get_bits::<4>(22).to_bits::<7>();
                self.steps.d.next = self.settings.val().get_bits::<11>(0).to_bits::<13>()
                    * self.settings.val().get_bits::<2>(17).to_bits::<13>();
                self.blocks.d.next = self.blocks_up.val() >> self.columns_shift.val();
                for i in 0..32 {
                    if self.group_index.val() == self.group_number[i].val() {
                        self.groups.d.next = self.group_count[i].val();
                    }
                }
                self.stride.d.next = self.degree.val().get_bits::<11>(0);
                if self.functions_less_1.val().get_bit(0) {
                    self.stride.d.next = self.degree.val().get_bits::<11>(1);
                }
                if self.functions_less_1.val().get_bit(1) {
                    self.stride.d.next = self.degree.val().get_bits::<10>(2).to_bits::<INDEX>();
                }
                if self.functions_less_1.val().get_bit(2) {
                    self.stride.d.next = self.degree.val().get_bits::<9>(3).to_bits::<INDEX>();
                }
                if self.functions_less_1.val().get_bit(3) {
                    self.stride.d.next = self.degree.val().get_bits::<8>(4).to_bits::<INDEX>();
                }
                self.bad.d.next = self.settings.val().get_bits::<28>(36).any()
                    | !self.settings.val().get_bits::<10>(0).any()
                    | self.settings.val().get_bit(10)
                    | !self.settings.val().get_bits::<6>(11).any()
                    | (self.settings.val().get_bits::<6>(11) > self.max_base.val())
                    | !self.settings.val().get_bits::<2>(17).any()
                    | !self.settings.val().get_bits::<3>(19).any()
                    | (self.settings.val().get_bits::<3>(19) > self.max_ks_base.val())
                    | !self.settings.val().get_bits::<4>(22).any()
                    | (self.settings.val().get_bits::<4>(22) > self.max_ks_levels.val())
                    | !self.slots.val().any()
                    | !self.functions.val().any()
                    | (self.functions.val() > self.max_functions.val())
                    | (!self.bootstraps.val() & !self.keyswitch.val());
                self.step.d.next = BootstrapStep::Products;
            }
            BootstrapStep::Products => {
                self.total_in.d.next =
                    self.count.val().get_bits::<12>(0).to_bits::<24>() * self.words_in.q.val().to_bits::<24>();
                self.total_out.d.next =
                    self.count.val().get_bits::<12>(0).to_bits::<28>() * self.words_out.q.val().to_bits::<28>();
                self.rows.d.next = self.blocks.q.val().to_bits::<26>() * self.groups.q.val().to_bits::<26>();
                self.key_length.d.next = self.steps.q.val().to_bits::<26>() * self.step_beats.val();
                self.bad.d.next = self.bad.q.val()
                    | (self.kept.q.val() > self.max_kept.val())
                    | ((self.slots.val() == self.three.val()) & (self.digits.q.val() > self.max_digits.val()));
                self.table_length.d.next = self.degree.val().get_bits::<9>(3).to_bits::<26>();
                if self.each.val() {
                    self.table_length.d.next =
                        self.count.val().get_bits::<12>(0).to_bits::<26>() << self.table_shift.val();
                }
                self.step.d.next = BootstrapStep::Lengths;
            }
            BootstrapStep::Lengths => {
                self.in_beats.d.next = self.in_up.val().get_bits::<21>(3).to_bits::<BEATS>();
                self.out_beats.d.next = self.out_up.val().get_bits::<25>(3).to_bits::<BEATS>();
                self.out_strobe.d.next = self.all_bytes.val();
                if self.total_out.q.val().get_bits::<3>(0).any() {
                    self.out_strobe.d.next = !self.spare.val();
                }
                self.side_length.d.next = self.rows_up.val() >> self.rows_shift.val();
                self.in_left.d.next = self.total_in.q.val();
                self.out_left.d.next = self.total_out.q.val();
                self.pad_left.d.next = !self.total_out.q.val().get_bits::<3>(0) + 1u64;
                self.step.d.next = BootstrapStep::JudgeSettings;
            }
            BootstrapStep::JudgeSettings => {
                self.step.d.next = BootstrapStep::JudgeSource;
                if self.bad.q.val() {
                    self.result.d.next = self.bad_operand.val();
                    self.step.d.next = BootstrapStep::Report;
                }
            }
            BootstrapStep::JudgeSource => {
                self.step.d.next = BootstrapStep::JudgeDestination;
                if self.host_bad.val() {
                    self.result.d.next = self.bad_source.val();
                    self.low.d.next = self.source.val().get_bits::<32>(0);
                    self.high.d.next = self.source.val().get_bits::<32>(32);
                    self.step.d.next = BootstrapStep::Report;
                }
            }
            BootstrapStep::JudgeDestination => {
                self.step.d.next = BootstrapStep::JudgeAlignment;
                if self.host_bad.val() {
                    self.result.d.next = self.bad_destination.val();
                    self.low.d.next = self.destination.val().get_bits::<32>(0);
                    self.high.d.next = self.destination.val().get_bits::<32>(32);
                    self.step.d.next = BootstrapStep::Report;
                }
            }
            BootstrapStep::JudgeAlignment => {
                self.step.d.next = BootstrapStep::JudgeSide;
                if self.bootstraps.val() {
                    self.step.d.next = BootstrapStep::JudgeKey;
                }
                if self.key_rest.val().any() | (self.keyswitch.val() & self.side_rest.val().any()) {
                    self.result.d.next = self.bad_operand.val();
                    self.step.d.next = BootstrapStep::Report;
                }
            }
            BootstrapStep::JudgeKey => {
                self.step.d.next = BootstrapStep::JudgeTables;
                if self.keyswitch.val() {
                    self.step.d.next = BootstrapStep::JudgeSide;
                }
                if self.beyond.val() {
                    self.result.d.next = self.no_key_set.val();
                    self.low.d.next = self.operand[0].val().get_bits::<32>(0);
                    self.high.d.next = self.operand[0].val().get_bits::<32>(32);
                    self.step.d.next = BootstrapStep::Report;
                }
            }
            BootstrapStep::JudgeSide => {
                self.step.d.next = BootstrapStep::Begin;
                if self.bootstraps.val() {
                    self.step.d.next = BootstrapStep::JudgeTables;
                }
                if self.beyond.val() {
                    self.result.d.next = self.no_key_set.val();
                    self.low.d.next = self.operand[1].val().get_bits::<32>(0);
                    self.high.d.next = self.operand[1].val().get_bits::<32>(32);
                    self.step.d.next = BootstrapStep::Report;
                }
            }
            BootstrapStep::JudgeTables => {
                self.step.d.next = BootstrapStep::Begin;
                if self.beyond.val() {
                    self.result.d.next = self.no_lut.val();
                    self.low.d.next = self.operand[2].val().get_bits::<32>(0);
                    self.high.d.next = self.operand[2].val().get_bits::<32>(32);
                    self.step.d.next = BootstrapStep::Report;
                }
            }
            BootstrapStep::Begin => {
                self.left.d.next = self.count.val().get_bits::<12>(0);
                self.first.d.next = true;
                self.half.d.next = false;
                self.table_beat.d.next = self.operand[2].val().get_bits::<32>(6);
                self.step.d.next = BootstrapStep::NextBatch;
            }
            BootstrapStep::NextBatch => {
                self.batch.d.next = self.cap.val().get_bits::<5>(0);
                if self.left.q.val() < self.cap.val() {
                    self.batch.d.next = self.left.q.val().get_bits::<5>(0);
                }
                self.step.d.next = BootstrapStep::AwaitFront;
                if !self.left.q.val().any() {
                    self.step.d.next = BootstrapStep::AwaitEnd;
                }
            }
            BootstrapStep::AwaitFront => {
                if self.engine.command_ready.val() & self.side_done.val() & !self.side_pause.q.val().any() {
                    self.step.d.next = BootstrapStep::ClearSide;
                }
            }
            BootstrapStep::ClearSide => {
                self.left.d.next = self.left.q.val() - self.batch.q.val().to_bits::<12>();
                self.step.d.next = BootstrapStep::Issue;
                if self.bootstraps.val() & (self.first.q.val() | self.each.val()) {
                    self.step.d.next = BootstrapStep::StartTables;
                }
                self.loads.d.next = self.bootstraps.val() & (self.first.q.val() | self.each.val());
                self.side_beat.d.next = self.table_beat.q.val();
                self.table_at.d.next = 0u64.into();
                self.table_left.d.next = self.degree.val().to_bits::<16>();
                self.table_length.d.next = self.degree.val().get_bits::<9>(3).to_bits::<26>();
                if self.each.val() {
                    if self.half.q.val() {
                        self.table_at.d.next = self.half_at.val();
                    }
                    self.table_left.d.next = self.batch.q.val().to_bits::<16>() << self.degree_shift.val();
                    self.table_length.d.next = self.batch.q.val().to_bits::<26>() << self.table_shift.val();
                }
            }
            BootstrapStep::StartTables => {
                self.table_beat.d.next = self.table_beat.q.val() + self.table_length.q.val().to_bits::<32>();
                self.step.d.next = BootstrapStep::AwaitTables;
            }
            BootstrapStep::AwaitTables => {
                if !self.table_left.q.val().any() {
                    self.step.d.next = BootstrapStep::AwaitTablesEnd;
                }
            }
            BootstrapStep::AwaitTablesEnd => {
                if self.side_done.val() {
                    self.step.d.next = BootstrapStep::ClearTables;
                }
            }
            BootstrapStep::ClearTables => {
                self.loads.d.next = false;
                self.step.d.next = BootstrapStep::Issue;
            }
            BootstrapStep::Issue => {
                self.side_beat.d.next = self.operand[1].val().get_bits::<32>(6);
                if self.engine.command_ready.val() {
                    self.first.d.next = false;
                    self.half.d.next = !self.half.q.val();
                    self.step.d.next = BootstrapStep::NextBatch;
                    if self.keyswitch.val() {
                        self.step.d.next = BootstrapStep::StartSide;
                    }
                }
            }
            BootstrapStep::StartSide => {
                self.step.d.next = BootstrapStep::NextBatch;
            }
            BootstrapStep::AwaitEnd => {
                if self.read_done.val()
                    & self.write_done.val()
                    & self.key_done.val()
                    & self.side_done.val()
                    & self.engine.idle.val()
                    & !self.out_left.q.val().any()
                {
                    self.step.d.next = BootstrapStep::Finish;
                }
            }
            BootstrapStep::Finish => {
                self.step.d.next = BootstrapStep::Report;
            }
            BootstrapStep::AwaitQuiet => {
                self.result.d.next = self.card_fault_code.val();
                if self.write_fault.val() {
                    self.result.d.next = self.write_fault_code.val();
                }
                if self.read_fault.val() {
                    self.result.d.next = self.read_fault_code.val();
                }
                if self.read_quiet.val() & self.write_quiet.val() & self.memory_quiet.val() {
                    self.step.d.next = BootstrapStep::FaultLow;
                }
            }
            BootstrapStep::FaultLow => {
                self.low.d.next = self.sum.val().get_bits::<32>(0);
                self.carry.d.next = self.sum.val().get_bit(32).into();
                self.step.d.next = BootstrapStep::FaultHigh;
            }
            BootstrapStep::FaultHigh => {
                self.high.d.next = self.base.val().get_bits::<32>(32) + self.carry.q.val();
                self.empty.d.next = 0u64.into();
                self.reports.d.next = true;
                self.step.d.next = BootstrapStep::AwaitEmpty;
            }
            BootstrapStep::AwaitEmpty => {
                self.empty.d.next = self.empty.q.val() + 1u64;
                if self.empty.q.val() == self.empty_cycles.val() {
                    self.step.d.next = BootstrapStep::AwaitStart;
                    if self.reports.q.val() {
                        self.step.d.next = BootstrapStep::Report;
                    }
                }
            }
            BootstrapStep::Report => {
                self.step.d.next = BootstrapStep::AwaitStart;
            }
        }
        if self.running.val() & self.faulted.val() {
            self.step.d.next = BootstrapStep::AwaitQuiet;
        }
        if self.reset.val() {
            self.step.d.next = BootstrapStep::AwaitEmpty;
            self.empty.d.next = 0u64.into();
            self.reports.d.next = false;
        }
    }
}
