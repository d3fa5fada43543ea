//! `cargo xtask vm-test`: the driver through a real kernel, without a card.
//!
//! A Debian kernel boots in QEMU with a virtual IOMMU; the card is the Verilated RTL behind a vfio-user socket, so the
//! guest sees a PCIe function. Stock vfio-pci is bound to it, and the same test programs that run elsewhere run there as
//! a normal user. QEMU and the kernel come from Debian's archive into the build folder, without root.

use crate::{TaskError, cargo, cargo_program, release_folder, root, setup_verilator, show};
use glovebox_sim::verilator::tools_dir;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this machine: intel-iommu, virtio-iommu or edu.
    #[arg(long)]
    only: Option<String>,
    /// Lanes of the simulated card.
    #[arg(long, default_value_t = 8)]
    lanes: usize,
    /// Print everything that the guest prints.
    #[arg(long)]
    verbose: bool,
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
const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";
const MODULES: [&str; 6] = ["irqbypass", "virtio-iommu", "vfio", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci"];
/// Longest time for one machine, boot to power-off.
const TIMEOUT: Duration = Duration::from_secs(600);

/// One virtual machine and what runs in it.
struct Machine {
    name: &'static str,
    /// vendor:device of the function under test.
    device: &'static str,
    kernel_arguments: &'static str,
    iommu: &'static [&'static str],
    with_card: bool,
    /// Test programs and their arguments; FUNCTION is replaced by the PCI address.
    tests: &'static [(&'static str, &'static str)],
}

const CONFORMANCE: (&str, &str) = ("conformance", "--nocapture the_card_named_by_the_environment_passes_the_suite");
const BOOTSTRAPS: (&str, &str) = ("card", "--nocapture --exact full_size_bootstrap_on_the_card_equals_golden");
const MEMORY_LOCK: (&str, &str) = ("memlock", "vfio:FUNCTION");

const MACHINES: [Machine; 3] = [
    Machine {
        name: "intel-iommu",
        device: "0xf4e0:0x0b0c",
        kernel_arguments: "intel_iommu=on",
        iommu: &["-device", "intel-iommu,intremap=on,caching-mode=on"],
        with_card: true,
        tests: &[BOOTSTRAPS, CONFORMANCE, MEMORY_LOCK],
    },
    Machine {
        name: "virtio-iommu",
        device: "0xf4e0:0x0b0c",
        kernel_arguments: "virtio",
        iommu: &["-device", "virtio-iommu-pci"],
        with_card: true,
        tests: &[CONFORMANCE],
    },
    Machine {
        name: "edu",
        device: "0x1234:0x11e8",
        kernel_arguments: "intel_iommu=on",
        iommu: &["-device", "intel-iommu,intremap=on,caching-mode=on", "-device", "edu"],
        with_card: false,
        tests: &[("edu", "vfio:FUNCTION")],
    },
];

