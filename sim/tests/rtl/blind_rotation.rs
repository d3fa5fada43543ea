//! Blind rotation in Verilator against golden: bits and cycles.

use crate::common::Values;
use glovebox_driver::bootstrap::card_bootstrap_key;
use glovebox_golden::bootstrap::blind_rotation;
use glovebox_golden::cipher::GlweCiphertext;
use glovebox_golden::keys::{BootstrapKey, NttBootstrapKey};
use glovebox_golden::params;
use glovebox_golden::params::{BootstrapParameters, GlweDimension, LweDimension, TOY_INSECURE};
use glovebox_golden::params::{DecompositionBaseLog, DecompositionLevelCount};
use glovebox_golden::torus::{SwitchedLwe, multiply_by_monomial};
use glovebox_hdl::bootstrap::{BlindRotation, Shape};
use glovebox_hdl::verilog::generate;
use glovebox_sim::verilator::{Build, Model, Port};

/// A key of random words: bit-exactness does not care whether it encrypts anything.
fn random_key(p: &BootstrapParameters, seed: u64) -> NttBootstrapKey {
    let mut values = Values::new(seed);
    let words = (0..p.bootstrap_key_len()).map(|_| values.word()).collect();
    BootstrapKey::from_words(p, words).unwrap().to_ntt(p).unwrap()
}

struct Bench {
    shape: Shape,
    model: Model,
    key: Vec<Port>,
}

/// What a batch took, in cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cycles {
    total: u64,
}

impl Bench {
    fn new(shape: Shape, seed: u64) -> Self {
        let Shape { lanes, degree, glwe_dimension, depth, key_words, .. } = shape;
        let top = match glwe_dimension {
            1 => format!("glovebox_rotation_l{lanes}_n{degree}_d{depth}_k{key_words}"),
            k => format!("glovebox_rotation_l{lanes}_n{degree}_d{depth}_k{key_words}_glwe{k}"),
        };
        let text = generate(&top, "Glovebox: blind rotation.", move || BlindRotation::new(&shape)).unwrap();
        let mut model = Build::new(&top, &text).load(seed).unwrap();
        let key = (0..shape.key_words).map(|i| model.port(&format!("key_data_{i}")).unwrap()).collect();
        let reset = model.port("reset").unwrap();
        model.set(reset, 1);
        for _ in 0..shape.reset_cycles() {
            model.tick().unwrap();
        }
        model.set(reset, 0);
        Self { shape, model, key }
    }

    fn set(&mut self, name: &str, value: u64) {
        let port = self.model.port(name).unwrap();
        self.model.set(port, value);
    }

