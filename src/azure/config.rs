//! Settings of a sign-in at Microsoft Entra ID: cloud, authority, audience, and one of three identities.

use std::path::PathBuf;

use url::Url;
use uuid::Uuid;

use super::managed_identity::{self, ManagedIdentityConfig};
use crate::http_client::parse_url;
use crate::secret::{Form, Secret};
use crate::settings::Section;

/// A cloud of Microsoft. Tokens of one are not valid in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AzureCloud {
    /// The worldwide cloud.
    Public,
    /// Azure Government of the United States.
    UsGov,
    /// Azure in China, operated by 21Vianet.
    China,
}

/// Sign-in at Microsoft Entra ID.
#[derive(Debug, Clone)]
pub struct EntraConfig {
    /// Cloud of the default authority and audience.
    pub cloud: AzureCloud,
    /// URL of the sign-in service, without the tenant.
    pub authority: Url,
    /// Resource that the tokens are for, without `/` at its end.
    pub audience: String,
    /// Identity that signs in.
    pub identity: EntraIdentity,
}

/// Identity that signs in, with its proof.
#[derive(Debug, Clone)]
pub enum EntraIdentity {
    /// An app registration with a client secret.
    ClientSecret {
        /// The directory: an id or a domain name.
        tenant_id: String,
        /// Application id of the app registration.
        client_id: Uuid,
        /// Value of the client secret.
        secret: Secret,
    },
    /// A managed identity of the machine or the app.
    Managed(ManagedIdentityConfig),
    /// A federated identity, for example of a Kubernetes service account.
    Workload {
        /// The directory: an id or a domain name.
        tenant_id: String,
        /// Application id of the app registration or the user-assigned identity.
        client_id: Uuid,
        /// File of the other issuer's token, which is replaced from time to time.
        token_file: PathBuf,
    },
}

impl AzureCloud {
    /// All clouds, by their names in a configuration.
    pub const ALL: [(&str, AzureCloud); 3] = [
        ("public", AzureCloud::Public),
        ("usgov", AzureCloud::UsGov),
        ("china", AzureCloud::China),
    ];

    /// Returns the URL of the sign-in service.
    fn authority(self) -> &'static str {
        match self {
            AzureCloud::Public => "https://login.microsoftonline.com",
            AzureCloud::UsGov => "https://login.microsoftonline.us",
            AzureCloud::China => "https://login.chinacloudapi.cn",
        }
    }

    /// Returns the audience of Azure Storage, which is the same in all clouds.
    pub(crate) fn storage(self) -> &'static str {
        "https://storage.azure.com"
    }

    /// Returns the audience of Azure Monitor.
    pub(crate) fn monitor(self) -> &'static str {
        match self {
            AzureCloud::Public => "https://monitor.azure.com",
            AzureCloud::UsGov => "https://monitor.azure.us",
            AzureCloud::China => "https://monitor.azure.cn",
        }
    }
}

impl EntraConfig {
    /// Returns the file whose change may let the identity sign in.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match &self.identity {
            EntraIdentity::ClientSecret { secret, .. } => secret.file().map(PathBuf::from),
            EntraIdentity::Managed(_) => None,
            EntraIdentity::Workload { token_file, .. } => Some(token_file.clone()),
        }
    }

    /// Reads the keys of a sign-in. `audience` is the default audience of a cloud.
    pub(crate) fn read(
        section: &mut Section<'_>,
        audience: fn(AzureCloud) -> &'static str,
    ) -> Option<EntraConfig> {
        let cloud = section.choice("cloud", &AzureCloud::ALL, "Cloud of Microsoft.").or("public");
        let doc = "URL of the sign-in service, without the tenant. Default: the cloud's own.";
        let authority = section.text_as("authority", doc, |text| url_of("authority", text));
        let authority = authority.optional();
        let doc = "Resource that the tokens are for. Default: the cloud's own.";
        let own_audience = section.text_as("audience", doc, |text| url_of("audience", text));
        let own_audience = own_audience.optional();
        let doc = "App registration with a client secret.";
        let client_secret = section.optional_table("client_secret", doc, read_client_secret);
        let doc = "Managed identity. {}: the system-assigned identity.";
        let managed = section.optional_table("managed_identity", doc, managed_identity::read);
        let doc = "Federated identity, as Kubernetes gives it to a pod.";
        let workload = section.optional_table("workload_identity", doc, read_workload_identity);
        let identities = [client_secret?, managed?.map(EntraIdentity::Managed), workload?];
        let mut given = identities.into_iter().flatten();
        let (first, second) = (given.next(), given.next());
        if first.is_none() {
            let advice = "is missing; write client_secret, managed_identity or workload_identity";
            section.report("client_secret", advice);
        } else if second.is_some() {
            let advice =
                "client_secret, managed_identity and workload_identity exclude each other; use one";
            section.report("", advice);
        }
        let (cloud, authority, own_audience) = (cloud?, authority?, own_audience?);
        let default_authority = || cloud.authority().parse().ok();
        let audience = own_audience.map_or_else(
            || audience(cloud).to_owned(),
            |own| own.as_str().trim_end_matches('/').to_owned(),
        );
        Some(EntraConfig {
            cloud,
            authority: authority.or_else(default_authority)?,
            audience,
            identity: first?,
        })
    }
}

