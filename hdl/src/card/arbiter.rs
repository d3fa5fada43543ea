//! Round robin among ring pairs.
//!
//! grant = the lowest number at or above `first` whose request is set, or else the lowest one
//! Range:     numbers 0 to 15; up to 16 requests
//! Handshake: none; `any` says that `grant` means something
//! Latency:   0, combinational
//! Reset:     none
//! Limits:    without a request `grant` is 0

use crate::prelude::*;
use std::fmt::Write as _;

/// The arbiter.
#[derive(LogicBlock)]
pub struct RoundRobin<const R: usize> {
    /// Who asks.
    pub request: [Signal<In, Bit>; R],
    /// Who comes first.
    pub first: Signal<In, U<4>>,
    /// Who is served.
    pub grant: Signal<Out, U<4>>,
    /// Somebody asks.
    pub any: Signal<Out, Bit>,
}

impl<const R: usize> Default for RoundRobin<R> {
    /// # Panics
    /// If `R` is 0 or above 16.
    fn default() -> Self {
        assert!((1..=16).contains(&R), "{R} requests: 1 to 16");
        Self {
            request: std::array::from_fn(|_| Default::default()),
            first: Default::default(),
            grant: Default::default(),
            any: Default::default(),
        }
    }
}

impl<const R: usize> Logic for RoundRobin<R> {
    fn update(&mut self) {
        let first = self.first.val().raw() as usize;
        let chosen = (first..R).chain(0..R).find(|&i| self.request[i].val());
        self.grant.next = (chosen.unwrap_or(0) as u64).into();
        self.any.next = chosen.is_some();
    }
    fn connect(&mut self) {
        self.grant.connect();
        self.any.connect();
    }
    fn hdl(&self) -> Verilog {
        let list: Vec<String> = (0..R).map(|i| format!("request_{i}")).collect();
        let mut text = format!("assign any = {};\nalways @* begin\n  grant = 4'd0;\n", list.join(" | "));
        for i in (0..R).rev() {
            let _ = writeln!(text, "  if (request_{i}) grant = 4'd{i};");
        }
        for i in (0..R).rev() {
            let _ = writeln!(text, "  if (request_{i} & (first <= 4'd{i})) grant = 4'd{i};");
        }
        text.push_str("end\n");
        Verilog::Custom(text)
    }
}
