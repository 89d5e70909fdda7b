//! `[sinks.NAME]`: where events go. The keys every sink has; those of a type are in its own file.

mod client;
mod elasticsearch;
mod file;
mod filter;
mod format;
mod http;
mod kafka;
mod nats;
mod outputs;
mod splunk_hec;
mod syslog;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use client::{Authorization, Client, Compression, Header, Proxy};
pub(super) use client::{
    read as read_client, read_authorization, read_basic, read_headers, read_tls,
};
pub use elasticsearch::{ElasticsearchSink, Flavor};
pub use file::FileSink;
pub use filter::{Filter, Pattern, Routing};
pub use format::{Format, Formatting, OcsfVersion};
pub use http::{BodyShape, HttpSink, signing_key};
pub use kafka::{KafkaSink, Sasl};
pub use nats::{NatsSink, Part, Subject};
pub(crate) use outputs::ROTATED_AT;
pub(super) use outputs::check as check_outputs;
pub use splunk_hec::{Acknowledgement, SplunkHecSink};
pub use syslog::{Framing, HeaderFormat, Oversize, Resend, SyslogSink, Transport};

use super::redact::{self, Redact};
use super::section::Section;
use crate::paths;
use crate::spool::Start;

/// One target.
#[derive(Debug, Clone)]
pub struct Sink {
    /// Its name in cursors, metrics and logs.
    pub name: String,
    /// What an event is turned into.
    pub formatting: Formatting,
    /// Whether PingOne's connection tests are delivered like events.
    pub test_events: bool,
    /// Which events it gets.
    pub routing: Routing,
    /// What is taken out of events before they are formatted.
    pub redact: Option<Redact>,
    /// Where it starts when it is new.
    pub start: Start,
    /// How much is sent at once.
    pub batch: BatchLimits,
    /// Batches that are under way at the same time; more than one gives up the order.
    pub concurrency: usize,
    /// How long to wait between attempts.
    pub retry: Retry,
    /// The type and its own keys.
    pub kind: SinkKind,
}

/// How much is sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Events.
    pub events: usize,
    /// Bytes as the target counts them; a single larger event is a batch of its own.
    pub bytes: usize,
    /// How long an event waits for others to come along.
    pub age: Duration,
}

/// Waiting times between attempts: a random part of a time that doubles from `min` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The first time.
    pub min: Duration,
    /// The longest time, also for a wait that the target asks for.
    pub max: Duration,
    /// When an event that fails alone goes to quarantine.
    pub give_up: GiveUp,
}

/// When an event goes to quarantine that the target fails for alone, while it takes others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GiveUp {
    /// Attempts with this event alone at least; 0: never.
    pub attempts: u32,
    /// Time since the first of them at least.
    pub after: Duration,
}

impl Default for GiveUp {
    fn default() -> GiveUp {
        GiveUp { attempts: 20, after: Duration::from_hours(1) }
    }
}

impl Default for Retry {
    fn default() -> Retry {
        let (min, max) = (Duration::from_secs(1), Duration::from_mins(5));
        Retry { min, max, give_up: GiveUp::default() }
    }
}

/// A sink's type and its own keys.
#[derive(Debug, Clone)]
pub enum SinkKind {
    /// One line per event on standard output.
    Stdout,
    /// One line per event in a file.
    File(FileSink),
    /// POST requests to any URL.
    Http(HttpSink),
    /// Splunk's HTTP Event Collector.
    SplunkHec(SplunkHecSink),
    /// The bulk API of Elasticsearch and OpenSearch.
    Elasticsearch(ElasticsearchSink),
    /// Syslog over UDP, TCP or TLS.
    Syslog(SyslogSink),
    /// A stream of NATS JetStream.
    Nats(NatsSink),
    /// A topic of Kafka.
    Kafka(KafkaSink),
}

/// Long enough for what comes at the same time to go together, and too short to be noticed.
const AGE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy)]
enum Type {
    Stdout,
    File,
    Http,
    SplunkHec,
    Elasticsearch,
    Syslog,
    Nats,
    Kafka,
}

