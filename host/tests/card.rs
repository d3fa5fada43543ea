//! The engine on a card in software: same bits as the golden model, and the CPU when the card fails. One test also runs
//! on a card that the environment names: `GLOVEBOX_CARD=vfio:0000:01:00.0 cargo test -p glovebox --test card`.

use glovebox::client::ClientKey;
use glovebox::cpu::Luts;
use glovebox::driver::model::{Fault, ModelConfig, SoftwareCard};
use glovebox::driver::vfio_user::server::CardServer;
use glovebox::evaluation::EvaluationKeys;
use glovebox::golden::lut::Lut;
use glovebox::golden::params::{self, DecompositionLevelCount, ParameterSet, RingDegree};
use glovebox::{Batch, Device, Engine, Error};
use std::sync::Arc;

struct Fixture {
    _folder: tempfile::TempDir,
    _server: CardServer,
    card: Arc<SoftwareCard>,
    device: Device,
    client: ClientKey,
    keys: EvaluationKeys,
}

fn fixture(set: ParameterSet, degree_log2: u32) -> Fixture {
    fixture_on(set, ModelConfig { degree_log2, ..ModelConfig::default() })
}

fn fixture_on(set: ParameterSet, config: ModelConfig) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.sock");
    let card = Arc::new(SoftwareCard::new(config).unwrap());
    let server = CardServer::start(&path, card.clone()).unwrap();
    let client = ClientKey::generate_insecure_from_seed(set, 21).unwrap();
    let keys = client.evaluation_keys().unwrap();
    Fixture { _folder: folder, _server: server, card, device: Device::VfioUser(path), client, keys }
}

#[test]
fn card_engine_equals_golden_for_single_and_several_tables_and_extractions() {
    let mut two_levels = params::TOY_INSECURE;
    two_levels.bootstrap.pbs_base_log.0 = 10;
    two_levels.bootstrap.pbs_level = DecompositionLevelCount(2);
    let mut k2 = params::TOY_K2_L3_INSECURE;
    k2.bootstrap.ring_degree = RingDegree(256);
    for set in [params::TOY_INSECURE, two_levels, k2] {
        let f = fixture(set, 8);
        let inputs = f.client.encrypt(&[0, 3, 9, 15, 7]).unwrap();
        let tables: Vec<u64> =
            (0..5).flat_map(|i| Lut::from_fn(&set, |x| (x + i) % 16).unwrap().ciphertext().words().to_vec()).collect();
        let one = &tables[..set.bootstrap.glwe_len()];
        let card = Engine::open(&f.device, &f.keys).unwrap();
        let golden = Engine::open(&Device::Golden, &f.keys).unwrap();
        for (luts, extract) in [(Luts::One(one), &[0][..]), (Luts::Each(&tables), &[0, 128, 255])] {
            let batch = Batch { inputs: &inputs, luts, extract };
            assert_eq!(card.bootstrap(&batch).unwrap(), golden.bootstrap(&batch).unwrap(), "{}", set.name);
        }
        let stats = card.stats();
        assert_eq!((stats.bootstraps, stats.fallbacks), (10, 0));
        // No mask element of these batches is 0 for all of a batch, so every step needs both transforms.
        assert!(stats.card.commands > 0 && stats.card.transforms > 0 && stats.card.cycles > 0, "{stats:?}");
    }
}

#[test]
fn a_failing_card_is_replaced_by_the_cpu_with_the_same_bits() {
    let set = params::TOY_INSECURE;
    let lut = Lut::from_fn(&set, |x| 15 - x).unwrap();
    let f = fixture(set, 8);
    let inputs = f.client.encrypt(&[1, 2, 3]).unwrap();
    let batch = Batch { inputs: &inputs, luts: Luts::One(lut.ciphertext().words()), extract: &[0] };
    let golden = Engine::open(&Device::Golden, &f.keys).unwrap().bootstrap(&batch).unwrap();
    let card = Engine::open(&f.device, &f.keys).unwrap();
    f.card.inject(Fault::GarbageCompletion);
    assert_eq!(card.bootstrap(&batch).unwrap(), golden);
    let after_fault = card.stats();
    assert_eq!((after_fault.bootstraps, after_fault.fallbacks), (3, 3));
    f.card.inject(Fault::Unplug);
    assert_eq!(card.bootstrap(&batch).unwrap(), golden);
    assert_eq!(card.stats().fallbacks, 6);
}

#[test]
fn cards_that_cannot_serve_are_refused_with_a_reason() {
    let f = fixture(params::TOY_INSECURE, 9);
    let message = Engine::open(&f.device, &f.keys).unwrap_err().to_string();
    assert!(message.contains("N = 512") && message.contains("N = 256"), "{message}");

    let nobody = Device::VfioUser("/nonexistent/card.sock".into());
    let message = Engine::open(&nobody, &f.keys).unwrap_err().to_string();
    assert!(message.contains("/nonexistent/card.sock"), "{message}");
    assert!(matches!(Engine::open(&Device::Sim, &f.keys), Err(Error::Device { .. })));
}

