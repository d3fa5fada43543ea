//! Descriptors (driver to card) and completions (card to driver).
//!
//! Both are little-endian 64-bit words in host memory. A descriptor is 64 bytes, one beat of the bus:
//!
//! | word | bits | meaning |
//! |---|---|---|
//! | 0 | 7:0 opcode, 15:8 flags, 31:16 zero, 63:32 tag | what to do and the name of its completion |
//! | 1 | 31:0 count, 63:32 zero | polynomials (NTT, INTT) or bytes (COPY) |
//! | 2 | source address | |
//! | 3 | destination address | |
//! | 4 to 7 | operands | zero for the commands of today; key set, LUT and sizes for those to come |
//!
//! A completion is 32 bytes. Its last word holds the phase bit, and the card writes that word no earlier than the
//! others, so a reader that sees the phase turn may read the rest.
//!
//! | word | bits | meaning |
//! |---|---|---|
//! | 0 | cycles | from dispatch to the last write acknowledged |
//! | 1 | fault address | 0 if the status has none |
//! | 2 | 31:0 submission head, 63:32 zero | descriptors fetched when this was written |
//! | 3 | 31:0 tag, 47:32 status, 55:48 opcode, 63 phase | |

use crate::layout;

/// Bytes of a descriptor.
pub const DESCRIPTOR_BYTES: usize = 64;
/// Bytes of a completion.
pub const COMPLETION_BYTES: usize = 32;
/// 64-bit words of a completion.
pub const COMPLETION_WORDS: usize = COMPLETION_BYTES / 8;