pub(crate) fn run(arguments: &Arguments) -> Result<(), TaskError> {
    let machines: Vec<&Machine> =
        MACHINES.iter().filter(|m| arguments.only.as_ref().is_none_or(|only| only == m.name)).collect();
    if machines.is_empty() {
        let names: Vec<&str> = MACHINES.iter().map(|m| m.name).collect();
        return Err(format!("no machine is called {:?}; they are {}", arguments.only, names.join(", ")).into());
    }
    setup_verilator()?;
    let parts = Parts::get()?;
    let programs = guest_programs()?;
    cargo(&["build", "--release", "--package", "glovebox-cli"])?;
    let mut failed = vec![];
    for machine in machines {
        let started = Instant::now();
        let outcome = parts.boot(machine, &programs, arguments);
        let seconds = started.elapsed().as_secs_f64();
        match &outcome {
            Ok(()) => println!("{:<14} ok      {seconds:6.1} s", machine.name),
            Err(error) => {
                println!("{:<14} FAILED  {seconds:6.1} s: {error}", machine.name);
                failed.push(machine.name);
            }
        }
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
    let packages = ["--package", "glovebox-driver", "--package", "glovebox"];
    let mut tests = vec!["test", "--no-run", "--test", "conformance", "--test", "card"];
    tests.extend(packages);
    let mut found = build(&tests)?;
    found.extend(build(&["build", "--package", "glovebox-driver", "--example", "edu", "--example", "memlock"])?);
    Ok(found)
}

/// QEMU, a kernel and busybox, unpacked.
struct Parts {
    folder: PathBuf,
}

impl Parts {
    /// Fetches what is not there yet.
    fn get() -> Result<Self, TaskError> {
        let folder = tools_dir().join(format!("vm-{RELEASE}"));
        let parts = Self { folder };
        if !parts.folder.join("complete").is_file() {
            let _ = std::fs::remove_dir_all(&parts.folder);
            show("fetching QEMU and a Debian kernel", || parts.fetch())?;
            std::fs::write(parts.folder.join("complete"), "")?;
        }
        println!("QEMU and a kernel are in {}", parts.folder.display());
        Ok(parts)
    }

    /// A package manager of this folder's own: it reads and writes nothing of the system but the archive's keys.
    fn fetch(&self) -> Result<(), TaskError> {
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
        self.apt(&["update"])?;
        let mut install = vec!["install", "--yes", "--download-only"];
        install.extend(QEMU_PACKAGES);
        self.apt(&install)?;
        let archives = apt.join("cache").join("archives");
        unpack(&archives, &self.folder.join("qemu"), |_| true)?;
        self.apt(&["install", "--yes", "--download-only", KERNEL_PACKAGE, "busybox-static"])?;
        let wanted = |name: &str| name.starts_with("linux-image-") || name.starts_with("busybox-static");
        unpack(&archives, &self.folder.join("kernel"), wanted)?;
        Ok(std::fs::remove_dir_all(archives)?)
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
        for folder in ["bin", "proc", "sys", "dev", "tmp", "etc", "modules", "tests", "tests.arguments"] {
            std::fs::create_dir_all(tree.join(folder))?;
        }
        let busybox = self.busybox()?;
        std::fs::copy(&busybox, tree.join("bin/busybox"))?;
        std::fs::write(tree.join("etc/passwd"), "root:x:0:0::/:/bin/sh\ntester:x:1000:1000::/tmp:/bin/sh\n")?;
        std::fs::write(tree.join("etc/group"), "root:x:0:\ntester:x:1000:\n")?;
        let init = tree.join("init");
        std::fs::write(&init, include_str!("vm/init.sh"))?;
        std::fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let modules = self.find("usr/lib/modules", "").or_else(|_| self.find("lib/modules", ""))?;
        for module in MODULES {
            let found = find_file(&modules, &format!("{module}.ko"))
                .ok_or_else(|| format!("the kernel has no module {module}"))?;
            let bytes = match found.extension().and_then(|e| e.to_str()) {
                Some("xz") => Command::new(&busybox).args(["xz", "-dc"]).arg(&found).output()?.stdout,
                Some("ko") => std::fs::read(&found)?,
                other => return Err(format!("{}: compressed in an unknown way {other:?}", found.display()).into()),
            };
            std::fs::write(tree.join("modules").join(format!("{module}.ko")), bytes)?;
        }
        for (test, arguments) in machine.tests {
            let (_, program) = programs
                .iter()
                .find(|(name, _)| name == test)
                .ok_or_else(|| format!("no test program {test} was built"))?;
            std::fs::copy(program, tree.join("tests").join(test))?;
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
        let _server = if machine.with_card { Some(Server::start(&socket, options.lanes)?) } else { None };
        let kernel = self.find("boot", "vmlinuz-")?;
        let append = format!(
            "console=ttyS0 panic=-1 quiet loglevel=3 {} glovebox.device={}",
            machine.kernel_arguments, machine.device
        );
        let mut qemu = self.qemu();
        qemu.args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048"])
            // Shared, because the card server maps the guest's memory.
            .args(["-object", "memory-backend-memfd,id=ram,size=2048M,share=on", "-machine", "memory-backend=ram"])
            .args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"])
            .args(machine.iommu);
        if machine.with_card {
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

/// The card server, a process of its own.
struct Server(#[allow(dead_code)] Killed);

impl Server {
    fn start(socket: &Path, lanes: usize) -> Result<Self, TaskError> {
        let child = Command::new(release_folder().join("glovebox"))
            .args(["serve", "--lanes", &lanes.to_string(), "--socket"])
            .arg(socket)
            .stdin(Stdio::null())
            .spawn()?;
        let mut server = Killed(child);
        // Building the model comes first, when it is not cached.
        let deadline = Instant::now() + TIMEOUT;
        while !socket.exists() {
            if let Some(status) = server.0.try_wait()? {
                return Err(format!("the card server ended ({status})").into());
            }
            if Instant::now() > deadline {
                return Err("the card server does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self(server))
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
