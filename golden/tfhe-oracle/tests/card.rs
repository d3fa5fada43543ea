//! Keys and ciphertexts made by tfhe through the whole card's RTL, every set at full size:
//! `cargo test --release -p glovebox-tfhe-oracle --test card`.
//!
//! Both memories stall at random. Every word of every result is compared with golden's (by the profiler) and with tfhe's
//! (here), and tfhe decrypts it.

use glovebox_golden::lut::Lut;
use glovebox_golden::params::{self, ParameterSet};
use glovebox_sim::card::Traffic;
use glovebox_sim::keys::CardKeys;
use glovebox_sim::profile::{Profiler, Workload};
use glovebox_tfhe_oracle::Peer;

const LANES: usize = 8;

fn card_equals_tfhe(set: ParameterSet, seed: u64, messages: &[u64]) {
    let mut peer = Peer::new(set, seed.into()).unwrap();
    let modulus = set.plaintext_modulus();
    let f = |x: u64| (3 * x + 2) % modulus;
    let lut = peer.lut(f);
    let body = Lut::from_fn(&set, f).unwrap().ciphertext().body().to_vec();
    let (bsk, ksk) = (peer.golden.bootstrap_key().clone(), peer.golden.keyswitch_key().clone());
    let keys = CardKeys::new(set.bootstrap, bsk, ksk, body, LANES).unwrap();
    let workload = Workload {
        lanes: LANES,
        keyswitch: true,
        memory: Traffic::random(seed),
        host: Traffic::random(seed + 100),
        seed,
    };
    let mut profiler = Profiler::with_keys(workload, keys, messages.len(), |_| {}).unwrap();
    let inputs: Vec<_> = messages.iter().map(|&message| peer.encrypt(message)).collect();
    let words: Vec<u64> = inputs.iter().flat_map(|input| input.as_ref().to_vec()).collect();
    let (_, results) = profiler.run_on(&words, u64::MAX, |_| {}).unwrap();
    let result_len = set.bootstrap.ring_degree.0 + 1;
    for ((&message, input), result) in messages.iter().zip(&inputs).zip(results.chunks_exact(result_len)) {
        let turned = peer.blind_rotation(&peer.keyswitch(input), lut.clone());
        assert_eq!(result, peer.sample_extract(&turned, 0), "{} message {message}", set.name);
        assert_eq!(peer.decrypt(result), f(message), "{} message {message}", set.name);
    }
}

#[test]
fn default_set_through_the_card_equals_tfhe() {
    card_equals_tfhe(params::CPU_KS_PBS_TUNIFORM_2M128, 1, &[0, 13]);
}

#[test]
fn ks32_set_through_the_card_equals_tfhe() {
    card_equals_tfhe(params::CPU_KS32_PBS_TUNIFORM_2M128, 2, &[7, 15]);
}

#[test]
fn hpu_sets_through_the_card_equal_tfhe() {
    card_equals_tfhe(params::HPU_KS32_PBS_TUNIFORM_2M128, 3, &[1, 6]);
    card_equals_tfhe(params::HPU_KS32_PBS_TUNIFORM_2M64, 4, &[9, 2]);
}

#[test]
fn fpga_comparison_set_through_the_card_equals_tfhe() {
    card_equals_tfhe(params::FPGA_COMPARISON_N630_INSECURE, 5, &[0, 1]);
}
