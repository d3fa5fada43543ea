//! The CPU engine: keyswitch, bootstrap and transforms, multi-threaded, with the card's bits.
//!
//! [`CpuKeys`] holds keys in a layout for one instruction set and one [`Precision`], [`CpuEngine`] runs batches with them.
//! The design, the bounds behind exactness and where time goes are in `docs/cpu-engine.md`.

// Kernels index several arrays of vectors alike; iterators would hide that, and unroll worse.
#![allow(clippy::needless_range_loop, clippy::manual_memcpy)]

mod digits;
mod double;
mod error;
mod exact_ntt;
mod fft;
mod float;
mod goldilocks;
mod goldilocks_ntt;
mod keyswitch;
mod limbs;
mod memory;
mod simd;
mod spectral;
mod torus;

pub use error::CpuError;

use exact_ntt::{NttKey, NttScratch};
use float::FloatKey;
use glovebox_golden::GoldenError;
use glovebox_golden::keys::{BootstrapKey, KeyswitchKey};
use glovebox_golden::params::BootstrapParameters;
use keyswitch::{KeyswitchRows, Wanted};
use limbs::LimbKey;
use memory::AlignedVec;
use simd::{Kernel, Simd, Task};
use spectral::SpectralProduct;
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

/// The names of the instruction sets that kernels exist for and this processor has, best first; the last is `scalar`.
pub fn kernels() -> Vec<&'static str> {
    Kernel::available().into_iter().map(Kernel::name).collect()
}

/// The best instruction set, told once a process.
fn best_kernel() -> Kernel {
    static BEST: std::sync::OnceLock<Kernel> = std::sync::OnceLock::new();
    *BEST.get_or_init(|| {
        let best = Kernel::available()[0];
        tracing::info!("the CPU engine uses its {} kernels", best.name());
        best
    })
}

/// A kernel by name.
fn kernel_by_name(name: &str) -> Result<Kernel, CpuError> {
    let named = Kernel::available().into_iter().find(|kernel| kernel.name() == name);
    named.ok_or_else(|| CpuError::Kernel { kernel: name.into(), available: kernels().join(", ") })
}

/// A bootstrapping key in the layout of one of the multiplications.
enum Products {
    /// Exact, in integers, for every set and processor.
    Ntt(NttKey),
    /// Exact, in double precision.
    Limbs(LimbKey),
    /// In double precision.
    Float(FloatKey),
}

impl Products {
    fn new(parameters: &BootstrapParameters, bsk: &[u64], precision: Precision, kernel: Kernel) -> Self {
        let fast = || match precision {
            Precision::Fast => FloatKey::new(parameters, bsk, kernel).map(Self::Float),
            Precision::Exact => None,
        };
        fast()
            .or_else(|| LimbKey::new(parameters, bsk, kernel).map(Self::Limbs))
            .unwrap_or_else(|| Self::Ntt(NttKey::new(parameters, bsk, kernel)))
    }
}

/// The keys of one parameter set, laid out for the engine. Shared freely between threads and engines.
pub struct CpuKeys {
    parameters: BootstrapParameters,
    precision: Precision,
    kernel: Kernel,
    keyswitch: KeyswitchRows,
    products: Products,
}

impl std::fmt::Debug for CpuKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CpuKeys")
            .field("parameters", &self.parameters)
            .field("precision", &self.precision)
            .field("kernel", &self.kernel.name())
            .field("multiplication", &self.multiplication_name())
            .finish()
    }
}

fn expect_len(what: &'static str, expected: usize, found: usize) -> Result<(), CpuError> {
    if expected == found { Ok(()) } else { Err(CpuError::Length { what, expected, found }) }
}

impl CpuKeys {
    /// Converts keys to the engine's layout for the best instruction set of this processor.
    ///
    /// # Errors
    /// [`CpuError::Parameters`] for parameters that break a rule or keys made for others.
    pub fn new(
        parameters: &BootstrapParameters,
        ksk: &KeyswitchKey,
        bsk: &BootstrapKey,
        precision: Precision,
    ) -> Result<Self, CpuError> {
        Self::build(parameters, ksk, bsk, precision, best_kernel())
    }

