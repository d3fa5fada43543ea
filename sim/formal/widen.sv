// Properties of the stream converter to wider beats (glovebox_hdl::card::Resize with A < B), put inside the generated
// module: RATIO beats of A bits into one.
//
// Assumed: reset in the first cycle; the sender keeps a beat that is not taken (only its loss could show it).

reg started = 1'b0;
always @(posedge clock) started <= 1'b1;
always @* if (!started) assume (reset);

wire given = s_tvalid & s_tready;
wire taken = m_tvalid & m_tready;

// Beats inside: none is lost, none is made up.
reg [7:0] inside = 8'd0;
always @(posedge clock) inside <= reset ? 8'd0 : inside + {7'd0, given} - (taken ? 8'd`RATIO : 8'd0);
always @* if (started) begin
  assert (inside == (m_tvalid ? 8'd`RATIO : {{(8 - `BITS){1'b0}}, held}));
  assert (!m_tvalid || held == {`BITS{1'b0}});
end

// An offered beat stays until it is taken.
reg stalled = 1'b0;
reg [`A * `RATIO - 1:0] offered;
always @(posedge clock) begin
  stalled <= m_tvalid & ~m_tready & ~reset;
  offered <= m_tdata;
end
always @* if (started && stalled) assert (m_tvalid && m_tdata == offered);

// Any one beat leaves in its place of the wide one, unchanged.
(* anyseq *) wire mark;
reg marked = 1'b0;
reg [`BITS - 1:0] place;
reg [`A - 1:0] beat;
always @(posedge clock) begin
  if (given & mark & (~marked | taken)) begin
    marked <= 1'b1;
    place <= held;
    beat <= s_tdata;
  end else if (taken) marked <= 1'b0;
  if (reset) marked <= 1'b0;
end
// While the wide beat grows, its beats wait further up by as many places as are missing.
wire [7:0] missing = m_tvalid ? 8'd0 : 8'd`RATIO - {{(8 - `BITS){1'b0}}, held};
wire [7:0] at = {{(8 - `BITS){1'b0}}, place} + missing;
wire [`A * `RATIO - 1:0] shifted = m_tdata >> (at * `A);
always @* if (started && marked) begin
  assert (m_tvalid || place < held);
  assert (shifted[`A - 1:0] == beat);
end

always @(posedge clock) cover (started && marked && taken && stalled && place == `RATIO - 1);
