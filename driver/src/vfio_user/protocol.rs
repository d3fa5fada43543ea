//! Messages of vfio-user, version 0.1: a 16-byte header, then a payload by command. All little-endian.
//!
//! Parsers take bytes from a peer that may be hostile: they check every length and never panic.

use serde_json::{Value, json};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 16;
/// Most bytes of data of one region access that this side accepts.
pub const MAX_DATA_BYTES: usize = 1 << 20;
/// Most bytes of a message that this side accepts.
pub const MAX_MESSAGE_BYTES: usize = MAX_DATA_BYTES + 256;
/// Most file descriptors that this side accepts with one message.
pub const MAX_MESSAGE_FDS: usize = 16;
/// Protocol version spoken here.
pub const VERSION: (u16, u16) = (0, 1);

/// Region index of BAR0.
pub const BAR0_REGION: u32 = 0;
/// Region index of configuration space.
pub const CONFIG_REGION: u32 = 7;
/// Regions of a PCI device.
pub const REGION_COUNT: u32 = 9;
/// Interrupt index of MSI-X.
pub const MSIX_IRQ: u32 = 2;
/// Interrupt indexes of a PCI device.
pub const IRQ_COUNT: u32 = 5;

/// Device flag: it can be reset.
pub const DEVICE_RESETTABLE: u32 = 1;
/// Device flag: it is a PCI device.
pub const DEVICE_PCI: u32 = 2;
/// Region flags: it can be read and written.
pub const REGION_READ_WRITE: u32 = 3;
/// Interrupt flags: events can be tied to it, and their number is fixed once some are.
pub const IRQ_EVENTFD_FIXED: u32 = 1 | 8;

/// `SET_IRQS` data kinds and action.
pub mod irq_set {
    /// No data: acts on the whole range.
    pub const DATA_NONE: u32 = 1;
    /// One byte a vector.
    pub const DATA_BOOL: u32 = 2;
    /// One event descriptor a vector.
    pub const DATA_EVENTFD: u32 = 4;
    /// Masks.
    pub const ACTION_MASK: u32 = 8;
    /// Unmasks.
    pub const ACTION_UNMASK: u32 = 16;
    /// Ties to events, or triggers.
    pub const ACTION_TRIGGER: u32 = 32;
}

macro_rules! commands {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        /// What a message asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Command { $(#[doc = $text] $name = $code,)* }

        impl Command {
            /// Every command.
            pub const ALL: &[Command] = &[$(Command::$name),*];

            /// The command with this code.
            pub const fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Command::$name),)* _ => None }
            }

            /// A name for messages to people.
            pub const fn text(self) -> &'static str {
                match self { $(Command::$name => $text,)* }
            }
        }
    };
}

commands! {
    Version = 1, "version negotiation";
    DmaMap = 2, "DMA map";
    DmaUnmap = 3, "DMA unmap";
    DeviceGetInfo = 4, "device info";
    RegionGetInfo = 5, "region info";
    RegionGetIoFds = 6, "region I/O descriptors";
    IrqGetInfo = 7, "interrupt info";
    SetIrqs = 8, "interrupt set-up";
    RegionRead = 9, "region read";
    RegionWrite = 10, "region write";
    DmaRead = 11, "DMA read";
    DmaWrite = 12, "DMA write";
    DeviceReset = 13, "device reset";
}

/// A message that breaks the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A size field outside its limits.
    #[error("message of {0} bytes")]
    Size(u32),
    /// A payload shorter than its command needs.
    #[error("payload of {found} bytes instead of {expected}")]
    Short {
        /// Bytes that came.
        found: usize,
        /// Bytes that were due.
        expected: usize,
    },
    /// A field with a value that cannot be.
    #[error("{0}")]
    Field(&'static str),
}

/// Header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Chosen by the sender; the reply repeats it.
    pub id: u16,
    /// Command code, known or not.
    pub command: u16,
    /// Bytes of the message, header included.
    pub size: u32,
    /// It is a reply.
    pub reply: bool,
    /// The sender wants no reply.
    pub no_reply: bool,
    /// A reply that reports `errno`.
    pub error: Option<u32>,
}

