//! The card's RTL: the driver's conformance suite over vfio-user, and commands, errors, resets and cycle counts by hand.

mod bench;
mod bootstrap;
mod checks;
mod commands;
mod conformance;
mod cycles;
mod erase;
mod faults;
mod full_size;
