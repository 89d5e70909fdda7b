//! The JetStream engine: the spool in streams of a NATS cluster, shared by any number of receivers.
//!
//! # Storage
//!
//! | object | holds |
//! | --- | --- |
//! | stream `NAME` | one message per event, below [`message`]'s subjects; its sequence is the position |
//! | stream `NAME-quarantine` | one message per entry; its sequence is the entry's number |
//! | bucket `NAME-sinks` | one value per sink: cursor, totals, pause flag and lease holder ([`lease`]) |
//!
//! # Durability
//!
//! [`append`] publishes every event and every entry of a batch with its own message id and waits for each
//! acknowledgement, which the stream's leader sends when a majority of its replicas has the message. Only
//! then the batch has a receipt. A partly acknowledged batch has none: its sender retries it, and the stream's
//! deduplication window drops the messages stored before. Servers write to the page cache and sync at their
//! `sync_interval`: an acknowledged event survives the loss of any minority of the servers at once, and of all
//! of them only with `sync_interval: always`.
//!
//! # Delivery
//!
//! Ordered: the holder of the sink's lease delivers and renews the lease every few seconds; a lease that was
//! not renewed for [`lease_store::LEASE_STALE_AFTER`] may be taken over. Each update names the revision it is
//! based on, so a former holder cannot move the cursor, and its uncommitted deliveries are repeated.
//! Parallel: all receivers deliver from one durable consumer, and acknowledge each message when it is committed.
//!
//! # Trimming
//!
//! Events that every sink has committed and whose `retention` is over are removed ([`trim`]), except the
//! message at each cursor: it shows if the stream is still the one that the sink has read. A stream that was
//! recreated, or that has lost unsynced messages at its end, assigns those positions again, and a sink would
//! skip new events. Nothing else is removed: the streams are bounded and refuse new messages when they are full.

mod append;
mod lease;
mod lease_store;
mod message;
mod ordered;
mod parallel;
mod permissions;
mod quarantine;
mod reader;
mod settings;
mod status;
mod stream_identity;
mod streams;
mod trim;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream::context::{
    Context, ContextBuilder, CreateStreamError, CreateStreamErrorKind,
};
use async_nats::jetstream::{self, ErrorCode};
use tokio_util::task::AbortOnDropHandle;

use super::{Clock, Disposition, OpenError, ReadError, SinkStats, SpoolHealth, SpoolStats};
use crate::error_chain::{chain, error_chain};
use crate::nats;
use crate::spool;
pub use crate::spool::{JetStreamConfig, Order};
use lease_store::SinkLease;
use permissions::Denials;
use reader::DeliveryOrderReader;
pub use reader::JetStreamReader;
use status::StreamStatus;
use streams::StreamHandles;

/// Timeout of a request to the servers and of each acknowledgement. After it, a sender is answered 503.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of pending acknowledgements of all requests: unbounded, because a batch holds a permit per
/// message until all are sent, and two batches that share the last permits would deadlock.
/// `limits.in_flight` bounds their size.
const IN_FLIGHT: usize = tokio::sync::Semaphore::MAX_PERMITS;

/// Oldest nats-server that keeps acknowledged messages when processes are killed, see
/// <https://jepsen.io/analyses/nats-2.12.1>. Version 2.9.10 loses some.
const OLDEST: (i64, i64, i64) = (2, 10, 23);

/// An open spool. Cheap to share; every method may be called from any task.
pub struct JetStreamSpool {
    context: Context,
    streams: StreamHandles,
    stream: String,
    order: Order,
    /// Name of this process in its leases.
    holder: String,
    shared: Arc<StreamStatus>,
    clock: Clock,
    /// Aborted when the spool is dropped.
    watching: Option<AbortOnDropHandle<()>>,
}

