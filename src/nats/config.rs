//! Settings of a connection to NATS, for the sink and for the JetStream engine: servers, credentials, certificates.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::secret::{Form, Secret};
use crate::settings::Section;
use crate::tls::TlsConfig;

/// Servers and credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsConfig {
    /// Servers of one cluster: all of them `tls://`, or all of them `nats://`. They hold no credentials.
    pub servers: Vec<Url>,
    pub authentication: Authentication,
    pub tls: TlsConfig,
    /// Timeout of connecting to one server, until it has accepted the credentials.
    pub connect_timeout: Duration,
}

/// Credentials for NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// None, or those of the client certificate.
    None,
    Token(Secret),
    Password {
        /// The name.
        username: String,
        password: Secret,
    },
    /// Seed of an `NKey`. It signs, and does not leave this process.
    NKey(Secret),
    /// Text of a credentials file: a JWT, and the seed of its `NKey`.
    Credentials(Secret),
}

impl NatsConfig {
    /// Returns true if the servers have to speak TLS.
    pub fn requires_tls(&self) -> bool {
        self.servers.iter().any(|server| server.scheme() == "tls")
    }

    /// Returns the files whose change may make the servers reachable.
    pub fn files(&self) -> Vec<PathBuf> {
        let secret = self.authentication.secret().and_then(|secret| secret.file());
        self.tls.files().into_iter().chain(secret.map(PathBuf::from)).collect()
    }

    /// Reads `servers`, `token`, `basic`, `nkey`, `credentials`, `tls` and `connect_timeout`.
    pub(crate) fn read(section: &mut Section<'_>) -> Option<NatsConfig> {
        let doc = "URLs of the servers of one cluster: all of them tls://, or all of them nats://.";
        let servers = section.list_as("servers", doc, parse_server).required(EXAMPLE);
        let authentication = read_authentication(section);
        let tls = TlsConfig::read(section);
        let doc = "Timeout of connecting to one server.";
        let connect_timeout = section.timeout("connect_timeout", doc).or("10s");
        let config = NatsConfig {
            servers: servers?,
            authentication: authentication?,
            tls: tls?,
            connect_timeout: connect_timeout?,
        };
        let has_plain = config.servers.iter().any(|server| server.scheme() == "nats");
        if config.requires_tls() && has_plain {
            let advice = "are tls:// or nats://, all of them: a connection to a nats:// server has no protection";
            section.report("servers", advice);
        } else if has_plain && config.tls != TlsConfig::default() {
            section.report("tls", "is for tls:// only; correct servers, or leave tls out");
        }
        Some(config)
    }
}

impl Authentication {
    /// Returns the secret, if there is one.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Authentication::None => None,
            Authentication::Token(secret)
            | Authentication::Password { password: secret, .. }
            | Authentication::NKey(secret)
            | Authentication::Credentials(secret) => Some(secret),
        }
    }
}

