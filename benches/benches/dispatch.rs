//! The card engine with a card in software behind a socket: what the driver adds to a command, and transforms and bootstraps
//! through it. The simulated card's speed is counted in cycles instead: see `sim/tests/card/cycle_baseline.txt`.
//!
//! `cargo bench -p glovebox-benches --bench dispatch`; elements are commands, words and bootstraps.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use glovebox::client::ClientKey;
use glovebox::cpu::Luts;
use glovebox::driver::model::{ModelConfig, SoftwareCard};
use glovebox::driver::vfio_user::server::CardServer;
use glovebox::driver::{Command, Device, DeviceAddress};
use glovebox::golden::{lut::Lut, params};
use glovebox::{Batch, Engine};
use std::sync::Arc;

fn dispatch(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let card = Arc::new(SoftwareCard::new(ModelConfig::default()).expect("the default card"));
    let server = CardServer::start(&folder.path().join("card.sock"), card).expect("a socket in that folder");
    let device = Device::open(&server.address()).expect("the card that was just started");
    let mut group = c.benchmark_group("empty commands over a socket");
    for batch in [1, 16, 128] {
        group.throughput(Throughput::Elements(batch));
        let commands = vec![Command::Nop; batch as usize];
        group.bench_with_input(BenchmarkId::new("batch", batch), &commands, |b, commands| {
            b.iter(|| {
                for ticket in device.submit(0, commands).expect("room in the ring") {
                    ticket.wait().expect("a card that works");
                }
            });
        });
    }
}

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

criterion_group!(benches, dispatch, card);
criterion_main!(benches);
