//! Managed identity: the endpoint that gives tokens to processes of a machine or an app.
//!
//! A virtual machine has the instance metadata service at a link-local address. App Service, Functions and Container
//! Apps name an endpoint of their own in two variables.
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>
//! <https://learn.microsoft.com/azure/app-service/overview-managed-identity>

use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::config::parse_id;
use crate::http_client::{RequestError, parse_url, secret_header};
use crate::secret::{Form, Secret};
use crate::settings::Section;

/// A managed identity, and the endpoint of its tokens.
#[derive(Debug, Clone)]
pub struct ManagedIdentityConfig {
    /// The user-assigned identity; without one, the system-assigned identity.
    pub user_assigned: Option<UserAssigned>,
    /// The endpoint.
    pub endpoint: ManagedIdentityEndpoint,
}

/// Name of a user-assigned identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserAssigned {
    /// Its application id.
    Client(String),
    /// Its object id.
    Object(String),
    /// Its resource id, `/subscriptions/…`.
    Resource(String),
}

/// Endpoint that gives tokens.
#[derive(Debug, Clone)]
pub enum ManagedIdentityEndpoint {
    /// Instance metadata service of a virtual machine.
    Metadata(Url),
    /// Endpoint of an app, with the value of its header.
    App(Url, Secret),
}

/// Address of the instance metadata service.
const METADATA: &str = "http://169.254.169.254";

/// Variables that an app gets.
const ENDPOINT: &str = "IDENTITY_ENDPOINT";
const HEADER: &str = "IDENTITY_HEADER";

/// Variable by which Microsoft's own clients replace the address of the instance metadata service.
const METADATA_HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// Reads the table `managed_identity` and the variables of its endpoint.
pub(super) fn read(section: &mut Section<'_>) -> Option<ManagedIdentityConfig> {
    let id = |text: &str| parse_id(text).map(|id| id.to_string());
    let doc = "Application id of a user-assigned identity.";
    let client_id = section.text_as("client_id", doc, id).optional();
    let doc = "Object id of a user-assigned identity, instead of client_id.";
    let object_id = section.text_as("object_id", doc, id).optional();
    let doc = "Resource id of a user-assigned identity, instead of client_id.";
    let resource_id = section.text_as("resource_id", doc, parse_resource_id).optional();
    let names = [
        client_id?.map(UserAssigned::Client),
        object_id?.map(UserAssigned::Object),
        resource_id?.map(UserAssigned::Resource),
    ];
    let mut names = names.into_iter().flatten();
    let user_assigned = names.next();
    if names.next().is_some() {
        section.report("", "client_id, object_id and resource_id exclude each other; use one");
    }
    Some(ManagedIdentityConfig { user_assigned, endpoint: read_endpoint(section)? })
}

fn parse_resource_id(text: &str) -> Result<String, String> {
    let is_id = text.to_ascii_lowercase().starts_with("/subscriptions/");
    is_id.then(|| text.to_owned()).ok_or_else(|| {
        "does not begin with /subscriptions/; copy the identity's resource id".to_owned()
    })
}

fn read_endpoint(section: &mut Section<'_>) -> Option<ManagedIdentityEndpoint> {
    let mut url_in = |name: &str, default: Option<&str>| {
        let text = section.variable(name).map(str::to_owned).or(default.map(str::to_owned));
        let parsed = text.filter(|text| !text.is_empty()).map(|text| parse_url(&text));
        match parsed {
            None => Some(None),
            Some(Ok(url)) => Some(Some(url)),
            Some(Err(problem)) => {
                section.report("", format!("the variable {name} {problem}; correct it"));
                None
            }
        }
    };
    let (app, metadata) = (url_in(ENDPOINT, None)?, url_in(METADATA_HOST, Some(METADATA))?);
    let Some(app) = app else { return metadata.map(ManagedIdentityEndpoint::Metadata) };
    let header = Secret::from_variable(HEADER, section.variable(HEADER), Form::Header);
    match header {
        Ok(header) => Some(ManagedIdentityEndpoint::App(app, header)),
        Err(error) => {
            section.report("", format!("{ENDPOINT} is set, and {error}"));
            None
        }
    }
}

impl ManagedIdentityConfig {
    /// Returns the URL of a request for a token.
    pub(super) fn url(&self, audience: &str) -> Url {
        let (mut url, version, resource_id) = match &self.endpoint {
            ManagedIdentityEndpoint::Metadata(host) => {
                let mut url = host.clone();
                url.set_path("/metadata/identity/oauth2/token");
                (url, "2018-02-01", "msi_res_id")
            }
            ManagedIdentityEndpoint::App(url, _) => (url.clone(), "2019-08-01", "mi_res_id"),
        };
        let mut query = url.query_pairs_mut();
        query.append_pair("api-version", version).append_pair("resource", audience);
        match &self.user_assigned {
            None => {}
            Some(UserAssigned::Client(id)) => drop(query.append_pair("client_id", id)),
            Some(UserAssigned::Object(id)) => drop(query.append_pair("object_id", id)),
            Some(UserAssigned::Resource(id)) => drop(query.append_pair(resource_id, id)),
        }
        drop(query);
        url
    }

    /// Returns the header without which the endpoint refuses a request.
    ///
    /// # Errors
    /// Returns an error if a header cannot carry the variable's value.
    pub(super) fn headers(&self) -> Result<HeaderMap, RequestError> {
        let (name, value) = match &self.endpoint {
            ManagedIdentityEndpoint::Metadata(_) => ("metadata", HeaderValue::from_static("true")),
            ManagedIdentityEndpoint::App(_, header) => {
                ("x-identity-header", secret_header(header.expose())?)
            }
        };
        Ok(HeaderMap::from_iter([(HeaderName::from_static(name), value)]))
    }
}
