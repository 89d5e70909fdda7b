//! What reaches NATS, in any section: servers, credentials, certificates.

use std::time::Duration;

use url::Url;

use super::section::Section;
use super::sink::{read_basic, read_tls};
use crate::nats::{Authentication, NatsConfig};
use crate::secret::Form;
use crate::tls::Tls;

const EXAMPLE: &str = "servers = [\"tls://nats.example.com:4222\"]";

/// Reads `servers`, `token`, `basic`, `nkey`, `credentials`, `tls` and `connect_timeout`.
pub(super) fn read(section: &mut Section<'_>) -> NatsConfig {
    let settings = NatsConfig {
        servers: read_servers(section),
        authentication: read_authentication(section),
        tls: read_tls(section.table("tls")),
        connect_timeout: section.timeout("connect_timeout").unwrap_or(Duration::from_secs(10)),
    };
    let has_plain = settings.servers.iter().any(|server| server.scheme() == "nats");
    if settings.requires_tls() && has_plain {
        let advice = "are tls:// or nats://, all of them: a server of the other kind would be reached \
                      without the protection that its neighbour has";
        section.report("servers", advice.to_owned());
    } else if has_plain && settings.tls != Tls::default() {
        section.report("tls", "is for tls:// only; correct servers, or leave tls out".to_owned());
    }
    settings
}

fn read_servers(section: &mut Section<'_>) -> Vec<Url> {
    let is_given = !section.is_missing("servers");
    let texts = section.list::<String>("servers", "a URL");
    if !is_given {
        section.report("servers", format!("is missing; write for example {EXAMPLE}"));
    }
    let mut servers = Vec::with_capacity(texts.len());
    for text in &texts {
        // Not shown when it is wrong: it may hold a secret.
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
            Ok(url) => {
                servers.push(url);
                continue;
            }
            Err(_) => "must be URLs",
        };
        section.report("servers", format!("{problem}; write for example {EXAMPLE}"));
    }
    servers
}

/// At most one of them.
fn read_authentication(section: &mut Section<'_>) -> Authentication {
    let basic = read_basic(section);
    let given = [
        section.secret_if_given("token", Form::Line).map(Authentication::Token),
        basic.map(|(username, password)| Authentication::Password { username, password }),
        section.secret_if_given("nkey", Form::Text).map(Authentication::NKey),
        section.secret_if_given("credentials", Form::Text).map(Authentication::Credentials),
    ];
    let mut given = given.into_iter().flatten();
    let authentication = given.next().unwrap_or(Authentication::None);
    if given.next().is_some() {
        let message = "token, basic, nkey and credentials exclude each other; use one".to_owned();
        section.report("", message);
    }
    authentication
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::{Problems, with_root};
    use crate::secret::Secret;

    fn parse(text: &str) -> Result<NatsConfig, Problems> {
        let variables = ["TOKEN", "PASSWORD", "SEED", "CREDS"];
        let variables = variables.map(|name| (OsString::from(name), OsString::from("canary")));
        with_root(text, None, variables.into_iter(), |mut root| {
            let settings = read(&mut root);
            root.finish();
            settings
        })
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
            let settings = parse(&text).expect("valid");
            assert_eq!(settings.authentication, expected);
            assert_eq!(settings.to_string(), "tls://a:4222, tls://[::1]");
            assert_eq!(settings.connect_timeout, Duration::from_secs(10));
            assert!(settings.requires_tls() && !format!("{settings:?}").contains("canary"));
        }
    }

    #[test]
    fn mistakes_are_told_without_secrets() {
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
