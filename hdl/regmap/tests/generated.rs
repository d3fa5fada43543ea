//! The committed documents are what the register map says today.

#[test]
fn committed_documents_match_their_source() {
    let stale = "run `cargo run -p glovebox-regmap --example generate` and commit the result";
    assert_eq!(include_str!("../registers.md"), glovebox_regmap::document::markdown(), "registers.md: {stale}");
    assert_eq!(include_str!("../glovebox_regs.h"), glovebox_regmap::document::c_header(), "glovebox_regs.h: {stale}");
}
