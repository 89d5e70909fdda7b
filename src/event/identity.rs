//! What tells one event from another, and which environment, run and flow it belongs to.

use chrono::{DateTime, Datelike, Utc};
use sha2::{Digest, Sha256};

use super::{Event, Flow};

/// Bytes of the hash that an event's uid shows, as twice as many digits.
const UID_BYTES: usize = 20;

impl Event<'_> {
    /// An id that is the same for every repetition of this event from the same source: what an
    /// idempotent target drops duplicates by. Two events have the same one only if they are duplicates
    /// for the spool as well: it says source, `id` and the instant of `recordedAt`.
    pub fn uid(&self, source: &str) -> String {
        let envelope = self.envelope();
        let recorded_at = envelope.recorded_at;
        let mut hash = Sha256::new_with_prefix("davinci-siem uid v2");
        // Lengths first: no two different pairs may feed the same bytes.
        for part in [source.as_bytes(), envelope.id_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(recorded_at.timestamp().to_le_bytes());
        hash.update(recorded_at.timestamp_subsec_nanos().to_le_bytes());
        let hash = hash.finalize();
        hash.iter().take(UID_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    /// When it happened: completion in DaVinci, else the packet's time, else when it was recorded.
    pub fn time(&self) -> DateTime<Utc> {
        self.time_and_member().0
    }

    /// The member that tells when it happened, as in the table of the formats.
    pub fn time_member(&self) -> &'static str {
        self.time_and_member().1
    }

    fn time_and_member(&self) -> (DateTime<Utc>, &'static str) {
        let flow = self.flow();
        let packet = || flow.and_then(Flow::packet_time);
        let completed = flow.and_then(|flow| flow.completed_at).map(|time| (time, "tsEms"));
        completed
            .or_else(|| packet().map(|time| (time, "packetTimestamp")))
            .unwrap_or((self.envelope().recorded_at, "recordedAt"))
    }

    /// The flow run's members, if it is about one.
    pub fn flow(&self) -> Option<&Flow<'_>> {
        match self {
            Event::Interaction(interaction) => Some(&interaction.flow),
            _ => None,
        }
    }

    /// The PingOne environment: the flow's, else the first resource's, else the user's.
    pub fn environment_id(&self) -> Option<&str> {
        let envelope = self.envelope();
        let flow = self.flow().and_then(|flow| flow.company_id.as_deref());
        let resource =
            envelope.resources.first().and_then(|resource| resource.environment_id.as_deref());
        let user = envelope.user.as_ref().and_then(|user| user.environment_id.as_deref());
        first([flow, resource, user])
    }

    /// The flow run: one `interactionId` joins all events of a run.
    pub fn interaction_id(&self) -> Option<&str> {
        self.flow().map(|flow| &*flow.interaction_id)
    }

    /// The flow, without dashes in newer events, with them where only a resource names it.
    pub fn flow_id(&self) -> Option<&str> {
        let flow = self.flow()?;
        let resource = self.envelope().resources.first();
        first([flow.flow_id.as_deref(), resource.and_then(|resource| resource.id.as_deref())])
    }

    /// The flow's name, as the flow or else the first resource gives it.
    pub fn flow_name(&self) -> Option<&str> {
        let flow = self.flow()?;
        let resource = self.envelope().resources.first();
        first([flow.flow_name.as_deref(), resource.and_then(|resource| resource.name.as_deref())])
    }

    /// The connector of the node concerned, for example `httpConnector`.
    pub fn connector_id(&self) -> Option<&str> {
        match self {
            Event::Interaction(event) => event.interaction.node().connector_id.as_deref(),
            _ => None,
        }
    }

    /// The last part of `action.type`, for example `START_INTERACTION`.
    pub fn kind(&self) -> &str {
        let kind = &*self.envelope().action.kind;
        match self {
            Event::Interaction(_) => kind.rsplit('.').next().unwrap_or(kind),
            _ => kind,
        }
    }
}

impl Flow<'_> {
    /// When the packet was made, if that is a year of four digits: nobody takes others.
    pub fn packet_time(&self) -> Option<DateTime<Utc>> {
        let time = DateTime::from_timestamp_millis(self.packet_timestamp_ms?)?;
        (1..=9999).contains(&time.year()).then_some(time)
    }
}

/// The first that is there and not empty.
fn first<const N: usize>(texts: [Option<&str>; N]) -> Option<&str> {
    texts.into_iter().flatten().find(|text| !text.is_empty())
}
