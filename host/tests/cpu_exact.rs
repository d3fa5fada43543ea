//! The CPU engine beside the golden model, word for word.

use glovebox::cpu::{CpuEngine, CpuKeys, Luts, Precision};
use glovebox_golden::cipher::{GlweCiphertext, LweCiphertext};
use glovebox_golden::keys::{BootstrapKey, KeyswitchKey};
use glovebox_golden::params::{
    self, BootstrapParameters, DecompositionBaseLog, DecompositionLevelCount, GlweDimension, LweDimension,
    ModulusSwitchKind, RingDegree,
};
use glovebox_golden::{Evaluator, bootstrap};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use std::num::NonZeroUsize;

fn words(count: usize, rng: &mut ChaCha20Rng) -> Vec<u64> {
    (0..count).map(|_| rng.next_u64()).collect()
}

/// Keys of random words: the arithmetic must agree on any, and these cost nothing to make.
fn random_keys(p: &BootstrapParameters, rng: &mut ChaCha20Rng) -> (KeyswitchKey, BootstrapKey) {
    let unit = 64 - p.ks_modulus_log2;
    let ksk = words(p.keyswitch_key_len(), rng).into_iter().map(|w| w >> unit << unit).collect();
    let bsk = words(p.bootstrap_key_len(), rng);
    (KeyswitchKey::from_words(p, ksk).unwrap(), BootstrapKey::from_words(p, bsk).unwrap())
}

fn engine(threads: usize) -> CpuEngine {
    CpuEngine::new(NonZeroUsize::new(threads))
}

fn small_sets() -> Vec<BootstrapParameters> {
    let toy = params::TOY_INSECURE.bootstrap;
    let mut sets = vec![toy, params::TOY_K2_L3_INSECURE.bootstrap];
    for (n, k, degree, base_log, level, ks_modulus_log2) in [
        (3, 1, 4, 10, 2, 64),
        (2, 8, 8, 7, 3, 32),
        (4, 3, 16, 32, 1, 21),
        (2, 1, 64, 1, 5, 64),
        (3, 2, 1024, 21, 3, 64),
        (1, 1, 8192, 16, 2, 64),
        (5, 1, 512, 31, 2, 40),
    ] {
        sets.push(BootstrapParameters {
            lwe_dimension: LweDimension(n),
            glwe_dimension: GlweDimension(k),
            ring_degree: RingDegree(degree),
            pbs_base_log: DecompositionBaseLog(base_log),
            pbs_level: DecompositionLevelCount(level),
            ks_modulus_log2,
            modulus_switch: if n % 2 == 0 { ModulusSwitchKind::Standard } else { ModulusSwitchKind::CenteredMean },
            ..toy
        });
    }
    sets
}

/// Golden's outputs for a batch, flat.
fn golden_batch(
    p: &BootstrapParameters,
    keys: (&KeyswitchKey, &BootstrapKey),
    inputs: &[u64],
    luts: &[u64],
    extract: &[usize],
) -> Vec<u64> {
    let evaluator = Evaluator::new(*p, keys.0.clone(), keys.1).unwrap();
    let mut outputs = Vec::new();
    for (input, lut) in inputs.chunks(p.big_lwe_dimension().0 + 1).zip(luts.chunks(p.glwe_len()).cycle()) {
        let small = evaluator.keyswitch(&LweCiphertext::from_words(input.to_vec())).unwrap();
        let turned =
            evaluator.blind_rotation(&GlweCiphertext::from_words(lut.to_vec(), p.ring_degree.0), &small).unwrap();
        for &index in extract {
            outputs.extend(bootstrap::sample_extract(&turned, index).unwrap().into_words());
        }
    }
    outputs
}

#[test]
fn small_sets_bootstrap_every_word_equals_golden_whatever_the_batch_and_threads() {
    let mut rng = ChaCha20Rng::seed_from_u64(11);
    for p in small_sets() {
        let (ksk, bsk) = random_keys(&p, &mut rng);
        let keys = CpuKeys::new(&p, &ksk, &bsk, Precision::Exact).unwrap();
        let big = p.big_lwe_dimension().0 + 1;
        let extract = [0, p.ring_degree.0 / 2, p.ring_degree.0 - 1];
        let count = 11;
        let inputs = words(count * big, &mut rng);
        let luts = words(count * p.glwe_len(), &mut rng);
        let golden = golden_batch(&p, (&ksk, &bsk), &inputs, &luts, &extract);
        for (batch, threads) in [(1, 1), (2, 2), (3, 1), (11, 1), (11, 2), (11, 3), (1, 2)] {
            let engine = engine(threads);
            let mut outputs = vec![0; extract.len() * count * big];
            let batches = inputs.chunks(batch * big).zip(luts.chunks(batch * p.glwe_len()));
            for ((inputs, luts), outputs) in batches.zip(outputs.chunks_mut(extract.len() * batch * big)) {
                engine.bootstrap(&keys, inputs, Luts::Each(luts), &extract, outputs).unwrap();
            }
            assert!(outputs == golden, "batch {batch}, {threads} threads, {p:?}");
        }
    }
}
