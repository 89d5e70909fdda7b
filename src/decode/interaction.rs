//! Reads `_embedded.flowInteractionEvent` of the five run-time types, under every documented
//! spelling, and of the summaries that this program makes.

use super::envelope::required;
use super::field_reader::{FieldReader, Findings, ReadKind};
use super::fields::{FieldNames, ObjectFields};
use super::refusal::Refusal;
use crate::event::{
    CustomAnalytics, Envelope, Event, FindingKind, Flow, FlowVersion, Interaction,
    InteractionEvent, Node, Packet, ParentFlow, ReceiveRequest, Reported, RunSummary,
    SendErrorResponse, SendResponse, StartInteraction,
};

/// Type of the summaries.
pub(super) const RUN_SUMMARY: &str = "DAVINCI_SIEM.INTERACTION";

const EMBEDDED: &str = "$._embedded";
const PATH: &str = "$._embedded.flowInteractionEvent";

/// Every field that a documented table, an example or a related DaVinci log shows.
const KNOWN: FieldNames<40> = FieldNames::new([
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

/// Reads a run-time event. A type other than the five becomes an [`Event::Other`].
///
/// # Errors
///
/// A required field is missing or has the wrong type.
pub(super) fn read<'a>(
    fields: &ObjectFields<'_, 'a>,
    envelope: Envelope<'a>,
    findings: &mut Findings,
) -> Result<Event<'a>, Refusal> {
    let read_detail = match &*envelope.action.kind {
        "DAVINCI_INTERACTION.CUSTOM_ANALYTICS" => custom_analytics,
        "DAVINCI_INTERACTION.START_INTERACTION" => start_interaction,
        "DAVINCI_INTERACTION.RECEIVE_REQUEST" => receive_request,
        "DAVINCI_INTERACTION.SEND_RESPONSE" => send_response,
        "DAVINCI_INTERACTION.SEND_ERROR_RESPONSE" => send_error_response,
        RUN_SUMMARY => run_summary,
        _ => {
            findings.note(FindingKind::UnknownType, "$.action", "type");
            return Ok(Event::Other(envelope));
        }
    };
    let payload = payload(fields, findings)?;
    let mut reader = FieldReader::new(&payload, PATH, findings);
    let mut flow = flow(&mut reader)?;
    let mut interaction = read_detail(&mut reader);
    match &mut interaction {
        Interaction::Summary(found) => fill_summary(found, &payload, findings),
        _ => note_unknown(&payload, &mut reader),
    }
    flow.parent = parent_flow(&payload, findings);
    Ok(Event::Interaction(Box::new(InteractionEvent { envelope, flow, interaction })))
}

fn reported<'a>(reader: &mut FieldReader<'_, '_, 'a>) -> Reported<'a> {
    Reported {
        kind: reader.text(&["outcomeType"]),
        status: reader.text(&["outcomeStatus"]),
        status_detail: reader.text(&["outcomeStatusDetail"]),
        description: reader.text(&["outcomeDescription"]),
        custom_timestamp: reader.text(&["customTimestamp"]),
        configured: None,
    }
}

fn payload<'t, 'a>(
    fields: &ObjectFields<'t, 'a>,
    findings: &mut Findings,
) -> Result<ObjectFields<'t, 'a>, Refusal> {
    findings.declare("$", &["_embedded"], ReadKind::RequiredObject);
    findings.declare(EMBEDDED, &["flowInteractionEvent"], ReadKind::RequiredObject);
    let (_, embedded) = FieldReader::new(fields, "$", findings)
        .raw(&["_embedded"])
        .ok_or_else(|| Refusal::missing(EMBEDDED, "_embedded"))?;
    let embedded = embedded.object().ok_or_else(|| Refusal::wrong_type(EMBEDDED, "an object"))?;
    let (payload, is_repeated) = embedded
        .get("flowInteractionEvent")
        .filter(|(payload, _)| payload.value() != "null")
        .ok_or_else(|| Refusal::missing(PATH, "flowInteractionEvent"))?;
    if is_repeated {
        findings.note(FindingKind::DuplicateField, EMBEDDED, "flowInteractionEvent");
    }
    payload.object().ok_or_else(|| Refusal::wrong_type(PATH, "an object"))
}

fn flow<'a>(reader: &mut FieldReader<'_, '_, 'a>) -> Result<Flow<'a>, Refusal> {
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

