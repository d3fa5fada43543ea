//! `glovebox demo`: one encrypted clinical query, from the clinic's table to the clinic's answer.

use crate::arguments::Demo;
use crate::simulator::{Opened, SimulatedCard};
use crate::{CliError, Outcome, progress, report};
use glovebox::client::ClientKey;
use glovebox::cohort::{self, AuditSample, CohortQuery, Server};
use glovebox::cpu::Luts;
use glovebox::evaluation::EvaluationKeys;
use glovebox::golden::params::{CPU_KS_PBS_TUNIFORM_2M128, ParameterSet};
use glovebox::table::Table;
use glovebox::{Batch, Device, Engine};
use indicatif::HumanBytes;
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Instant;

/// What one device did.
#[derive(Serialize)]
struct Work {
    device: String,
    what: String,
    bootstraps: u64,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cycles: Option<u64>,
    /// Output words compared with the CPU engine's, and how many of them were equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    words_compared: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words_equal: Option<usize>,
}

#[derive(Serialize)]
struct DemoResult {
    query: String,
    parameter_set: &'static str,
    log2_failure_probability: Option<f64>,
    rows: usize,
    encrypted_cells: usize,
    table_bytes: usize,
    key_bytes: usize,
    encryption_seconds: f64,
    answer: u64,
    plaintext_answer: u64,
    bootstraps: usize,
    sampled_steps: Vec<&'static str>,
    work: Vec<Work>,
    answers_agree: bool,
    bits_agree: bool,
}

/// The clinic: the only one with the secret key.
struct Clinic {
    key: ClientKey,
    table: Table,
}

pub(crate) fn run(options: &Demo) -> Result<Outcome, CliError> {
    let set = CPU_KS_PBS_TUNIFORM_2M128;
    // The table is read and the card is built first: what can be refused is refused before the work.
    let table = Table::wisconsin(options.rows)?;
    let simulated = match options.device.as_str() {
        "sim" => Some(SimulatedCard::start(options.card.lanes, &set.bootstrap)?),
        _ => None,
    };

    let spinner = progress::spinner("clinic: keys and encryption");
    let started = Instant::now();
    let clinic = Clinic { key: ClientKey::generate(set)?, table };
    let keys = clinic.key.evaluation_keys()?;
    let encrypted = clinic.table.encrypt(&clinic.key)?;
    let encryption_seconds = started.elapsed().as_secs_f64();
    spinner.finish_and_clear();

    let group = (options.group != "all").then(|| ("malignant".to_string(), options.group == "malignant"));
    let query = CohortQuery { column: options.column.clone(), threshold: options.threshold.clone(), group };
    let plaintext_answer = cohort::plain_count(&clinic.table, &query, &encrypted)?;

    // The server: evaluation keys and the encrypted table, nothing else.
    let engine = Engine::open(&Device::Cpu, &keys)?;
    let bar = progress::bar("server: bootstraps", 0);
    let tick = |done: usize| bar.inc(done as u64);
    let mut server = Server::new(&engine, set, &tick)?;
    let bootstraps = server.bootstraps(&encrypted, &query)?;
    bar.set_length(bootstraps as u64);
    let count = server.count(&encrypted, &query)?;
    bar.finish_and_clear();

    let answer = count.decrypt(&clinic.key)?;
    let samples = pick(server.samples(), options.sample);

    let mut work = vec![Work {
        device: "cpu".into(),
        what: format!("the whole query, {}", glovebox::cpu::CpuEngine::new(None).kernel_name()),
        bootstraps: engine.stats().bootstraps,
        seconds: engine.stats().wall.as_secs_f64(),
        cycles: None,
        words_compared: None,
        words_equal: None,
    }];
    if !samples.is_empty() {
        work.push(audit(&Opened::new(&Device::Golden, 0, &keys)?, "the sample, the oracle", &samples, &set)?);
        if let Some(card) = &simulated {
            let what = format!("the sample in RTL, {} lanes", options.card.lanes);
            work.push(audit(&card.open(&keys)?, &what, &samples, &set)?);
        }
    }

    let members = if options.group == "all" { String::new() } else { format!("{} ", options.group) };
    let result = DemoResult {
        query: format!("how many {members}patients have {} above {}?", options.column, options.threshold),
        parameter_set: set.name,
        log2_failure_probability: set.log2_failure_probability,
        rows: encrypted.rows(),
        encrypted_cells: encrypted.ciphertexts(),
        table_bytes: encrypted.transfer_bytes(),
        key_bytes: keys.transfer_bytes(),
        encryption_seconds,
        answer,
        plaintext_answer,
        bootstraps,
        sampled_steps: samples.iter().map(|s| s.step).collect(),
        answers_agree: answer == plaintext_answer,
        bits_agree: work.iter().all(|w| w.words_compared == w.words_equal),
        work,
    };
    if options.json {
        report::print_json(&result)?
    } else {
        report::print(&text(&result, &set, &keys))?
    }
    Ok(if result.answers_agree && result.bits_agree { Outcome::Done } else { Outcome::Disagreement })
}

