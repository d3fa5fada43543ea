//! What every bench needs: clocks and random keys.

#![allow(unsafe_code)]

use glovebox_golden::GoldenError;
use glovebox_golden::keys::{BootstrapKey, KeyswitchKey};
use glovebox_golden::params::BootstrapParameters;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::time::Duration;

fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_gettime(id, &mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time that the calling thread has used; time spent waiting for a processor does not count.
pub fn thread_cpu_time() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time that all threads of the process have used.
pub fn process_cpu_time() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// The median; `samples` is sorted in place and not empty.
pub fn median(samples: &mut [Duration]) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// Random words from a fixed seed.
pub fn random_words(count: usize, seed: u64) -> Vec<u64> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.next_u64()).collect()
}

/// Keys of random words: the running time does not depend on their values, and these cost little to make.
///
/// # Errors
/// [`GoldenError`] for parameters that break a rule.
pub fn random_keys(p: &BootstrapParameters, seed: u64) -> Result<(KeyswitchKey, BootstrapKey), GoldenError> {
    let unit = 64 - p.ks_modulus_log2;
    let ksk = random_words(p.keyswitch_key_len(), seed).into_iter().map(|w| w >> unit << unit).collect();
    let bsk = random_words(p.bootstrap_key_len(), seed + 1);
    Ok((KeyswitchKey::from_words(p, ksk)?, BootstrapKey::from_words(p, bsk)?))
}

/// Times of two contenders, row by row; displays as a table of medians.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    rows: Vec<(String, [Vec<Duration>; 2])>,
}

impl Samples {
    fn push(&mut self, row: &str, column: usize, time: Duration) {
        let index = self.rows.iter().position(|(name, _)| name == row).unwrap_or_else(|| {
            self.rows.push((row.into(), Default::default()));
            self.rows.len() - 1
        });
        self.rows[index].1[column].push(time);
    }

    /// A time of the peer.
    pub fn peer(&mut self, row: &str, time: Duration) {
        self.push(row, 0, time);
    }

    /// A time of ours.
    pub fn ours(&mut self, row: &str, time: Duration) {
        self.push(row, 1, time);
    }
}

impl std::fmt::Display for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{:<46} {:>12} {:>12} {:>7}", "", "peer us", "ours us", "ratio")?;
        for (name, times) in &self.rows {
            if times.iter().all(|samples| !samples.is_empty()) {
                let [peer, ours] = times.clone().map(|mut samples| median(&mut samples).as_secs_f64() * 1e6);
                writeln!(f, "{name:<46} {peer:>12.2} {ours:>12.2} {:>7.2}", peer / ours)?;
            }
        }
        Ok(())
    }
}
