//! The suite that every card passes over every road: in-process, socket, kernel; software, simulated RTL, hardware.
//!
//! It is a function library: the tests of this workspace call it, and so may a diagnosis of a card in the field. Every
//! result is compared with the golden model word by word.

use crate::bootstrap::parameters_of;
use crate::device::{Command, CompletionMode, Device, DeviceConfig, Ticket};
use crate::dma::DmaBuffer;
use crate::error::{Error, Result};
use crate::reference::{ReferenceJob, ReferenceKeys, words};
use glovebox_golden::{field, ntt::NegacyclicNtt};
use glovebox_regmap::{BootstrapSettings, Descriptor, LinearSettings, Opcode, StatusCode, layout};
use std::time::{Duration, Instant};

/// How a device under test is opened, again and again.
pub type Opener<'a> = &'a (dyn Fn(DeviceConfig) -> Result<Device> + Sync);

/// A case that failed.
#[derive(Debug, thiserror::Error)]
#[error("{case}: {what}")]
pub struct Failure {
    /// Name of the case.
    pub case: &'static str,
    /// What was wrong.
    pub what: String,
}

/// One case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name: unit, condition, result.
    pub name: &'static str,
    run: fn(&Bench) -> Outcome,
}

type Outcome = std::result::Result<(), String>;

/// What a case works with.
struct Bench<'a> {
    open: Opener<'a>,
    seed: u64,
}

/// Runs every case; `seed` chooses the data.
///
/// # Errors
/// The first case that failed.
pub fn run_all(open: Opener<'_>, seed: u64) -> std::result::Result<Vec<&'static str>, Failure> {
    CASES.iter().map(|case| run_case(case, open, seed).map(|()| case.name)).collect()
}

/// Runs one case.
///
/// # Errors
/// What was wrong.
pub fn run_case(case: &Case, open: Opener<'_>, seed: u64) -> std::result::Result<(), Failure> {
    tracing::debug!(case = case.name, seed, "conformance");
    (case.run)(&Bench { open, seed }).map_err(|what| Failure { case: case.name, what: format!("seed {seed}: {what}") })
}

/// The cases, in order.
pub const CASES: &[Case] = &[
    Case { name: "card_opened_reports_plausible_parameters", run: parameters },
    Case { name: "nop_round_trip_ends_well", run: nop },
    Case { name: "ntt_edge_values_equal_golden", run: transform_edges },
    Case { name: "ntt_and_intt_of_many_polynomials_equal_golden", run: transform_many },
    Case { name: "ntt_out_of_place_leaves_its_source_and_neighbours", run: transform_out_of_place },
    Case { name: "linear_combinations_of_ciphertexts_and_pointwise_products_are_exact", run: linear },
    Case { name: "copy_of_odd_sizes_moves_exactly_those_bytes", run: copy_sizes },
    Case { name: "batch_behind_one_doorbell_completes_in_full", run: batch },
    Case { name: "ring_smaller_than_the_work_holds_submitters_back", run: small_ring },
    Case { name: "ring_full_refuses_what_does_not_fit", run: ring_full },
    Case { name: "every_ring_pair_and_many_threads_complete", run: threads },
    Case { name: "polling_completes_without_interrupts", run: polling },
    Case { name: "bad_descriptors_fail_with_their_reason_and_the_next_command_runs", run: bad_descriptors },
    Case { name: "unmapped_addresses_fail_with_the_address_and_the_next_command_runs", run: unmapped },
    Case { name: "arguments_that_no_card_could_carry_out_are_refused", run: arguments },
    Case { name: "card_memory_is_filled_wiped_and_given_out_again", run: card_memory },
    Case { name: "card_memory_rules_are_kept_and_the_next_command_runs", run: card_memory_rules },
    Case { name: "bootstraps_and_keyswitches_of_every_kind_equal_golden", run: bootstraps },
    Case { name: "bootstraps_without_key_or_table_fail_with_their_reason", run: bootstrap_rules },
    Case { name: "bootstraps_on_every_ring_pair_from_several_threads_equal_golden", run: bootstrap_threads },
    Case { name: "keys_uploaded_and_released_while_batches_run_disturb_nobody", run: uploads_meanwhile },
    Case { name: "counters_count_what_was_done", run: counters },
    Case { name: "device_closed_in_mid_command_opens_again_and_is_right", run: close_in_flight },
    Case { name: "buffers_dropped_in_flight_stay_mapped_until_the_command_ends", run: drop_buffers },
];

fn text(error: Error) -> String {
    error.to_string()
}

fn ensure(condition: bool, what: impl Fn() -> String) -> Outcome {
    if condition { Ok(()) } else { Err(what()) }
}

fn same(what: &str, found: &[u64], expected: &[u64]) -> Outcome {
    if let Some(at) = (0..expected.len().max(found.len())).find(|&i| found.get(i) != expected.get(i)) {
        return Err(format!("{what}: word {at} is {:x?} instead of {:x?}", found.get(at), expected.get(at)));
    }
    Ok(())
}

/// What a card makes of polynomials: words are reduced once by p, then transformed.
fn golden(transform: &NegacyclicNtt, data: &[u64], forward: bool) -> std::result::Result<Vec<u64>, String> {
    let mut out: Vec<u64> = data.iter().map(|&word| field::reduce(word)).collect();
    for polynomial in out.chunks_mut(transform.degree()) {
        let done = if forward {
            transform.forward_bit_reversed(polynomial)
        } else {
            transform.inverse_bit_reversed(polynomial)
        };
        done.map_err(|error| error.to_string())?;
    }
    Ok(out)
}

impl Bench<'_> {
    fn open(&self) -> std::result::Result<Device, String> {
        self.open_with(|_| {})
    }

    fn open_with(&self, change: impl FnOnce(&mut DeviceConfig)) -> std::result::Result<Device, String> {
        let mut config = DeviceConfig::default();
        change(&mut config);
        // A card may take a moment to notice that the case before has closed it.
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            match (self.open)(config.clone()) {
                Err(Error::Busy { .. }) if Instant::now() < patience => std::thread::sleep(Duration::from_millis(20)),
                opened => return opened.map_err(text),
            }
        }
    }
}

