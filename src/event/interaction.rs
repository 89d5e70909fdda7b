//! The five documented DaVinci run-time events: shared fields once, and one struct per type.
//!
//! The documentation's examples contradict its tables about which field belongs to which type.
//! Every field seen with more than one type is therefore shared and optional.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::{Envelope, Outcome};

/// A DaVinci run-time event.
#[derive(Debug, Clone, PartialEq)]
pub struct InteractionEvent<'a> {
    /// The fields of the PingOne activity around it.
    pub envelope: Envelope<'a>,
    /// The flow run to which the event belongs.
    pub flow: Flow<'a>,
    /// The part that depends on `action.type`.
    pub interaction: Interaction<'a>,
}

/// The part of a run-time event that depends on `action.type`.
#[derive(Debug, Clone, PartialEq)]
pub enum Interaction<'a> {
    /// `CUSTOM_ANALYTICS`: a Flow Analytics node reported an outcome.
    CustomAnalytics(CustomAnalytics<'a>),
    /// `START_INTERACTION`: a flow run started. The number of these events is the number of flow
    /// runs.
    StartInteraction(StartInteraction<'a>),
    /// `RECEIVE_REQUEST`: a connector received a request. Deprecated by the sender.
    ReceiveRequest(ReceiveRequest<'a>),
    /// `SEND_RESPONSE`: a connector finished. Deprecated by the sender.
    SendResponse(SendResponse<'a>),
    /// `SEND_ERROR_RESPONSE`: a connector failed.
    SendErrorResponse(SendErrorResponse<'a>),
    /// `DAVINCI_SIEM.INTERACTION`: summary of a flow run, made by this program.
    Summary(RunSummary<'a>),
}

/// Fields that all five types share.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flow<'a> {
    /// `interactionId`: key of the flow run. Required.
    pub interaction_id: Cow<'a, str>,
    /// `eventMessage`. Some senders write its text without spaces.
    pub event_message: Option<Cow<'a, str>>,
    /// `companyId`: the environment's id.
    pub company_id: Option<Cow<'a, str>>,
    /// `flowId` or `flowID`, without dashes.
    pub flow_id: Option<Cow<'a, str>>,
    /// `flowName`.
    pub flow_name: Option<Cow<'a, str>>,
    /// `flowVersionId`.
    pub version: FlowVersion,
    /// `identity`: the service that created the event.
    pub identity: Option<Cow<'a, str>>,
    /// `tsEms`: completion time in DaVinci.
    pub completed_at: Option<DateTime<Utc>>,
    /// `packetTimestamp`, in milliseconds since the Unix epoch.
    pub packet_timestamp_ms: Option<i64>,
    /// `tsInteractionId`: `<milliseconds> + <interactionId>`.
    pub ts_interaction_id: Option<Cow<'a, str>>,
    /// `capabilityName` of the packet; see [`Node::original_capability_name`].
    pub capability_name: Option<Cow<'a, str>>,
    /// `usageTransactionType`. Only `COUNTED` is known.
    pub usage_transaction_type: Option<Cow<'a, str>>,
    /// Outcome reported by a Flow Analytics node. Documented for `CUSTOM_ANALYTICS`.
    pub reported: Reported<'a>,
    /// The flow that launched this one, if this is a subflow.
    pub parent: Option<ParentFlow<'a>>,
}

/// Outcome in the words of the flow's author.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reported<'a> {
    /// `outcomeType`: free text such as `login`.
    pub kind: Option<Cow<'a, str>>,
    /// `outcomeStatus`: free text such as `success`, `denied`, `fraud`.
    pub status: Option<Cow<'a, str>>,
    /// `outcomeStatusDetail`.
    pub status_detail: Option<Cow<'a, str>>,
    /// `outcomeDescription`.
    pub description: Option<Cow<'a, str>>,
    /// `customTimestamp`: free text set by the flow's author.
    pub custom_timestamp: Option<Cow<'a, str>>,
    /// Outcome by the words of `[outcomes]`, and the field with the word. See
    /// [`Event::apply`](super::Event::apply).
    pub configured: Option<(Outcome, &'static str)>,
}

/// `flowVersionId`. `-1` and absence both mean that the sender does not know the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlowVersion {
    /// The field is absent, `-1`, or not an integer.
    #[default]
    Unknown,
    /// The version.
    Known(i64),
}

/// The node that ran, from `nodeId|nodeID|id|ID` and its neighbouring fields. Any field may be
/// absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Node<'a> {
    /// The node's id.
    pub id: Option<Cow<'a, str>>,
    /// `nodeTitle`.
    pub title: Option<Cow<'a, str>>,
    /// `nodeDescription`.
    pub description: Option<Cow<'a, str>>,
    /// `connectorId`, for example `httpConnector`.
    pub connector_id: Option<Cow<'a, str>>,
    /// `connectionId`: the configured instance of the connector.
    pub connection_id: Option<Cow<'a, str>>,
    /// `originalCapabilityName`, for example `makeRestApiCall`.
    pub original_capability_name: Option<Cow<'a, str>>,
    /// `success` or `succcess`. Also false for the false branch of a comparison.
    pub success: Option<bool>,
}

/// Transport of the request to the connector.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Packet<'a> {
    /// `packetTo`.
    pub to: Option<Cow<'a, str>>,
    /// `packetProtocol`.
    pub protocol: Option<Cow<'a, str>>,
}

/// The flow that launched a subflow.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ParentFlow<'a> {
    /// Name of the field that holds the parent flow. The documentation does not name it;
    /// `parentFlow` is likely.
    pub field: String,
    /// The parent run. A subflow has its own `interactionId`.
    pub interaction_id: Cow<'a, str>,
    /// The parent's environment.
    pub company_id: Option<Cow<'a, str>>,
    /// The parent flow.
    pub flow_id: Option<Cow<'a, str>>,
    /// The parent's version.
    pub version: FlowVersion,
    /// The node that launched the subflow.
    pub node_id: Option<Cow<'a, str>>,
    /// The flow conductor connection.
    pub connection_id: Option<Cow<'a, str>>,
    /// The connector that launched the subflow.
    pub connector_id: Option<Cow<'a, str>>,
    /// `startUiSubFlow` or `startSubFlow`.
    pub capability_name: Option<Cow<'a, str>>,
    /// True if the launching node succeeded.
    pub success: Option<bool>,
    /// True if the node showed a page to the user.
    pub respond_to_user: Option<bool>,
}

