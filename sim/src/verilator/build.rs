//! Verilog text to shared object, cached by content.

use super::tool::{Tool, models_dir, printed};
use super::{Model, lint::write_file};
use crate::SimError;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Environment variable: build every model with line coverage, and leave what each gathered in this folder.
const COVERAGE: &str = "GLOVEBOX_COVERAGE_DIR";

/// C++ compilers run at a time.
const JOBS: usize = 2;

/// Flags of every model: random reset values, assertions, files small enough to compile in parallel.
const VERILATE: &[&str] = &[
    "--cc",
    "-O3",
    "--assert",
    "--x-assign",
    "unique",
    "--x-initial",
    "unique",
    "--output-split",
    "5000",
    "--output-split-cfuncs",
    "500",
    "--threads",
    "1",
    "--no-timing",
];

/// Flags of every C++ file. `VL_PRINTF` collects messages instead of printing them; `VL_USER_STOP` and
/// `VL_USER_FATAL` turn a failing assertion into an error of the call instead of the end of the process.
const COMPILE: &[&str] = &[
    "-std=c++17",
    "-O1",
    "-fPIC",
    "-w",
    "-fvisibility=hidden",
    "-DVL_TIME_CONTEXT",
    "-DVL_USER_STOP",
    "-DVL_USER_FATAL",
    "-DVL_PRINTF=glovebox_printf",
];

/// Included ahead of every C++ file.
const SHIM_HEADER: &str = "#pragma once\n#include <cstdio>\nint glovebox_printf(const char* format, ...);\n";

/// The C++ side of the binding; `@` is the model's class.
const SHIM: &str = include_str!("shim.cpp");

/// Whether and how a model can record waveforms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trace {
    /// No tracing: the fast model.
    #[default]
    Off,
    /// [`Model::trace_to`] writes a VCD file, which Surfer and GTKWave open.
    Vcd,
}

/// A step of a build, for a progress bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is being done.
    pub what: String,
    /// Steps finished.
    pub done: usize,
    /// Steps in all, as far as known.
    pub total: usize,
}

/// How to turn one design into a [`Model`].
pub struct Build<'a> {
    top: &'a str,
    verilog: &'a str,
    trace: Trace,
    coverage: bool,
    folder: PathBuf,
    progress: Option<Box<dyn FnMut(Step) + 'a>>,
}

impl<'a> Build<'a> {
    /// A build of the module `top` of this Verilog text.
    pub fn new(top: &'a str, verilog: &'a str) -> Self {
        let coverage = std::env::var_os(COVERAGE).is_some();
        Self { top, verilog, trace: Trace::Off, coverage, folder: models_dir(), progress: None }
    }

    /// Builds in the ability to record waveforms (slower even when off).
    #[must_use]
    pub fn trace(mut self, trace: Trace) -> Self {
        self.trace = trace;
        self
    }

    /// Builds in line coverage ([`Model::write_coverage`]); about half the speed.
    #[must_use]
    pub fn coverage(mut self, on: bool) -> Self {
        self.coverage = on;
        self
    }

    /// Keeps models in this folder instead of [`models_dir`].
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// Calls back before each step of a build; not called when the model is in the cache.
    #[must_use]
    pub fn progress(mut self, callback: impl FnMut(Step) + 'a) -> Self {
        self.progress = Some(Box::new(callback));
        self
    }

    /// Builds the model if the cache lacks it, loads it, and starts it from random register values.
    ///
    /// # Errors
    /// [`SimError::ToolMissing`], [`SimError::Tool`] with the tool's output, [`SimError::File`], [`SimError::Load`].
    pub fn load(mut self, seed: u64) -> Result<Model, SimError> {
        let object = self.object()?;
        let keep = std::env::var_os(COVERAGE).filter(|_| self.coverage).map(PathBuf::from);
        Model::open(self.top, &object, seed, keep)
    }

