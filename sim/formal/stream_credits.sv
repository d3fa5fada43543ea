// Properties of a transform's buffers (glovebox_hdl::ntt::NttStream), put inside the generated module; the pipe and both
// memories are cut out.
//
// Assumed: reset in the first cycle, held until the pipe is empty; the pipe gives back as many beats as it was given, at any
// later time.

reg started = 1'b0;
always @(posedge clock) started <= 1'b1;
always @* if (!started) assume (reset);

reg [12:0] in_pipe = 13'd0;
always @(posedge clock) in_pipe <= reset ? 13'd0 : in_pipe + {12'd0, s2_valid_q} - {12'd0, pipe_valid_out};
always @* assume (!pipe_valid_out || in_pipe != 13'd0);

wire [12:0] frame = 13'd1 << `FRAME_BITS;
wire [12:0] out_full = 13'd1 << `OUT_BITS;
wire [12:0] to_run = running_q ? frame - {3'd0, beat_q} : 13'd0;
// Frames as beats, with those of the frame that is arriving or leaving.
wire [7:0] whole_frames = in_waiting_q + {7'd0, s1_whole_q};
wire [7:0] free_frames = credit_q + {7'd0, gone_q};
wire [12:0] waiting = ({5'd0, whole_frames} << `FRAME_BITS) + (in_write_q & last_of_frame);
wire [12:0] credit = ({5'd0, free_frames} << `FRAME_BITS) + {3'd0, out_beat_q};
always @* if (started) begin
  assert (beat_q <= last_beat && (running_q || beat_q == 10'd0));
  assert (in_some_q == (|in_waiting_q) && credit_some_q == (|credit_q) && out_some_q == (|out_count_q));
  assert (ending_q == (running_q && beat_q == last_beat));
  // Input buffer: never over its size, never below what runs.
  assert (in_count_q <= in_full && whole_frames <= 8'd2);
  assert (in_room_q == (in_count_q != in_full));
  assert (in_count_q == waiting + to_run);
  assert (in_count_q[`IN_BITS - 1:0] == in_write_q[`IN_BITS - 1:0] - in_read_q[`IN_BITS - 1:0]);
  // Credits: each place of the output buffer is free, promised to what runs or is in the pipe, held or offered.
  assert (out_beat_q <= last_beat && free_frames <= out_frames && in_pipe <= out_full && out_count_q <= out_full);
  assert (credit + to_run + {12'd0, s1_valid_q} + {12'd0, s2_valid_q} + in_pipe + out_count_q + {12'd0, latched_q}
          + {12'd0, m_tvalid} == out_full);
  assert (out_count_q[`OUT_BITS - 1:0] == out_write_q[`OUT_BITS - 1:0] - out_read_q[`OUT_BITS - 1:0]);
  assert (!(pipe_valid_out && out_count_q == out_full));
  assert (!fetch || out_count_q != 13'd0);
  // The latch is loaded only when it is empty or shown in the same cycle.
  assert (!fetch || !latched_q || show);
  assert (!show || latched_q);
end

// An offered beat stays: its register is loaded only when it is taken.
reg stalled = 1'b0;
reg was_last;
always @(posedge clock) begin
  stalled <= m_tvalid & ~m_tready & ~reset;
  was_last <= m_tlast;
end
always @* if (started && stalled) assert (m_tvalid && m_tlast == was_last);
always @* if (m_tvalid && !m_tready) assert (!show);

always @(posedge clock) begin
  cover (started && running_q && in_pipe == 13'd2);
  cover (started && give && m_tlast);
end
