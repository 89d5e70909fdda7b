//! Planned ranges: each is stored before its first object is written, with a random id and the settings that decide
//! about its objects.

use sha2::{Digest, Sha256};

use super::{Worker, WorkerExit};
use crate::deliver::SinkConfig;
use crate::shutdown::Shutdown;
use crate::spool::{CommitError, PlannedRange};

/// Settings of a range that was planned again because the target claimed to have its objects. After a restart, the range
/// gets another id once more: an object that exists would prove nothing.
const DISTRUSTED: u64 = 0;

impl Worker {
    /// Returns the range that an earlier process has begun to write.
    pub(super) async fn planned(
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
    pub(super) async fn replan(
        &mut self,
        found: PlannedRange,
        settings: u64,
        shutdown: &mut Shutdown,
    ) -> Result<PlannedRange, WorkerExit> {
        let (first, former_id) = (self.read + 1, format!("{:016x}", found.id));
        let is_distrusted = found.settings == DISTRUSTED;
        if is_distrusted {
            tracing::warn!(
                sink = %self.name, first, last = found.last, former_id,
                "the target had claimed to have objects that the sink had not written: their events are written again. \
                 Objects with the former id in their names may hold the same events; delete them if they exist"
            );
        } else {
            tracing::warn!(
                sink = %self.name, first, last = found.last, former_id,
                "the sink's configuration has changed while it wrote objects: their events are written again. Objects \
                 with the former id in their names may hold the same events; delete them if they exist"
            );
        }
        let settings = if is_distrusted { DISTRUSTED } else { settings };
        let range = PlannedRange { after: self.read, id: new_id(), settings, ..found };
        self.plan(range, shutdown).await?;
        Ok(range)
    }

    pub(super) async fn plan(
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

    /// Plans a range again under another id, because the target claims to have an object of it that nobody has written.
    pub(super) async fn rename(
        &mut self,
        range: PlannedRange,
        shutdown: &mut Shutdown,
    ) -> Result<PlannedRange, WorkerExit> {
        let renamed = PlannedRange { id: new_id(), settings: DISTRUSTED, ..range };
        self.plan(renamed, shutdown).await?;
        Ok(renamed)
    }

    /// Stores that all objects of a range are written, before its positions are committed in parts.
    pub(super) async fn mark_written(
        &mut self,
        range: PlannedRange,
        settings: u64,
        shutdown: &mut Shutdown,
    ) -> Result<(), WorkerExit> {
        let settings = settings | PlannedRange::WRITTEN;
        self.plan(PlannedRange { settings, ..range }, shutdown).await
    }
}

/// Returns a random id for a range.
pub(super) fn new_id() -> u64 {
    rand::random::<u64>() >> 1
}

/// Computes the fingerprint of all settings that decide which objects a range makes: 62 bits.
pub(super) fn fingerprint(config: &SinkConfig) -> u64 {
    let SinkConfig { formatting, outcomes, test_events, routing, redact, target, .. } = config;
    let layout = target.objects().map(|layout| layout.settings()).unwrap_or_default();
    // Another release may write other bytes, or other objects.
    let release = env!("CARGO_PKG_VERSION");
    let text = format!(
        "{release} {layout} {formatting:?} {outcomes:?} {test_events} {routing:?} {redact:?}"
    );
    let digest = Sha256::digest(text.as_bytes());
    let first = digest.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    // 0 would be taken for `DISTRUSTED`.
    (first >> 2).max(1)
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
