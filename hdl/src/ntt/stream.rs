//! The transform as a stream block with ready/valid at both edges.
//!
//! m = NTT(s) or NTT^-1(s), frame by frame; see [`super`] for the orders
//! Range:     words in [0, p) in and out
//! Handshake: ready/valid on both sides; `s_tready` and `m_tvalid` come from registers, so neither side's ready or
//!            valid passes through; `m_tlast` marks a frame's last beat; data is stable while stalled
//! Latency:   [`NttStream::latency`] cycles from the last beat in to the first beat out of a lone frame; one beat a
//!            cycle, frames back to back, when neither side stalls
//! Reset:     `reset` clears control and must be held for the pipe's latency; data has none
//! Limits:    words >= p give wrong words (unchecked)
//!
//! A frame enters the pipe when all of it is in the input buffer and the output buffer has promised room for it, so the
//! pipe never stalls: idle at the input and back-pressure at the output change when words come out, never which.

use super::pipe::NttPipe;
use super::row::BEAT;
use super::tables::Plan;
use crate::memory::{ADDRESS, RegisteredRam};
use crate::prelude::*;
use crate::word::Lanes;

/// Bits of a count of buffered beats.
const COUNT: usize = 13;
/// Bits of a count of buffered frames.
const FRAMES: usize = 8;

pub use interface::{StreamSink, StreamSource};

/// In a module of its own because the derive writes methods without documents.
#[allow(missing_docs)]
mod interface {
    use crate::prelude::*;
    use crate::word::Lanes;

    /// The sending side's view of a stream of `L` words a beat.
    #[derive(LogicInterface, Default)]
    #[join = "StreamSink"]
    pub struct StreamSource<const L: usize> {
        /// Words.
        pub tdata: Signal<Out, Lanes<L>>,
        /// A beat is offered.
        pub tvalid: Signal<Out, Bit>,
        /// The beat is taken.
        pub tready: Signal<In, Bit>,
    }

    /// The receiving side's view of a stream of `L` words a beat.
    #[derive(LogicInterface, Default)]
    #[join = "StreamSource"]
    pub struct StreamSink<const L: usize> {
        /// Words.
        pub tdata: Signal<In, Lanes<L>>,
        /// A beat is offered.
        pub tvalid: Signal<In, Bit>,
        /// The beat is taken.
        pub tready: Signal<Out, Bit>,
    }
}

/// The stream block over `L` lanes.
#[derive(LogicBlock)]
pub struct NttStream<const L: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Clears control; synchronous, active high.
    pub reset: Signal<In, Bit>,
    /// Frames in.
    pub s: StreamSink<L>,
    /// Frames out.
    pub m: StreamSource<L>,
    /// The last beat of a frame is on `m`.
    pub m_tlast: Signal<Out, Bit>,
    pipe: NttPipe<L>,
    pack: Pack<L>,
    in_memory: RegisteredRam<Lanes<L>>,
    out_memory: RegisteredRam<Lanes<L>>,
    // A write is registered: the buffer's memories lie all over a chip.
    s1_take: Reg<Bit>,
    s1_address: Reg<U<COUNT>>,
    s1_word: Reg<Lanes<L>>,
    in_write: Reg<U<COUNT>>,
    in_read: Reg<U<COUNT>>,
    /// Beats held or promised to the pipe.
    in_count: Reg<U<COUNT>>,
    /// They are fewer than fit.
    in_room: Reg<Bit>,
    /// The beat taken last made a frame whole.
    s1_whole: Reg<Bit>,
    /// Whole frames not yet promised to the pipe.
    in_waiting: Reg<U<FRAMES>>,
    /// It is not 0; as the flags below, a register, because what hangs on it is late and far away.
    in_some: Reg<Bit>,
    running: Reg<Bit>,
    beat: Reg<U<BEAT>>,
    /// The last beat of the frame that runs.
    ending: Reg<Bit>,
    s1_valid: Reg<Bit>,
    s1_beat: Reg<U<BEAT>>,
    s2_valid: Reg<Bit>,
    s2_beat: Reg<U<BEAT>>,
    /// Frames that the output buffer can still promise.
    credit: Reg<U<FRAMES>>,
    /// It is not 0.
    credit_some: Reg<Bit>,
    out_write: Reg<U<COUNT>>,
    out_read: Reg<U<COUNT>>,
    out_count: Reg<U<COUNT>>,
    /// It is not 0.
    out_some: Reg<Bit>,
    /// A beat is in the memory's latch, and in the register behind it.
    latched: Reg<Bit>,
    out_valid: Reg<Bit>,
    out_beat: Reg<U<BEAT>>,
    take: Signal<Local, Bit>,
    /// A frame is whole with the beat taken.
    whole: Signal<Local, Bit>,
    last: Signal<Local, Bit>,
    start: Signal<Local, Bit>,
    fetch: Signal<Local, Bit>,
    /// The beat in the latch goes to the register.
    show: Signal<Local, Bit>,
    give: Signal<Local, Bit>,
    /// A frame has left with the beat given last.
    gone: Reg<Bit>,
    yes: Constant<Bit>,
    in_full_less_1: Constant<U<COUNT>>,
    // What each count can reach: synthesis then sees the bits that it never has.
    in_count_mask: Constant<U<COUNT>>,
    out_count_mask: Constant<U<COUNT>>,
    waiting_mask: Constant<U<FRAMES>>,
    credit_mask: Constant<U<FRAMES>>,
    in_full: Constant<U<COUNT>>,
    in_mask: Constant<U<COUNT>>,
    out_mask: Constant<U<COUNT>>,
    out_frames: Constant<U<FRAMES>>,
    last_of_frame: Constant<U<COUNT>>,
    last_beat: Constant<U<BEAT>>,
    beat_before_last: Constant<U<BEAT>>,
}

