//! Parameter sets: what the arithmetic needs, the noise that security needs, and the named sets of the project.

use crate::GoldenError;
use crate::ntt::MAX_LOG2_DEGREE;
use crate::sampling::NoiseDistribution;
use serde::{Deserialize, Serialize};

macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

newtype! {
    /// Dimension n of an LWE ciphertext: its number of mask words.
    LweDimension(usize)
}
newtype! {
    /// Dimension k of a GLWE ciphertext: its number of mask polynomials.
    GlweDimension(usize)
}
newtype! {
    /// Degree N of the ring `Z[X]/(X^N + 1)`: the number of coefficients of a polynomial.
    RingDegree(usize)
}
newtype! {
    /// Base-2 logarithm of a decomposition base B.
    DecompositionBaseLog(u32)
}
newtype! {
    /// Number of levels l of a decomposition.
    DecompositionLevelCount(usize)
}

impl RingDegree {
    /// `log2 N`.
    pub const fn log2(self) -> u32 {
        self.0.trailing_zeros()
    }
}

/// A signed gadget decomposition: base `2^base_log`, `level` digits from the top of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decomposition {
    /// Base-2 logarithm of the base.
    pub base_log: DecompositionBaseLog,
    /// Number of digits.
    pub level: DecompositionLevelCount,
}

/// How the small LWE ciphertext is brought from the modulus q to 2N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModulusSwitchKind {
    /// Rounds every word to the nearest multiple.
    Standard,
    /// Also moves the body by the expected value of the mask's rounding errors under a binary key.
    CenteredMean,
}

/// Everything that the arithmetic of keyswitch and bootstrap depends on; the fields of a parameter file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapParameters {
    /// Dimension n of the small LWE ciphertext.
    #[serde(rename = "n")]
    pub lwe_dimension: LweDimension,
    /// Dimension k of the GLWE accumulator.
    #[serde(rename = "k")]
    pub glwe_dimension: GlweDimension,
    /// Degree N of the ring.
    #[serde(rename = "N")]
    pub ring_degree: RingDegree,
    /// Base of the bootstrap's decomposition, as a logarithm.
    pub pbs_base_log: DecompositionBaseLog,
    /// Levels of the bootstrap's decomposition.
    pub pbs_level: DecompositionLevelCount,
    /// Base of the keyswitch's decomposition, as a logarithm.
    pub ks_base_log: DecompositionBaseLog,
    /// Levels of the keyswitch's decomposition.
    pub ks_level: DecompositionLevelCount,
    /// Base-2 logarithm of the modulus of the keyswitching key and of the small LWE ciphertext.
    pub ks_modulus_log2: u32,
    /// The modulus switch between keyswitch and blind rotation.
    pub modulus_switch: ModulusSwitchKind,
}

fn out_of_range(name: &'static str, value: impl ToString, rule: impl Into<String>) -> GoldenError {
    GoldenError::Parameter { name, value: value.to_string(), rule: rule.into() }
}

impl BootstrapParameters {
    /// The decomposition of blind rotation.
    pub const fn pbs_decomposition(&self) -> Decomposition {
        Decomposition { base_log: self.pbs_base_log, level: self.pbs_level }
    }

    /// The decomposition of the keyswitch.
    pub const fn ks_decomposition(&self) -> Decomposition {
        Decomposition { base_log: self.ks_base_log, level: self.ks_level }
    }

    /// Dimension k*N of the big LWE ciphertext that enters and leaves a bootstrap.
    pub const fn big_lwe_dimension(&self) -> LweDimension {
        LweDimension(self.glwe_dimension.0 * self.ring_degree.0)
    }

    /// Words of a GLWE ciphertext, (k + 1) * N.
    pub const fn glwe_len(&self) -> usize {
        (self.glwe_dimension.0 + 1) * self.ring_degree.0
    }

    /// Words of a bootstrapping key in the coefficient domain, n * l * (k + 1)^2 * N.
    pub const fn bootstrap_key_len(&self) -> usize {
        self.lwe_dimension.0 * self.pbs_level.0 * (self.glwe_dimension.0 + 1) * self.glwe_len()
    }

