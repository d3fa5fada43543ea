//! Everything that can go wrong between a host and its card, one test each: a typed error in bounded time or transparent
//! recovery; every command either answered right or given back with its source untouched; the next batch right.
//!
//! A batch is made of bootstraps and transforms, with keys in card memory. Faults strike in its middle. Each test prints a
//! row of the table that `cargo xtask faults` shows.
#![allow(clippy::print_stdout)]

use glovebox_driver::bus::Bus;
use glovebox_driver::card::CardBackend;
use glovebox_driver::in_process::InProcessBus;
use glovebox_driver::memory::HostMemory;
use glovebox_driver::model::{Fault, ModelConfig, SoftwareCard};
use glovebox_driver::reference::{ReferenceJob, ReferenceKeys};
use glovebox_driver::vfio_user::server::CardServer;
use glovebox_driver::{
    Command, CompletionMode, Device, DeviceConfig, DmaBuffer, Error, Iova, IovaRange, Result, Ticket,
};
use glovebox_golden::ntt::NegacyclicNtt;
use glovebox_regmap::{Opcode, StatusCode, registers};
use std::fs::File;
use std::io::BufRead;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use vmm_sys_util::eventfd::EventFd;

/// Longer than any recovery: whoever waits that long waits forever.
const FOREVER: Duration = Duration::from_secs(30);
const DEGREE: usize = 256;
/// Commands of a batch: transforms and bootstraps in turn.
const BATCH: usize = 8;
/// Ciphertexts of each bootstrap.
const CIPHERTEXTS: usize = 2;
/// Commands of a batch that end well before a fault: the next one is a bootstrap.
const BEFORE: usize = 3;

