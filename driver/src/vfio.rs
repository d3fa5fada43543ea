//! The road through the kernel: a PCI function bound to vfio-pci.
//!
//! By group and container (type 1, version 2); with the feature `iommufd`, by the function's own character device and
//! `/dev/iommu` where the kernel has them.
#![allow(unsafe_code)]

use crate::address::PciAddress;
use crate::bus::Bus;
use crate::discovery::{self, Usable};
use crate::error::{Error, Result};
use crate::iova::{Iova, IovaRange};
use crate::memory::HostMemory;
use crate::sys;
use glovebox_regmap::layout;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use vfio_bindings::bindings::vfio::{
    VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_MSIX_IRQ_INDEX, VFIO_REGION_INFO_FLAG_MMAP,
};
use vfio_ioctls::{VfioContainer, VfioDevice, VfioError, VfioOps};
use vmm_sys_util::eventfd::EventFd;

/// A card behind vfio-pci.
pub struct VfioBus {
    name: String,
    // Field order is drop order: the BAR's mapping goes before the device, the device before what maps its memory.
    bar: Option<MmapRaw>,
    /// A second descriptor of the device: vfio-ioctls swallows the errors of region accesses.
    file: File,
    bar_offset: u64,
    config_offset: u64,
    device: VfioDevice,
    /// The container or the iommufd: what maps memory.
    operations: Arc<dyn VfioOps>,
    ranges: Vec<IovaRange>,
    vectors: u16,
}

impl VfioBus {
    /// Opens the function at `address` through sysfs and `/dev/vfio`.
    ///
    /// # Errors
    /// [`Error::Refused`] with the command that makes the function usable, [`Error::Busy`] if it is taken.
    pub fn open(address: PciAddress) -> Result<Self> {
        let name = format!("vfio:{address}");
        let sysfs = Path::new("/sys");
        let folder = sysfs.join("bus/pci/devices").join(address.to_string());
        let refused = |during, source: io::Error, advice: String| Error::Refused {
            device: name.clone(),
            during,
            source,
            advice: if advice.is_empty() { advice } else { format!("; {advice}") },
        };
        if let Usable::No { reason, command } = discovery::usability(sysfs, Path::new("/dev"), address) {
            let source = io::Error::other(reason);
            return Err(refused("opening the function", source, format!("run: {command}")));
        }
        let (device, operations, ranges) = match discovery::character_device(sysfs, Path::new("/dev"), address) {
            #[cfg(feature = "iommufd")]
            Some(_) => open_by_iommufd(&name, &folder)?,
            _ => open_by_group(&name, &folder)?,
        };
        let vectors = device.get_irq_info(VFIO_PCI_MSIX_IRQ_INDEX).map_or(0, |irq| irq.count);
        let size = device.get_region_size(VFIO_PCI_BAR0_REGION_INDEX);
        if size < layout::BAR0_SIZE {
            return Err(Error::BadValue {
                device: name,
                what: "size of BAR0",
                value: size.to_string(),
                rule: "is less than the register map needs",
            });
        }
        // SAFETY: the descriptor is open as long as `device` lives, which is longer than this borrow.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(device.as_raw_fd()) };
        let file =
            borrowed.try_clone_to_owned().map_err(|e| refused("duplicating its descriptor", e, String::new()))?;
        let bar_offset = device.get_region_offset(VFIO_PCI_BAR0_REGION_INDEX);
        let mappable = device.get_region_flags(VFIO_PCI_BAR0_REGION_INDEX) & VFIO_REGION_INFO_FLAG_MMAP != 0;
        let map = || MmapOptions::new().offset(bar_offset).len(layout::BAR0_SIZE as usize).map_raw(&device);
        // Older kernels do not map a BAR with the MSI-X table in it: registers then go through read and write calls.
        let bar = if mappable { map().ok() } else { None };
        let bus = Self {
            bar,
            file: File::from(file),
            bar_offset,
            config_offset: device.get_region_offset(VFIO_PCI_CONFIG_REGION_INDEX),
            ranges,
            vectors: u16::try_from(vectors).unwrap_or(u16::MAX).min(layout::MSIX_VECTORS),
            device,
            operations,
            name,
        };
        bus.set_bus_master(false)?;
        Ok(bus)
    }

