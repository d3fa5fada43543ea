//! The lane blocks of the bootstrap in Verilator against golden.

use crate::common::{EDGES, Values};
use glovebox_golden::field::{self, P};
use glovebox_golden::params::{Decomposition, DecompositionBaseLog, DecompositionLevelCount};
use glovebox_golden::torus::decompose;
use glovebox_hdl::Design;
use glovebox_hdl::bootstrap::{Accumulate, BENCH_LANES, Decompose, Multiply, Rotate};
use glovebox_hdl::field::LIMB;
use glovebox_sim::verilator::{Build, Model, Port};

fn model(seed: u64) -> Model {
    let design = Design::new("bootstrap-lanes", 1, 0).unwrap();
    Build::new(&design.top, &design.verilog().unwrap()).load(seed).unwrap()
}

fn ports(model: &Model, name: &str, count: usize) -> Vec<Port> {
    (0..count).map(|i| model.port(&format!("{name}_{i}")).unwrap()).collect()
}

/// A limb of a port, sign-extended.
fn limb(model: &Model, port: Port) -> i128 {
    i128::from((model.get(port) << (64 - LIMB)) as i64 >> (64 - LIMB))
}

/// The residue of limbs.
fn residue(limbs: &[i128]) -> u64 {
    limbs.iter().rev().fold(0i128, |sum, l| ((sum << 32) + l).rem_euclid(i128::from(P))) as u64
}

/// Words around every rounding and tie of a gadget.
fn corner_words(base_log: u32, level: usize, values: &mut Values) -> Vec<u64> {
    let kept = base_log * level as u32;
    let unit = 1u64 << (64 - kept);
    let mut words = vec![0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, (1 << 63) + 1];
    for _ in 0..200 {
        // Digits at their extremes in every combination, then just around the half of the rounding.
        let mut word = 0u64;
        for i in 0..level as u32 {
            let half = 1u64 << (base_log - 1);
            let digit = [0, half - 1, half, half + 1, 2 * half - 1, values.word()][values.word() as usize % 6];
            word = word.wrapping_add((digit & (2 * half - 1)) << (64 - kept + i * base_log));
        }
        for off in [0, 1, unit / 2 - 1, unit / 2, unit / 2 + 1, unit.wrapping_sub(1)] {
            word = word.wrapping_add(if values.chance(50) { off } else { off.wrapping_neg() });
            words.push(word);
        }
    }
    words.extend((0..300).map(|_| values.word()));
    words
}

#[test]
fn decompose_every_gadget_and_tie_equals_golden() {
    let mut model = model(1);
    let port = |name: &str| model.port(name).unwrap();
    let (x, y, negate) = (port("x"), port("y"), port("negate"));
    let (base, levels, multi) = (port("base_log"), port("levels"), port("multi"));
    let (level, last, flip) = (port("level"), port("last"), port("flip"));
    let digit = ports(&model, "digit", 2);
    let mut values = Values::new(0xDEC);
    for (base_log, level_count) in [(23, 1), (1, 1), (32, 1), (15, 2), (18, 2), (1, 2), (7, 3), (12, 3), (1, 3), (2, 2)]
    {
        let gadget =
            Decomposition { base_log: DecompositionBaseLog(base_log), level: DecompositionLevelCount(level_count) };
        let latency = if level_count == 1 { Decompose::LATENCY } else { Decompose::LATENCY_MULTI };
        model.set(base, u64::from(base_log));
        model.set(levels, level_count as u64);
        model.set(multi, u64::from(level_count > 1));
        let words = corner_words(base_log, level_count, &mut values);
        for index in 0..level_count {
            model.set(level, index as u64);
            model.set(last, u64::from(index == level_count - 1));
            for flipped in [false, true] {
                model.set(flip, u64::from(flipped));
                (0..5).for_each(|_| model.tick().unwrap());
                let inputs: Vec<(u64, u64, bool)> = words
                    .iter()
                    .map(|&difference| {
                        let (y, negative) =
                            (values.word() & [u64::MAX, 0, 0xFFFF_FFFF][values.word() as usize % 3], values.chance(50));
                        let sum = difference.wrapping_add(y);
                        (if negative { sum.wrapping_neg() } else { sum }, y, negative)
                    })
                    .collect();
                for t in 0..inputs.len() + latency {
                    if let Some(&(a, b, negative)) = inputs.get(t) {
                        model.set(x, a);
                        model.set(y, b);
                        model.set(negate, u64::from(negative));
                    }
                    model.tick().unwrap();
                    if let Some(i) = (t + 1).checked_sub(latency).filter(|&i| i < inputs.len()) {
                        let expected = i128::from(decompose(words[i], gadget)[index])
                            << (64 - (level_count - index) * base_log as usize);
                        let expected = if flipped { -expected } else { expected };
                        let found = limb(&model, digit[0]) + (limb(&model, digit[1]) << 32);
                        assert_eq!(found, expected, "{:#x} {base_log} {level_count} digit {index} {flipped}", words[i]);
                    }
                }
            }
        }
    }
}

