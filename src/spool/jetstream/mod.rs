//! The JetStream engine: the spool in streams of a NATS cluster, shared by any number of receivers.
//!
//! # What is stored where
//!
//! | object | holds |
//! | --- | --- |
//! | stream `NAME` | one message per event, below [`message`]'s subjects; its sequence is the position |
//! | stream `NAME-quarantine` | one message per entry; its sequence is the entry's number |
//! | bucket `NAME-sinks` | one value per sink: cursor, totals, whether it is paused, who delivers ([`lease`]) |
//!
//! # What is durable when
//!
//! [`append`] publishes every event and every entry of a batch with an id of its own and waits for each
//! acknowledgement, which the stream's leader gives when a majority of its replicas has the message. Only
//! then is there a receipt. A batch of which a part was acknowledged is not: its sender repeats it, and what
//! the stream's window remembers is not stored twice. Servers write to their disks' caches and sync when
//! their `sync_interval` says so: an acknowledged event outlives the loss of any minority of the servers at
//! once, and of all of them only with `sync_interval: always`.
//!
//! # Who delivers
//!
//! Ordered: the receiver that holds the sink's place. It renews it every few seconds; a place that has not
//! moved for [`lease_store::LEASE_STALE_AFTER`] may be taken. Every change of a place names the revision it was made from, so
//! whoever has lost it cannot move the cursor any more, and what it delivered meanwhile is delivered again.
//! Parallel: all, from one durable consumer, each message acknowledged when its outcome is settled.
//!
//! # What is removed
//!
//! What every sink has passed and `retention` has outlasted ([`trim`]), but for the message at each cursor:
//! it tells whether the stream is still the one that the sink has read. A stream that was made anew, or that
//! has lost its end because all servers lost what they had not synced, counts from where it stands, and a
//! sink would pass over as many new events as it had read before. Nothing else is removed: the streams are
//! bounded, and refuse what is new when they are full.

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
use lease_store::SinkLease;
use permissions::Denials;
use reader::DeliveryOrderReader;
pub use reader::JetStreamReader;
pub use settings::{JetStreamConfig, Order};
use status::StreamStatus;
use streams::StreamHandles;

/// How long a request to the servers, and each acknowledgement, may take. A sender is answered 503 then.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Acknowledgements that are waited for at once, of all requests: no bound, since whoever sends a batch holds
/// a place for each message until it has sent them all, and two that share the last places would wait for each
/// other for ever. `limits.in_flight` bounds what they take.
const IN_FLIGHT: usize = tokio::sync::Semaphore::MAX_PERMITS;

/// The first nats-server that keeps what it has acknowledged when processes are killed, by
/// <https://jepsen.io/analyses/nats-2.12.1>. Of 2.9.10 we have seen that it does not.
const OLDEST: (i64, i64, i64) = (2, 10, 23);

/// An open spool. Cheap to share; every method may be called from any task.
pub struct JetStreamSpool {
    context: Context,
    streams: StreamHandles,
    stream: String,
    order: Order,
    /// What this process is called in the places that it holds.
    holder: String,
    shared: Arc<StreamStatus>,
    clock: Clock,
    /// Ends when the spool does.
    watching: Option<AbortOnDropHandle<()>>,
}

impl std::fmt::Debug for JetStreamSpool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Spool").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl JetStreamSpool {
    /// Connects, and makes or verifies the streams.
    pub async fn open(
        settings: &spool::Settings,
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

    /// Connects to what is there, for looking and for the quarantine.
    pub async fn look(
        settings: &spool::Settings,
        clock: Clock,
    ) -> Result<JetStreamSpool, OpenError> {
        connect(settings, clock, false).await
    }

    /// A reader for one sink.
    pub fn reader(&self, sink: &str) -> JetStreamReader {
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

    /// What is stored. Totals are kept of sinks that are delivered to in order; the rest each receiver counts
    /// in its metrics.
    pub async fn stats(&self) -> Result<SpoolStats, ReadError> {
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
            // Of the events alone: that stream is full for itself.
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

    /// Bytes of the largest event that the servers take.
    pub fn largest(&self) -> usize {
        self.context.client().server_info().max_payload.saturating_sub(message::OVERHEAD)
    }

    /// See [`crate::spool::Spool::is_full`].
    pub fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    /// See [`crate::spool::Spool::is_quarantine_full`].
    pub fn is_quarantine_full(&self) -> bool {
        self.shared.is_quarantine_full()
    }

    /// See [`crate::spool::Spool::quarantine_size`].
    pub fn quarantine_size(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared.quarantine_size()
    }

    /// See [`crate::spool::Spool::health`].
    pub fn health(&self) -> SpoolHealth {
        SpoolHealth {
            failing: self.shared.failing(),
            denied: self.shared.denials.recent(),
            ..SpoolHealth::default()
        }
    }
}

async fn connect(
    settings: &spool::Settings,
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

/// Connects, and refuses servers that are too old.
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

/// Asks the servers whether they would let the engine do all that it does, for these sources and sinks, and
/// says what is there. Changes nothing in the streams.
pub async fn check(
    settings: &spool::Settings,
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

/// The machine's name, for people, and what no other process has.
fn holder() -> String {
    let name = rustix::system::uname();
    format!("{}/{}", name.nodename().to_string_lossy(), uuid::Uuid::new_v4())
}

/// Bytes that a stream may hold.
fn most(info: &jetstream::stream::Info) -> u64 {
    u64::try_from(info.config.max_bytes).unwrap_or(u64::MAX)
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> ReadError {
    ReadError(Box::new(error))
}
