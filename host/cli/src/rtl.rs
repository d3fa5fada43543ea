//! `glovebox rtl`: the Verilog of a design.

use crate::arguments::Rtl;
use crate::{CliError, Outcome, report};
use glovebox::interchange;
use glovebox_hdl::Design;

pub(crate) fn run(options: &Rtl) -> Result<Outcome, CliError> {
    let Some(name) = &options.design else {
        let rows: Vec<Vec<String>> = Design::all()
            .iter()
            .map(|d| {
                let or_dash = |v: usize| if v == 0 { "-".into() } else { v.to_string() };
                vec![
                    d.name.to_string(),
                    d.lanes.to_string(),
                    or_dash(d.degree),
                    or_dash(d.glwe_dimension),
                    d.latency().map_or("-".into(), |l| l.to_string()),
                ]
            })
            .collect();
        report::print(&report::table(&["design", "lanes", "degree", "k", "pipeline cycles"], &rows, &[1, 2, 3, 4]))?;
        return Ok(Outcome::Done);
    };
    let design = Design::new(name, options.lanes, options.degree)?.with_glwe_dimension(options.glwe_dimension)?;
    let verilog = design.verilog()?;
    std::fs::create_dir_all(&options.out).map_err(|e| format!("could not make {}: {e}", options.out.display()))?;
    let path = options.out.join(format!("{}.v", design.top));
    interchange::write_public(&path, verilog.as_bytes())?;
    let modules = verilog.lines().filter(|line| line.starts_with("module ")).count();
    report::print(&format!(
        "{}: top module {}, {modules} modules, {} lines",
        path.display(),
        design.top,
        verilog.lines().count()
    ))?;
    Ok(Outcome::Done)
}
