//! Writes the register map as Markdown and as a C header.

use crate::command::{COMPLETION_BYTES, DESCRIPTOR_BYTES, Opcode, StatusCode};
use crate::layout;
use crate::registers::{REGISTERS, RING_REGISTERS, Register};
use alloc::format;
use alloc::string::String;

fn reset_text(register: &Register) -> String {
    register.reset.map_or_else(|| String::from("-"), |value| format!("{value:#x}"))
}

fn markdown_rows(out: &mut String, register: &Register) {
    out.push_str(&format!(
        "| {:#06x} | {} | {} | {} | {} | {} |\n",
        register.offset.get(),
        register.name,
        register.bits,
        register.access.short(),
        reset_text(register),
        register.description
    ));
    for field in register.fields {
        let bits = match field.width {
            1 => format!("{}", field.lsb),
            width => format!("{}:{}", field.lsb + width - 1, field.lsb),
        };
        out.push_str(&format!("| | - {} | [{bits}] | | | {} |\n", field.name, field.description));
    }
}

/// The register map as a Markdown document.
pub fn markdown() -> String {
    let mut out = format!(
        "# Register map of the Glovebox card, version {}.{}\n\n\
         Generated from the crate `glovebox-regmap` by `cargo run -p glovebox-regmap --example generate`; do not edit.\n\n\
         PCI id {:04x}:{:04x} (provisional), class {:06x}. BAR0 is {} KiB; MSI-X table at {:#x}, pending bits at {:#x}, {} vectors\n\
         (vector {} for card-wide faults). All registers are little-endian; a 64-bit register is two 32-bit words, low word first.\n\
         Access: RO read only, RW read and write, W1C write 1 to clear, WC any write clears.\n\n\
         ## Card\n\n",
        layout::MAP_MAJOR,
        layout::MAP_MINOR,
        layout::PCI_VENDOR_ID,
        layout::PCI_DEVICE_ID,
        layout::PCI_CLASS,
        layout::BAR0_SIZE / 1024,
        layout::MSIX_TABLE_OFFSET,
        layout::MSIX_PBA_OFFSET,
        layout::MSIX_VECTORS,
        layout::FAULT_VECTOR,
    );
    let head = "| offset | name | bits | access | reset | meaning |\n|---|---|---|---|---|---|\n";
    out.push_str(head);
    for register in REGISTERS {
        markdown_rows(&mut out, register);
    }
    out.push_str(&format!(
        "\n## Ring pairs\n\nRing pair r has the block at {:#x} + {:#x} * r, r < {}.\n\n",
        layout::RING_BLOCK_OFFSET,
        layout::RING_BLOCK_STRIDE,
        layout::MAX_RING_PAIRS
    ));
    out.push_str(head);
    for register in RING_REGISTERS {
        markdown_rows(&mut out, &register.in_block());
    }
    out.push_str("\n## Commands\n\n| opcode | name | meaning |\n|---|---|---|\n");
    for opcode in Opcode::ALL {
        out.push_str(&format!("| {} | {} | {} |\n", opcode.code(), opcode.name(), opcode.description()));
    }
    out.push_str("\n## Status codes\n\n| code | name | meaning |\n|---|---|---|\n");
    for status in StatusCode::ALL {
        out.push_str(&format!("| {} | {} | {} |\n", status.code(), status.name(), status.description()));
    }
    out.push_str(&format!(
        "\nA descriptor is {DESCRIPTOR_BYTES} bytes, a completion {COMPLETION_BYTES}; their layout is in the documentation of\n\
         `glovebox_regmap::command`.\n"
    ));
    out
}

fn c_lines(out: &mut String, prefix: &str, register: &Register) {
    let name = register.name;
    let name = name.strip_prefix("RING_").filter(|_| prefix.ends_with("RING_")).unwrap_or(name);
    out.push_str(&format!(
        "#define {prefix}{name} 0x{:04x}u /* {} */\n",
        register.offset.get(),
        register.access.short()
    ));
    for field in register.fields {
        out.push_str(&format!("#define {prefix}{name}_{} 0x{:08x}u\n", field.name, field.mask()));
    }
}

/// The register map as a C header.
pub fn c_header() -> String {
    let mut out = format!(
        "/* Register map of the Glovebox card, version {}.{}.\n\
         \x20* Generated from the crate glovebox-regmap; do not edit.\n\
         \x20* A 64-bit register is two 32-bit words, low word first. */\n\
         #ifndef GLOVEBOX_REGS_H\n#define GLOVEBOX_REGS_H\n\n",
        layout::MAP_MAJOR,
        layout::MAP_MINOR
    );
    let numbers = [
        ("PCI_VENDOR_ID", u64::from(layout::PCI_VENDOR_ID)),
        ("PCI_DEVICE_ID", u64::from(layout::PCI_DEVICE_ID)),
        ("MAP_MAJOR", u64::from(layout::MAP_MAJOR)),
        ("MAP_MINOR", u64::from(layout::MAP_MINOR)),
        ("ID_MAGIC", u64::from(layout::ID_MAGIC)),
        ("BAR0_SIZE", layout::BAR0_SIZE),
        ("MSIX_TABLE", u64::from(layout::MSIX_TABLE_OFFSET)),
        ("MSIX_PBA", u64::from(layout::MSIX_PBA_OFFSET)),
        ("MSIX_VECTORS", u64::from(layout::MSIX_VECTORS)),
        ("RING_BLOCK", u64::from(layout::RING_BLOCK_OFFSET)),
        ("RING_STRIDE", u64::from(layout::RING_BLOCK_STRIDE)),
        ("DESCRIPTOR_BYTES", DESCRIPTOR_BYTES as u64),
        ("COMPLETION_BYTES", COMPLETION_BYTES as u64),
    ];
    for (name, value) in numbers {
        out.push_str(&format!("#define GLOVEBOX_{name} 0x{value:x}u\n"));
    }
    out.push('\n');
    for register in REGISTERS {
        c_lines(&mut out, "GLOVEBOX_", register);
    }
    out.push_str("\n/* Offsets in a ring pair's block. */\n");
    for register in RING_REGISTERS {
        c_lines(&mut out, "GLOVEBOX_RING_", &register.in_block());
    }
    out.push('\n');
    for opcode in Opcode::ALL {
        out.push_str(&format!("#define GLOVEBOX_OP_{} {}u\n", opcode.name(), opcode.code()));
    }
    out.push('\n');
    for status in StatusCode::ALL {
        out.push_str(&format!("#define GLOVEBOX_STATUS_{} {}u\n", status.name(), status.code()));
    }
    out.push_str("\n#endif\n");
    out
}
