//! The driver's whole conformance suite against the RTL, through a vfio-user socket.

use crate::checks::conforms;
use glovebox_driver::Device;
use glovebox_driver::model::{ModelConfig, SoftwareCard};
use glovebox_hdl::card::RING_PAIRS;
use glovebox_sim::card::{CardBuild, Traffic};
use std::sync::Arc;

#[test]
fn card_8_lanes_256_steady_memory_passes_the_suite() {
    for seed in [1, 2, 3] {
        conforms(CardBuild::new(8, 256), Traffic::steady(60), seed);
    }
}

#[test]
fn card_8_lanes_256_random_memory_passes_the_suite() {
    for seed in [4, 5, 6] {
        conforms(CardBuild::new(8, 256), Traffic::random(seed), seed);
    }
}

#[test]
fn card_8_lanes_256_of_k_2_passes_the_suite() {
    for (seed, traffic) in [(7, Traffic::steady(60)), (8, Traffic::random(8))] {
        conforms(CardBuild::new(8, 256).glwe_dimension(2), traffic, seed);
    }
}

#[test]
fn card_parameters_equal_those_of_the_software_card() {
    for k in [1, 2] {
        parameters_equal_those_of_the_software_card(k);
    }
}

fn parameters_equal_those_of_the_software_card(glwe_dimension: u32) {
    let config = ModelConfig {
        lanes: 8,
        degree_log2: 8,
        glwe_dimension,
        ring_pairs: RING_PAIRS as u32,
        ..ModelConfig::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, card: Arc<dyn glovebox_driver::card::CardBackend>| {
        let path = folder.path().join(name);
        let server = glovebox_driver::vfio_user::server::CardServer::start(&path, card).unwrap();
        let device = Device::open(&server.address()).unwrap();
        *device.parameters()
    };
    let rtl = open("rtl", Arc::new(CardBuild::new(8, 256).glwe_dimension(glwe_dimension as usize).build().unwrap()));
    let software = open("software", Arc::new(SoftwareCard::new(config).unwrap()));
    assert_eq!(rtl.glwe_dimension, glwe_dimension);
    assert_ne!(rtl.build_id, software.build_id);
    assert_eq!(glovebox_driver::CardParameters { build_id: software.build_id, ..rtl }, software);
}
