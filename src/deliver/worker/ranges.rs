//! Delivery of planned ranges, for sinks that write objects.
//!
//! ```text
//! count events → plan the range → read it again, filter, format, pack → write its objects → commit
//! ```
//!
//! The range is stored before its first object is written. A crash in between repeats the same range under the same
//! names, so no event is written twice; the sink finds the objects that exist. The cursor moves once, after the last
//! object. Until then the events stay in the spool and none of them in memory.

use std::sync::Arc;

use tokio::time::sleep_until;
use tokio_util::task::AbortOnDropHandle;

use super::leadership::shared_state_changed;
use super::plan::{fingerprint, new_id};
use super::window::Window;
use super::{READ_BYTES, Worker, WorkerExit, joined};
use crate::deliver::batch::{CommitPart, DeliveryBatch, PackedRange, RangePacking};
use crate::deliver::connection::BatchResult;
use crate::shutdown::Shutdown;
use crate::sinks::SinkFinding;
use crate::sinks::objects::ObjectRange;
use crate::spool::{CommitRecord, Millis, PlannedRange, Read};

/// Result of writing the objects of a range.
enum Written {
    /// Every object is written, all with this number of attempts; 0 if the numbers differ.
    All(u32),
    /// The target has an object of a name that nobody has written.
    NameTaken,
    /// An object has no verdict.
    Incomplete,
}

impl Worker {
    /// Delivers from `self.read` on, range by range.
    pub(super) async fn deliver_ranges(&mut self, shutdown: &mut Shutdown) -> WorkerExit {
        let Err(exit) = self.deliver_all_ranges(shutdown).await;
        exit
    }

    async fn deliver_all_ranges(
        &mut self,
        shutdown: &mut Shutdown,
    ) -> Result<std::convert::Infallible, WorkerExit> {
        let settings = fingerprint(&self.config);
        if let Some(found) = self.planned(shutdown).await? {
            match found.settings & !PlannedRange::WRITTEN == settings {
                true if found.is_written() => self.commit_written(found, shutdown).await?,
                true => self.write_range(found, true, shutdown).await?,
                false => {
                    let range = self.replan(found, settings, shutdown).await?;
                    self.write_range(range, false, shutdown).await?;
                }
            }
        }
        // Events that have waited in an earlier process wait only for the rest of the time.
        let mut now = Some((self.clock)());
        while !self.has_new_config() {
            let last = self.fill(now.take(), shutdown).await?;
            let range = PlannedRange { after: self.read, last, id: new_id(), settings };
            self.plan(range, shutdown).await?;
            self.write_range(range, false, shutdown).await?;
        }
        Err(WorkerExit::Stopped)
    }

