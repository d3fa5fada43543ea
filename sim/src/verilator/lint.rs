//! Static checks of generated Verilog.

use super::tool::{Tool, models_dir, printed, tools_dir};
use crate::SimError;
use std::path::Path;
use std::process::{Command, Stdio};

/// Warnings switched off, each with its reason. Everything else of `-Wall` must be clean; width warnings stay on.
const WAIVED: &[(&str, &str)] = &[
    ("DECLFILENAME", "one file holds a design and all its modules"),
    ("UNUSEDSIGNAL", "fixed-width arithmetic drops bits on purpose; the generator leaves no signal undriven"),
    ("PINCONNECTEMPTY", "an output that a design does not use is written as an empty connection"),
    ("GENUNNAMED", "no generate blocks are written by hand"),
];

pub(super) fn write_file(path: &Path, text: &str) -> Result<(), SimError> {
    std::fs::write(path, text).map_err(SimError::file("write", path))
}

/// A folder of this call's own under the models' folder, removed when dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(what: &str, top: &str) -> Result<Self, SimError> {
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
    let module = tools_dir().join("pyosys");
    let missing = |tried: String| SimError::ToolMissing {
        tool: "yosys",
        needed: "the Python module pyosys 0.70",
        tried,
        variable: "PYTHONPATH",
    };
    let scratch = Scratch::new("yosys", top)?;
    let file = scratch.0.join(format!("{top}.v"));
    write_file(&file, verilog)?;
    let script = format!(
        "\
import sys
try:
    from pyosys import libyosys as ys
except ImportError as e:
    print(e)
    sys.exit(42)
d = ys.Design()
for c in ['read_verilog -sv {file}', 'hierarchy -check -top {top}', 'proc', 'check -assert',
          'select -assert-none t:$dlatch t:$adlatch t:$dlatchsr t:$sr']:
    ys.run_pass(c, d)
",
        file = file.display()
    );
    let mut path = std::ffi::OsString::from(&module);
    if let Some(more) = std::env::var_os("PYTHONPATH") {
        path.push(":");
        path.push(more);
    }
    let output = Command::new("python3")
        .args(["-c", &script])
        .env("PYTHONPATH", path)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| missing(format!("python3: {e}")))?;
    match output.status.code() {
        Some(0) => Ok(()),
        Some(42) => Err(missing(format!("{}: {}", module.display(), printed(&output)))),
        _ => {
            let text = printed(&output);
            let lines: Vec<&str> =
                text.lines().filter(|l| l.contains("ERROR") || l.contains("Warning") || l.contains("latch")).collect();
            let messages = if lines.is_empty() { text } else { lines.join("\n") };
            Err(SimError::Lint { design: top.to_string(), messages })
        }
    }
}