fn transform_of(device: &Device) -> std::result::Result<NegacyclicNtt, String> {
    NegacyclicNtt::new(device.parameters().degree()).map_err(|error| error.to_string())
}

/// The card still does a transform right.
fn still_right(device: &Device, seed: u64) -> Outcome {
    let data = words(seed, device.parameters().degree());
    same("transform after the case", &device.ntt(&data).map_err(text)?, &golden(&transform_of(device)?, &data, true)?)
}

fn parameters(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let p = *device.parameters();
    ensure(p.lanes.is_power_of_two() && p.lanes as usize <= p.degree(), || format!("{} lanes", p.lanes))?;
    for opcode in [Opcode::Nop, Opcode::Fence, Opcode::Copy, Opcode::Ntt, Opcode::Intt] {
        ensure(p.can(opcode), || format!("{} is missing", opcode.name()))?;
    }
    ensure(p.build_id != [0; 16] && device.lost().is_none(), || format!("identity {}", p.build_id_text()))
}

fn nop(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    for _ in 0..3 {
        device.nop().map_err(text)?;
        device.run(0, Command::Fence).map_err(text)?;
    }
    ensure(device.health().recoveries == 0, || "a recovery was needed".into())
}

fn transform_edges(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let degree = device.parameters().degree();
    let transform = transform_of(&device)?;
    let values = [0, 1, field::P - 1, field::P, field::P + 1, u64::MAX, 1 << 63, 0xffff_ffff, 1 << 32];
    let mut data = vec![];
    for value in values {
        data.extend(vec![value; degree]);
        let mut single = vec![0; degree];
        single[value as usize % degree] = value;
        data.extend(single);
    }
    same("forward", &device.ntt(&data).map_err(text)?, &golden(&transform, &data, true)?)?;
    same("inverse", &device.intt(&data).map_err(text)?, &golden(&transform, &data, false)?)
}

fn transform_many(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let degree = device.parameters().degree();
    let transform = transform_of(&device)?;
    for count in [1, 2, 3, 17] {
        let data = words(bench.seed + count as u64, count * degree);
        let forward = device.ntt(&data).map_err(text)?;
        same("forward", &forward, &golden(&transform, &data, true)?)?;
        let back = device.intt(&forward).map_err(text)?;
        let reduced: Vec<u64> = data.iter().map(|&word| field::reduce(word)).collect();
        same("inverse of forward", &back, &reduced)?;
    }
    same("nothing", &device.ntt(&[]).map_err(text)?, &[])
}

fn linear(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let seed = bench.seed;
    if !device.parameters().can(Opcode::LweLinear) {
        return Ok(());
    }
    // One word, odd lengths, whole beats; one term and several; weights of every kind.
    for (len, terms, count) in [(1, 1, 9), (5, 3, 4), (64, 2, 3), (257, 1, 2), (919, 4, 1)] {
        let settings = LinearSettings { words: len as u16, terms };
        let block = 1 + usize::from(terms) * (1 + len);
        let mut source = words(seed ^ len as u64, count * block);
        for (index, result) in source.chunks_exact_mut(block).enumerate() {
            for (term, ciphertext) in result[1..].chunks_exact_mut(1 + len).enumerate() {
                ciphertext[0] = [1, u64::MAX, 0, 7, 1 << 63, ciphertext[0]][(index + term) % 6];
            }
        }
        let mut expected = vec![];
        for result in source.chunks_exact(block) {
            for i in 0..len {
                let terms = result[1..].chunks_exact(1 + len);
                let sum =
                    terms.fold(0u128, |sum, term| sum + u128::from(term[0]) * u128::from(term[1 + i]) % (1 << 64));
                let plaintext = if i + 1 == len { result[0] } else { 0 };
                expected.push((sum as u64).wrapping_add(plaintext));
            }
        }
        same("linear combinations", &device.lwe_linear(settings, &source).map_err(text)?, &expected)?;
    }
    let degree = device.parameters().degree();
    for (terms, count) in [(1, 3), (3, 2)] {
        let data = words(seed + 9, 2 * terms * degree * count);
        let mut expected = vec![];
        for result in data.chunks_exact(2 * terms * degree) {
            for i in 0..degree {
                let products =
                    result.chunks_exact(2 * degree).map(|term| u128::from(term[i]) * u128::from(term[degree + i]));
                let p = u128::from(field::P);
                expected.push((products.fold(0, |sum, product| (sum + product % p) % p)) as u64);
            }
        }
        same("pointwise products", &device.pointwise_mac(terms as u8, &data).map_err(text)?, &expected)?;
    }
    // Settings that no card takes, as descriptors of their own.
    let buffer = device.allocate(1 << 16).map_err(text)?;
    let at = buffer.iova().get();
    let good = Descriptor {
        count: 2,
        source: at,
        destination: at + 0x8000,
        operands: [LinearSettings { words: 9, terms: 2 }.pack(), 0, 0, 0],
        ..Descriptor::new(Opcode::LweLinear)
    };
    let with = |operand: u64| Descriptor { operands: [operand, 0, 0, 0], ..good };
    let pointwise = Descriptor { opcode: Opcode::PointwiseMac, ..with(1 << 16) };
    let cases = [
        (with(9), StatusCode::BadOperand, 0),
        (with(1 << 16), StatusCode::BadOperand, 0),
        (with(4097 | 1 << 16), StatusCode::BadOperand, 0),
        (with(9 | 1 << 13 | 1 << 16), StatusCode::BadOperand, 0),
        (with(9 | 1 << 16 | 1 << 24), StatusCode::BadOperand, 0),
        (Descriptor { count: 4095, ..with(4096 | 255 << 16) }, StatusCode::BadOperand, 0),
        (Descriptor { operands: [0; 4], ..pointwise }, StatusCode::BadOperand, 0),
        (Descriptor { count: 0, ..good }, StatusCode::BadCount, 0),
        (Descriptor { count: 4096, ..pointwise }, StatusCode::BadCount, 0),
        (Descriptor { source: at + 8, ..good }, StatusCode::BadSource, at + 8),
        (Descriptor { destination: at + 8, ..good }, StatusCode::BadDestination, at + 8),
        (Descriptor { source: u64::MAX - 63, ..good }, StatusCode::BadSource, u64::MAX - 63),
    ];
    for (descriptor, status, address) in cases {
        fails(&device, descriptor.words(), status, address, 1)?;
    }
    still_right(&device, seed)
}

