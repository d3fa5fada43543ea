//! Compares the golden model with the tfhe crate, bit for bit.
