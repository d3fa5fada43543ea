//! The card-wide registers: identity, control, errors, interrupts, counters.
//!
//! As `glovebox_regmap::registers::REGISTERS` says; every offset comes from there.
//! Range:     words of 32 bits
//! Handshake: none; one write and one read a cycle
//! Latency:   `read_data` 1 cycle; `enable` and `resetting` 1 cycle from the write; interrupt requests 1 cycle from their
//!            reason
//! Reset:     `reset` brings every register to its reset value; synchronous, active high
//! Limits:    an interrupt request is a pulse of one cycle, which whoever owns the MSI-X table must catch; a second reason
//!            before the message is sent is part of the same message
//!
//! The identity of the build is an input: the text of a circuit cannot hold its own hash. The shell or the simulator ties
//! `build_id` to the first 16 bytes of the SHA-256 of the Verilog file, first byte lowest.

use super::counter::Counter;
use crate::bootstrap::engine::COUNTER;
use crate::prelude::*;
use glovebox_regmap::layout;
use glovebox_regmap::registers::{self, Register, control, ring_degree_log2, status};

/// Counters, in the order of `step`.
pub const COUNTERS: [Register; 12] = [
    registers::CYCLES,
    registers::BUSY_CYCLES,
    registers::READ_BEATS,
    registers::WRITE_BEATS,
    registers::READ_STALLS,
    registers::WRITE_STALLS,
    registers::COMMANDS_DONE,
    registers::COMMANDS_FAILED,
    registers::NTT_BEATS,
    registers::INTT_BEATS,
    registers::CARD_READ_BEATS,
    registers::CARD_WRITE_BEATS,
];

/// Counters that the bootstrap engine keeps, in its order.
pub const ENGINE_COUNTERS: [Register; 10] = [
    registers::LOAD_CYCLES,
    registers::KEYSWITCH_CYCLES,
    registers::SWITCH_CYCLES,
    registers::ROTATION_WAITS,
    registers::ROTATION_CYCLES,
    registers::EXTRACT_CYCLES,
    registers::BSK_STALLS,
    registers::KSK_STALLS,
    registers::FORWARD_ACTIVE,
    registers::INVERSE_ACTIVE,
];

/// What the card says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Words a beat of the transforms.
    pub lanes: usize,
    /// log2 of the ring degree.
    pub degree_log2: u32,
    /// GLWE dimension k.
    pub glwe_dimension: usize,
    /// Ring pairs.
    pub ring_pairs: usize,
    /// Ports to card memory.
    pub ports: usize,
    /// The COMMANDS register.
    pub commands: u32,
}