macro_rules! codes {
    ($(#[$doc:meta])* $type:ident: $int:ident { $($name:ident = $value:literal, $label:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr($int)]
        pub enum $type { $(#[doc = $text] $name = $value,)* }

        impl $type {
            /// Every value, in order.
            pub const ALL: &[$type] = &[$($type::$name),*];

            /// The value with this code.
            pub const fn from_code(code: $int) -> Option<Self> {
                match code { $($value => Some($type::$name),)* _ => None }
            }

            /// The code on the wire.
            pub const fn code(self) -> $int {
                self as $int
            }

            /// The name used in the documents and the C header.
            pub const fn name(self) -> &'static str {
                match self { $($type::$name => $label,)* }
            }

            /// What it means.
            pub const fn description(self) -> &'static str {
                match self { $($type::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// What a command does.
    Opcode: u8 {
        Nop = 0, "NOP", "Completes at once.";
        Fence = 1, "FENCE", "Completes once every earlier command of its ring has.";
        Copy = 2, "COPY", "Copies `count` bytes from source to destination.";
        Ntt = 3, "NTT", "Forward negacyclic NTT of `count` polynomials: natural order in, bit-reversed out, words reduced once by p, results in [0, p).";
        Intt = 4, "INTT", "Inverse of NTT, 1/N included: bit-reversed order in, natural out, results in [0, p).";
        PointwiseMac = 5, "POINTWISE_MAC", "Reserved: pointwise multiply-accumulate of polynomials.";
        LweLinear = 6, "LWE_LINEAR", "Reserved: linear operations on LWE ciphertexts.";
        Keyswitch = 7, "KEYSWITCH", "Reserved: LWE keyswitch.";
        Bootstrap = 8, "BOOTSTRAP", "Reserved: keyswitch, blind rotation and sample extraction.";
        KeyUpload = 9, "KEY_UPLOAD", "Reserved: loads a key set or a LUT into card memory.";
    }
}

impl Opcode {
    /// Its bit of the `COMMANDS` register.
    pub const fn capability(self) -> u32 {
        1 << self.code()
    }
}

/// The `COMMANDS` register of a card that does what this version of the map defines.
pub const BASE_COMMANDS: u32 = Opcode::Nop.capability()
    | Opcode::Fence.capability()
    | Opcode::Copy.capability()
    | Opcode::Ntt.capability()
    | Opcode::Intt.capability();

codes! {
    /// How a command ended, or which card-wide fault stopped the card.
    StatusCode: u16 {
        Ok = 0, "OK", "The command ended well.";
        BadOpcode = 1, "BAD_OPCODE", "The card does not know the opcode.";
        ReservedBits = 2, "RESERVED_BITS", "A reserved bit of the descriptor is set.";
        BadCount = 3, "BAD_COUNT", "The count is zero or above the command's limit.";
        BadSource = 4, "BAD_SOURCE", "The source address is not 64-byte aligned or its range wraps.";
        BadDestination = 5, "BAD_DESTINATION", "The destination address is not 64-byte aligned or its range wraps.";
        ReadFault = 6, "READ_FAULT", "Host memory refused a read at the fault address.";
        WriteFault = 7, "WRITE_FAULT", "Host memory refused a write in the burst at the fault address.";
        BadOperand = 8, "BAD_OPERAND", "An operand is out of range or names something that does not exist.";
        NoKeySet = 9, "NO_KEY_SET", "Reserved: the key set is not resident.";
        NoLut = 10, "NO_LUT", "Reserved: the LUT is not resident.";
        OutOfCardMemory = 11, "OUT_OF_CARD_MEMORY", "Reserved: the card has no room for a key set.";
        FetchFault = 32, "FETCH_FAULT", "Card-wide: host memory refused the read of a descriptor.";
        CompletionFault = 33, "COMPLETION_FAULT", "Card-wide: host memory refused the write of a completion.";
        RingOverrun = 34, "RING_OVERRUN", "Card-wide: a doorbell is further ahead than the ring is long.";
    }
}

impl StatusCode {
    /// Whether it stops the card instead of one command.
    pub const fn is_card_wide(self) -> bool {
        self.code() >= 32
    }
}

/// Flags of a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// Raise the ring's interrupt when this command completes.
    pub const INTERRUPT: Flags = Flags(1);
    /// Wait for every earlier command of the ring before starting.
    pub const FENCE: Flags = Flags(2);
    const KNOWN: u8 = 3;

    /// No flag.
    pub const fn none() -> Self {
        Flags(0)
    }

    /// Both sets of flags.
    pub const fn with(self, other: Flags) -> Self {
        Flags(self.0 | other.0)
    }

    /// Whether every flag of `other` is set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags on the wire.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// A command as the card reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What to do.
    pub opcode: Opcode,
    /// How to report it.
    pub flags: Flags,
    /// Comes back in the completion.
    pub tag: u32,
    /// Polynomials or bytes, by opcode.
    pub count: u32,
    /// Source address.
    pub source: u64,
    /// Destination address.
    pub destination: u64,
    /// Operands of the commands to come.
    pub operands: [u64; 4],
}

/// Why a descriptor is refused; [`DescriptorError::status`] is the code the card reports for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptorError {
    /// No such opcode, or the card lacks it.
    BadOpcode(u8),
    /// A reserved bit is set.
    ReservedBits,
    /// Zero or above the limit.
    BadCount(u32),
    /// Misaligned, or the range wraps.
    BadSource(u64),
    /// Misaligned, or the range wraps.
    BadDestination(u64),
}

impl DescriptorError {
    /// The status code of the completion.
    pub const fn status(self) -> StatusCode {
        match self {
            DescriptorError::BadOpcode(_) => StatusCode::BadOpcode,
            DescriptorError::ReservedBits => StatusCode::ReservedBits,
            DescriptorError::BadCount(_) => StatusCode::BadCount,
            DescriptorError::BadSource(_) => StatusCode::BadSource,
            DescriptorError::BadDestination(_) => StatusCode::BadDestination,
        }
    }

    /// The fault address of the completion.
    pub const fn address(self) -> u64 {
        match self {
            DescriptorError::BadSource(address) | DescriptorError::BadDestination(address) => address,
            _ => 0,
        }
    }
}

fn word(bytes: &[u8], index: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[8 * index..8 * index + 8]);
    u64::from_le_bytes(word)
}

impl Descriptor {
    /// A descriptor of `opcode` and nothing else.
    pub const fn new(opcode: Opcode) -> Self {
        Self { opcode, flags: Flags::none(), tag: 0, count: 0, source: 0, destination: 0, operands: [0; 4] }
    }

    /// The descriptor as eight words.
    pub fn words(&self) -> [u64; 8] {
        let head = u64::from(self.opcode.code()) | u64::from(self.flags.bits()) << 8 | u64::from(self.tag) << 32;
        let [a, b, c, d] = self.operands;
        [head, u64::from(self.count), self.source, self.destination, a, b, c, d]
    }

    /// The descriptor as the card reads it.
    pub fn encode(&self) -> [u8; DESCRIPTOR_BYTES] {
        let mut bytes = [0; DESCRIPTOR_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.words()) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The tag of an encoded descriptor, whatever else it holds.
    pub fn tag_of(bytes: &[u8; DESCRIPTOR_BYTES]) -> u32 {
        (word(bytes, 0) >> 32) as u32
    }

    /// Reads a descriptor.
    ///
    /// # Errors
    /// [`DescriptorError`] for an unknown opcode or a reserved bit, in that order.
    pub fn decode(bytes: &[u8; DESCRIPTOR_BYTES]) -> Result<Self, DescriptorError> {
        let (head, count) = (word(bytes, 0), word(bytes, 1));
        let opcode = Opcode::from_code(head as u8).ok_or(DescriptorError::BadOpcode(head as u8))?;
        let flags = (head >> 8) as u8;
        if flags & !Flags::KNOWN != 0 || head & 0xffff_0000 != 0 || count >> 32 != 0 {
            return Err(DescriptorError::ReservedBits);
        }
        Ok(Self {
            opcode,
            flags: Flags(flags),
            tag: (head >> 32) as u32,
            count: count as u32,
            source: word(bytes, 2),
            destination: word(bytes, 3),
            operands: [word(bytes, 4), word(bytes, 5), word(bytes, 6), word(bytes, 7)],
        })
    }

    /// Bytes that the command reads and writes on a card of ring degree `2^degree_log2`.
    pub fn bytes(&self, degree_log2: u32) -> u64 {
        match self.opcode {
            Opcode::Copy => u64::from(self.count),
            Opcode::Ntt | Opcode::Intt => u64::from(self.count) << (degree_log2 + 3),
            _ => 0,
        }
    }

    /// Checks the command as the card does before it starts: capability, count, source, destination.
    ///
    /// # Errors
    /// The first rule that the command breaks.
    pub fn check(&self, commands: u32, degree_log2: u32) -> Result<(), DescriptorError> {
        if commands & self.opcode.capability() == 0 {
            return Err(DescriptorError::BadOpcode(self.opcode.code()));
        }
        let limit = match self.opcode {
            Opcode::Copy => layout::MAX_COPY_BYTES,
            Opcode::Ntt | Opcode::Intt => layout::MAX_POLYNOMIALS,
            _ => return Ok(()),
        };
        if self.count == 0 || u64::from(self.count) > limit {
            return Err(DescriptorError::BadCount(self.count));
        }
        let bytes = self.bytes(degree_log2);
        let fits =
            |address: u64| address.is_multiple_of(layout::ADDRESS_ALIGNMENT) && address.checked_add(bytes).is_some();
        if !fits(self.source) {
            return Err(DescriptorError::BadSource(self.source));
        }
        if !fits(self.destination) {
            return Err(DescriptorError::BadDestination(self.destination));
        }
        Ok(())
    }
}

/// A completion as the driver reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Cycles from dispatch to the last write acknowledged.
    pub cycles: u64,
    /// The address that was refused, if the status has one.
    pub fault_address: u64,
    /// Descriptors fetched when this was written, mod 2^32.
    pub submission_head: u32,
    /// The descriptor's tag.
    pub tag: u32,
    /// How it ended.
    pub status: StatusCode,
    /// The descriptor's opcode byte, known or not.
    pub opcode: u8,
    /// Turns over with each lap of the ring; true on the first.
    pub phase: bool,
}

/// Why a completion is refused: the card, or whoever speaks for it, does not keep to the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompletionError {
    /// No such status code, or one that no command can end with.
    BadStatus(u16),
    /// A reserved bit is set.
    ReservedBits,
}

impl Completion {
    /// The completion as four words; the last holds the phase and must be written last.
    pub fn words(&self) -> [u64; COMPLETION_WORDS] {
        [
            self.cycles,
            self.fault_address,
            u64::from(self.submission_head),
            u64::from(self.tag)
                | u64::from(self.status.code()) << 32
                | u64::from(self.opcode) << 48
                | u64::from(self.phase) << 63,
        ]
    }

    /// The completion as the card writes it.
    pub fn encode(&self) -> [u8; COMPLETION_BYTES] {
        let mut bytes = [0; COMPLETION_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.words()) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The phase bit of the last word.
    pub const fn phase_of(last_word: u64) -> bool {
        last_word >> 63 == 1
    }

    /// Reads a completion.
    ///
    /// # Errors
    /// [`CompletionError`] for a status code that no command can end with or a reserved bit.
    pub fn decode(words: [u64; COMPLETION_WORDS]) -> Result<Self, CompletionError> {
        let [cycles, fault_address, head, last] = words;
        if head >> 32 != 0 || last & (0x7f << 56) != 0 {
            return Err(CompletionError::ReservedBits);
        }
        let code = (last >> 32) as u16;
        let status = match StatusCode::from_code(code) {
            Some(status) if !status.is_card_wide() => status,
            _ => return Err(CompletionError::BadStatus(code)),
        };
        Ok(Self {
            cycles,
            fault_address,
            submission_head: head as u32,
            tag: last as u32,
            status,
            opcode: (last >> 48) as u8,
            phase: Self::phase_of(last),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn descriptor() -> impl Strategy<Value = Descriptor> {
        (0..Opcode::ALL.len(), 0u8..4, any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>(), any::<[u64; 4]>())
            .prop_map(|(opcode, flags, tag, count, source, destination, operands)| Descriptor {
                opcode: Opcode::ALL[opcode],
                flags: Flags(flags),
                tag,
                count,
                source,
                destination,
                operands,
            })
    }

    proptest! {
        #[test]
        fn descriptor_round_trips(d in descriptor()) {
            let bytes = d.encode();
            prop_assert_eq!(Descriptor::decode(&bytes), Ok(d));
            prop_assert_eq!(Descriptor::tag_of(&bytes), d.tag);
        }

        #[test]
        fn descriptor_any_bytes_decode_or_give_a_typed_error(
            raw in proptest::collection::vec(any::<u8>(), 64), low in 0u8..16, zero in any::<bool>(), degree in 1u32..16,
        ) {
            let mut bytes = [0u8; 64];
            bytes.copy_from_slice(&raw);
            bytes[0] = low;
            if zero {
                bytes[1] &= 3;
                bytes[2..4].fill(0);
                bytes[12..16].fill(0);
            }
            match Descriptor::decode(&bytes) {
                Ok(d) => {
                    prop_assert_eq!(d.encode(), bytes);
                    if d.check(u32::MAX, degree).is_ok() && d.bytes(degree) > 0 {
                        prop_assert_eq!((d.source | d.destination) % 64, 0);
                        prop_assert!(d.destination.checked_add(d.bytes(degree)).is_some());
                    }
                }
                Err(e) => prop_assert!(e.status() != StatusCode::Ok && !e.status().is_card_wide()),
            }
        }

        #[test]
        fn completion_any_words_decode_or_give_a_typed_error(words in any::<[u64; 4]>(), code in 0u16..64, clean in any::<bool>()) {
            let mut words = words;
            if clean {
                words[2] &= 0xffff_ffff;
                words[3] = (words[3] & 0x80ff_0000_ffff_ffff) | u64::from(code) << 32;
            }
            match Completion::decode(words) {
                Ok(c) => prop_assert_eq!(c.words(), words),
                Err(CompletionError::BadStatus(code)) =>
                    prop_assert!(StatusCode::from_code(code).is_none_or(StatusCode::is_card_wide)),
                Err(CompletionError::ReservedBits) => prop_assert!(!clean),
            }
        }
    }

    #[test]
    fn checks_name_the_first_broken_rule() {
        let ok = Descriptor { count: 3, source: 0x1000, destination: 0x2000, ..Descriptor::new(Opcode::Ntt) };
        let check = |d: Descriptor| d.check(BASE_COMMANDS, 8);
        assert_eq!(check(ok), Ok(()));
        assert_eq!(check(Descriptor { count: 0, ..ok }), Err(DescriptorError::BadCount(0)));
        assert_eq!(check(Descriptor { count: 0x1_0000, ..ok }), Err(DescriptorError::BadCount(0x1_0000)));
        assert_eq!(check(Descriptor { source: 0x1008, ..ok }), Err(DescriptorError::BadSource(0x1008)));
        let high = u64::MAX - 63;
        assert_eq!(check(Descriptor { destination: high, ..ok }), Err(DescriptorError::BadDestination(high)));
        assert_eq!(check(Descriptor { opcode: Opcode::Bootstrap, ..ok }), Err(DescriptorError::BadOpcode(8)));
        assert_eq!(check(Descriptor { opcode: Opcode::Nop, count: 0, source: 1, ..ok }), Ok(()));
        assert_eq!(check(Descriptor { opcode: Opcode::Copy, count: u32::MAX, ..ok }), Ok(()));
    }
}
