//! Memory on the card: keys and look-up tables.
//!
//! A buffer is made by uploading into it, so none holds what was there before. When the last slice of it is gone, commands
//! in flight among them, its range is wiped, and only then given out again. A reset of the card ends every buffer: the card
//! itself refuses to read what was written before and erases it, and commands that name such a buffer are refused with
//! [`Error::CardMemoryLost`]. Closing the device resets the card, and so does the kernel for a process that was killed.

use crate::device::{Core, Ticket};
use crate::error::{Error, Result};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A range that was released and is not free before it is wiped.
pub(crate) struct Wiping {
    pub(crate) range: Range<u64>,
    /// The commands that wipe it; none if they could not be submitted yet.
    pub(crate) tickets: Vec<Ticket>,
}

/// What of a card's memory is free.
pub(crate) struct CardMemory {
    state: Mutex<State>,
    /// Held by whoever allocates and uploads: uploads reach the card in the order of their addresses.
    pub(crate) uploads: Mutex<()>,
    /// Held while the wipes of released ranges are submitted: a range on that way is neither free nor kept back, and
    /// whoever collects what is kept back must not miss it. Never held while waiting for the card.
    pub(crate) releases: Mutex<()>,
    total: u64,
    granule: u64,
}

struct State {
    /// Counts resets of the card.
    epoch: u64,
    /// Free ranges, in order, none touching the next.
    free: Vec<Range<u64>>,
    wiping: Vec<Wiping>,
}

impl CardMemory {
    pub(crate) fn new(total: u64, granule: u64) -> Self {
        let state = State { epoch: 0, free: whole(total), wiping: vec![] };
        Self { state: Mutex::new(state), uploads: Mutex::default(), releases: Mutex::default(), total, granule }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn granule(&self) -> u64 {
        self.granule
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// The card was reset: everything is free and every buffer is void.
    pub(crate) fn restart(&self) {
        let mut state = self.lock();
        state.epoch += 1;
        state.free = whole(self.total);
        state.wiping.clear();
    }

    /// The lowest range of `bytes` that is free, and the epoch that it belongs to.
    pub(crate) fn take(&self, bytes: u64) -> Option<(Range<u64>, u64)> {
        let mut state = self.lock();
        let at = state.free.iter().position(|range| range.end - range.start >= bytes)?;
        let start = state.free[at].start;
        state.free[at].start += bytes;
        if state.free[at].is_empty() {
            state.free.remove(at);
        }
        Some((start..start + bytes, state.epoch))
    }

    /// Gives a range back that holds nothing.
    pub(crate) fn give(&self, range: Range<u64>, epoch: u64) {
        let mut state = self.lock();
        if state.epoch != epoch {
            return;
        }
        let at = state.free.partition_point(|free| free.start < range.start);
        state.free.insert(at, range);
        // Join with both neighbours.
        if at + 1 < state.free.len() && state.free[at].end == state.free[at + 1].start {
            state.free[at].end = state.free[at + 1].end;
            state.free.remove(at + 1);
        }
        if at > 0 && state.free[at - 1].end == state.free[at].start {
            state.free[at - 1].end = state.free[at].end;
            state.free.remove(at);
        }
    }

    /// Keeps a range back until it is wiped.
    pub(crate) fn keep(&self, wiping: Wiping, epoch: u64) {
        let mut state = self.lock();
        if state.epoch == epoch {
            state.wiping.push(wiping);
        }
    }

    /// Takes the ranges that are kept back although nothing wipes them yet, and the epoch that they belong to.
    pub(crate) fn take_unsubmitted(&self) -> (Vec<Range<u64>>, u64) {
        let mut state = self.lock();
        let unsubmitted = state.wiping.extract_if(.., |wiping| wiping.tickets.is_empty());
        let ranges = unsubmitted.map(|wiping| wiping.range).collect();
        (ranges, state.epoch)
    }

    /// Takes the ranges that are kept back, and the epoch that they belong to.
    pub(crate) fn take_wiping(&self) -> (Vec<Wiping>, u64) {
        let mut state = self.lock();
        (std::mem::take(&mut state.wiping), state.epoch)
    }

    #[cfg(test)]
    pub(crate) fn keeps_back(&self) -> bool {
        !self.lock().wiping.is_empty()
    }

    /// Bytes free, and bytes in all.
    pub(crate) fn room(&self) -> (u64, u64) {
        (self.lock().free.iter().map(|range| range.end - range.start).sum(), self.total)
    }
}

fn whole(total: u64) -> Vec<Range<u64>> {
    if total == 0 { vec![] } else { std::iter::once(0..total).collect() }
}

/// A range that holds something.
pub(crate) struct Resident {
    pub(crate) core: Weak<Core>,
    pub(crate) range: Range<u64>,
    pub(crate) epoch: u64,
}

impl Drop for Resident {
    fn drop(&mut self) {
        if let Some(core) = self.core.upgrade() {
            core.release_card_memory(self.range.clone(), self.epoch);
        }
    }
}

/// Memory on one card, filled by an upload. It is wiped once it and every slice of it is dropped and the commands that use
/// it have ended.
pub struct CardBuffer(pub(crate) Arc<Resident>);

impl std::fmt::Debug for CardBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CardBuffer").field(&self.0.range).finish()
    }
}

