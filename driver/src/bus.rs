//! What the driver needs of a road to the card.

use crate::error::Result;
use crate::iova::{Iova, IovaRange};
use crate::memory::HostMemory;
use std::os::fd::RawFd;
use std::time::Duration;
use vmm_sys_util::eventfd::EventFd;

/// A road to one card: configuration space, BAR0, DMA mappings, interrupts, reset.
///
/// Every call returns in bounded time, whatever the other end does.
pub trait Bus: Send + Sync {
    /// The device's address as the user wrote it, for messages.
    fn name(&self) -> &str;

    /// Reads configuration space.
    ///
    /// # Errors
    /// If the device cannot be reached or refuses.
    fn config_read(&self, offset: u16, into: &mut [u8]) -> Result<()>;

    /// Writes configuration space.
    ///
    /// # Errors
    /// If the device cannot be reached or refuses.
    fn config_write(&self, offset: u16, from: &[u8]) -> Result<()>;

    /// Reads a 32-bit word of BAR0.
    ///
    /// # Errors
    /// If the device cannot be reached or the offset is not one of BAR0's words.
    fn read32(&self, offset: u32) -> Result<u32>;

    /// Writes a 32-bit word of BAR0 and, where the road knows, waits until it has arrived.
    ///
    /// # Errors
    /// If the device cannot be reached or the offset is not one of BAR0's words.
    fn write32(&self, offset: u32, value: u32) -> Result<()>;

    /// Writes a 32-bit word of BAR0 without waiting: for doorbells. Order among writes is kept.
    ///
    /// # Errors
    /// If the device is known to be gone.
    fn post32(&self, offset: u32, value: u32) -> Result<()> {
        self.write32(offset, value)
    }

    /// Device addresses that the IOMMU accepts.
    fn iova_ranges(&self) -> Vec<IovaRange>;

    /// Lets the card read and write `memory` at `iova`.
    ///
    /// # Errors
    /// If the range is taken or the system refuses.
    fn dma_map(&self, iova: Iova, memory: &HostMemory) -> Result<()>;

    /// Takes a mapping of [`Bus::dma_map`] away again.
    ///
    /// # Errors
    /// If there is no such mapping or the device cannot be reached.
    fn dma_unmap(&self, iova: Iova, bytes: u64) -> Result<()>;

    /// Number of interrupt vectors of the device.
    fn vectors(&self) -> u16;

    /// Ties vector k to `events[k]`; an empty list takes all interrupts away.
    ///
    /// # Errors
    /// If the device has fewer vectors or cannot be reached.
    fn set_interrupts(&self, events: &[&EventFd]) -> Result<()>;

    /// Lets the card start transfers of its own (DMA and interrupts), or not.
    ///
    /// # Errors
    /// If the device cannot be reached.
    fn set_bus_master(&self, on: bool) -> Result<()> {
        const COMMAND: u16 = 4;
        const MEMORY_AND_MASTER: u16 = 6;
        let mut word = [0; 2];
        self.config_read(COMMAND, &mut word)?;
        let old = u16::from_le_bytes(word);
        let new = if on { old | MEMORY_AND_MASTER } else { old & !4 };
        self.config_write(COMMAND, &new.to_le_bytes())
    }

    /// Resets the function. When this returns, the card neither reads nor writes host memory, and bus mastering is off.
    ///
    /// # Errors
    /// If the device cannot be reached or has no reset.
    fn reset(&self) -> Result<()>;

    /// A descriptor that hangs up when the device goes away, if the road has one.
    fn hangup(&self) -> Option<RawFd> {
        None
    }
}

/// How long a road waits for an answer to one request, unless told otherwise.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
