//! Arithmetic in `Z_p`, p = 2^64 - 2^32 + 1, as pipelined blocks.
//!
//! Two number forms are used:
//!
//! - **canonical**: one 64-bit word in `[0, p)`, at the edges;
//! - **limbs**: three signed words `x0 + x1 * 2^32 + x2 * 2^64`, inside the transforms. Because 2^96 = -1 mod p, a
//!   product with 2^k is a rotation of the limbs with a sign, plus a shift by k mod 32 that moves each limb's top bits
//!   to its neighbour: wiring. Sums are limb by limb, so no carry is longer than [`LIMB`] bits and none is corrected:
//!   a butterfly takes one cycle. [`Canonical`] brings limbs back to `[0, p)`.
//!
//! Limb growth is bounded by [`limbs::Bound`], which the constructors of the transforms check for every shift used.

mod add;
mod canonical;
mod fast;
pub mod limbs;
mod mul;
mod plain;
mod product;
mod shift;
mod sub;

pub use add::ModAdd;
pub use canonical::{Canonical, CanonicalSum, Fold};
pub use fast::CanonicalFast;
pub use limbs::LIMB;
pub use mul::{ModMul, MulLimbs};
pub use plain::PlainButterfly;
pub use product::Product64;
pub use shift::{ModShift, SelectShift, ShiftButterfly, ShiftTap, Split};
pub use sub::ModSub;