impl CardBuffer {
    /// Its bytes, whole granules.
    pub fn len(&self) -> u64 {
        self.0.range.end - self.0.range.start
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.0.range.is_empty()
    }

    /// A part of it, for a command; offset and length in bytes, checked when the command is submitted.
    ///
    /// # Errors
    /// [`Error::Argument`] if the part is not inside the buffer.
    pub fn slice(&self, offset: u64, bytes: u64) -> Result<CardSlice> {
        if offset.checked_add(bytes).is_none_or(|end| end > self.len()) {
            return Err(Error::Argument {
                device: self.0.core.upgrade().map_or_else(|| "a closed card".into(), |core| core.device_name()),
                what: "range of card memory",
                rule: format!("{bytes} bytes at offset {offset} are not within its {} bytes", self.len()),
            });
        }
        Ok(CardSlice { resident: Arc::clone(&self.0), offset, bytes })
    }

    /// The whole of it, for a command.
    pub fn whole(&self) -> CardSlice {
        CardSlice { resident: Arc::clone(&self.0), offset: 0, bytes: self.len() }
    }
}

/// A part of a [`CardBuffer`]; keeps the buffer.
#[derive(Clone)]
pub struct CardSlice {
    resident: Arc<Resident>,
    offset: u64,
    bytes: u64,
}

impl std::fmt::Debug for CardSlice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CardSlice").field("address", &self.address()).field("bytes", &self.bytes).finish()
    }
}

impl CardSlice {
    /// Bytes of the part.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Its address in card memory.
    pub fn address(&self) -> u64 {
        self.resident.range.start + self.offset
    }

    /// Whether it belongs to the card of `core`, and is as young as its last reset.
    pub(crate) fn check(&self, core: &Core) -> Result<()> {
        if !std::ptr::eq(self.resident.core.as_ptr(), core) {
            return Err(Error::Argument {
                device: core.device_name(),
                what: "card memory of a command",
                rule: "it was allocated on another device".into(),
            });
        }
        if self.resident.epoch != core.card_memory().epoch() {
            return Err(Error::CardMemoryLost { device: core.device_name() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_given_out_are_disjoint_and_come_back_whole(sizes in proptest::collection::vec(1u64..40, 1..30), order in any::<u64>()) {
            let memory = CardMemory::new(512, 1);
            let mut held: Vec<Range<u64>> = vec![];
            let mut seed = order;
            for size in sizes {
                match memory.take(size) {
                    Some((range, 0)) => {
                        prop_assert_eq!(range.end - range.start, size);
                        prop_assert!(range.end <= 512);
                        prop_assert!(held.iter().all(|other| other.end <= range.start || range.end <= other.start));
                        held.push(range);
                    }
                    other => prop_assert!(other.is_none()),
                }
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                if seed >> 62 == 0 && !held.is_empty() {
                    let at = (seed >> 8) as usize % held.len();
                    memory.give(held.swap_remove(at), 0);
                }
                let used: u64 = held.iter().map(|range| range.end - range.start).sum();
                prop_assert_eq!(memory.room(), (512 - used, 512));
            }
            for range in held {
                memory.give(range, 0);
            }
            prop_assert_eq!(memory.take(512), Some((0..512, 0)));
        }
    }

    #[test]
    fn restart_voids_what_was_given_out() {
        let memory = CardMemory::new(256, 64);
        let (range, epoch) = memory.take(128).unwrap();
        memory.restart();
        memory.give(range.clone(), epoch);
        assert_eq!(memory.take(256), Some((0..256, epoch + 1)), "a stale range is not given back twice");
        memory.keep(Wiping { range, tickets: vec![] }, epoch);
        assert!(memory.take_wiping().0.is_empty());
    }
}
