//! A bucket with the API of S3, as far as a sink needs it: objects that are created once, and signatures of the content.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::{Behaviour, Target, Traffic, answer, header};

/// Name of the only bucket.
pub const BUCKET: &str = "archive";

/// Id of the only access key.
pub const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";

#[derive(Default)]
pub struct Bucket {
    pub traffic: Traffic,
    /// Objects by name.
    pub objects: BTreeMap<String, Vec<u8>>,
    /// Requests for objects that exist already.
    pub repeated: usize,
    /// Text that the credentials of a request have to contain; if none is set, `KEY_ID`.
    pub credential: Option<String>,
    /// Header of a request for an object, with the value that creates and never replaces.
    pub condition: Option<(&'static str, &'static str)>,
}

impl Behaviour for Bucket {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, _query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        let Some(name) = path.strip_prefix(&format!("/{BUCKET}/")) else {
            return error(404, "NoSuchBucket");
        };
        let digest: String =
            Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
        let own = format!("Credential={KEY_ID}/");
        let credential = self.credential.as_ref().unwrap_or(&own);
        let all =
            ["authorization", "x-amz-security-token"].map(|name| header(headers, name)).join(" ");
        let is_google = self.condition.is_some();
        if !all.contains(credential.as_str())
            || !(is_google || header(headers, "x-amz-content-sha256") == digest)
        {
            return error(403, "SignatureDoesNotMatch");
        }
        let (name_of_condition, value) = self.condition.unwrap_or(("if-none-match", "*"));
        assert_eq!(header(headers, name_of_condition), value, "objects are only created");
        let name = name.replace("%3D", "=");
        if self.objects.contains_key(&name) {
            self.repeated += 1;
            return error(412, "PreconditionFailed");
        }
        self.objects.insert(name, body.to_vec());
        let mut response = answer(200, String::new());
        response.headers_mut().insert("etag", "\"1\"".parse().expect("a value"));
        response
    }
}

/// Returns an error as S3 writes it.
pub fn error(status: u16, code: &str) -> Response {
    answer(status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>"))
}

impl Target<Bucket> {
    /// Returns all objects with their lines, by name.
    pub fn lines(&self) -> Vec<(String, Vec<String>)> {
        let state = self.state();
        let objects = state.objects.iter().map(|(name, content)| {
            let text = zstd::decode_all(content.as_slice()).expect("zstd");
            let text = String::from_utf8(text).expect("UTF-8");
            (name.clone(), text.lines().map(str::to_owned).collect())
        });
        objects.collect()
    }

    /// Returns the lines of all objects, in the order of positions.
    pub fn all_lines(&self) -> Vec<String> {
        let mut objects = self.lines();
        objects.sort_by_key(|(name, _)| name.rsplit('/').next().map(str::to_owned));
        objects.into_iter().flat_map(|(_, lines)| lines).collect()
    }
}
