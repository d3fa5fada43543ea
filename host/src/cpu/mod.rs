//! The CPU engine: keyswitch, bootstrap and transforms, multi-threaded, with the card's bits.

mod error;
mod exact_ntt;
mod goldilocks;
mod keyswitch;
mod memory;
mod torus;

pub use error::CpuError;

use exact_ntt::{NttKey, NttScratch};
use glovebox_golden::GoldenError;
use glovebox_golden::keys::{BootstrapKey, KeyswitchKey};
use glovebox_golden::params::BootstrapParameters;
use goldilocks::NttTables;
use keyswitch::KeyswitchRows;
use std::num::NonZeroUsize;

/// How the engine multiplies polynomials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// Every output word equals the golden model's and the card's (device `cpu`).
    Exact,
    /// Floating-point products: same failure probability, other low bits (device `cpu-fast`).
    Fast,
}

/// The look-up tables of a batch: (k + 1) * N words each, coefficient domain mod 2^64.
#[derive(Clone, Copy, Debug)]
pub enum Luts<'a> {
    /// One table for every ciphertext.
    One(&'a [u64]),
    /// One table a ciphertext, in order.
    Each(&'a [u64]),
}

impl<'a> Luts<'a> {
    pub(crate) fn of(self, index: usize, len: usize) -> &'a [u64] {
        match self {
            Self::One(words) => words,
            Self::Each(words) => &words[index * len..(index + 1) * len],
        }
    }
}

/// The keys of one parameter set, laid out for the engine. Shared freely between threads and engines.
pub struct CpuKeys {
    parameters: BootstrapParameters,
    precision: Precision,
    keyswitch: KeyswitchRows,
    bootstrap: NttKey,
}

impl std::fmt::Debug for CpuKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CpuKeys").field("parameters", &self.parameters).field("precision", &self.precision).finish()
    }
}

fn expect_len(what: &'static str, expected: usize, found: usize) -> Result<(), CpuError> {
    if expected == found { Ok(()) } else { Err(CpuError::Length { what, expected, found }) }
}

impl CpuKeys {
    /// Converts keys to the engine's layout.
    ///
    /// # Errors
    /// [`CpuError::Parameters`] for parameters that break a rule or keys made for others.
    pub fn new(
        parameters: &BootstrapParameters,
        ksk: &KeyswitchKey,
        bsk: &BootstrapKey,
        precision: Precision,
    ) -> Result<Self, CpuError> {
        parameters.validate()?;
        for (what, expected, found) in [
            ("keyswitching key", parameters.keyswitch_key_len(), ksk.words().len()),
            ("bootstrapping key", parameters.bootstrap_key_len(), bsk.words().len()),
        ] {
            if expected != found {
                return Err(GoldenError::Length { what, expected, found }.into());
            }
        }
        Ok(Self {
            parameters: *parameters,
            precision,
            keyswitch: KeyswitchRows::new(parameters, ksk.words()),
            bootstrap: NttKey::new(parameters, bsk.words()),
        })
    }

    /// The parameter set that the keys belong to.
    pub fn parameters(&self) -> &BootstrapParameters {
        &self.parameters
    }

    /// How products with these keys are formed.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Memory that the keys take.
    pub fn memory_bytes(&self) -> usize {
        self.keyswitch.memory_bytes() + self.bootstrap.memory_bytes()
    }
}

/// Runs batches on the threads it is given. Holds no keys: those come with each call.
#[derive(Clone, Debug)]
pub struct CpuEngine {
    threads: NonZeroUsize,
}

impl CpuEngine {
    /// An engine with that many threads, or one for each processor that the process may use.
    pub fn new(threads: Option<NonZeroUsize>) -> Self {
        let threads = threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
        Self { threads }
    }

