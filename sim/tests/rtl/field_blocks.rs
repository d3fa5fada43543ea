//! The arithmetic blocks in Verilator against golden's field.

use crate::common::{EDGES, Values};
use glovebox_golden::field::{self, P};
use glovebox_hdl::field::limbs::{LIMB, LIMB_MAX};
use glovebox_hdl::field::{Canonical, ModAdd, ModMul, ModShift, ModSub};
use glovebox_hdl::ntt::Butterflies;
use glovebox_hdl::{BENCH_SHIFTS, Design};
use glovebox_sim::verilator::{Build, Model, Port};

struct Bench {
    model: Model,
    a: Port,
    b: Port,
    limb: [Port; 3],
}

impl Bench {
    fn new(seed: u64) -> Self {
        let design = Design::new("field", 1, 0).unwrap();
        let model = Build::new(&design.top, &design.verilog().unwrap()).load(seed).unwrap();
        let port = |name: &str| model.port(name).unwrap();
        let (a, b, limb) = (port("a"), port("b"), [0, 1, 2].map(|i| port(&format!("limb_{i}"))));
        Self { model, a, b, limb }
    }

    /// Streams operand pairs, one a cycle, and compares an output `latency` cycles later.
    fn check(&mut self, output: &str, latency: usize, pairs: &[(u64, u64)], expected: impl Fn(u64, u64) -> u64) {
        let q = self.model.port(output).unwrap();
        for t in 0..pairs.len() + latency {
            if let Some(&(a, b)) = pairs.get(t) {
                self.model.set(self.a, a);
                self.model.set(self.b, b);
            }
            // A pair is sampled by tick t; its result is visible after `latency` ticks.
            self.model.tick().unwrap();
            if let Some(&(a, b)) = (t + 1).checked_sub(latency).and_then(|i| pairs.get(i)) {
                assert_eq!(self.model.get(q), expected(a, b), "{output} of {a:#x}, {b:#x}");
            }
        }
    }
}

fn edge_pairs() -> Vec<(u64, u64)> {
    EDGES.iter().flat_map(|&a| EDGES.map(|b| (a, b))).collect()
}

fn random_pairs(seed: u64, count: usize) -> Vec<(u64, u64)> {
    let mut values = Values::new(seed);
    (0..count).map(|_| (values.residue(), values.residue())).collect()
}

#[test]
fn mod_add_edges_and_random_equal_golden() {
    let mut bench = Bench::new(1);
    bench.check("sum", ModAdd::LATENCY, &edge_pairs(), field::add);
    bench.check("sum", ModAdd::LATENCY, &random_pairs(0xADD, 20_000), field::add);
}

#[test]
fn mod_sub_edges_and_random_equal_golden() {
    let mut bench = Bench::new(2);
    bench.check("difference", ModSub::LATENCY, &edge_pairs(), field::sub);
    bench.check("difference", ModSub::LATENCY, &random_pairs(0x50B, 20_000), field::sub);
}

#[test]
fn mod_mul_edges_and_random_equal_golden() {
    let mut bench = Bench::new(3);
    bench.check("product", ModMul::LATENCY, &edge_pairs(), field::mul);
    bench.check("product", ModMul::LATENCY, &random_pairs(0x303, 50_000), field::mul);
}

#[test]
fn mod_mul_words_above_the_modulus_are_reduced() {
    let above = [P, P + 1, u64::MAX - 1, u64::MAX];
    let pairs: Vec<_> = above.iter().flat_map(|&a| above.iter().chain(&EDGES).map(move |&b| (a, b))).collect();
    Bench::new(4).check("product", ModMul::LATENCY, &pairs, field::mul);
}

#[test]
fn mod_shift_every_built_exponent_equals_golden() {
    let mut pairs = edge_pairs();
    pairs.extend(random_pairs(0x51F7, 2_000));
    for (i, exponent) in BENCH_SHIFTS.iter().enumerate() {
        let factor = field::pow(2, exponent.rem_euclid(192) as u64);
        let mut bench = Bench::new(i as u64 + 1);
        bench.check(&format!("shifted_{i}"), ModShift::LATENCY, &pairs, |a, _| field::mul(a, factor));
    }
}

