//! `top`: rates, backlog and state of each source and sink, updated until the command is interrupted.

mod rates;
mod screen;

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::admin_client::{AdminClient, AdminTarget};
use super::output::{json, safe};
use super::{CommandFailure, block_on};
use rates::Rates;

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
        let mut report = rates.update(&status(&client).await?, Instant::now());
        loop {
            sleep(arguments.interval).await;
            let failure = match status(&client).await {
                Ok(status) => {
                    report = rates.update(&status, Instant::now());
                    None
                }
                Err(StatusFailure::Transient(message)) if is_live => Some(message),
                Err(failure) => return Err(failure.into()),
            };
            if is_live {
                screen::show(&report, failure.as_deref())?;
                continue;
            }
            match arguments.json {
                true => json(&report)?,
                false => screen::lines(&report, usize::MAX)
                    .iter()
                    .try_for_each(|line| print_line!("{line}"))?,
            }
            return match &report.spool_error {
                None => Ok(()),
                Some(error) => Err(CommandFailure::Failed(format!(
                    "the spool cannot be read: {}",
                    safe(error)
                ))),
            };
        }
    })
}

/// Failure of a request for the status.
enum StatusFailure {
    /// The service does not answer, or answers with 5xx: it may be restarting.
    Transient(String),
    /// The service refuses the request. Repetitions would count as failed logins.
    Refused(CommandFailure),
}

impl From<StatusFailure> for CommandFailure {
    fn from(failure: StatusFailure) -> CommandFailure {
        match failure {
            StatusFailure::Transient(message) => CommandFailure::Failed(message),
            StatusFailure::Refused(failure) => failure,
        }
    }
}

/// Returns the documents of `/api/status` and of the sources.
async fn status(client: &AdminClient) -> Result<Value, StatusFailure> {
    let mut status = document(client, "/api/status").await?;
    let mut observed = document(client, "/api/observed").await?;
    status["sources"] = observed["sources"].take();
    Ok(status)
}

async fn document(client: &AdminClient, path: &str) -> Result<Value, StatusFailure> {
    let transient = |failure| match failure {
        CommandFailure::Failed(message) => StatusFailure::Transient(message),
        other => StatusFailure::Refused(other),
    };
    let answer = client.send(client.get(path)).await.map_err(transient)?;
    let is_refused = answer.status().is_client_error();
    let answer = client.ok(answer).await.map_err(|failure| match is_refused {
        true => StatusFailure::Refused(failure),
        false => transient(failure),
    })?;
    client.json(answer).await.map_err(transient)
}
