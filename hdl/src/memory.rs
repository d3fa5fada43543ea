//! The memory leaves.

use crate::block_ram::{ECP5_WORDS_MAX, Pins, ecp5};
use crate::prelude::*;
use std::fmt::Write as _;

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

/// Fewest words that are worth a block of their own; smaller memories are left to synthesis.
const BLOCK_WORDS_MIN: usize = 32;

/// A memory with one write and one read port and a register behind it, as block RAM has one.
///
/// latch(t + 1) = words[read_address(t)] while read_enable, read_data(t + 1) = latch(t) while output_enable; else unchanged
/// Range:     any word; a power of two of them
/// Handshake: enables
/// Latency:   2 cycles
/// Reset:     none; contents are arbitrary until written
/// Limits:    as [`Ram`]
#[derive(LogicBlock)]
pub struct RegisteredRam<T: Synth> {
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
    /// Show what was read.
    pub output_enable: Signal<In, Bit>,
    /// The word shown last.
    pub read_data: Signal<Out, T>,
    _words: Vec<T>,
    _latch: T,
}

impl<T: Synth> RegisteredRam<T> {
    /// Cycles from an address to its word.
    pub const LATENCY: usize = 2;

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
            output_enable: Default::default(),
            read_data: Default::default(),
            _words: vec![T::default(); depth],
            _latch: T::default(),
        }
    }
}

impl<T: Synth> Logic for RegisteredRam<T> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            let mask = self._words.len() - 1;
            if self.output_enable.val() {
                self.read_data.next = self._latch;
            }
            if self.read_enable.val() {
                self._latch = self._words[self.read_address.val().raw() as usize & mask];
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
        let words = self._words.len();
        let behaviour = format!(
            "\
(* no_rw_check *) reg [{w}:0] words [0:{last}];
reg [{w}:0] latch;
reg [{w}:0] shown;
always @(posedge clock) begin
  if (write_enable) words[write_address[{top}:0]] <= write_data;
  if (read_enable) latch <= words[read_address[{top}:0]];
  if (output_enable) shown <= latch;
end
",
            w = T::BITS - 1,
            last = words - 1,
            top = words.trailing_zeros() - 1,
        );
        let pins = Pins {
            write_enable: "write_enable",
            write_address: "write_address",
            write_data: "write_data",
            read_enable: "read_enable",
            read_address: "read_address",
            output_enable: "output_enable",
            read_data: "shown",
        };
        let blocks = (BLOCK_WORDS_MIN..=ECP5_WORDS_MAX).contains(&words);
        let blocks = blocks.then(|| format!("wire [{}:0] shown;\n{}", T::BITS - 1, ecp5(words, T::BITS, &pins, &[])));
        Verilog::Custom(with_blocks(blocks, &behaviour) + "assign read_data = shown;\n")
    }
}

/// A read-only memory with a register behind it.
///
/// data(t + 2) = contents[address(t)]
/// Range:     addresses below the number of words, which is a power of two
/// Handshake: none
/// Latency:   2 cycles; one word a cycle
/// Reset:     none
/// Limits:    contents are fixed when the text is written
#[derive(LogicBlock)]
pub struct RegisteredRom<const ADDRESS: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Word wanted.
    pub address: Signal<In, U<ADDRESS>>,
    /// Word, two cycles later.
    pub data: Signal<Out, U<64>>,
    _words: Vec<u64>,
    _latch: u64,
}

impl<const ADDRESS: usize> RegisteredRom<ADDRESS> {
    /// Cycles from an address to its word.
    pub const LATENCY: usize = 2;

    /// A memory of these words; the address bits above log2 of their number are ignored.
    ///
    /// # Panics
    /// If the number of words is not a power of two, from 2 on, of at most `ADDRESS` bits.
    pub fn new(words: Vec<u64>) -> Self {
        assert!(
            words.len().is_power_of_two() && (2..=1 << ADDRESS).contains(&words.len()),
            "{} words: a ROM with {ADDRESS} address bits holds a power of two of words",
            words.len()
        );
        Self { clock: Signal::default(), address: Signal::default(), data: Signal::default(), _words: words, _latch: 0 }
    }
}

impl<const ADDRESS: usize> Logic for RegisteredRom<ADDRESS> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            self.data.next = self._latch.into();
            self._latch = self._words[self.address.val().raw() as usize & (self._words.len() - 1)];
        }
    }
    fn connect(&mut self) {
        self.data.connect();
    }
    fn hdl(&self) -> Verilog {
        let words = self._words.len();
        let top = words.trailing_zeros() - 1;
        let mut behaviour = format!("reg [63:0] words [0:{}];\ninitial begin\n", words - 1);
        for (i, word) in self._words.iter().enumerate() {
            let _ = writeln!(behaviour, "  words[{i}] = 64'h{word:x};");
        }
        let _ = write!(
            behaviour,
            "\
end
reg [63:0] latch;
reg [63:0] shown;
always @(posedge clock) begin
  latch <= words[address[{top}:0]];
  shown <= latch;
end
"
        );
        let pins = Pins {
            write_enable: "1'b0",
            write_address: "address",
            write_data: "64'd0",
            read_enable: "1'b1",
            read_address: "address",
            output_enable: "1'b1",
            read_data: "shown",
        };
        let blocks = (BLOCK_WORDS_MIN..=1024).contains(&words);
        let blocks = blocks.then(|| format!("wire [63:0] shown;\n{}", ecp5(words, 64, &pins, &self._words)));
        Verilog::Custom(with_blocks(blocks, &behaviour) + "assign data = shown;\n")
    }
}

/// The text of a memory, as blocks of the ECP5 if there are any.
fn with_blocks(blocks: Option<String>, behaviour: &str) -> String {
    match blocks {
        Some(blocks) => format!("`ifdef GLOVEBOX_ECP5\n{blocks}`else\n{behaviour}`endif\n"),
        None => behaviour.to_string(),
    }
}
