//! The card engine with a card in software behind a socket: transforms and bootstraps through it. The simulated card's speed
//! is counted in cycles instead: see `sim/tests/card/cycle_baseline.txt`. What the driver adds to a command:
//! `cargo bench -p glovebox-driver`.
//!
//! `cargo bench -p glovebox-benches --bench card`; elements are words and bootstraps.
#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use glovebox::client::ClientKey;
use glovebox::cpu::Luts;
use glovebox::driver::model::{ModelConfig, SoftwareCard};
use glovebox::driver::vfio_user::server::CardServer;
use glovebox::driver::{Device, DeviceAddress};
use glovebox::golden::{lut::Lut, params};
use glovebox::{Batch, Engine};
use std::sync::Arc;

fn card(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("card.sock");
    let software = Arc::new(SoftwareCard::new(ModelConfig::default()).expect("the default card"));
    let _server = CardServer::start(&path, software).expect("a socket in that folder");
    let mut group = c.benchmark_group("card in software, N = 256");

    let client = ClientKey::generate_insecure_from_seed(params::TOY_INSECURE, 1).expect("a toy key");
    let keys = client.evaluation_keys().expect("its keys");
    let inputs = client.encrypt(&[1, 2, 3, 4]).expect("ciphertexts");
    let lut = Lut::from_fn(&params::TOY_INSECURE, |x| x).expect("a table");
    let batch = Batch { inputs: &inputs, luts: Luts::One(lut.ciphertext().words()), extract: &[0] };
    let engine = Engine::open(&glovebox::Device::VfioUser(path.clone()), &keys).expect("the card");
    group.throughput(Throughput::Elements(4));
    group.bench_function("bootstrap of 4", |b| b.iter(|| engine.bootstrap(&batch)));
    drop(engine);

    let device = Device::open(&DeviceAddress::VfioUser(path)).expect("the card that was just started");
    let words = vec![1; 16 * device.parameters().degree()];
    group.throughput(Throughput::Elements(words.len() as u64));
    group.bench_function("forward transform of 16 polynomials", |b| b.iter(|| device.ntt(&words)));
}

criterion_group!(benches, card);
criterion_main!(benches);
