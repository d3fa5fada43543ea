//! A key set for the simulated card: as golden has it, as card memory holds it, and where.

use crate::SimError;
use crate::bench::CardBench;
use glovebox_driver::bootstrap::{card_bootstrap_key, card_keyswitch_key, golden_result, settings_of};
use glovebox_golden::GoldenError;
use glovebox_golden::keys::{BootstrapKey, KeyswitchKey, NttBootstrapKey};
use glovebox_golden::params::BootstrapParameters;
use glovebox_regmap::layout::{BEAT_BYTES, memory_ports};
use glovebox_regmap::{BootstrapSettings, Descriptor, Opcode};

/// A bootstrapping key, a keyswitching key and the body of a table, one after another from address 0 of card memory on.
pub struct CardKeys {
    /// Parameters of the keys.
    pub parameters: BootstrapParameters,
    /// Run-time values of a keyswitch and bootstrap under them: one table for all ciphertexts, one function.
    pub settings: BootstrapSettings,
    bsk: NttBootstrapKey,
    ksk: KeyswitchKey,
    parts: [Vec<u64>; 3],
    at: [u64; 3],
    total_bytes: u64,
}

impl CardKeys {
    /// Keys in the form of a card of `lanes` lanes; `table` is the body of the look-up table, N words.
    ///
    /// # Errors
    /// [`SimError::Golden`] for keys of other parameters; [`SimError::Bench`] for parameters that the card has no form for.
    pub fn new(
        parameters: BootstrapParameters,
        bsk: NttBootstrapKey,
        ksk: KeyswitchKey,
        table: Vec<u64>,
        lanes: usize,
    ) -> Result<Self, SimError> {
        let settings = settings_of(&parameters)
            .ok_or_else(|| SimError::Bench(format!("the card has no form for {parameters:?}")))?;
        let lanes = lanes as u32;
        let parts =
            [card_bootstrap_key(&parameters, &bsk, lanes)?, card_keyswitch_key(&parameters, &ksk, lanes), table];
        let granule = BEAT_BYTES * u64::from(memory_ports(lanes));
        let [bsk_bytes, ksk_bytes, table_bytes] =
            parts.each_ref().map(|words| (8 * words.len() as u64).next_multiple_of(granule));
        let at = [0, bsk_bytes, bsk_bytes + ksk_bytes];
        Ok(Self { parameters, settings, bsk, ksk, parts, at, total_bytes: at[2] + table_bytes })
    }

    /// Keys without a secret behind them, from as many words as `random` is asked for: bootstrapping key, keyswitching key,
    /// table.
    ///
    /// # Errors
    /// As [`CardKeys::new`].
    pub fn random(
        parameters: BootstrapParameters,
        lanes: usize,
        mut random: impl FnMut(usize) -> Vec<u64>,
    ) -> Result<Self, SimError> {
        let p = &parameters;
        let bsk = BootstrapKey::from_words(p, random(p.bootstrap_key_len()))?.to_ntt(p)?;
        let unit = 64 - p.ks_modulus_log2;
        let words = random(p.keyswitch_key_len()).into_iter().map(|word| word >> unit << unit).collect();
        let ksk = KeyswitchKey::from_words(p, words)?;
        let table = random(p.ring_degree.0);
        Self::new(parameters, bsk, ksk, table, lanes)
    }

    /// Words of the bootstrapping key, the keyswitching key and the table as card memory holds them.
    pub fn parts(&self) -> &[Vec<u64>; 3] {
        &self.parts
    }

    /// Where each part begins, in bytes.
    pub fn addresses(&self) -> [u64; 3] {
        self.at
    }

    /// Bytes of card memory up to the last part's end, in whole granules.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// A BOOTSTRAP command with these keys but for its ciphertexts and results.
    pub fn descriptor(&self, settings: BootstrapSettings) -> Descriptor {
        let [bsk, ksk, table] = self.at;
        Descriptor { operands: [bsk, ksk, table, settings.pack()], ..Descriptor::new(Opcode::Bootstrap) }
    }

    /// Has the card wipe the memory that the keys take, so that it counts as written, and puts them there: the same as an
    /// upload but for its time, and for a reset, which does not erase them.
    ///
    /// # Errors
    /// [`SimError::Bench`] if the command fails; as [`CardBench`].
    pub fn place(&self, bench: &mut CardBench) -> Result<(), SimError> {
        bench.succeed(Descriptor { count: self.total_bytes as u32, ..Descriptor::new(Opcode::Wipe) })?;
        for (words, at) in self.parts.iter().zip(self.at) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            bench.card.memory_mut()[at as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }

    /// What golden makes of one ciphertext, keyswitched first if `keyswitch`.
    ///
    /// # Errors
    /// [`GoldenError`] for a ciphertext of other parameters.
    pub fn expected(&self, keyswitch: bool, ciphertext: &[u64]) -> Result<Vec<u64>, GoldenError> {
        let rotation = Some((&self.bsk, &self.parts[2][..]));
        golden_result(&self.parameters, keyswitch.then_some(&self.ksk), rotation, 1, ciphertext)
    }
}
