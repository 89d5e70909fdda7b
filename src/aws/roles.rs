//! Settings of roles that AWS STS gives: for a token of another issuer, and for credentials of another identity.

use std::path::PathBuf;

use url::Url;

use super::AwsConfig;
use crate::http_client::parse_url;
use crate::settings::Section;

/// A role that is assumed with other credentials, for example in another account.
#[derive(Debug, Clone)]
pub struct AssumeRoleConfig {
    pub role_arn: String,
    /// Id that the owner of the role requires, if any. It is no secret.
    pub external_id: Option<String>,
    /// URL of the token service without `/` at its end, if it is not that of the region.
    pub sts_endpoint: Option<String>,
}

/// A role for a token of another issuer: a service account of EKS.
#[derive(Debug, Clone)]
pub struct WebIdentityConfig {
    pub role_arn: String,
    /// File of the token, which is replaced before it expires.
    pub token_file: PathBuf,
    /// See [`AssumeRoleConfig::sts_endpoint`].
    pub sts_endpoint: Option<String>,
}

/// Variables by which EKS names the role of a service account, and the file of its token.
const ROLE_ARN: &str = "AWS_ROLE_ARN";
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";

/// Reads the table `assume_role`.
pub(crate) fn read_assume_role(section: &mut Section<'_>) -> Option<AssumeRoleConfig> {
    let doc = "ARN of the role.";
    let role_arn = section.text_as("role_arn", doc, parse_role);
    let role_arn = role_arn.required("arn:aws:iam::123456789012:role/archive");
    let doc = "External id that the owner of the role requires. It is no secret.";
    let external_id = section.text_as("external_id", doc, parse_external_id).optional();
    let doc = "URL of the token service. Default: that of the region.";
    let sts_endpoint = section.text_as("sts_endpoint", doc, parse_service_url).optional();
    Some(AssumeRoleConfig {
        role_arn: role_arn?,
        external_id: external_id?,
        sts_endpoint: sts_endpoint?,
    })
}

/// Reads the table `web_identity`. Missing keys are taken from the variables of EKS.
pub(crate) fn read_web_identity(section: &mut Section<'_>) -> Option<WebIdentityConfig> {
    let doc = "ARN of the role. Default: the variable AWS_ROLE_ARN.";
    let role_arn = section.text_as("role_arn", doc, parse_role).optional();
    let doc =
        "File of the other issuer's token. Default: the variable AWS_WEB_IDENTITY_TOKEN_FILE.";
    let token_file = section.path("token_file", doc).optional();
    let doc = "URL of the token service. Default: that of the region.";
    let sts_endpoint = section.text_as("sts_endpoint", doc, parse_service_url).optional();
    let (role_arn, token_file) = (role_arn?, token_file?);
    let role_arn = role_arn.or_else(|| {
        let found = variable(section, "role_arn", ROLE_ARN)?;
        let parsed = parse_role(&found);
        parsed
            .map_err(|problem| {
                section.report("role_arn", format!("comes from {ROLE_ARN}, which {problem}"));
            })
            .ok()
    });
    let token_file =
        token_file.or_else(|| variable(section, "token_file", TOKEN_FILE).map(PathBuf::from));
    Some(WebIdentityConfig {
        role_arn: role_arn?,
        token_file: token_file?,
        sts_endpoint: sts_endpoint?,
    })
}

/// Returns the role of this pod's service account, if EKS has set both variables.
pub(super) fn of_service_account(section: &mut Section<'_>) -> Option<WebIdentityConfig> {
    let set = |section: &Section<'_>, name: &str| {
        section.variable(name).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let (role_arn, token_file) = set(section, ROLE_ARN).zip(set(section, TOKEN_FILE))?;
    match parse_role(&role_arn) {
        Ok(role_arn) => {
            let token_file = token_file.into();
            Some(WebIdentityConfig { role_arn, token_file, sts_endpoint: None })
        }
        Err(problem) => {
            section.report("", format!("the variable {ROLE_ARN} {problem}; correct it"));
            None
        }
    }
}

/// Returns the URL of the token service; `None` for a region of an unknown partition without an endpoint of its own.
pub(super) fn sts_url(region: &str, endpoint: Option<&str>) -> Option<Url> {
    let default = || AwsConfig::host(region, "sts").map(|host| format!("https://{host}"));
    let url = endpoint.map(str::to_owned).or_else(default)?;
    parse_url(&format!("{url}/")).ok()
}

/// Returns a variable that AWS sets; a missing one is a problem of `key`.
fn variable(section: &mut Section<'_>, key: &str, name: &str) -> Option<String> {
    let value = section.variable(name).filter(|text| !text.is_empty()).map(str::to_owned);
    if value.is_none() {
        section.report(key, format!("is missing; write it, or set {name}"));
    }
    value
}

/// Parses the ARN of a role.
pub(crate) fn parse_role(text: &str) -> Result<String, &'static str> {
    let is_role = text.starts_with("arn:aws") && text.contains(":iam::") && text.contains(":role/");
    match is_role && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("is not the ARN of a role such as \"arn:aws:iam::123456789012:role/archive\""),
    }
}

fn parse_external_id(text: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte);
    match (2..=1224).contains(&text.len()) && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("is not an external id: 2 or more letters, digits and _+=,.@:/-"),
    }
}

/// Parses the URL of a service, and returns it without `/` at its end.
pub(crate) fn parse_service_url(text: &str) -> Result<String, &'static str> {
    parse_url(text).map(|url| url.as_str().trim_end_matches('/').to_owned())
}
