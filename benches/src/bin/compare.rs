//! Ours beside tfhe-rs.
#![allow(clippy::print_stdout)]
use glovebox_benches::peer::{Tfhe, TfheNtt};
use glovebox_benches::workload::*;
use glovebox_golden::params;

fn main() {
    let p = params::CPU_KS_PBS_TUNIFORM_2M128.bootstrap;
    let (ksk, bsk) = random_keys(&p, 1).unwrap();
    let mut t = Tfhe::new(&p, ksk.words(), bsk.words(), 32);
    let big = p.big_lwe_dimension().0 + 1;
    let inputs = random_words(32 * big, 3);
    let luts = random_words(32 * p.glwe_len(), 4);
    let mut out = vec![0; 32 * big];
    t.keyswitch(&inputs);
    let (mut ks, mut one, mut b16, mut b32) = (vec![], vec![], vec![], vec![]);
    for _ in 0..15 {
        let a = thread_cpu_time();
        t.keyswitch(&inputs[..big]);
        let b = thread_cpu_time();
        t.bootstrap_one(&luts[..p.glwe_len()], &mut out[..big]);
        let c = thread_cpu_time();
        t.bootstrap_batch(16, &luts[..16 * p.glwe_len()], &mut out[..16 * big]);
        let d = thread_cpu_time();
        t.bootstrap_batch(32, &luts, &mut out);
        let e = thread_cpu_time();
        ks.push(b - a);
        one.push(c - b);
        b16.push((d - c) / 16);
        b32.push((e - d) / 32);
    }
    println!("ks {:?} one {:?} b16 {:?} b32 {:?}", median(&mut ks), median(&mut one), median(&mut b16), median(&mut b32));
    for log in 8..17 {
        let n = 1 << log;
        let ntt = TfheNtt::new(n).unwrap();
        let mut x: Vec<u64> = random_words(n, 5).into_iter().map(|w| w >> 1).collect();
        let (mut f, mut i) = (vec![], vec![]);
        for _ in 0..201 {
            let a = std::time::Instant::now();
            ntt.forward(&mut x);
            let b = std::time::Instant::now();
            ntt.inverse(&mut x);
            f.push(b - a);
            i.push(b.elapsed());
        }
        println!("ntt {n} {:?} {:?}", median(&mut f), median(&mut i));
    }
}
