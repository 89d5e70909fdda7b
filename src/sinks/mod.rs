//! Sinks: each sends items to one target and says, item by item, what the target made of them.
//!
//! A sink knows no spool, no other sink and no policy: it tries once per call. Retrying, splitting,
//! pausing and dead letters are decided above it, in [`crate::deliver`], once for all.

mod file;
mod stdout;

use std::time::Duration;

use crate::config::SinkKind;

/// One event, formatted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its position in the spool.
    pub position: u64,
    /// What the format made of it, without a line break.
    pub payload: Vec<u8>,
}

/// The target's answer for one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The target has it, durably as far as the target can promise that.
    Delivered,
    /// Not now. `after` is the target's own wish, if it had one.
    Retry {
        /// How long the target asks to wait.
        after: Option<Duration>,
        /// What happened, for people.
        reason: String,
    },
    /// Never: this item is refused for good.
    Rejected {
        /// What the target said, for people.
        reason: String,
    },
    /// Nothing can be delivered until someone changes something: credentials, a path, a URL.
    Fatal {
        /// What has to be changed, for people.
        reason: String,
    },
}

/// Something that delivers.
pub trait Deliver {
    /// Tries to deliver all items, once, in order. Returns one verdict per item, in order. Never
    /// fails as a whole: what failed is said of each item.
    fn deliver(&mut self, items: &[Item]) -> impl Future<Output = Vec<Verdict>> + Send;
}

/// Every kind of sink.
#[derive(Debug)]
pub enum Sink {
    /// `type = "stdout"`
    Stdout(stdout::Stdout),
    /// `type = "file"`
    File(file::File),
}

impl Sink {
    /// Makes a sink. Nothing is opened before the first delivery.
    pub fn new(kind: &SinkKind) -> Sink {
        match kind {
            SinkKind::Stdout => Sink::Stdout(stdout::Stdout::default()),
            SinkKind::File(settings) => Sink::File(file::File::new(settings.clone())),
        }
    }
}

impl Deliver for Sink {
    async fn deliver(&mut self, items: &[Item]) -> Vec<Verdict> {
        match self {
            Sink::Stdout(sink) => sink.deliver(items).await,
            Sink::File(sink) => sink.deliver(items).await,
        }
    }
}

/// The same verdict for every item.
fn all(items: &[Item], verdict: &Verdict) -> Vec<Verdict> {
    vec![verdict.clone(); items.len()]
}

/// The items' payloads as lines.
fn lines(items: &[Item]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(items.iter().map(|item| item.payload.len() + 1).sum());
    for item in items {
        lines.extend_from_slice(&item.payload);
        lines.push(b'\n');
    }
    lines
}
