//! The engine in Verilator against golden: whole batches, every word, any idle and back-pressure.

use crate::common::Values;
use glovebox_driver::bootstrap::card_bootstrap_key;
use glovebox_golden::bootstrap::{blind_rotation, keyswitch, sample_extract};
use glovebox_golden::cipher::{GlweCiphertext, LweCiphertext};
use glovebox_golden::keys::{BootstrapKey, KeyswitchKey, NttBootstrapKey};
use glovebox_golden::params::{
    BootstrapParameters, DecompositionBaseLog, DecompositionLevelCount, GlweDimension, LweDimension, ModulusSwitchKind,
    TOY_INSECURE,
};
use glovebox_golden::torus::modulus_switch;
use glovebox_hdl::bootstrap::engine::COUNTERS;
use glovebox_hdl::bootstrap::{BootstrapEngine, Shape};
use glovebox_hdl::verilog::generate;
use glovebox_regmap::key_layout::{KeyswitchWord, stripe_keyswitch_key};
use glovebox_sim::verilator::{Build, Model, Port};

/// Keys of random words, as golden and as the engine read them.
pub(crate) struct Keys {
    p: BootstrapParameters,
    bsk: NttBootstrapKey,
    ksk: KeyswitchKey,
    bsk_words: Vec<u64>,
    ksk_words: Vec<u64>,
    form: KeyswitchWord,
}

impl Keys {
    pub(crate) fn random(p: &BootstrapParameters, shape: &Shape, seed: u64) -> Self {
        let mut values = Values::new(seed);
        let words = (0..p.bootstrap_key_len()).map(|_| values.word()).collect();
        let bsk = BootstrapKey::from_words(p, words).unwrap().to_ntt(p).unwrap();
        let unit = 64 - p.ks_modulus_log2;
        let words = (0..p.keyswitch_key_len()).map(|_| values.word() >> unit << unit).collect();
        let ksk = KeyswitchKey::from_words(p, words).unwrap();
        let form = KeyswitchWord::for_modulus_log2(p.ks_modulus_log2);
        let bsk_words = card_bootstrap_key(p, &bsk, shape.lanes as u32).unwrap();
        let ksk_words = stripe_keyswitch_key(ksk.words(), p.lwe_dimension.0 + 1, shape.columns, form);
        Self { p: *p, bsk, ksk, bsk_words, ksk_words, form }
    }
}

/// One command with its data.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) keyswitch: bool,
    pub(crate) bootstrap: bool,
    pub(crate) inputs: Vec<LweCiphertext>,
    pub(crate) lut: usize,
    pub(crate) lut_each: bool,
    pub(crate) functions: usize,
}

impl Batch {
    pub(crate) fn random(keys: &Keys, count: usize, seed: u64) -> Self {
        let mut batch =
            Self { keyswitch: true, bootstrap: true, inputs: vec![], lut: 0, lut_each: false, functions: 1 };
        batch.fill(keys, count, seed);
        batch
    }

    /// Random inputs of the length that the command takes.
    pub(crate) fn fill(&mut self, keys: &Keys, count: usize, seed: u64) {
        let mut values = Values::new(seed);
        let p = &keys.p;
        let len = if self.keyswitch { p.big_lwe_dimension().0 } else { p.lwe_dimension.0 } + 1;
        let unit = if self.keyswitch { 0 } else { 64 - p.ks_modulus_log2 };
        self.inputs = (0..count)
            .map(|_| LweCiphertext::from_words((0..len).map(|_| values.word() >> unit << unit).collect()))
            .collect();
    }

    fn stride(&self, degree: usize) -> usize {
        degree / self.functions.next_power_of_two()
    }

    fn expected(&self, keys: &Keys, tables: &[Vec<u64>]) -> Vec<u64> {
        let mut out = vec![];
        for (i, input) in self.inputs.iter().enumerate() {
            let small = if self.keyswitch { keyswitch(&keys.p, &keys.ksk, input).unwrap() } else { input.clone() };
            if !self.bootstrap {
                out.extend_from_slice(small.words());
                continue;
            }
            let switched = modulus_switch(small.words(), &keys.p);
            let table = &tables[self.lut + if self.lut_each { i } else { 0 }];
            let turned =
                blind_rotation(&keys.p, &keys.bsk, &GlweCiphertext::trivial(keys.p.glwe_dimension.0, table), &switched)
                    .unwrap();
            for f in 0..self.functions {
                out.extend(sample_extract(&turned, f * self.stride(keys.p.ring_degree.0)).unwrap().into_words());
            }
        }
        out
    }
}

/// How often each party is willing, in percent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) words: u64,
    pub(crate) bsk: u64,
    pub(crate) ksk: u64,
    pub(crate) out: u64,
}

