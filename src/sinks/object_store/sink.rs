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
}

impl ObjectStoreSink {
    pub(super) fn open(settings: &ObjectStoreSinkConfig) -> Result<ObjectStoreSink, Reason> {
        Ok(ObjectStoreSink { store: Store::open(settings)?, prefix: settings.prefix.clone() })
    }

    /// Creates the object of an item: a line with its name, and its content.
    async fn create(&self, item: &Item) -> Creation {
        let end = memchr::memchr(b'\n', &item.payload).unwrap_or(0);
        let name = std::str::from_utf8(&item.payload[..end]).unwrap_or_default();
        let content = item.payload.slice(item.payload.len().min(end + 1)..);
        self.store.create(name, content).await
    }
}

impl Deliver for ObjectStoreSink {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let mut found = 0;
        for (count, item) in items.iter().enumerate() {
            match self.create(item).await {
                Creation::Stored => {}
                Creation::AlreadyStored => found += 1,
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
            Creation::AlreadyStored => Ok(format!("the object {name} of an earlier check exists")),
            Creation::Failed(verdict) => Err(verdict.into_reason()),
        }
    }
}
