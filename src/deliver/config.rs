//! `[sinks.NAME]`: the keys that every sink has. Those of its type are in the sink's own directory.

mod filter;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use filter::{FilterConfig, RoutingConfig, SampleConfig};

use crate::event::OutcomeWords;
use crate::format::FormatConfig;
use crate::redact::RedactConfig;
use crate::settings::Section;
use crate::sinks::objects::ObjectScheme;
use crate::sinks::{BatchDefaults, SINK_TYPES, SinkRegistration, TargetConfig};
use crate::spool::Start;

/// One sink.
#[derive(Debug, Clone)]
pub struct SinkConfig {
    /// Name in cursors, metrics and logs.
    pub name: String,
    pub formatting: FormatConfig,
    /// `[outcomes]`, the same for all sinks.
    pub outcomes: Arc<OutcomeWords>,
    /// True if PingOne's connection tests are delivered like events.
    pub test_events: bool,
    pub routing: RoutingConfig,
    /// Rules that are applied before the events are formatted.
    pub redact: Option<RedactConfig>,
    /// Start of a new sink.
    pub start: Start,
    pub batch: BatchConfig,
    /// Upper bound of batches under way at the same time; more than one gives up the order.
    pub concurrency: usize,
    pub retry: RetryConfig,
    /// Type of the sink, and its own keys.
    pub target: TargetConfig,
}

/// Size of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchConfig {
    /// Upper bound of its events.
    pub events: usize,
    /// Upper bound of its bytes, as the target counts them. A single larger event is a batch of its own.
    pub bytes: usize,
    /// Time that an event waits for others.
    pub age: Duration,
}

/// Backoff between attempts: a random part of a time that doubles from `min` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryConfig {
    /// The first time.
    pub min: Duration,
    /// The longest time, also for a wait that the target requests.
    pub max: Duration,
    /// Condition under which an event that fails alone goes to quarantine.
    pub give_up: GiveUpConfig,
}

/// Condition under which an event goes to quarantine that fails alone, while the target accepts others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GiveUpConfig {
    /// Lower bound of the attempts with this event alone; 0: never.
    pub attempts: u32,
    /// Lower bound of the time since the first of them.
    pub after: Duration,
}

/// Name of the sink if none is configured.
pub(crate) const DEFAULT_NAME: &str = "stdout";

/// Upper bounds of a batch.
const MAX_BATCH_EVENTS: u64 = 100_000;
const MAX_BATCH_BYTES: u64 = 128 << 20;

/// Upper bounds of a range of events that go into the same objects. Its objects are in memory together.
const MAX_RANGE_EVENTS: u64 = 10_000_000;
const MAX_RANGE_BYTES: u64 = 1 << 30;

/// Upper bound of a range whose events are in memory uncompressed, in bytes: for Parquet, and without compression.
const MAX_HELD_RANGE_BYTES: usize = 256 << 20;

/// Upper bound of `concurrency`.
const MAX_CONCURRENCY: u64 = 64;

impl SinkConfig {
    /// Reads `[sinks.NAME]`; without any there is one that writes to standard output.
    pub(crate) fn read_all(root: &mut Section<'_>) -> Option<Vec<SinkConfig>> {
        let doc = "Sinks, by their names in metrics and logs. A name must not change.";
        root.named("sinks", doc, (DEFAULT_NAME, &[("type", "stdout")]), |name, section| {
            section.variants("type", "Type of the sink.", SINK_TYPES, |registered, section| {
                read(name, registered, section)
            })
        })
    }
}

