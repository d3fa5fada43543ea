//! What every block of the project imports: rust-hdl's kernel language and the project's own leaves.

pub use crate::delay::{Choose, DelayLine, Rom};
pub use crate::reg::Reg;
pub use crate::replica::Replica;
pub use crate::word::{S, U, signed_cast, unsigned_cast};
pub use rust_hdl::prelude::{
    Atom, AtomKind, Bit, Bits, Block, Clock, Constant, Direction, In, Local, Logic, LogicBlock, LogicInterface,
    LogicJoin, LogicLink, LogicState, Out, Probe, Signal, Synth, TimingInfo, ToBits, TypeDescriptor, TypeField,
    TypeKind, VCDValue, Verilog, VerilogLiteral, ast, bit_cast, block, clock, clog2, dff_setup, hdl_gen, logic, probe,
    synth, type_descriptor,
};