fn config() -> DeviceConfig {
    DeviceConfig {
        command_timeout: Duration::from_secs(2),
        reset_timeout: Duration::from_millis(200),
        erase_timeout: Duration::from_millis(200),
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

/// A command with memory of its own and the result that it must have.
enum Job {
    Transform(Vec<u64>, DmaBuffer, DmaBuffer),
    Bootstrap(Box<ReferenceJob>),
}

impl Job {
    fn command(&self) -> Command {
        match self {
            Job::Transform(_, source, destination) => {
                Command::Ntt { source: source.whole(), destination: destination.whole() }
            }
            Job::Bootstrap(job) => job.command(),
        }
    }

    /// Where the card reads and writes.
    fn memory(&self) -> [Iova; 2] {
        match self.command() {
            Command::Ntt { source, destination } | Command::Bootstrap { source, destination, .. } => {
                [source.iova(), destination.iova()]
            }
            other => panic!("{other:?}"),
        }
    }

    fn is_right(&self) -> bool {
        match self {
            Job::Transform(words, _, destination) => {
                let mut found = vec![0; DEGREE];
                destination.read_words(0, &mut found).unwrap();
                found == transformed(words)
            }
            Job::Bootstrap(job) => job.found().unwrap() == job.expected(),
        }
    }

    fn is_untouched(&self) -> bool {
        match self {
            Job::Transform(words, source, _) => {
                let mut kept = vec![0; DEGREE];
                source.read_words(0, &mut kept).unwrap();
                kept == *words
            }
            Job::Bootstrap(job) => job.is_untouched().unwrap(),
        }
    }
}

/// A batch with its keys on the card, before it is submitted.
struct Batch {
    jobs: Vec<Job>,
    _keys: ReferenceKeys,
}

/// A batch in flight.
struct Flying(Vec<(Job, Ticket)>);

/// What became of a batch.
#[derive(Debug, Default)]
struct Outcome {
    right: usize,
    errors: Vec<Error>,
}

impl Batch {
    fn prepare(device: &Device) -> Result<Self> {
        let keys = ReferenceKeys::upload(device, ReferenceKeys::SETTINGS, 5)?;
        let job = |index: usize| {
            let seed = index as u64 + 1;
            if index % 2 == 1 {
                let job = keys.job(device, Opcode::Bootstrap, CIPHERTEXTS, keys.settings(), seed)?;
                return Ok(Job::Bootstrap(Box::new(job)));
            }
            let words = polynomial(seed);
            let (source, destination) = (device.allocate(DEGREE * 8)?, device.allocate(DEGREE * 8)?);
            source.write_words(0, &words)?;
            Ok(Job::Transform(words, source, destination))
        };
        let jobs = (0..BATCH).map(job).collect::<Result<Vec<_>>>()?;
        Ok(Self { jobs, _keys: keys })
    }

    fn submit(self, device: &Device) -> Result<Flying> {
        let commands: Vec<Command> = self.jobs.iter().map(Job::command).collect();
        let tickets = device.submit(0, &commands)?;
        Ok(Flying(self.jobs.into_iter().zip(tickets).collect()))
    }
}

impl Flying {
    /// Waits for every command; each must be right, or an error with its source untouched.
    fn collect(self) -> Outcome {
        let mut outcome = Outcome::default();
        for (job, ticket) in self.0 {
            let ended = ticket.wait_timeout(FOREVER);
            assert!(job.is_untouched(), "the source of a command was changed: {ended:?}");
            match ended {
                Ok(_) => {
                    assert!(job.is_right(), "an answer is wrong");
                    outcome.right += 1;
                }
                Err(Error::StillRunning { .. }) => panic!("a command hangs"),
                Err(error) => outcome.errors.push(error),
            }
        }
        assert_eq!(outcome.right + outcome.errors.len(), BATCH, "every command has one outcome");
        outcome
    }
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Aborted { .. } => "Aborted",
        Error::Argument { .. } => "Argument",
        Error::CommandTimeout { .. } => "CommandTimeout",
        Error::DeviceLost { .. } => "DeviceLost",
        Error::CommandFailed { .. } => "CommandFailed",
        Error::CardMemoryLost { .. } => "CardMemoryLost",
        Error::Busy { .. } => "Busy",
        Error::OutOfCardMemory { .. } => "OutOfCardMemory",
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

/// The device still does a whole batch right, its keys uploaded anew.
fn still_right(device: &Device) {
    let outcome = Batch::prepare(device).unwrap().submit(device).unwrap().collect();
    assert_eq!(outcome.right, BATCH, "{outcome:?}");
}

/// A fault of the software card in mid-batch that the driver recovers from.
fn recovered(fault: Fault, name: &str, expected: &[&str]) {
    let card = software_card();
    let device = open(&card);
    still_right(&device);
    let batch = Batch::prepare(&device).unwrap();
    let again = batch.jobs[BEFORE].command();
    card.inject_after(BEFORE, fault);
    let outcome = batch.submit(&device).unwrap().collect();
    assert!(!outcome.errors.is_empty() && outcome.kinds().iter().all(|k| expected.contains(k)), "{outcome:?}");
    assert!(outcome.errors.iter().all(Error::is_retryable));
    assert_eq!(outcome.right, BEFORE, "what was done before the fault is not thrown away");
    // The keys went with the reset, and the driver knows.
    let stale = device.submit(0, &[again]).unwrap_err();
    assert_eq!(kind(&stale), "CardMemoryLost", "{stale}");
    still_right(&device);
    assert_eq!(device.health().recoveries, 1);
    row(name, &outcome.text(), "card reset, keys uploaded anew, next batch right");
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
    let card = software_card();
    let device = open(&card);
    let batch = Batch::prepare(&device).unwrap();
    card.inject_after(BEFORE, Fault::DropCompletion);
    let outcome = batch.submit(&device).unwrap().collect();
    // The commands after it were answered; only the one without a completion is given back.
    assert_eq!((outcome.right, outcome.kinds()), (BATCH - 1, vec!["CommandTimeout"]), "{outcome:?}");
    still_right(&device);
    assert_eq!(device.health().recoveries, 1);
    row("completion never arrives", &outcome.text(), "card reset, keys uploaded anew, next batch right");
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
    let batch = Batch::prepare(&device).unwrap();
    card.inject_after(BEFORE, Fault::DuplicateCompletion);
    let outcome = batch.submit(&device).unwrap().collect();
    assert!(outcome.right > BEFORE, "{outcome:?}");
    still_right(&device);
    row("duplicate completion", &outcome.text(), "card reset, keys uploaded anew, next batch right");
}

#[test]
fn lost_interrupt_is_made_up_for() {
    let card = software_card();
    let device = open(&card);
    let batch = Batch::prepare(&device).unwrap();
    // The last command of the batch asks for one.
    card.inject_after(BATCH - 1, Fault::LoseInterrupt);
    let outcome = batch.submit(&device).unwrap().collect();
    assert_eq!(outcome.right, BATCH, "{outcome:?}");
    assert_eq!(device.health().recoveries, 0);
    still_right(&device);
    row("interrupt lost", &outcome.text(), "found by a look at the rings, no reset");
}

#[test]
fn unplugged_card_is_lost_in_bounded_time() {
    let card = software_card();
    let device = open(&card);
    let batch = Batch::prepare(&device).unwrap();
    let spare = Batch::prepare(&device).unwrap();
    card.inject_after(BEFORE, Fault::Unplug);
    let outcome = batch.submit(&device).unwrap().collect();
    assert_eq!((outcome.right, outcome.kinds()), (BEFORE, vec!["DeviceLost"]), "{outcome:?}");
    assert!(device.lost().is_some());
    assert_eq!(spare.submit(&device).err().map(|e| kind(&e)), Some("DeviceLost"));
    row("unplugged: registers read all ones", &outcome.text(), "device refuses further work");
}

/// Starts this test program again to do only `helper`, and waits until it says `word`.
fn helper(helper: &str, socket: &Path, word: &str) -> Child {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", helper])
        .env("GLOVEBOX_FAULTS_HELPER", helper)
        .env("GLOVEBOX_FAULTS_SOCKET", socket)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.any(|line| line.unwrap().contains(word));
    assert!(said, "{helper} did not say {word}");
    // What else it says is read and forgotten, so that it never waits for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// The socket, if this process is the helper of that name.
fn helper_socket(name: &str) -> Option<std::path::PathBuf> {
    let wanted = std::env::var_os("GLOVEBOX_FAULTS_HELPER").is_some_and(|helper| helper == name);
    wanted.then(|| std::env::var_os("GLOVEBOX_FAULTS_SOCKET").unwrap().into())
}

fn open_socket(path: &Path) -> Result<Device> {
    Device::open_with(&format!("vfio-user:{}", path.display()).parse()?, config())
}

/// Not a test of its own: the card server that the next test kills. Its card hangs in the middle of the second batch.
#[test]
fn helper_card_server() {
    let Some(path) = helper_socket("helper_card_server") else { return };
    let card = software_card();
    let _server = CardServer::start(&path, card.clone()).unwrap();
    // Keys and tables of a batch are six uploads; the first batch is released by six wipes.
    card.inject_after(6 + BATCH + 6 + 6 + BEFORE, Fault::HangHard);
    println!("listening");
    std::thread::sleep(2 * FOREVER);
}

#[test]
fn card_server_killed_in_mid_batch_is_lost_and_can_be_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.sock");
    let mut server = helper("helper_card_server", &path, "listening");
    let device = open_socket(&path).unwrap();
    still_right(&device);
    let mut flying = Batch::prepare(&device).unwrap().submit(&device).unwrap();
    // The batch is under way once its first command is done.
    let (job, ticket) = flying.0.remove(0);
    ticket.wait_timeout(FOREVER).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(job.is_right() && job.is_untouched());
    let mut outcome = Outcome { right: 1, ..Outcome::default() };
    for (job, ticket) in flying.0 {
        let ended = ticket.wait_timeout(FOREVER);
        assert!(job.is_untouched());
        match ended {
            Ok(_) => {
                assert!(job.is_right());
                outcome.right += 1;
            }
            Err(error) => outcome.errors.push(error),
        }
    }
    assert!(outcome.kinds().iter().all(|k| ["DeviceLost", "PeerGone"].contains(k)), "{outcome:?}");
    assert!(outcome.right + outcome.errors.len() == BATCH && outcome.errors.len() >= BATCH - BEFORE, "{outcome:?}");
    drop(device);
    std::fs::remove_file(&path).unwrap();
    let server = CardServer::start(&path, software_card()).unwrap();
    still_right(&Device::open_with(&server.address(), config()).unwrap());
    row("card server killed (SIGKILL) in mid-batch", &outcome.text(), "a new server is opened and right");
}

/// Someone resets the card in mid-batch, in one of two ways.
fn reset_behind_the_drivers_back(reset: impl Fn(&InProcessBus), name: &str) {
    let card = software_card();
    let bus = Arc::new(InProcessBus::new("model", card.clone() as Arc<dyn CardBackend>));
    let device = Device::from_bus(Arc::clone(&bus) as Arc<dyn Bus>, config()).unwrap();
    still_right(&device);
    let batch = Batch::prepare(&device).unwrap();
    card.inject_after(BEFORE, Fault::Hang);
    let mut flying = batch.submit(&device).unwrap();
    for (job, ticket) in flying.0.drain(..BEFORE) {
        ticket.wait_timeout(FOREVER).unwrap();
        assert!(job.is_right() && job.is_untouched());
    }
    reset(&bus);
    let mut outcome = Outcome { right: BEFORE, ..Outcome::default() };
    for (job, ticket) in flying.0 {
        let error = ticket.wait_timeout(FOREVER).unwrap_err();
        assert!(job.is_untouched() && error.is_retryable(), "{error}");
        outcome.errors.push(error);
    }
    still_right(&device);
    row(name, &outcome.text(), "card set up again, keys uploaded anew, next batch right");
}

#[test]
fn soft_reset_behind_the_drivers_back_is_recovered_from() {
    let soft = |bus: &InProcessBus| {
        let word = registers::control::SOFT_RESET.set(0, 1);
        bus.write32(registers::CONTROL.offset.get(), word).unwrap();
    };
    reset_behind_the_drivers_back(soft, "reset in mid-batch");
}

#[test]
fn function_reset_behind_the_drivers_back_is_recovered_from() {
    reset_behind_the_drivers_back(|bus| bus.reset().unwrap(), "function-level reset (FLR) in mid-batch");
}

/// What a [`Tapped`] road does on request.
#[derive(Default)]
struct Tap {
    /// Memory is not mapped, though it says so.
    lose_mappings: AtomicBool,
    /// The opcode of every descriptor of ring pair 0 is overwritten before the card hears of it.
    spoil_descriptors: AtomicBool,
    /// The memory file of the first mapping: the submission ring of ring pair 0.
    ring: Mutex<Option<File>>,
    /// Resets and unmappings, in order.
    events: Mutex<Vec<Event>>,
    /// Function-level resets fail.
    refuse_reset: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    SoftReset,
    Reset,
    Unmap(Iova),
}

/// A road between a driver and a card on which things go wrong.
struct Tapped {
    card: InProcessBus,
    tap: Arc<Tap>,
    ranges: Vec<IovaRange>,
}

impl Tapped {
    fn new(card: &Arc<SoftwareCard>) -> Self {
        let card = InProcessBus::new("model", Arc::clone(card) as Arc<dyn CardBackend>);
        let ranges = card.iova_ranges();
        Self { card, tap: Arc::default(), ranges }
    }

    fn log(&self, event: Event) {
        self.tap.events.lock().unwrap().push(event);
    }
}

impl Bus for Tapped {
    fn name(&self) -> &str {
        self.card.name()
    }
    fn config_read(&self, offset: u16, into: &mut [u8]) -> Result<()> {
        self.card.config_read(offset, into)
    }
    fn config_write(&self, offset: u16, from: &[u8]) -> Result<()> {
        self.card.config_write(offset, from)
    }
    fn read32(&self, offset: u32) -> Result<u32> {
        self.card.read32(offset)
    }
    fn write32(&self, offset: u32, value: u32) -> Result<()> {
        if offset == registers::CONTROL.offset.get() && registers::control::SOFT_RESET.is_set(value) {
            self.log(Event::SoftReset);
        }
        self.card.write32(offset, value)
    }
    fn post32(&self, offset: u32, value: u32) -> Result<()> {
        let ring = self.tap.ring.lock().unwrap();
        if let (true, Some(ring)) = (self.tap.spoil_descriptors.load(Ordering::Acquire), &*ring) {
            for place in 0..256 {
                ring.write_all_at(&[0xee], 64 * place).unwrap();
            }
        }
        self.card.post32(offset, value)
    }
    fn iova_ranges(&self) -> Vec<IovaRange> {
        self.ranges.clone()
    }
    fn dma_map(&self, iova: Iova, memory: &HostMemory) -> Result<()> {
        self.tap.ring.lock().unwrap().get_or_insert_with(|| memory.file().try_clone().unwrap());
        if self.tap.lose_mappings.load(Ordering::Acquire) {
            return Ok(());
        }
        self.card.dma_map(iova, memory)
    }
    fn dma_unmap(&self, iova: Iova, bytes: u64) -> Result<()> {
        self.log(Event::Unmap(iova));
        self.card.dma_unmap(iova, bytes)
    }
    fn vectors(&self) -> u16 {
        self.card.vectors()
    }
    fn set_interrupts(&self, events: &[&EventFd]) -> Result<()> {
        self.card.set_interrupts(events)
    }
    fn reset(&self) -> Result<()> {
        if self.tap.refuse_reset.load(Ordering::Acquire) {
            return Err(Error::DeviceLost { device: "model".into(), reason: "no reset today".into() });
        }
        self.card.reset()?;
        self.log(Event::Reset);
        Ok(())
    }
}

#[test]
fn unmapped_address_fails_alone() {
    let bus = Tapped::new(&software_card());
    let tap = Arc::clone(&bus.tap);
    let device = Device::from_bus(Arc::new(bus), config()).unwrap();
    let keys = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 5).unwrap();
    let good = |seed| keys.job(&device, Opcode::Bootstrap, CIPHERTEXTS, keys.settings(), seed).unwrap();
    let (before, after) = (good(1), good(2));
    let lost = {
        // Its table goes to the card; only source and destination must not be there.
        let bytes = 8 * (DEGREE + 1) * CIPHERTEXTS;
        tap.lose_mappings.store(true, Ordering::Release);
        let (source, destination) = (device.allocate(bytes).unwrap(), device.allocate(bytes).unwrap());
        tap.lose_mappings.store(false, Ordering::Release);
        let Command::Bootstrap { bootstrap_key, keyswitch_key, luts, settings, .. } = before.command() else {
            panic!()
        };
        let (source, destination) = (source.whole(), destination.whole());
        Command::Bootstrap { source, destination, bootstrap_key, keyswitch_key, luts, settings }
    };
    let Command::Bootstrap { source, .. } = &lost else { panic!() };
    let address = source.iova().get();
    let results: Vec<_> = device
        .submit(0, &[before.command(), lost, after.command()])
        .unwrap()
        .into_iter()
        .map(|ticket| ticket.wait_timeout(FOREVER))
        .collect();
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    assert!([&before, &after].iter().all(|job| job.found().unwrap() == job.expected()));
    match &results[1] {
        Err(Error::CommandFailed { status: StatusCode::ReadFault, address: at, .. }) => assert_eq!(*at, address),
        other => panic!("{other:?}"),
    }
    assert_eq!(device.health().recoveries, 0);
    still_right(&device);
    row(
        "DMA to an unmapped address",
        "CommandFailed (READ_FAULT at it); neighbours right",
        "no reset, next batch right",
    );
}

#[test]
fn bad_descriptors_fail_with_their_sources_untouched() {
    let bus = Tapped::new(&software_card());
    let tap = Arc::clone(&bus.tap);
    let device = Device::from_bus(Arc::new(bus), config()).unwrap();
    let batch = Batch::prepare(&device).unwrap();
    tap.spoil_descriptors.store(true, Ordering::Release);
    let outcome = batch.submit(&device).unwrap().collect();
    tap.spoil_descriptors.store(false, Ordering::Release);
    // The card answers with the opcode that it found: that of no command outstanding.
    assert!(outcome.right == 0 && outcome.errors.iter().all(Error::is_retryable), "{outcome:?}");
    still_right(&device);
    row(
        "bad descriptor (memory error in the ring)",
        &outcome.text(),
        "card reset, keys uploaded anew, next batch right",
    );
    // One that the driver itself would write it refuses before the card sees it.
    let keys = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 5).unwrap();
    let job = keys.job(&device, Opcode::Bootstrap, 1, keys.settings(), 1).unwrap();
    let Command::Bootstrap { source, bootstrap_key, keyswitch_key, luts, settings, .. } = job.command() else {
        panic!()
    };
    let bad = Command::Bootstrap { destination: source.clone(), source, bootstrap_key, keyswitch_key, luts, settings };
    assert_eq!(kind(&device.submit(0, &[bad]).unwrap_err()), "Argument");
    assert!(job.is_untouched().unwrap());
    row("bad descriptor (impossible command)", "Argument: nothing is submitted", "no reset, next batch right");
    still_right(&device);
}

#[test]
fn memory_of_a_hung_command_is_unmapped_only_after_the_reset() {
    let card = software_card();
    let bus = Tapped::new(&card);
    let tap = Arc::clone(&bus.tap);
    let device = Device::from_bus(Arc::new(bus), config()).unwrap();
    let batch = Batch::prepare(&device).unwrap();
    card.inject(Fault::Hang);
    let commands: Vec<Command> = batch.jobs.iter().map(Job::command).collect();
    let tickets = device.submit(0, &commands).unwrap();
    let named: Vec<Iova> = batch.jobs.iter().flat_map(Job::memory).collect();
    tap.events.lock().unwrap().clear();
    // The caller forgets everything while the card may still write.
    drop((commands, batch));
    for ticket in tickets {
        assert!(ticket.wait_timeout(FOREVER).unwrap_err().is_retryable());
    }
    let all_unmapped = || {
        let events = tap.events.lock().unwrap();
        named.iter().all(|iova| events.contains(&Event::Unmap(*iova)))
    };
    // The dispatcher answers first and lets go of the memory after.
    let patience = std::time::Instant::now() + FOREVER;
    while !all_unmapped() {
        assert!(std::time::Instant::now() < patience, "memory stays mapped");
        std::thread::yield_now();
    }
    let events = tap.events.lock().unwrap().clone();
    let reset = events.iter().position(|e| *e == Event::SoftReset).unwrap();
    let first = events.iter().position(|e| named.iter().any(|iova| *e == Event::Unmap(*iova))).unwrap();
    assert!(reset < first, "{events:?}");
    still_right(&device);
    row("buffers dropped while the card hangs", "unmapped only after the reset", "next batch right");
}

#[test]
fn memory_of_a_card_that_cannot_be_brought_to_rest_stays_mapped() {
    let card = software_card();
    let bus = Tapped::new(&card);
    let tap = Arc::clone(&bus.tap);
    let device = Device::from_bus(Arc::new(bus), config()).unwrap();
    let batch = Batch::prepare(&device).unwrap();
    let named: Vec<Iova> = batch.jobs[BEFORE..].iter().flat_map(Job::memory).collect();
    tap.refuse_reset.store(true, Ordering::Release);
    card.inject_after(BEFORE, Fault::HangHard);
    tap.events.lock().unwrap().clear();
    let outcome = batch.submit(&device).unwrap().collect();
    assert_eq!((outcome.right, outcome.kinds()), (BEFORE, vec!["DeviceLost"]), "{outcome:?}");
    drop(device);
    let events = tap.events.lock().unwrap();
    assert!(
        !named.iter().any(|iova| events.contains(&Event::Unmap(*iova))),
        "memory was unmapped under a card that may still write"
    );
    row("card cannot be reset at all", &outcome.text(), "its memory stays mapped and is given to nobody");
}

/// Not a test of its own: the second process of the next test.
#[test]
fn helper_second_opener() {
    let Some(path) = helper_socket("helper_second_opener") else { return };
    match open_socket(&path) {
        Err(error) => println!("second opener: {}", kind(&error)),
        Ok(_) => println!("second opener: opened"),
    }
}

#[test]
fn second_process_is_told_that_the_card_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.sock");
    let card = software_card();
    let server = CardServer::start(&path, card.clone()).unwrap();
    let device = Device::open_with(&server.address(), config()).unwrap();
    let batch = Batch::prepare(&device).unwrap();
    let flying = batch.submit(&device).unwrap();
    let mut second = helper("helper_second_opener", &path, "second opener: Busy");
    assert!(second.wait().unwrap().success());
    let outcome = flying.collect();
    assert_eq!(outcome.right, BATCH, "{outcome:?}");
    still_right(&device);
    drop(device);
    let mut third = helper("helper_second_opener", &path, "second opener: opened");
    assert!(third.wait().unwrap().success());
    row(
        "a second process opens the card",
        &format!("{}; the second gets Busy", outcome.text()),
        "later openers succeed",
    );
}

