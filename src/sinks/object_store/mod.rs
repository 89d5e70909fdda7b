//! `object_store`: objects in Amazon S3 and compatible stores, Azure Blob Storage and Google Cloud Storage. The sink
//! itself needs the cargo feature `object_store`.
//!
//! An object holds the events of one source and one hour of receipt within a planned range of positions, one JSON
//! document per line. It is written once, by a request that the store refuses if the object exists. An object that
//! exists is from an earlier attempt with the same range, since the range's random id is part of the name. If there was
//! no earlier attempt, the store's refusal is no acknowledgement: `deliver` plans the range again under another id.

#[cfg(feature = "object_store")]
mod answer;
#[cfg(feature = "object_store")]
mod assumed_role;
mod aws;
mod azure_blob;
#[cfg(feature = "parquet")]
mod columns;
mod config;
#[cfg(feature = "object_store")]
mod credentials;
#[cfg(feature = "object_store")]
mod exchange;
mod key;
mod ndjson;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "parquet")]
mod shred;
#[cfg(feature = "object_store")]
mod sink;
#[cfg(feature = "object_store")]
mod store;

use std::path::PathBuf;

use super::objects::{ObjectPacker, ObjectRange, ObjectScheme};
use super::{BatchDefaults, Reason, Rendered, SinkFinding, SinkType};
use crate::format::Format;
use crate::http_client::Compression;
use crate::settings::Section;
pub(crate) use config::ObjectStoreSinkConfig;

impl SinkType for ObjectStoreSinkConfig {
    const NAME: &'static str = "object_store";
    // The events of a range, as received. JSON of events shrinks to about a tenth.
    const BATCH: BatchDefaults = BatchDefaults { events: "1000000", bytes: "64 MiB" };
    const BATCH_AGE: &'static str = "5m";
    const IS_ORDERED: bool = true;
    const WRITES_OBJECTS: bool = true;
    const SENDS_LINES: bool = true;
    const MISSING_FEATURE: Option<&'static str> =
        if cfg!(feature = "object_store") { None } else { Some("object_store") };

    #[cfg(feature = "object_store")]
    type Sink = sink::ObjectStoreSink;
    #[cfg(not(feature = "object_store"))]
    type Sink = super::sink_type::NotBuilt;

    fn read(section: &mut Section<'_>, format: Format) -> Option<ObjectStoreSinkConfig> {
        config::read(section, format)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.client.files().into_iter().chain(self.store.files()).collect()
    }

    fn target(&self) -> String {
        let bucket = self.store.bucket();
        let origin = self.client.origin();
        if self.prefix.is_empty() {
            return format!("{origin}, {bucket}");
        }
        format!("{origin}, {bucket}/{}", self.prefix)
    }

    fn objects(&self) -> Option<&dyn ObjectScheme> {
        Some(self)
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((rendered.line, None))
    }

    fn open(&self) -> Result<Self::Sink, Reason> {
        #[cfg(feature = "object_store")]
        return sink::ObjectStoreSink::open(self);
        #[cfg(not(feature = "object_store"))]
        return Err(super::sink_type::NotBuilt::reason());
    }

    #[cfg(feature = "object_store")]
    async fn reopen(&self, sink: &mut Self::Sink) -> Result<(), Reason> {
        sink.reopen(self)
    }
}

#[cfg(not(feature = "object_store"))]
const _: () = ();

impl ObjectScheme for ObjectStoreSinkConfig {
    fn settings(&self) -> String {
        let bucket = self.store.bucket();
        let ObjectStoreSinkConfig { client, prefix, encoding, security_lake, .. } = self;
        let ending = ndjson::ending(client.compression);
        format!("{} {bucket} {prefix} {encoding:?} {security_lake:?} {ending}", client.url)
    }

    fn holds_events(&self) -> bool {
        self.encoding == config::ObjectEncoding::Parquet
            || self.client.compression == Compression::None
    }

    fn pack(&self, range: ObjectRange) -> Box<dyn ObjectPacker> {
        #[cfg(feature = "parquet")]
        if self.encoding == config::ObjectEncoding::Parquet {
            let lake = self.security_lake.as_ref();
            return Box::new(parquet::ParquetPacker::new(&self.prefix, lake, range));
        }
        Box::new(ndjson::NdjsonPacker::new(&self.prefix, self.client.compression, range))
    }
}

#[cfg(feature = "object_store")]
#[cfg(test)]
mod tests;
