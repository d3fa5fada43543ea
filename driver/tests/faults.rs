//! Everything that can go wrong between a host and its card, one test each: a typed error in bounded time or transparent
//! recovery; every command either answered right or given back with its source untouched; the next batch right.
//!
//! Each test prints a row of the table that `cargo xtask faults` shows.
#![allow(clippy::print_stdout)]

use glovebox_driver::bus::Bus;
use glovebox_driver::card::CardBackend;
use glovebox_driver::in_process::InProcessBus;
use glovebox_driver::memory::HostMemory;
use glovebox_driver::model::{Fault, ModelConfig, SoftwareCard};
use glovebox_driver::vfio_user::server::CardServer;
use glovebox_driver::{
    Command, CompletionMode, Device, DeviceConfig, DmaBuffer, Error, Iova, IovaRange, Result, Ticket,
};
use glovebox_golden::ntt::NegacyclicNtt;
use glovebox_regmap::{Descriptor, Opcode, StatusCode};
use std::io::BufRead;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use vmm_sys_util::eventfd::EventFd;

/// Longer than any recovery: whoever waits that long waits forever.
const FOREVER: Duration = Duration::from_secs(30);
const DEGREE: usize = 256;
/// Commands of a batch.
const BATCH: usize = 8;

fn config() -> DeviceConfig {
    DeviceConfig {
        command_timeout: Duration::from_millis(400),
        reset_timeout: Duration::from_millis(200),
        reply_timeout: Duration::from_secs(2),
        ..DeviceConfig::default()
    }
}

fn software_card() -> Arc<SoftwareCard> {
    Arc::new(SoftwareCard::new(ModelConfig::default()).unwrap())
}

fn open(card: &Arc<SoftwareCard>) -> Device {
    let bus = InProcessBus::new("model", Arc::clone(card) as Arc<dyn CardBackend>);
    Device::from_bus(Arc::new(bus), config()).unwrap()
}

