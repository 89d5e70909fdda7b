//! Admission: which appends find room under `max_size`, and what is said when they do not.

use std::sync::atomic::Ordering;

use super::bounds::{self, Usage};
use super::command::Command;
use super::pinned;
use super::schema::{self, PAGE_SIZE};
use super::writer::{COMMIT_OVERHEAD, Writer};

impl Writer {
    /// Tells whether anything is stored that a sink may still need. What ids and the quarantine take does not
    /// go with the events, so without any there is nothing to wait for.
    pub(super) fn has_events(&self) -> bool {
        self.log.trimmed + 1 < self.log.next
    }

    /// Tells whether `added` bytes would pass the high-water mark.
    pub(super) fn is_above_high_water(&self, added: u64) -> bool {
        let max_size = self.settings.max_size;
        self.usage.counted(max_size) + added > bounds::high_water(max_size)
    }

    /// Measures what the files take.
    pub(super) fn measure(&mut self) {
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get(0));
        if let (Ok(pages), Ok(free)) = (pragma("page_count"), pragma("freelist_count")) {
            let (pages, free): (u64, u64) = (pages, free);
            self.usage.pages = pages.saturating_sub(free) * PAGE_SIZE;
            self.usage.file = pages * PAGE_SIZE;
        }
        // Without a log there is nothing in it.
        let log = std::fs::metadata(schema::log(&self.directory));
        self.usage.log = log.map_or(0, |log| log.len());
        let Usage { pages, log, .. } = self.usage;
        self.shared.used.store(pages, Ordering::Relaxed);
        let beyond = log.saturating_sub(bounds::log(self.settings.max_size));
        self.shared.log_beyond_share.store(beyond, Ordering::Relaxed);
        self.note_log(0);
    }

    /// Says, once each time, that a reader keeps the log from being written back until the disk has no room
    /// for more of it, and that it is written back.
    fn note_log(&mut self, added: u64) {
        let max_size = self.settings.max_size;
        let was_pinned = self.shared.pinned().is_some();
        let is_over = self.usage.is_log_over(max_size);
        let most = bounds::high_water(max_size);
        let is_pinned =
            is_over && (was_pinned || self.usage.on_disk_with(added + COMMIT_OVERHEAD) > most);
        if is_pinned == was_pinned {
            return;
        }
        let reason = is_pinned.then(|| pinned::reason(&self.directory, self.usage.log));
        match &reason {
            Some(reason) => {
                tracing::error!(reason, "the spool has no room for its write-ahead log");
            }
            None => tracing::info!("the spool's write-ahead log is written back"),
        }
        self.shared.set_pinned(reason);
    }

    /// Says why nothing at all can be written, cursors included: the log is all that is left of `max_size`.
    pub(super) fn no_room_for_log(&self) -> Option<String> {
        let max_size = self.settings.max_size;
        let is_at_end =
            self.usage.is_log_over(max_size) && self.usage.on_disk_with(COMMIT_OVERHEAD) > max_size;
        self.shared.pinned().filter(|_| is_at_end)
    }

    /// Writes a little, and so finds out if the disk takes anything: a new process, and one that was refused
    /// something and has been sent nothing since, know no other way.
    pub(super) fn probe(&mut self) {
        if let Err(error) = schema::probe(&self.connection) {
            self.shared.set_failing(Some(error.to_string()));
        }
    }

    /// Takes the appends out that find no room, and refuses them.
    pub(super) fn refuse_if_full(&mut self, group: Vec<Command>) -> Vec<Command> {
        let max_size = self.settings.max_size;
        // What the quarantine will not take must not seem to fill the spool.
        let room = self.log.room.left();
        let appended = group.iter().filter(|command| command.is_append());
        self.note_log(appended.map(|command| command.size(room)).sum());
        let is_pinned = self.shared.pinned().is_some();
        let mut used = self.usage.counted(max_size);
        let was_full = self.shared.full.load(Ordering::Relaxed);
        let mut has_events = self.has_events();
        let (low, high) = (bounds::low_water(max_size), bounds::high_water(max_size));
        let mut full = has_events && used > if was_full { low } else { high };
        let mut taken = Vec::with_capacity(group.len());
        for command in group {
            let is_above = |mark: u64| used + command.size(room) > mark;
            full |= command.is_append() && !command.is_copy() && has_events && is_above(high);
            // Copies must neither push out what they are made of nor keep new events out.
            let is_too_much = command.is_copy() && is_above(low);
            if (full && command.is_append()) || is_too_much || (is_pinned && command.is_append()) {
                command.refuse();
            } else {
                used += command.size(room);
                has_events |= command.is_append();
                taken.push(command);
            }
        }
        self.note_full(full, used);
        taken
    }

    /// Says, once each time, that the sinks are so far behind that batches are refused, and that they are not.
    fn note_full(&mut self, full: bool, used: u64) {
        if self.shared.full.swap(full, Ordering::Relaxed) == full {
            return;
        }
        self.write_mark();
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