fn read(name: &str, registered: SinkRegistration, section: &mut Section<'_>) -> Option<SinkConfig> {
    if let Some(feature) = registered.missing_feature {
        section.report("type", format!("is not in this build; build it with --features {feature}"));
    }
    let formatting = FormatConfig::read(section, registered.default_format);
    let format = formatting.as_ref().map_or(registered.default_format, |config| config.format);
    let target = (registered.read)(section, format);
    let doc = "True: PingOne's connection tests are delivered like events.";
    let test_events = section.boolean("test_events", doc).or("false");
    let routing = RoutingConfig::read(section);
    let redact = RedactConfig::read(section);
    let starts = [("oldest", Start::Oldest), ("now", Start::Now)];
    let doc = "Start of a new sink: the oldest stored event, or the next event.";
    let start = section.choice("start", &starts, doc).or("oldest");
    let defaults = target.as_ref().map_or(registered.batch, TargetConfig::batch);
    let batch =
        section.table("batch", "Size of a batch.", |batch| read_batch(batch, registered, defaults));
    let concurrency = read_concurrency(section, registered.is_ordered);
    let retry = section.table("retry", "Backoff between attempts.", |section| {
        read_retry(section, registered.writes_objects)
    });
    let config = SinkConfig {
        name: name.to_owned(),
        formatting: formatting?,
        outcomes: Arc::default(),
        test_events: test_events?,
        routing: routing?,
        redact: redact?,
        start: start?,
        batch: batch?,
        concurrency: concurrency?,
        retry: retry?,
        target: target?,
    };
    if !config.formatting.format.is_json()
        && let Some(advice) = config.target.refuses_lines()
    {
        let mistake = "makes lines that are no JSON, which this target does not take";
        section.report("format", format!("{mistake}; {advice}"));
    }
    let holds_events = config.target.objects().is_some_and(ObjectScheme::holds_events);
    if holds_events && config.batch.bytes > MAX_HELD_RANGE_BYTES {
        let message = "must be at most 256 MiB with encoding = \"parquet\" or compression = \"none\": the events of a \
                       range are in memory until its objects are written";
        section.report("batch.bytes", message);
    }
    Some(config)
}

fn read_batch(
    section: &mut Section<'_>,
    registered: SinkRegistration,
    defaults: BatchDefaults,
) -> Option<BatchConfig> {
    let (max_events, max_bytes, bytes_doc) = match registered.writes_objects {
        false => (
            MAX_BATCH_EVENTS,
            MAX_BATCH_BYTES,
            "Upper bound of its bytes, as the target counts them. A single larger event is a batch of its own.",
        ),
        true => (
            MAX_RANGE_EVENTS,
            MAX_RANGE_BYTES,
            "Bytes of received events after which their objects are written.",
        ),
    };
    let doc = "Upper bound of its events.";
    let events = section.integer("events", 1..=max_events, doc).or(defaults.events);
    let bytes = section.size("bytes", 1..=max_bytes, bytes_doc).or(defaults.bytes);
    let doc = "Time that an event waits for others.";
    let age = section.duration("age", doc).or(registered.batch_age);
    Some(BatchConfig { events: events? as usize, bytes: bytes? as usize, age: age? })
}

fn read_concurrency(section: &mut Section<'_>, is_ordered: bool) -> Option<usize> {
    let (most, doc) = match is_ordered {
        true => (
            1,
            "Batches under way at the same time. Always 1 for this type, which writes one stream.",
        ),
        false => {
            (MAX_CONCURRENCY, "Batches under way at the same time; more than 1 gives up the order.")
        }
    };
    section.integer("concurrency", 1..=most, doc).or("1").map(|concurrency| concurrency as usize)
}

/// Reads the backoff. An object holds many events, so none of them is given up because the object is refused.
fn read_retry(section: &mut Section<'_>, writes_objects: bool) -> Option<RetryConfig> {
    let min = section.timeout("min", "The first waiting time.").or("1s");
    let doc = "The longest waiting time, also for a Retry-After, and the interval at which a paused sink is tried.";
    let max = section.timeout("max", doc).or("5m");
    let doc = "Condition under which an event that fails alone, while the target accepts others, goes to quarantine.";
    let give_up = if writes_objects {
        Some(GiveUpConfig { attempts: 0, after: Duration::ZERO })
    } else {
        section.table("give_up", doc, read_give_up)
    };
    let retry = RetryConfig { min: min?, max: max?, give_up: give_up? };
    if retry.min > retry.max {
        section.report("min", "must be more than 0 and at most retry.max");
    }
    Some(retry)
}

fn read_give_up(section: &mut Section<'_>) -> Option<GiveUpConfig> {
    let doc = "Lower bound of the attempts with this event alone; 0: never.";
    let attempts = section.integer("attempts", 0..=u64::MAX, doc).or("20");
    let doc = "Lower bound of the time since the first of them.";
    let after = section.duration("after", doc).or("1h");
    let attempts = attempts.map(|attempts| u32::try_from(attempts).unwrap_or(u32::MAX));
    Some(GiveUpConfig { attempts: attempts?, after: after? })
}