fn polynomial(seed: u64) -> Vec<u64> {
    (0..DEGREE as u64).map(|i| (i + 1).wrapping_mul(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 1).collect()
}

fn transformed(words: &[u64]) -> Vec<u64> {
    let mut words: Vec<u64> = words.iter().map(|&w| glovebox_golden::field::reduce(w)).collect();
    NegacyclicNtt::new(DEGREE).unwrap().forward_bit_reversed(&mut words).unwrap();
    words
}

/// A batch of transforms, out of place.
struct Batch {
    jobs: Vec<(Vec<u64>, DmaBuffer, DmaBuffer, Ticket)>,
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Outcome {
    right: usize,
    errors: Vec<Error>,
}

impl Batch {
    fn submit(device: &Device) -> Result<Self> {
        let bytes = DEGREE * 8;
        let buffers: Vec<_> = (0..BATCH as u64)
            .map(|seed| {
                let words = polynomial(seed + 1);
                let (source, destination) = (device.allocate(bytes)?, device.allocate(bytes)?);
                source.write_words(0, &words)?;
                Ok((words, source, destination))
            })
            .collect::<Result<_>>()?;
        let commands: Vec<Command> = buffers
            .iter()
            .map(|(_, source, destination)| {
                Ok(Command::Ntt { source: source.slice(0, bytes)?, destination: destination.slice(0, bytes)? })
            })
            .collect::<Result<_>>()?;
        let tickets = device.submit(0, &commands)?;
        Ok(Self { jobs: buffers.into_iter().zip(tickets).map(|((w, s, d), t)| (w, s, d, t)).collect() })
    }

    /// Waits for every command; each must be right, or an error with its source untouched.
    fn collect(self) -> Outcome {
        let mut outcome = Outcome::default();
        for (words, source, destination, ticket) in self.jobs {
            let mut kept = vec![0; DEGREE];
            match ticket.wait_timeout(FOREVER) {
                Ok(_) => {
                    destination.read_words(0, &mut kept).unwrap();
                    assert_eq!(kept, transformed(&words), "an answer is wrong");
                    outcome.right += 1;
                }
                Err(Error::StillRunning { .. }) => panic!("a command hangs"),
                Err(error) => {
                    source.read_words(0, &mut kept).unwrap();
                    assert_eq!(kept, words, "the source of a command that failed was changed");
                    outcome.errors.push(error);
                }
            }
        }
        outcome
    }
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Aborted { .. } => "Aborted",
        Error::CommandTimeout { .. } => "CommandTimeout",
        Error::DeviceLost { .. } => "DeviceLost",
        Error::CommandFailed { .. } => "CommandFailed",
        Error::Busy { .. } => "Busy",
        Error::OutOfIova { .. } => "OutOfIova",
        Error::PeerGone { .. } => "PeerGone",
        Error::MemoryLock { .. } => "MemoryLock",
        _ => "another error",
    }
}

impl Outcome {
    fn kinds(&self) -> Vec<&'static str> {
        let mut kinds: Vec<_> = self.errors.iter().map(kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    fn text(&self) -> String {
        let given_back = self.errors.len();
        if given_back == 0 {
            return format!("{} of {} answered right", self.right, self.right);
        }
        format!("{} answered right, {given_back} given back untouched ({})", self.right, self.kinds().join(", "))
    }
}

fn row(fault: &str, seen: &str, after: &str) {
    println!("fault-table\t{fault}\t{seen}\t{after}");
}

/// The device still does a whole batch right.
fn still_right(device: &Device) {
    let outcome = Batch::submit(device).unwrap().collect();
    assert_eq!(outcome.right, BATCH, "{outcome:?}");
}

/// A fault of the software card in mid-batch that the driver recovers from.
fn recovered(fault: Fault, name: &str, expected: &[&str]) {
    let card = software_card();
    let device = open(&card);
    still_right(&device);
    card.inject(fault);
    let outcome = Batch::submit(&device).unwrap().collect();
    assert_eq!(outcome.right + outcome.errors.len(), BATCH);
    assert!(!outcome.errors.is_empty() && outcome.kinds().iter().all(|k| expected.contains(k)), "{outcome:?}");
    assert!(outcome.errors.iter().all(Error::is_retryable));
    still_right(&device);
    assert_eq!(device.health().recoveries, 1);
    row(name, &outcome.text(), "card reset, next batch right");
}

#[test]
fn hung_engine_is_reset_by_the_watchdog() {
    recovered(Fault::Hang, "hung engine", &["Aborted", "CommandTimeout"]);
}

#[test]
fn hung_engine_that_ignores_soft_resets_is_reset_by_function() {
    recovered(Fault::HangHard, "hung engine, deaf to soft reset", &["Aborted", "CommandTimeout"]);
}

#[test]
fn completion_that_never_arrives_times_out() {
    recovered(Fault::DropCompletion, "completion never arrives", &["Aborted", "CommandTimeout"]);
}

#[test]
fn garbage_completion_is_not_believed() {
    recovered(Fault::GarbageCompletion, "completion with reserved bits", &["Aborted"]);
}

#[test]
fn completion_for_no_command_is_not_believed() {
    recovered(Fault::WrongTag, "completion of no command", &["Aborted"]);
}

#[test]
fn completion_that_claims_the_future_is_not_believed() {
    recovered(Fault::WrongHead, "completion of descriptors never submitted", &["Aborted"]);
}

#[test]
fn duplicate_completion_answers_once() {
    let card = software_card();
    let device = open(&card);
    card.inject(Fault::DuplicateCompletion);
    let outcome = Batch::submit(&device).unwrap().collect();
    assert_eq!(outcome.right + outcome.errors.len(), BATCH);
    still_right(&device);
    row("duplicate completion", &outcome.text(), "card reset, next batch right");
}

#[test]
fn lost_interrupt_is_made_up_for() {
    let card = software_card();
    let device = open(&card);
    card.inject(Fault::LoseInterrupt);
    let outcome = Batch::submit(&device).unwrap().collect();
    assert_eq!(outcome.right, BATCH, "{outcome:?}");
    let health = device.health();
    assert_eq!(health.recoveries, 0);
    still_right(&device);
    row("interrupt lost", &outcome.text(), "found by a look at the rings, no reset");
}

#[test]
fn unplugged_card_is_lost_in_bounded_time() {
    let card = software_card();
    let device = open(&card);
    card.inject(Fault::Unplug);
    let outcome = Batch::submit(&device).unwrap().collect();
    assert_eq!(outcome.kinds(), ["DeviceLost"], "{outcome:?}");
    assert!(device.lost().is_some());
    let next = Batch::submit(&device).map(|batch| batch.collect().kinds());
    assert!(matches!(next, Err(Error::DeviceLost { .. })));
    row("unplugged: registers read all ones", &outcome.text(), "device refuses further work");
}

#[test]
fn card_server_killed_in_mid_batch_is_lost_and_can_be_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.sock");
    let card = software_card();
    let server = CardServer::start(&path, card.clone()).unwrap();
    let device = Device::open_with(&server.address(), config()).unwrap();
    still_right(&device);
    card.inject(Fault::Hang);
    let batch = Batch::submit(&device).unwrap();
    drop(server);
    let outcome = batch.collect();
    assert!(outcome.kinds().iter().all(|k| ["DeviceLost", "PeerGone"].contains(k)), "{outcome:?}");
    assert!(!outcome.errors.is_empty());
    drop(device);
    let server = CardServer::start(&path, software_card()).unwrap();
    still_right(&Device::open_with(&server.address(), config()).unwrap());
    row("card server killed", &outcome.text(), "a new server is opened and right");
}

#[test]
fn function_reset_behind_the_drivers_back_is_recovered_from() {
    let card = software_card();
    let bus = Arc::new(InProcessBus::new("model", card.clone() as Arc<dyn CardBackend>));
    let device = Device::from_bus(Arc::clone(&bus) as Arc<dyn Bus>, config()).unwrap();
    still_right(&device);
    // The batch is in flight when the function is reset by someone else.
    card.inject(Fault::Hang);
    let batch = Batch::submit(&device).unwrap();
    bus.reset().unwrap();
    let outcome = batch.collect();
    assert!(!outcome.errors.is_empty() && outcome.errors.iter().all(Error::is_retryable), "{outcome:?}");
    still_right(&device);
    row("function-level reset in mid-batch", &outcome.text(), "card set up again, next batch right");
}

#[test]
fn unmapped_address_and_bad_descriptor_fail_alone() {
    let card = software_card();
    let device = open(&card);
    let mut descriptor = Descriptor::new(Opcode::Ntt);
    (descriptor.count, descriptor.source, descriptor.destination) = (1, 0x7000_0000, 0x7001_0000);
    let failed = |words| match device.run_words(0, words) {
        Err(Error::CommandFailed { status, address, .. }) => (status, address),
        other => panic!("{other:?}"),
    };
    let (status, address) = failed(descriptor.words());
    assert_eq!((status, address), (StatusCode::ReadFault, 0x7000_0000));
    still_right(&device);
    row("DMA to an unmapped address", "CommandFailed: READ_FAULT at that address", "no reset, next batch right");
    let mut words = descriptor.words();
    words[0] |= 0xff;
    assert_eq!(failed(words).0, StatusCode::BadOpcode);
    still_right(&device);
    assert_eq!(device.health().recoveries, 0);
    row("bad descriptor", "CommandFailed: BAD_OPCODE", "no reset, next batch right");
}

#[test]
fn second_opener_is_told_that_the_card_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.sock");
    let server = CardServer::start(&path, software_card()).unwrap();
    let device = Device::open_with(&server.address(), config()).unwrap();
    let second = Device::open_with(&server.address(), config()).map(|_| ()).unwrap_err();
    assert_eq!(kind(&second), "Busy", "{second}");
    still_right(&device);
    drop(device);
    still_right(&Device::open_with(&server.address(), config()).unwrap());
    row("a second process opens the card", "Busy", "the first goes on; later openers succeed");
}

