//! The driver's road to a card server: a vfio-user client.

use super::protocol::{self, Command, Header, ProtocolError, Request};
use super::socket::{self, ReceiveError};
use crate::bus::{Bus, REPLY_TIMEOUT};
use crate::error::{Error, Result};
use crate::iova::{Iova, IovaRange};
use crate::memory::HostMemory;
use glovebox_regmap::layout;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use vmm_sys_util::eventfd::EventFd;

/// A connection to a card server.
pub struct VfioUserBus {
    name: String,
    timeout: Duration,
    /// A second handle on the socket, to be polled for its end while another thread waits for a reply.
    watch: UnixStream,
    connection: Mutex<Connection>,
    vectors: u16,
}

struct Connection {
    stream: UnixStream,
    next_id: u16,
    payload: Vec<u8>,
    /// Set once a reply was late or wrong: what follows on the stream cannot be trusted.
    broken: bool,
}

impl VfioUserBus {
    /// Connects to the server that listens on `path` and checks that it serves a resettable PCI device with a BAR0 and
    /// MSI-X vectors of a Glovebox card. Every wait for a reply ends after `timeout`.
    ///
    /// # Errors
    /// [`Error::Connect`] if nobody listens, [`Error::Busy`] if the card is taken, and those of a bad peer.
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self> {
        let name = format!("vfio-user:{}", path.display());
        let connect = |source| Error::Connect { device: name.clone(), source };
        let stream = UnixStream::connect(path).map_err(connect)?;
        stream.set_write_timeout(Some(timeout)).map_err(connect)?;
        let watch = stream.try_clone().map_err(connect)?;
        let connection = Connection { stream, next_id: 1, payload: vec![], broken: false };
        let mut bus = Self { name, timeout, watch, connection: Mutex::new(connection), vectors: 0 };
        bus.negotiate()?;
        Ok(bus)
    }

    /// [`VfioUserBus::connect`] with the default timeout.
    ///
    /// # Errors
    /// As there.
    pub fn open(path: &Path) -> Result<Self> {
        Self::connect(path, REPLY_TIMEOUT)
    }

    fn protocol(&self, during: &'static str, reason: impl ToString) -> Error {
        Error::Protocol { device: self.name.clone(), during, reason: reason.to_string() }
    }

    fn negotiate(&mut self) -> Result<()> {
        let hello = Request::Version { version: protocol::VERSION, capabilities: protocol::own_capabilities() };
        let (version, _) = self.call(&hello, &[], protocol::parse_version_reply)?;
        if version.0 != protocol::VERSION.0 || version.1 > protocol::VERSION.1 {
            let reason = format!("version {}.{} answered", version.0, version.1);
            return Err(self.protocol(Command::Version.text(), reason));
        }
        let info = self.call(&Request::DeviceGetInfo, &[], protocol::parse_device_info)?;
        let needed = protocol::DEVICE_PCI | protocol::DEVICE_RESETTABLE;
        if info.flags & needed != needed || info.regions <= protocol::CONFIG_REGION || info.irqs <= protocol::MSIX_IRQ {
            return Err(self.protocol(Command::DeviceGetInfo.text(), "no resettable PCI device"));
        }
        let region = |index| {
            let request = Request::RegionGetInfo { index };
            self.call(&request, &[], |reply| protocol::parse_region_info(reply, index))
        };
        let (bar, config) = (region(protocol::BAR0_REGION)?, region(protocol::CONFIG_REGION)?);
        if bar.1 < layout::BAR0_SIZE || config.1 < 256 || bar.0 & config.0 & 3 != 3 {
            return Err(self.protocol(Command::RegionGetInfo.text(), "no BAR0 of the card's size"));
        }
        let request = Request::IrqGetInfo { index: protocol::MSIX_IRQ };
        let vectors = self.call(&request, &[], |reply| protocol::parse_irq_info(reply, protocol::MSIX_IRQ))?;
        self.vectors = u16::try_from(vectors).unwrap_or(u16::MAX).min(layout::MSIX_VECTORS);
        Ok(())
    }

    fn translate(&self, error: ReceiveError, during: &'static str) -> Error {
        let device = self.name.clone();
        match error {
            ReceiveError::Closed => Error::PeerGone { device, during },
            ReceiveError::Late => Error::PeerTimeout { device, during, after: self.timeout },
            ReceiveError::Garbage(reason) => self.protocol(during, reason),
            ReceiveError::Io(source) => Error::Refused { device, during, source, advice: String::new() },
        }
    }

    /// Sends a request and waits for its reply, which `parse` reads.
    fn call<T>(
        &self,
        request: &Request<'_>,
        fds: &[RawFd],
        parse: impl FnOnce(&[u8]) -> std::result::Result<T, ProtocolError>,
    ) -> Result<T> {
        let (command, payload) = request.encode();
        let during = Command::from_code(command).map_or("a request", Command::text);
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = &mut *connection;
        if connection.broken {
            return Err(Error::PeerGone { device: self.name.clone(), during });
        }
        let id = connection.take_id();
        let result = connection.exchange(id, command, &payload, fds, self.timeout);
        match result {
            Ok(None) => parse(&connection.payload).map_err(|reason| {
                connection.broken = true;
                self.protocol(during, reason)
            }),
            Ok(Some(errno)) => {
                let errno = i32::try_from(errno).unwrap_or(libc::EIO);
                let device = self.name.clone();
                if errno == libc::EBUSY && command == Command::Version as u16 {
                    connection.broken = true;
                    return Err(Error::Busy { device });
                }
                let source = io::Error::from_raw_os_error(errno);
                Err(Error::Refused { device, during, source, advice: String::new() })
            }
            Err(error) => {
                connection.broken = true;
                Err(self.translate(error, during))
            }
        }
    }

