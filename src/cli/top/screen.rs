//! The report of `top` as lines, within the bounds of a terminal.

use std::io::Write;

use super::rates::TopReport;
use crate::cli::CommandFailure;
use crate::cli::output::{count, rate, safe, size, table_lines};

/// Moves the cursor to the upper left corner.
const HOME: &str = "\x1b[H";

/// Clears the rest of a line.
const CLEAR_LINE: &str = "\x1b[K";

/// Clears the rest of the screen.
const CLEAR_BELOW: &str = "\x1b[J";

/// Width of a column of numbers.
const NUMBER_WIDTH: usize = 12;

/// Lines and columns of a terminal that does not tell its size.
const USUAL_SIZE: (usize, usize) = (24, 80);

/// Lines beside the rows of the tables: state, two headings, two empty lines, and the line of the cursor.
const OTHER_LINES: usize = 6;

/// Replaces the content of the screen, in one write. With a failure, the last report stays below it.
pub(super) fn show(report: &TopReport, failure: Option<&str>) -> Result<(), CommandFailure> {
    let screen = screen(report, failure, terminal_size());
    let mut out = std::io::stdout().lock();
    out.write_all(screen.as_bytes())?;
    Ok(out.flush()?)
}

fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
            (usize::from(size.ws_row), usize::from(size.ws_col))
        }
        _ => USUAL_SIZE,
    }
}

/// Returns the text of a screen. A longer one would scroll, so rows and ends of lines are left out.
fn screen(report: &TopReport, failure: Option<&str>, (height, width): (usize, usize)) -> String {
    let failure = failure.map(|failure| format!("No answer: {}", safe(failure)));
    let rows = height.saturating_sub(OTHER_LINES + usize::from(failure.is_some()));
    let lines = failure.into_iter().chain(lines(report, rows));
    let mut screen = HOME.to_owned();
    for line in lines.take(height.saturating_sub(1)) {
        screen.extend(line.chars().take(width));
        screen.push_str(CLEAR_LINE);
        screen.push('\n');
    }
    screen.push_str(CLEAR_BELOW);
    screen
}

/// Returns the lines of a report with at most `max_rows` rows of both tables together, at least one of each. Sources and
/// sinks with a problem come first if rows are left out.
pub(super) fn lines(report: &TopReport, max_rows: usize) -> Vec<String> {
    let sources = report.sources.iter().map(|source| {
        let rates = [source.accepted, source.duplicates, source.quarantined];
        let has_problem = source.state != "receiving";
        (has_problem, row(&source.source, rates.map(or_unknown), &source.state))
    });
    let sinks = report.sinks.iter().map(|sink| {
        let lag = sink.lag.map_or("?".to_owned(), |lag| lag.to_string());
        let numbers = [or_unknown(sink.delivered), or_unknown(sink.dead_lettered), lag];
        (sink.state != "running", row(&sink.sink, numbers, &sink.state))
    });
    let for_sources = report.sources.len().min((max_rows / 2).max(1));
    let for_sinks = (max_rows - for_sources.min(max_rows)).max(1);
    let heading = |name, numbers| row(name, <[&str; 3]>::map(numbers, str::to_owned), "STATE");
    let table = |heading: Vec<String>, rows: Vec<Vec<String>>| {
        table_lines(&heading.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
    };
    let first = heading("SOURCE", ["ACCEPTED", "DUPLICATE", "QUARANTINED"]);
    let second = heading("SINK", ["DELIVERED", "REFUSED", "LAG"]);
    let mut lines = vec![title(report), String::new()];
    lines.extend(table(first, limited(sources.collect(), for_sources)));
    lines.push(String::new());
    lines.extend(table(second, limited(sinks.collect(), for_sinks)));
    lines
}

fn title(report: &TopReport) -> String {
    let version = safe(&report.version);
    if let Some(error) = &report.spool_error {
        return format!("davinci-siem {version}: the spool cannot be read: {}", safe(error));
    }
    let bytes = |bytes: Option<u64>| bytes.map_or("?".to_owned(), size);
    format!(
        "davinci-siem {version}: {} of {} in the spool, {} in quarantine",
        bytes(report.spool_bytes),
        bytes(report.spool_max_bytes),
        report.quarantined.map_or("?".to_owned(), |entries| count(entries, "entry"))
    )
}

/// Returns at most `max` rows. The last one gives the number of the others.
fn limited(mut rows: Vec<(bool, Vec<String>)>, max: usize) -> Vec<Vec<String>> {
    let left_out = rows.len().saturating_sub(max);
    if left_out > 0 {
        rows.sort_by_key(|(has_problem, _)| !has_problem);
        rows.truncate(max - 1);
    }
    let more = (left_out > 0).then(|| vec![format!("… {} more", left_out + 1)]);
    rows.into_iter().map(|(_, row)| row).chain(more).collect()
}

/// Returns a row with numbers aligned to the right.
fn row(name: &str, numbers: [String; 3], state: &str) -> Vec<String> {
    let numbers = numbers.into_iter().map(|number| format!("{number:>NUMBER_WIDTH$}"));
    std::iter::once(safe(name)).chain(numbers).chain([safe(state)]).collect()
}

fn or_unknown(per_second: Option<f64>) -> String {
    per_second.map_or("?".to_owned(), rate)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::cli::top::rates::Rates;

    fn report(sinks: usize) -> TopReport {
        let sinks = (0..sinks).map(|sink| match sink {
            9_000 => {
                json!({ "sink": "bad", "lag": 1, "state": "paused", "reason": "x".repeat(500) })
            }
            _ => json!({ "sink": format!("sink-{sink}"), "lag": 0, "state": "running" }),
        });
        let status = json!({
            "version": "1", "spool": { "size": 0, "max_size": 1, "quarantined": 0, "totals": [] },
            "sinks": sinks.collect::<Vec<_>>(), "sources": [{ "source": "pingone" }],
        });
        Rates::default().update(&status, Instant::now())
    }

    #[test]
    fn a_screen_never_scrolls_and_shows_problems_first() {
        for (height, width) in [(24, 80), (6, 40), (1, 1), (200, 400)] {
            for failure in [None, Some("connection refused")] {
                let text = screen(&report(10_000), failure, (height, width));
                assert!(text.matches('\n').count() < height, "{height} lines");
                assert!(text.len() < 2 * (width + 10) * height, "one screen");
                let lines = text.split('\n').map(|line| line.replace(CLEAR_LINE, ""));
                let longest = lines.map(|line| line.replace(HOME, "").chars().count()).max();
                assert!(longest.unwrap_or(0) <= width.max(CLEAR_BELOW.len()), "{width} columns");
            }
        }
        let text = screen(&report(10_000), Some("connection refused"), (24, 80));
        assert!(text.contains("No answer: connection refused"), "{text}");
        assert!(text.contains("bad ") && text.contains("… 9985 more"), "{text}");
        let text = screen(&report(3), None, (24, 80));
        assert!(text.contains("sink-2") && !text.contains("more"), "{text}");
    }

    #[test]
    fn everything_is_printed_where_there_is_no_screen() {
        assert_eq!(lines(&report(10_000), usize::MAX).len(), 10_006);
        let mut unreadable = report(1);
        unreadable.spool_error = Some("no answer within 3 s".to_owned());
        let title = lines(&unreadable, usize::MAX).remove(0);
        assert_eq!(title, "davinci-siem 1: the spool cannot be read: no answer within 3 s");
    }
}
