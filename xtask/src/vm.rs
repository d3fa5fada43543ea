//! `cargo xtask vm-test`: the driver through a real kernel, without a card.
//!
//! A Debian kernel boots in QEMU with a virtual IOMMU; the card is the Verilated RTL behind a vfio-user socket, so the
//! guest sees a PCIe function. Stock vfio-pci is bound to it, by the driver's udev rule or by the commands that the driver
//! names, and the same test programs that run elsewhere run there as a normal user. QEMU, the kernel and udev come from
//! Debian's archive into the build folder, without root.
//!
//! Debian's kernels have no iommufd. The machine `iommufd`, run when asked for, has one that is built from Debian's kernel
//! source; what that takes is named where it is missing.

use crate::{TaskError, cargo_program, release_folder, root, setup_verilator, show};
use glovebox_sim::card::CardBuild;
use glovebox_sim::verilator::tools_dir;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this machine: intel-iommu, full-size, virtio-iommu, edu or iommufd.
    #[arg(long)]
    only: Option<String>,
    /// Lanes of the simulated card.
    #[arg(long, default_value_t = 8)]
    lanes: usize,
    /// Print everything that the guest prints.
    #[arg(long)]
    verbose: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { only: None, lanes: 8, verbose: false }
    }
}

/// The release that has QEMU with a vfio-user client (10.1 or later, in its backports).
const RELEASE: &str = "trixie";
const QEMU_PACKAGES: [&str; 5] = [
    "libc6",
    "seabios/trixie-backports",
    "qemu-system-x86/trixie-backports",
    "qemu-system-common/trixie-backports",
    "qemu-system-data/trixie-backports",
];
const KERNEL_PACKAGES: [&str; 2] = ["linux-image-cloud-amd64", "busybox-static"];
const UDEV_PACKAGES: [&str; 2] = ["udev", "kmod"];
/// The version that the kernel with iommufd is built of.
const SOURCE: &str = "linux-source-6.12";
const MODULES: [&str; 6] = ["irqbypass", "virtio-iommu", "vfio", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci"];
/// Card memory: the keys of the default parameter set take half of it.
const CARD_MEMORY_BYTES: u64 = 256 << 20;
/// Longest time for one machine, boot to power-off.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// One virtual machine and what runs in it.
struct Machine {
    name: &'static str,
    kernel: Kernel,
    /// vendor:device of the function under test.
    device: &'static str,
    kernel_arguments: &'static str,
    iommu: &'static [&'static str],
    /// Ring degree of the card; none for a machine without one.
    degree: Option<usize>,
    /// Who binds the function: udev's rule, or the commands that the driver names.
    bind: &'static str,
    /// Test programs and their arguments; FUNCTION is replaced by the PCI address.
    tests: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy, PartialEq)]
enum Kernel {
    /// Debian's own, with its modules.
    Debian,
    /// Built here: iommufd, no VFIO groups, no modules.
    Iommufd,
}

const CARD: &str = "0xf4e0:0x0b0c";
const INTEL: &[&str] = &["-device", "intel-iommu,intremap=on,caching-mode=on"];
const CONFORMANCE: (&str, &str) = ("conformance", "--nocapture the_card_named_by_the_environment_passes_the_suite");
const BOOTSTRAPS: (&str, &str) = ("full_size", "--nocapture");
const PROCESSES: (&str, &str) = ("processes", "vfio:FUNCTION");
const MEMORY_LOCK: (&str, &str) = ("memlock", "vfio:FUNCTION");

