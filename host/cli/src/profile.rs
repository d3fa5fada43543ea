//! `glovebox profile`: bootstraps on the simulated card, and where the cycles go.

use crate::arguments::Profile;
use crate::{CliError, Outcome, progress, report, simulator};
use glovebox::golden::params;
use glovebox::interchange;
use glovebox_regmap::layout;
use glovebox_sim::card::Traffic;
use glovebox_sim::profile::{Counters, Profiler, Run, Workload, bandwidth_bound_until, shortened};
use plotters::prelude::*;
use serde::Serialize;

/// Latency of host memory over PCIe, in cycles.
const HOST_LATENCY_CYCLES: u32 = 300;
/// Waiting for keys below this share of blind rotation, a batch counts as not bound by memory.
const WAIT_SHARE: f64 = 0.02;
/// Intervals that a timeline has unless the user says otherwise, about.
const INTERVALS: u64 = 500;
/// Shortest interval: sampling takes the register bus about a hundred cycles.
const SHORTEST_INTERVAL: u64 = 1000;

/// What is printed as JSON.
#[derive(Serialize)]
struct Report<'a> {
    parameters: &'a str,
    card_memory: &'a str,
    host_latency_cycles: u32,
    rotation_cycles_per_step: f64,
    steady_cycles_per_step: Option<f64>,
    steady_multiplier_cycles_per_step: Option<f64>,
    utilisation_forward: f64,
    utilisation_inverse: f64,
    #[serde(flatten)]
    run: &'a Run,
}

impl<'a> Report<'a> {
    fn new(options: &'a Profile, run: &'a Run) -> Self {
        let [utilisation_forward, utilisation_inverse] = run.utilisation();
        Self {
            parameters: &options.params,
            card_memory: &options.memory,
            host_latency_cycles: HOST_LATENCY_CYCLES,
            rotation_cycles_per_step: run.rotation_cycles_per_step(),
            steady_cycles_per_step: run.steady_cycles_per_step(),
            steady_multiplier_cycles_per_step: run.steady_multiplier_cycles_per_step(),
            utilisation_forward,
            utilisation_inverse,
            run,
        }
    }
}

pub(crate) fn run(options: &Profile) -> Result<Outcome, CliError> {
    let mut parameters = params::by_name(&options.params)?.bootstrap;
    if let Some(dimension) = options.dimension {
        if dimension == 0 || dimension > parameters.lwe_dimension.0 {
            let most = parameters.lwe_dimension.0;
            return Err(format!("--dimension {dimension}: from 1 to {most}, the steps of {}", options.params).into());
        }
        parameters = shortened(parameters, dimension);
    }
    let memory = match options.memory.as_str() {
        "ddr4" => Traffic::ddr4(),
        "hbm" => Traffic::hbm(),
        _ => Traffic::steady(1),
    };
    let workload = Workload {
        lanes: options.lanes,
        keyswitch: !options.no_keyswitch,
        memory,
        host: Traffic::steady(HOST_LATENCY_CYCLES),
        seed: options.seed,
    };
    let batch = layout::batch_depth(options.lanes as u32) as usize;
    let count = options.count.map_or(2 * batch, usize::from);
    let most = if options.sweep { 2 * batch } else { count };
    let (spinner, mut bar) = (progress::spinner("the card's RTL, keys and card memory"), None);
    let mut profiler =
        Profiler::new(workload, parameters, most, |step| simulator::show_build(&spinner, &mut bar, step))?;
    spinner.finish_and_clear();
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if options.sweep {
        return sweep(options, &mut profiler, batch);
    }
    let one = (parameters.lwe_dimension.0 * parameters.ring_degree.0 * parameters.pbs_level.0) as u64;
    let expected = one * 2 * count as u64 / options.lanes as u64;
    let interval = options.sample_cycles.unwrap_or(expected / INTERVALS).max(SHORTEST_INTERVAL);
    let run = one_run(&mut profiler, count, interval)?;
    if let Some(path) = &options.svg {
        interchange::write_public(path, timeline(options, &run)?.as_bytes())?;
        report::note(&format!("timeline in {}", path.display()));
    }
    if options.json {
        report::print_json(&Report::new(options, &run))?;
    } else {
        report::print(&text(options, &run))?;
    }
    Ok(Outcome::Done)
}

fn one_run(profiler: &mut Profiler, count: usize, interval: u64) -> Result<Run, CliError> {
    let bar = progress::bar("bootstraps in RTL", count);
    bar.tick();
    let run = profiler.run(count, interval, |results| bar.set_position(results as u64));
    bar.finish_and_clear();
    Ok(run?)
}

