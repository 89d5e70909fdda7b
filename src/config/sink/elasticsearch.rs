//! `type = "elasticsearch"`: the bulk API of Elasticsearch and OpenSearch.

use std::path::PathBuf;

use super::client::{self, Authorization, Client, Compression};
use crate::config::section::Section;

/// `type = "elasticsearch"`.
#[derive(Debug, Clone)]
pub struct ElasticsearchSink {
    /// Where to, and how; the URL without a path, or with the path that a proxy adds.
    pub client: Client,
    /// Who we say that we are.
    pub authorization: Authorization,
    /// Which of the two it is: they take different parameters.
    pub flavor: Flavor,
    /// The data stream that is written to.
    pub data_stream: String,
    /// The ingest pipeline that documents go through, if any.
    pub pipeline: Option<String>,
}

/// Which product answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Elasticsearch from 8.13 on.
    Elasticsearch,
    /// OpenSearch.
    Opensearch,
}

impl ElasticsearchSink {
    /// Files whose change may make the target reachable.
    pub fn files(&self) -> Vec<PathBuf> {
        let secret = self.authorization.secret().and_then(|s| s.file().map(PathBuf::from));
        self.client.files().into_iter().chain(secret).collect()
    }
}

pub(super) fn read(section: &mut Section<'_>) -> ElasticsearchSink {
    let compressions = [("none", Compression::None), ("gzip", Compression::Gzip)];
    let url = "https://elasticsearch.example.com:9200";
    let flavors = [("elasticsearch", Flavor::Elasticsearch), ("opensearch", Flavor::Opensearch)];
    let client = client::read(section, "endpoint", url, &compressions, Compression::Gzip);
    client::refuse_api_path(section, &client, &["/_bulk", "/_doc", "/_create"]);
    let sink = ElasticsearchSink {
        client,
        authorization: client::read_authorization(section, "api_key", "ApiKey"),
        flavor: section.choice("flavor", &flavors).unwrap_or(Flavor::Elasticsearch),
        data_stream: section
            .text("data_stream")
            .unwrap_or_else(|| "logs-pingone.davinci-default".to_owned()),
        pipeline: section.text("pipeline"),
    };
    if sink.flavor == Flavor::Opensearch && matches!(sink.authorization, Authorization::Token(..)) {
        section.report("api_key", "is not known to OpenSearch; use basic".to_owned());
    }
    // https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-create
    let is_allowed =
        |c: char| !c.is_uppercase() && !c.is_whitespace() && !"\\/*?\"<>|,#:".contains(c);
    let name = &sink.data_stream;
    if name.is_empty()
        || name.len() > 255
        || !name.chars().all(is_allowed)
        || name.starts_with(['-', '_', '+', '.'])
    {
        section.report("data_stream", "is not a data stream's name; write for example data_stream = \"logs-pingone.davinci-default\"".to_owned());
    }
    sink
}
