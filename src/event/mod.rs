//! The words everyone shares: what a PingOne event is, what it says, and how it ended.
//!
//! Pure data. Nothing here knows JSON, HTTP or storage; [`crate::decode`] makes these values and
//! the formats read them. All text is borrowed from the received bytes where that is possible.

mod change;
mod envelope;
mod finding;
mod identity;
mod interaction;
mod outcome;
pub mod registry;
mod severity;

pub use change::Change;
pub use envelope::{Action, Actor, Envelope, Resource, ResultBlock, Source};
pub use finding::{Finding, FindingKind};
pub use interaction::{
    CustomAnalytics, Flow, FlowVersion, Interaction, InteractionEvent, Node, Packet, ParentFlow,
    ReceiveRequest, Reported, SendErrorResponse, SendResponse, StartInteraction,
};
pub use outcome::Outcome;
pub use severity::Severity;

/// One event, as typed as its sender allows.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A DaVinci flow at run time (`DAVINCI_INTERACTION.*`, one of the five documented types).
    Interaction(Box<InteractionEvent<'a>>),
    /// A DaVinci administrative event (`DAVINCI.*`).
    Admin(Envelope<'a>),
    /// The console's *Test Connection* (`EVENT_DELIVERY_TEST`): a sign of life, not an audit event.
    DeliveryTest(Envelope<'a>),
    /// Anything else PingOne sends, unknown `DAVINCI_INTERACTION.*` types included.
    Other(Envelope<'a>),
}

impl<'a> Event<'a> {
    /// The members every event has.
    pub fn envelope(&self) -> &Envelope<'a> {
        match self {
            Event::Interaction(interaction) => &interaction.envelope,
            Event::Admin(envelope) | Event::DeliveryTest(envelope) | Event::Other(envelope) => {
                envelope
            }
        }
    }

    /// How it ended, decided in one place for every format and metric.
    pub fn outcome(&self) -> Outcome {
        outcome::of(self).0
    }

    /// The member that tells how it ended, as a path from the event's root; empty if none does.
    pub fn outcome_member(&self) -> &'static str {
        outcome::of(self).1
    }

    /// What it did to its object, if it is an administrative event.
    pub fn change(&self) -> Option<Change> {
        change::of(self)
    }

    /// How much it matters, decided in one place as well.
    pub fn severity(&self) -> Severity {
        severity::of(self)
    }
}
