//! The AXI4-Lite slave in front of the registers.
//!
//! A write of a whole word becomes one `write_valid`, a read samples `read_data` two cycles after `read_offset` moves
//! Range:     offsets 0 to 0xffff; words of 32 bits
//! Handshake: AXI4-Lite; every answer is OKAY; a write that leaves bytes of the word out is answered and ignored
//! Latency:   a write reaches the registers 1 cycle after address and data are both there and is answered 1 cycle later; a
//!            read is answered 4 cycles after its address
//! Reset:     `reset` drops what is under way; synchronous, active high; a soft reset of the card must not reach it
//! Limits:    one write and one read at a time, each at most every third and fifth cycle

use crate::prelude::*;

/// The slave.
#[derive(LogicBlock, Default)]
pub struct AxiLiteSlave {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Drops what is under way.
    pub reset: Signal<In, Bit>,
    /// Write address.
    pub awaddr: Signal<In, U<16>>,
    /// Write address valid.
    pub awvalid: Signal<In, Bit>,
    /// Write address taken.
    pub awready: Signal<Out, Bit>,
    /// Write data.
    pub wdata: Signal<In, U<32>>,
    /// Bytes of it.
    pub wstrb: Signal<In, U<4>>,
    /// Write data valid.
    pub wvalid: Signal<In, Bit>,
    /// Write data taken.
    pub wready: Signal<Out, Bit>,
    /// Write response: OKAY.
    pub bresp: Signal<Out, U<2>>,
    /// Write response valid.
    pub bvalid: Signal<Out, Bit>,
    /// Write response taken.
    pub bready: Signal<In, Bit>,
    /// Read address.
    pub araddr: Signal<In, U<16>>,
    /// Read address valid.
    pub arvalid: Signal<In, Bit>,
    /// Read address taken.
    pub arready: Signal<Out, Bit>,
    /// Read data.
    pub rdata: Signal<Out, U<32>>,
    /// Read response: OKAY.
    pub rresp: Signal<Out, U<2>>,
    /// Read data valid.
    pub rvalid: Signal<Out, Bit>,
    /// Read data taken.
    pub rready: Signal<In, Bit>,
    /// A word is written this cycle.
    pub write_valid: Signal<Out, Bit>,
    /// Where.
    pub write_offset: Signal<Out, U<16>>,
    /// What.
    pub write_data: Signal<Out, U<32>>,
    /// Which word is read.
    pub read_offset: Signal<Out, U<16>>,
    /// Its value, one cycle later.
    pub read_data: Signal<In, U<32>>,
    write_taken: Reg<Bit>,
    write_answered: Reg<Bit>,
    read_taken: Reg<Bit>,
    s1_read: Reg<Bit>,
    s2_read: Reg<Bit>,
    offset: Reg<U<16>>,
    answer: Reg<U<32>>,
    answered: Reg<Bit>,
}

impl Logic for AxiLiteSlave {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, write_taken, write_answered, read_taken, s1_read, s2_read, offset, answer, answered);
        self.write_taken.d.next =
            self.awvalid.val() & self.wvalid.val() & !self.write_taken.q.val() & !self.write_answered.q.val();
        self.awready.next = self.write_taken.q.val();
        self.wready.next = self.write_taken.q.val();
        self.write_valid.next = self.write_taken.q.val() & self.wstrb.val().all();
        self.write_offset.next = self.awaddr.val();
        self.write_data.next = self.wdata.val();
        if self.bready.val() {
            self.write_answered.d.next = false;
        }
        if self.write_taken.q.val() {
            self.write_answered.d.next = true;
        }
        self.bresp.next = 0u64.into();
        self.bvalid.next = self.write_answered.q.val();

        self.read_taken.d.next = self.arvalid.val()
            & !self.read_taken.q.val()
            & !self.s1_read.q.val()
            & !self.s2_read.q.val()
            & !self.answered.q.val();
        self.arready.next = self.read_taken.q.val();
        self.s1_read.d.next = self.read_taken.q.val();
        if self.read_taken.q.val() {
            self.offset.d.next = self.araddr.val();
        }
        self.read_offset.next = self.offset.q.val();
        self.s2_read.d.next = self.s1_read.q.val();
        if self.rready.val() {
            self.answered.d.next = false;
        }
        if self.s2_read.q.val() {
            self.answer.d.next = self.read_data.val();
            self.answered.d.next = true;
        }
        self.rdata.next = self.answer.q.val();
        self.rresp.next = 0u64.into();
        self.rvalid.next = self.answered.q.val();

        if self.reset.val() {
            self.write_taken.d.next = false;
            self.write_answered.d.next = false;
            self.read_taken.d.next = false;
            self.s1_read.d.next = false;
            self.s2_read.d.next = false;
            self.answered.d.next = false;
        }
    }
}
