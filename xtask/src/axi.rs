//! `cargo xtask axi-check`: the card's ports driven by cocotbext-axi, results compared with golden's.

use crate::{TaskError, root, setup_verilator, show};
use glovebox_golden::field::reduce;
use glovebox_golden::ntt::NegacyclicNtt;
use glovebox_hdl::Design;
use glovebox_regmap::command::Flags;
use glovebox_regmap::registers::{self, Register, RingRegister, control, ring_control};
use glovebox_regmap::{Descriptor, Opcode};
use glovebox_sim::{synthesis, verilator};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

/// The smallest card of the catalogue.
const LANES: usize = 4;
const DEGREE: usize = 256;
/// Card memory, in beats of 64 bytes.
const MEMORY_BEATS: u32 = 1 << 12;
/// The ring pair under test, its place in host memory, log2 of its entries, its vector.
const RING: u32 = 1;
const SQ: u64 = 0x10_0000;
const CQ: u64 = 0x10_1000;
const ENTRIES_LOG2: u32 = 1;
const VECTOR: u32 = 3;
/// Data in host memory: what commands read, where they write.
const SOURCE: u64 = 0x20_0000;
const DESTINATION: u64 = 0x30_0000;
/// What a planted defect must be found by: word of the log; see `sim/cocotb/bench.sv`.
const DEFECTS: [(&str, &str); 6] = [
    ("a bit of beats read", "data at 0x"),
    ("WLAST left out", "assert last =="),
    ("an address that moves while it waits", "m_axi: AR moved while it waited"),
    ("a burst shorter than its data", "assert last =="),
    ("an answer withdrawn", "s_axil: R moved while it waited"),
    ("a burst across 4 KiB", "m_mem: AW is no burst of the card"),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Words of SplitMix64.
fn words(seed: u64, count: usize) -> Vec<u64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..count).map(|_| next()).collect()
}

fn offset(register: RingRegister) -> Result<u32, TaskError> {
    Ok(register.of(RING).ok_or("the map lacks the ring")?.offset.get())
}

/// The commands, with their data and what golden makes of it.
fn commands() -> Result<Vec<Value>, TaskError> {
    let polynomials = 3;
    let data = words(1, polynomials * DEGREE);
    let ntt = NegacyclicNtt::new(DEGREE)?;
    let (mut forward, mut inverse) = (vec![], vec![]);
    for polynomial in data.chunks_exact(DEGREE) {
        let mut words: Vec<u64> = polynomial.iter().map(|&word| reduce(word)).collect();
        let mut back = words.clone();
        ntt.forward_bit_reversed(&mut words)?;
        ntt.inverse_bit_reversed(&mut back)?;
        forward.extend(words);
        inverse.extend(back);
    }
    let data = bytes_of(&data);
    let key = bytes_of(&words(2, 8 * 150));
    // A copy that ends within a word, before bytes that must stay.
    let copied = 4097;
    let around = vec![0x5a; copied + 200];
    let copy = [&data[..copied], &around[copied..]].concat();
    let all = [
        (Opcode::Nop, 0, 0, 0, vec![], vec![]),
        (
            Opcode::Copy,
            copied,
            SOURCE,
            DESTINATION + 0xf40,
            vec![(SOURCE, &data), (DESTINATION + 0xf40, &around)],
            vec![("host", DESTINATION + 0xf40, &copy)],
        ),
        (Opcode::KeyUpload, key.len(), SOURCE, 0, vec![(SOURCE, &key)], vec![("card", 0, &key)]),
        (
            Opcode::KeyUpload,
            64 * 40,
            SOURCE,
            key.len() as u64,
            vec![(SOURCE, &data)],
            vec![("card", key.len() as u64, &data), ("card", 0, &key)],
        ),
        (Opcode::Wipe, 64 * 70, 0, 64 * 3, vec![], vec![]),
    ];
    let mut list = vec![];
    let zero = vec![0; 64 * 70];
    let (forward, inverse) = (bytes_of(&forward), bytes_of(&inverse));
    let transform = |opcode, expected| {
        (opcode, polynomials, SOURCE, DESTINATION, vec![(SOURCE, &data)], vec![("host", DESTINATION, expected)])
    };
    let wiped = ("card", 64 * 3, &zero);
    for (index, (opcode, count, source, destination, data, mut expected)) in
        all.into_iter().chain([transform(Opcode::Ntt, &forward), transform(Opcode::Intt, &inverse)]).enumerate()
    {
        if opcode == Opcode::Wipe {
            expected.push(wiped);
        }
        let tag = 0x100 + index as u32;
        let count = count as u32;
        let descriptor =
            Descriptor { count, source, destination, tag, flags: Flags::INTERRUPT, ..Descriptor::new(opcode) };
        list.push(json!({
            "name": format!("{index} {opcode:?}"),
            "opcode": opcode as u8,
            "tag": tag,
            "descriptor": hex(&descriptor.encode()),
            "data": data.iter().map(|(at, bytes)| json!([at, hex(bytes)])).collect::<Vec<_>>(),
            "expected": expected.iter().map(|(place, at, bytes)| {
                let length = if opcode == Opcode::KeyUpload { bytes.len().min(count as usize) } else { bytes.len() };
                json!([place, at, hex(&bytes[..length])])
            }).collect::<Vec<_>>(),
        }));
    }
    Ok(list)
}