fn transform_out_of_place(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let bytes = 8 * device.parameters().degree();
    let transform = transform_of(&device)?;
    let data = words(bench.seed, 3 * bytes / 8);
    let source = device.allocate(3 * bytes).map_err(text)?;
    source.write_words(0, &data).map_err(text)?;
    let target = device.allocate(3 * bytes).map_err(text)?;
    target.write_words(0, &data).map_err(text)?;
    let from = source.slice(bytes, bytes).map_err(text)?;
    let to = target.slice(bytes, bytes).map_err(text)?;
    device.run(0, Command::Ntt { source: from, destination: to }).map_err(text)?;
    let mut found = vec![0; data.len()];
    source.read_words(0, &mut found).map_err(text)?;
    same("source", &found, &data)?;
    target.read_words(0, &mut found).map_err(text)?;
    let n = bytes / 8;
    let mut expected = data.clone();
    expected[n..2 * n].copy_from_slice(&golden(&transform, &data[n..2 * n], true)?);
    same("destination and its neighbours", &found, &expected)
}

fn copy_sizes(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    const ROOM: usize = 24 << 10;
    let data: Vec<u8> = words(bench.seed, ROOM / 8).iter().flat_map(|word| word.to_le_bytes()).collect();
    let source = device.allocate(ROOM).map_err(text)?;
    source.write(0, &data).map_err(text)?;
    let target = device.allocate(ROOM).map_err(text)?;
    for (length, from, to) in [
        (1, 0, 64),
        (7, 64, 0),
        (8, 128, 128),
        (63, 64, 192),
        (64, 0, 4032),
        (65, 4032, 64),
        (127, 4096 - 64, 8192 - 64),
        (4095, 0, 64),
        (4096, 64, 0),
        (4097, 4032, 960),
        (12_345, 1024, 4160),
        (16_448, 64, 128),
    ] {
        target.write(0, &[0xa5; ROOM]).map_err(text)?;
        let command = Command::Copy {
            source: source.slice(from, length).map_err(text)?,
            destination: target.slice(to, length).map_err(text)?,
        };
        device.run(0, command).map_err(text)?;
        let mut found = vec![0; ROOM];
        target.read(0, &mut found).map_err(text)?;
        let mut expected = vec![0xa5; ROOM];
        expected[to..to + length].copy_from_slice(&data[from..from + length]);
        let at = found.iter().zip(&expected).position(|(a, b)| a != b);
        ensure(at.is_none(), || format!("{length} bytes from {from} to {to}: byte {at:?} is wrong"))?;
    }
    let back = device.copy(&data[..ROOM - 3]).map_err(text)?;
    ensure(back == data[..ROOM - 3], || "the blocking copy differs".into())
}

/// A mix of commands, each with memory of its own.
struct Mix {
    buffers: Vec<(DmaBuffer, DmaBuffer, Vec<u64>)>,
    commands: Vec<Command>,
    expected: Vec<Vec<u64>>,
}

impl Mix {
    fn new(device: &Device, seed: u64, count: usize) -> std::result::Result<Self, String> {
        let transform = transform_of(device)?;
        let degree = device.parameters().degree();
        let mut mix = Self { buffers: vec![], commands: vec![], expected: vec![] };
        for index in 0..count {
            let data = words(seed.wrapping_mul(31).wrapping_add(index as u64), degree * (1 + index % 2));
            let from = device.allocate(size_of_val(&data[..])).map_err(text)?;
            let to = device.allocate(size_of_val(&data[..])).map_err(text)?;
            from.write_words(0, &data).map_err(text)?;
            let (source, destination) = (from.whole(), to.whole());
            let (command, expected) = match index % 4 {
                0 => (Command::Ntt { source, destination }, golden(&transform, &data, true)?),
                1 => (Command::Intt { source, destination }, golden(&transform, &data, false)?),
                2 => (Command::Copy { source, destination }, data.clone()),
                _ => (Command::Fence, vec![0; data.len()]),
            };
            mix.buffers.push((from, to, data));
            mix.commands.push(command);
            mix.expected.push(expected);
        }
        Ok(mix)
    }

