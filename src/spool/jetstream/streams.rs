//! Streams: created if they are missing, and otherwise checked against the requirements of the promise.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{
    Context, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind,
};
use async_nats::jetstream::kv;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};

use super::{JetStreamConfig, entry};
use crate::error_chain::error_chain;
use crate::spool::{self, OpenError};

/// Maximum size of the bucket of leases in bytes: a few hundred per sink.
const LEASES_BYTES: i64 = 16 * 1024 * 1024;

/// Time that the servers remember the id of a batch: long enough for two receivers that get the same batch at once.
/// Later repetitions are recognised by the keys of their events.
const MESSAGE_ID_WINDOW: Duration = Duration::from_mins(2);

/// Streams and bucket of the engine.
#[derive(Debug, Clone)]
pub(super) struct StreamHandles {
    pub(super) context: Context,
    pub(super) events: Stream,
    pub(super) quarantine: Stream,
    pub(super) leases: kv::Store,
    own: JetStreamConfig,
}

/// Names of everything that the engine keeps in NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamNames {
    pub(super) events: String,
    pub(super) quarantine: String,
    /// The bucket of the leases and the checkpoint.
    pub(super) leases: String,
}

impl StreamNames {
    pub(super) fn new(stream: &str) -> StreamNames {
        StreamNames {
            events: stream.to_owned(),
            quarantine: format!("{stream}-quarantine"),
            leases: format!("{stream}-sinks"),
        }
    }
}

impl StreamHandles {
    /// Creates the bucket again after an administrator has deleted it.
    pub(super) async fn recreate_bucket(&self) -> Result<(), OpenError> {
        let names = StreamNames::new(&self.own.stream);
        leases(&self.context, &names, &self.own, true).await.map(drop)
    }
}

/// Returns the subject of the batches of a source. Names of sources consist of a-z, 0-9, `-` and `_`.
pub(super) fn batch_subject(stream: &str, source: &str) -> String {
    format!("{stream}.batch.{source}")
}

/// Opens the streams and the bucket. Creates missing ones if `is_made`.
pub(super) async fn open(
    context: &Context,
    settings: &spool::SpoolConfig,
    own: &JetStreamConfig,
    is_made: bool,
) -> Result<StreamHandles, OpenError> {
    let names = StreamNames::new(&own.stream);
    let events = Config {
        name: names.events.clone(),
        description: Some("davinci-siem: events on their way to the sinks".to_owned()),
        subjects: vec![batch_subject(&own.stream, "*")],
        max_bytes: bytes(settings.max_size.saturating_sub(settings.quarantine_max_size)),
        ..config(own)
    };
    let quarantine = Config {
        name: names.quarantine.clone(),
        description: Some("davinci-siem: quarantined entries, with the reason".to_owned()),
        subjects: vec![entry::subject(&own.stream)],
        max_bytes: bytes(settings.quarantine_max_size),
        ..config(own)
    };
    Ok(StreamHandles {
        own: own.clone(),
        context: context.clone(),
        events: stream(context, events, is_made).await?,
        quarantine: stream(context, quarantine, is_made).await?,
        leases: leases(context, &names, own, is_made).await?,
    })
}

fn config(own: &JetStreamConfig) -> Config {
    Config {
        // A full stream refuses new messages, so that the sender keeps them; it drops no stored ones.
        discard: DiscardPolicy::New,
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: own.replicas,
        duplicate_window: MESSAGE_ID_WINDOW,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_message_size: -1,
        max_consumers: -1,
        ..Config::default()
    }
}

async fn stream(context: &Context, wanted: Config, is_made: bool) -> Result<Stream, OpenError> {
    let name = wanted.name.clone();
    match context.get_stream(&name).await {
        Ok(found) => verified(context, found, wanted, is_made).await,
        Err(error) if is_made && is_missing(&error) => {
            match context.create_stream(wanted.clone()).await {
                Ok(made) => {
                    tracing::info!(stream = name, replicas = wanted.num_replicas, "stream made");
                    Ok(made)
                }
                // Another receiver was faster.
                Err(error) if matches!(error.kind(), CreateStreamErrorKind::JetStream(_)) => {
                    match context.get_stream(&name).await {
                        Ok(found) => verified(context, found, wanted, is_made).await,
                        Err(_) => Err(refused(&name, "cannot be made", &error)),
                    }
                }
                Err(error) => Err(refused(&name, "cannot be made", &error)),
            }
        }
        Err(error) if is_missing(&error) => Err(OpenError::NoStream(name)),
        Err(error) => Err(refused(&name, "cannot be looked up", &error)),
    }
}

fn is_missing(error: &GetStreamError) -> bool {
    match error.kind() {
        GetStreamErrorKind::JetStream(error) => error.code() == 404,
        _ => false,
    }
}

