//! `ecs`: the Elastic Common Schema, with what it has no field for under `ping_one.`.
//!
//! Names below `ping_one.audit` are those of Elastic's own PingOne integration; `ping_one.davinci` is
//! ours. What has no name at all stands in `ping_one.davinci.extra`, to be mapped as one `flattened`
//! field. <https://www.elastic.co/docs/reference/ecs>

use core::net::IpAddr;

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::leaves::Leaves;
use super::{Received, title};
use crate::event::{Event, FlowVersion, Interaction, Severity};

/// The version of the schema that the fields are of.
const VERSION: &str = "9.4.0";

/// Fields that take a text as it is, and the members it may come from.
type Field = (&'static [&'static str], &'static [&'static str]);

/// Those of every event. The first name of several is looked for by people, the second by Elastic's
/// dashboards.
pub(super) const FIELDS: [Field; 15] = [
    (&["event.id", "ping_one.audit.id"], &["/id"]),
    (&["event.code", "ping_one.audit.action.type"], &["/action/type"]),
    (&["ping_one.audit.action.description"], &["/action/description"]),
    (&["event.created", "ping_one.audit.recorded_at"], &["/recordedAt"]),
    (&["ping_one.audit.correlation.id"], &["/correlationId"]),
    (&["ping_one.audit.result.status"], &["/result/status"]),
    (&["event.reason", "ping_one.audit.result.description"], &["/result/description"]),
    (&["user.id"], &["/actors/user/id"]),
    (&["user.name"], &["/actors/user/name"]),
    (&["ping_one.audit.actors.user.environment.id"], &["/actors/user/environment/id"]),
    (&["ping_one.audit.actors.user.type"], &["/actors/user/type"]),
    (&["client.user.id"], &["/actors/client/id"]),
    (&["client.user.name"], &["/actors/client/name"]),
    (&["user_agent.original"], &["/source/userAgent"]),
    (&["ping_one.audit.subscription.name"], &["/subscriptionName"]),
];

/// Those of flow runs.
pub(super) const FLOW_FIELDS: [Field; 19] = [
    (&["event.provider"], &["~/identity"]),
    (&["cloud.account.id", "ping_one.davinci.environment.id"], &["~/companyId"]),
    (&["transaction.id", "ping_one.davinci.interaction.id"], &["~/interactionId"]),
    (&["ping_one.davinci.flow.id"], &["~/flowId", "~/flowID"]),
    (&["ping_one.davinci.flow.name"], &["~/flowName"]),
    (&["ping_one.davinci.node.id"], &["~/nodeId", "~/nodeID", "~/id", "~/ID"]),
    (&["ping_one.davinci.node.title"], &["~/nodeTitle"]),
    (&["ping_one.davinci.node.description"], &["~/nodeDescription"]),
    (&["ping_one.davinci.connector.id"], &["~/connectorId"]),
    (&["ping_one.davinci.connection.id"], &["~/connectionId"]),
    (&["ping_one.davinci.capability.original_name"], &["~/originalCapabilityName"]),
    (&["ping_one.davinci.capability.name"], &["~/capabilityName"]),
    (&["ping_one.davinci.outcome.type"], &["~/outcomeType"]),
    (&["ping_one.davinci.outcome.status"], &["~/outcomeStatus"]),
    (&["ping_one.davinci.outcome.status_detail"], &["~/outcomeStatusDetail"]),
    (&["ping_one.davinci.outcome.description"], &["~/outcomeDescription"]),
    (&["ping_one.davinci.usage_transaction_type"], &["~/usageTransactionType"]),
    (&["ping_one.davinci.packet.to"], &["~/packetTo"]),
    (&["ping_one.davinci.packet.protocol"], &["~/packetProtocol"]),
];

