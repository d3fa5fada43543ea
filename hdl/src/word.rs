//! Hardware words: [`U`], unsigned, and [`S`], two's complement.
//!
//! rust-hdl's own `Bits<N>` stores one `bool` a bit and has no product. These words are one machine integer, have the
//! operators of the hardware, and keep their sign in the type. A kernel is translated by its syntax, so the meaning
//! of the names used there is fixed:
//!
//! | in a kernel | in hardware |
//! |---|---|
//! | `x.to_bits::<W>()` | extension to W bits: zeros for `U`, the sign for `S` |
//! | `x.get_bits::<M>(o)` | bits o .. o + M - 1, sign kept: the top slice of an `S` is an arithmetic shift right |
//! | `x.get_bit(i)`, `any`, `all`, `xor` | one bit |
//! | `unsigned_cast(x)`, `signed_cast(x)` | the same bits under the other sign |
//! | `+ - * & \| ^ << >>` | at the width of the assignment's target |
//!
//! `to_bits` leaves no trace in the translated kernel: extend the *operands*, never a sum, or the Rust simulation and
//! the Verilog differ in the carry.

use rust_hdl::prelude::{Bits, Synth, TypeDescriptor, TypeKind, VCDValue, VerilogLiteral};
use std::ops;

/// An unsigned hardware word of `N <= 128` bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct U<const N: usize>(u128);

/// A two's complement hardware word of `N <= 127` bits, stored sign-extended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct S<const N: usize>(i128);

impl<const N: usize> U<N> {
    const MASK: u128 = if N >= 128 { u128::MAX } else { (1 << N) - 1 };

    /// The word holding the low `N` bits of `x`.
    pub const fn new(x: u128) -> Self {
        Self(x & Self::MASK)
    }
    /// The value as an integer.
    pub const fn raw(self) -> u128 {
        self.0
    }
    /// Bits `offset .. offset + M`.
    pub fn get_bits<const M: usize>(self, offset: usize) -> U<M> {
        debug_assert!(offset + M <= N, "slice {offset}+:{M} of a {N}-bit word");
        U::new(self.0 >> offset)
    }
    /// Bit `i`.
    pub fn get_bit(self, i: usize) -> bool {
        (self.0 >> i) & 1 == 1
    }
    /// Whether any bit is 1.
    pub fn any(self) -> bool {
        self.0 != 0
    }
    /// Whether all bits are 1.
    pub fn all(self) -> bool {
        self.0 == Self::MASK
    }
    /// The parity of the bits.
    pub fn xor(self) -> bool {
        self.0.count_ones() & 1 == 1
    }
    /// Zero extension to `M >= N` bits.
    pub fn to_bits<const M: usize>(self) -> U<M> {
        const { assert!(M >= N, "to_bits extends; use get_bits to take fewer bits") };
        U(self.0)
    }
    /// The width; the kernel translator asks casts for it.
    pub fn bits(self) -> usize {
        N
    }
}

impl<const N: usize> S<N> {
    /// The word holding the low `N` bits of `x`, read as two's complement.
    pub const fn new(x: i128) -> Self {
        Self((x << (128 - N)) >> (128 - N))
    }
    /// The value as an integer.
    pub const fn raw(self) -> i128 {
        self.0
    }
    /// Bits `offset .. offset + M` as a signed word.
    pub fn get_bits<const M: usize>(self, offset: usize) -> S<M> {
        debug_assert!(offset + M <= N, "slice {offset}+:{M} of a {N}-bit word");
        S::new(self.0 >> offset)
    }
    /// Bit `i`.
    pub fn get_bit(self, i: usize) -> bool {
        (self.0 >> i) & 1 == 1
    }
    /// Whether any bit is 1.
    pub fn any(self) -> bool {
        self.0 != 0
    }
    /// Whether all bits are 1.
    pub fn all(self) -> bool {
        self.0 == -1
    }
    /// Sign extension to `M >= N` bits.
    pub fn to_bits<const M: usize>(self) -> S<M> {
        const { assert!(M >= N, "to_bits extends; use get_bits to take fewer bits") };
        S(self.0)
    }
}

/// The bits of a signed word as an unsigned one.
pub fn unsigned_cast<const N: usize>(x: S<N>) -> U<N> {
    U::new(x.raw() as u128)
}

/// The bits of an unsigned word as a signed one.
pub fn signed_cast<const N: usize>(x: U<N>) -> S<N> {
    S::new(x.raw() as i128)
}

fn literal(bits: u128, width: usize) -> Bits<128> {
    debug_assert!(width <= 128);
    let words = [bits as u64, (bits >> 64) as u64];
    let mut out = Bits::<128>::default();
    for i in 0..128 {
        out = out.replace_bit(i, (words[i / 64] >> (i % 64)) & 1 == 1);
    }
    out
}

impl<const N: usize> Synth for U<N> {
    const BITS: usize = N;
    fn descriptor() -> TypeDescriptor {
        TypeDescriptor { name: format!("U::<{N}>"), kind: TypeKind::Bits(N) }
    }
    fn vcd(self) -> VCDValue {
        literal(self.0, N).get_bits::<N>(0).into()
    }
    fn verilog(self) -> VerilogLiteral {
        literal(self.0, N).get_bits::<N>(0).into()
    }
}

