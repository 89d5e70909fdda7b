//! `kafka`: records in a topic of Apache Kafka, or of Azure Event Hubs. The sink itself needs the cargo feature `kafka`.

#[cfg(feature = "kafka")]
mod answer;
mod config;
#[cfg(feature = "kafka")]
mod oauth;
#[cfg(feature = "kafka")]
mod producer;
mod profile;
#[cfg(feature = "kafka")]
mod sink;

use std::borrow::Cow;
use std::path::PathBuf;

use super::{BatchDefaults, Reason, Rendered, SinkFinding, SinkType, record};
use crate::azure::EntraConfig;
use crate::format::Format;
use crate::settings::Section;
pub(crate) use config::KafkaSinkConfig;

impl SinkType for KafkaSinkConfig {
    const NAME: &'static str = "kafka";
    // The client splits a batch into requests itself, for several partitions at a time.
    const BATCH: BatchDefaults = BatchDefaults { events: "2000", bytes: "2 MiB" };
    const IS_ORDERED: bool = true;
    const MISSING_FEATURE: Option<&'static str> =
        if cfg!(feature = "kafka") { None } else { Some("kafka") };

    #[cfg(feature = "kafka")]
    type Sink = sink::Kafka;
    #[cfg(not(feature = "kafka"))]
    type Sink = super::sink_type::NotBuilt;

    fn read(section: &mut Section<'_>, format: Format) -> Option<KafkaSinkConfig> {
        config::read(section, format)
    }

    fn files(&self) -> Vec<PathBuf> {
        let password = self.sasl.as_ref().and_then(|sasl| sasl.password.file());
        let entra = self.entra.as_ref().and_then(EntraConfig::file);
        self.tls.files().into_iter().chain(password.map(PathBuf::from)).chain(entra).collect()
    }

    fn target(&self) -> String {
        format!("{}, {}", self.brokers.join(", "), self.topic)
    }

    /// Encodes an event and its key: the flow run, if the event is part of one.
    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        let key = rendered.event.interaction_id().map(Cow::Borrowed);
        Ok((record::encode(rendered, key), None))
    }

    fn open(&self) -> Result<Self::Sink, Reason> {
        #[cfg(feature = "kafka")]
        return sink::Kafka::open(self);
        #[cfg(not(feature = "kafka"))]
        return Err(super::sink_type::NotBuilt::reason());
    }
}

#[cfg(feature = "kafka")]
#[cfg(test)]
mod tests;
