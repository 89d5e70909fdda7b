//! Sinks: each sends items to one target and says, item by item, what the target made of them.
//!
//! A sink knows no spool, no other sink and no policy: it tries once per call. Retrying, splitting,
//! pausing and dead letters are decided above it, in [`crate::deliver`], once for all.

mod elasticsearch;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod http;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "nats")]
mod nats;
#[cfg(any(feature = "kafka", feature = "nats"))]
mod record;
mod splunk_hec;
mod stdout;
mod stream;
mod syslog;
mod verdict;

use bytes::Bytes;

use crate::config::SinkKind;
use crate::event::Event;

pub use verdict::{Reason, Report, SinkFinding, Verdict};

/// An event that a format has made something of, and what its target's own envelope may say of it.
#[derive(Debug)]
pub struct Rendered<'a> {
    /// What the format made of it: one line, without the line break.
    pub line: Vec<u8>,
    /// The event.
    pub event: &'a Event<'a>,
    /// The configured source it came from.
    pub source: &'a str,
}

/// One event as its target gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its position in the spool.
    pub position: u64,
    /// Its bytes on the wire, envelope included, without what separates it from the next.
    pub payload: Bytes,
}

/// Something that delivers.
pub trait Deliver {
    /// Tries to deliver all items, once, in order. Never fails as a whole: what failed is said of
    /// each item.
    fn deliver(&mut self, items: &[Item]) -> impl Future<Output = Report> + Send;

    /// Finds out without sending an event whether the target would take one. Returns what it said.
    fn probe(&mut self) -> impl Future<Output = Result<String, Reason>> + Send;

