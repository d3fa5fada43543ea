//! A 16 x 16 bit product with the registers of a DSP block around it.
//!
//! product(t + 2) = a(t) * b(t)
//! Range:     any words, unsigned; the product is exact
//! Handshake: none, free running
//! Latency:   2 cycles, one before and one behind the multiplier; one product a cycle
//! Reset:     none
//! Limits:    none
//!
//! The place for vendor primitives: synthesis tools infer the multiplier everywhere but do not move registers into
//! ECP5's. With the macro `GLOVEBOX_ECP5` defined the module is a MULT18X18D with its input and output registers, else
//! it is the behavioural twin, which simulation runs.

use crate::prelude::*;
use std::fmt::Write as _;

/// The product.
#[derive(LogicBlock, Default)]
pub struct Product16 {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// First factor.
    pub a_in: Signal<In, U<16>>,
    /// Second factor.
    pub b_in: Signal<In, U<16>>,
    /// Product, two cycles later.
    pub product_out: Signal<Out, U<32>>,
    _s1: (u32, u32),
}

impl Product16 {
    /// Cycles from factors to product.
    pub const LATENCY: usize = 2;
}

impl Logic for Product16 {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            self.product_out.next = u64::from(self._s1.0 * self._s1.1).into();
            self._s1 = (self.a_in.val().raw() as u32, self.b_in.val().raw() as u32);
        }
    }
    fn connect(&mut self) {
        self.product_out.connect();
    }
    fn hdl(&self) -> Verilog {
        let mut pins = String::new();
        for i in 0..18 {
            let bit = |port: &str| if i < 16 { format!("{port}[{i}]") } else { "1'b0".to_string() };
            let _ = writeln!(pins, "  .A{i}({}), .B{i}({}),", bit("a_in"), bit("b_in"));
        }
        for i in 0..32 {
            let _ = writeln!(pins, "  .P{i}(product[{i}]),");
        }
        Verilog::Custom(format!(
            "\
`ifdef GLOVEBOX_ECP5
wire [31:0] product;
MULT18X18D #(
  .REG_INPUTA_CLK(\"CLK0\"), .REG_INPUTB_CLK(\"CLK0\"), .REG_PIPELINE_CLK(\"NONE\"), .REG_OUTPUT_CLK(\"CLK0\"),
  .GSR(\"DISABLED\"), .RESETMODE(\"SYNC\")
) dsp (
{pins}  .SIGNEDA(1'b0), .SIGNEDB(1'b0), .SOURCEA(1'b0), .SOURCEB(1'b0),
  .CLK0(clock), .CLK1(1'b0), .CLK2(1'b0), .CLK3(1'b0), .CE0(1'b1), .CE1(1'b1), .CE2(1'b1), .CE3(1'b1),
  .RST0(1'b0), .RST1(1'b0), .RST2(1'b0), .RST3(1'b0)
);
`else
reg [15:0] s1_a;
reg [15:0] s1_b;
reg [31:0] product;
always @(posedge clock) begin
  s1_a <= a_in;
  s1_b <= b_in;
  product <= {{16'd0, s1_a}} * {{16'd0, s1_b}};
end
`endif
assign product_out = product;
"
        ))
    }
}