impl std::fmt::Debug for JetStreamSpool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Spool").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl JetStreamSpool {
    /// Connects, and creates or verifies the streams.
    pub(crate) async fn open(
        settings: &spool::SpoolConfig,
        clock: Clock,
    ) -> Result<JetStreamSpool, OpenError> {
        let mut spool = connect(settings, clock, true).await?;
        let watching = watch::run(
            spool.streams.clone(),
            Arc::clone(&spool.shared),
            spool.holder.clone(),
            spool.order,
            settings.retention,
            Arc::clone(&spool.clock),
        );
        spool.watching = Some(AbortOnDropHandle::new(tokio::spawn(watching)));
        Ok(spool)
    }

    /// Connects to existing streams, for inspection and the quarantine.
    pub(crate) async fn look(
        settings: &spool::SpoolConfig,
        clock: Clock,
    ) -> Result<JetStreamSpool, OpenError> {
        connect(settings, clock, false).await
    }

    /// Creates a reader for one sink.
    pub(crate) fn reader(&self, sink: &str) -> JetStreamReader {
        let events = self.streams.events.clone();
        let denials = Arc::clone(&self.shared.denials);
        match self.order {
            Order::Ordered => {
                let (lease, client) = (self.shared.sink(sink), self.context.client());
                let reader =
                    ordered::OrderedReader::new(events, Arc::clone(&self.shared), lease, client);
                JetStreamReader::new(DeliveryOrderReader::Ordered(reader), denials)
            }
            Order::Parallel => {
                let outstanding = Arc::clone(&self.shared.sink(sink).outstanding);
                let reader =
                    parallel::ParallelReader::new(events, sink, outstanding, self.context.clone());
                JetStreamReader::new(DeliveryOrderReader::Parallel(reader), denials)
            }
        }
    }

    /// Returns contents and bounds. Totals are kept of sinks with ordered delivery; the rest each receiver counts
    /// in its metrics.
    pub(crate) async fn stats(&self) -> Result<SpoolStats, ReadError> {
        let events = self.streams.events.get_info().await.map_err(unreadable)?;
        let quarantine = self.streams.quarantine.get_info().await.map_err(unreadable)?;
        let head = events.state.last_sequence;
        let leases = lease_store::all(&self.streams.leases).await?;
        let totals = leases.iter().flat_map(|(sink, held)| {
            let SinkLease { delivered, filtered, dead_lettered, not_addressed, .. } = held.lease;
            let dispositions = [
                (Disposition::Delivered, delivered),
                (Disposition::Filtered, filtered),
                (Disposition::DeadLettered, dead_lettered),
                (Disposition::NotAddressed, not_addressed),
            ];
            dispositions.map(|(disposition, count)| (sink.clone(), disposition, count))
        });
        let totals = totals.filter(|(_, _, count)| *count > 0).collect();
        let sinks = leases.into_iter().map(|(sink, held)| SinkStats {
            sink,
            cursor: held.lease.cursor,
            lag: head.saturating_sub(held.lease.cursor),
        });
        let is_empty = events.state.messages == 0;
        let oldest_at = events.state.first_timestamp.timestamp_millis();
        Ok(SpoolStats {
            head,
            events: events.state.messages,
            oldest_at: (!is_empty).then_some(oldest_at),
            // Only of the events: their stream fills on its own.
            size: events.state.bytes,
            max_size: most(&events),
            full: self.shared.is_full(),
            quarantined: quarantine.state.messages,
            quarantine_size: quarantine.state.bytes,
            quarantine_max_size: most(&quarantine),
            quarantine_full: self.shared.is_quarantine_full(),
            sinks: sinks.collect(),
            totals,
            ..SpoolStats::default()
        })
    }

    /// Returns the maximum size of an event that the servers accept, in bytes.
    pub(crate) fn largest(&self) -> usize {
        self.context.client().server_info().max_payload.saturating_sub(message::OVERHEAD)
    }

    /// See [`crate::spool::Spool::is_full`].
    pub(crate) fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    /// See [`crate::spool::Spool::is_quarantine_full`].
    pub(crate) fn is_quarantine_full(&self) -> bool {
        self.shared.is_quarantine_full()
    }

    /// See [`crate::spool::Spool::quarantine_size`].
    pub(crate) fn quarantine_size(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared.quarantine_size()
    }

    /// See [`crate::spool::Spool::health`].
    pub(crate) fn health(&self) -> SpoolHealth {
        SpoolHealth {
            failing: self.shared.failing(),
            denied: self.shared.denials.recent(),
            ..SpoolHealth::default()
        }
    }
}

