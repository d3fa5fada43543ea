//! Beats side by side as one wide beat.
//!
//! q = words of d(0), words of d(1), ..
//! Range:     `P` beats of 8 words; `W = 8 P`
//! Handshake: none; wiring
//! Latency:   0
//! Reset:     none
//! Limits:    none

use crate::prelude::*;
use crate::word::Lanes;

/// The wires.
#[derive(LogicBlock)]
pub struct Gather<const P: usize, const W: usize> {
    /// Beats.
    pub d: [Signal<In, Lanes<8>>; P],
    /// Beat i in words 8 i and up.
    pub q: Signal<Out, Lanes<W>>,
}

impl<const P: usize, const W: usize> Default for Gather<P, W> {
    /// # Panics
    /// If `W` is not 8 `P`.
    fn default() -> Self {
        assert!(P > 0 && W == 8 * P, "{P} beats of 8 words are not {W} words");
        Self { d: std::array::from_fn(|_| Default::default()), q: Default::default() }
    }
}

impl<const P: usize, const W: usize> Logic for Gather<P, W> {
    fn update(&mut self) {
        self.q.next = Lanes::new(std::array::from_fn(|i| self.d[i / 8].val().get_bits::<64>(i % 8 * 64).raw() as u64));
    }
    fn connect(&mut self) {
        self.q.connect();
    }
    fn hdl(&self) -> Verilog {
        let beats: Vec<String> = (0..P).rev().map(|i| format!("  d_{i}")).collect();
        Verilog::Custom(format!("assign q = {{\n{}\n}};\n", beats.join(",\n")))
    }
}
