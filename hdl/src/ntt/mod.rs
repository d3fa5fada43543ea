//! The streaming negacyclic transform over L lanes, forward and inverse.
//!
//! Beat b of a frame carries words `b * L .. b * L + L` of a polynomial of N words. The forward transform takes
//! coefficients in natural order and gives the transform in bit-reversed order: word j is `X[bit_reverse(j)]`, as
//! golden's `forward_bit_reversed`. The inverse takes that order and gives coefficients in natural order, 1/N included.
//!
//! The transform splits `X^(2h) - r^2 = (X^h - r)(X^h + r)` in place. N = 32 M:
//!
//! 1. five stages, the 32-point negacyclic transform over stride M: every r is a power of 8, a shift;
//! 2. one general product a word, which turns every block `X^M - w^M` into `X^M - 1`;
//! 3. log2 M stages, the cyclic transform over each block: every r is a power of two again.
//!
//! A stage whose stride is at least L works across beats ([`row::Sdf`], single-path delay feedback); a smaller one
//! within a beat. The inverse runs the stages backwards; ahead of its product the factors `r^-1` are not applied but
//! kept as pending exponents, which the next stage subtracts from each other and the product's constants absorb
//! together with 1/N. So every shift ahead of the product and every in-beat stage behind it in the forward direction
//! is fixed wiring and costs one cycle.
//!
//! That is a plan of few cycles ([`Plan::new`]), for engines. A plan for a fast clock ([`Plan::fast`]), for streams, has a
//! register behind every choice and no sum of three operands ([`Pace`]).
//!
//! [`tables::Plan`] derives all of it from golden's roots; [`pipe::NttPipe`] is the free-running pipeline,
//! [`stream::NttStream`] the block with ready/valid edges.

mod butterflies;
pub mod feedback;
pub mod limbs;
pub mod pipe;
pub mod row;
pub mod stream;
pub mod tables;

pub use butterflies::Butterflies;
pub use limbs::NttLimbs;
pub use pipe::NttPipe;
pub use stream::NttStream;
pub use tables::{Pace, Plan, Transform};
