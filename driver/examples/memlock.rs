//! Maps memory for DMA until the kernel's limit on locked memory is reached, and checks that the error names the limit and
//! what to do. `cargo xtask vm-test` runs it in a guest as a normal user: `memlock vfio:0000:01:00.0`.
#![allow(clippy::print_stdout)]

use glovebox_driver::{Device, Error};

const BLOCK_BYTES: usize = 16 << 20;
const MOST_BLOCKS: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: memlock vfio:PCI-ADDRESS")?;
    let device = Device::open(&address.parse()?)?;
    let mut held = vec![];
    let error = loop {
        match device.allocate(BLOCK_BYTES) {
            Ok(buffer) => held.push(buffer),
            Err(error) => break error,
        }
        if held.len() == MOST_BLOCKS {
            return Err(format!("{} MiB could be locked: the limit is not in force", held.len() * 16).into());
        }
    };
    if !matches!(error, Error::MemoryLock { .. }) {
        return Err(format!("not the error of the limit: {error}").into());
    }
    println!("after {} blocks of 16 MiB: {error}", held.len());
    held.clear();
    device.allocate(BLOCK_BYTES)?;
    device.nop()?;
    println!("once they are dropped there is room again: ok");
    Ok(())
}
