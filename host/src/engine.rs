//! The engine: runs batches of bootstraps on the chosen device, and on the CPU when a card fails.

use crate::Error;
use crate::card::CardBackend;
use crate::cpu::{CpuEngine, CpuKeys, Luts, Precision};
use crate::device::Device;
use crate::evaluation::EvaluationKeys;
use glovebox_golden::Evaluator;
use glovebox_golden::bootstrap::sample_extract;
use glovebox_golden::cipher::{GlweCiphertext, LweCiphertext};
use glovebox_golden::params::BootstrapParameters;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// A batch of bootstraps, each a keyswitch, a modulus switch, a blind rotation and one or more extractions.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Ciphertexts, k*N + 1 words each.
    pub inputs: &'a [u64],
    /// Their look-up tables.
    pub luts: Luts<'a>,
    /// Coefficients to extract: `[0]` for a table of one function.
    pub extract: &'a [usize],
}

/// What an engine has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Bootstraps finished, on whatever device.
    pub bootstraps: u64,
    /// Those of them that the CPU did because the device failed.
    pub fallbacks: u64,
    /// Time spent.
    pub wall: Duration,
    /// Work of a card; all 0 for other devices.
    pub card: CardStats,
}

/// Work of a card, from its own counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CardStats {
    /// Commands completed.
    pub commands: u64,
    /// Polynomials transformed, forward and inverse.
    pub transforms: u64,
    /// Clock cycles in which the card was busy with commands.
    pub cycles: u64,
}

/// A device that bootstraps.
pub(crate) trait Backend: Send + Sync {
    fn bootstrap(&self, batch: &Batch<'_>, outputs: &mut [u64]) -> Result<(), Error>;

    fn card_stats(&self) -> CardStats {
        CardStats::default()
    }
}

struct CpuBackend {
    engine: CpuEngine,
    keys: CpuKeys,
}

impl CpuBackend {
    fn new(keys: &EvaluationKeys, precision: Precision) -> Result<Self, Error> {
        let engine = CpuEngine::new(None);
        let keys = CpuKeys::new(keys.parameters(), keys.keyswitch_key(), keys.bootstrap_key(), precision)?;
        Ok(Self { engine, keys })
    }
}

impl Backend for CpuBackend {
    fn bootstrap(&self, batch: &Batch<'_>, outputs: &mut [u64]) -> Result<(), Error> {
        Ok(self.engine.bootstrap(&self.keys, batch.inputs, batch.luts, batch.extract, outputs)?)
    }
}

impl Backend for Evaluator {
    fn bootstrap(&self, batch: &Batch<'_>, outputs: &mut [u64]) -> Result<(), Error> {
        let p = self.parameters();
        let (big, glwe) = (p.big_lwe_dimension().0 + 1, p.glwe_len());
        let mut outputs = outputs.chunks_exact_mut(big);
        for (index, input) in batch.inputs.chunks_exact(big).enumerate() {
            let small = self.keyswitch(&LweCiphertext::from_words(input.to_vec()))?;
            let lut = GlweCiphertext::from_words(batch.luts.of(index, glwe).to_vec(), p.ring_degree.0);
            let turned = self.blind_rotation(&lut, &small)?;
            for &coefficient in batch.extract {
                let words = sample_extract(&turned, coefficient)?.into_words();
                if let Some(output) = outputs.next() {
                    output.copy_from_slice(&words);
                }
            }
        }
        Ok(())
    }
}

/// The keys of one client on one device, ready for batches.
pub struct Engine {
    device: Device,
    parameters: BootstrapParameters,
    keys: EvaluationKeys,
    backend: Box<dyn Backend>,
    /// The CPU engine that takes over from a card, made when it is first needed.
    fallback: Option<OnceLock<CpuBackend>>,
    stats: Mutex<Stats>,
}

/// Ciphertexts handed to the device at once; the progress callback is called after each such part.
const PART: usize = 64;

impl Engine {
    /// Opens a device and loads keys.
    ///
    /// A card that fails later is replaced by the CPU engine for the batch in hand, with the same bits; one that
    /// cannot be opened is an error, except for `auto`.
    ///
    /// # Errors
    /// [`Error::Device`] if the device cannot be used, [`Error`] if it refuses the parameters or keys.
    pub fn open(device: &Device, keys: &EvaluationKeys) -> Result<Self, Error> {
        let cpu = |precision| CpuBackend::new(keys, precision).map(|b| Box::new(b) as Box<dyn Backend>);
        let card = |address: &Device| CardBackend::open(address, keys).map(|b| Box::new(b) as Box<dyn Backend>);
        let mut device = device.clone();
        if device == Device::Auto {
            device = crate::card::first_usable().unwrap_or(Device::Cpu);
        }
        let (backend, is_card) = match &device {
            Device::Cpu | Device::Auto => (cpu(Precision::Exact)?, false),
            Device::CpuFast => (cpu(Precision::Fast)?, false),
            Device::Golden => {
                let golden = Evaluator::new(*keys.parameters(), keys.keyswitch_key().clone(), keys.bootstrap_key())?;
                (Box::new(golden) as Box<dyn Backend>, false)
            }
            Device::VfioUser(_) | Device::Vfio(_) => (card(&device)?, true),
            Device::Sim => {
                return Err(Error::Device {
                    device: "sim".into(),
                    reason: "only the `glovebox` command starts a simulated card; a program starts one with \
                             `glovebox_sim` and opens its socket as vfio-user:PATH"
                        .into(),
                });
            }
        };
        Ok(Self {
            device,
            parameters: *keys.parameters(),
            keys: keys.clone(),
            backend,
            fallback: is_card.then(OnceLock::new),
            stats: Mutex::default(),
        })
    }

