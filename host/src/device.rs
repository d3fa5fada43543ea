//! Names of devices.

use crate::Error;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where bootstraps run. Every device but `cpu-fast` gives the same bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// The CPU engine, exact.
    Cpu,
    /// The CPU engine with floating-point products: same failure probability, other low bits.
    CpuFast,
    /// The golden model: slow, the oracle.
    Golden,
    /// A simulated card that the `glovebox` command starts; a library caller names its socket instead.
    Sim,
    /// A card served over a vfio-user socket.
    VfioUser(PathBuf),
    /// A PCIe card bound to vfio-pci, by PCI address.
    Vfio(String),
    /// The first usable card, else the CPU engine.
    Auto,
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let unknown = || Error::DeviceName { name: name.into() };
        Ok(match name {
            "cpu" => Self::Cpu,
            "cpu-fast" => Self::CpuFast,
            "golden" => Self::Golden,
            "sim" => Self::Sim,
            "auto" => Self::Auto,
            _ => match name.split_once(':') {
                Some(("vfio-user", path)) if !path.is_empty() => Self::VfioUser(path.into()),
                Some(("vfio", address)) if !address.is_empty() => Self::Vfio(address.into()),
                _ => return Err(unknown()),
            },
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::CpuFast => f.write_str("cpu-fast"),
            Self::Golden => f.write_str("golden"),
            Self::Sim => f.write_str("sim"),
            Self::VfioUser(path) => write!(f, "vfio-user:{}", path.display()),
            Self::Vfio(address) => write!(f, "vfio:{address}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_round_trip_and_others_are_refused() {
        for name in ["cpu", "cpu-fast", "golden", "sim", "auto", "vfio-user:/run/card.sock", "vfio:0000:01:00.0"] {
            assert_eq!(name.parse::<Device>().unwrap().to_string(), name);
        }
        for name in ["", "gpu", "vfio:", "vfio-user:", "CPU", "cpu:1"] {
            assert!(matches!(name.parse::<Device>(), Err(Error::DeviceName { .. })), "{name}");
        }
    }
}
