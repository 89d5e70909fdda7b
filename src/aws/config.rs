//! Settings of a sign-in at Amazon Web Services: the region, and an access key or a role.

use std::path::PathBuf;

use url::{Host, Url};

use super::roles::{
    AssumeRoleConfig, WebIdentityConfig, of_service_account, read_assume_role, read_web_identity,
    sts_url,
};
use crate::http_client::parse_url;
use crate::secret::{Form, Secret};
use crate::settings::Section;

/// Sign-in at Amazon Web Services.
#[derive(Debug, Clone)]
pub struct AwsConfig {
    /// Region of the target.
    pub region: String,
    pub identity: AwsIdentity,
    /// Role that is assumed with these credentials, and the URL of its token service.
    pub assume_role: Option<(AssumeRoleConfig, Url)>,
}

/// Source of credentials.
#[derive(Debug, Clone)]
pub enum AwsIdentity {
    /// An access key.
    Key(AccessKeyConfig),
    /// A token of another issuer, and the URL of the token service: a service account of EKS.
    WebIdentity(WebIdentityConfig, Url),
    /// Endpoint of a container platform: ECS, Fargate or EKS Pod Identity.
    Container(ContainerEndpoint),
    /// Instance metadata service of a virtual machine.
    Instance(Url),
}

/// An access key.
#[derive(Debug, Clone)]
pub struct AccessKeyConfig {
    pub id: AccessKeyId,
    pub secret: Secret,
    /// Session token of temporary credentials.
    pub session_token: Option<Secret>,
}

/// Id of an access key, which is no secret.
#[derive(Debug, Clone)]
pub enum AccessKeyId {
    /// Written in the configuration.
    Fixed(String),
    /// In a file or a variable. The process that replaces temporary credentials replaces their id, too.
    Replaced(Secret),
}

/// Endpoint that gives credentials to a container.
#[derive(Debug, Clone)]
pub struct ContainerEndpoint {
    pub url: Url,
    /// Value of `Authorization`, if the endpoint requires one. Its file is replaced from time to time.
    pub authorization: ContainerToken,
}

/// Place of a container's token.
#[derive(Debug, Clone)]
pub enum ContainerToken {
    /// The endpoint requires none.
    None,
    /// In a variable.
    Variable(Secret),
    /// In a file, which is read for each request.
    File(PathBuf),
}

/// First parts of the regions in the partitions `aws` and `aws-us-gov`.
const PUBLIC_AREAS: [&str; 9] = ["af", "ap", "ca", "eu", "il", "me", "mx", "sa", "us"];

/// Hosts that a container may reach without TLS: those of ECS and of EKS Pod Identity. Its token is sent to them.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
const PLAIN_HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/// Addresses of the endpoints.
const CONTAINER: &str = "http://169.254.170.2";
const INSTANCE: &str = "http://169.254.169.254";

impl AwsConfig {
    /// Returns the files whose change may let the identity sign in.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        match &self.identity {
            AwsIdentity::Key(key) => {
                let id = match &key.id {
                    AccessKeyId::Fixed(_) => None,
                    AccessKeyId::Replaced(id) => Some(id),
                };
                let secrets = [id, Some(&key.secret), key.session_token.as_ref()];
                let files = secrets.into_iter().flatten().filter_map(Secret::file);
                files.map(PathBuf::from).collect()
            }
            AwsIdentity::Container(ContainerEndpoint {
                authorization: ContainerToken::File(file),
                ..
            }) => vec![file.clone()],
            AwsIdentity::WebIdentity(identity, _) => vec![identity.token_file.clone()],
            AwsIdentity::Container(_) | AwsIdentity::Instance(_) => Vec::new(),
        }
    }

    /// Returns the host of a regional service, for example `kinesis.eu-central-1.amazonaws.com`; `None` for a region
    /// of a partition whose domain is not known here.
    pub(crate) fn host(region: &str, service: &str) -> Option<String> {
        let (area, rest) = region.split_once('-')?;
        let domain = match area {
            "cn" => "amazonaws.com.cn",
            // The isolated partitions, us-iso-… and eu-isoe-…, have domains of their own.
            _ if rest.starts_with("iso") => return None,
            _ if PUBLIC_AREAS.contains(&area) => "amazonaws.com",
            _ => return None,
        };
        Some(format!("{service}.{region}.{domain}"))
    }

    /// Reads the key `region`.
    pub(crate) fn read_region(section: &mut Section<'_>) -> Option<String> {
        section.text_as("region", "Region of AWS.", parse_region).required("eu-central-1")
    }

    /// Reads the keys of the credentials for a region.
    pub(crate) fn read(section: &mut Section<'_>, region: Option<String>) -> Option<AwsConfig> {
        let doc =
            "Access key. Default: temporary credentials of the role of this container or machine.";
        let access_key = section.optional_table("access_key", doc, read_access_key);
        let doc =
            "Role for the service account of an EKS pod. {}: from the variables that EKS sets.";
        let web_identity = section.optional_table("web_identity", doc, read_web_identity);
        let doc = "Role that is assumed with these credentials.";
        let assume_role = section.optional_table("assume_role", doc, read_assume_role);
        let identity = match (access_key?, web_identity?) {
            (Some(_), Some(_)) => {
                section.report("web_identity", "and access_key are both given; use one");
                return None;
            }
            (Some(key), None) => AwsIdentity::Key(key),
            (None, Some(identity)) => {
                let sts =
                    read_sts(section, "web_identity", region.as_deref()?, &identity.sts_endpoint);
                AwsIdentity::WebIdentity(identity, sts?)
            }
            (None, None) => read_role(section, region.as_deref()?)?,
        };
        let assume_role = match assume_role? {
            None => None,
            Some(role) => {
                let sts = read_sts(section, "assume_role", region.as_deref()?, &role.sts_endpoint);
                Some((role, sts?))
            }
        };
        Some(AwsConfig { region: region?, identity, assume_role })
    }
}

