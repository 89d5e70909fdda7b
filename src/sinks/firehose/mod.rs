//! `firehose`: records for a stream of Amazon Data Firehose.
//! <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>
//!
//! AWS stores or refuses each record of a request on its own, and recognises no repetition.

mod config;

use std::path::PathBuf;

use serde::Deserialize;

use super::aws_records::{self, AwsService, probed, report};
use super::{
    BatchDefaults, Deliver, Item, Reason, Rendered, Report, SinkFinding, SinkType, Verdict,
};
use crate::format::Format;
use crate::http_client::{Answer, Class, class_of};
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

/// Description of a stream.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    delivery_stream_description: Description,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    delivery_stream_type: String,
}

/// Returns the result of a probe that describes the stream. Only a stream with the source *Direct PUT* accepts records.
fn described(answer: &Answer) -> Result<String, Reason> {
    let message = probed(answer)?;
    if class_of(answer.status) != Class::Success {
        return Ok(message);
    }
    match serde_json::from_slice::<Described>(&answer.body) {
        Ok(read) if read.delivery_stream_description.delivery_stream_type == "DirectPut" => {
            Ok(message)
        }
        Ok(_) => {
            Err(answer.reason("the stream must have the source Direct PUT; correct stream", None))
        }
        Err(_) => Err(answer.reason("the answer is not one of Firehose; correct endpoint", None)),
    }
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
        described(&answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::tests::answer;

    #[test]
    fn a_probe_refuses_a_stream_with_another_source() {
        let of = |kind: &str| {
            format!("{{\"DeliveryStreamDescription\":{{\"DeliveryStreamType\":\"{kind}\"}}}}")
        };
        let denied = "{\"__type\":\"AccessDeniedException\"}".to_owned();
        for (status, body, expected) in [
            (200, of("DirectPut"), None),
            (400, denied, None),
            (200, of("KinesisStreamAsSource"), Some("source Direct PUT")),
            (200, of("MSKAsSource"), Some("source Direct PUT")),
            (200, "{}".to_owned(), Some("not one of Firehose")),
            (503, String::new(), Some("HTTP 503")),
        ] {
            let found = described(&answer(status, &body)).err().map(|reason| reason.message);
            match (&found, expected) {
                (Some(found), Some(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => assert_eq!(found.is_some(), expected.is_some(), "{body}"),
            }
        }
    }
}