pub(crate) const FULL: Flow = Flow { words: 100, bsk: 100, ksk: 100, out: 100 };

/// One ready/valid stream into the model.
struct Source {
    data: Vec<Port>,
    valid: Port,
    ready: Port,
    sent: usize,
    offered: bool,
}

impl Source {
    fn new(model: &Model, name: &str, width: usize) -> Self {
        let port = |n: String| model.port(&n).unwrap();
        let data = if width == 0 {
            vec![port(format!("{name}_data"))]
        } else {
            (0..width).map(|i| port(format!("{name}_data_{i}"))).collect()
        };
        Self {
            data,
            valid: port(format!("{name}_valid")),
            ready: port(format!("{name}_ready")),
            sent: 0,
            offered: false,
        }
    }

    /// Offers the next beat, perhaps; says whether the coming tick takes it.
    fn offer(&mut self, model: &mut Model, words: &[u64], percent: u64, values: &mut Values) -> bool {
        if !self.offered && self.sent < words.len() && values.chance(percent) {
            self.offered = true;
            for (i, &port) in self.data.iter().enumerate() {
                model.set(port, words[self.sent + i]);
            }
        }
        model.set(self.valid, u64::from(self.offered));
        self.offered && model.get(self.ready) == 1
    }

    fn taken(&mut self) {
        self.sent += self.data.len();
        self.offered = false;
    }
}

/// When things happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    /// Each batch's last rotation, in cycles from the first command.
    pub(crate) rotated: Vec<u64>,
    /// Each batch's last word out.
    pub(crate) finished: Vec<u64>,
    pub(crate) counters: Vec<u64>,
}

pub(crate) struct Bench {
    pub(crate) shape: Shape,
    model: Model,
}