#[test]
fn batches_that_do_not_fit_are_refused_by_every_device() {
    let f = fixture(params::TOY_INSECURE, 8);
    let big = 257;
    let lut = vec![0; 512];
    for device in [Device::Cpu, Device::Golden, f.device.clone()] {
        let engine = Engine::open(&device, &f.keys).unwrap();
        let inputs = vec![0; 2 * big];
        let batch = |inputs, luts, extract| Batch { inputs, luts, extract };
        for bad in [
            batch(&inputs[1..], Luts::One(&lut), &[0][..]),
            batch(&inputs, Luts::One(&lut[1..]), &[0]),
            batch(&inputs, Luts::Each(&lut), &[0]),
            batch(&inputs, Luts::One(&lut), &[256]),
        ] {
            assert!(engine.bootstrap(&bad).is_err(), "{device}: {bad:?}");
        }
        assert_eq!(engine.bootstrap(&batch(&[], Luts::One(&lut), &[0])).unwrap(), Vec::<u64>::new());
    }
}

#[test]
fn whole_bootstraps_of_k_2_run_on_a_card_of_k_2() {
    let mut set = params::TOY_K2_L3_INSECURE;
    set.bootstrap.ring_degree = RingDegree(256);
    let f = fixture_on(set, ModelConfig { glwe_dimension: 2, ..ModelConfig::default() });
    let inputs = f.client.encrypt(&[0, 3, 9, 15, 7]).unwrap();
    let lut = Lut::from_fn(&set, |x| 15 - x).unwrap();
    let batch = Batch { inputs: &inputs, luts: Luts::One(lut.ciphertext().words()), extract: &[0, 128] };
    let card = Engine::open(&f.device, &f.keys).unwrap();
    let golden = Engine::open(&Device::Golden, &f.keys).unwrap();
    assert_eq!(card.bootstrap(&batch).unwrap(), golden.bootstrap(&batch).unwrap());
    let stats = card.stats();
    assert!(stats.fallbacks == 0 && stats.card.transforms == 0 && stats.card.commands > 0, "{stats:?}");
}

/// Default parameters on the device named by `GLOVEBOX_CARD`; on a software card if none is.
#[test]
fn full_size_bootstrap_on_the_card_equals_golden() {
    let set = params::CPU_KS_PBS_TUNIFORM_2M128;
    let f = fixture(set, 11);
    let device = std::env::var("GLOVEBOX_CARD").map_or(f.device, |name| name.parse().unwrap());
    let lut = Lut::from_fn(&set, |x| (x * x + 1) % 16).unwrap();
    let inputs = f.client.encrypt(&[3]).unwrap();
    let batch = Batch { inputs: &inputs, luts: Luts::One(lut.ciphertext().words()), extract: &[0] };
    let golden = Engine::open(&Device::Golden, &f.keys).unwrap().bootstrap(&batch).unwrap();
    let card = Engine::open(&device, &f.keys).unwrap();
    let outputs = card.bootstrap(&batch).unwrap();
    assert!(outputs == golden, "{device} and golden differ");
    assert_eq!(f.client.decrypt(&outputs).unwrap(), [10]);
    let stats = card.stats();
    assert!(stats.fallbacks == 0 && stats.card.commands > 0, "{stats:?}");
}

#[test]
fn whole_bootstraps_run_on_the_card_alone_with_keys_uploaded_once() {
    let set = params::TOY_INSECURE;
    let f = fixture(set, 8);
    let functions: [&dyn Fn(u64) -> u64; 1] = [&|x| x];
    let lut = Lut::many_encoded(&set, &functions).unwrap();
    let inputs = f.client.encrypt(&[4, 5]).unwrap();
    let card = Engine::open(&f.device, &f.keys).unwrap();
    let golden = Engine::open(&Device::Golden, &f.keys).unwrap();
    let batch = Batch { inputs: &inputs, luts: Luts::One(lut.ciphertext().words()), extract: &[0, 128] };
    let expected = golden.bootstrap(&batch).unwrap();
    assert_eq!(card.bootstrap(&batch).unwrap(), expected);
    let first = card.stats().card;
    assert_eq!(first.transforms, 0, "{first:?}");
    assert_eq!(card.bootstrap(&batch).unwrap(), expected);
    // A table, a bootstrap, and the wipe of the first or second table.
    let second = card.stats().card;
    assert!(second.commands - first.commands <= 4 && second.transforms == 0, "{first:?} {second:?}");
}
