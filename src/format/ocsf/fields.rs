//! Document fields that take a text unchanged, and the event fields that may fill them.

use super::layout::filled;
use crate::format::classify::USER_AGENTS;
use crate::format::document::TextField;
use crate::format::slots::any_of;

/// Fields of every class.
pub(in crate::format) const FIELDS: [TextField; 4] = [
    filled(&["metadata.uid"], any_of(["/id"])),
    filled(&["metadata.correlation_uid"], any_of(["~/interactionId", "/correlationId"])),
    filled(&["metadata.event_code"], any_of(["/action/type"])),
    filled(&["metadata.original_time"], any_of(["/recordedAt"])),
];

/// Fields of every class except the base event and findings.
pub(in crate::format) const ACTOR_FIELDS: [TextField; 2] = [
    filled(&["http_request.user_agent"], USER_AGENTS),
    filled(
        &["status_detail"],
        any_of(["/result/description", "~/outcomeStatusDetail", "~/outcomeDescription"]),
    ),
];

/// Source of a flow run without an address of the user's device.
pub(in crate::format) const SERVICE_FIELDS: [TextField; 1] =
    [filled(&["src_endpoint.svc_name"], any_of(["~/identity"]))];

/// Destination of a flow run.
pub(in crate::format) const ENDPOINT_FIELDS: [TextField; 1] =
    [filled(&["dst_endpoint.name", "dst_endpoint.svc_name"], any_of(["~/packetTo"]))];

/// Service of Authentication.
pub(in crate::format) const SIGN_ON_FIELDS: [TextField; 1] =
    [filled(&["service.name"], any_of(["~/flowName"]))];

/// Operation of API Activity. Not for the start of a run, whose capability is that of the packet.
pub(in crate::format) const OPERATION_FIELDS: [TextField; 1] =
    [filled(&["api.operation"], any_of(["~/originalCapabilityName", "~/capabilityName"]))];

/// Actor and target fields of API Activity.
pub(in crate::format) const API_FIELDS: [TextField; 4] = [
    filled(&["api.service.name"], any_of(["~/connectorId"])),
    filled(&["api.service.uid"], any_of(["~/connectionId"])),
    filled(&["resources[].uid"], any_of(["/resources/0/id", "/resources/id"])),
    filled(&["resources[].name"], any_of(["~/flowName", "/resources/0/name", "/resources/name"])),
];

/// Further resource fields, if the resource has a name or an id.
pub(in crate::format) const RESOURCE_FIELDS: [TextField; 2] = [
    filled(&["resources[].type"], any_of(["/resources/0/type", "/resources/type"])),
    filled(
        &["resources[].namespace"],
        any_of(["/resources/0/environment/id", "/resources/environment/id"]),
    ),
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
