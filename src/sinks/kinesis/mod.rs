//! `kinesis`: records in a stream of Amazon Kinesis Data Streams.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
//!
//! AWS stores or refuses each record of a request on its own, and recognises no repetition.

mod config;

use std::path::PathBuf;

use super::aws_records::{self, AwsService, probed, report};
use super::{
    BatchDefaults, Deliver, Item, Reason, Rendered, Report, SinkFinding, SinkType, Verdict,
};
use crate::format::Format;
use crate::settings::Section;
pub(crate) use config::KinesisSinkConfig;

/// Upper bound of a partition key, in characters.
const MAX_KEY_CHARS: usize = 256;

impl SinkType for KinesisSinkConfig {
    const NAME: &'static str = "kinesis";
    // Kinesis accepts 500 records and 5 MiB in a request.
    const BATCH: BatchDefaults = BatchDefaults { events: "500", bytes: "5 MB" };
    const IS_ORDERED: bool = false;

    type Sink = Kinesis;

    fn read(section: &mut Section<'_>, _: Format) -> Option<KinesisSinkConfig> {
        config::read(section)
    }

    fn refuses_lines(&self) -> Option<&'static str> {
        None
    }

    fn files(&self) -> Vec<PathBuf> {
        self.client.files().into_iter().chain(self.aws.files()).collect()
    }

    fn target(&self) -> String {
        format!("{}, {}", self.client.origin(), self.stream)
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((encode(&rendered), None))
    }

    fn open(&self) -> Result<Kinesis, Reason> {
        let service = AwsService::open(&self.client, &self.aws, "kinesis")?;
        Ok(Kinesis { service, stream: self.stream.clone() })
    }
}

/// A target of `type = "kinesis"`.
#[derive(Debug)]
pub(crate) struct Kinesis {
    service: AwsService,
    stream: String,
}

/// Returns the record of an event. Events of one flow run have the same partition key, and so the same shard.
fn encode(rendered: &Rendered<'_>) -> Vec<u8> {
    let Rendered { line, event, source } = rendered;
    let key = match event.interaction_id() {
        Some(id) if (1..=MAX_KEY_CHARS).contains(&id.chars().count()) => id.to_owned(),
        _ => event.uid(source),
    };
    // A text cannot fail to serialize.
    let key = serde_json::to_string(&key).unwrap_or_default();
    aws_records::record(line, &format!(",\"PartitionKey\":{key}"))
}

impl Deliver for Kinesis {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let body = aws_records::body("StreamName", &self.stream, items);
        match self.service.call("Kinesis_20131202.PutRecords", body).await {
            Ok(answer) => report(&answer, items.len()),
            Err(verdict) => Report::all(items, verdict),
        }
    }

    /// Asks AWS to describe the stream.
    async fn probe(&mut self) -> Result<String, Reason> {
        let body = format!("{{\"StreamName\":\"{}\"}}", self.stream).into_bytes();
        let answer = self
            .service
            .call("Kinesis_20131202.DescribeStreamSummary", body)
            .await
            .map_err(Verdict::into_reason)?;
        probed(&answer)
    }
}