    fn check(&self, tickets: Vec<Ticket>) -> Outcome {
        ensure(tickets.len() == self.commands.len(), || format!("{} tickets", tickets.len()))?;
        for ticket in tickets {
            ticket.wait().map_err(text)?;
        }
        for (index, ((_, to, data), expected)) in self.buffers.iter().zip(&self.expected).enumerate() {
            let mut found = vec![0; data.len()];
            to.read_words(0, &mut found).map_err(text)?;
            same(&format!("command {index}"), &found, expected)?;
        }
        Ok(())
    }
}

fn batch(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let mix = Mix::new(&device, bench.seed, 24)?;
    mix.check(device.submit(0, &mix.commands).map_err(text)?)
}

fn small_ring(bench: &Bench) -> Outcome {
    let device = bench.open_with(|config| config.ring_log2 = 2)?;
    // Many laps of the rings: the phase turns over and over.
    let tickets = device.submit(0, &vec![Command::Nop; 75]).map_err(text)?;
    for ticket in tickets {
        ticket.wait().map_err(text)?;
    }
    let mix = Mix::new(&device, bench.seed, 21)?;
    mix.check(device.submit(0, &mix.commands).map_err(text)?)
}

fn ring_full(bench: &Bench) -> Outcome {
    let device = bench.open_with(|config| config.ring_log2 = 1)?;
    match device.try_submit(0, &vec![Command::Nop; 3]) {
        Err(Error::RingFull { wanted: 3, room: 2, .. }) => {}
        other => return Err(format!("three commands in a ring of two: {other:?}")),
    }
    for ticket in device.try_submit(0, &[Command::Nop, Command::Nop]).map_err(text)? {
        ticket.wait().map_err(text)?;
    }
    still_right(&device, bench.seed)
}