fn sweep(options: &Profile, profiler: &mut Profiler, batch: usize) -> Result<Outcome, CliError> {
    let bar = progress::bar("batch sizes in RTL", batch);
    let runs: Vec<Run> = (1..=batch)
        .chain([2 * batch])
        .map(|count| {
            bar.set_position(count as u64 - 1);
            profiler.run(count, u64::MAX, |_| {})
        })
        .collect::<Result<_, _>>()?;
    bar.finish_and_clear();
    if options.json {
        report::print_json(&runs.iter().map(|run| Report::new(options, run)).collect::<Vec<_>>())?;
        return Ok(Outcome::Done);
    }
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let c = &run.counted;
            vec![
                run.count.to_string(),
                run.cycles.to_string(),
                format!("{:.1}", run.rotation_cycles_per_step()),
                percent(c.bsk_stall, c.rotation),
                percent(c.ksk_stall, c.keyswitch),
                percent(c.forward_active, c.rotation),
                format!("{:.1}", run.card_read_bytes as f64 / run.cycles as f64),
            ]
        })
        .collect();
    let header =
        ["ciphertexts", "cycles", "cycles a step", "waits for bsk", "for ksk", "multipliers busy", "bytes a cycle"];
    report::print(&report::table(&header, &rows, &[0, 1, 2, 3, 4, 5, 6]))?;
    report::print(&match bandwidth_bound_until(&runs, WAIT_SHARE) {
        Some(size) => format!(
            "\nfrom {size} ciphertexts on, blind rotation waits for its key in less than 2 % of its cycles ({} memory)",
            options.memory
        ),
        None => format!("\nblind rotation is bound by {} memory up to the largest batch, {batch}", options.memory),
    })?;
    Ok(Outcome::Done)
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".into() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}

/// Digits in groups of three.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn text(options: &Profile, run: &Run) -> String {
    let c = &run.counted;
    let [forward, inverse] = run.multipliers;
    let [bsk, ksk, _] = run.key_bytes;
    let mut out = format!(
        "card      {} lanes, N = {}, k = {}, batches of {}, {} general multipliers of 64 bits\n\
         run       {} ciphertexts in {} of {} steps (l = {}, {}), every word equal to golden's\n\
         memory    card: {}, {} port(s) of 64 bytes; host: {HOST_LATENCY_CYCLES} cycles of latency\n\
         cycles    {}",
        run.lanes,
        run.degree,
        run.glwe_dimension,
        run.batch,
        forward + inverse,
        run.count,
        if run.batches() == 1 { "one batch".into() } else { format!("{} batches", run.batches()) },
        run.dimension,
        run.levels,
        if options.no_keyswitch { "without keyswitch" } else { "with keyswitch" },
        options.memory,
        layout::memory_ports(run.lanes as u32),
        grouped(run.cycles),
    );
    let per_step = run.rotation_cycles_per_step();
    out += &format!("\na step    {per_step:.1} cycles a ciphertext in blind rotation");
    if let (Some(cycles), Some(product)) = (run.steady_cycles_per_step(), run.steady_multiplier_cycles_per_step()) {
        out += &format!(
            "\nsteady    {cycles:.1} cycles, {product:.0} multiplier-cycles a step and ciphertext, from the first batch's end to the last's"
        );
    }
    let row = |name: &str, cycles: u64| vec![name.into(), grouped(cycles), percent(cycles, run.cycles)];
    let phases = [
        row("take ciphertexts in", c.load),
        row("keyswitch", c.keyswitch),
        row("modulus switch", c.modulus_switch),
        row("wait for blind rotation", c.rotation_wait),
        row("blind rotation", c.rotation),
        row("sample extraction", c.extract),
    ];
    let stalls = [
        row("blind rotation waits for its key", c.bsk_stall),
        row("keyswitch waits for its key", c.ksk_stall),
        row("waiting for data from the host", c.host_read_stall),
        row("host memory does not take results", c.host_write_stall),
    ];
    let group = |name: &str, multipliers: usize, active: u64| {
        vec![name.into(), multipliers.to_string(), percent(active, c.rotation), percent(active, run.cycles)]
    };
    let groups = [
        group("forward transforms, products", forward, c.forward_active),
        group("inverse transforms", inverse, c.inverse_active),
    ];
    let once = (bsk + if options.no_keyswitch { 0 } else { ksk }) * run.batches() as u64;
    let traffic = [
        vec!["keys, once a batch".into(), grouped(once), String::new()],
        vec![
            "read from card memory".into(),
            grouped(run.card_read_bytes),
            format!("{:.1}", run.card_read_bytes as f64 / run.cycles as f64),
        ],
        vec!["read from the host".into(), grouped(64 * c.host_read_beats), String::new()],
        vec!["written to the host".into(), grouped(64 * c.host_write_beats), String::new()],
    ];
    let tables = [
        report::table(&["phase (they overlap)", "cycles", "of the run"], &phases, &[1, 2]),
        report::table(&["stall", "cycles", "of the run"], &stalls, &[1, 2]),
        report::table(&["multipliers", "number", "busy in blind rotation", "busy in the run"], &groups, &[1, 2, 3]),
        report::table(&["memory", "bytes", "a cycle"], &traffic, &[1, 2]),
    ];
    out + "\n\n" + &tables.join("\n\n")
}

