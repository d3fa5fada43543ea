//! Nobody else's data: handles are good for one card since its last reset, what a key set held is gone once it is released,
//! and after a reset nothing from before can be read, nor is it there.

use glovebox_driver::card::{CardBackend, HostPort};
use glovebox_driver::in_process::InProcessBus;
use glovebox_driver::model::{Fault, ModelConfig, SoftwareCard};
use glovebox_driver::reference::{ReferenceJob, ReferenceKeys};
use glovebox_driver::{Bus, Command, Device, DeviceConfig, Error};
use glovebox_regmap::{Opcode, StatusCode, registers};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

fn card() -> Arc<SoftwareCard> {
    Arc::new(SoftwareCard::new(ModelConfig::default()).unwrap())
}

fn bus(card: &Arc<SoftwareCard>) -> Arc<InProcessBus> {
    Arc::new(InProcessBus::new("model", Arc::clone(card) as Arc<dyn CardBackend>))
}

fn open(card: &Arc<SoftwareCard>) -> Device {
    let config = DeviceConfig { command_timeout: Duration::from_secs(2), ..DeviceConfig::default() };
    Device::from_bus(bus(card), config).unwrap()
}

fn job(device: &Device, keys: &ReferenceKeys, seed: u64) -> ReferenceJob {
    keys.job(device, Opcode::Bootstrap, 2, keys.settings(), seed).unwrap()
}

/// Bytes of card memory that differ from what they were before the card was first used.
fn written(card: &SoftwareCard) -> usize {
    card.card_memory(0..16 << 20).iter().filter(|&&byte| byte != 0).count()
}

/// A bootstrap whose memory comes from `host` (buffers) and `key` (keys and tables).
fn mixed(host: &Command, key: &Command) -> Command {
    let (
        Command::Bootstrap { source, destination, settings, .. },
        Command::Bootstrap { bootstrap_key, keyswitch_key, luts, .. },
    ) = (host.clone(), key.clone())
    else {
        panic!("not bootstraps")
    };
    Command::Bootstrap { source, destination, bootstrap_key, keyswitch_key, luts, settings }
}

#[test]
fn handles_of_another_device_are_refused_and_nothing_is_submitted() {
    let (mine, theirs) = (open(&card()), open(&card()));
    let (my_keys, their_keys) = [(&mine, 1), (&theirs, 2)]
        .map(|(device, seed)| ReferenceKeys::upload(device, ReferenceKeys::SETTINGS, seed).unwrap())
        .into();
    let (my_job, their_job) = (job(&mine, &my_keys, 3), job(&theirs, &their_keys, 4));
    let before = mine.counters().unwrap().commands_done;
    for (what, command) in [
        ("their keys and tables", mixed(&my_job.command(), &their_job.command())),
        ("their buffers", mixed(&their_job.command(), &my_job.command())),
        ("all of theirs", their_job.command()),
        ("a wipe of their key", Command::Wipe { destination: their_keys.bootstrap_key().whole() }),
    ] {
        let refused = mine.submit(0, &[command]);
        assert!(matches!(refused, Err(Error::Argument { .. })), "{what}: {refused:?}");
    }
    assert_eq!(mine.counters().unwrap().commands_done, before);
    for (device, job) in [(&mine, &my_job), (&theirs, &their_job)] {
        device.run(0, job.command()).unwrap();
        assert!(job.found().unwrap() == job.expected());
    }
}

#[test]
fn slices_beyond_their_buffer_are_refused() {
    let device = open(&card());
    let keys = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 1).unwrap();
    let key = keys.bootstrap_key();
    for (offset, bytes) in [(0, key.len() + 1), (key.len(), 1), (u64::MAX, 2), (64, key.len())] {
        let refused = key.slice(offset, bytes);
        assert!(matches!(refused, Err(Error::Argument { .. })), "{offset} {bytes}: {refused:?}");
    }
    // A part of a key is no key: the card would read on into what lies behind it.
    let job = job(&device, &keys, 2);
    let Command::Bootstrap { source, destination, bootstrap_key, keyswitch_key, luts, settings } = job.command() else {
        panic!("not a bootstrap")
    };
    let bootstrap_key = key.slice(0, bootstrap_key.len() - 64).unwrap();
    let short = Command::Bootstrap { source, destination, bootstrap_key, keyswitch_key, luts, settings };
    assert!(matches!(device.submit(0, &[short]), Err(Error::Argument { .. })));
}

