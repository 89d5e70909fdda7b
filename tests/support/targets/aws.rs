//! Kinesis and Firehose as documented, with signatures that are checked, and the endpoints of temporary credentials.

use std::collections::{HashMap, HashSet};

use axum::http::{HeaderMap, Method};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{NaiveDateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Behaviour, Traffic, answer, header};
use crate::support::canary::TOKEN;

pub const REGION: &str = "eu-central-1";
pub const STREAM: &str = "davinci";
pub const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";

const MAX_RECORDS: usize = 500;

/// One stream of each service.
pub struct Aws {
    pub traffic: Traffic,
    /// Secret access keys, by the id of the key, with the session token that belongs to it.
    pub keys: HashMap<String, (String, String)>,
    /// Ids of keys that have expired.
    pub expired: HashSet<String>,
    /// Lines in the order of arrival.
    pub stored: Vec<String>,
    /// Partition key of each line of Kinesis.
    pub partitions: Vec<String>,
    /// Number of records of each accepted request.
    pub sizes: Vec<usize>,
    /// Ids of events whose records are throttled, with the number of times.
    pub throttled: HashMap<String, usize>,
    /// Ids of events in requests that are refused.
    pub poison: HashSet<String>,
    /// Bytes of a body that are accepted.
    pub limit: usize,
    /// Source of the stream of Firehose.
    pub source: &'static str,
    /// True if the identity may write and describe.
    pub is_allowed: bool,
    /// True if the machine has a role.
    pub has_role: bool,
    /// Paths of the requests for temporary credentials.
    pub sign_ins: Vec<String>,
}

impl Aws {
    pub fn new() -> Aws {
        let key = (KEY_ID.to_owned(), (TOKEN.to_owned(), String::new()));
        Aws {
            traffic: Traffic::default(),
            keys: HashMap::from([key]),
            expired: HashSet::new(),
            stored: Vec::new(),
            partitions: Vec::new(),
            sizes: Vec::new(),
            throttled: HashMap::new(),
            poison: HashSet::new(),
            limit: 5 << 20,
            source: "DirectPut",
            is_allowed: true,
            has_role: true,
            sign_ins: Vec::new(),
        }
    }

    pub fn ids(&self) -> Vec<String> {
        self.stored.iter().map(|line| id(line)).collect()
    }

