//! Stored events with the id that is asked for, and what is kept of each: not its bytes, of which there may
//! be many.

use std::sync::Arc;

use super::matching::{Wanted, has_id};
use crate::config::Config;
use crate::decode;
use crate::deliver;
use crate::event::Envelope;
use crate::spool::{DedupKey, Millis, StoredEvent};

/// One place where the event is stored.
pub(super) struct Found {
    pub(super) position: u64,
    pub(super) received_at: Millis,
    pub(super) source: Arc<str>,
    pub(super) only_sink: Option<Arc<str>>,
    /// As it is written in the event, and the key that a repetition has.
    pub(super) recorded: Option<(String, DedupKey)>,
    /// For each configured sink, what in its filter keeps the event out, if it does.
    pub(super) filtered: Vec<(String, Option<String>)>,
}

impl Found {
    /// `stored`, if it has the id.
    pub(super) fn of(stored: StoredEvent, wanted: &Wanted<'_>, config: &Config) -> Option<Found> {
        let StoredEvent { position, received_at, source, only_sink, bytes } = stored;
        if !wanted.may_be_in(&bytes) {
            return None;
        }
        let found = Found {
            position,
            received_at,
            source,
            only_sink,
            recorded: None,
            filtered: Vec::new(),
        };
        let Ok(typed) = decode::event(&bytes) else {
            // A retried dead letter may have been replaced by anything.
            return has_id(&bytes, wanted.id).then_some(found);
        };
        let envelope = typed.event.envelope();
        if envelope.id != wanted.id {
            return None;
        }
        let key = key(&found.source, envelope);
        let filtered =
            |sink| deliver::unwanted(sink, &typed.event, &found.source).map(|why| why.to_string());
        let by_sink = config.sinks.iter().map(|sink| (sink.name.clone(), filtered(sink))).collect();
        Some(Found {
            recorded: Some((envelope.recorded_at_text.to_string(), key)),
            filtered: by_sink,
            ..found
        })
    }
}

/// The key that a repetition of an event has.
pub(super) fn key(source: &str, envelope: &Envelope<'_>) -> DedupKey {
    let time = envelope.recorded_at;
    DedupKey::of_id(source, envelope.id_bytes(), (time.timestamp(), time.timestamp_subsec_nanos()))
}
