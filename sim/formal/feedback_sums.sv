// Properties of the sums of a butterfly over beats (glovebox_hdl::ntt::feedback::FeedbackSums), put inside the module with
// the chip's carry cells chosen: they are what the text for other chips says.

always @* begin
  assert (leaving == (second ? kept + d : kept));
  assert (stored == (second ? kept - d : d));
end

always @* begin
  cover (second && leaving == 38'd0 && kept == 38'd1);
  cover (!second && kept == ~d && d[0]);
end