/// The registers.
#[derive(LogicBlock)]
pub struct CardRegisters {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Brings every register to its reset value.
    pub reset: Signal<In, Bit>,
    /// BUILD_ID_0.
    pub build_id_0: Signal<In, U<64>>,
    /// BUILD_ID_1.
    pub build_id_1: Signal<In, U<64>>,
    /// A word is written.
    pub write_valid: Signal<In, Bit>,
    /// Where in BAR0.
    pub write_offset: Signal<In, U<16>>,
    /// What.
    pub write_data: Signal<In, U<32>>,
    /// Which word of BAR0 is read.
    pub read_offset: Signal<In, U<16>>,
    /// Its value, 0 if it is not one of these registers.
    pub read_data: Signal<Out, U<32>>,
    /// CONTROL.ENABLE.
    pub enable: Signal<Out, Bit>,
    /// A soft reset was asked for.
    pub resetting: Signal<Out, Bit>,
    /// STATUS.ERASING.
    pub erasing: Signal<In, Bit>,
    /// STATUS.FAULT.
    pub fault: Signal<Out, Bit>,
    /// STATUS.BUSY.
    pub busy: Signal<In, Bit>,
    /// STATUS.QUIET.
    pub quiet: Signal<In, Bit>,
    /// A command or the card failed.
    pub fail: Signal<In, Bit>,
    /// It was the card.
    pub fail_card: Signal<In, Bit>,
    /// Status code.
    pub fail_code: Signal<In, U<8>>,
    /// Tag of the command.
    pub fail_tag: Signal<In, U<32>>,
    /// Address that was refused.
    pub fail_address: Signal<In, U<64>>,
    /// A doorbell of some ring went too far.
    pub overrun: Signal<In, Bit>,
    /// A command asks for an interrupt.
    pub raise: Signal<In, Bit>,
    /// On this vector.
    pub raise_vector: Signal<In, U<32>>,
    /// Send the message of these vectors.
    pub interrupt: Signal<Out, U<16>>,
    /// Events, in the order of [`COUNTERS`].
    pub step: [Signal<In, Bit>; 12],
    /// Beats of card memory.
    pub memory_size_beats: Signal<In, U<32>>,
    /// Beats of it, from 0 on, written since reset.
    pub written_beats: Signal<In, U<32>>,
    /// Counters of the bootstrap engine, in the order of [`ENGINE_COUNTERS`].
    pub engine_counter: [Signal<In, U<COUNTER>>; 10],
    counter: [Counter; 12],
    enabled: Reg<Bit>,
    soft_reset: Reg<Bit>,
    card_fault: Reg<Bit>,
    error_code: Reg<U<8>>,
    error_tag: Reg<U<32>>,
    error_address: Reg<U<64>>,
    interrupt_enable: Reg<U<32>>,
    interrupt_status: Reg<U<32>>,
    interrupt_request: Reg<U<16>>,
    scratch: Reg<U<32>>,
    s1_data: Reg<U<32>>,
    raised: Signal<Local, U<32>>,
    raised_now: Signal<Local, U<32>>,
    cleared: Signal<Local, U<32>>,
    allowed: Signal<Local, U<32>>,
    enabled_word: Signal<Local, U<32>>,
    soft_reset_word: Signal<Local, U<32>>,
    erasing_word: Signal<Local, U<32>>,
    fault_word: Signal<Local, U<32>>,
    busy_word: Signal<Local, U<32>>,
    quiet_word: Signal<Local, U<32>>,
    status_word: Signal<Local, U<32>>,
    control_word: Signal<Local, U<32>>,
    one: Constant<U<32>>,
    fault_mask: Constant<U<32>>,
    overrun_code: Constant<U<8>>,
    id: Constant<U<32>>,
    map_version: Constant<U<32>>,
    lanes: Constant<U<32>>,
    degree_log2: Constant<U<32>>,
    beat_bytes: Constant<U<32>>,
    ring_pairs: Constant<U<32>>,
    commands: Constant<U<32>>,
    vectors: Constant<U<32>>,
    at_id: Constant<U<16>>,
    at_map_version: Constant<U<16>>,
    at_lanes: Constant<U<16>>,
    at_degree_log2: Constant<U<16>>,
    at_beat_bytes: Constant<U<16>>,
    at_ring_pairs: Constant<U<16>>,
    at_commands: Constant<U<16>>,
    at_vectors: Constant<U<16>>,
    at_build_id_0: Constant<U<16>>,
    at_build_id_0_high: Constant<U<16>>,
    at_build_id_1: Constant<U<16>>,
    at_build_id_1_high: Constant<U<16>>,
    at_control: Constant<U<16>>,
    at_status: Constant<U<16>>,
    at_error_code: Constant<U<16>>,
    at_error_tag: Constant<U<16>>,
    at_error_address: Constant<U<16>>,
    at_error_address_high: Constant<U<16>>,
    at_interrupt_enable: Constant<U<16>>,
    at_interrupt_status: Constant<U<16>>,
    at_scratch: Constant<U<16>>,
    at_counter: [Constant<U<16>>; 12],
    at_counter_high: [Constant<U<16>>; 12],
    at_engine: [Constant<U<16>>; 10],
    at_engine_high: [Constant<U<16>>; 10],
    granule: Constant<U<32>>,
    at_memory_bytes: Constant<U<16>>,
    at_memory_bytes_high: Constant<U<16>>,
    at_memory_written: Constant<U<16>>,
    at_memory_written_high: Constant<U<16>>,
    at_memory_granule: Constant<U<16>>,
}

