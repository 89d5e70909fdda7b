//! Document fields that take a text unchanged, and the event fields that may fill them.

use crate::format::classify::USER_AGENTS;
use crate::format::document::TextField;

/// Fields of every class.
pub(in crate::format) const FIELDS: [TextField; 4] = [
    (&["metadata.uid"], &["/id"]),
    (&["metadata.correlation_uid"], &["~/interactionId", "/correlationId"]),
    (&["metadata.event_code"], &["/action/type"]),
    (&["metadata.original_time"], &["/recordedAt"]),
];

/// Fields of every class except the base event and findings.
pub(in crate::format) const ACTOR_FIELDS: [TextField; 2] = [
    (&["http_request.user_agent"], &USER_AGENTS),
    (&["status_detail"], &["/result/description", "~/outcomeStatusDetail", "~/outcomeDescription"]),
];

/// Source of a flow run without an address of the user's device.
pub(in crate::format) const SERVICE_FIELDS: [TextField; 1] =
    [(&["src_endpoint.svc_name"], &["~/identity"])];

/// Destination of a flow run.
pub(in crate::format) const ENDPOINT_FIELDS: [TextField; 1] =
    [(&["dst_endpoint.name", "dst_endpoint.svc_name"], &["~/packetTo"])];

/// Service of Authentication.
pub(in crate::format) const SIGN_ON_FIELDS: [TextField; 1] = [(&["service.name"], &["~/flowName"])];

/// Operation of API Activity. Not for the start of a run, whose capability is that of the packet.
pub(in crate::format) const OPERATION_FIELDS: [TextField; 1] =
    [(&["api.operation"], &["~/originalCapabilityName", "~/capabilityName"])];

/// Actor and target fields of API Activity.
pub(in crate::format) const API_FIELDS: [TextField; 4] = [
    (&["api.service.name"], &["~/connectorId"]),
    (&["api.service.uid"], &["~/connectionId"]),
    (&["resources[].uid"], &["/resources/0/id", "/resources/id"]),
    (&["resources[].name"], &["~/flowName", "/resources/0/name", "/resources/name"]),
];

/// Further resource fields, if the resource has a name or an id.
pub(in crate::format) const RESOURCE_FIELDS: [TextField; 2] = [
    (&["resources[].type"], &["/resources/0/type", "/resources/type"]),
    (&["resources[].namespace"], &["/resources/0/environment/id", "/resources/environment/id"]),
];

/// Every table of this file, for the test of the documentation.
#[cfg(test)]
pub(in crate::format) const ALL_FIELDS: [&[TextField]; 8] = [
    &FIELDS,
    &ACTOR_FIELDS,
    &SERVICE_FIELDS,
    &ENDPOINT_FIELDS,
    &SIGN_ON_FIELDS,
    &API_FIELDS,
    &OPERATION_FIELDS,
    &RESOURCE_FIELDS,
];