#[test]
fn accumulate_halves_overflows_and_random_words_equal_golden() {
    let mut model = model(2);
    let limbs = ports(&model, "limb", 3);
    let port = |name: &str| model.port(name).unwrap();
    let (old, subtract, keep, out) = (port("old"), port("subtract"), port("keep"), port("accumulated"));
    let mut values = Values::new(0xACC);
    let top = (1i128 << (LIMB - 1)) - 1;
    let mut cases: Vec<([i128; 3], u64, bool, bool)> = vec![];
    let near: Vec<i128> = [0, 1 << 31, 1 << 32, -(1 << 31), -(1 << 32), 3 << 31]
        .into_iter()
        .flat_map(|x: i128| (-3..4).map(move |d| x + d))
        .chain([top, -top - 1])
        .collect();
    for &a in &near {
        for &b in &near {
            let c = near[values.word() as usize % near.len()];
            for c in [0, c] {
                cases.push(([a, b, c], values.word(), values.chance(50), false));
            }
        }
    }
    for &e in &EDGES {
        for d in -3i128..4 {
            // Canonical words around every edge, with halves of the switch, and the same with p added or taken away.
            for half in [0, 1 << 31] {
                let y = i128::from(e) + d + half;
                for y in [y, y - i128::from(P), y + i128::from(P)] {
                    cases.push(([y & 0xFFFF_FFFF, y >> 32, 0], values.word(), d & 1 == 0, false));
                }
            }
        }
    }
    for _ in 0..20_000 {
        let x = [0; 3].map(|_: i32| i128::from(values.word() as i64 >> (64 - LIMB)));
        cases.push((x, values.word(), values.chance(50), values.chance(10)));
    }
    let delay = Accumulate::OLD_AFTER;
    for t in 0..cases.len() + Accumulate::LATENCY {
        if let Some((x, ..)) = cases.get(t) {
            limbs.iter().zip(x).for_each(|(&port, &v)| model.set(port, v as u64));
        }
        if let Some(&(_, before, minus, kept)) = t.checked_sub(delay).and_then(|i| cases.get(i)) {
            model.set(old, before);
            model.set(subtract, u64::from(minus));
            model.set(keep, u64::from(kept));
        }
        model.tick().unwrap();
        if let Some(&(x, before, minus, kept)) = (t + 1).checked_sub(Accumulate::LATENCY).and_then(|i| cases.get(i)) {
            let mut y = residue(&x);
            if minus {
                // As golden would see the same coefficient with the other sign.
                y = field::neg(y);
            }
            let expected = if kept { before } else { before.wrapping_add(field::to_torus(y)) };
            assert_eq!(model.get(out), expected, "{x:?} {before:#x} {minus} {kept}");
        }
    }
}

#[test]
fn multiply_random_and_extreme_points_equal_golden() {
    for (k, product) in [(1, "product"), (2, "product_2"), (3, "product_3")] {
        multiply_equals_golden(k + 1, product);
    }
}