    /// Runs one batch; ciphertext i takes table i mod their number. `offer`: how often key words come, in percent.
    fn run(
        &mut self,
        p: &BootstrapParameters,
        key: &[u64],
        tables: &[Vec<u64>],
        turns: &[SwitchedLwe],
        offer: u64,
    ) -> (Vec<Vec<u64>>, Cycles) {
        let degree = self.shape.degree;
        assert_eq!(degree, p.ring_degree.0);
        for (i, word) in tables.iter().flatten().enumerate() {
            self.set("table_address", i as u64);
            self.set("table_data", *word);
            self.set("table_write", 1);
            self.model.tick().unwrap();
        }
        self.set("table_write", 0);
        for (slot, turn) in turns.iter().enumerate() {
            for (i, &a) in turn.mask.iter().enumerate() {
                self.set("turn_address", (1 << 14 | slot << 10 | i) as u64);
                self.set("turn_data", a as u64);
                self.set("turn_write", 1);
                self.model.tick().unwrap();
            }
        }
        self.set("turn_write", 0);
        self.set("bank", 1);
        self.set("count", turns.len() as u64);
        self.set("dimension", p.lwe_dimension.0 as u64);
        self.set("levels", p.pbs_level.0 as u64);
        self.set("base_log", u64::from(p.pbs_base_log.0));
        self.set("lut", 0);
        self.set("lut_each", u64::from(tables.len() > 1));
        self.set("result_free", 1);
        for _ in 0..4 {
            self.model.tick().unwrap();
        }
        self.set("start", 1);
        self.model.tick().unwrap();
        self.set("start", 0);
        let [valid, ready, busy] = ["key_valid", "key_ready", "busy"].map(|n| self.model.port(n).unwrap());
        let mut values = Values::new(offer);
        let begin = self.model.cycle();
        let (mut sent, mut offered) = (0, false);
        let limit = begin
            + 10_000
            + 4 * (p.lwe_dimension.0 as u64 + 2)
                * (self.shape.turnaround() + 64 + turns.len() * p.pbs_level.0 * self.shape.beats()) as u64
                * (200 / offer);
        while self.model.get(busy) == 1 {
            assert!(self.model.cycle() < limit, "hangs with {sent} of {} key words taken", key.len());
            if !offered && sent < key.len() && values.chance(offer) {
                offered = true;
                for (i, &port) in self.key.iter().enumerate() {
                    self.model.set(port, key[sent + i]);
                }
            }
            self.model.set(valid, u64::from(offered));
            let taken = offered && self.model.get(ready) == 1;
            self.model.tick().unwrap();
            if taken {
                sent += self.key.len();
                offered = false;
            }
        }
        self.model.set(valid, 0);
        assert_eq!(sent, key.len(), "the key is read exactly once");
        let cycles = Cycles { total: self.model.cycle() - begin };
        for _ in 0..4 {
            self.model.tick().unwrap();
        }
        let finished = self.model.port("finished").unwrap();
        assert_eq!(self.model.get(finished), turns.len() as u64);
        let latency = BlindRotation::result_latency(&self.shape);
        let data = self.model.port("result_data").unwrap();
        let [address, polynomial] = ["result_address", "result_polynomial"].map(|n| self.model.port(n).unwrap());
        let mut results = vec![];
        for (slot, turn) in turns.iter().enumerate() {
            let mut words = vec![0; self.shape.rows() * degree];
            for i in 0..words.len() + latency {
                self.model.set(polynomial, (i / degree).min(self.shape.glwe_dimension) as u64);
                self.model.set(address, (slot * degree + i % degree) as u64);
                self.model.tick().unwrap();
                if i + 1 >= latency && i + 1 - latency < words.len() {
                    words[i + 1 - latency] = self.model.get(data);
                }
            }
            let back = 2 * degree - turn.body % (2 * degree);
            results.push(words.chunks(degree).flat_map(|poly| multiply_by_monomial(poly, back)).collect());
        }
        (results, cycles)
    }

    fn check(&mut self, p: &BootstrapParameters, count: usize, tables: usize, offer: u64, seed: u64) -> Cycles {
        let degree = p.ring_degree.0;
        let mut values = Values::new(seed);
        let key = random_key(p, seed);
        let striped = card_bootstrap_key(p, &key, self.shape.lanes as u32).unwrap();
        let tables: Vec<Vec<u64>> = (0..tables).map(|_| (0..degree).map(|_| values.word()).collect()).collect();
        let corners =
            [0, 2 * degree, degree, 1, 2 * degree - 1, degree - 1, degree + 1, degree / 2, self.shape.points()];
        let turns: Vec<SwitchedLwe> = (0..count)
            .map(|_| SwitchedLwe {
                mask: (0..p.lwe_dimension.0)
                    .map(|_| {
                        if values.chance(20) {
                            corners[values.word() as usize % corners.len()]
                        } else {
                            values.word() as usize % (2 * degree)
                        }
                    })
                    .collect(),
                body: values.word() as usize % (2 * degree),
            })
            .collect();
        let (results, cycles) = self.run(p, &striped, &tables, &turns, offer);
        for (i, (turn, result)) in turns.iter().zip(&results).enumerate() {
            let lut = GlweCiphertext::trivial(p.glwe_dimension.0, &tables[i % tables.len()]);
            let expected = blind_rotation(p, &key, &lut, turn).unwrap();
            assert!(expected.words() == result, "slot {i} of {count} differs: {:?} {p:?} seed {seed}", self.shape);
        }
        cycles
    }
}

fn toy(n: usize, base_log: u32, level: usize) -> BootstrapParameters {
    BootstrapParameters {
        lwe_dimension: LweDimension(n),
        pbs_base_log: DecompositionBaseLog(base_log),
        pbs_level: DecompositionLevelCount(level),
        ..TOY_INSECURE.bootstrap
    }
}

