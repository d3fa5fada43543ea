//! Typed access to the registers of one card.

use crate::bus::Bus;
use crate::error::{Error, Result};
use glovebox_regmap::registers::{self, Register, ring_degree_log2};
use glovebox_regmap::{CardLimits, GlweShape, Opcode, layout};

/// What a card says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardParameters {
    /// Version of its register map, major and minor.
    pub map_version: (u16, u16),
    /// Coefficients that the transforms take a cycle.
    pub lanes: u32,
    /// log2 of the ring degree N.
    pub degree_log2: u32,
    /// GLWE dimension k.
    pub glwe_dimension: u32,
    /// Ring pairs.
    pub ring_pairs: u32,
    /// Interrupt vectors.
    pub vectors: u32,
    /// Bit k: knows opcode k.
    pub commands: u32,
    /// Bytes of card memory; 0 if there is none.
    pub card_memory_bytes: u64,
    /// Addresses and lengths in card memory are multiples of this many bytes.
    pub card_memory_granule_bytes: u32,
    /// First 16 bytes of the SHA-256 of its Verilog: the firmware identity.
    pub build_id: [u8; 16],
}

impl CardParameters {
    /// The ring degree N.
    pub fn degree(&self) -> usize {
        1 << self.degree_log2
    }

    /// The ring and k: what the lengths of ciphertexts and keys follow from.
    pub fn glwe(&self) -> GlweShape {
        GlweShape { dimension: self.glwe_dimension, degree_log2: self.degree_log2 }
    }

    /// Whether the card knows the command.
    pub fn can(&self, opcode: Opcode) -> bool {
        self.commands & opcode.capability() != 0
    }

    /// What decides whether the card takes a descriptor; all of its memory counts as written.
    pub fn limits(&self) -> CardLimits {
        CardLimits {
            commands: self.commands,
            glwe: self.glwe(),
            lanes: self.lanes,
            memory_bytes: self.card_memory_bytes,
            memory_granule_bytes: self.card_memory_granule_bytes.into(),
            memory_written_bytes: self.card_memory_bytes,
        }
    }

    /// The firmware identity in hexadecimal.
    pub fn build_id_text(&self) -> String {
        self.build_id.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Performance counters since the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Clock cycles.
    pub cycles: u64,
    /// Cycles in which a command was being executed.
    pub busy_cycles: u64,
    /// Beats read from host memory.
    pub read_beats: u64,
    /// Beats written to host memory.
    pub write_beats: u64,
    /// Cycles in which a command waited for data.
    pub read_stalls: u64,
    /// Cycles in which host memory did not take data.
    pub write_stalls: u64,
    /// Commands that ended well.
    pub commands_done: u64,
    /// Commands that failed.
    pub commands_failed: u64,
    /// Coefficient groups into the forward transform.
    pub ntt_beats: u64,
    /// Coefficient groups into the inverse transform.
    pub intt_beats: u64,
    /// Granules read from card memory.
    pub card_read_beats: u64,
    /// Granules written to card memory.
    pub card_write_beats: u64,
    /// Cycles in which a batch's ciphertexts were being taken in.
    pub load_cycles: u64,
    /// Cycles in which a keyswitch was under way.
    pub keyswitch_cycles: u64,
    /// Cycles in which a modulus switch was under way.
    pub switch_cycles: u64,
    /// Cycles in which a batch waited for the blind rotation of the one before.
    pub rotation_waits: u64,
    /// Cycles in which a blind rotation was under way.
    pub rotation_cycles: u64,
    /// Cycles in which a sample extraction was under way.
    pub extract_cycles: u64,
    /// Cycles in which blind rotation waited for its key.
    pub bsk_stalls: u64,
    /// Cycles in which the keyswitch waited for its key.
    pub ksk_stalls: u64,
    /// Cycles in which the multipliers of forward transforms and products worked.
    pub forward_active: u64,
    /// Cycles in which the multipliers of inverse transforms worked.
    pub inverse_active: u64,
}

/// More card memory than this is not believed.
const MOST_CARD_MEMORY_BYTES: u64 = 1 << 48;

/// The registers of a card.
pub(crate) struct Registers<'a>(pub(crate) &'a dyn Bus);

