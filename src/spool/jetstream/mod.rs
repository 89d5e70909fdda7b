//! The JetStream engine: the spool in streams of a NATS cluster, shared by any number of receivers.
//!
//! # Storage
//!
//! | object | holds |
//! | --- | --- |
//! | stream `NAME` | one message per received batch, on `NAME.batch.SOURCE` ([`frame`]): the log |
//! | stream `NAME-quarantine` | one message per entry, on `NAME.refused`; its sequence is the entry's number |
//! | bucket `NAME-sinks` | one record per sink: cursor, totals, pause flag and lease holder ([`sink_lease`]); and the [`checkpoint`] |
//!
//! # Durability
//!
//! [`append`] publishes a batch, its events and its quarantine entries, as one message, and waits for the
//! acknowledgement, which the stream's leader sends when a majority of its replicas has the message. So a batch is
//! stored as a whole or not at all. Servers write to the page cache and sync at their `sync_interval`: an
//! acknowledged batch survives the loss of any minority of the servers at once, and of all of them only with
//! `sync_interval: always`.
//!
//! The receiver then copies the entries into the quarantine's stream, where they are listed and removed one by one.
//! If it is killed in between, [`upkeep`] copies them; no message is trimmed before its entries are copied.
//!
//! # Positions
//!
//! A message does not contain positions, because several receivers publish at once. The position of an event is the
//! count of the events before it in the stream: every receiver counts them ([`index`]), from the checkpoint on. So
//! positions are the same for all, ascend by 1, and add up with the totals, as in the embedded engine. A sequence
//! with an index within the message would need no counting, and lag and totals could not be derived from it.
//!
//! # Duplicates
//!
//! Every receiver knows the keys of the last `dedup.window` from the log itself, also those that others have received.
//! It stores no event again that it knows. Two receivers may get the same events at the same moment: the servers
//! recognise the same batch by its message id, and of other batches the later event is dropped by whoever reads the
//! log, because its key was read before. It has a position, and each sink counts it as `repeated`.
//!
//! # Delivery
//!
//! The holder of a sink's lease delivers ([`lease`]). A lease that was not renewed for
//! [`sink_lease::LEASE_STALE_AFTER`] may be taken over. Each update names the revision it is based on, so a former
//! holder cannot move the cursor, and its uncommitted deliveries are repeated.
//!
//! # Trimming
//!
//! Messages that every sink has committed are removed when `retention` is over, and when a receiver that starts no
//! longer needs them to rebuild the window of keys. Nothing else is removed: the streams are bounded and refuse new
//! messages when they are full. [`identity`] detects a stream that is not the one that was read.

mod append;
mod check;
mod checkpoint;
mod entry;
mod export;
mod follow;
mod frame;
mod identity;
mod import;
mod index;
mod lease;
mod log;
mod move_record;
mod permissions;
mod quarantine;
mod reader;
mod records;
mod scan;
mod sink_lease;
mod sinks;
mod status;
mod streams;
mod upkeep;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream::context::{
    Context, ContextBuilder, CreateStreamError, CreateStreamErrorKind,
};
use async_nats::jetstream::{self, ErrorCode};
use tokio_util::task::AbortOnDropHandle;

use super::moving::MovedBacklog;
use super::{Clock, OpenError, ReadError, SpoolHealth};
use crate::error_chain::{chain, error_chain};
use crate::nats;
use crate::spool;
pub use crate::spool::JetStreamConfig;
pub use check::check;
pub(super) use import::StreamImport;
use index::DedupWindow;
use move_record::MoveRecord;
use permissions::Denials;
pub use reader::JetStreamReader;
use sinks::Sinks;
use status::LogStatus;
use streams::StreamHandles;
use upkeep::Keeping;

/// Timeout of a request to the servers and of each acknowledgement. After it, a sender is answered 503.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of pending acknowledgements. `limits.in_flight` bounds their size.
const IN_FLIGHT: usize = 10_000;

/// Size of the headers and the subject beside a batch, in bytes.
const OVERHEAD: usize = 1024;

/// Oldest nats-server that keeps acknowledged messages when processes are killed, see
/// <https://jepsen.io/analyses/nats-2.12.1>. Version 2.9.10 loses some.
const OLDEST: (i64, i64, i64) = (2, 10, 23);

/// An open spool. Cheap to share; every method may be called from any task.
pub struct JetStreamSpool {
    context: Context,
    streams: StreamHandles,
    stream: String,
    /// Name of this process in its leases.
    holder: String,
    status: Arc<LogStatus>,
    sinks: Arc<Sinks>,
    clock: Clock,
    /// Background tasks, aborted when the spool is dropped; none for an inspection.
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl std::fmt::Debug for JetStreamSpool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Spool").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl JetStreamSpool {
    /// Connects, creates or verifies the streams, and starts to read them.
    pub(crate) async fn open(
        settings: &spool::SpoolConfig,
        clock: Clock,
    ) -> Result<JetStreamSpool, OpenError> {
        let mut spool = connect(settings, clock, true).await?;
        spool.refuse_moved().await?;
        let (streams, status) = (&spool.streams, &spool.status);
        let keeping =
            Keeping { retention: settings.retention, dedup_window: settings.dedup_window };
        let leases = watch::leases(
            streams.clone(),
            Arc::clone(status),
            Arc::clone(&spool.sinks),
            spool.holder.clone(),
        );
        spool.tasks = vec![
            spawn(watch::streams(streams.clone(), Arc::clone(status))),
            spawn(follow::run(streams.events.clone(), Arc::clone(status))),
            spawn(leases),
            spawn(upkeep::run(spool.without_tasks(), keeping)),
        ];
        Ok(spool)
    }

