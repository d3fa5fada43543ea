// Properties of the stream converter to narrower beats (glovebox_hdl::card::Resize with A > B), put inside the generated
// module: one beat into RATIO of B bits.
//
// Assumed: reset in the first cycle.

reg started = 1'b0;
always @(posedge clock) started <= 1'b1;
always @* if (!started) assume (reset);

wire given = s_tvalid & s_tready;
wire taken = m_tvalid & m_tready;

// Beats inside: none is lost, none is made up.
reg [7:0] inside = 8'd0;
always @(posedge clock) inside <= reset ? 8'd0 : inside + (given ? 8'd`RATIO : 8'd0) - {7'd0, taken};
always @* if (started) begin
  assert (m_tvalid == (inside != 8'd0));
  if (m_tvalid) assert (inside == {{(7 - `BITS){1'b0}}, left} && left <= `RATIO);
end

// An offered beat stays until it is taken.
reg stalled = 1'b0;
reg [`B - 1:0] offered;
always @(posedge clock) begin
  stalled <= m_tvalid & ~m_tready & ~reset;
  offered <= m_tdata;
end
always @* if (started && stalled) assert (m_tvalid && m_tdata == offered);

// Beat i of any wide beat leaves as its i-th one, unchanged.
(* anyseq *) wire mark;
reg marked = 1'b0;
reg [`B * `RATIO - 1:0] beat;
always @(posedge clock) begin
  if (given) begin
    marked <= mark;
    beat <= s_tdata;
  end
  if (reset) marked <= 1'b0;
end
wire [`B * `RATIO - 1:0] due = beat >> ((8'd`RATIO - inside) * `B);
always @* if (started && marked && m_tvalid) assert ({later, m_tdata} == due);

always @(posedge clock) cover (started && marked && taken && stalled && inside == 8'd1);
