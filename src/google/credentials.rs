//! Content of a credentials file, as Google's tools write it, and the proofs that follow from it.
//! <https://google.aip.dev/auth/4112> <https://google.aip.dev/auth/4117>
//!
//! No error quotes the file, which holds a private key.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded::Serializer;

use crate::secret::{Form, Secret};

/// Scope of every token: the roles of the identity decide what it may do.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Lifetime of an assertion, and of the token that it is exchanged for, in seconds. Google allows one hour.
const LIFETIME: u64 = 3600;

/// Content of a credentials file.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum GoogleCredentials {
    /// The key of a service account.
    ServiceAccount(ServiceAccountKey),
    /// A federated identity.
    ExternalAccount(ExternalAccount),
}

/// Key of a service account.
#[derive(Deserialize)]
pub(super) struct ServiceAccountKey {
    client_email: String,
    /// PEM of a PKCS #8 key.
    private_key: String,
    private_key_id: String,
    pub(super) token_uri: String,
}

/// Federated identity.
#[derive(Deserialize)]
pub(super) struct ExternalAccount {
    audience: String,
    subject_token_type: String,
    pub(super) token_url: String,
    credential_source: CredentialSource,
    /// Present if the identity acts as a service account.
    pub(super) service_account_impersonation_url: Option<String>,
}

/// Place of the other issuer's token.
#[derive(Deserialize)]
struct CredentialSource {
    file: Option<PathBuf>,
    #[serde(default)]
    format: TokenFormat,
}

#[derive(Deserialize, Default)]
struct TokenFormat {
    #[serde(rename = "type", default)]
    kind: String,
    subject_token_field_name: Option<String>,
}

/// Advice for a file that is no credentials file.
const NO_CREDENTIALS: &str = "no access token: the credentials are neither a service account's key nor a federated \
                              identity (\"type\": \"service_account\" or \"external_account\"); download them again";

/// Reads the content of a credentials file.
///
/// # Errors
/// Returns a message for operators.
pub(super) fn read(secret: &Secret) -> Result<GoogleCredentials, String> {
    let secret = secret.reread().map_err(|error| format!("no access token: {error}"))?;
    serde_json::from_str(secret.expose()).map_err(|_| NO_CREDENTIALS.to_owned())
}

/// Returns the file of the other issuer's token; `None` without a federated identity.
pub(super) fn token_file(secret: &Secret) -> Option<PathBuf> {
    match read(secret).ok()? {
        GoogleCredentials::ServiceAccount(_) => None,
        GoogleCredentials::ExternalAccount(account) => account.credential_source.file,
    }
}

/// Returns the form that exchanges a signed assertion for a token (RFC 7523). `now` is in seconds since the Unix epoch.
///
/// # Errors
/// Returns a message for operators.
pub(super) fn assertion_form(key: &ServiceAccountKey, now: u64) -> Result<String, String> {
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encode(json!({ "alg": "RS256", "typ": "JWT", "kid": key.private_key_id }));
    let claims = encode(json!({
        "iss": key.client_email, "scope": SCOPE, "aud": key.token_uri, "iat": now, "exp": now + LIFETIME
    }));
    let signed = format!("{head}.{claims}");
    let signature = sign(&key.private_key, signed.as_bytes()).ok_or(
        "no access token: private_key in the credentials is not an RSA key; download the credentials again",
    )?;
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
    form.append_pair("assertion", &format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)));
    Ok(form.finish())
}

/// Returns the signature RS256 of a message; `None` if the key cannot sign.
fn sign(pem: &str, message: &[u8]) -> Option<Vec<u8>> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok()?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
    Some(signature)
}

/// Returns the form that exchanges the other issuer's token (RFC 8693). Reads that token from its file.
///
/// # Errors
/// Returns a message for operators.
pub(super) fn exchange_form(account: &ExternalAccount) -> Result<String, String> {
    let source = &account.credential_source;
    let file = source.file.as_ref().ok_or(
        "no access token: credential_source in the credentials names no file; other sources are not supported",
    )?;
    let content = Secret::from_file(file, Form::Text);
    let content = content.map_err(|error| format!("no access token: {error}"))?;
    let token = match source.format.kind.as_str() {
        "json" => {
            let name = source.format.subject_token_field_name.as_deref().unwrap_or_default();
            let read: Option<serde_json::Value> = serde_json::from_str(content.expose()).ok();
            let token = read.and_then(|read| Some(read.get(name)?.as_str()?.to_owned()));
            token.ok_or(
                "no access token: the file of credential_source has no field subject_token_field_name",
            )?
        }
        _ => content.expose().trim().to_owned(),
    };
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
    form.append_pair("audience", &account.audience).append_pair("scope", SCOPE);
    form.append_pair("requested_token_type", "urn:ietf:params:oauth:token-type:access_token");
    form.append_pair("subject_token", &token);
    form.append_pair("subject_token_type", &account.subject_token_type);
    Ok(form.finish())
}

/// Returns the body that requests a token of a service account for a federated identity.
pub(super) fn impersonation_body() -> Vec<u8> {
    json!({ "scope": [SCOPE], "lifetime": format!("{LIFETIME}s") }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::google::GoogleConfig;

    #[test]
    fn the_token_of_the_other_issuer_is_watched() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("credentials.json");
        let federated = json!({
            "type": "external_account", "audience": "a", "subject_token_type": "t",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": { "file": "/run/token" }
        });
        for (content, other) in
            [(federated.to_string(), Some(PathBuf::from("/run/token"))), ("{}".to_owned(), None)]
        {
            std::fs::write(&path, content).expect("written");
            let secret = Secret::from_file(&path, Form::Text).expect("a secret");
            let expected: Vec<PathBuf> = [path.clone()].into_iter().chain(other).collect();
            assert_eq!(GoogleConfig::Credentials(secret).files(), expected);
        }
    }
}