    fn refused(&self, during: &'static str, source: io::Error) -> Error {
        Error::Refused { device: self.name.clone(), during, source, advice: String::new() }
    }

    fn check(&self, offset: u32) -> Result<()> {
        if offset.is_multiple_of(4) && u64::from(offset) < layout::BAR0_SIZE {
            return Ok(());
        }
        Err(Error::Argument {
            device: self.name.clone(),
            what: "register offset",
            rule: format!("{offset:#x} is not a word of BAR0"),
        })
    }
}

/// A device, what maps its memory, and the addresses that it may use.
type Opened = (VfioDevice, Arc<dyn VfioOps>, Vec<IovaRange>);

const OPENING: &str = "opening the function";

fn addresses_refused(name: &str, source: io::Error) -> Error {
    Error::Refused { device: name.into(), during: "asking for its device addresses", source, advice: String::new() }
}

fn open_by_group(name: &str, folder: &Path) -> Result<Opened> {
    let translate = |error: VfioError| vfio_error(name, OPENING, &error);
    let container = Arc::new(VfioContainer::new(None).map_err(translate)?);
    let device = VfioDevice::new(folder, Arc::clone(&container) as _, false).map_err(translate)?;
    let ranges = iova_ranges(&container).map_err(|source| addresses_refused(name, source))?;
    Ok((device, container, ranges))
}

#[cfg(feature = "iommufd")]
fn open_by_iommufd(name: &str, folder: &Path) -> Result<Opened> {
    use iommufd_ioctls::{IommuFd, IommufdError};
    use vfio_ioctls::VfioIommufd;
    let translate = |error: VfioError| vfio_error(name, OPENING, &error);
    let iommufd = IommuFd::new().map_err(|error| {
        let source = match error {
            IommufdError::OpenIommufd(source) => source,
            other => io::Error::other(other.to_string()),
        };
        let advice = "; load the module: sudo modprobe iommufd, and let the user open /dev/iommu".into();
        Error::Refused { device: name.into(), during: OPENING, source, advice }
    })?;
    let iommufd = Arc::new(iommufd);
    let operations = Arc::new(VfioIommufd::new(Arc::clone(&iommufd), None, None).map_err(translate)?);
    let device = VfioDevice::new(folder, Arc::clone(&operations) as _, true).map_err(translate)?;
    // The device has narrowed them.
    let ranges = sys::iommufd_ranges(iommufd.as_raw_fd(), operations.ioas().id());
    let ranges = ranges.map_err(|source| addresses_refused(name, source))?;
    let ranges = ranges.into_iter().map(|[first, last]| IovaRange { first, last }).collect();
    Ok((device, operations, ranges))
}

/// Whether the kernel would not lock more memory for this process.
fn is_out_of_memory(error: &VfioError) -> bool {
    match error {
        VfioError::IommuDmaMap(e) => e.errno() == libc::ENOMEM,
        #[cfg(feature = "iommufd")]
        VfioError::IommufdIoctlError(iommufd_ioctls::IommufdError::IommuIoasMap(e)) => e.errno() == libc::ENOMEM,
        _ => false,
    }
}

fn vfio_error(name: &str, during: &'static str, error: &VfioError) -> Error {
    let device = name.to_owned();
    let (source, advice) = match error {
        VfioError::OpenContainer(e) => (
            io::Error::new(e.kind(), error.to_string()),
            "; load the module: sudo modprobe vfio-pci, and let the user open /dev/vfio/vfio".to_owned(),
        ),
        VfioError::OpenGroup(e, group) if e.raw_os_error() == Some(libc::EBUSY) => {
            tracing::debug!(group, "group is open elsewhere");
            return Error::Busy { device };
        }
        VfioError::OpenGroup(e, group) => (
            io::Error::new(e.kind(), error.to_string()),
            format!("; give the group to the user: sudo chown $USER /dev/vfio/{group} (or a udev rule)"),
        ),
        // The kernel says EINVAL for a device that another process has bound.
        #[cfg(feature = "iommufd")]
        VfioError::VfioDeviceBindIommufd(e) if [libc::EINVAL, libc::EBUSY].contains(&e.errno()) => {
            return Error::Busy { device };
        }
        #[cfg(feature = "iommufd")]
        VfioError::OpenDeviceCdev(e) => (
            io::Error::new(e.kind(), e.to_string()),
            "; give /dev/vfio/devices/* to the user: sudo chown $USER (or a udev rule)".to_owned(),
        ),
        VfioError::GroupViable => (
            io::Error::other(error.to_string()),
            "; another function of its IOMMU group has a driver of its own: unbind that one too".to_owned(),
        ),
        VfioError::VfioExtension | VfioError::VfioType1V2 => {
            (io::Error::other(error.to_string()), "; load the module: sudo modprobe vfio_iommu_type1".to_owned())
        }
        VfioError::ContainerSetIOMMU(_) => (
            io::Error::other(error.to_string()),
            "; boot with intel_iommu=on or amd_iommu=on; under virtio-iommu, load vfio_iommu_type1 with \
             allow_unsafe_interrupts=1"
                .to_owned(),
        ),
        _ => (io::Error::other(error.to_string()), String::new()),
    };
    Error::Refused { device, during, source, advice }
}

