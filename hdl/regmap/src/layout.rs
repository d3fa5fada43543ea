//! Numbers that card, driver and server agree on.

/// PCI vendor id. **Provisional**: a placeholder outside the assigned ranges until the project has an id of its own.
pub const PCI_VENDOR_ID: u16 = 0xf4e0;
/// PCI device id; provisional as [`PCI_VENDOR_ID`] is.
pub const PCI_DEVICE_ID: u16 = 0x0b0c;
/// PCI class code: processing accelerator (base class 0x12, subclass 0, interface 0).
pub const PCI_CLASS: u32 = 0x12_0000;

/// Bytes of BAR0.
pub const BAR0_SIZE: u64 = 0x1_0000;
/// Offset of the MSI-X table in BAR0. The PCIe endpoint in front of the card owns it; the card logic never decodes it.
pub const MSIX_TABLE_OFFSET: u32 = 0x8000;
/// Offset of the MSI-X pending-bit array in BAR0; owned by the PCIe endpoint as the table is.
pub const MSIX_PBA_OFFSET: u32 = 0xc000;
/// MSI-X vectors of the card: one for card-wide faults and one for each of up to 15 ring pairs.
pub const MSIX_VECTORS: u16 = 16;
/// The vector raised by faults that belong to no single command.
pub const FAULT_VECTOR: u16 = 0;

/// Major version of this map; a driver refuses a card with another one.
pub const MAP_MAJOR: u16 = 1;
/// Minor version of this map: additions that an older driver may ignore.
pub const MAP_MINOR: u16 = 1;
/// Value of the `ID` register, "GLVX" in ASCII.
pub const ID_MAGIC: u32 = u32::from_be_bytes(*b"GLVX");

/// Offset of the first per-ring register block.
pub const RING_BLOCK_OFFSET: u32 = 0x1000;
/// Distance between the blocks of consecutive ring pairs.
pub const RING_BLOCK_STRIDE: u32 = 0x40;
/// Most ring pairs that the map has room for and vectors to tell apart.
pub const MAX_RING_PAIRS: u32 = 15;
/// Smallest `log2` of a ring's entries.
pub const MIN_RING_LOG2: u32 = 1;
/// Largest `log2` of a ring's entries.
pub const MAX_RING_LOG2: u32 = 15;

/// Bytes of one beat of the host-memory bus.
pub const BEAT_BYTES: u64 = 64;
/// Alignment of source and destination addresses of a command.
pub const ADDRESS_ALIGNMENT: u64 = BEAT_BYTES;
/// Alignment of ring base addresses.
pub const RING_ALIGNMENT: u64 = 4096;
/// Most polynomials of one NTT or inverse NTT command.
pub const MAX_POLYNOMIALS: u64 = 0xffff;
/// Most bytes of one copy command.
pub const MAX_COPY_BYTES: u64 = 0xffff_ffff;
/// Most ciphertexts of one KEYSWITCH or BOOTSTRAP, and results of one LWE_LINEAR or POINTWISE_MAC.
pub const MAX_CIPHERTEXTS: u64 = 0xfff;
/// Most words of a ciphertext of LWE_LINEAR.
pub const MAX_LINEAR_WORDS: u64 = 4096;
/// Most terms of a result of LWE_LINEAR and POINTWISE_MAC.
pub const MAX_TERMS: u64 = 255;
/// Most words of the source of LWE_LINEAR and POINTWISE_MAC.
pub const MAX_LINEAR_SOURCE_WORDS: u64 = (1 << 29) - 1;
/// Largest dimension n of a small ciphertext.
pub const MAX_DIMENSION: u16 = 1023;
/// Most bits that a bootstrap's decomposition keeps: log2 of its base times its levels.
pub const MAX_KEPT_BITS: u64 = 36;

/// Largest GLWE dimension k of a card.
pub const MAX_GLWE_DIMENSION: u32 = 3;

/// The ring and the GLWE dimension that a card is built for: what the lengths of ciphertexts and keys follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlweShape {
    /// GLWE dimension k: mask polynomials of a ciphertext.
    pub dimension: u32,
    /// log2 of the ring degree N.
    pub degree_log2: u32,
}

impl GlweShape {
    /// The ring degree N.
    pub const fn degree(self) -> u64 {
        1 << self.degree_log2
    }

    /// Mask words of a big ciphertext, kN.
    pub const fn big_dimension(self) -> u64 {
        (self.dimension as u64) << self.degree_log2
    }
}

/// Ciphertexts of the batch that a card of `lanes` lanes takes at a time: as many as it takes for the keys of a batch to
/// arrive, at default parameters, before the batch is done.
pub const fn batch_depth(lanes: u32) -> u64 {
    match lanes {
        0..=7 => 4,
        8..=31 => 8,
        _ => 16,
    }
}

/// Columns that the keyswitch of a card of `lanes` lanes does at a time: 2/k of what a keyswitch of four levels needs to
/// keep up with the blind rotation of a full batch of one level.
pub const fn keyswitch_columns(lanes: u32) -> u64 {
    let columns = 4 * lanes as u64 / batch_depth(lanes);
    if columns == 0 { 1 } else { columns }
}

/// AXI ports to card memory of a card of `lanes` lanes, so that the key stream fills the multipliers; at 128 lanes, so that
/// the key of a step (96 granules for N = 2048, one level) is there before a lone ciphertext's step is over.
///
/// Granule by granule card memory is striped over them: port i holds beat i of each granule of `64 * ports` bytes.
pub const fn memory_ports(lanes: u32) -> u32 {
    match lanes {
        0..=16 => 1,
        17..=64 => 2,
        _ => 16,
    }
}
