// Exactness of the registers of a ring pair, for any host and any steps; follows ring_host.sv.

// Any one register that the host writes, chosen by the solver, reads what was written there last.
(* anyconst *) wire [15:0] place;
wire sizes = (place == `SQ_LOG2) | (place == `CQ_LOG2);
wire bells = (place == `SQ_TAIL) | (place == `CQ_HEAD);
wire bases = (place == `SQ_BASE) | (place == `SQ_BASE + 16'd4) | (place == `CQ_BASE) | (place == `CQ_BASE + 16'd4);
always @* assume (sizes | bells | bases | (place == `RING_VECTOR));
reg [31:0] written = 32'd0;
reg asked = 1'b0, near = 1'b0;
reg [31:0] answer;
always @(posedge clock) begin
  if (write_valid && write_offset == place) written <= sizes ? {28'd0, write_data[3:0]} : write_data;
  if (enabling && bells) written <= `ORIGIN;
  if (reset) written <= 32'd0;
  asked <= started & (read_offset == place);
  near <= read_offset[15:6] == place[15:6];
  answer <= written;
end
wire [63:0] base_there = (place == `SQ_BASE || place == `SQ_BASE + 16'd4) ? sq_base : cq_base;
wire high = (place == `SQ_BASE + 16'd4) | (place == `CQ_BASE + 16'd4);
always @* if (started) begin
  if (bases) assert (written == (high ? base_there[63:32] : base_there[31:0]));
  else if (bells) assert (written == (place == `SQ_TAIL ? tail : head));
  else if (sizes) assert (written == {28'd0, place == `SQ_LOG2 ? sq_log2 : cq_log2});
  else assert (written == ring_vector);
  assert (read_hit == near);
  assert (!asked || read_data == answer);
end

// An overrun, two cycles later, is a doorbell that leaves more than the ring holds, and enabling the ring while it is being
// served; three cycles later, a head that has stepped past the tail. Nothing else is. A fill below 0 is more than the ring
// holds: it is close to 2^32.
wire sq_far = sq_bell & ({1'b0, write_data - sq_head} > sq_size);
wire cq_far = cq_bell & ({1'b0, cq_tail - write_data} > cq_size);
reg far_1 = 1'b0, lost_1 = 1'b0, wrong_2 = 1'b0, stepped_1 = 1'b0, passed_2 = 1'b0;
always @(posedge clock) begin
  far_1 <= (sq_far | cq_far) & ~reset;
  lost_1 <= enabling & serving & ~reset;
  stepped_1 <= head_step & ~reset;
  passed_2 <= stepped_1 & (tail + 32'd1 == sq_head) & ~reset;
  wrong_2 <= (far_1 | lost_1 | passed_2) & ~reset;
end
always @* if (started) begin
  assert (s1_doorbell_q || !far_1);
  assert (!s1_doorbell_q || far_1 == (|laps && !(&s1_ahead_q)));
  assert (s1_lost_q == lost_1 && s1_stepped_q == stepped_1);
  assert (passed_2 == (s2_stepped_q & (&s2_left_q)));
  assert (overrun == wrong_2);
end

// The request: 4 cycles after the last change it says whether there is a descriptor and room for its completion.
wire sized = write_valid & ((write_offset == `CQ_LOG2) | (write_offset == `SQ_LOG2));
wire changed = head_step | tail_step | sq_bell | cq_bell | sized | (write_valid & (write_offset == `RING_CONTROL));
wire wanted = on & (sq_fill != 33'd0) & (cq_fill < cq_size);
reg [2:0] still = 3'd0;
reg idle_1 = 1'b0, idle_2 = 1'b0;
always @(posedge clock) begin
  still <= (changed | reset) ? 3'd0 : (still == 3'd4) ? 3'd4 : still + 3'd1;
  // A doorbell at a ring that asks for nothing.
  idle_1 <= (sq_bell | cq_bell) & (still == 3'd4) & ~request & ~head_step & ~tail_step;
  idle_2 <= idle_1 & ~changed;
end
always @* if (started) begin
  assert (still < 3'd1 || {1'b0, s1_used_q} == cq_fill);
  assert (still < 3'd2 || s2_request_q == wanted);
  assert (still < 3'd3 || request == wanted);
  // Its overrun comes before the request that it causes.
  assert (!idle_1 || !s2_request_q);
  assert (!(idle_1 || idle_2) || !request);
end

// Corners: both indexes stepping in one cycle, a doorbell one too far at each ring, one exactly as far as the ring is long,
// a doorbell below the index, a request and its end, enabled while being served, a tail taken back to the head under a fetch.
reg both = 1'b0, asks = 1'b0;
always @(posedge clock) begin
  both <= head_step & tail_step;
  asks <= (asks | request) & on;
  if (started) begin
    cover (both && sq_head != 32'd0 && cq_tail != 32'd0);
    cover (overrun && on && sq_fill == sq_size + 33'd1);
    cover (overrun && on && head == cq_tail + 32'd1);
    cover (on && !wrong_2 && tail - sq_head == 32'd8 && sq_log2 == 4'd3 && !overrun);
    cover (overrun && on && tail == sq_head - 32'd1);
    cover (asks && !request && still == 3'd4);
    cover (lost_1 && !far_1);
    cover (passed_2 && !far_1 && !lost_1 && tail == 32'd3);
  end
end