    /// As [`CpuKeys::new`] for one of [`kernels`].
    ///
    /// # Errors
    /// As [`CpuKeys::new`], and [`CpuError::Kernel`] for a kernel that this processor cannot run.
    pub fn with_kernel(
        parameters: &BootstrapParameters,
        ksk: &KeyswitchKey,
        bsk: &BootstrapKey,
        precision: Precision,
        kernel: &str,
    ) -> Result<Self, CpuError> {
        Self::build(parameters, ksk, bsk, precision, kernel_by_name(kernel)?)
    }

    fn build(
        parameters: &BootstrapParameters,
        ksk: &KeyswitchKey,
        bsk: &BootstrapKey,
        precision: Precision,
        kernel: Kernel,
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
            kernel,
            keyswitch: KeyswitchRows::new(parameters, ksk.words()),
            products: Products::new(parameters, bsk.words(), precision, kernel),
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

    /// The instruction set that the keys are laid out for.
    pub fn kernel_name(&self) -> &'static str {
        self.kernel.name()
    }

    /// The multiplication in use: `limbs` (exact: double precision, the key in limbs), `goldilocks` (exact: the transform
    /// mod p) or `float`.
    pub fn multiplication_name(&self) -> &'static str {
        match self.products {
            Products::Ntt(_) => "goldilocks",
            Products::Limbs(_) => "limbs",
            Products::Float(_) => "float",
        }
    }

    /// Memory that the bootstrapping key takes.
    pub fn bootstrap_key_bytes(&self) -> usize {
        match &self.products {
            Products::Ntt(key) => key.memory_bytes(),
            Products::Limbs(key) => key.memory_bytes(),
            Products::Float(key) => key.memory_bytes(),
        }
    }

    /// Memory that the keyswitching key takes.
    pub fn keyswitch_key_bytes(&self) -> usize {
        self.keyswitch.memory_bytes()
    }

    /// Memory that the keys take.
    pub fn memory_bytes(&self) -> usize {
        self.keyswitch_key_bytes() + self.bootstrap_key_bytes()
    }
}

/// Runs batches on the threads it is given. Holds no keys: those come with each call.
#[derive(Clone)]
pub struct CpuEngine {
    threads: NonZeroUsize,
    kernel: Kernel,
}

impl std::fmt::Debug for CpuEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CpuEngine").field("threads", &self.threads).field("kernel", &self.kernel.name()).finish()
    }
}

impl CpuEngine {
    /// An engine with that many threads, or one for each processor that the process may use.
    pub fn new(threads: Option<NonZeroUsize>) -> Self {
        let threads = threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
        Self { threads, kernel: best_kernel() }
    }

    /// As [`CpuEngine::new`], with one of [`kernels`] for the engine's own transforms; bootstraps use that of the keys.
    ///
    /// # Errors
    /// [`CpuError::Kernel`] for a kernel that this processor cannot run.
    pub fn with_kernel(threads: Option<NonZeroUsize>, kernel: &str) -> Result<Self, CpuError> {
        Ok(Self { kernel: kernel_by_name(kernel)?, ..Self::new(threads) })
    }

