//! Settings of a container of Azure Blob Storage: account, and a key or a sign-in at Microsoft Entra ID.

use std::path::PathBuf;
use std::sync::Arc;

use super::config::parse_bucket;
use crate::azure::{AzureCloud, EntraConfig};
use crate::oauth::TokenCache;
use crate::secret::{Form, Secret};
use crate::settings::Section;

/// A container of Azure Blob Storage.
#[derive(Debug, Clone)]
pub struct AzureBlobConfig {
    pub account: String,
    pub container: String,
    pub credentials: AzureBlobCredentials,
    /// Access token of a sign-in.
    #[cfg_attr(not(feature = "object_store"), expect(dead_code, reason = "the sink reads it"))]
    pub(crate) tokens: Arc<TokenCache>,
}

/// Credentials for Azure Blob Storage.
#[derive(Debug, Clone)]
pub enum AzureBlobCredentials {
    /// A key of the storage account.
    AccountKey(Secret),
    /// A sign-in at Microsoft Entra ID.
    Entra(Box<EntraConfig>),
}

/// Reads the table `azure`.
pub(super) fn read(section: &mut Section<'_>) -> Option<AzureBlobConfig> {
    let account = section.text_as("account", "Name of the storage account.", parse_account);
    let account = account.required("examplearchive");
    let container = section.text_as("container", "Name of the container.", parse_bucket);
    let container = container.required("davinci");
    let doc = "Key of the storage account, instead of a sign-in.";
    let keys = ["account_key", "account_key_file", "account_key_env"];
    let has_key = keys.iter().any(|key| section.is_given(key));
    let key = section.optional_secret("account_key", Form::Line, doc);
    let credentials = match has_key {
        true => key.flatten().map(AzureBlobCredentials::AccountKey),
        false => EntraConfig::read(section, AzureCloud::storage)
            .map(|entra| AzureBlobCredentials::Entra(Box::new(entra))),
    };
    Some(AzureBlobConfig {
        account: account?,
        container: container?,
        credentials: credentials?,
        tokens: Arc::default(),
    })
}

impl AzureBlobConfig {
    /// Returns the URL of the account in its cloud.
    pub(super) fn default_endpoint(&self) -> String {
        let cloud = match &self.credentials {
            AzureBlobCredentials::AccountKey(_) => AzureCloud::Public,
            AzureBlobCredentials::Entra(entra) => entra.cloud,
        };
        let domain = match cloud {
            AzureCloud::Public => "blob.core.windows.net",
            AzureCloud::UsGov => "blob.core.usgovcloudapi.net",
            AzureCloud::China => "blob.core.chinacloudapi.cn",
        };
        format!("https://{}.{domain}", self.account)
    }

    /// Returns the file of the credentials.
    pub(super) fn file(&self) -> Option<PathBuf> {
        match &self.credentials {
            AzureBlobCredentials::AccountKey(key) => key.file().map(PathBuf::from),
            AzureBlobCredentials::Entra(entra) => entra.file(),
        }
    }
}

fn parse_account(text: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match (3..=24).contains(&text.len()) && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => {
            Err("is not the name of a storage account: 3 to 24 of a-z and 0-9, without a domain")
        }
    }
}
