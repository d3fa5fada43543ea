//! Keys and ciphertexts made by tfhe; every stage of a bootstrap computed by both and compared word for word.

use glovebox_golden::cipher::LweCiphertext;
use glovebox_golden::keys::{BootstrapKey, KeyswitchKey, SecretKeys};
use glovebox_golden::lut::Lut;
use glovebox_golden::params::{
    self, DecompositionBaseLog, DecompositionLevelCount, ModulusSwitchKind, ParameterSet, RingDegree,
};
use glovebox_golden::sampling::NoiseDistribution;
use glovebox_golden::{Evaluator, bootstrap, torus};
use glovebox_tfhe_oracle::{Peer, SmallLwe, switch};
use rand_chacha::{ChaCha20Rng, rand_core::Rng, rand_core::SeedableRng};
use tfhe::core_crypto::prelude as tc;

/// Compares keyswitch, modulus switch, blind rotation and every extracted sample asked for, and decrypts under tfhe.
fn every_stage_is_equal(set: ParameterSet, seed: u128, messages: impl IntoIterator<Item = u64>) {
    let mut peer = Peer::new(set, seed).unwrap();
    let modulus = set.plaintext_modulus();
    let f = move |x: u64| (5 * x + 1) % modulus;
    let lut = peer.lut(f);
    let ours = Lut::from_fn(&set, f).unwrap();
    assert_eq!(ours.ciphertext().words(), lut.as_ref(), "{}: look-up table", set.name);

    for message in messages {
        let name = format!("{} message {message}", set.name);
        let input = peer.encrypt(message);
        let golden_input = LweCiphertext::from_words(input.as_ref().to_vec());

        let small = peer.keyswitch(&input);
        let golden_small = peer.golden.keyswitch(&golden_input).unwrap();
        assert_eq!(golden_small.words(), small.golden_words(), "{name}: keyswitch");

        let switched = peer.modulus_switch(&small);
        assert_eq!(torus::modulus_switch(golden_small.words(), &set.bootstrap), switched, "{name}: modulus switch");

        let turned = peer.blind_rotation(&small, lut.clone());
        let golden_turned = peer.golden.blind_rotation(ours.ciphertext(), &golden_small).unwrap();
        assert_eq!(golden_turned.words(), turned.as_ref(), "{name}: blind rotation");

        let degree = set.bootstrap.ring_degree.0;
        for index in [0, 1, degree / 2, degree - 1] {
            let golden = bootstrap::sample_extract(&golden_turned, index).unwrap();
            assert_eq!(golden.words(), peer.sample_extract(&turned, index), "{name}: extraction at {index}");
        }

        let output = peer.golden.bootstrap(&golden_input, ours.ciphertext()).unwrap();
        assert_eq!(output.words(), peer.sample_extract(&turned, 0), "{name}: output");
        assert_eq!(peer.decrypt(output.words()), f(message), "{name}: decryption under tfhe");
    }
}

#[test]
fn default_set_full_size_is_bit_exact() {
    every_stage_is_equal(params::CPU_KS_PBS_TUNIFORM_2M128, 1, [0, 3, 9, 15]);
}

#[test]
fn ks32_set_full_size_is_bit_exact() {
    every_stage_is_equal(params::CPU_KS32_PBS_TUNIFORM_2M128, 2, [6, 11]);
}

#[test]
fn hpu_sets_full_size_are_bit_exact() {
    every_stage_is_equal(params::HPU_KS32_PBS_TUNIFORM_2M128, 3, [2]);
    every_stage_is_equal(params::HPU_KS32_PBS_TUNIFORM_2M64, 4, [14]);
}

#[test]
fn fpga_comparison_set_full_size_is_bit_exact() {
    every_stage_is_equal(params::FPGA_COMPARISON_N630_INSECURE, 5, [0, 1]);
}

#[test]
fn toy_sets_are_bit_exact() {
    for seed in 0..4 {
        every_stage_is_equal(params::TOY_INSECURE, 10 + seed, 0..16);
        every_stage_is_equal(params::TOY_K2_L3_INSECURE, 20 + seed, 0..16);
    }
}

#[test]
fn k2_l3_at_full_ring_degree_is_bit_exact() {
    let mut set = params::TOY_K2_L3_INSECURE;
    set.name = "k = 2, l = 3, N = 2048";
    set.bootstrap.ring_degree = RingDegree(2048);
    set.bootstrap.modulus_switch = ModulusSwitchKind::CenteredMean;
    every_stage_is_equal(set, 30, [1, 12]);
}

