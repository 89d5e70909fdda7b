//! Data model of a PingOne event: its fields, outcome, severity and findings.
//!
//! Pure data without JSON, HTTP or storage: [`crate::decode`] builds these values and
//! [`crate::format`] reads them. Text is borrowed from the received bytes where possible.

mod config;
mod envelope;
mod finding;
mod identity;
mod interaction;
mod outcome;
pub mod registry;
mod severity;

pub use config::OutcomeWords;
pub use envelope::{Action, Actor, Envelope, Resource, ResultBlock, RiskLevel, Source};
pub use finding::{Finding, FindingKind};
pub use interaction::{
    CustomAnalytics, Flow, FlowVersion, Interaction, InteractionEvent, Node, Packet, ParentFlow,
    ReceiveRequest, Reported, RunSummary, SendErrorResponse, SendResponse, StartInteraction,
};
pub use outcome::Outcome;
pub use severity::Severity;

/// One event, typed as far as its sender allows.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A DaVinci flow at run time (`DAVINCI_INTERACTION.*`, one of the five documented types), or the summary of a
    /// flow run.
    Interaction(Box<InteractionEvent<'a>>),
    /// A DaVinci administrative event (`DAVINCI.*`).
    Admin(Envelope<'a>),
    /// *Test Connection* of the PingOne console (`EVENT_DELIVERY_TEST`). Not an audit event.
    DeliveryTest(Envelope<'a>),
    /// Any other PingOne event, including unknown `DAVINCI_INTERACTION.*` types.
    Other(Envelope<'a>),
}

impl<'a> Event<'a> {
    /// Returns the fields that every event has.
    pub fn envelope(&self) -> &Envelope<'a> {
        match self {
            Event::Interaction(interaction) => &interaction.envelope,
            Event::Admin(envelope) | Event::DeliveryTest(envelope) | Event::Other(envelope) => {
                envelope
            }
        }
    }

    /// Returns the outcome, by the same rule for every format and metric.
    pub fn outcome(&self) -> Outcome {
        outcome::of(self).0
    }

    /// Returns the path of the field that determines the outcome, from the event's root; empty if
    /// no field does.
    pub fn outcome_field(&self) -> &'static str {
        outcome::of(self).1
    }

    /// Applies the words of `[outcomes]`, which [`crate::decode`] does not know.
    pub fn apply(&mut self, words: &OutcomeWords) {
        if let Event::Interaction(interaction) = self
            && !words.is_empty()
        {
            interaction.flow.reported.apply(words);
        }
    }

    /// Returns the severity, by the same rule for every format.
    pub fn severity(&self) -> Severity {
        severity::of(self)
    }
}
