//! `send`: acts as PingOne. Batches of events, one after another, each repeated with the same bytes
//! until it is answered with exactly 200.

mod events;
mod generate;
mod post;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use indicatif::ProgressBar;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::output;
use super::{Failure, block_on};
use events::Batches;
use post::{Client, Summary};

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
    /// Stop repeating a batch after this time, such as 30s; PingOne does so after 7 days
    #[arg(long, value_name = "TIME")]
    give_up_after: Option<humantime::Duration>,
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
    let summary = block_on(send_all(batches, client, arguments.concurrency, bar.clone()))?;
    bar.finish_and_clear();
    if arguments.json {
        output::json(&summary)?;
    } else {
        println!("{summary}");
    }
    match summary.given_up {
        0 => Ok(()),
        count => Err(Failure::Failed(format!("gave up on {count} batches"))),
    }
}

async fn send_all(
    batches: Batches,
    client: Arc<Client>,
    concurrency: u64,
    bar: ProgressBar,
) -> Result<Summary, Failure> {
    let begun = std::time::Instant::now();
    let batches = Arc::new(Mutex::new(batches));
    let told = Arc::new(AtomicBool::new(false));
    let (results, mut received) = mpsc::channel(16);
    let mut senders = JoinSet::new();
    for _ in 0..concurrency {
        let (batches, client, results) =
            (Arc::clone(&batches), Arc::clone(&client), results.clone());
        let (bar, told) = (bar.clone(), Arc::clone(&told));
        senders.spawn(async move {
            loop {
                let Some((body, events)) = batches.lock().await.next() else { break };
                let tell = |failure: &str, wait: Duration| {
                    let message = format!("{failure}; repeating the batch in {wait:.1?}");
                    // Outside of a terminal once in a run, where it would only be repeated.
                    if bar.is_hidden() {
                        if !told.swap(true, Ordering::Relaxed) {
                            eprintln!("{message}");
                        }
                    } else {
                        bar.println(message);
                    }
                };
                let outcome = client.post(&body, tell).await;
                bar.inc(events);
                if results.send((outcome, events)).await.is_err() {
                    break;
                }
            }
        });
    }
    drop(results);
    let mut summary = Summary::default();
    while let Some((outcome, events)) = received.recv().await {
        summary.add(&outcome, events);
    }
    summary.finish(begun.elapsed());
    Ok(summary)
}

/// A request's body and the number of events in it.
type Body = (Bytes, u64);
