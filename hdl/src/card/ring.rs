//! The registers of one ring pair.
//!
//! request = enabled, SQ_HEAD != SQ_TAIL, and fewer than 2^CQ_LOG2 completions between CQ_HEAD and CQ_TAIL
//! Range:     as the register map says; indexes count mod 2^32
//! Handshake: none; one write, one read and one step of either index a cycle
//! Latency:   `read_data` 1 cycle; `request` 3 cycles from a change of the submission ring, 4 of the completion ring;
//!            `overrun` 2 cycles from a doorbell or from enabling, 3 from a step
//! Reset:     `reset` brings every register to its reset value; synchronous, active high
//! Limits:    `request` is stale for up to 4 cycles after a step: the sequencer waits that out
//!
//! `overrun` comes before the `request` that the same doorbell causes, so that a bad doorbell stops the card before it is
//! served. A ring that is enabled while it is being served, and a SQ_HEAD that steps past SQ_TAIL (a tail was taken back under
//! the fetch), are overruns too: the card stops instead of serving 2^32 descriptors that nobody wrote.

use crate::prelude::*;
use glovebox_regmap::layout;
use glovebox_regmap::registers::{self, RingRegister, ring_control};

/// One ring pair.
#[derive(LogicBlock)]
pub struct RingRegisters {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Brings every register to its reset value.
    pub reset: Signal<In, Bit>,
    /// A word is written.
    pub write_valid: Signal<In, Bit>,
    /// Where in BAR0.
    pub write_offset: Signal<In, U<16>>,
    /// What.
    pub write_data: Signal<In, U<32>>,
    /// Which word of BAR0 is read.
    pub read_offset: Signal<In, U<16>>,
    /// `read_offset` was in this block.
    pub read_hit: Signal<Out, Bit>,
    /// Its value then.
    pub read_data: Signal<Out, U<32>>,
    /// A descriptor was fetched.
    pub head_step: Signal<In, Bit>,
    /// A completion is being written.
    pub tail_step: Signal<In, Bit>,
    /// A descriptor of this ring is being fetched or executed, up to the step of its completion.
    pub serving: Signal<In, Bit>,
    /// A doorbell went further than the ring is long, or the ring was lost under the card's hands.
    pub overrun: Signal<Out, Bit>,
    /// There is a descriptor to fetch and room for its completion.
    pub request: Signal<Out, Bit>,
    /// SQ_BASE.
    pub sq_base: Signal<Out, U<64>>,
    /// SQ_LOG2.
    pub sq_log2: Signal<Out, U<4>>,
    /// SQ_HEAD.
    pub sq_head: Signal<Out, U<32>>,
    /// CQ_BASE.
    pub cq_base: Signal<Out, U<64>>,
    /// CQ_LOG2.
    pub cq_log2: Signal<Out, U<4>>,
    /// CQ_TAIL.
    pub cq_tail: Signal<Out, U<32>>,
    /// RING_VECTOR.
    pub ring_vector: Signal<Out, U<32>>,
    enabled: Reg<Bit>,
    s_log2: Reg<U<4>>,
    s_base_low: Reg<U<32>>,
    s_base_high: Reg<U<32>>,
    s_tail: Reg<U<32>>,
    s_head: Reg<U<32>>,
    c_base_low: Reg<U<32>>,
    c_base_high: Reg<U<32>>,
    c_log2: Reg<U<4>>,
    c_head: Reg<U<32>>,
    c_tail: Reg<U<32>>,
    vector: Reg<U<32>>,
    s1_hit: Reg<Bit>,
    s1_data: Reg<U<32>>,
    /// Doorbell less index less 1, and the ring it is measured by.
    s1_ahead: Reg<U<32>>,
    s1_ahead_log2: Reg<U<4>>,
    s1_doorbell: Reg<Bit>,
    /// Enabled while being served.
    s1_lost: Reg<Bit>,
    /// SQ_HEAD stepped, and what it left.
    s1_stepped: Reg<Bit>,
    s2_stepped: Reg<Bit>,
    s2_left: Reg<U<32>>,
    s2_overrun: Reg<Bit>,
    s1_used: Reg<U<32>>,
    s2_request: Reg<Bit>,
    s3_request: Reg<Bit>,
    write: Signal<Local, Bit>,
    at: Signal<Local, U<6>>,
    read_at: Signal<Local, U<6>>,
    laps: Signal<Local, U<32>>,
    used_laps: Signal<Local, U<32>>,
    base: Constant<U<10>>,
    at_control: Constant<U<6>>,
    at_sq_log2: Constant<U<6>>,
    at_sq_base: Constant<U<6>>,
    at_sq_base_high: Constant<U<6>>,
    at_sq_tail: Constant<U<6>>,
    at_sq_head: Constant<U<6>>,
    at_cq_base: Constant<U<6>>,
    at_cq_base_high: Constant<U<6>>,
    at_cq_log2: Constant<U<6>>,
    at_cq_head: Constant<U<6>>,
    at_cq_tail: Constant<U<6>>,
    at_vector: Constant<U<6>>,
}

