//! The CPU engine beside tfhe-rs and tfhe-ntt, one table.
//!
//! `cargo run --profile bench -p glovebox-benches --bin compare [ROUNDS [KERNEL]]`, with
//! `RUSTFLAGS="-C target-cpu=native"` for tfhe-rs at its best (the engine chooses its kernels at run time either way,
//! unless one is named). With `--no-default-features` and `RUSTFLAGS="-C target-cpu=x86-64-v3"` the peers use no
//! AVX-512 either. Every round runs each contender once, in turn; the table gives medians over the rounds. Rows of one
//! thread are in thread-CPU time, which leaves out time spent waiting for a processor. The last lines give the noise
//! that each contender's bootstrap leaves, with the same keys, ciphertexts and table. How two threads scale is given in
//! wall time, which counts only where both processors are free, and as half of the CPU time of both, which shows what
//! sharing caches and memory costs (the shares are equal).

#![allow(clippy::print_stdout)]

use glovebox::cpu::{CpuEngine, CpuKeys, Luts, Precision, kernels};
use glovebox_benches::peer::{Tfhe, TfheNtt};
use glovebox_benches::workload::{Samples, process_cpu_time, random_keys, random_words, thread_cpu_time};
use glovebox_golden::cipher::LweCiphertext;
use glovebox_golden::keys::{BootstrapKey, KeyswitchKey, SecretKeys};
use glovebox_golden::lut::Lut;
use glovebox_golden::params::ParameterSet;
use glovebox_golden::{field, noise, params};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::error::Error;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

const BATCHES: [usize; 2] = [16, 32];
const MOST: usize = 32;
/// Turns that the transforms take in a round: they are short, and their rows many.
const TRANSFORM_TURNS: usize = 5;

fn thread_time(work: impl FnOnce()) -> Duration {
    let start = thread_cpu_time();
    work();
    thread_cpu_time() - start
}

fn wall_time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = std::env::args().nth(1).map_or(Ok(11), |rounds| rounds.parse())?;
    let set = params::CPU_KS_PBS_TUNIFORM_2M128;
    let p = set.bootstrap;
    let (big, glwe, small) = (p.big_lwe_dimension().0 + 1, p.glwe_len(), p.lwe_dimension.0 + 1);
    let (ksk, bsk) = random_keys(&p, 1)?;
    let inputs = random_words(MOST * big, 3);
    let luts = random_words(MOST * glwe, 5);
    let (mut outputs, mut switched) = (vec![0; MOST * big], vec![0; MOST * small]);

    let kernel = std::env::args().nth(2).unwrap_or_else(|| kernels()[0].into());
    let one_thread = CpuEngine::with_kernel(Some(NonZeroUsize::MIN), &kernel)?;
    let two_threads = CpuEngine::with_kernel(NonZeroUsize::new(2), &kernel)?;
    println!("{}, one thread on {} kernels, {rounds} rounds", set.name, one_thread.kernel_name());
    let mut engines = Vec::new();
    for (name, precision) in [("exact", Precision::Exact), ("fast", Precision::Fast)] {
        let mut keys = None;
        let time = thread_time(|| keys = Some(CpuKeys::with_kernel(&p, &ksk, &bsk, precision, &kernel)));
        let keys = keys.ok_or("no keys")??;
        println!(
            "{name}: {} multiplication, bootstrapping key {:.0} MB, keyswitching key {:.0} MB, conversion {:.2} s",
            keys.multiplication_name(),
            keys.bootstrap_key_bytes() as f64 / 1e6,
            keys.keyswitch_key_bytes() as f64 / 1e6,
            time.as_secs_f64(),
        );
        engines.push((name, keys));
    }
    let mut tfhe = Tfhe::new(&p, ksk.words(), bsk.words(), MOST);
    tfhe.keyswitch(&inputs);

    let mut table = Samples::default();
    for _ in 0..rounds {
        let keyswitch = thread_time(|| tfhe.keyswitch(&inputs[..big]));
        let one = keyswitch + thread_time(|| tfhe.bootstrap_one(&luts[..glwe], &mut outputs[..big]));
        table.peer("keyswitch, one", keyswitch);
        for &(name, ref keys) in &engines {
            if name == "exact" {
                let time = thread_time(|| drop(one_thread.keyswitch(keys, &inputs[..big], &mut switched[..small])));
                table.ours("keyswitch, one", time);
            }
            let row = format!("{name}: keyswitch + bootstrap, one");
            table.peer(&row, one);
            let luts = Luts::One(&luts[..glwe]);
            let time =
                thread_time(|| drop(one_thread.bootstrap(keys, &inputs[..big], luts, &[0], &mut outputs[..big])));
            table.ours(&row, time);
        }
        for batch in BATCHES {
            let (inputs, luts) = (&inputs[..batch * big], &luts[..batch * glwe]);
            let outputs = &mut outputs[..batch * big];
            let each = batch as u32;
            let keyswitch = thread_time(|| tfhe.keyswitch(inputs)) / each;
            let all = keyswitch + thread_time(|| tfhe.bootstrap_batch(batch, luts, outputs)) / each;
            let row = format!("keyswitch, each of {batch}");
            table.peer(&row, keyswitch);
            for &(name, ref keys) in &engines {
                if name == "exact" {
                    let switched = &mut switched[..batch * small];
                    table.ours(&row, thread_time(|| drop(one_thread.keyswitch(keys, inputs, switched))) / each);
                }
                let row = format!("{name}: keyswitch + bootstrap, each of {batch}");
                table.peer(&row, all);
                let luts = Luts::Each(luts);
                let time = thread_time(|| drop(one_thread.bootstrap(keys, inputs, luts, &[0], outputs))) / each;
                table.ours(&row, time);
            }
        }
        for (name, keys) in &engines {
            let rows = ["wall", "CPU time a thread"].map(|clock| format!("{name}: {MOST} on 1 thread and 2, {clock}"));
            for (engine, threads) in [(&one_thread, 1), (&two_threads, 2)] {
                let cpu = process_cpu_time();
                let wall = wall_time(|| drop(engine.bootstrap(keys, &inputs, Luts::Each(&luts), &[0], &mut outputs)));
                let times = [wall, (process_cpu_time() - cpu) / threads];
                for (row, time) in rows.iter().zip(times) {
                    if threads == 2 { table.ours(row, time) } else { table.peer(row, time) }
                }
            }
        }
        for log2 in 8..=16 {
            let degree = 1usize << log2;
            let Some(peer) = TfheNtt::new(degree) else { continue };
            let mut x: Vec<u64> = random_words(degree, 7).into_iter().map(field::reduce).collect();
            let mut y = x.clone();
            let repeats = (1 << 18) / degree as u32;
            for (row, inverse) in [("forward", false), ("inverse", true)] {
                let row = format!("NTT {row}, N = {degree}");
                let mut by_peer = |repeats| {
                    for _ in 0..repeats {
                        if inverse { peer.inverse(black_box(&mut x)) } else { peer.forward(black_box(&mut x)) }
                    }
                };
                let mut by_us = |repeats| {
                    for _ in 0..repeats {
                        let x = black_box(&mut y);
                        drop(if inverse { one_thread.ntt_inverse(x) } else { one_thread.ntt_forward(x) });
                    }
                };
                for _ in 0..TRANSFORM_TURNS {
                    // Once ahead of the clock, so that nobody's tables come from memory.
                    by_peer(1);
                    table.peer(&row, thread_time(|| by_peer(repeats)) / repeats);
                    by_us(1);
                    table.ours(&row, thread_time(|| by_us(repeats)) / repeats);
                }
            }
        }
    }
    println!("{table}");
    compare_noise(&set, &one_thread)
}