impl CardRegisters {
    /// The registers of such a card.
    ///
    /// # Panics
    /// If the map moved a bit that the kernel names by number.
    pub fn new(identity: Identity) -> Self {
        assert_eq!((control::ENABLE.mask(), control::SOFT_RESET.mask()), (1, 2), "bits of CONTROL");
        let bits = [status::BUSY, status::FAULT, status::RESETTING, status::QUIET, status::ERASING];
        assert_eq!(bits.map(|field| field.mask()), [1, 2, 4, 8, 16], "bits of STATUS");
        let ring = ring_degree_log2::LOG2.set(0, identity.degree_log2);
        let ring = ring_degree_log2::GLWE_DIMENSION_LESS_1.set(ring, identity.glwe_dimension as u32 - 1);
        let word = |value: u64| Constant::new(value.into());
        let reset = |register: Register| word(register.reset.unwrap_or_default());
        let at = |register: Register| Constant::new(u64::from(register.offset.get()).into());
        let high = |register: Register| Constant::new(u64::from(register.offset.get() + 4).into());
        Self {
            clock: Default::default(),
            reset: Default::default(),
            build_id_0: Default::default(),
            build_id_1: Default::default(),
            write_valid: Default::default(),
            write_offset: Default::default(),
            write_data: Default::default(),
            read_offset: Default::default(),
            read_data: Default::default(),
            enable: Default::default(),
            resetting: Default::default(),
            erasing: Default::default(),
            fault: Default::default(),
            busy: Default::default(),
            quiet: Default::default(),
            fail: Default::default(),
            fail_card: Default::default(),
            fail_code: Default::default(),
            fail_tag: Default::default(),
            fail_address: Default::default(),
            overrun: Default::default(),
            raise: Default::default(),
            raise_vector: Default::default(),
            interrupt: Default::default(),
            step: Default::default(),
            memory_size_beats: Default::default(),
            written_beats: Default::default(),
            engine_counter: Default::default(),
            counter: Default::default(),
            enabled: Default::default(),
            soft_reset: Default::default(),
            card_fault: Default::default(),
            error_code: Default::default(),
            error_tag: Default::default(),
            error_address: Default::default(),
            interrupt_enable: Default::default(),
            interrupt_status: Default::default(),
            interrupt_request: Default::default(),
            scratch: Default::default(),
            s1_data: Default::default(),
            raised: Default::default(),
            raised_now: Default::default(),
            cleared: Default::default(),
            allowed: Default::default(),
            enabled_word: Default::default(),
            soft_reset_word: Default::default(),
            erasing_word: Default::default(),
            fault_word: Default::default(),
            busy_word: Default::default(),
            quiet_word: Default::default(),
            status_word: Default::default(),
            control_word: Default::default(),
            one: word(1),
            fault_mask: word(1 << layout::FAULT_VECTOR),
            overrun_code: Constant::new(u64::from(glovebox_regmap::StatusCode::RingOverrun.code()).into()),
            id: reset(registers::ID),
            map_version: reset(registers::MAP_VERSION),
            lanes: word(identity.lanes as u64),
            degree_log2: word(ring.into()),
            beat_bytes: reset(registers::BEAT_BYTES),
            ring_pairs: word(identity.ring_pairs as u64),
            commands: word(identity.commands.into()),
            vectors: reset(registers::VECTORS),
            at_id: at(registers::ID),
            at_map_version: at(registers::MAP_VERSION),
            at_lanes: at(registers::LANES),
            at_degree_log2: at(registers::RING_DEGREE_LOG2),
            at_beat_bytes: at(registers::BEAT_BYTES),
            at_ring_pairs: at(registers::RING_PAIRS),
            at_commands: at(registers::COMMANDS),
            at_vectors: at(registers::VECTORS),
            at_build_id_0: at(registers::BUILD_ID_0),
            at_build_id_0_high: high(registers::BUILD_ID_0),
            at_build_id_1: at(registers::BUILD_ID_1),
            at_build_id_1_high: high(registers::BUILD_ID_1),
            at_control: at(registers::CONTROL),
            at_status: at(registers::STATUS),
            at_error_code: at(registers::ERROR_CODE),
            at_error_tag: at(registers::ERROR_TAG),
            at_error_address: at(registers::ERROR_ADDRESS),
            at_error_address_high: high(registers::ERROR_ADDRESS),
            at_interrupt_enable: at(registers::INTERRUPT_ENABLE),
            at_interrupt_status: at(registers::INTERRUPT_STATUS),
            at_scratch: at(registers::SCRATCH),
            at_counter: COUNTERS.map(at),
            at_counter_high: COUNTERS.map(high),
            at_engine: ENGINE_COUNTERS.map(at),
            at_engine_high: ENGINE_COUNTERS.map(high),
            granule: word(layout::BEAT_BYTES * identity.ports as u64),
            at_memory_bytes: at(registers::CARD_MEMORY_BYTES),
            at_memory_bytes_high: high(registers::CARD_MEMORY_BYTES),
            at_memory_written: at(registers::CARD_MEMORY_WRITTEN),
            at_memory_written_high: high(registers::CARD_MEMORY_WRITTEN),
            at_memory_granule: at(registers::CARD_MEMORY_GRANULE),
        }
    }
}

