//! `tail`: prints the last accepted events, and then new ones as they arrive.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use clap::builder::styling::{AnsiColor, Style};
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::admin_client::{AdminClient, AdminTarget};
use super::output::{colored, count, safe, time};
use super::{CommandFailure, block_on, known};
use crate::observe::DriftReport;

/// Request timeout of the stream: one year.
const TAIL_TIMEOUT: Duration = Duration::from_hours(24 * 365);

#[derive(Debug, Args)]
pub(super) struct TailArguments {
    /// Select a type: `START_INTERACTION`, admin, or any other action.type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Select an outcome: success, failure or unknown
    #[arg(long)]
    outcome: Option<String>,
    /// Select a flow by id or name
    #[arg(long)]
    flow: Option<String>,
    /// Select a source
    #[arg(long)]
    source: Option<String>,
    /// Select events that contain this text
    #[arg(long = "match", value_name = "TEXT")]
    text: Option<String>,
    /// Print JSON, one event per line
    #[arg(long)]
    json: bool,
}

/// A line of the stream.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TailLine {
    Missed {
        missed: u64,
    },
    Event {
        received_at: i64,
        source: String,
        action: String,
        outcome: String,
        id: String,
        flow_id: String,
        flow_name: String,
    },
}

/// Refuses filters that can match no event, and reports those that have matched none since the start.
async fn check(arguments: &TailArguments, client: &AdminClient) -> Result<(), CommandFailure> {
    if let Some(outcome) = &arguments.outcome {
        let outcomes = known::OUTCOMES.map(str::to_owned).into();
        known::check("--outcome", &outcome.to_lowercase(), &outcomes)?;
    }
    let TailArguments { kind, flow, source, .. } = arguments;
    if kind.is_none() && flow.is_none() && source.is_none() {
        return Ok(());
    }
    let observed: Value = client.request(client.get("/api/observed")).await?;
    if let Some(source) = source {
        let lines = observed["sources"].as_array().into_iter().flatten();
        let names = lines.filter_map(|line| line["source"].as_str().map(str::to_owned)).collect();
        known::check("--source", source, &names)?;
    }
    if let Some(kind) = kind {
        let drifted: DriftReport = client.request(client.get("/api/drift")).await?;
        check_kind(kind, &drifted)?;
    }
    if let Some(flow) = flow {
        let is = |text: &Value| text.as_str().is_some_and(|text| text.eq_ignore_ascii_case(flow));
        let mut lines = observed["flows"].as_array().into_iter().flatten();
        if !lines.any(|line| is(&line["id"]) || is(&line["name"])) {
            eprintln!("no event of flow {} has arrived since the start", safe(flow));
        }
    }
    Ok(())
}

/// Accepts an event type of the metrics, an `action.type`, or its last part. A full `action.type` may be unknown
/// so far; a single word has to be known or seen.
fn check_kind(kind: &str, drifted: &DriftReport) -> Result<(), CommandFailure> {
    let is = |known: &str| {
        let last = known.rsplit('.').next().unwrap_or_default();
        known.eq_ignore_ascii_case(kind) || last.eq_ignore_ascii_case(kind)
    };
    let mut types = known::kinds();
    let last = kind.rsplit('.').next().unwrap_or_default();
    if types.iter().any(|known| known.eq_ignore_ascii_case(last) || is(known))
        || drifted.drift.iter().any(|line| is(&line.kind))
        || is("EVENT_DELIVERY_TEST")
    {
        return Ok(());
    }
    if kind.contains('.') {
        let hint = known::closest(last, &types)
            .map_or_else(String::new, |known| format!("; did you mean {known}?"));
        eprintln!("no event of type {} has arrived yet{hint}", safe(kind));
        return Ok(());
    }
    types.extend(drifted.drift.iter().map(|line| line.kind.clone()));
    Err(known::unknown("--type", kind, &types))
}

/// Prints events until interrupted or until the service stops.
pub(super) fn run(arguments: &TailArguments, admin: &AdminTarget) -> Result<(), CommandFailure> {
    let client = AdminClient::new(admin)?;
    let path = format!("/api/tail?{}", query(arguments));
    block_on(async {
        check(arguments, &client).await?;
        let request = client.get(&path).timeout(TAIL_TIMEOUT);
        let mut answer = client.send_ok(request).await?;
        let mut rest = Vec::new();
        while let Some(bytes) = answer.chunk().await? {
            rest.extend_from_slice(&bytes);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                // Empty lines are keep-alives.
                let is_empty = line.trim_ascii().is_empty();
                if !is_empty && !print(&line, arguments.json)? {
                    return Ok(());
                }
            }
        }
        // Each line of the stream is an event.
        Err(CommandFailure::Answered("the service has stopped".to_owned()))
    })
}

fn query(arguments: &TailArguments) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [
        ("type", &arguments.kind),
        ("outcome", &arguments.outcome),
        ("flow", &arguments.flow),
        ("source", &arguments.source),
        ("match", &arguments.text),
    ] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.finish()
}

/// Prints one line. Returns false if the reader has closed the pipe.
fn print(line: &[u8], as_json: bool) -> Result<bool, CommandFailure> {
    let text = match as_json {
        true => safe(String::from_utf8_lossy(line).trim_end()),
        false => described(serde_json::from_slice(line)?),
    };
    match writeln!(std::io::stdout(), "{text}").and_then(|()| std::io::stdout().flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn described(line: TailLine) -> String {
    let color = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
    match line {
        TailLine::Missed { missed } => {
            let missed = count(missed, "event");
            colored(&format!("({missed} skipped)"), color(AnsiColor::Yellow))
        }
        TailLine::Event { received_at, source, action, outcome, id, flow_id, flow_name } => {
            let outcome_color = match outcome.as_str() {
                "success" => AnsiColor::Green,
                "failure" => AnsiColor::Red,
                _ => AnsiColor::Yellow,
            };
            let flow = if flow_name.is_empty() { flow_id } else { flow_name };
            let outcome = colored(&safe(&outcome), color(outcome_color));
            let (source, action, flow, id) = (safe(&source), safe(&action), safe(&flow), safe(&id));
            format!("{} {source} {action} {outcome} {flow} {id}", time(received_at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_become_a_query_and_foreign_text_is_safe_on_a_terminal() {
        let arguments = TailArguments {
            kind: Some("admin".to_owned()),
            outcome: None,
            flow: Some("Sign on & off".to_owned()),
            source: None,
            text: None,
            json: false,
        };
        assert_eq!(query(&arguments), "type=admin&flow=Sign+on+%26+off");
        let line = r#"{"sequence":1,"received_at":1700000000000,"source":"p","type":"admin",
            "action":"A\u001b[2J","outcome":"failure","id":"i","flow_id":"f","flow_name":"","bytes":2,"event":{}}"#;
        let text = described(serde_json::from_str(line).expect("a line"));
        assert!(text.ends_with("p A\\u001b[2J failure f i"), "{text}");
        assert_eq!(
            described(serde_json::from_str("{\"missed\":3}").expect("a line")),
            "(3 events skipped)"
        );
    }
}
