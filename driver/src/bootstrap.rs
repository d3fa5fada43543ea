//! Golden's parameters and keys in the card's form, and what golden makes of a command that bootstraps.

use glovebox_golden::card::bootstrap_key_words;
use glovebox_golden::cipher::{GlweCiphertext, LweCiphertext};
use glovebox_golden::keys::{KeyswitchKey, NttBootstrapKey};
use glovebox_golden::params::{
    BootstrapParameters, DecompositionBaseLog, DecompositionLevelCount, GlweDimension, LweDimension, ModulusSwitchKind,
    RingDegree,
};
use glovebox_golden::{GoldenError, bootstrap, torus};
use glovebox_regmap::key_layout::{KeyswitchWord, stripe_bootstrap_key, stripe_keyswitch_key};
use glovebox_regmap::{BootstrapSettings, GlweShape, layout};

/// The run-time values of a keyswitch and bootstrap of one function with one table for all ciphertexts; `None` if no card
/// has a form for these parameters: a modulus of the keyswitch other than 2^64, 2^32, 2^21, a value out of range. N and k are
/// the card's own: see [`glwe_of`].
pub fn settings_of(p: &BootstrapParameters) -> Option<BootstrapSettings> {
    let form = KeyswitchWord::for_modulus_log2(p.ks_modulus_log2);
    glwe_of(p)?;
    if form.bits() != p.ks_modulus_log2 {
        return None;
    }
    let settings = BootstrapSettings {
        dimension: p.lwe_dimension.0.try_into().ok()?,
        pbs_base_log: p.pbs_base_log.0.try_into().ok()?,
        pbs_levels: p.pbs_level.0.try_into().ok()?,
        ks_base_log: p.ks_base_log.0.try_into().ok()?,
        ks_levels: p.ks_level.0.try_into().ok()?,
        ks_words_per_slot: form.per_slot() as u8,
        centred: p.modulus_switch == ModulusSwitchKind::CenteredMean,
        keyswitch: true,
        lut_each: false,
        functions: 1,
    };
    BootstrapSettings::unpack(settings.pack()).filter(|unpacked| *unpacked == settings)
}

/// The ring and k that a card must be built for to bootstrap under these parameters; `None` if there is no such card.
pub fn glwe_of(p: &BootstrapParameters) -> Option<GlweShape> {
    let dimension = u32::try_from(p.glwe_dimension.0).ok()?;
    let known = (1..=layout::MAX_GLWE_DIMENSION).contains(&dimension) && p.ring_degree.0.is_power_of_two();
    known.then(|| GlweShape { dimension, degree_log2: p.ring_degree.log2() })
}

/// The parameters that a command's run-time values stand for on a card of this ring and k.
pub fn parameters_of(settings: &BootstrapSettings, glwe: GlweShape) -> BootstrapParameters {
    let kind = if settings.centred { ModulusSwitchKind::CenteredMean } else { ModulusSwitchKind::Standard };
    BootstrapParameters {
        lwe_dimension: LweDimension(settings.dimension.into()),
        glwe_dimension: GlweDimension(glwe.dimension as usize),
        ring_degree: RingDegree(glwe.degree() as usize),
        pbs_base_log: DecompositionBaseLog(settings.pbs_base_log.into()),
        pbs_level: DecompositionLevelCount(settings.pbs_levels.into()),
        ks_base_log: DecompositionBaseLog(settings.ks_base_log.into()),
        ks_level: DecompositionLevelCount(settings.ks_levels.into()),
        ks_modulus_log2: 64 / u32::from(settings.ks_words_per_slot.max(1)),
        modulus_switch: kind,
    }
}

/// A bootstrapping key as the memory of a card of `lanes` lanes holds it.
///
/// # Errors
/// As [`bootstrap_key_words`]; [`GoldenError::Parameter`] for a k that no card has.
pub fn card_bootstrap_key(p: &BootstrapParameters, key: &NttBootstrapKey, lanes: u32) -> Result<Vec<u64>, GoldenError> {
    let glwe = glwe_of(p).ok_or_else(|| GoldenError::Parameter {
        name: "k",
        value: p.glwe_dimension.to_string(),
        rule: format!("a card has k from 1 to {}", layout::MAX_GLWE_DIMENSION),
    })?;
    Ok(stripe_bootstrap_key(&bootstrap_key_words(p, key)?, glwe, lanes as usize))
}

/// A keyswitching key as the memory of a card of `lanes` lanes holds it.
pub fn card_keyswitch_key(p: &BootstrapParameters, key: &KeyswitchKey, lanes: u32) -> Vec<u64> {
    let columns = layout::keyswitch_columns(lanes) as usize;
    let form = KeyswitchWord::for_modulus_log2(p.ks_modulus_log2);
    stripe_keyswitch_key(key.words(), p.lwe_dimension.0 + 1, columns, form)
}

/// What golden makes of one ciphertext: keyswitched if there is a keyswitching key; bootstrapped if there are a bootstrapping
/// key and the body of a table, `functions` results one after another.
///
/// # Errors
/// [`GoldenError`] for keys, tables or ciphertexts of other parameters.
pub fn golden_result(
    p: &BootstrapParameters,
    keyswitch: Option<&KeyswitchKey>,
    rotation: Option<(&NttBootstrapKey, &[u64])>,
    functions: usize,
    ciphertext: &[u64],
) -> Result<Vec<u64>, GoldenError> {
    let mut small = LweCiphertext::from_words(ciphertext.to_vec());
    if let Some(key) = keyswitch {
        small = bootstrap::keyswitch(p, key, &small)?;
    }
    let Some((key, table)) = rotation else { return Ok(small.into_words()) };
    let switched = torus::modulus_switch(small.words(), p);
    let turned = bootstrap::blind_rotation(p, key, &GlweCiphertext::trivial(p.glwe_dimension.0, table), &switched)?;
    let stride = p.ring_degree.0 / functions.next_power_of_two();
    let extract = |function| bootstrap::sample_extract(&turned, function * stride).map(LweCiphertext::into_words);
    Ok((0..functions).map(extract).collect::<Result<Vec<_>, _>>()?.concat())
}
