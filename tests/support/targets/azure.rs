//! Azure as documented: Microsoft Entra ID and the endpoints of managed identities issue tokens, and the Logs Ingestion
//! API stores what the table of `deploy/sentinel` would.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::{Behaviour, Traffic, answer, header};
use crate::support::canary::TOKEN;

pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub const CLIENT: &str = "66666666-7777-8888-9999-000000000000";
pub const RULE: &str = "dcr-0123456789abcdef0123456789abcdef";
pub const STREAM: &str = "Custom-PingOneEvents";

/// Bytes of a request, before and after compression.
const MAX_BODY: usize = 1024 * 1024;

/// Bytes of a field above which it is cut.
const MAX_FIELD: usize = 64 * 1024;

/// Valid tokens with their expiry.
#[derive(Clone, Default)]
pub struct Tokens(Arc<Mutex<HashMap<String, Instant>>>);

impl Tokens {
    pub fn revoke(&self) {
        self.0.lock().expect("a lock").clear();
    }

    fn is_valid(&self, token: &str) -> bool {
        let tokens = self.0.lock().expect("a lock");
        tokens.get(token).is_some_and(|expiry| Instant::now() < *expiry)
    }
}

/// Issues tokens to one identity.
pub struct Issuer {
    pub traffic: Traffic,
    pub tokens: Tokens,
    /// Client secret of the app registration.
    pub secret: String,
    /// Token of the other issuer that is accepted as a proof.
    pub assertion: String,
    /// Seconds that a token is valid.
    pub lifetime: u64,
    pub audience: String,
    /// Number of tokens issued.
    pub issued: usize,
    /// Its own URL.
    pub url: String,
    /// Path and parameters of each request for a token, in the order of their names.
    pub requested: Vec<String>,
}

impl Issuer {
    pub fn new() -> Issuer {
        Issuer {
            traffic: Traffic::default(),
            tokens: Tokens::default(),
            secret: TOKEN.to_owned(),
            assertion: TOKEN.to_owned(),
            lifetime: 3599,
            audience: "https://monitor.azure.com".to_owned(),
            issued: 0,
            url: String::new(),
            requested: Vec::new(),
        }
    }

    fn token(&mut self) -> String {
        self.issued += 1;
        // The clocks of real ones differ by more.
        let expiry = Instant::now() + Duration::from_secs(self.lifetime + 5);
        let token = format!("eyJ{}.{TOKEN}", self.issued);
        self.tokens.0.lock().expect("a lock").insert(token.clone(), expiry);
        token
    }

    fn entra(&mut self, body: &[u8]) -> Response {
        let form: HashMap<String, String> =
            url::form_urlencoded::parse(body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let refused = |code: u64, error: &str| {
            // The real one names the secret's beginning in some of its texts.
            let text = format!("AADSTS{code}: it is not {}", field("client_secret"));
            let body = json!({ "error": error, "error_description": text, "error_codes": [code] });
            json_answer(401, &body)
        };
        if field("grant_type") != "client_credentials" || field("client_id") != CLIENT {
            return refused(700_016, "unauthorized_client");
        }
        if field("scope") != format!("{}/.default", self.audience) {
            return refused(500_011, "invalid_resource");
        }
        let bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        match field("client_assertion_type") {
            "" if field("client_secret") != self.secret => refused(7_000_215, "invalid_client"),
            kind if !kind.is_empty() && kind != bearer => refused(50_027, "invalid_request"),
            kind if kind == bearer && field("client_assertion") != self.assertion => {
                refused(700_024, "invalid_client")
            }
            _ => {
                let (lifetime, token) = (self.lifetime, self.token());
                let body = json!({ "token_type": "Bearer", "expires_in": lifetime, "access_token": token });
                json_answer(200, &body)
            }
        }
    }

    /// A managed identity: numbers are texts, and an app gets no `expires_in`.
    fn managed(&mut self, query: &str, is_app: bool) -> Response {
        let pairs: HashMap<String, String> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let expected = if is_app { "2019-08-01" } else { "2018-02-01" };
        let is_known = pairs.get("api-version").is_some_and(|version| version == expected);
        if !is_known || pairs.get("resource") != Some(&self.audience) {
            return json_answer(400, &json!({ "error": "invalid_request" }));
        }
        let expires_on = Utc::now().timestamp() + i64::try_from(self.lifetime).expect("small");
        let (lifetime, token) = (self.lifetime, self.token());
        let mut body = json!({ "access_token": token, "expires_on": expires_on.to_string() });
        if !is_app {
            body["expires_in"] = lifetime.to_string().into();
        }
        json_answer(200, &body)
    }
}

impl Behaviour for Issuer {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        if path.ends_with("/.well-known/openid-configuration") {
            let endpoint = |name: &str| format!("{}/{TENANT}/oauth2/v2.0/{name}", self.url);
            let body = json!({
                "token_endpoint": endpoint("token"), "authorization_endpoint": endpoint("authorize"),
                "issuer": format!("{}/{TENANT}/v2.0", self.url)
            });
            return json_answer(200, &body);
        }
        self.requested.push(request(path, query, body));
        match path {
            "/metadata/identity/oauth2/token" if header(headers, "metadata") == "true" => {
                self.managed(query, false)
            }
            "/msi/token" if header(headers, "x-identity-header") == self.secret => {
                self.managed(query, true)
            }
            path if path == format!("/{TENANT}/oauth2/v2.0/token") => self.entra(body),
            _ => json_answer(400, &json!({ "error": "invalid_request" })),
        }
    }
}