#[test]
fn rotation_toy_every_batch_and_level_count_equals_golden() {
    let shape = Shape::new(8, 256, 1);
    let mut bench = Bench::new(shape, 1);
    for (count, tables) in [(1, 1), (2, 2), (3, 1), (4, 4)] {
        bench.check(&toy(7, 23, 1), count, tables, 100, count as u64);
    }
    bench.check(&toy(1, 23, 1), 1, 1, 100, 20);
    for (count, base_log, level) in [(1, 15, 2), (4, 15, 2), (1, 7, 3), (3, 12, 3), (2, 1, 1), (2, 18, 2), (2, 32, 1)] {
        bench.check(&toy(5, base_log, level), count, 1, 100, 30 + u64::from(base_log));
    }
    // Key words that come slowly, other power-up states.
    for (seed, offer) in [(2, 50), (3, 10)] {
        let mut bench = Bench::new(shape, seed);
        bench.check(&toy(6, 23, 1), 3, 1, offer, seed);
        bench.check(&toy(4, 7, 3), 2, 1, offer, seed);
    }
}

#[test]
fn rotation_toy_of_k_2_and_3_equals_golden() {
    for k in [2, 3] {
        let shape = Shape::new(8, 256, k);
        let of_k = |p| BootstrapParameters { glwe_dimension: GlweDimension(k), ..p };
        let mut bench = Bench::new(shape, 1);
        for (count, tables) in [(1, 1), (3, 1), (4, 4)] {
            bench.check(&of_k(toy(5, 23, 1)), count, tables, 100, count as u64);
        }
        for (count, base_log, level) in [(1, 7, 3), (3, 12, 3), (2, 18, 2)] {
            bench.check(&of_k(toy(3, base_log, level)), count, 1, 100, 30 + u64::from(base_log));
        }
        let mut bench = Bench::new(shape, 2);
        bench.check(&of_k(toy(4, 23, 1)), 2, 1, 30, 2);
    }
}

#[test]
fn rotation_toy_full_batches_take_the_same_cycles_for_k_1_and_2_but_the_longer_pipe_and_few_wait_for_the_key() {
    let (n, beats) = (6, 64);
    let mut bench = [1, 2].map(|k| Bench::new(Shape::new(8, 256, k), 1));
    let mut cycles = |k: usize, count| {
        let p = BootstrapParameters { glwe_dimension: GlweDimension(k), ..toy(n, 23, 1) };
        bench[k - 1].check(&p, count, 1, 100, 5).total
    };
    // A stage more in `Multiply` shows once, when the pipe runs empty.
    assert_eq!(cycles(2, 8), cycles(1, 8) + 1);
    // Six words of key come in the beats of six ciphertexts: four wait.
    let bound = 6 * beats * n as u64;
    assert!((bound..bound + 8 * beats).contains(&cycles(2, 4)));
}

/// Cycles of batches, measured: a change is a decision, so it shows in review.
const BASELINE: &str = include_str!("rotation_cycles.txt");

/// Measures every line of the baseline for some numbers of lanes, on random amounts from a fixed seed.
fn check_baseline(degree: usize, lanes: &[usize]) {
    let parse = |line: &str| -> Vec<usize> { line.split(' ').map(|x| x.parse().unwrap()).collect() };
    let (mut measured, mut committed) = (String::new(), String::new());
    let mut bench: Option<Bench> = None;
    for line in BASELINE.lines().filter(|l| !l.starts_with('#')) {
        let [l, n, dimension, count] = parse(line)[..4] else { panic!("`{line}`: four numbers and the cycles") };
        if n != degree || !lanes.contains(&l) {
            continue;
        }
        if bench.as_ref().is_none_or(|b| b.shape.lanes != l) {
            bench = Some(Bench::new(Shape::new(l, n, 1), 1));
        }
        let set = if degree == 256 { TOY_INSECURE } else { params::CPU_KS_PBS_TUNIFORM_2M128 };
        let p = BootstrapParameters { lwe_dimension: LweDimension(dimension), ..set.bootstrap };
        let cycles = bench.as_mut().unwrap().check(&p, count, 1, 100, 5);
        measured += &format!("{l} {n} {dimension} {count} {}\n", cycles.total);
        committed += &format!("{line}\n");
    }
    assert!(!measured.is_empty(), "the baseline has no line for N = {degree}, L in {lanes:?}");
    assert_eq!(measured, committed, "if the change is meant, bring sim/tests/rtl/rotation_cycles.txt up to date");
}

#[test]
fn rotation_toy_cycles_equal_the_committed_baseline() {
    check_baseline(256, &[8]);
}
