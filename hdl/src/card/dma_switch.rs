//! Who drives the DMA engines.
//!
//! The client whose number is `owner` has both DMA engines; the streams of the others stand still
//! Range:     `C` clients, 1 to 16
//! Handshake: wiring: starts, stops and streams pass through; `owner` moves only while nothing is under way
//! Latency:   0, combinational
//! Reset:     none
//! Limits:    a client that does not own the engines must not start them
//!
//! `done`, `fault`, `quiet` and stream data go to all clients alike and do not pass through here.

use super::burst::BEATS;
use crate::prelude::*;
use crate::word::Lanes;

/// The switch.
#[derive(LogicBlock)]
pub struct DmaSwitch<const C: usize> {
    /// Number of the client that owns the engines.
    pub owner: Signal<In, U<4>>,
    /// Begin a read.
    pub read_start_in: [Signal<In, Bit>; C],
    /// Its first byte.
    pub read_address_in: [Signal<In, U<64>>; C],
    /// Its beats.
    pub read_beats_in: [Signal<In, U<BEATS>>; C],
    /// Begin a write.
    pub write_start_in: [Signal<In, Bit>; C],
    /// Its first byte.
    pub write_address_in: [Signal<In, U<64>>; C],
    /// Its beats.
    pub write_beats_in: [Signal<In, U<BEATS>>; C],
    /// Bytes of its last beat.
    pub strobe_in: [Signal<In, U<64>>; C],
    /// Hold further bursts back.
    pub stop_in: [Signal<In, Bit>; C],
    /// Drop what a refused transfer left behind.
    pub clear_in: [Signal<In, Bit>; C],
    /// The client takes a beat read.
    pub read_ready_in: [Signal<In, Bit>; C],
    /// A beat is offered to the client.
    pub read_valid_out: [Signal<Out, Bit>; C],
    /// The client's beat to write.
    pub data_in: [Signal<In, Lanes<8>>; C],
    /// The client offers a beat.
    pub write_valid_in: [Signal<In, Bit>; C],
    /// The client's beat is taken.
    pub write_ready_out: [Signal<Out, Bit>; C],
    /// To the read engine.
    pub read_start: Signal<Out, Bit>,
    /// To the read engine.
    pub read_address: Signal<Out, U<64>>,
    /// To the read engine.
    pub read_beats: Signal<Out, U<BEATS>>,
    /// To the write engine.
    pub write_start: Signal<Out, Bit>,
    /// To the write engine.
    pub write_address: Signal<Out, U<64>>,
    /// To the write engine.
    pub write_beats: Signal<Out, U<BEATS>>,
    /// To the write engine.
    pub strobe: Signal<Out, U<64>>,
    /// To both.
    pub stop: Signal<Out, Bit>,
    /// To both.
    pub clear: Signal<Out, Bit>,
    /// From the read engine.
    pub read_valid: Signal<In, Bit>,
    /// To the read engine.
    pub read_ready: Signal<Out, Bit>,
    /// To the write engine.
    pub data: Signal<Out, Lanes<8>>,
    /// To the write engine.
    pub write_valid: Signal<Out, Bit>,
    /// From the write engine.
    pub write_ready: Signal<In, Bit>,
    number: [Constant<U<4>>; C],
}

impl<const C: usize> Default for DmaSwitch<C> {
    /// # Panics
    /// If there is no client or more than 16.
    fn default() -> Self {
        assert!((1..=16).contains(&C), "{C} clients: 1 to 16");
        Self {
            owner: Default::default(),
            read_start_in: std::array::from_fn(|_| Default::default()),
            read_address_in: std::array::from_fn(|_| Default::default()),
            read_beats_in: std::array::from_fn(|_| Default::default()),
            write_start_in: std::array::from_fn(|_| Default::default()),
            write_address_in: std::array::from_fn(|_| Default::default()),
            write_beats_in: std::array::from_fn(|_| Default::default()),
            strobe_in: std::array::from_fn(|_| Default::default()),
            stop_in: std::array::from_fn(|_| Default::default()),
            clear_in: std::array::from_fn(|_| Default::default()),
            read_ready_in: std::array::from_fn(|_| Default::default()),
            read_valid_out: std::array::from_fn(|_| Default::default()),
            data_in: std::array::from_fn(|_| Default::default()),
            write_valid_in: std::array::from_fn(|_| Default::default()),
            write_ready_out: std::array::from_fn(|_| Default::default()),
            read_start: Default::default(),
            read_address: Default::default(),
            read_beats: Default::default(),
            write_start: Default::default(),
            write_address: Default::default(),
            write_beats: Default::default(),
            strobe: Default::default(),
            stop: Default::default(),
            clear: Default::default(),
            read_valid: Default::default(),
            read_ready: Default::default(),
            data: Default::default(),
            write_valid: Default::default(),
            write_ready: Default::default(),
            number: std::array::from_fn(|i| Constant::new((i as u64).into())),
        }
    }
}

impl<const C: usize> Logic for DmaSwitch<C> {
    #[hdl_gen]
    fn update(&mut self) {
        self.read_start.next = false;
        self.read_address.next = self.read_address_in[0].val();
        self.read_beats.next = self.read_beats_in[0].val();
        self.write_start.next = false;
        self.write_address.next = self.write_address_in[0].val();
        self.write_beats.next = self.write_beats_in[0].val();
        self.strobe.next = self.strobe_in[0].val();
        self.stop.next = false;
        self.clear.next = false;
        self.read_ready.next = false;
        self.data.next = self.data_in[0].val();
        self.write_valid.next = false;
        for i in 0..C {
            self.read_valid_out[i].next = false;
            self.write_ready_out[i].next = false;
            if self.owner.val() == self.number[i].val() {
                self.read_start.next = self.read_start_in[i].val();
                self.read_address.next = self.read_address_in[i].val();
                self.read_beats.next = self.read_beats_in[i].val();
                self.write_start.next = self.write_start_in[i].val();
                self.write_address.next = self.write_address_in[i].val();
                self.write_beats.next = self.write_beats_in[i].val();
                self.strobe.next = self.strobe_in[i].val();
                self.stop.next = self.stop_in[i].val();
                self.clear.next = self.clear_in[i].val();
                self.read_ready.next = self.read_ready_in[i].val();
                self.read_valid_out[i].next = self.read_valid.val();
                self.data.next = self.data_in[i].val();
                self.write_valid.next = self.write_valid_in[i].val();
                self.write_ready_out[i].next = self.write_ready.val();
            }
        }
    }
}
