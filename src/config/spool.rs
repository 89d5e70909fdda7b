//! `[spool]`: where events are kept until every sink has them, and how ids are remembered.

use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use crate::spool::Settings;

const GIB: u64 = 1024 * 1024 * 1024;
const DAY: Duration = Duration::from_hours(24);

pub(super) fn read(mut section: Section<'_>) -> Settings {
    section.choice("engine", &[("embedded", ())]);
    let mut dedup = section.table("dedup");
    let settings = Settings {
        directory: section.text("directory").map_or_else(|| PathBuf::from("data"), PathBuf::from),
        max_size: section.size("max_size", 1024 * 1024).unwrap_or(10 * GIB),
        retention: section.duration("retention").unwrap_or(Duration::ZERO),
        dedup_window: dedup.duration("window").unwrap_or(14 * DAY),
        dedup_max_ids: dedup.integer("max_ids", 1000).unwrap_or(10_000_000),
        sync: true,
    };
    dedup.finish();
    section.finish();
    settings
}
