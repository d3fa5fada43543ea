//! Finds cards in sysfs and says for each whether it can be used, and if not, what makes it so.

use crate::address::PciAddress;
use crate::error::Error;
use glovebox_regmap::layout;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// Whether a card can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usable {
    /// It can.
    Yes,
    /// It cannot.
    No {
        /// Why.
        reason: String,
        /// The command that changes it.
        command: String,
    },
}

/// A card found in sysfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCard {
    /// Where it is.
    pub address: PciAddress,
    /// Its IOMMU group, if the machine has an IOMMU that is on.
    pub iommu_group: Option<u32>,
    /// The kernel driver that it is bound to.
    pub driver: Option<String>,
    /// Whether it can be opened.
    pub usable: Usable,
}

/// Cards of this machine, in order of address.
pub fn list() -> Vec<FoundCard> {
    list_under(Path::new("/sys"), Path::new("/dev"))
}

/// [`list`] over other roots than `/sys` and `/dev`.
pub fn list_under(sysfs: &Path, dev: &Path) -> Vec<FoundCard> {
    let Ok(entries) = std::fs::read_dir(sysfs.join("bus/pci/devices")) else { return vec![] };
    let mut cards: Vec<FoundCard> = entries
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let address: PciAddress = folder.file_name()?.to_str()?.parse().ok()?;
            let id = |name: &str| {
                let text = std::fs::read_to_string(folder.join(name)).ok()?;
                u16::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
            };
            if (id("vendor")?, id("device")?) != (layout::PCI_VENDOR_ID, layout::PCI_DEVICE_ID) {
                return None;
            }
            Some(FoundCard {
                address,
                iommu_group: link_name(&folder.join("iommu_group")).and_then(|name| name.parse().ok()),
                driver: link_name(&folder.join("driver")),
                usable: usability(sysfs, dev, address),
            })
        })
        .collect();
    cards.sort_by_key(|card| card.address);
    cards
}

fn link_name(link: &Path) -> Option<String> {
    Some(std::fs::read_link(link).ok()?.file_name()?.to_str()?.to_owned())
}

fn no(reason: impl Into<String>, command: impl Into<String>) -> Usable {
    Usable::No { reason: reason.into(), command: command.into() }
}

/// Whether the function at `address` can be opened through vfio-pci, and the command that makes it so.
pub fn usability(sysfs: &Path, dev: &Path, address: PciAddress) -> Usable {
    let folder = sysfs.join("bus/pci/devices").join(address.to_string());
    if !folder.exists() {
        return no(
            "there is no such PCI function",
            format!("lspci -d {:04x}:{:04x}", layout::PCI_VENDOR_ID, layout::PCI_DEVICE_ID),
        );
    }
    let off = || {
        no(
            "it is in no IOMMU group: the IOMMU is off",
            "sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&intel_iommu=on iommu=pt /' /etc/default/grub && sudo update-grub && sudo reboot \
             # and switch VT-d or AMD-Vi on in the firmware",
        )
    };
    let group = link_name(&folder.join("iommu_group"));
    // Some IOMMUs take a function up only when a driver comes to it.
    let has_iommu = std::fs::read_dir(sysfs.join("class/iommu")).is_ok_and(|mut entries| entries.next().is_some());
    if group.is_none() && !has_iommu {
        return off();
    }
    let bind = format!(
        "sudo modprobe vfio-pci && echo vfio-pci | sudo tee /sys/bus/pci/devices/{address}/driver_override && \
         echo {address} | sudo tee /sys/bus/pci/drivers_probe"
    );
    match link_name(&folder.join("driver")).as_deref() {
        Some("vfio-pci") => {}
        Some(other) => {
            let unbind = format!("echo {address} | sudo tee /sys/bus/pci/devices/{address}/driver/unbind && {bind}");
            return no(format!("it is bound to the driver {other}"), unbind);
        }
        None => return no("it is bound to no driver", bind),
    }
    let Some(group) = group else { return off() };
    let nodes = match character_device(sysfs, dev, address) {
        Some(_) if !cfg!(feature = "iommufd") => {
            return no(
                "this kernel has no VFIO groups, only iommufd, which this build leaves out",
                "cargo install --path host/cli --features iommufd",
            );
        }
        Some(name) => [
            ("iommu".to_owned(), "sudo modprobe iommufd && sudo chmod 666 /dev/iommu".to_owned()),
            (format!("vfio/devices/{name}"), format!("sudo chown $USER /dev/vfio/devices/{name}")),
        ],
        None => [
            ("vfio/vfio".to_owned(), "sudo modprobe vfio_iommu_type1 && sudo chmod 666 /dev/vfio/vfio".to_owned()),
            (format!("vfio/{group}"), format!("sudo chown $USER /dev/vfio/{group}")),
        ],
    };
    for (path, command) in nodes.map(|(node, command)| (dev.join(node), command)) {
        if let Some(reason) = cannot_open(&path) {
            return no(reason, command);
        }
    }
    Usable::Yes
}