impl Logic for CardRegisters {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, enabled, soft_reset, card_fault, error_code, error_tag, error_address);
        dff_setup!(self, clock, interrupt_enable, interrupt_status, interrupt_request, scratch, s1_data);
        for i in 0..12 {
            self.counter[i].clock.next = self.clock.val();
            self.counter[i].reset.next = self.reset.val();
            self.counter[i].step.next = self.step[i].val();
        }

        // Writes.
        self.cleared.next = 0u64.into();
        if self.write_valid.val() {
            if self.write_offset.val() == self.at_control.val() {
                self.enabled.d.next = self.write_data.val().get_bit(0);
                if self.write_data.val().get_bit(1) {
                    self.soft_reset.d.next = true;
                }
            }
            if self.write_offset.val() == self.at_error_code.val() {
                self.error_code.d.next = 0u64.into();
                self.error_tag.d.next = 0u64.into();
                self.error_address.d.next = 0u64.into();
                self.card_fault.d.next = false;
            }
            if self.write_offset.val() == self.at_interrupt_enable.val() {
                self.interrupt_enable.d.next = self.write_data.val();
            }
            if self.write_offset.val() == self.at_interrupt_status.val() {
                self.cleared.next = self.write_data.val();
            }
            if self.write_offset.val() == self.at_scratch.val() {
                self.scratch.d.next = self.write_data.val();
            }
        }

        // Errors; they win against a write that clears.
        if self.fail.val() {
            self.error_code.d.next = self.fail_code.val();
            self.error_tag.d.next = self.fail_tag.val();
            self.error_address.d.next = self.fail_address.val();
            if self.fail_card.val() {
                self.card_fault.d.next = true;
            }
        }
        if self.overrun.val() {
            self.error_code.d.next = self.overrun_code.val();
            self.error_tag.d.next = 0u64.into();
            self.error_address.d.next = 0u64.into();
            self.card_fault.d.next = true;
        }

        // Interrupts; a reason wins against a write that clears.
        self.raised.next = 0u64.into();
        if self.raise.val() & !self.raise_vector.val().get_bits::<27>(5).any() {
            self.raised.next = self.one.val() << self.raise_vector.val().get_bits::<5>(0);
        }
        self.raised_now.next = self.raised.val();
        if self.overrun.val() | (self.fail.val() & self.fail_card.val()) {
            self.raised_now.next = self.raised.val() | self.fault_mask.val();
        }
        self.interrupt_status.d.next = (self.interrupt_status.q.val() & !self.cleared.val()) | self.raised_now.val();
        self.allowed.next = self.raised_now.val() & self.interrupt_enable.q.val();
        self.interrupt_request.d.next = self.allowed.val().get_bits::<16>(0);
        self.interrupt.next = self.interrupt_request.q.val();

        // Reads.
        self.enabled_word.next = self.enabled.q.val().into();
        self.soft_reset_word.next = self.soft_reset.q.val().into();
        self.erasing_word.next = self.erasing.val().into();
        self.fault_word.next = self.card_fault.q.val().into();
        self.busy_word.next = self.busy.val().into();
        self.quiet_word.next = self.quiet.val().into();
        self.control_word.next =
            ((self.soft_reset_word.val() | self.erasing_word.val()) << 1) | self.enabled_word.val();
        self.status_word.next = (self.erasing_word.val() << 4)
            | (self.quiet_word.val() << 3)
            | (self.soft_reset_word.val() << 2)
            | (self.fault_word.val() << 1)
            | self.busy_word.val();
        self.s1_data.d.next = 0u64.into();
        if self.read_offset.val() == self.at_id.val() {
            self.s1_data.d.next = self.id.val();
        }
        if self.read_offset.val() == self.at_map_version.val() {
            self.s1_data.d.next = self.map_version.val();
        }
        if self.read_offset.val() == self.at_lanes.val() {
            self.s1_data.d.next = self.lanes.val();
        }
        if self.read_offset.val() == self.at_degree_log2.val() {
            self.s1_data.d.next = self.degree_log2.val();
        }
        if self.read_offset.val() == self.at_beat_bytes.val() {
            self.s1_data.d.next = self.beat_bytes.val();
        }
        if self.read_offset.val() == self.at_ring_pairs.val() {
            self.s1_data.d.next = self.ring_pairs.val();
        }
        if self.read_offset.val() == self.at_commands.val() {
            self.s1_data.d.next = self.commands.val();
        }
        if self.read_offset.val() == self.at_vectors.val() {
            self.s1_data.d.next = self.vectors.val();
        }
        if self.read_offset.val() == self.at_build_id_0.val() {
            self.s1_data.d.next = self.build_id_0.val().get_bits::<32>(0);
        }
        if self.read_offset.val() == self.at_build_id_0_high.val() {
            self.s1_data.d.next = self.build_id_0.val().get_bits::<32>(32);
        }
        if self.read_offset.val() == self.at_build_id_1.val() {
            self.s1_data.d.next = self.build_id_1.val().get_bits::<32>(0);
        }
        if self.read_offset.val() == self.at_build_id_1_high.val() {
            self.s1_data.d.next = self.build_id_1.val().get_bits::<32>(32);
        }
        if self.read_offset.val() == self.at_control.val() {
            self.s1_data.d.next = self.control_word.val();
        }
        if self.read_offset.val() == self.at_status.val() {
            self.s1_data.d.next = self.status_word.val();
        }
        if self.read_offset.val() == self.at_error_code.val() {
            self.s1_data.d.next = self.error_code.q.val().to_bits::<32>();
        }
        if self.read_offset.val() == self.at_error_tag.val() {
            self.s1_data.d.next = self.error_tag.q.val();
        }
        if self.read_offset.val() == self.at_error_address.val() {
            self.s1_data.d.next = self.error_address.q.val().get_bits::<32>(0);
        }
        if self.read_offset.val() == self.at_error_address_high.val() {
            self.s1_data.d.next = self.error_address.q.val().get_bits::<32>(32);
        }
        if self.read_offset.val() == self.at_interrupt_enable.val() {
            self.s1_data.d.next = self.interrupt_enable.q.val();
        }
        if self.read_offset.val() == self.at_interrupt_status.val() {
            self.s1_data.d.next = self.interrupt_status.q.val();
        }
        if self.read_offset.val() == self.at_scratch.val() {
            self.s1_data.d.next = self.scratch.q.val();
        }
        if self.read_offset.val() == self.at_memory_bytes.val() {
            self.s1_data.d.next = self.memory_size_beats.val() << 6;
        }
        if self.read_offset.val() == self.at_memory_bytes_high.val() {
            self.s1_data.d.next = self.memory_size_beats.val() >> 26;
        }
        if self.read_offset.val() == self.at_memory_written.val() {
            self.s1_data.d.next = self.written_beats.val() << 6;
        }
        if self.read_offset.val() == self.at_memory_written_high.val() {
            self.s1_data.d.next = self.written_beats.val() >> 26;
        }
        if self.read_offset.val() == self.at_memory_granule.val() {
            self.s1_data.d.next = self.granule.val();
        }
        for i in 0..10 {
            if self.read_offset.val() == self.at_engine[i].val() {
                self.s1_data.d.next = self.engine_counter[i].val().get_bits::<32>(0);
            }
            if self.read_offset.val() == self.at_engine_high[i].val() {
                self.s1_data.d.next = self.engine_counter[i].val().get_bits::<8>(32).to_bits::<32>();
            }
        }
        for i in 0..12 {
            if self.read_offset.val() == self.at_counter[i].val() {
                self.s1_data.d.next = self.counter[i].low.val();
            }
            if self.read_offset.val() == self.at_counter_high[i].val() {
                self.s1_data.d.next = self.counter[i].high.val();
            }
        }
        self.read_data.next = self.s1_data.q.val();
        self.enable.next = self.enabled.q.val();
        self.resetting.next = self.soft_reset.q.val();
        self.fault.next = self.card_fault.q.val();

        if self.reset.val() {
            self.enabled.d.next = false;
            self.soft_reset.d.next = false;
            self.card_fault.d.next = false;
            self.error_code.d.next = 0u64.into();
            self.error_tag.d.next = 0u64.into();
            self.error_address.d.next = 0u64.into();
            self.interrupt_enable.d.next = 0u64.into();
            self.interrupt_status.d.next = 0u64.into();
            self.interrupt_request.d.next = 0u64.into();
            self.scratch.d.next = 0u64.into();
        }
    }
}
