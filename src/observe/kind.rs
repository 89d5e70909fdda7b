//! The types that are told apart where something is counted: few and fixed, so that they can label a metric.

use serde::Serialize;

use crate::event::{Event, Interaction};

/// What an event is about, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `DAVINCI_INTERACTION.START_INTERACTION`: a flow began.
    StartInteraction,
    /// `DAVINCI_INTERACTION.CUSTOM_ANALYTICS`: a flow reported an outcome.
    CustomAnalytics,
    /// `DAVINCI_INTERACTION.SEND_ERROR_RESPONSE`: a connector failed.
    SendErrorResponse,
    /// `DAVINCI_INTERACTION.SEND_RESPONSE`: a connector finished. Deprecated by the sender.
    SendResponse,
    /// `DAVINCI_INTERACTION.RECEIVE_REQUEST`: a connector was given work. Deprecated by the sender.
    ReceiveRequest,
    /// `DAVINCI.*`: somebody changed a flow, a connector, a variable.
    Admin,
    /// `EVENT_DELIVERY_TEST`: PingOne's connection test.
    DeliveryTest,
    /// Anything else, unknown `DAVINCI_INTERACTION.*` types included.
    Other,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// Every one of them, each at its own index.
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

    /// What an event is counted as.
    pub fn of(event: &Event<'_>) -> Kind {
        match event {
            Event::Interaction(event) => match event.interaction {
                Interaction::StartInteraction(_) => Kind::StartInteraction,
                Interaction::CustomAnalytics(_) => Kind::CustomAnalytics,
                Interaction::SendErrorResponse(_) => Kind::SendErrorResponse,
                Interaction::SendResponse(_) => Kind::SendResponse,
                Interaction::ReceiveRequest(_) => Kind::ReceiveRequest,
            },
            Event::Admin(_) => Kind::Admin,
            Event::DeliveryTest(_) => Kind::DeliveryTest,
            Event::Other(_) => Kind::Other,
        }
    }

    /// The name used in metrics, listings and filters.
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

    /// Whether PingOne says that it will stop sending these.
    pub fn is_deprecated(self) -> bool {
        matches!(self, Kind::SendResponse | Kind::ReceiveRequest)
    }
}
