//! Bootstraps with known results, for tests and for diagnosis of a card: random keys on a card, random ciphertexts, and
//! what the golden model makes of them.
//!
//! Keys are random words: no secret is behind them, and every bit of the result depends on them.

use crate::bootstrap::{card_bootstrap_key, card_keyswitch_key, golden_result, parameters_of};
use crate::card_memory::CardBuffer;
use crate::device::{Command, Device};
use crate::dma::DmaBuffer;
use crate::error::{Error, Result};
use glovebox_golden::GoldenError;
use glovebox_golden::keys::{BootstrapKey, KeyswitchKey, NttBootstrapKey};
use glovebox_golden::params::BootstrapParameters;
use glovebox_regmap::{BootstrapSettings, Opcode};

/// Words behind the results of a job: the card must leave them.
const GUARD: [u64; 8] = [0x5555; 8];

/// Words from a counter by a mixing function; most are canonical, some are not.
pub(crate) fn words(seed: u64, count: usize) -> Vec<u64> {
    (0..count as u64)
        .map(|i| {
            let mut x = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_add(i.wrapping_mul(0xbf58_476d_1ce4_e5b9));
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        })
        .collect()
}

/// A key set of random words, in card memory and for golden.
pub struct ReferenceKeys {
    p: BootstrapParameters,
    settings: BootstrapSettings,
    bsk: NttBootstrapKey,
    ksk: KeyswitchKey,
    // Released from the top down: a reset then has nothing left to erase.
    card_ksk: CardBuffer,
    card_bsk: CardBuffer,
}

/// One KEYSWITCH or BOOTSTRAP with memory of its own and the result that it must have.
pub struct ReferenceJob {
    input: Vec<u64>,
    source: DmaBuffer,
    destination: DmaBuffer,
    command: Command,
    expected: Vec<u64>,
}

impl ReferenceKeys {
    /// A small bootstrap with keyswitch, for any card: n = 5, base 2^23, one level.
    pub const SETTINGS: BootstrapSettings = BootstrapSettings {
        dimension: 5,
        pbs_base_log: 23,
        pbs_levels: 1,
        ks_base_log: 4,
        ks_levels: 4,
        ks_words_per_slot: 1,
        centred: true,
        keyswitch: true,
        lut_each: false,
        functions: 1,
    };

    /// Makes keys for `settings` at the card's ring degree and k from `seed` and uploads them.
    ///
    /// # Errors
    /// [`Error::Argument`] for settings without meaning, and as [`Device::upload`].
    pub fn upload(device: &Device, settings: BootstrapSettings, seed: u64) -> Result<Self> {
        let golden = |error| refused(device, &error);
        let lanes = device.parameters().lanes;
        let p = parameters_of(&settings, device.parameters().glwe());
        let bsk = BootstrapKey::from_words(&p, words(seed, p.bootstrap_key_len())).map_err(golden)?;
        let bsk = bsk.to_ntt(&p).map_err(golden)?;
        let unit = 64 - p.ks_modulus_log2;
        let random = words(seed ^ 0xabcd, p.keyswitch_key_len());
        let ksk = KeyswitchKey::from_words(&p, random.iter().map(|w| w >> unit << unit).collect()).map_err(golden)?;
        let card_bsk = device.upload_words(&card_bootstrap_key(&p, &bsk, lanes).map_err(golden)?)?;
        let card_ksk = device.upload_words(&card_keyswitch_key(&p, &ksk, lanes))?;
        Ok(Self { p, settings, bsk, ksk, card_ksk, card_bsk })
    }

    /// The settings that the keys were made for.
    pub fn settings(&self) -> BootstrapSettings {
        self.settings
    }

    /// The bootstrapping key on the card.
    pub fn bootstrap_key(&self) -> &CardBuffer {
        &self.card_bsk
    }

    /// The keyswitching key on the card.
    pub fn keyswitch_key(&self) -> &CardBuffer {
        &self.card_ksk
    }

    /// `count` random ciphertexts and their tables, ready to be submitted; `settings` may differ from those of the keys
    /// in what is no part of a key: keyswitch or not, tables, functions.
    ///
    /// # Errors
    /// As [`ReferenceKeys::upload`] and [`Device::allocate`].
    pub fn job(
        &self,
        device: &Device,
        opcode: Opcode,
        count: usize,
        settings: BootstrapSettings,
        seed: u64,
    ) -> Result<ReferenceJob> {
        let degree = device.parameters().degree();
        let tables = words(seed + 1, if settings.lut_each { count } else { 1 } * degree);
        let luts = device.upload_words(&tables)?;
        let from = settings.source_words(device.parameters().glwe()) as usize;
        let unit = if settings.keyswitch { 0 } else { 64 - self.p.ks_modulus_log2 };
        let input: Vec<u64> = words(seed, count * from).iter().map(|w| w >> unit << unit).collect();
        let mut expected = vec![];
        for (index, ciphertext) in input.chunks_exact(from).enumerate() {
            let table = if settings.lut_each { index } else { 0 };
            let table = &tables[table * degree..][..degree];
            expected.extend(self.golden(&settings, opcode, ciphertext, table).map_err(|e| refused(device, &e))?);
        }
        let source = device.allocate(size_of_val(&input[..]))?;
        source.write_words(0, &input)?;
        let bytes = size_of_val(&expected[..]);
        let destination = device.allocate(bytes + size_of_val(&GUARD))?;
        destination.write_words(bytes, &GUARD)?;
        expected.extend(GUARD);
        let target = destination.slice(0, bytes)?;
        let key = self.card_ksk.whole();
        let command = match opcode {
            Opcode::Keyswitch => Command::Keyswitch { source: source.whole(), destination: target, key, settings },
            _ => Command::Bootstrap {
                source: source.whole(),
                destination: target,
                bootstrap_key: self.card_bsk.whole(),
                keyswitch_key: settings.keyswitch.then_some(key),
                luts: luts.whole(),
                settings,
            },
        };
        Ok(ReferenceJob { input, source, destination, command, expected })
    }

    fn golden(
        &self,
        settings: &BootstrapSettings,
        opcode: Opcode,
        input: &[u64],
        table: &[u64],
    ) -> std::result::Result<Vec<u64>, GoldenError> {
        let keyswitch = settings.keyswitch.then_some(&self.ksk);
        let rotation = (opcode != Opcode::Keyswitch).then_some((&self.bsk, table));
        golden_result(&self.p, keyswitch, rotation, settings.functions.into(), input)
    }
}

fn refused(device: &Device, error: &GoldenError) -> Error {
    Error::Argument { device: device.name().into(), what: "settings of a bootstrap", rule: error.to_string() }
}

impl ReferenceJob {
    /// The command; it may be submitted more than once, one at a time.
    pub fn command(&self) -> Command {
        self.command.clone()
    }

    /// What the destination must hold afterwards: the results, and words behind them that stay.
    pub fn expected(&self) -> &[u64] {
        &self.expected
    }

    /// What the destination holds.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn found(&self) -> Result<Vec<u64>> {
        let mut found = vec![0; self.expected.len()];
        self.destination.read_words(0, &mut found)?;
        Ok(found)
    }

    /// Whether the source holds what it held when it was made.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn is_untouched(&self) -> Result<bool> {
        let mut kept = vec![0; self.input.len()];
        self.source.read_words(0, &mut kept)?;
        Ok(kept == self.input)
    }
}
