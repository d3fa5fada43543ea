//! The golden model of Glovebox: what every bootstrap means, bit by bit.

pub mod error;
pub mod field;
pub mod ntt;

pub use error::GoldenError;