    /// Words of a keyswitching key, k * N * l * (n + 1).
    pub const fn keyswitch_key_len(&self) -> usize {
        self.big_lwe_dimension().0 * self.ks_level.0 * (self.lwe_dimension.0 + 1)
    }

    /// Checks every rule that the arithmetic relies on. Key and ciphertext constructors call it, so that nothing else has to.
    ///
    /// # Errors
    /// [`GoldenError::Parameter`] for the first field that breaks its rule.
    pub fn validate(&self) -> Result<(), GoldenError> {
        let degree = self.ring_degree.0;
        if !degree.is_power_of_two() || !(2..=16).contains(&degree.trailing_zeros()) {
            return Err(out_of_range("N", degree, "the ring degree is a power of two from 4 to 65536"));
        }
        const _: () = assert!(MAX_LOG2_DEGREE >= 16);
        if !(1..=1 << 16).contains(&self.lwe_dimension.0) {
            return Err(out_of_range("n", self.lwe_dimension, "the LWE dimension lies in 1 ..= 65536"));
        }
        if !(1..=8).contains(&self.glwe_dimension.0) {
            return Err(out_of_range("k", self.glwe_dimension, "the GLWE dimension lies in 1 ..= 8"));
        }
        for (base_name, level_name, decomposition) in [
            ("pbs_base_log", "pbs_level", self.pbs_decomposition()),
            ("ks_base_log", "ks_level", self.ks_decomposition()),
        ] {
            let (base_log, level) = (decomposition.base_log.0, decomposition.level.0);
            if !(1..=32).contains(&base_log) {
                return Err(out_of_range(base_name, base_log, "a decomposition base lies between 2^1 and 2^32"));
            }
            if level == 0 || level.saturating_mul(base_log as usize) > 63 {
                return Err(out_of_range(
                    level_name,
                    level,
                    format!("at least 1, and at most 63 bits in all at {base_name} = {base_log}"),
                ));
            }
        }
        let ks_bits = self.ks_base_log.0 * self.ks_level.0 as u32;
        let smallest = ks_bits.max(self.ring_degree.log2() + 2);
        if !(smallest..=64).contains(&self.ks_modulus_log2) {
            return Err(out_of_range(
                "ks_modulus_log2",
                self.ks_modulus_log2,
                format!(
                    "at most 64, and at least {smallest}: the {ks_bits} bits of the keyswitch's digits and 4N must fit"
                ),
            ));
        }
        Ok(())
    }
}

/// A complete parameter set: arithmetic, noise, message space, and what is known of its failure probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterSet {
    /// The name by which commands and files refer to the set.
    pub name: &'static str,
    /// What the arithmetic depends on.
    pub bootstrap: BootstrapParameters,
    /// Noise of the small LWE key's encryptions (the keyswitching key), at modulus `2^ks_modulus_log2`.
    pub lwe_noise: NoiseDistribution,
    /// Noise of GLWE encryptions (the bootstrapping key) and of fresh big LWE ciphertexts, at modulus 2^64.
    pub glwe_noise: NoiseDistribution,
    /// Bits of message; with the carry bits and one padding bit they sit at the top of the word.
    pub message_bits: u32,
    /// Bits of carry above the message.
    pub carry_bits: u32,
    /// Base-2 logarithm of the failure probability of a bootstrap, where the source of the set states one.
    pub log2_failure_probability: Option<f64>,
    /// Whether the set reaches 128 bits of security by its source. Sets for which this is false say so in their names.
    pub secure_128: bool,
}

impl ParameterSet {
    /// Size of the plaintext space, `2^(message_bits + carry_bits)`.
    pub const fn plaintext_modulus(&self) -> u64 {
        1 << (self.message_bits + self.carry_bits)
    }

    /// The encoding scale: message m is carried as `m * delta`, `delta = 2^63 / plaintext_modulus`.
    pub const fn delta(&self) -> u64 {
        (1 << 63) / self.plaintext_modulus()
    }
}

