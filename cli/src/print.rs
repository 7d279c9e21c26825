//! Printing: colours only where they are wanted (`NO_COLOR`, pipes), and no panic when the reader is gone.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use atlas_domain::TargetState;
use serde::Serialize;

use crate::failure::{Failure, Result};

/// Bold.
pub const STRONG: Style = Style::new().bold();
/// For what may be passed over.
pub const FAINT: Style = Style::new().dimmed();
/// For what is wrong.
pub const WRONG: Style = AnsiColor::Red.on_default().bold();
/// For what needs a person.
pub const ASK: Style = AnsiColor::Yellow.on_default().bold();

/// The colour of a state.
pub fn style_of(state: TargetState) -> Style {
    match state {
        TargetState::Certified => AnsiColor::Green.on_default(),
        TargetState::Refuted => AnsiColor::Magenta.on_default(),
        TargetState::Proved => AnsiColor::BrightGreen.on_default(),
        TargetState::Proving => AnsiColor::Blue.on_default(),
        TargetState::Stated => AnsiColor::Cyan.on_default(),
        TargetState::Stating => AnsiColor::BrightBlue.on_default(),
        TargetState::Escalated => AnsiColor::Yellow.on_default(),
        TargetState::Open => Style::new().dimmed(),
    }
}

/// `text` in `style`; the stream strips it where colours are not wanted.
pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// One line to standard output. A reader that has gone away is no fault.
pub fn line(text: impl AsRef<str>) {
    let _ = writeln!(anstream::stdout(), "{}", text.as_ref());
}

/// One line to standard error.
pub fn error_line(text: impl AsRef<str>) {
    let _ = writeln!(anstream::stderr(), "{}", text.as_ref());
}

/// A JSON document to standard output, readable by people too.
///
/// # Errors
/// When the value cannot be JSON.
pub fn json(value: &impl Serialize) -> Result<()> {
    let text =
        serde_json::to_string_pretty(value).map_err(|e| Failure::fault(format!("cannot write JSON: {e}")))?;
    line(text);
    Ok(())
}

/// A table without frames: a bold head, columns two blanks apart; columns named in `right` hold numbers.
pub fn table(head: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> String {
    use comfy_table::{Cell, CellAlignment, Table, presets};
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head.iter().map(|name| Cell::new(styled(STRONG, name))));
    for row in rows {
        table.add_row(row);
    }
    for &at in right {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let last = head.len().saturating_sub(1);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at == last { 0 } else { 2 }));
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
