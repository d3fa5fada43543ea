//! The rules that a descriptor must keep before anything is done for it.
//!
//! status, address = those of `glovebox_regmap::Descriptor::{decode, check}`, in the same order
//! Range:     any four words
//! Handshake: none; words that stand still for [`DescriptorCheck::LATENCY`] cycles have their answer then
//! Latency:   3 cycles
//! Reset:     none
//! Limits:    flags are bits 0 and 1 of their byte
//!
//! Of KEYSWITCH and BOOTSTRAP only opcode, reserved bits and count are judged here.
//!
//! Also works out what an engine needs: which engine, beats, and the bytes of the last beat.

use super::burst::BEATS;
use crate::prelude::*;
use glovebox_regmap::{Opcode, StatusCode, layout};

/// No engine: the command is over when it has been checked.
pub const ENGINE_NONE: u64 = 0;
/// The engine of COPY, NTT and INTT.
pub const ENGINE_TRANSFER: u64 = 1;
/// The engine of KEY_UPLOAD and WIPE.
pub const ENGINE_UPLOAD: u64 = 2;
/// The engine of KEYSWITCH and BOOTSTRAP; it judges their settings and addresses itself.
pub const ENGINE_BOOTSTRAP: u64 = 3;
/// Number of the engine of LWE_LINEAR and POINTWISE_MAC.
pub const ENGINE_LINEAR: u64 = 4;

/// The checker.
#[derive(LogicBlock)]
pub struct DescriptorCheck {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Word 0: opcode, flags, tag.
    pub head: Signal<In, U<64>>,
    /// Word 1: count.
    pub count: Signal<In, U<64>>,
    /// Word 2.
    pub source: Signal<In, U<64>>,
    /// Word 3.
    pub destination: Signal<In, U<64>>,
    /// Beats of 64 bytes of card memory.
    pub memory_beats: Signal<In, U<32>>,
    /// Beats of it, from 0 on, written since reset.
    pub written_beats: Signal<In, U<32>>,
    /// Status code: OK or the first rule broken.
    pub status: Signal<Out, U<8>>,
    /// Address to report, or 0.
    pub address: Signal<Out, U<64>>,
    /// Number of the engine.
    pub engine: Signal<Out, U<4>>,
    /// Beats of source and destination.
    pub beats: Signal<Out, U<BEATS>>,
    /// Bytes of the last beat.
    pub strobe: Signal<Out, U<64>>,
    s1_known: Reg<Bit>,
    s1_capable: Reg<Bit>,
    s1_reserved: Reg<Bit>,
    s1_source: Reg<Bit>,
    s1_to_host: Reg<Bit>,
    s1_to_card: Reg<Bit>,
    s1_counts: Reg<Bit>,
    s1_engine: Reg<U<4>>,
    s1_bad_count: Reg<Bit>,
    s1_bytes: Reg<U<32>>,
    s2_source_carry: Reg<Bit>,
    s2_destination_carry: Reg<Bit>,
    s2_card_end: Reg<U<33>>,
    s2_beats: Reg<U<BEATS>>,
    s2_strobe: Reg<U<64>>,
    s3_status: Reg<U<8>>,
    s3_address: Reg<U<64>>,
    s3_engine: Reg<U<4>>,
    is_copy: Signal<Local, Bit>,
    is_transform: Signal<Local, Bit>,
    is_upload: Signal<Local, Bit>,
    is_wipe: Signal<Local, Bit>,
    is_bootstrap: Signal<Local, Bit>,
    is_linear: Signal<Local, Bit>,
    count_rest: Signal<Local, U<16>>,
    destination_rest: Signal<Local, U<16>>,
    out_of_memory: Signal<Local, Bit>,
    gap: Signal<Local, Bit>,
    capability: Signal<Local, U<32>>,
    polynomial_bytes: Signal<Local, U<64>>,
    source_end: Signal<Local, U<33>>,
    destination_end: Signal<Local, U<33>>,
    rounded: Signal<Local, U<33>>,
    kept: Signal<Local, U<64>>,
    bad_source: Signal<Local, Bit>,
    bad_destination: Signal<Local, Bit>,
    commands: Constant<U<32>>,
    opcodes: Constant<U<8>>,
    copy: Constant<U<8>>,
    ntt: Constant<U<8>>,
    intt: Constant<U<8>>,
    upload_opcode: Constant<U<8>>,
    wipe_opcode: Constant<U<8>>,
    keyswitch_opcode: Constant<U<8>>,
    bootstrap_opcode: Constant<U<8>>,
    linear_opcode: Constant<U<8>>,
    pointwise_opcode: Constant<U<8>>,
    granule_mask: Constant<U<16>>,
    degree_shift: Constant<U<5>>,
    round_up: Constant<U<33>>,
    all_bytes: Constant<U<64>>,
    bad_opcode_code: Constant<U<8>>,
    reserved_code: Constant<U<8>>,
    bad_count_code: Constant<U<8>>,
    bad_source_code: Constant<U<8>>,
    bad_destination_code: Constant<U<8>>,
    out_of_memory_code: Constant<U<8>>,
    transfer: Constant<U<4>>,
    upload: Constant<U<4>>,
    bootstrap: Constant<U<4>>,
    linear: Constant<U<4>>,
}

