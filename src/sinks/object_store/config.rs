//! Settings of `type = "object_store"`: objects in Amazon S3, in a compatible store, in Azure Blob Storage or in Google
//! Cloud Storage.

use std::path::PathBuf;

#[cfg(feature = "object_store")]
use url::Url;

use super::aws::{self, S3Config};
use super::azure_blob::{self, AzureBlobConfig};
use super::key::SecurityLakeConfig;
use crate::format::Format;
use crate::http_client::{Compression, HttpClientConfig, parse_url};
use crate::settings::Section;

/// `type = "object_store"`.
#[derive(Debug, Clone)]
pub struct ObjectStoreSinkConfig {
    /// Connection to the store. The URL is the endpoint; the compression is that of the objects.
    pub client: HttpClientConfig,
    /// The store, and the credentials for it.
    pub store: StoreConfig,
    /// Beginning of all names, without `/` at its end; may be empty.
    pub prefix: String,
    pub encoding: ObjectEncoding,
    /// Names for Amazon Security Lake, with `ObjectEncoding::Parquet` only.
    pub security_lake: Option<SecurityLakeConfig>,
}

/// Encoding of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectEncoding {
    /// One JSON document per line.
    Ndjson,
    /// Columns of an OCSF class. Needs the cargo feature `parquet`.
    Parquet,
}

/// A store with its bucket and credentials.
#[derive(Debug, Clone)]
pub enum StoreConfig {
    /// Amazon S3, or a store with the same API.
    S3(S3Config),
    /// Azure Blob Storage.
    AzureBlob(AzureBlobConfig),
    /// Google Cloud Storage.
    Gcs(GcsConfig),
}

/// A bucket of Google Cloud Storage.
#[derive(Debug, Clone)]
pub struct GcsConfig {
    pub bucket: String,
    /// Key file of a service account. Without one, the metadata server of the machine gives tokens.
    pub service_account_file: Option<PathBuf>,
}

/// Compressions of objects.
const COMPRESSIONS: [(&str, Compression); 3] =
    [("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];

/// Upper bound of the prefix. Names may have 1,024 bytes.
const MAX_PREFIX_BYTES: usize = 512;

const GCS_ENDPOINT: &str = "https://storage.googleapis.com";

pub(super) fn read(section: &mut Section<'_>, format: Format) -> Option<ObjectStoreSinkConfig> {
    let doc = "Bucket of Amazon S3, or of a store with the same API.";
    let s3 = section.optional_table("s3", doc, aws::read);
    let doc = "Container of Azure Blob Storage.";
    let azure = section.optional_table("azure", doc, azure_blob::read);
    let gcs = section.optional_table("gcs", "Bucket of Google Cloud Storage.", read_gcs);
    let store = match (s3, azure, gcs) {
        (Some(s3), Some(azure), Some(gcs)) => choose(
            section,
            [s3.map(StoreConfig::S3), azure.map(StoreConfig::AzureBlob), gcs.map(StoreConfig::Gcs)],
        ),
        _ => None,
    };
    let doc = "URL of the store. Default: that of the cloud.";
    let endpoint = section.text_as("endpoint", doc, |text| {
        let example = "https://minio.example.com:9000";
        parse_url(text)
            .map_err(|problem| format!("{problem}; write for example endpoint = {example:?}"))
    });
    let endpoint = endpoint.optional();
    let doc = "Beginning of the names of all objects.";
    let prefix = section.text_as("prefix", doc, parse_prefix).or("");
    let is_own = matches!(endpoint, Some(Some(_)));
    let store = store.map(|store| store.with_addressing(is_own));
    let default = || store.as_ref().and_then(|store| store.default_endpoint().parse().ok());
    let url = endpoint.and_then(|endpoint| endpoint.or_else(default));
    let key = "endpoint";
    let has_compression = section.is_given("compression");
    let client =
        HttpClientConfig::read_connection(section, (key, url), &COMPRESSIONS, "zstd", "2m");
    let encodings = [("ndjson", ObjectEncoding::Ndjson), ("parquet", ObjectEncoding::Parquet)];
    let doc = "Encoding of objects: lines of JSON, or columns of an OCSF class.";
    let encoding = section.choice("encoding", &encodings, doc).or("ndjson");
    let doc = "Names of objects as Amazon Security Lake expects them; for parquet only.";
    let security_lake = section.optional_table("security_lake", doc, read_security_lake);
    let is_lake = security_lake.as_ref()?.is_some();
    check_encoding(section, encoding?, format, is_lake, has_compression);
    Some(ObjectStoreSinkConfig {
        client: client?,
        store: store?,
        prefix: prefix?,
        encoding: encoding?,
        security_lake: security_lake?,
    })
}

fn check_encoding(
    section: &mut Section<'_>,
    encoding: ObjectEncoding,
    format: Format,
    is_lake: bool,
    has_compression: bool,
) {
    if encoding == ObjectEncoding::Ndjson {
        if is_lake {
            section.report("security_lake", "needs encoding = \"parquet\"");
        }
        return;
    }
    // Without the sink, `type` is reported already.
    if cfg!(all(feature = "object_store", not(feature = "parquet"))) {
        let advice = "\"parquet\" is not in this build; build it with --features parquet";
        section.report("encoding", advice);
    }
    if format != Format::Ocsf {
        section.report(
            "encoding",
            "\"parquet\" needs format = \"ocsf\", whose classes are its schemas",
        );
    }
    if has_compression {
        let advice = "is for encoding = \"ndjson\"; leave it out: parquet is compressed inside";
        section.report("compression", advice);
    }
}

fn read_security_lake(section: &mut Section<'_>) -> Option<SecurityLakeConfig> {
    let doc = "Beginning of the names of the custom sources; - and the number of the class follow.";
    let source = section.text_as("source", doc, parse_source).or("pingone");
    let doc = "Region of the data lake.";
    let region = section.text_as("region", doc, aws::parse_region).required("eu-central-1");
    let doc = "AWS account of the data: 12 digits; or external_ and a name.";
    let account_id = section.text_as("account_id", doc, parse_account).required("123456789012");
    Some(SecurityLakeConfig { source: source?, region: region?, account_id: account_id? })
}

fn parse_source(text: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match (1..=14).contains(&text.len()) && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(
            "is not 1 to 14 letters, digits, ., _ and -: the name of a custom source has up to 20",
        ),
    }
}

fn parse_account(text: &str) -> Result<String, &'static str> {
    let is_number = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = text.strip_prefix("external_").unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_external = (1..=64).contains(&name.len()) && name.bytes().all(is_plain);
    match is_number || is_external {
        true => Ok(text.to_owned()),
        false => Err("is neither 12 digits nor external_ and a name"),
    }
}

