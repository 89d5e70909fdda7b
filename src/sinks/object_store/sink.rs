//! The running sink: creates one object per item, in order.

use super::answer::Creation;
use super::config::ObjectStoreSinkConfig;
use super::key::probe_key;
use super::store::Store;
use crate::sinks::{Deliver, Item, Reason, Report, SinkFinding, Verdict};

/// A target of `type = "object_store"`.
#[derive(Debug)]
pub(crate) struct ObjectStoreSink {
    store: Store,
    prefix: String,
    /// Name of the object that an attempt of this process may have written without a confirmation.
    unconfirmed: Option<String>,
}

impl ObjectStoreSink {
    pub(super) fn open(settings: &ObjectStoreSinkConfig) -> Result<ObjectStoreSink, Reason> {
        let (store, prefix) = (Store::open(settings)?, settings.prefix.clone());
        Ok(ObjectStoreSink { store, prefix, unconfirmed: None })
    }

    /// Reads credentials and certificates again. The sink remembers which object it may have written.
    pub(super) fn reopen(&mut self, settings: &ObjectStoreSinkConfig) -> Result<(), Reason> {
        self.store = Store::open(settings)?;
        Ok(())
    }

    /// Creates the object of an item: a line with its name, and its content.
    async fn create(&mut self, item: &Item) -> Creation {
        let end = memchr::memchr(b'\n', &item.payload).unwrap_or(0);
        let name = std::str::from_utf8(&item.payload[..end]).unwrap_or_default();
        let content = item.payload.slice(item.payload.len().min(end + 1)..);
        let created = self.store.create(name, content).await;
        if matches!(created, Creation::Failed(Verdict::Retry { .. })) {
            self.unconfirmed = Some(name.to_owned());
        }
        created
    }

    /// Returns true if an attempt of this process may have written the object of an item.
    fn may_have_written(&self, item: &Item) -> bool {
        let name = self.unconfirmed.as_ref();
        name.is_some_and(|name| {
            let rest = item.payload.strip_prefix(name.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b"\n"))
        })
    }
}

impl Deliver for ObjectStoreSink {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let mut found = 0;
        for (count, item) in items.iter().enumerate() {
            match self.create(item).await {
                Creation::Stored => {}
                Creation::Exists(_) if self.may_have_written(item) => found += 1,
                Creation::Exists(reason) => {
                    let mut report = Report::first_delivered(
                        &items[..=count],
                        count,
                        Verdict::Exists { reason },
                    );
                    report.verdicts.resize(items.len(), Verdict::NotTried);
                    return report.with(SinkFinding::AlreadyStored, found);
                }
                Creation::Failed(verdict) => {
                    let report = Report::first_delivered(&items[..=count], count, verdict);
                    return report.with(SinkFinding::AlreadyStored, found);
                }
            }
        }
        Report::all(items, Verdict::Delivered).with(SinkFinding::AlreadyStored, found)
    }

    /// Creates an empty object, since only that shows the permission to create objects. Later probes find it.
    async fn probe(&mut self) -> Result<String, Reason> {
        let name = probe_key(&self.prefix);
        match self.store.create(&name, bytes::Bytes::new()).await {
            Creation::Stored => Ok(format!("created the empty object {name}")),
            Creation::Exists(_) => Ok(format!("the object {name} of an earlier check exists")),
            Creation::Failed(verdict) => Err(verdict.into_reason()),
        }
    }
}
