//! Output: tables for people, JSON lines for programs, progress on standard error.

use std::fmt::Arguments;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use clap::builder::styling::Style;
use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};
use serde::Serialize;

use super::CommandFailure;
use crate::printable;

/// Writes a line to standard output, as `println!` does, but returns `Err` instead of a panic when the
/// reader has closed the pipe.
pub(super) fn write_line(line: Arguments<'_>) -> Result<(), CommandFailure> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Prints a JSON value on one line, with control characters of foreign text escaped.
pub(super) fn json(value: &impl Serialize) -> Result<(), CommandFailure> {
    print_line!("{}", printable::line(&serde_json::to_string(value)?))?;
    Ok(())
}

/// Formats ms since the Unix epoch as RFC 3339.
pub(super) fn time(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(super) fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// Escapes control characters of foreign text for one line of a terminal.
pub(super) fn safe(text: &str) -> String {
    printable::line(text).into_owned()
}

/// `1 batch`, `2 batches`, `1,200 events`.
pub(super) fn count(amount: u64, noun: &str) -> String {
    let plural = match noun {
        _ if amount == 1 => noun.to_owned(),
        "entry" => "entries".to_owned(),
        "retry" => "retries".to_owned(),
        "batch" => "batches".to_owned(),
        _ => format!("{noun}s"),
    };
    format!("{} {plural}", HumanCount(amount))
}

/// Applies a style on a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
pub(super) fn colored(text: &str, style: Style) -> String {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
    if is_set("NO_COLOR") || is_dumb || !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    format!("{style}{text}{style:#}")
}

/// Upper bound of a cell's characters. The formatter panics above `u16::MAX`, and foreign text can be longer.
const MAX_CELL_CHARS: usize = 200;

/// Prints rows under a heading, each column as wide as its widest cell, columns of numbers to the right. A cell above
/// [`MAX_CELL_CHARS`] is cut and ends with `…`.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> Result<(), CommandFailure> {
    table_lines(heading, rows).iter().try_for_each(|line| print_line!("{line}"))
}

fn table_lines(heading: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let bounded = |row: &Vec<String>| row.iter().map(|cell| bounded(cell)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(bounded).collect();
    let columns: Vec<(usize, bool)> = (0..heading.len())
        .map(|column| {
            let cells = || rows.iter().filter_map(|row| row.get(column));
            let all = cells().chain(heading.get(column));
            let width = all.map(|cell| cell.chars().count()).max().unwrap_or(0);
            (width, cells().next().is_some() && cells().all(|cell| is_number(cell)))
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&columns).map(|(cell, (width, is_number))| match is_number {
            true => format!("{cell:>width$}"),
            false => format!("{cell:width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    std::iter::once(&heading).chain(&rows).map(line).collect()
}

/// Returns the cell, cut to [`MAX_CELL_CHARS`].
fn bounded(cell: &str) -> String {
    match cell.char_indices().nth(MAX_CELL_CHARS) {
        None => cell.to_owned(),
        Some(_) => cell.chars().take(MAX_CELL_CHARS - 1).chain(['…']).collect(),
    }
}

/// Returns true for a cell with an amount, such as `1,200`, `3.3/s`, `12.5 MiB`, `4 %`, or none.
fn is_number(cell: &str) -> bool {
    const UNITS: [&str; 11] = ["", "/s", "%", "B", "KiB", "MiB", "GiB", "TiB", "ms", "s", "B/s"];
    let unit = cell.trim_start_matches(|c: char| c.is_ascii_digit() || c == ',' || c == '.');
    let is_missing = matches!(cell, "" | "-" | "?");
    is_missing || (unit.len() < cell.len() && UNITS.contains(&unit.trim_start()))
}

/// Returns a running counter on a terminal; hidden elsewhere.
pub(super) fn counter(unit: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    let template = format!("{{spinner}} {{pos}} {unit}");
    ProgressStyle::with_template(&template).map_or(bar.clone(), |style| bar.with_style(style))
}

/// Returns a counter with its rate on a terminal; hidden elsewhere.
pub(super) fn counter_with_rate(unit: &str) -> ProgressBar {
    let bar = counter(unit);
    let template = format!("{{spinner}} {{pos}} {unit}  {{rate}}  {{msg}}");
    with_rate(bar, &template)
}

/// Returns a spinner on a terminal, for work of unknown length.
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

/// Returns a counter as [`counter`] does, hidden if standard output is a terminal: results and counter
/// would mix there.
pub(super) fn count_beside_output(unit: &str) -> ProgressBar {
    if std::io::stdout().is_terminal() { ProgressBar::hidden() } else { counter(unit) }
}

/// Returns a progress bar on a terminal; hidden elsewhere.
pub(super) fn progress(total: u64, unit: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = format!("{{bar:40}} {{pos}}/{{len}} {unit}  {{rate}}  {{eta}} {{msg}}");
    with_rate(ProgressBar::new(total), &template)
}

/// Returns the bar in a style with a rate per second.
fn with_rate(bar: ProgressBar, template: &str) -> ProgressBar {
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        out.write_str(&rate(state.per_sec())).unwrap_or_default();
    };
    ProgressStyle::with_template(template)
        .map_or(bar.clone(), |style| bar.with_style(style.with_key("rate", rate)))
}

/// Formats a rate: `2,141/s`, with one decimal below 10.
pub(super) fn rate(per_second: f64) -> String {
    if per_second < 10.0 {
        return format!("{per_second:.1}/s");
    }
    format!("{}/s", HumanCount(per_second.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_numbers_are_aligned_to_the_right() {
        let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        let rows = [
            row(["siem", "1,200", "9.5/s", "2026-01-01"]),
            row(["9", "7", "", "?"]),
            row(["x", "-", "12/s", "1.5 KiB"]),
        ];
        assert_eq!(
            table_lines(&["NAME", "EVENTS", "RATE", "SIZE"], &rows),
            [
                "NAME  EVENTS   RATE  SIZE",
                "siem   1,200  9.5/s  2026-01-01",
                "9          7         ?",
                "x          -   12/s  1.5 KiB",
            ]
        );
        assert_eq!(table_lines(&["EVENTS"], &[]), ["EVENTS"]);
        let long = vec!["é".repeat(70_000), "1".to_owned()];
        let cut = format!("{}…       1", "é".repeat(MAX_CELL_CHARS - 1));
        assert_eq!(table_lines(&["NAME", "EVENTS"], &[long])[1], cut);
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!([rate(0.0), rate(3.26), rate(2141.1647)], ["0.0/s", "3.3/s", "2,141/s"]);
        assert_eq!([count(1, "batch"), count(2, "batch")], ["1 batch", "2 batches"]);
        assert_eq!([count(0, "entry"), count(1200, "event")], ["0 entries", "1,200 events"]);
    }
}
