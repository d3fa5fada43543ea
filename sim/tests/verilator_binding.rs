//! The Verilator binding itself: ports of every size, errors, traces, coverage, the cache.

use glovebox_sim::SimError;
use glovebox_sim::verilator::{Build, Direction, Trace};

const PORTS: &str = "
module binding_ports (
  input  wire clock, input wire [6:0] a8, input wire [15:0] a16, input wire [31:0] a32, input wire [63:0] a64,
  input  wire [127:0] a128, output reg [6:0] q8, output reg [15:0] q16, output reg [31:0] q32, output reg [63:0] q64,
  output reg [127:0] q128, output wire [63:0] sum, output reg [63:0] never_written
);
  assign sum = a64 + {32'd0, a32};
  always @(posedge clock) begin
    q8 <= a8; q16 <= a16; q32 <= a32; q64 <= a64; q128 <= a128;
    if (a8 == 7'd0 && a16 == 16'hffff) never_written <= 64'd0;
    must_not_be_99: assert (a8 != 7'd99);
  end
endmodule
";

#[test]
fn binding_ports_of_every_size_round_trip() {
    let mut model = Build::new("binding_ports", PORTS).load(1).unwrap();
    for (size, width) in [(8, 7), (16, 16), (32, 32), (64, 64)] {
        let (a, q) = (model.port(&format!("a{size}")).unwrap(), model.port(&format!("q{size}")).unwrap());
        assert_eq!(a.width(), width);
        for value in [0, 1, u64::MAX, 0x0123_4567_89AB_CDEF] {
            model.set(a, value);
            model.tick().unwrap();
            assert_eq!(model.get(q), value & (u64::MAX >> (64 - width)), "{size}");
        }
    }
    let (a, q) = (model.port("a128").unwrap(), model.port("q128").unwrap());
    model.set_lane(a, 1, 7);
    model.set_lane(a, 0, u64::MAX);
    model.tick().unwrap();
    assert_eq!((model.lane(q, 0), model.lane(q, 1)), (u64::MAX, 7));
    assert_eq!(model.words(q), [u32::MAX, u32::MAX, 7, 0]);
    model.set(a, 5);
    model.tick().unwrap();
    assert_eq!(model.words(q), [5, 0, 0, 0]);
    assert_eq!(model.ports().iter().filter(|p| p.direction == Direction::Input).count(), 6);
}

#[test]
fn binding_eval_settles_combinational_outputs_without_a_clock() {
    let mut model = Build::new("binding_ports", PORTS).load(1).unwrap();
    let (a, b, sum) = (model.port("a64").unwrap(), model.port("a32").unwrap(), model.port("sum").unwrap());
    model.set(a, 40);
    model.set(b, 2);
    model.eval().unwrap();
    assert_eq!((model.get(sum), model.cycle()), (42, 0));
}

#[test]
fn binding_seeds_choose_power_up_state() {
    let state = |seed| {
        let model = Build::new("binding_ports", PORTS).load(seed).unwrap();
        model.get(model.port("never_written").unwrap())
    };
    assert_eq!(state(1), state(1));
    assert_ne!(state(1), state(2));
}

#[test]
fn binding_failing_assertion_is_an_error_with_its_name() {
    let mut model = Build::new("binding_ports", PORTS).load(1).unwrap();
    let a8 = model.port("a8").unwrap();
    model.tick().unwrap();
    model.set(a8, 99);
    match model.tick().unwrap_err() {
        SimError::Stopped { cycle: 1, message, .. } => assert!(message.contains("must_not_be_99"), "{message}"),
        other => panic!("{other}"),
    }
}

#[test]
fn binding_unknown_port_names_the_known_ones() {
    let model = Build::new("binding_ports", PORTS).load(1).unwrap();
    assert!(model.port("absent").unwrap_err().to_string().contains("q128"));
}

#[test]
fn binding_two_models_in_one_process_keep_their_own_state() {
    let mut one = Build::new("binding_ports", PORTS).load(1).unwrap();
    let mut two = Build::new("binding_ports", PORTS).load(2).unwrap();
    let (a, q) = (one.port("a64").unwrap(), one.port("q64").unwrap());
    one.set(a, 5);
    let (b, r) = (two.port("a64").unwrap(), two.port("q64").unwrap());
    two.set(b, 6);
    one.tick().unwrap();
    two.tick().unwrap();
    assert_eq!((one.get(q), two.get(r)), (5, 6));
}

#[test]
fn binding_trace_and_coverage_are_written_when_built_in() {
    let folder = tempfile::tempdir().unwrap();
    let (vcd, coverage) = (folder.path().join("window.vcd"), folder.path().join("coverage.dat"));
    let mut plain = Build::new("binding_ports", PORTS).load(1).unwrap();
    assert!(matches!(plain.trace_to(&vcd), Err(SimError::NotBuilt { .. })));
    assert!(matches!(plain.write_coverage(&coverage), Err(SimError::NotBuilt { .. })));

    let mut model = Build::new("binding_ports", PORTS).trace(Trace::Vcd).coverage(true).load(1).unwrap();
    let a = model.port("a16").unwrap();
    model.tick().unwrap();
    model.trace_to(&vcd).unwrap();
    model.set(a, 0xABCD);
    model.tick().unwrap();
    model.trace_off();
    model.write_coverage(&coverage).unwrap();
    let text = std::fs::read_to_string(&vcd).unwrap();
    assert!(text.contains("$var") && text.contains("b1010101111001101 "), "{text}");
    assert!(std::fs::read_to_string(&coverage).unwrap().contains("binding_ports"));
}

#[test]
fn binding_broken_verilog_reports_the_tool_and_its_message() {
    let error =
        Build::new("broken", "module broken (input wire clock); assign nothing = ; endmodule").load(1).unwrap_err();
    match error {
        SimError::Tool { design, output, .. } => assert!(design == "broken" && output.contains("syntax error")),
        other => panic!("{other}"),
    }
}

#[test]
fn binding_cached_model_is_not_built_again() {
    Build::new("binding_ports", PORTS).load(1).unwrap();
    let mut steps = 0;
    Build::new("binding_ports", PORTS).progress(|_| steps += 1).load(1).unwrap();
    assert_eq!(steps, 0);
}
