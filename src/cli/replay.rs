//! `replay`: delivers the events of a time range to one sink again.

use std::io::IsTerminal;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::admin_client::{AdminClient, AdminTarget};
use super::confirm::{Unattended, confirm};
use super::{CommandFailure, block_on, output};
use crate::admin::sinks::{ReplayCount, ReplayRequest};
use crate::deliver::replay::ReplayProgress;

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// Name of the sink that gets the events; no other sink gets them
    #[arg(long, value_name = "NAME")]
    sink: String,
    /// Start of the range, by receive time: 2026-03-01, 2026-03-01T12:00:00Z, or 6h for six hours ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: DateTime<Utc>,
    /// End of the range, by receive time; default: now
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<DateTime<Utc>>,
    /// Continue a stopped replay after the position that it printed
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: u64,
    /// Replay without a question, which a terminal is asked otherwise
    #[arg(short, long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Result of a replay, as JSON.
#[derive(Serialize)]
struct ReplaySummary<'a> {
    sink: &'a str,
    replayed: u64,
    /// Position for `--after`; absent if the replay is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_after: Option<u64>,
}

pub(super) fn run(arguments: &ReplayArguments, admin: &AdminTarget) -> Result<(), CommandFailure> {
    let (from, to) = (arguments.from, arguments.to.unwrap_or_else(Utc::now));
    if from >= to {
        return Err(CommandFailure::Usage(format!("--from {from} is not before --to {to}")));
    }
    let client = AdminClient::new(admin)?;
    let (mut after, mut replayed) = (arguments.after, 0);
    let spinner = output::counter("events spooled again");
    block_on(client.check_sink("--sink", &arguments.sink))?;
    let sink = &arguments.sink;
    if !arguments.yes && std::io::stdin().is_terminal() {
        let range = format!("from={}&to={}", from.timestamp_millis(), to.timestamp_millis());
        let path = format!("/api/sinks/{sink}/replay?{range}");
        let ReplayCount { events } = block_on(client.request(client.get(&path)))?;
        let events = output::count(events, "event");
        let question =
            format!("Deliver {events} received from {from} to {to} to sink {sink} again?");
        confirm(&question, "nothing was replayed", false, Unattended::Proceed)?;
    }
    let result = block_on(async {
        loop {
            let step =
                ReplayRequest { from: from.timestamp_millis(), to: to.timestamp_millis(), after };
            let path = format!("/api/sinks/{}/replay", arguments.sink);
            let progress: ReplayProgress = client.request(client.post(&path).json(&step)).await?;
            replayed += progress.replayed;
            spinner.set_position(replayed);
            match progress.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    });
    spinner.finish_and_clear();
    if arguments.json {
        let stopped_after = result.is_err().then_some(after);
        output::json(&ReplaySummary { sink: &arguments.sink, replayed, stopped_after })?;
    } else {
        let verb = if replayed == 1 { "was" } else { "were" };
        print_line!(
            "{} {verb} spooled again for sink {}",
            output::count(replayed, "event"),
            arguments.sink
        )?;
    }
    if result.is_err() && after > 0 {
        eprintln!("the replay stopped; run the same command with --after {after} to continue");
    }
    if replayed == 0 && result.is_ok() {
        eprintln!("the spool holds no events of that time; see spool.retention");
    }
    result.map_err(CommandFailure::after_result)
}

/// Parses a date, a date and time, or an age.
pub(super) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if let Ok(time) = text.parse::<NaiveDateTime>() {
        return Ok(time.and_utc());
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    let ago = humantime::parse_duration(text).ok();
    ago.and_then(|ago| Utc::now().checked_sub_signed(chrono::Duration::from_std(ago).ok()?))
        .ok_or_else(|| {
            "give a time such as 2026-03-01T12:00:00Z, a date, or an age such as 6h".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_dates_or_ages() {
        let parsed = |text: &str| time(text).expect("a time").to_rfc3339();
        assert_eq!(parsed("2026-03-01T12:00:00+01:00"), "2026-03-01T11:00:00+00:00");
        assert_eq!(parsed("2026-03-01T12:00:00"), "2026-03-01T12:00:00+00:00");
        assert_eq!(parsed("2026-03-01"), "2026-03-01T00:00:00+00:00");
        let six_hours_ago = time("6h").expect("a time");
        let ago = Utc::now() - six_hours_ago;
        assert_eq!(ago.num_hours(), 6);
        assert!(time("yesterday").is_err());
    }
}
