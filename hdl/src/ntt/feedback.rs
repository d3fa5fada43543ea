//! The two leaves of a butterfly over beats ([`super::row::Sdf`]): its sums and its delay line.

use crate::block_ram::{Pins, ecp5};
use crate::field::LIMB;
use crate::prelude::*;
use crate::verilog::KEPT_MARK;
use std::fmt::Write as _;

/// The sums of a butterfly over beats, for one limb.
///
/// leaving = kept + (second ? d : 0)
/// stored = second ? kept - d : d
/// Range:     limbs; the bound of kept plus that of d must fit
/// Handshake: none
/// Latency:   0, combinational
/// Reset:     none
/// Limits:    overflow is not checked
///
/// A place for vendor primitives: the choice by `second` is part of the carry cells, where a chip's cell has an input
/// for it, but synthesis puts it behind them as one more LUT and one more wire a bit.
///
/// | macro | cells |
/// |---|---|
/// | none | behavioural: what simulation runs |
/// | `GLOVEBOX_ECP5` | CCU2C, instantiated; `sim/tests/formal.rs` proves them equal to the behaviour |
#[derive(LogicBlock, Default)]
pub struct FeedbackSums {
    /// Limb that arrives.
    pub d: Signal<In, S<LIMB>>,
    /// Limb from the delay line.
    pub kept: Signal<In, S<LIMB>>,
    /// Second half of a block.
    pub second: Signal<In, Bit>,
    /// Limb that leaves.
    pub leaving: Signal<Out, S<LIMB>>,
    /// Limb for the delay line.
    pub stored: Signal<Out, S<LIMB>>,
}

impl Logic for FeedbackSums {
    fn update(&mut self) {
        let (d, kept) = (self.d.val(), self.kept.val());
        self.leaving.next = if self.second.val() { kept + d } else { kept };
        self.stored.next = if self.second.val() { kept - d } else { d };
    }
    fn connect(&mut self) {
        self.leaving.connect();
        self.stored.connect();
    }
    fn hdl(&self) -> Verilog {
        // A half of a CCU2C: with D = 1, bits 15 to 8 of INIT say by C, B, A whether the carry passes (the sum without
        // it), bits 3 to 0 by B, A what carry goes on where it does not pass. B is `second`.
        let cells = |name: &str, init: &str, a: &str, c: &str, carry_in: &str, out: &str| {
            let half =
                |i: usize| format!(".A{i}({a}[2 * i + {i}]), .B{i}(second), .C{i}({c}[2 * i + {i}]), .D{i}(1'b1)");
            format!(
                "\
wire [{pairs}:0] {name}_carry;
assign {name}_carry[0] = {carry_in};
generate for (i = 0; i < {pairs}; i = i + 1) begin : {name}
  CCU2C #(.INIT0({init}), .INIT1({init}), .INJECT1_0(\"NO\"), .INJECT1_1(\"NO\")) pair (
    {}, {},
    .CIN({name}_carry[i]), .COUT({name}_carry[i + 1]), .S0({out}[2 * i]), .S1({out}[2 * i + 1])
  );
end endgenerate
",
                half(0),
                half(1),
                pairs = LIMB / 2,
            )
        };
        Verilog::Custom(format!(
            "\
`ifdef GLOVEBOX_ECP5
genvar i;
// Passes: second ? kept ^ d : kept; goes on: kept.
{}// Passes: second ? ~(kept ^ d) : d; goes on: second & ~d.
{}`else
assign leaving = second ? (kept + d) : kept;
assign stored = second ? (kept - d) : d;
`endif
",
            cells("sum", "16'h6a0a", "kept", "d", "1'b0", "leaving"),
            cells("difference", "16'ha604", "d", "kept", "second", "stored"),
        ))
    }
}

const _: () = assert!(LIMB.is_multiple_of(2), "a CCU2C adds two bits");

/// Deepest delay written as a shift register.
const SHIFT_REGISTER_MAX: usize = 4;
/// Deepest delay of small memories (LUT RAM), which lie among the logic; deeper ones are block RAM.
const SMALL_MEMORY_MAX: usize = 16;