impl Header {
    /// The header on the wire.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..2].copy_from_slice(&self.id.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.command.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.size.to_le_bytes());
        let flags = u32::from(self.reply) | u32::from(self.no_reply) << 4 | u32::from(self.error.is_some()) << 5;
        bytes[8..12].copy_from_slice(&flags.to_le_bytes());
        bytes[12..].copy_from_slice(&self.error.unwrap_or(0).to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`ProtocolError`] for a size beyond the limits or a type that is neither command nor reply.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, ProtocolError> {
        let mut fields = Reader(bytes);
        let (id, command) = (fields.u16()?, fields.u16()?);
        let (size, flags, errno) = (fields.u32()?, fields.u32()?, fields.u32()?);
        if (size as usize) < HEADER_BYTES || size as usize > MAX_MESSAGE_BYTES {
            return Err(ProtocolError::Size(size));
        }
        if flags & 0xf > 1 {
            return Err(ProtocolError::Field("message type is neither command nor reply"));
        }
        let error = (flags & 0x20 != 0).then_some(errno);
        Ok(Self { id, command, size, reply: flags & 1 != 0, no_reply: flags & 0x10 != 0, error })
    }
}

/// Takes fields off the front of a payload.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ProtocolError> {
        let short = ProtocolError::Short { found: self.0.len(), expected: count };
        let (head, rest) = self.0.split_at_checked(count).ok_or(short)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, ProtocolError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, ProtocolError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ProtocolError> {
        self.array().map(u64::from_le_bytes)
    }
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// What a client asks of a server, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Opens the connection.
    Version {
        /// Major and minor version that the client speaks.
        version: (u16, u16),
        /// Its capabilities.
        capabilities: Value,
    },
    /// Lets the card reach memory; the file comes with the message, or does not.
    DmaMap {
        /// Card may read.
        read: bool,
        /// Card may write.
        write: bool,
        /// Offset in the file.
        offset: u64,
        /// Device address.
        iova: u64,
        /// Bytes.
        bytes: u64,
    },
    /// Takes mappings away.
    DmaUnmap {
        /// All of them.
        all: bool,
        /// Device address.
        iova: u64,
        /// Bytes.
        bytes: u64,
    },
    /// Asks for the device's flags and counts.
    DeviceGetInfo,
    /// Asks for a region's size and flags.
    RegionGetInfo {
        /// Region.
        index: u32,
    },
    /// Asks for an interrupt's count and flags.
    IrqGetInfo {
        /// Interrupt index.
        index: u32,
    },
    /// Ties vectors to events.
    SetIrqs {
        /// Data kind and action, see [`irq_set`].
        flags: u32,
        /// Interrupt index.
        index: u32,
        /// First vector.
        start: u32,
        /// Number of vectors.
        count: u32,
    },
    /// Reads a region.
    RegionRead {
        /// Region.
        region: u32,
        /// Offset.
        offset: u64,
        /// Bytes.
        count: u32,
    },
    /// Writes a region.
    RegionWrite {
        /// Region.
        region: u32,
        /// Offset.
        offset: u64,
        /// Bytes to write.
        data: &'a [u8],
    },
    /// Resets the function.
    DeviceReset,
    /// A command that is not served here.
    Unsupported(u16),
}

impl<'a> Request<'a> {
    /// Parses the payload of a command.
    ///
    /// # Errors
    /// [`ProtocolError`] for a payload that is too short or contradicts itself.
    pub fn parse(command: u16, payload: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut fields = Reader(payload);
        Ok(match Command::from_code(command) {
            Some(Command::Version) => {
                let version = (fields.u16()?, fields.u16()?);
                Request::Version { version, capabilities: parse_capabilities(fields.0)? }
            }
            Some(Command::DmaMap) => {
                let (_argsz, flags) = (fields.u32()?, fields.u32()?);
                let (offset, iova, bytes) = (fields.u64()?, fields.u64()?, fields.u64()?);
                Request::DmaMap { read: flags & 1 != 0, write: flags & 2 != 0, offset, iova, bytes }
            }
            Some(Command::DmaUnmap) => {
                let (_argsz, flags) = (fields.u32()?, fields.u32()?);
                Request::DmaUnmap { all: flags & 2 != 0, iova: fields.u64()?, bytes: fields.u64()? }
            }
            Some(Command::DeviceGetInfo) => Request::DeviceGetInfo,
            Some(Command::RegionGetInfo) => {
                fields.take(8)?;
                Request::RegionGetInfo { index: fields.u32()? }
            }
            Some(Command::IrqGetInfo) => {
                fields.take(8)?;
                Request::IrqGetInfo { index: fields.u32()? }
            }
            Some(Command::SetIrqs) => {
                let _argsz = fields.u32()?;
                let (flags, index, start, count) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
                Request::SetIrqs { flags, index, start, count }
            }
            Some(Command::RegionRead) => {
                let (offset, region, count) = (fields.u64()?, fields.u32()?, fields.u32()?);
                if count as usize > MAX_DATA_BYTES {
                    return Err(ProtocolError::Field("read of more bytes than were negotiated"));
                }
                Request::RegionRead { region, offset, count }
            }
            Some(Command::RegionWrite) => {
                let (offset, region, count) = (fields.u64()?, fields.u32()?, fields.u32()?);
                Request::RegionWrite { region, offset, data: fields.take(count as usize)? }
            }
            Some(Command::DeviceReset) => Request::DeviceReset,
            _ => Request::Unsupported(command),
        })
    }