impl DescriptorCheck {
    /// Cycles from words to answer.
    pub const LATENCY: usize = 3;

    /// The checker of a card with these commands, ring degree and ports to card memory.
    ///
    /// # Panics
    /// If the map's limits are not those that the kernel is written for, or the ports are no power of two up to 16.
    pub fn new(commands: u32, degree_log2: u32, ports: usize) -> Self {
        assert!(ports.is_power_of_two() && ports <= 16, "{ports} ports to card memory: a power of two up to 16");
        assert_eq!(layout::MAX_CIPHERTEXTS, 0xfff, "the kernel takes counts of 12 bits");
        assert_eq!(layout::MAX_POLYNOMIALS, 0xffff, "the kernel takes counts of 16 bits");
        assert_eq!(layout::MAX_COPY_BYTES, 0xffff_ffff, "the kernel takes counts of 32 bits");
        assert_eq!(layout::ADDRESS_ALIGNMENT, 64, "the kernel aligns to beats of 64 bytes");
        assert!(
            (3..=13).contains(&degree_log2),
            "log2 of the ring degree {degree_log2}: a command's bytes fit 32 bits"
        );
        let code = |status: StatusCode| Constant::new(u64::from(status.code()).into());
        let opcode = |opcode: Opcode| Constant::new(u64::from(opcode.code()).into());
        Self {
            clock: Default::default(),
            head: Default::default(),
            count: Default::default(),
            source: Default::default(),
            destination: Default::default(),
            status: Default::default(),
            address: Default::default(),
            engine: Default::default(),
            beats: Default::default(),
            strobe: Default::default(),
            s1_known: Default::default(),
            s1_capable: Default::default(),
            s1_reserved: Default::default(),
            memory_beats: Default::default(),
            written_beats: Default::default(),
            s1_source: Default::default(),
            s1_to_host: Default::default(),
            s1_to_card: Default::default(),
            s1_counts: Default::default(),
            s1_engine: Default::default(),
            s2_card_end: Default::default(),
            is_upload: Default::default(),
            is_wipe: Default::default(),
            is_bootstrap: Default::default(),
            is_linear: Default::default(),
            count_rest: Default::default(),
            destination_rest: Default::default(),
            out_of_memory: Default::default(),
            gap: Default::default(),
            s1_bad_count: Default::default(),
            s1_bytes: Default::default(),
            s2_source_carry: Default::default(),
            s2_destination_carry: Default::default(),
            s2_beats: Default::default(),
            s2_strobe: Default::default(),
            s3_status: Default::default(),
            s3_address: Default::default(),
            s3_engine: Default::default(),
            is_copy: Default::default(),
            is_transform: Default::default(),
            capability: Default::default(),
            polynomial_bytes: Default::default(),
            source_end: Default::default(),
            destination_end: Default::default(),
            rounded: Default::default(),
            kept: Default::default(),
            bad_source: Default::default(),
            bad_destination: Default::default(),
            commands: Constant::new(u64::from(commands).into()),
            opcodes: Constant::new((Opcode::ALL.len() as u64).into()),
            copy: opcode(Opcode::Copy),
            ntt: opcode(Opcode::Ntt),
            intt: opcode(Opcode::Intt),
            upload_opcode: opcode(Opcode::KeyUpload),
            wipe_opcode: opcode(Opcode::Wipe),
            keyswitch_opcode: opcode(Opcode::Keyswitch),
            bootstrap_opcode: opcode(Opcode::Bootstrap),
            linear_opcode: opcode(Opcode::LweLinear),
            pointwise_opcode: opcode(Opcode::PointwiseMac),
            granule_mask: Constant::new((layout::BEAT_BYTES * ports as u64 - 1).into()),
            degree_shift: Constant::new(u64::from(degree_log2 + 3).into()),
            round_up: Constant::new((layout::BEAT_BYTES - 1).into()),
            all_bytes: Constant::new(u64::MAX.into()),
            bad_opcode_code: code(StatusCode::BadOpcode),
            reserved_code: code(StatusCode::ReservedBits),
            bad_count_code: code(StatusCode::BadCount),
            bad_source_code: code(StatusCode::BadSource),
            bad_destination_code: code(StatusCode::BadDestination),
            out_of_memory_code: code(StatusCode::OutOfCardMemory),
            transfer: Constant::new(ENGINE_TRANSFER.into()),
            upload: Constant::new(ENGINE_UPLOAD.into()),
            bootstrap: Constant::new(ENGINE_BOOTSTRAP.into()),
            linear: Constant::new(ENGINE_LINEAR.into()),
        }
    }
}

