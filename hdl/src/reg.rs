//! A register.

use crate::prelude::*;

/// `q` follows `d` one clock later.
///
/// Range:     any word
/// Handshake: none
/// Latency:   1 cycle
/// Reset:     none and no initial value: whoever needs one writes it into `d`, so that simulation from random state
///            proves the reset
/// Limits:    one clock
///
/// Drop-in for rust-hdl's `DFF` (`dff_setup!` takes it); the generator writes it as a `reg` of the enclosing module.
#[derive(LogicBlock)]
pub struct Reg<T: Synth> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Next value.
    pub d: Signal<In, T>,
    /// Value.
    pub q: Signal<Out, T>,
}

impl<T: Synth> Default for Reg<T> {
    fn default() -> Self {
        Self { clock: Signal::default(), d: Signal::default(), q: Signal::default() }
    }
}

impl<T: Synth> Logic for Reg<T> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            self.q.next = self.d.val();
        }
    }
    fn connect(&mut self) {
        self.q.connect();
    }
    fn hdl(&self) -> Verilog {
        Verilog::Custom(crate::verilog::REGISTER_MARK.to_string())
    }
}
