//! `[reconcile]`: comparisons with PingOne by the running service.

use std::time::Duration;

use crate::settings::Section;

/// Schedule of comparisons.
#[derive(Debug, Clone)]
pub struct ReconcileConfig {
    /// Time between the starts of two comparisons.
    pub every: Duration,
    /// Length of the compared time range. It ends `pingone.settle` before the start of the comparison.
    pub window: Duration,
    /// True if missing audit events are taken in.
    pub takes_in: bool,
}

impl ReconcileConfig {
    /// Reads `[reconcile]`; `Some(None)` without it.
    pub(crate) fn read(root: &mut Section<'_>) -> Option<Option<ReconcileConfig>> {
        let doc = "Comparisons with PingOne's own records, on a schedule. Needs [pingone].";
        root.optional_table("reconcile", doc, |section| {
            let doc = "Time between the starts of two comparisons. Raised to 1 min.";
            let every = section.duration_from("every", Duration::from_mins(1), doc).or("6h");
            let doc = "Length of the compared time range, which ends pingone.settle ago.";
            let window = section.duration_from("window", Duration::from_mins(1), doc).or("24h");
            let doc = "True: missing audit events are taken in and delivered.";
            let takes_in = section.boolean("fetch", doc).or("false");
            Some(ReconcileConfig { every: every?, window: window?, takes_in: takes_in? })
        })
    }
}