    fn access(&self, region: u32, offset: u64, into: &mut [u8]) -> Result<()> {
        let request = Request::RegionRead { region, offset, count: into.len() as u32 };
        self.call(&request, &[], |reply| protocol::parse_read_reply(reply, offset, region, into))
    }
}

impl Connection {
    fn take_id(&mut self) -> u16 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    /// The reply's payload is in `self.payload`; an error number that the peer answered comes back.
    fn exchange(
        &mut self,
        id: u16,
        command: u16,
        payload: &[u8],
        fds: &[RawFd],
        timeout: Duration,
    ) -> std::result::Result<Option<u32>, ReceiveError> {
        let header = Header { id, command, size: 0, reply: false, no_reply: false, error: None };
        let deadline = Instant::now() + timeout;
        socket::send(&mut self.stream, &header, payload, fds)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (reply, _files) = socket::receive(&mut self.stream, Some(left), left, &mut self.payload)?;
            if !reply.reply {
                // The server asks for something: nothing is offered here. It gets an answer and the wait goes on.
                let header = Header { reply: true, error: Some(libc::ENOTSUP as u32), ..reply };
                if !reply.no_reply {
                    socket::send(&mut self.stream, &header, &[], &[])?;
                }
                continue;
            }
            if reply.id != id || reply.command != command {
                return Err(ReceiveError::Garbage(ProtocolError::Field("reply to another request")));
            }
            return Ok(reply.error);
        }
    }
}

impl Bus for VfioUserBus {
    fn name(&self) -> &str {
        &self.name
    }

    fn config_read(&self, offset: u16, into: &mut [u8]) -> Result<()> {
        self.access(protocol::CONFIG_REGION, offset.into(), into)
    }

    fn config_write(&self, offset: u16, from: &[u8]) -> Result<()> {
        let request = Request::RegionWrite { region: protocol::CONFIG_REGION, offset: offset.into(), data: from };
        self.call(&request, &[], |_| Ok(()))
    }

    fn read32(&self, offset: u32) -> Result<u32> {
        let mut word = [0; 4];
        self.access(protocol::BAR0_REGION, offset.into(), &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    fn write32(&self, offset: u32, value: u32) -> Result<()> {
        let data = &value.to_le_bytes();
        let request = Request::RegionWrite { region: protocol::BAR0_REGION, offset: offset.into(), data };
        self.call(&request, &[], |_| Ok(()))
    }

    fn post32(&self, offset: u32, value: u32) -> Result<()> {
        let during = "a doorbell";
        let data = &value.to_le_bytes();
        let (command, payload) =
            Request::RegionWrite { region: protocol::BAR0_REGION, offset: offset.into(), data }.encode();
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.broken {
            return Err(Error::PeerGone { device: self.name.clone(), during });
        }
        let id = connection.take_id();
        let header = Header { id, command, size: 0, reply: false, no_reply: true, error: None };
        socket::send(&mut connection.stream, &header, &payload, &[]).map_err(|error| {
            connection.broken = true;
            self.translate(error, during)
        })
    }

    fn iova_ranges(&self) -> Vec<IovaRange> {
        // The server's table is the IOMMU: any address will do. 48 bits is what IOMMUs offer.
        vec![IovaRange { first: 0, last: (1 << 48) - 1 }]
    }

    fn dma_map(&self, iova: Iova, memory: &HostMemory) -> Result<()> {
        let bytes = memory.len() as u64;
        let request = Request::DmaMap { read: true, write: true, offset: 0, iova: iova.get(), bytes };
        self.call(&request, &[memory.file().as_raw_fd()], |_| Ok(()))
    }

    fn dma_unmap(&self, iova: Iova, bytes: u64) -> Result<()> {
        self.call(&Request::DmaUnmap { all: false, iova: iova.get(), bytes }, &[], |_| Ok(()))
    }

    fn vectors(&self) -> u16 {
        self.vectors
    }

    fn set_interrupts(&self, events: &[&EventFd]) -> Result<()> {
        use protocol::irq_set::{ACTION_TRIGGER, DATA_EVENTFD, DATA_NONE};
        let kind = if events.is_empty() { DATA_NONE } else { DATA_EVENTFD };
        let fds: Vec<RawFd> = events.iter().map(|event| event.as_raw_fd()).collect();
        let (flags, count) = (kind | ACTION_TRIGGER, events.len() as u32);
        self.call(&Request::SetIrqs { flags, index: protocol::MSIX_IRQ, start: 0, count }, &fds, |_| Ok(()))
    }

    fn reset(&self) -> Result<()> {
        self.call(&Request::DeviceReset, &[], |_| Ok(()))
    }

    fn hangup(&self) -> Option<RawFd> {
        Some(self.watch.as_raw_fd())
    }
}
