//! Temporary credentials of a role, from AWS STS.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use std::time::SystemTime;

use aws_credential_types::Credentials;
use bytes::Bytes;
use chrono::DateTime;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request};
use memchr::memmem;
use url::Url;
use url::form_urlencoded::Serializer;

use super::roles::{AssumeRoleConfig, WebIdentityConfig};
use super::signer::{SigningError, signed_headers};
use crate::http_client::{
    Answer, Class, Compression, HttpClient, HttpClientConfig, RequestError, class_of, peer,
};
use crate::secret::{Form, Secret};

/// Name of the session in `AWS CloudTrail`.
const SESSION: &str = "davinci-siem";

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// Beginnings of error codes that pass by themselves, although their status is 400: AWS could not ask the issuer of the
/// token for its keys, or received too many requests.
const TEMPORARY: [&str; 2] = ["IDPCommunicationError", "Throttling"];

/// Connection to the token service.
#[derive(Debug)]
pub(super) struct TokenService {
    url: Url,
    requests: HttpClient,
}

impl TokenService {
    /// Creates a connection with the timeouts, the proxy and the TLS settings of `target`.
    ///
    /// # Errors
    /// Returns an error if the client cannot be created.
    pub(super) fn open(url: &Url, target: &HttpClientConfig) -> Result<TokenService, RequestError> {
        let compression = Compression::None;
        let settings = HttpClientConfig { url: url.clone(), compression, ..target.clone() };
        let requests = HttpClient::open(&settings, HeaderMap::new())?;
        Ok(TokenService { url: url.clone(), requests })
    }

    /// Requests the credentials of a role for the token of another issuer. The file is read for each request.
    ///
    /// # Errors
    /// Returns an error if STS gives none.
    pub(super) async fn exchange(
        &self,
        identity: &WebIdentityConfig,
    ) -> Result<Credentials, SigningError> {
        let token = Secret::from_file(&identity.token_file, Form::Line)?;
        let body = form("AssumeRoleWithWebIdentity", &identity.role_arn, |form| {
            form.append_pair("WebIdentityToken", token.expose());
        });
        self.send(HeaderMap::from_iter([(CONTENT_TYPE, FORM)]), body).await
    }

    /// Requests the credentials of another role with `own` credentials.
    ///
    /// # Errors
    /// Returns an error if STS gives none.
    pub(super) async fn assume(
        &self,
        role: &AssumeRoleConfig,
        region: &str,
        own: Credentials,
    ) -> Result<Credentials, SigningError> {
        let body = form("AssumeRole", &role.role_arn, |form| {
            if let Some(external_id) = &role.external_id {
                form.append_pair("ExternalId", external_id);
            }
        });
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, FORM)]);
        headers.extend(signed_headers(region, "sts", own, ("POST", &self.url), &headers, &body)?);
        self.send(headers, body).await
    }

    async fn send(&self, headers: HeaderMap, body: Vec<u8>) -> Result<Credentials, SigningError> {
        // STS answers with XML, unless a request asks for JSON.
        let request = Request::post(self.url.as_str()).body(Bytes::from(body));
        let mut request = request.map_err(|_| SigningError {
            message: "no AWS credentials: sts_endpoint is not a usable URL; correct it".to_owned(),
            is_permanent: true,
        })?;
        *request.headers_mut() = headers;
        read(&self.requests.request(request).await?, &peer(&self.url))
    }
}