impl Logic for DescriptorCheck {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, s1_known, s1_capable, s1_reserved, s1_source, s1_to_host, s1_to_card);
        dff_setup!(self, clock, s1_counts, s1_engine, s1_bad_count, s1_bytes);
        dff_setup!(self, clock, s2_source_carry, s2_destination_carry, s2_card_end, s2_beats, s2_strobe);
        dff_setup!(self, clock, s3_status, s3_address, s3_engine);
        // 1: opcode, reserved bits, count; bytes.
        self.is_copy.next = self.head.val().get_bits::<8>(0) == self.copy.val();
        self.is_transform.next = (self.head.val().get_bits::<8>(0) == self.ntt.val())
            | (self.head.val().get_bits::<8>(0) == self.intt.val());
        self.is_upload.next = self.head.val().get_bits::<8>(0) == self.upload_opcode.val();
        self.is_wipe.next = self.head.val().get_bits::<8>(0) == self.wipe_opcode.val();
        self.is_bootstrap.next = (self.head.val().get_bits::<8>(0) == self.keyswitch_opcode.val())
            | (self.head.val().get_bits::<8>(0) == self.bootstrap_opcode.val());
        self.is_linear.next = (self.head.val().get_bits::<8>(0) == self.linear_opcode.val())
            | (self.head.val().get_bits::<8>(0) == self.pointwise_opcode.val());
        self.capability.next = self.commands.val() >> self.head.val().get_bits::<5>(0);
        self.s1_known.d.next = self.head.val().get_bits::<8>(0) < self.opcodes.val();
        self.s1_capable.d.next = self.capability.val().get_bit(0) & !self.head.val().get_bits::<3>(5).any();
        self.s1_reserved.d.next = self.head.val().get_bits::<22>(10).any() | self.count.val().get_bits::<32>(32).any();
        self.s1_source.d.next = self.is_copy.val() | self.is_transform.val() | self.is_upload.val();
        self.s1_to_host.d.next = self.is_copy.val() | self.is_transform.val();
        self.s1_to_card.d.next = self.is_upload.val() | self.is_wipe.val();
        self.s1_counts.d.next = self.is_copy.val()
            | self.is_transform.val()
            | self.is_upload.val()
            | self.is_wipe.val()
            | self.is_bootstrap.val()
            | self.is_linear.val();
        self.s1_engine.d.next = 0u64.into();
        if self.is_copy.val() | self.is_transform.val() {
            self.s1_engine.d.next = self.transfer.val();
        }
        if self.is_upload.val() | self.is_wipe.val() {
            self.s1_engine.d.next = self.upload.val();
        }
        if self.is_bootstrap.val() {
            self.s1_engine.d.next = self.bootstrap.val();
        }
        if self.is_linear.val() {
            self.s1_engine.d.next = self.linear.val();
        }
        self.count_rest.next = self.count.val().get_bits::<16>(0) & self.granule_mask.val();
        self.s1_bad_count.d.next = !self.count.val().get_bits::<32>(0).any()
            | (self.is_transform.val() & self.count.val().get_bits::<16>(16).any())
            | ((self.is_bootstrap.val() | self.is_linear.val()) & self.count.val().get_bits::<20>(12).any())
            | ((self.is_upload.val() | self.is_wipe.val()) & self.count_rest.val().any());
        self.polynomial_bytes.next = self.count.val() << self.degree_shift.val();
        self.s1_bytes.d.next = self.count.val().get_bits::<32>(0);
        if self.is_transform.val() {
            self.s1_bytes.d.next = self.polynomial_bytes.val().get_bits::<32>(0);
        }
        // 2: ends of the ranges, beats, bytes of the last beat.
        self.source_end.next =
            self.source.val().get_bits::<32>(0).to_bits::<33>() + self.s1_bytes.q.val().to_bits::<33>();
        self.destination_end.next =
            self.destination.val().get_bits::<32>(0).to_bits::<33>() + self.s1_bytes.q.val().to_bits::<33>();
        self.rounded.next = self.s1_bytes.q.val().to_bits::<33>() + self.round_up.val();
        self.kept.next = self.all_bytes.val() << self.s1_bytes.q.val().get_bits::<6>(0);
        self.s2_source_carry.d.next = self.source_end.val().get_bit(32);
        self.s2_destination_carry.d.next = self.destination_end.val().get_bit(32);
        self.s2_card_end.d.next = self.destination.val().get_bits::<32>(6).to_bits::<33>()
            + self.s1_bytes.q.val().get_bits::<26>(6).to_bits::<33>();
        self.s2_beats.d.next = self.rounded.val().get_bits::<BEATS>(6);
        self.s2_strobe.d.next = self.all_bytes.val();
        if self.s1_bytes.q.val().get_bits::<6>(0).any() {
            self.s2_strobe.d.next = !self.kept.val();
        }
        // 3: the first rule broken; later assignments win, so the list is backwards.
        self.bad_source.next = self.source.val().get_bits::<6>(0).any()
            | (self.s2_source_carry.q.val() & self.source.val().get_bits::<32>(32).all());
        self.destination_rest.next = self.destination.val().get_bits::<16>(0) & self.granule_mask.val();
        self.bad_destination.next = self.destination.val().get_bits::<6>(0).any()
            | (self.s2_destination_carry.q.val() & self.destination.val().get_bits::<32>(32).all());
        self.gap.next = self.destination.val().get_bits::<32>(6) > self.written_beats.val();
        self.out_of_memory.next = self.destination.val().get_bits::<26>(38).any()
            | (self.s2_card_end.q.val() > self.memory_beats.val().to_bits::<33>());
        self.s3_status.d.next = 0u64.into();
        self.s3_address.d.next = 0u64.into();
        self.s3_engine.d.next = self.s1_engine.q.val();
        if self.s1_to_host.q.val() & self.bad_destination.val() {
            self.s3_status.d.next = self.bad_destination_code.val();
            self.s3_address.d.next = self.destination.val();
        }
        if self.s1_to_card.q.val() {
            if self.gap.val() {
                self.s3_status.d.next = self.bad_destination_code.val();
                self.s3_address.d.next = self.destination.val();
            }
            if self.out_of_memory.val() {
                self.s3_status.d.next = self.out_of_memory_code.val();
                self.s3_address.d.next = self.destination.val();
            }
            if self.destination_rest.val().any() {
                self.s3_status.d.next = self.bad_destination_code.val();
                self.s3_address.d.next = self.destination.val();
            }
        }
        if self.s1_source.q.val() & self.bad_source.val() {
            self.s3_status.d.next = self.bad_source_code.val();
            self.s3_address.d.next = self.source.val();
        }
        if self.s1_counts.q.val() & self.s1_bad_count.q.val() {
            self.s3_status.d.next = self.bad_count_code.val();
            self.s3_address.d.next = 0u64.into();
        }
        if !self.s1_capable.q.val() {
            self.s3_status.d.next = self.bad_opcode_code.val();
            self.s3_address.d.next = 0u64.into();
        }
        if self.s1_reserved.q.val() {
            self.s3_status.d.next = self.reserved_code.val();
            self.s3_address.d.next = 0u64.into();
        }
        if !self.s1_known.q.val() {
            self.s3_status.d.next = self.bad_opcode_code.val();
            self.s3_address.d.next = 0u64.into();
        }
        self.status.next = self.s3_status.q.val();
        self.address.next = self.s3_address.q.val();
        self.engine.next = self.s3_engine.q.val();
        self.beats.next = self.s2_beats.q.val();
        self.strobe.next = self.s2_strobe.q.val();
    }
}
