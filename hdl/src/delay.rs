//! Leaves with memory: delay lines and read-only memories.

use crate::prelude::*;
use crate::verilog::KEPT_MARK;
use std::fmt::Write as _;

/// Deepest delay written as a shift register; deeper ones become a memory with a circular address.
pub const SHIFT_REGISTER_MAX: usize = 16;

/// A fixed delay.
///
/// q(t) = d(t - depth)
/// Range:     any word
/// Handshake: none, free running
/// Latency:   `depth` cycles, at least 1
/// Reset:     none; `depth` cycles of arbitrary values come out first
/// Limits:    one clock; the memory form reads and writes different addresses in a cycle, so that it maps to plain
///            two-port block memory, whose slow output goes straight to a register
///
/// Balance pipelines with `DelayLine::new(X::LATENCY)`, never by counted flops.
#[derive(LogicBlock)]
pub struct DelayLine<T: Synth> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Word in.
    pub d: Signal<In, T>,
    /// Word out.
    pub q: Signal<Out, T>,
    _line: Vec<T>,
}

impl<T: Synth> DelayLine<T> {
    /// A delay of `depth` cycles.
    ///
    /// # Panics
    /// If `depth` is 0: connect the signals instead.
    pub fn new(depth: usize) -> Self {
        assert!(depth >= 1, "delay of {depth} cycles: a delay line needs at least one");
        Self { clock: Signal::default(), d: Signal::default(), q: Signal::default(), _line: vec![T::default(); depth] }
    }
}

impl<T: Synth> Logic for DelayLine<T> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            self._line.rotate_right(1);
            self._line[0] = self.d.val();
            self.q.next = self._line[self._line.len() - 1];
        }
    }
    fn connect(&mut self) {
        self.q.connect();
    }
    fn hdl(&self) -> Verilog {
        let (depth, width) = (self._line.len(), T::BITS);
        let mut text = String::new();
        if depth == 1 {
            text.push_str("always @(posedge clock) q <= d;\n");
        } else if depth <= SHIFT_REGISTER_MAX {
            for i in 1..depth {
                let _ = writeln!(text, "reg [{}:0] s{i}_d;", width - 1);
            }
            text.push_str("always @(posedge clock) begin\n  s1_d <= d;\n");
            for i in 2..depth {
                let _ = writeln!(text, "  s{i}_d <= s{}_d;", i - 1);
            }
            let _ = write!(text, "  q <= s{}_d;\nend\n", depth - 1);
        } else {
            // The memory holds all but the last cycle, which is its output register.
            let held = depth - 1;
            let bits = usize::BITS as usize - (held - 1).leading_zeros() as usize;
            let _ = write!(
                text,
                "\
// {depth} cycles: write at `head`, read the oldest word just ahead of it, and a register behind the memory.
(* no_rw_check *) reg [{w}:0] mem [0:{last}];
reg [{w}:0] oldest;
reg [{b}:0] head;
reg [{b}:0] tail;
reg wrap;
initial head = {bits}'d0;
initial tail = {bits}'d1;
initial wrap = 1'd0;
always @(posedge clock) begin
  head <= tail;
  tail <= wrap ? {bits}'d0 : (tail + {bits}'d1);
  wrap <= ~wrap & (tail >= {bits}'d{before_last});
  mem[head] <= d;
  oldest <= mem[tail];
  q <= oldest;
end
",
                last = held - 1,
                before_last = held - 2,
                w = width - 1,
                b = bits - 1,
            );
        }
        Verilog::Custom(text)
    }
}

/// A read-only memory with a registered output.
///
/// data(t + 1) = contents[address(t)]
/// Range:     addresses below the number of words, which is a power of two
/// Handshake: none
/// Latency:   1 cycle; one word a cycle
/// Reset:     none
/// Limits:    contents are fixed when the text is written
///
/// [`Rom::replica`] stays apart from memories of equal contents, as a [`Replica`] does from equal registers.
#[derive(LogicBlock)]
pub struct Rom<const WIDTH: usize, const ADDRESS: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Word wanted.
    pub address: Signal<In, U<ADDRESS>>,
    /// Word, one cycle later.
    pub data: Signal<Out, U<WIDTH>>,
    _words: Vec<u64>,
    _kept: bool,
}

