//! Admission: accepts or refuses appends under `max_size`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::command::WriterCommand;
use super::writer::{COMMIT_OVERHEAD, MustEnd, Writer};
use crate::spool::embedded::store::bounds::{self, DiskUsage};
use crate::spool::embedded::store::schema::{self, PAGE_SIZE};

/// Wait for this process's own reads, which are short, before a reader is taken to block the log.
const OWN_READS_TIMEOUT: Duration = Duration::from_millis(250);

impl Writer {
    /// Returns true if events are stored. Without any, trimming cannot make room: ids and quarantine keep theirs.
    pub(crate) fn has_events(&self) -> bool {
        self.log.trimmed + 1 < self.log.next
    }

    /// Returns true if `added` bytes would exceed the full threshold.
    pub(crate) fn is_above_full_threshold(&self, added: u64) -> bool {
        let max_size = self.settings.max_size;
        self.usage.counted(max_size) + added > bounds::full_threshold(max_size)
    }

    /// Measures the files.
    pub(crate) fn measure(&mut self) {
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get(0));
        if let (Ok(pages), Ok(free)) = (pragma("page_count"), pragma("freelist_count")) {
            let (pages, free): (u64, u64) = (pages, free);
            self.usage.pages = pages.saturating_sub(free) * PAGE_SIZE;
            self.usage.file = pages * PAGE_SIZE;
        }
        // A missing log is empty.
        let log = std::fs::metadata(schema::log(&self.directory));
        self.usage.log = log.map_or(0, |log| log.len());
        let DiskUsage { pages, log, .. } = self.usage;
        self.shared.used.store(pages, Ordering::Relaxed);
        let beyond = log.saturating_sub(bounds::log(self.settings.max_size));
        self.shared.log_beyond_share.store(beyond, Ordering::Relaxed);
    }

    /// Keeps room on disk for a commit of `added` bytes beside the write-ahead log. A log without that room is
    /// written back first; only a reader or an error that prevents this makes appends be refused. Logs each
    /// change of that state once.
    pub(crate) fn relieve_log(&mut self, added: u64) -> Result<(), MustEnd> {
        let max_size = self.settings.max_size;
        let was_stuck = self.shared.stuck_log().is_some();
        let is_too_large = |usage: DiskUsage| {
            let size = usage.on_disk_with(added + COMMIT_OVERHEAD);
            usage.is_log_over(max_size) && (was_stuck || size > bounds::full_threshold(max_size))
        };
        if !was_stuck && !is_too_large(self.usage) {
            return Ok(());
        }
        let timeout = if was_stuck { Duration::ZERO } else { OWN_READS_TIMEOUT };
        let obstacle = self.cut_log(timeout)?;
        let reason = match obstacle {
            Some(obstacle) if is_too_large(self.usage) => {
                Some(obstacle.reason(&self.directory, self.usage.log))
            }
            _ => None,
        };
        match &reason {
            Some(reason) if !was_stuck => {
                tracing::error!(reason, "the spool has no room for its write-ahead log");
            }
            None if was_stuck => tracing::info!("the spool's write-ahead log is written back"),
            _ => return Ok(()),
        }
        self.shared.set_stuck_log(reason);
        Ok(())
    }

    /// Returns the reason why nothing can be written, cursors included: the log takes all that is left of
    /// `max_size`.
    pub(crate) fn no_room_for_log(&self) -> Option<String> {
        let max_size = self.settings.max_size;
        let is_at_end =
            self.usage.is_log_over(max_size) && self.usage.on_disk_with(COMMIT_OVERHEAD) > max_size;
        self.shared.stuck_log().filter(|_| is_at_end)
    }

    /// Writes a row to test the disk: for a new process, and for one that has received nothing since its last
    /// failure.
    pub(crate) fn probe(&mut self) {
        if let Err(error) = schema::probe(&self.connection) {
            self.shared.failing.set(Some(error.to_string()));
        }
    }

    /// Splits a group into the commands to commit and the appends that find no room. The spool is marked full
    /// before any of these is answered, in memory and on disk: a caller that was refused finds it so.
    pub(crate) fn admit(
        &mut self,
        group: Vec<WriterCommand>,
    ) -> (Vec<WriterCommand>, Vec<WriterCommand>) {
        let max_size = self.settings.max_size;
        // Entries that the quarantine will not take must not seem to fill the spool.
        let room = self.log.room.left();
        let is_stuck = self.shared.stuck_log().is_some();
        let mut used = self.usage.counted(max_size);
        let was_full = self.shared.full.load(Ordering::Relaxed);
        let mut has_events = self.has_events();
        let (low, high) = (bounds::resume_threshold(max_size), bounds::full_threshold(max_size));
        let mut full = has_events && used > if was_full { low } else { high };
        let (mut admitted, mut refused) = (Vec::with_capacity(group.len()), Vec::new());
        for command in group {
            let is_above = |water: u64| used + command.size(room) > water;
            full |= command.is_refusable() && !command.is_copy() && has_events && is_above(high);
            // Copies must neither push out the events they repeat nor keep new events out.
            let is_too_much = command.is_copy() && is_above(low);
            if is_too_much || (command.is_refusable() && full) || (command.is_append() && is_stuck)
            {
                refused.push(command);
            } else {
                used += command.size(room);
                has_events |= command.is_append();
                admitted.push(command);
            }
        }
        self.note_full(full, used);
        (admitted, refused)
    }

    /// Sets the full state, and logs each change of it.
    fn note_full(&mut self, full: bool, used: u64) {
        if self.shared.full.swap(full, Ordering::Relaxed) == full {
            return;
        }
        self.write_high_watermark();
        if full {
            tracing::error!(
                used_bytes = used,
                max_size_bytes = self.settings.max_size,
                "the spool is full: answering 503 until the sinks have caught up"
            );
        } else {
            tracing::info!(used_bytes = used, "the spool has room again");
        }
    }
}
