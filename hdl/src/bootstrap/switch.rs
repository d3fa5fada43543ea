//! Modulus switch of small LWE ciphertexts, a word a cycle.
//!
//! turn = round(x * 2N / 2^64) mod 2N, halves upward; of the body x + correction with `centred`, golden's
//! `centered_mean_correction`: with e the mask's rounding errors, D the sum of the signs of the odd ones,
//! correction = (sum e - D)/2 + trunc(D/2) - 2^63/(2N), in units of the ciphertext's word
//!
//! Range:     any words; those of a 32-bit ciphertext at the top
//! Handshake: `valid` marks words: n mask words, then the body with `body`; one a cycle, no back-pressure; between a
//!            body and the next ciphertext's first word [`ModulusSwitch::LATENCY`] cycles
//! Latency:   [`ModulusSwitch::LATENCY`] cycles
//! Reset:     `clear` ahead of a ciphertext's first word
//! Limits:    at most 2^11 mask words

use super::shape::TURN;
use crate::prelude::*;

/// The switch for one ring degree.
#[derive(LogicBlock)]
pub struct ModulusSwitch {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Forget the errors.
    pub clear: Signal<In, Bit>,
    /// Correct the body.
    pub centred: Signal<In, Bit>,
    /// The ciphertext's words have 32 bits.
    pub narrow: Signal<In, Bit>,
    /// A word comes.
    pub valid: Signal<In, Bit>,
    /// It is the body.
    pub body: Signal<In, Bit>,
    /// The word.
    pub x: Signal<In, U<64>>,
    /// Rotation amount in [0, 2N).
    pub turn: Signal<Out, U<TURN>>,
    s1_x: Reg<U<64>>,
    s1_mask: Reg<Bit>,
    low: Signal<Local, U<64>>,
    low_mask: Constant<U<64>>,
    /// Errors in two parts: 2^64 / 2N at most, and a sign.
    error_low: Signal<Local, U<32>>,
    s2_low: Reg<U<33>>,
    s2_high: Reg<U<32>>,
    s2_mask: Reg<Bit>,
    s2_odd: Reg<Bit>,
    not_low: Signal<Local, U<64>>,
    carry: Signal<Local, U<33>>,
    is_high: Signal<Local, Bit>,
    error_high: Signal<Local, U<32>>,
    s3_low: Reg<U<32>>,
    s3_high: Reg<U<32>>,
    s3_mask: Reg<Bit>,
    s3_odd: Reg<Bit>,
    plus_one: Signal<Local, U<2>>,
    none: Signal<Local, U<13>>,
    final_high: Signal<Local, U<32>>,
    sum_low: Reg<U<44>>,
    sum_high: Reg<U<32>>,
    odd: Reg<S<13>>,
    s4_high: Reg<U<32>>,
    s4_low: Reg<U<32>>,
    carried: Signal<Local, U<32>>,
    odd_now: Signal<Local, S<13>>,
    odd_bits: Signal<Local, U<32>>,
    odd_wide: Signal<Local, S<32>>,
    half_odd: Signal<Local, S<13>>,
    half_wide: Signal<Local, S<32>>,
    half_bits: Signal<Local, U<32>>,
    s5_low: Reg<U<33>>,
    s5_high: Reg<U<32>>,
    borrow: Signal<Local, U<32>>,
    s6_low: Reg<U<32>>,
    s6_high: Reg<U<32>>,
    s6_low_now: Signal<Local, U<32>>,
    s6_high_now: Signal<Local, U<32>>,
    halved_low: Signal<Local, U<32>>,
    halved_high: Signal<Local, U<32>>,
    s7_low: Reg<U<33>>,
    s7_high: Reg<U<32>>,
    s8_low: Reg<U<32>>,
    s8_high: Reg<U<32>>,
    s9_low: Reg<U<33>>,
    s9_high: Reg<U<32>>,
    s9_low_now: Signal<Local, U<33>>,
    s10: Reg<U<64>>,
    later: DelayLine<U<64>>,
    later_body: DelayLine<Bit>,
    later_now: Signal<Local, U<64>>,
    minus: Constant<U<32>>,
    shifted: Signal<Local, U<64>>,
    top: Signal<Local, U<TURN>>,
    round: Signal<Local, U<TURN>>,
    s11: Reg<U<TURN>>,
    turn_mask: Constant<U<TURN>>,
    _drop: usize,
}

impl ModulusSwitch {
    /// Cycles from a word to its amount.
    pub const LATENCY: usize = 11;