    /// Command code and payload of the request.
    pub fn encode(&self) -> (u16, Vec<u8>) {
        let (command, payload) = match self {
            Request::Version { version, capabilities } => (Command::Version, version_payload(*version, capabilities)),
            Request::DmaMap { read, write, offset, iova, bytes } => {
                let mut payload = bytes_of(&[32, u32::from(*read) | u32::from(*write) << 1]);
                payload.extend([*offset, *iova, *bytes].iter().flat_map(|word| word.to_le_bytes()));
                (Command::DmaMap, payload)
            }
            Request::DmaUnmap { all, iova, bytes } => (Command::DmaUnmap, unmap_payload(*all, *iova, *bytes)),
            Request::DeviceGetInfo => (Command::DeviceGetInfo, bytes_of(&[16, 0, 0, 0])),
            Request::RegionGetInfo { index } => (Command::RegionGetInfo, bytes_of(&[32, 0, *index, 0, 0, 0, 0, 0])),
            Request::IrqGetInfo { index } => (Command::IrqGetInfo, bytes_of(&[16, 0, *index, 0])),
            Request::SetIrqs { flags, index, start, count } => {
                (Command::SetIrqs, bytes_of(&[20, *flags, *index, *start, *count]))
            }
            Request::RegionRead { region, offset, count } => {
                (Command::RegionRead, access_payload(*offset, *region, *count, &[]))
            }
            Request::RegionWrite { region, offset, data } => {
                (Command::RegionWrite, access_payload(*offset, *region, data.len() as u32, data))
            }
            Request::DeviceReset => (Command::DeviceReset, vec![]),
            Request::Unsupported(code) => return (*code, vec![]),
        };
        (command as u16, payload)
    }
}

fn parse_capabilities(bytes: &[u8]) -> Result<Value, ProtocolError> {
    let text = bytes.split(|&b| b == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Ok(json!({}));
    }
    let value: Value = serde_json::from_slice(text).map_err(|_| ProtocolError::Field("capabilities are not JSON"))?;
    if value.is_object() { Ok(value) } else { Err(ProtocolError::Field("capabilities are not a JSON object")) }
}

/// Payload of a version message: major, minor, capabilities as NUL-terminated JSON.
pub fn version_payload(version: (u16, u16), capabilities: &Value) -> Vec<u8> {
    let mut payload = version.0.to_le_bytes().to_vec();
    payload.extend(version.1.to_le_bytes());
    payload.extend(capabilities.to_string().bytes());
    payload.push(0);
    payload
}

/// Capabilities that this side states.
pub fn own_capabilities() -> Value {
    json!({ "capabilities": { "max_msg_fds": MAX_MESSAGE_FDS, "max_data_xfer_size": MAX_DATA_BYTES } })
}

/// The peer's limit of data in one region access, from its capabilities; the protocol's default is 1 MiB.
pub fn max_data_bytes(capabilities: &Value) -> usize {
    let stated = capabilities["capabilities"]["max_data_xfer_size"].as_u64().unwrap_or(1 << 20);
    usize::try_from(stated).unwrap_or(MAX_DATA_BYTES).clamp(8, MAX_DATA_BYTES)
}