impl Bench {
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        let Shape { lanes, degree, glwe_dimension, depth, key_words, .. } = shape;
        let top = match glwe_dimension {
            1 => format!("glovebox_bootstrap_l{lanes}_n{degree}_d{depth}_k{key_words}"),
            k => format!("glovebox_bootstrap_l{lanes}_n{degree}_d{depth}_k{key_words}_glwe{k}"),
        };
        let text = generate(&top, "Glovebox: bootstrap engine.", move || BootstrapEngine::new(&shape)).unwrap();
        let mut model = Build::new(&top, &text).load(seed).unwrap();
        let reset = model.port("reset").unwrap();
        model.set(reset, 1);
        for _ in 0..shape.reset_cycles() {
            model.tick().unwrap();
        }
        model.set(reset, 0);
        Self { shape, model }
    }

    fn set(&mut self, name: &str, value: u64) {
        let port = self.model.port(name).unwrap();
        self.model.set(port, value);
    }

    /// Runs commands back to back and checks every word.
    pub(crate) fn check(
        &mut self,
        keys: &Keys,
        tables: &[Vec<u64>],
        batches: &[Batch],
        flow: Flow,
        seed: u64,
    ) -> Times {
        for (i, word) in tables.iter().flatten().enumerate() {
            self.set("table_address", i as u64);
            self.set("table_data", *word);
            self.set("table_write", 1);
            self.model.tick().unwrap();
        }
        self.set("table_write", 0);
        self.set("clear_counters", 1);
        self.model.tick().unwrap();
        self.set("clear_counters", 0);
        let mut values = Values::new(seed);
        let expected: Vec<Vec<u64>> = batches.iter().map(|b| b.expected(keys, tables)).collect();
        let words: Vec<u64> = batches.iter().flat_map(|b| b.inputs.iter().flat_map(|i| i.words().to_vec())).collect();
        let repeat = |key: &[u64], uses: fn(&Batch) -> bool| key.repeat(batches.iter().filter(|b| uses(b)).count());
        let bsk = repeat(&keys.bsk_words, |b| b.bootstrap);
        let ksk = repeat(&keys.ksk_words, |b| b.keyswitch);
        let mut source = Source::new(&self.model, "s", 0);
        let mut bsk_source = Source::new(&self.model, "bsk", self.shape.key_words);
        let mut ksk_source = Source::new(&self.model, "ksk", self.shape.columns);
        let [valid, ready, m_data, m_valid, m_ready, rotated] =
            ["command_valid", "command_ready", "m_data", "m_valid", "m_ready", "rotated"]
                .map(|n| self.model.port(n).unwrap());
        let begin = self.model.cycle();
        let mut times = Times::default();
        let (mut commands, mut set_up) = (0, false);
        let mut out: Vec<u64> = vec![];
        let mut held: Option<u64> = None;
        let slowest = [flow.words, flow.bsk, flow.ksk, flow.out].into_iter().min().unwrap();
        let steps =
            batches.iter().map(|b| b.inputs.len() * b.functions + 2).sum::<usize>() * (keys.p.lwe_dimension.0 + 8);
        let limit = (steps * (self.shape.turnaround() + 4 * self.shape.beats() * keys.p.pbs_level.0)
            + words.len() * 8
            + bsk.len()
            + 2 * ksk.len()
            + 100_000) as u64
            * 100
            / slowest;
        while times.finished.len() < batches.len() {
            let now = self.model.cycle() - begin;
            assert!(
                now < limit,
                "hangs: {commands} commands, {} words in, {} bsk, {} ksk, {} out, seed {seed}, {flow:?}",
                source.sent,
                bsk_source.sent,
                ksk_source.sent,
                out.len()
            );
            if commands < batches.len() && !set_up {
                set_up = true;
                let (b, p) = (&batches[commands], keys.p);
                for (name, value) in [
                    ("keyswitch", u64::from(b.keyswitch)),
                    ("bootstrap", u64::from(b.bootstrap)),
                    ("count", b.inputs.len() as u64),
                    ("dimension", p.lwe_dimension.0 as u64),
                    ("ks_base_log", u64::from(p.ks_base_log.0)),
                    ("ks_levels", p.ks_level.0 as u64),
                    ("ks_words_per_slot", keys.form.per_slot() as u64),
                    ("centred", u64::from(p.modulus_switch == ModulusSwitchKind::CenteredMean)),
                    ("base_log", u64::from(p.pbs_base_log.0)),
                    ("levels", p.pbs_level.0 as u64),
                    ("lut", b.lut as u64),
                    ("lut_each", u64::from(b.lut_each)),
                    ("functions", b.functions as u64),
                    ("stride", b.stride(self.shape.degree) as u64),
                ] {
                    self.set(name, value);
                }
            }
            self.model.set(valid, u64::from(set_up));
            let model = &mut self.model;
            let word_taken = source.offer(model, &words, flow.words, &mut values);
            let bsk_taken = bsk_source.offer(model, &bsk, flow.bsk, &mut values);
            let ksk_taken = ksk_source.offer(model, &ksk, flow.ksk, &mut values);
            let take = values.chance(flow.out);
            model.set(m_ready, u64::from(take));
            if model.get(m_valid) == 1 {
                let word = model.get(m_data);
                assert!(held.is_none_or(|h| h == word), "a stalled word changed, seed {seed}");
                held = Some(word).filter(|_| !take);
                if take {
                    let (i, at) = (times.finished.len(), out.len());
                    assert_eq!(
                        word,
                        expected[i][at],
                        "batch {i} of {}, word {at}, ciphertext length {}, {:?} {:?} {flow:?} seed {seed}",
                        batches.len(),
                        self.shape.big_dimension() + 1,
                        self.shape,
                        keys.p
                    );
                    out.push(word);
                    if out.len() == expected[i].len() {
                        out.clear();
                        times.finished.push(now);
                    }
                }
            } else {
                assert!(held.is_none(), "a stalled word was withdrawn, seed {seed}");
            }
            if model.get(rotated) == 1 {
                times.rotated.push(now);
            }
            let command_taken = set_up && model.get(ready) == 1;
            model.tick().unwrap();
            if command_taken {
                commands += 1;
                set_up = false;
            }
            if word_taken {
                source.taken();
            }
            if bsk_taken {
                bsk_source.taken();
            }
            if ksk_taken {
                ksk_source.taken();
            }
        }
        self.set("command_valid", 0);
        self.set("m_ready", 0);
        assert_eq!((bsk_source.sent, ksk_source.sent), (bsk.len(), ksk.len()), "keys are read exactly once a batch");
        let idle = self.model.port("idle").unwrap();
        for _ in 0..40 {
            self.model.tick().unwrap();
        }
        assert_eq!(self.model.get(idle), 1, "idle after the last word");
        times.counters =
            (0..COUNTERS).map(|i| self.model.get(self.model.port(&format!("counters_{i}")).unwrap())).collect();
        times
    }
}

pub(crate) fn random_tables(shape: &Shape, count: usize, seed: u64) -> Vec<Vec<u64>> {
    let mut values = Values::new(seed);
    (0..count).map(|_| (0..shape.degree).map(|_| values.word()).collect()).collect()
}

fn toy(n: usize) -> BootstrapParameters {
    BootstrapParameters { lwe_dimension: LweDimension(n), ..TOY_INSECURE.bootstrap }
}

