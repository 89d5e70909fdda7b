//! `send`: acts as PingOne. Batches of events, one after another, each repeated with the same bytes
//! until it is answered with exactly 200, or no repetition would be.

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
use super::{Failure, block_on};
use events::Batches;
use post::{Client, End, Summary};

/// How often a log is told why batches are repeated.
const SAY_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The webhook's URL
    #[arg(long, default_value = "http://127.0.0.1:8080/webhooks/pingone")]
    url: String,
    /// Generate this many realistic events instead of reading files
    #[arg(long, conflicts_with = "files", required_unless_present = "files")]
    count: Option<u64>,
    /// Events per request; PingOne's most is 500
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    batch: u64,
    /// Requests under way at once; PingOne has one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    concurrency: u64,
    /// User name for HTTP Basic
    #[arg(long)]
    user: Option<String>,
    /// File that holds the password
    #[arg(long, value_name = "FILE", requires = "user", conflicts_with = "password_env")]
    password_file: Option<PathBuf>,
    /// Variable that holds the password
    #[arg(long, value_name = "NAME", requires = "user")]
    password_env: Option<String>,
    /// Name of a header to send
    #[arg(long, value_name = "NAME")]
    header: Option<String>,
    /// File that holds the header's value
    #[arg(long, value_name = "FILE", requires = "header", conflicts_with = "header_env")]
    header_file: Option<PathBuf>,
    /// Variable that holds the header's value
    #[arg(long, value_name = "NAME", requires = "header")]
    header_env: Option<String>,
    /// Compress the bodies
    #[arg(long)]
    gzip: bool,
    /// Send each file as one body, byte for byte
    #[arg(long, requires = "files")]
    raw: bool,
    /// Stop repeating a batch after this time, such as 30s; 5m if left out, and never with --like-pingone
    #[arg(long, value_name = "TIME")]
    give_up_after: Option<humantime::Duration>,
    /// Repeat until the answer is 200, whatever it was: PingOne does so for 7 days. Otherwise what a repetition
    /// would meet again, such as wrong credentials, ends it at once
    #[arg(long)]
    like_pingone: bool,
    /// Certificates of authorities (PEM) to trust instead of the system's, for https
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Files with events, in any shape that the service accepts
    files: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let batches = match arguments.count {
        Some(count) => Batches::generated(count, arguments.batch),
        None if arguments.raw => Batches::raw(&arguments.files)?,
        None => Batches::from_files(&arguments.files, arguments.batch)?,
    };
    let client = Arc::new(Client::new(arguments)?);
    let bar = output::progress(batches.events(), "events");
    let sent = block_on(send_all(batches, client, arguments.concurrency, bar.clone()))?;
    bar.finish_and_clear();
    if arguments.json {
        output::json(&sent.summary)?;
    } else {
        println!("{}", sent.summary);
    }
    match (sent.hopeless, sent.given_up) {
        (Some(failure), _) => Err(Failure::Failed(format!(
            "{failure}. It was not repeated; --like-pingone repeats until the answer is 200"
        ))),
        (None, Some(failure)) => {
            let batches = output::count(sent.summary.given_up, "batch");
            Err(Failure::Failed(format!("gave up on {batches}: {failure}")))
        }
        (None, None) => Ok(()),
    }
}

/// What became of all batches.
#[derive(Default)]
struct Sent {
    summary: Summary,
    /// Why no other batch was sent.
    hopeless: Option<String>,
    /// Why the last of those that were given up was.
    given_up: Option<String>,
}

async fn send_all(
    batches: Batches,
    client: Arc<Client>,
    concurrency: u64,
    bar: ProgressBar,
) -> Result<Sent, Failure> {
    let begun = Instant::now();
    let batches = Arc::new(Mutex::new(batches));
    let told = Arc::new(std::sync::Mutex::new(None));
    let (results, mut received) = mpsc::channel(16);
    let mut senders = JoinSet::new();
    for _ in 0..concurrency {
        let (batches, client, results) =
            (Arc::clone(&batches), Arc::clone(&client), results.clone());
        let (bar, told) = (bar.clone(), Arc::clone(&told));
        senders.spawn(async move {
            loop {
                let Some((body, events)) = batches.lock().await.next() else { break };
                let tell = |failure: &str, attempts: u32, wait: Duration| {
                    let message = format!(
                        "{failure}; repeating the batch in {:.1} s (attempt {attempts} failed)",
                        wait.as_secs_f64()
                    );
                    tell(&bar, &told, message);
                };
                let outcome = client.post(&body, tell).await;
                bar.inc(events);
                let is_hopeless = matches!(outcome.end, End::Hopeless(_));
                if results.send((outcome, events)).await.is_err() || is_hopeless {
                    break;
                }
            }
        });
    }
    drop(results);
    let mut sent = Sent::default();
    while let Some((outcome, events)) = received.recv().await {
        sent.summary.add(&outcome, events);
        match outcome.end {
            End::Taken(_) => {}
            End::GivenUp(failure) => sent.given_up = Some(failure),
            End::Hopeless(failure) => {
                sent.hopeless = Some(failure);
                break;
            }
        }
    }
    // Batches under way are nothing to wait for where none can succeed.
    senders.shutdown().await;
    sent.summary.finish(begun.elapsed());
    Ok(sent)
}

/// Says why a batch is repeated: beside the bar on a terminal; elsewhere on a line of its own, at first and then
/// now and again, for a log.
fn tell(bar: &ProgressBar, told: &std::sync::Mutex<Option<Instant>>, message: String) {
    if !bar.is_hidden() {
        bar.set_message(message);
        return;
    }
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    if told.is_none_or(|last| last.elapsed() >= SAY_EVERY) {
        *told = Some(Instant::now());
        eprintln!("{message}");
    }
}

/// A request's body and the number of events in it.
type Body = (Bytes, u64);
