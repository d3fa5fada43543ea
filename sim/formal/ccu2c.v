// What two bits of an ECP5 carry chain do (CCU2C, as yosys and nextpnr model it): a
// four-input table says whether the carry passes, its first four entries what carry goes on where it does not.
module CCU2C #(
  parameter [15:0] INIT0 = 16'd0,
  parameter [15:0] INIT1 = 16'd0,
  parameter INJECT1_0 = "YES",
  parameter INJECT1_1 = "YES"
) (
  input  wire CIN,
  input  wire A0, B0, C0, D0, A1, B1, C1, D1,
  output wire S0, S1, COUT
);
  wire pass_0 = INIT0[{D0, C0, B0, A0}];
  wire pass_1 = INIT1[{D1, C1, B1, A1}];
  wire inject_0 = INJECT1_0 == "YES";
  wire inject_1 = INJECT1_1 == "YES";
  wire carry = pass_0 ? CIN : (INIT0[{2'd0, B0, A0}] & ~inject_0);
  assign S0 = pass_0 ^ (CIN & ~inject_0);
  assign S1 = pass_1 ^ (carry & ~inject_1);
  assign COUT = pass_1 ? carry : (INIT1[{2'd0, B1, A1}] & ~inject_1);
endmodule
