//! `top`: rates, backlog and state of each source and sink, updated until the command is interrupted.

mod rates;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::admin_client::{AdminClient, AdminTarget};
use super::output::{json, rate, safe, size, table};
use super::{CommandFailure, block_on};
use rates::{Rates, TopReport};

/// Moves the cursor to the upper left corner.
const HOME: &str = "\x1b[H";

/// Clears the rest of the screen.
const CLEAR_BELOW: &str = "\x1b[J";

/// Width of a column of numbers.
const NUMBER_WIDTH: usize = 12;

#[derive(Debug, Args)]
pub(super) struct TopArguments {
    /// Interval of updates, over which rates are counted; at least 100 ms
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    interval: Duration,
    /// Print one JSON object after the first interval, and end
    #[arg(long)]
    json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).ok();
    let parsed = parsed.filter(|interval| *interval >= Duration::from_millis(100));
    parsed.ok_or_else(|| "give a time span of 100ms or more, such as 2s".to_owned())
}

/// Prints updates on a terminal; one after the first interval elsewhere.
pub(super) fn run(arguments: &TopArguments, admin: &AdminTarget) -> Result<(), CommandFailure> {
    let client = AdminClient::new(admin)?;
    let is_live = std::io::stdout().is_terminal() && !arguments.json;
    block_on(async {
        let mut rates = Rates::default();
        rates.update(&status(&client).await?, Instant::now());
        loop {
            sleep(arguments.interval).await;
            let status = status(&client).await?;
            let report = rates.update(&status, Instant::now());
            if arguments.json {
                return json(&report);
            }
            if is_live {
                print!("{HOME}{CLEAR_BELOW}");
            }
            print(&report)?;
            if !is_live {
                return Ok(());
            }
            std::io::stdout().flush()?;
        }
    })
}

/// Returns the documents of `/api/status` and of the sources.
async fn status(client: &AdminClient) -> Result<Value, CommandFailure> {
    let mut status: Value = client.request(client.get("/api/status")).await?;
    let mut observed: Value = client.request(client.get("/api/observed")).await?;
    status["sources"] = observed["sources"].take();
    Ok(status)
}

fn print(report: &TopReport) -> Result<(), CommandFailure> {
    print_line!(
        "davinci-siem {}: {} of {} in the spool, {} in quarantine",
        safe(&report.version),
        size(report.spool_bytes),
        size(report.spool_max_bytes),
        super::output::count(report.quarantined, "entry")
    )?;
    print_line!("")?;
    let sources: Vec<Vec<String>> = report
        .sources
        .iter()
        .map(|source| {
            let rates = [source.accepted, source.duplicates, source.quarantined];
            row(&source.source, rates.map(rate), &source.state)
        })
        .collect();
    let heading = |name, numbers| row(name, <[&str; 3]>::map(numbers, str::to_owned), "STATE");
    let first = heading("SOURCE", ["ACCEPTED", "DUPLICATE", "QUARANTINED"]);
    table(&first.iter().map(String::as_str).collect::<Vec<_>>(), &sources)?;
    print_line!("")?;
    let sinks: Vec<Vec<String>> = report
        .sinks
        .iter()
        .map(|sink| {
            let lag = sink.lag.map_or("?".to_owned(), |lag| lag.to_string());
            row(&sink.sink, [rate(sink.delivered), rate(sink.dead_lettered), lag], &sink.state)
        })
        .collect();
    let second = heading("SINK", ["DELIVERED", "REFUSED", "LAG"]);
    table(&second.iter().map(String::as_str).collect::<Vec<_>>(), &sinks)
}

/// Returns a row with numbers aligned to the right.
fn row(name: &str, numbers: [String; 3], state: &str) -> Vec<String> {
    let numbers = numbers.into_iter().map(|number| format!("{number:>NUMBER_WIDTH$}"));
    std::iter::once(safe(name)).chain(numbers).chain([safe(state)]).collect()
}
