//! Writes the files that are generated from the register map beside this crate.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::write(folder.join("registers.md"), glovebox_regmap::document::markdown())?;
    std::fs::write(folder.join("glovebox_regs.h"), glovebox_regmap::document::c_header())
}
