// Properties of the card's queue (glovebox_hdl::card::Fifo), put inside the generated module: DEPTH words of any width.
//
// Assumed: reset in the first cycle; no push while DEPTH words are inside.

reg started = 1'b0;
always @(posedge clock) started <= 1'b1;
always @* if (!started) assume (reset);

// Words inside, by the ports alone.
reg [7:0] inside = 8'd0;
wire taken = valid & ready;
always @(posedge clock) inside <= reset ? 8'd0 : inside + {7'd0, push} - {7'd0, taken};
always @* assume (!push || inside < `DEPTH);

wire [`BITS:0] held = head - tail;
always @* if (started) begin
  // The pointers count the same words: none is lost, none is made up, the memory never overflows.
  assert (inside <= `DEPTH);
  assert (inside == {{(7 - `BITS){1'b0}}, held} + {7'd0, valid});
  assert (held <= `DEPTH);
  assert (!valid || inside != 8'd0);
end

// One cycle after the memory holds a word, one is offered: two after its push.
reg waited = 1'b0;
always @(posedge clock) waited <= !reset && held != {(`BITS + 1){1'b0}};
always @* if (started && waited) assert (valid);

// An offered word stays until it is taken.
reg stalled = 1'b0;
reg [`WIDTH - 1:0] offered;
always @(posedge clock) begin
  stalled <= valid & ~ready & ~reset;
  offered <= q;
end
always @* if (started && stalled) assert (valid && q == offered);

// Any one word, chosen by the solver as it is pushed, leaves after those that were inside before it, unchanged.
(* anyseq *) wire mark;
reg marked = 1'b0;
reg [7:0] ahead = 8'd0;
reg [`WIDTH - 1:0] word;
always @(posedge clock) begin
  if (push & mark & ~marked) begin
    marked <= 1'b1;
    word <= d;
    ahead <= inside - {7'd0, taken};
  end else if (marked & taken) begin
    if (ahead == 8'd0) marked <= 1'b0;
    else ahead <= ahead - 8'd1;
  end
  if (reset) marked <= 1'b0;
end
wire [7:0] place = {{(7 - `BITS){1'b0}}, tail} + ahead - {7'd0, valid};
always @* if (started && marked) begin
  assert (ahead < inside);
  // It is in the output register or in the memory where its turn is: what makes the order a matter of induction.
  if (valid && ahead == 8'd0) assert (q == word);
  else assert (words[place[`BITS - 1:0]] == word);
end

always @(posedge clock) begin
  cover (started && inside == `DEPTH);
  cover (started && marked && taken && ahead == 8'd0);
end
