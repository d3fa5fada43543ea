//! Lint, synthesis elaboration and committed cycle counts.

use glovebox_hdl::Design;
use glovebox_sim::SimError;
use glovebox_sim::verilator::{check_synthesis, lint};

/// Cycles through the bare pipelines: a change is a decision, so it shows in review.
const BASELINE: &str = include_str!("latency_baseline.txt");

fn lint_clean(chosen: impl Fn(&Design) -> bool) {
    for design in Design::all().iter().filter(|d| chosen(d)) {
        lint(&design.top, &design.verilog().unwrap()).unwrap_or_else(|e| panic!("{e}"));
    }
}

// Half of the catalogue each, side by side.
#[test]
fn catalogue_engines_and_cards_lint_clean() {
    // Wide ones say nothing that the others do not, and take minutes.
    let wide = |d: &Design| d.lanes > 8 || d.degree > 1024 || (d.glwe_dimension > 1 && (d.lanes, d.degree) != (8, 256));
    lint_clean(|d| ["bootstrap", "card"].contains(&d.name) && !wide(d));
}

#[test]
fn catalogue_other_designs_lint_clean() {
    lint_clean(|d| !["bootstrap", "card"].contains(&d.name));
}

#[test]
fn catalogue_small_designs_elaborate_without_latches() {
    let of_k = |d: &Design| d.glwe_dimension <= 1 || (d.name, d.lanes, d.degree) == ("bootstrap", 8, 256);
    for design in Design::all().iter().filter(|d| d.lanes <= 8 && d.degree <= 1024 && of_k(d)) {
        check_synthesis(&design.top, &design.verilog().unwrap()).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn lint_undriven_signal_is_refused() {
    let text = "module undriven (input wire clock, output wire q);\n  wire nothing;\n  assign q = nothing & clock;\nendmodule\n";
    assert!(matches!(lint("undriven", text), Err(SimError::Lint { messages, .. }) if messages.contains("UNDRIVEN")));
}

#[test]
fn lint_width_mismatch_is_refused() {
    let text = "module width (input wire clock, input wire [3:0] a, output wire [2:0] q);\n  assign q = a & {4{clock}};\nendmodule\n";
    assert!(matches!(lint("width", text), Err(SimError::Lint { messages, .. }) if messages.contains("WIDTH")));
}

#[test]
fn synthesis_latch_is_refused() {
    let text =
        "module latch (input wire clock, input wire d, output reg q);\n  always @* if (clock) q = d;\nendmodule\n";
    assert!(matches!(check_synthesis("latch", text), Err(SimError::Lint { .. })));
}

#[test]
fn latency_table_equals_the_committed_baseline() {
    let mut table = String::from("# design lanes degree pipeline-cycles\n");
    for design in Design::all() {
        if let Some(latency) = design.latency() {
            table += &format!("{} {} {} {latency}\n", design.name, design.lanes, design.degree);
        }
    }
    assert_eq!(table, BASELINE, "if the change is meant, replace sim/tests/rtl/latency_baseline.txt by the left side");
}
