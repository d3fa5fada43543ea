//! Serves a card over vfio-user: to this driver, or to QEMU's `vfio-user-pci`.
//!
//! One client at a time; another one is told that the card is busy. When a client goes away, by whatever cause, the
//! card is reset and the client's memory and events are forgotten, so that nothing is written to memory that nobody
//! waits for.

use super::protocol::{self, Header, Request, irq_set};
use super::socket::{self, ReceiveError};
use crate::card::{CardBackend, DmaPermissions, PciFunction};
use crate::error::{Error, Result};
use crate::sys;
use glovebox_regmap::layout;
use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use vmm_sys_util::eventfd::EventFd;

/// Longest time from the first byte of a message to its last, and for a client to take a reply.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// A card server on a thread. Dropping it closes the connection, ends the thread and removes the socket.
pub struct CardServer {
    path: PathBuf,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

struct Stop {
    event: EventFd,
    stopped: AtomicBool,
    session: Mutex<Option<UnixStream>>,
}

impl Stop {
    /// Whether the present client still holds its end; one that has gone is only being cleaned up after.
    fn client_is_there(&self) -> bool {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stream) = &*session else { return false };
        let state = sys::poll(&[stream.as_raw_fd()], Some(Duration::ZERO));
        !state.is_ok_and(|ready| ready[0].hung_up)
    }
}

impl CardServer {
    /// Serves `card` on a new socket at `path`.
    ///
    /// # Errors
    /// [`Error::System`] if the socket cannot be made: the path exists, or its folder does not.
    pub fn start(path: &Path, card: Arc<dyn CardBackend>) -> Result<Self> {
        let system = |source| Error::System { what: format!("listening on {}", path.display()), source };
        let listener = UnixListener::bind(path).map_err(system)?;
        listener.set_nonblocking(true).map_err(system)?;
        let event = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC).map_err(system)?;
        let stop = Arc::new(Stop { event, stopped: AtomicBool::new(false), session: Mutex::new(None) });
        let shared = Arc::clone(&stop);
        let function = Arc::new(PciFunction::new(card));
        let thread = std::thread::Builder::new()
            .name("card-server".into())
            .spawn(move || accept_loop(&listener, &function, &shared))
            .map_err(system)?;
        Ok(Self { path: path.into(), stop, thread: Some(thread) })
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The address under which a driver opens this card.
    pub fn address(&self) -> crate::DeviceAddress {
        crate::DeviceAddress::VfioUser(self.path.clone())
    }

    /// Cuts the connection to the present client, as if the server had died; it goes on listening.
    pub fn disconnect(&self) {
        if let Some(stream) = &*self.stop.session.lock().unwrap_or_else(PoisonError::into_inner) {
            // Already closed is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for CardServer {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop.stopped.store(true, Ordering::Release);
            // The event wakes the accept loop; it cannot be full.
            let _ = self.stop.event.write(1);
            self.disconnect();
            let _ = thread.join();
        }
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn accept_loop(listener: &UnixListener, function: &Arc<PciFunction>, stop: &Arc<Stop>) {
    let mut session: Option<JoinHandle<()>> = None;
    while !stop.stopped.load(Ordering::Acquire) {
        if let Err(error) = sys::poll(&[listener.as_raw_fd(), stop.event.as_raw_fd()], None) {
            tracing::error!(%error, "card server cannot wait for clients");
            break;
        }
        let Ok((stream, _)) = listener.accept() else { continue };
        if session.as_ref().is_some_and(|s| !s.is_finished()) && stop.client_is_there() {
            refuse(stream);
            continue;
        }
        if let Some(ended) = session.take() {
            let _ = ended.join();
        }
        match start_session(stream, function, stop) {
            Ok(thread) => session = Some(thread),
            Err(error) => tracing::error!(%error, "card server cannot serve a client"),
        }
    }
    if let Some(stream) = &*stop.session.lock().unwrap_or_else(PoisonError::into_inner) {
        let _ = stream.shutdown(Shutdown::Both);
    }
    if let Some(session) = session {
        let _ = session.join();
    }
}

fn start_session(stream: UnixStream, function: &Arc<PciFunction>, stop: &Arc<Stop>) -> io::Result<JoinHandle<()>> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(MESSAGE_TIMEOUT))?;
    *stop.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream.try_clone()?);
    let (function, stop) = (Arc::clone(function), Arc::clone(stop));
    std::thread::Builder::new().name("card-session".into()).spawn(move || {
        let end = Session { function: &function, stream, negotiated: false }.run();
        tracing::debug!(?end, "client left");
        // The session's handle on the socket goes last: a client sees the end only when the card is quiet.
        function.disconnect();
        *stop.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
    })
}

/// Answers the first message of a client with "busy".
fn refuse(mut stream: UnixStream) {
    let mut payload = vec![];
    let prepared = stream.set_nonblocking(false).and_then(|()| stream.set_write_timeout(Some(Duration::from_secs(1))));
    let second = Duration::from_secs(1);
    if prepared.is_ok()
        && let Ok((header, _)) = socket::receive(&mut stream, Some(second), second, &mut payload)
    {
        let header = Header { reply: true, error: Some(libc::EBUSY as u32), ..header };
        // A client that does not listen loses only the reason.
        let _ = socket::send(&mut stream, &header, &[], &[]);
    }
}

struct Session<'a> {
    function: &'a PciFunction,
    stream: UnixStream,
    negotiated: bool,
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(match error.kind() {
        io::ErrorKind::AlreadyExists => libc::EEXIST,
        _ => libc::EINVAL,
    })
}

