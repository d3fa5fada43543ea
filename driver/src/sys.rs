//! The few system calls that no dependency wraps: sealed memory files, polling, limits.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::time::Duration;

/// An anonymous memory file of `bytes` bytes whose size nobody can change any more.
pub(crate) fn sealed_memory_file(name: &CStr, bytes: u64) -> io::Result<File> {
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just made and belongs to nobody else.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(bytes)?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: a plain fcntl on a descriptor that is open.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// Whether nobody can shrink the file, so that mapping it cannot end in SIGBUS.
pub(crate) fn cannot_shrink(file: &File) -> bool {
    // SAFETY: a plain fcntl on a descriptor that is open.
    let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
    seals >= 0 && seals & libc::F_SEAL_SHRINK != 0
}

/// What a descriptor has to report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Data to read.
    pub(crate) readable: bool,
    /// The other end is gone, or the descriptor is broken.
    pub(crate) hung_up: bool,
}

/// Waits until one of `fds` is readable or hung up; an empty list of events means the time is over.
pub(crate) fn poll(fds: &[RawFd], timeout: Option<Duration>) -> io::Result<Vec<Ready>> {
    let events = libc::POLLIN | libc::POLLRDHUP;
    let mut list: Vec<_> = fds.iter().map(|&fd| libc::pollfd { fd, events, revents: 0 }).collect();
    let milliseconds = timeout.map_or(-1, |t| i32::try_from(t.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
    // SAFETY: `list` is valid for `list.len()` entries during the call.
    let count = unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, milliseconds) };
    if count < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        return Ok(vec![Ready::default(); fds.len()]);
    }
    let gone = libc::POLLHUP | libc::POLLRDHUP | libc::POLLERR | libc::POLLNVAL;
    Ok(list.iter().map(|p| Ready { readable: p.revents & libc::POLLIN != 0, hung_up: p.revents & gone != 0 }).collect())
}

/// The soft limit of lockable memory, in bytes.
pub(crate) fn memory_lock_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writes during the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) } != 0 {
        return None;
    }
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// Asks the kernel for `VFIO_IOMMU_GET_INFO` of a container; the buffer says its own size in the first word.
pub(crate) fn vfio_iommu_info(container: RawFd, buffer: &mut [u8]) -> io::Result<()> {
    const VFIO_IOMMU_GET_INFO: libc::Ioctl = 0x3b70;
    let size = u32::try_from(buffer.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    if size < 16 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    buffer[..4].copy_from_slice(&size.to_ne_bytes());
    // SAFETY: the kernel writes at most `argsz` bytes, which is the length of `buffer`.
    if unsafe { libc::ioctl(container, VFIO_IOMMU_GET_INFO, buffer.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Asks an iommufd for the address ranges of one of its address spaces, both ends included.
#[cfg(feature = "iommufd")]
pub(crate) fn iommufd_ranges(iommufd: RawFd, address_space: u32) -> io::Result<Vec<[u64; 2]>> {
    /// `struct iommu_ioas_iova_ranges` of the kernel's linux/iommufd.h.
    #[repr(C)]
    struct Ranges {
        size: u32,
        address_space: u32,
        count: u32,
        reserved: u32,
        ranges: u64,
        alignment: u64,
    }
    const IOMMU_IOAS_IOVA_RANGES: libc::Ioctl = 0x3b84;
    let mut list = vec![[0; 2]; 256];
    let mut request = Ranges {
        size: size_of::<Ranges>() as u32,
        address_space,
        count: list.len() as u32,
        reserved: 0,
        ranges: list.as_mut_ptr() as u64,
        alignment: 0,
    };
    // SAFETY: `request` says its own size and is valid for reads and writes during the call; the kernel writes at most
    // `count` pairs of words to `ranges`, which is the length of `list`.
    if unsafe { libc::ioctl(iommufd, IOMMU_IOAS_IOVA_RANGES, &mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    list.truncate(request.count as usize);
    Ok(list)
}

/// Resets a VFIO device (FLR or what the kernel has instead).
pub(crate) fn vfio_device_reset(device: RawFd) -> io::Result<()> {
    const VFIO_DEVICE_RESET: libc::Ioctl = 0x3b6f;
    // SAFETY: the request takes no argument.
    if unsafe { libc::ioctl(device, VFIO_DEVICE_RESET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
