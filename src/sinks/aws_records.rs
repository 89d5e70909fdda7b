//! Requests of Kinesis and Firehose: signed JSON, with a result for each record.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::verdict::NOT_AN_EVENT;
use super::{Item, Reason, Report, Verdict};
use crate::aws::{AwsConfig, AwsSigner};
use crate::http_client::{
    Answer, Class, Compression, HttpClient, HttpClientConfig, advice, class_of, parse_url,
};
use crate::settings::Section;

/// Media type of the protocol JSON 1.1 of AWS.
const MEDIA_TYPE: &str = "application/x-amz-json-1.1";

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// Connection to one service.
#[derive(Debug)]
pub(super) struct AwsService {
    requests: HttpClient,
    signer: AwsSigner,
    url: Url,
}

impl AwsService {
    /// Creates a connection, and reads the access key again.
    pub(super) fn open(
        client: &HttpClientConfig,
        aws: &AwsConfig,
        service: &'static str,
    ) -> Result<AwsService, Reason> {
        Ok(AwsService {
            requests: HttpClient::open(client, HeaderMap::new())?,
            signer: AwsSigner::open(aws, service, client)?,
            url: client.url.clone(),
        })
    }

    /// Calls an operation once; a second time with other credentials, if AWS answers that they have expired.
    pub(super) async fn call(
        &self,
        operation: &'static str,
        body: Vec<u8>,
    ) -> Result<Answer, Verdict> {
        let answer = self.attempt(operation, body.clone()).await?;
        if !has_expired(&answer) {
            return Ok(answer);
        }
        self.signer.forget().await;
        let answer = self.attempt(operation, body).await?;
        match has_expired(&answer) && self.signer.has_role() {
            true => Err(expired_role(&answer)),
            false => Ok(answer),
        }
    }

    async fn attempt(&self, operation: &'static str, body: Vec<u8>) -> Result<Answer, Verdict> {
        let mut headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)),
            (TARGET, HeaderValue::from_static(operation)),
        ]);
        headers.extend(self.signer.sign("POST", &self.url, &headers, &body).await?);
        // The client sets this one itself.
        headers.remove(CONTENT_TYPE);
        Ok(self.requests.post(&self.url, MEDIA_TYPE, headers, body).await?)
    }
}

/// Returns a record with the bytes of an event; `more` are further fields, each after a comma.
pub(super) fn record(data: &[u8], more: &str) -> Vec<u8> {
    format!("{{\"Data\":\"{}\"{more}}}", STANDARD.encode(data)).into_bytes()
}

/// Returns the body of a request with all records. `name` is the key of the stream's name, which has plain characters.
pub(super) fn body(name: &str, stream: &str, items: &[Item]) -> Vec<u8> {
    let size = items.iter().map(|item| item.payload.len() + 1).sum::<usize>() + 256;
    let mut body = Vec::with_capacity(size);
    body.extend_from_slice(format!("{{\"{name}\":\"{stream}\",\"Records\":[").as_bytes());
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&item.payload);
    }
    body.extend_from_slice(b"]}");
    body
}

