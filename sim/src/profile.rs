//! Bootstraps on the simulated card, and where their cycles go: the card's own counters, sampled over the run.

use crate::SimError;
use crate::bench::{CardBench, STUCK_CYCLES};
use crate::card::{CardBuild, Traffic};
use crate::keys::CardKeys;
use glovebox_golden::params::{BootstrapParameters, LweDimension};
use glovebox_hdl::bootstrap::Shape;
use glovebox_regmap::registers;
use glovebox_regmap::{BootstrapSettings, Descriptor, StatusCode};
use serde::Serialize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a burst to host memory.
const BURST_BYTES: u64 = 1024;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Lanes of the card.
    pub lanes: usize,
    /// Keyswitch first.
    pub keyswitch: bool,
    /// Card memory, each port.
    pub memory: Traffic,
    /// Host memory.
    pub host: Traffic,
    /// Seed of keys, ciphertexts and power-up values.
    pub seed: u64,
}

/// The counters in one list: name of the value, register, what it counts.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $register:ident,)*) => {
        /// Values of the card's counters; all in cycles but the beats, which are of 64 bytes from host memory and of a granule
        /// (64 bytes a port) from card memory.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            fn read(bench: &mut CardBench) -> Result<Self, SimError> {
                Ok(Self { $($name: bench.read64(registers::$register)?,)* })
            }

            /// Each counter of both in a function.
            fn zip(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Self {
                Self { $($name: f(self.$name, other.$name),)* }
            }
        }
    };
}

counters! {
    /// Ciphertexts of a batch are taken in.
    load: LOAD_CYCLES,
    /// A keyswitch is under way.
    keyswitch: KEYSWITCH_CYCLES,
    /// A modulus switch is under way.
    modulus_switch: SWITCH_CYCLES,
    /// A batch is ready and the blind rotation of the one before is not over.
    rotation_wait: ROTATION_WAITS,
    /// A blind rotation is under way.
    rotation: ROTATION_CYCLES,
    /// A sample extraction is under way.
    extract: EXTRACT_CYCLES,
    /// Blind rotation waits for the bootstrapping key.
    bsk_stall: BSK_STALLS,
    /// Keyswitch waits for its key.
    ksk_stall: KSK_STALLS,
    /// The multipliers of the forward transforms and of the products work.
    forward_active: FORWARD_ACTIVE,
    /// The multipliers of the inverse transforms work.
    inverse_active: INVERSE_ACTIVE,
    /// The command waits for data from host memory.
    host_read_stall: READ_STALLS,
    /// Host memory does not take data that is ready.
    host_write_stall: WRITE_STALLS,
    /// Granules read from card memory.
    card_read_granules: CARD_READ_BEATS,
    /// Beats read from host memory.
    host_read_beats: READ_BEATS,
    /// Beats written to host memory.
    host_write_beats: WRITE_BEATS,
}

impl Counters {
    /// What has been counted since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        self.zip(before, u64::wrapping_sub)
    }
}

/// What was counted in one interval of a run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// End of the interval, in cycles from the command's doorbell.
    pub cycle: u64,
    /// Counted in it.
    pub counted: Counters,
}

/// A run of one BOOTSTRAP command, every word of whose results equalled golden's.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Lanes of the card.
    pub lanes: usize,
    /// Ring degree N.
    pub degree: usize,
    /// GLWE dimension k.
    pub glwe_dimension: usize,
    /// Dimension n: blind-rotation steps.
    pub dimension: usize,
    /// Levels of the bootstrap's decomposition.
    pub levels: usize,
    /// Ciphertexts of the command.
    pub count: usize,
    /// Ciphertexts that the card takes at a time.
    pub batch: usize,
    /// General multipliers of 64 bits in forward transforms and products, and in inverse transforms.
    pub multipliers: [usize; 2],
    /// Cycles of the command by its completion, DMA included.
    pub cycles: u64,
    /// When each batch's last whole burst of 1 KiB was in host memory, in cycles from the command's doorbell. What remains
    /// waits on the card to become one, for the next batch or the command's end.
    pub batches_done: Vec<u64>,
    /// Counted over the run.
    pub counted: Counters,
    /// Bytes of the bootstrapping key, the keyswitching key and the table, in card memory.
    pub key_bytes: [u64; 3],
    /// Bytes read from card memory, all ports.
    pub card_read_bytes: u64,
    /// The run in intervals.
    pub samples: Vec<Sample>,
}

impl Run {
    /// Batches of the run.
    pub fn batches(&self) -> usize {
        self.count.div_ceil(self.batch)
    }

    /// Cycles of blind rotation a step and ciphertext.
    pub fn rotation_cycles_per_step(&self) -> f64 {
        self.counted.rotation as f64 / (self.count * self.dimension * self.levels) as f64
    }

    /// Cycles a step and ciphertext from the completion of the first batch to that of the last; `None` for one batch, or if
    /// the last is not full.
    pub fn steady_cycles_per_step(&self) -> Option<f64> {
        let [first, .., last] = self.batches_done[..] else { return None };
        let steps = (self.batches() - 1) * self.batch * self.dimension * self.levels;
        self.count.is_multiple_of(self.batch).then(|| (last - first) as f64 / steps as f64)
    }

