//! Upkeep around commits: file identity, room, checkpoints, the high watermark.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::command::WriterCommand;
use super::stuck_log::Obstacle;
use super::writer::{BUSY_TIMEOUT, MustEnd, Writer};
use crate::spool::embedded::store::fault::{self, Fault};
use crate::spool::embedded::store::high_watermark::HighWatermark;
use crate::spool::embedded::store::identity::MisplacedFile;

impl Writer {
    /// Checks that the open files are at their paths. Logs each change of the result. While the inner result is an
    /// error, nothing may be stored.
    pub(crate) fn check_files(&mut self) -> Result<Result<(), MisplacedFile>, MustEnd> {
        let checked = self.files.check();
        let reason = checked.as_ref().err().map(ToString::to_string);
        let was_wrong = self.shared.misplaced().is_some();
        self.shared.set_misplaced(reason.clone());
        match reason {
            Some(reason) if !was_wrong => {
                tracing::error!(reason, "the spool's files are not in their place");
                // Moves acknowledged events from the WAL into the database, wherever that is now.
                self.checkpoint("PASSIVE")?;
            }
            None if was_wrong => tracing::info!("the spool's files are in their place again"),
            _ => {}
        }
        Ok(checked)
    }

    /// Trims events that every sink has committed, if a group would find no room otherwise.
    pub(crate) fn make_room(&mut self, group: &[WriterCommand]) -> Result<(), MustEnd> {
        let appends = group.iter().filter(|command| command.is_append() && !command.is_copy());
        let room = self.log.room.left();
        let size: u64 = appends.map(|command| command.size(room)).sum();
        while size > 0 && self.has_events() && self.is_above_full_threshold(size) {
            let before = self.log.trimmed;
            match self.try_commit(&mut Vec::new(), true) {
                Ok(_) if self.log.trimmed > before => {}
                Ok(_) => break,
                Err(error) if fault::classify(&error) == Fault::Fatal => {
                    self.report_fatal(&error);
                    return Err(MustEnd);
                }
                // The group's own commit meets the error again and reports it.
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Logs once that the quarantine is full, and once that it has room again.
    pub(crate) fn note_room(&mut self) {
        let is_full = self.log.room.is_full();
        let used = self.log.room.used();
        if self.shared.quarantine_full.swap(is_full, Ordering::Relaxed) == is_full {
            return;
        }
        if is_full {
            tracing::error!(
                used_bytes = used,
                max_size_bytes = self.settings.quarantine_max_size,
                "the quarantine is full: batches that would add to it are answered with 503 and kept by \
                 PingOne, and sinks wait with what their targets refuse; the rest goes on. See davinci-siem \
                 quarantine list, then retry or purge entries, or raise spool.quarantine_max_size"
            );
        } else {
            tracing::info!(used_bytes = used, "the quarantine has room again");
        }
    }

    /// Writes the WAL back, and cuts it where it has outgrown its share. Waits for no reader.
    pub(crate) fn write_back(&mut self) -> Result<(), MustEnd> {
        self.checkpoint("PASSIVE")?;
        self.cut_log(Duration::ZERO)?;
        self.publish();
        Ok(())
    }

    /// Cuts the WAL to nothing if it is over its share, after waiting up to `timeout` for readers. Returns the
    /// obstacle, if there is one.
    pub(crate) fn cut_log(&mut self, timeout: Duration) -> Result<Option<Obstacle>, MustEnd> {
        if !self.usage.is_log_over(self.settings.max_size) {
            return Ok(None);
        }
        drop(self.connection.busy_timeout(timeout));
        let cut = self.checkpoint("TRUNCATE");
        drop(self.connection.busy_timeout(BUSY_TIMEOUT));
        self.measure();
        cut
    }

    /// Writes the WAL back into the database file. Returns the obstacle to a complete checkpoint, which SQLite does not
    /// report for `PASSIVE`.
    pub(crate) fn checkpoint(&self, mode: &str) -> Result<Option<Obstacle>, MustEnd> {
        let pragma = format!("PRAGMA wal_checkpoint({mode})");
        match self.connection.query_row(&pragma, [], |row| row.get(0)) {
            Ok(is_busy) => Ok(if is_busy { Some(Obstacle::EmbeddedReader) } else { None }),
            Err(error) if fault::classify(&error) == Fault::Fatal => {
                self.report_fatal(&error);
                Err(MustEnd)
            }
            Err(error) => {
                tracing::warn!(%error, "the spool could not write its WAL back; it will try again");
                Ok(Some(Obstacle::Error(error)))
            }
        }
    }

    /// Marks the spool for a repair at the next start.
    pub(crate) fn report_damage(&mut self, error: &rusqlite::Error) {
        tracing::error!(
            %error,
            "a page of the spool is corrupt; nothing is removed until it is repaired. Start the \
             service again, or stop it and run davinci-siem spool repair"
        );
        self.shared.damaged.store(true, Ordering::Relaxed);
        self.write_high_watermark();
        self.mark.sync();
    }

    /// Writes the high watermark: the state that a new process needs beside the database.
    pub(crate) fn write_high_watermark(&mut self) {
        let mark = self.log.mark(self.is_damaged());
        let is_full = self.shared.full.load(Ordering::Relaxed);
        self.mark.write(HighWatermark { is_full, ..mark });
    }

    pub(crate) fn sync_high_watermark(&mut self) {
        if self.settings.sync {
            self.mark.sync();
        }
    }

    pub(crate) fn report_fatal(&self, error: &rusqlite::Error) {
        if fault::is_foreign_writer(error) {
            self.shared.fatal.send_replace(Some(format!(
                "another process has written to the spool in {}, so this one ends, before it writes over what \
                 that has stored. Have one service on it, and start that again",
                self.directory.display()
            )));
            return;
        }
        self.shared.fatal.send_replace(Some(format!(
            "a sync of the spool in {} failed ({error}). What reached the disk is unknown, so the \
             process ends; it recovers when it is started again. Check the disk",
            self.directory.display()
        )));
    }

    /// Sets the status before the first command: a new process must not report room or a healthy disk until a batch
    /// arrives.
    pub(crate) fn begin(&mut self) {
        self.probe();
        self.publish();
        self.note_room();
        let _no_commands = self.admit(Vec::new());
        self.write_high_watermark();
        self.sync_high_watermark();
    }
}
