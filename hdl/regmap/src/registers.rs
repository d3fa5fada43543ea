//! BAR0: every register of the card.

use crate::layout;

/// Byte offset of a register in BAR0; made only by this crate, so that nobody names a register by a bare number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisterOffset(u32);

impl RegisterOffset {
    /// The offset in bytes.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Who may do what with a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads only; writes are ignored.
    ReadOnly,
    /// Reads give back what was written.
    ReadWrite,
    /// Writing 1 to a bit clears it.
    WriteOneToClear,
    /// Any write clears the register (and those that its description names).
    WriteClears,
}

impl Access {
    /// The abbreviation used in the documents.
    pub const fn short(self) -> &'static str {
        match self {
            Access::ReadOnly => "RO",
            Access::ReadWrite => "RW",
            Access::WriteOneToClear => "W1C",
            Access::WriteClears => "WC",
        }
    }
}

/// A bit field of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name, unique in its register.
    pub name: &'static str,
    /// Lowest bit.
    pub lsb: u32,
    /// Number of bits.
    pub width: u32,
    /// What it means.
    pub description: &'static str,
}

impl Field {
    /// The field's bits, in place.
    pub const fn mask(self) -> u32 {
        (if self.width >= 32 { u32::MAX } else { (1 << self.width) - 1 }) << self.lsb
    }

    /// The field's value in a register word.
    pub const fn get(self, word: u32) -> u32 {
        (word & self.mask()) >> self.lsb
    }

    /// The register word with this field replaced; bits beyond the field's width are dropped.
    pub const fn set(self, word: u32, value: u32) -> u32 {
        (word & !self.mask()) | ((value << self.lsb) & self.mask())
    }

    /// Whether any bit of the field is set.
    pub const fn is_set(self, word: u32) -> bool {
        word & self.mask() != 0
    }
}

/// A 32-bit register, or the low half of a 64-bit one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// Name, unique in the map.
    pub name: &'static str,
    /// Where it is in BAR0.
    pub offset: RegisterOffset,
    /// 32, or 64 for a pair of words, low word first.
    pub bits: u32,
    /// Who may do what.
    pub access: Access,
    /// Value after reset; `None` where the value belongs to the build or runs freely.
    pub reset: Option<u64>,
    /// Bit fields.
    pub fields: &'static [Field],
    /// What it means.
    pub description: &'static str,
}

/// A register of the per-ring block, named by its place in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingRegister(Register);

impl RingRegister {
    /// The register of ring pair `ring`, or `None` beyond [`layout::MAX_RING_PAIRS`].
    pub const fn of(self, ring: u32) -> Option<Register> {
        if ring >= layout::MAX_RING_PAIRS {
            return None;
        }
        let offset = layout::RING_BLOCK_OFFSET + ring * layout::RING_BLOCK_STRIDE + self.0.offset.0;
        Some(Register { offset: RegisterOffset(offset), ..self.0 })
    }

    /// The register with its offset relative to the start of the block.
    pub const fn in_block(self) -> Register {
        self.0
    }
}

macro_rules! fields {
    ($($name:ident: $lsb:literal, $width:literal, $text:literal;)*) => {
        $(#[doc = $text] pub const $name: Field = Field {
            name: stringify!($name), lsb: $lsb, width: $width, description: $text,
        };)*
        pub(super) const ALL: &[Field] = &[$($name),*];
    };
}

/// Fields of `MAP_VERSION`.
pub mod map_version {
    use super::Field;
    fields! {
        MINOR: 0, 16, "Additions that an older driver may ignore.";
        MAJOR: 16, 16, "A driver refuses another major version.";
    }
}

/// Fields of `RING_DEGREE_LOG2`.
pub mod ring_degree_log2 {
    use super::Field;
    fields! {
        LOG2: 0, 8, "log2 of N.";
        GLWE_DIMENSION_LESS_1: 8, 8, "k - 1: a ciphertext has k mask polynomials, 1 to 3. A driver that does not know this field refuses a card of k > 1.";
    }
}

/// Fields of `CONTROL`.
pub mod control {
    use super::Field;
    fields! {
        ENABLE: 0, 1, "Fetch descriptors from enabled rings. Clear it to pause after the current command.";
        SOFT_RESET: 1, 1, "Write 1: stop, let transfers in flight end, return every register but ID and parameters to its reset value, then erase card memory: set to 0 what was uploaded and not wiped since. Reads 1 until all of it is done; no ring is served before.";
    }
}

