//! Sums of events and bytes by group.

use std::collections::BTreeMap;

use serde::Serialize;

use super::GroupBy;
use crate::config::Config;
use crate::decode;
use crate::deliver::{self, RoutingConfig, SinkConfig};
use crate::event::{Event, OutcomeWords};
use crate::format::{self, Received};
use crate::redact::Redaction;
use crate::spool::{Millis, StoredEvent};

/// Upper bound of the groups. Further events are counted in one group of their own.
const MAX_GROUPS: usize = 10_000;

/// Upper bound of a group's name, in bytes. Longer names are cut there and get a `…`, so that the groups fit into memory.
const MAX_NAME_BYTES: usize = 256;

/// Group of the events beyond the bound, and of values that an event does not have.
const OTHER: &str = "(other)";
const NONE: &str = "-";

/// Events and bytes of a group. Bytes are those of each event's line in the format of its sink, or as received, before
/// compression and without the target's own envelope.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct VolumeCounts {
    pub(super) events: u64,
    pub(super) bytes: u64,
    /// Those that the filter of `--what-if` would leave out.
    pub(super) saved_events: u64,
    pub(super) saved_bytes: u64,
}

/// Sums of all stored events.
pub(super) struct VolumeTally<'a> {
    by: &'a [GroupBy],
    sinks: Vec<MeasuredSink<'a>>,
    outcomes: &'a OutcomeWords,
    what_if: Option<&'a RoutingConfig>,
    /// Stored events that the filter of `--what-if` would leave out, also those that no sink gets.
    pub(super) matched: u64,
    pub(super) groups: BTreeMap<Vec<String>, VolumeCounts>,
    pub(super) events: u64,
    /// Receive times of the first and the last event.
    pub(super) received: Option<(Millis, Millis)>,
}

/// A sink with its compiled redaction.
struct MeasuredSink<'a> {
    config: &'a SinkConfig,
    redaction: Option<Redaction>,
}

impl<'a> VolumeTally<'a> {
    pub(super) fn new(
        by: &'a [GroupBy],
        what_if: Option<&'a RoutingConfig>,
        config: &'a Config,
    ) -> VolumeTally<'a> {
        let measured = |config: &'a SinkConfig| MeasuredSink {
            config,
            redaction: config.redact.as_ref().map(Redaction::new),
        };
        VolumeTally {
            by,
            sinks: config.sinks.iter().map(measured).collect(),
            what_if,
            matched: 0,
            outcomes: &config.outcomes,
            groups: BTreeMap::new(),
            events: 0,
            received: None,
        }
    }

    /// Adds a stored event. Copies for one sink do not count.
    pub(super) fn add(&mut self, stored: &StoredEvent) {
        if stored.only_sink.is_some() {
            return;
        }
        // A corrected dead letter of an earlier version may be no event.
        let Ok(mut typed) = decode::event(&stored.bytes) else { return };
        self.events += 1;
        let at = stored.received_at;
        self.received = Some(self.received.map_or((at, at), |(first, _)| (first, at)));
        typed.event.apply(self.outcomes);
        let event = &typed.event;
        let is_saved = self.what_if.is_some_and(|routing| {
            deliver::routing_reason(routing, event, &stored.source).is_some()
        });
        self.matched += u64::from(is_saved);
        if !self.by.contains(&GroupBy::Sink) {
            let group = group(self.by, event, stored, "");
            count(&mut self.groups, group, stored.bytes.len() as u64, is_saved);
            return;
        }
        for sink in &self.sinks {
            if deliver::filter_reason(sink.config, event, &stored.source).is_none() {
                let group = group(self.by, event, stored, &sink.config.name);
                count(&mut self.groups, group, sink.bytes(event, stored), is_saved);
            }
        }
    }
}

impl MeasuredSink<'_> {
    /// Returns the length of an event in the sink's format.
    fn bytes(&self, event: &Event<'_>, stored: &StoredEvent) -> u64 {
        let Some(redaction) = &self.redaction else {
            return self.rendered(event, &stored.bytes, stored);
        };
        let redacted = redaction.event(&stored.bytes);
        match decode::event(&redacted) {
            Ok(mut typed) => {
                typed.event.apply(&self.config.outcomes);
                self.rendered(&typed.event, &redacted, stored)
            }
            // Unreachable: a redacted event is still an event.
            Err(_) => redacted.len() as u64,
        }
    }

    fn rendered(&self, event: &Event<'_>, raw: &[u8], stored: &StoredEvent) -> u64 {
        let (received_at, source) = (stored.received_at, &*stored.source);
        let received = Received { event, raw, received_at, source };
        format::render(&self.config.formatting, received).bytes.len() as u64
    }
}

fn group(by: &[GroupBy], event: &Event<'_>, stored: &StoredEvent, sink: &str) -> Vec<String> {
    let value = |by: &GroupBy| match by {
        GroupBy::Sink => sink,
        GroupBy::Type => &event.envelope().action.kind,
        GroupBy::Flow => event.flow_name().or(event.flow_id()).unwrap_or(NONE),
        GroupBy::Connector => event.connector_id().unwrap_or(NONE),
        GroupBy::Source => &stored.source,
    };
    by.iter().map(|by| bounded(value(by))).collect()
}

/// Returns a name, cut to [`MAX_NAME_BYTES`].
fn bounded(name: &str) -> String {
    if name.len() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    let end = name.floor_char_boundary(MAX_NAME_BYTES);
    format!("{}…", &name[..end])
}

fn count(
    groups: &mut BTreeMap<Vec<String>, VolumeCounts>,
    mut group: Vec<String>,
    bytes: u64,
    is_saved: bool,
) {
    if groups.len() >= MAX_GROUPS && !groups.contains_key(&group) {
        group.iter_mut().for_each(|value| OTHER.clone_into(value));
    }
    let counts = groups.entry(group).or_default();
    counts.events += 1;
    counts.bytes += bytes;
    if is_saved {
        counts.saved_events += 1;
        counts.saved_bytes += bytes;
    }
}
