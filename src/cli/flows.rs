//! `flows`: statistics of flows by version, from summaries of flow runs.

use chrono::{DateTime, Utc};
use clap::Args;

use super::admin_client::{AdminClient, AdminTarget};
use super::{CommandFailure, block_on, output, replay};
use crate::interactions::{FailingStep, FlowReport, FlowStatistics};

/// Number of failing steps that the table shows per flow.
const SHOWN_STEPS: usize = 3;

#[derive(Debug, Args)]
pub(super) struct FlowsArguments {
    /// Start, rounded down to the hour: 2026-03-01T12:00:00Z, 2026-03-01, or 6h for six hours ago; default: all
    /// that is kept, at most 48 hours since the start of the service
    #[arg(long, value_name = "TIME", value_parser = replay::time)]
    since: Option<DateTime<Utc>>,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &FlowsArguments, admin: &AdminTarget) -> Result<(), CommandFailure> {
    let client = AdminClient::new(admin)?;
    let since = arguments.since.map_or(0, |since| since.timestamp_millis());
    let path = format!("/api/flows?since={since}");
    let report: FlowReport = block_on(client.request(client.get(&path)))?;
    if !report.enabled {
        let message = "no summaries of flow runs are made; set interactions.enabled = true and restart the service";
        return Err(CommandFailure::Failed(message.to_owned()));
    }
    if arguments.json {
        return report.flows.iter().try_for_each(output::json);
    }
    let since = output::time(report.since);
    if report.flows.is_empty() {
        print_line!("no flow run was summarised since {since}")?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = report.flows.iter().map(row).collect();
    output::table(
        &[
            "FLOW",
            "VERSION",
            "RUNS",
            "STARTS",
            "SUCCESS",
            "ABANDONED",
            "P50",
            "P95",
            "OUTCOMES",
            "FAILING STEPS",
        ],
        &rows,
    )?;
    eprintln!("counted since {since}");
    Ok(())
}

fn row(flow: &FlowStatistics) -> Vec<String> {
    let name = [&flow.name, &flow.flow_id].into_iter().find(|name| !name.is_empty());
    let outcomes =
        flow.outcomes.iter().map(|(name, count)| format!("{} {count}", output::safe(name)));
    let steps = flow.failing_steps.iter().take(SHOWN_STEPS).map(step);
    vec![
        name.map_or_else(|| "(others)".to_owned(), |name| output::safe(name)),
        flow.version.map_or_else(|| "?".to_owned(), |version| version.to_string()),
        flow.interactions.to_string(),
        flow.starts.to_string(),
        percent(flow.success_rate),
        percent(flow.abandonment_rate),
        duration(flow.p50_ms),
        duration(flow.p95_ms),
        listed(outcomes),
        listed(steps),
    ]
}

fn step(step: &FailingStep) -> String {
    let FailingStep { connector, capability, errors } = step;
    let dot = if capability.is_empty() { "" } else { "." };
    format!("{}{dot}{} {errors}", output::safe(connector), output::safe(capability))
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<String> = texts.collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(", ") }
}

fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.1} %", rate * 100.0))
}

fn duration(milliseconds: Option<u64>) -> String {
    match milliseconds {
        None => "-".to_owned(),
        Some(ms @ ..1000) => format!("{ms} ms"),
        Some(ms) => format!("{:.1} s", ms as f64 / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_rates_times_and_the_worst_steps() {
        let step = |name: &str, errors| FailingStep {
            connector: name.to_owned(),
            capability: if name == "other" { String::new() } else { "run".to_owned() },
            errors,
        };
        let flow = FlowStatistics {
            flow_id: "8f43".to_owned(),
            name: "Sign-on\u{202e}".to_owned(),
            version: Some(7),
            interactions: 10,
            starts: 8,
            outcomes: [("login=success".to_owned(), 3)].into(),
            successes: 3,
            failures: 1,
            abandoned: 2,
            success_rate: Some(0.75),
            abandonment_rate: Some(0.25),
            p50_ms: Some(1540),
            p95_ms: Some(999),
            failing_steps: vec![step("http", 4), step("other", 3), step("sms", 2), step("x", 1)],
        };
        let steps = "http.run 4, other 3, sms.run 2";
        let expected = [
            "Sign-on\\u{202e}",
            "7",
            "10",
            "8",
            "75.0 %",
            "25.0 %",
            "1.5 s",
            "999 ms",
            "login=success 3",
            steps,
        ];
        assert_eq!(row(&flow)[1..], expected[1..]);
        assert!(!row(&flow)[0].contains('\u{202e}'));
        let empty = FlowStatistics { name: String::new(), flow_id: String::new(), ..flow };
        assert_eq!(row(&empty)[0], "(others)");
    }
}
