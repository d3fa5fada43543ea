//! The card backend: bootstraps with the card's transforms.
//!
//! What the card does in RTL runs on the card: every forward and inverse transform of a blind rotation. Keyswitch,
//! rotation, decomposition and the multiply-accumulate between the transforms run on the host until the card has them.

use crate::Error;
use crate::cpu::{CpuEngine, CpuKeys, Precision};
use crate::device::Device;
use crate::engine::{Backend, Batch, CardStats};
use crate::evaluation::EvaluationKeys;
use glovebox_driver::{self as driver, Counters, DeviceAddress};
use glovebox_golden::bootstrap::sample_extract;
use glovebox_golden::cipher::GlweCiphertext;
use glovebox_golden::keys::NttBootstrapKey;
use glovebox_golden::{field, torus};

/// The first card of this machine that can be opened.
pub(crate) fn first_usable() -> Option<Device> {
    let cards = driver::discovery::list();
    let card = cards.into_iter().find(|card| card.usable == driver::discovery::Usable::Yes)?;
    Some(Device::Vfio(card.address.to_string()))
}

/// One card with the keys of one client.
pub(crate) struct CardBackend {
    card: driver::Device,
    at_start: Counters,
    cpu: CpuEngine,
    keys: CpuKeys,
    bootstrap_key: NttBootstrapKey,
}

impl CardBackend {
    pub(crate) fn open(device: &Device, keys: &EvaluationKeys) -> Result<Self, Error> {
        let address = match device {
            Device::VfioUser(path) => DeviceAddress::VfioUser(path.clone()),
            other => other.to_string().parse()?,
        };
        let card = driver::Device::open(&address)?;
        let (parameters, degree) = (keys.parameters(), card.parameters().degree());
        if degree != parameters.ring_degree.0 {
            return Err(Error::Device {
                device: device.to_string(),
                reason: format!(
                    "it transforms N = {degree}, the keys have N = {}: choose a card built for it, or cpu",
                    parameters.ring_degree
                ),
            });
        }
        let at_start = card.counters()?;
        Ok(Self {
            card,
            at_start,
            cpu: CpuEngine::new(None),
            keys: CpuKeys::new(parameters, keys.keyswitch_key(), keys.bootstrap_key(), Precision::Exact)?,
            bootstrap_key: keys.bootstrap_key().to_ntt(parameters)?,
        })
    }

    /// The external products of one step for every accumulator that turns in it, added in place.
    fn step(&self, ggsw: &[u64], turning: &mut [(&mut Vec<u64>, usize)]) -> Result<(), Error> {
        let p = self.keys.parameters();
        let (degree, columns, levels) = (p.ring_degree.0, p.glwe_dimension.0 + 1, p.pbs_level.0);
        // Digit polynomials, [ciphertext][row][level][N].
        let mut digits = vec![0u64; turning.len() * columns * levels * degree];
        let mut targets = digits.chunks_exact_mut(levels * degree);
        for (accumulator, exponent) in turning.iter() {
            for (polynomial, target) in accumulator.chunks_exact(degree).zip(&mut targets) {
                let rotated = torus::multiply_by_monomial(polynomial, *exponent);
                for (i, (r, c)) in rotated.iter().zip(polynomial).enumerate() {
                    for (level, digit) in
                        torus::decompose(r.wrapping_sub(*c), p.pbs_decomposition()).into_iter().enumerate()
                    {
                        target[level * degree + i] = field::from_signed(digit);
                    }
                }
            }
        }
        let transforms = self.card.ntt(&digits)?;
        let mut sums = vec![0u64; turning.len() * columns * degree];
        for (transforms, sums) in
            transforms.chunks_exact(columns * levels * degree).zip(sums.chunks_exact_mut(columns * degree))
        {
            for (column, sum) in sums.chunks_exact_mut(degree).enumerate() {
                for (index, transform) in transforms.chunks_exact(degree).enumerate() {
                    let (row, level) = (index / levels, index % levels);
                    let start = ((level * columns + row) * columns + column) * degree;
                    for ((s, &t), &g) in sum.iter_mut().zip(transform).zip(&ggsw[start..start + degree]) {
                        *s = field::add(*s, field::mul(t, g));
                    }
                }
            }
        }
        let products = self.card.intt(&sums)?;
        for ((accumulator, _), product) in turning.iter_mut().zip(products.chunks_exact(columns * degree)) {
            for (word, &value) in accumulator.iter_mut().zip(product) {
                *word = word.wrapping_add(field::to_torus(field::reduce(value)));
            }
        }
        Ok(())
    }
}

impl Backend for CardBackend {
    fn bootstrap(&self, batch: &Batch<'_>, outputs: &mut [u64]) -> Result<(), Error> {
        let p = self.keys.parameters();
        let (big, small, glwe) = (p.big_lwe_dimension().0 + 1, p.lwe_dimension.0 + 1, p.glwe_len());
        let count = batch.inputs.len() / big;
        let mut switched_words = vec![0; count * small];
        self.cpu.keyswitch(&self.keys, batch.inputs, &mut switched_words)?;
        let switched: Vec<_> = switched_words.chunks_exact(small).map(|c| torus::modulus_switch(c, p)).collect();
        let mut accumulators: Vec<Vec<u64>> = (0..count).map(|i| batch.luts.of(i, glwe).to_vec()).collect();
        let ggsw_len = p.bootstrap_key_len() / p.lwe_dimension.0;
        for (step, ggsw) in self.bootstrap_key.words().chunks_exact(ggsw_len).enumerate() {
            let mut turning: Vec<_> = accumulators
                .iter_mut()
                .zip(&switched)
                .map(|(accumulator, switched)| (accumulator, switched.mask[step]))
                .filter(|(_, exponent)| *exponent != 0)
                .collect();
            if !turning.is_empty() {
                self.step(ggsw, &mut turning)?;
            }
        }
        let mut outputs = outputs.chunks_exact_mut(big);
        for (accumulator, switched) in accumulators.iter().zip(&switched) {
            let turn_back = 2 * p.ring_degree.0 - switched.body;
            let words = accumulator
                .chunks_exact(p.ring_degree.0)
                .flat_map(|polynomial| torus::multiply_by_monomial(polynomial, turn_back))
                .collect();
            let turned = GlweCiphertext::from_words(words, p.ring_degree.0);
            for &coefficient in batch.extract {
                let sample = sample_extract(&turned, coefficient)?;
                if let Some(output) = outputs.next() {
                    output.copy_from_slice(sample.words());
                }
            }
        }
        Ok(())
    }

    fn card_stats(&self) -> CardStats {
        // A card that no longer answers has nothing to report; its failure surfaced in the batch.
        let now = self.card.counters().unwrap_or(self.at_start);
        let p = self.card.parameters();
        let beats = p.degree() as u64 / u64::from(p.lanes);
        let since = |f: fn(&Counters) -> u64| f(&now).saturating_sub(f(&self.at_start));
        CardStats {
            commands: since(|c| c.commands_done),
            transforms: (since(|c| c.ntt_beats) + since(|c| c.intt_beats)) / beats,
            cycles: since(|c| c.busy_cycles),
        }
    }
}
