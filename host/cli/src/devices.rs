//! `glovebox devices`.

use crate::arguments::Devices;
use crate::{CliError, Outcome, report};
use glovebox::cpu::CpuEngine;
use glovebox::driver::discovery::{self, Usable};
use serde::Serialize;

#[derive(Serialize)]
struct Entry {
    device: String,
    usable: bool,
    detail: String,
    /// The command that makes it usable.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

pub(crate) fn run(options: &Devices) -> Result<Outcome, CliError> {
    let cpu = CpuEngine::new(None);
    let mut entries = vec![Entry {
        device: "cpu".into(),
        usable: true,
        detail: format!("{} threads, {} kernel", cpu.threads(), cpu.kernel_name()),
        command: None,
    }];
    entries.push(match glovebox_sim::verilator::Tool::find() {
        Ok(tool) => {
            Entry { device: "sim".into(), usable: true, detail: format!("Verilator {}", tool.version()), command: None }
        }
        Err(_) => Entry {
            device: "sim".into(),
            usable: false,
            detail: "Verilator is not installed".into(),
            command: Some("cargo xtask setup".into()),
        },
    });
    for card in discovery::list() {
        let group = card.iommu_group.map_or("no IOMMU group".into(), |group| format!("IOMMU group {group}"));
        let bound = card.driver.as_ref().map_or("no driver".into(), |driver| format!("bound to {driver}"));
        let (usable, detail, command) = match card.usable.clone() {
            Usable::Yes => match identity(&card.address.to_string()) {
                Ok(identity) => (true, format!("{group}, {bound}, {identity}"), None),
                Err(error) => (false, format!("{group}, {bound}: {error}"), Some(discovery::remedy(&card, &error))),
            },
            Usable::No { reason, command } => (false, format!("{group}, {bound}: {reason}"), Some(command)),
        };
        entries.push(Entry { device: format!("vfio:{}", card.address), usable, detail, command });
    }
    if options.json {
        report::print_json(&entries)?;
        return Ok(Outcome::Done);
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|e| {
            let how = e.command.as_ref().map_or(e.detail.clone(), |c| format!("{}; run: {c}", e.detail));
            vec![e.device.clone(), if e.usable { "usable" } else { "not usable" }.into(), how]
        })
        .collect();
    report::print(&report::table(&["device", "state", "detail"], &rows, &[]))?;
    if entries.len() == 2 {
        report::print("no Glovebox card on the PCI bus of this machine")?;
    }
    Ok(Outcome::Done)
}

/// What a card says of itself.
fn identity(address: &str) -> glovebox::driver::Result<String> {
    let card = glovebox::driver::Device::open(&format!("vfio:{address}").parse()?)?;
    let p = card.parameters();
    Ok(format!("{} lanes, N = {}, k = {}, firmware {}", p.lanes, p.degree(), p.glwe_dimension, p.build_id_text()))
}
