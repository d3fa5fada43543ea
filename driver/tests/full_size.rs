//! A bootstrap with keyswitch at the default parameter set's size (n = 918, N = 2048) on the card that the environment names:
//! `GLOVEBOX_CARD=vfio:0000:01:00.0 cargo test -p glovebox-driver --test full_size`; on a card in software if none is named.
//! `cargo xtask vm-test` runs it in a guest on the simulated card.
#![allow(clippy::print_stdout)]

use glovebox_driver::in_process::InProcessBus;
use glovebox_driver::model::{ModelConfig, SoftwareCard};
use glovebox_driver::reference::ReferenceKeys;
use glovebox_driver::{Device, DeviceConfig};
use glovebox_golden::params::CPU_KS_PBS_TUNIFORM_2M128;
use glovebox_regmap::Opcode;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn full_size_keyswitch_and_bootstrap_equal_golden() {
    let p = CPU_KS_PBS_TUNIFORM_2M128.bootstrap;
    // A simulated card takes minutes for what a card does in milliseconds.
    let config = DeviceConfig {
        command_timeout: Duration::from_secs(1800),
        reply_timeout: Duration::from_secs(120),
        reset_timeout: Duration::from_secs(60),
        erase_timeout: Duration::from_secs(1800),
        ..DeviceConfig::default()
    };
    let device = match std::env::var("GLOVEBOX_CARD") {
        Ok(name) => Device::open_with(&name.parse().unwrap(), config).unwrap(),
        Err(_) => {
            let size = ModelConfig { degree_log2: 11, memory_bytes: 256 << 20, ..ModelConfig::default() };
            let card = Arc::new(SoftwareCard::new(size).unwrap());
            Device::from_bus(Arc::new(InProcessBus::new("model", card)), config).unwrap()
        }
    };
    let settings = device.bootstrap_settings(&p).unwrap();
    let keys = ReferenceKeys::upload(&device, settings, 11).unwrap();
    println!("keys uploaded: {} of {} bytes of card memory free", device.card_memory().0, device.card_memory().1);
    let job = keys.job(&device, Opcode::Bootstrap, 1, settings, 12).unwrap();
    let done = device.run(0, job.command()).unwrap();
    assert!(job.found().unwrap() == job.expected(), "the card and golden differ");
    assert!(job.is_untouched().unwrap());
    let counters = device.counters().unwrap();
    println!("one bootstrap: {} cycles, {} of them in blind rotation", done.cycles, counters.rotation_cycles);
    assert_eq!(device.health().recoveries, 0);
}