impl RingRegisters {
    /// The registers of ring pair `ring`.
    ///
    /// # Panics
    /// If the map has no such ring pair, or no longer blocks of 64 bytes.
    pub fn new(ring: u32) -> Self {
        let first = registers::RING_CONTROL.of(ring);
        let Some(first) = first else { panic!("ring pair {ring}: the map has room for {}", layout::MAX_RING_PAIRS) };
        let base = first.offset.get() - registers::RING_CONTROL.in_block().offset.get();
        assert!(
            layout::RING_BLOCK_STRIDE == 64 && base.is_multiple_of(64),
            "the decoder is built for blocks of 64 bytes"
        );
        assert_eq!(ring_control::ENABLE.mask(), 1, "ENABLE is bit 0");
        let at = |register: RingRegister| Constant::new(u64::from(register.in_block().offset.get()).into());
        let high = |register: RingRegister| Constant::new(u64::from(register.in_block().offset.get() + 4).into());
        Self {
            clock: Default::default(),
            reset: Default::default(),
            write_valid: Default::default(),
            write_offset: Default::default(),
            write_data: Default::default(),
            read_offset: Default::default(),
            read_hit: Default::default(),
            read_data: Default::default(),
            head_step: Default::default(),
            tail_step: Default::default(),
            serving: Default::default(),
            overrun: Default::default(),
            request: Default::default(),
            sq_base: Default::default(),
            sq_log2: Default::default(),
            sq_head: Default::default(),
            cq_base: Default::default(),
            cq_log2: Default::default(),
            cq_tail: Default::default(),
            ring_vector: Default::default(),
            enabled: Default::default(),
            s_log2: Default::default(),
            s_base_low: Default::default(),
            s_base_high: Default::default(),
            s_tail: Default::default(),
            s_head: Default::default(),
            c_base_low: Default::default(),
            c_base_high: Default::default(),
            c_log2: Default::default(),
            c_head: Default::default(),
            c_tail: Default::default(),
            vector: Default::default(),
            s1_hit: Default::default(),
            s1_data: Default::default(),
            s1_ahead: Default::default(),
            s1_ahead_log2: Default::default(),
            s1_doorbell: Default::default(),
            s1_lost: Default::default(),
            s1_stepped: Default::default(),
            s2_stepped: Default::default(),
            s2_left: Default::default(),
            s2_overrun: Default::default(),
            s1_used: Default::default(),
            s2_request: Default::default(),
            s3_request: Default::default(),
            write: Default::default(),
            at: Default::default(),
            read_at: Default::default(),
            laps: Default::default(),
            used_laps: Default::default(),
            base: Constant::new(u64::from(base / 64).into()),
            at_control: at(registers::RING_CONTROL),
            at_sq_log2: at(registers::SQ_LOG2),
            at_sq_base: at(registers::SQ_BASE),
            at_sq_base_high: high(registers::SQ_BASE),
            at_sq_tail: at(registers::SQ_TAIL),
            at_sq_head: at(registers::SQ_HEAD),
            at_cq_base: at(registers::CQ_BASE),
            at_cq_base_high: high(registers::CQ_BASE),
            at_cq_log2: at(registers::CQ_LOG2),
            at_cq_head: at(registers::CQ_HEAD),
            at_cq_tail: at(registers::CQ_TAIL),
            at_vector: at(registers::RING_VECTOR),
        }
    }
}

