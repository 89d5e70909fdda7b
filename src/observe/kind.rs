//! Event types that statistics distinguish: few and fixed, so that they can be metric labels.

use serde::Serialize;

use crate::event::{Event, Interaction};

/// Type of an event in statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `DAVINCI_INTERACTION.START_INTERACTION`: a flow started.
    StartInteraction,
    /// `DAVINCI_INTERACTION.CUSTOM_ANALYTICS`: a flow reported an outcome.
    CustomAnalytics,
    /// `DAVINCI_INTERACTION.SEND_ERROR_RESPONSE`: a connector failed.
    SendErrorResponse,
    /// `DAVINCI_INTERACTION.SEND_RESPONSE`: a connector finished. Deprecated by the sender.
    SendResponse,
    /// `DAVINCI_INTERACTION.RECEIVE_REQUEST`: a connector received a request. Deprecated by the sender.
    ReceiveRequest,
    /// `DAVINCI.*`: a flow, a connector or a variable was changed.
    Admin,
    /// `EVENT_DELIVERY_TEST`: PingOne's connection test.
    DeliveryTest,
    /// Anything else, unknown `DAVINCI_INTERACTION.*` types and summaries included.
    Other,
}

impl Kind {
    /// Number of kinds.
    pub const COUNT: usize = 8;

    /// Every kind, at its own index.
    pub const ALL: [Kind; Kind::COUNT] = [
        Kind::StartInteraction,
        Kind::CustomAnalytics,
        Kind::SendErrorResponse,
        Kind::SendResponse,
        Kind::ReceiveRequest,
        Kind::Admin,
        Kind::DeliveryTest,
        Kind::Other,
    ];

    /// Returns the kind of an event.
    pub fn of(event: &Event<'_>) -> Kind {
        match event {
            Event::Interaction(event) => match event.interaction {
                Interaction::StartInteraction(_) => Kind::StartInteraction,
                Interaction::CustomAnalytics(_) => Kind::CustomAnalytics,
                Interaction::SendErrorResponse(_) => Kind::SendErrorResponse,
                Interaction::SendResponse(_) => Kind::SendResponse,
                Interaction::ReceiveRequest(_) => Kind::ReceiveRequest,
                Interaction::Summary(_) => Kind::Other,
            },
            Event::Admin(_) => Kind::Admin,
            Event::DeliveryTest(_) => Kind::DeliveryTest,
            Event::Other(_) => Kind::Other,
        }
    }

    /// Returns the name in metrics, listings and filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::StartInteraction => "start_interaction",
            Kind::CustomAnalytics => "custom_analytics",
            Kind::SendErrorResponse => "send_error_response",
            Kind::SendResponse => "send_response",
            Kind::ReceiveRequest => "receive_request",
            Kind::Admin => "admin",
            Kind::DeliveryTest => "delivery_test",
            Kind::Other => "other",
        }
    }

    /// Returns true if PingOne has deprecated the type.
    pub fn is_deprecated(self) -> bool {
        matches!(self, Kind::SendResponse | Kind::ReceiveRequest)
    }
}
