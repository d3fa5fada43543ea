//! `glovebox bootstrap`: the interchange of keys, tables and ciphertexts in files.

use crate::arguments::Bootstrap;
use crate::simulator::Opened;
use crate::{CliError, Outcome, progress, report};
use glovebox::cpu::Luts;
use glovebox::evaluation::EvaluationKeys;
use glovebox::{Batch, Error, interchange};
use serde::Serialize;

#[derive(Serialize)]
struct Summary {
    device: String,
    bootstraps: u64,
    /// Of those, how many the CPU did because the device failed.
    cpu_fallbacks: u64,
    wall_seconds: f64,
    /// Busy clock cycles of the card; absent for other devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    cycles: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counters: Option<Counters>,
}

#[derive(Serialize)]
struct Counters {
    commands: u64,
    transforms: u64,
}

pub(crate) fn run(options: &Bootstrap) -> Result<Outcome, CliError> {
    let keys = EvaluationKeys::load(&options.params, &options.bsk, &options.ksk)?;
    let parameters = keys.parameters();
    let (luts, lut_count) = interchange::read_luts(&options.lut, parameters)?;
    let (inputs, count) = interchange::read_ciphertexts(&options.input, parameters)?;
    let luts = match lut_count {
        1 => Luts::One(&luts),
        n if n == count => Luts::Each(&luts),
        found => {
            return Err(Error::Format {
                path: options.lut.clone(),
                reason: format!("{found} look-up tables for {count} ciphertexts: pass one, or one a ciphertext"),
            }
            .into());
        }
    };
    let opened = Opened::new(&options.device, options.card.lanes, &keys)?;
    let bar = progress::bar("bootstrapping", count);
    let outputs = opened
        .engine
        .bootstrap_with_progress(&Batch { inputs: &inputs, luts, extract: &[0] }, &|done| bar.inc(done as u64))?;
    bar.finish_and_clear();
    interchange::write_ciphertexts(&options.output, parameters, &outputs)?;
    let stats = opened.engine.stats();
    let has_card = stats.card.commands > 0;
    let summary = Summary {
        device: opened.name,
        bootstraps: stats.bootstraps,
        cpu_fallbacks: stats.fallbacks,
        wall_seconds: stats.wall.as_secs_f64(),
        cycles: has_card.then_some(stats.card.cycles),
        counters: has_card.then_some(Counters { commands: stats.card.commands, transforms: stats.card.transforms }),
    };
    if options.json {
        report::print_json(&summary)?;
    } else {
        let per = 1e3 * summary.wall_seconds / (summary.bootstraps.max(1) as f64);
        let cycles = summary.cycles.map_or(String::new(), |c| format!(", {c} cycles"));
        report::print(&format!(
            "{}: {} bootstraps in {:.2} s, {per:.2} ms each{cycles}",
            summary.device, summary.bootstraps, summary.wall_seconds
        ))?;
        if summary.cpu_fallbacks > 0 {
            report::note(&format!("{} of them on the CPU, because the device failed", summary.cpu_fallbacks));
        }
    }
    Ok(Outcome::Done)
}
