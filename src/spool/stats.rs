//! The dispositions an event leaves by, their durable totals, and what the spool holds.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Millis;

/// The dispositions that the spool counts in the same commit as the event's fate, so that the sums are
/// right after any crash. What is *refused* was never acknowledged and so is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Received and spooled.
    Accepted,
    /// Received before, within the window.
    Duplicate,
    /// Received and put into quarantine.
    Quarantined,
    /// Spooled out of quarantine by a retry.
    Released,
    /// Removed from quarantine by an operator.
    Purged,
    /// Spooled once more for one sink by a replay.
    Replayed,
    /// Delivered by a sink.
    Delivered,
    /// Passed over by a sink's filter.
    Filtered,
    /// Refused for good by a sink's target.
    DeadLettered,
    /// Passed over by a sink, because it is a copy for another one: a replay, or a retried dead letter.
    NotAddressed,
    /// Removed while the sink was not configured, and before it had passed it.
    Retired,
    /// Spooled before the sink was first configured, and not to be delivered by it.
    BeforeStart,
}

impl Disposition {
    /// Every disposition, those of receiving first.
    pub const ALL: [Disposition; 12] = [
        Disposition::Accepted,
        Disposition::Duplicate,
        Disposition::Quarantined,
        Disposition::Released,
        Disposition::Purged,
        Disposition::Replayed,
        Disposition::Delivered,
        Disposition::Filtered,
        Disposition::DeadLettered,
        Disposition::NotAddressed,
        Disposition::Retired,
        Disposition::BeforeStart,
    ];

    /// Those of a sink. Their totals sum up to its cursor.
    pub const OF_SINKS: [Disposition; 6] = [
        Disposition::Delivered,
        Disposition::Filtered,
        Disposition::DeadLettered,
        Disposition::NotAddressed,
        Disposition::Retired,
        Disposition::BeforeStart,
    ];

    /// The name used in storage, metrics and listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Disposition::Accepted => "accepted",
            Disposition::Duplicate => "duplicate",
            Disposition::Quarantined => "quarantined",
            Disposition::Released => "released",
            Disposition::Purged => "purged",
            Disposition::Replayed => "replayed",
            Disposition::Delivered => "delivered",
            Disposition::Filtered => "filtered",
            Disposition::DeadLettered => "dead_lettered",
            Disposition::NotAddressed => "not_addressed",
            Disposition::Retired => "retired",
            Disposition::BeforeStart => "before_start",
        }
    }
}

/// How many events a cursor's move sends through each of a sink's dispositions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Through [`Disposition::Delivered`].
    pub delivered: u64,
    /// Through [`Disposition::Filtered`].
    pub filtered: u64,
    /// Through [`Disposition::DeadLettered`].
    pub dead_lettered: u64,
    /// Through [`Disposition::NotAddressed`].
    pub not_addressed: u64,
}

impl Tally {
    /// Each of its dispositions with its count.
    pub fn counts(self) -> [(Disposition, u64); 4] {
        [
            (Disposition::Delivered, self.delivered),
            (Disposition::Filtered, self.filtered),
            (Disposition::DeadLettered, self.dead_lettered),
            (Disposition::NotAddressed, self.not_addressed),
        ]
    }
}

/// What the spool holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SpoolStats {
    /// Position of the last event ever accepted.
    pub head: u64,
    /// Events stored now.
    pub events: u64,
    /// When the oldest stored event was received.
    pub oldest_at: Option<Millis>,
    /// Bytes in use: pages of the database, and what its log takes beyond its share.
    pub size: u64,
    /// Bytes the files may take.
    pub max_size: u64,
    /// Whether appends are refused until sinks catch up.
    pub full: bool,
    /// Events that were acknowledged and are known to be gone.
    pub lost: Vec<Loss>,
    /// Ids remembered.
    pub dedup_ids: u64,
    /// Entries in quarantine.
    pub quarantined: u64,
    /// Bytes that they count.
    pub quarantine_size: u64,
    /// Bytes that they may count.
    pub quarantine_max_size: u64,
    /// Whether something was refused for want of room there, and would be again.
    pub quarantine_full: bool,
    /// Sinks that ever had a cursor.
    pub sinks: Vec<SinkStats>,
    /// Totals by scope name and disposition, since the spool was made.
    pub totals: Vec<(String, Disposition, u64)>,
}

impl SpoolStats {
    /// The totals by name: of each source and sink, how many events had each disposition.
    pub fn dispositions(&self) -> BTreeMap<&str, BTreeMap<&'static str, u64>> {
        let mut by_name: BTreeMap<&str, BTreeMap<&'static str, u64>> = BTreeMap::new();
        for (name, disposition, count) in &self.totals {
            *by_name.entry(name).or_default().entry(disposition.as_str()).or_default() += count;
        }
        by_name
    }
}

/// [`SpoolStats`] as listings show it.
#[derive(Debug, Serialize)]
pub struct StatsListing<'a> {
    #[serde(flatten)]
    stats: &'a SpoolStats,
    dispositions: BTreeMap<&'a str, BTreeMap<&'static str, u64>>,
}

impl<'a> From<&'a SpoolStats> for StatsListing<'a> {
    fn from(stats: &'a SpoolStats) -> StatsListing<'a> {
        StatsListing { stats, dispositions: stats.dispositions() }
    }
}

/// Positions that were stored once and are not there any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// How it is known.
    pub detail: String,
}

impl Loss {
    /// How many events these are.
    pub fn events(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// One sink's place in the spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SinkStats {
    /// Its configured name.
    pub sink: String,
    /// Last position it has settled.
    pub cursor: u64,
    /// Events it has still to settle.
    pub lag: u64,
}
