//! Device addresses and their allocator.

use std::collections::BTreeMap;
use std::fmt;

/// An address as the card sees host memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Iova(u64);

impl Iova {
    /// The address `value`.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The address as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address `bytes` further on, unless that wraps.
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}

impl fmt::Display for Iova {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A range of device addresses, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IovaRange {
    /// First address.
    pub first: u64,
    /// Last address.
    pub last: u64,
}

/// Granularity of mappings.
pub const PAGE: u64 = 4096;
/// The interrupt window of x86: never mapped for DMA.
const MSI_WINDOW: IovaRange = IovaRange { first: 0xfee0_0000, last: 0xfeef_ffff };
/// Addresses below are left alone, so that 0 and small numbers always fault.
const LOWEST: u64 = 0x10_0000;

/// Hands out page-aligned ranges of device addresses, first fit.
#[derive(Debug)]
pub struct IovaAllocator {
    /// Free ranges: first address to last address.
    free: BTreeMap<u64, u64>,
}

impl IovaAllocator {
    /// An allocator over the ranges that the IOMMU accepts, without the interrupt window and the lowest megabyte.
    pub fn new(ranges: &[IovaRange]) -> Self {
        let mut free = BTreeMap::new();
        let mut add = |first: u64, last: u64| {
            let first = first.max(LOWEST).next_multiple_of(PAGE);
            // Only whole pages; the very last page of the space is left out so that ends never wrap.
            let end = (last.min(u64::MAX - PAGE) + 1) & !(PAGE - 1);
            if first < end {
                free.insert(first, end - 1);
            }
        };
        for range in ranges {
            if range.first > u64::MAX - 2 * PAGE {
                continue;
            }
            if range.last < MSI_WINDOW.first || range.first > MSI_WINDOW.last {
                add(range.first, range.last);
                continue;
            }
            if range.first < MSI_WINDOW.first {
                add(range.first, MSI_WINDOW.first - 1);
            }
            if range.last > MSI_WINDOW.last {
                add(MSI_WINDOW.last + 1, range.last);
            }
        }
        Self { free }
    }

    /// A free range of `bytes`, rounded up to whole pages.
    pub fn allocate(&mut self, bytes: u64) -> Option<Iova> {
        let bytes = bytes.max(1).checked_next_multiple_of(PAGE)?;
        let (&first, &last) = self.free.iter().find(|&(&first, &last)| last - first >= bytes - 1)?;
        self.free.remove(&first);
        if last - first > bytes - 1 {
            self.free.insert(first + bytes, last);
        }
        Some(Iova(first))
    }

    /// Gives a range back that [`IovaAllocator::allocate`] handed out.
    pub fn release(&mut self, iova: Iova, bytes: u64) {
        let mut first = iova.0;
        let mut last = first + bytes.max(1).next_multiple_of(PAGE) - 1;
        if let Some((&before, &before_last)) = self.free.range(..first).next_back()
            && before_last + 1 == first
        {
            self.free.remove(&before);
            first = before;
        }
        if let Some(&after_last) = self.free.get(&(last + 1)) {
            self.free.remove(&(last + 1));
            last = after_last;
        }
        self.free.insert(first, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn allocator_skips_the_interrupt_window_and_low_memory() {
        let mut a = IovaAllocator::new(&[IovaRange { first: 0, last: (1 << 39) - 1 }]);
        assert_eq!(a.allocate(1), Some(Iova(0x10_0000)));
        let rest_below = 0xfee0_0000 - 0x10_1000;
        assert_eq!(a.allocate(rest_below), Some(Iova(0x10_1000)));
        assert_eq!(a.allocate(4096), Some(Iova(0xfef0_0000)));
        assert_eq!(a.allocate(1 << 39), None);
    }

    #[test]
    fn allocator_honours_disjoint_ranges_and_their_ends() {
        let ranges = [
            IovaRange { first: 0x20_0000, last: 0x20_1fff },
            IovaRange { first: 0xfee0_0000, last: 0xfeef_ffff },
            IovaRange { first: u64::MAX - 8191, last: u64::MAX },
        ];
        let mut a = IovaAllocator::new(&ranges);
        assert_eq!(a.allocate(8193), None);
        assert_eq!(a.allocate(8192), Some(Iova(0x20_0000)));
        assert_eq!(a.allocate(1), None);
        a.release(Iova(0x20_0000), 8192);
        assert_eq!(a.allocate(8192), Some(Iova(0x20_0000)));
    }

    proptest! {
        #[test]
        fn allocations_are_disjoint_and_all_come_back(sizes in proptest::collection::vec(1u64..40_000, 1..40), order in any::<u64>()) {
            let range = IovaRange { first: 0x100_0000, last: 0x1ff_ffff };
            let mut a = IovaAllocator::new(&[range]);
            let mut held: Vec<(Iova, u64)> = sizes.iter().filter_map(|&s| a.allocate(s).map(|i| (i, s))).collect();
            let mut sorted = held.clone();
            sorted.sort();
            for pair in sorted.windows(2) {
                prop_assert!(pair[0].0.0 + pair[0].1 <= pair[1].0.0);
            }
            let mut seed = order;
            while !held.is_empty() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (iova, size) = held.swap_remove((seed >> 33) as usize % held.len());
                a.release(iova, size);
            }
            prop_assert_eq!(a.free.into_iter().collect::<Vec<_>>(), vec![(range.first, range.last)]);
        }
    }
}
