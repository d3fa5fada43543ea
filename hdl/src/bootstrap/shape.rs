//! The generator values of an engine.

use super::multiply::Multiply;
use super::{Accumulate, Decompose, Rotate};
use crate::field::limbs::Bound;
use crate::ntt::{Plan, Transform};
use glovebox_regmap::{key_layout, layout};

/// Bits of a slot number.
pub const SLOT: usize = 4;
/// Bits of a polynomial's number.
pub const POLYNOMIAL: usize = 2;
/// Largest dimension kN of a big LWE ciphertext.
pub const MAX_BIG_DIMENSION: usize = 1 << INDEX;
/// Bits of a mask index and of a dimension.
pub const INDEX: usize = 11;
/// Largest dimension n of a small LWE ciphertext.
pub const MAX_DIMENSION: usize = (1 << (INDEX - 1)) - 1;
/// Bits of a rotation amount, 0 to 2N.
pub const TURN: usize = 12;

/// What an engine is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Ring degree N.
    pub degree: usize,
    /// GLWE dimension k.
    pub glwe_dimension: usize,
    /// Lanes L: k + 1 pipes of W = L/2 words each way.
    pub lanes: usize,
    /// Ciphertexts of a batch at most.
    pub depth: usize,
    /// Look-up tables held.
    pub tables: usize,
    /// Words of 64 bits of a bootstrapping-key beat.
    pub key_words: usize,
    /// Columns V of the keyswitch: words of 64 bits of a keyswitching-key beat.
    pub columns: usize,
}

impl Shape {
    /// Fewest beats a frame: the next frame's parameters are found while one is read.
    pub const MIN_BEATS: usize = 16;

    /// The shape of the card of that many lanes, ring degree and k: see `glovebox_regmap::layout`.
    ///
    /// # Panics
    /// As [`Shape::check`].
    pub fn new(lanes: usize, degree: usize, glwe_dimension: usize) -> Self {
        let depth = layout::batch_depth(lanes as u32) as usize;
        let columns = layout::keyswitch_columns(lanes as u32) as usize;
        let shape = Self { degree, glwe_dimension, lanes, depth, tables: depth, key_words: lanes, columns };
        shape.check();
        shape
    }

    /// Checks the rules.
    ///
    /// # Panics
    /// If a value breaks its rule.
    pub fn check(&self) {
        let Self { degree, glwe_dimension, lanes, depth, tables, key_words, columns } = *self;
        assert!(
            degree.is_power_of_two() && (256..=2048).contains(&degree),
            "degree {degree}: a power of two from 256 to 2048"
        );
        let most = layout::MAX_GLWE_DIMENSION as usize;
        assert!((1..=most).contains(&glwe_dimension), "k = {glwe_dimension}: from 1 to {most}");
        let big = self.big_dimension();
        assert!(big <= MAX_BIG_DIMENSION, "kN = {big}: at most {MAX_BIG_DIMENSION}");
        assert!(lanes.is_power_of_two() && (4..=128).contains(&lanes), "{lanes} lanes: a power of two from 4 to 128");
        assert!(self.beats() >= Self::MIN_BEATS, "{} beats a frame: at least {}", self.beats(), Self::MIN_BEATS);
        assert!(depth.is_power_of_two() && (2..=16).contains(&depth), "depth {depth}: a power of two from 2 to 16");
        assert!(tables.is_power_of_two() && (2..=16).contains(&tables), "{tables} tables: a power of two from 2 to 16");
        assert!((1..=64).contains(&columns), "{columns} columns: from 1 to 64");
        let words = self.components() * self.points();
        assert!(key_words > 0 && words.is_multiple_of(key_words), "{key_words} key words a beat: a divisor of {words}");
        assert!(words / key_words <= 16, "{words} words in beats of {key_words}: at most 16 beats");
    }

    /// Points a cycle, W = L/2.
    pub const fn points(&self) -> usize {
        self.lanes / 2
    }

    /// Rows and columns of the external product, m = k + 1: polynomials of a GLWE ciphertext.
    pub const fn rows(&self) -> usize {
        self.glwe_dimension + 1
    }

