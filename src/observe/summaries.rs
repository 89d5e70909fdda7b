//! Summaries of the events of a batch, between decoding and the commit that decides which events are new.
//!
//! Made from the stored bytes, after `[redact]`. They are made while the event is in the CPU cache, and are small:
//! numbers, and references to interned texts.

use bytes::Bytes;

use super::interner::Interner;
use super::kind::Kind;
use super::table::cut;
use crate::event::{Event, Finding, FindingKind, Outcome};

/// Maximum length of a text shown beside an event.
const MAX_TEXT_BYTES: usize = 128;

/// Maximum length of a type in a finding.
const MAX_TYPE_BYTES: usize = 80;

/// Maximum number of distinct findings in one batch, twice the number of drift rows.
const MAX_FINDING_TEXTS: usize = 1024;

/// Maximum size of an event that the tail shows.
pub(super) const MAX_SHOWN_BYTES: usize = 64 * 1024;

/// Summaries of a batch, in the order of its events.
#[derive(Debug, Default)]
pub struct Summaries {
    pub(super) notes: Vec<EventSummary>,
    /// Texts of flow events: id and name, then status, or connector and capability.
    pub(super) flows: Interner,
    pub(super) findings: Vec<FindingRef>,
    /// Texts of findings: the event's `action.type`, and the path after `[redact]`.
    pub(super) finding_texts: Interner,
    /// Number of findings by kind.
    findings_by_kind: [u64; FindingKind::ALL.len()],
    tests: u64,
}

/// Summary of one event.
#[derive(Debug)]
pub(super) struct EventSummary {
    pub(super) kind: Kind,
    pub(super) outcome: Outcome,
    pub(super) usage: UsageKind,
    /// Number of its flow texts, for flow events.
    pub(super) flow: Option<u32>,
    /// `recordedAt`, in ms since the Unix epoch.
    pub(super) recorded_at: Option<i64>,
    /// `tsEms`, in ms since the Unix epoch.
    pub(super) completed_at: Option<i64>,
    pub(super) bytes: Bytes,
    /// Texts to show, if the event is too large to be kept.
    pub(super) head: Option<Box<EventHeader>>,
}

/// A finding of an event in the batch.
#[derive(Debug)]
pub(super) struct FindingRef {
    /// Index of the event in the batch.
    pub(super) event: u32,
    pub(super) kind: FindingKind,
    /// Number of its texts; `None` beyond `MAX_FINDING_TEXTS`.
    pub(super) number: Option<u32>,
}

/// Texts that the tail shows beside an event.
#[derive(Debug, Clone, Default)]
pub(super) struct EventHeader {
    pub(super) action: Box<str>,
    pub(super) id: Box<str>,
    pub(super) flow_id: Box<str>,
    pub(super) flow_name: Box<str>,
}

/// `usageTransactionType`, as counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UsageKind {
    None,
    Counted,
    Other,
}

impl Summaries {
    /// Adds an event decoded from `bytes`, the stored ones. `findings` are those of the original event.
    pub fn add(&mut self, event: &Event<'_>, bytes: Bytes, findings: Vec<Finding>) {
        let (kind, flow) = (Kind::of(event), event.flow());
        let usage = flow.and_then(|flow| flow.usage_transaction_type.as_deref());
        let envelope = event.envelope();
        self.add_findings(&envelope.action.kind, findings);
        let number = flow.map(|_| self.flows.number(kind as u8, of_flow(event)));
        self.push(EventSummary {
            kind,
            outcome: event.outcome(),
            usage: match usage {
                None => UsageKind::None,
                Some("COUNTED") => UsageKind::Counted,
                Some(_) => UsageKind::Other,
            },
            flow: number,
            recorded_at: Some(envelope.recorded_at.timestamp_millis()),
            completed_at: flow
                .and_then(|flow| flow.completed_at)
                .map(|time| time.timestamp_millis()),
            head: (bytes.len() > MAX_SHOWN_BYTES).then(|| Box::new(EventHeader::of(event))),
            bytes,
        });
    }

    /// Adds an event that was not decoded, and of which only the kind is known.
    pub fn add_unread(&mut self, kind: Kind, bytes: Bytes, findings: Vec<Finding>) {
        self.add_findings("", findings);
        self.push(EventSummary {
            kind,
            outcome: Outcome::Unknown,
            usage: UsageKind::None,
            flow: None,
            recorded_at: None,
            completed_at: None,
            head: (bytes.len() > MAX_SHOWN_BYTES).then(Box::default),
            bytes,
        });
    }

    /// Adds a finding of the request body, after all its events. It is shown with the last event.
    pub fn add_of_body(&mut self, finding: Finding) {
        match self.notes.len().checked_sub(1) {
            Some(last) => self.add_findings_of(last as u32, "", vec![finding]),
            None => self.findings_by_kind[finding.kind as usize] += 1,
        }
    }

    /// Returns the number of findings by kind, without zeros.
    pub fn findings(&self) -> impl Iterator<Item = (FindingKind, u64)> {
        FindingKind::ALL.into_iter().zip(self.findings_by_kind).filter(|(_, count)| *count > 0)
    }

    /// Number of connection tests.
    pub fn delivery_tests(&self) -> u64 {
        self.tests
    }

    fn push(&mut self, note: EventSummary) {
        self.tests += u64::from(note.kind == Kind::DeliveryTest);
        self.notes.push(note);
    }

    /// Adds findings of the event that is added next.
    fn add_findings(&mut self, action: &str, findings: Vec<Finding>) {
        self.add_findings_of(self.notes.len() as u32, action, findings);
    }

    fn add_findings_of(&mut self, event: u32, action: &str, findings: Vec<Finding>) {
        for Finding { kind, path } in findings {
            let texts = [cut(action, MAX_TYPE_BYTES), &path, "", ""];
            let number = (self.finding_texts.len() < MAX_FINDING_TEXTS)
                .then(|| self.finding_texts.number(kind as u8, texts));
            self.findings_by_kind[kind as usize] += 1;
            self.findings.push(FindingRef { event, kind, number });
        }
    }
}

impl EventHeader {
    /// Returns the texts of an event, truncated.
    pub(super) fn of(event: &Event<'_>) -> EventHeader {
        let text = |text: Option<&str>| Box::from(cut(text.unwrap_or_default(), MAX_TEXT_BYTES));
        let envelope = event.envelope();
        EventHeader {
            action: text(Some(&envelope.action.kind)),
            id: text(Some(&envelope.id)),
            flow_id: text(event.flow_id()),
            flow_name: text(event.flow_name()),
        }
    }
}

/// Returns the texts by which a flow event is counted.
fn of_flow<'a>(event: &'a Event<'_>) -> [&'a str; 4] {
    let (id, name) = (event.flow_id().unwrap_or_default(), event.flow_name().unwrap_or_default());
    let flow = event.flow();
    match Kind::of(event) {
        Kind::CustomAnalytics => {
            let status = flow.and_then(|flow| flow.reported.status.as_deref());
            [id, name, status.unwrap_or_default(), ""]
        }
        Kind::SendErrorResponse => {
            let node = match event {
                Event::Interaction(event) => {
                    event.interaction.node().original_capability_name.as_deref()
                }
                _ => None,
            };
            let capability = node.or_else(|| flow.and_then(|flow| flow.capability_name.as_deref()));
            [id, name, event.connector_id().unwrap_or_default(), capability.unwrap_or_default()]
        }
        _ => [id, name, "", ""],
    }
}
