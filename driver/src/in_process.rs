//! A card in the same process: no socket between driver and card program.

use crate::bus::Bus;
use crate::card::{CardBackend, DmaPermissions, PciFunction};
use crate::error::{Error, Result};
use crate::iova::{Iova, IovaRange};
use crate::memory::HostMemory;
use glovebox_regmap::layout;
use std::io;
use std::sync::Arc;
use vmm_sys_util::eventfd::EventFd;

/// The road to a card program in the same process.
pub struct InProcessBus {
    name: String,
    function: PciFunction,
}

impl InProcessBus {
    /// Puts a driver's end on `card`; `name` stands in messages.
    pub fn new(name: &str, card: Arc<dyn CardBackend>) -> Self {
        Self { name: name.into(), function: PciFunction::new(card) }
    }

    fn refused(&self, during: &'static str, source: io::Error) -> Error {
        Error::Refused { device: self.name.clone(), during, source, advice: String::new() }
    }
}

impl Drop for InProcessBus {
    fn drop(&mut self) {
        self.function.disconnect();
    }
}

impl Bus for InProcessBus {
    fn name(&self) -> &str {
        &self.name
    }

    fn config_read(&self, offset: u16, into: &mut [u8]) -> Result<()> {
        self.function.config_read(offset.into(), into);
        Ok(())
    }

    fn config_write(&self, offset: u16, from: &[u8]) -> Result<()> {
        self.function.config_write(offset.into(), from);
        Ok(())
    }

    fn read32(&self, offset: u32) -> Result<u32> {
        let mut word = [0; 4];
        self.function.bar0_read(offset.into(), &mut word);
        Ok(u32::from_le_bytes(word))
    }

    fn write32(&self, offset: u32, value: u32) -> Result<()> {
        self.function.bar0_write(offset.into(), &value.to_le_bytes());
        Ok(())
    }

    fn iova_ranges(&self) -> Vec<IovaRange> {
        vec![IovaRange { first: 0, last: (1 << 48) - 1 }]
    }

    fn dma_map(&self, iova: Iova, memory: &HostMemory) -> Result<()> {
        let refused = |source| self.refused("DMA map", source);
        let file = memory.file().try_clone().map_err(refused)?;
        let all = DmaPermissions { read: true, write: true };
        self.function.dma_map(iova.get(), memory.len() as u64, 0, all, file).map_err(refused)
    }

    fn dma_unmap(&self, iova: Iova, bytes: u64) -> Result<()> {
        self.function.dma_unmap(iova.get(), bytes);
        Ok(())
    }

    fn vectors(&self) -> u16 {
        layout::MSIX_VECTORS
    }

    fn set_interrupts(&self, events: &[&EventFd]) -> Result<()> {
        let refused = |source| self.refused("interrupt set-up", source);
        self.function.clear_vectors();
        let events: io::Result<Vec<_>> = events.iter().map(|event| event.try_clone().map(Some)).collect();
        self.function.set_vectors(0, events.map_err(refused)?).map_err(refused)
    }

    fn reset(&self) -> Result<()> {
        self.function.reset();
        Ok(())
    }
}
