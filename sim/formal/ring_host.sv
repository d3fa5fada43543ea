// Properties of the registers of a ring pair (glovebox_hdl::card::ring::RingRegisters), put inside the generated module.
// ORIGIN is where the indexes begin when the ring is enabled: 0, or just before they wrap in a block changed for that.
//
// Assumed: reset in the first cycle; the host's writes come at least 3 cycles apart (proved in axi_lite.sv).

reg started = 1'b0;
always @(posedge clock) started <= 1'b1;
always @* if (!started) assume (reset);
reg [1:0] since_write = 2'd3;
always @(posedge clock) since_write <= write_valid ? 2'd1 : (since_write == 2'd3) ? 2'd3 : since_write + 2'd1;
always @* assume (!write_valid || since_write == 2'd3);

// The host's side of the ring, by the ports alone.
wire enabling = write_valid & (write_offset == `RING_CONTROL) & write_data[0];
wire sq_bell = write_valid & (write_offset == `SQ_TAIL);
wire cq_bell = write_valid & (write_offset == `CQ_HEAD);
reg on = 1'b0;
reg [31:0] tail = 32'd0, head = 32'd0;
always @(posedge clock) begin
  if (write_valid && write_offset == `RING_CONTROL) on <= write_data[0];
  if (sq_bell) tail <= write_data;
  if (cq_bell) head <= write_data;
  if (enabling) begin
    tail <= `ORIGIN;
    head <= `ORIGIN;
  end
  if (reset) begin
    on <= 1'b0;
    tail <= 32'd0;
    head <= 32'd0;
  end
end
wire [32:0] sq_size = 33'd1 << sq_log2, cq_size = 33'd1 << cq_log2;
wire [32:0] sq_fill = {1'b0, tail - sq_head}, cq_fill = {1'b0, cq_tail - head};
always @* if (started) assert (on == enabled_q && tail == s_tail_q && head == c_head_q);

// The card's indexes: one on at each step, back to the origin when the ring is enabled, and never else.
reg [31:0] sq_head_due = 32'd0, cq_tail_due = 32'd0;
always @(posedge clock) begin
  sq_head_due <= reset ? 32'd0 : enabling ? `ORIGIN : sq_head + {31'd0, head_step};
  cq_tail_due <= reset ? 32'd0 : enabling ? `ORIGIN : cq_tail + {31'd0, tail_step};
end
always @* if (started) assert (sq_head == sq_head_due && cq_tail == cq_tail_due);

