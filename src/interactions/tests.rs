//! Summaries against a plain model: any interleaving, losses, duplicates, replays and restarts.

mod bounds;
mod model;
mod world;

use proptest::prelude::*;
use serde_json::json;

use model::{HistoryStep, action, expected};
use world::World;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// The log contains exactly the summaries of the model, wherever the process was killed.
    #[test]
    fn summaries_equal_the_model(actions in prop::collection::vec(action(), 1..120)) {
        let mut world = World::new(64 * 1024 * 1024);
        actions.iter().for_each(|action| world.apply(action));
        world.settle();
        prop_assert_eq!(world.summaries(), expected(world.log()));
        world.check_sums();
    }

    /// With too little memory, each event is still in exactly one summary.
    #[test]
    fn each_event_is_in_one_summary_however_little_memory_there_is(
        actions in prop::collection::vec(action(), 1..120), memory in 0..20_000_u64,
    ) {
        let mut world = World::new(memory);
        actions.iter().for_each(|action| world.apply(action));
        world.settle();
        world.check_coverage();
        world.check_sums();
    }
}

/// A stored summary hides its events from the next process, and only these.
#[test]
fn a_late_event_begins_a_new_summary_after_a_restart_too() {
    let mut world = World::new(64 * 1024 * 1024);
    let event = |run, source, kind| HistoryStep::Event {
        run,
        source,
        kind,
        time: 0,
        node: 1,
        outcome: Some(0),
        parent: None,
        gap: 1,
    };
    // This run of the other source stays open, and keeps the cursor below all other events.
    world.apply(&event(1, 1, 0));
    world.apply(&event(0, 0, 0));
    world.apply(&event(0, 0, 1));
    world.apply(&HistoryStep::Wait(model::SETTLE));
    assert_eq!(world.summaries().len(), 1, "the run has reported its outcome and is silent");
    world.apply(&HistoryStep::Restart { appends: true, commits: true });
    world.apply(&event(0, 0, 2));
    world.settle();
    let events: Vec<_> =
        world.summaries().iter().map(|summary| summary["events"].clone()).collect();
    assert_eq!(events, [1, 2, 1]);
}

/// A few events with a wrong clock decide neither the start of a run nor its duration. Times of receipt end it.
#[test]
fn wrong_clocks_do_not_change_start_and_duration() {
    let mut world = World::new(64 * 1024 * 1024);
    for (kind, at) in [
        ("RECEIVE_REQUEST", "1970-01-01T00:00:00Z"),
        ("START_INTERACTION", "2026-11-30T10:00:00Z"),
        ("SEND_RESPONSE", "2026-11-30T10:00:02Z"),
        ("RECEIVE_REQUEST", "2099-01-01T00:00:00Z"),
        ("CUSTOM_ANALYTICS", "2026-11-30T10:00:04Z"),
    ] {
        world.receive(&json!({
            "id": at,
            "recordedAt": at,
            "action": { "type": format!("DAVINCI_INTERACTION.{kind}") },
            "_embedded": { "flowInteractionEvent": { "interactionId": "run", "nodeId": "n" } },
        }));
    }
    world.settle();
    assert_eq!(world.summaries().len(), 1, "one run");
    let made = world.stored_summary(&json!("run"));
    let flow = &made["_embedded"]["flowInteractionEvent"];
    let summary = &flow["summary"];
    assert_eq!(summary["startedAt"], "2026-11-30T10:00:00Z", "{made:#}");
    assert_eq!(
        (&summary["durationMs"], &flow["tsEms"]),
        (&json!(4000), &json!("2026-11-30T10:00:04Z"))
    );
    assert_eq!(summary["path"][0]["durationMs"], json!(null), "no step takes 56 years: {made:#}");
}

/// The fixture, which the documentation shows, is what the summariser makes of these events.
#[test]
fn the_example_is_a_real_summary() {
    let mut world = World::new(64 * 1024 * 1024);
    let run = json!({
        "interactionId": "00467d91-1bb0-4ff7-ac70-307f49c3dcd2",
        "companyId": "b5bbc401-7a1f-4738-b589-b3ea05bc46e4",
        "flowId": "8f43a71f85b5250109e7cf4b705b1446",
    });
    let http = json!({
        "flowVersionId": 21,
        "nodeId": "nzeo7no4po",
        "connectorId": "httpConnector",
        "originalCapabilityName": "makeRestApiCall",
    });
    let outcome = json!({
        "flowVersionId": 21,
        "flowName": "Customer sign-on",
        "nodeId": "ezmu5wo88g",
        "connectorId": "analyticsConnector",
        "originalCapabilityName": "logOutcome",
        "outcomeType": "login",
        "outcomeStatus": "success",
    });
    let subflow = json!({
        "interactionId": "2b1c7a4e-0000-4d1c-8a52-5d9f0a7b6c11",
        "flowId": "77aa0c9b52d14f0f9c1e6a8d0b3f2e45",
        "parentFlow": { "interactionId": run["interactionId"], "flowId": run["flowId"] },
    });
    for (kind, second, facts) in [
        ("START_INTERACTION", "00.000", json!({})),
        ("RECEIVE_REQUEST", "00.200", http.clone()),
        ("SEND_ERROR_RESPONSE", "00.950", http.clone()),
        ("START_INTERACTION", "01.000", subflow),
        ("RECEIVE_REQUEST", "03.000", http.clone()),
        ("SEND_RESPONSE", "03.400", http),
        ("CUSTOM_ANALYTICS", "04.200", outcome),
    ] {
        let mut flow = run.clone();
        flow["tsEms"] = json!(format!("2026-11-30T10:00:{second}Z"));
        let fields = flow.as_object_mut().expect("an object");
        fields.extend(facts.as_object().expect("an object").clone());
        let user = json!({ "id": "a7c0f0c1-0d36-4f2c-8d2c-6f4d0f7f1f52", "name": "jdoe" });
        world.receive(&json!({
            "id": second,
            "recordedAt": "2026-11-30T10:00:00Z",
            "action": { "type": format!("DAVINCI_INTERACTION.{kind}") },
            "actors": { "user": user },
            "_embedded": { "flowInteractionEvent": flow },
        }));
    }
    world.settle();
    let made = world.stored_summary(&run["interactionId"]);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("fixtures/events/interaction_summary.json");
    let text = serde_json::to_string_pretty(&made).expect("JSON") + "\n";
    if std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always") {
        std::fs::write(&file, &text).expect("the file is written");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), text);
    let page = std::fs::read_to_string(root.join("docs/interactions.md")).expect("the page");
    assert!(page.contains(&text), "docs/interactions.md shows another event");
}
