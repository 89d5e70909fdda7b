//! Google Cloud as documented: issuers of access tokens, the method `logs.import` of the Chronicle API, and a topic of
//! Pub/Sub.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::{Behaviour, Traffic, header};
use crate::support::canary::TOKEN;

pub const EMAIL: &str = "davinci-siem@my-project.iam.gserviceaccount.com";
pub const INSTANCE: &str = "66666666-7777-8888-9999-000000000000";
pub const AUDIENCE: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x";

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Access tokens that the APIs accept.
pub type ValidTokens = Arc<Mutex<HashSet<String>>>;

/// Issues tokens by each of Google's ways.
pub struct GoogleIssuer {
    pub traffic: Traffic,
    pub tokens: ValidTokens,
    /// Public key of the service account, as PKCS #1.
    pub public_key: Vec<u8>,
    /// Token of the other issuer that is accepted.
    pub subject_token: String,
    /// Its own URL.
    pub url: String,
    /// Number of tokens issued.
    pub issued: usize,
    /// Path and form of each request for a token, without values that differ.
    pub requested: Vec<String>,
}

impl GoogleIssuer {
    pub fn new(public_key: Vec<u8>) -> GoogleIssuer {
        GoogleIssuer {
            traffic: Traffic::default(),
            tokens: ValidTokens::default(),
            public_key,
            subject_token: TOKEN.to_owned(),
            url: String::new(),
            issued: 0,
            requested: Vec::new(),
        }
    }

    fn token(&mut self) -> String {
        self.issued += 1;
        let token = format!("ya29.{}.{TOKEN}", self.issued);
        self.tokens.lock().expect("a lock").insert(token.clone());
        token
    }

    fn issue(&mut self) -> Response {
        let token = self.token();
        super::json(
            200,
            &json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" }),
        )
    }

    /// Exchanges an assertion that the service account has signed.
    fn assertion(&mut self, form: &HashMap<String, String>) -> Response {
        let refused =
            || super::json(400, &json!({ "error": "invalid_grant", "error_description": TOKEN }));
        let assertion = form.get("assertion").map(String::as_str).unwrap_or_default();
        let Some((signed, signature)) = assertion.rsplit_once('.') else { return refused() };
        let (head, claims) = signed.split_once('.').expect("a head and claims");
        let read = |part: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
        };
        let (head, claims) = (read(head), read(claims));
        let now = Utc::now().timestamp();
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key);
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        let lifetime = claims["exp"].as_i64().expect("exp") - claims["iat"].as_i64().expect("iat");
        // Google's own client always names the real one.
        let audiences =
            [format!("{}/token", self.url), "https://oauth2.googleapis.com/token".to_owned()];
        let is_good = head["alg"] == "RS256"
            && claims["iss"] == EMAIL
            && claims["scope"] == SCOPE
            && audiences.contains(&claims["aud"].as_str().expect("aud").to_owned())
            && (0..=3600).contains(&lifetime)
            && (now - 300..=now + 60).contains(&claims["iat"].as_i64().expect("iat"))
            && key.verify(signed.as_bytes(), &signature).is_ok();
        if is_good { self.issue() } else { refused() }
    }

    /// Exchanges the token of another issuer.
    fn exchange(&mut self, form: &HashMap<String, String>) -> Response {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let is_good = field("audience") == AUDIENCE
            && field("scope") == SCOPE
            && field("subject_token") == self.subject_token
            && field("subject_token_type") == "urn:ietf:params:oauth:token-type:jwt"
            && field("requested_token_type") == "urn:ietf:params:oauth:token-type:access_token";
        match is_good {
            true => self.issue(),
            false => super::json(400, &json!({ "error": "invalid_grant" })),
        }
    }

    /// Gives a token of a service account to a holder of a valid token.
    fn impersonate(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        let body: Value = serde_json::from_slice(body).expect("JSON");
        if !is_valid(&self.tokens, headers) || body["scope"] != json!([SCOPE]) {
            let error = json!({ "error": { "code": 403, "status": "PERMISSION_DENIED" } });
            return super::json(403, &error);
        }
        let token = self.token();
        let expiry = (Utc::now() + TimeDelta::hours(1)).to_rfc3339();
        super::json(200, &json!({ "accessToken": token, "expireTime": expiry }))
    }
}