const MACHINES: [Machine; 5] = [
    Machine {
        name: "intel-iommu",
        kernel: Kernel::Debian,
        device: CARD,
        kernel_arguments: "intel_iommu=on",
        iommu: INTEL,
        degree: Some(256),
        bind: "udev",
        tests: &[CONFORMANCE, PROCESSES, MEMORY_LOCK],
    },
    Machine {
        name: "full-size",
        kernel: Kernel::Debian,
        device: CARD,
        kernel_arguments: "intel_iommu=on",
        iommu: INTEL,
        degree: Some(2048),
        bind: "udev",
        tests: &[BOOTSTRAPS],
    },
    Machine {
        name: "virtio-iommu",
        kernel: Kernel::Debian,
        device: CARD,
        kernel_arguments: "virtio",
        iommu: &["-device", "virtio-iommu-pci"],
        degree: Some(256),
        bind: "named",
        tests: &[CONFORMANCE],
    },
    Machine {
        name: "edu",
        kernel: Kernel::Debian,
        device: "0x1234:0x11e8",
        kernel_arguments: "intel_iommu=on",
        iommu: &["-device", "intel-iommu,intremap=on,caching-mode=on", "-device", "edu"],
        degree: None,
        bind: "named",
        tests: &[("edu", "vfio:FUNCTION")],
    },
    Machine {
        name: "iommufd",
        kernel: Kernel::Iommufd,
        device: CARD,
        kernel_arguments: "intel_iommu=on",
        iommu: INTEL,
        degree: Some(256),
        bind: "named",
        tests: &[CONFORMANCE, PROCESSES, MEMORY_LOCK],
    },
];

pub(crate) fn run(arguments: &Arguments) -> Result<(), TaskError> {
    let chosen = |m: &&Machine| arguments.only.as_ref().map_or(m.kernel == Kernel::Debian, |only| only == m.name);
    let machines: Vec<&Machine> = MACHINES.iter().filter(chosen).collect();
    if machines.is_empty() {
        let names: Vec<&str> = MACHINES.iter().map(|m| m.name).collect();
        return Err(format!("no machine is called {:?}; they are {}", arguments.only, names.join(", ")).into());
    }
    setup_verilator()?;
    let parts = Parts::get(&machines)?;
    let programs = guest_programs()?;
    let booted = |machine: &&Machine| {
        let started = Instant::now();
        let outcome = parts.boot(machine, &programs, arguments);
        let seconds = started.elapsed().as_secs_f64();
        match &outcome {
            Ok(()) => println!("{:<14} ok      {seconds:6.1} s", machine.name),
            Err(error) => println!("{:<14} FAILED  {seconds:6.1} s: {error}", machine.name),
        }
        outcome.is_ok()
    };
    // The long one beside the others, which take turns.
    let (long, short): (Vec<&Machine>, Vec<&Machine>) = machines.iter().partition(|m| m.degree == Some(2048));
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let long = scope.spawn(|| long.into_iter().filter(|m| !booted(m)).collect::<Vec<_>>());
        let mut failed: Vec<&Machine> = short.into_iter().filter(|m| !booted(m)).collect();
        failed.extend(long.join().unwrap_or_else(|_| vec![&MACHINES[1]]));
        failed.into_iter().map(|m| m.name).collect()
    });
    if arguments.only.is_none() {
        println!("iommufd        not run: Debian's kernels lack it; `cargo xtask vm-test --only iommufd` builds one");
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed in the guest: {}", failed.join(", ")).into()) }
}

/// Builds the test programs without a dynamic linker, for the guest has no libraries; returns (name, path).
fn guest_programs() -> Result<Vec<(String, PathBuf)>, TaskError> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let folder = release_folder().with_file_name("guest");
    let build = |arguments: &[&str]| -> Result<Vec<(String, PathBuf)>, TaskError> {
        let output = Command::new(cargo_program())
            .args(arguments)
            .args(["--release", "--message-format=json", "--target", &target, "--target-dir"])
            .arg(&folder)
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            .current_dir(root())
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("`cargo {}` failed", arguments.join(" ")).into());
        }
        let mut found = vec![];
        for line in output.stdout.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            let message: serde_json::Value = serde_json::from_slice(line)?;
            if let (Some(path), Some(name)) = (message["executable"].as_str(), message["target"]["name"].as_str()) {
                found.push((name.to_string(), PathBuf::from(path)));
            }
        }
        Ok(found)
    };
    println!("\n=== test programs for the guest");
    // With the feature the driver goes by groups all the same where there is no iommufd.
    let package = ["--package", "glovebox-driver", "--features", "iommufd"];
    let mut tests = vec!["test", "--no-run", "--test", "conformance", "--test", "full_size"];
    tests.extend(package);
    let mut found = build(&tests)?;
    let mut examples = vec!["build"];
    examples.extend(["edu", "memlock", "processes", "usable"].iter().flat_map(|name| ["--example", name]));
    examples.extend(package);
    found.extend(build(&examples)?);
    Ok(found)
}