/// Not a test of its own: the process that the next test kills.
#[test]
fn helper_that_is_killed_with_dma_in_flight() {
    let Some(path) = std::env::var_os("GLOVEBOX_FAULTS_SOCKET") else { return };
    let device = Device::open_with(&format!("vfio-user:{}", Path::new(&path).display()).parse().unwrap(), config());
    let device = device.unwrap();
    println!("submitting");
    loop {
        Batch::submit(&device).unwrap().collect();
    }
}

#[test]
fn process_killed_with_dma_in_flight_leaves_a_usable_card() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.sock");
    let server = CardServer::start(&path, software_card()).unwrap();
    for _ in 0..3 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "helper_that_is_killed_with_dma_in_flight"])
            .env("GLOVEBOX_FAULTS_SOCKET", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("submitting")), "the helper did not come to submit");
        std::thread::sleep(Duration::from_millis(20));
        child.kill().unwrap();
        child.wait().unwrap();
        still_right(&Device::open_with(&server.address(), config()).unwrap());
    }
    row("process killed with DMA in flight", "its memory is unmapped from the card", "the next process is right");
}

/// A road whose IOMMU has few addresses.
struct Narrow(InProcessBus);

impl Bus for Narrow {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn config_read(&self, offset: u16, into: &mut [u8]) -> Result<()> {
        self.0.config_read(offset, into)
    }
    fn config_write(&self, offset: u16, from: &[u8]) -> Result<()> {
        self.0.config_write(offset, from)
    }
    fn read32(&self, offset: u32) -> Result<u32> {
        self.0.read32(offset)
    }
    fn write32(&self, offset: u32, value: u32) -> Result<()> {
        self.0.write32(offset, value)
    }
    fn iova_ranges(&self) -> Vec<IovaRange> {
        vec![IovaRange { first: 0, last: 0x1f_ffff }]
    }
    fn dma_map(&self, iova: Iova, memory: &HostMemory) -> Result<()> {
        self.0.dma_map(iova, memory)
    }
    fn dma_unmap(&self, iova: Iova, bytes: u64) -> Result<()> {
        self.0.dma_unmap(iova, bytes)
    }
    fn vectors(&self) -> u16 {
        self.0.vectors()
    }
    fn set_interrupts(&self, events: &[&EventFd]) -> Result<()> {
        self.0.set_interrupts(events)
    }
    fn reset(&self) -> Result<()> {
        self.0.reset()
    }
}

