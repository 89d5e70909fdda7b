//! The HTTP interface of ClickHouse with one table, whose rows have the columns of `deploy/clickhouse`. The profile of
//! the user is the worst one: a setting that an insert does not name loses rows or columns behind a 200.

use std::collections::{HashMap, HashSet};

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::{Behaviour, Traffic, answer, header};

#[derive(Default)]
pub struct Clickhouse {
    pub traffic: Traffic,
    pub rows: Vec<Value>,
    /// Tokens of the inserts that are stored.
    pub tokens: HashSet<String>,
    /// Required `Authorization`.
    pub authorization: String,
    /// Ids of events that violate a constraint of the table.
    pub poison: HashSet<String>,
    /// Code of the answer to every insert, while it is set, with the status.
    pub failing: Option<(u16, u32)>,
    /// True if the table does not exist.
    pub has_no_table: bool,
    /// Column that the table does not have.
    pub missing_column: Option<&'static str>,
    /// Number of inserts that were there already.
    pub repeated: usize,
}

const COLUMNS: [&str; 14] = [
    "time",
    "recorded_at",
    "event_id",
    "event_uid",
    "action_type",
    "outcome",
    "severity",
    "interaction_id",
    "flow_id",
    "flow_name",
    "connector_id",
    "environment_id",
    "source",
    "event",
];

fn exception(status: u16, code: u32, said: &str) -> Response {
    answer(status, format!("Code: {code}. DB::Exception: {said}. (NAME) (version 26.3.1.1)\n"))
}

impl Clickhouse {
    pub fn ids(&self) -> Vec<String> {
        self.rows.iter().map(|row| row["event_id"].as_str().expect("an id").to_owned()).collect()
    }
}

impl Behaviour for Clickhouse {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        let parameters: HashMap<String, String> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if path != "/" {
            return answer(404, "There is no handle".to_owned());
        }
        if header(headers, "authorization") != self.authorization {
            return exception(403, 516, "Authentication failed");
        }
        let query = parameters.get("query").map(String::as_str).unwrap_or_default();
        let Some(named) = query
            .strip_prefix("INSERT INTO default.pingone_events ")
            .and_then(|rest| rest.strip_suffix("FORMAT JSONEachRow"))
        else {
            return exception(400, 62, "Syntax error");
        };
        let setting = |name: &str, of_the_profile: &'static str| {
            parameters.get(name).map_or(of_the_profile, String::as_str).to_owned()
        };
        if self.has_no_table {
            return exception(404, 60, "Table default.pingone_events does not exist");
        }
        if let Some((status, code)) = self.failing {
            return exception(status, code, "Memory limit exceeded");
        }
        let has_column = |name: &str| COLUMNS.contains(&name) && self.missing_column != Some(name);
        let named = named.trim().trim_matches(['(', ')']);
        let unknown = named.split(',').find(|name| !name.is_empty() && !has_column(name));
        if let Some(unknown) = unknown {
            return exception(404, 16, &format!("No such column {unknown} in table"));
        }
        let skips_columns = setting("input_format_skip_unknown_fields", "1") == "1";
        let skips_rows = setting("input_format_allow_errors_num", "10") != "0"
            || setting("input_format_allow_errors_ratio", "0.1") != "0";
        let mut rows = Vec::new();
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(mut row) = serde_json::from_slice::<Value>(line) else {
                return exception(400, 117, "Cannot parse input");
            };
            let fields = row.as_object_mut().expect("an object");
            let unknown = fields.keys().find(|name| !has_column(name.as_str())).cloned();
            match unknown {
                Some(unknown) if !skips_columns => {
                    let said =
                        format!("Unknown field found while parsing JSONEachRow format: {unknown}");
                    return exception(400, 117, &said);
                }
                _ => fields.retain(|name, _| has_column(name)),
            }
            let time = row["time"].as_str().unwrap_or_default();
            if chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%.3f").is_err() {
                return exception(400, 41, "Cannot parse DateTime");
            }
            if self.poison.contains(row["event_id"].as_str().unwrap_or_default()) {
                if skips_rows {
                    continue;
                }
                return exception(500, 469, "Constraint is violated");
            }
            rows.push(row);
        }
        if setting("async_insert", "1") == "1" && setting("wait_for_async_insert", "0") == "0" {
            // It would be stored later; this server ends before.
            return answer(200, String::new());
        }
        let token = parameters.get("insert_deduplication_token").cloned().unwrap_or_default();
        match rows.is_empty() || self.tokens.insert(token) {
            true => self.rows.extend(rows),
            false => self.repeated += 1,
        }
        answer(200, String::new())
    }
}
