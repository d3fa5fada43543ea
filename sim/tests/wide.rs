//! Checks of designs so wide that they take minutes: `cargo test -p glovebox-sim --test wide`.

#[allow(dead_code, unused_imports)]
#[path = "card/bench.rs"]
mod bench;
#[allow(dead_code)]
#[path = "card/checks.rs"]
mod checks;

use glovebox_hdl::Design;
use glovebox_sim::card::{CardBuild, Traffic};
use glovebox_sim::verilator::lint;

#[test]
fn catalogue_wide_engines_and_cards_lint_clean() {
    // Of k > 1 the widest say nothing that the others do not.
    let said = |d: &Design| d.glwe_dimension == 1 || d.lanes == 32;
    for design in Design::all().iter().filter(|d| ["bootstrap", "card"].contains(&d.name) && said(d)) {
        lint(&design.top, &design.verilog().unwrap()).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn card_32_lanes_1024_equals_golden() {
    checks::commands(32, 1024, Traffic::random(3), 12);
}

#[test]
fn card_32_lanes_1024_erases_on_both_ports() {
    checks::erases(32, 1024, 13);
}

#[test]
fn card_32_lanes_1024_passes_the_suite() {
    checks::conforms(CardBuild::new(32, 1024), Traffic::steady(60), 1);
}