    /// Number of threads.
    pub fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    /// The instruction set in use.
    pub fn kernel_name(&self) -> &'static str {
        "scalar"
    }

    /// Whole ciphertexts of `unit` words in `inputs`.
    fn count(inputs: &[u64], unit: usize) -> Result<usize, CpuError> {
        if inputs.len().is_multiple_of(unit) {
            Ok(inputs.len() / unit)
        } else {
            Err(CpuError::NotWhole { what: "input ciphertexts", found: inputs.len(), unit })
        }
    }

    /// Changes the key of every ciphertext from the big to the small LWE key.
    ///
    /// `inputs` holds k*N + 1 words a ciphertext, `outputs` n + 1; words of a modulus below 2^64 sit at the top.
    ///
    /// # Errors
    /// [`CpuError::NotWhole`] or [`CpuError::Length`] for batches of other sizes.
    pub fn keyswitch(&self, keys: &CpuKeys, inputs: &[u64], outputs: &mut [u64]) -> Result<(), CpuError> {
        let small = keys.parameters.lwe_dimension.0 + 1;
        let count = Self::count(inputs, keys.parameters.big_lwe_dimension().0 + 1)?;
        expect_len("keyswitch outputs", count * small, outputs.len())?;
        if count == 0 {
            return Ok(());
        }
        let digits = keys.keyswitch.digits(inputs);
        // Every thread takes a range of columns of all ciphertexts, so that each key word is read once in all.
        let per_thread = small.div_ceil(self.threads.get()).next_multiple_of(8);
        let mut parts: Vec<(usize, Vec<&mut [u64]>)> =
            (0..small).step_by(per_thread).map(|start| (start, Vec::with_capacity(count))).collect();
        for output in outputs.chunks_exact_mut(small) {
            for (part, columns) in parts.iter_mut().zip(output.chunks_mut(per_thread)) {
                part.1.push(columns);
            }
        }
        let run = |(start, mut columns): (usize, Vec<&mut [u64]>)| {
            let end = (start + per_thread).min(small);
            keys.keyswitch.run_columns(inputs, &digits, start..end, &mut columns);
        };
        std::thread::scope(|scope| {
            let mut parts = parts.into_iter();
            let own = parts.next();
            for part in parts {
                scope.spawn(move || run(part));
            }
            own.map(run);
        });
        Ok(())
    }

    /// Keyswitch, modulus switch, blind rotation and extraction of every ciphertext.
    ///
    /// `inputs` holds k*N + 1 words a ciphertext. `extract` lists the coefficients to extract (0 for a table of one
    /// function). `outputs` holds k*N + 1 words for each ciphertext and each of those, ciphertext by ciphertext.
    ///
    /// # Errors
    /// [`CpuError::NotWhole`], [`CpuError::Length`] or [`CpuError::ExtractionIndex`] for data of other sizes.
    pub fn bootstrap(
        &self,
        keys: &CpuKeys,
        inputs: &[u64],
        luts: Luts<'_>,
        extract: &[usize],
        outputs: &mut [u64],
    ) -> Result<(), CpuError> {
        let small = keys.parameters.lwe_dimension.0 + 1;
        let count = Self::count(inputs, keys.parameters.big_lwe_dimension().0 + 1)?;
        self.check_rotation(keys, count, luts, extract, outputs)?;
        let mut switched = vec![0; count * small];
        self.keyswitch(keys, inputs, &mut switched)?;
        self.blind_rotate(keys, &switched, luts, extract, outputs)
    }

    fn check_rotation(
        &self,
        keys: &CpuKeys,
        count: usize,
        luts: Luts<'_>,
        extract: &[usize],
        outputs: &[u64],
    ) -> Result<(), CpuError> {
        let parameters = &keys.parameters;
        let glwe = parameters.glwe_len();
        match luts {
            Luts::One(words) => expect_len("the look-up table's words", glwe, words.len())?,
            Luts::Each(words) => expect_len("look-up tables", count * glwe, words.len())?,
        }
        let degree = parameters.ring_degree.0;
        if let Some(&index) = extract.iter().find(|&&index| index >= degree) {
            return Err(CpuError::ExtractionIndex { index, degree });
        }
        expect_len("bootstrap outputs", count * extract.len() * (parameters.big_lwe_dimension().0 + 1), outputs.len())
    }

    /// As [`CpuEngine::bootstrap`], for ciphertexts that are under the small key already: n + 1 words each, words of a
    /// modulus below 2^64 at the top.
    ///
    /// # Errors
    /// As [`CpuEngine::bootstrap`].
    pub fn blind_rotate(
        &self,
        keys: &CpuKeys,
        inputs: &[u64],
        luts: Luts<'_>,
        extract: &[usize],
        outputs: &mut [u64],
    ) -> Result<(), CpuError> {
        let small = keys.parameters.lwe_dimension.0 + 1;
        let count = Self::count(inputs, small)?;
        self.check_rotation(keys, count, luts, extract, outputs)?;
        if count == 0 || extract.is_empty() {
            return Ok(());
        }
        let out = extract.len() * (keys.parameters.big_lwe_dimension().0 + 1);
        let threads = self.threads.get().min(count);
        let run = |first: usize, inputs: &[u64], outputs: &mut [u64]| {
            rotate_share(keys, first, inputs, luts, extract, outputs);
        };
        std::thread::scope(|scope| {
            let (mut rest_in, mut rest_out) = (inputs, outputs);
            for thread in 0..threads {
                let (first, last) = (count * thread / threads, count * (thread + 1) / threads);
                let (share_in, tail_in) = rest_in.split_at((last - first) * small);
                let (share_out, tail_out) = rest_out.split_at_mut((last - first) * out);
                (rest_in, rest_out) = (tail_in, tail_out);
                if thread + 1 == threads {
                    run(first, share_in, share_out);
                } else {
                    scope.spawn(move || run(first, share_in, share_out));
                }
            }
        });
        Ok(())
    }

    /// In-place negacyclic transform over the Goldilocks field: canonical coefficients in natural order in, transform
    /// in bit-reversed order out, canonical.
    ///
    /// # Errors
    /// [`CpuError::RingDegree`] unless `x` holds a power of two of words from 4 to 65536, [`CpuError::NotCanonical`]
    /// if one of them is not below p.
    pub fn ntt_forward(&self, x: &mut [u64]) -> Result<(), CpuError> {
        check_transform(x)?;
        NttTables::new(x.len()).forward(x);
        Ok(())
    }

    /// The inverse of [`CpuEngine::ntt_forward`], 1/N included: bit-reversed order in, natural order out.
    ///
    /// # Errors
    /// As [`CpuEngine::ntt_forward`].
    pub fn ntt_inverse(&self, x: &mut [u64]) -> Result<(), CpuError> {
        check_transform(x)?;
        NttTables::new(x.len()).inverse(x);
        Ok(())
    }
}

