//! `cargo xtask fpga`: a design synthesised for a board, placed and routed where open tools can, and what it takes.

use crate::{TaskError, root, show};
use glovebox_hdl::Design;
use glovebox_sim::synthesis;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The board: a folder of `fpga/`.
    board: String,
    /// The design, as in `glovebox rtl`.
    #[arg(long, default_value = "field")]
    block: String,
    /// Lanes L: coefficients a cycle.
    #[arg(long, default_value_t = 4)]
    lanes: usize,
    /// Ring degree N.
    #[arg(long, default_value_t = 1024)]
    degree: usize,
    /// GLWE dimension k of engines and cards.
    #[arg(long, default_value_t = 1)]
    glwe_dimension: usize,
    /// Synthesise only: no place and route, no clock.
    #[arg(long)]
    synth_only: bool,
    /// Start of the placement.
    #[arg(long, default_value_t = 1)]
    seed: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Board {
    description: String,
    define: String,
    synthesis: Vec<String>,
    /// Boards without it are synthesised only.
    place_and_route: Option<PlaceAndRoute>,
    cells: BTreeMap<String, String>,
    capacity: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceAndRoute {
    target_mhz: u32,
    arguments: Vec<String>,
}

impl Board {
    fn load(name: &str) -> Result<Self, TaskError> {
        let boards = root().join("fpga");
        let path = boards.join(name).join("board.toml");
        let Ok(text) = std::fs::read_to_string(&path) else {
            let mut known: Vec<String> = std::fs::read_dir(&boards)?
                .flatten()
                .filter(|entry| entry.path().join("board.toml").is_file())
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            known.sort();
            return Err(format!("no board is called {name:?}; the boards are {}", known.join(", ")).into());
        };
        toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()).into())
    }
}

/// The share of nextpnr's report that is read.
#[derive(Debug, Deserialize)]
struct Report {
    fmax: BTreeMap<String, Clock>,
    critical_paths: Vec<CriticalPath>,
}

#[derive(Debug, Deserialize)]
struct CriticalPath {
    path: Vec<Segment>,
}

#[derive(Debug, Deserialize)]
struct Segment {
    delay: f64,
    from: Pin,
    to: Pin,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Pin {
    cell: String,
    port: String,
}

impl CriticalPath {
    /// Where the path begins and ends, and its share of wires.
    fn text(&self) -> Option<String> {
        let (first, last) = (self.path.first()?, self.path.last()?);
        let total: f64 = self.path.iter().map(|s| s.delay).sum();
        let wires: f64 = self.path.iter().filter(|s| s.kind == "routing").map(|s| s.delay).sum();
        let pin = |p: &Pin| format!("{}/{}", p.cell, p.port);
        Some(format!("{total:.2} ns ({wires:.2} of it wires) from {} to {}", pin(&first.from), pin(&last.to)))
    }
}

#[derive(Debug, Deserialize)]
struct Clock {
    achieved: f64,
}

/// The share of a yosys JSON netlist that is read.
#[derive(Debug, Deserialize)]
struct Netlist {
    modules: BTreeMap<String, Module>,
}

#[derive(Debug, Deserialize)]
struct Module {
    #[serde(default)]
    cells: BTreeMap<String, Cell>,
}

#[derive(Debug, Deserialize)]
struct Cell {
    #[serde(rename = "type")]
    kind: String,
}

/// Name of the module around the design.
const HARNESS: &str = "harness";

pub(crate) fn run(arguments: &Arguments) -> Result<(), TaskError> {
    let board = Board::load(&arguments.board)?;
    let design = Design::new(&arguments.block, arguments.lanes, arguments.degree)?;
    let design = design.with_glwe_dimension(arguments.glwe_dimension)?;
    show("installing yosys", || Ok(synthesis::install_yosys()?))?;
    let folder = build_folder(&arguments.board, &design.top)?;
    let verilog = design.verilog()?;
    let text = format!("{verilog}\n{}", harness(&design.top, &verilog)?);
    std::fs::write(folder.join("design.v"), text)?;

    let mut commands = vec![format!("read_verilog -sv -D{} design.v", board.define)];
    commands.extend(board.synthesis.iter().map(|c| c.replace("{top}", HARNESS).replace("{netlist}", "netlist.json")));
    let what = format!("{}: synthesis of {}", board.description, design.top);
    let log = show(&what, || Ok(synthesis::yosys(&design.top, &folder, &commands)?))?;
    std::fs::write(folder.join("synthesis.log"), log)?;
    let mut lines = format!("{}\n{} on {}\n", board.description, design.top, arguments.board);
    let netlist: Netlist = serde_json::from_slice(&std::fs::read(folder.join("netlist.json"))?)?;
    let harness_flops = harness_flip_flops(&verilog)?;
    for (resource, count) in count(&netlist, &board) {
        let of = board
            .capacity
            .get(&resource)
            .map_or(String::new(), |all| format!(" of {all:>6} ({:.1} %)", 100.0 * count as f64 / *all as f64));
        let note =
            if resource == "flip-flop" { format!("; {harness_flops} of them in the harness") } else { String::new() };
        writeln!(lines, "  {resource:<16} {count:>7}{of}{note}")?;
    }
    if let Some(place_and_route) = board.place_and_route.as_ref().filter(|_| !arguments.synth_only) {
        show("installing nextpnr-ecp5", || Ok(synthesis::install_nextpnr_ecp5()?))?;
        let mut route = place_and_route.arguments.clone();
        let rest = format!(
            "--json netlist.json --report report.json --textcfg routed.config --freq {} --seed {} \
             --lpf-allow-unconstrained --timing-allow-fail --quiet --log route.log",
            place_and_route.target_mhz, arguments.seed
        );
        route.extend(rest.split_whitespace().map(str::to_string));
        let what = format!("{}: place and route of {}", board.description, design.top);
        show(&what, || Ok(synthesis::nextpnr_ecp5(&design.top, &folder, &route)?))?;
        let report: Report = serde_json::from_slice(&std::fs::read(folder.join("report.json"))?)?;
        let slowest = report.fmax.values().map(|c| c.achieved).fold(f64::INFINITY, f64::min);
        for path in report.critical_paths.iter().filter_map(CriticalPath::text).take(1) {
            writeln!(lines, "  slowest path     {path}")?;
        }
        writeln!(
            lines,
            "  {:<16} {slowest:>7.1} MHz, placed and routed (asked: {} MHz)",
            "Fmax", place_and_route.target_mhz
        )?;
    }
    println!("{lines}logs and netlist: {}", folder.display());
    Ok(())
}

fn build_folder(board: &str, top: &str) -> Result<PathBuf, TaskError> {
    let folder = glovebox_sim::verilator::tools_dir().with_file_name("glovebox-fpga").join(board).join(top);
    std::fs::create_dir_all(&folder).map_err(|e| format!("could not make {}: {e}", Path::display(&folder)))?;
    Ok(folder)
}

/// The resources of a flattened netlist, by the board's names; cells it does not name go by their own.
fn count(netlist: &Netlist, board: &Board) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for cell in netlist.modules.get(HARNESS).iter().flat_map(|module| module.cells.values()) {
        if cell.kind.starts_with('$') {
            continue;
        }
        let name = board.cells.get(&cell.kind).unwrap_or(&cell.kind).clone();
        *counts.entry(name).or_insert(0) += 1;
    }
    counts
}