impl<const WIDTH: usize, const ADDRESS: usize> Rom<WIDTH, ADDRESS> {
    /// A memory of these words; the address bits above log2 of their number are ignored.
    ///
    /// # Panics
    /// If the number of words is not a power of two of at most `ADDRESS` bits.
    pub fn new(words: Vec<u64>) -> Self {
        assert!(
            words.len().is_power_of_two() && words.len() <= 1 << ADDRESS && WIDTH <= 64,
            "{} words of {WIDTH} bits: a ROM with {ADDRESS} address bits holds a power of two of words up to 64 bits",
            words.len()
        );
        Self {
            clock: Signal::default(),
            address: Signal::default(),
            data: Signal::default(),
            _words: words,
            _kept: false,
        }
    }

    /// A memory of these words that synthesis does not merge with others.
    ///
    /// # Panics
    /// As [`Rom::new`].
    pub fn replica(words: Vec<u64>) -> Self {
        Self { _kept: true, ..Self::new(words) }
    }
}

impl<const WIDTH: usize, const ADDRESS: usize> Logic for Rom<WIDTH, ADDRESS> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            let at = self.address.val().raw() as usize & (self._words.len() - 1);
            self.data.next = self._words[at].into();
        }
    }
    fn connect(&mut self) {
        self.data.connect();
    }
    fn hdl(&self) -> Verilog {
        let bits = self._words.len().trailing_zeros() as usize;
        let mut text = if self._kept { KEPT_MARK.to_string() } else { String::new() };
        if bits == 0 {
            let _ = writeln!(text, "always @(posedge clock) data <= {WIDTH}'h{:x};", self._words[0]);
            return Verilog::Custom(text);
        }
        let _ = writeln!(text, "reg [{}:0] words [0:{}];\ninitial begin", WIDTH - 1, self._words.len() - 1);
        for (i, word) in self._words.iter().enumerate() {
            let _ = writeln!(text, "  words[{i}] = {WIDTH}'h{word:x};");
        }
        let select = if bits == ADDRESS { "address".to_string() } else { format!("address[{}:0]", bits - 1) };
        let _ = write!(text, "end\nalways @(posedge clock) data <= words[{select}];\n");
        Verilog::Custom(text)
    }
}

/// One of several words, by number.
///
/// q = d[select]
/// Range:     any word; numbers below the count of words
/// Handshake: none
/// Latency:   0, combinational
/// Reset:     none
/// Limits:    at most 32 words; a number past the last gives any of them (unchecked)
#[derive(LogicBlock)]
pub struct Choose<T: Synth> {
    /// Number of the word wanted.
    pub select: Signal<In, U<5>>,
    /// Words.
    pub d: Vec<Signal<In, T>>,
    /// The chosen one.
    pub q: Signal<Out, T>,
}

impl<T: Synth> Choose<T> {
    /// A choice among `words` words.
    ///
    /// # Panics
    /// If `words` is 0 or above 32.
    pub fn new(words: usize) -> Self {
        assert!((1..=32).contains(&words), "{words} words to choose from: Choose has 1 to 32");
        Self { select: Signal::default(), d: (0..words).map(|_| Signal::default()).collect(), q: Signal::default() }
    }
}

impl<T: Synth> Logic for Choose<T> {
    fn update(&mut self) {
        let at = (self.select.val().raw() as usize).min(self.d.len() - 1);
        self.q.next = self.d[at].val();
    }
    fn connect(&mut self) {
        self.q.connect();
    }
    fn hdl(&self) -> Verilog {
        // A tree of two-way choices, one bit of the number a level: the least depth, and no decoder.
        let mut text = String::new();
        let mut words: Vec<String> = (0..self.d.len()).map(|i| format!("d_{i}")).collect();
        let mut level = 0;
        while words.len() > 1 {
            let pairs = words.chunks(2).enumerate().map(|(i, pair)| match pair {
                [even, odd] => {
                    let name = format!("level_{level}_{i}");
                    let _ = writeln!(text, "wire [{}:0] {name} = select[{level}] ? {odd} : {even};", T::BITS - 1);
                    name
                }
                _ => pair.concat(),
            });
            words = pairs.collect();
            level += 1;
        }
        let _ = writeln!(text, "assign q = {};", words[0]);
        if level < 5 {
            let _ = writeln!(text, "wire unused = |select[4:{level}];");
        }
        Verilog::Custom(text)
    }
}
