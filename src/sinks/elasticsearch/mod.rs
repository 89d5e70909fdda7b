//! `elasticsearch`: the bulk API of Elasticsearch and OpenSearch.
//!
//! Every document is created under an id that a repetition has again: a conflict means that it is
//! there. That holds within one backing index; a rollover in between lets a duplicate in.
//! <https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk>

pub(super) mod answer;
mod document;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use url::Url;

use super::{Deliver, Item, Reason, Report, lines};
use crate::config::{ElasticsearchSink, Flavor};
use crate::http_client::{HttpClient, authorization, below};
pub(super) use document::encode;

/// A target of `type = "elasticsearch"`.
#[derive(Debug)]
pub struct Elasticsearch {
    requests: HttpClient,
    base: Url,
    bulk: Url,
}

/// What says who is there.
#[derive(Deserialize)]
struct Root {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    number: String,
    /// OpenSearch names itself.
    distribution: Option<String>,
}

impl Elasticsearch {
    pub(super) fn open(settings: &ElasticsearchSink) -> Result<Elasticsearch, Reason> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization(&settings.authorization)? {
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Elasticsearch {
            requests: HttpClient::open(&settings.client, headers)?,
            base: settings.client.url.clone(),
            bulk: bulk_url(settings),
        })
    }
}

/// What is read of an answer.
const FIELDS: &str =
    "items.*.status,items.*.error.type,items.*.error.reason,items.*.failure_store,error";

/// Where bulk requests go. Answers are cut down to what is read of them.
fn bulk_url(settings: &ElasticsearchSink) -> Url {
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
        let posted = self.requests.post(&self.bulk, "application/x-ndjson", HeaderMap::new(), body);
        match posted.await {
            Ok(answer) => answer::report(&answer, items.len()),
            Err(error) => Report::all(items, error.into()),
        }
    }

    /// Asks who is there. A key that may only create documents is refused here, and is good.
    async fn probe(&mut self) -> Result<String, Reason> {
        let answer = self.requests.get(&below(&self.base, "/")).await;
        let answer = answer?;
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
