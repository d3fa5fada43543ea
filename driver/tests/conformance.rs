//! The conformance suite over the software model: in the same process and through a socket.

use glovebox_driver::in_process::InProcessBus;
use glovebox_driver::model::{ModelConfig, SoftwareCard};
use glovebox_driver::vfio_user::server::CardServer;
use glovebox_driver::{Device, conformance};
use std::sync::Arc;

fn configurations() -> [ModelConfig; 3] {
    [
        ModelConfig::default(),
        ModelConfig { lanes: 32, degree_log2: 11, ring_pairs: 1 },
        ModelConfig { lanes: 4, degree_log2: 4, ring_pairs: 15 },
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