#[test]
fn engine_toy_batches_of_every_kind_equal_golden() {
    let shape = Shape::new(8, 256, 1);
    let mut bench = Bench::new(shape, 1);
    let keys = Keys::random(&toy(10), &shape, 1);
    let tables = random_tables(&shape, 4, 2);
    let one = Batch::random(&keys, 1, 3);
    bench.check(&keys, &tables, std::slice::from_ref(&one), FULL, 1);
    // Full and partial batches back to back, tables of their own, several functions, either half alone.
    let many = Batch { functions: 3, lut: 1, ..Batch::random(&keys, 2, 4) };
    let each = Batch { lut_each: true, ..Batch::random(&keys, 4, 5) };
    let only_keyswitch = Batch { bootstrap: false, ..Batch::random(&keys, 3, 6) };
    let mut only_bootstrap = Batch { keyswitch: false, lut: 2, ..one.clone() };
    only_bootstrap.fill(&keys, 3, 7);
    let all = [many, each.clone(), only_keyswitch, only_bootstrap, one, each];
    bench.check(&keys, &tables, &all, FULL, 2);
    for (seed, words, bsk, ksk, out) in
        [(3, 50, 100, 100, 30), (4, 100, 30, 70, 100), (5, 30, 60, 20, 50), (6, 90, 90, 90, 5)]
    {
        let mut bench = Bench::new(shape, seed);
        bench.check(&keys, &tables, &all, Flow { words, bsk, ksk, out }, seed);
    }
}

#[test]
fn engine_toy_of_k_2_and_3_equals_golden() {
    for (k, l_1, l_3) in [(2, 6, 4), (3, 3, 2)] {
        let shape = Shape::new(8, 256, k);
        let tables = random_tables(&shape, 4, 2);
        let one_level = BootstrapParameters { glwe_dimension: GlweDimension(k), ..toy(l_1) };
        let three_levels = BootstrapParameters {
            glwe_dimension: GlweDimension(k),
            pbs_base_log: DecompositionBaseLog(7),
            pbs_level: DecompositionLevelCount(3),
            ks_base_log: DecompositionBaseLog(2),
            ks_level: DecompositionLevelCount(8),
            ks_modulus_log2: 21,
            modulus_switch: ModulusSwitchKind::Standard,
            ..toy(l_3)
        };
        for (seed, p, flow) in [
            (1, one_level, FULL),
            (2, three_levels, FULL),
            (3, one_level, Flow { words: 50, bsk: 60, ksk: 40, out: 30 }),
        ] {
            let mut bench = Bench::new(shape, seed);
            let keys = Keys::random(&p, &shape, seed);
            let one = Batch::random(&keys, 1, 3);
            let many = Batch { functions: 3, lut: 1, ..Batch::random(&keys, 2, 4) };
            let full = Batch { lut_each: true, ..Batch::random(&keys, 4, 5) };
            let only_keyswitch = Batch { bootstrap: false, ..Batch::random(&keys, 3, 6) };
            let mut only_bootstrap = Batch { keyswitch: false, lut: 2, ..one.clone() };
            only_bootstrap.fill(&keys, 3, 7);
            bench.check(&keys, &tables, &[one, many, full, only_keyswitch, only_bootstrap], flow, seed);
        }
    }
}

#[test]
fn engine_toy_every_parameter_equals_golden() {
    let shape = Shape::new(8, 256, 1);
    let mut bench = Bench::new(shape, 7);
    let tables = random_tables(&shape, 1, 8);
    let cases = [
        (9, 23, 1, 4, 4, 64, true),
        (8, 23, 1, 4, 4, 64, false),
        (7, 23, 1, 4, 4, 32, true),
        (10, 23, 1, 2, 8, 21, true),
        (6, 23, 1, 2, 7, 21, true),
        (5, 7, 3, 2, 8, 64, false),
        (4, 15, 2, 3, 5, 32, false),
        (1, 12, 3, 1, 8, 21, true),
        (11, 18, 2, 4, 8, 64, true),
        (3, 1, 1, 1, 1, 64, true),
    ];
    for (i, (n, base_log, level, ks_base_log, ks_level, ks_modulus_log2, centred)) in cases.into_iter().enumerate() {
        let p = BootstrapParameters {
            lwe_dimension: LweDimension(n),
            pbs_base_log: DecompositionBaseLog(base_log),
            pbs_level: DecompositionLevelCount(level),
            ks_base_log: DecompositionBaseLog(ks_base_log),
            ks_level: DecompositionLevelCount(ks_level),
            ks_modulus_log2,
            modulus_switch: if centred { ModulusSwitchKind::CenteredMean } else { ModulusSwitchKind::Standard },
            ..TOY_INSECURE.bootstrap
        };
        let keys = Keys::random(&p, &shape, i as u64);
        let batches = [Batch::random(&keys, 4, 9), Batch { bootstrap: false, ..Batch::random(&keys, 2, 10) }];
        bench.check(&keys, &tables, &batches, FULL, i as u64);
    }
}
