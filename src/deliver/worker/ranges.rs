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

use sha2::{Digest, Sha256};
use tokio::time::sleep_until;
use tokio_util::task::AbortOnDropHandle;

use super::leadership::shared_state_changed;
use super::window::Window;
use super::{READ_BYTES, Worker, WorkerExit, joined};
use crate::deliver::SinkConfig;
use crate::deliver::batch::{CommitPart, PackedRange, RangePacking};
use crate::deliver::connection::BatchResult;
use crate::shutdown::Shutdown;
use crate::sinks::SinkFinding;
use crate::sinks::objects::ObjectRange;
use crate::spool::{CommitError, Millis, PlannedRange, Read};

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
            let range = match found.settings == settings {
                true => found,
                false => self.replan(found, settings, shutdown).await?,
            };
            self.write_range(range, shutdown).await?;
        }
        // Events that have waited in an earlier process wait only for the rest of the time.
        let mut now = Some((self.clock)());
        while !self.has_new_config() {
            let last = self.fill(now.take(), shutdown).await?;
            let range = PlannedRange { after: self.read, last, id: new_id(), settings };
            self.plan(range, shutdown).await?;
            self.write_range(range, shutdown).await?;
        }
        Err(WorkerExit::Stopped)
    }

    /// Returns the range that an earlier process has begun to write.
    async fn planned(
        &mut self,
        shutdown: &mut Shutdown,
    ) -> Result<Option<PlannedRange>, WorkerExit> {
        let mut backoff = self.backoff();
        loop {
            match self.spool.planned(&self.name, self.read).await {
                Ok(found) => {
                    self.clear_failure();
                    return Ok(found);
                }
                Err(error) => self.retry_later(&error.to_string(), &mut backoff, shutdown).await?,
            }
        }
    }

    /// Plans a range again under another id: its objects would differ from those that an earlier process may have
    /// written. Both are kept, because nothing tells which of them exist.
    async fn replan(
        &mut self,
        found: PlannedRange,
        settings: u64,
        shutdown: &mut Shutdown,
    ) -> Result<PlannedRange, WorkerExit> {
        tracing::warn!(
            sink = %self.name,
            first = found.after + 1,
            last = found.last,
            former_id = format!("{:016x}", found.id),
            "the sink's configuration has changed while it wrote objects: their events are written again. Objects \
             with the former id in their names may hold the same events; delete them if they exist"
        );
        let range = PlannedRange { id: new_id(), settings, ..found };
        self.plan(range, shutdown).await?;
        Ok(range)
    }

    async fn plan(
        &mut self,
        range: PlannedRange,
        shutdown: &mut Shutdown,
    ) -> Result<(), WorkerExit> {
        let mut backoff = self.backoff();
        loop {
            match self.spool.plan(&self.name, range).await {
                Ok(()) => {
                    self.clear_failure();
                    return Ok(());
                }
                Err(CommitError::Closed) => return Err(WorkerExit::Stopped),
                Err(CommitError::Superseded) => return Err(WorkerExit::Superseded),
                Err(error) => self.retry_later(&error.to_string(), &mut backoff, shutdown).await?,
            }
        }
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

    /// Writes the objects of a range and commits it.
    async fn write_range(
        &mut self,
        range: PlannedRange,
        shutdown: &mut Shutdown,
    ) -> Result<(), WorkerExit> {
        let mut backoff = self.backoff();
        let part = loop {
            let reason = match self.pack(range).await {
                Ok(packed) => match self.write_objects(packed, shutdown).await? {
                    Some(part) => break part,
                    None => "the sink has left an object without a verdict; please report this"
                        .to_owned(),
                },
                Err(reason) => reason,
            };
            self.retry_later(&reason, &mut backoff, shutdown).await?;
        };
        self.clear_failure();
        let reached = part.position.unwrap_or(range.last);
        self.commit(vec![part], shutdown).await?;
        self.read = reached;
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

    /// Writes all objects, by the policy of the sink's connection. Returns the part to commit; `None` if an object has no
    /// verdict.
    async fn write_objects(
        &mut self,
        packed: PackedRange,
        shutdown: &mut Shutdown,
    ) -> Result<Option<CommitPart>, WorkerExit> {
        let PackedRange { batch, events, rest } = packed;
        let (mut parts, mut next) = (Vec::new(), Some(batch));
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
            let BatchResult { connection, parts: done, is_stopped, remaining } = result;
            self.idle.push(connection);
            if is_stopped {
                return Err(WorkerExit::Stopped);
            }
            parts.extend(done);
            next = remaining;
        }
        let part = PackedRange::committed(rest, &parts);
        Ok(Some(part).filter(|part| part.record.tally.delivered == events))
    }

    /// Shows a failure of the spool, and waits before the next attempt.
    async fn retry_later(
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

/// Returns a random id for a range.
fn new_id() -> u64 {
    rand::random::<u64>() >> 1
}

/// Computes the fingerprint of all settings that decide which objects a range makes: 63 bits.
fn fingerprint(config: &SinkConfig) -> u64 {
    let SinkConfig { formatting, outcomes, test_events, routing, redact, target, .. } = config;
    let layout = target.objects().map(|layout| layout.settings()).unwrap_or_default();
    // Another release may write other bytes, or other objects.
    let release = env!("CARGO_PKG_VERSION");
    let text = format!(
        "{release} {layout} {formatting:?} {outcomes:?} {test_events} {routing:?} {redact:?}"
    );
    let digest = Sha256::digest(text.as_bytes());
    let first = digest.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    first >> 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_decide_about_objects_change_the_fingerprint() {
        let of = |keys: &str| {
            let text = format!(
                "[sinks.a]\ntype = \"object_store\"\ngcs = {{ bucket = \"archive\" }}\n{keys}\n"
            );
            match crate::config::parse(&text, None, std::iter::empty()) {
                Ok(config) => fingerprint(&config.sinks[0]),
                Err(problems) => panic!("{problems}"),
            }
        };
        if cfg!(not(feature = "object_store")) {
            return;
        }
        for same in ["timeout = \"9s\"", "batch = { events = 7 }", "retry = { max = \"9s\" }"] {
            assert_eq!(of(same), of(""), "{same}");
        }
        for other in [
            "format = \"ecs\"",
            "wrap = true",
            "test_events = true",
            "prefix = \"p\"",
            "compression = \"gzip\"",
            "endpoint = \"http://localhost\"",
            "exclude = { types = [\"X\"] }",
            "redact = { pii = \"mask\" }",
        ] {
            assert_ne!(of(other), of(""), "{other}");
        }
    }
}
