//! The card: everything between the PCIe endpoint and the transforms.
//!
//! BAR0, rings and commands as `glovebox_regmap` describes them
//! Range:     `L` lanes, `R` ring pairs (1 to 15), `P` ports to card memory (a power of two up to
//!            16), `W = 8 P`, keyswitch of `V` columns, `glovebox_regmap::layout::keyswitch_columns`
//! Handshake: AXI4-Lite slave, 32 bits, 64 KiB (`s_axil`); AXI4 master, 512-bit data, 64-bit address, one id, INCR bursts of
//!            up to 16 beats that never cross 4 KiB, to host memory (`m_axi`) and to card memory (`m_mem_*_i`, port i of
//!            `P`; addresses from 0; reads may be under way for two streams, in order); `interrupt_request` is one pulse a vector and message
//! Latency:   see `sim/tests/card/cycle_baseline.txt` for whole commands
//! Reset:     `reset`, for power-up and for a bus that hangs, is synchronous, active high, one cycle is enough; AXI traffic under
//!            way is forgotten, so the shell resets the other side with it, and card memory keeps its bytes, unreadable.
//!            CONTROL.SOFT_RESET instead waits for traffic under way, resets all and then erases card memory: see
//!            [`UploadEngine`]. It is what a shell does at a function-level reset
//! Limits:    one command at a time. `idle` is high while nothing happens until the next register write: the clock may be
//!            stopped then, at the price of CYCLES standing still
//!
//! The MSI-X table, its masks and pending bits belong to the PCIe endpoint: it turns a pulse on `interrupt_request[v]` into the
//! message of vector v. `build_id_0` and `build_id_1` carry the first 16 bytes of the SHA-256 of the Verilog text (first
//! byte lowest) and are tied by whoever instances the card, as is `card_memory_beats`, the size of card memory in beats of 64
//! bytes: all ports together, a multiple of `P`, 0 if there is none. Card memory is striped over the ports beat by beat.

use super::arbiter::RoundRobin;
use super::axi_lite::AxiLiteSlave;
use super::bootstrap::BootstrapUnit;
use super::burst::BEATS;
use super::check::{ENGINE_BOOTSTRAP, ENGINE_LINEAR, ENGINE_TRANSFER, ENGINE_UPLOAD};
use super::dma_switch::DmaSwitch;
use super::linear::LinearEngine;
use super::memory::CardMemory;
use super::read_dma::ReadDma;
use super::registers::{CardRegisters, Identity};
use super::ring::RingRegisters;
use super::sequencer::Sequencer;
use super::transfer::TransferEngine;
use super::upload::UploadEngine;
use super::write_dma::WriteDma;
use crate::bootstrap::Shape;
use crate::ntt::Plan;
use crate::ntt::stream::Pack;
use crate::prelude::*;
use crate::word::Lanes;
use glovebox_regmap::command::BOOTSTRAP_COMMANDS;

/// Ring pairs of the cards in the catalogue.
pub const RING_PAIRS: usize = 4;