    /// Builds the shared object if the cache lacks it and returns its path.
    ///
    /// # Errors
    /// As [`Build::load`].
    pub fn object(&mut self) -> Result<PathBuf, SimError> {
        let tool = Tool::find()?;
        let cxx = compiler()?;
        let mut flags: Vec<&str> = VERILATE.to_vec();
        let mut defines: Vec<&str> = COMPILE.to_vec();
        if self.trace == Trace::Vcd {
            flags.push("--trace");
            defines.extend(["-DVM_TRACE=1", "-DVM_TRACE_VCD=1", "-DGLOVEBOX_TRACE"]);
        }
        if self.coverage {
            flags.push("--coverage-line");
            defines.extend(["-DVM_COVERAGE=1", "-DGLOVEBOX_COVERAGE"]);
        }
        let mut hash = Sha256::new();
        for part in [tool.version(), &tool.root().to_string_lossy(), &cxx, self.top, SHIM, SHIM_HEADER]
            .into_iter()
            .chain(flags.iter().copied())
            .chain(defines.iter().copied())
        {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let runtime_key = {
            let mut hash = Sha256::new();
            hash.update(format!("{}\0{}\0{cxx}\0{SHIM_HEADER}\0{defines:?}", tool.version(), tool.root().display()));
            hex(&hash.finalize())
        };
        hash.update(self.verilog);
        let name = format!("{}-{}", self.top, hex(&hash.finalize()));
        let object = self.folder.join(format!("{name}.so"));
        if object.is_file() {
            return Ok(object);
        }
        std::fs::create_dir_all(&self.folder).map_err(SimError::file("create", &self.folder))?;
        let _lock = lock(&self.folder.join(format!("{name}.lock")))?;
        if object.is_file() {
            return Ok(object);
        }
        let work = self.folder.join(format!("{name}.build"));
        let _ = std::fs::remove_dir_all(&work);
        std::fs::create_dir_all(&work).map_err(SimError::file("create", &work))?;
        self.step("verilating".to_string(), 0, 1);
        let source = work.join(format!("{}.v", self.top));
        write_file(&source, self.verilog)?;
        let class = format!("V{}", self.top);
        let mut verilate = tool.command();
        verilate.args(&flags).args([
            "-Wno-fatal",
            "-Wno-lint",
            "-Wno-style",
            "--top-module",
            self.top,
            "--prefix",
            &class,
            "--Mdir",
        ]);
        finish(verilate.arg(&work).arg(&source), "verilator", self.top)?;

        write_file(&work.join("glovebox.h"), SHIM_HEADER)?;
        let header_path = work.join(format!("{class}.h"));
        let header = std::fs::read_to_string(&header_path).map_err(SimError::file("read", &header_path))?;
        write_file(&work.join("glovebox.cpp"), &SHIM.replace('@', &class).replace("/*PORTS*/", &port_table(&header)))?;
        let list_path = work.join(format!("{class}_classes.mk"));
        let list = std::fs::read_to_string(&list_path).map_err(SimError::file("read", &list_path))?;

        let include = tool.root().join("include");
        let mut base: Vec<String> = defines.iter().map(|d| (*d).to_string()).collect();
        for folder in [work.clone(), include.clone(), include.join("vltstd")] {
            base.push(format!("-I{}", folder.display()));
        }
        let with = |header: &Path| {
            let mut flags = base.clone();
            flags.extend(["-include".to_string(), header.display().to_string()]);
            flags
        };
        let runtime_flags = with(&work.join("glovebox.h"));
        // Each of the model's files begins with the declaration of all its registers, tens of megabytes for a wide card.
        let all = work.join("all.h");
        write_file(
            &all,
            &format!("#include \"glovebox.h\"\n#include \"{class}__pch.h\"\n#include \"{class}___024root.h\"\n"),
        )?;
        self.step("compiling headers".to_string(), 0, 1);
        let mut header = Command::new(&cxx);
        header.args(&base).args(["-x", "c++-header"]).arg(&all).arg("-o").arg(work.join("all.h.gch"));
        finish(&mut header, &cxx, self.top)?;
        let model_flags = with(&all);
        let mut jobs = vec![];
        let mut objects = vec![];
        for (class, global) in classes(&list) {
            let object = if global {
                self.folder.join(format!("runtime-{runtime_key}-{class}.o"))
            } else {
                work.join(format!("{class}.o"))
            };
            if !(global && object.is_file()) {
                let (folder, flags) = if global { (&include, &runtime_flags) } else { (&work, &model_flags) };
                jobs.push(Job { flags, source: folder.join(format!("{class}.cpp")), object: object.clone() });
            }
            objects.push(object);
        }
        objects.push(work.join("glovebox.o"));
        jobs.push(Job { flags: &runtime_flags, source: work.join("glovebox.cpp"), object: work.join("glovebox.o") });
        self.compile(&cxx, jobs)?;

        let total = objects.len() + 1;
        self.step("linking".to_string(), total - 1, total);
        let fresh = work.join("model.so");
        let mut link = Command::new(&cxx);
        link.args(["-shared", "-fPIC", "-o"]).arg(&fresh).args(&objects).arg("-pthread");
        if cfg!(target_os = "linux") {
            // Two models in one process must not share the runtime's globals.
            link.args(["-Wl,-Bsymbolic", "-Wl,--exclude-libs,ALL"]);
        }
        finish(&mut link, &cxx, self.top)?;
        std::fs::rename(&fresh, &object).map_err(SimError::file("rename", &fresh))?;
        let _ = std::fs::remove_dir_all(&work);
        Ok(object)
    }

    fn step(&mut self, what: String, done: usize, total: usize) {
        if let Some(progress) = &mut self.progress {
            progress(Step { what, done, total });
        }
    }

    /// Compiles files side by side; the first failure stops the rest.
    fn compile(&mut self, cxx: &str, jobs: Vec<Job<'_>>) -> Result<(), SimError> {
        let total = jobs.len() + 1;
        let queue: Mutex<VecDeque<_>> = Mutex::new(jobs.into());
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..JOBS {
                let (send, queue) = (send.clone(), &queue);
                scope.spawn(move || {
                    loop {
                        let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
                        let Some(job) = next else { break };
                        let result = job.compile(cxx);
                        let failed = result.is_err();
                        if send.send((job.source, result)).is_err() || failed {
                            queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
                            break;
                        }
                    }
                });
            }
            drop(send);
            for (done, (source, result)) in receive.iter().enumerate() {
                result?;
                let file = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.step(format!("compiling {file}"), done + 1, total);
            }
            Ok(())
        })
    }
}

