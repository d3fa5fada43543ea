// Properties of the register slave (glovebox_hdl::card::axi_lite::AxiLiteSlave), put inside the generated module.
//
// Assumed: reset in the first cycle; a valid of the master stays, with what it offers, until it is taken (AMBA AXI A3.2.1).

reg started = 1'b0;
always @(posedge clock) started <= 1'b1;
always @* if (!started) assume (reset);

// What stood on each channel in the cycle before and was not taken.
reg aw_kept = 1'b0, w_kept = 1'b0, ar_kept = 1'b0, b_kept = 1'b0, r_kept = 1'b0;
reg [15:0] awaddr_before, araddr_before;
reg [35:0] w_before;
reg [31:0] rdata_before;
always @(posedge clock) begin
  aw_kept <= awvalid & ~awready & ~reset;
  w_kept <= wvalid & ~wready & ~reset;
  ar_kept <= arvalid & ~arready & ~reset;
  b_kept <= bvalid & ~bready & ~reset;
  r_kept <= rvalid & ~rready & ~reset;
  awaddr_before <= awaddr;
  araddr_before <= araddr;
  w_before <= {wstrb, wdata};
  rdata_before <= rdata;
end
always @* begin
  assume (!aw_kept || (awvalid && awaddr == awaddr_before));
  assume (!w_kept || (wvalid && {wstrb, wdata} == w_before));
  assume (!ar_kept || (arvalid && araddr == araddr_before));
end

// The slave's own valids stay too, with what they offer; every answer is OKAY.
always @* if (started) begin
  assert (!b_kept || bvalid);
  assert (!r_kept || (rvalid && rdata == rdata_before));
  assert (bresp == 2'd0 && rresp == 2'd0);
end

// Requests taken and not answered yet.
wire aw = awvalid & awready, w = wvalid & wready, b = bvalid & bready, ar = arvalid & arready, r = rvalid & rready;
reg [1:0] aw_owed = 2'd0, w_owed = 2'd0, ar_owed = 2'd0;
always @(posedge clock) begin
  aw_owed <= reset ? 2'd0 : aw_owed + {1'd0, aw} - {1'd0, b};
  w_owed <= reset ? 2'd0 : w_owed + {1'd0, w} - {1'd0, b};
  ar_owed <= reset ? 2'd0 : ar_owed + {1'd0, ar} - {1'd0, r};
end
always @* if (started) begin
  // One at a time, and exactly one answer each: a write's in the next cycle, a read's in the third after its address.
  assert (aw_owed <= 2'd1 && w_owed == aw_owed && ar_owed <= 2'd1);
  assert (bvalid == (aw_owed != 2'd0));
  assert (!rvalid || ar_owed != 2'd0);
  assert (ar_owed == {1'd0, s1_read_q | s2_read_q | answered_q});
  assert (!(aw && aw_owed != 2'd0) && !(ar && ar_owed != 2'd0));
  assert ({1'd0, read_taken_q} + {1'd0, s1_read_q} + {1'd0, s2_read_q} + {1'd0, answered_q} <= 2'd1);
end
reg [1:0] read_age = 2'd0;
always @(posedge clock) read_age <= ar ? 2'd1 : (read_age == 2'd3) ? 2'd3 : read_age + 2'd1;
always @* if (started && ar_owed != 2'd0) begin
  assert (rvalid == (read_age == 2'd3));
  assert (!s1_read_q || read_age == 2'd1);
  assert (!s2_read_q || read_age == 2'd2);
end

// A request is taken at the second cycle in which it stands with nothing of its kind under way.
reg [1:0] write_waits = 2'd0, read_waits = 2'd0;
always @(posedge clock) begin
  write_waits <= (reset || aw || !awvalid || !wvalid || aw_owed != 2'd0) ? 2'd0 : write_waits + 2'd1;
  read_waits <= (reset || ar || !arvalid || ar_owed != 2'd0) ? 2'd0 : read_waits + 2'd1;
end
always @* if (started) assert (write_waits <= 2'd1 && read_waits <= 2'd1);
always @* if (started && write_waits == 2'd1) assert (aw);
always @* if (started && read_waits == 2'd1) assert (ar);

// A whole word taken reaches the registers in that cycle, and nothing else does.
always @* if (started) begin
  assert (aw == w && (aw || !awready) && (w || !wready));
  assert (write_valid == (w && (&wstrb)));
  assert (!write_valid || (write_offset == awaddr && write_data == wdata));
end

// What the ring registers rely on: writes are at least 3 cycles apart.
reg [1:0] since_write = 2'd3;
always @(posedge clock)
  since_write <= reset ? 2'd3 : write_valid ? 2'd1 : (since_write == 2'd3) ? 2'd3 : since_write + 2'd1;
always @* if (started) assert (!write_valid || since_write == 2'd3);

// A read answers with the value of its own register: any one register, which keeps its value.
(* anyconst *) wire [15:0] place;
(* anyconst *) wire [31:0] value;
reg shown = 1'b0;
always @(posedge clock) shown <= started & (read_offset == place);
always @* assume (!shown || read_data == value);
reg ours = 1'b0;
always @(posedge clock) if (ar) ours <= (araddr == place);
always @* if (started && ours) begin
  assert (!(s1_read_q || s2_read_q) || read_offset == place);
  assert (!s2_read_q || shown);
  assert (!rvalid || ar_owed == 2'd0 || rdata == value);
end

// Corners: both kinds at their highest rate, both taken and both held up at once, a read held up while a write passes it,
// a read right behind the write of its register, a partial word, a reset that drops a read.
reg [2:0] write_gap = 3'd0, read_gap = 3'd0;
reg dropped = 1'b0, ours_written = 1'b0;
always @(posedge clock) begin
  write_gap <= aw ? 3'd1 : (write_gap == 3'd7) ? 3'd7 : write_gap + {2'd0, |write_gap};
  read_gap <= ar ? 3'd1 : (read_gap == 3'd7) ? 3'd7 : read_gap + {2'd0, |read_gap};
  dropped <= reset & started & s1_read_q;
  if (write_valid) ours_written <= write_offset == place;
  if (started) begin
    cover (aw && write_gap == 3'd3);
    cover (ar && read_gap == 3'd5);
    cover (aw && ar);
    cover (b_kept && r_kept && bvalid && rvalid);
    cover (r_kept && b && write_gap == 3'd1);
    cover (ar && ours_written && aw_owed != 2'd0 && araddr == place);
    cover (w && !write_valid);
    cover (dropped && arvalid);
  end
end