/// The function's own character device (its name under `/dev/vfio/devices`), if that is the way to it: the kernel has both
/// it and `/dev/iommu` and this build knows them, or there are no groups.
pub fn character_device(sysfs: &Path, dev: &Path, address: PciAddress) -> Option<String> {
    let folder = sysfs.join("bus/pci/devices").join(address.to_string()).join("vfio-dev");
    let name = std::fs::read_dir(folder).ok()?.flatten().next()?.file_name().into_string().ok()?;
    let preferred = cfg!(feature = "iommufd") && dev.join("iommu").exists();
    (preferred || !dev.join("vfio/vfio").exists()).then_some(name)
}

/// The command that helps where a function is usable but the card in it could not be opened.
pub fn remedy(card: &FoundCard, error: &Error) -> String {
    let address = card.address;
    match error {
        Error::Busy { .. } => {
            let group = card.iommu_group.map_or("*".into(), |group| group.to_string());
            format!("sudo fuser -v /dev/vfio/{group} /dev/vfio/devices/* # and end the process that it names")
        }
        Error::MemoryLock { .. } => {
            "sudo cp driver/system/70-glovebox.conf /etc/security/limits.d/ # and log in anew".into()
        }
        Error::MapVersion { .. } | Error::NotACard { .. } => {
            format!(
                "echo 1 | sudo tee /sys/bus/pci/devices/{address}/remove && echo 1 | sudo tee /sys/bus/pci/rescan \
                     # after loading firmware for this driver's register map"
            )
        }
        // The card does not do what it should: the kernel can reset it, which forgets all that it holds.
        _ => format!("echo 1 | sudo tee /sys/bus/pci/devices/{address}/reset"),
    }
}

