//! What the driver adds to a command, through a vfio-user socket: `cargo bench -p glovebox-driver`.
//!
//! * Small commands: NOPs to the card in software; elements are commands. Aim: 100,000 a second and more.
//! * A full batch: the BOOTSTRAP of as many ciphertexts as a card takes at a time, default parameters, to a card that
//!   completes it at once. All that is left is dispatch: check, descriptor, doorbell, socket, completion, interrupt. It is
//!   set against the least time that the card needs for that batch: `depth * n * 2N / L` cycles of blind rotation at 300
//!   MHz. Aim: less than 1 %.
#![allow(missing_docs, clippy::print_stdout)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use glovebox_driver::bootstrap::settings_of;
use glovebox_driver::card::{CardBackend, HostPort};
use glovebox_driver::model::{ModelConfig, SoftwareCard};
use glovebox_driver::vfio_user::server::CardServer;
use glovebox_driver::{Command, CompletionMode, Device, DeviceConfig};
use glovebox_golden::params::CPU_KS_PBS_TUNIFORM_2M128;
use glovebox_regmap::command::{COMPLETION_BYTES, DESCRIPTOR_BYTES};
use glovebox_regmap::{Completion, Descriptor, GlweShape, StatusCode, layout, registers};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

const CLOCK_HZ: f64 = 300e6;
const DEGREE_LOG2: u32 = 11;
/// Ring and k of the default set.
const GLWE: GlweShape = GlweShape { dimension: 1, degree_log2: DEGREE_LOG2 };

/// A card whose commands take no time: every descriptor of ring pair 0 is answered where the doorbell arrives.
struct InstantCard {
    registers: SoftwareCard,
    host: OnceLock<Arc<HostPort>>,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    log2: u32,
    submission: u64,
    completion: u64,
    head: u32,
    vector: u16,
}

impl InstantCard {
    fn new(lanes: u32) -> Self {
        let config = ModelConfig {
            lanes,
            degree_log2: DEGREE_LOG2,
            glwe_dimension: GLWE.dimension,
            ring_pairs: 1,
            memory_bytes: 256 << 20,
        };
        let registers = SoftwareCard::new(config).expect("a card that the map can express");
        Self { registers, host: OnceLock::new(), ring: Mutex::default() }
    }

    fn serve(&self, ring: &mut Ring, tail: u32) {
        let Some(host) = self.host.get() else { return };
        let mask = (1u64 << ring.log2) - 1;
        while ring.head != tail {
            let place = u64::from(ring.head) & mask;
            let mut descriptor = [0; DESCRIPTOR_BYTES];
            host.read(ring.submission + place * DESCRIPTOR_BYTES as u64, &mut descriptor).expect("the ring");
            let phase = (ring.head >> ring.log2) & 1 == 0;
            ring.head = ring.head.wrapping_add(1);
            let completion = Completion {
                cycles: 1,
                fault_address: 0,
                submission_head: ring.head,
                tag: Descriptor::tag_of(&descriptor),
                status: StatusCode::Ok,
                opcode: descriptor[0],
                phase,
            };
            host.write(ring.completion + place * COMPLETION_BYTES as u64, &completion.encode()).expect("the ring");
            if descriptor[1] & 1 == 1 {
                host.fire(ring.vector);
            }
        }
    }
}

impl CardBackend for InstantCard {
    fn attach(&self, host: Arc<HostPort>) {
        // Attached once.
        let _ = self.host.set(host);
    }

    fn read32(&self, offset: u32) -> u32 {
        self.registers.read32(offset)
    }

