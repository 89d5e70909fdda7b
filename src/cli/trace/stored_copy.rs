//! Stored copies of the traced event. Bytes are not kept, because there may be many copies.

use std::sync::Arc;

use super::fate::PossibleResult;
use super::matching::{IdMatcher, has_id};
use crate::config::Config;
use crate::decode;
use crate::deliver::{self, FilterReason};
use crate::event::Envelope;
use crate::spool::{DedupKey, Millis, StoredEvent};

/// One stored copy of the event.
pub(super) struct StoredCopy {
    pub(super) position: u64,
    pub(super) received_at: Millis,
    pub(super) source: Arc<str>,
    pub(super) only_sink: Option<Arc<str>>,
    /// `recordedAt` as written in the event, and the event's dedup key.
    pub(super) recorded: Option<(String, DedupKey)>,
    /// For each configured sink, the effect of its filter or its sample, and the setting, if one excludes the event.
    pub(super) filtered: Vec<(String, Option<(PossibleResult, String)>)>,
}

impl StoredCopy {
    /// Returns a copy if `stored` has the id.
    pub(super) fn of(
        stored: StoredEvent,
        matcher: &IdMatcher<'_>,
        config: &Config,
    ) -> Option<StoredCopy> {
        let StoredEvent { position, received_at, source, only_sink, bytes } = stored;
        if !matcher.may_be_in(&bytes) {
            return None;
        }
        let found = StoredCopy {
            position,
            received_at,
            source,
            only_sink,
            recorded: None,
            filtered: Vec::new(),
        };
        let Ok(mut typed) = decode::event(&bytes) else {
            // The bytes of a retried dead letter may have been replaced by an invalid event.
            return has_id(&bytes, matcher.id).then_some(found);
        };
        let envelope = typed.event.envelope();
        if envelope.id != matcher.id {
            return None;
        }
        let key = key(&found.source, envelope);
        let recorded_at = envelope.recorded_at_text.to_string();
        typed.event.apply(&config.outcomes);
        let filtered = |sink| {
            let reason = deliver::filter_reason(sink, &typed.event, &found.source)?;
            let result = match reason {
                FilterReason::NotSampled(_) => PossibleResult::Sampled,
                _ => PossibleResult::Filtered,
            };
            Some((result, reason.to_string()))
        };
        let by_sink = config.sinks.iter().map(|sink| (sink.name.clone(), filtered(sink))).collect();
        Some(StoredCopy { recorded: Some((recorded_at, key)), filtered: by_sink, ..found })
    }
}

/// Returns the dedup key of an event.
pub(super) fn key(source: &str, envelope: &Envelope<'_>) -> DedupKey {
    let time = envelope.recorded_at;
    DedupKey::of_id(source, envelope.id_bytes(), (time.timestamp(), time.timestamp_subsec_nanos()))
}