/// Renders one event as a JSON document.
pub(super) fn render(received: Received<'_>) -> Vec<u8> {
    let event = received.event;
    let mut document = Map::new();
    let mut set = |name: &str, value: Value| insert(&mut document, name, value);
    let time = event.time().to_rfc3339_opts(SecondsFormat::AutoSi, true);
    for (name, value) in [
        ("@timestamp", time.as_str()),
        ("ecs.version", VERSION),
        ("event.kind", "event"),
        ("event.module", "ping_one"),
        ("event.dataset", "pingone.davinci"),
        ("event.outcome", event.outcome().as_str()),
        ("observer.vendor", "Ping Identity"),
        ("observer.product", "PingOne DaVinci"),
        ("service.name", "pingone-davinci"),
        ("message", title(event)),
        ("log.level", level(event.severity())),
    ] {
        set(name, value.into());
    }
    let (category, kind) = category(event);
    set("event.action", event.envelope().action.kind.to_lowercase().into());
    set("event.category", json!([category]));
    set("event.type", json!([kind]));
    set("tags", json!(["forwarded", "pingone-davinci"]));
    if let Some(name) = event.envelope().user.as_ref().and_then(|user| user.name.as_deref()) {
        set("related.user", json!([name]));
    }
    let Some(mut leaves) = Leaves::of(received.raw) else {
        // A number that cannot be kept: the event goes along as it is.
        set("event.original", String::from_utf8_lossy(received.raw).into());
        return Value::Object(document).to_string().into_bytes();
    };
    let flow_fields = FLOW_FIELDS.iter().filter(|_| event.flow().is_some());
    for (names, pointers) in FIELDS.iter().chain(flow_fields) {
        if let Some(text) = leaves.take_text(pointers) {
            names.iter().for_each(|name| set(name, text.as_str().into()));
        }
    }
    if let Some(resources) = leaves.take_value("/resources") {
        let resources = if resources.is_array() { resources } else { json!([resources]) };
        set("ping_one.audit.resources", resources);
    }
    typed(event, &mut leaves, &mut set);
    if let Some(rest) = leaves.rest_value() {
        set("ping_one.davinci.extra", rest);
    }
    Value::Object(document).to_string().into_bytes()
}

/// Members that are no texts, each in its own type or not at all.
fn typed(event: &Event<'_>, leaves: &mut Leaves, set: &mut impl FnMut(&str, Value)) {
    if let Some(text) = leaves.take_text(&["/source/ipAddress"]) {
        let is_address = text.parse::<IpAddr>().is_ok();
        set(if is_address { "source.ip" } else { "source.address" }, text.as_str().into());
        if is_address {
            set("related.ip", json!([text]));
        }
    }
    let Event::Interaction(interaction) = event else { return };
    if let FlowVersion::Known(version) = interaction.flow.version
        && leaves.take(&["~/flowVersionId"], |text| text == version.to_string()).is_some()
    {
        set("ping_one.davinci.flow.version", version.into());
    }
    if let Some(success) = interaction.interaction.node().success
        && leaves.take(&["~/success", "~/succcess"], |text| text == success.to_string()).is_some()
    {
        set("ping_one.davinci.success", success.into());
    }
    if let Some(at) = interaction.flow.completed_at {
        // Another spelling stays where it is, and the field has one that is a date to everyone.
        let plain = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        leaves.take(&["~/tsEms"], |text| text == plain);
        set("ping_one.davinci.completed_at", plain.into());
    }
}

/// Sets a member below objects that its dotted name names.
fn insert(document: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => drop(document.insert(name.to_owned(), value)),
        Some((first, rest)) => {
            let inner = document.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// `event.category` and `event.type`: pairs that the schema allows.
fn category(event: &Event<'_>) -> (&'static str, &'static str) {
    let Event::Interaction(interaction) = event else { return ("iam", "info") };
    match &interaction.interaction {
        Interaction::StartInteraction(_) => ("session", "start"),
        Interaction::CustomAnalytics(analytics) => {
            let kind = analytics.outcome_type.as_deref().unwrap_or_default();
            if is_login(kind) { ("authentication", "info") } else { ("iam", "info") }
        }
        Interaction::ReceiveRequest(_)
        | Interaction::SendResponse(_)
        | Interaction::SendErrorResponse(_) => ("api", "info"),
    }
}

/// Whether an outcome's type, which the flow's author chose, is about signing on.
fn is_login(kind: &str) -> bool {
    let kind = kind.to_lowercase();
    let words = ["login", "logon", "log-on", "signin", "sign-in", "signon", "sign-on"];
    words
        .into_iter()
        .chain(["authenticat", "mfa", "passwordless"])
        .any(|word| kind.starts_with(word))
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "info",
        Severity::Low | Severity::Medium => "warning",
        Severity::High => "error",
    }
}
