//! `elasticsearch`: the bulk API of Elasticsearch and OpenSearch.
//!
//! A document has the same id in each repetition, and is created: a conflict means that it exists. Ids are unique within
//! one backing index, so a rollover between two attempts allows a duplicate.
//! <https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk>

pub(super) mod answer;
mod config;
mod encode;
mod requests;
mod template;

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::{
    BatchDefaults, Deliver, Item, Reason, Rendered, Report, SinkFinding, SinkType, Verdict, lines,
};
use crate::aws::AwsConfig;
use crate::format::Format;
use crate::http_client::below;
use crate::settings::Section;
pub(crate) use config::{ElasticsearchSinkConfig, Flavor};
use requests::BulkClient;

impl SinkType for ElasticsearchSinkConfig {
    const NAME: &'static str = "elasticsearch";
    // Elastic recommends requests of 5 to 15 MB.
    const BATCH: BatchDefaults = BatchDefaults { events: "2000", bytes: "5 MiB" };
    const IS_ORDERED: bool = false;
    const DEFAULT_FORMAT: Format = Format::Ecs;

    type Sink = Elasticsearch;

    fn read(section: &mut Section<'_>, format: Format) -> Option<ElasticsearchSinkConfig> {
        config::read(section, format)
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = self.client.files().into_iter().chain(self.authorization.file());
        files.chain(self.aws.iter().flat_map(AwsConfig::files)).collect()
    }

    fn target(&self) -> String {
        format!("{}, {}", self.client.origin(), self.data_stream)
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((encode::encode(rendered), None))
    }

    fn open(&self) -> Result<Elasticsearch, Reason> {
        Elasticsearch::open(self)
    }
}

/// A target of `type = "elasticsearch"`.
#[derive(Debug)]
pub(crate) struct Elasticsearch {
    requests: BulkClient,
    base: Url,
    bulk: Url,
    data_stream: String,
    flavor: Flavor,
    /// True if the events have the format for which `deploy/` has a mapping.
    has_template: bool,
}

/// Answer of the root endpoint.
#[derive(Deserialize)]
struct Root {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    number: String,
    /// `opensearch` in answers of OpenSearch.
    distribution: Option<String>,
}

impl Elasticsearch {
    pub(super) fn open(settings: &ElasticsearchSinkConfig) -> Result<Elasticsearch, Reason> {
        Ok(Elasticsearch {
            requests: BulkClient::open(settings)?,
            base: settings.client.url.clone(),
            bulk: bulk_url(settings),
            data_stream: settings.data_stream.clone(),
            flavor: settings.flavor,
            has_template: settings.format == Format::Ecs,
        })
    }
}

/// Fields of an answer that are requested.
const FIELDS: &str =
    "items.*.status,items.*.error.type,items.*.error.reason,items.*.failure_store,error";

/// Returns the URL of bulk requests, which restricts answers to [`FIELDS`].
fn bulk_url(settings: &ElasticsearchSinkConfig) -> Url {
    let mut url = below(&settings.client.url, &format!("/{}/_bulk", settings.data_stream));
    let mut query = url.query_pairs_mut();
    query.append_pair("filter_path", FIELDS);
    if settings.flavor == Flavor::Elasticsearch {
        // OpenSearch refuses a parameter that it does not know.
        query.append_pair("require_data_stream", "true");
    }
    if let Some(pipeline) = &settings.pipeline {
        query.append_pair("pipeline", pipeline);
    }
    drop(query);
    url
}

impl Deliver for Elasticsearch {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let body = lines(items);
        match self.requests.post(&self.bulk, "application/x-ndjson", body).await {
            Ok(answer) => answer::report(&answer, items.len()),
            Err(verdict) => Report::all(items, verdict),
        }
    }

    /// Reads the version of the target, and checks its mapping.
    async fn probe(&mut self) -> Result<String, Reason> {
        let version = self.version().await?;
        if !self.has_template {
            return Ok(version);
        }
        let Elasticsearch { requests, base, data_stream: name, flavor, .. } = self;
        let stream = template::CheckedStream { requests, base, name, flavor: *flavor };
        Ok(format!("{version}; {}", template::check(&stream).await?))
    }
}

impl Elasticsearch {
    /// Requests the root endpoint, which refuses a valid key that may only create documents. Returns name and version.
    async fn version(&self) -> Result<String, Reason> {
        let answer = self.requests.get(&below(&self.base, "/")).await;
        let answer = answer.map_err(Verdict::into_reason)?;
        match answer.status {
            200 => {
                let root: Result<Root, _> = serde_json::from_slice(&answer.body);
                let Version { number, distribution } =
                    root.map(|root| root.version).map_err(|_| {
                        answer.reason(
                            "the answer is not one of Elasticsearch; correct the endpoint",
                            None,
                        )
                    })?;
                let product = distribution.as_deref().unwrap_or("elasticsearch");
                Ok(format!("{product} {number}"))
            }
            403 => Ok("it knows the credentials".to_owned()),
            401 => Err(answer.reason("it refuses the credentials (HTTP 401); correct them", None)),
            status => Err(answer.reason(format!("it answered HTTP {status}"), None)),
        }
    }
}

#[cfg(test)]
mod tests;
