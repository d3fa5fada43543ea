//! Multiply-accumulate of one point of the external product: m = k + 1 digits, m columns.
//!
//! q_c = sum over r of d_r b_rc - x_c + (b_0c b_1c + b_2c b_3c + ..), c < m
//!
//! Digits go in pairs by Winograd's identity for inner products, exact in a field:
//! d0 b0 + d1 b1 + b0 b1 = (d0 + b1)(d1 + b0) - d0 d1, where d0 d1 is shared by all columns; an odd last digit is multiplied
//! as it is. With x_c = (the pairs' b_0c b_1c + .., known when the key is made) - (sum of the levels before), q_c is the sum
//! including this level. [`Multiply::products`] products: 3 for k = 1, 7 for k = 2, 10 for k = 3.
//!
//! Range:     digits any `S<LIMB>`; key words any; x limbs within 2^33; q limbs within [`Multiply::bound`]
//! Handshake: none; free running, one point per cycle; x comes [`Multiply::x_after`] cycles behind digits and key
//! Latency:   [`Multiply::latency`]: 10 cycles for k = 1; 11 else, for the sum of more than one pair
//! Reset:     none
//! Limits:    m from 2 to 4

use crate::field::limbs::Bound;
use crate::field::{CanonicalSum, LIMB, MulLimbs};
use crate::prelude::*;

/// One point a cycle.
#[derive(LogicBlock)]
pub struct Multiply {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Limbs of d0, then of d1, and so on.
    pub d: Vec<Signal<In, S<LIMB>>>,
    /// Key words, rows within columns: b_rc at `c m + r`.
    pub key: Vec<Signal<In, U<64>>>,
    /// Limbs of x_0, then of x_1, and so on.
    pub x: Vec<Signal<In, S<LIMB>>>,
    /// Limbs of q_0, then of q_1, and so on.
    pub q: Vec<Signal<Out, S<LIMB>>>,
    zero: Constant<U<64>>,
    /// For each row of a pair d, then d + b of the other row for each column; d alone of an odd last row.
    sum: Vec<CanonicalSum>,
    /// The odd last row's key words.
    last_key: Vec<DelayLine<U<64>>>,
    /// For each pair d d', then each column's product; each column's product of an odd last row.
    product: Vec<MulLimbs>,
    /// With more than one pair: limbs of each column's terms, pair by pair.
    term: Vec<Reg<S<LIMB>>>,
    result: Vec<Reg<S<LIMB>>>,
    _rows: usize,
    _terms: usize,
    _pairs: usize,
    _pair_products: usize,
    _sums: usize,
    _products: usize,
    _limbs: usize,
    _limbs_of_one_pair: usize,
    _columns_of_terms: usize,
}

impl Multiply {
    /// The block for `rows` = k + 1 digits.
    ///
    /// # Panics
    /// If `rows` is not 2 to 4.
    pub fn new(rows: usize) -> Self {
        assert!((2..=4).contains(&rows), "{rows} digits a point: from 2 to 4");
        fn many<T: Default>(count: usize) -> Vec<T> {
            (0..count).map(|_| T::default()).collect()
        }
        let (pairs, odd) = (rows / 2, rows % 2);
        let sums = 2 * pairs * (rows + 1) + odd;
        let terms = if Self::has_terms(rows) { pairs + odd } else { 0 };
        Self {
            clock: Default::default(),
            d: many(3 * rows),
            key: many(rows * rows),
            x: many(3 * rows),
            q: many(3 * rows),
            zero: Constant::new(0u64.into()),
            sum: many(sums),
            last_key: (0..odd * rows).map(|_| DelayLine::new(CanonicalSum::LATENCY)).collect(),
            product: many(Self::products(rows)),
            term: many(3 * rows * terms),
            result: many(3 * rows),
            _rows: rows,
            _terms: pairs + odd,
            _pairs: pairs,
            _pair_products: rows + 1,
            _sums: sums,
            _products: Self::products(rows),
            _limbs: 3 * rows,
            _limbs_of_one_pair: if Self::has_terms(rows) { 0 } else { 3 * rows },
            _columns_of_terms: if Self::has_terms(rows) { rows } else { 0 },
        }
    }

    /// Whether a column's sum has more than one pair's term, and so a stage more.
    const fn has_terms(rows: usize) -> bool {
        rows > 2
    }

    /// Products of two words.
    pub const fn products(rows: usize) -> usize {
        rows / 2 * (rows + 1) + rows % 2 * rows
    }