/// Fields of `STATUS`.
pub mod status {
    use super::Field;
    fields! {
        BUSY: 0, 1, "A command, descriptor fetch or completion write is in progress.";
        FAULT: 1, 1, "A card-wide fault is recorded in ERROR_CODE; no ring is served until ERROR_CODE is cleared or the card is reset.";
        RESETTING: 2, 1, "A soft reset waits for transfers in flight.";
        QUIET: 3, 1, "No transfer to or from host memory or card memory is in flight.";
        ERASING: 4, 1, "After a soft reset: card memory is being erased. If card memory refuses, this ends, and FAULT and ERROR_CODE = CARD_WRITE_FAULT say so; the next soft reset tries again.";
    }
}

/// Fields of the ring's `CONTROL`.
pub mod ring_control {
    use super::Field;
    fields! {
        ENABLE: 0, 1, "Serve this ring. Setting it returns all four indexes of the ring to 0; base addresses and sizes must be written before. Write it only while no descriptor of the ring is under way: after a reset, or with SQ_HEAD at SQ_TAIL and every completion in; else the card stops with RING_OVERRUN.";
    }
}

const NONE: &[Field] = &[];

macro_rules! register_table {
    ($table:ident, $kind:ident, $wrap:expr;
     $($name:ident @ $offset:literal, $bits:literal, $access:ident, $reset:expr, $fields:expr, $text:literal;)*) => {
        $(#[doc = $text] pub const $name: $kind = $wrap(Register {
            name: stringify!($name), offset: RegisterOffset($offset), bits: $bits, access: Access::$access,
            reset: $reset, fields: $fields, description: $text,
        });)*
        #[doc = concat!("All of them, in order of offset: `", stringify!($table), "`.")]
        pub const $table: &[$kind] = &[$($name),*];
    };
}

/// Identity on registers, so that both tables come from one macro.
const fn plain(register: Register) -> Register {
    register
}

