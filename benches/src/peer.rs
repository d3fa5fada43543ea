//! tfhe-rs and tfhe-ntt behind the calls that the benches time.

use glovebox_golden::params::BootstrapParameters;
use tfhe::core_crypto::fft_impl::fft64::math::fft::{Fft, FftView};
use tfhe::core_crypto::prelude::*;

/// tfhe-rs's floating-point bootstrap with the parameters of one of our sets whose keyswitching key is mod 2^64.
///
/// Its keys are random words: the running time does not depend on their values.
pub struct Tfhe {
    parameters: BootstrapParameters,
    keyswitch_key: LweKeyswitchKeyOwned<u64>,
    bootstrap_key: FourierLweBootstrapKeyOwned,
    fft: Fft,
    buffers: ComputationBuffers,
    small: LweCiphertextListOwned<u64>,
    batch: usize,
}

/// The native modulus.
fn native() -> CiphertextModulus<u64> {
    CiphertextModulus::new_native()
}

impl Tfhe {
    /// Converts `bsk` to tfhe-rs's Fourier layout; `batch` is the largest batch that will be run.
    pub fn new(parameters: &BootstrapParameters, ksk: &[u64], bsk: &[u64], batch: usize) -> Self {
        let p = parameters;
        let polynomial_size = PolynomialSize(p.ring_degree.0);
        let glwe_size = GlweDimension(p.glwe_dimension.0).to_glwe_size();
        let (base, level) = (DecompositionBaseLog(p.pbs_base_log.0 as usize), DecompositionLevelCount(p.pbs_level.0));
        let standard =
            LweBootstrapKeyOwned::from_container(bsk.to_vec(), glwe_size, polynomial_size, base, level, native());
        let mut bootstrap_key =
            FourierLweBootstrapKeyOwned::new(LweDimension(p.lwe_dimension.0), glwe_size, polynomial_size, base, level);
        par_convert_standard_lwe_bootstrap_key_to_fourier(&standard, &mut bootstrap_key);
        let keyswitch_key = LweKeyswitchKeyOwned::from_container(
            ksk.to_vec(),
            DecompositionBaseLog(p.ks_base_log.0 as usize),
            DecompositionLevelCount(p.ks_level.0),
            LweDimension(p.lwe_dimension.0).to_lwe_size(),
            native(),
        );
        let fft = Fft::new(polynomial_size);
        let mut buffers = ComputationBuffers::new();
        let view = fft.as_view();
        let one =
            programmable_bootstrap_lwe_ciphertext_mem_optimized_requirement::<u64>(glwe_size, polynomial_size, view);
        let many = batch_programmable_bootstrap_lwe_ciphertext_mem_optimized_requirement::<u64>(
            glwe_size,
            polynomial_size,
            CiphertextCount(batch),
            view,
        );
        buffers.resize(one.unaligned_bytes_required().max(many.unaligned_bytes_required()));
        let small = LweCiphertextList::new(
            0,
            LweDimension(p.lwe_dimension.0).to_lwe_size(),
            LweCiphertextCount(batch),
            native(),
        );
        Self { parameters: *p, keyswitch_key, bootstrap_key, fft, buffers, small, batch }
    }

    /// Keyswitches every ciphertext of `inputs`, one after the other, as tfhe-rs has no batched keyswitch on the CPU.
    pub fn keyswitch(&mut self, inputs: &[u64]) {
        let big = self.parameters.big_lwe_dimension().0 + 1;
        for (input, mut output) in inputs.chunks_exact(big).zip(self.small.iter_mut()) {
            keyswitch_lwe_ciphertext(&self.keyswitch_key, &LweCiphertext::from_container(input, native()), &mut output);
        }
    }

    /// Bootstraps the first keyswitched ciphertext.
    pub fn bootstrap_one(&mut self, lut: &[u64], output: &mut [u64]) {
        let view: FftView<'_> = self.fft.as_view();
        let degree = PolynomialSize(self.parameters.ring_degree.0);
        let Some(input) = self.small.iter().next() else { return };
        programmable_bootstrap_lwe_ciphertext_mem_optimized(
            &input,
            &mut LweCiphertext::from_container(output, native()),
            &GlweCiphertext::from_container(lut, degree, native()),
            &self.bootstrap_key,
            view,
            self.buffers.stack(),
        );
    }

    /// Bootstraps the first `count` keyswitched ciphertexts with tfhe-rs's batch function; one table for each.
    pub fn bootstrap_batch(&mut self, count: usize, luts: &[u64], outputs: &mut [u64]) {
        assert!(count <= self.batch, "batch larger than prepared for");
        let p = &self.parameters;
        let size = LweDimension(p.lwe_dimension.0).to_lwe_size();
        let words = &self.small.as_ref()[..count * size.0];
        batch_programmable_bootstrap_lwe_ciphertext_mem_optimized(
            &LweCiphertextList::from_container(words, size, native()),
            &mut LweCiphertextList::from_container(
                outputs,
                LweDimension(p.big_lwe_dimension().0).to_lwe_size(),
                native(),
            ),
            &GlweCiphertextList::from_container(
                luts,
                GlweDimension(p.glwe_dimension.0).to_glwe_size(),
                PolynomialSize(p.ring_degree.0),
                native(),
            ),
            &self.bootstrap_key,
            self.fft.as_view(),
            self.buffers.stack(),
        );
    }
}

/// tfhe-ntt's transform over the Goldilocks field.
pub struct TfheNtt(tfhe_ntt::prime64::Plan);

impl TfheNtt {
    /// A plan for `degree` coefficients; `None` where tfhe-ntt has none.
    pub fn new(degree: usize) -> Option<Self> {
        tfhe_ntt::prime64::Plan::try_new(degree, tfhe_ntt::prime64::Solinas::P).map(Self)
    }

    /// Forward transform in place.
    pub fn forward(&self, x: &mut [u64]) {
        self.0.fwd(x);
    }

    /// Inverse transform in place, without the factor 1/N.
    pub fn inverse(&self, x: &mut [u64]) {
        self.0.inv(x);
    }
}