    /// The device in use; never `auto`.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The parameters of the loaded keys.
    pub fn parameters(&self) -> &BootstrapParameters {
        &self.parameters
    }

    /// What has been done so far.
    pub fn stats(&self) -> Stats {
        let mut stats = *self.stats.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        stats.card = self.backend.card_stats();
        stats
    }

    /// Runs a batch; returns k*N + 1 words for each ciphertext and each extracted coefficient, ciphertext by ciphertext.
    ///
    /// # Errors
    /// [`Error`] if the batch does not fit the keys, or if the device fails and no other can take over.
    pub fn bootstrap(&self, batch: &Batch<'_>) -> Result<Vec<u64>, Error> {
        self.bootstrap_with_progress(batch, &|_| ())
    }

    /// As [`Engine::bootstrap`]; calls `progress` with the number of bootstraps that just finished, again and again.
    ///
    /// # Errors
    /// As [`Engine::bootstrap`].
    pub fn bootstrap_with_progress(&self, batch: &Batch<'_>, progress: &dyn Fn(usize)) -> Result<Vec<u64>, Error> {
        let started = Instant::now();
        let (big, glwe) = (self.parameters.big_lwe_dimension().0 + 1, self.parameters.glwe_len());
        let count = self.check(batch)?;
        let per_input = big * batch.extract.len();
        let mut outputs = vec![0; count * per_input];
        for start in (0..count).step_by(PART) {
            let end = (start + PART).min(count);
            let part = Batch {
                inputs: &batch.inputs[start * big..end * big],
                luts: match batch.luts {
                    Luts::One(words) => Luts::One(words),
                    Luts::Each(words) => Luts::Each(&words[start * glwe..end * glwe]),
                },
                extract: batch.extract,
            };
            self.run_part(&part, end - start, &mut outputs[start * per_input..end * per_input])?;
            progress(end - start);
        }
        let mut stats = self.stats.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        stats.wall += started.elapsed();
        Ok(outputs)
    }

    fn run_part(&self, part: &Batch<'_>, count: usize, outputs: &mut [u64]) -> Result<(), Error> {
        let mut fell_back = false;
        if let Err(error) = self.backend.bootstrap(part, outputs) {
            let Some(fallback) = &self.fallback else { return Err(error) };
            tracing::warn!("{error}; the CPU engine takes over {count} bootstraps");
            let cpu = match fallback.get() {
                Some(cpu) => cpu,
                None => {
                    let made = CpuBackend::new(&self.keys, Precision::Exact)?;
                    fallback.get_or_init(|| made)
                }
            };
            cpu.bootstrap(part, outputs)?;
            fell_back = true;
        }
        let mut stats = self.stats.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        stats.bootstraps += count as u64;
        stats.fallbacks += if fell_back { count as u64 } else { 0 };
        Ok(())
    }

    /// Checks that a batch fits the keys, for every backend alike; returns its number of ciphertexts.
    fn check(&self, batch: &Batch<'_>) -> Result<usize, Error> {
        let p = &self.parameters;
        let (big, glwe) = (p.big_lwe_dimension().0 + 1, p.glwe_len());
        let wrong = |what, expected, found| Err(glovebox_golden::GoldenError::Length { what, expected, found }.into());
        let count = batch.inputs.len() / big;
        if count * big != batch.inputs.len() {
            return wrong("batch of ciphertexts", (count + 1) * big, batch.inputs.len());
        }
        match batch.luts {
            Luts::One(words) if words.len() != glwe => return wrong("look-up table", glwe, words.len()),
            Luts::Each(words) if words.len() != count * glwe => {
                return wrong("look-up tables", count * glwe, words.len());
            }
            _ => {}
        }
        match batch.extract.iter().find(|&&index| index >= p.ring_degree.0) {
            Some(index) => Err(Error::value("extraction index", index, format!("it lies below N = {}", p.ring_degree))),
            None => Ok(count),
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("device", &self.device).field("parameters", &self.parameters).finish()
    }
}