/// Bootstraps whose noise is measured.
const NOISE_SAMPLES: usize = 2048;

/// Prints the noise of bootstraps by tfhe-rs and by the engine in both precisions: one sample, the constant coefficient,
/// from each.
fn compare_noise(set: &ParameterSet, engine: &CpuEngine) -> Result<(), Box<dyn Error>> {
    let p = set.bootstrap;
    let big = p.big_lwe_dimension().0 + 1;
    let mut rng = ChaCha20Rng::seed_from_u64(11);
    let secret = SecretKeys::generate(set, &mut rng)?;
    let bsk = BootstrapKey::generate(set, &secret, &mut rng)?;
    let ksk = KeyswitchKey::generate(set, &secret, &mut rng)?;
    let square = |x: u64| x * x % 16;
    let table = Lut::from_fn(set, square)?;
    let lut = table.ciphertext().words();
    let message = |index: usize| index as u64 % 16;
    let inputs: Vec<u64> = (0..NOISE_SAMPLES)
        .flat_map(|i| secret.big.encrypt(message(i) * set.delta(), set.glwe_noise, &mut rng).into_words())
        .collect();
    // The standard deviation of the error against the exact value.
    let deviation = |outputs: &[u64]| -> Result<f64, Box<dyn Error>> {
        let mut squares = 0.0;
        for (i, output) in outputs.chunks_exact(big).enumerate() {
            let phase = secret.big.phase(&LweCiphertext::from_words(output.to_vec()))?;
            squares += (phase.wrapping_sub(square(message(i)) * set.delta()).cast_signed() as f64).powi(2);
        }
        Ok((squares / NOISE_SAMPLES as f64).sqrt())
    };
    let mut outputs = vec![0; NOISE_SAMPLES * big];
    let mut peer = Tfhe::new(&p, ksk.words(), bsk.words(), 1);
    for (input, output) in inputs.chunks_exact(big).zip(outputs.chunks_exact_mut(big)) {
        peer.keyswitch(input);
        peer.bootstrap_one(lut, output);
    }
    println!(
        "output noise of {NOISE_SAMPLES} bootstraps with the same keys, log2 of the standard deviation on 64 bits"
    );
    println!("{:<46} {:>12.2}", "predicted for exact products", noise::bootstrap_variance(set).sqrt().log2());
    println!("{:<46} {:>12.2}", "tfhe-rs", deviation(&outputs)?.log2());
    for (name, precision) in [("exact", Precision::Exact), ("fast", Precision::Fast)] {
        let keys = CpuKeys::with_kernel(&p, &ksk, &bsk, precision, engine.kernel_name())?;
        engine.bootstrap(&keys, &inputs, Luts::One(lut), &[0], &mut outputs)?;
        println!("{name:<46} {:>12.2}", deviation(&outputs)?.log2());
    }
    Ok(())
}
