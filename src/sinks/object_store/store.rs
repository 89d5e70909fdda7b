//! A store, opened: creates objects with the library `object_store`, one attempt per call.

use std::sync::Arc;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::HttpConnector;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ClientOptions, ObjectStore, PutMode, PutOptions, PutPayload, RetryConfig,
};

use super::answer::{Creation, StoreKind, failed, unconfirmed};
use super::assumed_role::AssumedRole;
use super::aws::{Addressing, AwsCredentialsConfig, S3Config};
use super::azure_blob::AzureBlobCredentials;
use super::config::{ObjectEncoding, ObjectStoreSinkConfig, StoreConfig, without_slash};
use super::credentials::EntraTokens;
use super::exchange::{Exchange, ExchangeResult, Exchanges, StoreAnswer};
use crate::aws::WebIdentityConfig;
use crate::http_client::Compression;
use crate::secret::Secret;
use crate::sinks::Reason;

/// A store with its credentials.
#[derive(Debug)]
pub(super) struct Store {
    client: Arc<dyn ObjectStore>,
    exchanges: Exchanges,
    /// Set if the store takes tokens of Microsoft Entra ID.
    entra: Option<Arc<EntraTokens>>,
    kind: StoreKind,
    bucket: String,
    content_type: &'static str,
}

impl Store {
    /// Creates the clients, and reads credentials and certificates. Opens no connection.
    ///
    /// # Errors
    /// Returns the change that an operator has to make.
    pub(super) fn open(settings: &ObjectStoreSinkConfig) -> Result<Store, Reason> {
        let exchanges = Exchanges::open(&settings.client)?;
        let mut entra = None;
        let client: object_store::Result<Arc<dyn ObjectStore>> = match &settings.store {
            StoreConfig::S3(s3) => {
                let builder = s3_builder(s3, settings)?.with_http_connector(exchanges.clone());
                match &s3.assume_role {
                    None => builder.build().map(|it| Arc::new(it) as _),
                    Some(role) => builder.clone().build().and_then(|own| {
                        let client = exchanges.connect(&ClientOptions::new())?;
                        let own = Arc::clone(own.credentials());
                        let role = AssumedRole::new(role, &s3.region, own, client);
                        let other = builder.with_credentials(Arc::new(role)).build()?;
                        Ok(Arc::new(other) as _)
                    }),
                }
            }
            StoreConfig::AzureBlob(azure) => {
                let builder = MicrosoftAzureBuilder::new()
                    .with_account(&azure.account)
                    .with_container_name(&azure.container)
                    .with_endpoint(without_slash(&settings.client.url).to_owned())
                    .with_retry(no_retries())
                    .with_http_connector(exchanges.clone());
                let builder = match &azure.credentials {
                    AzureBlobCredentials::AccountKey(key) => {
                        builder.with_access_key(key.reread()?.expose())
                    }
                    AzureBlobCredentials::Entra(config) => {
                        let provider = EntraTokens::open(config, &azure.tokens, &settings.client)?;
                        let provider = Arc::clone(entra.insert(Arc::new(provider)));
                        builder.with_credentials(provider)
                    }
                };
                builder.build().map(|it| Arc::new(it) as _)
            }
            StoreConfig::Gcs(gcs) => {
                let mut builder = GoogleCloudStorageBuilder::new()
                    .with_bucket_name(&gcs.bucket)
                    .with_base_url(without_slash(&settings.client.url))
                    .with_retry(no_retries())
                    .with_http_connector(exchanges.clone());
                if let Some(file) = &gcs.service_account_file {
                    builder = builder.with_service_account_path(file.to_string_lossy());
                }
                builder.build().map(|it| Arc::new(it) as _)
            }
        };
        Ok(Store {
            // The library's message may hold a part of a key.
            client: client.map_err(|_| Reason::new(UNUSABLE))?,
            exchanges,
            entra,
            kind: StoreKind::of(&settings.store),
            bucket: settings.store.bucket().to_owned(),
            content_type: match (settings.encoding, settings.client.compression) {
                (ObjectEncoding::Parquet, _) => "application/vnd.apache.parquet",

                (_, Compression::None) => "application/x-ndjson",
                (_, Compression::Gzip) => "application/gzip",
                (_, Compression::Zstd) => "application/zstd",
            },
        })
    }