impl Session<'_> {
    fn run(mut self) -> std::result::Result<(), ReceiveError> {
        let mut payload = vec![];
        loop {
            let (header, files) = socket::receive(&mut self.stream, None, MESSAGE_TIMEOUT, &mut payload)?;
            if header.reply {
                continue; // nothing was asked
            }
            let result = match Request::parse(header.command, &payload) {
                Ok(request) => self.serve(request, files),
                Err(reason) => {
                    tracing::warn!(%reason, command = header.command, "client sent a bad message");
                    Err(libc::EINVAL)
                }
            };
            if header.no_reply {
                continue;
            }
            let error = result.as_ref().err().map(|&errno| errno as u32);
            let reply = Header { reply: true, error, ..header };
            socket::send(&mut self.stream, &reply, result.as_deref().unwrap_or_default(), &[])?;
        }
    }

    /// Carries a request out; the reply's payload, or an error number.
    fn serve(&mut self, request: Request<'_>, files: Vec<File>) -> std::result::Result<Vec<u8>, i32> {
        if !self.negotiated && !matches!(request, Request::Version { .. }) {
            return Err(libc::EPROTO);
        }
        match request {
            Request::Version { version, .. } => {
                if version.0 != protocol::VERSION.0 || self.negotiated {
                    return Err(libc::EINVAL);
                }
                self.negotiated = true;
                let agreed = (version.0, version.1.min(protocol::VERSION.1));
                Ok(protocol::version_payload(agreed, &protocol::own_capabilities()))
            }
            Request::DmaMap { read, write, offset, iova, bytes } => {
                // Memory that the client cannot share comes without a file: the card then finds nothing there.
                if let Some(file) = files.into_iter().next() {
                    let mapped = self.function.dma_map(iova, bytes, offset, DmaPermissions { read, write }, file);
                    mapped.map_err(|error| errno(&error))?;
                }
                Ok(vec![])
            }
            Request::DmaUnmap { all, iova, bytes } => {
                if all {
                    self.function.dma_unmap_all();
                } else {
                    self.function.dma_unmap(iova, bytes);
                }
                Ok(protocol::unmap_payload(all, iova, bytes))
            }
            Request::DeviceGetInfo => Ok(protocol::device_info_payload()),
            Request::RegionGetInfo { index } => match index {
                protocol::BAR0_REGION => Ok(protocol::region_info_payload(index, layout::BAR0_SIZE)),
                protocol::CONFIG_REGION => Ok(protocol::region_info_payload(index, crate::pci::CONFIG_BYTES as u64)),
                _ if index < protocol::REGION_COUNT => Ok(protocol::region_info_payload(index, 0)),
                _ => Err(libc::EINVAL),
            },
            Request::IrqGetInfo { index } => match index {
                protocol::MSIX_IRQ => Ok(protocol::irq_info_payload(index, layout::MSIX_VECTORS.into())),
                _ if index < protocol::IRQ_COUNT => Ok(protocol::irq_info_payload(index, 0)),
                _ => Err(libc::EINVAL),
            },
            Request::SetIrqs { flags, index, start, count } => self.set_irqs(flags, index, start, count, files),
            Request::RegionRead { region, offset, count } => {
                let mut data = vec![0; count as usize];
                match region {
                    protocol::BAR0_REGION => self.function.bar0_read(offset, &mut data),
                    protocol::CONFIG_REGION => self.function.config_read(offset, &mut data),
                    _ => return Err(libc::EINVAL),
                }
                Ok(protocol::access_payload(offset, region, count, &data))
            }
            Request::RegionWrite { region, offset, data } => {
                match region {
                    protocol::BAR0_REGION => self.function.bar0_write(offset, data),
                    protocol::CONFIG_REGION => self.function.config_write(offset, data),
                    _ => return Err(libc::EINVAL),
                }
                Ok(protocol::access_payload(offset, region, data.len() as u32, &[]))
            }
            Request::DeviceReset => {
                self.function.reset();
                Ok(vec![])
            }
            Request::Unsupported(_) => Err(libc::ENOTSUP),
        }
    }

    fn set_irqs(
        &self,
        flags: u32,
        index: u32,
        start: u32,
        count: u32,
        files: Vec<File>,
    ) -> std::result::Result<Vec<u8>, i32> {
        if index != protocol::MSIX_IRQ {
            // The other kinds have no vectors; taking nothing away is fine.
            return if count == 0 && index < protocol::IRQ_COUNT { Ok(vec![]) } else { Err(libc::EINVAL) };
        }
        if flags & irq_set::ACTION_TRIGGER == 0 {
            return Ok(vec![]); // masks live in the MSI-X table of whoever emulates it
        }
        if flags & irq_set::DATA_NONE != 0 && count == 0 {
            self.function.clear_vectors();
            return Ok(vec![]);
        }
        if flags & irq_set::DATA_EVENTFD == 0 || count > layout::MSIX_VECTORS.into() {
            return Err(libc::EINVAL);
        }
        // Fewer files than vectors: the rest is taken away.
        let mut events = files.into_iter().map(event_of);
        let events = (0..count).map(|_| events.next()).collect();
        self.function.set_vectors(start, events).map_err(|error| errno(&error))?;
        Ok(vec![])
    }
}

/// The event that a file is; a file of another kind takes the writes and does nothing useful with them.
#[allow(unsafe_code)]
fn event_of(file: File) -> EventFd {
    // A peer's descriptor may be anything: never let a write to it block the card.
    // SAFETY: a plain fcntl on a descriptor that is open.
    unsafe {
        let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
    // SAFETY: the descriptor is open and handed over.
    unsafe { EventFd::from_raw_fd(file.into_raw_fd()) }
}