/// Path and parameters of a request for a token, in the order of their names.
fn request(path: &str, query: &str, body: &[u8]) -> String {
    let text = if body.is_empty() { query.as_bytes() } else { body };
    let pairs = url::form_urlencoded::parse(text).map(|(name, value)| format!("{name}={value}"));
    // Microsoft's clients also ask for the user, whom no application has.
    let mut pairs: Vec<String> = pairs.filter(|pair| pair != "client_info=1").collect();
    pairs.sort();
    format!("{path} {}", pairs.join(" "))
}

/// The Logs Ingestion API with one rule and one stream.
pub struct Ingestion {
    pub traffic: Traffic,
    tokens: Tokens,
    /// Types of the stream's columns, by name.
    columns: HashMap<String, String>,
    /// Records of the table, in the order of arrival.
    pub stored: Vec<Value>,
    /// Number of records in each request that was accepted.
    pub sizes: Vec<usize>,
    /// Ids of events that the rule's transformation cannot convert.
    pub poison: HashSet<String>,
    /// True if the identity has its role on the rule.
    pub has_role: bool,
    /// True if every token is refused.
    pub refuses_tokens: bool,
    /// Requests with a token that is not valid.
    pub unauthorized: usize,
    /// Path, query, media type and compression of each request.
    pub requested: Vec<String>,
    /// Bytes that it takes at most, if fewer than the real one.
    pub limit: usize,
}

impl Ingestion {
    pub fn new(tokens: Tokens) -> Ingestion {
        Ingestion {
            traffic: Traffic::default(),
            tokens,
            columns: columns(),
            stored: Vec::new(),
            sizes: Vec::new(),
            poison: HashSet::new(),
            has_role: true,
            refuses_tokens: false,
            unauthorized: 0,
            requested: Vec::new(),
            limit: MAX_BODY,
        }
    }

    /// Ids of the stored events.
    pub fn ids(&self) -> Vec<String> {
        let id = |record: &Value| event_id(record).expect("an id").to_owned();
        self.stored.iter().map(id).collect()
    }

    /// The record as the table has it; `None` if a column has another type.
    fn row(&self, record: &Map<String, Value>) -> Option<Value> {
        let mut row = Map::new();
        for (name, kind) in &self.columns {
            let Some(value) = record.get(name) else { continue };
            let is_good = match kind.as_str() {
                "datetime" => {
                    value.as_str().is_some_and(|text| text.parse::<DateTime<Utc>>().is_ok())
                }
                "string" => value.is_string(),
                "dynamic" => true,
                other => panic!("no column of this table is a {other}"),
            };
            if !is_good {
                return None;
            }
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let cut = &text[..text.floor_char_boundary(MAX_FIELD)];
            row.insert(
                name.clone(),
                if cut.len() < text.len() { cut.into() } else { value.clone() },
            );
        }
        let time: DateTime<Utc> = row.get("TimeGenerated")?.as_str()?.parse().ok()?;
        let age = Utc::now() - time;
        if age > TimeDelta::days(2) || age < -TimeDelta::days(1) {
            row.insert("TimeGenerated".to_owned(), Utc::now().to_rfc3339().into());
        }
        Some(row.into())
    }