#[test]
fn odd_decompositions_are_bit_exact() {
    for (base_log, level, ks_base_log, ks_level) in [(1, 30, 1, 20), (10, 4, 7, 3), (32, 1, 13, 2), (15, 2, 5, 5)] {
        let mut set = params::TOY_INSECURE;
        set.name = "odd decomposition";
        set.bootstrap.pbs_base_log = DecompositionBaseLog(base_log);
        set.bootstrap.pbs_level = DecompositionLevelCount(level);
        set.bootstrap.ks_base_log = DecompositionBaseLog(ks_base_log);
        set.bootstrap.ks_level = DecompositionLevelCount(ks_level);
        set.glwe_noise = NoiseDistribution::TUniform { bound_log2: 2 };
        every_stage_is_equal(set, u128::from(base_log), [3, 8]);
    }
}

/// tfhe decrypts what the golden model made alone: keys, encryption, bootstrap.
#[test]
fn golden_keys_and_ciphertexts_decrypt_under_tfhe() {
    let set = params::CPU_KS_PBS_TUNIFORM_2M128;
    let mut rng = ChaCha20Rng::seed_from_u64(40);
    let secret = SecretKeys::generate(&set, &mut rng).unwrap();
    let bsk = BootstrapKey::generate(&set, &secret, &mut rng).unwrap();
    let ksk = KeyswitchKey::generate(&set, &secret, &mut rng).unwrap();
    let evaluator = Evaluator::new(set.bootstrap, ksk, &bsk).unwrap();
    let lut = Lut::from_fn(&set, |x| (x + 7) % 16).unwrap();
    let input = secret.big.encrypt(4 * set.delta(), set.glwe_noise, &mut rng);
    let output = evaluator.bootstrap(&input, lut.ciphertext()).unwrap();

    let key = tc::LweSecretKey::from_container(secret.big.bits().to_vec());
    for (ciphertext, expected) in [(&input, 4), (&output, 11)] {
        let ct = tc::LweCiphertext::from_container(ciphertext.words(), tc::CiphertextModulus::<u64>::new_native());
        assert_eq!(glovebox_golden::decode(&set, tc::decrypt_lwe_ciphertext(&key, &ct).0), expected);
    }
}

#[test]
fn modulus_switches_are_equal_on_random_and_tied_words() {
    let mut rng = ChaCha20Rng::seed_from_u64(50);
    for (degree, dimension) in [(256usize, 10usize), (2048, 918)] {
        for kind in [ModulusSwitchKind::Standard, ModulusSwitchKind::CenteredMean] {
            for log2_modulus in [64, 32, 21] {
                let mut p = params::TOY_INSECURE.bootstrap;
                p.ring_degree = RingDegree(degree);
                p.lwe_dimension = params::LweDimension(dimension);
                p.modulus_switch = kind;
                p.ks_modulus_log2 = log2_modulus;
                for round in 0..500 {
                    // Every third ciphertext sits on or next to rounding ties.
                    let step = 1u64 << (63 - degree.trailing_zeros());
                    let word = |r: u64| {
                        let r = if round % 3 == 0 { (r & !(step - 1)) + step / 2 + (r & 3) - 1 } else { r };
                        (r >> (64 - log2_modulus)) << (64 - log2_modulus)
                    };
                    let words: Vec<u64> = (0..=dimension).map(|_| word(rng.next_u64())).collect();
                    let small = if log2_modulus == 64 {
                        SmallLwe::Words64(tc::LweCiphertext::from_container(
                            words.clone(),
                            tc::CiphertextModulus::new_native(),
                        ))
                    } else {
                        let words = words.iter().map(|w| (w >> 32) as u32).collect();
                        SmallLwe::Words32(tc::LweCiphertext::from_container(words, tc::CiphertextModulus::new_native()))
                    };
                    assert_eq!(
                        torus::modulus_switch(&words, &p),
                        switch(&small, kind, degree),
                        "{log2_modulus} {kind:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn decompositions_are_equal_on_random_words_and_ties() {
    let mut rng = ChaCha20Rng::seed_from_u64(60);
    for (base_log, level) in [(23, 1), (4, 4), (2, 8), (7, 3), (1, 62), (20, 3), (31, 2)] {
        let peer =
            tc::SignedDecomposer::<u64>::new(tc::DecompositionBaseLog(base_log), tc::DecompositionLevelCount(level));
        let ours = params::Decomposition {
            base_log: DecompositionBaseLog(base_log as u32),
            level: DecompositionLevelCount(level),
        };
        let lowest = 1u64 << (63 - base_log * level);
        for i in 0..20_000u64 {
            let r = rng.next_u64();
            let x = match i % 4 {
                0 => r,
                1 => (r & !(2 * lowest - 1)) + lowest + (r & 2) - 1, // around a rounding tie
                2 => (r & (0xFF << 56)) | (1 << 63),                 // around half of the whole range
                _ => [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, lowest, lowest.wrapping_neg()][(r % 7) as usize],
            };
            let theirs: Vec<i64> = peer.decompose(x).map(|term| term.value() as i64).collect();
            assert_eq!(torus::decompose(x, ours), theirs, "{x:#x} in base 2^{base_log}, {level} levels");
        }
    }
}