/// QEMU, kernels, busybox and udev, unpacked.
struct Parts {
    folder: PathBuf,
}

impl Parts {
    /// Fetches what is not there yet.
    fn get(machines: &[&Machine]) -> Result<Self, TaskError> {
        let parts = Self { folder: tools_dir().join(format!("vm-{RELEASE}")) };
        let mut ready = false;
        parts.part("qemu", &QEMU_PACKAGES, &[], &mut ready)?;
        parts.part("kernel", &KERNEL_PACKAGES, &["linux-image-", "busybox-static"], &mut ready)?;
        parts.part("udev", &UDEV_PACKAGES, &[], &mut ready)?;
        if machines.iter().any(|m| m.kernel == Kernel::Iommufd) {
            parts.part("source", &[SOURCE], &["linux-source-"], &mut ready)?;
            parts.build_kernel()?;
        }
        println!("QEMU and a kernel are in {}", parts.folder.display());
        Ok(parts)
    }

    /// One folder of unpacked packages: those whose names start with one of `wanted`, or all.
    fn part(&self, name: &str, packages: &[&str], wanted: &[&str], ready: &mut bool) -> Result<(), TaskError> {
        let (folder, complete) = (self.folder.join(name), self.folder.join(format!("{name}.complete")));
        if complete.is_file() {
            return Ok(());
        }
        show(&format!("fetching {name} from Debian's archive"), || {
            let _ = std::fs::remove_dir_all(&folder);
            if !std::mem::replace(ready, true) {
                self.prepare_apt()?;
            }
            let archives = self.folder.join("apt/cache/archives");
            std::fs::create_dir_all(archives.join("partial"))?;
            let mut install = vec!["install", "--yes", "--download-only"];
            install.extend(packages);
            self.apt(&install)?;
            unpack(&archives, &folder, |name| wanted.is_empty() || wanted.iter().any(|start| name.starts_with(start)))?;
            std::fs::remove_dir_all(archives)?;
            Ok(std::fs::write(complete, "")?)
        })
    }

