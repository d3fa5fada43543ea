//! A bench for streaming transforms: bits, latency, throughput, idle and back-pressure against golden's.

use crate::common::{EDGES, Values};
use glovebox_golden::field::P;
use glovebox_golden::ntt::NegacyclicNtt;
use glovebox_hdl::Design;
use glovebox_hdl::ntt::{NttStream, Transform};
use glovebox_sim::verilator::{Build, Model, Port};

/// How often each side of a stream is willing, in percent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) offer: u64,
    pub(crate) take: u64,
}

pub(crate) const FULL: Flow = Flow { offer: 100, take: 100 };

pub(crate) struct Bench {
    design: Design,
    model: Model,
    data: Port,
    valid: Port,
    ready: Port,
    out: Port,
    out_valid: Port,
    out_ready: Port,
    out_last: Port,
}

/// When each beat of each frame was taken and given, in cycles.
pub(crate) struct Run {
    frames: Vec<Vec<u64>>,
    taken: Vec<u64>,
    given: Vec<u64>,
}

impl Bench {
    fn new(name: &str, lanes: usize, degree: usize, seed: u64) -> Self {
        let design = Design::new(name, lanes, degree).unwrap();
        let text = design.verilog().unwrap();
        Self::of(design, &text, seed)
    }

    /// A bench whose leaves are made of the ECP5's cells, as far as they have them.
    pub(crate) fn of_ecp5_cells(name: &str, lanes: usize, degree: usize, seed: u64) -> Self {
        let design = Design::new(name, lanes, degree).unwrap();
        let cells = [include_str!("../../formal/ccu2c.v"), include_str!("../../formal/ecp5_cells.v")].join("\n");
        let text = format!("`define GLOVEBOX_ECP5\n{}\n{cells}", design.verilog().unwrap());
        Self::of(design, &text, seed)
    }

    fn of(design: Design, verilog: &str, seed: u64) -> Self {
        let mut model = Build::new(&design.top, verilog).load(seed).unwrap();
        let port = |name: &str| model.port(name).unwrap();
        let [data, valid, ready, out, out_valid, out_ready, out_last, reset] =
            ["s_tdata", "s_tvalid", "s_tready", "m_tdata", "m_tvalid", "m_tready", "m_tlast", "reset"].map(port);
        model.set(reset, 1);
        for _ in 0..design.latency().unwrap() + 2 {
            model.tick().unwrap();
        }
        model.set(reset, 0);
        model.eval().unwrap();
        Self { design, model, data, valid, ready, out, out_valid, out_ready, out_last }
    }

    fn beats(&self) -> usize {
        self.design.degree / self.design.lanes
    }

    fn golden(&self, frame: &[u64]) -> Vec<u64> {
        let ntt = NegacyclicNtt::new(self.design.degree).unwrap();
        let mut x = frame.to_vec();
        match self.design.plan().unwrap().transform {
            Transform::Forward => ntt.forward_bit_reversed(&mut x).unwrap(),
            Transform::Inverse => ntt.inverse_bit_reversed(&mut x).unwrap(),
        }
        x
    }

    /// Streams frames through and collects what comes out; `gap` idle cycles ahead of each frame.
    fn run(&mut self, frames: &[Vec<u64>], flow: Flow, gap: usize, seed: u64) -> Run {
        let (lanes, beats) = (self.design.lanes, self.beats());
        let mut values = Values::new(seed);
        let mut run = Run { frames: vec![], taken: vec![], given: vec![] };
        let total = frames.len() * beats;
        let (mut sent, mut offered, mut idle) = (0, false, gap);
        let mut current = vec![];
        let mut held: Option<Vec<u32>> = None;
        let words = |model: &Model, port| model.words(port).to_vec();
        for cycle in 0.. {
            assert!(
                cycle < 200_000,
                "{} hangs: {sent} of {total} beats in, {} out, seed {seed}",
                self.design.top,
                run.given.len()
            );
            // valid never waits for ready, and stays until the beat is taken.
            if !offered && sent < total {
                if idle > 0 {
                    idle -= 1;
                } else {
                    offered = values.chance(flow.offer);
                }
                for lane in 0..lanes {
                    let word = if offered { frames[sent / beats][sent % beats * lanes + lane] } else { values.word() };
                    self.model.set_lane(self.data, lane, word);
                }
            }
            self.model.set(self.valid, u64::from(offered));
            let take = values.chance(flow.take);
            self.model.set(self.out_ready, u64::from(take));
            self.model.eval().unwrap();
            if offered && self.model.get(self.ready) == 1 {
                run.taken.push(cycle);
                sent += 1;
                offered = false;
                idle = if sent % beats == 0 { gap } else { 0 };
            }
            if self.model.get(self.out_valid) == 1 {
                let now = words(&self.model, self.out);
                if let Some(before) = &held {
                    assert_eq!(&now, before, "data changed while stalled, seed {seed}");
                }
                let last = run.given.len() % beats == beats - 1;
                assert_eq!(self.model.get(self.out_last) == 1, last, "tlast of beat {}, seed {seed}", run.given.len());
                if take {
                    run.given.push(cycle);
                    current.extend((0..lanes).map(|lane| self.model.lane(self.out, lane)));
                    held = None;
                    if last {
                        run.frames.push(std::mem::take(&mut current));
                    }
                } else {
                    held = Some(now);
                }
            } else {
                assert!(held.is_none(), "a stalled beat was withdrawn, seed {seed}");
            }
            self.model.tick().unwrap();
            if run.given.len() == total {
                break;
            }
        }
        run
    }

