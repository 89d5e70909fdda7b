//! `[sources.NAME]`: one PingOne environment, its path and its credentials.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use x509_cert::name::Name;

use super::section::Section;
use crate::secret::{Form, Secret, username_mistake};

/// Name of the source where none is configured.
pub(super) const DEFAULT_NAME: &str = "pingone";

/// The path that is used where none is configured.
const DEFAULT_PATH: &str = "/webhooks/pingone";

/// Headers of a connection or of a body, which clients and proxies write as they need them.
const TRANSPORT: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// One sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name that travels with its events.
    pub name: String,
    /// The path of its URL.
    pub path: String,
    /// Any one of these lets a request in; none at all lets every request in.
    pub credentials: Vec<Credential>,
    /// Whether credentials were configured, also such as could not be read.
    pub has_credentials: bool,
    /// Networks the sender may connect from; empty for any.
    pub allow_from: Vec<IpNet>,
    /// Whether events with findings are quarantined.
    pub strict: bool,
    /// What happens to a body that cannot be parsed at all.
    pub on_unparseable: OnUnparseable,
}

/// What a request has to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The user name; it holds no colon.
        username: String,
        /// The password; it may hold colons.
        password: Secret,
    },
    /// A header with a fixed value.
    Header {
        /// The header's name, lower-case.
        name: http::HeaderName,
        /// Its value.
        value: Secret,
    },
    /// A client certificate of `listen.tls.client_ca`.
    Certificate(Certificate),
}

/// How a client certificate is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// By its SHA-256.
    Fingerprint([u8; 32]),
    /// By its subject, as RFC 4514 writes it.
    Subject(String),
    /// By one of its alternative names.
    Name(AlternativeName),
}

/// One of a certificate's alternative names (RFC 5280, 4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlternativeName {
    /// A host's name, in lower case.
    Dns(String),
    /// A URI.
    Uri(String),
    /// An e-mail address.
    Email(String),
    /// An address.
    Ip(IpAddr),
}

impl FromStr for AlternativeName {
    type Err = ();

    /// As OpenSSL prints it: its kind, a colon, and the name.
    fn from_str(text: &str) -> Result<AlternativeName, ()> {
        let (kind, name) = text.split_once(':').ok_or(())?;
        Ok(match kind {
            "DNS" => AlternativeName::Dns(name.to_ascii_lowercase()),
            "URI" => AlternativeName::Uri(name.to_owned()),
            "email" => AlternativeName::Email(name.to_owned()),
            "IP" | "IP Address" => AlternativeName::Ip(name.parse().map_err(|_| ())?),
            _ => return Err(()),
        })
    }
}

/// What happens to a body that cannot be parsed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnparseable {
    /// Keep its bytes in quarantine and answer 200, so that it does not block the stream.
    Quarantine,
    /// Answer 400 and keep nothing.
    Reject,
}

pub(super) fn read_all(sections: Vec<(String, Section<'_>)>) -> Vec<Source> {
    if sections.is_empty() {
        return vec![Source {
            name: DEFAULT_NAME.to_owned(),
            path: DEFAULT_PATH.to_owned(),
            credentials: Vec::new(),
            has_credentials: false,
            allow_from: Vec::new(),
            strict: false,
            on_unparseable: OnUnparseable::Quarantine,
        }];
    }
    let mut sources: Vec<Source> = Vec::new();
    for (name, section) in sections {
        let source = read(name, section, &sources);
        sources.push(source);
    }
    sources
}

fn read(name: String, mut section: Section<'_>, others: &[Source]) -> Source {
    let path = section.text("path").unwrap_or_else(|| DEFAULT_PATH.to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    if !path.starts_with('/') || !path.chars().all(plain) {
        let advice = "must start with / and hold only letters, digits and -._~/";
        section.report("path", advice.to_owned());
    } else if path.split('/').any(|segment| [".", ".."].contains(&segment)) {
        // Clients resolve them before they send a request, so that it would never arrive.
        section.report("path", "must be without the segments . and ..".to_owned());
    }
    if let Some(other) = others.iter().find(|other| other.path == path) {
        let advice = format!("is the path of source {:?} too; give each its own", other.name);
        section.report("path", advice);
    }
    let mut credentials = Vec::new();
    let (basics, headers) = (section.tables("basic"), section.tables("headers"));
    let certificates = section.tables("certificates");
    let has_credentials = !basics.is_empty() || !headers.is_empty() || !certificates.is_empty();
    for mut basic in basics {
        let username = basic.required_text("username", "pingone");
        if let Some(mistake) = username.as_deref().and_then(username_mistake) {
            basic.report("username", mistake.to_owned());
        }
        if let (Some(username), Some(password)) = (username, basic.secret("password", Form::Line)) {
            credentials.push(Credential::Basic { username, password });
        }
        basic.finish();
    }
    for mut header in headers {
        // Not shown when it is wrong: people write the whole header here.
        let name = header.required_text("name", "X-Webhook-Key").and_then(|name| {
            let parsed: Option<http::HeaderName> = name.parse().ok();
            match &parsed {
                None => header
                    .report("name", "is not a header name such as \"X-Webhook-Key\"".to_owned()),
                Some(name) if TRANSPORT.contains(&name.as_str()) => {
                    let advice = "belongs to HTTP itself and carries no credential; use another";
                    header.report("name", advice.to_owned());
                }
                Some(_) => {}
            }
            parsed
        });
        if let (Some(name), Some(value)) = (name, header.secret("value", Form::Line)) {
            credentials.push(Credential::Header { name, value });
        }
        header.finish();
    }
    for mut certificate in certificates {
        credentials.extend(read_certificate(&mut certificate).map(Credential::Certificate));
        certificate.finish();
    }
    let source = Source {
        name,
        path,
        credentials,
        has_credentials,
        allow_from: section.list("allow_from", "a network such as \"198.51.100.0/24\""),
        strict: section.boolean("strict").unwrap_or(false),
        on_unparseable: section
            .choice(
                "on_unparseable",
                &[("quarantine", OnUnparseable::Quarantine), ("reject", OnUnparseable::Reject)],
            )
            .unwrap_or(OnUnparseable::Quarantine),
    };
    section.finish();
    source
}

fn read_certificate(section: &mut Section<'_>) -> Option<Certificate> {
    let keys = ["fingerprint", "subject", "san"];
    if keys.iter().filter(|key| !section.is_missing(key)).count() != 1 {
        let message = "write one of fingerprint, subject and san in each table".to_owned();
        section.report("fingerprint", message);
    }
    let fingerprint = section.text("fingerprint").and_then(|text| {
        let found = hex(&text);
        if found.is_none() {
            let wanted = "is not a SHA-256 in 64 hexadecimal digits, as openssl x509 -noout \
                          -fingerprint -sha256 prints it";
            section.report("fingerprint", wanted.to_owned());
        }
        found
    });
    let wanted = "a subject such as \"CN=pingone,O=Example\" (RFC 4514), as openssl x509 -noout \
                  -subject -nameopt RFC2253 prints it";
    let subject = section.parsed::<Name>("subject", wanted).map(|name| name.to_string());
    let wanted = "a name such as \"DNS:client.example.com\", \"URI:…\", \"email:…\" or \"IP:…\"";
    let name = section.parsed("san", wanted);
    fingerprint
        .map(Certificate::Fingerprint)
        .or(subject.map(Certificate::Subject))
        .or(name.map(Certificate::Name))
}

/// 32 bytes in hexadecimal digits, with or without colons between them.
fn hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    (digits.len() == 64).then_some(bytes)?.try_into().ok()
}
