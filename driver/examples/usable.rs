//! Prints `usable`, or the command that brings a PCI function nearer to it, as `glovebox devices` does:
//! `usable 0000:01:00.0`. `cargo xtask vm-test` carries the commands out in a guest until the function is usable.
#![allow(clippy::print_stdout)]

use glovebox_driver::discovery::{self, Usable};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: usable PCI-ADDRESS")?;
    match discovery::usability(Path::new("/sys"), Path::new("/dev"), address.parse()?) {
        Usable::Yes => println!("usable"),
        Usable::No { command, .. } => println!("{command}"),
    }
    Ok(())
}