    /// A package manager of this folder's own: it reads and writes nothing of the system but the archive's keys.
    fn prepare_apt(&self) -> Result<(), TaskError> {
        let apt = self.folder.join("apt");
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(apt.join(folder))?;
        }
        std::fs::write(apt.join("status"), "")?;
        let (mirror, keys) = debian_mirror()?;
        let source = |suite: &str| format!("deb [signed-by={}] {mirror} {suite} main\n", keys.display());
        std::fs::write(apt.join("sources.list"), source(RELEASE) + &source(&format!("{RELEASE}-backports")))?;
        let at = |name: &str| apt.join(name).display().to_string();
        let config = format!(
            "Dir::State \"{}\";\nDir::State::status \"{}\";\nDir::Cache \"{}\";\nDir::Etc::sourcelist \"{}\";\n\
             Dir::Etc::sourceparts \"{}\";\nDir::Etc::preferences \"{}\";\nDir::Etc::preferencesparts \"{}\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\nAPT::Install-Recommends \"false\";\n\
             APT::Sandbox::User \"\";\nAcquire::Languages \"none\";\nDebug::NoLocking \"true\";\n",
            at("state"),
            at("status"),
            at("cache"),
            at("sources.list"),
            at("none"),
            at("none"),
            at("none"),
        );
        std::fs::write(apt.join("apt.conf"), config)?;
        self.apt(&["update"])
    }

    /// The image of the kernel with iommufd.
    fn iommufd_kernel(&self) -> PathBuf {
        self.folder.join("vmlinuz-iommufd")
    }

    /// Builds the kernel with iommufd, once: some minutes.
    fn build_kernel(&self) -> Result<(), TaskError> {
        if self.iommufd_kernel().is_file() {
            return Ok(());
        }
        for tool in ["make", "gcc", "flex", "bison", "bc"] {
            let there = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            if !there.is_ok_and(|status| status.success()) {
                let fix = "sudo apt-get install build-essential flex bison bc libelf-dev";
                return Err(format!("{tool} is missing, which building a kernel takes: {fix}").into());
            }
        }
        let archive = self.folder.join(format!("source/usr/src/{SOURCE}.tar.xz"));
        let tree = self.folder.join(SOURCE);
        let step = |program: &str, arguments: &[&str], folder: &Path| -> Result<(), TaskError> {
            let output = Command::new(program).args(arguments).current_dir(folder).stdin(Stdio::null()).output()?;
            if output.status.success() {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&output.stderr);
            Err(format!("`{program} {}` failed: {}", arguments.join(" "), text.trim()).into())
        };
        show("building a kernel with iommufd", || {
            let _ = std::fs::remove_dir_all(&tree);
            step("tar", &["-xJf", &archive.display().to_string()], &self.folder)?;
            step("make", &["tinyconfig"], &tree)?;
            let config = tree.join(".config");
            let text = std::fs::read_to_string(&config)? + include_str!("vm/iommufd.config");
            std::fs::write(&config, text)?;
            step("make", &["olddefconfig"], &tree)?;
            let jobs = format!("-j{}", std::thread::available_parallelism()?);
            step("make", &[&jobs, "bzImage"], &tree)?;
            std::fs::copy(tree.join("arch/x86/boot/bzImage"), self.iommufd_kernel())?;
            Ok(std::fs::remove_dir_all(&tree)?)
        })
    }

    fn apt(&self, arguments: &[&str]) -> Result<(), TaskError> {
        let output = Command::new("apt-get")
            .args(arguments)
            .env("APT_CONFIG", self.folder.join("apt").join("apt.conf"))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("could not run apt-get: {e}; this test fetches QEMU and a kernel with it"))?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr).trim().to_string();
        Err(format!("`apt-get {}` failed: {text}", arguments.join(" ")).into())
    }

    fn busybox(&self) -> Result<PathBuf, TaskError> {
        ["bin/busybox", "usr/bin/busybox"]
            .iter()
            .map(|path| self.folder.join("kernel").join(path))
            .find(|path| path.is_file())
            .ok_or_else(|| "the package busybox-static holds no busybox".into())
    }

    /// The only file of a folder under `kernel/` whose name starts so.
    fn find(&self, under: &str, start: &str) -> Result<PathBuf, TaskError> {
        let folder = self.folder.join("kernel").join(under);
        std::fs::read_dir(&folder)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)))
            .ok_or_else(|| format!("{}: no {start}*", folder.display()).into())
    }

    /// Writes the guest's file system.
    fn initramfs(&self, machine: &Machine, programs: &[(String, PathBuf)]) -> Result<PathBuf, TaskError> {
        let tree = self.folder.join(format!("initramfs-{}", machine.name));
        let _ = std::fs::remove_dir_all(&tree);
        for folder in ["bin", "sbin", "proc", "sys", "dev", "tmp", "etc", "tools", "tests", "tests.arguments"] {
            std::fs::create_dir_all(tree.join(folder))?;
        }
        let busybox = self.busybox()?;
        std::fs::copy(&busybox, tree.join("bin/busybox"))?;
        std::fs::write(tree.join("etc/passwd"), "root:x:0:0::/:/bin/sh\ntester:x:1000:1000::/tmp:/bin/sh\n")?;
        // The groups that Debian's udev expects, and the one of the driver's README.
        let own = "root:x:0:\ntester:x:1000:\nglovebox:x:990:tester\n";
        let expected = ["tty", "dialout", "kmem", "input", "video", "audio", "lp", "disk", "cdrom", "tape", "kvm"];
        let expected = ["render", "sgx", "clock"].iter().chain(&expected).zip(100..);
        let groups: String = expected.map(|(name, number)| format!("{name}:x:{number}:\n")).collect();
        std::fs::write(tree.join("etc/group"), own.to_string() + &groups)?;
        let init = tree.join("init");
        std::fs::write(&init, include_str!("vm/init.sh"))?;
        std::fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        if machine.kernel == Kernel::Debian {
            self.add_modules(&tree)?;
            self.add_udev(&tree)?;
        } else {
            // Everything is built in, so there is nothing to load.
            let modprobe = tree.join("sbin/modprobe");
            std::fs::write(&modprobe, "#!/bin/sh\n")?;
            std::fs::set_permissions(&modprobe, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        }
        if machine.kernel_arguments.contains("virtio") {
            // virtio-iommu has no interrupt remapping.
            let options = "options vfio_iommu_type1 allow_unsafe_interrupts=1\n";
            std::fs::create_dir_all(tree.join("etc/modprobe.d"))?;
            std::fs::write(tree.join("etc/modprobe.d/vfio.conf"), options)?;
        }
        let program = |name: &str| {
            let found = programs.iter().find(|(program, _)| program == name).map(|(_, path)| path);
            found.ok_or_else(|| format!("no program {name} was built"))
        };
        std::fs::copy(program("usable")?, tree.join("tools/usable"))?;
        for (test, arguments) in machine.tests {
            std::fs::copy(program(test)?, tree.join("tests").join(test))?;
            std::fs::write(tree.join("tests.arguments").join(test), arguments)?;
        }
        let archive = self.folder.join(format!("initramfs-{}.cpio", machine.name));
        let list = format!("cd '{}' && '{b}' find . | '{b}' cpio -o -H newc", tree.display(), b = busybox.display());
        let status = Command::new(&busybox)
            .args(["sh", "-c", &list])
            .stdout(std::fs::File::create(&archive)?)
            .stderr(Stdio::null())
            .status()?;
        if status.success() { Ok(archive) } else { Err("could not pack the guest's file system".into()) }
    }

    /// The modules that the guest needs, with the tables that modprobe reads.
    fn add_modules(&self, tree: &Path) -> Result<(), TaskError> {
        let modules = self.find("usr/lib/modules", "").or_else(|_| self.find("lib/modules", ""))?;
        let version = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = tree.join("usr/lib/modules").join(&version);
        std::fs::create_dir_all(&target)?;
        std::os::unix::fs::symlink("usr/lib", tree.join("lib"))?;
        let busybox = self.busybox()?;
        for module in MODULES {
            let found = find_file(&modules, &format!("{module}.ko"))
                .ok_or_else(|| format!("the kernel has no module {module}"))?;
            let bytes = match found.extension().and_then(|e| e.to_str()) {
                Some("xz") => Command::new(&busybox).args(["xz", "-dc"]).arg(&found).output()?.stdout,
                Some("ko") => std::fs::read(&found)?,
                other => return Err(format!("{}: compressed in an unknown way {other:?}", found.display()).into()),
            };
            std::fs::write(target.join(format!("{module}.ko")), bytes)?;
        }
        for table in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
            // Not every kernel has each.
            let _ = std::fs::copy(modules.join(table), target.join(table));
        }
        let libraries = self.folder.join("udev/usr/lib/x86_64-linux-gnu");
        let depmod = Command::new(libraries.join("ld-linux-x86-64.so.2"))
            .args(["--argv0", "depmod", "--library-path"])
            .arg(&libraries)
            .arg(self.folder.join("udev/usr/bin/kmod"))
            .arg("-b")
            .arg(tree)
            .arg(&version)
            .output()?;
        if depmod.status.success() {
            return Ok(());
        }
        Err(format!("depmod failed: {}", String::from_utf8_lossy(&depmod.stderr).trim()).into())
    }

    /// Debian's udev and modprobe with their libraries, and the driver's rule.
    fn add_udev(&self, tree: &Path) -> Result<(), TaskError> {
        let from = self.folder.join("udev");
        for folder in ["usr/lib/x86_64-linux-gnu", "usr/lib/systemd", "usr/bin", "usr/lib64", "etc/udev/rules.d", "run"]
        {
            std::fs::create_dir_all(tree.join(folder))?;
        }
        std::os::unix::fs::symlink("usr/lib64", tree.join("lib64"))?;
        let libraries = "usr/lib/x86_64-linux-gnu";
        copy_files(&from.join(libraries), &tree.join(libraries), |name| name.contains(".so"))?;
        let shared = "usr/lib/x86_64-linux-gnu/systemd";
        std::fs::create_dir_all(tree.join(shared))?;
        copy_files(&from.join(shared), &tree.join(shared), |name| name.starts_with("libsystemd-shared"))?;
        let loader = "ld-linux-x86-64.so.2";
        std::os::unix::fs::symlink(format!("../lib/x86_64-linux-gnu/{loader}"), tree.join("usr/lib64").join(loader))?;
        std::fs::copy(from.join("usr/bin/udevadm"), tree.join("usr/bin/udevadm"))?;
        std::os::unix::fs::symlink("../../bin/udevadm", tree.join("usr/lib/systemd/systemd-udevd"))?;
        std::fs::copy(from.join("usr/bin/kmod"), tree.join("usr/bin/kmod"))?;
        std::os::unix::fs::symlink("/usr/bin/kmod", tree.join("sbin/modprobe"))?;
        let rule = root().join("driver/system/70-glovebox.rules");
        std::fs::copy(rule, tree.join("etc/udev/rules.d/70-glovebox.rules"))?;
        Ok(())
    }

    /// The QEMU of the unpacked tree, run with that tree's own libraries.
    fn qemu(&self) -> Command {
        let usr = self.folder.join("qemu").join("usr");
        let libraries = usr.join("lib").join("x86_64-linux-gnu");
        let path = ["", "pulseaudio", "blas", "lapack"].map(|sub| libraries.join(sub).display().to_string()).join(":");
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(path).arg(usr.join("bin").join("qemu-system-x86_64"));
        command.arg("-L").arg(usr.join("share/qemu")).arg("-L").arg(usr.join("share/seabios"));
        command
    }

    /// Boots the machine, runs its tests and judges what the guest prints.
    fn boot(&self, machine: &Machine, programs: &[(String, PathBuf)], options: &Arguments) -> Result<(), TaskError> {
        let initramfs = self.initramfs(machine, programs)?;
        let folder = tempfile::Builder::new().prefix("glovebox-vm-").tempdir()?;
        let socket = folder.path().join("card.sock");
        let serve = |degree| -> Result<_, TaskError> {
            let card = CardBuild::new(options.lanes, degree).memory_bytes(CARD_MEMORY_BYTES).build()?;
            Ok(card.serve(&socket)?)
        };
        let _server = machine.degree.map(serve).transpose()?;
        let kernel = match machine.kernel {
            Kernel::Debian => self.find("boot", "vmlinuz-")?,
            Kernel::Iommufd => self.iommufd_kernel(),
        };
        // On a loaded machine the kernel's test of its timer fails for want of ticks, and it panics.
        let append = format!(
            "console=ttyS0 panic=-1 quiet loglevel=3 no_timer_check {} glovebox.device={} glovebox.bind={}",
            machine.kernel_arguments, machine.device, machine.bind
        );
        let mut qemu = self.qemu();
        qemu.args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048"])
            // Shared, because the card server maps the guest's memory.
            .args(["-object", "memory-backend-memfd,id=ram,size=2048M,share=on", "-machine", "memory-backend=ram"])
            .args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"])
            .args(machine.iommu);
        if machine.degree.is_some() {
            let device = serde_json::json!({
                "driver": "vfio-user-pci", "bus": "rp0", "socket": { "type": "unix", "path": socket },
            });
            qemu.args(["-device", "pcie-root-port,id=rp0,chassis=1,slot=1,addr=0x4"]);
            qemu.args(["-device", &device.to_string()]);
        }
        qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs).args(["-append", &append]);
        let log = self.folder.join(format!("{}.log", machine.name));
        let qemu = qemu
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(std::fs::File::create(self.folder.join(format!("{}.qemu.log", machine.name)))?))
            .spawn()
            .map_err(|e| format!("could not start QEMU: {e}"))?;
        let lines = watch(Killed(qemu), &log, options.verbose)?;
        judge(machine, &lines).map_err(|why| format!("{why}; the guest's words are in {}", log.display()).into())
    }
}