impl<const N: usize> Synth for S<N> {
    const BITS: usize = N;
    fn descriptor() -> TypeDescriptor {
        TypeDescriptor { name: format!("S::<{N}>"), kind: TypeKind::Signed(N) }
    }
    fn vcd(self) -> VCDValue {
        unsigned_cast(self).vcd()
    }
    fn verilog(self) -> VerilogLiteral {
        unsigned_cast(self).verilog()
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, |$a:ident, $b:ident| $unsigned:expr, $signed:expr) => {
        impl<const N: usize> ops::$trait for U<N> {
            type Output = U<N>;
            fn $method(self, rhs: U<N>) -> U<N> {
                let ($a, $b) = (self.0, rhs.0);
                U::new($unsigned)
            }
        }
        impl<const N: usize> ops::$trait<u64> for U<N> {
            type Output = U<N>;
            fn $method(self, rhs: u64) -> U<N> {
                let ($a, $b) = (self.0, u128::from(rhs));
                U::new($unsigned)
            }
        }
        impl<const N: usize> ops::$trait for S<N> {
            type Output = S<N>;
            fn $method(self, rhs: S<N>) -> S<N> {
                let ($a, $b) = (self.0, rhs.0);
                S::new($signed)
            }
        }
    };
}
operator!(Add, add, |a, b| a.wrapping_add(b), a.wrapping_add(b));
operator!(Sub, sub, |a, b| a.wrapping_sub(b), a.wrapping_sub(b));
operator!(Mul, mul, |a, b| a.wrapping_mul(b), a.wrapping_mul(b));
operator!(BitAnd, bitand, |a, b| a & b, a & b);
operator!(BitOr, bitor, |a, b| a | b, a | b);
operator!(BitXor, bitxor, |a, b| a ^ b, a ^ b);

impl<const N: usize> ops::Not for U<N> {
    type Output = Self;
    fn not(self) -> Self {
        Self::new(!self.0)
    }
}
impl<const N: usize> ops::Not for S<N> {
    type Output = Self;
    fn not(self) -> Self {
        Self::new(!self.0)
    }
}
impl<const N: usize> ops::Shl<usize> for U<N> {
    type Output = Self;
    fn shl(self, by: usize) -> Self {
        Self::new(if by >= 128 { 0 } else { self.0 << by })
    }
}
impl<const N: usize, const M: usize> ops::Shl<U<M>> for U<N> {
    type Output = Self;
    fn shl(self, by: U<M>) -> Self {
        self << usize::try_from(by.raw()).unwrap_or(usize::MAX)
    }
}
impl<const N: usize> ops::Shr<usize> for U<N> {
    type Output = Self;
    fn shr(self, by: usize) -> Self {
        Self::new(if by >= 128 { 0 } else { self.0 >> by })
    }
}
/// Arithmetic shift right: the sign fills the vacated bits.
impl<const N: usize> ops::Shr<usize> for S<N> {
    type Output = Self;
    fn shr(self, by: usize) -> Self {
        Self::new(self.0 >> by.min(127))
    }
}
impl<const N: usize> From<u64> for U<N> {
    fn from(x: u64) -> Self {
        Self::new(u128::from(x))
    }
}
impl<const N: usize> From<i64> for S<N> {
    fn from(x: i64) -> Self {
        Self::new(i128::from(x))
    }
}

/// A beat of a stream: `L` words of 64 bits, word i in bits 64 i and up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes<const L: usize>([u64; L]);

impl<const L: usize> Lanes<L> {
    /// The beat of these words.
    pub const fn new(words: [u64; L]) -> Self {
        Self(words)
    }
    /// Word `offset / 64`; `M` is 64 and `offset` a multiple of it.
    pub fn get_bits<const M: usize>(self, offset: usize) -> U<M> {
        const { assert!(M == 64, "a beat is taken apart by words of 64 bits") };
        debug_assert!(offset.is_multiple_of(64));
        U::from(self.0[offset / 64])
    }
}

impl<const L: usize> Default for Lanes<L> {
    fn default() -> Self {
        Self([0; L])
    }
}

impl<const L: usize> Synth for Lanes<L> {
    const BITS: usize = 64 * L;
    fn descriptor() -> TypeDescriptor {
        TypeDescriptor { name: format!("Lanes::<{L}>"), kind: TypeKind::Bits(64 * L) }
    }
    fn vcd(self) -> VCDValue {
        VCDValue::Composite(self.0.iter().rev().map(|&w| Box::new(U::<64>::from(w).vcd())).collect())
    }
    fn verilog(self) -> VerilogLiteral {
        // The type has no constants; the generator asks for values of constants only.
        U::<64>::from(self.0[0]).verilog()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_add_wraps_at_their_width(a: u64, b: u64) {
            let mask = (1u64 << 40) - 1;
            prop_assert_eq!((U::<40>::from(a) + U::<40>::from(b)).raw() as u64, a.wrapping_add(b) & mask);
            let signed = (S::<40>::from(a as i64) - S::<40>::from(b as i64)).raw();
            prop_assert_eq!(signed as i64, (a.wrapping_sub(b) << 24) as i64 >> 24);
        }

        #[test]
        fn signed_top_slice_is_an_arithmetic_shift(a: i64) {
            let x = S::<64>::from(a);
            prop_assert_eq!(x.get_bits::<20>(44).raw(), i128::from(a >> 44));
            prop_assert_eq!((x >> 44).raw(), i128::from(a >> 44));
            prop_assert_eq!(unsigned_cast(x.get_bits::<20>(4)).raw() as u64, (a as u64 >> 4) & 0xF_FFFF);
        }
    }
}
