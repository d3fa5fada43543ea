// Rules of AXI4 (AMBA AXI and ACE, IHI 0022) on the channels that a card's master drives, and what the card promises beyond
// them: 64 bytes a beat, INCR, up to 16 beats, aligned.
module axi_rules #(
    parameter NAME = "axi"
) (
    input wire clock,
    input wire reset,
    input wire [63:0] araddr, awaddr,
    input wire [7:0] arlen, awlen,
    input wire [2:0] arsize, awsize,
    input wire [1:0] arburst, awburst,
    input wire arvalid, arready, awvalid, awready,
    input wire [511:0] wdata,
    input wire [63:0] wstrb,
    input wire wlast, wvalid, wready,
    input wire rlast, rvalid, rready, bvalid, bready
);
  // Lengths of write bursts by address and by data, compared when both are there: data may come first.
  reg [7:0] by_address[0:63], by_data[0:63];
  reg [5:0] addresses = 0, bursts = 0, compared = 0;
  reg [7:0] beats = 0;
  integer reads_owed = 0, writes_owed = 0;
  reg ar_kept = 0, aw_kept = 0, w_kept = 0, was_reset = 0;
  reg [76:0] ar_before, aw_before;
  reg [576:0] w_before;
  wire [76:0] ar = {araddr, arlen, arsize, arburst}, aw = {awaddr, awlen, awsize, awburst};
  wire [576:0] w = {wdata, wstrb, wlast};

  function automatic bit lawful(input bit [76:0] burst);
    bit [63:0] address = burst[76:13];
    bit [63:0] last = address + {50'd0, burst[12:5], 6'd63};
    return burst[4:0] == {3'd6, 2'd1} && burst[12:5] < 16 && address[5:0] == 0 && address[63:12] == last[63:12];
  endfunction

  always @(posedge clock) begin
    was_reset <= reset;
    ar_kept <= arvalid & ~arready & ~reset;
    aw_kept <= awvalid & ~awready & ~reset;
    w_kept <= wvalid & ~wready & ~reset;
    ar_before <= ar;
    aw_before <= aw;
    w_before <= w;
    if (reset || was_reset) begin
      assert (!was_reset || !(arvalid | awvalid | wvalid)) else $fatal(1, "%s: valid out of reset", NAME);
      {addresses, bursts, compared, beats} <= 0;
      reads_owed <= 0;
      writes_owed <= 0;
    end else begin
      assert (!ar_kept || (arvalid && ar == ar_before)) else $fatal(1, "%s: AR moved while it waited", NAME);
      assert (!aw_kept || (awvalid && aw == aw_before)) else $fatal(1, "%s: AW moved while it waited", NAME);
      assert (!w_kept || (wvalid && w == w_before)) else $fatal(1, "%s: W moved while it waited", NAME);
      assert (!arvalid || lawful(ar)) else $fatal(1, "%s: AR is no burst of the card: %x", NAME, ar);
      assert (!awvalid || lawful(aw)) else $fatal(1, "%s: AW is no burst of the card: %x", NAME, aw);
      // The master takes no more answers than it asked for.
      reads_owed <= reads_owed + ((arvalid & arready) ? 1 : 0) - ((rvalid & rready & rlast) ? 1 : 0);
      writes_owed <= writes_owed + ((awvalid & awready) ? 1 : 0) - ((bvalid & bready) ? 1 : 0);
      assert (!(rvalid && rready) || reads_owed > 0) else $fatal(1, "%s: R without a request", NAME);
      assert (!(bvalid && bready) || writes_owed > 0) else $fatal(1, "%s: B without a request", NAME);
      assert (writes_owed < 60) else $fatal(1, "%s: more writes under way than are counted", NAME);
      if (awvalid & awready) begin
        by_address[addresses] <= awlen;
        addresses <= addresses + 1;
      end
      if (wvalid & wready) begin
        beats <= wlast ? 0 : beats + 1;
        if (wlast) begin
          by_data[bursts] <= beats;
          bursts <= bursts + 1;
        end
      end
      if (compared != addresses && compared != bursts) begin
        assert (by_address[compared] == by_data[compared]) else $fatal(1, "%s: WLAST is not on the last beat", NAME);
        compared <= compared + 1;
      end
    end
  end
endmodule

// The same for the answers of an AXI4-Lite slave.
module axil_rules (
    input wire clock,
    input wire reset,
    input wire awvalid, awready, wvalid, wready, bvalid, bready, arvalid, arready, rvalid, rready,
    input wire [1:0] bresp, rresp,
    input wire [31:0] rdata
);
  integer aw_owed = 0, w_owed = 0, ar_owed = 0;
  reg b_kept = 0, r_kept = 0, was_reset = 0;
  reg [1:0] b_before;
  reg [33:0] r_before;
  always @(posedge clock) begin
    was_reset <= reset;
    b_kept <= bvalid & ~bready & ~reset;
    r_kept <= rvalid & ~rready & ~reset;
    b_before <= bresp;
    r_before <= {rresp, rdata};
    if (reset || was_reset) begin
      assert (!was_reset || !(bvalid | rvalid)) else $fatal(1, "s_axil: valid out of reset");
      aw_owed <= 0;
      w_owed <= 0;
      ar_owed <= 0;
    end else begin
      assert (!b_kept || (bvalid && bresp == b_before)) else $fatal(1, "s_axil: B moved while it waited");
      assert (!r_kept || (rvalid && {rresp, rdata} == r_before)) else $fatal(1, "s_axil: R moved while it waited");
      assert (!bvalid || (aw_owed > 0 && w_owed > 0)) else $fatal(1, "s_axil: B without a request");
      assert (!rvalid || ar_owed > 0) else $fatal(1, "s_axil: R without a request");
      aw_owed <= aw_owed + ((awvalid & awready) ? 1 : 0) - ((bvalid & bready) ? 1 : 0);
      w_owed <= w_owed + ((wvalid & wready) ? 1 : 0) - ((bvalid & bready) ? 1 : 0);
      ar_owed <= ar_owed + ((arvalid & arready) ? 1 : 0) - ((rvalid & rready) ? 1 : 0);
    end
  end
endmodule