fn is_valid(tokens: &ValidTokens, headers: &HeaderMap) -> bool {
    let token = header(headers, "authorization").strip_prefix("Bearer ").unwrap_or_default();
    tokens.lock().expect("a lock").contains(token)
}

impl Behaviour for GoogleIssuer {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, _query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        let form: HashMap<String, String> =
            url::form_urlencoded::parse(body).into_owned().collect();
        let grant = form.get("grant_type").cloned().unwrap_or_default();
        let mut names: Vec<&String> = form.keys().collect();
        names.sort();
        self.requested
            .push(format!("{path} {names:?} {grant} {}", header(headers, "content-type")));
        let metadata = format!("/computeMetadata/v1/instance/service-accounts/{EMAIL}/token");
        match path {
            "/token" if grant == "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                self.assertion(&form)
            }
            "/sts" if grant == "urn:ietf:params:oauth:grant-type:token-exchange" => {
                self.exchange(&form)
            }
            "/impersonate" => self.impersonate(headers, body),
            "/computeMetadata/v1/instance/service-accounts/default/token"
                if header(headers, "metadata-flavor") == "Google" =>
            {
                self.issue()
            }
            path if path == metadata && header(headers, "metadata-flavor") == "Google" => {
                self.issue()
            }
            _ => super::json(404, &json!({ "error": "not_found" })),
        }
    }
}

/// The Chronicle API of one instance, and Pub/Sub with one topic.
pub struct GoogleApis {
    pub traffic: Traffic,
    tokens: ValidTokens,
    /// Lines in the order of arrival.
    pub stored: Vec<String>,
    /// Labels or attributes of each line.
    pub attributes: Vec<Value>,
    /// Number of events in each accepted request.
    pub sizes: Vec<usize>,
    /// Ids of events in requests that are refused.
    pub poison: HashSet<String>,
    /// Bytes of a body that are accepted.
    pub limit: usize,
    /// True if the identity has its role.
    pub has_role: bool,
    /// Requests with a token that is not valid.
    pub unauthorized: usize,
    /// Path and media type of each request.
    pub requested: Vec<String>,
}

impl GoogleApis {
    pub fn new(tokens: ValidTokens) -> GoogleApis {
        GoogleApis {
            traffic: Traffic::default(),
            tokens,
            stored: Vec::new(),
            attributes: Vec::new(),
            sizes: Vec::new(),
            poison: HashSet::new(),
            limit: 10_000_000,
            has_role: true,
            unauthorized: 0,
            requested: Vec::new(),
        }
    }

    /// Ids of the stored events, in the formats `native` and `ocsf`.
    pub fn ids(&self) -> Vec<String> {
        self.stored.iter().map(|line| id(line)).collect()
    }

    /// Stores the events of a request: base64 of the lines, with their attributes.
    fn store(&mut self, events: Vec<(String, Value)>) -> bool {
        let lines = events.iter().map(|(data, _)| {
            String::from_utf8(STANDARD.decode(data).expect("base64")).expect("UTF-8")
        });
        let lines: Vec<String> = lines.collect();
        if lines.iter().any(|line| self.poison.contains(&id(line))) {
            return false;
        }
        if !lines.is_empty() {
            self.sizes.push(lines.len());
        }
        self.stored.extend(lines);
        self.attributes.extend(events.into_iter().map(|(_, attributes)| attributes));
        true
    }