    /// Cycles from digits to result.
    pub const fn latency(rows: usize) -> usize {
        CanonicalSum::LATENCY + MulLimbs::LATENCY + Self::has_terms(rows) as usize + 1
    }

    /// Cycles by which x comes behind the digits.
    pub const fn x_after(rows: usize) -> usize {
        Self::latency(rows) - 1
    }

    /// The bound of the results: each pair's difference of two products, an odd row's product, a word and a sum that was
    /// shifted by 0 to normalise it.
    pub fn bound(rows: usize) -> Bound {
        let word = Bound::CANONICAL.plus(Bound::NORMALISED);
        let paired = (0..rows / 2).fold(word, |sum, _| sum.plus(Bound::PRODUCT_DIFFERENCE));
        if rows.is_multiple_of(2) { paired } else { paired.plus(Bound::PRODUCT) }
    }
}

impl Logic for Multiply {
    #[hdl_gen]
    fn update(&mut self) {
        for i in 0..self._sums {
            self.sum[i].clock.next = self.clock.val();
        }
        for i in 0..self._products {
            self.product[i].clock.next = self.clock.val();
        }
        for m in self._rows..self._rows.saturating_add(1) {
            for j in 0..self._pairs {
                // Row 2 j + t, whose partner is row 2 j + 1 - t.
                for t in 0..2 {
                    for k in 0..3 {
                        self.sum[(2 * j + t) * (m + 1)].limb_in[k].next = self.d[(2 * j + t) * 3 + k].val();
                    }
                    self.sum[(2 * j + t) * (m + 1)].addend_in.next = self.zero.val();
                    for c in 0..self._rows {
                        for k in 0..3 {
                            self.sum[(2 * j + t) * (m + 1) + 1 + c].limb_in[k].next = self.d[(2 * j + t) * 3 + k].val();
                        }
                        self.sum[(2 * j + t) * (m + 1) + 1 + c].addend_in.next = self.key[c * m + 2 * j + 1 - t].val();
                    }
                }
                for i in 0..self._pair_products {
                    self.product[j * (m + 1) + i].a_in.next = self.sum[2 * j * (m + 1) + i].word_out.val();
                    self.product[j * (m + 1) + i].b_in.next = self.sum[(2 * j + 1) * (m + 1) + i].word_out.val();
                }
            }
            // An odd last row, 2 j.
            for j in self._pairs..self._terms {
                for k in 0..3 {
                    self.sum[2 * j * (m + 1)].limb_in[k].next = self.d[2 * j * 3 + k].val();
                }
                self.sum[2 * j * (m + 1)].addend_in.next = self.zero.val();
                for c in 0..self._rows {
                    self.last_key[c].clock.next = self.clock.val();
                    self.last_key[c].d.next = self.key[c * m + 2 * j].val();
                    self.product[j * (m + 1) + c].a_in.next = self.sum[2 * j * (m + 1)].word_out.val();
                    self.product[j * (m + 1) + c].b_in.next = self.last_key[c].q.val();
                }
            }
            // One pair: its difference less x at once. Else the differences first.
            for i in 0..self._limbs_of_one_pair {
                self.result[i].d.next = self.product[i / 3 + 1].limb_out[i % 3].val()
                    - self.product[0].limb_out[i % 3].val()
                    - self.x[i].val();
            }
            for c in 0..self._columns_of_terms {
                for k in 0..3 {
                    for j in 0..self._pairs {
                        self.term[(j * m + c) * 3 + k].clock.next = self.clock.val();
                        self.term[(j * m + c) * 3 + k].d.next = self.product[j * (m + 1) + 1 + c].limb_out[k].val()
                            - self.product[j * (m + 1)].limb_out[k].val();
                    }
                    for j in self._pairs..self._terms {
                        self.term[(j * m + c) * 3 + k].clock.next = self.clock.val();
                        self.term[(j * m + c) * 3 + k].d.next = self.product[j * (m + 1) + c].limb_out[k].val();
                    }
                    self.result[c * 3 + k].d.next =
                        self.term[c * 3 + k].q.val() + self.term[(m + c) * 3 + k].q.val() - self.x[c * 3 + k].val();
                }
            }
        }
        for i in 0..self._limbs {
            self.result[i].clock.next = self.clock.val();
            self.q[i].next = self.result[i].q.val();
        }
    }
}
