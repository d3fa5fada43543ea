//! A card that is a program: what the software model and the simulated RTL share.
//!
//! [`CardBackend`] is the card's inside (BAR0 words, reset). [`HostPort`] is what the card sees of its host: memory by
//! device address, and interrupt vectors. [`PciFunction`] puts configuration space around both and is what a vfio-user
//! server or the in-process road drives.

use crate::memory::PeerMemory;
use crate::pci::ConfigSpace;
use glovebox_regmap::layout;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use vmm_sys_util::eventfd::EventFd;

/// Most mappings that a peer may hold.
pub const MAX_MAPPINGS: usize = 1 << 20;

/// An access to host memory that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaFault {
    /// The first address that was refused.
    pub address: u64,
}

/// What a mapping allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaPermissions {
    /// The card may read.
    pub read: bool,
    /// The card may write.
    pub write: bool,
}

#[derive(Debug)]
struct Mapping {
    bytes: u64,
    memory: Arc<PeerMemory>,
    offset: u64,
    allow: DmaPermissions,
}

#[derive(Debug, Default)]
struct MappingTable {
    /// Each memory file once, by device and inode: a peer may send one message a page.
    files: HashMap<(u64, u64), Arc<PeerMemory>>,
    mappings: BTreeMap<u64, Mapping>,
}

impl MappingTable {
    fn overlaps(&self, iova: u64, last: u64) -> bool {
        self.mappings.range(..=last).next_back().is_some_and(|(&start, m)| start + (m.bytes - 1) >= iova)
    }

    fn visit(
        &self,
        iova: u64,
        bytes: usize,
        allowed: impl Fn(&DmaPermissions) -> bool,
        mut access: impl FnMut(&PeerMemory, u64, usize, usize) -> bool,
    ) -> Result<(), DmaFault> {
        let mut done = 0;
        while done < bytes {
            let address = iova.checked_add(done as u64).ok_or(DmaFault { address: u64::MAX })?;
            let fault = DmaFault { address };
            let (&start, mapping) = self.mappings.range(..=address).next_back().ok_or(fault)?;
            let inside = address - start;
            if inside >= mapping.bytes || !allowed(&mapping.allow) {
                return Err(fault);
            }
            let count = (mapping.bytes - inside).min((bytes - done) as u64) as usize;
            if !access(&mapping.memory, mapping.offset + inside, done, count) {
                return Err(fault);
            }
            done += count;
        }
        Ok(())
    }
}

/// The host as the card sees it: memory by device address, interrupt vectors, and whether it may use either.
#[derive(Debug, Default)]
pub struct HostPort {
    bus_master: AtomicBool,
    table: RwLock<MappingTable>,
    vectors: Mutex<Vec<Option<EventFd>>>,
}

impl HostPort {
    /// Whether the card may start transfers.
    pub fn bus_master(&self) -> bool {
        self.bus_master.load(Ordering::Acquire)
    }

    fn set_bus_master(&self, on: bool) {
        // Under the lock, so that no access is in flight once it is off.
        let _table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        self.bus_master.store(on, Ordering::Release);
    }

    /// Reads host memory.
    ///
    /// # Errors
    /// [`DmaFault`] where nothing is mapped for reading, or bus mastering is off.
    pub fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if !self.bus_master() {
            return Err(DmaFault { address: iova });
        }
        table.visit(iova, into.len(), |allow| allow.read, |m, offset, at, n| m.read(offset, &mut into[at..at + n]))
    }

    /// Writes host memory; the last aligned word becomes visible after all others.
    ///
    /// # Errors
    /// [`DmaFault`] where nothing is mapped for writing, or bus mastering is off. Nothing is written then.
    pub fn write(&self, iova: u64, from: &[u8]) -> Result<(), DmaFault> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if !self.bus_master() {
            return Err(DmaFault { address: iova });
        }
        let writable = |allow: &DmaPermissions| allow.write;
        table.visit(iova, from.len(), writable, |_, _, _, _| true)?;
        table.visit(iova, from.len(), writable, |m, offset, at, n| m.write(offset, &from[at..at + n]))
    }

    /// Raises an interrupt, if the vector is tied to an event and bus mastering is on (a message is a memory write).
    pub fn fire(&self, vector: u16) {
        let vectors = self.vectors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(event)) = vectors.get(usize::from(vector))
            && self.bus_master()
        {
            // An event that is full is pending anyway.
            let _ = event.write(1);
        }
    }

    fn map(&self, iova: u64, bytes: u64, offset: u64, allow: DmaPermissions, file: File) -> io::Result<()> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
        let last =
            bytes.checked_sub(1).and_then(|b| iova.checked_add(b)).ok_or_else(|| invalid("empty or wrapping range"))?;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if table.overlaps(iova, last) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the range is mapped already"));
        }
        if table.mappings.len() >= MAX_MAPPINGS {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let data = file.metadata()?;
        let key = (data.dev(), data.ino());
        let memory = match table.files.get(&key) {
            Some(memory) if memory.len() == data.len() => Arc::clone(memory),
            _ => {
                let memory = Arc::new(PeerMemory::new(file)?);
                table.files.insert(key, Arc::clone(&memory));
                memory
            }
        };
        if offset.checked_add(bytes).is_none_or(|end| end > memory.len()) {
            return Err(invalid("the range is not in the memory file"));
        }
        table.mappings.insert(iova, Mapping { bytes, memory, offset, allow });
        Ok(())
    }

    fn unmap(&self, iova: u64, bytes: u64) {
        let last = iova.saturating_add(bytes.saturating_sub(1));
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let inside = table.mappings.range(iova..=last).filter(|&(&start, m)| start + (m.bytes - 1) <= last);
        for start in inside.map(|(&start, _)| start).collect::<Vec<_>>() {
            table.mappings.remove(&start);
        }
        // Forget files that nothing maps any more.
        table.files.retain(|_, memory| Arc::strong_count(memory) > 1);
    }

    fn unmap_all(&self) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = MappingTable::default();
    }
}

