//! Settings of `type = "clickhouse"`: a table of ClickHouse, by its HTTP interface.

use crate::http_client::{Authorization, HttpClientConfig, NONE_OR_GZIP};
use crate::settings::Section;

/// `type = "clickhouse"`.
#[derive(Debug, Clone)]
pub struct ClickhouseSinkConfig {
    /// Connection; the URL has no query.
    pub client: HttpClientConfig,
    pub authorization: Authorization,
    pub database: String,
    pub table: String,
    /// True if the server collects inserts of several clients before it stores them.
    pub is_async: bool,
}

pub(super) fn read(section: &mut Section<'_>) -> Option<ClickhouseSinkConfig> {
    let example = "https://clickhouse.example.com:8443";
    let client = HttpClientConfig::read(section, "endpoint", example, &NONE_OR_GZIP, "gzip");
    if client.as_ref().is_some_and(|client| client.url.query().is_some()) {
        section.report("endpoint", "has a query, which the sink sets itself; leave it out");
    }
    let authorization = Authorization::read(section, "bearer", "Bearer");
    let database = section.text_as("database", "Database of the table.", parse_name).or("default");
    let table = section.text_as("table", "Table.", parse_name).or("pingone_events");
    let doc =
        "True: the server collects inserts before it stores them; the sink waits until it has.";
    let is_async = section.boolean("async_insert", doc).or("false");
    Some(ClickhouseSinkConfig {
        client: client?,
        authorization: authorization?,
        database: database?,
        table: table?,
        is_async: is_async?,
    })
}

/// Parses the name of a database or a table. It becomes a part of the query.
fn parse_name(name: &str) -> Result<String, &'static str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match (1..=200).contains(&name.len()) && name.chars().all(is_name) {
        true => Ok(name.to_owned()),
        false => Err("is not a name: use 1 to 200 of a-z, A-Z, 0-9 and _"),
    }
}
