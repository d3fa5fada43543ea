//! A queue of words in block memory.
//!
//! Words leave in the order in which they came.
//! Range:     any word; a power of two of them
//! Handshake: `push` takes a word without asking: whoever pushes has counted the room; valid/ready at the output, whose
//!            valid and data come from registers and stay until taken
//! Latency:   2 cycles from push to valid; one word a cycle
//! Reset:     `reset` empties it; synchronous, active high; data has none
//! Limits:    holds `depth` words in memory and one in the output register. In simulation an assertion stops at a push
//!            into a full memory

use crate::prelude::*;
use std::collections::VecDeque;

/// The queue.
#[derive(LogicBlock)]
pub struct Fifo<T: Synth> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Empties the queue.
    pub reset: Signal<In, Bit>,
    /// Takes `d`.
    pub push: Signal<In, Bit>,
    /// Word in.
    pub d: Signal<In, T>,
    /// Oldest word.
    pub q: Signal<Out, T>,
    /// `q` is a word.
    pub valid: Signal<Out, Bit>,
    /// `q` is taken.
    pub ready: Signal<In, Bit>,
    _depth: usize,
    _words: VecDeque<T>,
}

impl<T: Synth> Fifo<T> {
    /// A queue of `depth` words.
    ///
    /// # Panics
    /// If `depth` is no power of two from 2 to 4096.
    pub fn new(depth: usize) -> Self {
        assert!(
            depth.is_power_of_two() && (2..=4096).contains(&depth),
            "a queue of {depth} words: a power of two from 2 to 4096"
        );
        Self {
            clock: Default::default(),
            reset: Default::default(),
            push: Default::default(),
            d: Default::default(),
            q: Default::default(),
            valid: Default::default(),
            ready: Default::default(),
            _depth: depth,
            _words: VecDeque::new(),
        }
    }
}

impl<T: Synth> Logic for Fifo<T> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            if self.reset.val() {
                self._words.clear();
                self.valid.next = false;
                return;
            }
            if !self.valid.val() | self.ready.val() {
                self.valid.next = !self._words.is_empty();
                if let Some(word) = self._words.pop_front() {
                    self.q.next = word;
                }
            }
            if self.push.val() {
                self._words.push_back(self.d.val());
            }
        }
    }
    fn connect(&mut self) {
        self.q.connect();
        self.valid.connect();
    }
    fn hdl(&self) -> Verilog {
        let bits = self._depth.trailing_zeros();
        Verilog::Custom(format!(
            "\
(* no_rw_check *) reg [{w}:0] words [0:{last}];
reg [{bits}:0] head;
reg [{bits}:0] tail;
wire load = (head != tail) & (~valid | ready);
always @(posedge clock) begin
  if (push) words[head[{top}:0]] <= d;
  if (load) q <= words[tail[{top}:0]];
  head <= head + {{{bits}'d0, push}};
  tail <= tail + {{{bits}'d0, load}};
  valid <= load | (valid & ~ready);
  if (reset) begin
    head <= {count}'d0;
    tail <= {count}'d0;
    valid <= 1'b0;
  end
end
`ifdef VERILATOR
wire [{bits}:0] held = head - tail;
always @(posedge clock)
  if (!reset && push && held[{bits}]) $error(\"queue overflow\");
`endif
",
            w = T::BITS - 1,
            last = self._depth - 1,
            top = bits - 1,
            count = bits + 1,
        ))
    }
}