/// The inside of a card: software or simulated RTL.
pub trait CardBackend: Send + Sync {
    /// Gives the card its host. Called once, before anything else.
    fn attach(&self, host: Arc<HostPort>);

    /// Reads a register word of BAR0 (below the MSI-X table), offset a multiple of 4.
    fn read32(&self, offset: u32) -> u32;

    /// Writes a register word of BAR0. Returns at once: work goes on elsewhere.
    fn write32(&self, offset: u32, value: u32);

    /// Function-level reset: when it returns, registers are at their reset values and no transfer to or from host memory is
    /// in flight. The card may go on to erase its memory, and says so in STATUS.ERASING.
    fn reset(&self);
}

/// A card with its configuration space: one PCI function.
pub struct PciFunction {
    card: Arc<dyn CardBackend>,
    host: Arc<HostPort>,
    config: Mutex<ConfigSpace>,
    msix_table: Mutex<Vec<u8>>,
}

impl PciFunction {
    /// Puts `card` behind a PCI function.
    pub fn new(card: Arc<dyn CardBackend>) -> Self {
        let host = Arc::new(HostPort::default());
        card.attach(Arc::clone(&host));
        let table = vec![0; 16 * usize::from(layout::MSIX_VECTORS)];
        Self { card, host, config: Mutex::default(), msix_table: Mutex::new(table) }
    }