    /// Counts the events after the cursor until they fill objects or one of them is due. Returns the last position.
    async fn fill(
        &mut self,
        now: Option<Millis>,
        shutdown: &mut Shutdown,
    ) -> Result<u64, WorkerExit> {
        let (limits, mut backoff) = (self.config.batch, self.backoff());
        let mut window = Window::after(self.read);
        loop {
            // Later events change the head again.
            self.head.mark_unchanged();
            match self.reader.read(window.last, READ_BYTES).await {
                Ok(reads) => {
                    self.clear_failure();
                    let is_full = !reads.iter().all(|read| window.take(read, limits));
                    window.note_due(now, limits.age);
                    self.status.set_waiting_since(window.received_at);
                    if is_full || window.is_due() {
                        return Ok(window.last);
                    }
                    if !reads.is_empty() {
                        continue;
                    }
                }
                Err(error) => {
                    self.retry_later(&error.to_string(), &mut backoff, shutdown).await?;
                    continue;
                }
            }
            if shutdown.has_begun() {
                return if window.events > 0 { Ok(window.last) } else { Err(WorkerExit::Stopped) };
            }
            let until_due = async {
                match window.due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let mut shared = self.shared.clone();
            tokio::select! {
                changed = self.head.changed() => changed.map_err(|_| WorkerExit::Stopped)?,
                () = until_due => return Ok(window.last),
                () = shutdown.begun() => {}
                () = shared_state_changed(&mut shared) => {
                    self.shared = shared;
                    if self.follow_shared_state().is_some() {
                        return Err(WorkerExit::Superseded);
                    }
                }
            }
        }
    }

    /// Writes the objects of a range and commits it. `may_exist` is true if an earlier process may have written some of
    /// them. Only then does an object that exists count as written.
    async fn write_range(
        &mut self,
        mut range: PlannedRange,
        mut may_exist: bool,
        shutdown: &mut Shutdown,
    ) -> Result<(), WorkerExit> {
        let mut backoff = self.backoff();
        let parts = loop {
            let reason = match self.pack(range).await {
                Ok(PackedRange { mut batch, events, mut parts }) => {
                    batch.may_exist = may_exist;
                    match self.write_objects(batch, events, shutdown).await? {
                        Written::All(attempts) => {
                            let runs = parts.iter_mut().map(|part| &mut part.record.runs);
                            runs.for_each(|runs| runs.set_attempts(attempts));
                            break parts;
                        }
                        Written::NameTaken => {
                            range = self.rename(range, shutdown).await?;
                            may_exist = false;
                            "the target claims to have an object that this sink has not written; its events are \
                             written under another name"
                        }
                        Written::Incomplete => {
                            may_exist = true;
                            "the sink has left an object without a verdict; please report this"
                        }
                    }
                    .to_owned()
                }
                Err(reason) => reason,
            };
            self.retry_later(&reason, &mut backoff, shutdown).await?;
        };
        self.commit_range(range, parts, shutdown).await
    }

    /// Commits the rest of a range whose objects an earlier process has written.
    async fn commit_written(
        &mut self,
        range: PlannedRange,
        shutdown: &mut Shutdown,
    ) -> Result<(), WorkerExit> {
        let mut backoff = self.backoff();
        let rest = PlannedRange { after: self.read, ..range };
        let parts = loop {
            match self.pack(rest).await {
                Ok(packed) => break packed.parts,
                Err(reason) => self.retry_later(&reason, &mut backoff, shutdown).await?,
            }
        };
        self.commit_range(range, parts, shutdown).await
    }

    /// Commits the positions of a range whose objects are written: in parts, if the quarantine has no room for all of
    /// its dead letters. The range is marked first, so that a restart in between does not write its objects again.
    async fn commit_range(
        &mut self,
        range: PlannedRange,
        parts: Vec<CommitPart>,
        shutdown: &mut Shutdown,
    ) -> Result<(), WorkerExit> {
        self.clear_failure();
        let has_dead_letters = parts.iter().any(|part| !part.dead_letters.is_empty());
        if has_dead_letters && !range.is_written() {
            let settings = fingerprint(&self.config);
            self.mark_written(range, settings, shutdown).await?;
        }
        self.commit(parts, shutdown).await?;
        self.read = range.last;
        self.status.set_waiting_since(None);
        Ok(())
    }

    /// Reads the events of a range again and packs them.
    async fn pack(&self, range: PlannedRange) -> Result<PackedRange, String> {
        let PlannedRange { after, last, id, .. } = range;
        let object_range = ObjectRange { first: after + 1, last, id };
        let packer = self.config.target.objects().map(|layout| layout.pack(object_range));
        let mut packing = RangePacking::new(packer.ok_or("the sink has no objects")?);
        let mut position = after;
        while position < last {
            let reads = self.reader.read(position, READ_BYTES).await;
            let mut reads = reads.map_err(|error| error.to_string())?;
            reads.retain(|read| read.first_position() <= last);
            let end = reads.last().map(Read::last_position);
            position = end.ok_or("the events of an object cannot be read yet")?;
            let (config, redaction) = (Arc::clone(&self.config), self.redaction.clone());
            let added = tokio::task::spawn_blocking(move || {
                packing.add(reads, &config, redaction.as_deref()).map(|()| packing)
            });
            packing = joined(added.await).map_err(|error| error.to_string())?;
        }
        let finished = tokio::task::spawn_blocking(move || packing.finish());
        let packed = joined(finished.await).map_err(|error| error.to_string())?;
        let finding = SinkFinding::Truncated.as_str();
        let counter = self.metrics.sink_findings.with_label_values(&[&*self.name, finding]);
        counter.inc_by(packed.batch.truncated);
        Ok(packed)
    }

    /// Writes all objects, by the policy of the sink's connection. `events` is the number of events in them.
    async fn write_objects(
        &mut self,
        batch: DeliveryBatch,
        events: u64,
        shutdown: &mut Shutdown,
    ) -> Result<Written, WorkerExit> {
        let (mut objects, mut next) = (CommitPart::default(), Some(batch));
        while let Some(batch) = next.take().filter(|batch| !batch.items.is_empty()) {
            let Some(connection) = self.idle.pop() else { return Err(WorkerExit::Stopped) };
            let delivery = tokio::spawn(connection.deliver(batch, shutdown.clone()));
            let mut delivery = AbortOnDropHandle::new(delivery);
            let result = loop {
                let mut shared = self.shared.clone();
                tokio::select! {
                    done = &mut delivery => break joined(done),
                    () = shared_state_changed(&mut shared) => {
                        self.shared = shared;
                        if self.follow_shared_state().is_some() {
                            return Err(WorkerExit::Superseded);
                        }
                    }
                }
            };
            let BatchResult { connection, parts, is_stopped, is_name_taken, remaining } = result;
            self.idle.push(connection);
            if is_stopped {
                return Err(WorkerExit::Stopped);
            }
            if is_name_taken {
                return Ok(Written::NameTaken);
            }
            parts.iter().for_each(|part| objects.append(part));
            next = remaining;
        }
        let CommitRecord { tally, runs } = objects.record;
        Ok(match tally.delivered == events {
            true => Written::All(runs.attempts().unwrap_or(0)),
            false => Written::Incomplete,
        })
    }

    /// Shows a failure of the spool, and waits before the next attempt.
    pub(super) async fn retry_later(
        &mut self,
        reason: &str,
        backoff: &mut crate::deliver::Backoff,
        shutdown: &mut Shutdown,
    ) -> Result<(), WorkerExit> {
        tracing::error!(sink = %self.name, error = reason, "cannot prepare objects; retrying");
        self.show_failure(backoff.attempts() + 1, reason.to_owned());
        self.pause(backoff, shutdown).await
    }
}