fn threads(bench: &Bench) -> Outcome {
    let device = bench.open_with(|config| config.ring_log2 = 3)?;
    let device = &device;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || {
                    let mix = Mix::new(device, bench.seed + 1000 * thread as u64, 13)?;
                    for round in 0..3 {
                        let queue = (thread + round) % device.queues();
                        mix.check(device.submit(queue, &mix.commands).map_err(text)?)?;
                        for ticket in device.submit(queue, &vec![Command::Nop; 20]).map_err(text)? {
                            ticket.wait().map_err(text)?;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a thread panicked".into())))
    })
}

fn polling(bench: &Bench) -> Outcome {
    let device = bench.open_with(|config| config.completion = CompletionMode::Polling)?;
    let mix = Mix::new(&device, bench.seed, 9)?;
    mix.check(device.submit(0, &mix.commands).map_err(text)?)?;
    still_right(&device, bench.seed)
}

/// The command fails with `status` at `address`, nothing else happens, and the next one is right.
fn fails(device: &Device, words: [u64; 8], status: StatusCode, address: u64, seed: u64) -> Outcome {
    match device.run_words(0, words) {
        Err(Error::CommandFailed { status: s, address: a, .. }) if s == status && a == address => {}
        other => return Err(format!("{words:x?} ended with {other:x?} instead of {} at {address:#x}", status.name())),
    }
    device.nop().map_err(text)?;
    ensure(device.health().recoveries == 0, || format!("{} needed a recovery", status.name()))?;
    if seed.is_multiple_of(2) { still_right(device, seed) } else { Ok(()) }
}

fn bad_descriptors(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let buffer = device.allocate(1 << 16).map_err(text)?;
    let marks = words(bench.seed, 1 << 13);
    buffer.write_words(0, &marks).map_err(text)?;
    let at = buffer.iova().get();
    let good = Descriptor { count: 1, source: at, destination: at + 0x8000, ..Descriptor::new(Opcode::Ntt) };
    let with = |index: usize, change: &dyn Fn(u64) -> u64| {
        let mut words = good.words();
        words[index] = change(words[index]);
        words
    };
    let copy = |count| Descriptor { opcode: Opcode::Copy, count, ..good }.words();
    let top = u64::MAX - 63;
    let cases = [
        (with(0, &|w| w & !0xff | 0xee), StatusCode::BadOpcode, 0),
        (with(0, &|w| w & !0xff | 0x1f), StatusCode::BadOpcode, 0),
        (with(0, &|w| w | 1 << 16), StatusCode::ReservedBits, 0),
        (with(0, &|w| w | 1 << 10), StatusCode::ReservedBits, 0),
        (with(1, &|w| w | 1 << 40), StatusCode::ReservedBits, 0),
        (with(1, &|_| 0), StatusCode::BadCount, 0),
        (with(1, &|_| layout::MAX_POLYNOMIALS + 1), StatusCode::BadCount, 0),
        (copy(0), StatusCode::BadCount, 0),
        (with(2, &|w| w + 8), StatusCode::BadSource, at + 8),
        (with(2, &|_| top), StatusCode::BadSource, top),
        (with(3, &|w| w + 32), StatusCode::BadDestination, at + 0x8020),
        (with(3, &|_| top), StatusCode::BadDestination, top),
    ];
    for (seed, (words, status, address)) in cases.into_iter().enumerate() {
        fails(&device, words, status, address, seed as u64)?;
    }
    let mut found = vec![0; marks.len()];
    buffer.read_words(0, &mut found).map_err(text)?;
    same("memory of refused commands", &found, &marks)
}

fn unmapped(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let bytes = 8 * device.parameters().degree() as u64;
    let buffer = device.allocate(8 * bytes as usize).map_err(text)?;
    let at = buffer.iova().get();
    let hole = 0x7f00_0000_0000u64;
    let good = Descriptor { count: 2, source: at, destination: at + 4 * bytes, ..Descriptor::new(Opcode::Ntt) };
    let seed = 2 * bench.seed;
    fails(&device, Descriptor { source: hole, ..good }.words(), StatusCode::ReadFault, hole, seed)?;
    fails(&device, Descriptor { destination: hole, ..good }.words(), StatusCode::WriteFault, hole, seed)?;
    let copy = Descriptor { opcode: Opcode::Copy, count: 4096, ..good };
    fails(&device, Descriptor { source: hole, ..copy }.words(), StatusCode::ReadFault, hole, seed)?;
    fails(&device, Descriptor { destination: hole, ..copy }.words(), StatusCode::WriteFault, hole, seed)?;
    // A buffer that is gone is unmapped.
    let gone = device.allocate(4096).map_err(text)?;
    let address = gone.iova().get();
    drop(gone);
    fails(&device, Descriptor { source: address, ..copy }.words(), StatusCode::ReadFault, address, seed)?;
    let zero = Descriptor { source: 0, ..copy };
    fails(&device, zero.words(), StatusCode::ReadFault, 0, seed)
}

fn arguments(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let bytes = 8 * device.parameters().degree();
    let buffer = device.allocate(4 * bytes).map_err(text)?;
    let part = |offset, length| buffer.slice(offset, length).map_err(text);
    let argument = |what: &str, result: Result<Vec<Ticket>>| match result {
        Err(Error::Argument { .. }) => Ok(()),
        other => Err(format!("{what}: {other:?}")),
    };
    let copy = |source, destination| [Command::Copy { source, destination }];
    argument("lengths differ", device.submit(0, &copy(part(0, 64)?, part(64, 128)?)))?;
    argument("overlap", device.submit(0, &copy(part(0, 128)?, part(64, 128)?)))?;
    argument("empty", device.submit(0, &copy(part(0, 0)?, part(64, 0)?)))?;
    let ntt = [Command::Ntt { source: part(0, bytes - 8)?, destination: part(0, bytes - 8)? }];
    argument("no whole polynomial", device.submit(0, &ntt))?;
    argument("no such ring pair", device.submit(device.queues(), &[Command::Nop]))?;
    // One bad command keeps its whole batch back.
    let before = device.counters().map_err(text)?;
    argument("batch", device.submit(0, &[Command::Nop, ntt[0].clone()]))?;
    device.nop().map_err(text)?;
    let after = device.counters().map_err(text)?;
    ensure(after.commands_done == before.commands_done + 1, || "a command of a refused batch ran".into())?;
    for result in
        [buffer.slice(4 * bytes, 1).err(), buffer.slice(8, 8).err(), buffer.write(4 * bytes - 1, &[0; 2]).err()]
    {
        ensure(matches!(result, Some(Error::Argument { .. })), || format!("{result:?}"))?;
    }
    ensure(matches!(device.ntt(&[1]), Err(Error::Argument { .. })), || "ntt of one word".into())
}

fn card_memory(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let p = *device.parameters();
    if !p.can(Opcode::KeyUpload) {
        return Ok(());
    }
    let (granule, total) = (u64::from(p.card_memory_granule_bytes), p.card_memory_bytes);
    ensure(total > 0 && total % granule == 0, || format!("{total} bytes of card memory, granule {granule}"))?;
    let first = device.upload(&[7; 1000]).map_err(text)?;
    ensure(first.len() == 1000u64.next_multiple_of(granule), || format!("{first:?}"))?;
    let second = device.upload_words(&words(bench.seed, 3000)).map_err(text)?;
    let free = device.card_memory().0;
    ensure(free == total - first.len() - second.len(), || format!("{free} bytes free"))?;
    // Overwritten in part, wiped in part.
    let buffer = device.allocate(4096).map_err(text)?;
    let (part, source) = (second.slice(granule, 4 * granule).map_err(text)?, buffer.slice(0, 4 * granule as usize));
    device.run(0, Command::Upload { source: source.map_err(text)?, destination: part.clone() }).map_err(text)?;
    device.run(0, Command::Wipe { destination: part }).map_err(text)?;
    // What is released comes back wiped; what a command in flight uses does not.
    drop(first);
    device.settle_card_memory().map_err(text)?;
    ensure(device.card_memory().0 == free + 1000u64.next_multiple_of(granule), || "released memory is lost".into())?;
    let again = device.upload(&[1]).map_err(text)?;
    ensure(again.whole().address() == 0, || format!("{again:?} is not where the first buffer was"))?;
    drop((again, second));
    device.settle_card_memory().map_err(text)?;
    ensure(device.card_memory() == (total, total), || format!("{:?} bytes free of all", device.card_memory()))?;
    match device.upload(&vec![0; total as usize + 1]) {
        Err(Error::OutOfCardMemory { total: t, .. }) if t == total => {}
        other => return Err(format!("more than there is: {other:?}")),
    }
    ensure(matches!(device.upload(&[]), Err(Error::Argument { .. })), || "an empty upload".into())?;
    still_right(&device, bench.seed)
}

fn card_memory_rules(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let p = *device.parameters();
    if !p.can(Opcode::KeyUpload) {
        return Ok(());
    }
    let (granule, total) = (u64::from(p.card_memory_granule_bytes), p.card_memory_bytes);
    let buffer = device.allocate(1 << 14).map_err(text)?;
    let at = buffer.iova().get();
    let count = granule as u32;
    let good = Descriptor { count, source: at, ..Descriptor::new(Opcode::KeyUpload) };
    let wipe = Descriptor { opcode: Opcode::Wipe, source: 1, ..good };
    let hole = 0x7f00_0000_0000u64;
    let cases = [
        (Descriptor { count: 0, ..good }, StatusCode::BadCount, 0),
        (Descriptor { count: count + 32, ..good }, StatusCode::BadCount, 0),
        (Descriptor { source: at + 8, ..good }, StatusCode::BadSource, at + 8),
        (Descriptor { destination: 32, ..good }, StatusCode::BadDestination, 32),
        (Descriptor { destination: granule, ..good }, StatusCode::BadDestination, granule),
        (Descriptor { destination: granule, ..wipe }, StatusCode::BadDestination, granule),
        (Descriptor { destination: total, ..wipe }, StatusCode::OutOfCardMemory, total),
        (Descriptor { destination: 1 << 50, ..good }, StatusCode::OutOfCardMemory, 1 << 50),
        (Descriptor { source: hole, ..good }, StatusCode::ReadFault, hole),
    ];
    for (seed, (descriptor, status, address)) in cases.into_iter().enumerate() {
        fails(&device, descriptor.words(), status, address, seed as u64)?;
    }
    // Behind what was written there is no gap.
    device.run_words(0, good.words()).map_err(text)?;
    device.run_words(0, Descriptor { destination: granule, ..wipe }.words()).map_err(text)?;
    let gap = Descriptor { destination: 3 * granule, ..wipe };
    fails(&device, gap.words(), StatusCode::BadDestination, 3 * granule, 1)
}

/// Keys as the card can hold them; `change` makes them others than the usual ones.
fn keys_of(
    device: &Device,
    change: impl FnOnce(&mut BootstrapSettings),
    seed: u64,
) -> std::result::Result<ReferenceKeys, String> {
    let mut settings = ReferenceKeys::SETTINGS;
    change(&mut settings);
    ReferenceKeys::upload(device, settings, seed).map_err(text)
}

/// `count` ciphertexts through the card and through golden.
fn check_bootstrap(
    keys: &ReferenceKeys,
    device: &Device,
    opcode: Opcode,
    count: usize,
    change: impl FnOnce(&mut BootstrapSettings),
    seed: u64,
) -> Outcome {
    let mut settings = keys.settings();
    change(&mut settings);
    let job = keys.job(device, opcode, count, settings, seed).map_err(text)?;
    device.run(0, job.command()).map_err(text)?;
    job_is_right(&job, &format!("{count} x {} with {settings:?}", opcode.name()))
}

fn job_is_right(job: &ReferenceJob, what: &str) -> Outcome {
    same(what, &job.found().map_err(text)?, job.expected())
}

fn bootstraps(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    if !device.parameters().can(Opcode::Bootstrap) {
        return Ok(());
    }
    let seed = bench.seed;
    let keys = keys_of(&device, |_| {}, seed)?;
    check_bootstrap(&keys, &device, Opcode::Bootstrap, 1, |_| {}, seed)?;
    // One more than a batch, tables of their own, several functions, without keyswitch, keyswitch alone.
    let more = layout::batch_depth(device.parameters().lanes) as usize + 1;
    check_bootstrap(&keys, &device, Opcode::Bootstrap, more, |_| {}, seed + 1)?;
    check_bootstrap(&keys, &device, Opcode::Bootstrap, more, |s| s.lut_each = true, seed + 2)?;
    check_bootstrap(&keys, &device, Opcode::Bootstrap, 3, |s| s.functions = 3, seed + 3)?;
    check_bootstrap(&keys, &device, Opcode::Bootstrap, 2, |s| s.keyswitch = false, seed + 4)?;
    check_bootstrap(&keys, &device, Opcode::Keyswitch, 5, |_| {}, seed + 5)?;
    // Several key sets at a time, of other parameters.
    let narrow = keys_of(
        &device,
        |s| {
            (s.dimension, s.ks_base_log, s.ks_levels, s.ks_words_per_slot) = (6, 2, 8, 3);
            (s.pbs_base_log, s.pbs_levels, s.centred) = (15, 2, false);
        },
        seed + 6,
    )?;
    check_bootstrap(&narrow, &device, Opcode::Bootstrap, 2, |_| {}, seed + 7)?;
    check_bootstrap(&keys, &device, Opcode::Bootstrap, 1, |s| s.functions = 2, seed + 8)?;
    check_bootstrap(&narrow, &device, Opcode::Keyswitch, 2, |_| {}, seed + 9)?;
    drop(narrow);
    check_bootstrap(&keys, &device, Opcode::Bootstrap, 2, |_| {}, seed + 10)?;
    ensure(device.health().recoveries == 0, || "a recovery was needed".into())?;
    still_right(&device, seed)
}

fn bootstrap_threads(bench: &Bench) -> Outcome {
    let device = bench.open_with(|config| config.ring_log2 = 2)?;
    if !device.parameters().can(Opcode::Bootstrap) {
        return Ok(());
    }
    let (device, keys) = (&device, &keys_of(&device, |_| {}, bench.seed)?);
    const THREADS: usize = 3;
    const JOBS: usize = 4;
    std::thread::scope(|scope| {
        let work = |thread: usize| {
            let seed = bench.seed + 100 * thread as u64;
            let mix = Mix::new(device, seed, JOBS)?;
            let mut settings = keys.settings();
            settings.functions = 1 + thread as u8;
            let jobs = (0..JOBS as u64).map(|k| keys.job(device, Opcode::Bootstrap, 2, settings, seed + k));
            let jobs = jobs.collect::<Result<Vec<_>>>().map_err(text)?;
            for round in 0..2 {
                // More than a ring holds, small commands among the large ones.
                let commands: Vec<Command> =
                    mix.commands.iter().cloned().zip(&jobs).flat_map(|(small, job)| [small, job.command()]).collect();
                let queue = (thread + round) % device.queues();
                for ticket in device.submit(queue, &commands).map_err(text)? {
                    ticket.wait().map_err(text)?;
                }
                for (index, job) in jobs.iter().enumerate() {
                    job_is_right(job, &format!("thread {thread}, round {round}, bootstrap {index}"))?;
                    ensure(job.is_untouched().map_err(text)?, || format!("the source of bootstrap {index} changed"))?;
                }
            }
            Ok(())
        };
        let workers: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a thread panicked".into())))
    })
}

fn uploads_meanwhile(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    if !device.parameters().can(Opcode::Bootstrap) {
        return Ok(());
    }
    let (device, seed) = (&device, bench.seed);
    let first = &keys_of(device, |_| {}, seed)?;
    let free = device.card_memory().0;
    let running = &std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        // One thread bootstraps with the first key set, without a pause, as long as the other changes key sets.
        let batches = scope.spawn(move || {
            let job = |k| first.job(device, Opcode::Bootstrap, 2, first.settings(), seed + k);
            let jobs = (0..3).map(job).collect::<Result<Vec<_>>>().map_err(text)?;
            let commands: Vec<Command> = jobs.iter().map(ReferenceJob::command).collect();
            let mut rounds = 0;
            while running.load(std::sync::atomic::Ordering::Acquire) || rounds == 0 {
                for ticket in device.submit(device.queues() - 1, &commands).map_err(text)? {
                    ticket.wait().map_err(text)?;
                }
                for job in &jobs {
                    job_is_right(job, &format!("round {rounds} with the first key set"))?;
                }
                rounds += 1;
            }
            Ok(rounds)
        });
        let changes = || -> Outcome {
            for round in 0..3 {
                let second = keys_of(device, |s| (s.dimension, s.functions) = (6 + round, 2), seed + 50)?;
                check_bootstrap(&second, device, Opcode::Bootstrap, 2, |_| {}, seed + u64::from(round))?;
            }
            Ok(())
        };
        let changed = changes();
        running.store(false, std::sync::atomic::Ordering::Release);
        let rounds = batches.join().unwrap_or_else(|_| Err("a thread panicked".into()));
        changed.and(rounds.map(drop))
    })?;
    device.settle_card_memory().map_err(text)?;
    ensure(device.card_memory().0 == free, || "card memory of a released key set is lost".into())?;
    ensure(device.health().recoveries == 0, || "a recovery was needed".into())
}