fn version(reader: &mut FieldReader<'_, '_, '_>) -> FlowVersion {
    match reader.integer(&["flowVersionId"]) {
        Some(version) if version >= 0 => FlowVersion::Known(version),
        _ => FlowVersion::Unknown,
    }
}

fn node<'a>(reader: &mut FieldReader<'_, '_, 'a>) -> Node<'a> {
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

fn packet<'a>(reader: &mut FieldReader<'_, '_, 'a>) -> Packet<'a> {
    Packet { to: reader.text(&["packetTo"]), protocol: reader.text(&["packetProtocol"]) }
}

fn custom_analytics<'a>(reader: &mut FieldReader<'_, '_, 'a>) -> Interaction<'a> {
    Interaction::CustomAnalytics(CustomAnalytics { node: node(reader), packet: packet(reader) })
}

fn start_interaction<'a>(reader: &mut FieldReader<'_, '_, 'a>) -> Interaction<'a> {
    Interaction::StartInteraction(StartInteraction { node: node(reader) })
}

fn receive_request<'a>(reader: &mut FieldReader<'_, '_, 'a>) -> Interaction<'a> {
    Interaction::ReceiveRequest(ReceiveRequest { node: node(reader), packet: packet(reader) })
}

fn send_response<'a>(reader: &mut FieldReader<'_, '_, 'a>) -> Interaction<'a> {
    Interaction::SendResponse(SendResponse { node: node(reader), packet: packet(reader) })
}

fn send_error_response<'a>(reader: &mut FieldReader<'_, '_, 'a>) -> Interaction<'a> {
    Interaction::SendErrorResponse(SendErrorResponse { node: node(reader), packet: packet(reader) })
}

fn run_summary<'a>(reader: &mut FieldReader<'_, '_, 'a>) -> Interaction<'a> {
    Interaction::Summary(RunSummary { node: node(reader), ..RunSummary::default() })
}

/// Reads the object `summary`, which only summaries have.
fn fill_summary<'a>(
    found: &mut RunSummary<'a>,
    payload: &ObjectFields<'_, 'a>,
    findings: &mut Findings,
) {
    let path = format!("{PATH}.summary");
    let Some(fields) = FieldReader::new(payload, PATH, findings).object(&["summary"]) else {
        return;
    };
    let mut reader = FieldReader::new(&fields, &path, findings);
    *found = RunSummary {
        node: std::mem::take(&mut found.node),
        source: reader.text(&["source"]),
        generation: reader.integer(&["generation"]),
        last_position: reader.integer(&["lastPosition"]),
        started_at: reader.time(&["startedAt"]),
        duration_ms: reader.integer(&["durationMs"]),
        ended_by: reader.text(&["endedBy"]),
        start_seen: reader.boolean(&["startSeen"]),
        outcome_seen: reader.boolean(&["outcomeSeen"]),
        timed_out: reader.boolean(&["timedOut"]),
        events: reader.integer(&["events"]),
        errors: reader.integer(&["errors"]),
    };
}

/// Finds the parent flow. The documentation describes its fields but not the name of the object, so
/// any object with an `interactionId` and a flow id counts; `parentFlow` is preferred.
fn parent_flow<'a>(
    payload: &ObjectFields<'_, 'a>,
    findings: &mut Findings,
) -> Option<ParentFlow<'a>> {
    let candidates = || payload.iter().filter_map(|field| Some((field, field.object()?)));
    let (name, fields) = candidates()
        .filter(|(field, _)| field.name() == "parentFlow")
        .chain(candidates())
        .find(|(_, fields)| is_parent_flow(fields))
        .map(|(field, fields)| (field.name(), fields))?;
    let path = format!("{PATH}.{}", name.chars().take(80).collect::<String>());
    let field = name.into_owned();
    let mut reader = FieldReader::new(&fields, &path, findings);
    Some(ParentFlow {
        field,
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

fn is_parent_flow(fields: &ObjectFields<'_, '_>) -> bool {
    fields.get("interactionId").is_some()
        && (fields.get("flowId").is_some() || fields.get("flowID").is_some())
}

fn note_unknown(payload: &ObjectFields<'_, '_>, reader: &mut FieldReader<'_, '_, '_>) {
    reader.declare(KNOWN.names(), ReadKind::Any);
    for (name, field) in payload.unknown(&KNOWN) {
        if !field.object().is_some_and(|fields| is_parent_flow(&fields)) {
            reader.note(FindingKind::UnknownField, &name);
        }
    }
}