/// The block for `rows` digits: q_c = sum over r of d_r b_rc + b_0c b_1c + b_2c b_3c + .. - x_c.
fn multiply_equals_golden(rows: usize, product: &str) {
    let mut model = model(3);
    let limbs = 3 * rows;
    let (digits, less, product) =
        (ports(&model, "limb", limbs), ports(&model, "less", limbs), ports(&model, product, limbs));
    let key = ports(&model, "key", rows * rows);
    let mut values = Values::new(0x3AC);
    let bound = 21i64 << 32;
    let cases: Vec<(Vec<i128>, Vec<u64>, Vec<i128>)> = (0..8000)
        .map(|_| {
            let mut digit = |_| match values.word() % 4 {
                0 => i128::from(bound),
                1 => i128::from(-bound),
                _ => i128::from(values.word() as i64 % bound),
            };
            let d = (0..limbs).map(&mut digit).collect();
            let mut word = |_| if values.chance(20) { u64::MAX } else { values.residue() };
            let key = (0..rows * rows).map(&mut word).collect();
            let x = (0..limbs).map(|_| i128::from(values.word() as i64 >> 31)).collect();
            (d, key, x)
        })
        .collect();
    let latency = Multiply::latency(rows);
    for t in 0..cases.len() + latency {
        if let Some((d, words, _)) = cases.get(t) {
            digits.iter().zip(d).for_each(|(&port, &v)| model.set(port, v as u64));
            key.iter().zip(words).for_each(|(&port, &v)| model.set(port, v));
        }
        if let Some((_, _, x)) = t.checked_sub(Multiply::x_after(rows)).and_then(|i| cases.get(i)) {
            less.iter().zip(x).for_each(|(&port, &v)| model.set(port, v as u64));
        }
        model.tick().unwrap();
        if let Some((d, words, x)) = (t + 1).checked_sub(latency).and_then(|i| cases.get(i)) {
            for column in 0..rows {
                let b: Vec<u64> = words[rows * column..][..rows].iter().map(|&word| field::reduce(word)).collect();
                let products = d.chunks_exact(3).zip(&b).map(|(digit, &b)| field::mul(residue(digit), b));
                let pairs = b.chunks_exact(2).map(|pair| field::mul(pair[0], pair[1]));
                let sum = products.chain(pairs).fold(0, field::add);
                let expected = field::sub(sum, residue(&x[3 * column..][..3]));
                let found: Vec<i128> = (0..3).map(|k| limb(&model, product[3 * column + k])).collect();
                assert_eq!(residue(&found), expected, "{d:?} {words:x?} {x:?}");
                assert!(found.iter().all(|l| l.abs() <= Multiply::bound(rows).magnitude()));
            }
        }
    }
}

#[test]
fn rotate_every_amount_moves_every_lane() {
    let mut model = model(4);
    let (beat, turned) = (ports(&model, "beat", BENCH_LANES), ports(&model, "turned", BENCH_LANES));
    let amount = model.port("amount").unwrap();
    let latency = Rotate::latency(BENCH_LANES);
    let mut values = Values::new(0x907);
    let cases: Vec<(usize, Vec<u64>)> =
        (0..200).map(|i| (i * 7 % BENCH_LANES, (0..BENCH_LANES).map(|_| values.word()).collect())).collect();
    for t in 0..cases.len() + latency {
        if let Some((by, words)) = cases.get(t) {
            model.set(amount, *by as u64);
            beat.iter().zip(words).for_each(|(&port, &v)| model.set(port, v));
        }
        model.tick().unwrap();
        if let Some((by, words)) = (t + 1).checked_sub(latency).and_then(|i| cases.get(i)) {
            for (lane, &port) in turned.iter().enumerate() {
                assert_eq!(model.get(port), words[(lane + BENCH_LANES - by) % BENCH_LANES], "lane {lane} by {by}");
            }
        }
    }
}
