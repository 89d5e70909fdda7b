//! `[sinks.NAME]`: where events go. Shared keys first, then those of each type.

use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;

/// One target.
#[derive(Debug, Clone)]
pub struct Sink {
    /// Its name in cursors, metrics and logs.
    pub name: String,
    /// What an event is turned into.
    pub format: Format,
    /// Whether an event is wrapped as `{"received_at","source","event"}`.
    pub wrap: bool,
    /// Whether PingOne's connection tests are delivered like events.
    pub test_events: bool,
    /// How much is sent at once.
    pub batch: BatchLimits,
    /// How long to wait between attempts.
    pub retry: Retry,
    /// The type and its own keys.
    pub kind: SinkKind,
}

/// What an event is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The original JSON on one line.
    Native,
}

/// How much is sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Events.
    pub events: usize,
    /// Bytes after formatting; a single larger event is a batch of its own.
    pub bytes: usize,
}

/// Waiting times between attempts: a random part of a time that doubles from `min` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The first time.
    pub min: Duration,
    /// The longest time.
    pub max: Duration,
}

/// A sink's type and its own keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkKind {
    /// One line per event on standard output.
    Stdout,
    /// One line per event in a file.
    File(FileSink),
}

/// `type = "file"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSink {
    /// The file that is appended to.
    pub path: PathBuf,
    /// Bytes after which the file is rotated; `None` for never.
    pub rotate_size: Option<u64>,
    /// Age after which the file is rotated; `None` for never.
    pub rotate_age: Option<Duration>,
    /// Whether rotated files are compressed.
    pub gzip: bool,
    /// How many rotated files are kept; `None` for all.
    pub keep: Option<usize>,
}

impl Sink {
    /// Whether both would write to the same place.
    pub(super) fn writes_to_same(&self, other: &Sink) -> bool {
        match (&self.kind, &other.kind) {
            (SinkKind::Stdout, SinkKind::Stdout) => true,
            (SinkKind::File(one), SinkKind::File(two)) => one.path == two.path,
            _ => false,
        }
    }
}

pub(super) fn read_all(sections: Vec<(String, Section<'_>)>) -> Vec<Sink> {
    if sections.is_empty() {
        return vec![Sink {
            name: "stdout".to_owned(),
            format: Format::Native,
            wrap: false,
            test_events: false,
            batch: BatchLimits { events: 1000, bytes: 1024 * 1024 },
            retry: Retry { min: Duration::from_secs(1), max: Duration::from_mins(5) },
            kind: SinkKind::Stdout,
        }];
    }
    sections.into_iter().map(|(name, section)| read(name, section)).collect()
}

fn read(name: String, mut section: Section<'_>) -> Sink {
    #[derive(Clone, Copy)]
    enum Type {
        Stdout,
        File,
    }
    let types = [("stdout", Type::Stdout), ("file", Type::File)];
    if section.is_missing("type") {
        section.report("type", "is missing; write type = \"stdout\" or \"file\"".to_owned());
    }
    let kind = match section.choice("type", &types) {
        Some(Type::File) => SinkKind::File(read_file(&mut section)),
        Some(Type::Stdout) => SinkKind::Stdout,
        // Reported already; its other keys cannot be judged.
        None => {
            section.ignore_rest();
            SinkKind::Stdout
        }
    };
    let mut batch = section.table("batch");
    let mut retry = section.table("retry");
    let sink = Sink {
        name,
        format: section.choice("format", &[("native", Format::Native)]).unwrap_or(Format::Native),
        wrap: section.boolean("wrap").unwrap_or(false),
        test_events: section.boolean("test_events").unwrap_or(false),
        batch: BatchLimits {
            events: batch.integer("events", 1).unwrap_or(1000) as usize,
            bytes: batch.size("bytes", 1).unwrap_or(1024 * 1024) as usize,
        },
        retry: Retry {
            min: retry.duration("min").unwrap_or(Duration::from_secs(1)),
            max: retry.duration("max").unwrap_or(Duration::from_mins(5)),
        },
        kind,
    };
    if sink.retry.min.is_zero() || sink.retry.min > sink.retry.max {
        retry.report("min", "must be more than 0 and at most retry.max".to_owned());
    }
    batch.finish();
    retry.finish();
    section.finish();
    sink
}

fn read_file(section: &mut Section<'_>) -> FileSink {
    let path = section.required_text("path", "/var/log/davinci/events.ndjson").unwrap_or_default();
    let mut rotate = section.table("rotate");
    let file = FileSink {
        path: PathBuf::from(path),
        rotate_size: rotate.size("size", 4096),
        rotate_age: rotate.duration("age"),
        gzip: rotate.boolean("gzip").unwrap_or(true),
        keep: rotate.integer("keep", 1).map(|keep| keep as usize),
    };
    rotate.finish();
    file
}