    /// Says goodbye to the target, where its protocol asks for that.
    fn close(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Every kind of sink.
#[derive(Debug)]
pub enum Sink {
    /// `type = "stdout"`
    Stdout(stdout::Stdout),
    /// `type = "file"`
    File(file::File),
    /// `type = "http"`
    Http(Box<http::Http>),
    /// `type = "splunk_hec"`
    SplunkHec(Box<splunk_hec::SplunkHec>),
    /// `type = "elasticsearch"`
    Elasticsearch(Box<elasticsearch::Elasticsearch>),
    /// `type = "syslog"`
    Syslog(Box<syslog::Syslog>),
    /// `type = "nats"`
    #[cfg(feature = "nats")]
    Nats(Box<nats::Nats>),
    /// `type = "kafka"`
    #[cfg(feature = "kafka")]
    Kafka(Box<kafka::Kafka>),
}

impl Sink {
    /// Makes a sink, reading its credentials and certificates anew. Connects to nothing. An error is
    /// one that somebody has to repair.
    pub fn open(kind: &SinkKind) -> Result<Sink, Reason> {
        Ok(match kind {
            SinkKind::Stdout => Sink::Stdout(stdout::Stdout::default()),
            SinkKind::File(settings) => Sink::File(file::File::new(settings.clone())),
            SinkKind::Http(settings) => Sink::Http(Box::new(http::Http::open(settings)?)),
            SinkKind::SplunkHec(settings) => {
                Sink::SplunkHec(Box::new(splunk_hec::SplunkHec::open(settings)?))
            }
            SinkKind::Elasticsearch(settings) => {
                Sink::Elasticsearch(Box::new(elasticsearch::Elasticsearch::open(settings)?))
            }
            SinkKind::Syslog(settings) => Sink::Syslog(Box::new(syslog::Syslog::open(settings)?)),
            #[cfg(feature = "nats")]
            SinkKind::Nats(settings) => Sink::Nats(Box::new(nats::Nats::open(settings))),
            #[cfg(not(feature = "nats"))]
            SinkKind::Nats(_) => return Err(not_in_this_build()),
            #[cfg(feature = "kafka")]
            SinkKind::Kafka(settings) => Sink::Kafka(Box::new(kafka::Kafka::open(settings)?)),
            #[cfg(not(feature = "kafka"))]
            SinkKind::Kafka(_) => return Err(not_in_this_build()),
        })
    }

    /// Reads credentials and certificates again. What the sink remembers of its last connection stays.
    pub async fn reopen(&mut self, kind: &SinkKind) -> Result<(), Reason> {
        match self {
            Sink::Syslog(syslog) => syslog.reopen().await,
            Sink::SplunkHec(hec) if let SinkKind::SplunkHec(settings) = kind => {
                hec.reopen(settings)
            }
            // They have neither, and look for their file each time.
            Sink::Stdout(_) | Sink::File(_) => Ok(()),
            sink => Sink::open(kind).map(|opened| *sink = opened),
        }
    }
}

/// Whether a sink of this kind sends a line as it is, without looking at the event.
pub fn sends_lines(kind: &SinkKind) -> bool {
    match kind {
        SinkKind::Stdout | SinkKind::File(_) | SinkKind::Http(_) => true,
        SinkKind::SplunkHec(_)
        | SinkKind::Elasticsearch(_)
        | SinkKind::Syslog(_)
        | SinkKind::Nats(_)
        | SinkKind::Kafka(_) => false,
    }
}

/// Puts a rendered event into what its target wants around it. Pure: the same event always makes the
/// same bytes, so that a repetition is recognisable. An error means that this event cannot be sent.
pub fn encode(
    kind: &SinkKind,
    rendered: Rendered<'_>,
) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
    let payload = match kind {
        SinkKind::Stdout | SinkKind::File(_) | SinkKind::Http(_) => {
            return Ok((rendered.line, None));
        }
        SinkKind::SplunkHec(settings) => splunk_hec::encode(settings, rendered),
        SinkKind::Elasticsearch(_) => elasticsearch::encode(rendered),
        SinkKind::Syslog(settings) => return syslog::encode(settings, rendered),
        #[cfg(feature = "nats")]
        SinkKind::Nats(settings) => nats::encode(settings, rendered),
        #[cfg(not(feature = "nats"))]
        SinkKind::Nats(_) => return Err(not_in_this_build()),
        #[cfg(feature = "kafka")]
        SinkKind::Kafka(_) => kafka::encode(rendered),
        #[cfg(not(feature = "kafka"))]
        SinkKind::Kafka(_) => return Err(not_in_this_build()),
    };
    Ok((payload, None))
}

impl Deliver for Sink {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        match self {
            Sink::Stdout(sink) => sink.deliver(items).await,
            Sink::File(sink) => sink.deliver(items).await,
            Sink::Http(sink) => sink.deliver(items).await,
            Sink::SplunkHec(sink) => sink.deliver(items).await,
            Sink::Elasticsearch(sink) => sink.deliver(items).await,
            Sink::Syslog(sink) => sink.deliver(items).await,
            #[cfg(feature = "nats")]
            Sink::Nats(sink) => sink.deliver(items).await,
            #[cfg(feature = "kafka")]
            Sink::Kafka(sink) => sink.deliver(items).await,
        }
    }

    async fn probe(&mut self) -> Result<String, Reason> {
        match self {
            Sink::Stdout(sink) => sink.probe().await,
            Sink::File(sink) => sink.probe().await,
            Sink::Http(sink) => sink.probe().await,
            Sink::SplunkHec(sink) => sink.probe().await,
            Sink::Elasticsearch(sink) => sink.probe().await,
            Sink::Syslog(sink) => sink.probe().await,
            #[cfg(feature = "nats")]
            Sink::Nats(sink) => sink.probe().await,
            #[cfg(feature = "kafka")]
            Sink::Kafka(sink) => sink.probe().await,
        }
    }

    async fn close(&mut self) {
        match self {
            Sink::File(sink) => sink.close().await,
            Sink::Syslog(sink) => sink.close().await,
            #[cfg(feature = "nats")]
            Sink::Nats(sink) => sink.close().await,
            _ => {}
        }
    }
}

/// A configuration that names what this program was built without is refused when it is read.
#[cfg(not(all(feature = "kafka", feature = "nats")))]
fn not_in_this_build() -> Reason {
    Reason::new("this build has no sink of this type")
}

/// The items' payloads, a line each.
fn lines(items: &[Item]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(items.iter().map(|item| item.payload.len() + 1).sum());
    for item in items {
        bytes.extend_from_slice(&item.payload);
        bytes.push(b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests;