#[test]
fn running_out_of_device_addresses_is_an_error_until_memory_is_given_back() {
    let bus = Narrow(InProcessBus::new("model", software_card()));
    let device = Device::from_bus(Arc::new(bus), config()).unwrap();
    let mut held = vec![];
    let error = loop {
        match device.allocate(64 << 10) {
            Ok(buffer) => held.push(buffer),
            Err(error) => break error,
        }
        assert!(held.len() < 32, "more addresses than the IOMMU has");
    };
    assert_eq!(kind(&error), "OutOfIova", "{error}");
    held.truncate(held.len() / 2);
    still_right(&device);
    row("out of device addresses", "OutOfIova", "right again once buffers are dropped");
}

#[test]
fn polling_driver_recovers_as_well() {
    let card = software_card();
    let bus = InProcessBus::new("model", card.clone() as Arc<dyn CardBackend>);
    let polling = DeviceConfig { completion: CompletionMode::Polling, ..config() };
    let device = Device::from_bus(Arc::new(bus), polling).unwrap();
    card.inject(Fault::Hang);
    let outcome = Batch::submit(&device).unwrap().collect();
    assert!(!outcome.errors.is_empty() && outcome.errors.iter().all(Error::is_retryable), "{outcome:?}");
    still_right(&device);
    row("hung engine, polling driver", &outcome.text(), "card reset, next batch right");
}
