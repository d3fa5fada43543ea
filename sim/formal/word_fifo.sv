// Properties of the bootstrap's queue (glovebox_hdl::bootstrap::fifo::WordFifo), put inside the generated module; its
// memory is cut out, so order is a matter of addresses.
//
// Assumed: reset in the first cycle; a word is started only while `room`, at most RESERVE are under way.

reg started = 1'b0;
always @(posedge clock) started <= 1'b1;
always @* if (!started) assume (reset);

(* anyseq *) wire start;
reg [7:0] under_way = 8'd0;
always @(posedge clock) under_way <= reset ? 8'd0 : under_way + {7'd0, start} - {7'd0, push};
always @* begin
  assume (!start || (room && (under_way < `RESERVE)));
  assume (!push || under_way != 8'd0);
end

wire [5:0] span = write_q - read_q;
always @* if (started) begin
  assert (under_way <= `RESERVE);
  assert ({1'b0, held_q} + under_way <= `WORDS);
  assert (!(push && held_q == `WORDS));
  assert (span == held_q[5:0]);
  assert (!fetch || held_q != 7'd0);
  assert (empty == (held_q == 7'd0 && !m_valid));
end

// An offered word stays: its register is loaded only when it is taken.
reg stalled = 1'b0;
always @(posedge clock) stalled <= m_valid & ~m_ready & ~reset;
always @* if (started && stalled) assert (m_valid);
always @* if (m_valid && !m_ready) assert (!fetch);

// The memory is read where the word was written whose turn it is, and nothing is written there before.
(* anyseq *) wire mark;
reg marked = 1'b0;
reg [6:0] ahead;
reg [5:0] place;
always @(posedge clock) begin
  if (push & mark & ~marked) begin
    marked <= 1'b1;
    place <= write_q;
    ahead <= held_q - {6'd0, fetch};
  end else if (marked & fetch) begin
    ahead <= ahead - 7'd1;
    if (ahead == 7'd0) marked <= 1'b0;
  end
  if (reset) marked <= 1'b0;
end
wire [5:0] turn = read_q + ahead[5:0];
always @* if (started && marked) begin
  assert (ahead < held_q && place == turn);
  if (fetch && ahead == 7'd0) assert (read_q == place);
  assert (!(push && write_q == place));
end

always @(posedge clock) begin
  cover (started && marked && fetch && ahead == 7'd0 && place == 6'd1);
  cover (started && under_way == 8'd3 && held_q == 7'd4);
end