async fn connect(
    settings: &spool::SpoolConfig,
    clock: Clock,
    is_made: bool,
) -> Result<JetStreamSpool, OpenError> {
    let spool::Engine::Jetstream(own) = &settings.engine else {
        return Err(OpenError::NoStream(String::new()));
    };
    let denials = Arc::new(Denials::new(&own.stream));
    let client = client(own, &denials).await?;
    let context = ContextBuilder::new()
        .timeout(REQUEST_TIMEOUT)
        .ack_timeout(REQUEST_TIMEOUT)
        .max_ack_inflight(IN_FLIGHT)
        .backpressure_on_inflight(true)
        .build(client);
    let began = Instant::now();
    let streams = streams::open(&context, settings, own, is_made).await;
    let streams = streams.map_err(|error| match error {
        OpenError::Stream { stream, detail } => {
            OpenError::Stream { stream, detail: denials.explain(detail, began) }
        }
        error => error,
    })?;
    let head = streams.events.cached_info().state.last_sequence;
    Ok(JetStreamSpool {
        context,
        streams,
        stream: own.stream.clone(),
        order: own.order,
        holder: holder(),
        shared: Arc::new(StreamStatus::new(head, denials)),
        clock,
        watching: None,
    })
}

/// Connects. Refuses servers that are too old.
async fn client(own: &JetStreamConfig, denials: &Arc<Denials>) -> Result<Client, OpenError> {
    let denials = Arc::clone(denials);
    let client =
        nats::connect(&own.nats, "spool", REQUEST_TIMEOUT, move |event| denials.note(event))
            .await?;
    let (major, minor, patch) = OLDEST;
    match client.is_server_compatible(major, minor, patch) {
        true => Ok(client),
        false => Err(OpenError::Server { version: client.server_info().version }),
    }
}

/// Asks the servers for each permission that these sources and sinks need, and describes the streams. Changes
/// nothing in the streams.
///
/// # Errors
///
/// [`OpenError`] with the file or the servers, and the remedy.
pub async fn check(
    settings: &spool::SpoolConfig,
    sources: &[String],
    sinks: &[String],
) -> Result<String, OpenError> {
    let spool::Engine::Jetstream(own) = &settings.engine else {
        return Err(OpenError::NoStream(String::new()));
    };
    let clock: Clock = Arc::new(|| 0);
    let looked = connect(settings, clock, false).await;
    let said = match looked {
        Ok(_) => "the streams are there, and the user has every permission".to_owned(),
        Err(OpenError::NoStream(name)) => {
            format!("the user has every permission; the service makes stream {name} when it starts")
        }
        Err(error) => return Err(error),
    };
    let denials = Arc::new(Denials::new(&own.stream));
    let client = client(own, &denials).await?;
    let missing = permissions::missing(&client, &denials, own, sources, sinks).await;
    match missing.is_empty() {
        true => Ok(said),
        false => {
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            let detail = format!("{} (docs/scaling.md)", missing.join("; "));
            Err(OpenError::Stream { stream: own.stream.clone(), detail })
        }
    }
}

/// Returns the code of JetStream's own error in a chain, if the server has sent one.
fn error_code(error: &(dyn std::error::Error + 'static)) -> Option<ErrorCode> {
    chain(error).find_map(|cause| match cause.downcast_ref().map(CreateStreamError::kind) {
        Some(CreateStreamErrorKind::JetStream(error)) => Some(error.error_code()),
        _ => cause.downcast_ref().map(jetstream::Error::error_code),
    })
}

/// Returns the host name and a unique id of this process.
fn holder() -> String {
    let name = rustix::system::uname();
    format!("{}/{}", name.nodename().to_string_lossy(), uuid::Uuid::new_v4())
}

/// Returns the maximum size of a stream in bytes.
fn most(info: &jetstream::stream::Info) -> u64 {
    u64::try_from(info.config.max_bytes).unwrap_or(u64::MAX)
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> ReadError {
    ReadError(Box::new(error))
}
