//! `status`: state of the running service on one screen.

use clap::Args;
use clap::builder::styling::{AnsiColor, Style};
use serde_json::Value;

use super::admin_client::{AdminClient, AdminTarget};
use super::output::{colored, count, json, safe, size, table, time};
use super::{CommandFailure, block_on};

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    /// Print JSON: the documents of /readyz and /api/status
    #[arg(long)]
    json: bool,
}

/// Prints the state of the service. Returns `Err` if it is not ready or a sink is paused.
pub(super) fn run(arguments: &StatusArguments, admin: &AdminTarget) -> Result<(), CommandFailure> {
    let client = AdminClient::new(admin)?;
    let (readiness, status) = block_on(async {
        let readiness = client.send(client.get("/readyz")).await?;
        let readiness: Value = client.json(readiness).await?;
        let status: Value = client.request(client.get("/api/status")).await?;
        Ok((readiness, status))
    })?;
    if arguments.json {
        json(&serde_json::json!({ "readiness": readiness, "status": status }))?;
    } else {
        print(&readiness, &status)?;
    }
    verdict(&readiness, &status)
}

/// Returns the failure that exit code 1 stands for.
fn verdict(readiness: &Value, status: &Value) -> Result<(), CommandFailure> {
    if readiness["ready"] != true {
        let reason = text(&readiness["reason"]);
        return Err(CommandFailure::Answered(format!("not ready: {}", safe(reason))));
    }
    if let Some(error) = status["spool_error"].as_str() {
        return Err(CommandFailure::Answered(format!("the spool cannot be read: {}", safe(error))));
    }
    let paused = rows(&status["sinks"]).filter(|sink| sink["state"] == "paused");
    let paused: Vec<String> = paused.map(|sink| safe(text(&sink["sink"]))).collect();
    match paused.is_empty() {
        true => Ok(()),
        false => Err(CommandFailure::Answered(format!("paused: {}", paused.join(", ")))),
    }
}

fn print(readiness: &Value, status: &Value) -> Result<(), CommandFailure> {
    let (good, bad) = (AnsiColor::Green.on_default(), AnsiColor::Red.on_default());
    let ready = match readiness["ready"] == true {
        true => colored("ready", good),
        false => colored(&format!("not ready: {}", safe(text(&readiness["reason"]))), bad),
    };
    print_line!("davinci-siem {}: {ready}", safe(text(&status["version"])))?;
    let warnings =
        ["quarantine_full", "batch_too_large", "spool_denied", "spool_damaged", "spool_set_aside"];
    for warning in warnings {
        if let Some(what) = readiness[warning].as_str() {
            print_line!("{}", colored(&format!("{warning}: {}", safe(what)), bad))?;
        }
    }
    if let Some(lost) = readiness["spool_lost_events"].as_u64() {
        let lost = count(lost, "acknowledged event");
        let text = format!("lost: {lost}; see davinci-siem spool stats");
        print_line!("{}", colored(&text, bad))?;
    }
    match status["spool_error"].as_str() {
        Some(error) => {
            print_line!("{}", colored(&format!("the spool cannot be read: {}", safe(error)), bad))?;
        }
        None => spool(&status["spool"])?,
    }
    print_line!("")?;
    let sinks: Vec<Vec<String>> = rows(&status["sinks"]).map(sink).collect();
    table(&["SINK", "LAG", "STATE"], &sinks)?;
    if !status["spool"].is_null() {
        print_line!("")?;
        table(&["SOURCE/SINK", "RESULT", "EVENTS"], &totals(&status["spool"]["totals"]))?;
    }
    Ok(())
}

fn spool(spool: &Value) -> Result<(), CommandFailure> {
    let of = |key: &str| spool[key].as_u64().unwrap_or(0);
    let share = |used: u64, most: u64| used.saturating_mul(100) / most.max(1);
    let (used, most) = (of("size"), of("max_size"));
    print_line!(
        "spool       {}, {} of {} ({} %)",
        count(of("events"), "event"),
        size(used),
        size(most),
        share(used, most)
    )?;
    if let Some(oldest) = spool["oldest_at"].as_i64() {
        print_line!("  oldest    received {}", time(oldest))?;
    }
    let (used, most) = (of("quarantine_size"), of("quarantine_max_size"));
    print_line!(
        "quarantine  {}, {} of {} ({} %)",
        count(of("quarantined"), "entry"),
        size(used),
        size(most),
        share(used, most)
    )?;
    Ok(())
}

/// Returns the row of a sink. The state is the last column, so that its color codes do not affect widths.
fn sink(sink: &Value) -> Vec<String> {
    let state = text(&sink["state"]);
    let style = match state {
        "running" => AnsiColor::Green.on_default(),
        "retrying" => AnsiColor::Yellow.on_default(),
        "paused" => AnsiColor::Red.on_default(),
        _ => Style::new(),
    };
    let behind = sink["lag"].as_u64().map_or("?".to_owned(), |lag| count(lag, "event"));
    let mut described = colored(&safe(state), style);
    if let Some(reason) = sink["reason"].as_str() {
        described += &format!(": {}", safe(reason));
    }
    vec![safe(text(&sink["sink"])), behind, described]
}

fn totals(totals: &Value) -> Vec<Vec<String>> {
    let row = |total: &Value| {
        let count = total[2].as_u64().unwrap_or(0);
        vec![safe(text(&total[0])), safe(text(&total[1])), count.to_string()]
    };
    rows(totals).map(row).collect()
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
