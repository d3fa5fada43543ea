//! Register map, descriptors and completions of the Glovebox card: the one definition that RTL, driver and documents read.
