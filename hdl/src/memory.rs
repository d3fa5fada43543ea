//! The memory leaf.

use crate::prelude::*;

/// Bits of a memory's address ports.
pub const ADDRESS: usize = 16;

/// A memory with one write and one read port.
///
/// read_data(t + 1) = words[read_address(t)] while read_enable, else unchanged
/// Range:     any word; a power of two of them
/// Handshake: enables
/// Latency:   1 cycle
/// Reset:     none; contents are arbitrary until written
/// Limits:    a word written is read from the next cycle on; reading an address in the cycle of its write is not
///            defined
#[derive(LogicBlock)]
pub struct Ram<T: Synth> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Write this cycle.
    pub write_enable: Signal<In, Bit>,
    /// Where; bits above the depth are ignored.
    pub write_address: Signal<In, U<ADDRESS>>,
    /// What.
    pub write_data: Signal<In, T>,
    /// Read this cycle.
    pub read_enable: Signal<In, Bit>,
    /// From where; bits above the depth are ignored.
    pub read_address: Signal<In, U<ADDRESS>>,
    /// The word read last.
    pub read_data: Signal<Out, T>,
    _words: Vec<T>,
}

impl<T: Synth> Ram<T> {
    /// A memory of `depth` words.
    ///
    /// # Panics
    /// If `depth` is no power of two from 2 to 2^16.
    pub fn new(depth: usize) -> Self {
        assert!(
            depth.is_power_of_two() && (2..=1 << ADDRESS).contains(&depth),
            "a memory of {depth} words: a power of two from 2 to 65536"
        );
        Self {
            clock: Default::default(),
            write_enable: Default::default(),
            write_address: Default::default(),
            write_data: Default::default(),
            read_enable: Default::default(),
            read_address: Default::default(),
            read_data: Default::default(),
            _words: vec![T::default(); depth],
        }
    }
}

impl<T: Synth> Logic for Ram<T> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            let mask = self._words.len() - 1;
            if self.read_enable.val() {
                self.read_data.next = self._words[self.read_address.val().raw() as usize & mask];
            }
            if self.write_enable.val() {
                self._words[self.write_address.val().raw() as usize & mask] = self.write_data.val();
            }
        }
    }
    fn connect(&mut self) {
        self.read_data.connect();
    }
    fn hdl(&self) -> Verilog {
        let top = self._words.len().trailing_zeros() - 1;
        Verilog::Custom(format!(
            "\
(* no_rw_check *) reg [{w}:0] words [0:{last}];
always @(posedge clock) begin
  if (write_enable) words[write_address[{top}:0]] <= write_data;
  if (read_enable) read_data <= words[read_address[{top}:0]];
end
",
            w = T::BITS - 1,
            last = self._words.len() - 1,
        ))
    }
}
