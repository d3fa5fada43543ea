//! Block RAM with its output register, as text for leaves.
//!
//! The place for the ECP5's primitives: synthesis infers the memory but leaves the register outside, and the way from the
//! memory's latch to another cell then takes most of a fast cycle. Leaves put [`ecp5`] under `GLOVEBOX_ECP5` beside
//! their behaviour; `sim/tests/rtl` runs a transform with both on models of the cells.

use std::fmt::Write as _;

/// The deepest memory that is written as primitives; deeper ones are left to synthesis.
pub(crate) const ECP5_WORDS_MAX: usize = 2048;

/// What the pins of a memory are called.
pub(crate) struct Pins<'a> {
    /// Write this cycle.
    pub(crate) write_enable: &'a str,
    /// Where; its log2(words) low bits count.
    pub(crate) write_address: &'a str,
    /// What.
    pub(crate) write_data: &'a str,
    /// Read into the latch.
    pub(crate) read_enable: &'a str,
    /// From where; its log2(words) low bits count.
    pub(crate) read_address: &'a str,
    /// From the latch into the register.
    pub(crate) output_enable: &'a str,
    /// The register.
    pub(crate) read_data: &'a str,
}

/// Blocks of the ECP5 side by side: `words` words of `width` bits, a power of two up to [`ECP5_WORDS_MAX`].
///
/// `contents` are the words at power-up, as far as the width's 64 low bits.
pub(crate) fn ecp5(words: usize, width: usize, pins: &Pins<'_>, contents: &[u64]) -> String {
    assert!(words.is_power_of_two() && words <= ECP5_WORDS_MAX, "{words} words: more than a block has");
    // 512 words of 36 bits with one port to write and one to read; else both ports do both, of 18 or 9 bits.
    let block = match words {
        0..=512 => 36,
        1024 => 18,
        _ => 9,
    };
    let (blocks, bits) = (width.div_ceil(block), words.trailing_zeros() as usize);
    let padding = match blocks * block - width {
        0 => String::new(),
        more => format!("{more}'d0, "),
    };
    let address = |of: &str, most: usize| match most - bits {
        0 => format!("{of}[{}:0]", bits - 1),
        more => format!("{{{more}'d0, {of}[{}:0]}}", bits - 1),
    };
    let most = (512 * 36 / block).trailing_zeros() as usize;
    let (total, top) = (blocks * block, most - 1);
    let mut text = format!(
        "\
wire [{}:0] block_in = {{{padding}{}}};
wire [{}:0] block_out;
wire [{top}:0] block_write = {};
wire [{top}:0] block_read = {};
assign {} = block_out[{}:0];
",
        total - 1,
        pins.write_data,
        total - 1,
        address(pins.write_address, most),
        address(pins.read_address, most),
        pins.read_data,
        width - 1,
    );
    for i in 0..blocks {
        let mut pin = vec![];
        let mut ports = |name: &str, range: std::ops::Range<usize>, value: &dyn Fn(usize) -> String| {
            pin.extend(range.map(|p| format!(".{name}{p}({})", value(p))));
        };
        let bit = |p: usize| block * i + p;
        let (kind, parameters) = if block == 36 {
            ports("DI", 0..36, &|p| format!("block_in[{}]", bit(p)));
            // The read data's halves are the other way round.
            ports("DO", 0..36, &|p| format!("block_out[{}]", bit((p + 18) % 36)));
            ports("ADW", 0..9, &|p| format!("block_write[{p}]"));
            ports("BE", 0..4, &|_| "1'b1".to_string());
            ports("ADR", 0..5, &|_| "1'b0".to_string());
            ports("ADR", 5..14, &|p| format!("block_read[{}]", p - 5));
            ports("CSW", 0..3, &|_| "1'b0".to_string());
            ports("CSR", 0..3, &|_| "1'b0".to_string());
            pin.push(format!(".CLKW(clock), .CEW({})", pins.write_enable));
            pin.push(format!(".CLKR(clock), .CER({}), .OCER({})", pins.read_enable, pins.output_enable));
            pin.push(".RST(1'b0)".to_string());
            ("PDPW16KD", ".DATA_WIDTH_W(36), .DATA_WIDTH_R(36), .REGMODE(\"OUTREG\")".to_string())
        } else {
            let low = 14 - most;
            // The lowest two address pins of a port of 18 bits are its byte enables.
            let unused = |p: usize| if block == 18 && p < 2 { "1'b1" } else { "1'b0" }.to_string();
            ports("DIA", 0..block, &|p| format!("block_in[{}]", bit(p)));
            ports("DOB", 0..block, &|p| format!("block_out[{}]", bit(p)));
            ports("ADA", 0..low, &unused);
            ports("ADA", low..14, &|p| format!("block_write[{}]", p - low));
            ports("ADB", 0..low, &unused);
            ports("ADB", low..14, &|p| format!("block_read[{}]", p - low));
            ports("CSA", 0..3, &|_| "1'b0".to_string());
            ports("CSB", 0..3, &|_| "1'b0".to_string());
            pin.push(format!(".CLKA(clock), .CEA({0}), .WEA({0}), .OCEA(1'b0), .RSTA(1'b0)", pins.write_enable));
            pin.push(format!(".CLKB(clock), .CEB({}), .OCEB({})", pins.read_enable, pins.output_enable));
            pin.push(".WEB(1'b0), .RSTB(1'b0)".to_string());
            let width = format!(".DATA_WIDTH_A({block}), .DATA_WIDTH_B({block})");
            ("DP16KD", format!("{width}, .REGMODE_A(\"NOREG\"), .REGMODE_B(\"OUTREG\")"))
        };
        let initial = if contents.is_empty() { String::new() } else { initial(contents, block, i) };
        let _ = writeln!(
            text,
            "{kind} #({parameters}, .RESETMODE(\"SYNC\"), .GSR(\"DISABLED\"){initial}) block_{i} (\n  {}\n);",
            pin.join(", ")
        );
    }
    text
}

/// Parameters for the contents of block `i`: 16 units of 18 bits a parameter, each in 20.
fn initial(contents: &[u64], block: usize, i: usize) -> String {
    assert!(block >= 18, "contents are for blocks of at least 18 bits");
    let per_word = block / 18;
    let mut units = contents.iter().flat_map(|&word| {
        (0..per_word).map(move |u| (u128::from(word) >> (block * i + 18 * u).min(127)) as u64 & 0x3_FFFF)
    });
    let mut text = String::new();
    for row in 0..64 {
        let mut digits: Vec<String> = (0..16).map(|_| format!("{:05x}", units.next().unwrap_or(0))).collect();
        digits.reverse();
        let _ = write!(text, ",\n  .INITVAL_{row:02X}(320'h{})", digits.concat());
    }
    text
}
