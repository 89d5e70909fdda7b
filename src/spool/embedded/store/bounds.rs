//! Shares of `max_size`: the maximum for ids, quarantine and write-ahead log. The rest is for events.
//!
//! The shares add up: a spool without events has room for a body, whatever else it holds.

use super::schema::PAGE_SIZE;
use crate::spool::SpoolConfig;

const MIB: u64 = 1024 * 1024;

/// Maximum size of an id on disk in bytes: 16 for the key, the rest for a row that holds a single key.
const ID_BYTES: u64 = 40;

/// Maximum bytes on disk per counted byte of the quarantine. Removed entries can leave pages that are one third
/// full.
const QUARANTINE_FACTOR: u64 = 3;

/// Size of the small tables and the inner pages of the large ones.
const TABLES: u64 = 16 * PAGE_SIZE;

/// Share of the write-ahead log: this part of `max_size`, at most [`MAX_LOG_BYTES`].
const LOG_PART: u64 = 16;
const MAX_LOG_BYTES: u64 = 64 * MIB;

/// Percent of `max_size` above which appends are refused, and below which they are accepted again. The rest is
/// for cursors, dead letters and trimming.
const FULL_PERCENT: u64 = 95;
const RESUME_PERCENT: u64 = 70;

/// Bytes of `max_size` that are reserved, not for events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Ids of the dedup window.
    pub ids: u64,
    /// Quarantine.
    pub quarantine: u64,
    /// Write-ahead log.
    pub log: u64,
}

impl Shares {
    /// Computes the shares from the settings.
    pub fn of(settings: &SpoolConfig) -> Shares {
        Shares {
            ids: settings.dedup_max_ids.saturating_mul(ID_BYTES),
            quarantine: settings.quarantine_max_size.saturating_mul(QUARANTINE_FACTOR),
            log: log(settings.max_size),
        }
    }

    /// Returns the smallest `max_size` with room for `events` bytes of events beside the shares.
    pub fn least_max_size(&self, events: u64) -> u64 {
        let sum = [self.ids, self.quarantine, TABLES, events];
        let sum = sum.into_iter().fold(0, u64::saturating_add);
        // The log's share depends on the result: a part of it, or the fixed maximum if that is less.
        let with_part = (u128::from(sum) * 100 * u128::from(LOG_PART))
            .div_ceil(u128::from(FULL_PERCENT * LOG_PART - 100));
        let with_most = (u128::from(sum.saturating_add(MAX_LOG_BYTES)) * 100)
            .div_ceil(u128::from(FULL_PERCENT));
        // The threshold is rounded down to whole hundreds, and the log's part grows with the result.
        u64::try_from(with_part.min(with_most)).unwrap_or(u64::MAX).saturating_add(200)
    }
}

/// Returns the log's share in bytes; a reader can keep the log above it.
pub(crate) fn log(max_size: u64) -> u64 {
    (max_size / LOG_PART).min(MAX_LOG_BYTES)
}

/// Returns the bytes in use above which appends are refused.
pub(crate) fn full_threshold(max_size: u64) -> u64 {
    max_size / 100 * FULL_PERCENT
}

/// Returns the bytes in use below which appends are accepted again.
pub(crate) fn resume_threshold(max_size: u64) -> u64 {
    max_size / 100 * RESUME_PERCENT
}

/// Returns the maximum number of pages of the database file.
pub(crate) fn pages(max_size: u64) -> u64 {
    ((max_size - log(max_size)) / PAGE_SIZE).max(1)
}

/// Size of the spool's files after a commit, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DiskUsage {
    /// Pages of the database in use.
    pub(crate) pages: u64,
    /// Database file, free pages included.
    pub(crate) file: u64,
    /// Write-ahead log.
    pub(crate) log: u64,
}

impl DiskUsage {
    /// Returns the bytes compared with the thresholds of `max_size`: pages, and the log or its share if that is
    /// larger.
    pub(crate) fn counted(self, max_size: u64) -> u64 {
        self.pages + self.log.max(log(max_size))
    }

    /// Returns true if the log exceeds its share: it could not be written back.
    pub(crate) fn is_log_over(self, max_size: u64) -> bool {
        self.log > log(max_size)
    }

    /// Returns the size of the files after a commit of `added` bytes.
    pub(crate) fn on_disk_with(self, added: u64) -> u64 {
        self.file.max(self.pages + added) + self.log + added
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The smallest size has the requested room, and a slightly smaller one has not.
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
