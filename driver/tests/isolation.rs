//! Nobody else's data: handles are good for one card since its last reset, what a key set held is gone once it is released,
//! and after a reset nothing from before can be read.

use glovebox_driver::card::CardBackend;
use glovebox_driver::in_process::InProcessBus;
use glovebox_driver::model::{Fault, ModelConfig, SoftwareCard};
use glovebox_driver::reference::{ReferenceJob, ReferenceKeys};
use glovebox_driver::{Bus, Command, Device, DeviceConfig, Error};
use glovebox_regmap::{Opcode, registers};
use std::sync::Arc;
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
fn closing_a_device_overwrites_what_it_used_even_what_was_never_released() {
    let card = card();
    let device = open(&card);
    let keys = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 1).unwrap();
    let job = job(&device, &keys, 2);
    // Left over from before a reset, and forgotten after it.
    card.inject(Fault::GarbageCompletion);
    assert!(device.nop().is_err());
    std::mem::forget(device.upload(&[1; 100]).unwrap());
    assert!(written(&card) > 1000);
    drop(device);
    assert_eq!(written(&card), 0);
    drop((job, keys));
}

#[test]
fn after_a_reset_nothing_that_was_written_before_can_be_read() {
    let card = card();
    let bus = bus(&card);
    let config = DeviceConfig { wipe_on_close: false, ..DeviceConfig::default() };
    let open = || Device::from_bus(Arc::clone(&bus) as Arc<dyn Bus>, config.clone()).unwrap();
    let device = open();
    let keys = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 1).unwrap();
    // A process that ends without releasing its keys.
    std::mem::forget(keys);
    drop(device);
    assert!(written(&card) > 0, "a reset leaves the bytes where they are");
    let word = |register: registers::Register| bus.read32(register.offset.get()).unwrap();
    assert_eq!(word(registers::CARD_MEMORY_WRITTEN), 0);
    // Commands that name card memory beyond what was written since are refused by the card itself: conformance case
    // `bootstraps_without_key_or_table_fail_with_their_reason`. A new owner's first upload starts at 0, and no gap of old
    // bytes can be made readable: `card_memory_rules_are_kept_and_the_next_command_runs`.
    let device = open();
    assert_eq!(device.card_memory().0, device.card_memory().1);
    let first = device.upload(&[1; 64]).unwrap();
    assert_eq!(first.whole().address(), 0);
}
