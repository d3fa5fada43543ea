//! Set-up, code generation, tests and the demo of Glovebox.

fn main() {}