const TYPES: [(&str, Type); 8] = [
    ("stdout", Type::Stdout),
    ("file", Type::File),
    ("http", Type::Http),
    ("splunk_hec", Type::SplunkHec),
    ("elasticsearch", Type::Elasticsearch),
    ("syslog", Type::Syslog),
    ("nats", Type::Nats),
    ("kafka", Type::Kafka),
];

impl SinkKind {
    /// Files that the sink reads when it begins: credentials and certificates. Where it cannot
    /// deliver, a change of one of them is a reason to try again.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            SinkKind::Stdout | SinkKind::File(_) => Vec::new(),
            SinkKind::Http(sink) => sink.files(),
            SinkKind::SplunkHec(sink) => sink.files(),
            SinkKind::Elasticsearch(sink) => sink.files(),
            SinkKind::Syslog(sink) => sink.tls.files(),
            SinkKind::Nats(sink) => sink.files(),
            SinkKind::Kafka(sink) => sink.files(),
        }
    }
}

impl Sink {
    /// Whether both would write to the same place, and get into each other's way there.
    pub(super) fn writes_to_same(&self, other: &Sink) -> bool {
        match (&self.kind, &other.kind) {
            (SinkKind::Stdout, SinkKind::Stdout) => true,
            (SinkKind::Stdout, SinkKind::File(file)) | (SinkKind::File(file), SinkKind::Stdout) => {
                paths::is_same(&file.path, Path::new("/dev/stdout"))
            }
            (SinkKind::File(one), SinkKind::File(two)) => paths::is_same(&one.path, &two.path),
            _ => false,
        }
    }
}

impl Type {
    /// The feature that this program was built without, if that is why it has no such sink.
    fn missing_feature(self) -> Option<&'static str> {
        match self {
            Type::Nats if cfg!(not(feature = "nats")) => Some("nats"),
            Type::Kafka if cfg!(not(feature = "kafka")) => Some("kafka"),
            _ => None,
        }
    }

    /// What is sent at once where nothing is configured.
    fn batch(self) -> BatchLimits {
        let (events, bytes) = match self {
            Type::Stdout => (1000, 1 << 20),
            // Each is synced: with a full one, that costs less than writing it.
            Type::File => (5000, 4 << 20),
            Type::Http => (100, 1 << 20),
            // Splunk Cloud refuses bodies of more than about 5 MiB.
            Type::SplunkHec => (1000, 1 << 20),
            // Elastic recommends requests of 5 to 15 MB.
            Type::Elasticsearch => (2000, 5 << 20),
            Type::Syslog => (500, 1 << 20),
            // Acknowledged one by one, and waited for together.
            Type::Nats => (1000, 1 << 20),
            // The client makes requests of its own size of them, for several partitions at a time.
            Type::Kafka => (2000, 2 << 20),
        };
        BatchLimits { events, bytes, age: AGE }
    }
}

/// Name of the sink where none is configured.
pub(super) const DEFAULT_NAME: &str = "stdout";