register_table! { REGISTERS, Register, plain;
    ID @ 0x000, 32, ReadOnly, Some(layout::ID_MAGIC as u64), NONE, "\"GLVX\": this is a Glovebox card.";
    MAP_VERSION @ 0x004, 32, ReadOnly, Some((layout::MAP_MAJOR as u64) << 16 | layout::MAP_MINOR as u64), map_version::ALL, "Version of this register map.";
    LANES @ 0x008, 32, ReadOnly, None, NONE, "Coefficients that the transforms take a cycle.";
    RING_DEGREE_LOG2 @ 0x00c, 32, ReadOnly, None, ring_degree_log2::ALL, "Ring degree N and GLWE dimension k.";
    BEAT_BYTES @ 0x010, 32, ReadOnly, Some(layout::BEAT_BYTES), NONE, "Bytes of one beat of the host-memory bus.";
    RING_PAIRS @ 0x014, 32, ReadOnly, None, NONE, "Submission and completion ring pairs that the card has.";
    COMMANDS @ 0x018, 32, ReadOnly, None, NONE, "Bit k is set if the card knows opcode k.";
    VECTORS @ 0x01c, 32, ReadOnly, Some(layout::MSIX_VECTORS as u64), NONE, "MSI-X vectors.";
    BUILD_ID_0 @ 0x020, 64, ReadOnly, None, NONE, "First 8 bytes of the SHA-256 of the card's Verilog, first byte lowest: the firmware identity.";
    BUILD_ID_1 @ 0x028, 64, ReadOnly, None, NONE, "The next 8 bytes of it.";
    CONTROL @ 0x030, 32, ReadWrite, Some(0), control::ALL, "Runs and resets the card.";
    STATUS @ 0x034, 32, ReadOnly, None, status::ALL, "What the card is doing.";
    ERROR_CODE @ 0x038, 32, WriteClears, Some(0), NONE, "Status code of the last command that failed or of a card-wide fault (see the table of codes); a write clears it, ERROR_TAG, ERROR_ADDRESS and STATUS.FAULT.";
    ERROR_TAG @ 0x03c, 32, ReadOnly, Some(0), NONE, "Tag of that command; 0 for a card-wide fault.";
    ERROR_ADDRESS @ 0x040, 64, ReadOnly, Some(0), NONE, "Address that was refused, if the error has one.";
    INTERRUPT_ENABLE @ 0x048, 32, ReadWrite, Some(0), NONE, "Bit v lets vector v interrupt.";
    INTERRUPT_STATUS @ 0x04c, 32, WriteOneToClear, Some(0), NONE, "Bit v: vector v had a reason to interrupt since it was cleared.";
    SCRATCH @ 0x050, 32, ReadWrite, Some(0), NONE, "Has no effect; shows that registers can be written.";
    CARD_MEMORY_BYTES @ 0x058, 64, ReadOnly, None, NONE, "Bytes of card memory; 0 if there is none.";
    CARD_MEMORY_WRITTEN @ 0x060, 64, ReadOnly, Some(0), NONE, "Bytes of card memory, from 0 on, that were written since reset; nothing beyond can be read. 0 as soon as a reset takes effect, before card memory is erased.";
    CARD_MEMORY_GRANULE @ 0x068, 32, ReadOnly, None, NONE, "Addresses and lengths in card memory are multiples of this many bytes: 64 for each port to it.";
    CYCLES @ 0x080, 64, ReadOnly, None, NONE, "Clock cycles since reset.";
    BUSY_CYCLES @ 0x088, 64, ReadOnly, Some(0), NONE, "Cycles in which a command was being executed.";
    READ_BEATS @ 0x090, 64, ReadOnly, Some(0), NONE, "Beats read from host memory, descriptors included.";
    WRITE_BEATS @ 0x098, 64, ReadOnly, Some(0), NONE, "Beats written to host memory, completions included.";
    READ_STALLS @ 0x0a0, 64, ReadOnly, Some(0), NONE, "Cycles in which a command waited for data from host memory.";
    WRITE_STALLS @ 0x0a8, 64, ReadOnly, Some(0), NONE, "Cycles in which host memory did not take data that was ready.";
    COMMANDS_DONE @ 0x0b0, 64, ReadOnly, Some(0), NONE, "Commands that ended well.";
    COMMANDS_FAILED @ 0x0b8, 64, ReadOnly, Some(0), NONE, "Commands that ended with an error.";
    NTT_BEATS @ 0x0c0, 64, ReadOnly, Some(0), NONE, "Groups of LANES coefficients that entered the forward transform.";
    INTT_BEATS @ 0x0c8, 64, ReadOnly, Some(0), NONE, "Groups of LANES coefficients that entered the inverse transform.";
    CARD_READ_BEATS @ 0x0d0, 64, ReadOnly, Some(0), NONE, "Granules read from card memory.";
    CARD_WRITE_BEATS @ 0x0d8, 64, ReadOnly, Some(0), NONE, "Granules written to card memory.";
    LOAD_CYCLES @ 0x0e0, 64, ReadOnly, Some(0), NONE, "Cycles in which a batch's ciphertexts were being taken in.";
    KEYSWITCH_CYCLES @ 0x0e8, 64, ReadOnly, Some(0), NONE, "Cycles in which a keyswitch was under way.";
    SWITCH_CYCLES @ 0x0f0, 64, ReadOnly, Some(0), NONE, "Cycles in which a modulus switch was under way.";
    ROTATION_WAITS @ 0x0f8, 64, ReadOnly, Some(0), NONE, "Cycles in which a batch waited for the blind rotation of the one before.";
    ROTATION_CYCLES @ 0x100, 64, ReadOnly, Some(0), NONE, "Cycles in which a blind rotation was under way.";
    EXTRACT_CYCLES @ 0x108, 64, ReadOnly, Some(0), NONE, "Cycles in which a sample extraction was under way.";
    BSK_STALLS @ 0x110, 64, ReadOnly, Some(0), NONE, "Cycles in which blind rotation waited for its key.";
    KSK_STALLS @ 0x118, 64, ReadOnly, Some(0), NONE, "Cycles in which the keyswitch waited for its key.";
    FORWARD_ACTIVE @ 0x120, 64, ReadOnly, Some(0), NONE, "Cycles in which the multipliers of the forward transforms and of the products worked.";
    INVERSE_ACTIVE @ 0x128, 64, ReadOnly, Some(0), NONE, "Cycles in which the multipliers of the inverse transforms worked.";
}

