//! `send`: posts batches of events as PingOne does. Each batch is retried with the same bytes until the answer is
//! exactly 200, or until a failure that no retry can change.

mod events;
mod generate;
mod post;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use indicatif::ProgressBar;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::output;
use super::{CommandFailure, block_on};
use events::Batches;
use post::{PostEnd, SendSummary, WebhookClient};

/// Interval of messages about retries in a log.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct SendArguments {
    /// URL of the webhook
    #[arg(long, default_value = "http://127.0.0.1:8080/webhooks/pingone")]
    url: String,
    /// Number of realistic events to generate instead of reading files
    #[arg(long, conflicts_with = "files", required_unless_present = "files")]
    count: Option<u64>,
    /// Maximum number of events per request; PingOne's maximum is 500
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    batch: u64,
    /// Number of concurrent requests; PingOne sends one at a time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    concurrency: u64,
    /// User name for HTTP Basic authentication
    #[arg(long)]
    user: Option<String>,
    /// File with the password
    #[arg(long, value_name = "FILE", requires = "user", conflicts_with = "password_env")]
    password_file: Option<PathBuf>,
    /// Environment variable with the password
    #[arg(long, value_name = "NAME", requires = "user")]
    password_env: Option<String>,
    /// Name of a header to send
    #[arg(long, value_name = "NAME")]
    header: Option<String>,
    /// File with the value of the header
    #[arg(long, value_name = "FILE", requires = "header", conflicts_with = "header_env")]
    header_file: Option<PathBuf>,
    /// Environment variable with the value of the header
    #[arg(long, value_name = "NAME", requires = "header")]
    header_env: Option<String>,
    /// Compress the bodies with gzip
    #[arg(long)]
    gzip: bool,
    /// Send each file as one body, byte for byte
    #[arg(long, requires = "files")]
    raw: bool,
    /// Time after which a batch is given up, such as 30s; default: 5m, or never with --like-pingone
    #[arg(long, value_name = "TIME")]
    give_up_after: Option<humantime::Duration>,
    /// Retry until the answer is 200, whatever the failure, as PingOne does for 7 days. Without this option, a
    /// permanent failure such as wrong credentials ends the command
    #[arg(long)]
    like_pingone: bool,
    /// Trusted CA certificates (PEM) instead of the system's, for https
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Files with events, in any shape that the service accepts; also compressed with gzip or zstd
    files: Vec<PathBuf>,
}

pub(super) fn run(arguments: &SendArguments) -> Result<(), CommandFailure> {
    let batches = match arguments.count {
        Some(count) => Batches::generated(count, arguments.batch),
        None if arguments.raw => Batches::raw(&arguments.files)?,
        None => Batches::from_files(&arguments.files, arguments.batch)?,
    };
    let client = Arc::new(WebhookClient::new(arguments)?);
    let bar = match batches.events() {
        Some(count) => output::progress(count, "events"),
        None => output::counter_with_rate("events"),
    };
    let sent = block_on(send_all(batches, client, arguments.concurrency, bar.clone()))?;
    bar.finish_and_clear();
    if arguments.json {
        output::json(&sent.summary)?;
    } else {
        print_line!("{}", sent.summary)?;
    }
    match (sent.permanent, sent.given_up) {
        (None, None) => sent.unread.map_or(Ok(()), |failure| Err(failure.after_result())),
        (Some(failure), _) => Err(CommandFailure::Answered(format!(
            "{failure}. The batch was not retried; --like-pingone retries until the answer is 200"
        ))),
        (None, Some(failure)) => {
            let batches = output::count(sent.summary.given_up, "batch");
            Err(CommandFailure::Answered(format!("gave up on {batches}: {failure}")))
        }
    }
}

/// Result of all batches.
#[derive(Default)]
struct SendResult {
    summary: SendSummary,
    /// Permanent failure that ended the command.
    permanent: Option<String>,
    /// Last failure of a batch that was given up.
    given_up: Option<String>,
    /// Reason why files were not read to their end, or not sent in full.
    unread: Option<CommandFailure>,
}

async fn send_all(
    batches: Batches,
    client: Arc<WebhookClient>,
    concurrency: u64,
    bar: ProgressBar,
) -> Result<SendResult, CommandFailure> {
    let started = Instant::now();
    let batches = Arc::new(Mutex::new(batches));
    let last_report = Arc::new(std::sync::Mutex::new(None));
    let (results, mut received) = mpsc::channel(16);
    let mut senders = JoinSet::new();
    for _ in 0..concurrency {
        let (batches, client, results) =
            (Arc::clone(&batches), Arc::clone(&client), results.clone());
        let (bar, last_report) = (bar.clone(), Arc::clone(&last_report));
        senders.spawn(async move {
            loop {
                let (body, events) = match batches.lock().await.next().await {
                    Some(Ok(batch)) => batch,
                    Some(Err(failure)) => {
                        // The receiver is gone after a permanent failure.
                        drop(results.send(Err(failure)).await);
                        break;
                    }
                    None => break,
                };
                let report = |failure: &str, attempts: u32, wait: Duration| {
                    let message = format!(
                        "{failure}; retrying the batch in {:.1} s (attempt {attempts} failed)",
                        wait.as_secs_f64()
                    );
                    report_failure(&bar, &last_report, message);
                };
                let outcome = client.post(&body, report).await;
                bar.inc(events);
                let is_permanent = matches!(outcome.end, PostEnd::Permanent(_));
                if results.send(Ok((outcome, events))).await.is_err() || is_permanent {
                    break;
                }
            }
        });
    }
    drop(results);
    let mut sent = SendResult::default();
    while let Some(result) = received.recv().await {
        let (outcome, events) = match result {
            Ok(result) => result,
            Err(failure) => {
                sent.unread = Some(failure);
                continue;
            }
        };
        sent.summary.add(&outcome, events);
        match outcome.end {
            PostEnd::Accepted(_) => {}
            PostEnd::GivenUp(failure) => sent.given_up = Some(failure),
            PostEnd::Permanent(failure) => {
                sent.permanent = Some(failure);
                break;
            }
        }
    }
    // Aborts requests in flight after a permanent failure.
    senders.shutdown().await;
    sent.summary.finish(started.elapsed());
    Ok(sent)
}

/// Reports the reason of a retry: beside the progress bar on a terminal; else as a line, at most one per
/// `REPORT_INTERVAL`.
fn report_failure(
    bar: &ProgressBar,
    last_report: &std::sync::Mutex<Option<Instant>>,
    message: String,
) {
    if !bar.is_hidden() {
        bar.set_message(message);
        return;
    }
    let mut last_report = last_report.lock().unwrap_or_else(PoisonError::into_inner);
    if last_report.is_none_or(|last| last.elapsed() >= REPORT_INTERVAL) {
        *last_report = Some(Instant::now());
        eprintln!("{message}");
    }
}

/// Body of a request and its number of events.
type SendBody = (Bytes, u64);