/// Reads the ranges that the IOMMU accepts; kernels before 5.4 do not say, and then 39 bits are safe.
fn iova_ranges(container: &VfioContainer) -> io::Result<Vec<IovaRange>> {
    let mut info = vec![0; 4096];
    sys::vfio_iommu_info(container.as_raw_fd(), &mut info)?;
    Ok(parse_iommu_info(&info).unwrap_or_else(|| vec![IovaRange { first: 0, last: (1 << 39) - 1 }]))
}

/// Finds the capability with the IOVA ranges in the answer of `VFIO_IOMMU_GET_INFO`; `None` if it has none.
fn parse_iommu_info(info: &[u8]) -> Option<Vec<IovaRange>> {
    const HAS_CAPABILITIES: u32 = 2;
    const IOVA_RANGES: u16 = 1;
    let word = |at: usize| Some(u32::from_ne_bytes(info.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_ne_bytes(info.get(at..at.checked_add(8)?)?.try_into().ok()?));
    if word(4)? & HAS_CAPABILITIES == 0 {
        return None;
    }
    let mut at = word(16)? as usize;
    // The chain only goes on; a bound keeps a broken one from turning in circles.
    for _ in 0..16 {
        if at == 0 {
            break;
        }
        if word(at)? as u16 == IOVA_RANGES {
            let count = word(at + 8)? as usize;
            let range = |k: usize| {
                let start = at + 16 + 16 * k;
                Some(IovaRange { first: long(start)?, last: long(start + 8)? })
            };
            return (0..count.min(256)).map(range).collect();
        }
        at = word(at + 4)? as usize;
    }
    None
}

impl Bus for VfioBus {
    fn name(&self) -> &str {
        &self.name
    }

    fn config_read(&self, offset: u16, into: &mut [u8]) -> Result<()> {
        let at = self.config_offset + u64::from(offset);
        self.file.read_exact_at(into, at).map_err(|e| self.refused("reading configuration space", e))
    }

    fn config_write(&self, offset: u16, from: &[u8]) -> Result<()> {
        let at = self.config_offset + u64::from(offset);
        self.file.write_all_at(from, at).map_err(|e| self.refused("writing configuration space", e))
    }

    fn read32(&self, offset: u32) -> Result<u32> {
        self.check(offset)?;
        if let Some(bar) = &self.bar {
            // SAFETY: `check` keeps the aligned word inside of the mapping; device memory is only touched volatile.
            return Ok(u32::from_le(unsafe { bar.as_ptr().add(offset as usize).cast::<u32>().read_volatile() }));
        }
        let mut word = [0; 4];
        let at = self.bar_offset + u64::from(offset);
        self.file.read_exact_at(&mut word, at).map_err(|e| self.refused("reading a register", e))?;
        Ok(u32::from_le_bytes(word))
    }

    fn write32(&self, offset: u32, value: u32) -> Result<()> {
        self.check(offset)?;
        if let Some(bar) = &self.bar {
            // What was written to DMA memory must be there before the card hears of it.
            std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
            // SAFETY: as in `read32`.
            unsafe { bar.as_mut_ptr().add(offset as usize).cast::<u32>().write_volatile(value.to_le()) };
            return Ok(());
        }
        let at = self.bar_offset + u64::from(offset);
        self.file.write_all_at(&value.to_le_bytes(), at).map_err(|e| self.refused("writing a register", e))
    }

    fn iova_ranges(&self) -> Vec<IovaRange> {
        self.ranges.clone()
    }

    fn dma_map(&self, iova: Iova, memory: &HostMemory) -> Result<()> {
        // SAFETY: the memory is a mapping of its own that no Rust reference covers (see `HostMemory`), and its owner
        // calls `dma_unmap` before it goes, or keeps it for ever.
        let mapped = unsafe { self.operations.vfio_dma_map(iova.get(), memory.len(), memory.pointer()) };
        mapped.map_err(|error| {
            let bytes = memory.len() as u64;
            let out_of_memory = is_out_of_memory(&error);
            match sys::memory_lock_limit() {
                Some(limit) if out_of_memory => Error::MemoryLock {
                    device: self.name.clone(),
                    bytes,
                    limit,
                    user: std::env::var("USER").unwrap_or_else(|_| "USER".into()),
                },
                _ => vfio_error(&self.name, "DMA map", &error),
            }
        })
    }

    fn dma_unmap(&self, iova: Iova, bytes: u64) -> Result<()> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.operations.vfio_dma_unmap(iova.get(), bytes).map_err(|e| vfio_error(&self.name, "DMA unmap", &e))
    }

    fn vectors(&self) -> u16 {
        self.vectors
    }

    fn set_interrupts(&self, events: &[&EventFd]) -> Result<()> {
        let done =
            if events.is_empty() { self.device.disable_msix() } else { self.device.enable_msix(events.to_vec()) };
        done.map_err(|e| vfio_error(&self.name, "interrupt set-up", &e))
    }

    fn reset(&self) -> Result<()> {
        // The kernel restores configuration space after a reset, bus mastering included: take it away first.
        self.set_bus_master(false)?;
        sys::vfio_device_reset(self.device.as_raw_fd()).map_err(|source| Error::Refused {
            device: self.name.clone(),
            during: "function-level reset",
            source,
            advice: "; the function offers no reset: reload its firmware".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn info_with_ranges(ranges: &[(u64, u64)]) -> Vec<u8> {
        let mut info = vec![0u8; 24];
        info[4..8].copy_from_slice(&2u32.to_ne_bytes());
        info[16..20].copy_from_slice(&32u32.to_ne_bytes());
        info.resize(32, 0);
        // A capability of another kind comes first.
        info.extend([2u16.to_ne_bytes(), 1u16.to_ne_bytes()].concat());
        info.extend(48u32.to_ne_bytes());
        info.resize(48, 0);
        info.extend([1u16.to_ne_bytes(), 1u16.to_ne_bytes()].concat());
        info.extend(0u32.to_ne_bytes());
        info.extend((ranges.len() as u32).to_ne_bytes());
        info.extend(0u32.to_ne_bytes());
        for (first, last) in ranges {
            info.extend(first.to_ne_bytes());
            info.extend(last.to_ne_bytes());
        }
        info
    }

    #[test]
    fn iommu_info_gives_its_ranges() {
        let info = info_with_ranges(&[(0, 0xfedf_ffff), (0xfef0_0000, 0x7f_ffff_ffff)]);
        let expected =
            vec![IovaRange { first: 0, last: 0xfedf_ffff }, IovaRange { first: 0xfef0_0000, last: 0x7f_ffff_ffff }];
        assert_eq!(parse_iommu_info(&info), Some(expected));
        assert_eq!(parse_iommu_info(&info[..info.len() - 1]), None);
        assert_eq!(parse_iommu_info(&[0; 64]), None);
    }

    #[test]
    fn a_function_that_is_not_there_says_so() {
        let error = VfioBus::open("0000:ff:1f.7".parse().unwrap()).err().unwrap().to_string();
        assert!(error.starts_with("vfio:0000:ff:1f.7: ") && error.contains("run: "), "{error}");
    }

    proptest! {
        #[test]
        fn any_iommu_info_parses_or_not(info in proptest::collection::vec(any::<u8>(), 0..200), at in 0u32..200) {
            let mut info = info;
            if info.len() > 24 {
                info[4..8].copy_from_slice(&2u32.to_ne_bytes());
                info[16..20].copy_from_slice(&at.to_ne_bytes());
            }
            prop_assert!(parse_iommu_info(&info).is_none_or(|ranges| ranges.len() <= 256));
        }
    }
}