    fn write32(&self, offset: u32, value: u32) {
        let mut ring = self.ring.lock().expect("no panic");
        let at = |register: registers::RingRegister| register.of(0).expect("ring pair 0").offset.get();
        let low = |word: &mut u64| *word = (*word & !0xffff_ffff) | u64::from(value);
        let high = |word: &mut u64| *word = (*word & 0xffff_ffff) | u64::from(value) << 32;
        match offset {
            _ if offset == at(registers::SQ_TAIL) => return self.serve(&mut ring, value),
            _ if offset == at(registers::CQ_HEAD) => return,
            _ if offset == at(registers::SQ_LOG2) => ring.log2 = value,
            _ if offset == at(registers::SQ_BASE) => low(&mut ring.submission),
            _ if offset == at(registers::SQ_BASE) + 4 => high(&mut ring.submission),
            _ if offset == at(registers::CQ_BASE) => low(&mut ring.completion),
            _ if offset == at(registers::CQ_BASE) + 4 => high(&mut ring.completion),
            _ if offset == at(registers::RING_VECTOR) => ring.vector = value as u16,
            _ if offset == at(registers::RING_CONTROL) => ring.head = 0,
            _ => {}
        }
        self.registers.write32(offset, value);
    }

    fn reset(&self) {
        self.registers.reset();
    }
}

fn small_commands(c: &mut Criterion) {
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
    let commands = vec![Command::Nop; 64];
    group.throughput(Throughput::Elements(128));
    group.bench_function("two threads, two ring pairs, batches of 64", |b| {
        b.iter(|| {
            std::thread::scope(|scope| {
                for queue in 0..2 {
                    let (device, commands) = (&device, &commands);
                    scope.spawn(move || {
                        for ticket in device.submit(queue, commands).expect("room in the ring") {
                            ticket.wait().expect("a card that works");
                        }
                    });
                }
            });
        });
    });
}

fn full_batch(c: &mut Criterion) {
    let settings = settings_of(&CPU_KS_PBS_TUNIFORM_2M128.bootstrap).expect("the card's default parameters");
    for lanes in [8, 32] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = CardServer::start(&folder.path().join("card.sock"), Arc::new(InstantCard::new(lanes)))
            .expect("a socket in that folder");
        for completion in [CompletionMode::Interrupt, CompletionMode::Polling] {
            let config = DeviceConfig { completion, ..DeviceConfig::default() };
            let device = Device::open_with(&server.address(), config).expect("the card that was just started");
            let depth = layout::batch_depth(lanes);
            let key = |bytes: u64| device.upload(&vec![1; bytes as usize]).expect("room for the keys");
            let bootstrap_key = key(settings.bootstrap_key_bytes(GLWE));
            let keyswitch_key = key(settings.keyswitch_key_bytes(GLWE, lanes));
            let luts = key(8 << DEGREE_LOG2);
            let words = vec![1; (depth * settings.source_words(GLWE)) as usize];
            let source = device.allocate(8 * words.len()).expect("host memory");
            let destination = device.allocate(8 * words.len()).expect("host memory");
            let command = Command::Bootstrap {
                source: source.whole(),
                destination: destination.whole(),
                bootstrap_key: bootstrap_key.whole(),
                keyswitch_key: Some(keyswitch_key.whole()),
                luts: luts.whole(),
                settings,
            };
            let name = format!("dispatch of a full batch of {depth}, L = {lanes}, {completion:?}");
            let once = || device.run(0, command.clone()).expect("a card that works");
            c.bench_function(&name, |b| b.iter(once));
            let mut result = words.clone();
            c.bench_function(&format!("{name}, data copied in and out"), |b| {
                b.iter(|| {
                    source.write_words(0, &words).expect("room");
                    once();
                    destination.read_words(0, &mut result).expect("room");
                });
            });
            // The same again by hand, for the ratio.
            let mut times: Vec<Duration> = (0..2000)
                .map(|_| {
                    let start = Instant::now();
                    once();
                    start.elapsed()
                })
                .collect();
            times.sort();
            let dispatch = times[times.len() / 2].as_secs_f64();
            let cycles = depth * u64::from(settings.dimension) * (2 << DEGREE_LOG2) / u64::from(lanes);
            let run = cycles as f64 / CLOCK_HZ;
            println!(
                "{name}: {:.1} us (median of 2000); the card runs it for {:.2} ms or more ({cycles} cycles at 300 MHz): {:.2} %",
                dispatch * 1e6,
                run * 1e3,
                100.0 * dispatch / run
            );
        }
    }
}

criterion_group!(benches, small_commands, full_batch);
criterion_main!(benches);