/// The delay line of a butterfly over beats: the three limbs of a word side by side.
///
/// q(t) = d(t - depth)
/// Range:     any limbs
/// Handshake: none, free running
/// Latency:   `depth` cycles, at least 1
/// Reset:     none; `depth` cycles of arbitrary values come out first
/// Limits:    one clock; the memory form reads and writes different addresses in a cycle
///
/// As [`DelayLine`], but a depth of 5 is a memory already: as flip-flops the lines of 8 and 16 beats would be a third of
/// all in a transform of few lanes. Its module is kept apart: the addresses of equal lines of several lanes are equal, and
/// synthesis would make one counter of them, whose net spans the chip.
#[derive(LogicBlock)]
pub struct FeedbackDelay {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs in.
    pub d: [Signal<In, S<LIMB>>; 3],
    /// Limbs out.
    pub q: [Signal<Out, S<LIMB>>; 3],
    _line: Vec<[S<LIMB>; 3]>,
}

impl FeedbackDelay {
    /// A delay of `depth` cycles.
    ///
    /// # Panics
    /// If `depth` is 0.
    pub fn new(depth: usize) -> Self {
        assert!(depth >= 1, "a delay of {depth} beats: at least one");
        Self {
            clock: Default::default(),
            d: Default::default(),
            q: Default::default(),
            _line: vec![Default::default(); depth],
        }
    }
}

impl Logic for FeedbackDelay {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            self._line.rotate_right(1);
            self._line[0] = std::array::from_fn(|j| self.d[j].val());
            let oldest = self._line[self._line.len() - 1];
            self.q.iter_mut().zip(oldest).for_each(|(q, limb)| q.next = limb);
        }
    }
    fn connect(&mut self) {
        self.q.iter_mut().for_each(|q| q.connect());
    }
    fn hdl(&self) -> Verilog {
        let (depth, top) = (self._line.len(), 3 * LIMB - 1);
        let mut text = String::new();
        if depth <= SHIFT_REGISTER_MAX {
            for i in 1..depth {
                let _ = writeln!(text, "reg [{top}:0] s{i}_d;");
            }
            text.push_str("always @(posedge clock) begin\n");
            let mut from = "{d_2, d_1, d_0}".to_string();
            for i in 1..depth {
                let _ = writeln!(text, "  s{i}_d <= {from};");
                from = format!("s{i}_d");
            }
            let _ = write!(text, "  {{q_2, q_1, q_0}} <= {from};\nend\n");
            return Verilog::Custom(text);
        }
        // The memory holds all but three cycles: a register ahead of it, because what arrives is a sum that has no time
        // left for the way to a memory; its own output register; and one behind that.
        let words = (depth - 1).next_power_of_two();
        let bits = words.trailing_zeros() as usize;
        let memory = if depth <= SMALL_MEMORY_MAX {
            format!("(* ram_style = \"distributed\" *)\n{}", behaviour(words, top))
        } else {
            let pins = Pins {
                write_enable: "1'b1",
                write_address: "head",
                write_data: "newest",
                read_enable: "1'b1",
                read_address: "tail",
                output_enable: "1'b1",
                read_data: "leaving",
            };
            format!("wire [{top}:0] leaving;\n{}", ecp5(words, top + 1, &pins, &[]))
        };
        let ahead = words - (depth - 3);
        Verilog::Custom(format!(
            "\
{KEPT_MARK}// {depth} beats: a register, write at `head`, read {behind} words behind it, and a register behind the memory.
reg [{top}:0] newest;
reg [{b}:0] head;
reg [{b}:0] tail;
initial head = {bits}'d0;
always @(posedge clock) begin
  head <= head + {bits}'d1;
  tail <= head + {bits}'d{next};
  newest <= {{d_2, d_1, d_0}};
end
`ifdef GLOVEBOX_ECP5
{memory}`else
{}`endif
assign q_0 = leaving[{l0}:0];
assign q_1 = leaving[{l1}:{l}];
assign q_2 = leaving[{top}:{ll}];
",
            behaviour(words, top),
            behind = depth - 3,
            l0 = LIMB - 1,
            l1 = 2 * LIMB - 1,
            l = LIMB,
            ll = 2 * LIMB,
            b = bits - 1,
            next = (ahead + 1) % words,
        ))
    }
}

/// The memory of a deep delay line and the register behind it.
fn behaviour(words: usize, top: usize) -> String {
    format!(
        "\
(* no_rw_check *) reg [{top}:0] mem [0:{last}];
reg [{top}:0] oldest;
reg [{top}:0] leaving;
always @(posedge clock) begin
  mem[head] <= newest;
  oldest <= mem[tail];
  leaving <= oldest;
end
",
        last = words - 1,
    )
}