#[test]
fn canonical_extreme_and_random_limbs_give_their_residue() {
    let (low, high) = (-LIMB_MAX - 1, LIMB_MAX);
    let near = |x: i128| [x - 1, x, x + 1];
    let mut limbs: Vec<i128> =
        [0, 1 << 32, -(1i128 << 32), 1 << 36, -(1i128 << 36)].into_iter().flat_map(near).collect();
    limbs.extend([low, low + 1, high - 1, high]);
    let mut triples: Vec<[i128; 3]> = vec![];
    for &x in &limbs {
        for &y in &limbs {
            triples.extend(limbs.iter().map(|&z| [x, y, z]));
        }
    }
    let mut values = Values::new(0xCA0);
    triples.extend((0..20_000).map(|_| [0; 3].map(|_: i32| i128::from(values.word() as i64 >> (64 - LIMB)))));
    let mut bench = Bench::new(5);
    let word = bench.model.port("word").unwrap();
    for t in 0..triples.len() + Canonical::LATENCY {
        if let Some(triple) = triples.get(t) {
            for (port, limb) in bench.limb.into_iter().zip(triple) {
                bench.model.set(port, *limb as u64);
            }
        }
        bench.model.tick().unwrap();
        if let Some(triple) = (t + 1).checked_sub(Canonical::LATENCY).and_then(|i| triples.get(i)) {
            let [x, y, z] = triple;
            let expected = (x + (y << 32) + (z << 64)).rem_euclid(i128::from(P)) as u64;
            assert_eq!(bench.model.get(word), expected, "{triple:?}");
        }
    }
}

/// The multiplier alone, in a form that a macro chooses.
fn check_multiplier(define: &str, seed: u64) {
    let design = Design::new("multiplier", 1, 0).unwrap();
    let text = format!("{define}\n{}", design.verilog().unwrap());
    let mut model = Build::new(&design.top, &text).load(seed).unwrap();
    let [a, b, q] = ["a_in", "b_in", "product_out"].map(|name| model.port(name).unwrap());
    let mut pairs = edge_pairs();
    let mut values = Values::new(seed);
    pairs.push((u64::MAX, u64::MAX));
    pairs.extend((0..20_000).map(|_| (values.word(), values.word())));
    for t in 0..pairs.len() + ModMul::LATENCY {
        if let Some(&(x, y)) = pairs.get(t) {
            model.set(a, x);
            model.set(b, y);
        }
        model.tick().unwrap();
        if let Some(&(x, y)) = (t + 1).checked_sub(ModMul::LATENCY).and_then(|i| pairs.get(i)) {
            assert_eq!(model.get(q), field::mul(x % P, y % P), "{x:#x} * {y:#x}");
        }
    }
}

#[test]
fn multiplier_of_16_bit_products_equals_golden() {
    check_multiplier("", 7);
}

#[test]
fn multiplier_of_dsp48_tiles_equals_golden() {
    check_multiplier("`define GLOVEBOX_DSP48", 8);
}

#[test]
fn butterflies_edges_and_random_equal_golden() {
    let design = Design::new("butterflies", 1, 0).unwrap();
    let mut model = Build::new(&design.top, &design.verilog().unwrap()).load(9).unwrap();
    let ports = |model: &Model, name: &str| [0, 1, 2, 3].map(|i| model.port(&format!("{name}_{i}")).unwrap());
    let [d, w, q] = ["d", "w", "q"].map(|name| ports(&model, name));
    let mut values = Values::new(0xB0F);
    let mut word = || if values.chance(10) { u64::MAX } else { values.residue() };
    let cases: Vec<[[u64; 4]; 2]> = (0..20_000).map(|_| [[0; 4]; 2].map(|side| side.map(|_: u64| word()))).collect();
    let root = field::pow(2, 48);
    for t in 0..cases.len() + Butterflies::LATENCY {
        if let Some([x, y]) = cases.get(t) {
            for i in 0..4 {
                model.set(d[i], x[i]);
                model.set(w[i], y[i]);
            }
        }
        model.tick().unwrap();
        if let Some([x, y]) = (t + 1).checked_sub(Butterflies::LATENCY).and_then(|i| cases.get(i)) {
            let [y0, y1, y2, y3] = [0, 1, 2, 3].map(|i| field::mul(x[i] % P, y[i] % P));
            let (even, odd) = (field::add(y0, y2), field::add(y1, y3));
            let (other_even, other_odd) = (field::sub(y0, y2), field::mul(root, field::sub(y1, y3)));
            let expected = [
                field::add(even, odd),
                field::sub(even, odd),
                field::add(other_even, other_odd),
                field::sub(other_even, other_odd),
            ];
            assert_eq!(q.map(|port| model.get(port)), expected, "{x:x?} {y:x?}");
        }
    }
}

#[test]
fn field_blocks_measured_latency_equals_the_stated_constant() {
    // A step from one operand pair to another must show after exactly LATENCY ticks, not one earlier.
    for (output, latency) in [
        ("sum", ModAdd::LATENCY),
        ("difference", ModSub::LATENCY),
        ("product", ModMul::LATENCY),
        ("shifted_1", ModShift::LATENCY),
    ] {
        let mut bench = Bench::new(6);
        let q = bench.model.port(output).unwrap();
        (0..20).for_each(|_| bench.model.tick().unwrap());
        let before = bench.model.get(q);
        bench.model.set(bench.a, 7);
        bench.model.set(bench.b, 5);
        let mut measured = 0;
        while bench.model.get(q) == before {
            bench.model.tick().unwrap();
            measured += 1;
            assert!(measured < 50, "{output} never changed");
        }
        assert_eq!(measured, latency, "{output}");
    }
}