/// Result of each record. Kinesis and Firehose name the list differently.
#[derive(Deserialize)]
struct PutAnswer {
    #[serde(alias = "Records", alias = "RequestResponses")]
    results: Vec<PutResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutResult {
    error_code: Option<String>,
    /// Set for a record that Kinesis has stored.
    sequence_number: Option<String>,
    /// Set for a record that Firehose has stored.
    record_id: Option<String>,
}

/// Returns the report for `count` records that were sent together. A record that was not stored is sent again: AWS has
/// no error for one record that is permanent.
pub(super) fn report(answer: &Answer, count: usize) -> Report {
    let all = |verdict: Verdict| Report::from(vec![verdict; count]);
    if let Some(verdict) = failure(answer) {
        return all(verdict);
    }
    match serde_json::from_slice::<PutAnswer>(&answer.body) {
        Ok(read) if read.results.len() == count => {
            let verdicts: Vec<Verdict> =
                read.results.into_iter().map(|result| verdict(answer, result)).collect();
            verdicts.into()
        }
        _ if answer.is_torn() => all(Verdict::Retry {
            after: answer.retry_after,
            reason: answer.reason("the answer broke off", None),
        }),
        _ => all(Verdict::Fatal {
            reason: answer.reason("the answer is not one of AWS; correct endpoint", None),
        }),
    }
}

fn verdict(answer: &Answer, result: PutResult) -> Verdict {
    let id = result.sequence_number.or(result.record_id);
    let Some(code) = result.error_code else {
        return match id.is_some_and(|id| !id.is_empty()) {
            true => Verdict::Delivered,
            false => Verdict::Retry {
                after: answer.retry_after.or(Some(NOT_AN_EVENT)),
                reason: answer.reason(
                    "the record has neither an error nor a SequenceNumber or RecordId, so it is not stored; check \
                     endpoint if this continues",
                    None,
                ),
            },
        };
    };
    let code = word(&code);
    let named = code.as_deref().unwrap_or("an error without a name");
    let reason = answer.reason(format!("the record was not stored: {named}"), code.clone());
    let is_of_aws = code.as_deref().is_some_and(|code| {
        THROTTLING.contains(&code) || EXPIRED.contains(&code) || OF_A_SIGNATURE.contains(&code)
    });
    let after =
        if is_of_aws { answer.retry_after.or(Some(NOT_AN_EVENT)) } else { answer.retry_after };
    Verdict::Retry { after, reason }
}

/// Error of a whole request.
#[derive(Deserialize)]
struct AwsError {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

/// Errors of an account or a stream that is asked for too much. No record causes them.
const THROTTLING: [&str; 11] = [
    "KMSThrottlingException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestThrottled",
    "RequestThrottledException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Errors of a whole request that pass by themselves, although their status is 400.
const TEMPORARY: [&str; 3] = ["InternalFailure", "RequestTimeout", "RequestTimeoutException"];

/// Errors of credentials that have expired.
const EXPIRED: [&str; 3] = ["ExpiredToken", "ExpiredTokenException", "RequestExpired"];

/// Errors of a signature.
const OF_A_SIGNATURE: [&str; 6] = [
    "AccessDeniedException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Beginning of the message for a stream of Firehose that reads its records from another service.
const OTHER_SOURCE: &str = "This operation is not permitted on ";

/// Errors of a whole request whose cause is a record, or the number of records.
const OF_A_RECORD: [&str; 3] =
    ["InvalidArgumentException", "SerializationException", "ValidationException"];

/// Returns the verdict of an error for all records of a request; `None` for a success.
pub(super) fn failure(answer: &Answer) -> Option<Verdict> {
    let status = answer.status;
    let code = error_code(answer);
    let reason = |words: &str| reason(answer, words);
    let fatal = |words: &str| Verdict::Fatal { reason: reason(&format!(": {words}")) };
    let is_among = |codes: &[&str]| code.as_deref().is_some_and(|code| codes.contains(&code));
    Some(match class_of(status) {
        Class::Success => return None,
        _ if is_among(&THROTTLING) => {
            Verdict::Retry { after: answer.retry_after.or(Some(NOT_AN_EVENT)), reason: reason("") }
        }
        _ if is_among(&TEMPORARY) => {
            Verdict::Retry { after: answer.retry_after, reason: reason("") }
        }
        Class::Retry => Verdict::Retry { after: answer.retry_after, reason: reason("") },
        Class::TooLarge => Verdict::Split { reason: reason("") },
        // Not an answer of AWS: a page of a proxy, or plain HTTP at a port for TLS.
        Class::Refused if code.is_none() => {
            fatal("the answer is not one of AWS; correct endpoint, or the proxy")
        }
        Class::Refused if has_other_source(answer) => {
            fatal("the stream must have the source Direct PUT; correct stream")
        }
        Class::Refused if is_among(&OF_A_RECORD) => Verdict::Split { reason: reason("") },
        Class::Refused => fatal(words_of(code.as_deref().unwrap_or_default())),
        Class::Fatal => fatal(code.as_deref().map_or(advice(status), words_of)),
    })
}

/// Returns a reason with status and error code of an answer.
fn reason(answer: &Answer, words: &str) -> Reason {
    let code = error_code(answer);
    let named = code.as_deref().map_or(String::new(), |code| format!(", {code}"));
    answer.reason(format!("HTTP {}{named}{words}", answer.status), code)
}

fn has_expired(answer: &Answer) -> bool {
    error_code(answer).is_some_and(|code| EXPIRED.contains(&code.as_str()))
}

/// Returns the verdict for new credentials of a role that AWS takes for expired: the machine gives others later.
fn expired_role(answer: &Answer) -> Verdict {
    let words = ": the credentials of the role have expired, or this machine's clock is wrong";
    let after = answer.retry_after.or(Some(NOT_AN_EVENT));
    Verdict::Retry { after, reason: reason(answer, words) }
}

/// Returns true if the stream accepts records of another service only. The message is compared at its beginning, where
/// it cannot quote a record.
fn has_other_source(answer: &Answer) -> bool {
    serde_json::from_slice::<AwsError>(&answer.body)
        .is_ok_and(|error| error.message.starts_with(OTHER_SOURCE))
}

/// Returns the advice for an error code.
fn words_of(code: &str) -> &'static str {
    match code {
        "ResourceNotFoundException" => {
            "there is no such stream; create it, or correct stream or region"
        }
        "AccessDeniedException" => "allow the action on the stream in a policy of the identity",
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            "the session token has expired, or this machine's clock is wrong; replace access_key"
        }
        "UnrecognizedClientException" | "InvalidClientTokenId" => {
            "AWS does not know the access key; correct access_key"
        }
        "InvalidSignatureException" | "SignatureDoesNotMatch" => {
            "the secret access key or the region is wrong, or this machine's clock is"
        }
        "IncompleteSignatureException" | "MissingAuthenticationTokenException" => {
            "a proxy removes headers of the request; correct endpoint"
        }
        _ if code.contains("KMS") => "the key of the stream cannot be used; correct it in AWS KMS",
        _ => "see the error code in the documentation of AWS",
    }
}

/// Returns true if the identity may not call an operation, although AWS knows it.
pub(super) fn is_denied(answer: &Answer) -> bool {
    error_code(answer).as_deref() == Some("AccessDeniedException")
}

/// Returns the error code without its namespace.
fn error_code(answer: &Answer) -> Option<String> {
    let read: AwsError = serde_json::from_slice(&answer.body).ok()?;
    word(read.kind.rsplit('#').next()?)
}

/// Returns an error code, if it is a word; any other text is not shown in logs.
fn word(text: &str) -> Option<String> {
    let is_word =
        (1..=80).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word.then(|| text.to_owned())
}

/// Returns the result of a probe that describes the stream. An identity that may not describe it may still write.
pub(super) fn probed(answer: &Answer) -> Result<String, Reason> {
    match failure(answer) {
        None => Ok("the stream is there".to_owned()),
        Some(_) if is_denied(answer) => Ok(
            "AWS knows the credentials, which may not describe the stream; the sink does not need that".to_owned(),
        ),
        Some(verdict) => Err(verdict.into_reason()),
    }
}

/// Reads the keys of a connection to a service. A region of an unknown partition needs the key `endpoint`.
pub(super) fn read_client(
    section: &mut Section<'_>,
    region: Option<&str>,
    service: &str,
) -> Option<HttpClientConfig> {
    // Neither service accepts compressed bodies.
    let compressions = [("none", Compression::None)];
    match AwsConfig::host(region.unwrap_or("eu-central-1"), service) {
        Some(host) => {
            let url = parse_url(&format!("https://{host}")).ok()?;
            let words = format!("https://{service}.REGION.amazonaws.com");
            HttpClientConfig::read_with_default(section, url, &words, &compressions, "none")
        }
        None => {
            let example = format!("https://{service}.example.com");
            HttpClientConfig::read(section, "endpoint", &example, &compressions, "none")
        }
    }
}

/// Parses the name of a stream.
pub(super) fn parse_stream(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    match (1..=128).contains(&text.len()) && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(
            "must be 1 to 128 of letters, digits and _ . -; write the stream's name, not its ARN",
        ),
    }
}

#[cfg(test)]
mod tests;
