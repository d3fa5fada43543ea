//! Sends and receives whole messages with deadlines; file descriptors ride on the header.
#![allow(unsafe_code)]

use super::protocol::{HEADER_BYTES, Header, MAX_MESSAGE_FDS};
use crate::sys;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

/// Why no message came.
#[derive(Debug)]
pub(super) enum ReceiveError {
    /// The peer closed the connection between messages, or in one.
    Closed,
    /// The deadline passed.
    Late,
    /// The bytes are no message.
    Garbage(super::protocol::ProtocolError),
    /// The system failed.
    Io(io::Error),
}

impl From<io::Error> for ReceiveError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Late,
            _ => Self::Io(error),
        }
    }
}

/// Waits until there is something to read; the stream stays blocking, so every read is guarded by this.
fn await_data(stream: &UnixStream, deadline: Option<Instant>) -> Result<(), ReceiveError> {
    loop {
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        let ready = sys::poll(&[stream.as_raw_fd()], left)?;
        if ready[0] != sys::Ready::default() {
            return Ok(()); // data, or an end that the read will report
        }
        if left.is_some_and(|l| l.is_zero()) {
            return Err(ReceiveError::Late);
        }
    }
}

fn read_rest(stream: &mut UnixStream, mut into: &mut [u8], deadline: Option<Instant>) -> Result<(), ReceiveError> {
    while !into.is_empty() {
        await_data(stream, deadline)?;
        match stream.read(into) {
            Ok(0) => return Err(ReceiveError::Closed),
            Ok(count) => into = &mut into[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Receives a message: header, payload and files.
///
/// `idle` bounds the wait for the first byte (none: for ever), `each` the time from there to the last.
pub(super) fn receive(
    stream: &mut UnixStream,
    idle: Option<Duration>,
    each: Duration,
    payload: &mut Vec<u8>,
) -> Result<(Header, Vec<File>), ReceiveError> {
    await_data(stream, idle.map(|t| Instant::now() + t))?;
    let deadline = Some(Instant::now() + each);
    let mut bytes = [0; HEADER_BYTES];
    let mut fds: [RawFd; MAX_MESSAGE_FDS] = [-1; MAX_MESSAGE_FDS];
    let mut vectors = [libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }];
    // SAFETY: the one vector points at `bytes`, which any data may be written to.
    let (count, fd_count) = unsafe { stream.recv_with_fds(&mut vectors, &mut fds) }
        .map_err(|error| ReceiveError::from(io::Error::from_raw_os_error(error.errno())))?;
    // SAFETY: the first `fd_count` entries are descriptors that were just received and belong to nobody else.
    let files = fds[..fd_count].iter().map(|&fd| unsafe { File::from_raw_fd(fd) }).collect();
    if count == 0 {
        return Err(ReceiveError::Closed);
    }
    read_rest(stream, &mut bytes[count..], deadline)?;
    let header = Header::decode(&bytes).map_err(ReceiveError::Garbage)?;
    payload.clear();
    payload.resize(header.size as usize - HEADER_BYTES, 0);
    read_rest(stream, payload, deadline)?;
    Ok((header, files))
}

/// Sends a message. The stream's write timeout bounds it.
pub(super) fn send(
    stream: &mut UnixStream,
    header: &Header,
    payload: &[u8],
    fds: &[RawFd],
) -> Result<(), ReceiveError> {
    let mut message = Vec::with_capacity(HEADER_BYTES + payload.len());
    let size = (HEADER_BYTES + payload.len()) as u32;
    message.extend(Header { size, ..*header }.encode());
    message.extend(payload);
    let sent = if fds.is_empty() {
        0
    } else {
        stream
            .send_with_fds(&[message.as_slice()], fds)
            .map_err(|error| ReceiveError::from(io::Error::from_raw_os_error(error.errno())))?
    };
    stream.write_all(&message[sent..])?;
    Ok(())
}
