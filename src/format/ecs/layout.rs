//! Fields of a document in the Elastic Common Schema.

use std::sync::LazyLock;

use crate::format::document::TextField;
use crate::format::layout::{Field, Layout};
use crate::format::slots::Alternatives;

/// Names of all fields, in the order of the output: sorted by name within each object.
const NAMES: [&str; 125] = [
    "@timestamp",
    "client.user.id",
    "client.user.name",
    "cloud.account.id",
    "ecs.version",
    "error.message",
    "error.type",
    "event.action",
    "event.category",
    "event.code",
    "event.created",
    "event.dataset",
    "event.duration",
    "event.end",
    "event.id",
    "event.kind",
    "event.module",
    "event.original",
    "event.outcome",
    "event.provider",
    "event.reason",
    "event.risk_score",
    "event.severity",
    "event.start",
    "event.type",
    "group.id",
    "group.name",
    "log.level",
    "message",
    "observer.product",
    "observer.vendor",
    "ping_one.audit.action.description",
    "ping_one.audit.action.type",
    "ping_one.audit.actors.client.environment.id",
    "ping_one.audit.actors.client.href",
    "ping_one.audit.actors.client.id",
    "ping_one.audit.actors.client.name",
    "ping_one.audit.actors.client.type",
    "ping_one.audit.actors.user.environment.id",
    "ping_one.audit.actors.user.href",
    "ping_one.audit.actors.user.id",
    "ping_one.audit.actors.user.name",
    "ping_one.audit.actors.user.population.id",
    "ping_one.audit.actors.user.type",
    "ping_one.audit.correlation.id",
    "ping_one.audit.created_at",
    "ping_one.audit.embedded",
    "ping_one.audit.id",
    "ping_one.audit.internal_correlation.session_id",
    "ping_one.audit.internal_correlation.transaction_id",
    "ping_one.audit.recorded_at",
    "ping_one.audit.resources",
    "ping_one.audit.result.description",
    "ping_one.audit.result.id",
    "ping_one.audit.result.status",
    "ping_one.audit.source.ip_address",
    "ping_one.audit.source.user_agent",
    "ping_one.audit.subscription.name",
    "ping_one.audit.tags",
    "ping_one.davinci.capability.name",
    "ping_one.davinci.capability.original_name",
    "ping_one.davinci.completed_at",
    "ping_one.davinci.connection.id",
    "ping_one.davinci.connector.id",
    "ping_one.davinci.environment.id",
    "ping_one.davinci.event_message",
    "ping_one.davinci.extra",
    "ping_one.davinci.flow.id",
    "ping_one.davinci.flow.name",
    "ping_one.davinci.flow.version",
    "ping_one.davinci.interaction.ended_by",
    "ping_one.davinci.interaction.errors",
    "ping_one.davinci.interaction.events",
    "ping_one.davinci.interaction.generation",
    "ping_one.davinci.interaction.id",
    "ping_one.davinci.interaction.outcome_seen",
    "ping_one.davinci.interaction.source",
    "ping_one.davinci.interaction.start_seen",
    "ping_one.davinci.interaction.timed_out",
    "ping_one.davinci.node.description",
    "ping_one.davinci.node.id",
    "ping_one.davinci.node.title",
    "ping_one.davinci.outcome.custom_timestamp",
    "ping_one.davinci.outcome.description",
    "ping_one.davinci.outcome.status",
    "ping_one.davinci.outcome.status_detail",
    "ping_one.davinci.outcome.type",
    "ping_one.davinci.packet.interaction_id",
    "ping_one.davinci.packet.protocol",
    "ping_one.davinci.packet.timestamp",
    "ping_one.davinci.packet.to",
    "ping_one.davinci.parent.capability.name",
    "ping_one.davinci.parent.connection.id",
    "ping_one.davinci.parent.connector.id",
    "ping_one.davinci.parent.environment.id",
    "ping_one.davinci.parent.flow.id",
    "ping_one.davinci.parent.flow.version",
    "ping_one.davinci.parent.interaction.id",
    "ping_one.davinci.parent.node.id",
    "ping_one.davinci.parent.respond_to_user",
    "ping_one.davinci.parent.success",
    "ping_one.davinci.success",
    "ping_one.davinci.usage_transaction_type",
    "ping_one.risk.level",
    "ping_one.risk.recommended_action",
    "related.ip",
    "related.user",
    "service.name",
    "source.address",
    "source.ip",
    "source.port",
    "tags",
    "transaction.id",
    "url.domain",
    "url.original",
    "url.path",
    "url.scheme",
    "user.id",
    "user.name",
    "user.target.group.id",
    "user.target.group.name",
    "user.target.id",
    "user.target.name",
    "user.target.roles",
    "user_agent.original",
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