/// The card over `L` lanes with `R` ring pairs and `P` ports to card memory; `W = 8 P`, `V = L / 4`.
#[derive(LogicBlock)]
pub struct GloveboxCard<const L: usize, const R: usize, const P: usize, const W: usize, const V: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous, active high.
    pub reset: Signal<In, Bit>,
    /// BUILD_ID_0, tied outside.
    pub build_id_0: Signal<In, U<64>>,
    /// BUILD_ID_1, tied outside.
    pub build_id_1: Signal<In, U<64>>,
    /// Beats of card memory, tied outside.
    pub card_memory_beats: Signal<In, U<32>>,
    /// Register write address.
    pub s_axil_awaddr: Signal<In, U<16>>,
    /// Register write address valid.
    pub s_axil_awvalid: Signal<In, Bit>,
    /// Register write address taken.
    pub s_axil_awready: Signal<Out, Bit>,
    /// Register write data.
    pub s_axil_wdata: Signal<In, U<32>>,
    /// Bytes of it.
    pub s_axil_wstrb: Signal<In, U<4>>,
    /// Register write data valid.
    pub s_axil_wvalid: Signal<In, Bit>,
    /// Register write data taken.
    pub s_axil_wready: Signal<Out, Bit>,
    /// Register write response.
    pub s_axil_bresp: Signal<Out, U<2>>,
    /// Register write response valid.
    pub s_axil_bvalid: Signal<Out, Bit>,
    /// Register write response taken.
    pub s_axil_bready: Signal<In, Bit>,
    /// Register read address.
    pub s_axil_araddr: Signal<In, U<16>>,
    /// Register read address valid.
    pub s_axil_arvalid: Signal<In, Bit>,
    /// Register read address taken.
    pub s_axil_arready: Signal<Out, Bit>,
    /// Register read data.
    pub s_axil_rdata: Signal<Out, U<32>>,
    /// Register read response.
    pub s_axil_rresp: Signal<Out, U<2>>,
    /// Register read data valid.
    pub s_axil_rvalid: Signal<Out, Bit>,
    /// Register read data taken.
    pub s_axil_rready: Signal<In, Bit>,
    /// Host read address.
    pub m_axi_araddr: Signal<Out, U<64>>,
    /// Beats less 1.
    pub m_axi_arlen: Signal<Out, U<8>>,
    /// 64 bytes a beat.
    pub m_axi_arsize: Signal<Out, U<3>>,
    /// INCR.
    pub m_axi_arburst: Signal<Out, U<2>>,
    /// Host read address valid.
    pub m_axi_arvalid: Signal<Out, Bit>,
    /// Host read address taken.
    pub m_axi_arready: Signal<In, Bit>,
    /// Host read data.
    pub m_axi_rdata: Signal<In, Lanes<8>>,
    /// Host read response.
    pub m_axi_rresp: Signal<In, U<2>>,
    /// Last beat of the burst; the card counts instead.
    pub m_axi_rlast: Signal<In, Bit>,
    /// Host read data valid.
    pub m_axi_rvalid: Signal<In, Bit>,
    /// Host read data taken.
    pub m_axi_rready: Signal<Out, Bit>,
    /// Host write address.
    pub m_axi_awaddr: Signal<Out, U<64>>,
    /// Beats less 1.
    pub m_axi_awlen: Signal<Out, U<8>>,
    /// 64 bytes a beat.
    pub m_axi_awsize: Signal<Out, U<3>>,
    /// INCR.
    pub m_axi_awburst: Signal<Out, U<2>>,
    /// Host write address valid.
    pub m_axi_awvalid: Signal<Out, Bit>,
    /// Host write address taken.
    pub m_axi_awready: Signal<In, Bit>,
    /// Host write data.
    pub m_axi_wdata: Signal<Out, Lanes<8>>,
    /// Bytes that count.
    pub m_axi_wstrb: Signal<Out, U<64>>,
    /// Last beat of the burst.
    pub m_axi_wlast: Signal<Out, Bit>,
    /// Host write data valid.
    pub m_axi_wvalid: Signal<Out, Bit>,
    /// Host write data taken.
    pub m_axi_wready: Signal<In, Bit>,
    /// Host write response.
    pub m_axi_bresp: Signal<In, U<2>>,
    /// Host write response valid.
    pub m_axi_bvalid: Signal<In, Bit>,
    /// Host write response taken.
    pub m_axi_bready: Signal<Out, Bit>,
    /// Card memory: read address.
    pub m_mem_araddr: [Signal<Out, U<64>>; P],
    /// Card memory: beats less 1.
    pub m_mem_arlen: [Signal<Out, U<8>>; P],
    /// Card memory: read address valid.
    pub m_mem_arvalid: [Signal<Out, Bit>; P],
    /// Card memory: read address taken.
    pub m_mem_arready: [Signal<In, Bit>; P],
    /// Card memory: read data.
    pub m_mem_rdata: [Signal<In, Lanes<8>>; P],
    /// Card memory: read response.
    pub m_mem_rresp: [Signal<In, U<2>>; P],
    /// Card memory: last beat of its burst.
    pub m_mem_rlast: [Signal<In, Bit>; P],
    /// Card memory: read data valid.
    pub m_mem_rvalid: [Signal<In, Bit>; P],
    /// Card memory: read data taken.
    pub m_mem_rready: [Signal<Out, Bit>; P],
    /// Card memory: write address.
    pub m_mem_awaddr: [Signal<Out, U<64>>; P],
    /// Card memory: beats less 1.
    pub m_mem_awlen: [Signal<Out, U<8>>; P],
    /// Card memory: write address valid.
    pub m_mem_awvalid: [Signal<Out, Bit>; P],
    /// Card memory: write address taken.
    pub m_mem_awready: [Signal<In, Bit>; P],
    /// Card memory: write data.
    pub m_mem_wdata: [Signal<Out, Lanes<8>>; P],
    /// Card memory: bytes that count.
    pub m_mem_wstrb: [Signal<Out, U<64>>; P],
    /// Card memory: last beat of its burst.
    pub m_mem_wlast: [Signal<Out, Bit>; P],
    /// Card memory: write data valid.
    pub m_mem_wvalid: [Signal<Out, Bit>; P],
    /// Card memory: write data taken.
    pub m_mem_wready: [Signal<In, Bit>; P],
    /// Card memory: write response.
    pub m_mem_bresp: [Signal<In, U<2>>; P],
    /// Card memory: write response valid.
    pub m_mem_bvalid: [Signal<In, Bit>; P],
    /// Card memory: write response taken.
    pub m_mem_bready: [Signal<Out, Bit>; P],
    /// Card memory: 64 bytes a beat.
    pub m_mem_arsize: [Signal<Out, U<3>>; P],
    /// Card memory: INCR.
    pub m_mem_arburst: [Signal<Out, U<2>>; P],
    /// Card memory: 64 bytes a beat.
    pub m_mem_awsize: [Signal<Out, U<3>>; P],
    /// Card memory: INCR.
    pub m_mem_awburst: [Signal<Out, U<2>>; P],
    /// Send the message of these vectors.
    pub interrupt_request: Signal<Out, U<16>>,
    /// Nothing happens until the next register write.
    pub idle: Signal<Out, Bit>,
    slave: AxiLiteSlave,
    card: CardRegisters,
    ring: [RingRegisters; R],
    arbiter: RoundRobin<R>,
    sequencer: Sequencer,
    transfer: TransferEngine<L>,
    linear: LinearEngine,
    upload: UploadEngine<P>,
    bootstrap: BootstrapUnit<L, W, V>,
    memory: CardMemory<P, W>,
    dma: DmaSwitch<5>,
    read: ReadDma,
    write: WriteDma,
    resets: Reg<Bit>,
    soft_reset: Signal<Local, Bit>,
    inner_reset: Signal<Local, Bit>,
    quiet: Signal<Local, Bit>,
    ring_data: Signal<Local, U<32>>,
    overrun: Signal<Local, Bit>,
    run: Signal<Local, Bit>,
    sq_base: Signal<Local, U<64>>,
    sq_log2: Signal<Local, U<4>>,
    sq_head: Signal<Local, U<32>>,
    cq_base: Signal<Local, U<64>>,
    cq_log2: Signal<Local, U<4>>,
    cq_tail: Signal<Local, U<32>>,
    ring_vector: Signal<Local, U<32>>,
    number: [Constant<U<4>>; R],
    one_beat: Constant<U<BEATS>>,
    no_beats: Signal<Local, Lanes<8>>,
    none: Pack<8>,
    transfer_engine: Constant<U<4>>,
    upload_engine: Constant<U<4>>,
    bootstrap_engine: Constant<U<4>>,
    linear_engine: Constant<U<4>>,
    beat_size: Constant<U<3>>,
    incrementing: Constant<U<2>>,
}

