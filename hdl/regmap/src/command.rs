//! Descriptors (driver to card) and completions (card to driver).
//!
//! Both are little-endian 64-bit words in host memory. A descriptor is 64 bytes, one beat of the bus:
//!
//! | word | bits | meaning |
//! |---|---|---|
//! | 0 | 7:0 opcode, 15:8 flags, 31:16 zero, 63:32 tag | what to do and the name of its completion |
//! | 1 | 31:0 count, 63:32 zero | polynomials (NTT, INTT), bytes (COPY, KEY_UPLOAD, WIPE), ciphertexts (KEYSWITCH, BOOTSTRAP) or results (LWE_LINEAR, POINTWISE_MAC) |
//! | 2 | source address | in host memory |
//! | 3 | destination address | in host memory; in card memory for KEY_UPLOAD and WIPE |
//! | 4 | card address of the bootstrapping key | BOOTSTRAP |
//! | 4 | [`LinearSettings`] | LWE_LINEAR, POINTWISE_MAC |
//! | 5 | card address of the keyswitching key | KEYSWITCH, BOOTSTRAP with keyswitch |
//! | 6 | card address of the look-up table or tables: N words each, one after another | BOOTSTRAP |
//! | 7 | [`BootstrapSettings`] | KEYSWITCH, BOOTSTRAP |
//!
//! Words and parts that a command has no use for are ignored. The order of keys in card memory is
//! [`crate::key_layout`]'s. Ciphertexts are words of 64 bits, one ciphertext after another without gaps: kN + 1 words
//! each; n + 1 where the keyswitch ends (KEYSWITCH) or is left out (BOOTSTRAP without keyswitch). A BOOTSTRAP of several
//! functions gives the results of a ciphertext one after another.
//!
//! **Linear operations.** The source of LWE_LINEAR holds for each result j a word c_j and for each of its terms t a word
//! w_jt and the words of a ciphertext; the result is (0, .., 0, c_j) + sum of w_jt ciphertext_jt mod 2^64: add, subtract,
//! negate, scale, multiply-accumulate, add a plaintext. The source of POINTWISE_MAC holds for each result and term the N
//! words of a_jt, then those of b_jt; the result is the sum of a_jt o b_jt mod p, word by word. All without gaps.
//!
//! **Card memory** is addressed by bytes from 0. Addresses and lengths in it are multiples of its granule (register
//! `CARD_MEMORY_GRANULE`). What has not been written since reset cannot be read: the card keeps the length of the part
//! from 0 on that has been (`CARD_MEMORY_WRITTEN`), and KEY_UPLOAD and WIPE leave no gap behind it. A soft reset erases
//! what was uploaded: from 0 to the end of the last upload, or to the start of a WIPE that reached that end. So whoever
//! releases the topmost range first makes the next reset short.
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

use crate::key_layout;
use crate::layout::{self, GlweShape};

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
        PointwiseMac = 5, "POINTWISE_MAC", "Sums of pointwise products of polynomials mod p: `count` results, each of N words.";
        LweLinear = 6, "LWE_LINEAR", "Linear combinations of ciphertexts and a plaintext mod 2^64: `count` results.";
        Keyswitch = 7, "KEYSWITCH", "Keyswitches `count` ciphertexts.";
        Bootstrap = 8, "BOOTSTRAP", "Bootstraps `count` ciphertexts: keyswitch (if asked for), modulus switch, blind rotation, sample extraction.";
        KeyUpload = 9, "KEY_UPLOAD", "Copies `count` bytes from host memory to card memory.";
        Wipe = 10, "WIPE", "Sets `count` bytes of card memory to 0.";
    }
}

impl Opcode {
    /// Its bit of the `COMMANDS` register.
    pub const fn capability(self) -> u32 {
        1 << self.code()
    }
}

/// The `COMMANDS` register of a card with transforms, linear operations and card memory.
pub const BASE_COMMANDS: u32 = Opcode::Nop.capability()
    | Opcode::Fence.capability()
    | Opcode::Copy.capability()
    | Opcode::Ntt.capability()
    | Opcode::Intt.capability()
    | Opcode::PointwiseMac.capability()
    | Opcode::LweLinear.capability()
    | Opcode::KeyUpload.capability()
    | Opcode::Wipe.capability();