/// Payload of a DMA unmap and of its reply.
pub fn unmap_payload(all: bool, iova: u64, bytes: u64) -> Vec<u8> {
    let mut payload = bytes_of(&[24, u32::from(all) << 1]);
    payload.extend([iova, bytes].iter().flat_map(|word| word.to_le_bytes()));
    payload
}

/// Payload of a region access and of its reply.
pub fn access_payload(offset: u64, region: u32, count: u32, data: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(16 + data.len());
    payload.extend(offset.to_le_bytes());
    payload.extend(region.to_le_bytes());
    payload.extend(count.to_le_bytes());
    payload.extend(data);
    payload
}

/// Payload of a reply to `DEVICE_GET_INFO`.
pub fn device_info_payload() -> Vec<u8> {
    bytes_of(&[16, DEVICE_RESETTABLE | DEVICE_PCI, REGION_COUNT, IRQ_COUNT])
}

/// Payload of a reply to `DEVICE_GET_REGION_INFO`.
pub fn region_info_payload(index: u32, size: u64) -> Vec<u8> {
    let flags = if size > 0 { REGION_READ_WRITE } else { 0 };
    let mut payload = bytes_of(&[32, flags, index, 0]);
    payload.extend(size.to_le_bytes());
    payload.extend(0u64.to_le_bytes());
    payload
}

/// Payload of a reply to `DEVICE_GET_IRQ_INFO`.
pub fn irq_info_payload(index: u32, count: u32) -> Vec<u8> {
    bytes_of(&[16, if count > 0 { IRQ_EVENTFD_FIXED } else { 0 }, index, count])
}

/// What a server says of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// See [`DEVICE_RESETTABLE`] and [`DEVICE_PCI`].
    pub flags: u32,
    /// Number of regions.
    pub regions: u32,
    /// Number of interrupt indexes.
    pub irqs: u32,
}

/// Reads the reply to a version message.
///
/// # Errors
/// [`ProtocolError`] if it is too short or its capabilities are not a JSON object.
pub fn parse_version_reply(payload: &[u8]) -> Result<((u16, u16), Value), ProtocolError> {
    match Request::parse(Command::Version as u16, payload)? {
        Request::Version { version, capabilities } => Ok((version, capabilities)),
        _ => Err(ProtocolError::Field("not a version message")),
    }
}

/// Reads the reply to `DEVICE_GET_INFO`.
///
/// # Errors
/// [`ProtocolError`] if it is too short.
pub fn parse_device_info(payload: &[u8]) -> Result<DeviceInfo, ProtocolError> {
    let mut fields = Reader(payload);
    fields.take(4)?;
    Ok(DeviceInfo { flags: fields.u32()?, regions: fields.u32()?, irqs: fields.u32()? })
}

/// Reads the reply to `DEVICE_GET_REGION_INFO`: flags and size.
///
/// # Errors
/// [`ProtocolError`] if it is too short or of another region.
pub fn parse_region_info(payload: &[u8], index: u32) -> Result<(u32, u64), ProtocolError> {
    let mut fields = Reader(payload);
    fields.take(4)?;
    let (flags, found, _cap) = (fields.u32()?, fields.u32()?, fields.u32()?);
    if found != index {
        return Err(ProtocolError::Field("info of another region"));
    }
    Ok((flags, fields.u64()?))
}

/// Reads the reply to `DEVICE_GET_IRQ_INFO`: the number of vectors.
///
/// # Errors
/// [`ProtocolError`] if it is too short or of another index.
pub fn parse_irq_info(payload: &[u8], index: u32) -> Result<u32, ProtocolError> {
    let mut fields = Reader(payload);
    let (_argsz, _flags, found) = (fields.u32()?, fields.u32()?, fields.u32()?);
    if found != index {
        return Err(ProtocolError::Field("info of another interrupt"));
    }
    fields.u32()
}