/// Words of a power-of-two memory with simple dual port, the read one with enable.
fn capacity(beats: usize) -> usize {
    beats.next_power_of_two()
}

impl<const L: usize> NttStream<L> {
    /// The stream block of a plan.
    ///
    /// # Panics
    /// If the plan is for another number of lanes, or its buffers need more than 2^12 beats.
    pub fn new(plan: &Plan) -> Self {
        let beats = plan.beats();
        let input = 2 * beats;
        // Frames in the pipe, one being filled and one being drained.
        let output = capacity((plan.latency().div_ceil(beats) + 2) * beats);
        assert!(output < 1 << COUNT, "an output buffer of {output} beats needs more than {COUNT} count bits");
        let frames = output / beats;
        assert!(frames < 1 << FRAMES, "an output buffer of {frames} frames needs more than {FRAMES} count bits");
        let count = |x: usize| Constant::new((x as u64).into());
        Self {
            clock: Default::default(),
            reset: Default::default(),
            s: Default::default(),
            m: Default::default(),
            m_tlast: Default::default(),
            pipe: NttPipe::new(plan),
            pack: Pack::new(),
            in_memory: RegisteredRam::new(input),
            out_memory: RegisteredRam::new(output),
            s1_take: Default::default(),
            s1_address: Default::default(),
            s1_word: Default::default(),
            in_write: Default::default(),
            in_read: Default::default(),
            in_count: Default::default(),
            in_room: Default::default(),
            s1_whole: Default::default(),
            in_waiting: Default::default(),
            in_some: Default::default(),
            running: Default::default(),
            beat: Default::default(),
            ending: Default::default(),
            s1_valid: Default::default(),
            s1_beat: Default::default(),
            s2_valid: Default::default(),
            s2_beat: Default::default(),
            credit: Default::default(),
            credit_some: Default::default(),
            out_write: Default::default(),
            out_read: Default::default(),
            out_count: Default::default(),
            out_some: Default::default(),
            latched: Default::default(),
            out_valid: Default::default(),
            out_beat: Default::default(),
            take: Default::default(),
            whole: Default::default(),
            last: Default::default(),
            start: Default::default(),
            fetch: Default::default(),
            show: Default::default(),
            give: Default::default(),
            gone: Default::default(),
            yes: Constant::new(true),
            in_full_less_1: count(input - 1),
            in_count_mask: count(2 * input - 1),
            out_count_mask: count(2 * output - 1),
            waiting_mask: Constant::new(3u64.into()),
            credit_mask: Constant::new((2 * frames as u64 - 1).into()),
            in_full: count(input),
            in_mask: count(input - 1),
            out_mask: count(output - 1),
            out_frames: Constant::new((frames as u64).into()),
            last_of_frame: count(beats - 1),
            last_beat: Constant::new((beats as u64 - 1).into()),
            beat_before_last: Constant::new((beats as u64 - 2).into()),
        }
    }

    /// Cycles from the tick that takes a lone frame's last beat to the tick after which its first result is offered.
    pub fn latency(plan: &Plan) -> usize {
        // Whole, count, start, memory read; the pipe; memory write, memory read.
        3 + RegisteredRam::<Lanes<L>>::LATENCY + plan.latency() + 1 + RegisteredRam::<Lanes<L>>::LATENCY
    }
}

