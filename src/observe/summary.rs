//! What is kept of an event between typing it and knowing that it is stored.
//!
//! Made of the bytes that are stored, so what `[redact]` takes is in none of it. Texts are places in these
//! bytes, not copies: hundreds of summaries are made for each batch, and most of them are only counted.

use bytes::Bytes;

use super::kind::Kind;
use super::table::cut;
use crate::event::{Event, Finding, FindingKind, Outcome};

/// Bytes of a text that is kept.
pub(super) const TEXT: usize = 128;

/// What is kept of one event.
#[derive(Debug)]
pub struct Summary {
    pub(super) kind: Kind,
    pub(super) outcome: Outcome,
    pub(super) usage: Usage,
    /// Milliseconds since the epoch.
    pub(super) recorded_at: Option<i64>,
    /// `tsEms`, milliseconds since the epoch.
    pub(super) completed_at: Option<i64>,
    pub(super) bytes: Bytes,
    /// With their paths as `[redact]` leaves them.
    pub(super) findings: Vec<Finding>,
    texts: Texts,
}

#[derive(Debug, Clone, Default)]
struct Texts {
    action: Text,
    id: Text,
    flow_id: Text,
    flow_name: Text,
    status: Text,
    connector: Text,
    capability: Text,
}

/// `usageTransactionType`, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    None,
    Counted,
    Other,
}

/// A text of an event.
#[derive(Debug, Clone)]
enum Text {
    /// Where it begins and how long it is.
    At(u32, u32),
    /// One with escapes in it.
    Decoded(Box<str>),
}

impl Summary {
    /// The summary of an event as it was typed from `bytes`, which are the stored ones. `findings` are those
    /// of the event as it came.
    pub fn new(event: &Event<'_>, bytes: Bytes, findings: Vec<Finding>) -> Summary {
        let text = |text: Option<&str>| Text::of(text.unwrap_or_default(), &bytes);
        let envelope = event.envelope();
        let flow = event.flow();
        let interaction = match event {
            Event::Interaction(event) => Some(&event.interaction),
            _ => None,
        };
        let capability = interaction
            .and_then(|interaction| interaction.node().original_capability_name.as_deref())
            .or_else(|| flow.and_then(|flow| flow.capability_name.as_deref()));
        let usage = flow.and_then(|flow| flow.usage_transaction_type.as_deref());
        let texts = Texts {
            action: text(Some(&envelope.action.kind)),
            id: text(Some(&envelope.id)),
            flow_id: text(event.flow_id()),
            flow_name: text(event.flow_name()),
            status: text(flow.and_then(|flow| flow.reported.status.as_deref())),
            connector: text(event.connector_id()),
            capability: text(capability),
        };
        Summary {
            kind: Kind::of(event),
            outcome: event.outcome(),
            usage: match usage {
                None => Usage::None,
                Some("COUNTED") => Usage::Counted,
                Some(_) => Usage::Other,
            },
            recorded_at: Some(envelope.recorded_at.timestamp_millis()),
            completed_at: flow
                .and_then(|flow| flow.completed_at)
                .map(|time| time.timestamp_millis()),
            findings,
            texts,
            bytes,
        }
    }

    /// The summary of an event that is counted, and of which nothing else is known.
    pub fn unread(kind: Kind, bytes: Bytes, findings: Vec<Finding>) -> Summary {
        Summary {
            kind,
            outcome: Outcome::Unknown,
            usage: Usage::None,
            recorded_at: None,
            completed_at: None,
            bytes,
            findings,
            texts: Texts::default(),
        }
    }

    /// The same without the body that its bytes are a part of: a copy of them, or, where there are more than
    /// `most`, none. Texts of its own are cut.
    pub(super) fn apart(&self, most: usize) -> Summary {
        let is_whole = self.bytes.len() <= most;
        let bytes = if is_whole { Bytes::copy_from_slice(&self.bytes) } else { Bytes::new() };
        let text = |text: &Text| match text {
            Text::At(..) if is_whole => text.clone(),
            _ => Text::Decoded(cut(text.read(&self.bytes), TEXT).into()),
        };
        let Texts { action, id, flow_id, flow_name, status, connector, capability } = &self.texts;
        let texts = Texts {
            action: text(action),
            id: text(id),
            flow_id: text(flow_id),
            flow_name: text(flow_name),
            status: text(status),
            connector: text(connector),
            capability: text(capability),
        };
        Summary { bytes, texts, findings: Vec::new(), ..*self }
    }

    /// What was odd about the event.
    pub fn findings(&self) -> impl Iterator<Item = FindingKind> {
        self.findings.iter().map(|finding| finding.kind)
    }

    /// Whether it is PingOne's connection test.
    pub fn is_delivery_test(&self) -> bool {
        self.kind == Kind::DeliveryTest
    }

    pub(super) fn is_of_a_flow(&self) -> bool {
        !matches!(self.kind, Kind::Admin | Kind::DeliveryTest | Kind::Other)
    }

    /// `action.type`.
    pub(super) fn action(&self) -> &str {
        self.texts.action.read(&self.bytes)
    }

    pub(super) fn id(&self) -> &str {
        self.texts.id.read(&self.bytes)
    }

    pub(super) fn flow_id(&self) -> &str {
        self.texts.flow_id.read(&self.bytes)
    }

    pub(super) fn flow_name(&self) -> &str {
        self.texts.flow_name.read(&self.bytes)
    }

    /// `outcomeStatus`.
    pub(super) fn status(&self) -> &str {
        self.texts.status.read(&self.bytes)
    }

    pub(super) fn connector(&self) -> &str {
        self.texts.connector.read(&self.bytes)
    }

    pub(super) fn capability(&self) -> &str {
        self.texts.capability.read(&self.bytes)
    }
}

impl Default for Text {
    fn default() -> Text {
        Text::At(0, 0)
    }
}

impl Text {
    fn of(text: &str, bytes: &[u8]) -> Text {
        let start = (text.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
        let is_within = start.checked_add(text.len()).is_some_and(|end| end <= bytes.len());
        match (u32::try_from(start), u32::try_from(text.len())) {
            _ if text.is_empty() => Text::default(),
            (Ok(start), Ok(length)) if is_within => Text::At(start, length),
            _ => Text::Decoded(text.into()),
        }
    }

    fn read<'a>(&'a self, bytes: &'a [u8]) -> &'a str {
        match self {
            Text::At(start, length) => {
                let (start, length) = (*start as usize, *length as usize);
                let place = bytes.get(start..start + length).unwrap_or_default();
                std::str::from_utf8(place).unwrap_or_default()
            }
            Text::Decoded(text) => text,
        }
    }
}
