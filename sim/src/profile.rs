//! Bootstraps on the simulated card, and where their cycles go: the card's own counters, sampled over the run.

use crate::SimError;
use crate::bench::CardBench;
use crate::card::{CardBuild, Traffic};
use glovebox_golden::GoldenError;
use glovebox_golden::bootstrap::{blind_rotation, keyswitch, sample_extract};
use glovebox_golden::card::bootstrap_key_words;
use glovebox_golden::cipher::{GlweCiphertext, LweCiphertext};
use glovebox_golden::keys::{BootstrapKey, KeyswitchKey, NttBootstrapKey};
use glovebox_golden::params::{BootstrapParameters, LweDimension, ModulusSwitchKind};
use glovebox_golden::torus::modulus_switch;
use glovebox_hdl::bootstrap::Shape;
use glovebox_regmap::key_layout::{KeyswitchWord, stripe_bootstrap_key, stripe_keyswitch_key};
use glovebox_regmap::layout::{BEAT_BYTES, keyswitch_columns, memory_ports};
use glovebox_regmap::registers::{self, Register};
use glovebox_regmap::{BootstrapSettings, Descriptor, Opcode, StatusCode};
use serde::Serialize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a burst to host memory.
const BURST_BYTES: u64 = 1024;
/// Cycles without a result after which a run is given up.
const STUCK_CYCLES: u64 = 40_000_000;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Lanes of the card.
    pub lanes: usize,
    /// Parameters of the bootstraps; the card is built for their ring degree.
    pub parameters: BootstrapParameters,
    /// Keyswitch first.
    pub keyswitch: bool,
    /// Card memory, each port.
    pub memory: Traffic,
    /// Host memory.
    pub host: Traffic,
    /// Seed of keys, ciphertexts and power-up values.
    pub seed: u64,
}

/// Values of the card's counters; all in cycles but the beats, which are of 64 bytes from host memory and of a granule (64
/// bytes a port) from card memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Ciphertexts of a batch are taken in.
    pub load: u64,
    /// A keyswitch is under way.
    pub keyswitch: u64,
    /// A modulus switch is under way.
    pub modulus_switch: u64,
    /// A batch is ready and the blind rotation of the one before is not over.
    pub rotation_wait: u64,
    /// A blind rotation is under way.
    pub rotation: u64,
    /// A sample extraction is under way.
    pub extract: u64,
    /// Blind rotation waits for the bootstrapping key.
    pub bsk_stall: u64,
    /// Keyswitch waits for its key.
    pub ksk_stall: u64,
    /// The multipliers of the forward transforms and of the products work.
    pub forward_active: u64,
    /// The multipliers of the inverse transforms work.
    pub inverse_active: u64,
    /// The command waits for data from host memory.
    pub host_read_stall: u64,
    /// Host memory does not take data that is ready.
    pub host_write_stall: u64,
    /// Granules read from card memory.
    pub card_read_granules: u64,
    /// Beats read from host memory.
    pub host_read_beats: u64,
    /// Beats written to host memory.
    pub host_write_beats: u64,
}

/// Where each counter is.
const COUNTERS: [Register; 15] = [
    registers::LOAD_CYCLES,
    registers::KEYSWITCH_CYCLES,
    registers::SWITCH_CYCLES,
    registers::ROTATION_WAITS,
    registers::ROTATION_CYCLES,
    registers::EXTRACT_CYCLES,
    registers::BSK_STALLS,
    registers::KSK_STALLS,
    registers::FORWARD_ACTIVE,
    registers::INVERSE_ACTIVE,
    registers::READ_STALLS,
    registers::WRITE_STALLS,
    registers::CARD_READ_BEATS,
    registers::READ_BEATS,
    registers::WRITE_BEATS,
];

impl Counters {
    fn read(bench: &mut CardBench) -> Result<Self, SimError> {
        let mut v = [0; COUNTERS.len()];
        for (value, register) in v.iter_mut().zip(COUNTERS) {
            *value = bench.read64(register)?;
        }
        Ok(Self::of(v))
    }

    fn of(v: [u64; COUNTERS.len()]) -> Self {
        let [load, keyswitch, modulus_switch, rotation_wait, rotation, extract, bsk_stall, ksk_stall, ..] = v;
        let [.., forward_active, inverse_active, host_read_stall, host_write_stall, card, read, write] = v;
        Self {
            load,
            keyswitch,
            modulus_switch,
            rotation_wait,
            rotation,
            extract,
            bsk_stall,
            ksk_stall,
            forward_active,
            inverse_active,
            host_read_stall,
            host_write_stall,
            card_read_granules: card,
            host_read_beats: read,
            host_write_beats: write,
        }
    }

