//! The five documented DaVinci run-time events: the shared members once, each type its own struct.
//!
//! Which member comes with which type is contradicted by the documentation's own examples, so
//! everything that more than one type was seen with is shared and optional.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::Envelope;

/// A DaVinci run-time event.
#[derive(Debug, Clone, PartialEq)]
pub struct InteractionEvent<'a> {
    /// The PingOne members around it.
    pub envelope: Envelope<'a>,
    /// The flow run it belongs to.
    pub flow: Flow<'a>,
    /// What happened in the run.
    pub interaction: Interaction<'a>,
}

/// What happened, by `action.type`.
#[derive(Debug, Clone, PartialEq)]
pub enum Interaction<'a> {
    /// `CUSTOM_ANALYTICS`: a Flow Analytics node reported an outcome.
    CustomAnalytics(CustomAnalytics<'a>),
    /// `START_INTERACTION`: a flow began. Counting these counts invocations.
    StartInteraction(StartInteraction<'a>),
    /// `RECEIVE_REQUEST`: a connector was given work. Deprecated by the sender.
    ReceiveRequest(ReceiveRequest<'a>),
    /// `SEND_RESPONSE`: a connector finished. Deprecated by the sender.
    SendResponse(SendResponse<'a>),
    /// `SEND_ERROR_RESPONSE`: a connector failed.
    SendErrorResponse(SendErrorResponse<'a>),
}

/// Members that all five types share.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flow<'a> {
    /// `interactionId`: the one key of a flow run. Required.
    pub interaction_id: Cow<'a, str>,
    /// `eventMessage`, with or without its space.
    pub event_message: Option<Cow<'a, str>>,
    /// `companyId`: the environment's id.
    pub company_id: Option<Cow<'a, str>>,
    /// `flowId` or `flowID`, without dashes.
    pub flow_id: Option<Cow<'a, str>>,
    /// `flowName`.
    pub flow_name: Option<Cow<'a, str>>,
    /// `flowVersionId`.
    pub version: FlowVersion,
    /// `identity`: the service that made the event.
    pub identity: Option<Cow<'a, str>>,
    /// `tsEms`: when it completed in DaVinci.
    pub completed_at: Option<DateTime<Utc>>,
    /// `packetTimestamp`, milliseconds since the epoch.
    pub packet_timestamp_ms: Option<i64>,
    /// `tsInteractionId`: `<milliseconds> + <interactionId>`.
    pub ts_interaction_id: Option<Cow<'a, str>>,
    /// `capabilityName`, the packet's own; see [`Node::original_capability_name`].
    pub capability_name: Option<Cow<'a, str>>,
    /// `usageTransactionType`; only `COUNTED` has been seen.
    pub usage_transaction_type: Option<Cow<'a, str>>,
    /// What a Flow Analytics node says of the outcome. Documented for `CUSTOM_ANALYTICS`.
    pub reported: Reported<'a>,
    /// The flow that launched this one, where this is a subflow.
    pub parent: Option<ParentFlow<'a>>,
}

/// An outcome in the words of the flow's author.
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
}

/// `flowVersionId`: `-1` and absence both mean that the sender does not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlowVersion {
    /// Not sent, `-1`, or not a whole number.
    #[default]
    Unknown,
    /// The version.
    Known(i64),
}

/// The node that ran: `nodeId|nodeID|id|ID` and its neighbours. Any may be missing, all of them for
/// flows that have no nodes.
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
    /// `success` or `succcess`. False is also logged for a comparison's false branch.
    pub success: Option<bool>,
}

/// How the work reached the connector.
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
    /// The member that describes it. The documentation gives it no name; `parentFlow` is likely.
    pub member: String,
    /// The parent run; a subflow has its own `interactionId`.
    pub interaction_id: Cow<'a, str>,
    /// The parent's environment.
    pub company_id: Option<Cow<'a, str>>,
    /// The parent flow.
    pub flow_id: Option<Cow<'a, str>>,
    /// The parent's version.
    pub version: FlowVersion,
    /// The launching node.
    pub node_id: Option<Cow<'a, str>>,
    /// The flow conductor connection used.
    pub connection_id: Option<Cow<'a, str>>,
    /// The connector that launched it.
    pub connector_id: Option<Cow<'a, str>>,
    /// `startUiSubFlow` or `startSubFlow`.
    pub capability_name: Option<Cow<'a, str>>,
    /// Whether the launching node succeeded.
    pub success: Option<bool>,
    /// Whether the node showed a page to the user.
    pub respond_to_user: Option<bool>,
}

/// `CUSTOM_ANALYTICS`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CustomAnalytics<'a> {
    /// The analytics node.
    pub node: Node<'a>,
    /// How it was sent.
    pub packet: Packet<'a>,
}

/// `START_INTERACTION`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StartInteraction<'a> {
    /// The first node, where the sender names one.
    pub node: Node<'a>,
}

/// `RECEIVE_REQUEST`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReceiveRequest<'a> {
    /// The node asked.
    pub node: Node<'a>,
    /// How it was asked.
    pub packet: Packet<'a>,
}

/// `SEND_RESPONSE`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SendResponse<'a> {
    /// The node that answered.
    pub node: Node<'a>,
    /// How it answered.
    pub packet: Packet<'a>,
}

/// `SEND_ERROR_RESPONSE`. The documented example carries no error text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SendErrorResponse<'a> {
    /// The node that failed.
    pub node: Node<'a>,
    /// How it answered.
    pub packet: Packet<'a>,
}

impl<'a> Interaction<'a> {
    /// The node concerned; all of its members may be absent.
    pub fn node(&self) -> &Node<'a> {
        match self {
            Interaction::CustomAnalytics(event) => &event.node,
            Interaction::StartInteraction(event) => &event.node,
            Interaction::ReceiveRequest(event) => &event.node,
            Interaction::SendResponse(event) => &event.node,
            Interaction::SendErrorResponse(event) => &event.node,
        }
    }
}
