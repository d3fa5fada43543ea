//! A register that stays apart from its like.

use crate::prelude::*;
use crate::verilog::KEPT_MARK;

/// `q` follows `d` one clock later, as [`Reg`]; but synthesis keeps every replica.
///
/// Range:     any word
/// Handshake: none
/// Latency:   1 cycle
/// Reset:     none and no initial value
/// Limits:    one clock
///
/// All lanes of a row are told the same: which half of a block they see, which exponent they take. Synthesis makes one
/// register of equal registers, and its net then reaches thousands of cells all over a chip: wires of 6 ns. A replica a
/// lane or a limb sits among its own few readers. Plain registers are merged whatever `keep` attribute their signals
/// carry; a module that is not flattened is not.
#[derive(LogicBlock)]
pub struct Replica<T: Synth> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Next value.
    pub d: Signal<In, T>,
    /// Value.
    pub q: Signal<Out, T>,
}

impl<T: Synth> Default for Replica<T> {
    fn default() -> Self {
        Self { clock: Signal::default(), d: Signal::default(), q: Signal::default() }
    }
}

impl<T: Synth> Logic for Replica<T> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            self.q.next = self.d.val();
        }
    }
    fn connect(&mut self) {
        self.q.connect();
    }
    fn hdl(&self) -> Verilog {
        Verilog::Custom(format!("{KEPT_MARK}always @(posedge clock) q <= d;\n"))
    }
}