/// A C++ file to compile.
struct Job<'a> {
    flags: &'a [String],
    source: PathBuf,
    object: PathBuf,
}

impl Job<'_> {
    fn compile(&self, cxx: &str) -> Result<(), SimError> {
        // Runtime objects are shared by concurrent builds: a name of our own, then rename.
        let fresh = self.object.with_extension(format!("{}.tmp", std::process::id()));
        let mut command = Command::new(cxx);
        command.args(self.flags).arg("-c").arg(&self.source).arg("-o").arg(&fresh);
        finish(&mut command, cxx, &self.source.display().to_string())?;
        std::fs::rename(&fresh, &self.object).map_err(SimError::file("rename", &fresh))
    }
}

fn finish(command: &mut Command, tool: &str, design: &str) -> Result<(), SimError> {
    let output = command.stdin(Stdio::null()).output().map_err(|source| SimError::File {
        action: "run",
        path: tool.into(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(SimError::Tool {
        tool: tool.to_string(),
        design: design.to_string(),
        status: output.status.to_string(),
        output: printed(&output),
    })
}

/// The C++ compiler: `CXX`, or the first of c++, g++, clang++ that answers.
fn compiler() -> Result<String, SimError> {
    let chosen = std::env::var("CXX").ok().filter(|c| !c.is_empty());
    let candidates: Vec<String> = match &chosen {
        Some(cxx) => vec![cxx.clone()],
        None => ["c++", "g++", "clang++"].map(str::to_string).to_vec(),
    };
    let answers = |cxx: &String| {
        Command::new(cxx).arg("--version").stdin(Stdio::null()).output().is_ok_and(|o| o.status.success())
    };
    candidates.iter().find(|cxx| answers(cxx)).cloned().ok_or_else(|| SimError::ToolMissing {
        tool: "C++ compiler",
        needed: "C++17",
        tried: candidates.join(", "),
        variable: "CXX",
    })
}

fn lock(path: &Path) -> Result<std::fs::File, SimError> {
    let file = std::fs::File::create(path).map_err(SimError::file("create", path))?;
    file.lock().map_err(SimError::file("lock", path))?;
    Ok(file)
}

fn hex(bytes: &[u8]) -> String {
    bytes[..10].iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// File stems named by Verilator's class list, and whether each belongs to the runtime.
fn classes(list: &str) -> Vec<(String, bool)> {
    let mut out = vec![];
    let mut section = None;
    for line in list.lines() {
        if let Some((variable, _)) = line.split_once("+=") {
            section = Some(variable.trim().starts_with("VM_GLOBAL"));
        } else if let (Some(global), Some(stem)) = (section, line.trim().strip_suffix('\\')) {
            out.push((stem.trim().to_string(), global));
        } else {
            section = None;
        }
    }
    out
}

/// The model's ports, from the declarations in its C++ header, as initialisers of the shim's table.
fn port_table(header: &str) -> String {
    let mut table = String::new();
    for line in header.lines() {
        let line = line.trim();
        let output = line.starts_with("VL_OUT");
        if !(output || line.starts_with("VL_IN") && !line.starts_with("VL_INOUT")) {
            continue;
        }
        let Some((_, rest)) = line.split_once("(&") else { continue };
        let fields: Vec<&str> = rest.trim_end_matches(");").split(',').collect();
        let (Some(name), Some(high), Some(low)) = (fields.first(), fields.get(1), fields.get(2)) else { continue };
        let (Ok(high), Ok(low)) = (high.trim().parse::<u32>(), low.trim().parse::<u32>()) else { continue };
        let _ = writeln!(
            table,
            "    {{\"{}\", {}, {}, &model->{name}}},",
            name.replace("__024", "$"),
            high - low + 1,
            u8::from(output)
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_table_reads_scalar_and_wide_declarations() {
        let table = port_table("  VL_IN8(&clock,0,0);\n  VL_OUTW(&s__024data,99,0,4);\n  CData x;\n");
        assert_eq!(table, "    {\"clock\", 1, 0, &model->clock},\n    {\"s$data\", 100, 1, &model->s__024data},\n");
    }

    #[test]
    fn class_list_tells_runtime_from_model() {
        let list = "VM_CLASSES_FAST += \\\n  Vt \\\n  Vt__1 \\\n\nVM_GLOBAL_FAST += \\\n  verilated \\\n\n";
        let expected = [("Vt", false), ("Vt__1", false), ("verilated", true)];
        assert_eq!(classes(list), expected.map(|(s, g)| (s.to_string(), g)));
    }
}
