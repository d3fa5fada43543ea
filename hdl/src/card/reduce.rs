//! Words of a beat, reduced once by p.
//!
//! m = x - p if x >= p, else x, word by word; p = 2^64 - 2^32 + 1
//! Range:     any word in; [0, p) out, since 2^64 < 2p
//! Handshake: none
//! Latency:   0, combinational: one carry of 32 bits and a mux
//! Reset:     none
//! Limits:    none
//!
//! x >= p if the high half is all ones and the low half is not 0; then x - p = low - 1.

use crate::ntt::stream::Pack;
use crate::prelude::*;
use crate::word::Lanes;

/// The reduction over `L` words.
#[derive(LogicBlock)]
pub struct ReduceOnce<const L: usize> {
    /// Words in.
    pub d: Signal<In, Lanes<L>>,
    /// Words out.
    pub q: Signal<Out, Lanes<L>>,
    pack: Pack<L>,
    word: [Signal<Local, U<64>>; L],
    less_1: [Signal<Local, U<32>>; L],
}

impl<const L: usize> Default for ReduceOnce<L> {
    fn default() -> Self {
        Self {
            d: Default::default(),
            q: Default::default(),
            pack: Pack::new(),
            word: std::array::from_fn(|_| Default::default()),
            less_1: std::array::from_fn(|_| Default::default()),
        }
    }
}

impl<const L: usize> Logic for ReduceOnce<L> {
    #[hdl_gen]
    fn update(&mut self) {
        for i in 0..L {
            self.word[i].next = self.d.val().get_bits::<64>(i * 64);
            self.less_1[i].next = self.word[i].val().get_bits::<32>(0) - 1u64;
            self.pack.d[i].next = self.word[i].val();
            if self.word[i].val().get_bits::<32>(32).all() & self.word[i].val().get_bits::<32>(0).any() {
                self.pack.d[i].next = self.less_1[i].val().to_bits::<64>();
            }
        }
        self.q.next = self.pack.q.val();
    }
}
