//! RTL of the Glovebox FHE accelerator in rust-hdl, and its Verilog.
