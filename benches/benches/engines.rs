//! Criterion benches: transform, keyswitch, bootstrap alone and in a batch, dispatch through every engine.
//!
//! `cargo bench -p glovebox-benches`. Ratios beside tfhe-rs are in the `compare` binary, which interleaves both.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use glovebox::client::ClientKey;
use glovebox::cpu::{CpuEngine, CpuKeys, Luts, Precision, kernels};
use glovebox::{Batch, Device, Engine};
use glovebox_benches::workload::{random_keys, random_words};
use glovebox_golden::lut::Lut;
use glovebox_golden::{field, params};
use std::num::NonZeroUsize;
use std::time::Duration;

fn transforms(c: &mut Criterion) {
    for kernel in kernels() {
        let engine = CpuEngine::with_kernel(Some(NonZeroUsize::MIN), kernel).expect("a kernel of this processor");
        let mut group = c.benchmark_group(format!("ntt/{kernel}"));
        for log2 in [8, 11, 16] {
            let degree = 1usize << log2;
            let mut x: Vec<u64> = random_words(degree, 7).into_iter().map(field::reduce).collect();
            group.throughput(Throughput::Elements(degree as u64));
            group.bench_function(format!("forward/{degree}"), |b| b.iter(|| engine.ntt_forward(&mut x)));
            group.bench_function(format!("inverse/{degree}"), |b| b.iter(|| engine.ntt_inverse(&mut x)));
        }
    }
}

fn bootstraps(c: &mut Criterion) {
    let p = params::CPU_KS_PBS_TUNIFORM_2M128.bootstrap;
    let (ksk, bsk) = random_keys(&p, 1).expect("valid parameters");
    let (big, small, glwe) = (p.big_lwe_dimension().0 + 1, p.lwe_dimension.0 + 1, p.glwe_len());
    let engine = CpuEngine::new(Some(NonZeroUsize::MIN));
    let inputs = random_words(16 * big, 3);
    let lut = random_words(glwe, 5);
    let (mut switched, mut outputs) = (vec![0; 16 * small], vec![0; 16 * big]);
    for precision in [Precision::Exact, Precision::Fast] {
        let keys = CpuKeys::new(&p, &ksk, &bsk, precision).expect("keys of these parameters");
        let mut group = c.benchmark_group(format!("default set/{precision:?}"));
        for batch in [1, 16] {
            group.throughput(Throughput::Elements(batch as u64));
            if precision == Precision::Exact {
                group.bench_function(format!("keyswitch/{batch}"), |b| {
                    b.iter(|| engine.keyswitch(&keys, &inputs[..batch * big], &mut switched[..batch * small]));
                });
            }
            group.bench_function(format!("keyswitch and bootstrap/{batch}"), |b| {
                let (inputs, outputs) = (&inputs[..batch * big], &mut outputs[..batch * big]);
                b.iter(|| engine.bootstrap(&keys, inputs, Luts::One(&lut), &[0], outputs));
            });
        }
    }
}

/// The way through `Engine` on every device that needs no card, with the toy set: what dispatch costs.
fn dispatch(c: &mut Criterion) {
    let set = params::TOY_INSECURE;
    let client = ClientKey::generate_insecure_from_seed(set, 1).expect("a toy key");
    let keys = client.evaluation_keys().expect("its keys");
    let inputs = client.encrypt(&[1, 2, 3, 4]).expect("ciphertexts");
    let lut = Lut::from_fn(&set, |x| x).expect("a table");
    let mut group = c.benchmark_group("dispatch of 4");
    for device in [Device::Cpu, Device::CpuFast, Device::Golden] {
        let engine = Engine::open(&device, &keys).expect("a device without hardware");
        let batch = Batch { inputs: &inputs, luts: Luts::One(lut.ciphertext().words()), extract: &[0] };
        group.bench_function(device.to_string(), |b| b.iter(|| engine.bootstrap(&batch)));
    }
}

criterion_group! {
    name = engines;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(2));
    targets = transforms, bootstraps, dispatch
}
criterion_main!(engines);