impl Registers<'_> {
    pub(crate) fn read(&self, register: Register) -> Result<u32> {
        self.0.read32(register.offset.get())
    }

    pub(crate) fn write(&self, register: Register, value: u32) -> Result<()> {
        self.0.write32(register.offset.get(), value)
    }

    pub(crate) fn write64(&self, register: Register, value: u64) -> Result<()> {
        self.0.write32(register.offset.get(), value as u32)?;
        self.0.write32(register.offset.get() + 4, (value >> 32) as u32)
    }

    pub(crate) fn read64(&self, register: Register) -> Result<u64> {
        let (low, high) = (register.offset.get(), register.offset.get() + 4);
        let mut top = self.0.read32(high)?;
        // The low half may carry between the reads: take a pair around which the high half stood still.
        for _ in 0..4 {
            let bottom = self.0.read32(low)?;
            let again = self.0.read32(high)?;
            if again == top {
                return Ok(u64::from(top) << 32 | u64::from(bottom));
            }
            top = again;
        }
        Err(self.bad("64-bit register", format!("{} at every read", register.name), "changes its high half too fast"))
    }

    fn bad(&self, what: &'static str, value: String, rule: &'static str) -> Error {
        Error::BadValue { device: self.0.name().into(), what, value, rule }
    }

    /// Checks that a card of a known map answers, without touching it.
    pub(crate) fn identify(&self) -> Result<CardParameters> {
        let device = || self.0.name().to_owned();
        let found = self.read(registers::ID)?;
        if found == u32::MAX {
            return Err(Error::DeviceLost { device: device(), reason: "every register reads all ones".into() });
        }
        if found != layout::ID_MAGIC {
            return Err(Error::NotACard { device: device(), found });
        }
        let version = self.read(registers::MAP_VERSION)?;
        let major = registers::map_version::MAJOR.get(version) as u16;
        if major != layout::MAP_MAJOR {
            return Err(Error::MapVersion { device: device(), found: major, known: layout::MAP_MAJOR });
        }
        let within = |what, register, low: u32, high: u32, rule| {
            let value = self.read(register)?;
            if (low..=high).contains(&value) { Ok(value) } else { Err(self.bad(what, value.to_string(), rule)) }
        };
        let lanes = within("number of lanes", registers::LANES, 1, 4096, "is not in 1 to 4096")?;
        let ring = self.read(registers::RING_DEGREE_LOG2)?;
        let degree_log2 = ring_degree_log2::LOG2.get(ring);
        if !(1..=16).contains(&degree_log2) {
            return Err(self.bad("log2 N", degree_log2.to_string(), "is not in 1 to 16"));
        }
        let glwe_dimension = ring_degree_log2::GLWE_DIMENSION_LESS_1.get(ring) + 1;
        if glwe_dimension > layout::MAX_GLWE_DIMENSION {
            return Err(self.bad("GLWE dimension k", glwe_dimension.to_string(), "is not in 1 to 3"));
        }
        let known = ring_degree_log2::LOG2.mask() | ring_degree_log2::GLWE_DIMENSION_LESS_1.mask();
        if ring & !known != 0 {
            return Err(self.bad("ring degree and k", format!("{ring:#x}"), "has bits that this driver does not know"));
        }
        if !lanes.is_power_of_two() || lanes > 1 << degree_log2 {
            return Err(self.bad("number of lanes", lanes.to_string(), "is no power of two up to N"));
        }
        within("bus width in bytes", registers::BEAT_BYTES, 1, 4096, "is not in 1 to 4096")?;
        let pairs = layout::MAX_RING_PAIRS;
        let ring_pairs = within("number of ring pairs", registers::RING_PAIRS, 1, pairs, "is not in 1 to 15")?;
        let vectors = within("number of vectors", registers::VECTORS, 1, 2048, "is not in 1 to 2048")?;
        let minor = registers::map_version::MINOR.get(version) as u16;
        let (mut memory_bytes, mut granule) = (0, layout::BEAT_BYTES as u32);
        if minor >= 1 {
            memory_bytes = self.read64(registers::CARD_MEMORY_BYTES)?;
            let rule = "is not in 64 to 1024";
            granule = within("granule of card memory", registers::CARD_MEMORY_GRANULE, 64, 1024, rule)?;
            if !granule.is_power_of_two() {
                return Err(self.bad("granule of card memory", granule.to_string(), "is no power of two"));
            }
            if !memory_bytes.is_multiple_of(granule.into()) || memory_bytes > MOST_CARD_MEMORY_BYTES {
                let rule = "is no whole number of granules up to 2^48 bytes";
                return Err(self.bad("bytes of card memory", memory_bytes.to_string(), rule));
            }
        }
        let mut build_id = [0; 16];
        build_id[..8].copy_from_slice(&self.read64(registers::BUILD_ID_0)?.to_le_bytes());
        build_id[8..].copy_from_slice(&self.read64(registers::BUILD_ID_1)?.to_le_bytes());
        Ok(CardParameters {
            map_version: (major, minor),
            lanes,
            degree_log2,
            glwe_dimension,
            ring_pairs,
            vectors,
            commands: self.read(registers::COMMANDS)?,
            card_memory_bytes: memory_bytes,
            card_memory_granule_bytes: granule,
            build_id,
        })
    }

    pub(crate) fn counters(&self) -> Result<Counters> {
        Ok(Counters {
            cycles: self.read64(registers::CYCLES)?,
            busy_cycles: self.read64(registers::BUSY_CYCLES)?,
            read_beats: self.read64(registers::READ_BEATS)?,
            write_beats: self.read64(registers::WRITE_BEATS)?,
            read_stalls: self.read64(registers::READ_STALLS)?,
            write_stalls: self.read64(registers::WRITE_STALLS)?,
            commands_done: self.read64(registers::COMMANDS_DONE)?,
            commands_failed: self.read64(registers::COMMANDS_FAILED)?,
            ntt_beats: self.read64(registers::NTT_BEATS)?,
            intt_beats: self.read64(registers::INTT_BEATS)?,
            card_read_beats: self.read64(registers::CARD_READ_BEATS)?,
            card_write_beats: self.read64(registers::CARD_WRITE_BEATS)?,
            load_cycles: self.read64(registers::LOAD_CYCLES)?,
            keyswitch_cycles: self.read64(registers::KEYSWITCH_CYCLES)?,
            switch_cycles: self.read64(registers::SWITCH_CYCLES)?,
            rotation_waits: self.read64(registers::ROTATION_WAITS)?,
            rotation_cycles: self.read64(registers::ROTATION_CYCLES)?,
            extract_cycles: self.read64(registers::EXTRACT_CYCLES)?,
            bsk_stalls: self.read64(registers::BSK_STALLS)?,
            ksk_stalls: self.read64(registers::KSK_STALLS)?,
            forward_active: self.read64(registers::FORWARD_ACTIVE)?,
            inverse_active: self.read64(registers::INVERSE_ACTIVE)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iova::{Iova, IovaRange};
    use crate::memory::HostMemory;
    use proptest::prelude::*;
    use std::sync::Mutex;
    use vmm_sys_util::eventfd::EventFd;

    /// A card whose registers read what it likes, another value each time.
    struct Liar {
        truth: Vec<(u32, u32)>,
        lies: Mutex<Vec<Option<u32>>>,
    }

    impl Bus for Liar {
        fn name(&self) -> &str {
            "liar"
        }
        fn config_read(&self, _: u16, into: &mut [u8]) -> Result<()> {
            into.fill(0);
            Ok(())
        }
        fn config_write(&self, _: u16, _: &[u8]) -> Result<()> {
            Ok(())
        }
        fn read32(&self, offset: u32) -> Result<u32> {
            let lie = self.lies.lock().unwrap().pop().flatten();
            let truth = self.truth.iter().find(|(at, _)| *at == offset).map_or(0, |(_, value)| *value);
            Ok(lie.unwrap_or(truth))
        }
        fn write32(&self, _: u32, _: u32) -> Result<()> {
            Ok(())
        }
        fn iova_ranges(&self) -> Vec<IovaRange> {
            vec![]
        }
        fn dma_map(&self, _: Iova, _: &HostMemory) -> Result<()> {
            Ok(())
        }
        fn dma_unmap(&self, _: Iova, _: u64) -> Result<()> {
            Ok(())
        }
        fn vectors(&self) -> u16 {
            1
        }
        fn set_interrupts(&self, _: &[&EventFd]) -> Result<()> {
            Ok(())
        }
        fn reset(&self) -> Result<()> {
            Ok(())
        }
    }

    fn truth() -> Vec<(u32, u32)> {
        let version =
            registers::map_version::MAJOR.set(registers::map_version::MINOR.set(0, 1), layout::MAP_MAJOR.into());
        [
            (registers::ID, layout::ID_MAGIC),
            (registers::MAP_VERSION, version),
            (registers::LANES, 8),
            (registers::RING_DEGREE_LOG2, 8),
            (registers::BEAT_BYTES, 64),
            (registers::RING_PAIRS, 2),
            (registers::VECTORS, 16),
            (registers::COMMANDS, glovebox_regmap::command::BOOTSTRAP_COMMANDS),
            (registers::CARD_MEMORY_BYTES, 1 << 24),
            (registers::CARD_MEMORY_GRANULE, 64),
        ]
        .map(|(register, value)| (register.offset.get(), value))
        .to_vec()
    }

    fn lie() -> impl Strategy<Value = Option<u32>> {
        prop_oneof![
            12 => Just(None),
            1 => any::<u32>().prop_map(Some),
            1 => (0u32..32).prop_map(|bit| Some(1 << bit)),
            1 => Just(Some(u32::MAX)),
            1 => Just(Some(0)),
        ]
    }

    #[test]
    fn card_that_tells_the_truth_is_identified() {
        let card = Liar { truth: truth(), lies: Mutex::default() };
        let p = Registers(&card).identify().unwrap();
        assert_eq!((p.lanes, p.degree(), p.card_memory_bytes, p.card_memory_granule_bytes), (8, 256, 1 << 24, 64));
        assert_eq!(p.glwe(), GlweShape { dimension: 1, degree_log2: 8 });
        let mut truth = truth();
        truth.iter_mut().find(|(at, _)| *at == registers::RING_DEGREE_LOG2.offset.get()).unwrap().1 = 0x108;
        let p = Registers(&Liar { truth, lies: Mutex::default() }).identify().unwrap();
        assert_eq!(p.glwe(), GlweShape { dimension: 2, degree_log2: 8 });
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        for (register, value, what) in [
            (registers::CARD_MEMORY_GRANULE, 96, "granule"),
            (registers::CARD_MEMORY_GRANULE, 0, "granule"),
            (registers::CARD_MEMORY_GRANULE, 2048, "granule"),
            (registers::CARD_MEMORY_BYTES, (1 << 24) + 32, "bytes of card memory"),
            (registers::LANES, 3, "number of lanes"),
            (registers::LANES, 512, "number of lanes"),
            (registers::RING_DEGREE_LOG2, 17, "log2 N"),
            (registers::RING_DEGREE_LOG2, 0x308, "GLWE dimension k"),
            (registers::RING_DEGREE_LOG2, 0x1_0008, "ring degree and k"),
        ] {
            let mut truth = truth();
            truth.iter_mut().find(|(at, _)| *at == register.offset.get()).unwrap().1 = value;
            let error = Registers(&Liar { truth, lies: Mutex::default() }).identify().unwrap_err();
            assert!(matches!(&error, Error::BadValue { what: w, .. } if w.contains(what)), "{value}: {error}");
        }
        let mut truth = truth();
        truth.push((registers::CARD_MEMORY_BYTES.offset.get() + 4, 1 << 20));
        let error = Registers(&Liar { truth, lies: Mutex::default() }).identify().unwrap_err();
        assert!(matches!(error, Error::BadValue { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn any_registers_give_plausible_parameters_or_a_typed_error(lies in proptest::collection::vec(lie(), 0..40)) {
            let card = Liar { truth: truth(), lies: Mutex::new(lies.clone()) };
            if let Ok(p) = Registers(&card).identify() {
                prop_assert!(p.lanes.is_power_of_two() && (1..=16).contains(&p.degree_log2));
                prop_assert!(p.lanes as usize <= p.degree());
                prop_assert!((1..=layout::MAX_GLWE_DIMENSION).contains(&p.glwe_dimension));
                prop_assert!((1..=layout::MAX_RING_PAIRS).contains(&p.ring_pairs));
                let granule = u64::from(p.card_memory_granule_bytes);
                prop_assert!(granule.is_power_of_two() && (64..=1024).contains(&granule));
                prop_assert!(p.card_memory_bytes % granule == 0 && p.card_memory_bytes <= MOST_CARD_MEMORY_BYTES);
            }
            let card = Liar { truth: truth(), lies: Mutex::new(lies) };
            // Counters are figures for people; any value will do, but not a hang.
            let _ = Registers(&card).counters();
        }
    }
}
