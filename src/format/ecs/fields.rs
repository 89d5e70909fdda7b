//! Document fields that take a text unchanged, and the event fields that may fill them.
//!
//! If a row has several names, the first is the one that people search for; Elastic's own PingOne
//! dashboards use the others.

use crate::format::classify::USER_AGENTS;
use crate::format::document::TextField;

/// Fields of every event.
pub(in crate::format) const FIELDS: [TextField; 26] = [
    (&["event.id", "ping_one.audit.id"], &["/id"]),
    (&["event.code", "ping_one.audit.action.type"], &["/action/type"]),
    (&["ping_one.audit.action.description"], &["/action/description"]),
    (&["ping_one.audit.correlation.id"], &["/correlationId"]),
    (
        &["ping_one.audit.internal_correlation.transaction_id"],
        &["/internalCorrelation/transactionId"],
    ),
    (&["ping_one.audit.internal_correlation.session_id"], &["/internalCorrelation/sessionId"]),
    (&["ping_one.audit.result.id"], &["/result/id"]),
    (&["ping_one.audit.result.status"], &["/result/status"]),
    (&["event.reason", "ping_one.audit.result.description"], &["/result/description"]),
    (&["user.id", "ping_one.audit.actors.user.id"], &["@user/id"]),
    (&["user.name", "ping_one.audit.actors.user.name"], &["@user/name"]),
    (&["ping_one.audit.actors.user.environment.id"], &["@user/environment/id"]),
    (&["ping_one.audit.actors.user.type"], &["@user/type"]),
    (&["ping_one.audit.actors.user.href"], &["@user/href"]),
    (&["ping_one.audit.actors.user.population.id"], &["@user/population/id"]),
    (&["client.user.id", "ping_one.audit.actors.client.id"], &["@client/id"]),
    (&["client.user.name", "ping_one.audit.actors.client.name"], &["@client/name"]),
    (&["ping_one.audit.actors.client.environment.id"], &["@client/environment/id"]),
    (&["ping_one.audit.actors.client.type"], &["@client/type"]),
    (&["ping_one.audit.actors.client.href"], &["@client/href"]),
    (&["user_agent.original"], &USER_AGENTS),
    (&["ping_one.audit.subscription.name"], &["/subscriptionName"]),
    (&["ping_one.risk.level"], &["/_embedded/riskEvaluation/result/level"]),
    (
        &["ping_one.risk.recommended_action"],
        &["/_embedded/riskEvaluation/result/recommendedAction"],
    ),
    (&["ping_one.davinci.flow.id"], &["~/flowId", "~/flowID", "/_embedded/davinciFlow/flowId"]),
    (&["ping_one.davinci.flow.name"], &["~/flowName", "/_embedded/davinciFlow/flowName"]),
];

/// Fields of flow runs.
pub(in crate::format) const FLOW_FIELDS: [TextField; 27] = [
    (&["event.provider"], &["~/identity"]),
    (&["cloud.account.id", "ping_one.davinci.environment.id"], &["~/companyId"]),
    (&["transaction.id", "ping_one.davinci.interaction.id"], &["~/interactionId"]),
    (&["ping_one.davinci.event_message"], &["~/eventMessage"]),
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
    (&["ping_one.davinci.outcome.custom_timestamp"], &["~/customTimestamp"]),
    (&["ping_one.davinci.usage_transaction_type"], &["~/usageTransactionType"]),
    (&["ping_one.davinci.packet.to"], &["~/packetTo"]),
    (&["ping_one.davinci.packet.protocol"], &["~/packetProtocol"]),
    (&["ping_one.davinci.packet.interaction_id"], &["~/tsInteractionId", "~/tsinteractionId"]),
    (&["ping_one.davinci.parent.interaction.id"], &["^/interactionId"]),
    (&["ping_one.davinci.parent.environment.id"], &["^/companyId"]),
    (&["ping_one.davinci.parent.flow.id"], &["^/flowId", "^/flowID"]),
    (&["ping_one.davinci.parent.node.id"], &["^/nodeId", "^/nodeID", "^/id", "^/ID"]),
    (&["ping_one.davinci.parent.connector.id"], &["^/connectorId"]),
    (&["ping_one.davinci.parent.connection.id"], &["^/connectionId"]),
    (&["ping_one.davinci.parent.capability.name"], &["^/capabilityName"]),
];
