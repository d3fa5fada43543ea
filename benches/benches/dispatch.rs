//! What the driver adds to a command: empty commands through a socket to the card in software.
//!
//! `cargo bench -p glovebox-benches --bench dispatch`; elements are commands.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use glovebox::driver::model::{ModelConfig, SoftwareCard};
use glovebox::driver::vfio_user::server::CardServer;
use glovebox::driver::{Command, Device};
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

criterion_group!(benches, dispatch);
criterion_main!(benches);