/// The `COMMANDS` register of a card that also bootstraps.
pub const BOOTSTRAP_COMMANDS: u32 = BASE_COMMANDS | Opcode::Keyswitch.capability() | Opcode::Bootstrap.capability();

codes! {
    /// How a command ended, or which card-wide fault stopped the card.
    StatusCode: u16 {
        Ok = 0, "OK", "The command ended well.";
        BadOpcode = 1, "BAD_OPCODE", "The card does not know the opcode.";
        ReservedBits = 2, "RESERVED_BITS", "A reserved bit of the descriptor is set.";
        BadCount = 3, "BAD_COUNT", "The count is zero, above the command's limit, or no multiple of the granule of card memory.";
        BadSource = 4, "BAD_SOURCE", "The source address is not 64-byte aligned or its range wraps.";
        BadDestination = 5, "BAD_DESTINATION", "The destination address is misaligned, its range wraps, or card memory before it has not been written since reset.";
        ReadFault = 6, "READ_FAULT", "Host memory refused a read at the fault address.";
        WriteFault = 7, "WRITE_FAULT", "Host memory refused a write in the burst at the fault address.";
        BadOperand = 8, "BAD_OPERAND", "An operand is out of range or names something that does not exist.";
        NoKeySet = 9, "NO_KEY_SET", "A key reaches beyond the card memory written since reset.";
        NoLut = 10, "NO_LUT", "A look-up table reaches beyond the card memory written since reset.";
        OutOfCardMemory = 11, "OUT_OF_CARD_MEMORY", "The destination reaches beyond the end of card memory.";
        CardReadFault = 12, "CARD_READ_FAULT", "Card memory refused a read of the key or table at the fault address.";
        CardWriteFault = 13, "CARD_WRITE_FAULT", "Card memory refused a write in the burst at the fault address.";
        FetchFault = 32, "FETCH_FAULT", "Card-wide: host memory refused the read of a descriptor.";
        CompletionFault = 33, "COMPLETION_FAULT", "Card-wide: host memory refused the write of a completion.";
        RingOverrun = 34, "RING_OVERRUN", "Card-wide: a doorbell is further ahead than the ring is long, or a ring was enabled or its tail taken back while a descriptor of it was under way.";
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

/// Run-time values of KEYSWITCH and BOOTSTRAP: word 7 of their descriptor.
///
/// | bits | field |
/// |---|---|
/// | 10:0 | n |
/// | 16:11 | log2 of the bootstrap's base |
/// | 18:17 | levels of the bootstrap |
/// | 21:19 | log2 of the keyswitch's base |
/// | 25:22 | levels of the keyswitch |
/// | 27:26 | words of the keyswitching key in 64 bits: 1, 2 or 3 (64, 32, 21 bits; also the modulus of small ciphertexts) |
/// | 28 | modulus switch: 0 standard, 1 centred mean |
/// | 29 | 1: keyswitch first, 0: the source holds small ciphertexts (BOOTSTRAP only) |
/// | 30 | 1: a table for each ciphertext, 0: one for all |
/// | 35:31 | functions a table; they are N / (functions rounded up to a power of two) coefficients apart |
/// | 63:36 | zero |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootstrapSettings {
    /// Dimension n of small ciphertexts, 1 to 1023.
    pub dimension: u16,
    /// log2 of the bootstrap's base, 1 to 32; `base_log * levels` at most 36.
    pub pbs_base_log: u8,
    /// Levels of the bootstrap, 1 to 3.
    pub pbs_levels: u8,
    /// log2 of the keyswitch's base, 1 to 4.
    pub ks_base_log: u8,
    /// Levels of the keyswitch, 1 to 8; its digits fit a word of its key: `base_log * levels` at most 21 for words of 21
    /// bits.
    pub ks_levels: u8,
    /// Words of the keyswitching key in 64 bits, 1 to 3.
    pub ks_words_per_slot: u8,
    /// Centred modulus switch.
    pub centred: bool,
    /// Keyswitch first.
    pub keyswitch: bool,
    /// A table for each ciphertext.
    pub lut_each: bool,
    /// Functions a table, 1 to 16.
    pub functions: u8,
}

impl BootstrapSettings {
    /// The word of the descriptor. Values that do not fit their field are cut.
    pub const fn pack(&self) -> u64 {
        (self.dimension as u64 & 0x7ff)
            | (self.pbs_base_log as u64 & 0x3f) << 11
            | (self.pbs_levels as u64 & 3) << 17
            | (self.ks_base_log as u64 & 7) << 19
            | (self.ks_levels as u64 & 0xf) << 22
            | (self.ks_words_per_slot as u64 & 3) << 26
            | (self.centred as u64) << 28
            | (self.keyswitch as u64) << 29
            | (self.lut_each as u64) << 30
            | (self.functions as u64 & 0x1f) << 31
    }

    /// Reads the word of a descriptor; `None` if a value is out of range or a reserved bit set.
    pub const fn unpack(word: u64) -> Option<Self> {
        let settings = Self {
            dimension: (word & 0x7ff) as u16,
            pbs_base_log: (word >> 11 & 0x3f) as u8,
            pbs_levels: (word >> 17 & 3) as u8,
            ks_base_log: (word >> 19 & 7) as u8,
            ks_levels: (word >> 22 & 0xf) as u8,
            ks_words_per_slot: (word >> 26 & 3) as u8,
            centred: word >> 28 & 1 == 1,
            keyswitch: word >> 29 & 1 == 1,
            lut_each: word >> 30 & 1 == 1,
            functions: (word >> 31 & 0x1f) as u8,
        };
        let s = &settings;
        let fits = word >> 36 == 0
            && s.dimension >= 1
            && s.dimension <= layout::MAX_DIMENSION
            && s.pbs_base_log >= 1
            && s.pbs_base_log <= 32
            && s.pbs_levels >= 1
            && s.pbs_base_log as u64 * s.pbs_levels as u64 <= layout::MAX_KEPT_BITS
            && s.ks_base_log >= 1
            && s.ks_base_log <= 4
            && s.ks_levels >= 1
            && s.ks_levels <= 8
            && s.ks_words_per_slot >= 1
            && (s.ks_words_per_slot < 3 || s.ks_base_log as u64 * s.ks_levels as u64 <= 21)
            && s.functions >= 1
            && s.functions <= 16;
        if fits { Some(settings) } else { None }
    }

    /// Bytes of the bootstrapping key on a card of this ring and k.
    pub const fn bootstrap_key_bytes(&self, glwe: GlweShape) -> u64 {
        let words = self.dimension as u64 * self.pbs_levels as u64 * key_layout::components(glwe.dimension);
        (words * 8) << glwe.degree_log2
    }

    /// Bytes of the keyswitching key on a card of this ring, k and number of lanes.
    pub const fn keyswitch_key_bytes(&self, glwe: GlweShape, lanes: u32) -> u64 {
        let columns = layout::keyswitch_columns(lanes);
        let blocks = (self.dimension as u64 + 1).div_ceil(columns);
        let groups = (self.ks_levels as u64 * glwe.big_dimension()).div_ceil(self.ks_words_per_slot as u64);
        blocks * groups * columns * 8
    }

    /// Words of a ciphertext of the source of `opcode`.
    pub const fn source_words(&self, glwe: GlweShape) -> u64 {
        if self.keyswitch { glwe.big_dimension() + 1 } else { self.dimension as u64 + 1 }
    }

    /// Words that each ciphertext gives.
    pub const fn destination_words(&self, opcode: Opcode, glwe: GlweShape) -> u64 {
        match opcode {
            Opcode::Keyswitch => self.dimension as u64 + 1,
            _ => (glwe.big_dimension() + 1) * self.functions as u64,
        }
    }
}

/// Run-time values of LWE_LINEAR and POINTWISE_MAC: word 4 of their descriptor.
///
/// | bits | field |
/// |---|---|
/// | 12:0 | words of a ciphertext; POINTWISE_MAC ignores it |
/// | 15:13 | zero |
/// | 23:16 | terms of a result |
/// | 63:24 | zero |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearSettings {
    /// Words of a ciphertext, 1 to 4096.
    pub words: u16,
    /// Terms of a result, 1 to 255.
    pub terms: u8,
}

