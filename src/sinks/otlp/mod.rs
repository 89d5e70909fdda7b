//! `otlp`: logs for a receiver of the OpenTelemetry protocol, over HTTP with protobuf. The sink itself needs the cargo
//! feature `otlp`.
//! <https://opentelemetry.io/docs/specs/otlp/>
//!
//! The protocol recognises no repetition: `log.record.uid` is the same in each copy of an event.

#[cfg(feature = "otlp")]
mod answer;
mod config;
#[cfg(feature = "otlp")]
mod encode;
#[cfg(feature = "otlp")]
mod messages;
#[cfg(feature = "otlp")]
mod sink;

use std::path::PathBuf;

use super::{BatchDefaults, Reason, Rendered, SinkFinding, SinkType};
use crate::format::Format;
use crate::settings::Section;
pub(crate) use config::OtlpSinkConfig;

impl SinkType for OtlpSinkConfig {
    const NAME: &'static str = "otlp";
    // OpenTelemetry's collector accepts 20 MiB in a request, some vendors 1 MB: below it, with a margin for the resource.
    const BATCH: BatchDefaults = BatchDefaults { events: "1000", bytes: "900 kB" };
    const IS_ORDERED: bool = false;
    const MISSING_FEATURE: Option<&'static str> =
        if cfg!(feature = "otlp") { None } else { Some("otlp") };

    #[cfg(feature = "otlp")]
    type Sink = sink::Otlp;
    #[cfg(not(feature = "otlp"))]
    type Sink = super::sink_type::NotBuilt;

    fn read(section: &mut Section<'_>, _: Format) -> Option<OtlpSinkConfig> {
        config::read(section)
    }

    fn refuses_lines(&self) -> Option<&'static str> {
        None
    }

    fn files(&self) -> Vec<PathBuf> {
        let headers = self.headers.iter().filter_map(|header| header.file());
        let files = self.client.files().into_iter().chain(self.authorization.file());
        files.chain(headers).collect()
    }

    fn target(&self) -> String {
        self.client.origin()
    }

    #[cfg(feature = "otlp")]
    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((encode::encode(rendered), None))
    }

    #[cfg(not(feature = "otlp"))]
    fn encode(&self, _: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Err(super::sink_type::NotBuilt::reason())
    }

    fn open(&self) -> Result<Self::Sink, Reason> {
        #[cfg(feature = "otlp")]
        return sink::Otlp::open(self);
        #[cfg(not(feature = "otlp"))]
        return Err(super::sink_type::NotBuilt::reason());
    }
}

#[cfg(feature = "otlp")]
#[cfg(test)]
mod tests;
