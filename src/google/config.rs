//! Settings of a sign-in at Google Cloud: a credentials file, or the metadata server.

use std::path::PathBuf;

use url::Url;

use super::credentials;
use crate::http_client::parse_url;
use crate::secret::{Form, Secret};
use crate::settings::Section;

/// Sign-in at Google Cloud.
#[derive(Debug, Clone)]
pub enum GoogleConfig {
    /// The content of a credentials file: a service account's key, or a federated identity.
    Credentials(Secret),
    /// The metadata server of the machine or the pod.
    Metadata(MetadataServer),
}

/// The metadata server, and one of its service accounts.
#[derive(Debug, Clone)]
pub struct MetadataServer {
    pub url: Url,
    /// The service account: `default`, or its e-mail address.
    pub service_account: String,
}

/// Address of the metadata server, by name.
const METADATA: &str = "http://metadata.google.internal";

/// Variable by which Google's own clients replace the address of the metadata server.
const METADATA_HOST: &str = "GCE_METADATA_HOST";

impl GoogleConfig {
    /// Returns the files whose change may let the identity sign in: the credentials, and the token of the other issuer
    /// that these name.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        match self {
            GoogleConfig::Credentials(secret) => {
                let own = secret.file().map(PathBuf::from);
                own.into_iter().chain(credentials::token_file(secret)).collect()
            }
            GoogleConfig::Metadata(_) => Vec::new(),
        }
    }

    /// Reads the keys of a sign-in.
    pub(crate) fn read(section: &mut Section<'_>) -> Option<GoogleConfig> {
        let doc =
            "Content of a credentials file: a service account's key, or a federated identity.";
        let credentials = section.optional_secret("credentials", Form::Text, doc);
        let doc = "Metadata server of the machine or the pod. {}: its default service account.";
        let metadata = section.optional_table("metadata_server", doc, read_metadata);
        match (credentials?, metadata?) {
            (Some(credentials), None) => Some(GoogleConfig::Credentials(credentials)),
            (None, Some(server)) => Some(GoogleConfig::Metadata(server)),
            (None, None) => {
                let advice =
                    "is missing; write credentials_file, credentials_env or metadata_server";
                section.report("credentials_file", advice);
                None
            }
            (Some(_), Some(_)) => {
                section.report("metadata_server", "and credentials exclude each other; use one");
                None
            }
        }
    }
}

fn read_metadata(section: &mut Section<'_>) -> Option<MetadataServer> {
    let doc = "Service account of the machine or the pod: its e-mail address.";
    let service_account = section.text_as("service_account", doc, parse_service_account);
    let service_account = service_account.or("default");
    let host = section.variable(METADATA_HOST).filter(|host| !host.is_empty());
    let url = host.map_or(METADATA.to_owned(), |host| format!("http://{host}"));
    let url = parse_url(&url).map_err(|problem| {
        let message = format!("the variable {METADATA_HOST} {problem}; write host and port");
        section.report("", message);
    });
    Some(MetadataServer { url: url.ok()?, service_account: service_account? })
}

/// Parses a service account. It becomes a part of a URL's path.
fn parse_service_account(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    let is_email =
        text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
    match (text == "default" || is_email) && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("is not the e-mail address of a service account"),
    }
}
