//! Settings of `type = "elasticsearch"`: the bulk API of Elasticsearch and OpenSearch.

use crate::aws::AwsConfig;
use crate::format::Format;
use crate::http_client::{Authorization, HttpClientConfig, NONE_OR_GZIP};
use crate::settings::Section;

/// `type = "elasticsearch"`.
#[derive(Debug, Clone)]
pub struct ElasticsearchSinkConfig {
    /// Connection; the URL has no path, or the path that a proxy adds.
    pub client: HttpClientConfig,
    pub authorization: Authorization,
    /// Credentials of AWS, for Amazon OpenSearch Service.
    pub aws: Option<AwsConfig>,
    /// The product, which decides about the parameters of a request.
    pub flavor: Flavor,
    /// The data stream that is written.
    pub data_stream: String,
    /// The ingest pipeline of the documents, if any.
    pub pipeline: Option<String>,
    /// The format of the documents.
    pub format: Format,
}

/// A product with the bulk API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Elasticsearch from 8.13 on.
    Elasticsearch,
    /// OpenSearch.
    Opensearch,
}

const DATA_STREAM: &str = "logs-pingone.davinci-default";

pub(super) fn read(section: &mut Section<'_>, format: Format) -> Option<ElasticsearchSinkConfig> {
    let example = "https://elasticsearch.example.com:9200";
    let client = HttpClientConfig::read(section, "endpoint", example, &NONE_OR_GZIP, "gzip");
    if let Some(client) = &client {
        client.refuse_api_path(section, &["/_bulk", "/_doc", "/_create"]);
    }
    let authorization = Authorization::read(section, "api_key", "ApiKey");
    let doc = "Signs requests for Amazon OpenSearch Service, instead of basic.";
    let aws = section.optional_table("aws", doc, |section| {
        let region = AwsConfig::read_region(section);
        AwsConfig::read(section, region)
    });
    let flavors = [("elasticsearch", Flavor::Elasticsearch), ("opensearch", Flavor::Opensearch)];
    let flavor = section.choice("flavor", &flavors, "The product.").or("elasticsearch");
    let doc = "The data stream that is written.";
    let data_stream = section.text_as("data_stream", doc, parse_data_stream).or(DATA_STREAM);
    let doc = "Ingest pipeline of the documents. Default: the data stream's own.";
    let pipeline = section.text("pipeline", doc).optional();
    let config = ElasticsearchSinkConfig {
        client: client?,
        authorization: authorization?,
        aws: aws?,
        flavor: flavor?,
        data_stream: data_stream?,
        pipeline: pipeline?,
        format,
    };
    if config.flavor == Flavor::Opensearch
        && matches!(config.authorization, Authorization::Token(..))
    {
        section.report("api_key", "is not known to OpenSearch; use basic");
    }
    if config.aws.is_some() {
        if config.flavor != Flavor::Opensearch {
            section.report("aws", "is for Amazon OpenSearch Service; set flavor = \"opensearch\"");
        }
        if !matches!(config.authorization, Authorization::None) {
            section.report("aws", "and basic or api_key are both given; use one");
        }
    }
    Some(config)
}

/// The text is not the name of a data stream.
#[derive(Debug, thiserror::Error)]
#[error("is not a data stream's name; write for example data_stream = {:?}", DATA_STREAM)]
struct DataStreamError;

/// Parses the name of a data stream:
/// <https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-create>.
fn parse_data_stream(name: &str) -> Result<String, DataStreamError> {
    let is_allowed =
        |c: char| !c.is_uppercase() && !c.is_whitespace() && !"\\/*?\"<>|,#:".contains(c);
    let is_name = (1..=255).contains(&name.len())
        && name.chars().all(is_allowed)
        && !name.starts_with(['-', '_', '+', '.']);
    match is_name {
        true => Ok(name.to_owned()),
        false => Err(DataStreamError),
    }
}
