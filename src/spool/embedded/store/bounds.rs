//! Shares of `max_size`: the most that ids, quarantine and write-ahead log take. The rest is for events.
//!
//! The shares add up: a spool without an event in it has room for a body, whatever else it holds.

use super::schema::PAGE_SIZE;
use crate::spool::Settings;

const MIB: u64 = 1024 * 1024;

/// Bytes of one id on disk, at most: 16 of its own, the rest for a row that holds no other.
const ID_BYTES: u64 = 40;

/// Bytes on disk per counted byte of the quarantine, at most. Entries of a third of a page or more leave
/// pages of which a third is in use, once others on the same pages were removed.
const QUARANTINE_FACTOR: u64 = 3;

/// The small tables, and the inner pages of the large ones.
const TABLES: u64 = 16 * PAGE_SIZE;

/// The write-ahead log takes this part of `max_size`, and no more than [`MAX_LOG_BYTES`].
const LOG_PART: u64 = 16;
const MAX_LOG_BYTES: u64 = 64 * MIB;

/// Percent of `max_size` at which appends are refused, and at which they are taken again. What is above the
/// high mark is for cursors, dead letters and the removal of what was delivered.
const FULL_PERCENT: u64 = 95;
const RESUME_PERCENT: u64 = 70;

/// Bytes of `max_size` that are not for events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// For the ids of the dedup window.
    pub ids: u64,
    /// For the quarantine.
    pub quarantine: u64,
    /// For the write-ahead log.
    pub log: u64,
}

impl Shares {
    /// The shares that follow from the settings.
    pub fn of(settings: &Settings) -> Shares {
        Shares {
            ids: settings.dedup_max_ids.saturating_mul(ID_BYTES),
            quarantine: settings.quarantine_max_size.saturating_mul(QUARANTINE_FACTOR),
            log: log(settings.max_size),
        }
    }

    /// The least `max_size` with room for events of `events` bytes beside the shares.
    pub fn least_max_size(&self, events: u64) -> u64 {
        let sum = [self.ids, self.quarantine, TABLES, events];
        let sum = sum.into_iter().fold(0, u64::saturating_add);
        // The log's share depends on what is looked for: a part of it, or a fixed number if that is less.
        let with_part = (u128::from(sum) * 100 * u128::from(LOG_PART))
            .div_ceil(u128::from(FULL_PERCENT * LOG_PART - 100));
        let with_most = (u128::from(sum.saturating_add(MAX_LOG_BYTES)) * 100)
            .div_ceil(u128::from(FULL_PERCENT));
        // Percents are taken of whole hundreds.
        u64::try_from(with_part.min(with_most)).unwrap_or(u64::MAX).saturating_add(100)
    }
}

/// Bytes that the write-ahead log takes, unless a reader keeps it from being written back.
pub(crate) fn log(max_size: u64) -> u64 {
    (max_size / LOG_PART).min(MAX_LOG_BYTES)
}

/// Bytes in use at which appends are refused.
pub(crate) fn full_threshold(max_size: u64) -> u64 {
    max_size / 100 * FULL_PERCENT
}

/// Bytes in use up to which they are taken again.
pub(crate) fn resume_threshold(max_size: u64) -> u64 {
    max_size / 100 * RESUME_PERCENT
}

/// Pages of the database file, at most.
pub(crate) fn pages(max_size: u64) -> u64 {
    ((max_size - log(max_size)) / PAGE_SIZE).max(1)
}

/// Bytes of the spool's files, as of one commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DiskUsage {
    /// Pages of the database in use.
    pub(crate) pages: u64,
    /// The database with its free pages.
    pub(crate) file: u64,
    /// The write-ahead log.
    pub(crate) log: u64,
}

impl DiskUsage {
    /// Bytes that count against the marks of `max_size`: the log with its whole share, or what it takes
    /// beyond.
    pub(crate) fn counted(self, max_size: u64) -> u64 {
        self.pages + self.log.max(log(max_size))
    }

    /// Tells that the log is larger than its share: it could not be written back.
    pub(crate) fn is_log_over(self, max_size: u64) -> bool {
        self.log > log(max_size)
    }

    /// Bytes that the files take on disk after a commit of `added` bytes.
    pub(crate) fn on_disk_with(self, added: u64) -> u64 {
        self.file.max(self.pages + added) + self.log + added
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The least size has the room that is asked for, and a little less has not.
        #[test]
        fn the_least_size_is_just_enough(
            ids in 0..1u64 << 34, quarantine in 0..1u64 << 32, events in 1..1u64 << 28,
        ) {
            let shares = |max_size| Shares { ids, quarantine, log: log(max_size) };
            let fits = |max_size: u64| {
                let shares = shares(max_size);
                shares.ids + shares.quarantine + TABLES + events + shares.log <= full_threshold(max_size)
            };
            let least = shares(0).least_max_size(events);
            prop_assert!(fits(least));
            prop_assert!(!fits(least - 300));
        }
    }
}
