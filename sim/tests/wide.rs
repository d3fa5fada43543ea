//! Checks of designs so wide that they take minutes: `cargo test -p glovebox-sim --test wide`.

use glovebox_hdl::Design;
use glovebox_sim::verilator::lint;

#[test]
fn catalogue_wide_engines_and_cards_lint_clean() {
    for design in Design::all().iter().filter(|d| ["bootstrap", "card"].contains(&d.name)) {
        lint(&design.top, &design.verilog().unwrap()).unwrap_or_else(|e| panic!("{e}"));
    }
}
