//! `nats`: messages to a stream of NATS JetStream. The sink itself needs the cargo feature `nats`.

#[cfg(feature = "nats")]
mod answer;
mod config;
#[cfg(feature = "nats")]
mod connection;
mod encode;
#[cfg(feature = "nats")]
mod sink;

use std::path::PathBuf;

use super::{BatchDefaults, Reason, Rendered, SinkFinding, SinkType};
use crate::format::Format;
use crate::settings::Section;
pub(crate) use config::{NatsSinkConfig, Subject, SubjectPart};

impl SinkType for NatsSinkConfig {
    const NAME: &'static str = "nats";
    // The acknowledgements of a batch are awaited together.
    const BATCH: BatchDefaults = BatchDefaults { events: "1000", bytes: "1 MiB" };
    const IS_ORDERED: bool = true;
    const MISSING_FEATURE: Option<&'static str> =
        if cfg!(feature = "nats") { None } else { Some("nats") };

    #[cfg(feature = "nats")]
    type Sink = sink::Nats;
    #[cfg(not(feature = "nats"))]
    type Sink = super::sink_type::NotBuilt;

    fn read(section: &mut Section<'_>, format: Format) -> Option<NatsSinkConfig> {
        config::read(section, format)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.connection.files()
    }

    fn target(&self) -> String {
        format!("{}, {}", self.connection, self.subject.pattern())
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((encode::encode(self, rendered), None))
    }

    fn open(&self) -> Result<Self::Sink, Reason> {
        #[cfg(feature = "nats")]
        return Ok(sink::Nats::open(self));
        #[cfg(not(feature = "nats"))]
        return Err(super::sink_type::NotBuilt::reason());
    }
}

#[cfg(feature = "nats")]
#[cfg(test)]
mod tests;
