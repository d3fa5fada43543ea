//! A submission ring and its completion ring.
//!
//! The driver never has more commands outstanding than the rings have entries, so neither can overrun. A completion is
//! believed only if its phase, status, reserved bits, tag and opcode are those of a command that is outstanding, and its
//! submission head lies between what was consumed before and what was submitted.

use crate::bus::Bus;
use crate::card_memory::CardSlice;
use crate::dma::{DmaBuffer, DmaSlice, DmaSpace};
use crate::error::{Error, Result};
use crate::registers::Registers;
use crossbeam::channel::Sender;
use glovebox_regmap::command::{COMPLETION_BYTES, COMPLETION_WORDS, DESCRIPTOR_BYTES};
use glovebox_regmap::registers::{self, Register, RingRegister};
use glovebox_regmap::{Completion, Opcode, StatusCode, layout};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a command ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Cycles that the card took, from dispatch to the last write acknowledged.
    pub cycles: u64,
}

/// The memory that a command names.
#[derive(Clone, Default)]
pub(crate) struct Held {
    pub(crate) host: [Option<DmaSlice>; 2],
    pub(crate) card: [Option<CardSlice>; 3],
    /// The age of the card memory that the command names without a slice of it: see [`CardMemory::epoch`].
    ///
    /// [`CardMemory::epoch`]: crate::card_memory::CardMemory::epoch
    pub(crate) epoch: Option<u64>,
}

/// A command that waits for its completion.
pub(crate) struct Pending {
    /// The opcode byte, and its name for messages.
    pub(crate) opcode: (u8, &'static str),
    pub(crate) deadline: Instant,
    pub(crate) timeout: Duration,
    pub(crate) reply: Sender<Result<Done>>,
    /// Keeps the memory that the card reads and writes.
    memory: Held,
}

impl Pending {
    /// Gives the command's memory back, then tells who waits for it: whoever hears of the end finds the memory free.
    pub(crate) fn answer(self, result: Result<Done>) {
        drop(self.memory);
        // Nobody waits for a ticket that was dropped.
        let _ = self.reply.send(result);
    }
}

struct Slot {
    tag: u32,
    pending: Pending,
}

pub(crate) struct Queue {
    index: u32,
    log2: u32,
    submission: DmaBuffer,
    completion: DmaBuffer,
    /// Descriptors written, completions consumed, completions reported to the card; all mod 2^32.
    tail: u32,
    consumed: u32,
    reported: u32,
    /// The card's last word on descriptors fetched.
    fetched: u32,
    slots: Vec<Option<Slot>>,
    free: Vec<u16>,
    generation: u16,
}

/// What a look into the completion ring found wrong.
#[derive(Debug)]
pub(crate) struct RingViolation(pub(crate) String);

impl Queue {
    pub(crate) fn new(space: &Arc<DmaSpace>, index: u32, log2: u32) -> Result<Self> {
        let entries = 1usize << log2;
        let mut queue = Self {
            index,
            log2,
            submission: space.allocate(entries * DESCRIPTOR_BYTES)?,
            completion: space.allocate(entries * COMPLETION_BYTES)?,
            tail: 0,
            consumed: 0,
            reported: 0,
            fetched: 0,
            slots: vec![],
            free: vec![],
            generation: 0,
        };
        queue.clear();
        Ok(queue)
    }

    fn clear(&mut self) {
        let entries = self.entries();
        (self.tail, self.consumed, self.reported, self.fetched) = (0, 0, 0, 0);
        self.slots = (0..entries).map(|_| None).collect();
        // Taken from the end: low places first.
        self.free = (0..entries as u16).rev().collect();
        self.completion.memory().write(0, &vec![0; entries * COMPLETION_BYTES]);
    }

    fn entries(&self) -> usize {
        1 << self.log2
    }

    fn register(&self, register: RingRegister) -> Register {
        match register.of(self.index) {
            Some(register) => register,
            None => unreachable!("ring pairs beyond the map are refused when the device is opened"),
        }
    }

    /// Programs the ring pair into a card that has been reset, and enables it.
    pub(crate) fn program(&mut self, bus: &dyn Bus, vector: u32) -> Result<()> {
        self.clear();
        let card = Registers(bus);
        card.write(self.register(registers::RING_CONTROL), 0)?;
        card.write(self.register(registers::SQ_LOG2), self.log2)?;
        card.write64(self.register(registers::SQ_BASE), self.submission.iova().get())?;
        card.write(self.register(registers::CQ_LOG2), self.log2)?;
        card.write64(self.register(registers::CQ_BASE), self.completion.iova().get())?;
        card.write(self.register(registers::RING_VECTOR), vector)?;
        card.write(self.register(registers::RING_CONTROL), registers::ring_control::ENABLE.set(0, 1))
    }

