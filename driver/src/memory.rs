//! Host memory that a card may read and write at any time.
#![allow(unsafe_code)]

use crate::error::{Error, Result};
use crate::sys;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};

/// A sealed memory file and its mapping.
///
/// The card, or a process that stands for one, may write to it while the host looks. So no reference to its bytes is
/// ever made: data goes in and out by copying, and words that synchronise (rings) are atomics.
#[derive(Debug)]
pub struct HostMemory {
    file: File,
    map: MmapRaw,
}

impl HostMemory {
    /// Zeroed memory of at least `bytes` bytes, rounded up to whole pages.
    ///
    /// # Errors
    /// [`Error::System`] if the system has no memory.
    pub fn new(bytes: usize) -> Result<Self> {
        let what = || format!("allocating {bytes} bytes of shared memory");
        let bytes = bytes.max(1).checked_next_multiple_of(crate::iova::PAGE as usize);
        let bytes =
            bytes.ok_or_else(|| Error::System { what: what(), source: std::io::ErrorKind::OutOfMemory.into() })?;
        let system = |source| Error::System { what: what(), source };
        let file = sys::sealed_memory_file(c"glovebox-dma", bytes as u64).map_err(system)?;
        let map = MmapOptions::new().len(bytes).map_raw(&file).map_err(system)?;
        Ok(Self { file, map })
    }

    /// Bytes of the mapping.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// The memory file, to be handed to whoever stands for the card.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Start of the mapping, for transports that give it to the kernel.
    pub(crate) fn pointer(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    fn range(&self, offset: usize, bytes: usize) -> *mut u8 {
        assert!(
            offset.checked_add(bytes).is_some_and(|end| end <= self.len()),
            "range {offset}+{bytes} outside of {} bytes of DMA memory",
            self.len()
        );
        // SAFETY: `offset` is within the mapping.
        unsafe { self.pointer().add(offset) }
    }

    /// Copies bytes out of the memory. The caller checks the range.
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) {
        let from = self.range(offset, into.len());
        // SAFETY: `from` is valid for `into.len()` bytes and lies in a mapping that no Rust object overlaps. Bytes that
        // the card changes meanwhile come out old or new; no type here has invalid values.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) }
    }

    /// Copies bytes into the memory. The caller checks the range.
    pub(crate) fn write(&self, offset: usize, from: &[u8]) {
        let to = self.range(offset, from.len());
        // SAFETY: as in `read`, in the other direction.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
    }

    /// Copies 64-bit little-endian words out of the memory. The caller checks the range.
    pub(crate) fn read_words(&self, offset: usize, into: &mut [u64]) {
        let from = self.range(offset, size_of_val(into));
        // SAFETY: as in `read`; any bytes make a valid `u64`.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr().cast::<u8>(), size_of_val(into)) }
        for word in into {
            *word = u64::from_le(*word);
        }
    }

    /// Copies words into the memory, little-endian. The caller checks the range.
    pub(crate) fn write_words(&self, offset: usize, from: &[u64]) {
        if cfg!(target_endian = "big") {
            for (index, word) in from.iter().enumerate() {
                self.write(offset + 8 * index, &word.to_le_bytes());
            }
            return;
        }
        let to = self.range(offset, size_of_val(from));
        // SAFETY: as in `read`, in the other direction.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr().cast::<u8>(), to, size_of_val(from)) }
    }

    /// The aligned word at `offset` as an atomic.
    fn atomic(&self, offset: usize) -> &AtomicU64 {
        assert_eq!(offset % 8, 0, "atomic word at unaligned offset {offset}");
        let pointer = self.range(offset, 8);
        // SAFETY: within the mapping, aligned (the mapping starts on a page), alive as long as `self`; concurrent
        // accesses by other threads go through atomics or are whole copies as above.
        unsafe { AtomicU64::from_ptr(pointer.cast::<u64>()) }
    }

    /// Loads a little-endian word; what was written before it is visible afterwards.
    pub(crate) fn load(&self, offset: usize) -> u64 {
        u64::from_le(self.atomic(offset).load(Ordering::Acquire))
    }
}

/// Memory of a peer, through the file that it sent: mapped if nobody can shrink it, else read and written by calls.
#[derive(Debug)]
pub(crate) enum PeerMemory {
    Mapped(MmapRaw),
    File(File, u64),
}