pub(super) fn read_all(sections: Vec<(String, Section<'_>)>) -> Vec<Sink> {
    if sections.is_empty() {
        return vec![Sink {
            name: DEFAULT_NAME.to_owned(),
            formatting: Formatting::default(),
            test_events: false,
            routing: Routing::default(),
            redact: None,
            start: Start::Oldest,
            batch: Type::Stdout.batch(),
            concurrency: 1,
            retry: Retry::default(),
            kind: SinkKind::Stdout,
        }];
    }
    sections.into_iter().filter_map(|(name, section)| read(name, section)).collect()
}

/// Reads one sink; none if its type is not known, which is reported.
fn read(name: String, mut section: Section<'_>) -> Option<Sink> {
    if section.is_missing("type") {
        let types = TYPES.map(|(name, _)| format!("{name:?}")).join(", ");
        section.report("type", format!("is missing; write type = one of {types}"));
    }
    let chosen = section.choice("type", &TYPES);
    let kind = match chosen {
        Some(Type::File) => SinkKind::File(file::read(&mut section)),
        Some(Type::Stdout) => SinkKind::Stdout,
        Some(Type::Http) => SinkKind::Http(http::read(&mut section)),
        Some(Type::SplunkHec) => SinkKind::SplunkHec(splunk_hec::read(&mut section)),
        Some(Type::Elasticsearch) => SinkKind::Elasticsearch(elasticsearch::read(&mut section)),
        Some(Type::Syslog) => SinkKind::Syslog(syslog::read(&mut section)),
        Some(Type::Nats) => SinkKind::Nats(nats::read(&mut section)),
        Some(Type::Kafka) => SinkKind::Kafka(kafka::read(&mut section)),
        // Reported already; its other keys cannot be judged.
        None => {
            section.ignore_rest();
            return None;
        }
    };
    if let Some(feature) = chosen.and_then(Type::missing_feature) {
        let advice = format!("is not in this build; build it with --features {feature}");
        section.report("type", advice);
    }
    let formatting = format::read(&mut section, &kind);
    let kind = match kind {
        SinkKind::SplunkHec(sink) => {
            SinkKind::SplunkHec(sink.with_format(formatting.format.as_str()))
        }
        SinkKind::Nats(sink) => {
            SinkKind::Nats(NatsSink { schema: formatting.format.as_str(), ..sink })
        }
        SinkKind::Kafka(sink) => {
            SinkKind::Kafka(KafkaSink { schema: formatting.format.as_str(), ..sink })
        }
        kind => kind,
    };
    let sink = Sink {
        name,
        formatting,
        test_events: section.boolean("test_events").unwrap_or(false),
        routing: filter::read(&mut section),
        redact: redact::read(&mut section),
        start: section
            .choice("start", &[("oldest", Start::Oldest), ("now", Start::Now)])
            .unwrap_or(Start::Oldest),
        batch: read_batch(section.table("batch"), chosen.unwrap_or(Type::Stdout).batch()),
        concurrency: read_concurrency(&mut section, chosen),
        retry: read_retry(section.table("retry")),
        kind,
    };
    section.finish();
    Some(sink)
}

fn read_batch(mut section: Section<'_>, defaults: BatchLimits) -> BatchLimits {
    let batch = BatchLimits {
        events: section.integer("events", 1).map_or(defaults.events, |events| events as usize),
        bytes: section.size("bytes", 1).map_or(defaults.bytes, |bytes| bytes as usize),
        age: section.duration("age").unwrap_or(defaults.age),
    };
    for (key, is_too_much) in [("events", batch.events > 100_000), ("bytes", batch.bytes > 1 << 27)]
    {
        if is_too_much {
            section.report(key, "must be at most 100000 events and 128 MiB".to_owned());
        }
    }
    section.finish();
    batch
}

fn read_concurrency(section: &mut Section<'_>, kind: Option<Type>) -> usize {
    let concurrency = section.integer("concurrency", 1).unwrap_or(1);
    let is_one_stream =
        matches!(kind, Some(Type::Stdout | Type::File | Type::Syslog | Type::Nats | Type::Kafka));
    if concurrency > 1 && is_one_stream {
        let advice = "must be 1 for this type, which writes one stream; leave it out";
        section.report("concurrency", advice.to_owned());
    } else if concurrency > 64 {
        section.report("concurrency", "must be at most 64".to_owned());
    }
    concurrency as usize
}

fn read_retry(mut section: Section<'_>) -> Retry {
    let defaults = Retry::default();
    let retry = Retry {
        min: section.timeout("min").unwrap_or(defaults.min),
        max: section.timeout("max").unwrap_or(defaults.max),
        give_up: read_give_up(section.table("give_up"), defaults.give_up),
    };
    if retry.min.is_zero() || retry.min > retry.max {
        section.report("min", "must be more than 0 and at most retry.max".to_owned());
    }
    section.finish();
    retry
}

fn read_give_up(mut section: Section<'_>, defaults: GiveUp) -> GiveUp {
    let attempts = section.integer("attempts", 0).map(|attempts| attempts.min(u32::MAX.into()));
    let give_up = GiveUp {
        attempts: attempts.map_or(defaults.attempts, |attempts| attempts as u32),
        after: section.duration("after").unwrap_or(defaults.after),
    };
    section.finish();
    give_up
}