    /// Places for further commands.
    pub(crate) fn room(&self) -> usize {
        self.free.len()
    }

    /// Commands outstanding.
    pub(crate) fn outstanding(&self) -> usize {
        self.entries() - self.free.len()
    }

    /// Writes a descriptor, with a tag of its own; the caller has seen that there is room. The card hears of it at the
    /// next doorbell.
    pub(crate) fn push(
        &mut self,
        mut words: [u64; DESCRIPTOR_BYTES / 8],
        memory: Held,
        timeout: Duration,
        reply: Sender<Result<Done>>,
    ) {
        let Some(place) = self.free.pop() else { return };
        self.generation = self.generation.wrapping_add(1);
        let tag = u32::from(self.generation) << 16 | u32::from(place);
        words[0] = (words[0] & 0xffff_ffff) | u64::from(tag) << 32;
        let offset = (self.tail as usize % self.entries()) * DESCRIPTOR_BYTES;
        self.submission.memory().write_words(offset, &words);
        self.tail = self.tail.wrapping_add(1);
        let deadline = Instant::now() + timeout;
        let code = words[0] as u8;
        let opcode = (code, Opcode::from_code(code).map_or("an unknown command", Opcode::name));
        let pending = Pending { opcode, deadline, timeout, reply, memory };
        self.slots[usize::from(place)] = Some(Slot { tag, pending });
    }

    /// Tells the card how far the descriptors go.
    pub(crate) fn ring_doorbell(&self, bus: &dyn Bus) -> Result<()> {
        // The descriptors must be in memory before the card hears of them.
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        bus.post32(self.register(registers::SQ_TAIL).offset.get(), self.tail)
    }

    /// Takes finished commands out of the completion ring and hands each to `finish`.
    pub(crate) fn reap(
        &mut self,
        bus: &dyn Bus,
        mut finish: impl FnMut(Pending, &Completion),
    ) -> std::result::Result<usize, RingViolation> {
        let mut count = 0;
        while self.outstanding() > 0 {
            let entries = self.entries() as u32;
            let offset = (self.consumed % entries) as usize * COMPLETION_BYTES;
            let lap_phase = (self.consumed >> self.log2) & 1 == 0;
            let memory = self.completion.memory();
            let last = memory.load(offset + COMPLETION_BYTES - 8);
            if Completion::phase_of(last) != lap_phase {
                break;
            }
            let mut words = [0; COMPLETION_WORDS];
            memory.read_words(offset, &mut words);
            words[COMPLETION_WORDS - 1] = last;
            let completion = self.believe(words)?;
            let place = completion.tag as u16;
            let slot = self.slots[usize::from(place)].take();
            let Some(slot) = slot else { break };
            self.free.push(place);
            self.consumed = self.consumed.wrapping_add(1);
            self.fetched = completion.submission_head;
            count += 1;
            finish(slot.pending, &completion);
        }
        if self.consumed.wrapping_sub(self.reported) >= (self.entries() as u32).div_ceil(2) {
            let head = self.register(registers::CQ_HEAD).offset.get();
            if bus.post32(head, self.consumed).is_ok() {
                self.reported = self.consumed;
            }
        }
        Ok(count)
    }

    /// Checks a completion against the commands that are outstanding.
    fn believe(&self, words: [u64; COMPLETION_WORDS]) -> std::result::Result<Completion, RingViolation> {
        let violation =
            |what: String| RingViolation(format!("completion {} of ring pair {}: {what}", self.consumed, self.index));
        let completion = Completion::decode(words).map_err(|error| violation(format!("{error:?}")))?;
        let slot = self.slots.get(usize::from(completion.tag as u16)).and_then(Option::as_ref);
        let Some(slot) = slot.filter(|slot| slot.tag == completion.tag) else {
            return Err(violation(format!("no command with tag {:#x} is outstanding", completion.tag)));
        };
        if completion.opcode != slot.pending.opcode.0 {
            return Err(violation(format!("opcode {} of another command", completion.opcode)));
        }
        let fetched = completion.submission_head.wrapping_sub(self.fetched);
        if fetched > self.tail.wrapping_sub(self.fetched) {
            return Err(violation(format!("submission head {} was never submitted", completion.submission_head)));
        }
        Ok(completion)
    }

    /// The first deadline of a command outstanding.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.slots.iter().flatten().map(|slot| slot.pending.deadline).min()
    }

