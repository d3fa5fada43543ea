//! The glovebox command.

fn main() {}