    /// General multipliers times cycles a step and ciphertext, in steady state.
    pub fn steady_multiplier_cycles_per_step(&self) -> Option<f64> {
        let multipliers: usize = self.multipliers.iter().sum();
        self.steady_cycles_per_step().map(|cycles| cycles * multipliers as f64)
    }

    /// Share of its cycles in which a group of multipliers works, forward and inverse, within blind rotation.
    pub fn utilisation(&self) -> [f64; 2] {
        [self.counted.forward_active, self.counted.inverse_active]
            .map(|c| c as f64 / self.counted.rotation.max(1) as f64)
    }
}

/// A card with keys in its memory, ready to run.
pub struct Profiler {
    workload: Workload,
    shape: Shape,
    bench: CardBench,
    keys: CardKeys,
    capacity: usize,
}

impl Profiler {
    /// [`Profiler::with_keys`] on random keys.
    ///
    /// # Errors
    /// As [`Profiler::with_keys`] and [`CardKeys::random`].
    pub fn new(
        workload: Workload,
        parameters: BootstrapParameters,
        capacity: usize,
        progress: impl FnMut(crate::verilator::Step),
    ) -> Result<Self, SimError> {
        let mut seeds = [0, 0x6b73, 0x6c75].into_iter();
        let random = |count| words(workload.seed ^ seeds.next().unwrap_or(1), count);
        let keys = CardKeys::random(parameters, workload.lanes, random)?;
        Self::with_keys(workload, keys, capacity, progress)
    }

    /// Verilates the card for the keys' ring degree and k unless the model is cached, and puts the keys into card memory
    /// ([`CardKeys::place`]). `capacity` is the largest command that will be run, in ciphertexts. `progress` hears of each
    /// step of the model's build.
    ///
    /// # Errors
    /// As [`CardBuild::simulation`], [`CardKeys::place`].
    pub fn with_keys(
        workload: Workload,
        keys: CardKeys,
        capacity: usize,
        progress: impl FnMut(crate::verilator::Step),
    ) -> Result<Self, SimError> {
        let (degree, dimension) = (keys.parameters.ring_degree.0, keys.parameters.glwe_dimension.0);
        let build = CardBuild::new(workload.lanes, degree)
            .glwe_dimension(dimension)
            .memory_bytes(keys.total_bytes())
            .traffic(workload.host)
            .memory_traffic(workload.memory)
            .reset_seed(workload.seed)
            .progress(progress);
        let mut bench = CardBench::new(
            build,
            2 * capacity * 8 * (keys.parameters.big_lwe_dimension().0 + 1) + 2 * BURST_BYTES as usize,
        )?;
        keys.place(&mut bench)?;
        Ok(Self { workload, shape: Shape::new(workload.lanes, degree, dimension), bench, keys, capacity })
    }

    /// Changes how card memory behaves, from the next run on.
    pub fn set_memory(&mut self, memory: Traffic) {
        self.bench.card.set_memory_traffic(memory);
    }

    /// [`Profiler::run_on`] `count` random ciphertexts.
    ///
    /// # Errors
    /// As [`Profiler::run_on`].
    pub fn run(&mut self, count: usize, sample_cycles: u64, progress: impl FnMut(usize)) -> Result<Run, SimError> {
        let seed = self.workload.seed.wrapping_add(count as u64) ^ 0x696e;
        let input = words(seed, count * self.source_len());
        self.run_on(&input, sample_cycles, progress).map(|(run, _)| run)
    }

    /// Words of a ciphertext that goes in.
    fn source_len(&self) -> usize {
        let p = &self.keys.parameters;
        if self.workload.keyswitch { p.big_lwe_dimension().0 + 1 } else { p.lwe_dimension.0 + 1 }
    }

