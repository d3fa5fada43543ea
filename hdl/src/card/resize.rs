//! A stream of `A` words a beat into one of `B` words a beat.
//!
//! The words keep their order: beat i of the wider side is beats k i .. k i + k of the narrower one, first word lowest.
//! Range:     any word; one of `A`, `B` is a power-of-two multiple of the other
//! Handshake: ready/valid; `m_tvalid` and `m_tdata` come from registers and stay until taken; `m_tready` passes through to
//!            `s_tready` in one gate
//! Latency:   1 cycle from the last beat that a beat needs; the wider side moves a beat every k cycles at best, the
//!            narrower one a beat a cycle
//! Reset:     `reset` drops what is held; synchronous, active high; data has none
//! Limits:    a group of narrow beats must be whole before its wide beat comes out
//!
//! Simulation asserts that an offered beat neither changes nor goes away before it is taken.

use crate::ntt::stream::{StreamSink, StreamSource};
use crate::prelude::*;
use crate::word::Lanes;

/// The converter.
#[derive(LogicBlock)]
pub struct Resize<const A: usize, const B: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Drops what is held.
    pub reset: Signal<In, Bit>,
    /// Beats of `A` words.
    pub s: StreamSink<A>,
    /// Beats of `B` words.
    pub m: StreamSource<B>,
    _words: Vec<u64>,
}

impl<const A: usize, const B: usize> Default for Resize<A, B> {
    /// # Panics
    /// If neither number of words is a power-of-two multiple of the other.
    fn default() -> Self {
        let (low, high) = (A.min(B), A.max(B));
        assert!(
            low > 0 && high % low == 0 && (high / low).is_power_of_two(),
            "beats of {A} words into beats of {B}: one must be a power-of-two multiple of the other"
        );
        Self {
            clock: Default::default(),
            reset: Default::default(),
            s: Default::default(),
            m: Default::default(),
            _words: vec![],
        }
    }
}

impl<const A: usize, const B: usize> Logic for Resize<A, B> {
    fn update(&mut self) {
        let taken = self._words.len() >= B && self.m.tready.val();
        let after = if A > B { B } else { 1 };
        self.s.tready.next = self._words.len() < after || (taken && (A <= B || self._words.len() == B));
        if self.clock.pos_edge() {
            let given = self.s.tvalid.val() && self.s.tready.val();
            if taken {
                self._words.drain(..B);
            }
            if given {
                self._words.extend((0..A).map(|i| self.s.tdata.val().get_bits::<64>(64 * i).raw() as u64));
            }
            if self.reset.val() {
                self._words.clear();
            }
            self.m.tvalid.next = self._words.len() >= B;
            let word = |i| self._words.get(i).copied().unwrap_or_default();
            self.m.tdata.next = Lanes::new(std::array::from_fn(word));
        }
    }
    fn connect(&mut self) {
        self.s.tready.connect();
        self.m.tdata.connect();
        self.m.tvalid.connect();
    }
    fn hdl(&self) -> Verilog {
        let (a, b) = (64 * A, 64 * B);
        let (ratio, shift) = if A < B { (B / A, b - a) } else { (A / B, a - b) };
        let last = ratio - 1;
        let bits = (usize::BITS - last.leading_zeros()).max(1);
        let wide = bits + 1;
        let body = if A == B {
            "\
assign s_tready = ~m_tvalid | m_tready;
always @(posedge clock) begin
  if (s_tready) begin
    m_tdata <= s_tdata;
    m_tvalid <= s_tvalid;
  end
  if (reset) m_tvalid <= 1'b0;
end
"
            .to_string()
        } else if A < B {
            format!(
                "\
reg [{top}:0] held;
assign s_tready = ~m_tvalid | m_tready;
always @(posedge clock) begin
  if (s_tready) begin
    m_tvalid <= s_tvalid & (held == {bits}'d{last});
    if (s_tvalid) begin
      m_tdata <= {{s_tdata, m_tdata[{high}:{a}]}};
      held <= held + {bits}'d1;
    end
  end
  if (reset) begin
    m_tvalid <= 1'b0;
    held <= {bits}'d0;
  end
end
",
                top = bits - 1,
                high = b - 1,
            )
        } else {
            format!(
                "\
reg [{bits}:0] left;
reg [{rest}:0] later;
assign s_tready = ~m_tvalid | (m_tready & (left == {wide}'d1));
always @(posedge clock) begin
  if (s_tready) begin
    {{later, m_tdata}} <= s_tdata;
    m_tvalid <= s_tvalid;
    left <= {wide}'d{ratio};
  end else if (m_tready) begin
    {{later, m_tdata}} <= {{{b}'d0, later}};
    left <= left - {wide}'d1;
  end
  if (reset) m_tvalid <= 1'b0;
end
",
                rest = shift - 1,
            )
        };
        Verilog::Custom(format!(
            "{body}\
`ifdef VERILATOR
reg stalled;
reg [{top}:0] offered;
always @(posedge clock) begin
  stalled <= m_tvalid & ~m_tready & ~reset;
  offered <= m_tdata;
  if (!reset && stalled && (!m_tvalid || m_tdata != offered)) $error(\"a stalled beat changed\");
end
`endif
",
            top = b - 1,
        ))
    }
}
