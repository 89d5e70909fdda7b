//! PingOne as documented, and as its users found it: tokens of a worker application, audit events, flows with their
//! runs, and webhooks. Lists are newest first and in pages with opaque cursors; the last page is empty and names a next one.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{Behaviour, Traffic, answer, header};
use crate::support::canary::TOKEN;

pub const ENVIRONMENT: &str = "b5bbc401-7a1f-4738-b589-b3ea05bc46e4";
pub const WORKER: &str = "66666666-7777-8888-9999-000000000000";

/// Answer of the gateway to a path that it does not know.
const WRONG_PATH: &str = "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and \
                          encoded with Base64)";

/// Position of the credentials that the worker application is configured for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    Basic,
    Form,
}

/// One environment of PingOne.
pub struct PingOne {
    pub traffic: Traffic,
    pub secret: String,
    pub accepts: Accepts,
    /// Tokens that are valid.
    tokens: HashSet<String>,
    /// Number of tokens issued.
    pub issued: usize,
    /// Audit events, in any order.
    pub activities: Vec<Value>,
    /// Age from which an audit event is listed.
    pub listed_after: TimeDelta,
    /// Runs of each flow: id and start.
    pub runs: HashMap<String, Vec<(String, DateTime<Utc>)>>,
    pub subscriptions: Vec<Value>,
    /// Upper bound of a page, whatever the client requests.
    pub page: usize,
    /// Lists that the worker application may not read.
    pub forbidden: HashSet<String>,
    /// Requests for audit events until all are refused.
    pub refused_after: Option<usize>,
    /// Requests until one is answered with 429; `None` for no limit.
    pub limited_after: Option<usize>,
    /// Requests for lists until all tokens expire; `None` for never.
    pub expires_after: Option<usize>,
    /// Flows that were deleted after they were listed.
    pub deleted: HashSet<String>,
    /// Called at the first request for runs.
    pub before_runs: Option<Box<dyn FnOnce() + Send>>,
    /// Time until which each request is too early.
    blocked_until: Option<Instant>,
    /// Requests before `Retry-After` was over.
    pub too_early: usize,
    /// List and offset behind each cursor.
    cursors: HashMap<String, (String, usize)>,
    /// Path of each request for a list.
    pub requested: Vec<String>,
}

impl PingOne {
    /// Creates an environment without records.
    pub fn new() -> PingOne {
        PingOne {
            traffic: Traffic::default(),
            secret: TOKEN.to_owned(),
            accepts: Accepts::Basic,
            tokens: HashSet::new(),
            issued: 0,
            activities: Vec::new(),
            listed_after: TimeDelta::zero(),
            runs: HashMap::new(),
            subscriptions: vec![subscription("https://siem.example.com/webhooks/pingone")],
            page: 500,
            forbidden: HashSet::new(),
            refused_after: None,
            limited_after: None,
            expires_after: None,
            deleted: HashSet::new(),
            before_runs: None,
            blocked_until: None,
            too_early: 0,
            cursors: HashMap::new(),
            requested: Vec::new(),
        }
    }

    /// Returns the number of requests for a list.
    pub fn count(&self, list: &str) -> usize {
        self.requested.iter().filter(|path| path.ends_with(list)).count()
    }

