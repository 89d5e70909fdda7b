//! `_embedded.flowInteractionEvent`: the five run-time types, with every documented spelling.

use super::envelope::required;
use super::members::{Members, Names};
use super::read::{Findings, Reader};
use super::refusal::Refusal;
use crate::event::{
    CustomAnalytics, Envelope, Event, FindingKind, Flow, FlowVersion, Interaction,
    InteractionEvent, Node, Packet, ParentFlow, ReceiveRequest, Reported, SendErrorResponse,
    SendResponse, StartInteraction,
};

const EMBEDDED: &str = "$._embedded";
const PATH: &str = "$._embedded.flowInteractionEvent";

/// Every member that a documented table, an example or a related log of DaVinci shows.
const KNOWN: Names<40> = Names::new([
    "eventMessage",
    "companyId",
    "interactionId",
    "flowVersionId",
    "identity",
    "tsEms",
    "flowId",
    "flowID",
    "flowName",
    "id",
    "ID",
    "nodeId",
    "nodeID",
    "capabilityName",
    "originalCapabilityName",
    "success",
    "succcess",
    "connectorId",
    "connectionId",
    "nodeTitle",
    "nodeDescription",
    "outcomeType",
    "outcomeStatus",
    "outcomeStatusDetail",
    "outcomeDescription",
    "customTimestamp",
    "packetTo",
    "packetProtocol",
    "packetTimestamp",
    "tsInteractionId",
    "tsinteractionId",
    "usageTransactionType",
    "parentFlow",
    "executionTime",
    "respondToUser",
    "transitionId",
    "userAgent",
    "transactionId",
    "flowPolicyId",
    "properties",
]);

/// Types a run-time event; one of another type than the five is an [`Event::Other`].
pub(super) fn read<'a>(
    members: &Members<'_, 'a>,
    envelope: Envelope<'a>,
    findings: &mut Findings,
) -> Result<Event<'a>, Refusal> {
    let kind = envelope.action.kind.strip_prefix("DAVINCI_INTERACTION.").unwrap_or_default();
    let read_detail = match kind {
        "CUSTOM_ANALYTICS" => custom_analytics,
        "START_INTERACTION" => start_interaction,
        "RECEIVE_REQUEST" => receive_request,
        "SEND_RESPONSE" => send_response,
        "SEND_ERROR_RESPONSE" => send_error_response,
        _ => {
            findings.note(FindingKind::UnknownType, "$.action", "type");
            return Ok(Event::Other(envelope));
        }
    };
    let payload = payload(members, findings)?;
    let mut reader = Reader::new(&payload, PATH, findings);
    let mut flow = flow(&mut reader)?;
    let interaction = read_detail(&mut reader);
    note_unknown(&payload, &mut reader);
    flow.parent = parent_flow(&payload, findings);
    Ok(Event::Interaction(Box::new(InteractionEvent { envelope, flow, interaction })))
}

fn reported<'a>(reader: &mut Reader<'_, '_, 'a>) -> Reported<'a> {
    Reported {
        kind: reader.text(&["outcomeType"]),
        status: reader.text(&["outcomeStatus"]),
        status_detail: reader.text(&["outcomeStatusDetail"]),
        description: reader.text(&["outcomeDescription"]),
        custom_timestamp: reader.text(&["customTimestamp"]),
    }
}

fn payload<'t, 'a>(
    members: &Members<'t, 'a>,
    findings: &mut Findings,
) -> Result<Members<'t, 'a>, Refusal> {
    let (_, embedded) = Reader::new(members, "$", findings)
        .raw(&["_embedded"])
        .ok_or_else(|| Refusal::missing(EMBEDDED, "_embedded"))?;
    let embedded = embedded.object().ok_or_else(|| Refusal::wrong_type(EMBEDDED, "an object"))?;
    let (payload, is_repeated) = embedded
        .get("flowInteractionEvent")
        .filter(|(payload, _)| payload.value() != "null")
        .ok_or_else(|| Refusal::missing(PATH, "flowInteractionEvent"))?;
    if is_repeated {
        findings.note(FindingKind::DuplicateMember, EMBEDDED, "flowInteractionEvent");
    }
    payload.object().ok_or_else(|| Refusal::wrong_type(PATH, "an object"))
}