impl<const L: usize> Logic for NttStream<L> {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, pipe, in_memory, out_memory);
        clock!(self, clock, s1_take, s1_address, s1_word, s1_whole, in_some, in_room, credit_some, out_some);
        dff_setup!(self, clock, in_write, in_read, in_count, in_waiting, running, beat, ending, s1_valid, s1_beat);
        dff_setup!(
            self, clock, s2_valid, s2_beat, credit, out_write, out_read, out_count, latched, out_valid, out_beat
        );
        clock!(self, clock, gone);

        // Input buffer: ready is a register.
        self.s.tready.next = self.in_room.q.val();
        self.take.next = self.s.tvalid.val() & self.in_room.q.val();
        self.in_room.d.next = self.running.q.val()
            | ((self.in_count.q.val() != self.in_full.val())
                & (!self.take.val() | (self.in_count.q.val() != self.in_full_less_1.val())));
        self.s1_take.d.next = self.take.val();
        self.s1_address.d.next = self.in_write.q.val();
        self.s1_word.d.next = self.s.tdata.val();
        self.in_memory.write_enable.next = self.s1_take.q.val();
        self.in_memory.write_address.next = self.s1_address.q.val().to_bits::<ADDRESS>();
        self.in_memory.write_data.next = self.s1_word.q.val();
        if self.take.val() {
            self.in_write.d.next = (self.in_write.q.val() + 1u64) & self.in_mask.val();
        }

        // A frame runs when it is whole and has room at the other end. Both are counted in frames, and its last beat is
        // known from a register: all control hangs on `start`, which must be soon.
        self.whole.next = self.s1_whole.q.val();
        self.s1_whole.d.next =
            self.take.val() & ((self.in_write.q.val() & self.last_of_frame.val()) == self.last_of_frame.val());
        self.ending.d.next = self.running.q.val() & (self.beat.q.val() == self.beat_before_last.val());
        self.last.next = self.ending.q.val();
        self.start.next = (!self.running.q.val() | self.last.val()) & self.in_some.q.val() & self.credit_some.q.val();
        self.in_memory.read_enable.next = self.yes.val();
        self.in_memory.output_enable.next = self.yes.val();
        self.in_memory.read_address.next = self.in_read.q.val().to_bits::<ADDRESS>();
        if self.running.q.val() {
            self.in_read.d.next = (self.in_read.q.val() + 1u64) & self.in_mask.val();
            self.beat.d.next = (self.beat.q.val() + 1u64) & self.last_beat.val();
            if self.last.val() {
                self.running.d.next = false;
            }
        }
        if self.start.val() {
            self.running.d.next = true;
        }
        if self.take.val() & !self.running.q.val() {
            self.in_count.d.next = (self.in_count.q.val() + 1u64) & self.in_count_mask.val();
        }
        if !self.take.val() & self.running.q.val() {
            self.in_count.d.next = (self.in_count.q.val() - 1u64) & self.in_count_mask.val();
        }
        self.in_some.d.next = self.whole.val()
            | (!self.start.val() & self.in_some.q.val())
            | (self.start.val() & (self.in_waiting.q.val() != 1u64.into()));
        if self.whole.val() & !self.start.val() {
            self.in_waiting.d.next = (self.in_waiting.q.val() + 1u64) & self.waiting_mask.val();
        }
        if !self.whole.val() & self.start.val() {
            self.in_waiting.d.next = (self.in_waiting.q.val() - 1u64) & self.waiting_mask.val();
        }

        // The pipe.
        self.s1_valid.d.next = self.running.q.val();
        self.s1_beat.d.next = self.beat.q.val();
        self.pipe.reset.next = self.reset.val();
        self.s2_valid.d.next = self.s1_valid.q.val();
        self.s2_beat.d.next = self.s1_beat.q.val();
        self.pipe.valid_in.next = self.s2_valid.q.val();
        self.pipe.beat_in.next = self.s2_beat.q.val();
        for i in 0..L {
            self.pipe.d[i].next = self.in_memory.read_data.val().get_bits::<64>(i * 64);
            self.pack.d[i].next = self.pipe.q[i].val();
        }

        // Output buffer: the register behind the memory is the stream's, and the memory's latch waits with the next beat.
        self.out_memory.write_enable.next = self.pipe.valid_replica.val();
        self.out_memory.write_address.next = self.out_write.q.val().to_bits::<ADDRESS>();
        self.out_memory.write_data.next = self.pack.q.val();
        if self.pipe.valid_out.val() {
            self.out_write.d.next = (self.out_write.q.val() + 1u64) & self.out_mask.val();
        }
        self.give.next = self.out_valid.q.val() & self.m.tready.val();
        self.show.next = self.latched.q.val() & (!self.out_valid.q.val() | self.m.tready.val());
        self.fetch.next =
            self.out_some.q.val() & (!self.latched.q.val() | !self.out_valid.q.val() | self.m.tready.val());
        self.out_memory.output_enable.next = self.show.val();
        self.out_memory.read_enable.next = self.fetch.val();
        self.out_memory.read_address.next = self.out_read.q.val().to_bits::<ADDRESS>();
        if self.fetch.val() {
            self.out_read.d.next = (self.out_read.q.val() + 1u64) & self.out_mask.val();
        }
        self.out_some.d.next = self.pipe.valid_out.val()
            | (!self.fetch.val() & self.out_some.q.val())
            | (self.fetch.val() & (self.out_count.q.val() != 1u64.into()));
        if self.pipe.valid_out.val() & !self.fetch.val() {
            self.out_count.d.next = (self.out_count.q.val() + 1u64) & self.out_count_mask.val();
        }
        if !self.pipe.valid_out.val() & self.fetch.val() {
            self.out_count.d.next = (self.out_count.q.val() - 1u64) & self.out_count_mask.val();
        }
        if self.give.val() {
            self.out_valid.d.next = false;
            self.out_beat.d.next = (self.out_beat.q.val() + 1u64) & self.last_beat.val();
        }
        if self.show.val() {
            self.out_valid.d.next = true;
            self.latched.d.next = false;
        }
        if self.fetch.val() {
            self.latched.d.next = true;
        }
        self.gone.d.next = self.give.val() & (self.out_beat.q.val() == self.last_beat.val());
        self.credit_some.d.next = self.gone.q.val()
            | (!self.start.val() & self.credit_some.q.val())
            | (self.start.val() & (self.credit.q.val() != 1u64.into()));
        if self.gone.q.val() & !self.start.val() {
            self.credit.d.next = (self.credit.q.val() + 1u64) & self.credit_mask.val();
        }
        if !self.gone.q.val() & self.start.val() {
            self.credit.d.next = (self.credit.q.val() - 1u64) & self.credit_mask.val();
        }
        self.m.tdata.next = self.out_memory.read_data.val();
        self.m.tvalid.next = self.out_valid.q.val();
        self.m_tlast.next = self.out_beat.q.val() == self.last_beat.val();

        if self.reset.val() {
            self.in_write.d.next = 0u64.into();
            self.in_read.d.next = 0u64.into();
            self.in_count.d.next = 0u64.into();
            self.in_room.d.next = true;
            self.s1_whole.d.next = false;
            self.in_waiting.d.next = 0u64.into();
            self.in_some.d.next = false;
            self.running.d.next = false;
            self.beat.d.next = 0u64.into();
            self.ending.d.next = false;
            self.s1_valid.d.next = false;
            self.s2_valid.d.next = false;
            self.gone.d.next = false;
            self.credit.d.next = self.out_frames.val();
            self.credit_some.d.next = true;
            self.out_write.d.next = 0u64.into();
            self.out_read.d.next = 0u64.into();
            self.out_count.d.next = 0u64.into();
            self.out_some.d.next = false;
            self.latched.d.next = false;
            self.out_valid.d.next = false;
            self.out_beat.d.next = 0u64.into();
        }
    }
}

/// `L` words side by side: wiring.
#[derive(LogicBlock)]
pub struct Pack<const L: usize> {
    /// Words.
    pub d: [Signal<In, U<64>>; L],
    /// Word i in bits 64 i and up.
    pub q: Signal<Out, Lanes<L>>,
}

impl<const L: usize> Pack<L> {
    pub(crate) fn new() -> Self {
        Self { d: std::array::from_fn(|_| Default::default()), q: Default::default() }
    }
}

impl<const L: usize> Logic for Pack<L> {
    fn update(&mut self) {
        self.q.next = Lanes::new(std::array::from_fn(|i| self.d[i].val().raw() as u64));
    }
    fn connect(&mut self) {
        self.q.connect();
    }
    fn hdl(&self) -> Verilog {
        let words: Vec<String> = (0..L).rev().map(|i| format!("  d_{i}")).collect();
        Verilog::Custom(format!("assign q = {{\n{}\n}};\n", words.join(",\n")))
    }
}
