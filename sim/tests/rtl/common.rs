//! What the RTL tests share.

use glovebox_golden::field::P;

/// A seeded source of test values (splitmix64); tests print the seed when they fail.
pub(crate) struct Values(u64);

impl Values {
    /// A source.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64-bit word.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A field element; one in four is an edge value.
    pub(crate) fn residue(&mut self) -> u64 {
        if self.word().is_multiple_of(4) { EDGES[self.word() as usize % EDGES.len()] } else { self.word() % P }
    }

    /// True in `percent` of 100.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.word() % 100 < percent
    }
}

/// Field elements around which carries and corrections change.
pub(crate) const EDGES: [u64; 16] = [
    0,
    1,
    2,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFE,
    0xFFFF_FFFF,
    0x1_0000_0000,
    0x1_0000_0001,
    0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000,
    0xFFFF_FFFE_0000_0000,
    0xFFFF_FFFE_FFFF_FFFE,
    0xFFFF_FFFE_FFFF_FFFF,
    P - 2,
    P - 1,
];