impl Logic for RingRegisters {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, enabled, s_log2, s_base_low, s_base_high, s_tail, s_head);
        dff_setup!(self, clock, c_base_low, c_base_high, c_log2, c_head, c_tail, vector, s1_hit, s1_data);
        dff_setup!(self, clock, s1_lost, s1_stepped, s2_stepped, s2_left);
        dff_setup!(self, clock, s1_ahead, s1_ahead_log2, s1_doorbell, s2_overrun, s1_used, s2_request, s3_request);
        self.write.next = self.write_valid.val() & (self.write_offset.val().get_bits::<10>(6) == self.base.val());
        self.at.next = self.write_offset.val().get_bits::<6>(0);

        // The card's own steps.
        if self.head_step.val() {
            self.s_head.d.next = self.s_head.q.val() + 1u64;
        }
        if self.tail_step.val() {
            self.c_tail.d.next = self.c_tail.q.val() + 1u64;
        }

        // Writes, with the distance of a doorbell from the card's index: value - index - 1 = value + ~index.
        self.s1_doorbell.d.next = false;
        self.s1_lost.d.next = false;
        self.s1_ahead.d.next = self.write_data.val() + !self.s_head.q.val();
        self.s1_ahead_log2.d.next = self.s_log2.q.val();
        if self.write.val() {
            if self.at.val() == self.at_control.val() {
                self.enabled.d.next = self.write_data.val().get_bit(0);
                if self.write_data.val().get_bit(0) {
                    self.s1_lost.d.next = self.serving.val();
                    self.s_tail.d.next = 0u64.into();
                    self.s_head.d.next = 0u64.into();
                    self.c_head.d.next = 0u64.into();
                    self.c_tail.d.next = 0u64.into();
                }
            }
            if self.at.val() == self.at_sq_log2.val() {
                self.s_log2.d.next = self.write_data.val().get_bits::<4>(0);
            }
            if self.at.val() == self.at_sq_base.val() {
                self.s_base_low.d.next = self.write_data.val();
            }
            if self.at.val() == self.at_sq_base_high.val() {
                self.s_base_high.d.next = self.write_data.val();
            }
            if self.at.val() == self.at_sq_tail.val() {
                self.s_tail.d.next = self.write_data.val();
                self.s1_doorbell.d.next = true;
            }
            if self.at.val() == self.at_cq_base.val() {
                self.c_base_low.d.next = self.write_data.val();
            }
            if self.at.val() == self.at_cq_base_high.val() {
                self.c_base_high.d.next = self.write_data.val();
            }
            if self.at.val() == self.at_cq_log2.val() {
                self.c_log2.d.next = self.write_data.val().get_bits::<4>(0);
            }
            if self.at.val() == self.at_cq_head.val() {
                self.c_head.d.next = self.write_data.val();
                self.s1_doorbell.d.next = true;
                // Completions not consumed less 1: tail - value - 1 = tail + ~value.
                self.s1_ahead.d.next = self.c_tail.q.val() + !self.write_data.val();
                self.s1_ahead_log2.d.next = self.c_log2.q.val();
            }
            if self.at.val() == self.at_vector.val() {
                self.vector.d.next = self.write_data.val();
            }
        }

        // Too far: distance - 1 has a bit at or above the ring's size, and the distance is not 0.
        self.laps.next = self.s1_ahead.q.val() >> self.s1_ahead_log2.q.val();
        self.s1_stepped.d.next = self.head_step.val();
        self.s2_stepped.d.next = self.s1_stepped.q.val();
        self.s2_left.d.next = self.s_tail.q.val() - self.s_head.q.val();
        self.s2_overrun.d.next = (self.s1_doorbell.q.val() & self.laps.val().any() & !self.s1_ahead.q.val().all())
            | (self.s2_stepped.q.val() & self.s2_left.q.val().all())
            | self.s1_lost.q.val();
        self.overrun.next = self.s2_overrun.q.val();

        // Something to do.
        self.s1_used.d.next = self.c_tail.q.val() - self.c_head.q.val();
        self.used_laps.next = self.s1_used.q.val() >> self.c_log2.q.val();
        self.s2_request.d.next =
            self.enabled.q.val() & (self.s_head.q.val() != self.s_tail.q.val()) & !self.used_laps.val().any();
        self.s3_request.d.next = self.s2_request.q.val();
        self.request.next = self.s3_request.q.val();

        // Reads.
        self.s1_hit.d.next = self.read_offset.val().get_bits::<10>(6) == self.base.val();
        self.read_at.next = self.read_offset.val().get_bits::<6>(0);
        self.s1_data.d.next = 0u64.into();
        if self.read_at.val() == self.at_control.val() {
            self.s1_data.d.next = self.enabled.q.val().into();
        }
        if self.read_at.val() == self.at_sq_log2.val() {
            self.s1_data.d.next = self.s_log2.q.val().to_bits::<32>();
        }
        if self.read_at.val() == self.at_sq_base.val() {
            self.s1_data.d.next = self.s_base_low.q.val();
        }
        if self.read_at.val() == self.at_sq_base_high.val() {
            self.s1_data.d.next = self.s_base_high.q.val();
        }
        if self.read_at.val() == self.at_sq_tail.val() {
            self.s1_data.d.next = self.s_tail.q.val();
        }
        if self.read_at.val() == self.at_sq_head.val() {
            self.s1_data.d.next = self.s_head.q.val();
        }
        if self.read_at.val() == self.at_cq_base.val() {
            self.s1_data.d.next = self.c_base_low.q.val();
        }
        if self.read_at.val() == self.at_cq_base_high.val() {
            self.s1_data.d.next = self.c_base_high.q.val();
        }
        if self.read_at.val() == self.at_cq_log2.val() {
            self.s1_data.d.next = self.c_log2.q.val().to_bits::<32>();
        }
        if self.read_at.val() == self.at_cq_head.val() {
            self.s1_data.d.next = self.c_head.q.val();
        }
        if self.read_at.val() == self.at_cq_tail.val() {
            self.s1_data.d.next = self.c_tail.q.val();
        }
        if self.read_at.val() == self.at_vector.val() {
            self.s1_data.d.next = self.vector.q.val();
        }
        self.read_hit.next = self.s1_hit.q.val();
        self.read_data.next = self.s1_data.q.val();

        self.sq_base.next = (self.s_base_high.q.val().to_bits::<64>() << 32) | self.s_base_low.q.val().to_bits::<64>();
        self.sq_log2.next = self.s_log2.q.val();
        self.sq_head.next = self.s_head.q.val();
        self.cq_base.next = (self.c_base_high.q.val().to_bits::<64>() << 32) | self.c_base_low.q.val().to_bits::<64>();
        self.cq_log2.next = self.c_log2.q.val();
        self.cq_tail.next = self.c_tail.q.val();
        self.ring_vector.next = self.vector.q.val();

        if self.reset.val() {
            self.enabled.d.next = false;
            self.s_log2.d.next = 0u64.into();
            self.s_base_low.d.next = 0u64.into();
            self.s_base_high.d.next = 0u64.into();
            self.s_tail.d.next = 0u64.into();
            self.s_head.d.next = 0u64.into();
            self.c_base_low.d.next = 0u64.into();
            self.c_base_high.d.next = 0u64.into();
            self.c_log2.d.next = 0u64.into();
            self.c_head.d.next = 0u64.into();
            self.c_tail.d.next = 0u64.into();
            self.vector.d.next = 0u64.into();
            self.s1_doorbell.d.next = false;
            self.s1_lost.d.next = false;
            self.s1_stepped.d.next = false;
            self.s2_stepped.d.next = false;
            self.s2_overrun.d.next = false;
            self.s2_request.d.next = false;
            self.s3_request.d.next = false;
        }
    }
}