impl LinearSettings {
    /// The word of the descriptor. Values that do not fit their field are cut.
    pub const fn pack(&self) -> u64 {
        (self.words as u64 & 0x1fff) | (self.terms as u64) << 16
    }

    /// Reads the word of a descriptor of `opcode`; `None` if a value is out of range or a reserved bit set.
    pub const fn unpack(opcode: Opcode, word: u64) -> Option<Self> {
        let settings = Self { words: (word & 0x1fff) as u16, terms: (word >> 16) as u8 };
        let words_fit = settings.words >= 1 && settings.words as u64 <= layout::MAX_LINEAR_WORDS;
        let reserved = word >> 24 != 0 || word >> 13 & 7 != 0;
        if reserved || settings.terms == 0 || (matches!(opcode, Opcode::LweLinear) && !words_fit) {
            return None;
        }
        Some(settings)
    }

    /// Words of the source and of the destination of a result.
    pub const fn words_a_result(&self, opcode: Opcode, degree_log2: u32) -> (u64, u64) {
        let (terms, words) = (self.terms as u64, self.words as u64);
        match opcode {
            Opcode::PointwiseMac => (terms << (degree_log2 + 1), 1 << degree_log2),
            _ => (1 + terms * (1 + words), words),
        }
    }
}

/// What decides whether a card takes a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardLimits {
    /// Its `COMMANDS` register.
    pub commands: u32,
    /// Its ring and k.
    pub glwe: GlweShape,
    /// Its lanes.
    pub lanes: u32,
    /// Bytes of card memory.
    pub memory_bytes: u64,
    /// Addresses and lengths in card memory are multiples of this many bytes.
    pub memory_granule_bytes: u64,
    /// Bytes of card memory, from 0 on, written since reset.
    pub memory_written_bytes: u64,
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
    /// Polynomials, bytes or ciphertexts, by opcode.
    pub count: u32,
    /// Source address.
    pub source: u64,
    /// Destination address.
    pub destination: u64,
    /// Words 4 to 7.
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
    /// Misaligned, the range wraps, or card memory before it has not been written.
    BadDestination(u64),
    /// An operand is out of range.
    BadOperand,
    /// The key at this card address is not there.
    NoKeySet(u64),
    /// The table at this card address is not there.
    NoLut(u64),
    /// The range at this card address reaches beyond the end.
    OutOfCardMemory(u64),
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
            DescriptorError::BadOperand => StatusCode::BadOperand,
            DescriptorError::NoKeySet(_) => StatusCode::NoKeySet,
            DescriptorError::NoLut(_) => StatusCode::NoLut,
            DescriptorError::OutOfCardMemory(_) => StatusCode::OutOfCardMemory,
        }
    }

    /// The fault address of the completion.
    pub const fn address(self) -> u64 {
        match self {
            DescriptorError::BadSource(address)
            | DescriptorError::BadDestination(address)
            | DescriptorError::NoKeySet(address)
            | DescriptorError::NoLut(address)
            | DescriptorError::OutOfCardMemory(address) => address,
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

    /// The run-time values of KEYSWITCH and BOOTSTRAP, if in range.
    pub const fn settings(&self) -> Option<BootstrapSettings> {
        BootstrapSettings::unpack(self.operands[3])
    }

    /// The run-time values of LWE_LINEAR and POINTWISE_MAC, if in range.
    pub const fn linear(&self) -> Option<LinearSettings> {
        LinearSettings::unpack(self.opcode, self.operands[0])
    }

    /// Bytes that the command reads from its source and writes to its destination on a card of this ring and k; 0 for
    /// settings out of range.
    pub fn bytes(&self, glwe: GlweShape) -> (u64, u64) {
        let degree_log2 = glwe.degree_log2;
        let count = u64::from(self.count);
        match self.opcode {
            Opcode::Copy | Opcode::KeyUpload => (count, count),
            Opcode::Wipe => (0, count),
            Opcode::Ntt | Opcode::Intt => (count << (degree_log2 + 3), count << (degree_log2 + 3)),
            Opcode::Keyswitch | Opcode::Bootstrap => self.settings().map_or((0, 0), |settings| {
                let to = settings.destination_words(self.opcode, glwe);
                (8 * count * settings.source_words(glwe), 8 * count * to)
            }),
            Opcode::LweLinear | Opcode::PointwiseMac => self.linear().map_or((0, 0), |settings| {
                let (from, to) = settings.words_a_result(self.opcode, degree_log2);
                (8 * count * from, 8 * count * to)
            }),
            _ => (0, 0),
        }
    }

    /// Checks the command as the card does before it starts: capability, count, settings, source, destination, operands.
    ///
    /// # Errors
    /// The first rule that the command breaks.
    pub fn check(&self, card: &CardLimits) -> Result<(), DescriptorError> {
        if card.commands & self.opcode.capability() == 0 {
            return Err(DescriptorError::BadOpcode(self.opcode.code()));
        }
        let on_card = matches!(self.opcode, Opcode::KeyUpload | Opcode::Wipe);
        let bootstraps = matches!(self.opcode, Opcode::Keyswitch | Opcode::Bootstrap);
        let linear = matches!(self.opcode, Opcode::LweLinear | Opcode::PointwiseMac);
        let limit = match self.opcode {
            Opcode::Copy | Opcode::KeyUpload | Opcode::Wipe => layout::MAX_COPY_BYTES,
            Opcode::Ntt | Opcode::Intt => layout::MAX_POLYNOMIALS,
            Opcode::Keyswitch | Opcode::Bootstrap | Opcode::LweLinear | Opcode::PointwiseMac => layout::MAX_CIPHERTEXTS,
            _ => return Ok(()),
        };
        let granule = card.memory_granule_bytes.max(layout::ADDRESS_ALIGNMENT);
        let whole = !on_card || u64::from(self.count).is_multiple_of(granule);
        if self.count == 0 || u64::from(self.count) > limit || !whole {
            return Err(DescriptorError::BadCount(self.count));
        }
        if bootstraps && self.settings().is_none_or(|s| self.opcode == Opcode::Keyswitch && !s.keyswitch) {
            return Err(DescriptorError::BadOperand);
        }
        let (from, to) = self.bytes(card.glwe);
        if linear && (from == 0 || from > 8 * layout::MAX_LINEAR_SOURCE_WORDS) {
            return Err(DescriptorError::BadOperand);
        }
        let fits = |address: u64, bytes: u64| {
            address.is_multiple_of(layout::ADDRESS_ALIGNMENT) && address.checked_add(bytes).is_some()
        };
        if self.opcode != Opcode::Wipe && !fits(self.source, from) {
            return Err(DescriptorError::BadSource(self.source));
        }
        if on_card {
            return self.check_card_range(card, granule, to);
        }
        if !fits(self.destination, to) {
            return Err(DescriptorError::BadDestination(self.destination));
        }
        match self.settings().filter(|_| bootstraps) {
            Some(settings) => self.check_residents(card, granule, &settings),
            None => Ok(()),
        }
    }

    fn check_card_range(&self, card: &CardLimits, granule: u64, bytes: u64) -> Result<(), DescriptorError> {
        if !self.destination.is_multiple_of(granule) {
            return Err(DescriptorError::BadDestination(self.destination));
        }
        if self.destination.checked_add(bytes).is_none_or(|end| end > card.memory_bytes) {
            return Err(DescriptorError::OutOfCardMemory(self.destination));
        }
        if self.destination > card.memory_written_bytes {
            return Err(DescriptorError::BadDestination(self.destination));
        }
        Ok(())
    }

    fn check_residents(
        &self,
        card: &CardLimits,
        granule: u64,
        settings: &BootstrapSettings,
    ) -> Result<(), DescriptorError> {
        let [bsk, ksk, lut, _] = self.operands;
        let bootstrap = self.opcode == Opcode::Bootstrap;
        let aligned = |used: bool, address: u64| !used || address.is_multiple_of(granule);
        if !aligned(bootstrap, bsk) || !aligned(settings.keyswitch, ksk) || !aligned(bootstrap, lut) {
            return Err(DescriptorError::BadOperand);
        }
        let there = |used: bool, address: u64, bytes: u64| {
            let end = address.checked_add(bytes.next_multiple_of(granule));
            !used || end.is_some_and(|end| end <= card.memory_written_bytes)
        };
        if !there(bootstrap, bsk, settings.bootstrap_key_bytes(card.glwe)) {
            return Err(DescriptorError::NoKeySet(bsk));
        }
        if !there(settings.keyswitch, ksk, settings.keyswitch_key_bytes(card.glwe, card.lanes)) {
            return Err(DescriptorError::NoKeySet(ksk));
        }
        let tables = if settings.lut_each { u64::from(self.count) } else { 1 };
        if !there(bootstrap, lut, tables * 8 * card.glwe.degree()) {
            return Err(DescriptorError::NoLut(lut));
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

    const GLWE: GlweShape = GlweShape { dimension: 1, degree_log2: 8 };
    const CARD: CardLimits = CardLimits {
        commands: BOOTSTRAP_COMMANDS,
        glwe: GLWE,
        lanes: 8,
        memory_bytes: 1 << 20,
        memory_granule_bytes: 128,
        memory_written_bytes: 1 << 19,
    };

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
            k in 1..=layout::MAX_GLWE_DIMENSION,
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
                    let glwe = GlweShape { dimension: k, degree_log2: degree };
                    let card = CardLimits { commands: u32::MAX, glwe, ..CARD };
                    if d.check(&card).is_ok() && d.bytes(glwe).1 > 0 {
                        prop_assert!(d.opcode == Opcode::Wipe || d.source % 64 == 0);
                        prop_assert_eq!(d.destination % 64, 0);
                        prop_assert!(d.destination.checked_add(d.bytes(glwe).1).is_some());
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
        let check = |d: Descriptor| d.check(&CardLimits { commands: BASE_COMMANDS, ..CARD });
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

    #[test]
    fn card_memory_rules_name_the_first_broken_one() {
        let ok = Descriptor { count: 256, source: 64, destination: 1 << 19, ..Descriptor::new(Opcode::KeyUpload) };
        let check = |d: Descriptor| d.check(&CARD);
        assert_eq!(check(ok), Ok(()));
        assert_eq!(check(Descriptor { count: 192, ..ok }), Err(DescriptorError::BadCount(192)));
        assert_eq!(check(Descriptor { source: 8, ..ok }), Err(DescriptorError::BadSource(8)));
        assert_eq!(check(Descriptor { opcode: Opcode::Wipe, source: 8, ..ok }), Ok(()));
        assert_eq!(check(Descriptor { destination: 64, ..ok }), Err(DescriptorError::BadDestination(64)));
        let gap = (1 << 19) + 128;
        assert_eq!(check(Descriptor { destination: gap, ..ok }), Err(DescriptorError::BadDestination(gap)));
        let end = (1 << 20) - 128;
        assert_eq!(check(Descriptor { destination: end, ..ok }), Err(DescriptorError::OutOfCardMemory(end)));
        let far = 0u64.wrapping_sub(128);
        assert_eq!(check(Descriptor { destination: far, ..ok }), Err(DescriptorError::OutOfCardMemory(far)));
    }

    #[test]
    fn bootstrap_rules_name_the_first_broken_one() {
        let settings = BootstrapSettings {
            dimension: 10,
            pbs_base_log: 23,
            pbs_levels: 1,
            ks_base_log: 4,
            ks_levels: 4,
            ks_words_per_slot: 1,
            centred: true,
            keyswitch: true,
            lut_each: true,
            functions: 3,
        };
        assert_eq!(BootstrapSettings::unpack(settings.pack()), Some(settings));
        // 6 components of 10 steps; ceil(11 / 4) blocks of 1024 entries of 4 columns.
        assert_eq!(settings.bootstrap_key_bytes(GLWE), 10 * 6 * 256 * 8);
        assert_eq!(settings.keyswitch_key_bytes(GLWE, 8), 3 * 1024 * 4 * 8);
        // k = 2: 12 components, twice the entries, ciphertexts of 2 N + 1 words.
        let k2 = GlweShape { dimension: 2, ..GLWE };
        assert_eq!(settings.bootstrap_key_bytes(k2), 10 * 12 * 256 * 8);
        assert_eq!(settings.keyswitch_key_bytes(k2, 8), 3 * 2048 * 4 * 8);
        let ok = Descriptor {
            count: 2,
            source: 0x1_0000,
            destination: 0x2_0000,
            operands: [0, 1 << 17, (1 << 19) - 4096, settings.pack()],
            ..Descriptor::new(Opcode::Bootstrap)
        };
        let with = |change: &dyn Fn(&mut BootstrapSettings)| {
            let mut changed = settings;
            change(&mut changed);
            Descriptor { operands: [ok.operands[0], ok.operands[1], ok.operands[2], changed.pack()], ..ok }
        };
        let check = |d: Descriptor| d.check(&CARD);
        assert_eq!(check(ok), Ok(()));
        assert_eq!(ok.bytes(GLWE), (2 * 257 * 8, 2 * 3 * 257 * 8));
        assert_eq!(ok.bytes(k2), (2 * 513 * 8, 2 * 3 * 513 * 8));
        let narrow = CardLimits { memory_written_bytes: 10 * 12 * 256 * 8 - 1, ..CARD };
        let at_start = Descriptor { operands: [0, 0, 0, settings.pack()], ..ok };
        assert_eq!(at_start.check(&narrow), Ok(()));
        assert_eq!(at_start.check(&CardLimits { glwe: k2, ..narrow }), Err(DescriptorError::NoKeySet(0)));
        assert_eq!(check(Descriptor { count: 4096, ..ok }), Err(DescriptorError::BadCount(4096)));
        assert_eq!(check(Descriptor { count: 3, ..ok }), Err(DescriptorError::NoLut((1 << 19) - 4096)));
        assert_eq!(check(Descriptor { source: 8, ..ok }), Err(DescriptorError::BadSource(8)));
        type Change = &'static dyn Fn(&mut BootstrapSettings);
        let bad: [Change; 11] = [
            &|s| (s.ks_levels, s.ks_words_per_slot) = (6, 3),
            &|s| s.dimension = 0,
            &|s| s.dimension = 1024,
            &|s| s.pbs_base_log = 37,
            &|s| s.pbs_levels = 2,
            &|s| s.pbs_levels = 0,
            &|s| s.ks_base_log = 5,
            &|s| s.ks_levels = 9,
            &|s| s.ks_words_per_slot = 0,
            &|s| s.functions = 0,
            &|s| s.functions = 17,
        ];
        for change in bad {
            assert_eq!(check(with(change)), Err(DescriptorError::BadOperand), "{:?}", with(change).settings());
        }
        let without = with(&|s| s.keyswitch = false);
        assert_eq!(check(without), Ok(()));
        assert_eq!(without.bytes(GLWE).0, 2 * 11 * 8);
        assert_eq!(check(Descriptor { opcode: Opcode::Keyswitch, ..without }), Err(DescriptorError::BadOperand));
        let operands = |i: usize, address: u64| {
            let mut operands = ok.operands;
            operands[i] = address;
            Descriptor { operands, ..ok }
        };
        assert_eq!(check(operands(0, 64)), Err(DescriptorError::BadOperand));
        assert_eq!(check(operands(0, 1 << 19)), Err(DescriptorError::NoKeySet(1 << 19)));
        assert_eq!(check(operands(1, (1 << 19) - 128)), Err(DescriptorError::NoKeySet((1 << 19) - 128)));
        assert_eq!(check(operands(3, settings.pack() | 1 << 63)), Err(DescriptorError::BadOperand));
        let keyswitch = Descriptor { opcode: Opcode::Keyswitch, ..operands(0, u64::MAX) };
        assert_eq!(check(keyswitch), Ok(()), "a keyswitch has no use for the bootstrapping key");
    }
}