/// A port of the top module.
struct Port {
    input: bool,
    bits: usize,
    name: String,
}

/// The ports of the first module of a text that the generator wrote.
fn ports(verilog: &str) -> Result<Vec<Port>, TaskError> {
    let mut ports = vec![];
    for line in verilog.lines().skip_while(|line| !line.starts_with("module ")).skip(1) {
        let line = line.trim().trim_end_matches(',');
        if line == ");" {
            return Ok(ports);
        }
        let mut words = line.split_whitespace();
        let (Some(direction), Some("wire" | "reg"), Some(name)) = (words.next(), words.next(), words.next_back())
        else {
            return Err(format!("a port that cannot be read: {line}").into());
        };
        let bits = match words.find(|w| w.starts_with('[')) {
            None => 1,
            Some(range) => range.trim_start_matches('[').trim_end_matches(":0]").parse::<usize>()? + 1,
        };
        ports.push(Port { input: direction == "input", bits, name: name.to_string() });
    }
    Err("the top module's ports do not end".into())
}

/// Flip-flops that the harness adds.
fn harness_flip_flops(verilog: &str) -> Result<usize, TaskError> {
    let bits: usize = ports(verilog)?.iter().filter(|port| port.name != "clock").map(|port| port.bits).sum();
    let outputs: usize = ports(verilog)?.iter().filter(|port| !port.input).map(|port| port.bits).sum();
    let mut total = bits;
    let mut width = outputs;
    while width > 1 {
        width = width.div_ceil(4);
        total += width;
    }
    Ok(total)
}

/// A module of three pins around a design of any width: inputs from a shift register, outputs registered and folded by
/// a pipelined exclusive or. Every path of the design then lies between two flip-flops, and nothing is optimised away.
fn harness(top: &str, verilog: &str) -> Result<String, TaskError> {
    let ports = ports(verilog)?;
    let width = |input: bool| {
        ports.iter().filter(|p| p.name != "clock" && p.input == input).map(|p| p.bits).sum::<usize>().max(1)
    };
    let (inputs, outputs) = (width(true), width(false));
    let mut text = format!(
        "module {HARNESS} (input wire clock, input wire data_in, output wire data_out);\n\
         reg [{i}:0] stimulus;\nalways @(posedge clock) stimulus <= {{stimulus[{i}-1:0], data_in}};\n\
         wire [{o}:0] result;\nreg [{o}:0] fold_0;\nalways @(posedge clock) fold_0 <= result;\n",
        i = inputs - 1,
        o = outputs - 1,
    );
    let mut connections = vec![".clock(clock)".to_string()];
    let (mut next_input, mut next_output) = (0, 0);
    for port in ports.iter().filter(|port| port.name != "clock") {
        let (vector, next) = if port.input { ("stimulus", &mut next_input) } else { ("result", &mut next_output) };
        connections.push(format!(".{}({vector}[{} +: {}])", port.name, *next, port.bits));
        *next += port.bits;
    }
    writeln!(text, "{top} design (\n  {}\n);", connections.join(",\n  "))?;
    let (mut bits, mut level) = (outputs, 0);
    while bits > 1 {
        let folded = bits.div_ceil(4);
        writeln!(text, "reg [{}:0] fold_{};\nalways @(posedge clock) begin", folded - 1, level + 1)?;
        for i in 0..folded {
            writeln!(text, "  fold_{}[{i}] <= ^fold_{level}[{}:{}];", level + 1, (4 * i + 3).min(bits - 1), 4 * i)?;
        }
        writeln!(text, "end")?;
        (bits, level) = (folded, level + 1);
    }
    writeln!(text, "assign data_out = fold_{level}[0];\nendmodule")?;
    Ok(text)
}