/// A row of the timeline: what it shows, the share of an interval's cycles, its colour.
type Row = (&'static str, fn(&Counters, f64, &Run) -> f64, RGBColor);

const ROWS: [Row; 9] = [
    ("take ciphertexts in", |c, cycles, _| c.load as f64 / cycles, RGBColor(120, 120, 120)),
    ("keyswitch", |c, cycles, _| c.keyswitch as f64 / cycles, RGBColor(31, 119, 180)),
    ("blind rotation", |c, cycles, _| c.rotation as f64 / cycles, RGBColor(44, 140, 60)),
    ("forward multipliers busy", |c, cycles, _| c.forward_active as f64 / cycles, RGBColor(100, 180, 100)),
    ("inverse multipliers busy", |c, cycles, _| c.inverse_active as f64 / cycles, RGBColor(100, 180, 100)),
    ("rotation waits for its key", |c, cycles, _| c.bsk_stall as f64 / cycles, RGBColor(200, 60, 50)),
    ("keyswitch waits for its key", |c, cycles, _| c.ksk_stall as f64 / cycles, RGBColor(200, 60, 50)),
    ("sample extraction", |c, cycles, _| c.extract as f64 / cycles, RGBColor(148, 103, 189)),
    ("card memory bus", |c, cycles, _| c.card_read_granules as f64 / cycles, RGBColor(230, 140, 40)),
];

/// A round distance between marks, of which five to ten fit.
fn tick(end: u64) -> u64 {
    let decade = 10u64.pow((end / 10).max(1).ilog10());
    [1, 2, 5, 10].into_iter().map(|n| n * decade).find(|tick| end / tick < 10).unwrap_or(end)
}

/// Each row's share of every interval over time, and where batches end.
fn timeline(options: &Profile, run: &Run) -> Result<String, CliError> {
    const WIDTH: u32 = 1200;
    const LEFT: i32 = 210;
    const TOP: i32 = 60;
    const ROW: i32 = 34;
    let height = TOP + ROW * ROWS.len() as i32 + 50;
    let right = WIDTH as i32 - 30;
    let end = run.samples.last().map_or(1, |s| s.cycle.max(1));
    let x = |cycle: u64| LEFT + ((right - LEFT) as f64 * cycle as f64 / end as f64).round() as i32;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height as u32)).into_drawing_area();
        area.fill(&WHITE)?;
        let style = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
        let title = format!(
            "{} bootstraps on the card of {} lanes, N = {}, k = {}, n = {}, {} memory: {} cycles",
            run.count,
            run.lanes,
            run.degree,
            run.glwe_dimension,
            run.dimension,
            options.memory,
            grouped(run.cycles)
        );
        area.draw(&Text::new(title, (LEFT, 16), style(17)))?;
        for (number, (name, share, colour)) in (0..).zip(ROWS) {
            let bottom = TOP + ROW * (number + 1) - 6;
            area.draw(&Text::new(name, (12, bottom - 18), style(14)))?;
            let mut from = 0;
            for sample in &run.samples {
                let share = share(&sample.counted, (sample.cycle - from) as f64, run).clamp(0.0, 1.0);
                let up = (share * f64::from(ROW - 8)).round() as i32;
                if up > 0 {
                    let bar = Rectangle::new([(x(from), bottom - up), (x(sample.cycle), bottom)], colour.filled());
                    area.draw(&bar)?;
                }
                from = sample.cycle;
            }
            area.draw(&PathElement::new([(LEFT, bottom), (right, bottom)], RGBColor(190, 190, 190)))?;
        }
        let bottom = TOP + ROW * ROWS.len() as i32;
        for &cycle in &run.batches_done {
            area.draw(&PathElement::new([(x(cycle), TOP - 8), (x(cycle), bottom)], BLACK.mix(0.6)))?;
        }
        area.draw(&Text::new("a batch ends", (x(run.batches_done[0]).min(right - 90), TOP - 22), style(12)))?;
        for cycle in (0..=end).step_by(tick(end) as usize) {
            let label = grouped(cycle);
            let at = x(cycle) - 3 * label.len() as i32;
            area.draw(&PathElement::new([(x(cycle), bottom - 2), (x(cycle), bottom + 4)], BLACK))?;
            area.draw(&Text::new(label, (at, bottom + 8), style(13)))?;
        }
        area.draw(&Text::new("cycles from the doorbell", (LEFT, bottom + 28), style(13)))?;
        area.present()?;
    }
    Ok(svg)
}
