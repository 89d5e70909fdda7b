//! Formats of numbers, sizes and times.

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Formats a number with commas between thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 sink`, `2 sinks`.
pub(super) fn count(amount: u64, noun: &str) -> String {
    let plural = if amount == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(amount))
}

/// `1 entry`, `2 entries`.
pub(super) fn entries(amount: u64) -> String {
    format!("{} {}", number(amount), if amount == 1 { "entry" } else { "entries" })
}

/// Formats a rate per second; a dash if it is unknown.
pub(super) fn per_second(rate: Option<f64>) -> String {
    match rate {
        None => "–".to_owned(),
        Some(rate) if rate >= 99.95 => number(rate.round() as u64),
        Some(0.0) => "0".to_owned(),
        Some(rate) if rate < 0.05 => "< 0.1".to_owned(),
        Some(rate) => format!("{rate:.1}"),
    }
}

/// Renders a name that may break after `.` and `_`.
pub(super) fn breakable(name: &str) -> Markup {
    html! { @for part in name.split_inclusive(['.', '_']) { (part) wbr; } }
}

pub(super) fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// Formats a duration in ms in its two largest units.
pub(super) fn span(millis: i64) -> String {
    let millis = millis.max(0);
    if millis < MINUTE {
        return format!("{} s", millis / SECOND);
    }
    let (large, small, names) = match millis {
        _ if millis < HOUR => (MINUTE, SECOND, ("min", "s")),
        _ if millis < DAY => (HOUR, MINUTE, ("h", "min")),
        _ => (DAY, HOUR, ("d", "h")),
    };
    let rest = millis % large / small;
    match rest {
        0 => format!("{} {}", millis / large, names.0),
        _ => format!("{} {} {rest} {}", millis / large, names.0, names.1),
    }
}

/// Renders the age of a time, with the exact time as attribute.
pub(super) fn ago(moment: i64, now: i64) -> Markup {
    let exact = exact(moment);
    html! { time datetime=(exact) title=(exact) { (span(now - moment)) " ago" } }
}

/// Renders a time as hours and minutes in UTC. The script shows it in the time zone that the operator has chosen.
pub(super) fn clock(moment: i64) -> Markup {
    html! { time datetime=(exact(moment)) data-clock=(moment) { (hours(moment)) } }
}

/// Formats a time as hours and minutes, in UTC.
pub(super) fn hours(moment: i64) -> String {
    moment_of(moment).format("%H:%M").to_string()
}

/// Formats a time to the millisecond, in UTC.
pub(super) fn exact(moment: i64) -> String {
    moment_of(moment).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn moment_of(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_two_units_and_thousands() {
        let spans = [0, 59_999, 60_000, 61_000, 3_600_000, 7_380_000, 90_000_000, -5];
        let read: Vec<String> = spans.into_iter().map(span).collect();
        assert_eq!(
            read,
            ["0 s", "59 s", "1 min", "1 min 1 s", "1 h", "2 h 3 min", "1 d 1 h", "0 s"]
        );
        let numbers = [0, 999, 1000, 1_234_567].map(number);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([count(1, "sink"), count(2, "sink")], ["1 sink", "2 sinks"]);
        assert_eq!([entries(1), entries(1200)], ["1 entry", "1,200 entries"]);
        let rates = [None, Some(0.0), Some(0.01), Some(2.25), Some(99.96), Some(1234.5)];
        assert_eq!(rates.map(per_second), ["–", "0", "< 0.1", "2.2", "100", "1,235"]);
    }
}
