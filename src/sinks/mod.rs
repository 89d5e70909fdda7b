//! Sinks: each sends items to one target and returns the target's verdict on each item.
//!
//! A sink is one directory and one line of `sink_types!`. It knows no spool, no other sink and no policy: it tries
//! once per call. `deliver` decides about retries, splits, pauses and dead letters.

mod aws_records;
mod clickhouse;
mod datadog;
mod elasticsearch;
mod event_ids;
mod file;
mod firehose;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod google_api;
mod google_secops;
mod http;
mod kafka;
mod kinesis;
mod loki;
mod nats;
mod object_store;
pub(crate) mod objects;
mod otlp;
mod postgres;
mod pubsub;
mod record;
mod sentinel;
mod sink_type;
mod splunk_hec;
mod stdout;
mod stream;
mod syslog;
mod verdict;

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::event::Event;
use crate::format::Format;
use crate::settings::Section;

pub(crate) use sink_type::{BatchDefaults, OutputFile, SinkType};
pub(crate) use verdict::{Reason, Report, SinkFinding, Verdict};

/// An event in its format, before the target's own encoding.
#[derive(Debug)]
pub(crate) struct Rendered<'a> {
    /// The formatted event: one line, without the line break.
    pub line: Vec<u8>,
    pub event: &'a Event<'a>,
    /// Name of its source.
    pub source: &'a str,
}

/// One event as the target gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub position: u64,
    /// Its bytes on the wire, envelope included, without a separator.
    pub payload: Bytes,
}

/// A running sink.
pub(crate) trait Deliver {
    /// Tries to deliver all items, once, in order. The report holds one verdict per item.
    fn deliver(&mut self, items: &[Item]) -> impl Future<Output = Report> + Send;

    /// Checks without sending an event that the target would accept one. Returns the target's answer for operators.
    fn probe(&mut self) -> impl Future<Output = Result<String, Reason>> + Send;