fn bootstrap_rules(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let p = *device.parameters();
    if !p.can(Opcode::Bootstrap) {
        return Ok(());
    }
    let seed = bench.seed;
    let buffer = device.allocate(1 << 16).map_err(text)?;
    let at = buffer.iova().get();
    let keys = keys_of(&device, |_| {}, seed)?;
    let luts = device.upload_words(&words(seed, p.degree())).map_err(text)?;
    let [bsk, ksk, lut] = [keys.bootstrap_key(), keys.keyswitch_key(), &luts].map(|buffer| buffer.whole().address());
    let end = lut + luts.len();
    let granule = u64::from(p.card_memory_granule_bytes);
    let settings = keys.settings();
    let good = Descriptor {
        count: 1,
        source: at,
        destination: at + 0x8000,
        operands: [bsk, ksk, lut, settings.pack()],
        ..Descriptor::new(Opcode::Bootstrap)
    };
    let operand = |index: usize, value: u64| {
        let mut operands = good.operands;
        operands[index] = value;
        Descriptor { operands, ..good }
    };
    let packed = |change: &dyn Fn(&mut BootstrapSettings)| {
        let mut changed = settings;
        change(&mut changed);
        operand(3, changed.pack())
    };
    let alone = Descriptor { opcode: Opcode::Keyswitch, ..packed(&|s| s.keyswitch = false) };
    let hole = 0x7f00_0000_0000u64;
    let cases = [
        (Descriptor { count: 0, ..good }, StatusCode::BadCount, 0),
        (Descriptor { count: 4096, ..good }, StatusCode::BadCount, 0),
        (packed(&|s| s.dimension = 0), StatusCode::BadOperand, 0),
        (packed(&|s| s.dimension = 1024), StatusCode::BadOperand, 0),
        (packed(&|s| s.pbs_levels = 2), StatusCode::BadOperand, 0),
        (packed(&|s| s.pbs_levels = 0), StatusCode::BadOperand, 0),
        (packed(&|s| s.pbs_base_log = 33), StatusCode::BadOperand, 0),
        (packed(&|s| s.ks_base_log = 5), StatusCode::BadOperand, 0),
        (packed(&|s| s.ks_levels = 9), StatusCode::BadOperand, 0),
        (packed(&|s| s.ks_words_per_slot = 0), StatusCode::BadOperand, 0),
        (packed(&|s| (s.ks_words_per_slot, s.ks_levels) = (3, 6)), StatusCode::BadOperand, 0),
        (packed(&|s| s.functions = 0), StatusCode::BadOperand, 0),
        (packed(&|s| s.functions = 17), StatusCode::BadOperand, 0),
        (operand(3, settings.pack() | 1 << 40), StatusCode::BadOperand, 0),
        (alone, StatusCode::BadOperand, 0),
        (Descriptor { source: at + 8, ..good }, StatusCode::BadSource, at + 8),
        (Descriptor { source: u64::MAX - 63, ..good }, StatusCode::BadSource, u64::MAX - 63),
        (Descriptor { destination: at + 8, ..good }, StatusCode::BadDestination, at + 8),
        (Descriptor { destination: u64::MAX - 63, ..good }, StatusCode::BadDestination, u64::MAX - 63),
        (operand(0, 32), StatusCode::BadOperand, 0),
        (operand(2, granule / 2), StatusCode::BadOperand, 0),
        (operand(0, end), StatusCode::NoKeySet, end),
        (operand(0, 1 << 44), StatusCode::NoKeySet, 1 << 44),
        (operand(1, end - granule), StatusCode::NoKeySet, end - granule),
        (operand(2, end), StatusCode::NoLut, end),
        (Descriptor { count: 2, ..packed(&|s| s.lut_each = true) }, StatusCode::NoLut, lut),
        (Descriptor { source: hole, ..good }, StatusCode::ReadFault, hole),
        (Descriptor { destination: hole, ..good }, StatusCode::WriteFault, hole),
    ];
    for (index, (descriptor, status, address)) in cases.into_iter().enumerate() {
        fails(&device, descriptor.words(), status, address, index as u64)?;
    }
    check_bootstrap(&keys, &device, Opcode::Bootstrap, 2, |_| {}, seed + 1)?;
    // What the driver can see it refuses itself.
    let slice = |offset: usize, words: u64| buffer.slice(offset, 8 * words as usize).map_err(text);
    let big = p.glwe().big_dimension() + 1;
    let command =
        |source, destination, settings| Command::Keyswitch { source, destination, key: luts.whole(), settings };
    let small = u64::from(settings.dimension) + 1;
    for (what, command) in [
        ("a key that is too short", command(slice(0, big)?, slice(0x8000, small)?, settings)),
        ("part of a ciphertext", command(slice(0, big - 1)?, slice(0x8000, small)?, settings)),
        ("no room for the result", command(slice(0, big)?, slice(0x8000, small - 1)?, settings)),
    ] {
        let refused = device.submit(0, &[command]);
        ensure(matches!(refused, Err(Error::Argument { .. })), || format!("{what}: {refused:?}"))?;
    }
    let mut other = parameters_of(&settings, p.glwe());
    ensure(device.bootstrap_settings(&other).is_ok(), || "parameters of the card's ring are refused".into())?;
    other.glwe_dimension.0 += 1;
    let refused = device.bootstrap_settings(&other);
    ensure(matches!(refused, Err(Error::OtherRing { .. })), || format!("parameters of another k: {refused:?}"))?;
    // A card that was reset has no key.
    drop((keys, luts, buffer, device));
    let device = bench.open()?;
    let buffer = device.allocate(1 << 16).map_err(text)?;
    let at = buffer.iova().get();
    fails(&device, Descriptor { source: at, destination: at + 0x8000, ..good }.words(), StatusCode::NoKeySet, bsk, seed)
}

