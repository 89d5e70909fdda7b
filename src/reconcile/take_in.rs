//! Missing events on their way into the running service, which is the only writer of the spool.

use serde::{Deserialize, Serialize};

use super::ReconcileError;
use crate::pingone::Activity;

/// Maximum number of events, and of their bytes, per request.
const MAX_EVENTS: usize = 200;
const MAX_BYTES: usize = 1024 * 1024;

/// Passes a document with events to the running service and returns its answer, or a message for operators.
pub(crate) type TakeIn<'a> = dyn FnMut(Vec<u8>) -> Result<TakenIn, String> + 'a;

/// Events that the service has stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TakenIn {
    /// New in the spool.
    pub(crate) accepted: u64,
    /// Received meanwhile.
    pub(crate) duplicates: u64,
    /// Put into quarantine.
    pub(crate) quarantined: u64,
}

/// Passes the events on, in batches. Returns their number.
pub(super) fn pass(events: &[&Activity], take_in: &mut TakeIn<'_>) -> Result<u64, ReconcileError> {
    let mut stored = 0;
    for batch in batches(events) {
        let taken = take_in(document(batch)).map_err(ReconcileError::TakeIn)?;
        stored += taken.accepted + taken.duplicates + taken.quarantined;
    }
    Ok(stored)
}

/// Splits events into batches within both bounds. A larger event is a batch of its own.
fn batches<'e, 'a>(events: &'e [&'a Activity]) -> Vec<&'e [&'a Activity]> {
    let (mut batches, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, event) in events.iter().enumerate() {
        let length = event.raw.get().len();
        if index > start && (index - start == MAX_EVENTS || bytes + length > MAX_BYTES) {
            batches.push(&events[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += length;
    }
    if start < events.len() {
        batches.push(&events[start..]);
    }
    batches
}

/// Returns the events in the form of PingOne's API.
fn document(events: &[&Activity]) -> Vec<u8> {
    let events: Vec<&str> = events.iter().map(|event| event.raw.get()).collect();
    format!("{{\"_embedded\":{{\"activities\":[{}]}}}}", events.join(",")).into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn activity(bytes: usize) -> Activity {
        let raw = format!("\"{}\"", "x".repeat(bytes.saturating_sub(2)));
        let raw = RawValue::from_string(raw).expect("JSON");
        Activity { id: String::new(), recorded_at: 0, kind: String::new(), raw }
    }

    #[test]
    fn batches_keep_their_bounds_and_lose_nothing() {
        let half = MAX_BYTES / 2;
        for (sizes, expected) in [
            (vec![10; 0], vec![]),
            (vec![10; MAX_EVENTS], vec![MAX_EVENTS]),
            (vec![10; MAX_EVENTS + 1], vec![MAX_EVENTS, 1]),
            (vec![half, half, half], vec![2, 1]),
            (vec![2 * MAX_BYTES, 10, 2 * MAX_BYTES], vec![1, 1, 1]),
        ] {
            let events: Vec<Activity> = sizes.into_iter().map(activity).collect();
            let events: Vec<&Activity> = events.iter().collect();
            let found: Vec<usize> = batches(&events).iter().map(|batch| batch.len()).collect();
            assert_eq!(found, expected);
            let mut seen = Vec::new();
            let mut take_in = |body: Vec<u8>| {
                let value: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
                let count = value["_embedded"]["activities"].as_array().expect("a list").len();
                seen.push(count);
                Ok(TakenIn { accepted: count as u64, ..TakenIn::default() })
            };
            assert_eq!(pass(&events, &mut take_in).expect("stored"), events.len() as u64);
            assert_eq!(seen, expected);
        }
    }
}