const fn two_message_two_carry(
    name: &'static str,
    n: usize,
    ks: (u32, usize),
    ks_modulus_log2: u32,
    lwe_bound_log2: u32,
    log2_failure_probability: f64,
) -> ParameterSet {
    ParameterSet {
        name,
        bootstrap: BootstrapParameters {
            lwe_dimension: LweDimension(n),
            glwe_dimension: GlweDimension(1),
            ring_degree: RingDegree(2048),
            pbs_base_log: DecompositionBaseLog(23),
            pbs_level: DecompositionLevelCount(1),
            ks_base_log: DecompositionBaseLog(ks.0),
            ks_level: DecompositionLevelCount(ks.1),
            ks_modulus_log2,
            modulus_switch: ModulusSwitchKind::CenteredMean,
        },
        lwe_noise: NoiseDistribution::TUniform { bound_log2: lwe_bound_log2 },
        glwe_noise: NoiseDistribution::TUniform { bound_log2: 17 },
        message_bits: 2,
        carry_bits: 2,
        log2_failure_probability: Some(log2_failure_probability),
        secure_128: true,
    }
}

/// The default: tfhe-rs's CPU set with 2 message and 2 carry bits.
pub const CPU_KS_PBS_TUNIFORM_2M128: ParameterSet =
    two_message_two_carry("CPU_KS_PBS_TUNIFORM_2M128", 918, (4, 4), 64, 45, -129.6);

/// tfhe-rs's CPU set whose keyswitching key has 32-bit words.
pub const CPU_KS32_PBS_TUNIFORM_2M128: ParameterSet =
    two_message_two_carry("CPU_KS32_PBS_TUNIFORM_2M128", 918, (4, 4), 32, 13, -129.6);

/// The set of tfhe-rs's hardware backend, keyswitching key mod 2^21.
pub const HPU_KS32_PBS_TUNIFORM_2M128: ParameterSet =
    two_message_two_carry("HPU_KS32_PBS_TUNIFORM_2M128", 879, (2, 8), 21, 3, -128.0);

/// The set of tfhe-rs's hardware backend with failure probability 2^-64.
pub const HPU_KS32_PBS_TUNIFORM_2M64: ParameterSet =
    two_message_two_carry("HPU_KS32_PBS_TUNIFORM_2M64", 839, (2, 7), 21, 4, -64.0);

/// The set most FPGA publications compare at (n = 630, N = 1024, l = 3). Its security estimate lies below 128 bits today.
pub const FPGA_COMPARISON_N630_INSECURE: ParameterSet = ParameterSet {
    name: "FPGA_COMPARISON_N630_INSECURE",
    bootstrap: BootstrapParameters {
        lwe_dimension: LweDimension(630),
        glwe_dimension: GlweDimension(1),
        ring_degree: RingDegree(1024),
        pbs_base_log: DecompositionBaseLog(7),
        pbs_level: DecompositionLevelCount(3),
        ks_base_log: DecompositionBaseLog(2),
        ks_level: DecompositionLevelCount(8),
        ks_modulus_log2: 64,
        modulus_switch: ModulusSwitchKind::Standard,
    },
    lwe_noise: NoiseDistribution::Gaussian { standard_deviation_log2: 64.0 - 15.0 },
    glwe_noise: NoiseDistribution::Gaussian { standard_deviation_log2: 64.0 - 25.0 },
    message_bits: 1,
    carry_bits: 0,
    log2_failure_probability: None,
    secure_128: false,
};

/// A set without any security that keeps tests quick.
pub const TOY_INSECURE: ParameterSet = ParameterSet {
    name: "TOY_INSECURE",
    bootstrap: BootstrapParameters {
        lwe_dimension: LweDimension(10),
        glwe_dimension: GlweDimension(1),
        ring_degree: RingDegree(256),
        pbs_base_log: DecompositionBaseLog(23),
        pbs_level: DecompositionLevelCount(1),
        ks_base_log: DecompositionBaseLog(4),
        ks_level: DecompositionLevelCount(4),
        ks_modulus_log2: 64,
        modulus_switch: ModulusSwitchKind::CenteredMean,
    },
    lwe_noise: NoiseDistribution::TUniform { bound_log2: 40 },
    glwe_noise: NoiseDistribution::TUniform { bound_log2: 17 },
    message_bits: 2,
    carry_bits: 2,
    log2_failure_probability: None,
    secure_128: false,
};

