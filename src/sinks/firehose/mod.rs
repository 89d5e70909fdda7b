//! `firehose`: records for a stream of Amazon Data Firehose.
//! <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>
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
pub(crate) use config::FirehoseSinkConfig;

impl SinkType for FirehoseSinkConfig {
    const NAME: &'static str = "firehose";
    // Firehose accepts 500 records and 4 MiB in a request, counted without base64.
    const BATCH: BatchDefaults = BatchDefaults { events: "500", bytes: "4 MB" };
    const IS_ORDERED: bool = false;

    type Sink = Firehose;

    fn read(section: &mut Section<'_>, _: Format) -> Option<FirehoseSinkConfig> {
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

    fn open(&self) -> Result<Firehose, Reason> {
        let service = AwsService::open(&self.client, &self.aws, "firehose")?;
        Ok(Firehose { service, stream: self.stream.clone() })
    }
}

/// A target of `type = "firehose"`.
#[derive(Debug)]
pub(crate) struct Firehose {
    service: AwsService,
    stream: String,
}

/// Returns the record of an event. Firehose joins records without a separator.
fn encode(rendered: &Rendered<'_>) -> Vec<u8> {
    let mut line = rendered.line.clone();
    line.push(b'\n');
    aws_records::record(&line, "")
}

impl Deliver for Firehose {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let body = aws_records::body("DeliveryStreamName", &self.stream, items);
        match self.service.call("Firehose_20150804.PutRecordBatch", body).await {
            Ok(answer) => report(&answer, items.len()),
            Err(verdict) => Report::all(items, verdict),
        }
    }

    /// Asks AWS to describe the stream.
    async fn probe(&mut self) -> Result<String, Reason> {
        let body = format!("{{\"DeliveryStreamName\":\"{}\"}}", self.stream).into_bytes();
        let answer = self
            .service
            .call("Firehose_20150804.DescribeDeliveryStream", body)
            .await
            .map_err(Verdict::into_reason)?;
        probed(&answer)
    }
}