fn counters(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let p = *device.parameters();
    let zero = device.counters().map_err(text)?;
    ensure(zero.commands_done == 0 && zero.ntt_beats == 0, || format!("not zero after opening: {zero:?}"))?;
    let data = words(bench.seed, 5 * p.degree());
    let transformed = device.ntt(&data).map_err(text)?;
    device.intt(&transformed[..2 * p.degree()]).map_err(text)?;
    let bad = device.run_words(0, [0xff, 0, 0, 0, 0, 0, 0, 0]);
    ensure(bad.is_err(), || "opcode 255 ended well".into())?;
    let c = device.counters().map_err(text)?;
    let groups = (p.degree() / p.lanes as usize) as u64;
    let beats = (p.degree() * 8 / 64) as u64;
    ensure((c.commands_done, c.commands_failed) == (2, 1), || format!("{c:?}"))?;
    ensure((c.ntt_beats, c.intt_beats) == (5 * groups, 2 * groups), || format!("{c:?}"))?;
    ensure(c.read_beats == 7 * beats + 3 && c.write_beats == 7 * beats + 3, || format!("{c:?}"))?;
    ensure(c.busy_cycles > 0 && c.busy_cycles <= c.cycles, || format!("{c:?}"))
}

fn close_in_flight(bench: &Bench) -> Outcome {
    for _ in 0..2 {
        let device = bench.open()?;
        let mix = Mix::new(&device, bench.seed, 12)?;
        let tickets = device.submit(0, &mix.commands).map_err(text)?;
        drop(device);
        for ticket in tickets {
            match ticket.wait() {
                Ok(_) | Err(Error::Aborted { .. }) => {}
                other => return Err(format!("a command of a closed device: {other:?}")),
            }
        }
    }
    still_right(&bench.open()?, bench.seed)
}

fn drop_buffers(bench: &Bench) -> Outcome {
    let device = bench.open()?;
    let bytes = 64 * device.parameters().degree();
    for round in 0..4 {
        let data = words(bench.seed + round, bytes / 8);
        let buffer = device.allocate(bytes).map_err(text)?;
        buffer.write_words(0, &data).map_err(text)?;
        let command = Command::Ntt { source: buffer.whole(), destination: buffer.whole() };
        let tickets = device.submit(0, &[command]).map_err(text)?;
        drop(buffer);
        for ticket in tickets {
            match ticket.wait_timeout(Duration::from_secs(600)) {
                Ok(_) => {}
                other => return Err(format!("a command whose buffer was dropped: {other:?}")),
            }
        }
    }
    still_right(&device, bench.seed)
}
