// Properties of the event counter (glovebox_hdl::card::Counter), put inside the generated module.
//
// Assumed: reset in the first cycle.

reg started = 1'b0;
always @(posedge clock) started <= 1'b1;
always @* if (!started) assume (reset);

// No event is lost and none is made up: both halves and the carry between them are the number of events.
reg [63:0] events = 64'd0;
always @(posedge clock) events <= reset ? 64'd0 : events + {63'd0, step};
wire [63:0] shown = {high, low} + {31'd0, s1_carry_q, 32'd0};
always @* if (started) begin
  assert (shown == events);
  // A carry is pending only in the cycle behind the wrap.
  assert (!s1_carry_q || low == 32'd0);
end

always @(posedge clock) cover (started && events == 64'd5);