impl<const L: usize, const R: usize, const P: usize, const W: usize, const V: usize> GloveboxCard<L, R, P, W, V> {
    /// The card of these two transforms, which are of the same lanes and degree, and of GLWE dimension k.
    ///
    /// # Panics
    /// If the plans differ or are for another number of lanes, or `R` is not 1 to 15; as [`Shape::check`].
    pub fn new(forward: &Plan, inverse: &Plan, glwe_dimension: usize) -> Self {
        let degree = forward.lanes * forward.beats();
        assert!(degree == inverse.lanes * inverse.beats() && degree.is_power_of_two(), "two transforms of one degree");
        let degree_log2 = degree.trailing_zeros();
        let identity =
            Identity { lanes: L, degree_log2, glwe_dimension, ring_pairs: R, ports: P, commands: BOOTSTRAP_COMMANDS };
        Self {
            clock: Default::default(),
            reset: Default::default(),
            build_id_0: Default::default(),
            build_id_1: Default::default(),
            card_memory_beats: Default::default(),
            s_axil_awaddr: Default::default(),
            s_axil_awvalid: Default::default(),
            s_axil_awready: Default::default(),
            s_axil_wdata: Default::default(),
            s_axil_wstrb: Default::default(),
            s_axil_wvalid: Default::default(),
            s_axil_wready: Default::default(),
            s_axil_bresp: Default::default(),
            s_axil_bvalid: Default::default(),
            s_axil_bready: Default::default(),
            s_axil_araddr: Default::default(),
            s_axil_arvalid: Default::default(),
            s_axil_arready: Default::default(),
            s_axil_rdata: Default::default(),
            s_axil_rresp: Default::default(),
            s_axil_rvalid: Default::default(),
            s_axil_rready: Default::default(),
            m_axi_araddr: Default::default(),
            m_axi_arlen: Default::default(),
            m_axi_arsize: Default::default(),
            m_axi_arburst: Default::default(),
            m_axi_arvalid: Default::default(),
            m_axi_arready: Default::default(),
            m_axi_rdata: Default::default(),
            m_axi_rresp: Default::default(),
            m_axi_rlast: Default::default(),
            m_axi_rvalid: Default::default(),
            m_axi_rready: Default::default(),
            m_axi_awaddr: Default::default(),
            m_axi_awlen: Default::default(),
            m_axi_awsize: Default::default(),
            m_axi_awburst: Default::default(),
            m_axi_awvalid: Default::default(),
            m_axi_awready: Default::default(),
            m_axi_wdata: Default::default(),
            m_axi_wstrb: Default::default(),
            m_axi_wlast: Default::default(),
            m_axi_wvalid: Default::default(),
            m_axi_wready: Default::default(),
            m_axi_bresp: Default::default(),
            m_axi_bvalid: Default::default(),
            m_axi_bready: Default::default(),
            m_mem_araddr: std::array::from_fn(|_| Default::default()),
            m_mem_arlen: std::array::from_fn(|_| Default::default()),
            m_mem_arvalid: std::array::from_fn(|_| Default::default()),
            m_mem_arready: std::array::from_fn(|_| Default::default()),
            m_mem_rdata: std::array::from_fn(|_| Default::default()),
            m_mem_rresp: std::array::from_fn(|_| Default::default()),
            m_mem_rlast: std::array::from_fn(|_| Default::default()),
            m_mem_rvalid: std::array::from_fn(|_| Default::default()),
            m_mem_rready: std::array::from_fn(|_| Default::default()),
            m_mem_awaddr: std::array::from_fn(|_| Default::default()),
            m_mem_awlen: std::array::from_fn(|_| Default::default()),
            m_mem_awvalid: std::array::from_fn(|_| Default::default()),
            m_mem_awready: std::array::from_fn(|_| Default::default()),
            m_mem_wdata: std::array::from_fn(|_| Default::default()),
            m_mem_wstrb: std::array::from_fn(|_| Default::default()),
            m_mem_wlast: std::array::from_fn(|_| Default::default()),
            m_mem_wvalid: std::array::from_fn(|_| Default::default()),
            m_mem_wready: std::array::from_fn(|_| Default::default()),
            m_mem_bresp: std::array::from_fn(|_| Default::default()),
            m_mem_bvalid: std::array::from_fn(|_| Default::default()),
            m_mem_bready: std::array::from_fn(|_| Default::default()),
            m_mem_arsize: std::array::from_fn(|_| Default::default()),
            m_mem_arburst: std::array::from_fn(|_| Default::default()),
            m_mem_awsize: std::array::from_fn(|_| Default::default()),
            m_mem_awburst: std::array::from_fn(|_| Default::default()),
            interrupt_request: Default::default(),
            idle: Default::default(),
            slave: Default::default(),
            card: CardRegisters::new(identity),
            ring: std::array::from_fn(|i| RingRegisters::new(i as u32)),
            arbiter: Default::default(),
            sequencer: Sequencer::new(identity.commands, degree_log2, P, R),
            transfer: TransferEngine::new(forward, inverse),
            linear: LinearEngine::new(forward.degree),
            upload: Default::default(),
            bootstrap: BootstrapUnit::new(&Shape::new(L, degree, glwe_dimension)),
            memory: Default::default(),
            dma: Default::default(),
            read: Default::default(),
            write: Default::default(),
            resets: Default::default(),
            soft_reset: Default::default(),
            inner_reset: Default::default(),
            quiet: Default::default(),
            ring_data: Default::default(),
            overrun: Default::default(),
            run: Default::default(),
            sq_base: Default::default(),
            sq_log2: Default::default(),
            sq_head: Default::default(),
            cq_base: Default::default(),
            cq_log2: Default::default(),
            cq_tail: Default::default(),
            ring_vector: Default::default(),
            number: std::array::from_fn(|i| Constant::new((i as u64).into())),
            one_beat: Constant::new(1u64.into()),
            no_beats: Default::default(),
            none: Pack::new(),
            transfer_engine: Constant::new(ENGINE_TRANSFER.into()),
            upload_engine: Constant::new(ENGINE_UPLOAD.into()),
            bootstrap_engine: Constant::new(ENGINE_BOOTSTRAP.into()),
            linear_engine: Constant::new(ENGINE_LINEAR.into()),
            beat_size: Constant::new(6u64.into()),
            incrementing: Constant::new(1u64.into()),
        }
    }
}

