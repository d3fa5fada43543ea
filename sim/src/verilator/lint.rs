//! Static checks of generated Verilog.

use super::tool::{Tool, models_dir, printed};
use crate::{SimError, synthesis};
use std::path::Path;

/// Warnings switched off, each with its reason. Everything else of `-Wall` must be clean; width warnings stay on.
const WAIVED: &[(&str, &str)] = &[
    ("DECLFILENAME", "one file holds a design and all its modules"),
    ("UNUSEDSIGNAL", "fixed-width arithmetic drops bits on purpose; the generator leaves no signal undriven"),
    ("PINCONNECTEMPTY", "an output that a design does not use is written as an empty connection"),
    ("GENUNNAMED", "no generate blocks are written by hand"),
];

pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), SimError> {
    std::fs::write(path, text).map_err(SimError::file("write", path))
}

/// A folder of this call's own under the models' folder, removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(pub(crate) std::path::PathBuf);

impl Scratch {
    pub(crate) fn new(what: &str, top: &str) -> Result<Self, SimError> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = models_dir().join(format!("{what}-{top}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(SimError::file("create", &folder))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Lints a design with Verilator: everything of `-Wall` but the justified waivers, as errors.
///
/// # Errors
/// [`SimError::Lint`] with the messages; [`SimError::ToolMissing`].
pub fn lint(top: &str, verilog: &str) -> Result<(), SimError> {
    let tool = Tool::find()?;
    let scratch = Scratch::new("lint", top)?;
    let file = scratch.0.join(format!("{top}.v"));
    write_file(&file, verilog)?;
    let mut command = tool.command();
    command.args(["--lint-only", "-Wall", "--no-timing", "--top-module", top]);
    for (warning, _) in WAIVED {
        command.arg(format!("-Wno-{warning}"));
    }
    let output = command.arg(&file).output().map_err(SimError::file("run verilator on", &file))?;
    if output.status.success() {
        return Ok(());
    }
    Err(SimError::Lint { design: top.to_string(), messages: printed(&output) })
}

/// Elaborates a design with yosys: hierarchy check, processes, `check -assert`, and no latches.
///
/// # Errors
/// [`SimError::Lint`] with yosys's messages; [`SimError::ToolMissing`] if its Python module is not installed.
pub fn check_synthesis(top: &str, verilog: &str) -> Result<(), SimError> {
    let scratch = Scratch::new("yosys", top)?;
    write_file(&scratch.0.join(format!("{top}.v")), verilog)?;
    let commands = [
        &format!("read_verilog -sv {top}.v"),
        &format!("hierarchy -check -top {top}"),
        "proc",
        "check -assert",
        "select -assert-none t:$dlatch t:$adlatch t:$dlatchsr t:$sr",
    ];
    match synthesis::yosys(top, &scratch.0, &commands) {
        Err(SimError::Tool { output, .. }) => {
            let lines: Vec<&str> = output
                .lines()
                .filter(|l| l.contains("ERROR") || l.contains("Warning") || l.contains("latch"))
                .collect();
            let messages = if lines.is_empty() { output } else { lines.join("\n") };
            Err(SimError::Lint { design: top.to_string(), messages })
        }
        other => other.map(|_| ()),
    }
}