#[test]
fn handles_from_before_a_reset_are_refused_even_where_new_keys_lie() {
    let card = card();
    let device = open(&card);
    let old = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 1).unwrap();
    let old_job = job(&device, &old, 2);
    card.inject(Fault::GarbageCompletion);
    assert!(device.nop().is_err());
    let new = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 3).unwrap();
    assert_eq!(new.bootstrap_key().whole().address(), old.bootstrap_key().whole().address());
    let refused = device.submit(0, &[old_job.command()]);
    assert!(matches!(refused, Err(Error::CardMemoryLost { .. })), "{refused:?}");
    // Dropping the old handles wipes nothing of the new owner's.
    drop((old_job, old));
    device.settle_card_memory().unwrap();
    let job = job(&device, &new, 4);
    device.run(0, job.command()).unwrap();
    assert!(job.found().unwrap() == job.expected());
}

#[test]
fn released_key_set_is_overwritten_with_zeros_once_its_commands_have_ended() {
    let card = card();
    let device = open(&card);
    assert_eq!(written(&card), 0);
    let keys = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 1).unwrap();
    let job = job(&device, &keys, 2);
    let tickets = device.submit(0, &[job.command()]).unwrap();
    assert!(written(&card) > 0);
    // The command in flight and the job hold on to the keys.
    drop(keys);
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    assert!(job.found().unwrap() == job.expected());
    assert!(written(&card) > 0, "the job still names them");
    drop(job);
    device.settle_card_memory().unwrap();
    assert_eq!(written(&card), 0);
}

#[test]
fn closing_a_device_erases_what_it_used_even_what_was_never_released() {
    let card = card();
    let device = open(&card);
    let keys = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 1).unwrap();
    let job = job(&device, &keys, 2);
    assert!(written(&card) > 1000);
    // Erased at a reset; what is uploaded after it is never released.
    card.inject(Fault::GarbageCompletion);
    assert!(device.nop().is_err());
    std::mem::forget(device.upload(&[1; 100]).unwrap());
    assert_eq!(written(&card), 100);
    drop(device);
    assert_eq!(written(&card), 0);
    drop((job, keys));
}

#[test]
fn what_a_killed_process_leaves_is_erased_and_the_next_owner_reads_none_of_it() {
    let card = card();
    let bus = bus(&card);
    let open = || Device::from_bus(Arc::clone(&bus) as Arc<dyn Bus>, DeviceConfig::default()).unwrap();
    let device = open();
    let keys = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 1).unwrap();
    let job = job(&device, &keys, 2);
    device.run(0, job.command()).unwrap();
    assert!(written(&card) > 1000);
    // It neither releases its keys nor closes the device; the kernel resets the function, and takes its mappings away.
    bus.reset().unwrap();
    assert_eq!(written(&card), 0);
    drop((job, keys, device));
    let word = |register: registers::Register| bus.read32(register.offset.get()).unwrap();
    assert_eq!(word(registers::CARD_MEMORY_WRITTEN), 0);
    // Commands that name card memory beyond what was written since are refused by the card itself: conformance case
    // `bootstraps_without_key_or_table_fail_with_their_reason`. A new owner's first upload starts at 0, and no gap of old
    // bytes can be made readable: `card_memory_rules_are_kept_and_the_next_command_runs`.
    let device = open();
    assert_eq!(device.card_memory().0, device.card_memory().1);
    let first = device.upload(&[1; 64]).unwrap();
    assert_eq!(first.whole().address(), 0);
    assert_eq!(written(&card), 64);
}