    /// Number of threads.
    pub fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    /// The instruction set in use.
    pub fn kernel_name(&self) -> &'static str {
        self.kernel.name()
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
        self.for_columns(outputs, small, |first, columns| {
            keys.keyswitch.run_columns(keys.kernel, Wanted::Words, inputs, &digits, first, columns);
        });
        Ok(())
    }

    /// Gives every thread a range of columns of all ciphertexts, so that each key word is read once in all. `run` gets the
    /// first of them, and their part of every row of `outputs`.
    fn for_columns(&self, outputs: &mut [u64], width: usize, run: impl Fn(usize, &mut [&mut [u64]]) + Sync) {
        let each = width.div_ceil(self.threads.get()).next_multiple_of(keyswitch::COLUMNS);
        let mut parts: Vec<(usize, Vec<&mut [u64]>)> =
            (0..width.div_ceil(each)).map(|part| (part * each, Vec::new())).collect();
        for output in outputs.chunks_exact_mut(width) {
            for (part, columns) in parts.iter_mut().zip(output.chunks_mut(each)) {
                part.1.push(columns);
            }
        }
        let run = &run;
        std::thread::scope(|scope| {
            let mut parts = parts.into_iter();
            let own = parts.next();
            for (first, mut columns) in parts {
                scope.spawn(move || run(first, &mut columns));
            }
            if let Some((first, mut columns)) = own {
                run(first, &mut columns);
            }
        });
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
        let count = Self::count(inputs, keys.parameters.big_lwe_dimension().0 + 1)?;
        self.check_rotation(keys, count, luts, extract, outputs)?;
        if count == 0 || extract.is_empty() {
            return Ok(());
        }
        let (keyswitch, width) = (&keys.keyswitch, keys.keyswitch.columns(Wanted::Exponents));
        let digits = keyswitch.digits(inputs);
        let mut words = vec![0; count * width];
        self.for_columns(&mut words, width, |first, columns| {
            keyswitch.run_columns(keys.kernel, Wanted::Exponents, inputs, &digits, first, columns);
        });
        let exponents = |index: usize, exponents: &mut [u32]| {
            keyswitch.exponents(keys.kernel, &digits, index, &words[index * width..][..width], exponents);
        };
        self.rotate(keys, count, &exponents, luts, extract, outputs);
        Ok(())
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
        let exponents = |index: usize, exponents: &mut [u32]| {
            torus::modulus_switch(&keys.parameters, &inputs[index * small..][..small], exponents);
        };
        self.rotate(keys, count, &exponents, luts, extract, outputs);
        Ok(())
    }

    /// Blind rotation of `count` ciphertexts, whose exponents `exponents` puts into a row of n + 1, and extraction.
    fn rotate(
        &self,
        keys: &CpuKeys,
        count: usize,
        exponents: &Exponents<'_>,
        luts: Luts<'_>,
        extract: &[usize],
        outputs: &mut [u64],
    ) {
        if count == 0 || extract.is_empty() {
            return;
        }
        let out = extract.len() * (keys.parameters.big_lwe_dimension().0 + 1);
        let threads = self.threads.get().min(count);
        let run = |first: usize, count: usize, outputs: &mut [u64]| {
            Share { keys, first, count, exponents, luts, extract, outputs }.run();
        };
        std::thread::scope(|scope| {
            let mut rest = outputs;
            for thread in 0..threads {
                let (first, last) = (count * thread / threads, count * (thread + 1) / threads);
                let (share, tail) = rest.split_at_mut((last - first) * out);
                rest = tail;
                if thread + 1 == threads {
                    run(first, last - first, share);
                } else {
                    scope.spawn(move || run(first, last - first, share));
                }
            }
        });
    }

    /// In-place negacyclic transform over the Goldilocks field: canonical coefficients in natural order in, transform
    /// in bit-reversed order out, canonical.
    ///
    /// # Errors
    /// [`CpuError::RingDegree`] unless `x` holds a power of two of words from 4 to 65536, [`CpuError::NotCanonical`]
    /// if one of them is not below p.
    pub fn ntt_forward(&self, x: &mut [u64]) -> Result<(), CpuError> {
        self.check_transform(x)?;
        goldilocks_ntt::forward(self.kernel, x);
        Ok(())
    }

    /// The inverse of [`CpuEngine::ntt_forward`], 1/N included: bit-reversed order in, natural order out.
    ///
    /// # Errors
    /// As [`CpuEngine::ntt_forward`].
    pub fn ntt_inverse(&self, x: &mut [u64]) -> Result<(), CpuError> {
        self.check_transform(x)?;
        goldilocks_ntt::inverse(self.kernel, x);
        Ok(())
    }

    fn check_transform(&self, x: &[u64]) -> Result<(), CpuError> {
        if !x.len().is_power_of_two() || !(4..=1 << 16).contains(&x.len()) {
            return Err(CpuError::RingDegree { degree: x.len() });
        }
        if goldilocks_ntt::all_canonical(self.kernel, x) {
            return Ok(());
        }
        let found = x.iter().enumerate().find(|(_, word)| **word >= goldilocks::P);
        found.map_or(Ok(()), |(index, &value)| Err(CpuError::NotCanonical { index, value }))
    }
}