/// A toy with k = 2 and l = 3, so that nothing silently assumes one mask polynomial or one level.
pub const TOY_K2_L3_INSECURE: ParameterSet = ParameterSet {
    name: "TOY_K2_L3_INSECURE",
    bootstrap: BootstrapParameters {
        lwe_dimension: LweDimension(24),
        glwe_dimension: GlweDimension(2),
        ring_degree: RingDegree(512),
        pbs_base_log: DecompositionBaseLog(9),
        pbs_level: DecompositionLevelCount(3),
        ks_base_log: DecompositionBaseLog(3),
        ks_level: DecompositionLevelCount(6),
        ks_modulus_log2: 64,
        modulus_switch: ModulusSwitchKind::Standard,
    },
    lwe_noise: NoiseDistribution::TUniform { bound_log2: 40 },
    glwe_noise: NoiseDistribution::TUniform { bound_log2: 20 },
    message_bits: 2,
    carry_bits: 2,
    log2_failure_probability: None,
    secure_128: false,
};

/// Every named set.
pub const ALL: [ParameterSet; 7] = [
    CPU_KS_PBS_TUNIFORM_2M128,
    CPU_KS32_PBS_TUNIFORM_2M128,
    HPU_KS32_PBS_TUNIFORM_2M128,
    HPU_KS32_PBS_TUNIFORM_2M64,
    FPGA_COMPARISON_N630_INSECURE,
    TOY_INSECURE,
    TOY_K2_L3_INSECURE,
];

/// Finds a set by name, ignoring case.
///
/// # Errors
/// [`GoldenError::Parameter`] that lists the known names.
pub fn by_name(name: &str) -> Result<ParameterSet, GoldenError> {
    ALL.into_iter().find(|set| set.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let known: Vec<_> = ALL.iter().map(|set| set.name).collect();
        out_of_range("set", name, format!("known sets are {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_set_is_valid_and_found_by_name() {
        for set in ALL {
            set.bootstrap.validate().unwrap();
            assert_eq!(by_name(&set.name.to_lowercase()).unwrap(), set);
            assert_eq!(set.secure_128, !set.name.contains("INSECURE"));
        }
        assert!(by_name("no such set").unwrap_err().to_string().contains("CPU_KS_PBS_TUNIFORM_2M128"));
    }

    #[test]
    fn default_set_has_the_documented_sizes() {
        let p = CPU_KS_PBS_TUNIFORM_2M128.bootstrap;
        assert_eq!(p.bootstrap_key_len(), 918 * 4 * 2048);
        assert_eq!(p.keyswitch_key_len(), 2048 * 4 * 919);
        assert_eq!(CPU_KS_PBS_TUNIFORM_2M128.delta(), 1 << 59);
    }

    #[test]
    fn each_broken_field_is_named() {
        let good = CPU_KS_PBS_TUNIFORM_2M128.bootstrap;
        let cases: [(&str, BootstrapParameters); 10] = [
            ("N", BootstrapParameters { ring_degree: RingDegree(3), ..good }),
            ("N", BootstrapParameters { ring_degree: RingDegree(1 << 17), ..good }),
            ("n", BootstrapParameters { lwe_dimension: LweDimension(0), ..good }),
            ("k", BootstrapParameters { glwe_dimension: GlweDimension(0), ..good }),
            ("pbs_base_log", BootstrapParameters { pbs_base_log: DecompositionBaseLog(0), ..good }),
            ("pbs_level", BootstrapParameters { pbs_level: DecompositionLevelCount(3), ..good }),
            ("ks_level", BootstrapParameters { ks_level: DecompositionLevelCount(usize::MAX), ..good }),
            ("ks_base_log", BootstrapParameters { ks_base_log: DecompositionBaseLog(33), ..good }),
            ("ks_modulus_log2", BootstrapParameters { ks_modulus_log2: 65, ..good }),
            ("ks_modulus_log2", BootstrapParameters { ks_modulus_log2: 15, ..good }),
        ];
        for (field, parameters) in cases {
            match parameters.validate() {
                Err(GoldenError::Parameter { name, .. }) => assert_eq!(name, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }
}