fn case(top: &str) -> Result<Value, TaskError> {
    let identity = |register: Register, value: u64| json!([register.name, register.offset.get(), value]);
    let of_map = |register: Register| -> Result<Value, TaskError> {
        Ok(identity(register, register.reset.ok_or("the register has no fixed value")?))
    };
    let low =
        |register: RingRegister, value: u64| -> Result<Value, TaskError> { Ok(json!([offset(register)?, value])) };
    Ok(json!({
        "top": top,
        "memory_beats": MEMORY_BEATS,
        "defects": DEFECTS.len(),
        "identity": [
            of_map(registers::ID)?,
            of_map(registers::MAP_VERSION)?,
            of_map(registers::BEAT_BYTES)?,
            identity(registers::LANES, LANES as u64),
            identity(registers::RING_DEGREE_LOG2, DEGREE.ilog2().into()),
            identity(registers::BUILD_ID_0, 0x89ab_cdef),
            identity(registers::CARD_MEMORY_BYTES, 64 * u64::from(MEMORY_BEATS)),
            identity(registers::STATUS, registers::status::QUIET.mask().into()),
        ],
        "setup": [
            low(registers::SQ_LOG2, ENTRIES_LOG2.into())?,
            low(registers::CQ_LOG2, ENTRIES_LOG2.into())?,
            low(registers::SQ_BASE, SQ)?,
            low(registers::CQ_BASE, CQ)?,
            low(registers::RING_VECTOR, VECTOR.into())?,
            low(registers::RING_CONTROL, ring_control::ENABLE.mask().into())?,
            json!([registers::INTERRUPT_ENABLE.offset.get(), u32::MAX]),
            json!([registers::CONTROL.offset.get(), control::ENABLE.mask()]),
        ],
        "ring": {
            "sq": SQ,
            "cq": CQ,
            "entries": 1 << ENTRIES_LOG2,
            "vector": VECTOR,
            "sq_tail": offset(registers::SQ_TAIL)?,
            "cq_head": offset(registers::CQ_HEAD)?,
        },
        "commands": commands()?,
    }))
}

/// The log of one run, and whether its test passed: cocotb's own word for it.
fn outcome(folder: &Path, defect: usize) -> Result<(bool, String), TaskError> {
    let log = std::fs::read_to_string(folder.join(format!("defect_{defect}.log"))).unwrap_or_default();
    let result = std::fs::read_to_string(folder.join(format!("defect_{defect}.xml"))).unwrap_or_default();
    let passed = result.contains("<testcase") && !result.contains("<failure") && !result.contains("<error");
    Ok((passed, log))
}

pub(crate) fn run() -> Result<(), TaskError> {
    setup_verilator()?;
    let installed = show("installing cocotb", || Ok(synthesis::install_cocotb()?))?;
    println!("cocotb is {}", if installed { "installed" } else { "there" });
    let folder = verilator::models_dir().join("axi-check");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let design = Design::new("card", LANES, DEGREE)?;
    std::fs::write(folder.join("card.v"), design.verilog()?)?;
    std::fs::write(folder.join("case.json"), serde_json::to_string(&case(&design.top)?)?)?;
    let from = Instant::now();
    let bench = root().join("sim").join("cocotb").join("axi_check.py");
    let folder = folder.canonicalize()?;
    let said = show("building and running the bench", || Ok(synthesis::cocotb(&design.top, &folder, &bench)?))?;
    let (passed, log) = outcome(&folder, 0)?;
    if !passed {
        return Err(format!("{log}\n{said}\nthe card does not pass").into());
    }
    let cycles = std::fs::read_to_string(folder.join("cycles.json"))?;
    println!("{} passes, cycles by its completions: {cycles}", design.top);
    for (defect, (what, word)) in (1..).zip(DEFECTS) {
        let (passed, log) = outcome(&folder, defect)?;
        if passed || !log.contains(word) {
            return Err(format!("{log}\n{what}: the check does not find this planted error by `{word}`").into());
        }
        println!("found when planted: {what}");
    }
    println!("{:.0} s for the model and {} runs", from.elapsed().as_secs_f64(), DEFECTS.len() + 1);
    Ok(())
}