/// Returns the setting of a stream that breaks the promise, if there is one.
pub(super) fn mistake(have: &Config) -> Option<&'static str> {
    let wrong = [
        (have.storage != StorageType::File, "its storage is not file"),
        (have.discard != DiscardPolicy::New, "discard is not new: it would drop events when full"),
        (have.retention != RetentionPolicy::Limits, "its retention is not limits"),
        (!have.max_age.is_zero(), "it has a maximum age: events would be dropped"),
        (have.max_messages > 0, "it has a maximum of messages"),
        (have.max_messages_per_subject > 0, "it has a maximum of messages for each subject"),
        (have.no_ack, "it does not acknowledge"),
        (have.sealed, "it is sealed"),
    ];
    wrong.iter().find(|(is_wrong, _)| *is_wrong).map(|(_, detail)| *detail)
}

/// Checks an existing stream. Refuses settings that would break the promise; updates sizes, replicas and the window
/// to the configuration.
async fn verified(
    context: &Context,
    found: Stream,
    wanted: Config,
    is_changed: bool,
) -> Result<Stream, OpenError> {
    let have = &found.cached_info().config;
    let stream = wanted.name.clone();
    if let Some(detail) = mistake(have) {
        let detail = format!(
            "{detail}. Correct it with the nats tool, or set another spool.jetstream.stream"
        );
        return Err(OpenError::Stream { stream, detail });
    }
    if have.subjects != wanted.subjects {
        let old = format!("{stream}.event.*");
        let detail = match have.subjects.contains(&old) {
            true => "it has the layout of an earlier version, one message for each event. Let the earlier version \
                     deliver everything, stop it, and delete the stream and its bucket; or set another \
                     spool.jetstream.stream (docs/scaling.md, \"Upgrading\")"
                .to_owned(),
            false => "its subjects are of another program; set another spool.jetstream.stream".to_owned(),
        };
        return Err(OpenError::Stream { stream, detail });
    }
    let is_as_wanted = have.num_replicas == wanted.num_replicas
        && have.max_bytes == wanted.max_bytes
        && have.duplicate_window == wanted.duplicate_window;
    if is_as_wanted || !is_changed {
        return Ok(found);
    }
    let changed = Config {
        num_replicas: wanted.num_replicas,
        max_bytes: wanted.max_bytes,
        duplicate_window: wanted.duplicate_window,
        ..have.clone()
    };
    match context.update_stream(changed).await {
        Ok(_) => tracing::info!(stream = wanted.name, "stream changed as configured"),
        Err(error) => return Err(refused(&wanted.name, "cannot be changed as configured", &error)),
    }
    Ok(found)
}

async fn leases(
    context: &Context,
    names: &StreamNames,
    own: &JetStreamConfig,
    is_made: bool,
) -> Result<kv::Store, OpenError> {
    let name = &names.leases;
    match context.get_key_value(name).await {
        Ok(found) => return Ok(found),
        Err(_) if is_made => {}
        Err(_) => return Err(OpenError::NoStream(name.clone())),
    }
    // Created as a stream: the client's own function sends requests that old servers do not know. Without
    // `allow_direct` the leader answers, which never returns an old value.
    let bucket = Config {
        name: format!("KV_{name}"),
        description: Some("davinci-siem: cursor and lease of each sink".to_owned()),
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        max_bytes: LEASES_BYTES,
        allow_rollup: true,
        deny_delete: true,
        ..config(own)
    };
    let made = context.create_stream(bucket).await;
    // Another receiver may have been faster.
    context.get_key_value(name).await.map_err(|error| match made {
        Ok(_) => refused(name, "cannot be opened", &error),
        Err(error) => refused(name, "cannot be made", &error),
    })
}

fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn refused(stream: &str, what: &str, error: &(dyn std::error::Error + 'static)) -> OpenError {
    const NO_ROOM: [ErrorCode; 3] = [
        ErrorCode::CLUSTER_NO_PEERS,
        ErrorCode::INSUFFICIENT_RESOURCES,
        ErrorCode::STORAGE_RESOURCES_EXCEEDED,
    ];
    let message = error_chain(error);
    let advice = if super::error_code(error).is_some_and(|code| NO_ROOM.contains(&code)) {
        ". The servers have too little room, are too few, or do not all know each other (docs/scaling.md): lower spool.max_size or spool.jetstream.replicas, add servers or room, or restart the missing server"
    } else if message.contains("timed out") || message.contains("no responders") {
        ". Is JetStream enabled, and does a majority of the servers run?"
    } else {
        ""
    };
    OpenError::Stream { stream: stream.to_owned(), detail: format!("{what}: {message}{advice}") }
}