fn url_of(key: &str, text: &str) -> Result<Url, String> {
    let example = if key == "authority" { AzureCloud::authority } else { AzureCloud::monitor };
    let example = example(AzureCloud::Public);
    parse_url(text).map_err(|problem| format!("{problem}; write for example {key} = {example:?}"))
}

fn read_client_secret(section: &mut Section<'_>) -> Option<EntraIdentity> {
    let tenant_id = section.text_as("tenant_id", TENANT, parse_tenant).required(EXAMPLE_ID);
    let client_id = section.text_as("client_id", CLIENT, parse_id).required(EXAMPLE_ID);
    let doc = "Value of the client secret, which is not its id.";
    let secret = section.secret("secret", Form::Line, doc);
    Some(EntraIdentity::ClientSecret {
        tenant_id: tenant_id?,
        client_id: client_id?,
        secret: secret?,
    })
}

/// Reads the keys of a workload identity. Each defaults to the variable that Kubernetes sets in a pod of Azure.
fn read_workload_identity(section: &mut Section<'_>) -> Option<EntraIdentity> {
    let doc = format!("{TENANT} Default: the variable AZURE_TENANT_ID.");
    let tenant_id = section.text_as("tenant_id", &doc, parse_tenant).optional();
    let doc = format!("{CLIENT} Default: the variable AZURE_CLIENT_ID.");
    let client_id = section.text_as("client_id", &doc, parse_id).optional();
    let doc = "File of the other issuer's token. Default: the variable AZURE_FEDERATED_TOKEN_FILE.";
    let token_file = section.path("token_file", doc).optional();
    let (tenant_id, client_id, token_file) = (tenant_id?, client_id?, token_file?);
    let tenant_id = tenant_id.or_else(|| variable(section, "tenant_id", parse_tenant));
    let client_id = client_id.or_else(|| variable(section, "client_id", parse_id));
    let parse_path = |text: &str| Ok(PathBuf::from(text));
    let token_file = token_file.or_else(|| variable(section, "token_file", parse_path));
    Some(EntraIdentity::Workload {
        tenant_id: tenant_id?,
        client_id: client_id?,
        token_file: token_file?,
    })
}

/// Reads a key from the variable that the Azure workload identity webhook sets.
fn variable<T>(
    section: &mut Section<'_>,
    key: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let name = match key {
        "tenant_id" => "AZURE_TENANT_ID",
        "client_id" => "AZURE_CLIENT_ID",
        _ => "AZURE_FEDERATED_TOKEN_FILE",
    };
    let parsed = section.variable(name).filter(|text| !text.is_empty()).map(&parse);
    match parsed {
        Some(Ok(value)) => return Some(value),
        Some(Err(problem)) => section.report(key, format!("comes from {name}, which {problem}")),
        None => section.report(key, format!("is missing; write it, or set {name}")),
    }
    None
}

const TENANT: &str = "Directory (tenant): its id or a domain name of it.";
const CLIENT: &str = "Application (client) id.";
const EXAMPLE_ID: &str = "00000000-0000-0000-0000-000000000000";

/// Parses an application id.
pub(super) fn parse_id(text: &str) -> Result<Uuid, String> {
    let advice = || format!("is not an id such as {EXAMPLE_ID:?}; copy it from the portal");
    text.trim().parse().map_err(|_| advice())
}

/// Parses a directory: an id, or a domain name. It becomes a part of a URL's path.
fn parse_tenant(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_id = text.parse::<Uuid>().is_ok();
    let is_domain = text.contains('.') && text.chars().all(is_plain) && !text.starts_with('.');
    match is_id || is_domain {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "is neither an id such as {EXAMPLE_ID:?} nor a domain name such as \
             \"contoso.onmicrosoft.com\"; copy the directory's id from the portal"
        )),
    }
}