/// Not a test of its own: the process that the next test kills.
#[test]
fn helper_that_is_killed_with_dma_in_flight() {
    let Some(path) = helper_socket("helper_that_is_killed_with_dma_in_flight") else { return };
    let device = open_socket(&path).unwrap();
    loop {
        let flying = Batch::prepare(&device).unwrap().submit(&device).unwrap();
        println!("submitted");
        flying.collect();
    }
}

#[test]
fn process_killed_with_dma_in_flight_leaves_a_usable_card_without_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.sock");
    let server = CardServer::start(&path, software_card()).unwrap();
    for _ in 0..3 {
        let mut child = helper("helper_that_is_killed_with_dma_in_flight", &path, "submitted");
        child.kill().unwrap();
        child.wait().unwrap();
        // The card knows of nothing that the dead process wrote: a driver that opens it finds all of its memory free.
        let device = Device::open_with(&server.address(), config()).unwrap();
        let written = registers::CARD_MEMORY_WRITTEN;
        assert_eq!(device.card_memory().0, device.card_memory().1);
        drop(device);
        let bus = glovebox_driver::vfio_user::client::VfioUserBus::open(&path).unwrap();
        assert_eq!(bus.read32(written.offset.get()).unwrap(), 0);
        drop(bus);
        still_right(&Device::open_with(&server.address(), config()).unwrap());
    }
    let seen = "its memory is unmapped from the card, its keys cannot be read any more";
    row("process killed (SIGKILL) with DMA in flight", seen, "the next process is right");
}

