//! `[spool]`: where events are kept until every sink has them, and how ids are remembered.

use std::path::PathBuf;
use std::time::Duration;

use super::limits::Limits;
use super::section::Section;
use crate::spool::Settings;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;
const DAY: Duration = Duration::from_hours(24);

/// What the quarantine may take of `max_size`. Entries of half a page take a whole one, so that in the
/// worst case it is twice as much, and the events still have the other half.
const QUARANTINE_SHARE: u64 = 4;

/// Room for what is noted of as many refused events as one body may have.
const NOTES: u64 = MIB;

pub(super) fn read(mut section: Section<'_>) -> Settings {
    section.choice("engine", &[("embedded", ())]);
    let mut dedup = section.table("dedup");
    let max_size = section.size("max_size", MIB).unwrap_or(10 * GIB);
    let quarantine = section.size("quarantine_max_size", MIB);
    let settings = Settings {
        directory: section.text("directory").map_or_else(|| PathBuf::from("data"), PathBuf::from),
        max_size,
        quarantine_max_size: quarantine.unwrap_or(GIB.min(max_size / QUARANTINE_SHARE)),
        retention: section.duration("retention").unwrap_or(Duration::ZERO),
        dedup_window: dedup.duration("window").unwrap_or(14 * DAY),
        dedup_max_ids: dedup.integer("max_ids", 1000).unwrap_or(10_000_000),
        sync: true,
    };
    dedup.finish();
    section.finish();
    settings
}

/// Whether everything that one request may bring finds room.
pub(super) fn check(spool: &Settings, limits: &Limits, root: &Section<'_>) {
    let body = limits.body.saturating_add(NOTES);
    let floor = body.saturating_mul(QUARANTINE_SHARE).max(spool.dedup_max_ids.saturating_mul(40));
    let share = spool.max_size / QUARANTINE_SHARE;
    if spool.max_size < floor {
        let message = format!(
            "must be at least {floor} bytes: four times limits.body and 4 MiB, and room for the ids of \
             spool.dedup.max_ids. Raise it, or lower those"
        );
        root.report("spool.max_size", message);
    } else if spool.quarantine_max_size < body {
        let message = format!(
            "must be at least {body} bytes, limits.body and 1 MiB, so that one body finds room. Raise it, \
             or lower limits.body"
        );
        root.report("spool.quarantine_max_size", message);
    } else if spool.quarantine_max_size > share {
        let message = format!(
            "must be at most {share} bytes, a quarter of spool.max_size, so that the rest is for events. \
             Lower it, or raise spool.max_size"
        );
        root.report("spool.quarantine_max_size", message);
    }
}
