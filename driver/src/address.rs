//! Where a device is.

use crate::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A PCI function, domain:bus:device.function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    /// Domain (segment).
    pub domain: u32,
    /// Bus.
    pub bus: u8,
    /// Device, below 32.
    pub device: u8,
    /// Function, below 8.
    pub function: u8,
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.domain, self.bus, self.device, self.function)
    }
}

impl FromStr for PciAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::Address { text: text.into(), reason: "not a PCI address such as 0000:01:00.0" };
        let hex = |part: &str, digits: usize| {
            let plain = !part.is_empty() && part.len() <= digits && part.bytes().all(|b| b.is_ascii_hexdigit());
            plain.then(|| u32::from_str_radix(part, 16).ok()).flatten().ok_or_else(bad)
        };
        let (rest, function) = text.rsplit_once('.').ok_or_else(bad)?;
        let mut parts = rest.rsplit(':');
        let device = hex(parts.next().ok_or_else(bad)?, 2)?;
        let bus = hex(parts.next().ok_or_else(bad)?, 2)?;
        let domain = parts.next().map_or(Ok(0), |part| hex(part, 8))?;
        let function = hex(function, 1)?;
        if parts.next().is_some() || device > 31 || function > 7 {
            return Err(bad());
        }
        Ok(Self { domain, bus: bus as u8, device: device as u8, function: function as u8 })
    }
}

/// Where a device is, as written on a command line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DeviceAddress {
    /// `vfio-user:PATH`: a card server that listens on a Unix socket.
    VfioUser(PathBuf),
    /// `vfio:0000:01:00.0`: a PCI function bound to vfio-pci.
    Vfio(PciAddress),
}

impl fmt::Display for DeviceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceAddress::VfioUser(path) => write!(f, "vfio-user:{}", path.display()),
            DeviceAddress::Vfio(address) => write!(f, "vfio:{address}"),
        }
    }
}

impl FromStr for DeviceAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(path) = text.strip_prefix("vfio-user:") {
            if path.is_empty() {
                return Err(Error::Address { text: text.into(), reason: "the path is empty" });
            }
            Ok(DeviceAddress::VfioUser(path.into()))
        } else if let Some(address) = text.strip_prefix("vfio:") {
            let address = address.parse();
            let reason = "not a PCI address such as 0000:01:00.0";
            address.map(DeviceAddress::Vfio).map_err(|_| Error::Address { text: text.into(), reason })
        } else {
            Err(Error::Address { text: text.into(), reason: "unknown kind of device" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_parse_and_print() {
        for text in ["vfio-user:/run/card.sock", "vfio-user:card:1.sock", "vfio:0000:01:00.0", "vfio:0001:ff:1f.7"] {
            assert_eq!(text.parse::<DeviceAddress>().unwrap().to_string(), text);
        }
        assert_eq!("vfio:01:00.0".parse::<DeviceAddress>().unwrap().to_string(), "vfio:0000:01:00.0");
    }

    #[test]
    fn bad_addresses_are_refused_with_their_text() {
        for text in [
            "",
            "vfio",
            "vfio-user:",
            "vfio:",
            "vfio:zz:00.0",
            "vfio:0:0:20.0",
            "vfio:01:00.8",
            "tcp:1",
            "vfio:+1:00.0",
        ] {
            let error = text.parse::<DeviceAddress>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\"")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_fails(text in "(vfio(-user)?:)?[0-9a-f:.]{0,14}") {
            if let Ok(address) = text.parse::<DeviceAddress>() {
                prop_assert_eq!(address.to_string().parse::<DeviceAddress>().unwrap(), address);
            }
        }
    }
}