fn form(action: &str, role_arn: &str, more: impl FnOnce(&mut Serializer<'_, String>)) -> Vec<u8> {
    let mut form = Serializer::new(String::new());
    form.append_pair("Action", action)
        .append_pair("Version", "2011-06-15")
        .append_pair("RoleArn", role_arn)
        .append_pair("RoleSessionName", SESSION);
    more(&mut form);
    form.finish().into_bytes()
}

/// Returns the credentials in an answer of STS.
fn read(answer: &Answer, peer: &str) -> Result<Credentials, SigningError> {
    let Answer { status, body, is_whole, .. } = answer;
    let code = text_in(body, "Code").filter(|code| is_word(code));
    let named = code.as_deref().map_or(String::new(), |code| format!(", {code}"));
    let at = format!("no AWS credentials: {peer} answered HTTP {status}{named}");
    let passes = code.is_some_and(|code| TEMPORARY.iter().any(|start| code.starts_with(start)));
    let (message, is_permanent) = match class_of(*status) {
        Class::Success if *is_whole => match credentials(body) {
            Some(credentials) => return Ok(credentials),
            None => (format!("{at} without credentials; correct sts_endpoint, or the proxy"), true),
        },
        Class::Success | Class::Retry => (at, false),
        _ if passes => (at, false),
        _ => (
            format!(
                "{at}; correct the ARN of the role, its trust policy, the external id, or the identity"
            ),
            true,
        ),
    };
    Err(SigningError { message, is_permanent })
}

fn credentials(body: &[u8]) -> Option<Credentials> {
    let expiry = DateTime::parse_from_rfc3339(&text_in(body, "Expiration")?).ok()?;
    let [id, secret, token] = ["AccessKeyId", "SecretAccessKey", "SessionToken"]
        .map(|name| text_in(body, name).filter(|text| !text.is_empty()));
    Some(Credentials::new(id?, secret?, Some(token?), Some(SystemTime::from(expiry)), "sts"))
}

/// Returns the text of the first XML element of that name. The values of STS hold no entity.
fn text_in(body: &[u8], name: &str) -> Option<String> {
    let open = format!("<{name}>");
    let start = memmem::find(body, open.as_bytes())? + open.len();
    let length = memmem::find(&body[start..], b"</")?;
    String::from_utf8(body[start..start + length].to_vec()).ok().map(|text| text.trim().to_owned())
}

/// Returns true for a text that a message may show. A secret that is repeated there has digits.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_credentials_or_a_reason() {
        let with = |expiry: &str| {
            format!(
                "<R><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                 <SessionToken>t</SessionToken><Expiration>{expiry}</Expiration></Credentials></R>"
            )
        };
        let error = |code: &str| {
            format!("<E><Error><Code>{code}</Code><Message>canary</Message></Error></E>")
        };
        for (status, body, expected) in [
            (200, with("2099-01-01T00:00:00Z"), None),
            (200, with("soon"), Some((true, "without credentials"))),
            (200, "<html>log in</html>".to_owned(), Some((true, "without credentials"))),
            (200, String::new(), Some((true, "without credentials"))),
            (400, error("IDPCommunicationError"), Some((false, "IDPCommunicationError"))),
            (400, error("ThrottlingException"), Some((false, "Throttling"))),
            (400, error("ExpiredTokenException"), Some((true, "trust policy"))),
            (403, error("AccessDenied"), Some((true, "HTTP 403, AccessDenied"))),
            (403, error("c4n4ry"), Some((true, "HTTP 403; correct"))),
            (500, String::new(), Some((false, "HTTP 500"))),
            (503, error("ServiceUnavailable"), Some((false, "HTTP 503"))),
        ] {
            let body_bytes = body.clone().into_bytes();
            let answer = Answer { status, body: body_bytes, is_whole: true, ..Answer::default() };
            match (read(&answer, "sts:443"), expected) {
                (Ok(found), None) => assert!(found.expiry().is_some()),
                (Err(error), Some((is_permanent, words))) => {
                    assert_eq!(error.is_permanent, is_permanent, "{status} {body}");
                    assert!(error.message.contains(words), "{status} {body}: {}", error.message);
                    assert!(!error.message.contains("canary") && !error.message.contains("c4n4ry"));
                }
                (found, _) => panic!("{status} {body}: {found:?}"),
            }
        }
        let torn = Answer { status: 200, is_whole: false, ..Answer::default() };
        assert!(!read(&torn, "sts:443").expect_err("torn").is_permanent);
    }
}