    /// Ends the connection in order, if the protocol has a way to do so.
    fn close(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Makes the enums of all sink types, and every match over them, from one line for each type.
macro_rules! sink_types {
    ($($(#[$doc:meta])* $Type:ident($Config:ty),)+) => {
        /// Settings of a sink's type.
        #[derive(Debug, Clone)]
        pub enum TargetConfig {
            $($(#[$doc])* $Type($Config),)+
        }

        /// A running sink.
        #[derive(Debug)]
        pub(crate) enum Sink {
            $($(#[$doc])* $Type(Box<<$Config as SinkType>::Sink>),)+
        }

        /// All sink types, by their names in the configuration.
        pub(crate) const SINK_TYPES: &[(&str, SinkRegistration)] =
            &[$((<$Config as SinkType>::NAME, registered!($Type($Config))),)+];

        // The functions of `SinkType`, for the configured type.
        impl TargetConfig {
            pub(crate) fn batch(&self) -> BatchDefaults {
                match self { $(Self::$Type(config) => config.batch(),)+ }
            }

            pub(crate) fn refuses_lines(&self) -> Option<&'static str> {
                match self { $(Self::$Type(config) => config.refuses_lines(),)+ }
            }

            pub(crate) fn sends_lines(&self) -> bool {
                match self { $(Self::$Type(config) => config.sends_lines(),)+ }
            }

            pub fn files(&self) -> Vec<PathBuf> {
                match self { $(Self::$Type(config) => config.files(),)+ }
            }

            pub(crate) fn output(&self) -> Option<OutputFile<'_>> {
                match self { $(Self::$Type(config) => config.output(),)+ }
            }

            pub(crate) fn takes_name(&self, path: &Path) -> bool {
                match self { $(Self::$Type(config) => config.takes_name(path),)+ }
            }

            pub(crate) fn objects(&self) -> Option<&dyn objects::ObjectScheme> {
                match self { $(Self::$Type(config) => config.objects(),)+ }
            }

            /// Returns the value of `type` in the configuration.
            pub(crate) fn kind(&self) -> &'static str {
                match self { $(Self::$Type(_) => <$Config as SinkType>::NAME,)+ }
            }

            pub(crate) fn target(&self) -> String {
                match self { $(Self::$Type(config) => config.target(),)+ }
            }

            /// Encodes one event as the target gets it. Pure: the same event always makes the same bytes.
            ///
            /// # Errors
            /// Returns the reason why this event cannot be sent.
            pub(crate) fn encode(
                &self,
                rendered: Rendered<'_>,
            ) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
                match self { $(Self::$Type(config) => config.encode(rendered),)+ }
            }

            /// Makes a sink and reads its credentials and certificates. Connects to nothing.
            ///
            /// # Errors
            /// Returns the change that an operator has to make.
            pub(crate) fn open(&self) -> Result<Sink, Reason> {
                Ok(match self { $(Self::$Type(config) => Sink::$Type(Box::new(config.open()?)),)+ })
            }
        }

        impl Sink {
            /// Reads credentials and certificates again. The sink keeps the state of its last connection.
            ///
            /// # Errors
            /// Returns the change that an operator has to make.
            pub(crate) async fn reopen(&mut self, config: &TargetConfig) -> Result<(), Reason> {
                match (self, config) {
                    $((Self::$Type(sink), TargetConfig::$Type(config)) => config.reopen(sink).await,)+
                    (sink, config) => config.open().map(|opened| *sink = opened),
                }
            }
        }

        impl Deliver for Sink {
            async fn deliver(&mut self, items: &[Item]) -> Report {
                match self { $(Self::$Type(sink) => sink.deliver(items).await,)+ }
            }

            async fn probe(&mut self) -> Result<String, Reason> {
                match self { $(Self::$Type(sink) => sink.probe().await,)+ }
            }

            async fn close(&mut self) {
                match self { $(Self::$Type(sink) => sink.close().await,)+ }
            }
        }
    };
}

/// Makes the properties of one sink type.
macro_rules! registered {
    ($Type:ident($Config:ty)) => {
        SinkRegistration {
            batch: <$Config as SinkType>::BATCH,
            batch_age: <$Config as SinkType>::BATCH_AGE,
            writes_objects: <$Config as SinkType>::WRITES_OBJECTS,
            is_ordered: <$Config as SinkType>::IS_ORDERED,
            default_format: <$Config as SinkType>::DEFAULT_FORMAT,
            missing_feature: <$Config as SinkType>::MISSING_FEATURE,
            read: |section, format| {
                <$Config as SinkType>::read(section, format).map(TargetConfig::$Type)
            },
        }
    };
}

sink_types! {
    /// Lines on standard output.
    Stdout(stdout::StdoutSinkConfig),
    /// Lines in a file.
    File(file::FileSinkConfig),
    /// POST requests to any URL.
    Http(http::HttpSinkConfig),
    /// Splunk's HTTP Event Collector.
    SplunkHec(splunk_hec::SplunkHecSinkConfig),
    /// The bulk API of Elasticsearch and OpenSearch.
    Elasticsearch(elasticsearch::ElasticsearchSinkConfig),
    /// Grafana Loki.
    Loki(loki::LokiSinkConfig),
    /// Tables of ClickHouse.
    Clickhouse(clickhouse::ClickhouseSinkConfig),
    /// Tables of PostgreSQL.
    Postgres(postgres::PostgresSinkConfig),
    /// Microsoft Sentinel, by the Logs Ingestion API of Azure Monitor.
    Sentinel(sentinel::SentinelSinkConfig),
    /// The logs intake of Datadog.
    Datadog(datadog::DatadogSinkConfig),
    /// Receivers of OTLP logs.
    Otlp(otlp::OtlpSinkConfig),
    /// Google Security Operations, by the Chronicle API.
    GoogleSecops(google_secops::GoogleSecopsSinkConfig),
    /// Topics of Google Cloud Pub/Sub.
    Pubsub(pubsub::PubsubSinkConfig),
    /// Streams of Amazon Kinesis Data Streams.
    Kinesis(kinesis::KinesisSinkConfig),
    /// Streams of Amazon Data Firehose.
    Firehose(firehose::FirehoseSinkConfig),
    /// Syslog over UDP, TCP or TLS.
    Syslog(syslog::SyslogSinkConfig),
    /// Streams of NATS JetStream.
    Nats(nats::NatsSinkConfig),
    /// Topics of Kafka.
    Kafka(kafka::KafkaSinkConfig),
    /// Objects in S3, Azure Blob Storage or Google Cloud Storage.
    ObjectStore(object_store::ObjectStoreSinkConfig),
}

/// Properties of one sink type that a configuration needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SinkRegistration {
    pub(crate) batch: BatchDefaults,
    /// Default time that an event waits for others.
    pub(crate) batch_age: &'static str,
    /// True if an item of the sink is an object with many events.
    pub(crate) writes_objects: bool,
    /// True if `concurrency` must be 1.
    pub(crate) is_ordered: bool,
    pub(crate) default_format: Format,
    /// Cargo feature without which this build has no such sink.
    pub(crate) missing_feature: Option<&'static str>,
    /// Reads the keys of the type.
    pub(crate) read: fn(&mut Section<'_>, Format) -> Option<TargetConfig>,
}

/// Returns the items' payloads, one line each.
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