    /// Words of the bootstrapping key a point.
    pub const fn components(&self) -> usize {
        key_layout::components(self.glwe_dimension as u32) as usize
    }

    /// Dimension kN of a big LWE ciphertext.
    pub const fn big_dimension(&self) -> usize {
        self.glwe_dimension * self.degree
    }

    /// Beats a frame, T = N/W.
    pub const fn beats(&self) -> usize {
        self.degree / self.points()
    }

    /// log2 of the beats a frame.
    pub const fn beats_log2(&self) -> usize {
        self.beats().trailing_zeros() as usize
    }

    /// log2 of the points a cycle.
    pub const fn points_log2(&self) -> usize {
        self.points().trailing_zeros() as usize
    }

    /// The transform towards the key.
    pub fn forward(&self) -> Plan {
        Plan::new(Transform::Forward, self.points(), self.degree)
    }

    /// The transform back; panics if the sums' limbs could overflow it.
    pub fn inverse(&self) -> Plan {
        let plan = Plan::new(Transform::Inverse, self.points(), self.degree);
        let _end: Bound = plan.check(Multiply::bound(self.rows()));
        plan
    }

    /// Cycles from a beat's address to the cycle ahead of its digits.
    pub fn digit_latency(&self) -> usize {
        Rotate::latency(self.points()) + Decompose::LATENCY
    }

    /// Cycles from reading a beat to the first cycle in which its successor can be read, for one level.
    pub fn turnaround(&self) -> usize {
        1 + self.digit_latency()
            + self.forward().core_latency()
            + Multiply::latency(self.rows())
            + self.inverse().core_latency()
            + Accumulate::LATENCY
            + 1
    }

    /// Cycles that reset must be held: every delay line has run empty.
    pub fn reset_cycles(&self) -> usize {
        self.turnaround() + 32
    }

    /// General multipliers of 64 bits in the forward transforms and the products, and in the inverse transforms: one a word
    /// and direction, [`Multiply::products`] a point in the products.
    pub const fn multiplier_groups(&self) -> [usize; 2] {
        let words = self.rows() * self.points();
        [words + Multiply::products(self.rows()) * self.points(), words]
    }

    /// General multipliers of 64 bits.
    pub const fn multipliers(&self) -> usize {
        let [forward, inverse] = self.multiplier_groups();
        forward + inverse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_budgets_equal_the_readme() {
        let budget = |lanes| {
            let shape = Shape::new(lanes, 2048, 1);
            (lanes, shape.beats(), shape.turnaround(), shape.multipliers())
        };
        assert_eq!(
            [4, 8, 32, 128].map(budget),
            [(4, 1024, 2146, 14), (8, 512, 1120, 28), (32, 128, 349, 112), (128, 32, 144, 448)]
        );
        // One more cycle in `Multiply`; 7 and 10 products a point, 3 and 4 pipes each way.
        let budget = |k: usize, degree| {
            let shape = Shape::new(32, degree, k);
            (shape.components(), shape.beats(), shape.turnaround(), shape.multipliers())
        };
        assert_eq!(budget(1, 1024).2 + 1, budget(2, 1024).2);
        assert_eq!((budget(2, 1024).0, budget(2, 1024).1, budget(2, 1024).3), (12, 64, 16 * 13));
        assert_eq!((budget(3, 512).0, budget(3, 512).1, budget(3, 512).3), (20, 32, 16 * 18));
    }

    #[test]
    #[should_panic(expected = "at least 16")]
    fn shape_too_short_a_frame_is_refused() {
        Shape::new(128, 256, 1);
    }

    #[test]
    #[should_panic(expected = "k = 4: from 1 to 3")]
    fn shape_too_large_a_k_is_refused() {
        Shape::new(8, 256, 4);
    }

    #[test]
    #[should_panic(expected = "kN = 4096: at most 2048")]
    fn shape_too_large_a_big_ciphertext_is_refused() {
        Shape::new(8, 2048, 2);
    }
}