    /// Runs one command on these ciphertexts, one after another, and compares every word of its results, which it returns,
    /// with golden's. Counters are sampled every `sample_cycles`; `progress` hears how many of the results are in host
    /// memory.
    ///
    /// # Errors
    /// [`SimError::Bench`] if there are no ciphertexts, a part of one, or more than the capacity, or the command fails;
    /// [`SimError::Disagrees`] if a word is not golden's; as [`CardBench`].
    pub fn run_on(
        &mut self,
        input: &[u64],
        sample_cycles: u64,
        mut progress: impl FnMut(usize),
    ) -> Result<(Run, Vec<u64>), SimError> {
        let source_len = self.source_len();
        let count = input.len() / source_len;
        if count == 0 || count > self.capacity || !input.len().is_multiple_of(source_len) {
            let (words, most) = (input.len(), self.capacity);
            return Err(SimError::Bench(format!("{words} words: 1 to {most} ciphertexts of {source_len} fit")));
        }
        let p = self.keys.parameters;
        let big_len = p.big_lwe_dimension().0 + 1;
        let out = (8 * input.len()).next_multiple_of(BURST_BYTES as usize);
        self.bench.put(0, input)?;
        let bench = &mut self.bench;
        let settings = BootstrapSettings { keyswitch: self.workload.keyswitch, ..self.keys.settings };
        let descriptor = Descriptor {
            count: count as u32,
            source: bench.data(0),
            destination: bench.data(out),
            ..self.keys.descriptor(settings)
        };
        let before = Counters::read(bench)?;
        let card_read = |bench: &CardBench| bench.card.memory_moved_bytes().iter().map(|port| port.0).sum::<u64>();
        let read_before = card_read(bench);
        bench.queue(0, descriptor.words())?;
        let batch = self.shape.depth;
        let written = bench.card.host_moved_bytes().1;
        let end = |ciphertexts: usize| written + 8 * (ciphertexts * big_len) as u64 / BURST_BYTES * BURST_BYTES;
        bench.card.mark_written((1..=count).map(end));
        bench.doorbell(0)?;
        let begin = bench.card.cycles();
        let (mut samples, mut last, mut sampled) = (vec![], before, begin);
        let (mut seen, mut moved) = (0, begin);
        let done = loop {
            bench.card.step()?;
            let now = bench.card.cycles();
            let results = bench.card.marks().len();
            if results != seen {
                (seen, moved) = (results, now);
                progress(results);
            }
            if now - moved > STUCK_CYCLES {
                return Err(SimError::Bench(format!("no result for {STUCK_CYCLES} cycles, after {seen} of {count}")));
            }
            if now - sampled >= sample_cycles {
                let counters = Counters::read(bench)?;
                sampled = now;
                samples.push(Sample { cycle: now - begin, counted: counters.since(&last) });
                last = counters;
            }
            if bench.card.is_idle() {
                break bench.completion(0)?;
            }
        };
        let done = done.ok_or_else(|| SimError::Bench("the card is idle without a completion".into()))?;
        if done.status != StatusCode::Ok {
            return Err(SimError::Bench(format!("the command failed: {:?} at {:#x}", done.status, done.fault_address)));
        }
        let counters = Counters::read(bench)?;
        samples.push(Sample { cycle: bench.card.cycles() - begin, counted: counters.since(&last) });
        let marks = bench.card.marks();
        let batches_done =
            (0..count.div_ceil(batch)).map(|b| marks[((b + 1) * batch).min(count) - 1] - begin).collect();
        let run = Run {
            lanes: self.workload.lanes,
            degree: p.ring_degree.0,
            glwe_dimension: p.glwe_dimension.0,
            dimension: p.lwe_dimension.0,
            levels: p.pbs_level.0,
            count,
            batch,
            multipliers: self.shape.multiplier_groups(),
            cycles: done.cycles,
            batches_done,
            counted: counters.since(&before),
            key_bytes: self.keys.parts().each_ref().map(|words| 8 * words.len() as u64),
            card_read_bytes: card_read(bench) - read_before,
            samples,
        };
        let results = bench.get(out, count * big_len)?;
        self.compare(input, &results)?;
        Ok((run, results))
    }

    /// Every word of every result against golden's, on as many threads as there are processors.
    fn compare(&self, input: &[u64], results: &[u64]) -> Result<(), SimError> {
        let (keys, keyswitch) = (&self.keys, self.workload.keyswitch);
        let result_len = keys.parameters.big_lwe_dimension().0 + 1;
        let pairs: Vec<_> =
            input.chunks_exact(self.source_len()).zip(results.chunks_exact(result_len)).enumerate().collect();
        let next = AtomicUsize::new(0);
        let check = || {
            while let Some(&(index, (ciphertext, result))) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let expected = keys.expected(keyswitch, ciphertext)?;
                if let Some(word) = (0..result.len()).find(|&i| result[i] != expected[i]) {
                    let (got, expected) = (result[word], expected[word]);
                    return Err(SimError::Disagrees { ciphertext: index, word, got, expected });
                }
            }
            Ok(())
        };
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(check)).collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| Err(SimError::Bench("a thread of the comparison panicked".into())))
            })
        })
    }
}

/// From how many ciphertexts on blind rotation waits for its key in less than `share` of its cycles; `None` if it does in
/// every run. `runs` are in the order of their numbers of ciphertexts.
pub fn bandwidth_bound_until(runs: &[Run], share: f64) -> Option<usize> {
    let waits = |run: &Run| (run.counted.bsk_stall as f64) / run.counted.rotation.max(1) as f64;
    let bound = runs.iter().take_while(|run| waits(run) >= share).count();
    runs.get(bound).map(|run| run.count)
}

/// `parameters` with fewer steps: n of `dimension`. Cycles and key bytes a step stay what they are.
pub fn shortened(parameters: BootstrapParameters, dimension: usize) -> BootstrapParameters {
    BootstrapParameters { lwe_dimension: LweDimension(dimension), ..parameters }
}

/// Seeded words (splitmix64).
fn words(seed: u64, count: usize) -> Vec<u64> {
    let mut state = seed;
    let step = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    std::iter::repeat_with(step).take(count).collect()
}