    fn token(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        let form: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let basic = format!("Basic {}", STANDARD.encode(format!("{WORKER}:{}", self.secret)));
        let is_known = match self.accepts {
            Accepts::Basic => header(headers, "authorization") == basic,
            Accepts::Form => field("client_id") == WORKER && field("client_secret") == self.secret,
        };
        if field("grant_type") != "client_credentials" {
            return json_answer(400, &json!({ "error": "unsupported_grant_type" }));
        }
        if !is_known {
            let text = format!("unsupported authentication method {TOKEN}");
            let body = json!({ "error": "invalid_client", "error_description": text });
            return json_answer(401, &body);
        }
        self.issued += 1;
        let token = format!("eyJ{}.{TOKEN}", self.issued);
        self.tokens.insert(token.clone());
        json_answer(
            200,
            &json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }),
        )
    }

    fn list(&mut self, path: &str, query: &str) -> Response {
        let query: HashMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if let Some(cursor) = query.get("cursor") {
            let Some((list, offset)) = self.cursors.get(cursor).cloned() else {
                return failure(400, "INVALID_DATA", "unknown cursor");
            };
            return self.page(path, &list, offset);
        }
        let filter = query.get("filter").map(String::as_str).unwrap_or_default();
        let limit = query.get("limit").and_then(|limit| limit.parse().ok());
        let limit: usize = limit.unwrap_or(100);
        self.page(path, &format!("{limit} {filter}"), 0)
    }

    /// Returns the records of `list` (limit and filter) from `offset` on.
    fn page(&mut self, path: &str, list: &str, offset: usize) -> Response {
        let (limit, filter) = list.split_once(' ').expect("limit and filter");
        let limit = limit.parse::<usize>().expect("a limit").min(self.page);
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let Some(mut records) = self.records(path, filter) else {
            return failure(400, "INVALID_DATA", "a date range is required");
        };
        records.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        let elements: Vec<Value> =
            records.into_iter().skip(offset).take(limit).map(|(_, record)| record).collect();
        let next = offset + elements.len();
        let cursor = format!("{:x}", rand::random::<u64>());
        self.cursors.insert(cursor.clone(), (list.to_owned(), next));
        let mut links = json!({ "self": { "href": "https://api.pingone.example/v1/wrong" } });
        // Webhooks and flows are one page without a next one.
        if !filter.is_empty() {
            let href = format!("https://api.pingone.example{path}?cursor={cursor}");
            links["next"] = json!({ "href": href });
        }
        json_answer(200, &json!({ "_links": links, "_embedded": { name: elements } }))
    }

    /// Returns the records of a list that match a filter, each with its time. `None` without a time range.
    fn records(&self, path: &str, filter: &str) -> Option<Vec<(DateTime<Utc>, Value)>> {
        let parts: Vec<&str> = path.rsplit('/').collect();
        if parts[0] == "subscriptions" {
            return Some(
                self.subscriptions.iter().map(|it| (DateTime::UNIX_EPOCH, it.clone())).collect(),
            );
        }
        if parts[0] == "flows" {
            let flow = |id: &String| (DateTime::UNIX_EPOCH, json!({ "id": id, "name": "a flow" }));
            return Some(self.runs.keys().map(flow).collect());
        }
        let mut quoted = filter.split('"').skip(1).step_by(2);
        let from: DateTime<Utc> = quoted.next()?.parse().ok()?;
        let to: DateTime<Utc> = quoted.next()?.parse().ok()?;
        if parts[0] == "interactions" {
            let runs = self.runs.get(parts[1]).into_iter().flatten();
            let runs = runs.filter(|(_, start)| *start >= from && *start <= to);
            let run = |(id, start): &(String, DateTime<Utc>)| {
                let time = start.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
                (
                    *start,
                    json!({ "id": id, "timestamp": time, "flow": { "id": parts[1] }, "isSubFlow": false }),
                )
            };
            return Some(runs.map(run).collect());
        }
        let newest = Utc::now() - self.listed_after;
        let timed = self.activities.iter().map(|activity| {
            let time = activity["recordedAt"].as_str().expect("a time").parse().expect("a time");
            (time, activity)
        });
        let timed = timed.filter(|(time, _)| *time > from && *time < to && *time <= newest);
        Some(timed.map(|(time, activity)| (time, activity.clone())).collect())
    }

    /// Returns a refusal, if the client sends too many requests.
    fn limit(&mut self) -> Option<Response> {
        if self.blocked_until.is_some_and(|until| Instant::now() < until) {
            self.too_early += 1;
        }
        let left = self.limited_after.as_mut()?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        self.limited_after = None;
        // A little less than it requests, for clocks of the client and of this server.
        self.blocked_until = Some(Instant::now() + Duration::from_millis(990));
        let mut response = failure(429, "REQUEST_LIMITED", "too many requests");
        response.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
        Some(response)
    }
}

impl Behaviour for PingOne {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        if let Some(limited) = self.limit() {
            return limited;
        }
        if path == format!("/{ENVIRONMENT}/as/token") {
            return self.token(headers, body);
        }
        if path.ends_with("/as/token") {
            return json_answer(404, &json!({ "code": "NOT_FOUND" }));
        }
        let below = path.strip_prefix(&format!("/v1/environments/{ENVIRONMENT}/"));
        let below = below.unwrap_or_default().to_owned();
        let is_run_list = below.starts_with("flows/") && below.ends_with("/interactions");
        if !["activities", "subscriptions", "flows"].contains(&&*below) && !is_run_list {
            return json_answer(403, &json!({ "message": WRONG_PATH }));
        }
        let token = header(headers, "authorization").strip_prefix("Bearer ").unwrap_or_default();
        if !self.tokens.contains(token) {
            return failure(401, "ACCESS_FAILED", "the token is not valid");
        }
        if let Some(left) = &mut self.expires_after {
            *left = left.saturating_sub(1);
            if *left == 0 {
                (self.expires_after, self.tokens) = (None, HashSet::new());
            }
        }
        let name = below.rsplit('/').next().unwrap_or_default();
        self.requested.push(below.clone());
        if is_run_list && let Some(call) = self.before_runs.take() {
            call();
        }
        if self.deleted.iter().any(|flow| below == format!("flows/{flow}/interactions")) {
            return failure(404, "NOT_FOUND", "the flow does not exist");
        }
        if self.forbidden.contains(name)
            || (name == "activities"
                && self.refused_after.is_some_and(|most| self.count("activities") > most))
        {
            return failure(403, "ACCESS_FAILED", "the request could not be completed");
        }
        self.list(path, query)
    }
}

/// Returns a webhook that posts to a URL as the setup page says.
pub fn subscription(url: &str) -> Value {
    json!({
        "id": "3b1c0b9e-0f5e-4f7b-9a5e-2c7f3d1e6a11",
        "name": "SIEM",
        "enabled": true,
        "protocol": "HTTPS",
        "format": "ACTIVITY",
        "httpEndpoint": { "url": url, "headers": { "Authorization": "****" } },
        "verifyTlsCertificates": true,
        "filterOptions": {
            "includedActionTypes": [
                "USER.UPDATED",
                "DAVINCI_INTERACTION.START_INTERACTION",
                "DAVINCI_INTERACTION.CUSTOM_ANALYTICS",
                "DAVINCI_INTERACTION.SEND_ERROR_RESPONSE"
            ]
        }
    })
}

fn json_answer(status: u16, value: &Value) -> Response {
    let mut response = answer(status, value.to_string());
    let kind = HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers_mut().insert("content-type", kind);
    response
}

/// An error document. Its text quotes a secret, as error pages of proxies do.
fn failure(status: u16, code: &str, message: &str) -> Response {
    json_answer(
        status,
        &json!({ "id": "x", "code": code, "message": format!("{message}: {TOKEN}") }),
    )
}