impl<const L: usize, const R: usize, const P: usize, const W: usize, const V: usize> Logic
    for GloveboxCard<L, R, P, W, V>
{
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, slave, card, sequencer, transfer, linear, upload, bootstrap, memory, read, write);
        dff_setup!(self, clock, resets);
        // A soft reset takes effect once host and card memory have answered everything.
        self.quiet.next = self.read.quiet.val() & self.write.quiet.val() & self.memory.quiet.val();
        self.soft_reset.next = self.card.resetting.val() & self.quiet.val();
        self.inner_reset.next = self.reset.val() | self.soft_reset.val();
        self.resets.d.next = self.inner_reset.val();

        // Registers.
        self.slave.reset.next = self.reset.val();
        self.slave.awaddr.next = self.s_axil_awaddr.val();
        self.slave.awvalid.next = self.s_axil_awvalid.val();
        self.s_axil_awready.next = self.slave.awready.val();
        self.slave.wdata.next = self.s_axil_wdata.val();
        self.slave.wstrb.next = self.s_axil_wstrb.val();
        self.slave.wvalid.next = self.s_axil_wvalid.val();
        self.s_axil_wready.next = self.slave.wready.val();
        self.s_axil_bresp.next = self.slave.bresp.val();
        self.s_axil_bvalid.next = self.slave.bvalid.val();
        self.slave.bready.next = self.s_axil_bready.val();
        self.slave.araddr.next = self.s_axil_araddr.val();
        self.slave.arvalid.next = self.s_axil_arvalid.val();
        self.s_axil_arready.next = self.slave.arready.val();
        self.s_axil_rdata.next = self.slave.rdata.val();
        self.s_axil_rresp.next = self.slave.rresp.val();
        self.s_axil_rvalid.next = self.slave.rvalid.val();
        self.slave.rready.next = self.s_axil_rready.val();
        self.card.reset.next = self.inner_reset.val();
        self.card.build_id_0.next = self.build_id_0.val();
        self.card.build_id_1.next = self.build_id_1.val();
        self.card.write_valid.next = self.slave.write_valid.val();
        self.card.write_offset.next = self.slave.write_offset.val();
        self.card.write_data.next = self.slave.write_data.val();
        self.card.read_offset.next = self.slave.read_offset.val();
        self.ring_data.next = 0u64.into();
        self.overrun.next = false;
        self.sq_base.next = self.ring[0].sq_base.val();
        self.sq_log2.next = self.ring[0].sq_log2.val();
        self.sq_head.next = self.ring[0].sq_head.val();
        self.cq_base.next = self.ring[0].cq_base.val();
        self.cq_log2.next = self.ring[0].cq_log2.val();
        self.cq_tail.next = self.ring[0].cq_tail.val();
        self.ring_vector.next = self.ring[0].ring_vector.val();
        for i in 0..R {
            self.ring[i].clock.next = self.clock.val();
            self.ring[i].reset.next = self.inner_reset.val();
            self.ring[i].write_valid.next = self.slave.write_valid.val();
            self.ring[i].write_offset.next = self.slave.write_offset.val();
            self.ring[i].write_data.next = self.slave.write_data.val();
            self.ring[i].read_offset.next = self.slave.read_offset.val();
            if self.ring[i].read_hit.val() {
                self.ring_data.next = self.ring[i].read_data.val();
            }
            if self.ring[i].overrun.val() {
                self.overrun.next = true;
            }
            self.arbiter.request[i].next = self.ring[i].request.val();
            self.ring[i].head_step.next =
                self.sequencer.head_step.val() & (self.sequencer.ring.val() == self.number[i].val());
            self.ring[i].serving.next =
                self.sequencer.serving.val() & (self.sequencer.ring.val() == self.number[i].val());
            self.ring[i].tail_step.next =
                self.sequencer.tail_step.val() & (self.sequencer.ring.val() == self.number[i].val());
            if self.sequencer.ring.val() == self.number[i].val() {
                self.sq_base.next = self.ring[i].sq_base.val();
                self.sq_log2.next = self.ring[i].sq_log2.val();
                self.sq_head.next = self.ring[i].sq_head.val();
                self.cq_base.next = self.ring[i].cq_base.val();
                self.cq_log2.next = self.ring[i].cq_log2.val();
                self.cq_tail.next = self.ring[i].cq_tail.val();
                self.ring_vector.next = self.ring[i].ring_vector.val();
            }
        }
        self.slave.read_data.next = self.card.read_data.val() | self.ring_data.val();
        self.card.busy.next = self.sequencer.busy.val();
        self.card.quiet.next = self.quiet.val();
        self.card.erasing.next = self.upload.erasing.val();
        self.card.fail.next = self.sequencer.fail.val() | self.upload.erase_failed.val();
        self.card.fail_card.next = self.sequencer.fail_card.val() | self.upload.erase_failed.val();
        self.card.fail_code.next = self.sequencer.fail_code.val();
        self.card.fail_tag.next = self.sequencer.fail_tag.val();
        self.card.fail_address.next = self.sequencer.fail_address.val();
        if self.upload.erase_failed.val() {
            self.card.fail_code.next = self.upload.status.val();
            self.card.fail_tag.next = 0u64.into();
            self.card.fail_address.next = self.upload.fault_address.val();
        }
        self.card.overrun.next = self.overrun.val();
        self.card.raise.next = self.sequencer.raise.val();
        self.card.raise_vector.next = self.ring_vector.val();
        self.interrupt_request.next = self.card.interrupt.val();
        // In the order of registers::COUNTERS.
        self.card.step[0].next = true;
        self.card.step[1].next = self.sequencer.executing.val();
        self.card.step[2].next = self.read.beat_done.val();
        self.card.step[3].next = self.write.beat_done.val();
        self.card.step[4].next = self.sequencer.executing.val() & self.read.stalled.val();
        self.card.step[5].next = self.write.stalled.val();
        self.card.step[6].next = self.sequencer.command_done.val();
        self.card.step[7].next = self.sequencer.command_failed.val();
        self.card.step[8].next = self.transfer.ntt_beat.val();
        self.card.step[9].next = self.transfer.intt_beat.val();
        self.card.step[10].next = self.memory.read_beat.val();
        self.card.step[11].next = self.memory.write_beat.val() & !self.upload.erasing.val();
        self.card.memory_size_beats.next = self.card_memory_beats.val();
        self.card.written_beats.next = self.upload.written_beats.val();
        for i in 0..10 {
            self.card.engine_counter[i].next = self.bootstrap.counters[i].val();
        }

        // Sequencer.
        self.run.next =
            self.card.enable.val() & !self.card.fault.val() & !self.card.resetting.val() & !self.upload.erasing.val();
        self.arbiter.first.next = self.sequencer.first.val();
        self.sequencer.reset.next = self.inner_reset.val();
        self.sequencer.run.next = self.run.val();
        self.sequencer.granted.next = self.arbiter.any.val();
        self.sequencer.grant.next = self.arbiter.grant.val();
        self.sequencer.sq_base.next = self.sq_base.val();
        self.sequencer.sq_log2.next = self.sq_log2.val();
        self.sequencer.sq_head.next = self.sq_head.val();
        self.sequencer.cq_base.next = self.cq_base.val();
        self.sequencer.cq_log2.next = self.cq_log2.val();
        self.sequencer.cq_tail.next = self.cq_tail.val();
        self.sequencer.memory_beats.next = self.card_memory_beats.val();
        self.sequencer.written_beats.next = self.upload.written_beats.val();
        self.sequencer.engine_ready.next =
            self.transfer.ready.val() & self.upload.ready.val() & self.bootstrap.ready.val() & self.linear.ready.val();
        self.sequencer.engine_done.next =
            self.transfer.done.val() | self.upload.done.val() | self.bootstrap.done.val() | self.linear.done.val();
        self.sequencer.engine_status.next = self.transfer.status.val();
        self.sequencer.engine_address.next = self.transfer.fault_address.val();
        if self.sequencer.owner.val() == self.upload_engine.val() {
            self.sequencer.engine_status.next = self.upload.status.val();
            self.sequencer.engine_address.next = self.upload.fault_address.val();
        }
        if self.sequencer.owner.val() == self.bootstrap_engine.val() {
            self.sequencer.engine_status.next = self.bootstrap.status.val();
            self.sequencer.engine_address.next = self.bootstrap.fault_address.val();
        }
        if self.sequencer.owner.val() == self.linear_engine.val() {
            self.sequencer.engine_status.next = self.linear.status.val();
            self.sequencer.engine_address.next = self.linear.fault_address.val();
        }
        self.sequencer.read_done.next = self.read.done.val();
        self.sequencer.read_fault.next = self.read.fault.val();
        self.sequencer.write_done.next = self.write.done.val();
        self.sequencer.write_fault.next = self.write.fault.val();
        self.sequencer.q.next = self.read.q.val();
        self.sequencer.q_valid.next = self.dma.read_valid_out[0].val();
        self.sequencer.d_ready.next = self.dma.write_ready_out[0].val();

        // Engines: each is a client of the switch under its own number.
        self.transfer.reset.next = self.inner_reset.val();
        self.transfer.start.next =
            self.sequencer.engine_start.val() & (self.sequencer.owner.val() == self.transfer_engine.val());
        self.transfer.opcode.next = self.sequencer.opcode.val();
        self.transfer.source.next = self.sequencer.source.val();
        self.transfer.destination.next = self.sequencer.destination.val();
        self.transfer.read_done.next = self.read.done.val();
        self.transfer.read_quiet.next = self.read.quiet.val();
        self.transfer.read_fault.next = self.read.fault.val();
        self.transfer.read_fault_beat.next = self.read.fault_beat.val();
        self.transfer.write_done.next = self.write.done.val();
        self.transfer.write_quiet.next = self.write.quiet.val();
        self.transfer.write_fault.next = self.write.fault.val();
        self.transfer.write_fault_beat.next = self.write.fault_beat.val();
        self.transfer.q.next = self.read.q.val();
        self.transfer.q_valid.next = self.dma.read_valid_out[1].val();
        self.transfer.d_ready.next = self.dma.write_ready_out[1].val();

        self.upload.reset.next = self.reset.val();
        self.upload.erase.next = self.soft_reset.val();
        self.upload.start.next =
            self.sequencer.engine_start.val() & (self.sequencer.owner.val() == self.upload_engine.val());
        self.upload.opcode.next = self.sequencer.opcode.val();
        self.upload.source.next = self.sequencer.source.val();
        self.upload.destination.next = self.sequencer.destination.val();
        self.upload.beats.next = self.sequencer.beats.val();
        self.upload.read_done.next = self.read.done.val();
        self.upload.read_quiet.next = self.read.quiet.val();
        self.upload.read_fault.next = self.read.fault.val();
        self.upload.read_fault_beat.next = self.read.fault_beat.val();
        self.upload.q.next = self.read.q.val();
        self.upload.q_valid.next = self.dma.read_valid_out[2].val();
        self.upload.write_done.next = self.memory.write_done.val();
        self.upload.write_quiet.next = self.memory.quiet.val();
        self.upload.write_fault.next = self.memory.write_fault.val();
        self.upload.write_fault_beat.next = self.memory.write_fault_beat.val();
        self.bootstrap.reset.next = self.inner_reset.val();
        self.bootstrap.start.next =
            self.sequencer.engine_start.val() & (self.sequencer.owner.val() == self.bootstrap_engine.val());
        self.bootstrap.opcode.next = self.sequencer.opcode.val();
        self.bootstrap.count.next = self.sequencer.count.val();
        self.bootstrap.source.next = self.sequencer.source.val();
        self.bootstrap.destination.next = self.sequencer.destination.val();
        for i in 0..4 {
            self.bootstrap.operand[i].next = self.sequencer.operand[i].val();
        }
        self.bootstrap.written_beats.next = self.upload.written_beats.val();
        self.bootstrap.read_done.next = self.read.done.val();
        self.bootstrap.read_quiet.next = self.read.quiet.val();
        self.bootstrap.read_fault.next = self.read.fault.val();
        self.bootstrap.read_fault_beat.next = self.read.fault_beat.val();
        self.bootstrap.write_done.next = self.write.done.val();
        self.bootstrap.write_quiet.next = self.write.quiet.val();
        self.bootstrap.write_fault.next = self.write.fault.val();
        self.bootstrap.write_fault_beat.next = self.write.fault_beat.val();
        self.bootstrap.q.next = self.read.q.val();
        self.bootstrap.q_valid.next = self.dma.read_valid_out[3].val();
        self.bootstrap.d_ready.next = self.dma.write_ready_out[3].val();
        self.bootstrap.memory_quiet.next = self.memory.quiet.val();
        self.bootstrap.key_done.next = self.memory.key_done.val();
        self.bootstrap.key_fault.next = self.memory.key_fault.val();
        self.bootstrap.key_fault_beat.next = self.memory.key_fault_beat.val();
        self.bootstrap.key_q.next = self.memory.key_q.val();
        self.bootstrap.key_valid.next = self.memory.key_valid.val();
        self.bootstrap.side_done.next = self.memory.side_done.val();
        self.bootstrap.side_fault.next = self.memory.side_fault.val();
        self.bootstrap.side_fault_beat.next = self.memory.side_fault_beat.val();
        self.bootstrap.side_q.next = self.memory.side_q.val();
        self.bootstrap.side_valid.next = self.memory.side_valid.val();

        self.linear.reset.next = self.inner_reset.val();
        self.linear.start.next =
            self.sequencer.engine_start.val() & (self.sequencer.owner.val() == self.linear_engine.val());
        self.linear.opcode.next = self.sequencer.opcode.val();
        self.linear.count.next = self.sequencer.count.val();
        self.linear.source.next = self.sequencer.source.val();
        self.linear.destination.next = self.sequencer.destination.val();
        self.linear.operand.next = self.sequencer.operand[0].val();
        self.linear.read_done.next = self.read.done.val();
        self.linear.read_quiet.next = self.read.quiet.val();
        self.linear.read_fault.next = self.read.fault.val();
        self.linear.read_fault_beat.next = self.read.fault_beat.val();
        self.linear.write_done.next = self.write.done.val();
        self.linear.write_quiet.next = self.write.quiet.val();
        self.linear.write_fault.next = self.write.fault.val();
        self.linear.write_fault_beat.next = self.write.fault_beat.val();
        self.linear.q.next = self.read.q.val();
        self.linear.q_valid.next = self.dma.read_valid_out[4].val();
        self.linear.d_ready.next = self.dma.write_ready_out[4].val();

        // Card memory.
        // While the upload engine erases, the bootstrap engine empties itself after the reset: it has no say in memory then.
        self.memory.reset.next = self.inner_reset.val()
            | self.upload.clear.val()
            | (self.bootstrap.clear.val() & !self.upload.erasing.val());
        self.memory.stop.next = self.upload.stop.val()
            | (self.bootstrap.stop.val() & !self.upload.erasing.val())
            | self.card.resetting.val();
        self.memory.write_start.next = self.upload.write_start.val();
        self.memory.write_address.next = self.upload.write_address.val();
        self.memory.write_beats.next = self.upload.write_beats.val();
        self.memory.d.next = self.upload.d.val();
        self.memory.key_clear.next = false;
        self.memory.key_start.next = self.bootstrap.key_start.val();
        self.memory.key_address.next = self.bootstrap.key_address.val();
        self.memory.key_beats.next = self.bootstrap.key_beats.val();
        self.memory.key_ready.next = self.bootstrap.key_ready.val();
        self.memory.side_clear.next = self.bootstrap.side_clear.val();
        self.memory.side_start.next = self.bootstrap.side_start.val();
        self.memory.side_address.next = self.bootstrap.side_address.val();
        self.memory.side_beats.next = self.bootstrap.side_beats.val();
        self.memory.side_ready.next = self.bootstrap.side_ready.val();
        for i in 0..P {
            self.memory.d_valid[i].next = self.upload.d_valid[i].val();
            self.upload.d_ready[i].next = self.memory.d_ready[i].val();
            self.m_mem_arsize[i].next = self.beat_size.val();
            self.m_mem_arburst[i].next = self.incrementing.val();
            self.m_mem_awsize[i].next = self.beat_size.val();
            self.m_mem_awburst[i].next = self.incrementing.val();
            self.m_mem_araddr[i].next = self.memory.araddr[i].val();
            self.m_mem_arlen[i].next = self.memory.arlen[i].val();
            self.m_mem_arvalid[i].next = self.memory.arvalid[i].val();
            self.memory.arready[i].next = self.m_mem_arready[i].val();
            self.memory.rdata[i].next = self.m_mem_rdata[i].val();
            self.memory.rresp[i].next = self.m_mem_rresp[i].val();
            self.memory.rlast[i].next = self.m_mem_rlast[i].val();
            self.memory.rvalid[i].next = self.m_mem_rvalid[i].val();
            self.m_mem_rready[i].next = self.memory.rready[i].val();
            self.m_mem_awaddr[i].next = self.memory.awaddr[i].val();
            self.m_mem_awlen[i].next = self.memory.awlen[i].val();
            self.m_mem_awvalid[i].next = self.memory.awvalid[i].val();
            self.memory.awready[i].next = self.m_mem_awready[i].val();
            self.m_mem_wdata[i].next = self.memory.wdata[i].val();
            self.m_mem_wstrb[i].next = self.memory.wstrb[i].val();
            self.m_mem_wlast[i].next = self.memory.wlast[i].val();
            self.m_mem_wvalid[i].next = self.memory.wvalid[i].val();
            self.memory.wready[i].next = self.m_mem_wready[i].val();
            self.memory.bresp[i].next = self.m_mem_bresp[i].val();
            self.memory.bvalid[i].next = self.m_mem_bvalid[i].val();
            self.m_mem_bready[i].next = self.memory.bready[i].val();
        }

        // The switch.
        for i in 0..8 {
            self.none.d[i].next = 0u64.into();
        }
        self.no_beats.next = self.none.q.val();
        self.dma.owner.next = self.sequencer.owner.val();
        self.dma.read_start_in[0].next = self.sequencer.read_start.val();
        self.dma.read_address_in[0].next = self.sequencer.address.val();
        self.dma.read_beats_in[0].next = self.one_beat.val();
        self.dma.write_start_in[0].next = self.sequencer.write_start.val();
        self.dma.write_address_in[0].next = self.sequencer.address.val();
        self.dma.write_beats_in[0].next = self.one_beat.val();
        self.dma.strobe_in[0].next = self.sequencer.write_strobe.val();
        self.dma.stop_in[0].next = false;
        self.dma.clear_in[0].next = self.sequencer.dma_clear.val();
        self.dma.read_ready_in[0].next = self.sequencer.q_ready.val();
        self.dma.data_in[0].next = self.sequencer.d.val();
        self.dma.write_valid_in[0].next = self.sequencer.d_valid.val();
        self.dma.read_start_in[1].next = self.transfer.dma_start.val();
        self.dma.read_address_in[1].next = self.sequencer.source.val();
        self.dma.read_beats_in[1].next = self.sequencer.beats.val();
        self.dma.write_start_in[1].next = self.transfer.dma_start.val();
        self.dma.write_address_in[1].next = self.sequencer.destination.val();
        self.dma.write_beats_in[1].next = self.sequencer.beats.val();
        self.dma.strobe_in[1].next = self.sequencer.strobe.val();
        self.dma.stop_in[1].next = self.transfer.dma_stop.val();
        self.dma.clear_in[1].next = self.transfer.dma_clear.val();
        self.dma.read_ready_in[1].next = self.transfer.q_ready.val();
        self.dma.data_in[1].next = self.transfer.d.val();
        self.dma.write_valid_in[1].next = self.transfer.d_valid.val();

        self.dma.read_start_in[2].next = self.upload.read_start.val();
        self.dma.read_address_in[2].next = self.sequencer.source.val();
        self.dma.read_beats_in[2].next = self.sequencer.beats.val();
        self.dma.write_start_in[2].next = false;
        self.dma.write_address_in[2].next = self.sequencer.destination.val();
        self.dma.write_beats_in[2].next = self.sequencer.beats.val();
        self.dma.strobe_in[2].next = self.sequencer.strobe.val();
        self.dma.stop_in[2].next = self.upload.stop.val();
        self.dma.clear_in[2].next = self.upload.clear.val();
        self.dma.read_ready_in[2].next = self.upload.q_ready.val();
        self.dma.data_in[2].next = self.no_beats.val();
        self.dma.write_valid_in[2].next = false;
        self.dma.read_start_in[3].next = self.bootstrap.dma_start.val();
        self.dma.read_address_in[3].next = self.sequencer.source.val();
        self.dma.read_beats_in[3].next = self.bootstrap.read_beats.val();
        self.dma.write_start_in[3].next = self.bootstrap.dma_start.val();
        self.dma.write_address_in[3].next = self.sequencer.destination.val();
        self.dma.write_beats_in[3].next = self.bootstrap.write_beats.val();
        self.dma.strobe_in[3].next = self.bootstrap.strobe.val();
        self.dma.stop_in[3].next = self.bootstrap.stop.val();
        self.dma.clear_in[3].next = self.bootstrap.clear.val();
        self.dma.read_ready_in[3].next = self.bootstrap.q_ready.val();
        self.dma.data_in[3].next = self.bootstrap.d.val();
        self.dma.write_valid_in[3].next = self.bootstrap.d_valid.val();

        self.dma.read_start_in[4].next = self.linear.dma_start.val();
        self.dma.read_address_in[4].next = self.sequencer.source.val();
        self.dma.read_beats_in[4].next = self.linear.read_beats.val();
        self.dma.write_start_in[4].next = self.linear.dma_start.val();
        self.dma.write_address_in[4].next = self.sequencer.destination.val();
        self.dma.write_beats_in[4].next = self.linear.write_beats.val();
        self.dma.strobe_in[4].next = self.linear.strobe.val();
        self.dma.stop_in[4].next = self.linear.dma_stop.val();
        self.dma.clear_in[4].next = self.linear.dma_clear.val();
        self.dma.read_ready_in[4].next = self.linear.q_ready.val();
        self.dma.data_in[4].next = self.linear.d.val();
        self.dma.write_valid_in[4].next = self.linear.d_valid.val();

        // Host memory.
        self.read.reset.next = self.inner_reset.val() | self.dma.clear.val();
        self.read.start.next = self.dma.read_start.val();
        self.read.address.next = self.dma.read_address.val();
        self.read.beats.next = self.dma.read_beats.val();
        self.read.stop.next = self.dma.stop.val() | self.card.resetting.val();
        self.dma.read_valid.next = self.read.q_valid.val();
        self.read.q_ready.next = self.dma.read_ready.val();
        self.write.reset.next = self.inner_reset.val() | self.dma.clear.val();
        self.write.start.next = self.dma.write_start.val();
        self.write.address.next = self.dma.write_address.val();
        self.write.beats.next = self.dma.write_beats.val();
        self.write.strobe.next = self.dma.strobe.val();
        self.write.stop.next = self.dma.stop.val() | self.card.resetting.val();
        self.write.d.next = self.dma.data.val();
        self.write.d_valid.next = self.dma.write_valid.val();
        self.dma.write_ready.next = self.write.d_ready.val();
        self.m_axi_araddr.next = self.read.araddr.val();
        self.m_axi_arlen.next = self.read.arlen.val();
        self.m_axi_arsize.next = self.beat_size.val();
        self.m_axi_arburst.next = self.incrementing.val();
        self.m_axi_arvalid.next = self.read.arvalid.val();
        self.read.arready.next = self.m_axi_arready.val();
        self.read.rdata.next = self.m_axi_rdata.val();
        self.read.rresp.next = self.m_axi_rresp.val();
        self.read.rvalid.next = self.m_axi_rvalid.val();
        self.m_axi_rready.next = self.read.rready.val();
        self.m_axi_awaddr.next = self.write.awaddr.val();
        self.m_axi_awlen.next = self.write.awlen.val();
        self.m_axi_awsize.next = self.beat_size.val();
        self.m_axi_awburst.next = self.incrementing.val();
        self.m_axi_awvalid.next = self.write.awvalid.val();
        self.write.awready.next = self.m_axi_awready.val();
        self.m_axi_wdata.next = self.write.wdata.val();
        self.m_axi_wstrb.next = self.write.wstrb.val();
        self.m_axi_wlast.next = self.write.wlast.val();
        self.m_axi_wvalid.next = self.write.wvalid.val();
        self.write.wready.next = self.m_axi_wready.val();
        self.write.bresp.next = self.m_axi_bresp.val();
        self.write.bvalid.next = self.m_axi_bvalid.val();
        self.m_axi_bready.next = self.write.bready.val();

        self.idle.next = !self.sequencer.busy.val()
            & !(self.run.val() & self.arbiter.any.val())
            & !self.card.resetting.val()
            & !self.upload.erasing.val()
            & !self.resets.q.val();
    }
}