/// Returns the URL of the token service of the table `key`.
fn read_sts(
    section: &mut Section<'_>,
    key: &str,
    region: &str,
    endpoint: &Option<String>,
) -> Option<Url> {
    let url = sts_url(region, endpoint.as_deref());
    if url.is_none() {
        section.report(
            key,
            "has no sts_endpoint, and the partition of this region has no known one; write it",
        );
    }
    url
}

fn read_access_key(section: &mut Section<'_>) -> Option<AccessKeyConfig> {
    let fixed = section.text_as("id", "Id of the access key.", parse_key_id).optional();
    let doc = "Id of temporary credentials, which changes with their secret.";
    let replaced = section.optional_secret("id", Form::Line, doc);
    let secret = section.secret("secret", Form::Line, "Secret access key.");
    let doc = "Session token of temporary credentials.";
    let session_token = section.optional_secret("session_token", Form::Header, doc);
    let id = match (fixed?, replaced?) {
        (Some(id), None) => Some(AccessKeyId::Fixed(id)),
        (None, Some(id)) => Some(AccessKeyId::Replaced(id)),
        (None, None) => {
            section.report("id", "is missing; write id, id_file or id_env");
            None
        }
        (Some(_), Some(_)) => {
            section.report("id", "and id_file or id_env are both given; use one");
            None
        }
    };
    Some(AccessKeyConfig { id: id?, secret: secret?, session_token: session_token? })
}

/// Reads the variables by which a platform of AWS names the endpoint of its role, in the order of AWS's own clients.
fn read_role(section: &mut Section<'_>, region: &str) -> Option<AwsIdentity> {
    if let Some(identity) = of_service_account(section) {
        let sts = read_sts(section, "web_identity", region, &None)?;
        return Some(AwsIdentity::WebIdentity(identity, sts));
    }
    let set = |section: &Section<'_>, name: &str| {
        section.variable(name).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let (full, relative) =
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let container = set(section, relative).map(|path| (relative, format!("{CONTAINER}{path}")));
    let container = container.or_else(|| set(section, full).map(|url| (full, url)));
    if let Some((name, url)) = container {
        let url = parse_own_url(section, name, &url)?;
        if !is_safe_endpoint(&url) {
            let hosts = PLAIN_HOSTS.join(", ");
            let advice = format!(
                "the variable {name} would send the container's token without TLS; write https, or one of the hosts \
                 {hosts} and localhost"
            );
            section.report("", advice);
            return None;
        }
        return Some(AwsIdentity::Container(ContainerEndpoint {
            url,
            authorization: read_token(section)?,
        }));
    }
    let name = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    let url = set(section, name).unwrap_or(INSTANCE.to_owned());
    Some(AwsIdentity::Instance(parse_own_url(section, name, &url)?))
}

/// Reads the token that a container sends to its endpoint.
fn read_token(section: &mut Section<'_>) -> Option<ContainerToken> {
    let set = |name: &str| section.variable(name).filter(|text| !text.is_empty());
    if let Some(file) = set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        return Some(ContainerToken::File(PathBuf::from(file)));
    }
    let name = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
    let Some(value) = set(name) else { return Some(ContainerToken::None) };
    match Secret::from_variable(name, Some(value), Form::Header) {
        Ok(token) => Some(ContainerToken::Variable(token)),
        Err(error) => {
            section.report("", error.to_string());
            None
        }
    }
}

fn parse_own_url(section: &mut Section<'_>, name: &str, text: &str) -> Option<Url> {
    let parsed = parse_url(text);
    if let Err(problem) = &parsed {
        section.report("", format!("the variable {name} {problem}; correct it"));
    }
    parsed.ok()
}

/// Returns true if a container's token may be sent to this URL: with TLS, or to a host that is on the same machine.
fn is_safe_endpoint(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let is_known = url.host_str().is_some_and(|host| PLAIN_HOSTS.contains(&host));
    url.scheme() == "https" || is_loopback || is_known
}

/// Parses a region, which becomes a part of a host's name.
fn parse_region(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = text.ends_with(|c: char| c.is_ascii_digit());
    match text.contains('-') && ends && text.len() <= 40 && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("is not a region such as \"eu-central-1\""),
    }
}

/// Parses the id of an access key. Many write the secret in its place.
pub(super) fn parse_key_id(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    match (16..=32).contains(&text.len()) && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("is not the id of an access key, which has capital letters and digits"),
    }
}

#[cfg(test)]
mod tests;
