//! One NTT on the simulated card, recorded: `cargo run -p glovebox-sim --example waveform -- ntt.vcd`.

use glovebox_driver::Device;
use glovebox_driver::in_process::InProcessBus;
use glovebox_sim::card::CardBuild;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("name the VCD file to write")?;
    let card = CardBuild::new(8, 256).trace(path).build()?;
    let device = Device::from_bus(Arc::new(InProcessBus::new("simulated card", Arc::new(card))), Default::default())?;
    let degree = device.parameters().degree();
    device.ntt(&(0..degree as u64).collect::<Vec<_>>())?;
    Ok(())
}
