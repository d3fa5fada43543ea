// Properties of the arbiter (glovebox_hdl::card::RoundRobin), put inside the generated module: COUNT requests.
//
// Assumed: `first` is 0 at the beginning and the number behind the last one served after that, as the sequencer keeps it;
// a request stays until it is served.

(* gclk *) reg clock;
wire [`COUNT - 1:0] request = `REQUESTS;

always @* begin
  assert (any == |request);
  // One grant, because it is a number, and to one who asks.
  if (any) assert (grant < `COUNT && request[grant]);
end

(* anyseq *) wire serve;
reg [3:0] next = 4'd0;
always @* assume (first == next);
wire served = serve & any;
always @(posedge clock) if (served) next <= grant == `COUNT - 1 ? 4'd0 : grant + 4'd1;

// Any one requester is served after at most COUNT - 1 others.
(* anyconst *) wire [3:0] who;
always @* assume (who < `COUNT);
reg asked = 1'b0;
always @(posedge clock) asked <= request[who] & ~(served & grant == who);
always @* if (asked) assume (request[who]);
reg [4:0] others = 5'd0;
always @(posedge clock)
  if (!request[who] || (served && grant == who)) others <= 5'd0;
  else if (served) others <= others + 5'd1;
wire [4:0] distance = who >= next ? {1'b0, who} - {1'b0, next} : {1'b0, who} + 5'd`COUNT - {1'b0, next};
always @* begin
  assert (next < `COUNT);
  assert (others <= `COUNT - 1);
  if (others != 5'd0) assert (asked);
  assert (others == 5'd0 || others + distance <= `COUNT - 1);
end

always @(posedge clock) cover (served && grant == who && others == `COUNT - 1);
