//! Credentials of a source: any one of them admits a request. A comparison takes the same time for
//! every wrong credential and every length.

use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::listener::Certificate;
use crate::receive::{Credential, PinnedCertificate};

type Hash = [u8; 32];

/// Maximum number of `Authorization` headers that are checked per request. A proxy may add one to
/// the sender's.
const MAX_AUTHORIZATIONS: usize = 8;

/// Hashed credentials of a source. Hashes have equal lengths, and the secrets themselves are not
/// kept.
#[derive(Clone)]
pub(crate) struct Credentials(Vec<HashedCredential>);

#[derive(Clone)]
enum HashedCredential {
    Basic { username: Hash, password: Hash },
    Header { name: HeaderName, value: Hash },
    Certificate(PinnedCertificate),
}

impl Credentials {
    pub(crate) fn new(configured: &[Credential]) -> Credentials {
        let hashed = configured.iter().map(|credential| match credential {
            Credential::Basic { username, password } => HashedCredential::Basic {
                username: hash(username.as_bytes()),
                password: hash(password.expose().as_bytes()),
            },
            Credential::Header { name, value } => HashedCredential::Header {
                name: name.clone(),
                value: hash(value.expose().as_bytes()),
            },
            Credential::Certificate(certificate) => {
                HashedCredential::Certificate(certificate.clone())
            }
        });
        Credentials(hashed.collect())
    }

    /// Returns whether a request with these headers, on a connection with this certificate, is
    /// admitted. Always true without configured credentials.
    pub(crate) fn allow(&self, headers: &HeaderMap, shown: Option<&Certificate>) -> bool {
        let authorizations = headers.get_all(header::AUTHORIZATION).iter().take(MAX_AUTHORIZATIONS);
        let given: Vec<(Hash, Hash)> = authorizations
            .filter_map(|value| basic(value.as_bytes()))
            .map(|(username, password)| (hash(&username), hash(&password)))
            .collect();
        let mut allowed = Choice::from(u8::from(self.0.is_empty()));
        // Every credential is compared even after a match, so that the time does not depend on its
        // position.
        for credential in &self.0 {
            allowed |= match credential {
                HashedCredential::Basic { username, password } => given
                    .iter()
                    .map(|(name, word)| username.ct_eq(name) & password.ct_eq(word))
                    .fold(Choice::from(0), |any, equal| any | equal),
                HashedCredential::Header { name, value } => {
                    let given = headers.get_all(name).iter().map(|given| hash(given.as_bytes()));
                    given.fold(Choice::from(0), |any, given| any | value.ct_eq(&given))
                }
                // The content of a certificate is not secret.
                HashedCredential::Certificate(wanted) => {
                    Choice::from(u8::from(shown.is_some_and(|shown| is(shown, wanted))))
                }
            };
        }
        allowed.into()
    }
}

fn is(shown: &Certificate, wanted: &PinnedCertificate) -> bool {
    match wanted {
        PinnedCertificate::Fingerprint(fingerprint) => shown.fingerprint == *fingerprint,
        PinnedCertificate::Subject(subject) => shown.subject == *subject,
        PinnedCertificate::Name(name) => shown.names.contains(name),
    }
}

/// Returns user name and password of a Basic header (RFC 7617), split at the first colon: passwords
/// may contain more.
fn basic(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = memchr::memchr(b':', &pair)?;
    Some((pair[..colon].to_vec(), pair[colon + 1..].to_vec()))
}

fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), value.parse().expect("a header value"))
            })
            .collect()
    }

    fn credentials() -> Credentials {
        Credentials(vec![
            HashedCredential::Basic { username: hash(b"pingone"), password: hash(b"a:b:c") },
            HashedCredential::Basic { username: hash(b"pingone"), password: hash(b"next") },
            HashedCredential::Header { name: HeaderName::from_static("x-key"), value: hash(b"k1") },
        ])
    }

    fn basic_header(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn any_one_credential_lets_a_request_in() {
        for pair in ["pingone:a:b:c", "pingone:next"] {
            assert!(
                credentials().allow(&headers(&[("authorization", &basic_header(pair))]), None),
                "{pair}"
            );
        }
        assert!(credentials().allow(&headers(&[("x-key", "k1")]), None));
        assert!(
            credentials().allow(&headers(&[("authorization", "Bearer x"), ("x-key", "k1")]), None)
        );
        let lower = basic_header("pingone:next").replace("Basic", "basic");
        assert!(credentials().allow(&headers(&[("authorization", &lower)]), None));
    }

    #[test]
    fn everything_else_is_kept_out() {
        for pair in ["pingone:a", "pingone:", "pingone:a:b", "other:next", ":", "pingone"] {
            assert!(
                !credentials().allow(&headers(&[("authorization", &basic_header(pair))]), None),
                "{pair}"
            );
        }
        for value in ["Basic", "Basic ", "Basic !!!", "Bearer k1", ""] {
            assert!(!credentials().allow(&headers(&[("authorization", value)]), None), "{value}");
        }
        assert!(!credentials().allow(&headers(&[("x-key", "k2")]), None));
        assert!(!credentials().allow(&HeaderMap::new(), None));
    }

    #[test]
    fn each_of_several_authorization_headers_counts() {
        let repeated = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().expect("a header value"));
            }
            credentials().allow(&headers, None)
        };
        let (right, wrong) = (basic_header("pingone:next"), basic_header("pingone:last"));
        assert!(repeated(&["Bearer of-a-proxy", &right]));
        assert!(repeated(&[&wrong, &right]) && repeated(&[&right, &wrong]));
        assert!(!repeated(&[&wrong, "Bearer of-a-proxy"]));
        // The user name of one credential with the password of another is wrong.
        assert!(!repeated(&[&basic_header("pingone:x"), &basic_header("other:next")]));
        let many = [vec![wrong.as_str(); MAX_AUTHORIZATIONS], vec![right.as_str()]].concat();
        assert!(!repeated(&many), "so many and no more");
        assert!(repeated(&many[1..]));
    }

    #[test]
    fn without_credentials_everyone_comes_in() {
        assert!(Credentials::new(&[]).allow(&HeaderMap::new(), None));
    }
}
