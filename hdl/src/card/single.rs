//! One word as a beat of one word.
//!
//! q = d
//! Range:     any word
//! Handshake: none; wiring
//! Latency:   0
//! Reset:     none
//! Limits:    none

use crate::prelude::*;
use crate::word::Lanes;

/// The wire.
#[derive(LogicBlock, Default)]
pub struct Single {
    /// The word.
    pub d: Signal<In, U<64>>,
    /// The beat.
    pub q: Signal<Out, Lanes<1>>,
}

impl Logic for Single {
    fn update(&mut self) {
        self.q.next = Lanes::new([self.d.val().raw() as u64]);
    }
    fn connect(&mut self) {
        self.q.connect();
    }
    fn hdl(&self) -> Verilog {
        Verilog::Custom("assign q = d;\n".into())
    }
}