    fn import(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        let read: Value = serde_json::from_slice(body).expect("JSON");
        let source = &read["inlineSource"];
        let forwarder = source["forwarder"].as_str().unwrap_or_default();
        let parent = format!("projects/my-project/locations/eu/instances/{INSTANCE}/forwarders/");
        if !forwarder.is_empty() && !forwarder.starts_with(&parent) {
            return error(400, "INVALID_ARGUMENT", "forwarder is malformed");
        }
        let logs = source["logs"].as_array().expect("logs");
        if logs.is_empty() {
            return error(400, "INVALID_ARGUMENT", "logs must not be empty");
        }
        let events = logs.iter().map(|log| {
            let time = |name: &str| -> DateTime<Utc> {
                log[name].as_str().expect("a time").parse().expect("RFC 3339")
            };
            assert!(time("collectionTime") > time("logEntryTime"), "{log}");
            (log["data"].as_str().expect("data").to_owned(), log["labels"].clone())
        });
        match self.store(events.collect()) {
            true => super::json(200, &json!({})),
            false => error(400, "INVALID_ARGUMENT", &echo(headers, body)),
        }
    }

    fn publish(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        let read: Value = serde_json::from_slice(body).expect("JSON");
        let messages = read["messages"].as_array().expect("messages");
        if messages.len() > 1000 {
            return error(400, "INVALID_ARGUMENT", "too many messages");
        }
        let events = messages.iter().map(|message| {
            let attributes = message["attributes"].as_object().expect("attributes");
            assert!(
                attributes.values().all(|value| value.as_str().is_some_and(|v| v.len() <= 1024))
            );
            (message["data"].as_str().expect("data").to_owned(), message["attributes"].clone())
        });
        let first = self.stored.len();
        match self.store(events.collect()) {
            true => {
                let ids = (first..self.stored.len()).map(|number| number.to_string());
                super::json(200, &json!({ "messageIds": ids.collect::<Vec<_>>() }))
            }
            false => error(400, "INVALID_ARGUMENT", &echo(headers, body)),
        }
    }
}

/// A text that repeats the request, as debugging proxies do.
fn echo(headers: &HeaderMap, body: &[u8]) -> String {
    let token = header(headers, "authorization");
    format!("authorization: {token} {headers:?} {}", String::from_utf8_lossy(body))
}

fn id(line: &str) -> String {
    let event: Value = serde_json::from_str(line).expect("JSON");
    let places = ["/id", "/metadata/uid"];
    let id = places.iter().find_map(|place| event.pointer(place)?.as_str());
    id.unwrap_or_default().to_owned()
}

fn error(status: u16, name: &str, message: &str) -> Response {
    let error = json!({ "code": status, "status": name, "message": message });
    super::json(status, &json!({ "error": error }))
}

impl Behaviour for GoogleApis {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, _query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        self.requested.push(format!("{path} {}", header(headers, "content-type")));
        if !is_valid(&self.tokens, headers) {
            self.unauthorized += 1;
            return error(401, "UNAUTHENTICATED", "invalid credentials");
        }
        if body.len() > self.limit {
            return error(413, "INVALID_ARGUMENT", "too large");
        }
        let logs = format!(
            "/v1/projects/my-project/locations/eu/instances/{INSTANCE}/logTypes/OCSF/logs:import"
        );
        let topic = "/v1/projects/my-project/topics/davinci:";
        match path {
            path if path == logs || path.strip_prefix(topic) == Some("publish") => {
                if !self.has_role {
                    return error(403, "PERMISSION_DENIED", "no permission");
                }
                if path == logs { self.import(headers, body) } else { self.publish(headers, body) }
            }
            path if path.strip_prefix(topic) == Some("testIamPermissions") => {
                let asked: Value = serde_json::from_slice(body).expect("JSON");
                let granted = if self.has_role { asked["permissions"].clone() } else { json!([]) };
                super::json(200, &json!({ "permissions": granted }))
            }
            _ => error(404, "NOT_FOUND", "no such resource"),
        }
    }
}