    async fn refuse_moved(&self) -> Result<(), OpenError> {
        move_record::refuse(&self.move_record().await?, &self.stream)
    }

    async fn move_record(&self) -> Result<MoveRecord, OpenError> {
        let began = Instant::now();
        let read = move_record::read(&self.streams.leases).await;
        let (record, _) = read.map_err(|error| {
            let detail = self.status.denials.explain(error_chain(&error), began);
            OpenError::Stream { stream: format!("{}-sinks", self.stream), detail }
        })?;
        Ok(record)
    }

    /// Connects to existing streams, for inspection and the quarantine.
    pub(crate) async fn look(
        settings: &spool::SpoolConfig,
        clock: Clock,
    ) -> Result<JetStreamSpool, OpenError> {
        connect(settings, clock, false).await
    }

    /// Returns the same spool for a background task.
    fn without_tasks(&self) -> JetStreamSpool {
        JetStreamSpool {
            context: self.context.clone(),
            streams: self.streams.clone(),
            stream: self.stream.clone(),
            holder: self.holder.clone(),
            status: Arc::clone(&self.status),
            sinks: Arc::clone(&self.sinks),
            clock: Arc::clone(&self.clock),
            tasks: Vec::new(),
        }
    }

    /// Returns true if the index follows the log; false for an inspection.
    fn is_running(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Creates a reader for one sink.
    pub(crate) fn reader(&self, sink: &str) -> JetStreamReader {
        let (events, status) = (self.streams.events.clone(), Arc::clone(&self.status));
        JetStreamReader::new(events, status, self.sinks.get(sink))
    }

    /// Returns the maximum size of a message that the servers accept, in bytes.
    fn max_payload(&self) -> usize {
        self.context.client().server_info().max_payload
    }

    /// Returns the maximum size of a batch in bytes.
    pub(crate) fn largest(&self) -> usize {
        self.max_payload().saturating_sub(OVERHEAD)
    }

    /// See [`crate::spool::Spool::is_full`].
    pub(crate) fn is_full(&self) -> bool {
        self.status.full.get()
    }

    /// See [`crate::spool::Spool::is_quarantine_full`].
    pub(crate) fn is_quarantine_full(&self) -> bool {
        self.status.quarantine_full.get()
    }

    /// See [`crate::spool::Spool::quarantine_size`].
    pub(crate) fn quarantine_size(&self) -> tokio::sync::watch::Receiver<u64> {
        self.status.quarantine_size()
    }

    /// See [`crate::spool::Spool::health`].
    pub(crate) fn health(&self) -> SpoolHealth {
        SpoolHealth {
            failing: self.status.failing.get(),
            denied: self.status.denials.recent(),
            too_large: self.status.too_large.get(),
            ..SpoolHealth::default()
        }
    }
}

/// Refuses streams into which the spool with this backlog was not moved: those of another cluster, or of one that was
/// emptied. Creates nothing.
pub(super) async fn refuse_without(
    backlog: &MovedBacklog,
    settings: &spool::SpoolConfig,
    clock: &Clock,
) -> Result<(), OpenError> {
    let record = match JetStreamSpool::look(settings, Clock::clone(clock)).await {
        Ok(spool) => spool.move_record().await?,
        Err(OpenError::NoStream(_)) => MoveRecord::default(),
        Err(error) => return Err(error),
    };
    let spool::Engine::Jetstream(own) = &settings.engine else { return Ok(()) };
    match record.incoming {
        Some(incoming) if incoming.from == backlog.id => Ok(()),
        _ => Err(OpenError::NotInStream {
            stream: own.stream.clone(),
            directory: backlog.directory.clone(),
            events: backlog.events,
            entries: backlog.entries,
        }),
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
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
    let window = DedupWindow { age: settings.dedup_window, max_keys: settings.dedup_max_ids };
    Ok(JetStreamSpool {
        context,
        streams,
        stream: own.stream.clone(),
        holder: holder(),
        status: Arc::new(LogStatus::new(window, denials)),
        sinks: Arc::default(),
        clock,
        tasks: Vec::new(),
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
fn max_bytes(info: &jetstream::stream::Info) -> u64 {
    u64::try_from(info.config.max_bytes).unwrap_or(u64::MAX)
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> ReadError {
    ReadError(Box::new(error))
}