/// A child that does not outlive its owner.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads the guest's console until it powers off; kills it when its time is over.
fn watch(mut qemu: Killed, log: &Path, verbose: bool) -> Result<Vec<String>, TaskError> {
    let Some(output) = qemu.0.stdout.take() else { return Err("QEMU has no output".into()) };
    let (send, lines) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { break };
            if send.send(String::from_utf8_lossy(&line).trim_end().to_string()).is_err() {
                break;
            }
        }
    });
    let mut file = std::fs::File::create(log)?;
    let deadline = Instant::now() + TIMEOUT;
    let mut all = vec![];
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                writeln!(file, "{line}")?;
                if verbose || line.contains("GLOVEBOX-VM") {
                    println!("  {}", line.trim_start_matches("GLOVEBOX-VM "));
                }
                all.push(line);
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                return Err(format!("the guest does not end within {} s", TIMEOUT.as_secs()).into());
            }
        }
    }
    // The channel is closed, so the reader is done.
    let _ = reader.join();
    Ok(all)
}

/// Every test must have said ok, and the guest must have come to its end.
fn judge(machine: &Machine, lines: &[String]) -> Result<(), String> {
    let has = |text: &str| lines.iter().any(|line| line.starts_with(text));
    if let Some(error) = lines.iter().find(|line| line.starts_with("GLOVEBOX-VM error")) {
        return Err(error.clone());
    }
    for (test, _) in machine.tests {
        if !has(&format!("GLOVEBOX-VM ok {test}")) {
            return Err(format!("{test} did not pass"));
        }
    }
    if has("GLOVEBOX-VM end") { Ok(()) } else { Err("the guest stopped early".into()) }
}