#[test]
fn running_out_of_device_addresses_is_an_error_until_memory_is_given_back() {
    let mut bus = Tapped::new(&software_card());
    bus.ranges = vec![IovaRange { first: 0, last: 0x2f_ffff }];
    let device = Device::from_bus(Arc::new(bus), config()).unwrap();
    let flying = Batch::prepare(&device).unwrap().submit(&device).unwrap();
    let mut held = vec![];
    let error = loop {
        match device.allocate(64 << 10) {
            Ok(buffer) => held.push(buffer),
            Err(error) => break error,
        }
        assert!(held.len() < 48, "more addresses than the IOMMU has");
    };
    assert_eq!(kind(&error), "OutOfIova", "{error}");
    let outcome = flying.collect();
    assert_eq!(outcome.right, BATCH, "{outcome:?}");
    held.clear();
    still_right(&device);
    let seen = format!("OutOfIova; in flight: {}", outcome.text());
    row("out of device addresses", &seen, "right again once buffers are dropped");
}

#[test]
fn running_out_of_card_memory_is_an_error_until_keys_are_given_back() {
    // Room for two key sets, not three.
    let card = Arc::new(SoftwareCard::new(ModelConfig { memory_bytes: 256 << 10, ..ModelConfig::default() }).unwrap());
    let device = open(&card);
    let first = Batch::prepare(&device).unwrap();
    let error = loop {
        match device.upload(&[0x66; 16 << 10]) {
            Ok(buffer) => std::mem::forget(buffer),
            Err(error) => break error,
        }
    };
    assert_eq!(kind(&error), "OutOfCardMemory", "{error}");
    let second = Batch::prepare(&device).err().unwrap();
    assert_eq!(kind(&second), "OutOfCardMemory", "{second}");
    // What is resident goes on, and nothing was submitted for the second batch.
    let outcome = first.submit(&device).unwrap().collect();
    assert_eq!(outcome.right, BATCH, "{outcome:?}");
    // The first batch's keys are released with it: room for another.
    still_right(&device);
    assert_eq!(device.health().recoveries, 0);
    let seen = format!("OutOfCardMemory; resident keys: {}", outcome.text());
    row("out of card memory", &seen, "right again once keys are dropped, no reset");
}

#[test]
fn polling_driver_recovers_as_well() {
    let card = software_card();
    let bus = InProcessBus::new("model", card.clone() as Arc<dyn CardBackend>);
    let polling = DeviceConfig { completion: CompletionMode::Polling, ..config() };
    let device = Device::from_bus(Arc::new(bus), polling).unwrap();
    let batch = Batch::prepare(&device).unwrap();
    card.inject_after(BEFORE, Fault::Hang);
    let outcome = batch.submit(&device).unwrap().collect();
    assert!(!outcome.errors.is_empty() && outcome.errors.iter().all(Error::is_retryable), "{outcome:?}");
    still_right(&device);
    row("hung engine, polling driver", &outcome.text(), "card reset, keys uploaded anew, next batch right");
}