    pub(crate) fn check(&mut self, frames: &[Vec<u64>], flow: Flow, gap: usize, seed: u64) -> Run {
        let run = self.run(frames, flow, gap, seed);
        for (i, (frame, out)) in frames.iter().zip(&run.frames).enumerate() {
            assert!(
                *out == self.golden(frame),
                "{} frame {i} differs from golden: {flow:?} gap {gap} seed {seed}",
                self.design.top
            );
        }
        run
    }
}

pub(crate) fn frames(degree: usize, count: usize, seed: u64) -> Vec<Vec<u64>> {
    let mut values = Values::new(seed);
    (0..count).map(|_| (0..degree).map(|_| values.residue()).collect()).collect()
}

/// Frames that drive the limbs to their extremes: constants, alternations, single words.
pub(crate) fn extreme_frames(degree: usize) -> Vec<Vec<u64>> {
    let mut out: Vec<Vec<u64>> = EDGES.iter().map(|&e| vec![e; degree]).collect();
    for (a, b) in [(0, P - 1), (P - 1, 0), (0xFFFF_FFFF, P - 1), (1 << 63, (1 << 63) - 1)] {
        for stride in [0, 3, 6, 7] {
            out.push((0..degree).map(|i| if (i >> stride) & 1 == 0 { a } else { b }).collect());
        }
    }
    out.extend([0, 1, degree / 2, degree - 1].map(|at| (0..degree).map(|i| if i == at { P - 1 } else { 0 }).collect()));
    out
}

/// All behaviour of one instance, on one model.
pub(crate) fn conform(name: &str, lanes: usize, degree: usize) {
    let beats = degree / lanes;
    let plan = Design::new(name, lanes, degree).unwrap().plan().unwrap();
    let start = |seed| Bench::new(name, lanes, degree, seed);

    // A lone frame: bits and latency.
    let mut bench = start(1);
    let run = bench.check(&frames(degree, 1, 11), FULL, 0, 11);
    assert_eq!(run.taken[beats - 1] - run.taken[0], beats as u64 - 1, "a lone frame is taken without a pause");
    let latency = run.given[0] - run.taken[beats - 1];
    assert_eq!(latency, NttStream::<4>::latency(&plan) as u64, "{name} {lanes} {degree}: measured latency");

    // Back to back: one beat a cycle once the first frame is out.
    let many = frames(degree, 6, 12);
    let run = bench.check(&many, FULL, 0, 12);
    let last = run.given.len() - 1;
    assert_eq!(run.given[last] - run.given[0], last as u64, "{name} {lanes} {degree}: frames leave back to back");
    assert_eq!(run.taken[last] - run.taken[0], last as u64, "{name} {lanes} {degree}: frames enter back to back");

    // The same model after other traffic; gaps of every kind; idle and back-pressure; other power-up states.
    bench.check(&extreme_frames(degree), FULL, 0, 13);
    for (seed, gap) in [(2, 1), (3, beats - 1), (4, 3 * beats + 5)] {
        start(seed).check(&many[..3], FULL, gap, seed);
    }
    for (seed, offer, take) in [(5, 50, 100), (6, 100, 50), (7, 30, 30), (8, 90, 7)] {
        start(seed).check(&many, Flow { offer, take }, seed as usize % 2 * 9, seed);
    }
}
