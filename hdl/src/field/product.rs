//! The DSP blocks of a 64 x 64 bit product.
//!
//! sum of row(t + 2) over the seven rows = a(t) * b(t)
//! Range:     any words, unsigned; the sum of the rows is exact and below 2^128
//! Handshake: none, free running
//! Latency:   2 cycles, one before and one behind the multipliers; one product a cycle
//! Reset:     none
//! Limits:    bits 0 to 31 and 96 to 127 are 0 in rows 2, 5, 6, and bits 0 to 31 in row 1
//!
//! The place for vendor primitives. A row is small products side by side that do not overlap: nothing is added here.
//!
//! | macro | multipliers |
//! |---|---|
//! | none | 16 of 16 x 16 bits, behavioural: what simulation runs |
//! | `GLOVEBOX_ECP5` | the same as MULT18X18D, instantiated because synthesis does not move registers into them |
//! | `GLOVEBOX_DSP48` | 12 of 26 x 17 bits, the unsigned size of a DSP48E2; behavioural, synthesis infers them |

use crate::prelude::*;

/// Rows of a product.
pub(super) const ROWS: usize = 7;

/// The products.
#[derive(LogicBlock, Default)]
pub struct Product64 {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// First factor.
    pub a_in: Signal<In, U<64>>,
    /// Second factor.
    pub b_in: Signal<In, U<64>>,
    /// Rows, two cycles later.
    pub row_out: [Signal<Out, U<128>>; ROWS],
    _s1: (u64, u64),
}

/// The small products `4i + j` of 16 bits each, by row: number and place of the lowest bit.
const ROW_PARTS: [&[(usize, usize)]; ROWS] = [
    &[(0, 0), (2, 32), (7, 64), (15, 96)],
    &[(5, 32), (10, 64)],
    &[(8, 32), (13, 64)],
    &[(1, 16), (3, 48), (11, 80)],
    &[(4, 16), (6, 48), (14, 80)],
    &[(9, 48)],
    &[(12, 48)],
];

impl Product64 {
    /// Cycles from factors to rows.
    pub const LATENCY: usize = 2;
}

impl Logic for Product64 {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            let (a, b) = self._s1;
            let limb = |x: u64, i: usize| u128::from(x >> (16 * i) & 0xFFFF);
            for (row, parts) in self.row_out.iter_mut().zip(ROW_PARTS) {
                let word = parts.iter().map(|&(n, place)| (limb(a, n / 4) * limb(b, n % 4)) << place);
                row.next = U::new(word.sum());
            }
            self._s1 = (self.a_in.val().raw() as u64, self.b_in.val().raw() as u64);
        }
    }
    fn connect(&mut self) {
        self.row_out.iter_mut().for_each(|row| row.connect());
    }
    fn hdl(&self) -> Verilog {
        let pins = |port: char, of: &str, index: &str| {
            let bits: Vec<String> =
                (0..18)
                    .map(|i| {
                        if i < 16 {
                            format!(".{port}{i}({of}[16 * {index} + {i}])")
                        } else {
                            format!(".{port}{i}(1'b0)")
                        }
                    })
                    .collect();
            format!("    {},\n", bits.join(", "))
        };
        let product: Vec<String> = (0..32).map(|i| format!(".P{i}(part[32 * (4 * i + j) + {i}])")).collect();
        let product = format!("    {},\n", product.join(", "));
        let (a, b) = (pins('A', "a_in", "i"), pins('B', "b_in", "j"));
        let mut rows = String::new();
        for (n, parts) in ROW_PARTS.iter().enumerate() {
            let (mut fields, mut next) = (vec![], 0);
            for &(part, place) in *parts {
                if place > next {
                    fields.push(format!("{}'d0", place - next));
                }
                fields.push(format!("part[{} +: 32]", 32 * part));
                next = place + 32;
            }
            if next < 128 {
                fields.push(format!("{}'d0", 128 - next));
            }
            fields.reverse();
            rows += &format!("assign row_out_{n} = {{{}}};\n", fields.join(", "));
        }
        Verilog::Custom(format!(
            "\
`ifdef GLOVEBOX_DSP48
// Part 4i + j is bits 26i and up of a times bits 17j and up of b.
reg [77:0] s1_a;
reg [67:0] s1_b;
reg [515:0] part;
integer i;
integer j;
always @(posedge clock) begin
  s1_a <= {{14'd0, a_in}};
  s1_b <= {{4'd0, b_in}};
  for (i = 0; i < 3; i = i + 1)
    for (j = 0; j < 4; j = j + 1)
      part[43 * (4 * i + j) +: 43] <= {{17'd0, s1_a[26 * i +: 26]}} * {{26'd0, s1_b[17 * j +: 17]}};
end
assign row_out_0 = {{13'd0, part[430 +: 29], part[215 +: 43], part[0 +: 43]}};
assign row_out_1 = {{12'd0, part[301 +: 39], part[86 +: 43], 34'd0}};
assign row_out_2 = {{38'd0, part[129 +: 39], 51'd0}};
assign row_out_3 = {{part[473 +: 25], part[258 +: 43], part[43 +: 43], 17'd0}};
assign row_out_4 = {{30'd0, part[387 +: 29], part[172 +: 43], 26'd0}};
assign row_out_5 = {{47'd0, part[344 +: 29], 52'd0}};
assign row_out_6 = 128'd0;
`else
// Part 4i + j is bits 16i and up of a times bits 16j and up of b.
`ifdef GLOVEBOX_ECP5
wire [511:0] part;
genvar i;
genvar j;
generate for (i = 0; i < 4; i = i + 1) begin : row
  for (j = 0; j < 4; j = j + 1) begin : column
    MULT18X18D #(
      .REG_INPUTA_CLK(\"CLK0\"), .REG_INPUTB_CLK(\"CLK0\"), .REG_PIPELINE_CLK(\"NONE\"), .REG_OUTPUT_CLK(\"CLK0\"),
      .GSR(\"DISABLED\"), .RESETMODE(\"SYNC\")
    ) dsp (
{a}{b}{product}    .SIGNEDA(1'b0), .SIGNEDB(1'b0), .SOURCEA(1'b0), .SOURCEB(1'b0),
    .CLK0(clock), .CLK1(1'b0), .CLK2(1'b0), .CLK3(1'b0), .CE0(1'b1), .CE1(1'b1), .CE2(1'b1), .CE3(1'b1),
    .RST0(1'b0), .RST1(1'b0), .RST2(1'b0), .RST3(1'b0)
    );
  end
end endgenerate
`else
reg [63:0] s1_a;
reg [63:0] s1_b;
reg [511:0] part;
integer i;
integer j;
always @(posedge clock) begin
  s1_a <= a_in;
  s1_b <= b_in;
  for (i = 0; i < 4; i = i + 1)
    for (j = 0; j < 4; j = j + 1)
      part[32 * (4 * i + j) +: 32] <= {{16'd0, s1_a[16 * i +: 16]}} * {{16'd0, s1_b[16 * j +: 16]}};
end
`endif
{rows}`endif
"
        ))
    }
}