    /// Takes every outstanding command away. The card must not be told of them again: program the ring anew.
    pub(crate) fn drain(&mut self) -> Vec<Pending> {
        let pending = self.slots.iter_mut().filter_map(Option::take).map(|slot| slot.pending).collect();
        self.free = (0..self.entries() as u16).rev().collect();
        pending
    }
}

/// The result of a command from its completion.
pub(crate) fn result_of(device: &str, command: &'static str, completion: &Completion) -> Result<Done> {
    match completion.status {
        StatusCode::Ok => Ok(Done { cycles: completion.cycles }),
        status => {
            Err(Error::CommandFailed { device: device.into(), command, status, address: completion.fault_address })
        }
    }
}

/// The vector of a ring pair: each its own as long as there are enough, then shared ones.
pub(crate) fn vector_of(ring: u32, vectors: u16) -> u16 {
    match vectors {
        0 | 1 => layout::FAULT_VECTOR,
        n => 1 + (ring % (u32::from(n) - 1)) as u16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_process::InProcessBus;
    use crate::model::{ModelConfig, SoftwareCard};
    use crossbeam::channel::bounded;
    use proptest::prelude::*;

    /// How a completion differs from the one that is due.
    #[derive(Clone, Debug)]
    enum Change {
        Nothing,
        Flip(u32),
        Words([u64; COMPLETION_WORDS]),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            6 => Just(Change::Nothing),
            4 => (0u32..256).prop_map(Change::Flip),
            1 => any::<[u64; COMPLETION_WORDS]>().prop_map(Change::Words),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
        /// Whatever lies in the completion ring: a command ends only by a completion of its own, at most once, and the first
        /// that cannot be true is reported.
        #[test]
        fn only_completions_that_can_be_true_are_believed(changes in proptest::collection::vec(change(), 1..8), log2 in 1u32..4) {
            let card = std::sync::Arc::new(SoftwareCard::new(ModelConfig::default()).unwrap());
            let bus = std::sync::Arc::new(InProcessBus::new("model", card));
            let space = Arc::new(DmaSpace::new(bus.clone()));
            let mut queue = Queue::new(&space, 0, log2).unwrap();
            let count = changes.len().min(1 << log2);
            let mut tags = vec![];
            for index in 0..count {
                let (sender, _receiver) = bounded(1);
                let before: Vec<u16> = queue.free.clone();
                let words = glovebox_regmap::Descriptor::new([Opcode::Nop, Opcode::Copy, Opcode::Bootstrap][index % 3]).words();
                queue.push(words, Held::default(), Duration::from_secs(1), sender);
                let place = before.last().copied().unwrap();
                tags.push((queue.slots[usize::from(place)].as_ref().unwrap().tag, words[0] as u8));
            }
            let mut believable = 0;
            let mut head = 0u32;
            let mut seen = vec![];
            let mut over = false;
            for (index, change) in changes[..count].iter().enumerate() {
                let (tag, opcode) = tags[index];
                let due = Completion {
                    cycles: 5,
                    fault_address: 0,
                    submission_head: index as u32 + 1,
                    tag,
                    status: StatusCode::Ok,
                    opcode,
                    phase: true,
                };
                let mut words = due.words();
                match change {
                    Change::Nothing => {}
                    Change::Flip(bit) => words[*bit as usize / 64] ^= 1 << (bit % 64),
                    Change::Words(other) => words = *other,
                }
                let memory = queue.completion.memory();
                memory.write_words(index * COMPLETION_BYTES, &words);
                if over || !Completion::phase_of(words[COMPLETION_WORDS - 1]) {
                    over = true; // not there yet, and nothing behind it is looked at
                    continue;
                }
                // An independent judgement of the same words.
                let right = Completion::decode(words).is_ok_and(|c| {
                    let named = tags.iter().position(|t| *t == (c.tag, c.opcode));
                    let fresh = named.is_some_and(|at| !seen.contains(&at));
                    let fits = c.submission_head.wrapping_sub(head) <= (count as u32).wrapping_sub(head);
                    if fresh && fits {
                        seen.extend(named);
                        head = c.submission_head;
                    }
                    fresh && fits
                });
                if right { believable += 1 } else { over = true }
            }
            let mut finished = 0;
            let reaped = queue.reap(&*bus, |_, _| finished += 1);
            prop_assert_eq!(finished, believable);
            prop_assert_eq!(queue.outstanding(), count - believable);
            if let Ok(reaped) = reaped {
                prop_assert_eq!(reaped, believable);
            }
        }
    }
}
