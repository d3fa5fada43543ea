//! The conformance suite over every road.
//!
//! In the same process and through a socket, always; and on the card that the environment names, if it names one:
//! `GLOVEBOX_CARD=vfio:0000:01:00.0 cargo test -p glovebox-driver --test conformance`. In a guest with a kernel:
//! `cargo xtask vm-test`.

use glovebox_driver::in_process::InProcessBus;
use glovebox_driver::model::{ModelConfig, SoftwareCard};
use glovebox_driver::vfio_user::server::CardServer;
use glovebox_driver::{Device, conformance};
use std::sync::Arc;

fn configurations() -> [ModelConfig; 5] {
    [
        ModelConfig::default(),
        ModelConfig { lanes: 32, degree_log2: 11, ring_pairs: 1, ..ModelConfig::default() },
        ModelConfig { lanes: 4, degree_log2: 4, ring_pairs: 15, ..ModelConfig::default() },
        ModelConfig { glwe_dimension: 2, ..ModelConfig::default() },
        ModelConfig { glwe_dimension: 3, lanes: 32, degree_log2: 9, ..ModelConfig::default() },
    ]
}

#[test]
fn model_in_process_passes_the_suite() {
    for config in configurations() {
        let open = |device_config| {
            let card = Arc::new(SoftwareCard::new(config)?);
            Device::from_bus(Arc::new(InProcessBus::new("model", card)), device_config)
        };
        let passed = conformance::run_all(&open, 1).unwrap();
        assert_eq!(passed.len(), conformance::CASES.len());
    }
}

#[test]
fn model_behind_a_socket_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    for (index, config) in configurations().into_iter().enumerate() {
        let path = folder.path().join(format!("card{index}.sock"));
        let server = CardServer::start(&path, Arc::new(SoftwareCard::new(config).unwrap())).unwrap();
        let passed = conformance::run_all(&|c| Device::open_with(&server.address(), c), 2).unwrap();
        assert_eq!(passed.len(), conformance::CASES.len());
    }
}

/// The device named by `GLOVEBOX_CARD`; the software model in this process if none is.
#[test]
fn the_card_named_by_the_environment_passes_the_suite() {
    let Some(name) = std::env::var_os("GLOVEBOX_CARD") else { return model_in_process_passes_the_suite() };
    let address = name.to_str().unwrap().parse().unwrap();
    let passed = conformance::run_all(&|c| Device::open_with(&address, c), 3).unwrap();
    assert_eq!(passed.len(), conformance::CASES.len());
}
