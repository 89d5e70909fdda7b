//! Identity of an event: its uid, time, environment, flow run and flow.

use chrono::{DateTime, Datelike, Utc};
use sha2::{Digest, Sha256};

use super::{Event, Flow};

/// Bytes of the hash in an event's uid, which has twice as many hexadecimal digits.
const UID_BYTES: usize = 20;

impl Event<'_> {
    /// Returns an id that is the same for every copy of this event from the same source, so that an
    /// idempotent target drops duplicates. It is a hash of source, `id` and the instant of
    /// `recordedAt` in whole milliseconds, which also are the spool's deduplication key.
    pub fn uid(&self, source: &str) -> String {
        let envelope = self.envelope();
        let recorded_at = envelope.recorded_at;
        let mut hash = Sha256::new_with_prefix("davinci-siem uid v2");
        // Length-prefixed: different pairs never hash the same bytes.
        for part in [source.as_bytes(), envelope.id_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(recorded_at.timestamp().to_le_bytes());
        // In nanoseconds, of which whole milliseconds count.
        hash.update((recorded_at.timestamp_subsec_millis() * 1_000_000).to_le_bytes());
        let hash = hash.finalize();
        hash.iter().take(UID_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns the time of the event: completion in DaVinci, else the packet's time, else
    /// `recordedAt`. The first two count only in the years 1970–2262.
    pub fn time(&self) -> DateTime<Utc> {
        self.time_and_field().0
    }

    /// Returns the name of the field from which [`Event::time`] comes.
    pub fn time_field(&self) -> &'static str {
        self.time_and_field().1
    }

    fn time_and_field(&self) -> (DateTime<Utc>, &'static str) {
        let flow = self.flow();
        let packet = || flow.and_then(Flow::packet_time).filter(is_plausible);
        let completed = flow.and_then(|flow| flow.completed_at).filter(is_plausible);
        completed
            .map(|time| (time, "tsEms"))
            .or_else(|| packet().map(|time| (time, "packetTimestamp")))
            .unwrap_or((self.envelope().recorded_at, "recordedAt"))
    }

    /// Returns the fields of the flow run, if the event belongs to one.
    pub fn flow(&self) -> Option<&Flow<'_>> {
        match self {
            Event::Interaction(interaction) => Some(&interaction.flow),
            _ => None,
        }
    }

    /// Returns the PingOne environment: the flow's, else the first resource's, else the user's.
    pub fn environment_id(&self) -> Option<&str> {
        let envelope = self.envelope();
        let flow = self.flow().and_then(|flow| flow.company_id.as_deref());
        let resource =
            envelope.resources.first().and_then(|resource| resource.environment_id.as_deref());
        let user = envelope.user.as_ref().and_then(|user| user.environment_id.as_deref());
        first([flow, resource, user])
    }

    /// Returns the id of the flow run. All events of a run have the same `interactionId`.
    pub fn interaction_id(&self) -> Option<&str> {
        self.flow().map(|flow| &*flow.interaction_id)
    }

    /// Returns the flow's id: without dashes in newer events, with dashes if only a resource names
    /// it.
    pub fn flow_id(&self) -> Option<&str> {
        let flow = self.flow()?;
        let resource = self.envelope().resources.first();
        first([flow.flow_id.as_deref(), resource.and_then(|resource| resource.id.as_deref())])
    }

    /// Returns the flow's name, from the flow or else from the first resource.
    pub fn flow_name(&self) -> Option<&str> {
        let flow = self.flow()?;
        let resource = self.envelope().resources.first();
        first([flow.flow_name.as_deref(), resource.and_then(|resource| resource.name.as_deref())])
    }

    /// Returns the connector of the node, for example `httpConnector`.
    pub fn connector_id(&self) -> Option<&str> {
        match self {
            Event::Interaction(event) => event.interaction.node().connector_id.as_deref(),
            _ => None,
        }
    }

    /// Returns the last part of `action.type`, for example `START_INTERACTION`; the whole type of
    /// other events.
    pub fn kind(&self) -> &str {
        let kind = &*self.envelope().action.kind;
        match self {
            Event::Interaction(_) => kind.rsplit('.').next().unwrap_or(kind),
            _ => kind,
        }
    }
}

impl Flow<'_> {
    /// Returns the packet's timestamp if its year is in 1–9999, which is the range that targets
    /// accept.
    pub fn packet_time(&self) -> Option<DateTime<Utc>> {
        let time = DateTime::from_timestamp_millis(self.packet_timestamp_ms?)?;
        (1..=9999).contains(&time.year()).then_some(time)
    }
}

/// Returns whether a time is in 1970–2262, the range of Elasticsearch's `date_nanos`.
fn is_plausible(time: &DateTime<Utc>) -> bool {
    time.timestamp_nanos_opt().is_some_and(|nanoseconds| nanoseconds >= 0)
}

/// Returns the first text that is present and not empty.
fn first<const N: usize>(texts: [Option<&str>; N]) -> Option<&str> {
    texts.into_iter().flatten().find(|text| !text.is_empty())
}