#[test]
fn soft_reset_erases_every_upload_even_one_without_an_owner() {
    let card = card();
    let device = open(&card);
    let keys = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 1).unwrap();
    assert!(written(&card) > 1000);
    // It is carried out, but its completion is not believed.
    card.inject(Fault::GarbageCompletion);
    assert!(device.upload(&[7; 4096]).is_err());
    assert_eq!(device.health().recoveries, 1);
    assert_eq!(written(&card), 0);
    drop(keys);
}

/// A card that takes `polls` looks at it to erase its memory, or whose memory then refuses.
struct Erasing {
    card: SoftwareCard,
    polls: AtomicU32,
    refuses: AtomicBool,
    left: AtomicU32,
}

impl Erasing {
    fn new(polls: u32, refuses: bool) -> Arc<Self> {
        Arc::new(Self {
            card: SoftwareCard::new(ModelConfig::default()).unwrap(),
            polls: polls.into(),
            refuses: refuses.into(),
            left: 0.into(),
        })
    }

    fn open(self: &Arc<Self>) -> Result<Device, Error> {
        let config = DeviceConfig { erase_timeout: Duration::from_millis(100), ..DeviceConfig::default() };
        Device::from_bus(Arc::new(InProcessBus::new("model", Arc::clone(self) as Arc<dyn CardBackend>)), config)
    }
}

impl CardBackend for Erasing {
    fn attach(&self, host: Arc<HostPort>) {
        self.card.attach(host);
    }
    fn read32(&self, offset: u32) -> u32 {
        let word = self.card.read32(offset);
        let erases = self.left.load(Ordering::Relaxed) > 0;
        let refused = !erases && self.refuses.load(Ordering::Relaxed);
        if offset == registers::CONTROL.offset.get() && erases {
            self.left.fetch_sub(1, Ordering::Relaxed);
            return registers::control::SOFT_RESET.set(word, 1);
        }
        if offset == registers::STATUS.offset.get() {
            return registers::status::FAULT.set(registers::status::ERASING.set(word, erases.into()), refused.into());
        }
        if offset == registers::ERROR_CODE.offset.get() && refused {
            return StatusCode::CardWriteFault.code().into();
        }
        word
    }
    fn write32(&self, offset: u32, value: u32) {
        if offset == registers::CONTROL.offset.get() && registers::control::SOFT_RESET.is_set(value) {
            self.left.store(self.polls.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.card.write32(offset, value);
    }
    fn reset(&self) {
        self.left.store(self.polls.load(Ordering::Relaxed), Ordering::Relaxed);
        self.card.reset();
    }
}

#[test]
fn nothing_is_submitted_before_the_card_has_erased_its_memory() {
    let card = Erasing::new(7, false);
    let device = card.open().unwrap();
    assert_eq!(card.left.load(Ordering::Relaxed), 0, "opening waits");
    card.card.inject(Fault::GarbageCompletion);
    assert!(device.nop().is_err());
    // The ring is locked until the card has been set up again.
    device.nop().unwrap();
    assert_eq!(card.left.load(Ordering::Relaxed), 0, "recovering waits");
}

#[test]
fn card_that_does_not_erase_its_memory_is_not_used() {
    for (polls, refuses, why) in [(u32::MAX, false, "not ended"), (3, true, "CARD_WRITE_FAULT")] {
        match Erasing::new(polls, refuses).open() {
            Err(Error::NotErased { reason, .. }) => assert!(reason.contains(why), "{reason}"),
            other => panic!("{why}: {:?}", other.map(drop)),
        }
        let card = Erasing::new(0, false);
        let device = card.open().unwrap();
        card.polls.store(polls, Ordering::Relaxed);
        card.refuses.store(refuses, Ordering::Relaxed);
        card.card.inject(Fault::GarbageCompletion);
        let lost = device.nop().unwrap_err();
        assert!(matches!(&lost, Error::DeviceLost { reason, .. } if reason.contains(why)), "{lost}");
        assert!(device.nop().is_err());
    }
}