register_table! { RING_REGISTERS, RingRegister, RingRegister;
    RING_CONTROL @ 0x00, 32, ReadWrite, Some(0), ring_control::ALL, "Enables the ring pair.";
    SQ_LOG2 @ 0x04, 32, ReadWrite, Some(0), NONE, "log2 of the submission ring's entries (1 to 15).";
    SQ_BASE @ 0x08, 64, ReadWrite, Some(0), NONE, "Address of the submission ring, 4096-byte aligned.";
    SQ_TAIL @ 0x10, 32, ReadWrite, Some(0), NONE, "Doorbell: descriptors written so far, counted mod 2^32. At most the ring's size ahead of SQ_HEAD; never taken back: a tail that SQ_HEAD has passed is RING_OVERRUN.";
    SQ_HEAD @ 0x14, 32, ReadOnly, Some(0), NONE, "Descriptors fetched so far, counted mod 2^32.";
    CQ_BASE @ 0x18, 64, ReadWrite, Some(0), NONE, "Address of the completion ring, 4096-byte aligned.";
    CQ_LOG2 @ 0x20, 32, ReadWrite, Some(0), NONE, "log2 of the completion ring's entries (1 to 15).";
    CQ_HEAD @ 0x24, 32, ReadWrite, Some(0), NONE, "Doorbell: completions consumed so far, counted mod 2^32.";
    CQ_TAIL @ 0x28, 32, ReadOnly, Some(0), NONE, "Completions written so far, counted mod 2^32.";
    RING_VECTOR @ 0x2c, 32, ReadWrite, Some(0), NONE, "MSI-X vector of the ring's completions.";
}

/// Looks a card-wide register up by its name.
pub fn by_name(name: &str) -> Option<Register> {
    REGISTERS.iter().find(|register| register.name == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn check_no_overlap(registers: &[Register], end: u32) {
        let mut next = 0;
        for register in registers {
            let offset = register.offset.get();
            assert!(offset >= next, "{} at {offset:#x} overlaps its predecessor or is out of order", register.name);
            assert_eq!(offset % (register.bits / 8), 0, "{} is not aligned", register.name);
            next = offset + register.bits / 8;
            let mut used = 0;
            for field in register.fields {
                assert_eq!(used & field.mask(), 0, "{}.{} overlaps", register.name, field.name);
                used |= field.mask();
            }
        }
        assert!(next <= end);
    }

    #[test]
    fn registers_are_ordered_aligned_and_disjoint() {
        check_no_overlap(REGISTERS, layout::RING_BLOCK_OFFSET);
        let block: Vec<Register> = RING_REGISTERS.iter().map(|r| r.in_block()).collect();
        check_no_overlap(&block, layout::RING_BLOCK_STRIDE);
        let rings_end = layout::RING_BLOCK_OFFSET + layout::MAX_RING_PAIRS * layout::RING_BLOCK_STRIDE;
        assert!(rings_end <= layout::MSIX_TABLE_OFFSET);
        assert!(u64::from(layout::MSIX_PBA_OFFSET) + 8 <= layout::BAR0_SIZE);
        assert!(layout::MSIX_TABLE_OFFSET + 16 * u32::from(layout::MSIX_VECTORS) <= layout::MSIX_PBA_OFFSET);
    }

    #[test]
    fn field_set_then_get_gives_the_value_back() {
        let word = map_version::MAJOR.set(0xffff_ffff, 5);
        assert_eq!((map_version::MAJOR.get(word), map_version::MINOR.get(word)), (5, 0xffff));
        assert_eq!(control::SOFT_RESET.set(0, 7), 2);
        assert!(control::SOFT_RESET.is_set(2) && !control::SOFT_RESET.is_set(1));
    }

    #[test]
    fn ring_registers_repeat_at_the_stride() {
        assert_eq!(SQ_TAIL.of(0).unwrap().offset.get(), 0x1010);
        assert_eq!(SQ_TAIL.of(2).unwrap().offset.get(), 0x1090);
        assert!(SQ_TAIL.of(layout::MAX_RING_PAIRS).is_none());
        assert_eq!(by_name("CONTROL"), Some(CONTROL));
        assert_eq!(by_name("NOPE"), None);
    }
}