/// Chooses samples evenly over the steps of the query.
fn pick(samples: &[AuditSample], wanted: usize) -> Vec<&AuditSample> {
    let wanted = wanted.min(samples.len());
    (0..wanted).map(|i| &samples[i * samples.len() / wanted]).collect()
}

/// Recomputes samples on another device, all in one batch, and compares every word.
fn audit(opened: &Opened, what: &str, samples: &[&AuditSample], set: &ParameterSet) -> Result<Work, CliError> {
    let spinner = progress::spinner(&format!("{}: {} bootstraps", opened.name, samples.len()));
    let big = set.bootstrap.big_lwe_dimension().0 + 1;
    // A batch has one list of coefficients to extract: all that any sample wants.
    let extract: Vec<usize> =
        samples.iter().flat_map(|s| s.extract.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect();
    let inputs: Vec<u64> = samples.iter().flat_map(|s| s.input.iter().copied()).collect();
    let luts: Vec<u64> = samples.iter().flat_map(|s| s.lut.iter().copied()).collect();
    let outputs = opened.engine.bootstrap(&Batch { inputs: &inputs, luts: Luts::Each(&luts), extract: &extract })?;
    let (mut compared, mut equal) = (0, 0);
    for (sample, output) in samples.iter().zip(outputs.chunks_exact(big * extract.len())) {
        for (coefficient, expected) in sample.extract.iter().zip(sample.outputs.chunks_exact(big)) {
            let found = extract.iter().zip(output.chunks_exact(big)).find(|(at, _)| *at == coefficient);
            compared += expected.len();
            equal += found.map_or(0, |(_, words)| words.iter().zip(expected).filter(|(a, b)| a == b).count());
        }
    }
    spinner.finish_and_clear();
    let stats = opened.engine.stats();
    if stats.fallbacks > 0 {
        return Err(format!("{}: the card failed and the CPU took over; nothing was audited", opened.name).into());
    }
    let is_card = stats.card.commands > 0;
    Ok(Work {
        device: opened.name.clone(),
        what: what.into(),
        bootstraps: stats.bootstraps,
        seconds: stats.wall.as_secs_f64(),
        cycles: is_card.then_some(stats.card.cycles),
        words_compared: Some(compared),
        words_equal: Some(equal),
    })
}

fn text(r: &DemoResult, set: &ParameterSet, keys: &EvaluationKeys) -> String {
    let p = keys.parameters();
    let failure = r.log2_failure_probability.map_or(String::new(), |f| format!(", failure probability 2^{f}"));
    let rows: Vec<Vec<String>> = r
        .work
        .iter()
        .map(|w| {
            let or_dash = |v: Option<u64>| v.map_or("-".into(), |v| v.to_string());
            let bits = match (w.words_equal, w.words_compared) {
                (Some(equal), Some(compared)) => format!("{equal} of {compared} words"),
                _ => "-".into(),
            };
            vec![
                w.device.clone(),
                w.what.clone(),
                w.bootstraps.to_string(),
                format!("{:.2}", w.seconds),
                format!("{:.1}", 1e3 * w.seconds / w.bootstraps.max(1) as f64),
                or_dash(w.cycles),
                bits,
            ]
        })
        .collect();
    let header = ["device", "what it did", "bootstraps", "seconds", "ms each", "cycles", "equal to the CPU's"];
    let lines = [
        format!("question          {}", r.query),
        format!("encrypted answer  {}", r.answer),
        format!(
            "plain answer      {}   {}",
            r.plaintext_answer,
            if r.answers_agree { "(equal)" } else { "(DIFFERENT)" }
        ),
        String::new(),
        format!(
            "data              {} patients, {} ciphertexts, {} up (seeded), encrypted in {:.1} s",
            r.rows,
            r.encrypted_cells,
            HumanBytes(r.table_bytes as u64),
            r.encryption_seconds
        ),
        format!(
            "parameters        {}: n = {}, N = {}, k = {}, 128-bit security{failure}; keys {}",
            set.name,
            p.lwe_dimension,
            p.ring_degree,
            p.glwe_dimension,
            HumanBytes(r.key_bytes as u64)
        ),
        format!("sample            one bootstrap each of: {}", r.sampled_steps.join(", ")),
        String::new(),
        report::table(&header, &rows, &[2, 3, 4, 5]),
        String::new(),
        match (r.bits_agree, r.work.len()) {
            (true, 1) => "nothing was compared: no sample was asked for".into(),
            (true, n) => {
                let names: Vec<&str> = r.work.iter().take(n).map(|w| w.device.as_str()).collect();
                format!("{} agree bit for bit", names.join(", "))
            }
            (false, _) => "THE DEVICES DISAGREE".into(),
        },
    ];
    lines.join("\n")
}
