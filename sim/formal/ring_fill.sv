// The fill of both rings of a pair, for a lawful host and a lawful card; follows ring_host.sv. That a doorbell which leaves
// a lawful fill is no overrun is in ring.sv.

// A lawful host: it rings while the ring is on, and its indexes never go back nor further than the ring; sizes change and
// the ring is enabled while it is off and the card does nothing for it. A lawful card: it begins what is requested, but not
// within 4 cycles of a step, fetches, then completes.
(* anyseq *) wire [15:0] more;
wire [16:0] advance = {1'b0, more};
reg [16:0] sq_count = 17'd0, cq_count = 17'd0, cq_count_before = 17'd0;
always @(posedge clock) begin
  sq_count <= sq_count + (sq_bell ? advance : 17'd0) - {16'd0, head_step};
  cq_count <= cq_count - (cq_bell ? advance : 17'd0) + {16'd0, tail_step};
  cq_count_before <= cq_count;
  if (enabling | reset) begin
    sq_count <= 17'd0;
    cq_count <= 17'd0;
  end
end
(* anyseq *) wire begins;
(* anyseq *) wire gives_up;
reg busy = 1'b0, fetched = 1'b0, completed = 1'b0, lawful = 1'b0;
reg [2:0] since_step = 3'd4;
reg fresh = 1'b0, on_1 = 1'b0, on_2 = 1'b0, on_3 = 1'b0;
wire sized = write_valid & ((write_offset == `CQ_LOG2) | (write_offset == `SQ_LOG2));
wire free = ~(on | on_1 | on_2 | on_3 | busy);
always @* assume (serving == (busy & ~completed));
always @* assume (!begins || (!busy && request && since_step == 3'd4));
always @* assume (!gives_up || (busy && (!fetched || completed)));
always @(posedge clock) begin
  fresh <= reset;
  on_1 <= on;
  on_2 <= on_1;
  on_3 <= on_2;
  since_step <= (head_step | tail_step) ? 3'd1 : (since_step == 3'd4) ? 3'd4 : since_step + 3'd1;
  if (begins) {busy, fetched, completed} <= 3'b100;
  if (head_step) fetched <= 1'b1;
  if (tail_step) completed <= 1'b1;
  if (gives_up) busy <= 1'b0;
  if (head_step && (!busy || fetched || gives_up)) lawful <= 1'b0;
  if (tail_step && (!busy || !fetched || completed)) lawful <= 1'b0;
  if ((sq_bell || cq_bell) && !on) lawful <= 1'b0;
  if (sq_bell && (write_data != tail + {15'd0, advance} || sq_count + advance > sq_size[16:0])) lawful <= 1'b0;
  if (cq_bell && (write_data != head + {15'd0, advance} || advance > cq_count)) lawful <= 1'b0;
  if ((sized || enabling) && !free) lawful <= 1'b0;
  if (reset) begin
    lawful <= 1'b1;
    busy <= 1'b0;
    on_1 <= 1'b0;
    on_2 <= 1'b0;
    on_3 <= 1'b0;
  end
end
always @* if (started && lawful) begin
  // What the indexes count is what is in the rings.
  assert (sq_fill == {16'd0, sq_count} && cq_fill == {16'd0, cq_count});
  assert (!fresh || free);
  assert (fresh || s1_used_q == {15'd0, cq_count_before});
  // Neither ring is ever overfull nor holds less than nothing.
  assert (free || (sq_count <= sq_size[16:0] && cq_count <= cq_size[16:0]));
  assert (!busy || fetched || sq_count != 17'd0);
  assert (!busy || completed || cq_count < cq_size[16:0]);
  // A request that is newer than the card's last step is for something, and does not outlive the ring by much.
  assert (free || since_step < 3'd2 || fresh || cq_count_before >= cq_count);
  assert (since_step < 3'd3 || !s2_request_q || (sq_count != 17'd0 && cq_count < cq_size[16:0]));
  assert (since_step < 3'd4 || !request || (sq_count != 17'd0 && cq_count < cq_size[16:0]));
  // Nor is the card stopped.
  assert (!s1_lost_q);
  assert (!s1_stepped_q || sq_fill != 33'h0ffffffff);
  assert (!s2_stepped_q || !(&s2_left_q));
  assert ((!s2_request_q || on || on_1) && (!request || on || on_1 || on_2));
end

// Corners: each ring full; a ring held up by its full completion ring, then going on; the end of each ring passed, from
// ORIGIN that of the numbers too; doorbell and step of the same ring in one cycle.
reg full_step = 1'b0, held_up = 1'b0, sq_meets = 1'b0, cq_meets = 1'b0;
always @(posedge clock) begin
  full_step <= lawful & ~reset & on & (sq_fill == sq_size) & (sq_log2 == 4'd2) & head_step;
  held_up <= lawful & ~reset & on & ~request & ~busy & (since_step == 3'd4) & (cq_fill == cq_size) & (sq_fill != 33'd0);
  sq_meets <= lawful & ~reset & sq_bell & head_step & (write_data != tail);
  cq_meets <= lawful & ~reset & cq_bell & tail_step & (write_data != head);
  if (started && lawful) begin
    cover (full_step);
    cover (held_up && on && cq_fill == 33'd0);
    cover (on && sq_log2 == 4'd0 && sq_head == `ORIGIN + 32'd1);
    cover (on && cq_log2 == 4'd0 && cq_tail == `ORIGIN + 32'd1 && cq_fill == 33'd0);
    cover (sq_meets);
    cover (cq_meets);
  end
end
