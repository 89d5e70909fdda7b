//! How results are printed: tables for people, JSON lines for programs.

use std::any::Any;
use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use clap::builder::styling::Style;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Failure;

/// Runs a command whose output somebody reads. When they have seen enough, as `head` has, `println!` panics, and
/// that ends the command without a word.
pub(super) fn while_read(command: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let usual = take_hook();
    set_hook(Box::new(move |panic| {
        if !is_unread(panic.payload()) {
            usual(panic);
        }
    }));
    catch_unwind(AssertUnwindSafe(command)).unwrap_or_else(|payload| match is_unread(&*payload) {
        true => Err(Failure::Unread),
        false => resume_unwind(payload),
    })
}

fn is_unread(payload: &(dyn Any + Send)) -> bool {
    let said = payload.downcast_ref::<String>().map_or("", String::as_str);
    said.starts_with("failed printing to stdout: Broken pipe")
}

/// Prints one JSON value on one line.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
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

/// Text in a style on a terminal, and plain elsewhere and where nobody wants colours (<https://no-color.org>).
pub(super) fn colored(text: &str, style: Style) -> String {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
    if is_set("NO_COLOR") || is_dumb || !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    format!("{style}{text}{style:#}")
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

/// A sign of life on a terminal, for work of unknown length that nothing counts.
pub(super) fn spinner(doing: &str) -> ProgressBar {
    let bar = counter("");
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(doing.to_owned());
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(100));
    }
    bar
}

/// As [`counter`], for a command whose results would run into it if both went to the terminal.
pub(super) fn count_beside_output(unit: &str) -> ProgressBar {
    if std::io::stdout().is_terminal() { ProgressBar::hidden() } else { counter(unit) }
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