impl PeerMemory {
    pub(crate) fn new(file: File) -> std::io::Result<Self> {
        let bytes = file.metadata()?.len();
        if bytes > 0 && sys::cannot_shrink(&file) {
            let length = usize::try_from(bytes).map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
            return Ok(Self::Mapped(MmapOptions::new().len(length).map_raw(&file)?));
        }
        Ok(Self::File(file, bytes))
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Mapped(map) => map.len() as u64,
            Self::File(_, bytes) => *bytes,
        }
    }

    fn contains(&self, offset: u64, bytes: usize) -> bool {
        offset.checked_add(bytes as u64).is_some_and(|end| end <= self.len())
    }

    /// Copies out; false if the range is not there.
    #[must_use]
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> bool {
        if !self.contains(offset, into.len()) {
            return false;
        }
        match self {
            Self::Mapped(map) => {
                // SAFETY: the range was checked; the mapping overlaps no Rust object, and bytes that the peer changes
                // meanwhile come out old or new.
                unsafe {
                    let from = map.as_ptr().add(offset as usize);
                    std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len());
                }
                true
            }
            Self::File(file, _) => std::os::unix::fs::FileExt::read_exact_at(file, into, offset).is_ok(),
        }
    }

    /// Copies in, the last aligned word after all others; false if the range is not there.
    #[must_use]
    pub(crate) fn write(&self, offset: u64, from: &[u8]) -> bool {
        use std::os::unix::fs::FileExt;
        if !self.contains(offset, from.len()) {
            return false;
        }
        let end = offset as usize + from.len();
        let split = if from.len() >= 8 && end.is_multiple_of(8) { from.len() - 8 } else { from.len() };
        let (head, last) = from.split_at(split);
        match self {
            Self::Mapped(map) => {
                // SAFETY: the range was checked; the mapping overlaps no Rust object. The last word is 8-byte aligned:
                // `end` is a multiple of 8 and the mapping starts on a page.
                unsafe {
                    let to = map.as_mut_ptr().add(offset as usize);
                    std::ptr::copy_nonoverlapping(head.as_ptr(), to, head.len());
                    if let Ok(word) = <[u8; 8]>::try_from(last) {
                        let word = u64::from_ne_bytes(word);
                        AtomicU64::from_ptr(to.add(split).cast::<u64>()).store(word, Ordering::Release);
                    }
                }
                true
            }
            Self::File(file, _) => {
                file.write_all_at(head, offset).is_ok() && file.write_all_at(last, offset + split as u64).is_ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_gives_back_what_was_written() {
        let memory = HostMemory::new(5000).unwrap();
        assert_eq!(memory.len(), 8192);
        memory.write_words(4096, &[1, u64::MAX]);
        let mut words = [0; 2];
        memory.read_words(4096, &mut words);
        assert_eq!(words, [1, u64::MAX]);
        memory.write_words(8184, &[77]);
        assert_eq!(memory.load(8184), 77);
    }

    #[test]
    fn peer_memory_reads_and_writes_mapped_and_unmapped_files() {
        let sealed = HostMemory::new(4096).unwrap();
        let plain = tempfile::tempfile().unwrap();
        plain.set_len(4096).unwrap();
        let peers = [
            PeerMemory::new(sealed.file().try_clone().unwrap()).unwrap(),
            PeerMemory::new(plain.try_clone().unwrap()).unwrap(),
        ];
        assert!(matches!(peers, [PeerMemory::Mapped(_), PeerMemory::File(..)]));
        for peer in &peers {
            for (offset, length) in [(0u64, 32usize), (3, 5), (4088, 8), (17, 100)] {
                let data: Vec<u8> = (0..length).map(|i| (i * 7 + 3) as u8).collect();
                assert!(peer.write(offset, &data));
                let mut back = vec![0; length];
                assert!(peer.read(offset, &mut back));
                assert_eq!(back, data);
            }
            assert!(!peer.write(4090, &[0; 8]));
            assert!(!peer.read(u64::MAX, &mut [0; 8]));
        }
    }

    #[test]
    fn peer_that_shrinks_its_file_gets_a_refusal() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8192).unwrap();
        let peer = PeerMemory::new(file.try_clone().unwrap()).unwrap();
        file.set_len(0).unwrap();
        assert!(!peer.read(0, &mut [0; 8]));
    }
}
