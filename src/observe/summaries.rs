//! What is kept of the events of a batch between typing them and knowing which of them are new.
//!
//! Made of the bytes that are stored, so what `[redact]` takes is in none of it. While an event is typed, all
//! of it is in the processor's cache; milliseconds later, when it is stored, none of it is. So what it says is
//! looked at here, and what is kept of it is small: numbers, and a place in the batch's interner of texts.

use bytes::Bytes;

use super::interner::Interner;
use super::kind::Kind;
use super::table::cut;
use crate::event::{Event, Finding, FindingKind, Outcome};

/// Bytes of a text beside an event that is shown.
const TEXT: usize = 128;

/// Bytes of a type beside a finding.
const TYPE: usize = 80;

/// Findings that are told apart in one batch: twice as many as are in all.
const ODDITIES: usize = 1024;

/// Bytes of an event that is shown whole.
pub(super) const WHOLE: usize = 64 * 1024;

/// What is kept of a batch, one note for each event in its order.
#[derive(Debug, Default)]
pub struct Summaries {
    pub(super) notes: Vec<Note>,
    /// Texts of the events that belong to a flow: its id and name, then a status, or connector and capability.
    pub(super) flows: Interner,
    pub(super) findings: Vec<FindingRef>,
    /// Texts of findings: the event's `action.type`, and the path as `[redact]` leaves it.
    pub(super) oddities: Interner,
    /// By kind.
    findings_by_kind: [u64; FindingKind::ALL.len()],
    tests: u64,
}

/// What is kept of one event.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) kind: Kind,
    pub(super) outcome: Outcome,
    pub(super) usage: Usage,
    /// Its number among the flows, if it is an event of one.
    pub(super) flow: Option<u32>,
    /// Milliseconds since the epoch.
    pub(super) recorded_at: Option<i64>,
    /// `tsEms`, milliseconds since the epoch.
    pub(super) completed_at: Option<i64>,
    pub(super) bytes: Bytes,
    /// Of one that is too large to be shown whole.
    pub(super) head: Option<Box<Head>>,
}

/// A finding.
#[derive(Debug)]
pub(super) struct FindingRef {
    /// The event's place in the batch.
    pub(super) event: u32,
    pub(super) kind: FindingKind,
    /// The number of its texts among the oddities; none where a batch has more than anybody would read.
    pub(super) number: Option<u32>,
}

/// What is shown of an event beside itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) action: Box<str>,
    pub(super) id: Box<str>,
    pub(super) flow_id: Box<str>,
    pub(super) flow_name: Box<str>,
}

/// `usageTransactionType`, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    None,
    Counted,
    Other,
}

impl Summaries {
    /// Notes an event as it was typed from `bytes`, which are the stored ones. `findings` are those of the
    /// event as it came.
    pub fn add(&mut self, event: &Event<'_>, bytes: Bytes, findings: Vec<Finding>) {
        let (kind, flow) = (Kind::of(event), event.flow());
        let usage = flow.and_then(|flow| flow.usage_transaction_type.as_deref());
        let envelope = event.envelope();
        self.add_findings(&envelope.action.kind, findings);
        let number = flow.map(|_| self.flows.number(kind as u8, of_flow(event)));
        self.push(Note {
            kind,
            outcome: event.outcome(),
            usage: match usage {
                None => Usage::None,
                Some("COUNTED") => Usage::Counted,
                Some(_) => Usage::Other,
            },
            flow: number,
            recorded_at: Some(envelope.recorded_at.timestamp_millis()),
            completed_at: flow
                .and_then(|flow| flow.completed_at)
                .map(|time| time.timestamp_millis()),
            head: (bytes.len() > WHOLE).then(|| Box::new(Head::of(event))),
            bytes,
        });
    }

    /// Notes an event that is counted, and of which nothing else is known.
    pub fn add_unread(&mut self, kind: Kind, bytes: Bytes, findings: Vec<Finding>) {
        self.add_findings("", findings);
        self.push(Note {
            kind,
            outcome: Outcome::Unknown,
            usage: Usage::None,
            flow: None,
            recorded_at: None,
            completed_at: None,
            head: (bytes.len() > WHOLE).then(Box::default),
            bytes,
        });
    }

    /// Notes a finding of the body that the events came in, once all of them are noted. Shown with the last one.
    pub fn add_of_body(&mut self, finding: Finding) {
        match self.notes.len().checked_sub(1) {
            Some(last) => self.odd_of(last as u32, "", vec![finding]),
            None => self.findings_by_kind[finding.kind as usize] += 1,
        }
    }

    /// What was findings about the events, and how often.
    pub fn findings(&self) -> impl Iterator<Item = (FindingKind, u64)> {
        FindingKind::ALL.into_iter().zip(self.findings_by_kind).filter(|(_, count)| *count > 0)
    }

    /// How many are PingOne's connection test.
    pub fn delivery_tests(&self) -> u64 {
        self.tests
    }

    fn push(&mut self, note: Note) {
        self.tests += u64::from(note.kind == Kind::DeliveryTest);
        self.notes.push(note);
    }

    /// Notes what is findings about the event that comes next.
    fn add_findings(&mut self, action: &str, findings: Vec<Finding>) {
        self.odd_of(self.notes.len() as u32, action, findings);
    }

    fn odd_of(&mut self, event: u32, action: &str, findings: Vec<Finding>) {
        for Finding { kind, path } in findings {
            let texts = [cut(action, TYPE), &path, "", ""];
            let number =
                (self.oddities.len() < ODDITIES).then(|| self.oddities.number(kind as u8, texts));
            self.findings_by_kind[kind as usize] += 1;
            self.findings.push(FindingRef { event, kind, number });
        }
    }
}

impl Head {
    /// What is shown of an event, cut.
    pub(super) fn of(event: &Event<'_>) -> Head {
        let text = |text: Option<&str>| Box::from(cut(text.unwrap_or_default(), TEXT));
        let envelope = event.envelope();
        Head {
            action: text(Some(&envelope.action.kind)),
            id: text(Some(&envelope.id)),
            flow_id: text(event.flow_id()),
            flow_name: text(event.flow_name()),
        }
    }
}

/// What is counted by: the flow, and what its kind of event says besides.
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