/// Reads the reply to a region read: exactly the bytes that were asked for.
///
/// # Errors
/// [`ProtocolError`] if another region, offset or number of bytes came.
pub fn parse_read_reply(payload: &[u8], offset: u64, region: u32, into: &mut [u8]) -> Result<(), ProtocolError> {
    let mut fields = Reader(payload);
    let found = (fields.u64()?, fields.u32()?, fields.u32()?);
    if found != (offset, region, into.len() as u32) || fields.0.len() != into.len() {
        return Err(ProtocolError::Field("data of another read"));
    }
    into.copy_from_slice(fields.0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request() -> impl Strategy<Value = (Request<'static>, Vec<u8>)> {
        let data = proptest::collection::vec(any::<u8>(), 0..64);
        (0..10u8, any::<u64>(), any::<u64>(), any::<u64>(), any::<[u32; 4]>(), any::<bool>(), data).prop_map(
            |(kind, a, b, c, w, flag, data)| {
                let request = match kind {
                    0 => Request::Version { version: (w[0] as u16, w[1] as u16), capabilities: own_capabilities() },
                    1 => Request::DmaMap { read: flag, write: !flag, offset: a, iova: b, bytes: c },
                    2 => Request::DmaUnmap { all: flag, iova: a, bytes: b },
                    3 => Request::DeviceGetInfo,
                    4 => Request::RegionGetInfo { index: w[0] },
                    5 => Request::IrqGetInfo { index: w[0] },
                    6 => Request::SetIrqs { flags: w[0], index: w[1], start: w[2], count: w[3] },
                    7 => Request::RegionRead { region: w[0], offset: a, count: w[1] % (MAX_DATA_BYTES as u32 + 1) },
                    8 => Request::RegionWrite { region: w[0], offset: a, data: &[] },
                    _ => Request::DeviceReset,
                };
                (request, data)
            },
        )
    }

    proptest! {
        #[test]
        fn requests_round_trip((request, data) in request()) {
            let request = match request {
                Request::RegionWrite { region, offset, .. } => Request::RegionWrite { region, offset, data: &data },
                other => other,
            };
            let (command, payload) = request.encode();
            prop_assert_eq!(Request::parse(command, &payload).unwrap(), request.clone());
            // Every truncation is an error, except of trailing JSON and of payloads that nothing is read from.
            let free = matches!(request, Request::Version { .. } | Request::DeviceGetInfo | Request::RegionGetInfo { .. }
                | Request::IrqGetInfo { .. });
            if !free && !payload.is_empty() {
                prop_assert!(Request::parse(command, &payload[..payload.len() - 1]).is_err());
            }
        }

        #[test]
        fn any_bytes_parse_or_give_a_typed_error(
            command in 0u16..20, payload in proptest::collection::vec(any::<u8>(), 0..80), header in any::<[u8; 16]>(),
        ) {
            let _ = Request::parse(command, &payload);
            let _ = parse_version_reply(&payload);
            let _ = parse_device_info(&payload);
            let _ = parse_region_info(&payload, 0);
            let _ = parse_irq_info(&payload, 2);
            prop_assert!(parse_read_reply(&payload, 0, 1, &mut [0; 100]).is_err());
            if let Ok(h) = Header::decode(&header) {
                prop_assert!((HEADER_BYTES..=MAX_MESSAGE_BYTES).contains(&(h.size as usize)));
                prop_assert_eq!(Header::decode(&h.encode()), Ok(h));
            }
        }

        #[test]
        fn any_json_capabilities_are_taken_or_refused(text in "[ -~]{0,40}", number in any::<u64>()) {
            let mut payload = vec![0, 0, 1, 0];
            payload.extend(text.bytes());
            if let Ok((_, capabilities)) = parse_version_reply(&payload) {
                prop_assert!((8..=MAX_DATA_BYTES).contains(&max_data_bytes(&capabilities)));
            }
            let stated = json!({ "capabilities": { "max_data_xfer_size": number } });
            prop_assert!((8..=MAX_DATA_BYTES).contains(&max_data_bytes(&stated)));
        }
    }

    #[test]
    fn a_deeply_nested_capability_text_is_refused() {
        let mut payload = vec![0, 0, 1, 0];
        payload.extend(vec![b'['; 100_000]);
        assert!(parse_version_reply(&payload).is_err());
    }

    #[test]
    fn names_and_codes_of_commands_agree() {
        for &command in Command::ALL {
            assert_eq!(Command::from_code(command as u16), Some(command));
        }
        assert_eq!(Request::parse(6, &[]), Ok(Request::Unsupported(6)));
        assert_eq!(Request::parse(99, &[]), Ok(Request::Unsupported(99)));
    }
}
