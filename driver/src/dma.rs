//! DMA buffers: host memory together with its place in the card's address space.

use crate::bus::Bus;
use crate::error::{Error, Result};
use crate::iova::{Iova, IovaAllocator};
use crate::memory::HostMemory;
use glovebox_regmap::layout;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The address space of one card.
pub(crate) struct DmaSpace {
    pub(crate) bus: Arc<dyn Bus>,
    allocator: Mutex<IovaAllocator>,
    /// Set when the card could not be made quiet: nothing is unmapped any more until the road itself is closed.
    frozen: AtomicBool,
    /// Memory that the card may still touch; it goes when the road has been closed (fields drop in order).
    quarantine: Mutex<Vec<HostMemory>>,
}

impl DmaSpace {
    pub(crate) fn new(bus: Arc<dyn Bus>) -> Self {
        let allocator = Mutex::new(IovaAllocator::new(&bus.iova_ranges()));
        Self { bus, allocator, frozen: AtomicBool::new(false), quarantine: Mutex::default() }
    }

    /// From now on memory is kept, not unmapped.
    pub(crate) fn freeze(&self) {
        self.frozen.store(true, Ordering::Release);
    }

    pub(crate) fn allocate(self: &Arc<Self>, bytes: usize) -> Result<DmaBuffer> {
        let memory = HostMemory::new(bytes)?;
        let length = memory.len() as u64;
        let allocator = || self.allocator.lock().unwrap_or_else(PoisonError::into_inner);
        let iova = loop {
            let out = || Error::OutOfIova { device: self.bus.name().into(), bytes: length };
            let iova = allocator().allocate(length).ok_or_else(out)?;
            match self.bus.dma_map(iova, &memory) {
                Ok(()) => break iova,
                // A device that was opened on this bus before and could not make its card quiet has left its mappings:
                // such a range is never given back.
                Err(Error::Refused { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
                    tracing::debug!(%iova, "the range is mapped already");
                }
                Err(error) => {
                    allocator().release(iova, length);
                    return Err(error);
                }
            }
        };
        Ok(DmaBuffer(Arc::new(Mapped { memory: Some(memory), iova, space: Arc::clone(self), bytes })))
    }
}

struct Mapped {
    /// Always there; taken when dropped.
    memory: Option<HostMemory>,
    iova: Iova,
    space: Arc<DmaSpace>,
    bytes: usize,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        let length = memory.len() as u64;
        let unmapped = if self.space.frozen.load(Ordering::Acquire) {
            Err(None)
        } else {
            self.space.bus.dma_unmap(self.iova, length).map_err(Some)
        };
        match unmapped {
            Ok(()) => {
                self.space.allocator.lock().unwrap_or_else(PoisonError::into_inner).release(self.iova, length);
            }
            Err(error) => {
                tracing::debug!(iova = %self.iova, ?error, "DMA memory is kept until the device is closed");
                self.space.quarantine.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
            }
        }
    }
}

/// Host memory that one card can reach.
///
/// The buffer owns both the memory and its mapping; commands in flight hold on to it, so it is unmapped once it is
/// dropped *and* the card is done with it. Data is copied in and out: the card may write at any time.
pub struct DmaBuffer(Arc<Mapped>);

impl std::fmt::Debug for DmaBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DmaBuffer").field("iova", &self.0.iova).field("bytes", &self.0.bytes).finish()
    }
}

impl DmaBuffer {
    /// Bytes asked for when it was made.
    pub fn len(&self) -> usize {
        self.0.bytes
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.0.bytes == 0
    }

    /// Its address as the card sees it.
    pub fn iova(&self) -> Iova {
        self.0.iova
    }

    pub(crate) fn memory(&self) -> &HostMemory {
        match &self.0.memory {
            Some(memory) => memory,
            None => unreachable!("memory is taken only by drop"),
        }
    }

    fn check(&self, offset: usize, bytes: usize) -> Result<()> {
        if offset.checked_add(bytes).is_some_and(|end| end <= self.0.bytes) {
            return Ok(());
        }
        Err(Error::Argument {
            device: self.0.space.bus.name().into(),
            what: "range of a DMA buffer",
            rule: format!("{bytes} bytes at offset {offset} are not within its {} bytes", self.0.bytes),
        })
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// [`Error::Argument`] if the range is not inside the buffer.
    pub fn write(&self, offset: usize, data: &[u8]) -> Result<()> {
        self.check(offset, data.len())?;
        self.memory().write(offset, data);
        Ok(())
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// [`Error::Argument`] if the range is not inside the buffer.
    pub fn read(&self, offset: usize, data: &mut [u8]) -> Result<()> {
        self.check(offset, data.len())?;
        self.memory().read(offset, data);
        Ok(())
    }

    /// Copies 64-bit words in; `offset` is in bytes.
    ///
    /// # Errors
    /// [`Error::Argument`] if the range is not inside the buffer.
    pub fn write_words(&self, offset: usize, words: &[u64]) -> Result<()> {
        self.check(offset, size_of_val(words))?;
        self.memory().write_words(offset, words);
        Ok(())
    }

    /// Copies 64-bit words out; `offset` is in bytes.
    ///
    /// # Errors
    /// [`Error::Argument`] if the range is not inside the buffer.
    pub fn read_words(&self, offset: usize, words: &mut [u64]) -> Result<()> {
        self.check(offset, size_of_val(words))?;
        self.memory().read_words(offset, words);
        Ok(())
    }

    /// A part of the buffer, for a command.
    ///
    /// # Errors
    /// [`Error::Argument`] if the part is not inside the buffer or does not start on a multiple of 64 bytes.
    pub fn slice(&self, offset: usize, bytes: usize) -> Result<DmaSlice> {
        self.check(offset, bytes)?;
        if !(offset as u64).is_multiple_of(layout::ADDRESS_ALIGNMENT) {
            return Err(Error::Argument {
                device: self.0.space.bus.name().into(),
                what: "offset of a DMA slice",
                rule: format!("{offset} is not a multiple of {}", layout::ADDRESS_ALIGNMENT),
            });
        }
        Ok(DmaSlice { buffer: Arc::clone(&self.0), offset: offset as u64, bytes: bytes as u64 })
    }

    /// The whole buffer, for a command.
    pub fn whole(&self) -> DmaSlice {
        DmaSlice { buffer: Arc::clone(&self.0), offset: 0, bytes: self.0.bytes as u64 }
    }
}

/// A part of a DMA buffer; keeps the buffer mapped.
#[derive(Clone)]
pub struct DmaSlice {
    buffer: Arc<Mapped>,
    offset: u64,
    bytes: u64,
}

impl std::fmt::Debug for DmaSlice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DmaSlice").field("iova", &self.iova()).field("bytes", &self.bytes).finish()
    }
}

impl DmaSlice {
    /// Bytes of the part.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Its address as the card sees it.
    pub fn iova(&self) -> Iova {
        // Inside of a mapping that does not wrap.
        Iova::new(self.buffer.iova.get() + self.offset)
    }

    /// Whether it belongs to the card of `space`.
    pub(crate) fn is_in(&self, space: &Arc<DmaSpace>) -> bool {
        Arc::ptr_eq(&self.buffer.space, space)
    }

    /// Whether both share bytes without being the same range.
    pub(crate) fn partly_overlaps(&self, other: &DmaSlice) -> bool {
        self.iova() != other.iova() && self.overlaps(other)
    }

    /// Whether both share bytes.
    pub(crate) fn overlaps(&self, other: &DmaSlice) -> bool {
        let (a, b) = (self.iova().get(), other.iova().get());
        a < b + other.bytes && b < a + self.bytes
    }
}
