//! Generator of realistic events: flow runs with their connectors, successful or failing.

use std::collections::VecDeque;

use chrono::{SecondsFormat, Utc};
use rand::RngExt;
use rand::rngs::ThreadRng;
use serde_json::{Value, json};
use uuid::Uuid;

/// Flows, each with the percentage of runs that end in an error.
const FLOWS: [(&str, &str, u32); 4] = [
    ("79f303c7f2cfae6c5ce221dc013c80c5", "PingOne Sign On", 4),
    ("8f43a71f85b5250109e7cf4b705b1446", "Password Recovery", 12),
    ("1b2a4c6e8f0d2b4a6c8e0f1a3b5c7d9e", "MFA Enrollment", 7),
    ("d4c3b2a1908f7e6d5c4b3a2918f7e6d5", "Account Registration", 2),
];

/// Connectors of a run: id, capability, node, connection.
const STEPS: [(&str, &str, &str, &str); 4] = [
    ("httpConnector", "customHtmlMessage", "nzeo7no4po", "867ed4363b2bc21c860085ad2baa817d"),
    ("pingOneSSOConnector", "checkPassword", "y1k2d9s0qa", "94141bf2f1b9b59a5f5365ff135e02bb"),
    (
        "pingOneMfaConnector",
        "createDeviceAuthentication",
        "p0w4r7t2zb",
        "b72bd44e6be8180bd5988ac74cd9c949",
    ),
    ("httpConnector", "makeRestApiCall", "yg52xyeh81", "867ed4363b2bc21c860085ad2baa817d"),
];

const COMPANY: &str = "b5bbc401-7a1f-4738-b589-b3ea05bc46e4";

/// Infinite generator of events.
#[derive(Debug, Default)]
pub(super) struct Generator {
    waiting: VecDeque<Value>,
}

impl Generator {
    /// Returns the next event as compact JSON.
    pub(super) fn next_event(&mut self) -> Vec<u8> {
        if self.waiting.is_empty() {
            self.waiting = run(&mut rand::rng());
        }
        let event = self.waiting.pop_front().unwrap_or_default();
        event.to_string().into_bytes()
    }
}

/// Returns the events of one flow run, in order.
fn run(random: &mut ThreadRng) -> VecDeque<Value> {
    let (flow_id, name, error_share) = FLOWS[random.random_range(0..FLOWS.len())];
    let interaction = Uuid::new_v4().to_string();
    let event = |kind: &str, members: Value| event(flow_id, &interaction, kind, members);
    let mut events = VecDeque::new();
    events.push_back(event(
        "START_INTERACTION",
        json!({"capabilityName": "add", "flowVersionId": -1, "identity": "api"}),
    ));
    let steps = random.random_range(1..=STEPS.len());
    let fails = random.random_range(0..100) < error_share;
    for (index, (connector, capability, node, connection)) in STEPS.iter().take(steps).enumerate() {
        let members = json!({
            "packetTo": connector, "capabilityName": "add", "connectorId": connector,
            "originalCapabilityName": capability, "identity": connector,
            "packetProtocol": "action", "connectionId": connection, "id": node, "flowVersionId": 21,
        });
        events.push_back(event("RECEIVE_REQUEST", members.clone()));
        if fails && index + 1 == steps {
            events.push_back(event("SEND_ERROR_RESPONSE", members));
        } else {
            let mut members = members;
            members["success"] = Value::Bool(true);
            events.push_back(event("SEND_RESPONSE", members));
        }
    }
    let status = if fails { "error" } else { "success" };
    events.push_back(event("CUSTOM_ANALYTICS", json!({
        "flowVersionId": 21, "connectorId": "analyticsConnector", "originalCapabilityName": "logOutcome",
        "flowName": name, "outcomeType": "login", "usageTransactionType": "COUNTED",
        "identity": "analyticsConnector", "success": true, "outcomeStatus": status,
        "packetProtocol": "action", "connectionId": "b50fb6e57556c2b3535d152758902e90", "nodeId": "ezmu5wo88g",
    })));
    events
}

fn event(flow_id: &str, interaction: &str, kind: &str, mut members: Value) -> Value {
    let now = Utc::now();
    let recorded_at = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    let millis = now.timestamp_millis();
    let words: Vec<String> = kind.split('_').map(capitalised).collect();
    let shared = json!({
        "eventMessage": words.join(" "), "companyId": COMPANY, "interactionId": interaction,
        "tsInteractionId": format!("{millis} + {interaction}"), "tsEms": recorded_at,
        "flowId": flow_id, "packetTimestamp": millis,
    });
    if let (Value::Object(members), Value::Object(shared)) = (&mut members, shared) {
        members.extend(shared);
    }
    json!({
        "id": Uuid::new_v4().to_string(),
        "recordedAt": recorded_at,
        "action": {"type": format!("DAVINCI_INTERACTION.{kind}")},
        "resources": [{
            "id": Uuid::parse_str(flow_id).map(|id| id.to_string()).unwrap_or_default(),
            "type": "DAVINCI_INTERACTION", "name": flow_id, "environment": {"id": COMPANY},
        }],
        "result": {"status": "SUCCESS"},
        "_embedded": {"flowInteractionEvent": members},
    })
}

fn capitalised(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    format!("{first}{}", rest.to_lowercase())
}
