//! Fields of a document in the Open Cybersecurity Schema Framework.

use std::sync::LazyLock;

use crate::format::document::TextField;
use crate::format::layout::{Field, Layout};
use crate::format::slots::Alternatives;

/// Names of all fields, in the order of the output: sorted by name within each object.
const NAMES: [&str; 97] = [
    "activity_id",
    "activity_name",
    "actor.app_name",
    "actor.app_uid",
    "actor.idp.name",
    "actor.idp.uid",
    "actor.session.uid",
    "actor.user.name",
    "actor.user.org.uid",
    "actor.user.type",
    "actor.user.type_id",
    "actor.user.uid",
    "api.operation",
    "api.request.uid",
    "api.response.error",
    "api.response.error_message",
    "api.service.name",
    "api.service.uid",
    "auth_protocol",
    "auth_protocol_id",
    "category_name",
    "category_uid",
    "class_name",
    "class_uid",
    "dst_endpoint.name",
    "dst_endpoint.svc_name",
    "duration",
    "end_time",
    "entity.name",
    "entity.type",
    "entity.type_id",
    "entity.uid",
    "evidences[].src_endpoint.ip",
    "evidences[].src_endpoint.port",
    "evidences[].user.name",
    "evidences[].user.uid",
    "finding_info.title",
    "finding_info.uid",
    "group.name",
    "group.type",
    "group.uid",
    "http_request.user_agent",
    "is_mfa",
    "is_remote",
    "logon_type",
    "logon_type_id",
    "message",
    "metadata.correlation_uid",
    "metadata.event_code",
    "metadata.log_name",
    "metadata.log_provider",
    "metadata.logged_time",
    "metadata.original_event_uid",
    "metadata.original_time",
    "metadata.processed_time",
    "metadata.product.lang",
    "metadata.product.name",
    "metadata.product.vendor_name",
    "metadata.profiles",
    "metadata.tenant_uid",
    "metadata.uid",
    "metadata.version",
    "observables",
    "privileges",
    "raw_data",
    "resources[].name",
    "resources[].namespace",
    "resources[].type",
    "resources[].uid",
    "resources[].version",
    "risk_level",
    "risk_level_id",
    "risk_score",
    "service.name",
    "service.uid",
    "session.uid",
    "severity",
    "severity_id",
    "src_endpoint.ip",
    "src_endpoint.name",
    "src_endpoint.port",
    "src_endpoint.svc_name",
    "start_time",
    "status",
    "status_code",
    "status_detail",
    "status_id",
    "time",
    "timezone_offset",
    "type_name",
    "type_uid",
    "unmapped",
    "user.name",
    "user.org.uid",
    "user.type",
    "user.type_id",
    "user.uid",
];

/// Layout of a document.
pub(super) static LAYOUT: LazyLock<Layout> = LazyLock::new(|| Layout::of(&NAMES));

/// Returns the field of that name.
pub(super) const fn field(name: &str) -> Field {
    Field::of(&NAMES, name)
}

/// Returns a rule that fills up to two fields with the first of these event fields that is a text.
pub(super) const fn filled(names: &'static [&'static str], from: Alternatives) -> TextField {
    TextField::of(&NAMES, names, from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_in_the_order_of_the_output() {
        let steps =
            |name: &&str| name.replace("[]", "").split('.').map(str::to_owned).collect::<Vec<_>>();
        assert!(NAMES.is_sorted_by_key(steps), "serde_json sorts names, too");
    }
}
