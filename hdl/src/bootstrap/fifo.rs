//! A first-in first-out buffer of words behind a pipeline that cannot stall.
//!
//! Range:     any words
//! Handshake: `push` without back-pressure; `m` ready/valid, data stable while stalled. `room` says that `RESERVE` more
//!            words fit beside those that are in: whoever starts a word that will be pushed up to `RESERVE` cycles later
//!            checks it first
//! Latency:   2 cycles
//! Reset:     `reset` empties it
//! Limits:    a push without room overwrites (asserted by tests, not in hardware)

use crate::memory::{ADDRESS, Ram};
use crate::prelude::*;

/// Words held.
pub const WORDS: usize = 64;
/// Words that may be under way.
pub const RESERVE: usize = 24;

/// The buffer.
#[derive(LogicBlock)]
pub struct WordFifo {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Empties it.
    pub reset: Signal<In, Bit>,
    /// A word comes.
    pub push: Signal<In, Bit>,
    /// The word.
    pub data: Signal<In, U<64>>,
    /// Words may be started.
    pub room: Signal<Out, Bit>,
    /// Nothing is held.
    pub empty: Signal<Out, Bit>,
    /// The oldest word.
    pub m_data: Signal<Out, U<64>>,
    /// It is valid.
    pub m_valid: Signal<Out, Bit>,
    /// It is taken.
    pub m_ready: Signal<In, Bit>,
    memory: Ram<U<64>>,
    write: Reg<U<6>>,
    read: Reg<U<6>>,
    held: Reg<U<7>>,
    valid: Reg<Bit>,
    fetch: Signal<Local, Bit>,
    limit: Constant<U<7>>,
}

impl Default for WordFifo {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            push: Default::default(),
            data: Default::default(),
            room: Default::default(),
            empty: Default::default(),
            m_data: Default::default(),
            m_valid: Default::default(),
            m_ready: Default::default(),
            memory: Ram::new(WORDS),
            write: Default::default(),
            read: Default::default(),
            held: Default::default(),
            valid: Default::default(),
            fetch: Default::default(),
            limit: Constant::new((WORDS as u64 - RESERVE as u64).into()),
        }
    }
}

impl Logic for WordFifo {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, memory);
        dff_setup!(self, clock, write, read, held, valid);
        self.memory.write_enable.next = self.push.val();
        self.memory.write_address.next = self.write.q.val().to_bits::<ADDRESS>();
        self.memory.write_data.next = self.data.val();
        self.fetch.next = self.held.q.val().any() & (!self.valid.q.val() | self.m_ready.val());
        self.memory.read_enable.next = self.fetch.val();
        self.memory.read_address.next = self.read.q.val().to_bits::<ADDRESS>();
        if self.push.val() {
            self.write.d.next = self.write.q.val() + 1u64;
        }
        if self.fetch.val() {
            self.read.d.next = self.read.q.val() + 1u64;
            self.valid.d.next = true;
        } else if self.m_ready.val() {
            self.valid.d.next = false;
        }
        if self.push.val() & !self.fetch.val() {
            self.held.d.next = self.held.q.val() + 1u64;
        }
        if !self.push.val() & self.fetch.val() {
            self.held.d.next = self.held.q.val() - 1u64;
        }
        if self.reset.val() {
            self.write.d.next = 0u64.into();
            self.read.d.next = 0u64.into();
            self.held.d.next = 0u64.into();
            self.valid.d.next = false;
        }
        self.room.next = self.held.q.val() < self.limit.val();
        self.empty.next = !self.held.q.val().any() & !self.valid.q.val();
        self.m_data.next = self.memory.read_data.val();
        self.m_valid.next = self.valid.q.val();
    }
}