    /// The switch to 2N = 2 * `degree`.
    ///
    /// # Panics
    /// If the degree is no power of two from 4 to 2048.
    pub fn new(degree: usize) -> Self {
        assert!(degree.is_power_of_two() && (4..=2048).contains(&degree), "degree {degree}: a power of two up to 2048");
        let drop = 63 - degree.trailing_zeros() as usize;
        Self {
            clock: Default::default(),
            clear: Default::default(),
            centred: Default::default(),
            narrow: Default::default(),
            valid: Default::default(),
            body: Default::default(),
            x: Default::default(),
            turn: Default::default(),
            s1_x: Default::default(),
            s1_mask: Default::default(),
            low: Default::default(),
            low_mask: Constant::new(((1u64 << drop) - 1).into()),
            error_low: Default::default(),
            s2_low: Default::default(),
            s2_high: Default::default(),
            s2_mask: Default::default(),
            s2_odd: Default::default(),
            not_low: Default::default(),
            carry: Default::default(),
            is_high: Default::default(),
            error_high: Default::default(),
            s3_low: Default::default(),
            s3_high: Default::default(),
            s3_mask: Default::default(),
            s3_odd: Default::default(),
            plus_one: Default::default(),
            none: Default::default(),
            final_high: Default::default(),
            sum_low: Default::default(),
            sum_high: Default::default(),
            odd: Default::default(),
            s4_high: Default::default(),
            s4_low: Default::default(),
            carried: Default::default(),
            odd_now: Default::default(),
            odd_bits: Default::default(),
            odd_wide: Default::default(),
            half_odd: Default::default(),
            half_wide: Default::default(),
            half_bits: Default::default(),
            s5_low: Default::default(),
            s5_high: Default::default(),
            borrow: Default::default(),
            s6_low: Default::default(),
            s6_high: Default::default(),
            s6_low_now: Default::default(),
            s6_high_now: Default::default(),
            halved_low: Default::default(),
            halved_high: Default::default(),
            s7_low: Default::default(),
            s7_high: Default::default(),
            s8_low: Default::default(),
            s8_high: Default::default(),
            s9_low: Default::default(),
            s9_high: Default::default(),
            s9_low_now: Default::default(),
            s10: Default::default(),
            later: DelayLine::new(8),
            later_body: DelayLine::new(8),
            later_now: Default::default(),
            minus: Constant::new((1u64 << (drop - 1 - 32)).into()),
            shifted: Default::default(),
            top: Default::default(),
            round: Default::default(),
            s11: Default::default(),
            turn_mask: Constant::new((2 * degree as u64 - 1).into()),
            _drop: drop,
        }
    }
}

