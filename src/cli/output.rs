//! How results are printed: tables for people, JSON lines for programs.

use std::io::IsTerminal;

use chrono::{DateTime, SecondsFormat};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Prints one JSON value on one line.
pub(super) fn json(value: &impl Serialize) -> Result<(), super::Failure> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}

/// Milliseconds since the epoch as people write a time.
pub(super) fn time(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(super) fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// Text from a stranger, fit for a terminal: control characters would be obeyed there.
pub(super) fn safe(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Rows under a heading, each column as wide as its widest cell.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) {
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            let cells = std::iter::once(&heading).chain(rows).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for row in std::iter::once(&heading).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// A running count on a terminal, and nothing elsewhere.
pub(super) fn counter(unit: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    let template = format!("{{spinner}} {{pos}} {unit}");
    ProgressStyle::with_template(&template).map_or(bar.clone(), |style| bar.with_style(style))
}

/// A progress bar on a terminal, and nothing elsewhere.
pub(super) fn progress(total: u64, unit: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = format!("{{bar:40}} {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}}");
    let bar = ProgressBar::new(total);
    ProgressStyle::with_template(&template).map_or(bar.clone(), |style| bar.with_style(style))
}
