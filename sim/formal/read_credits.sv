// Properties of the read engine's credits (glovebox_hdl::card::ReadDma), put inside the generated module; the planner of
// bursts and the queue are cut out.
//
// Assumed: reset in the first cycle; bursts of 1 to 16 beats; no beat arrives that was not asked for; the queue offers
// only what it holds (proved in fifo.sv, under the assumption that is proved here).

reg started = 1'b0;
always @(posedge clock) started <= 1'b1;
always @* if (!started) assume (reset);
always @* begin
  assume (planner_burst_beats >= 1 && planner_burst_beats <= 16);
  assume (!rvalid || waiting_q != 0);
  assume (!queue_valid || inside != 0);
end

wire pushed = queue_push;
reg [9:0] inside = 10'd0;
always @(posedge clock) inside <= reset ? 10'd0 : inside + {9'd0, pushed} - {9'd0, give};
// Refused beats, and those behind them, keep their room.
reg [9:0] dropped = 10'd0;
always @(posedge clock) dropped <= reset ? 10'd0 : dropped + {9'd0, rvalid & ~pushed};

wire [9:0] promised = waiting_q;
wire [9:0] free = room_q;
always @* if (started) begin
  // Credits never go below 0 nor above the depth: each beat of room is free, promised, held or kept back.
  assert (free <= `DEPTH && promised <= `DEPTH && inside <= `DEPTH && dropped <= `DEPTH);
  assert (free + promised + inside + dropped == `DEPTH);
  // What the queue relies on.
  assert (!pushed || inside < `DEPTH);
  assert (rready);
end

// An address stays until it is taken.
reg kept = 1'b0;
reg [71:0] offered;
always @(posedge clock) begin
  kept <= arvalid & ~arready & ~reset;
  offered <= {arlen, araddr};
end
always @* if (started && kept) assert (arvalid && {arlen, araddr} == offered);

always @(posedge clock) begin
  cover (started && free < 16 && arvalid && !dropped);
  cover (started && dropped == 10'd2);
end
