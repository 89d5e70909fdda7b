//! Document fields that take a text unchanged, and the event fields that may fill them.
//!
//! If a row has several names, the first is the one that people search for; Elastic's own PingOne
//! dashboards use the others.

use super::layout::filled;
use crate::format::classify::USER_AGENTS;
use crate::format::document::TextField;
use crate::format::slots::any_of;

/// Fields of every event.
pub(in crate::format) const FIELDS: [TextField; 26] = [
    filled(&["event.id", "ping_one.audit.id"], any_of(["/id"])),
    filled(&["event.code", "ping_one.audit.action.type"], any_of(["/action/type"])),
    filled(&["ping_one.audit.action.description"], any_of(["/action/description"])),
    filled(&["ping_one.audit.correlation.id"], any_of(["/correlationId"])),
    filled(
        &["ping_one.audit.internal_correlation.transaction_id"],
        any_of(["/internalCorrelation/transactionId"]),
    ),
    filled(
        &["ping_one.audit.internal_correlation.session_id"],
        any_of(["/internalCorrelation/sessionId"]),
    ),
    filled(&["ping_one.audit.result.id"], any_of(["/result/id"])),
    filled(&["ping_one.audit.result.status"], any_of(["/result/status"])),
    filled(&["event.reason", "ping_one.audit.result.description"], any_of(["/result/description"])),
    filled(&["user.id", "ping_one.audit.actors.user.id"], any_of(["@user/id"])),
    filled(&["user.name", "ping_one.audit.actors.user.name"], any_of(["@user/name"])),
    filled(&["ping_one.audit.actors.user.environment.id"], any_of(["@user/environment/id"])),
    filled(&["ping_one.audit.actors.user.type"], any_of(["@user/type"])),
    filled(&["ping_one.audit.actors.user.href"], any_of(["@user/href"])),
    filled(&["ping_one.audit.actors.user.population.id"], any_of(["@user/population/id"])),
    filled(&["client.user.id", "ping_one.audit.actors.client.id"], any_of(["@client/id"])),
    filled(&["client.user.name", "ping_one.audit.actors.client.name"], any_of(["@client/name"])),
    filled(&["ping_one.audit.actors.client.environment.id"], any_of(["@client/environment/id"])),
    filled(&["ping_one.audit.actors.client.type"], any_of(["@client/type"])),
    filled(&["ping_one.audit.actors.client.href"], any_of(["@client/href"])),
    filled(&["user_agent.original"], USER_AGENTS),
    filled(&["ping_one.audit.subscription.name"], any_of(["/subscriptionName"])),
    filled(&["ping_one.risk.level"], any_of(["/_embedded/riskEvaluation/result/level"])),
    filled(
        &["ping_one.risk.recommended_action"],
        any_of(["/_embedded/riskEvaluation/result/recommendedAction"]),
    ),
    filled(
        &["ping_one.davinci.flow.id"],
        any_of(["~/flowId", "~/flowID", "/_embedded/davinciFlow/flowId"]),
    ),
    filled(
        &["ping_one.davinci.flow.name"],
        any_of(["~/flowName", "/_embedded/davinciFlow/flowName"]),
    ),
];

/// Fields of flow runs.
pub(in crate::format) const FLOW_FIELDS: [TextField; 27] = [
    filled(&["event.provider"], any_of(["~/identity"])),
    filled(&["cloud.account.id", "ping_one.davinci.environment.id"], any_of(["~/companyId"])),
    filled(&["transaction.id", "ping_one.davinci.interaction.id"], any_of(["~/interactionId"])),
    filled(&["ping_one.davinci.event_message"], any_of(["~/eventMessage"])),
    filled(&["ping_one.davinci.node.id"], any_of(["~/nodeId", "~/nodeID", "~/id", "~/ID"])),
    filled(&["ping_one.davinci.node.title"], any_of(["~/nodeTitle"])),
    filled(&["ping_one.davinci.node.description"], any_of(["~/nodeDescription"])),
    filled(&["ping_one.davinci.connector.id"], any_of(["~/connectorId"])),
    filled(&["ping_one.davinci.connection.id"], any_of(["~/connectionId"])),
    filled(&["ping_one.davinci.capability.original_name"], any_of(["~/originalCapabilityName"])),
    filled(&["ping_one.davinci.capability.name"], any_of(["~/capabilityName"])),
    filled(&["ping_one.davinci.outcome.type"], any_of(["~/outcomeType"])),
    filled(&["ping_one.davinci.outcome.status"], any_of(["~/outcomeStatus"])),
    filled(&["ping_one.davinci.outcome.status_detail"], any_of(["~/outcomeStatusDetail"])),
    filled(&["ping_one.davinci.outcome.description"], any_of(["~/outcomeDescription"])),
    filled(&["ping_one.davinci.outcome.custom_timestamp"], any_of(["~/customTimestamp"])),
    filled(&["ping_one.davinci.usage_transaction_type"], any_of(["~/usageTransactionType"])),
    filled(&["ping_one.davinci.packet.to"], any_of(["~/packetTo"])),
    filled(&["ping_one.davinci.packet.protocol"], any_of(["~/packetProtocol"])),
    filled(
        &["ping_one.davinci.packet.interaction_id"],
        any_of(["~/tsInteractionId", "~/tsinteractionId"]),
    ),
    filled(&["ping_one.davinci.parent.interaction.id"], any_of(["^/interactionId"])),
    filled(&["ping_one.davinci.parent.environment.id"], any_of(["^/companyId"])),
    filled(&["ping_one.davinci.parent.flow.id"], any_of(["^/flowId", "^/flowID"])),
    filled(&["ping_one.davinci.parent.node.id"], any_of(["^/nodeId", "^/nodeID", "^/id", "^/ID"])),
    filled(&["ping_one.davinci.parent.connector.id"], any_of(["^/connectorId"])),
    filled(&["ping_one.davinci.parent.connection.id"], any_of(["^/connectionId"])),
    filled(&["ping_one.davinci.parent.capability.name"], any_of(["^/capabilityName"])),
];