/// The archive that this machine uses already, and the keys it is signed with.
fn debian_mirror() -> Result<(String, PathBuf), TaskError> {
    let keys = ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .ok_or("Debian's archive keys are not installed: sudo apt-get install debian-archive-keyring")?;
    if let Ok(mirror) = std::env::var("GLOVEBOX_DEBIAN_MIRROR") {
        return Ok((mirror, keys));
    }
    let mut texts = vec![std::fs::read_to_string("/etc/apt/sources.list").unwrap_or_default()];
    for entry in std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten() {
        texts.push(std::fs::read_to_string(entry.path()).unwrap_or_default());
    }
    let is_mirror = |word: &&str| {
        (word.starts_with("http://") || word.starts_with("https://")) && word.trim_end_matches('/').ends_with("/debian")
    };
    texts
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"))
        .flat_map(str::split_whitespace)
        .find(is_mirror)
        .map(|mirror| (mirror.to_string(), keys))
        .ok_or_else(|| "this machine uses no Debian archive: name one in GLOVEBOX_DEBIAN_MIRROR".into())
}

/// Unpacks the packages of a folder whose names are wanted.
fn unpack(archives: &Path, into: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), TaskError> {
    std::fs::create_dir_all(into)?;
    for entry in std::fs::read_dir(archives)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.ends_with(".deb") || !wanted(&name) {
            continue;
        }
        let status = Command::new("dpkg-deb").arg("--extract").arg(&path).arg(into).status();
        if !status.map_err(|e| format!("could not run dpkg-deb: {e}"))?.success() {
            return Err(format!("could not unpack {name}").into());
        }
    }
    Ok(())
}

/// Copies the files and links of a folder, not its folders, whose names are wanted.
fn copy_files(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), TaskError> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if !wanted(&name.to_string_lossy()) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, to.join(&name))?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}

/// The first file under `folder` whose name starts with `start`.
fn find_file(folder: &Path, start: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find_file(&path, start) {
                return Some(found);
            }
        } else if entry.file_name().to_string_lossy().starts_with(start) {
            return Some(path);
        }
    }
    None
}