fn check_transform(x: &[u64]) -> Result<(), CpuError> {
    if !x.len().is_power_of_two() || !(4..=1 << 16).contains(&x.len()) {
        return Err(CpuError::RingDegree { degree: x.len() });
    }
    match x.iter().position(|&value| value >= goldilocks::P) {
        None => Ok(()),
        Some(index) => Err(CpuError::NotCanonical { index, value: x[index] }),
    }
}

/// Ciphertexts that go through one pass over the bootstrapping key together: their accumulators stay in cache.
const GROUP: usize = 8;

/// One thread's share of a batch.
fn rotate_share(keys: &CpuKeys, first: usize, inputs: &[u64], luts: Luts<'_>, extract: &[usize], outputs: &mut [u64]) {
    let parameters = &keys.parameters;
    let (n, glwe, degree) = (parameters.lwe_dimension.0, parameters.glwe_len(), parameters.ring_degree.0);
    let big = parameters.big_lwe_dimension().0 + 1;
    let mut scratch = NttScratch::default();
    let mut accumulators = AlignedBatch::zeroed(GROUP * glwe);
    let mut exponents = vec![0u32; GROUP * (n + 1)];
    let groups = inputs.chunks(GROUP * (n + 1)).zip(outputs.chunks_mut(GROUP * extract.len() * big));
    for (group, (inputs, outputs)) in groups.enumerate() {
        let count = inputs.len() / (n + 1);
        for (i, lwe) in inputs.chunks_exact(n + 1).enumerate() {
            torus::modulus_switch(parameters, lwe, &mut exponents[i * (n + 1)..(i + 1) * (n + 1)]);
            accumulators[i * glwe..(i + 1) * glwe].copy_from_slice(luts.of(first + group * GROUP + i, glwe));
        }
        for index in 0..n {
            for i in 0..count {
                let exponent = exponents[i * (n + 1) + index] & (2 * degree as u32 - 1);
                if exponent != 0 {
                    keys.bootstrap.step(index, exponent, &mut accumulators[i * glwe..(i + 1) * glwe], &mut scratch);
                }
            }
        }
        for (i, outputs) in outputs.chunks_exact_mut(extract.len() * big).enumerate() {
            let body = exponents[i * (n + 1) + n];
            for (&index, output) in extract.iter().zip(outputs.chunks_exact_mut(big)) {
                torus::extract(&accumulators[i * glwe..(i + 1) * glwe], degree, body, index, output);
            }
        }
    }
}

type AlignedBatch = memory::AlignedVec<u64>;
