//! `[spool]`: where events are stored until every sink has them, how much disk they take, and how long ids are
//! remembered.

use std::path::PathBuf;
use std::time::Duration;

use super::{Engine, Shares};
use crate::nats::NatsConfig;
use crate::settings::Section;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// Divisor of `max_size` that bounds the quarantine: its entries take up to three times as much on disk. The
/// default is half of that.
const QUARANTINE_SHARE: u64 = 4;

/// Default of `dedup.window` on JetStream, whose servers store the events as long as their ids are remembered.
const JETSTREAM_WINDOW: Duration = Duration::from_mins(30);

/// Default of `dedup.window` on the embedded engine.
const EMBEDDED_WINDOW: Duration = Duration::from_hours(14 * 24);

/// Space for the metadata of as many refused events as one body may hold, in bytes.
const METADATA_BYTES: u64 = MIB;

/// Layout and bounds of the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// The engine that stores the events, and its own keys.
    pub engine: Engine,
    /// Directory of the embedded engine's files; created if missing.
    pub directory: PathBuf,
    /// Upper bound of the spool on disk, in bytes; of each replica.
    pub max_size: u64,
    /// Upper bound of the quarantine's entries, in bytes.
    pub quarantine_max_size: u64,
    /// Time that events stay after every sink has committed them.
    pub retention: Duration,
    /// Time that an id is remembered.
    pub dedup_window: Duration,
    /// Upper bound of the remembered ids; each takes 16 bytes on disk and about 22 in memory, 40 with JetStream.
    pub dedup_max_ids: u64,
    /// True if a commit waits for stable storage. No key sets this: only benchmarks turn it off, to measure the
    /// cost.
    pub sync: bool,
}

/// Position at which a sink starts that is new to the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The oldest event that is still stored.
    Oldest,
    /// The next event that is received.
    Now,
}

/// JetStream's servers, and what the engine stores there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JetStreamConfig {
    /// Servers and credentials.
    pub nats: NatsConfig,
    /// Name of the stream, and prefix of the quarantine's stream and of the bucket of sinks. Receivers with the
    /// same name share everything.
    pub stream: String,
    /// Number of servers that store each event.
    pub replicas: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EngineName {
    Embedded,
    JetStream,
}

impl SpoolConfig {
    /// Reads `[spool]`. `body` is the upper bound of one body, in bytes; the quarantine has to hold one.
    pub(crate) fn read(section: &mut Section<'_>, body: u64) -> Option<SpoolConfig> {
        let engines = [("embedded", EngineName::Embedded), ("jetstream", EngineName::JetStream)];
        let doc = "Engine that stores the events; jetstream is for several receivers.";
        let name = section.choice("engine", &engines, doc).or("embedded");
        let is_embedded = name != Some(EngineName::JetStream);
        let engine = read_engine(section, is_embedded);
        let doc = "Directory of the stored events.";
        let directory = section.path("directory", doc).or("data");
        let doc = "Upper bound of the spool on disk. Above 95 % of it, requests are answered with 503 until it \
                   has fallen to 70 %.";
        let max_size = section.size("max_size", MIB..=u64::MAX, doc).or("10 GiB");
        let doc = "Upper bound of the quarantine, a part of max_size. Default: an eighth of max_size, at most 1 GiB.";
        let quarantine = section.size("quarantine_max_size", MIB..=u64::MAX, doc).optional();
        let doc = "Time that events stay after every sink has them; they make room for new events at once above \
                   70 % of max_size.";
        let retention = section.duration("retention", doc).or("0s");
        let dedup = section.table(
            "dedup",
            "Ids that are remembered to recognise repeated events.",
            |dedup| read_dedup(dedup, is_embedded),
        );
        let (dedup_window, dedup_max_ids) = dedup?;
        let (max_size, quarantine) = (max_size?, quarantine?);
        let share = if is_embedded { 2 * QUARANTINE_SHARE } else { QUARANTINE_SHARE };
        let mut config = SpoolConfig {
            engine: engine?,
            directory: directory?,
            max_size,
            quarantine_max_size: quarantine.unwrap_or(GIB.min(max_size / share)),
            retention: retention?,
            dedup_window,
            dedup_max_ids,
            sync: true,
        };
        // In a small spool, the default quarantine is only as large as one body needs.
        let is_small = max_size < Shares::of(&config).least_max_size(body);
        let least = body.saturating_add(METADATA_BYTES);
        if quarantine.is_none() && is_embedded && (is_small || config.quarantine_max_size < least) {
            config.quarantine_max_size = least;
        }
        Some(config)
    }

