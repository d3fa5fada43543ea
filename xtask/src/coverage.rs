//! `cargo xtask coverage`: which lines of the card's Verilog the tests of the small card reach.

use crate::{TaskError, cargo_program, root, setup_verilator};
use glovebox_hdl::Design;
use glovebox_sim::verilator::models_dir;
use std::collections::BTreeMap;
use std::process::Command;

/// The card that is looked at.
const LANES: usize = 8;
const DEGREE: usize = 256;
/// Tests of `glovebox-sim --test card` on that card: commands, transfers, bootstraps, faults, resets.
const WORKLOAD: [&str; 8] = [
    "commands::",
    "bootstrap::",
    "faults::",
    "conformance::card_8_lanes_256_random",
    "--skip",
    "4_lanes",
    "--skip",
    "k_2",
];
/// Lines never reached that are listed; the rest are counted.
const LISTED_LINES: usize = 60;

/// A point of Verilator's coverage file.
#[derive(Debug, PartialEq, Eq)]
struct Point {
    module: String,
    /// Lines that it stands for.
    lines: Vec<usize>,
    count: u64,
}

/// Reads `C '<SOH>key<STX>value...' count`; `None` for what is no point of lines.
fn point(line: &str) -> Option<Point> {
    let (keys, count) = line.strip_prefix("C '")?.rsplit_once("' ")?;
    let find = |name: &str| {
        keys.split('\u{1}').filter_map(|field| field.split_once('\u{2}')).find(|(key, _)| *key == name).map(|f| f.1)
    };
    let module = find("page")?.strip_prefix("v_line/")?.to_string();
    let mut lines = vec![];
    for range in find("S").or(find("l"))?.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        lines.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(Point { module, lines, count: count.trim().parse().ok()? })
}

/// The block's name: that of its module without the card's name and the number that tells copies apart.
fn block<'a>(module: &'a str, top: &str) -> &'a str {
    let name = module.strip_prefix(top).map_or(module, |rest| rest.trim_start_matches('_'));
    let name = name.rsplit_once('_').filter(|(_, n)| n.bytes().all(|b| b.is_ascii_digit())).map_or(name, |(n, _)| n);
    if name.is_empty() { "(the card)" } else { name }
}

pub(crate) fn run() -> Result<(), TaskError> {
    setup_verilator()?;
    let design = Design::new("card", LANES, DEGREE)?;
    let verilog = design.verilog()?;
    let folder = models_dir().join("coverage");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let status = Command::new(cargo_program())
        .args(["test", "--package", "glovebox-sim", "--test", "card", "--"])
        .args(WORKLOAD)
        .env("GLOVEBOX_COVERAGE_DIR", &folder)
        .current_dir(root())
        .status()?;
    if !status.success() {
        return Err("the tests do not pass".into());
    }
    // Every line of the card, and how often it was reached: in a module merged from copies, by any of them.
    let mut reached: BTreeMap<(String, usize), u64> = BTreeMap::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let own = path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(&format!("{}-", design.top)));
        if !own {
            continue;
        }
        let bytes = std::fs::read(&path)?;
        for point in String::from_utf8_lossy(&bytes).lines().filter_map(point) {
            for line in point.lines {
                *reached.entry((point.module.clone(), line)).or_default() += point.count;
            }
        }
    }
    if reached.is_empty() {
        return Err(format!("no model of {} left its coverage in {}", design.top, folder.display()).into());
    }
    let mut blocks: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for ((module, _), count) in &reached {
        let (lines, hit) = blocks.entry(block(module, &design.top)).or_default();
        *lines += 1;
        *hit += usize::from(*count > 0);
    }
    let percent = |hit: usize, lines: usize| 100.0 * hit as f64 / lines as f64;
    let width = blocks.keys().map(|name| name.len()).max().unwrap_or(0).max(5);
    println!("{:<width$}  lines  reached  percent", "block");
    for (name, (lines, hit)) in &blocks {
        println!("{name:<width$}  {lines:>5}  {hit:>7}  {:>7.2}", percent(*hit, *lines));
    }
    let (lines, hit) = blocks.values().fold((0, 0), |sum, block| (sum.0 + block.0, sum.1 + block.1));
    println!("{:<width$}  {lines:>5}  {hit:>7}  {:>7.2}", "all", percent(hit, lines));
    let text: Vec<&str> = verilog.lines().collect();
    println!("\nnever reached:");
    let missed: Vec<_> = reached.iter().filter(|(_, count)| **count == 0).map(|(place, _)| place).collect();
    for (module, line) in missed.iter().take(LISTED_LINES) {
        println!("{module}:{line}: {}", text.get(line - 1).unwrap_or(&"").trim());
    }
    if missed.len() > LISTED_LINES {
        println!("and {} more", missed.len() - LISTED_LINES);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_lines_are_read_and_others_left_out() {
        let line = "C '\u{1}f\u{2}card.v\u{1}l\u{2}12\u{1}n\u{2}5\u{1}page\u{2}v_line/card_ring_2\u{1}o\u{2}if\u{1}S\u{2}12-13,15\u{1}h\u{2}top.a' 7";
        let expected = Point { module: "card_ring_2".into(), lines: vec![12, 13, 15], count: 7 };
        assert_eq!(point(line), Some(expected));
        assert_eq!(point(&line.replace("v_line", "v_toggle")), None);
        assert_eq!(point("# SystemC::Coverage-3"), None);
    }

    #[test]
    fn copies_of_a_block_share_its_name() {
        assert_eq!(["card_ring_2", "card_ring", "card"].map(|m| block(m, "card")), ["ring", "ring", "(the card)"]);
    }
}
