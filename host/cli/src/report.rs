//! What a person or a program reads on the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use comfy_table::{CellAlignment, Table, presets};
use std::io::Write;

/// Prints to standard output. A reader that has gone away, as `head` does, is no error.
pub(crate) fn print(text: &str) -> Result<(), crate::CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints a result as JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), crate::CliError> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Prints an error with its causes, each once.
pub(crate) fn error(error: &dyn std::error::Error) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let detail = source.to_string();
        if !text.contains(&detail) {
            text = format!("{text}: {detail}");
        }
        cause = source.source();
    }
    eprintln!("glovebox: {text}");
}

/// Tells a person what is going on; not part of the result.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// A table with aligned columns; those named in `numbers` to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>], numbers: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    for row in rows {
        table.add_row(row.clone());
    }
    for &column in numbers {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_string()).collect::<Vec<_>>().join("\n")
}