    /// Creates an object, unless it exists. If the store refuses an access token, tries once more with another one.
    pub(super) async fn create(&self, name: &str, content: Bytes) -> Creation {
        let first = self.try_once(name, content.clone()).await;
        let Some(entra) = &self.entra else { return self.judge(first) };
        if first.as_ref().is_err_and(|exchange| exchange.as_ref().is_some_and(is_unauthorized)) {
            entra.refuse();
            return self.judge(self.try_once(name, content).await);
        }
        self.judge(first)
    }

    /// Returns the exchange of an attempt: `Ok` if the library takes it for a success.
    async fn try_once(
        &self,
        name: &str,
        content: Bytes,
    ) -> Result<Option<Exchange>, Option<Exchange>> {
        let content_type = (Attribute::ContentType, self.content_type);
        let options = PutOptions {
            mode: PutMode::Create,
            attributes: Attributes::from_iter([content_type]),
            ..PutOptions::default()
        };
        drop(self.exchanges.take());
        let Ok(path) = Path::parse(name) else { return Err(None) };
        let created = self.client.put_opts(&path, PutPayload::from(content), options).await;
        let exchange = self.exchanges.take();
        if created.is_ok() { Ok(exchange) } else { Err(exchange) }
    }

    fn judge(&self, attempt: Result<Option<Exchange>, Option<Exchange>>) -> Creation {
        let exchange = match attempt {
            Ok(exchange) => return unconfirmed(exchange.as_ref()).unwrap_or(Creation::Stored),
            Err(exchange) => exchange,
        };
        match self.entra.as_ref().and_then(|entra| entra.take_failure()) {
            Some(verdict) => Creation::Failed(verdict),
            None => failed(exchange, self.kind, &self.bucket),
        }
    }
}

const UNUSABLE: &str = "the store cannot be used with these settings; check its endpoint, and the files of its \
                        credentials";

fn is_unauthorized(exchange: &Exchange) -> bool {
    let is_401 = |result: &ExchangeResult| {
        matches!(result, ExchangeResult::Answer(StoreAnswer { status: 401, .. }))
    };
    exchange.is_for_store && is_401(&exchange.result)
}

/// Returns the settings of S3 for the library.
fn s3_builder(s3: &S3Config, settings: &ObjectStoreSinkConfig) -> Result<AmazonS3Builder, Reason> {
    let is_virtual_host = s3.addressing == Addressing::VirtualHost;
    let mut endpoint = settings.client.url.clone();
    if is_virtual_host && let Some(host) = endpoint.host_str() {
        let host = format!("{}.{host}", s3.bucket);
        endpoint.set_host(Some(&host)).map_err(|_| Reason::new(UNUSABLE))?;
    }
    let builder = AmazonS3Builder::new()
        .with_bucket_name(&s3.bucket)
        .with_region(&s3.region)
        .with_endpoint(without_slash(&endpoint))
        .with_virtual_hosted_style_request(is_virtual_host)
        .with_allow_http(true)
        .with_retry(no_retries());
    Ok(match &s3.credentials {
        AwsCredentialsConfig::AccessKey { id, secret, session_token } => {
            let builder =
                builder.with_access_key_id(id).with_secret_access_key(secret.reread()?.expose());
            match session_token.as_ref().map(Secret::reread).transpose()? {
                Some(token) => builder.with_token(token.expose()),
                None => builder,
            }
        }
        AwsCredentialsConfig::WebIdentity(identity) => {
            let WebIdentityConfig { role_arn, token_file, sts_endpoint } = identity;
            let builder = builder
                .with_config(AmazonS3ConfigKey::RoleArn, role_arn)
                .with_config(AmazonS3ConfigKey::RoleSessionName, "davinci-siem")
                .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, token_file.to_string_lossy());
            match sts_endpoint {
                Some(url) => builder.with_config(AmazonS3ConfigKey::StsEndpoint, url),
                None => builder,
            }
        }
        AwsCredentialsConfig::Task { relative_uri } => {
            builder.with_config(AmazonS3ConfigKey::ContainerCredentialsRelativeUri, relative_uri)
        }
        AwsCredentialsConfig::Pod { full_uri, token_file } => builder
            .with_config(AmazonS3ConfigKey::ContainerCredentialsFullUri, full_uri)
            .with_config(
                AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
                token_file.to_string_lossy(),
            ),
        AwsCredentialsConfig::Instance { metadata_endpoint } => match metadata_endpoint {
            Some(url) => builder.with_metadata_endpoint(url),
            None => builder,
        },
    })
}

/// Returns the settings by which the library does not repeat a request: `deliver` decides about that.
fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}