    /// Reads configuration space.
    pub fn config_read(&self, offset: u64, into: &mut [u8]) {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).read(offset, into);
    }

    /// Writes configuration space, with its effects.
    pub fn config_write(&self, offset: u64, from: &[u8]) {
        let effect = self.config.lock().unwrap_or_else(PoisonError::into_inner).write(offset, from);
        if effect.bus_master != self.host.bus_master() {
            self.host.set_bus_master(effect.bus_master);
        }
        if effect.function_reset {
            self.reset();
        }
    }

    fn table_range(offset: u64, bytes: usize) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(offset.checked_sub(layout::MSIX_TABLE_OFFSET.into())?).ok()?;
        let end = start.checked_add(bytes)?;
        (end <= 16 * usize::from(layout::MSIX_VECTORS)).then_some(start..end)
    }

    /// Reads BAR0; bytes without a register are 0.
    pub fn bar0_read(&self, offset: u64, into: &mut [u8]) {
        if let Some(range) = Self::table_range(offset, into.len()) {
            into.copy_from_slice(&self.msix_table.lock().unwrap_or_else(PoisonError::into_inner)[range]);
            return;
        }
        into.fill(0);
        let mut at = 0;
        while at < into.len() {
            let Some(address) = offset.checked_add(at as u64) else { return };
            let skip = (address % 4) as usize;
            let count = (4 - skip).min(into.len() - at);
            if address < u64::from(layout::MSIX_TABLE_OFFSET) {
                let word = self.card.read32((address - skip as u64) as u32).to_le_bytes();
                into[at..at + count].copy_from_slice(&word[skip..skip + count]);
            }
            at += count;
        }
    }

    /// Writes BAR0. Only whole aligned words reach registers; anything else is ignored, as a PCIe endpoint may.
    pub fn bar0_write(&self, offset: u64, from: &[u8]) {
        if let Some(range) = Self::table_range(offset, from.len()) {
            self.msix_table.lock().unwrap_or_else(PoisonError::into_inner)[range].copy_from_slice(from);
            return;
        }
        if !offset.is_multiple_of(4) || !from.len().is_multiple_of(4) {
            tracing::warn!(offset, bytes = from.len(), "unaligned register write ignored");
            return;
        }
        for (address, chunk) in (offset..).step_by(4).zip(from.chunks_exact(4)) {
            if address < u64::from(layout::MSIX_TABLE_OFFSET) {
                let mut word = [0; 4];
                word.copy_from_slice(chunk);
                self.card.write32(address as u32, u32::from_le_bytes(word));
            }
        }
    }

    /// Lets the card reach `bytes` bytes of `file` from `offset` at `iova`.
    ///
    /// # Errors
    /// For an empty, wrapping or overlapping range, or one beyond the file.
    pub fn dma_map(&self, iova: u64, bytes: u64, offset: u64, allow: DmaPermissions, file: File) -> io::Result<()> {
        self.host.map(iova, bytes, offset, allow, file)
    }

    /// Takes every mapping inside the range away; there may be none.
    pub fn dma_unmap(&self, iova: u64, bytes: u64) {
        self.host.unmap(iova, bytes);
    }

    /// Takes every mapping away.
    pub fn dma_unmap_all(&self) {
        self.host.unmap_all();
    }

    /// Ties vectors from `start` on to events.
    ///
    /// # Errors
    /// If there are fewer vectors.
    pub fn set_vectors(&self, start: u32, events: Vec<Option<EventFd>>) -> io::Result<()> {
        let mut vectors = self.host.vectors.lock().unwrap_or_else(PoisonError::into_inner);
        vectors.resize_with(usize::from(layout::MSIX_VECTORS), || None);
        let start = start as usize;
        if start.checked_add(events.len()).is_none_or(|end| end > vectors.len()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (slot, event) in vectors[start..].iter_mut().zip(events) {
            *slot = event;
        }
        Ok(())
    }

    /// Takes every interrupt away.
    pub fn clear_vectors(&self) {
        self.host.vectors.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Function-level reset.
    pub fn reset(&self) {
        self.host.set_bus_master(false);
        self.card.reset();
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = ConfigSpace::default();
    }

    /// The peer is gone: reset, and forget its memory and events.
    pub fn disconnect(&self) {
        self.reset();
        self.dma_unmap_all();
        self.clear_vectors();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::HostMemory;

    const ALL: DmaPermissions = DmaPermissions { read: true, write: true };

    fn port() -> HostPort {
        let port = HostPort::default();
        port.set_bus_master(true);
        port
    }

    #[test]
    fn access_crosses_adjacent_mappings_and_stops_at_holes() {
        let memory = HostMemory::new(3 * 4096).unwrap();
        let port = port();
        let file = || memory.file().try_clone().unwrap();
        // Pages in reverse order, one message each, as a virtual IOMMU sends them.
        port.map(0x10_0000, 4096, 8192, ALL, file()).unwrap();
        port.map(0x10_1000, 4096, 4096, ALL, file()).unwrap();
        assert_eq!(port.table.read().unwrap().files.len(), 1);
        let data: Vec<u8> = (0..200).collect();
        port.write(0x10_1000 - 100, &data).unwrap();
        let mut back = vec![0; 200];
        port.read(0x10_1000 - 100, &mut back).unwrap();
        assert_eq!(back, data);
        let mut half = [0; 100];
        memory.read(4096, &mut half);
        assert_eq!(half, data[100..]);
        assert_eq!(port.write(0x10_2000 - 8, &[1; 16]), Err(DmaFault { address: 0x10_2000 }));
        memory.read(8192 - 8, &mut half[..8]);
        assert_eq!(half[..8], [0; 8], "a refused write leaves nothing behind");
        assert_eq!(port.read(u64::MAX - 3, &mut [0; 8]), Err(DmaFault { address: u64::MAX - 3 }));
    }

    #[test]
    fn mappings_that_overlap_wrap_or_exceed_the_file_are_refused() {
        let memory = HostMemory::new(8192).unwrap();
        let port = port();
        let file = || memory.file().try_clone().unwrap();
        port.map(0x1000, 8192, 0, ALL, file()).unwrap();
        assert!(port.map(0x2000, 4096, 0, ALL, file()).is_err());
        assert!(port.map(0, 0x1001, 0, ALL, file()).is_err());
        assert!(port.map(u64::MAX - 4095, 8192, 0, ALL, file()).is_err());
        assert!(port.map(0x9000, 4096, 8192, ALL, file()).is_err());
        assert!(port.map(0x9000, 4096, u64::MAX, ALL, file()).is_err());
        assert!(port.map(0x9000, 0, 0, ALL, file()).is_err());
        port.unmap(0, 0x1800); // holds no whole mapping
        assert!(port.read(0x1000, &mut [0; 8]).is_ok());
        port.unmap(0, 1 << 40);
        assert!(port.read(0x1000, &mut [0; 8]).is_err());
        assert!(port.table.read().unwrap().files.is_empty());
    }

    #[test]
    fn permissions_and_bus_master_are_enforced() {
        let memory = HostMemory::new(4096).unwrap();
        let port = port();
        let read_only = DmaPermissions { read: true, write: false };
        port.map(0x1000, 4096, 0, read_only, memory.file().try_clone().unwrap()).unwrap();
        assert!(port.read(0x1000, &mut [0; 8]).is_ok());
        assert!(port.write(0x1000, &[0; 8]).is_err());
        port.set_bus_master(false);
        assert!(port.read(0x1000, &mut [0; 8]).is_err());
    }
}
