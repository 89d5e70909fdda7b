//! Settings of an S3 bucket: addressing, and one of four credentials.

use std::path::PathBuf;

use super::config::parse_bucket;
use crate::aws::{
    AssumeRoleConfig, WebIdentityConfig, parse_service_url, read_assume_role, read_web_identity,
};
use crate::secret::{Form, Secret};
use crate::settings::Section;

/// A bucket of S3.
#[derive(Debug, Clone)]
pub struct S3Config {
    pub bucket: String,
    /// Region for which requests are signed.
    pub region: String,
    /// Position of the bucket's name in a URL.
    pub addressing: Addressing,
    pub credentials: AwsCredentialsConfig,
    /// Role that is assumed with these credentials.
    pub assume_role: Option<AssumeRoleConfig>,
}

/// Position of the bucket's name in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// Virtual hosts at Amazon, paths at an endpoint of one's own.
    Automatic,
    /// `https://HOST/BUCKET/NAME`
    Path,
    /// `https://BUCKET.HOST/NAME`
    VirtualHost,
}

/// Credentials for AWS.
#[derive(Debug, Clone)]
pub enum AwsCredentialsConfig {
    /// A key that does not change by itself.
    AccessKey { id: String, secret: Secret, session_token: Option<Secret> },
    /// A token of another issuer, which AWS exchanges for temporary credentials: a service account of EKS.
    WebIdentity(WebIdentityConfig),
    /// The role of an ECS task.
    Task { relative_uri: String },
    /// The role of an EKS pod.
    Pod { full_uri: String, token_file: PathBuf },
    /// The role of an EC2 instance, by `IMDSv2`.
    Instance { metadata_endpoint: Option<String> },
}

impl S3Config {
    /// Replaces automatic addressing. `is_own` is true if the configuration chooses the endpoint.
    pub(super) fn with_addressing(self, is_own: bool) -> S3Config {
        let addressing = match self.addressing {
            Addressing::Automatic if is_own => Addressing::Path,
            Addressing::Automatic => Addressing::VirtualHost,
            chosen => chosen,
        };
        S3Config { addressing, ..self }
    }

    /// Returns the files of the credentials.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match &self.credentials {
            AwsCredentialsConfig::AccessKey { secret, session_token, .. } => {
                let secrets = std::iter::once(secret).chain(session_token);
                secrets.filter_map(|secret| secret.file().map(PathBuf::from)).collect()
            }
            AwsCredentialsConfig::WebIdentity(WebIdentityConfig { token_file, .. })
            | AwsCredentialsConfig::Pod { token_file, .. } => vec![token_file.clone()],
            AwsCredentialsConfig::Task { .. } | AwsCredentialsConfig::Instance { .. } => Vec::new(),
        }
    }
}

/// Reads the table `s3`.
pub(super) fn read(section: &mut Section<'_>) -> Option<S3Config> {
    let bucket = section.text_as("bucket", "Name of the bucket.", parse_bucket);
    let bucket = bucket.required("example-archive");
    let doc = "Region of the bucket. A compatible store takes any, often us-east-1.";
    let region = section.text_as("region", doc, parse_region).required("eu-central-1");
    let choices = [
        ("auto", Addressing::Automatic),
        ("path", Addressing::Path),
        ("virtual_host", Addressing::VirtualHost),
    ];
    let doc = "Position of the bucket's name in URLs. auto: virtual_host at Amazon, path with an endpoint.";
    let addressing = section.choice("addressing", &choices, doc).or("auto");
    let doc = "Access key, for example of an IAM user or a compatible store.";
    let access_key = section.optional_table("access_key", doc, read_access_key);
    let doc = "Role for the service account of an EKS pod. {}: from the variables that EKS sets.";
    let web_identity = section.optional_table("web_identity", doc, |section| {
        read_web_identity(section).map(AwsCredentialsConfig::WebIdentity)
    });
    let doc = "Role of the ECS task or the EKS pod, from the variables that AWS sets.";
    let container = section.optional_table("container_role", doc, read_container);
    let doc = "Role of the EC2 instance.";
    let instance = section.optional_table("instance_role", doc, read_instance);
    let doc = "Role that is assumed with these credentials.";
    let assume_role = section.optional_table("assume_role", doc, read_assume_role);
    let mut given = [access_key?, web_identity?, container?, instance?].into_iter().flatten();
    let (credentials, second) = (given.next(), given.next());
    if credentials.is_none() {
        let advice = "is missing; write access_key, web_identity, container_role or instance_role";
        section.report("access_key", advice);
    } else if second.is_some() {
        let advice = "access_key, web_identity, container_role and instance_role exclude each other; use one";
        section.report("", advice);
    }
    Some(S3Config {
        bucket: bucket?,
        region: region?,
        addressing: addressing?,
        credentials: credentials?,
        assume_role: assume_role?,
    })
}

fn read_access_key(section: &mut Section<'_>) -> Option<AwsCredentialsConfig> {
    let id = section.text_as("id", "Id of the key.", parse_key_id).required("AKIAIOSFODNN7EXAMPLE");
    let secret = section.secret("secret", Form::Line, "Secret of the key.");
    let doc = "Token of a temporary key.";
    let session_token = section.optional_secret("session_token", Form::Header, doc);
    Some(AwsCredentialsConfig::AccessKey {
        id: id?,
        secret: secret?,
        session_token: session_token?,
    })
}

fn read_container(section: &mut Section<'_>) -> Option<AwsCredentialsConfig> {
    let given = |name: &str| section.variable(name).filter(|text| !text.is_empty());
    if let Some(uri) = given("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        return Some(AwsCredentialsConfig::Task { relative_uri: uri.to_owned() });
    }
    let full_uri = given("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let token_file = given("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    if let (Some(uri), Some(file)) = (full_uri, token_file) {
        return Some(AwsCredentialsConfig::Pod {
            full_uri: uri.to_owned(),
            token_file: file.into(),
        });
    }
    let advice = "takes effect in an ECS task or an EKS pod with a role: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is \
                  not set, nor AWS_CONTAINER_CREDENTIALS_FULL_URI with AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
    section.report("", advice);
    None
}

fn read_instance(section: &mut Section<'_>) -> Option<AwsCredentialsConfig> {
    let doc = "URL of the metadata service. Default: http://169.254.169.254.";
    let metadata_endpoint = section.text_as("metadata_endpoint", doc, parse_service_url).optional();
    Some(AwsCredentialsConfig::Instance { metadata_endpoint: metadata_endpoint? })
}

pub(super) fn parse_region(text: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match (2..=64).contains(&text.len()) && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("is not a region such as \"eu-central-1\""),
    }
}

fn parse_key_id(text: &str) -> Result<String, &'static str> {
    match (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("is not the id of an access key; copy it without spaces"),
    }
}