    fn upload(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        if header(headers, "content-type") != "application/json" {
            return error(415, "UnsupportedMediaType", "not JSON");
        }
        let sent = header(headers, "content-length").parse::<usize>().expect("no chunks");
        if sent > self.limit || body.len() > self.limit {
            return error(
                413,
                "ContentLengthLimitExceeded",
                "Maximum allowed content length: 1048576 bytes (1 MB).",
            );
        }
        let Ok(records) = serde_json::from_slice::<Vec<Map<String, Value>>>(body) else {
            return error(400, "InvalidPayload", "no array of objects");
        };
        let poison = |record: &Map<String, Value>| {
            event_id(&Value::Object(record.clone())).is_some_and(|id| self.poison.contains(id))
        };
        let rows: Option<Vec<Value>> = records.iter().map(|record| self.row(record)).collect();
        if records.iter().any(poison) || rows.is_none() {
            // As debugging proxies do.
            let token = header(headers, "authorization");
            let text =
                format!("authorization: {token} {headers:?} {}", String::from_utf8_lossy(body));
            return error(400, "InvalidPayload", &text);
        }
        if let Some(rows) = rows.filter(|rows| !rows.is_empty()) {
            self.sizes.push(rows.len());
            self.stored.extend(rows);
        }
        answer(204, String::new())
    }
}

/// Id of an event, in each format.
fn event_id(record: &Value) -> Option<&str> {
    let places = ["/event/id", "/RawEvent/id", "/RawEvent/metadata/uid"];
    places.iter().find_map(|place| record.pointer(place)?.as_str())
}

/// An answer that says that it is JSON.
fn json_answer(status: u16, value: &Value) -> Response {
    let mut response = answer(status, value.to_string());
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert("content-type", kind);
    response
}

fn error(status: u16, code: &str, message: &str) -> Response {
    json_answer(status, &json!({ "error": { "code": code, "message": message } }))
}

impl Behaviour for Ingestion {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        let [kind, encoding] =
            ["content-type", "content-encoding"].map(|name| header(headers, name));
        self.requested.push(format!("{path}?{query} {kind} {encoding}"));
        let token = header(headers, "authorization").strip_prefix("Bearer ").unwrap_or_default();
        if self.refuses_tokens || !self.tokens.is_valid(token) {
            self.unauthorized += 1;
            return error(401, "InvalidToken", "the token is not valid");
        }
        if query != "api-version=2023-01-01" {
            return error(400, "InvalidApiVersionParameter", "no such version");
        }
        let place = path.strip_prefix("/dataCollectionRules/");
        let (rule, stream) =
            place.and_then(|rest| rest.split_once("/streams/")).unwrap_or_default();
        if rule != RULE {
            return error(
                404,
                "NotFound",
                "Data collection rule with this immutable Id not found.",
            );
        }
        if !self.has_role {
            let text = "The authentication token provided does not have access to ingest data for the rule";
            return error(403, "OperationFailed", text);
        }
        if stream != STREAM {
            return error(
                400,
                "InvalidStream",
                "The stream was not configured in the data collection rule.",
            );
        }
        self.upload(headers, body)
    }
}

/// Types of the columns in the template, by name.
pub fn columns() -> HashMap<String, String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/sentinel/main.bicep");
    let text = std::fs::read_to_string(path).expect("a template");
    let quoted = |line: &str, key: &str| {
        let (_, rest) = line.split_once(&format!("{key}: '"))?;
        Some(rest.split_once('\'')?.0.to_owned())
    };
    let column = |line: &str| {
        let line = line.trim().strip_prefix("{ name:").map(|_| line)?;
        Some((quoted(line, "name")?, quoted(line, "type")?))
    };
    let columns: HashMap<String, String> = text.lines().filter_map(column).collect();
    assert!(columns.len() > 10, "the columns were found: {columns:?}");
    columns
}