/// Fields of `CUSTOM_ANALYTICS`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CustomAnalytics<'a> {
    /// The analytics node.
    pub node: Node<'a>,
    /// Transport of the event.
    pub packet: Packet<'a>,
}

/// Fields of `START_INTERACTION`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StartInteraction<'a> {
    /// The first node, if the sender names it.
    pub node: Node<'a>,
}

/// Fields of `RECEIVE_REQUEST`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReceiveRequest<'a> {
    /// The node that received the request.
    pub node: Node<'a>,
    /// Transport of the request.
    pub packet: Packet<'a>,
}

/// Fields of `SEND_RESPONSE`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SendResponse<'a> {
    /// The node that answered.
    pub node: Node<'a>,
    /// Transport of the response.
    pub packet: Packet<'a>,
}

/// Fields of `SEND_ERROR_RESPONSE`. The documented example carries no error text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SendErrorResponse<'a> {
    /// The node that failed.
    pub node: Node<'a>,
    /// Transport of the response.
    pub packet: Packet<'a>,
}

/// Fields of a summary of a flow run. The five documented types do not have them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunSummary<'a> {
    /// The node that failed last, if any failed.
    pub node: Node<'a>,
    /// The source that received the run's events.
    pub source: Option<Cow<'a, str>>,
    /// Position in the spool of the first event that the summary covers.
    pub generation: Option<i64>,
    /// Position of the last event that it covers.
    pub last_position: Option<i64>,
    /// Time of the earliest event.
    pub started_at: Option<DateTime<Utc>>,
    /// Time from the earliest to the latest event, in ms.
    pub duration_ms: Option<i64>,
    /// Reason of the summary: `outcome`, `timeout`, `max_age` or `limit`.
    pub ended_by: Option<Cow<'a, str>>,
    /// True if the run's `START_INTERACTION` was received.
    pub start_seen: Option<bool>,
    /// True if the run reported an outcome.
    pub outcome_seen: Option<bool>,
    /// True if the run fell silent without an outcome.
    pub timed_out: Option<bool>,
    /// Number of events.
    pub events: Option<i64>,
    /// Number of `SEND_ERROR_RESPONSE` events.
    pub errors: Option<i64>,
}

impl<'a> Interaction<'a> {
    /// Returns the node of the event. All of its fields may be absent.
    pub fn node(&self) -> &Node<'a> {
        match self {
            Interaction::CustomAnalytics(event) => &event.node,
            Interaction::StartInteraction(event) => &event.node,
            Interaction::ReceiveRequest(event) => &event.node,
            Interaction::SendResponse(event) => &event.node,
            Interaction::SendErrorResponse(event) => &event.node,
            Interaction::Summary(event) => &event.node,
        }
    }
}
