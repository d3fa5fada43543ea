//! The error type of the driver.

use glovebox_regmap::{GlweShape, StatusCode};
use std::io;
use std::time::Duration;

/// What went wrong, on which device, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A device address that does not parse.
    #[error("device address \"{text}\": {reason}; write vfio-user:PATH or vfio:0000:01:00.0")]
    Address {
        /// What was written.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nobody answers at the address.
    #[error("{device}: cannot connect ({source}); start the card server on that path, or correct the path")]
    Connect {
        /// The device.
        device: String,
        /// What the system said.
        source: io::Error,
    },
    /// The device belongs to another process.
    #[error("{device}: in use by another process; end that process or choose another card")]
    Busy {
        /// The device.
        device: String,
    },
    /// The other end of the socket went away.
    #[error("{device}: the card server went away during {during}; start it again and reopen the device")]
    PeerGone {
        /// The device.
        device: String,
        /// The step that failed.
        during: &'static str,
    },
    /// The other end of the socket does not answer.
    #[error(
        "{device}: no answer to {during} within {after:?}; the card server hangs: restart it and reopen the device"
    )]
    PeerTimeout {
        /// The device.
        device: String,
        /// The step that failed.
        during: &'static str,
        /// How long the driver waited.
        after: Duration,
    },
    /// The other end of the socket breaks the protocol.
    #[error("{device}: {reason} in {during}; the peer is not a vfio-user server of a compatible version")]
    Protocol {
        /// The device.
        device: String,
        /// The step that failed.
        during: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A step that the device or the kernel refused.
    #[error("{device}: {during} refused ({source}){advice}")]
    Refused {
        /// The device.
        device: String,
        /// The step that failed.
        during: &'static str,
        /// What the system said.
        source: io::Error,
        /// What to do, beginning with "; ", or empty.
        advice: String,
    },
    /// The process may not lock enough memory for DMA.
    #[error(
        "{device}: cannot map {bytes} bytes for DMA: this process may lock {limit} bytes of memory (RLIMIT_MEMLOCK). \
         Raise it: `ulimit -l unlimited` in the shell, or a line `{user} - memlock unlimited` in /etc/security/limits.conf"
    )]
    MemoryLock {
        /// The device.
        device: String,
        /// Bytes that the mapping asked for.
        bytes: u64,
        /// The limit in force.
        limit: u64,
        /// The user that it holds for.
        user: String,
    },
    /// No free range of device addresses is left.
    #[error("{device}: no free device-address range of {bytes} bytes; drop DMA buffers that are no longer used")]
    OutOfIova {
        /// The device.
        device: String,
        /// Bytes asked for.
        bytes: u64,
    },
    /// Something else answers to the address.
    #[error(
        "{device}: not a Glovebox card (its ID register reads {found:#010x}); check the address with `glovebox devices`"
    )]
    NotACard {
        /// The device.
        device: String,
        /// What the register held.
        found: u32,
    },
    /// The card speaks another version of the register map.
    #[error(
        "{device}: its register map is version {found}, this driver knows {known}.x; load matching firmware or update the driver"
    )]
    MapVersion {
        /// The device.
        device: String,
        /// Major version of the card.
        found: u16,
        /// Major version of the driver.
        known: u16,
    },
    /// A value from the card that cannot be.
    #[error(
        "{device}: {what} is {value}, which {rule}; the card or its firmware is faulty: reset it or choose another"
    )]
    BadValue {
        /// The device.
        device: String,
        /// What the card reported.
        what: &'static str,
        /// The value.
        value: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// Parameters of another ring or GLWE dimension than the card is built for.
    #[error(
        "{device}: it is built for N = {}, k = {}, the parameters have N = {degree}, k = {dimension}: choose a card or \
         parameters that agree", card.degree(), card.dimension
    )]
    OtherRing {
        /// The device.
        device: String,
        /// What the card is built for.
        card: GlweShape,
        /// N of the parameters.
        degree: usize,
        /// k of the parameters.
        dimension: usize,
    },
    /// A request that no card could carry out.
    #[error("{device}: {what}: {rule}")]
    Argument {
        /// The device.
        device: String,
        /// What was passed.
        what: &'static str,
        /// The rule that it breaks.
        rule: String,
    },
    /// The command is not one of this card's.
    #[error("{device}: the card cannot do {command}; choose another card or the CPU")]
    Unsupported {
        /// The device.
        device: String,
        /// Name of the opcode.
        command: &'static str,
    },
    /// No room in the ring now.
    #[error(
        "{device}: ring pair {queue} has room for {room} of {wanted} commands; wait for completions and submit again"
    )]
    RingFull {
        /// The device.
        device: String,
        /// The ring pair.
        queue: usize,
        /// Commands that were to be submitted.
        wanted: usize,
        /// Free places.
        room: usize,
    },
    /// The card ended the command with an error.
    #[error("{device}: {command} ended with {} at address {address:#x}: {}", status.name(), status.description())]
    CommandFailed {
        /// The device.
        device: String,
        /// Name of the opcode.
        command: &'static str,
        /// Why.
        status: StatusCode,
        /// The refused address, or 0.
        address: u64,
    },
    /// The command did not end in time; the card was reset.
    #[error("{device}: {command} did not end within {after:?}; the card was reset: submit the work again")]
    CommandTimeout {
        /// The device.
        device: String,
        /// Name of the opcode.
        command: &'static str,
        /// How long the driver waited.
        after: Duration,
    },
    /// The card was reset while the command was pending; its source is untouched.
    #[error("{device}: {command} was given up because {reason}; submit the work again")]
    Aborted {
        /// The device.
        device: String,
        /// Name of the opcode.
        command: &'static str,
        /// Why the card was reset.
        reason: String,
    },
    /// No room on the card for a key set or look-up tables.
    #[error(
        "{device}: {bytes} bytes do not fit into card memory ({free} of {total} bytes free); drop keys or tables that are no longer used"
    )]
    OutOfCardMemory {
        /// The device.
        device: String,
        /// Bytes asked for.
        bytes: u64,
        /// Bytes free, perhaps in pieces.
        free: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The card was reset and what was uploaded before is gone.
    #[error("{device}: the card was reset since this key or table was uploaded; upload it again")]
    CardMemoryLost {
        /// The device.
        device: String,
    },
    /// The card was reset and did not erase its memory.
    #[error(
        "{device}: card memory was not erased after a reset ({reason}); nobody can read it through the card, but what was there stays in the chips: power the card off, or choose another"
    )]
    NotErased {
        /// The device.
        device: String,
        /// What the card said.
        reason: String,
    },
    /// The device cannot be used any more.
    #[error("{device}: lost ({reason}); reopen the device or choose another")]
    DeviceLost {
        /// The device.
        device: String,
        /// What was seen last.
        reason: String,
    },
    /// A wait that ended before the command did; the command goes on.
    #[error("{device}: still running after {after:?}; wait again")]
    StillRunning {
        /// The device.
        device: String,
        /// How long the caller waited.
        after: Duration,
    },
    /// The operating system refused something that has nothing to do with the device.
    #[error("{what}: {source}")]
    System {
        /// The step that failed.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Whether the same work can be submitted again on this device.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::RingFull { .. } | Error::CommandTimeout { .. } | Error::Aborted { .. })
    }
}

/// Result of the driver.
pub type Result<T> = std::result::Result<T, Error>;
