//! Configuration space of a card that is a program: the software model or simulated RTL.

use glovebox_regmap::layout;

/// Bytes of the configuration space that is served.
pub const CONFIG_BYTES: usize = 256;

const COMMAND: usize = 0x04;
const EXPRESS: usize = 0x40;
const DEVICE_CONTROL: usize = EXPRESS + 8;
const MSIX: usize = 0x80;
const POWER: usize = 0xa0;

/// A type-0 header with PCI Express (function-level reset), MSI-X and power-management capabilities.
#[derive(Clone, Debug)]
pub struct ConfigSpace {
    bytes: [u8; CONFIG_BYTES],
    writable: [u8; CONFIG_BYTES],
}

/// What a configuration write asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigEffect {
    /// Bus mastering, after the write.
    pub bus_master: bool,
    /// A function-level reset was asked for.
    pub function_reset: bool,
}

impl Default for ConfigSpace {
    fn default() -> Self {
        let mut space = Self { bytes: [0; CONFIG_BYTES], writable: [0; CONFIG_BYTES] };
        space.put(0x00, &layout::PCI_VENDOR_ID.to_le_bytes());
        space.put(0x02, &layout::PCI_DEVICE_ID.to_le_bytes());
        space.put(0x06, &0x0010u16.to_le_bytes()); // there is a list of capabilities
        space.put(0x08, &(layout::PCI_CLASS << 8 | 1).to_le_bytes());
        space.put(0x10, &4u32.to_le_bytes()); // BAR0: memory, 64 bits
        space.put(0x2c, &layout::PCI_VENDOR_ID.to_le_bytes());
        space.put(0x2e, &layout::PCI_DEVICE_ID.to_le_bytes());
        space.put(0x34, &[EXPRESS as u8]);
        // PCI Express endpoint, version 2: function-level reset, a x4 link of 8 GT/s.
        space.put(EXPRESS, &[0x10, MSIX as u8, 0x02, 0x00]);
        space.put(EXPRESS + 4, &(1u32 << 28 | 1 << 15).to_le_bytes());
        space.put(EXPRESS + 12, &0x43u32.to_le_bytes());
        space.put(EXPRESS + 18, &0x43u16.to_le_bytes());
        space.put(MSIX, &[0x11, POWER as u8]);
        space.put(MSIX + 2, &(layout::MSIX_VECTORS - 1).to_le_bytes());
        space.put(MSIX + 4, &layout::MSIX_TABLE_OFFSET.to_le_bytes());
        space.put(MSIX + 8, &layout::MSIX_PBA_OFFSET.to_le_bytes());
        space.put(POWER, &[0x01, 0x00, 0x03, 0x00, 0x08]);
        let bar_mask = !(layout::BAR0_SIZE - 1);
        let masks: [(usize, &[u8]); 7] = [
            (COMMAND, &[0x06, 0x04]),
            (0x0c, &[0xff]),
            (0x10, &bar_mask.to_le_bytes()),
            (0x3c, &[0xff]),
            (DEVICE_CONTROL, &[0xff, 0x7f]),
            (MSIX + 2, &[0x00, 0xc0]),
            (POWER + 4, &[0x03]),
        ];
        for (offset, mask) in masks {
            space.writable[offset..offset + mask.len()].copy_from_slice(mask);
        }
        space
    }
}

impl ConfigSpace {
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Reads; bytes beyond the space are 0.
    pub fn read(&self, offset: u64, into: &mut [u8]) {
        for (index, byte) in (offset..).zip(into) {
            *byte = usize::try_from(index).ok().and_then(|i| self.bytes.get(i)).copied().unwrap_or(0);
        }
    }

    /// Writes the writable bits; bytes beyond the space are ignored.
    pub fn write(&mut self, offset: u64, from: &[u8]) -> ConfigEffect {
        let mut function_reset = false;
        for (index, &byte) in (offset..).zip(from) {
            let Ok(index) = usize::try_from(index) else { break };
            if index >= CONFIG_BYTES {
                break;
            }
            let mask = self.writable[index];
            self.bytes[index] = (self.bytes[index] & !mask) | (byte & mask);
            function_reset |= index == DEVICE_CONTROL + 1 && byte & 0x80 != 0;
        }
        ConfigEffect { bus_master: self.bytes[COMMAND] & 4 != 0, function_reset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn capabilities_form_a_list_that_ends() {
        let space = ConfigSpace::default();
        let mut at = space.bytes[0x34] as usize;
        let mut found = vec![];
        while at != 0 {
            found.push(space.bytes[at]);
            assert!(found.len() < 10, "the list of capabilities does not end");
            at = space.bytes[at + 1] as usize;
        }
        assert_eq!(found, [0x10, 0x11, 0x01]);
    }

    #[test]
    fn bus_master_and_function_reset_are_seen() {
        let mut space = ConfigSpace::default();
        assert_eq!(space.write(4, &[0xff, 0xff]), ConfigEffect { bus_master: true, function_reset: false });
        assert!(space.write(DEVICE_CONTROL as u64, &[0, 0x80]).function_reset);
        let mut word = [0; 2];
        space.read(4, &mut word);
        assert_eq!(word, [0x06, 0x04]);
        // A BAR says its size to whoever writes ones.
        space.write(0x10, &[0xff; 8]);
        let mut bar = [0; 8];
        space.read(0x10, &mut bar);
        assert_eq!(u64::from_le_bytes(bar), !(layout::BAR0_SIZE - 1) | 4);
    }

    proptest! {
        #[test]
        fn identity_survives_any_writes(offset in any::<u64>(), low in 0u64..300, data in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut space = ConfigSpace::default();
            space.write(offset, &data);
            space.write(low, &data);
            let mut id = [0; 4];
            space.read(0, &mut id);
            prop_assert_eq!(u16::from_le_bytes([id[0], id[1]]), layout::PCI_VENDOR_ID);
            let mut beyond = [1; 4];
            space.read(offset.max(256), &mut beyond);
            prop_assert_eq!(beyond, [0; 4]);
        }
    }
}
