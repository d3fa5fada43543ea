//! The card backend: whole bootstraps on a card that has them, else bootstraps with the card's transforms.
//!
//! A card with the command BOOTSTRAP keeps the keys in its memory: they are uploaded at the first batch, and again after a
//! reset of the card. What its bootstrap has no form for (a k that the card is not built for, tables with a mask,
//! coefficients that are no functions of a many-LUT, moduli of the keyswitch other than 2^64, 2^32, 2^21, keys that do not
//! fit its memory) runs with the transforms on the card and the rest on the host.

use crate::Error;
use crate::cpu::{CpuEngine, CpuKeys, Luts, Precision};
use crate::device::Device;
use crate::engine::{Backend, Batch, CardStats};
use crate::evaluation::EvaluationKeys;
use glovebox_driver::bootstrap::{card_bootstrap_key, card_keyswitch_key};
use glovebox_driver::{self as driver, CardBuffer, Command, Counters, DeviceAddress, DeviceConfig};
use glovebox_golden::bootstrap::sample_extract;
use glovebox_golden::cipher::GlweCiphertext;
use glovebox_golden::keys::NttBootstrapKey;
use glovebox_golden::{field, torus};
use glovebox_regmap::{BootstrapSettings, Opcode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
    evaluation: EvaluationKeys,
    resident: Mutex<Option<ResidentKeys>>,
}

/// Keys in card memory.
#[derive(Clone)]
struct ResidentKeys {
    bootstrap_key: Arc<CardBuffer>,
    keyswitch_key: Arc<CardBuffer>,
}

/// Ciphertexts of one command.
const CIPHERTEXTS: usize = 1024;

impl CardBackend {
    pub(crate) fn open(device: &Device, keys: &EvaluationKeys) -> Result<Self, Error> {
        let address = match device {
            Device::VfioUser(path) => DeviceAddress::VfioUser(path.clone()),
            other => other.to_string().parse()?,
        };
        let config = match device {
            // A card behind a socket is simulated: a command, or erasing a key set, takes minutes.
            Device::VfioUser(_) => DeviceConfig {
                command_timeout: Duration::from_secs(3600),
                reset_timeout: Duration::from_secs(60),
                erase_timeout: Duration::from_secs(3600),
                ..DeviceConfig::default()
            },
            _ => DeviceConfig::default(),
        };
        let card = driver::Device::open_with(&address, config)?;
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
            evaluation: keys.clone(),
            resident: Mutex::default(),
        })
    }

    /// The card's settings for a batch, if its bootstrap has a form for it.
    fn settings(&self, batch: &Batch<'_>, count: usize) -> Option<BootstrapSettings> {
        let p = self.keys.parameters();
        let (degree, glwe, functions) = (p.ring_degree.0, p.glwe_len(), batch.extract.len());
        let stride = degree / functions.next_power_of_two();
        let regular = batch.extract.iter().enumerate().all(|(f, &index)| index == f * stride);
        let trivial = (0..count).all(|i| batch.luts.of(i, glwe)[..glwe - degree].iter().all(|&word| word == 0));
        if !self.card.parameters().can(Opcode::Bootstrap) || !regular || !trivial {
            return None;
        }
        let lut_each = matches!(batch.luts, Luts::Each(_));
        let settings = self.card.bootstrap_settings(p).ok()?;
        let settings = BootstrapSettings { lut_each, functions: functions.try_into().ok()?, ..settings };
        BootstrapSettings::unpack(settings.pack()).filter(|unpacked| *unpacked == settings)
    }

    /// The keys in card memory, uploaded if they are not there.
    fn resident_keys(&self) -> Result<ResidentKeys, Error> {
        let mut resident = self.resident.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = &*resident {
            return Ok(keys.clone());
        }
        let (p, lanes) = (self.keys.parameters(), self.card.parameters().lanes);
        let bootstrap_key = self.card.upload_words(&card_bootstrap_key(p, &self.bootstrap_key, lanes)?)?;
        let keyswitch_key = self.card.upload_words(&card_keyswitch_key(p, self.evaluation.keyswitch_key(), lanes))?;
        let keys = ResidentKeys { bootstrap_key: Arc::new(bootstrap_key), keyswitch_key: Arc::new(keyswitch_key) };
        *resident = Some(keys.clone());
        Ok(keys)
    }

    /// A batch by the card alone.
    fn bootstrap_on_card(
        &self,
        batch: &Batch<'_>,
        settings: BootstrapSettings,
        outputs: &mut [u64],
    ) -> Result<(), Error> {
        let p = self.keys.parameters();
        let (big, degree, glwe) = (p.big_lwe_dimension().0 + 1, p.ring_degree.0, p.glwe_len());
        let keys = self.resident_keys()?;
        let pieces = batch.inputs.chunks(CIPHERTEXTS * big);
        let results = outputs.chunks_mut(CIPHERTEXTS * big * batch.extract.len());
        for (piece, (inputs, outputs)) in pieces.zip(results).enumerate() {
            let count = inputs.len() / big;
            let tables = if settings.lut_each { count } else { 1 };
            let bodies: Vec<u64> = (0..tables)
                .flat_map(|i| &batch.luts.of(piece * CIPHERTEXTS + i, glwe)[glwe - degree..])
                .copied()
                .collect();
            let luts = self.card.upload_words(&bodies)?;
            let source = self.card.allocate(size_of_val(inputs))?;
            source.write_words(0, inputs)?;
            let destination = self.card.allocate(size_of_val(outputs))?;
            let command = Command::Bootstrap {
                source: source.whole(),
                destination: destination.whole(),
                bootstrap_key: keys.bootstrap_key.whole(),
                keyswitch_key: Some(keys.keyswitch_key.whole()),
                luts: luts.whole(),
                settings,
            };
            self.card.run(0, command)?;
            destination.read_words(0, outputs)?;
        }
        Ok(())
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
        if let Some(settings) = self.settings(batch, count) {
            let mut result = self.bootstrap_on_card(batch, settings, outputs);
            if matches!(result, Err(Error::Driver(driver::Error::CardMemoryLost { .. }))) {
                // The card was reset since: once more, with the keys uploaded again.
                *self.resident.lock().unwrap_or_else(PoisonError::into_inner) = None;
                result = self.bootstrap_on_card(batch, settings, outputs);
            }
            match result {
                // No room for the keys: the transforms alone need none.
                Err(Error::Driver(driver::Error::OutOfCardMemory { .. })) => {}
                result => return result,
            }
        }
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
