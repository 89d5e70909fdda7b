//! `clickhouse`: inserts into a table by ClickHouse's HTTP interface.
//!
//! The rows of one partition are stored together or not at all. The deduplication token of an insert is the same for a
//! repetition of the same rows; the table of `deploy/clickhouse` also merges rows with the same uid.
//! <https://clickhouse.com/docs/interfaces/http>

mod answer;
mod config;
mod encode;

use std::path::PathBuf;

use http::HeaderMap;
use url::Url;

use super::{
    BatchDefaults, Deliver, Item, Reason, Rendered, Report, SinkFinding, SinkType, Verdict, lines,
};
use crate::format::Format;
use crate::http_client::{self, HttpClient};
use crate::settings::Section;
pub(crate) use config::ClickhouseSinkConfig;

impl SinkType for ClickhouseSinkConfig {
    const NAME: &'static str = "clickhouse";
    // Each insert makes a part of the table: few large ones are better than many small ones.
    const BATCH: BatchDefaults = BatchDefaults { events: "10000", bytes: "16 MiB" };
    const IS_ORDERED: bool = false;

    type Sink = Clickhouse;

    fn read(section: &mut Section<'_>, _: Format) -> Option<ClickhouseSinkConfig> {
        config::read(section)
    }

    fn refuses_lines(&self) -> Option<&'static str> {
        None
    }

    fn files(&self) -> Vec<PathBuf> {
        self.client.files().into_iter().chain(self.authorization.file()).collect()
    }

    fn target(&self) -> String {
        format!("{}, {}.{}", self.client.origin(), self.database, self.table)
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((encode::encode(rendered), None))
    }

    fn open(&self) -> Result<Clickhouse, Reason> {
        Clickhouse::open(self)
    }
}

/// Settings of every insert, whatever the user's profile says: an answer waits until the rows are stored, and no row
/// and no column is left out in silence.
const SETTINGS: [(&str, &str); 4] = [
    ("wait_for_async_insert", "1"),
    ("input_format_skip_unknown_fields", "0"),
    ("input_format_allow_errors_num", "0"),
    ("input_format_allow_errors_ratio", "0"),
];

/// A target of `type = "clickhouse"`.
#[derive(Debug)]
pub(crate) struct Clickhouse {
    requests: HttpClient,
    settings: ClickhouseSinkConfig,
}

impl Clickhouse {
    pub(super) fn open(settings: &ClickhouseSinkConfig) -> Result<Clickhouse, Reason> {
        let headers = http_client::headers(&[], &settings.authorization)?;
        let requests = HttpClient::open(&settings.client, headers)?;
        Ok(Clickhouse { requests, settings: settings.clone() })
    }

    /// Returns the URL of an insert. The query is in the URL, the rows are the body.
    fn insert_url(&self, token: &str) -> Url {
        let ClickhouseSinkConfig { client, database, table, is_async, .. } = &self.settings;
        let mut url = client.url.clone();
        let mut query = url.query_pairs_mut();
        // A named column that the table lacks is an error. Without names, its values would be dropped.
        let columns = encode::COLUMNS.join(",");
        let insert = format!("INSERT INTO {database}.{table} ({columns}) FORMAT JSONEachRow");
        query.append_pair("query", &insert);
        query.append_pair("insert_deduplication_token", token);
        query.append_pair("async_insert", if *is_async { "1" } else { "0" });
        query.extend_pairs(SETTINGS);
        drop(query);
        url
    }

    async fn insert(&self, items: &[Item]) -> Verdict {
        let url = self.insert_url(&encode::token_of(items));
        let body = lines(items);
        match self.requests.post(&url, "application/x-ndjson", HeaderMap::new(), body).await {
            Ok(answer) => answer::verdict(&answer),
            Err(error) => error.into(),
        }
    }
}

impl Deliver for Clickhouse {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        Report::all(items, self.insert(items).await)
    }

    /// Inserts no row: the server checks credentials, table and permission first.
    async fn probe(&mut self) -> Result<String, Reason> {
        match self.insert(&[]).await {
            Verdict::Delivered => Ok("the table accepts an insert".to_owned()),
            verdict => Err(verdict.into_reason()),
        }
    }
}

#[cfg(test)]
mod tests;