    fn values(&self) -> [u64; COUNTERS.len()] {
        [
            self.load,
            self.keyswitch,
            self.modulus_switch,
            self.rotation_wait,
            self.rotation,
            self.extract,
            self.bsk_stall,
            self.ksk_stall,
            self.forward_active,
            self.inverse_active,
            self.host_read_stall,
            self.host_write_stall,
            self.card_read_granules,
            self.host_read_beats,
            self.host_write_beats,
        ]
    }

    /// What has been counted since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let (now, before) = (self.values(), before.values());
        Self::of(std::array::from_fn(|i| now[i].wrapping_sub(before[i])))
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

/// What golden needs.
struct Reference {
    parameters: BootstrapParameters,
    keyswitch: bool,
    bsk: NttBootstrapKey,
    ksk: KeyswitchKey,
    table: Vec<u64>,
}

/// A card with keys in its memory, ready to run.
pub struct Profiler {
    workload: Workload,
    shape: Shape,
    bench: CardBench,
    reference: Reference,
    operands: [u64; 4],
    key_bytes: [u64; 3],
    capacity: usize,
}

impl Profiler {
    /// Verilates the card unless the model is cached, makes keys and puts them into card memory. `capacity` is the largest
    /// command that will be run, in ciphertexts. `progress` hears of each step of the model's build.
    ///
    /// The card wipes the memory that the keys take, so that it counts as written; the simulation then puts the keys there,
    /// which is the same as an upload but for its time.
    ///
    /// # Errors
    /// As [`CardBuild::simulation`]; [`SimError::Golden`] for parameters that golden or the card does not know.
    pub fn new(
        workload: Workload,
        capacity: usize,
        progress: impl FnMut(crate::verilator::Step),
    ) -> Result<Self, SimError> {
        let p = workload.parameters;
        let (degree, lanes) = (p.ring_degree.0, workload.lanes);
        // Refuses lanes and degrees that there is no card for.
        glovebox_hdl::Design::new("card", lanes, degree)?;
        let bsk = BootstrapKey::from_words(&p, words(workload.seed, p.bootstrap_key_len()))?.to_ntt(&p)?;
        let unit = 64 - p.ks_modulus_log2;
        let random = words(workload.seed ^ 0x6b73, p.keyswitch_key_len()).iter().map(|w| w >> unit << unit).collect();
        let ksk = KeyswitchKey::from_words(&p, random)?;
        let table = words(workload.seed ^ 0x6c75, degree);
        let form = KeyswitchWord::for_modulus_log2(p.ks_modulus_log2);
        let columns = keyswitch_columns(lanes as u32) as usize;
        let small_len = p.lwe_dimension.0 + 1;
        let parts = [
            stripe_bootstrap_key(&bootstrap_key_words(&p, &bsk)?, degree, lanes),
            stripe_keyswitch_key(ksk.words(), small_len, columns, form),
            table.clone(),
        ];
        let granule = BEAT_BYTES * u64::from(memory_ports(lanes as u32));
        let key_bytes = parts.each_ref().map(|words| 8 * words.len() as u64);
        let [bsk_bytes, ksk_bytes, table_bytes] = key_bytes.map(|bytes| bytes.next_multiple_of(granule));
        let total = bsk_bytes + ksk_bytes + table_bytes;
        let settings = BootstrapSettings {
            dimension: p.lwe_dimension.0 as u16,
            pbs_base_log: p.pbs_base_log.0 as u8,
            pbs_levels: p.pbs_level.0 as u8,
            ks_base_log: p.ks_base_log.0 as u8,
            ks_levels: p.ks_level.0 as u8,
            ks_words_per_slot: form.per_slot() as u8,
            centred: p.modulus_switch == ModulusSwitchKind::CenteredMean,
            keyswitch: workload.keyswitch,
            lut_each: false,
            functions: 1,
        };
        let build = CardBuild::new(lanes, degree)
            .memory_bytes(total)
            .traffic(workload.host)
            .memory_traffic(workload.memory)
            .reset_seed(workload.seed)
            .progress(progress);
        let mut bench = CardBench::new(build, 2 * capacity * 8 * (degree + 1) + 2 * BURST_BYTES as usize)?;
        let wipe = Descriptor { count: total as u32, destination: 0, ..Descriptor::new(Opcode::Wipe) };
        command(&mut bench, wipe)?;
        for (words, at) in parts.iter().zip([0, bsk_bytes, bsk_bytes + ksk_bytes]) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            bench.card.memory_mut()[at as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        let operands = [0, bsk_bytes, bsk_bytes + ksk_bytes, settings.pack()];
        let shape = Shape::new(lanes, degree);
        let reference = Reference { parameters: p, keyswitch: workload.keyswitch, bsk, ksk, table };
        Ok(Self { workload, shape, bench, reference, operands, key_bytes, capacity })
    }

    /// Changes how card memory behaves, from the next run on.
    pub fn set_memory(&mut self, memory: Traffic) {
        self.bench.card.set_memory_traffic(memory);
    }

    /// Runs one command of `count` random ciphertexts and compares every word of its results with golden's. Counters are
    /// sampled every `sample_cycles`; `progress` hears how many of the results are in host memory.
    ///
    /// # Errors
    /// [`SimError::Bench`] if `count` is 0 or above the capacity, or the command fails; [`SimError::Disagrees`] if a word is
    /// not golden's; as [`CardBench`].
    pub fn run(&mut self, count: usize, sample_cycles: u64, mut progress: impl FnMut(usize)) -> Result<Run, SimError> {
        if count == 0 || count > self.capacity {
            return Err(SimError::Bench(format!("{count} ciphertexts: from 1 to {} fit", self.capacity)));
        }
        let p = self.workload.parameters;
        let degree = p.ring_degree.0;
        let source_len = if self.workload.keyswitch { degree } else { p.lwe_dimension.0 } + 1;
        let input = words(self.workload.seed.wrapping_add(count as u64) ^ 0x696e, count * source_len);
        let out = (8 * input.len()).next_multiple_of(BURST_BYTES as usize);
        self.bench.put(0, &input)?;
        let bench = &mut self.bench;
        let descriptor = Descriptor {
            count: count as u32,
            source: bench.data(0),
            destination: bench.data(out),
            operands: self.operands,
            ..Descriptor::new(Opcode::Bootstrap)
        };
        let before = Counters::read(bench)?;
        let card_read = |bench: &CardBench| bench.card.memory_moved_bytes().iter().map(|port| port.0).sum::<u64>();
        let read_before = card_read(bench);
        bench.queue(0, descriptor.words())?;
        let batch = self.shape.depth;
        let written = bench.card.host_moved_bytes().1;
        let end = |ciphertexts: usize| written + 8 * (ciphertexts * (degree + 1)) as u64 / BURST_BYTES * BURST_BYTES;
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
            degree,
            dimension: p.lwe_dimension.0,
            levels: p.pbs_level.0,
            count,
            batch,
            multipliers: self.shape.multiplier_groups(),
            cycles: done.cycles,
            batches_done,
            counted: counters.since(&before),
            key_bytes: self.key_bytes,
            card_read_bytes: card_read(bench) - read_before,
            samples,
        };
        let results = bench.get(out, count * (degree + 1))?;
        self.reference.compare(&input, source_len, &results)?;
        Ok(run)
    }
}

impl Reference {
    /// Every word of every result against golden's, on as many threads as there are processors.
    fn compare(&self, input: &[u64], source_len: usize, results: &[u64]) -> Result<(), SimError> {
        let p = &self.parameters;
        let expected = |ciphertext: &[u64]| -> Result<Vec<u64>, GoldenError> {
            let ciphertext = LweCiphertext::from_words(ciphertext.to_vec());
            let small = if self.keyswitch { keyswitch(p, &self.ksk, &ciphertext)? } else { ciphertext };
            let switched = modulus_switch(small.words(), p);
            let turned = blind_rotation(p, &self.bsk, &GlweCiphertext::trivial(1, &self.table), &switched)?;
            Ok(sample_extract(&turned, 0)?.into_words())
        };
        let pairs: Vec<_> =
            input.chunks_exact(source_len).zip(results.chunks_exact(p.ring_degree.0 + 1)).enumerate().collect();
        let next = AtomicUsize::new(0);
        let check = || {
            while let Some(&(index, (ciphertext, result))) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let expected = expected(ciphertext)?;
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

/// One command on ring 0, to its completion without error.
fn command(bench: &mut CardBench, descriptor: Descriptor) -> Result<(), SimError> {
    bench.queue(0, descriptor.words())?;
    bench.doorbell(0)?;
    bench.card.run(STUCK_CYCLES)?;
    match bench.completion(0)? {
        Some(done) if done.status == StatusCode::Ok => Ok(()),
        other => Err(SimError::Bench(format!("{:?} ended with {other:?}", descriptor.opcode))),
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