    /// Temporary credentials, as each endpoint gives them.
    fn temporary(&mut self, path: &str) -> Value {
        self.sign_ins.push(path.to_owned());
        let number = self.sign_ins.len();
        let (id, token) = (format!("ASIATEMPORARY{number:07}"), format!("session-{TOKEN}"));
        self.keys.insert(id.clone(), (TOKEN.to_owned(), token.clone()));
        let expiry = (Utc::now() + TimeDelta::hours(1)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
        json!({
            "AccessKeyId": id, "SecretAccessKey": TOKEN, "Token": token, "Expiration": expiry,
            "Code": "Success", "RoleArn": "arn:aws:iam::1:role/r"
        })
    }

    /// AWS STS: a role for the proof of another issuer, or for credentials with an external id.
    fn token_service(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        let form: HashMap<String, String> =
            url::form_urlencoded::parse(body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        assert_eq!((field("Version"), field("RoleSessionName")), ("2011-06-15", "davinci-siem"));
        assert!(header(headers, "accept") != "application/json", "STS would answer with JSON");
        let is_role = field("RoleArn").starts_with("arn:aws:iam::123456789012:role/");
        let is_good = match field("Action") {
            "AssumeRoleWithWebIdentity" => field("WebIdentityToken") == format!("proof-{TOKEN}"),
            "AssumeRole" => {
                let authorization = header(headers, "authorization").to_owned();
                let known = self.keys.iter().find(|(id, _)| authorization.contains(id.as_str()));
                let request = SignedRequest { method: "POST", path: "/", query: "", headers, body };
                let is_signed = known.is_some_and(|(_, (secret, token))| {
                    request.is_signed_with(secret, "sts")
                        && header(headers, "x-amz-security-token") == token
                });
                is_signed && field("ExternalId") == "partner-7"
            }
            _ => false,
        };
        if !(is_good && is_role) {
            let text = format!("<Code>AccessDenied</Code><Message>{TOKEN}</Message>");
            return answer(403, format!("<ErrorResponse><Error>{text}</Error></ErrorResponse>"));
        }
        let found = self.temporary(field("Action"));
        let element = |name: &str, from: &str| {
            format!("<{name}>{}</{name}>", found[from].as_str().expect("a text"))
        };
        let elements = [
            element("AccessKeyId", "AccessKeyId"),
            element("SecretAccessKey", "SecretAccessKey"),
            element("SessionToken", "Token"),
            element("Expiration", "Expiration"),
        ];
        answer(200, format!("<R><Credentials>{}</Credentials></R>", elements.concat()))
    }

    /// Returns the name of an error in the signature, if there is one.
    fn mistake(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Option<&'static str> {
        let authorization = header(headers, "authorization");
        let field = |name: &str| {
            let (_, rest) = authorization.split_once(&format!("{name}="))?;
            rest.split(',').next().map(str::trim)
        };
        let Some((credential, signed)) = field("Credential").zip(field("SignedHeaders")) else {
            return Some("MissingAuthenticationTokenException");
        };
        let scope: Vec<&str> = credential.split('/').collect();
        let [id, _, region, _, "aws4_request"] = scope[..] else {
            return Some("IncompleteSignatureException");
        };
        let Some((secret, token)) = self.keys.get(id) else {
            return Some("UnrecognizedClientException");
        };
        if self.expired.contains(id) {
            return Some("ExpiredTokenException");
        }
        if header(headers, "x-amz-security-token") != token {
            return Some("UnrecognizedClientException");
        }
        assert!(signed.contains("x-amz-target"), "{signed}");
        let request = SignedRequest { method: "POST", path, query: "", headers, body };
        let is_good = request.is_signed_with(secret, "") && region == REGION;
        (!is_good).then_some("InvalidSignatureException")
    }

    fn put(&mut self, is_kinesis: bool, headers: &HeaderMap, body: &[u8]) -> Response {
        let read: Value = serde_json::from_slice(body).expect("JSON");
        let name = if is_kinesis { "StreamName" } else { "DeliveryStreamName" };
        if read[name] != STREAM {
            return error("ResourceNotFoundException", "no such stream");
        }
        if !is_kinesis && self.source != "DirectPut" {
            let message =
                format!("This operation is not permitted on {} delivery stream type.", self.source);
            return error("InvalidArgumentException", &message);
        }
        let records = read["Records"].as_array().expect("records");
        if records.len() > MAX_RECORDS || body.len() > self.limit {
            return error("InvalidArgumentException", "too many records, or too large");
        }
        let line = |record: &Value| {
            let data = STANDARD.decode(record["Data"].as_str().expect("data")).expect("base64");
            String::from_utf8(data).expect("UTF-8")
        };
        let lines: Vec<String> = records.iter().map(line).collect();
        if lines.iter().any(|line| self.poison.contains(&id(line))) {
            // As debugging proxies do.
            let text = format!("{headers:?} {}", String::from_utf8_lossy(body));
            return error("ValidationException", &text);
        }
        let mut results = Vec::new();
        for (line, record) in lines.into_iter().zip(records) {
            assert!(is_kinesis || line.ends_with('\n'), "Firehose joins records: {line}");
            if let Some(left) = self.throttled.get_mut(&id(&line)).filter(|left| **left > 0) {
                *left -= 1;
                let code = match is_kinesis {
                    true => "ProvisionedThroughputExceededException",
                    false => "ServiceUnavailableException",
                };
                results.push(json!({ "ErrorCode": code, "ErrorMessage": "slow down" }));
                continue;
            }
            if is_kinesis {
                let key = record["PartitionKey"].as_str().expect("a key");
                assert!((1..=256).contains(&key.chars().count()), "{key}");
                self.partitions.push(key.to_owned());
            }
            self.stored.push(line);
            results.push(json!({ "SequenceNumber": "1", "ShardId": "s", "RecordId": "1" }));
        }
        self.sizes.push(results.len());
        let failed = results.iter().filter(|result| result["ErrorCode"].is_string()).count();
        let body = match is_kinesis {
            true => json!({ "FailedRecordCount": failed, "Records": results }),
            false => json!({ "FailedPutCount": failed, "RequestResponses": results }),
        };
        super::json(200, &body)
    }
}

/// A request with a signature of version 4.
pub struct SignedRequest<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    /// As it was sent.
    pub body: &'a [u8],
}

impl SignedRequest<'_> {
    /// Returns true if the request was signed with the secret in the last five minutes, for a service ("" for any).
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
    pub fn is_signed_with(&self, secret: &str, service: &str) -> bool {
        let field = |name: &str| {
            let (_, rest) =
                header(self.headers, "authorization").split_once(&format!("{name}="))?;
            rest.split(',').next().map(str::trim)
        };
        let (Some(credential), Some(signed), Some(signature)) =
            (field("Credential"), field("SignedHeaders"), field("Signature"))
        else {
            return false;
        };
        let Some((_, scope)) = credential.split_once('/') else { return false };
        let parts: Vec<&str> = scope.split('/').collect();
        let time = header(self.headers, "x-amz-date");
        let sent = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ").expect("a time").and_utc();
        let names: Vec<&str> = signed.split(';').collect();
        assert!(names.contains(&"host"), "{signed}");
        let line = |name: &&str| format!("{name}:{}\n", header(self.headers, name).trim());
        let lines: String = names.iter().map(line).collect();
        let request = format!(
            "{}\n{}\n{}\n{lines}\n{signed}\n{}",
            self.method,
            self.path,
            self.canonical_query(),
            hex(&Sha256::digest(self.body))
        );
        let hash = hex(&Sha256::digest(request.as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let start = format!("AWS4{secret}").into_bytes();
        let key = parts.iter().fold(start, |key, part| hmac(&key, part));
        hex(&hmac(&key, &text)) == signature
            && (Utc::now() - sent).abs() < TimeDelta::minutes(5)
            && time.starts_with(parts[0])
            && (service.is_empty() || parts[2] == service)
    }

    fn canonical_query(&self) -> String {
        let strict = |text: &str| -> String {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            let one = |byte: u8| match plain(byte) {
                true => char::from(byte).to_string(),
                false => format!("%{byte:02X}"),
            };
            text.bytes().map(one).collect()
        };
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        let mut pairs: Vec<String> =
            pairs.map(|(name, value)| format!("{}={}", strict(&name), strict(&value))).collect();
        pairs.sort();
        pairs.join("&")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn id(line: &str) -> String {
    let event: Value = serde_json::from_str(line).expect("JSON");
    event["id"].as_str().expect("an id").to_owned()
}

fn error(kind: &str, message: &str) -> Response {
    super::json(400, &json!({ "__type": kind, "message": message }))
}

impl Behaviour for Aws {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, _query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        let is_in_session = self.traffic.method == Method::GET
            && header(headers, "x-aws-ec2-metadata-token") == "imds-token";
        match path {
            "/latest/api/token" => {
                let ttl = header(headers, "x-aws-ec2-metadata-token-ttl-seconds").parse();
                let is_valid = ttl.is_ok_and(|ttl: u32| (1..=21_600).contains(&ttl));
                return match self.traffic.method == Method::PUT && is_valid {
                    true => answer(200, "imds-token".to_owned()),
                    false => answer(400, String::new()),
                };
            }
            path if path.starts_with("/latest/meta-data/") && !is_in_session => {
                return answer(401, String::new());
            }
            "/latest/meta-data/iam/security-credentials/" if self.has_role => {
                return answer(200, "role".to_owned());
            }
            "/latest/meta-data/iam/security-credentials/role" => {
                let credentials = self.temporary("instance");
                return super::json(200, &credentials);
            }
            "/pod" if header(headers, "authorization") == format!("pod-{TOKEN}") => {
                let credentials = self.temporary("pod");
                return super::json(200, &credentials);
            }
            "/" if header(headers, "content-type").starts_with("application/x-www-form") => {
                return self.token_service(headers, body);
            }
            "/" => {}
            _ => return answer(404, String::new()),
        }
        if let Some(mistake) = self.mistake(path, headers, body) {
            return error(mistake, "the signature is not valid");
        }
        assert_eq!(header(headers, "content-type"), "application/x-amz-json-1.1");
        if !self.is_allowed {
            return error("AccessDeniedException", "not allowed");
        }
        match header(headers, "x-amz-target") {
            "Kinesis_20131202.PutRecords" => self.put(true, headers, body),
            "Firehose_20150804.PutRecordBatch" => self.put(false, headers, body),
            "Kinesis_20131202.DescribeStreamSummary"
            | "Firehose_20150804.DescribeDeliveryStream" => {
                let read: Value = serde_json::from_slice(body).expect("JSON");
                let is_there = read.as_object().expect("an object").values().any(|v| v == STREAM);
                match is_there {
                    true => {
                        let description = json!({ "DeliveryStreamType": self.source });
                        super::json(200, &json!({ "DeliveryStreamDescription": description }))
                    }
                    false => error("ResourceNotFoundException", "no such stream"),
                }
            }
            _ => error("UnknownOperationException", "no such operation"),
        }
    }
}