/// Returns the only store that is given.
fn choose(section: &mut Section<'_>, stores: [Option<StoreConfig>; 3]) -> Option<StoreConfig> {
    let mut given = stores.into_iter().flatten();
    let (store, second) = (given.next(), given.next());
    if store.is_none() {
        section.report("s3", "is missing; write a table s3, azure or gcs");
    } else if second.is_some() {
        section.report("", "s3, azure and gcs exclude each other; use one");
    }
    store
}

fn read_gcs(section: &mut Section<'_>) -> Option<GcsConfig> {
    let bucket = section.text_as("bucket", "Name of the bucket.", parse_bucket);
    let bucket = bucket.required("example-archive");
    let doc =
        "Key file of a service account. Default: the tokens of the machine's metadata server.";
    let service_account_file = section.path("service_account_file", doc).optional();
    Some(GcsConfig { bucket: bucket?, service_account_file: service_account_file? })
}

impl StoreConfig {
    /// Replaces automatic addressing. `is_own` is true if the configuration chooses the endpoint.
    fn with_addressing(self, is_own: bool) -> StoreConfig {
        match self {
            StoreConfig::S3(s3) => StoreConfig::S3(s3.with_addressing(is_own)),
            other => other,
        }
    }

    /// Returns the URL of the cloud's own endpoint.
    fn default_endpoint(&self) -> String {
        match self {
            StoreConfig::S3(s3) => format!("https://s3.{}.amazonaws.com", s3.region),
            StoreConfig::AzureBlob(azure) => azure.default_endpoint(),
            StoreConfig::Gcs(_) => GCS_ENDPOINT.to_owned(),
        }
    }

    /// Returns bucket or container.
    pub(super) fn bucket(&self) -> &str {
        match self {
            StoreConfig::S3(s3) => &s3.bucket,
            StoreConfig::AzureBlob(azure) => &azure.container,
            StoreConfig::Gcs(gcs) => &gcs.bucket,
        }
    }

    /// Returns the files whose change may let the sink write.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            StoreConfig::S3(s3) => s3.files(),
            StoreConfig::AzureBlob(azure) => azure.file().into_iter().collect(),
            StoreConfig::Gcs(gcs) => gcs.service_account_file.iter().cloned().collect(),
        }
    }
}

/// Parses the name of a bucket or a container.
pub(super) fn parse_bucket(text: &str) -> Result<String, &'static str> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    match (3..=222).contains(&text.len()) && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(
            "is not the name of a bucket: 3 or more of a-z, 0-9, ., - and _, without a scheme and a path",
        ),
    }
}

fn parse_prefix(text: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._=-/".contains(&byte);
    let has_names = || text.split('/').all(|name| !name.is_empty() && name != "." && name != "..");
    if text.is_empty()
        || (text.len() <= MAX_PREFIX_BYTES && text.bytes().all(is_plain) && has_names())
    {
        return Ok(text.to_owned());
    }
    Err(
        "is not a path such as \"siem/davinci\": names of letters, digits, ., _, = and -, joined by /, up to 512 bytes",
    )
}

/// Returns `url` without the `/` at its end, as the library expects it.
#[cfg(feature = "object_store")]
pub(super) fn without_slash(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}
