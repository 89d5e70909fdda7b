//! Settings of `type = "firehose"`: records for a stream of Amazon Data Firehose.

use crate::aws::AwsConfig;
use crate::http_client::HttpClientConfig;
use crate::settings::Section;
use crate::sinks::aws_records::{parse_stream, read_client};

/// `type = "firehose"`.
#[derive(Debug, Clone)]
pub struct FirehoseSinkConfig {
    /// Connection; the URL is that of the service in the region, without a path.
    pub client: HttpClientConfig,
    pub aws: AwsConfig,
    /// Name of the stream.
    pub stream: String,
}

pub(super) fn read(section: &mut Section<'_>) -> Option<FirehoseSinkConfig> {
    let region = AwsConfig::read_region(section);
    let stream = section.text_as("stream", "Name of the stream.", parse_stream);
    let stream = stream.required("pingone-davinci");
    let client = read_client(section, region.as_deref(), "firehose");
    let aws = AwsConfig::read(section, region);
    Some(FirehoseSinkConfig { client: client?, aws: aws?, stream: stream? })
}