    /// Returns the key and the message of a bound that leaves no room for one body of `body` bytes beside
    /// everything else that the spool holds.
    pub(crate) fn mistake(&self, body: u64) -> Option<(&'static str, String)> {
        let one_body = body.saturating_add(METADATA_BYTES);
        let share = self.max_size / QUARANTINE_SHARE;
        if let Some(message) = self.too_small(body) {
            return Some(("spool.max_size", message));
        }
        let message = if self.quarantine_max_size < one_body {
            format!(
                "must be at least {}, limits.body and 1 MiB, so that one body finds room. Raise it, or lower \
                 limits.body",
                at_least(one_body)
            )
        } else if self.quarantine_max_size > share {
            format!(
                "must be at most {}, a quarter of spool.max_size, so that the rest is for events. Lower it, or \
                 raise spool.max_size",
                size(share)
            )
        } else {
            return None;
        };
        Some(("spool.quarantine_max_size", message))
    }

    /// Returns the message about a `max_size` that leaves no room for events.
    fn too_small(&self, body: u64) -> Option<String> {
        if self.engine != Engine::Embedded {
            let floor = body.saturating_add(METADATA_BYTES).saturating_mul(QUARANTINE_SHARE);
            let message = || {
                format!(
                    "must be at least {}, four times limits.body and 4 MiB. Raise it, or lower limits.body",
                    at_least(floor)
                )
            };
            return (self.max_size < floor).then(message);
        }
        let shares = Shares::of(self);
        let least = shares.least_max_size(body);
        let message = || {
            format!(
                "is {}, and has to be at least {}, so that events find room beside the rest: {} for the ids of \
                 spool.dedup.max_ids, {} for the quarantine (three times spool.quarantine_max_size), {} for the \
                 write-ahead log, {} for one body (limits.body), and 5 % spare. Raise it, or lower \
                 spool.dedup.max_ids, spool.quarantine_max_size or limits.body",
                size(self.max_size),
                at_least(least),
                size(shares.ids),
                size(shares.quarantine),
                size(shares.log),
                size(body),
            )
        };
        (self.max_size < least).then(message)
    }
}

fn read_dedup(section: &mut Section<'_>, is_embedded: bool) -> Option<(Duration, u64)> {
    let window = if is_embedded { EMBEDDED_WINDOW } else { JETSTREAM_WINDOW };
    let doc = "Time that an id is remembered.";
    let window = section.duration("window", doc).or_value(window, "14d; 30m with jetstream");
    let doc = "Upper bound of the remembered ids; each takes about 22 bytes of memory, 40 with jetstream.";
    let max_ids = section.integer("max_ids", 1000..=u64::MAX, doc).or("10000000");
    Some((window?, max_ids?))
}

fn read_engine(section: &mut Section<'_>, is_embedded: bool) -> Option<Engine> {
    let doc = "Servers and stream of engine = \"jetstream\".";
    if is_embedded {
        if section.is_given("jetstream") {
            section.report("jetstream", "is for engine = \"jetstream\"; leave it out");
        }
        return section.optional_table("jetstream", doc, read_jetstream).map(|_| Engine::Embedded);
    }
    let jetstream = section.table("jetstream", doc, read_jetstream);
    #[cfg(feature = "nats")]
    return jetstream.map(|jetstream| Engine::Jetstream(Box::new(jetstream)));
    #[cfg(not(feature = "nats"))]
    {
        let advice =
            "this program was built without the feature nats, which engine = \"jetstream\" needs";
        section.report("engine", advice);
        jetstream.map(|_| Engine::Embedded)
    }
}

fn read_jetstream(section: &mut Section<'_>) -> Option<JetStreamConfig> {
    let nats = NatsConfig::read(section);
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let doc = "Name of the stream. Receivers with the same name share everything.";
    let stream = section.text_as("stream", doc, |name| {
        match !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
            true => Ok(name.to_owned()),
            false => Err("must be 1 to 64 of a-z, 0-9, - and _; rename it".to_owned()),
        }
    });
    let stream = stream.or("davinci-siem");
    let doc = "Number of servers that store each event.";
    let replicas = section.integer("replicas", 1..=5, doc).or("3");
    let replicas = replicas.map(|replicas| replicas as usize);
    Some(JetStreamConfig { nats: nats?, stream: stream?, replicas: replicas? })
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// Returns a size in whole MiB, rounded up, so that the named size is enough.
fn at_least(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(MIB))
}