impl Logic for ModulusSwitch {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, s1_x, s1_mask, s2_low, s2_high, s2_mask, s2_odd, s3_low, s3_high, s3_mask, s3_odd);
        clock!(self, clock, s4_low, s4_high, s5_low, s5_high, s6_low, s6_high, s7_low, s7_high, s8_low, s8_high);
        clock!(self, clock, s9_low, s9_high, s10, s11, later, later_body);
        dff_setup!(self, clock, sum_low, sum_high, odd);
        self.s1_x.d.next = self.x.val();
        self.s1_mask.d.next = self.valid.val() & !self.body.val();
        // 2: the error: minus the dropped bits, read as signed.
        self.low.next = self.s1_x.q.val() & self.low_mask.val();
        for d in self._drop..self._drop.saturating_add(1) {
            self.is_high.next = self.s1_x.q.val().get_bit(d - 1);
        }
        self.not_low.next = !self.low.val();
        if self.is_high.val() {
            self.not_low.next = !(self.low.val() | !self.low_mask.val());
        }
        self.s2_low.d.next = self.not_low.val().get_bits::<32>(0).to_bits::<33>() + 1u64;
        self.s2_high.d.next = self.not_low.val().get_bits::<32>(32);
        self.s2_mask.d.next = self.s1_mask.q.val();
        self.s2_odd.d.next = self.s1_x.q.val().get_bit(0);
        if self.narrow.val() {
            self.s2_odd.d.next = self.s1_x.q.val().get_bit(32);
        }
        // 3: its carry.
        self.carry.next = self.s2_low.q.val();
        self.error_low.next = self.carry.val().get_bits::<32>(0);
        self.error_high.next = self.s2_high.q.val() + self.carry.val().get_bits::<1>(32).to_bits::<32>();
        self.s3_low.d.next = self.error_low.val();
        self.s3_high.d.next = self.error_high.val();
        self.s3_mask.d.next = self.s2_mask.q.val();
        self.s3_odd.d.next = self.s2_odd.q.val();
        // 4: sums; the low one keeps its carries.
        if self.s3_mask.q.val() {
            self.sum_low.d.next = self.sum_low.q.val() + self.s3_low.q.val().to_bits::<44>();
            self.sum_high.d.next = self.sum_high.q.val() + self.s3_high.q.val();
            if self.s3_odd.q.val() {
                self.odd.d.next = self.odd.q.val() + signed_cast(self.plus_one.val()).to_bits::<13>();
                if self.s3_high.q.val().get_bit(31) {
                    self.odd.d.next = self.odd.q.val() - signed_cast(self.plus_one.val()).to_bits::<13>();
                }
            }
        }
        self.plus_one.next = 1u64.into();
        if self.clear.val() {
            self.sum_low.d.next = 0u64.into();
            self.sum_high.d.next = 0u64.into();
            self.odd.d.next = signed_cast(self.none.val());
        }
        self.none.next = 0u64.into();
        // 5: the carries; less D.
        self.carried.next = self.sum_low.q.val().get_bits::<12>(32).to_bits::<32>();
        self.s4_low.d.next = self.sum_low.q.val().get_bits::<32>(0);
        self.s4_high.d.next = self.sum_high.q.val() + self.carried.val();
        self.odd_now.next = self.odd.q.val();
        self.odd_wide.next = self.odd_now.val().to_bits::<32>();
        self.odd_bits.next = unsigned_cast(self.odd_wide.val());
        self.half_odd.next = self.odd_now.val() >> 1;
        if self.odd_now.val().get_bit(12) & self.odd_now.val().get_bit(0) {
            self.half_odd.next = (self.odd_now.val() >> 1) + signed_cast(self.plus_one.val()).to_bits::<13>();
        }
        self.half_wide.next = self.half_odd.val().to_bits::<32>();
        self.half_bits.next = unsigned_cast(self.half_wide.val());
        self.s5_low.d.next = self.s4_low.q.val().to_bits::<33>() - self.odd_bits.val().to_bits::<33>();
        self.s5_high.d.next = self.s4_high.q.val();
        // D below 0: its upper half is all ones.
        if self.odd_now.val().get_bit(12) {
            self.s5_high.d.next = self.s4_high.q.val() + 1u64;
        }
        if self.narrow.val() {
            self.s5_low.d.next = self.s4_low.q.val().to_bits::<33>();
            self.s5_high.d.next = self.s4_high.q.val() - self.odd_bits.val();
        }
        // 6: the borrow.
        self.borrow.next = self.s5_low.q.val().get_bits::<1>(32).to_bits::<32>();
        self.s6_low.d.next = self.s5_low.q.val().get_bits::<32>(0);
        self.s6_high.d.next = self.s5_high.q.val() - self.borrow.val();
        // 7: halved; plus trunc(D/2), minus half a step.
        self.s6_low_now.next = self.s6_low.q.val();
        self.s6_high_now.next = self.s6_high.q.val();
        self.halved_low.next =
            (self.s6_low_now.val() >> 1) | (self.s6_high_now.val().get_bits::<1>(0).to_bits::<32>() << 31);
        self.halved_high.next = self.s6_high_now.val() >> 1;
        if self.s6_high_now.val().get_bit(31) {
            self.halved_high.next = (self.s6_high_now.val() >> 1) | 0x8000_0000u64;
        }
        self.s7_low.d.next = self.halved_low.val().to_bits::<33>() + self.half_bits.val().to_bits::<33>();
        self.s7_high.d.next = self.halved_high.val() - self.minus.val();
        if self.half_odd.val().get_bit(12) {
            self.s7_high.d.next = self.halved_high.val() - self.minus.val() - 1u64;
        }
        if self.narrow.val() {
            self.s7_low.d.next = self.halved_low.val().to_bits::<33>();
            self.s7_high.d.next = self.halved_high.val() - self.minus.val() + self.half_bits.val();
        }
        // 8: the carry: the correction.
        self.s8_low.d.next = self.s7_low.q.val().get_bits::<32>(0);
        self.s8_high.d.next = self.s7_high.q.val() + self.s7_low.q.val().get_bits::<1>(32).to_bits::<32>();
        // 9, 10: added to the body.
        self.later.d.next = self.x.val();
        self.later_body.d.next = self.body.val();
        self.later_now.next = self.later.q.val();
        self.s9_low.d.next = self.later_now.val().get_bits::<32>(0).to_bits::<33>();
        self.s9_high.d.next = self.later_now.val().get_bits::<32>(32);
        if self.later_body.q.val() & self.centred.val() {
            self.s9_low.d.next =
                self.later_now.val().get_bits::<32>(0).to_bits::<33>() + self.s8_low.q.val().to_bits::<33>();
            self.s9_high.d.next = self.later_now.val().get_bits::<32>(32) + self.s8_high.q.val();
        }
        self.s9_low_now.next = self.s9_low.q.val();
        self.final_high.next = self.s9_high.q.val() + self.s9_low_now.val().get_bits::<1>(32).to_bits::<32>();
        self.s10.d.next =
            (self.final_high.val().to_bits::<64>() << 32) | self.s9_low_now.val().get_bits::<32>(0).to_bits::<64>();
        // 11: round.
        for d in self._drop..self._drop.saturating_add(1) {
            self.shifted.next = self.s10.q.val() >> d;
            self.round.next = self.s10.q.val().get_bits::<1>(d - 1).to_bits::<TURN>();
        }
        self.top.next = self.shifted.val().get_bits::<TURN>(0);
        self.s11.d.next = (self.top.val() + self.round.val()) & self.turn_mask.val();
        self.turn.next = self.s11.q.val();
    }
}
