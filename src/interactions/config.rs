//! `[interactions]`: summaries of flow runs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::settings::Section;

const MIB: u64 = 1024 * 1024;

/// Shortest age at which an interaction is summarised although it goes on.
const MIN_MAX_AGE: Duration = Duration::from_secs(1);

/// Summaries of flow runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InteractionsConfig {
    /// True if summaries are made.
    pub enabled: bool,
    /// Silence after which an interaction without an outcome is summarised.
    pub timeout: Duration,
    /// Silence after which an interaction with an outcome is summarised.
    pub settle: Duration,
    /// Age at which an interaction is summarised although it goes on.
    pub max_age: Duration,
    /// Upper bound of the memory for open interactions, in bytes.
    pub memory: u64,
    /// Timeouts of the sources that have their own.
    pub timeouts: BTreeMap<String, Duration>,
}

impl InteractionsConfig {
    /// Reads `[interactions]`. The timeouts of sources stand in `[sources.NAME]`.
    pub(crate) fn read(root: &mut Section<'_>) -> Option<InteractionsConfig> {
        let doc = "Summaries: one event of type DAVINCI_SIEM.INTERACTION per flow run.";
        root.table("interactions", doc, |section| {
            let doc = "True: summaries are made and delivered to sinks like events.";
            let enabled = section.boolean("enabled", doc).or("false");
            let doc = "Silence after which a flow run without an outcome is summarised.";
            let timeout = section.timeout("timeout", doc).or("30m");
            let doc = "Silence after which a flow run that has reported an outcome is summarised.";
            let settle = section.timeout("settle", doc).or("1m");
            let doc = "Age at which a flow run is summarised although it goes on; the spool keeps its events until \
                       then.";
            let max_age = section.duration_from("max_age", MIN_MAX_AGE, doc).or("6h");
            let doc = "Memory for flow runs without a summary; above it, the oldest one is summarised.";
            let memory = section.size("memory", MIB..=u64::MAX, doc).or("64 MiB");
            Some(InteractionsConfig {
                enabled: enabled?,
                timeout: timeout?,
                settle: settle?,
                max_age: max_age?,
                memory: memory?,
                timeouts: BTreeMap::new(),
            })
        })
    }
}