/// The most ciphertexts that go through one pass over the bootstrapping key together: their accumulators stay in cache.
const GROUP: usize = 8;

/// Puts the exponents of a ciphertext of the batch into a row of n + 1.
type Exponents<'a> = dyn Fn(usize, &mut [u32]) + Sync + 'a;

/// One thread's share of a batch.
struct Share<'a> {
    keys: &'a CpuKeys,
    /// Index of the share's first ciphertext in the batch.
    first: usize,
    count: usize,
    exponents: &'a Exponents<'a>,
    luts: Luts<'a>,
    extract: &'a [usize],
    outputs: &'a mut [u64],
}

impl Share<'_> {
    /// Rotates group by group; `step(index, exponent, accumulator, first of its group)` is one step of one ciphertext.
    #[inline(always)]
    fn rotate(self, mut step: impl FnMut(usize, u32, &mut [u64], bool)) {
        let parameters = &self.keys.parameters;
        let (n, glwe, degree) = (parameters.lwe_dimension.0, parameters.glwe_len(), parameters.ring_degree.0);
        let (big, extract) = (parameters.big_lwe_dimension().0 + 1, self.extract);
        let group_len = self.count.div_ceil(self.count.div_ceil(GROUP).max(1));
        let mut accumulators = AlignedVec::<u64>::zeroed(group_len * glwe);
        let mut exponents = vec![0u32; group_len * (n + 1)];
        for (group, outputs) in self.outputs.chunks_mut(group_len * extract.len() * big).enumerate() {
            let count = outputs.len() / (extract.len() * big);
            for i in 0..count {
                let index = self.first + group * group_len + i;
                (self.exponents)(index, &mut exponents[i * (n + 1)..(i + 1) * (n + 1)]);
                accumulators[i * glwe..(i + 1) * glwe].copy_from_slice(self.luts.of(index, glwe));
            }
            for index in 0..n {
                for i in 0..count {
                    let exponent = exponents[i * (n + 1) + index] & (2 * degree as u32 - 1);
                    if exponent != 0 {
                        step(index, exponent, &mut accumulators[i * glwe..(i + 1) * glwe], i == 0);
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

    fn run(self) {
        let kernel = self.keys.kernel;
        match &self.keys.products {
            Products::Ntt(key) => key.kernel().run(NttShare(key, self)),
            Products::Limbs(key) => kernel.run(SpectralShare(key, self)),
            Products::Float(key) => kernel.run(SpectralShare(key, self)),
        }
    }
}

struct NttShare<'a>(&'a NttKey, Share<'a>);

impl Task for NttShare<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(key, share) = self;
        let mut scratch = NttScratch::new(key);
        share.rotate(
            #[inline(always)]
            |index, exponent, accumulator, _| key.step(s, index, exponent, accumulator, &mut scratch),
        );
    }
}

struct SpectralShare<'a, K>(&'a K, Share<'a>);

impl<K: SpectralProduct> Task for SpectralShare<'_, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(key, share) = self;
        let mut scratch = key.scratch();
        share.rotate(
            #[inline(always)]
            |index, exponent, accumulator, first| key.step(s, index, exponent, accumulator, &mut scratch, first),
        );
    }
}
