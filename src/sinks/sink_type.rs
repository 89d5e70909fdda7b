//! The contract of a sink type: the properties and functions that a directory of `sinks/` provides.

use std::fmt;
use std::path::{Path, PathBuf};

use super::objects::ObjectScheme;
use super::{Deliver, Reason, Rendered, SinkFinding};
#[cfg(not(all(
    feature = "kafka",
    feature = "nats",
    feature = "object_store",
    feature = "otlp",
    feature = "postgres"
)))]
use super::{Item, Report};
use crate::format::Format;
use crate::settings::Section;

/// Settings of a sink, which know everything about its type. One line in `sinks/mod.rs` registers an implementation.
pub(crate) trait SinkType: fmt::Debug + Clone + Sized {
    /// Value of `type` in the configuration.
    const NAME: &'static str;
    /// Default size of a batch.
    const BATCH: BatchDefaults;
    /// Default time that an event waits for others: long enough for events that arrive at the same time, and too short
    /// to be noticed.
    const BATCH_AGE: &'static str = "20ms";
    /// True if [`objects`](SinkType::objects) returns a layout.
    const WRITES_OBJECTS: bool = false;
    /// True if the target is one ordered stream, so that `concurrency` must be 1.
    const IS_ORDERED: bool;
    /// Default of `format`.
    const DEFAULT_FORMAT: Format = Format::Native;
    /// True if [`encode`](SinkType::encode) returns the rendered line unchanged.
    const SENDS_LINES: bool = false;
    /// Cargo feature without which this build has no such sink.
    const MISSING_FEATURE: Option<&'static str> = None;

    /// The sink while it runs.
    type Sink: Deliver + fmt::Debug + Send;

    /// Reads the keys of this type. `format` is the format of the sink's events.
    fn read(section: &mut Section<'_>, format: Format) -> Option<Self>;

    /// Returns the default size of a batch with these settings.
    fn batch(&self) -> BatchDefaults {
        Self::BATCH
    }

    /// Returns true if [`encode`](SinkType::encode) returns the rendered line unchanged with these settings.
    fn sends_lines(&self) -> bool {
        Self::SENDS_LINES
    }

    /// Returns advice for operators if the target does not accept lines that are no JSON.
    fn refuses_lines(&self) -> Option<&'static str> {
        Some("leave it out")
    }

    /// Returns the files of credentials and certificates. If the sink cannot deliver, a change of one of them is a
    /// reason to try again.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Returns the local file that the sink writes, if it writes one.
    fn output(&self) -> Option<OutputFile<'_>> {
        None
    }

    /// Returns true if the sink gives the name `path` to an auxiliary file.
    fn takes_name(&self, _path: &Path) -> bool {
        false
    }

    /// Returns the target for operators, without secrets.
    fn target(&self) -> String;

    /// Returns the layout of the objects that the sink writes. A sink with a layout delivers objects, and each of its
    /// items holds one; any other sink delivers events.
    fn objects(&self) -> Option<&dyn ObjectScheme> {
        None
    }

    /// Encodes one event as the target gets it. Pure: the same event always makes the same bytes, so that the target
    /// can recognise a repetition.
    ///
    /// # Errors
    /// Returns the reason why this event cannot be sent.
    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason>;

    /// Makes a sink and reads its credentials and certificates. Connects to nothing.
    ///
    /// # Errors
    /// Returns the change that an operator has to make.
    fn open(&self) -> Result<Self::Sink, Reason>;

    /// Reads credentials and certificates again. The sink keeps the state of its last connection.
    fn reopen(&self, sink: &mut Self::Sink) -> impl Future<Output = Result<(), Reason>> + Send {
        std::future::ready(self.open().map(|opened| *sink = opened))
    }
}

/// Default size of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchDefaults {
    /// Events, as the file would write the number.
    pub(crate) events: &'static str,
    /// Bytes as the target counts them, as the file would write them.
    pub(crate) bytes: &'static str,
}

/// A local file that a sink writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutputFile<'a> {
    pub(crate) path: &'a Path,
    /// Key of the path, if the configuration chooses it.
    pub(crate) key: Option<&'static str>,
}

/// Stands for the running sink of a type that this build does not have. The configuration is refused before one
/// is opened.
#[cfg(not(all(
    feature = "kafka",
    feature = "nats",
    feature = "object_store",
    feature = "otlp",
    feature = "postgres"
)))]
#[derive(Debug)]
pub(crate) enum NotBuilt {}

#[cfg(not(all(
    feature = "kafka",
    feature = "nats",
    feature = "object_store",
    feature = "otlp",
    feature = "postgres"
)))]
impl NotBuilt {
    /// Returns the reason why no such sink can be opened.
    pub(crate) fn reason() -> Reason {
        Reason::new("this build has no sink of this type")
    }
}

#[cfg(not(all(
    feature = "kafka",
    feature = "nats",
    feature = "object_store",
    feature = "otlp",
    feature = "postgres"
)))]
impl Deliver for NotBuilt {
    async fn deliver(&mut self, _items: &[Item]) -> Report {
        match *self {}
    }

    async fn probe(&mut self) -> Result<String, Reason> {
        match *self {}
    }
}
