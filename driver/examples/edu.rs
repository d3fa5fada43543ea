//! Drives QEMU's teaching device `edu` over the kernel road: DMA both ways through the IOMMU, and one to an address that
//! is not mapped, which the IOMMU must block. `cargo xtask vm-test` runs it in a guest: `edu vfio:0000:00:03.0`.
#![allow(clippy::print_stdout)]

use glovebox_driver::memory::HostMemory;
use glovebox_driver::vfio::VfioBus;
use glovebox_driver::{Bus, DeviceAddress, Iova};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const IDENTITY: u32 = 0x00;
const DMA_SOURCE: u32 = 0x80;
const DMA_DESTINATION: u32 = 0x88;
const DMA_COUNT: u32 = 0x90;
const DMA_COMMAND: u32 = 0x98;
const START: u32 = 1;
const TO_MEMORY: u32 = 2;
/// The device's own buffer, one page.
const DEVICE_BUFFER: u64 = 0x4_0000;
/// Below 2^28: the device has no more address bits.
const MAPPED: u64 = 0x100_0000;
const UNMAPPED: u64 = 0x200_0000;
const PAGE: usize = 4096;

type Failure = Box<dyn std::error::Error>;

fn transfer(bus: &VfioBus, from: u64, to: u64, direction: u32) -> Result<(), Failure> {
    for (register, value) in [(DMA_SOURCE, from), (DMA_DESTINATION, to), (DMA_COUNT, PAGE as u64)] {
        bus.write32(register, value as u32)?;
        bus.write32(register + 4, (value >> 32) as u32)?;
    }
    bus.write32(DMA_COMMAND, START | direction)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while bus.read32(DMA_COMMAND)? & START != 0 {
        if Instant::now() > deadline {
            return Err("the transfer does not end".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn page(memory: &HostMemory, index: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; PAGE];
    memory.file().read_exact_at(&mut bytes, index * PAGE as u64)?;
    Ok(bytes)
}

fn main() -> Result<(), Failure> {
    let argument = std::env::args().nth(1).ok_or("usage: edu vfio:PCI-ADDRESS")?;
    let DeviceAddress::Vfio(address) = argument.parse()? else { return Err("edu is a PCI device".into()) };
    let bus = VfioBus::open(address)?;
    let identity = bus.read32(IDENTITY)?;
    if identity & 0xffff != 0x00ed {
        return Err(format!("{argument} is not an edu device: its identity is {identity:#x}").into());
    }
    let memory = HostMemory::new(3 * PAGE)?;
    let pattern: Vec<u8> = (0..PAGE).map(|i| (i * 37 + i / 256) as u8).collect();
    memory.file().write_all_at(&pattern, 0)?;
    bus.set_bus_master(true)?;
    bus.dma_map(Iova::new(MAPPED), &memory)?;

    transfer(&bus, MAPPED, DEVICE_BUFFER, 0)?;
    transfer(&bus, DEVICE_BUFFER, MAPPED + PAGE as u64, TO_MEMORY)?;
    if page(&memory, 1)? != pattern {
        return Err("the page that came back differs".into());
    }
    println!("DMA both ways through the IOMMU: ok");

    // Reading where nothing is mapped must not bring anything, and writing there must not change anything: the device
    // gets all ones or its old bytes, and the third page, still mapped elsewhere, keeps its zeros.
    transfer(&bus, DEVICE_BUFFER, UNMAPPED, TO_MEMORY)?;
    bus.dma_unmap(Iova::new(MAPPED), memory.len() as u64)?;
    transfer(&bus, DEVICE_BUFFER, MAPPED + 2 * PAGE as u64, TO_MEMORY)?;
    if page(&memory, 2)? != vec![0; PAGE] || page(&memory, 0)? != pattern {
        return Err("a stray write reached memory: the IOMMU did not block it".into());
    }
    println!("stray DMA blocked: ok");
    Ok(())
}
