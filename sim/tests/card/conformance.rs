//! The driver's whole conformance suite against the RTL, through a vfio-user socket.

use glovebox_driver::model::{ModelConfig, SoftwareCard};
use glovebox_driver::{Device, DeviceConfig, conformance};
use glovebox_hdl::card::RING_PAIRS;
use glovebox_sim::card::{CardBuild, Traffic};
use std::sync::Arc;
use std::time::Duration;

/// One card behind one socket passes every case, and no case needed a recovery.
fn conforms(lanes: usize, degree: usize, traffic: Traffic, reset_seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let card = CardBuild::new(lanes, degree).traffic(traffic).reset_seed(reset_seed).build().unwrap();
    let server = card.serve(&folder.path().join("card.sock")).unwrap();
    let open = |config: DeviceConfig| {
        // Simulated cycles are not the card's: a loaded machine must not look like a card that hangs.
        Device::open_with(
            &server.address(),
            DeviceConfig {
                command_timeout: Duration::from_secs(600),
                reset_timeout: Duration::from_secs(60),
                reply_timeout: Duration::from_secs(120),
                ..config
            },
        )
    };
    let passed = conformance::run_all(&open, reset_seed).unwrap_or_else(|e| panic!("{traffic:?}: {e}"));
    assert_eq!(passed.len(), conformance::CASES.len());
}

#[test]
fn card_8_lanes_256_steady_memory_passes_the_suite() {
    for seed in [1, 2, 3] {
        conforms(8, 256, Traffic::steady(60), seed);
    }
}

#[test]
fn card_8_lanes_256_random_memory_passes_the_suite() {
    for seed in [4, 5, 6] {
        conforms(8, 256, Traffic::random(seed), seed);
    }
}

#[test]
fn card_32_lanes_1024_passes_the_suite() {
    conforms(32, 1024, Traffic::steady(60), 1);
}

#[test]
fn card_parameters_equal_those_of_the_software_card() {
    let config = ModelConfig { lanes: 8, degree_log2: 8, ring_pairs: RING_PAIRS as u32, ..ModelConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, card: Arc<dyn glovebox_driver::card::CardBackend>| {
        let path = folder.path().join(name);
        let server = glovebox_driver::vfio_user::server::CardServer::start(&path, card).unwrap();
        let device = Device::open(&server.address()).unwrap();
        *device.parameters()
    };
    let rtl = open("rtl", Arc::new(CardBuild::new(8, 256).build().unwrap()));
    let software = open("software", Arc::new(SoftwareCard::new(config).unwrap()));
    assert_ne!(rtl.build_id, software.build_id);
    assert_eq!(glovebox_driver::CardParameters { build_id: software.build_id, ..rtl }, software);
}