/// Why this user cannot open `path` for reading and writing, if so. A group that is open elsewhere can be opened in
/// this sense: the device says that it is busy.
fn cannot_open(path: &PathBuf) -> Option<String> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => None,
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => None,
        Err(error) => Some(format!("this user cannot open {}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            std::fs::create_dir_all(tree.0.path().join("sys/bus/pci/devices")).unwrap();
            std::fs::create_dir_all(tree.0.path().join("dev/vfio")).unwrap();
            tree
        }

        fn function(&self, address: &str, id: (u16, u16), driver: Option<&str>, group: Option<u32>) {
            let folder = self.0.path().join("sys/bus/pci/devices").join(address);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("vendor"), format!("0x{:04x}\n", id.0)).unwrap();
            std::fs::write(folder.join("device"), format!("0x{:04x}\n", id.1)).unwrap();
            if let Some(driver) = driver {
                symlink(format!("../../../drivers/{driver}"), folder.join("driver")).unwrap();
            }
            if let Some(group) = group {
                symlink(format!("../../../kernel/iommu_groups/{group}"), folder.join("iommu_group")).unwrap();
            }
        }

        fn list(&self) -> Vec<FoundCard> {
            list_under(&self.0.path().join("sys"), &self.0.path().join("dev"))
        }
    }

    const CARD: (u16, u16) = (layout::PCI_VENDOR_ID, layout::PCI_DEVICE_ID);

    fn command(card: &FoundCard) -> &str {
        match &card.usable {
            Usable::Yes => "",
            Usable::No { command, .. } => command,
        }
    }

    #[test]
    fn cards_are_listed_in_order_with_what_makes_them_usable() {
        let tree = Tree::new();
        tree.function("0000:03:00.0", CARD, Some("vfio-pci"), Some(7));
        tree.function("0000:02:00.0", CARD, Some("other"), Some(6));
        tree.function("0000:01:00.0", CARD, None, Some(5));
        tree.function("0000:00:1f.0", (0x8086, 1), None, Some(1));
        tree.function("0000:04:00.0", CARD, None, None);
        let cards = tree.list();
        let addresses: Vec<String> = cards.iter().map(|c| c.address.to_string()).collect();
        assert_eq!(addresses, ["0000:01:00.0", "0000:02:00.0", "0000:03:00.0", "0000:04:00.0"]);
        assert!(command(&cards[0]).contains("driver_override"));
        assert!(command(&cards[1]).contains("driver/unbind"));
        assert_eq!((cards[1].driver.as_deref(), cards[1].iommu_group), (Some("other"), Some(6)));
        assert!(command(&cards[2]).contains("/dev/vfio/vfio"));
        assert!(command(&cards[3]).contains("iommu=on"));
    }

    #[test]
    fn a_bound_card_with_open_nodes_is_usable() {
        let tree = Tree::new();
        tree.function("0000:03:00.0", CARD, Some("vfio-pci"), Some(7));
        std::fs::write(tree.0.path().join("dev/vfio/vfio"), "").unwrap();
        assert!(command(&tree.list()[0]).contains("chown $USER /dev/vfio/7"));
        std::fs::write(tree.0.path().join("dev/vfio/7"), "").unwrap();
        assert_eq!(tree.list()[0].usable, Usable::Yes);
    }

    #[test]
    fn a_card_with_a_character_device_is_opened_by_it_where_this_build_can() {
        let tree = Tree::new();
        let dev = tree.0.path().join("dev");
        tree.function("0000:03:00.0", CARD, Some("vfio-pci"), Some(7));
        std::fs::create_dir_all(tree.0.path().join("sys/bus/pci/devices/0000:03:00.0/vfio-dev/vfio4")).unwrap();
        std::fs::write(dev.join("iommu"), "").unwrap();
        if cfg!(feature = "iommufd") {
            assert!(command(&tree.list()[0]).contains("chown $USER /dev/vfio/devices/vfio4"));
            std::fs::remove_file(dev.join("iommu")).unwrap();
            assert!(command(&tree.list()[0]).contains("modprobe iommufd"));
            std::fs::write(dev.join("iommu"), "").unwrap();
            std::fs::create_dir(dev.join("vfio/devices")).unwrap();
            std::fs::write(dev.join("vfio/devices/vfio4"), "").unwrap();
            assert_eq!(tree.list()[0].usable, Usable::Yes);
        } else {
            assert!(command(&tree.list()[0]).contains("--features iommufd"));
        }
        // Where there are groups, a build without iommufd goes by them.
        std::fs::write(dev.join("vfio/vfio"), "").unwrap();
        std::fs::write(dev.join("vfio/7"), "").unwrap();
        assert_eq!(tree.list()[0].usable, Usable::Yes);
    }

    #[test]
    fn an_iommu_that_takes_functions_up_late_is_not_called_off() {
        let tree = Tree::new();
        tree.function("0000:01:00.0", CARD, None, None);
        assert!(command(&tree.list()[0]).contains("iommu=on"));
        std::fs::create_dir_all(tree.0.path().join("sys/class/iommu/virtio0")).unwrap();
        assert!(command(&tree.list()[0]).contains("driver_override"));
    }

    #[test]
    fn a_function_that_is_not_there_is_looked_for() {
        let tree = Tree::new();
        let (sys, dev) = (tree.0.path().join("sys"), tree.0.path().join("dev"));
        let Usable::No { command, .. } = usability(&sys, &dev, "0000:09:00.0".parse().unwrap()) else { panic!() };
        assert_eq!(command, "lspci -d f4e0:0b0c");
    }

    #[test]
    fn a_node_that_this_user_cannot_open_names_it_and_its_owner_command() {
        let tree = Tree::new();
        tree.function("0000:03:00.0", CARD, Some("vfio-pci"), Some(7));
        std::fs::write(tree.0.path().join("dev/vfio/vfio"), "").unwrap();
        // A folder cannot be opened for writing, not even by root.
        std::fs::create_dir(tree.0.path().join("dev/vfio/7")).unwrap();
        match &tree.list()[0].usable {
            Usable::No { reason, command } => {
                assert!(reason.contains("dev/vfio/7"), "{reason}");
                assert_eq!(command, "sudo chown $USER /dev/vfio/7");
            }
            Usable::Yes => panic!("usable"),
        }
    }

    #[test]
    fn a_card_that_does_not_open_has_a_command_for_every_cause() {
        let tree = Tree::new();
        tree.function("0000:03:00.0", CARD, Some("vfio-pci"), Some(7));
        let card = &tree.list()[0];
        let device = || "vfio:0000:03:00.0".to_string();
        for (error, expected) in [
            (Error::Busy { device: device() }, "fuser -v /dev/vfio/7"),
            (Error::MemoryLock { device: device(), bytes: 1, limit: 1, user: "u".into() }, "limits.d"),
            (Error::MapVersion { device: device(), found: 9, known: 1 }, "rescan"),
            (Error::NotACard { device: device(), found: 0 }, "rescan"),
            (Error::DeviceLost { device: device(), reason: "all ones".into() }, "0000:03:00.0/reset"),
        ] {
            let command = remedy(card, &error);
            assert!(command.contains(expected), "{error}: {command}");
        }
    }

    #[test]
    fn no_sysfs_lists_nothing() {
        assert!(list_under(Path::new("/nonexistent"), Path::new("/nonexistent")).is_empty());
    }
}
