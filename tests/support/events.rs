//! Events for tests: the fixtures, and minted ones with known ids.

use std::path::{Path, PathBuf};

use rand::RngExt;
use serde_json::Value;

/// Returns the path of a fixture.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Returns the text of a fixture.
pub fn fixture_text(name: &str) -> String {
    std::fs::read_to_string(fixture(name)).expect("a fixture")
}

/// Returns the five documented events as one array.
pub fn documented() -> String {
    fixture_text("documented_batch.json")
}

/// Returns one documented event with another id, compact.
pub fn minted(id: &str) -> String {
    minted_with(id, "")
}

/// Does the same as [`minted`], with another description.
pub fn minted_with(id: &str, description: &str) -> String {
    let mut event: Value =
        serde_json::from_str(&fixture_text("events/custom_analytics.json")).expect("JSON");
    event["id"] = id.into();
    event["result"]["description"] = description.into();
    event.to_string()
}

/// Returns an array with one event of about 100 kB that cannot be compressed.
pub fn large(id: &str) -> String {
    large_of(id, 100_000)
}

/// Returns an array with one event of about this size that cannot be compressed much.
pub fn large_of(id: &str, size: usize) -> String {
    let mut random = rand::rng();
    let noise: String = (0..size).map(|_| char::from(random.random_range(b'!'..=b'['))).collect();
    format!("[{}]", minted_with(id, &noise))
}

/// Returns an array of minted events.
pub fn batch(ids: impl IntoIterator<Item = String>) -> String {
    let events: Vec<String> = ids.into_iter().map(|id| minted(&id)).collect();
    format!("[{}]", events.join(","))
}

/// Returns numbered ids.
pub fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("event-{number:04}")).collect()
}

/// Returns the id of an event.
pub fn id(event: &str) -> String {
    let event: Value = serde_json::from_str(event).expect("a line is JSON");
    event["id"].as_str().expect("an id").to_owned()
}

/// Returns true if two JSON texts have equal values.
pub fn equal(one: &str, two: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    value(one) == value(two)
}