fn flow<'a>(reader: &mut Reader<'_, '_, 'a>) -> Result<Flow<'a>, Refusal> {
    const ID: &str = "$._embedded.flowInteractionEvent.interactionId";
    Ok(Flow {
        interaction_id: required(reader, "interactionId", ID)?,
        event_message: reader.text(&["eventMessage"]),
        company_id: reader.text(&["companyId"]),
        flow_id: reader.text(&["flowId", "flowID"]),
        flow_name: reader.text(&["flowName"]),
        version: version(reader),
        identity: reader.text(&["identity"]),
        completed_at: reader.time(&["tsEms"]),
        packet_timestamp_ms: reader.integer(&["packetTimestamp"]),
        ts_interaction_id: reader.text(&["tsInteractionId", "tsinteractionId"]),
        capability_name: reader.text(&["capabilityName"]),
        reported: reported(reader),
        usage_transaction_type: reader.text(&["usageTransactionType"]),
        parent: None,
    })
}

fn version(reader: &mut Reader<'_, '_, '_>) -> FlowVersion {
    match reader.integer(&["flowVersionId"]) {
        Some(version) if version >= 0 => FlowVersion::Known(version),
        _ => FlowVersion::Unknown,
    }
}

fn node<'a>(reader: &mut Reader<'_, '_, 'a>) -> Node<'a> {
    Node {
        id: reader.text(&["nodeId", "nodeID", "id", "ID"]),
        title: reader.text(&["nodeTitle"]),
        description: reader.text(&["nodeDescription"]),
        connector_id: reader.text(&["connectorId"]),
        connection_id: reader.text(&["connectionId"]),
        original_capability_name: reader.text(&["originalCapabilityName"]),
        success: reader.boolean(&["success", "succcess"]),
    }
}

fn packet<'a>(reader: &mut Reader<'_, '_, 'a>) -> Packet<'a> {
    Packet { to: reader.text(&["packetTo"]), protocol: reader.text(&["packetProtocol"]) }
}

fn custom_analytics<'a>(reader: &mut Reader<'_, '_, 'a>) -> Interaction<'a> {
    Interaction::CustomAnalytics(CustomAnalytics { node: node(reader), packet: packet(reader) })
}

fn start_interaction<'a>(reader: &mut Reader<'_, '_, 'a>) -> Interaction<'a> {
    Interaction::StartInteraction(StartInteraction { node: node(reader) })
}

fn receive_request<'a>(reader: &mut Reader<'_, '_, 'a>) -> Interaction<'a> {
    Interaction::ReceiveRequest(ReceiveRequest { node: node(reader), packet: packet(reader) })
}

fn send_response<'a>(reader: &mut Reader<'_, '_, 'a>) -> Interaction<'a> {
    Interaction::SendResponse(SendResponse { node: node(reader), packet: packet(reader) })
}

fn send_error_response<'a>(reader: &mut Reader<'_, '_, 'a>) -> Interaction<'a> {
    Interaction::SendErrorResponse(SendErrorResponse { node: node(reader), packet: packet(reader) })
}

/// The documentation describes the parent flow's members but never names the object: any object
/// with an `interactionId` and a flow id is one, `parentFlow` before others.
fn parent_flow<'a>(payload: &Members<'_, 'a>, findings: &mut Findings) -> Option<ParentFlow<'a>> {
    let candidates = || payload.iter().filter_map(|member| Some((member, member.object()?)));
    let (name, members) = candidates()
        .filter(|(member, _)| member.name() == "parentFlow")
        .chain(candidates())
        .find(|(_, members)| is_parent_flow(members))
        .map(|(member, members)| (member.name(), members))?;
    let path = format!("{PATH}.{}", name.chars().take(80).collect::<String>());
    let member = name.into_owned();
    let mut reader = Reader::new(&members, &path, findings);
    Some(ParentFlow {
        member,
        interaction_id: reader.text(&["interactionId"])?,
        company_id: reader.text(&["companyId"]),
        flow_id: reader.text(&["flowId", "flowID"]),
        version: version(&mut reader),
        node_id: reader.text(&["nodeId", "nodeID", "id", "ID"]),
        connection_id: reader.text(&["connectionId"]),
        connector_id: reader.text(&["connectorId"]),
        capability_name: reader.text(&["capabilityName"]),
        success: reader.boolean(&["success", "succcess"]),
        respond_to_user: reader.boolean(&["respondToUser"]),
    })
}

fn is_parent_flow(members: &Members<'_, '_>) -> bool {
    members.get("interactionId").is_some()
        && (members.get("flowId").is_some() || members.get("flowID").is_some())
}

fn note_unknown(payload: &Members<'_, '_>, reader: &mut Reader<'_, '_, '_>) {
    for (name, member) in payload.unknown(&KNOWN) {
        if !member.object().is_some_and(|members| is_parent_flow(&members)) {
            reader.note(FindingKind::UnknownMember, &name);
        }
    }
}