/// Shows the servers.
impl fmt::Display for NatsConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, server) in self.servers.iter().enumerate() {
            write!(out, "{}{server}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

const EXAMPLE: &str = "tls://nats.example.com:4222";

/// Mistake in a server's URL. The message does not show the URL, which may contain a secret.
#[derive(Debug, thiserror::Error)]
#[error("{problem}; write for example servers = [{:?}]", EXAMPLE)]
struct ServerError {
    problem: &'static str,
}

fn parse_server(text: &str) -> Result<Url, ServerError> {
    let problem = match text.trim().parse::<Url>() {
        Ok(url) if !["nats", "tls"].contains(&url.scheme()) || !url.has_host() => {
            "must begin with tls:// or nats:// and name a host"
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "hold credentials; write them in their own keys, from a file or a variable"
        }
        Ok(url)
            if !["", "/"].contains(&url.path())
                || url.query().is_some()
                || url.fragment().is_some() =>
        {
            "have nothing behind the port"
        }
        Ok(url) => return Ok(url),
        Err(_) => "must be URLs",
    };
    Err(ServerError { problem })
}

/// Reads at most one kind of credentials.
fn read_authentication(section: &mut Section<'_>) -> Option<Authentication> {
    let basic = section.optional_table("basic", "User name and password.", |basic| {
        let username = basic.text("username", "User name.").required("davinci-siem");
        let password = basic.secret("password", Form::Line, "Password.");
        Some(Authentication::Password { username: username?, password: password? })
    });
    let token = section.optional_secret("token", Form::Line, "Token.");
    let nkey = section.optional_secret("nkey", Form::Text, "Seed of an NKey.");
    let doc = "Text of a credentials file (.creds).";
    let credentials = section.optional_secret("credentials", Form::Text, doc);
    let given = [
        token?.map(Authentication::Token),
        basic?,
        nkey?.map(Authentication::NKey),
        credentials?.map(Authentication::Credentials),
    ];
    let mut given = given.into_iter().flatten();
    let authentication = given.next().unwrap_or(Authentication::None);
    if given.next().is_some() {
        section.report("", "token, basic, nkey and credentials exclude each other; use one");
    }
    Some(authentication)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::settings::{self, Problems, Secrets};

    fn parse(text: &str) -> Result<NatsConfig, Problems> {
        let variables = ["TOKEN", "PASSWORD", "SEED", "CREDS"];
        let variables = variables.map(|name| (OsString::from(name), OsString::from("canary")));
        settings::read(text, None, variables.into_iter(), Secrets::All, NatsConfig::read)
    }

    #[test]
    fn every_way_to_say_who_we_are() {
        let secret =
            |name: &str| Secret::from_variable(name, Some("canary"), Form::Text).expect("a secret");
        for (keys, expected) in [
            ("", Authentication::None),
            ("token_env = \"TOKEN\"", Authentication::Token(secret("TOKEN"))),
            (
                "basic = { username = \"u\", password_env = \"PASSWORD\" }",
                Authentication::Password { username: "u".to_owned(), password: secret("PASSWORD") },
            ),
            ("nkey_env = \"SEED\"", Authentication::NKey(secret("SEED"))),
            ("credentials_env = \"CREDS\"", Authentication::Credentials(secret("CREDS"))),
        ] {
            let text = format!("servers = [\"tls://a:4222\", \"tls://[::1]\"]\n{keys}\n");
            let config = parse(&text).expect("valid");
            assert_eq!(config.authentication, expected);
            assert_eq!(config.to_string(), "tls://a:4222, tls://[::1]");
            assert_eq!(config.connect_timeout, Duration::from_secs(10));
            assert!(config.requires_tls() && !format!("{config:?}").contains("canary"));
        }
    }

    #[test]
    fn mistakes_are_reported_without_secrets() {
        for (text, said) in [
            ("", "servers: is missing; write for example servers = [\"tls://"),
            ("servers = [\"http://a\"]", "must begin with tls:// or nats://"),
            ("servers = [\"a:4222\"]", "must begin with tls:// or nats://"),
            ("servers = [\"nats://canary@a\"]", "hold credentials"),
            ("servers = [\"nats://u:canary@a\"]", "hold credentials"),
            ("servers = [\"nats://a:canary\"]", "must be URLs"),
            ("servers = [\"nats://a/canary\"]", "have nothing behind the port"),
            ("servers = [\"nats://a?canary\"]", "have nothing behind the port"),
            ("servers = [\"nats://a\", \"tls://b\"]", "all of them"),
            ("servers = [\"nats://a\"]\ntls = { ca = \"/dev/null\" }", "is for tls:// only"),
            ("servers = [\"nats://a\"]\ntls = { key = \"/dev/null\" }", "belong together"),
            ("servers = [\"nats://a\"]\ntoken = \"canary\"", "use token_file or token_env"),
            (
                "servers = [\"nats://a\"]\ntoken_env = \"TOKEN\"\nnkey_env = \"SEED\"",
                "exclude each other",
            ),
            ("servers = [\"nats://a\"]\nconnect_timeout = \"0s\"", "must be more than 0"),
        ] {
            let problems = parse(text).expect_err(text).to_string();
            assert!(problems.contains(said) && !problems.contains("canary"), "{text}: {problems}");
        }
    }
}
