//! `[sources.NAME]`: one PingOne environment, its path and its credentials.

use std::time::Duration;

use ipnet::IpNet;
use x509_cert::name::Name;

use crate::listener::AlternativeName;
use crate::secret::{Form, Secret};
use crate::settings::Section;

/// Name of the source if none is configured.
pub(crate) const DEFAULT_NAME: &str = "pingone";

/// Path if none is configured.
const DEFAULT_PATH: &str = "/webhooks/pingone";

/// Headers of a connection or of a body, which clients and proxies set themselves.
const TRANSPORT_HEADERS: [&str; 9] = [
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

/// One PingOne environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// The name that travels with its events.
    pub name: String,
    /// Path of the webhook's URL.
    pub path: String,
    /// Credentials, any one of which lets a request in. An empty list lets every request in.
    pub credentials: Vec<Credential>,
    /// Networks that the sender may connect from; empty for any.
    pub allow_from: Vec<IpNet>,
    /// True if events with findings are quarantined.
    pub strict: bool,
    /// Action on a body that cannot be parsed.
    pub on_unparseable: OnUnparseable,
    /// Silence after which a flow run of this source is summarised, if it differs from the general one.
    pub interaction_timeout: Option<Duration>,
}

/// Credential of a request.
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
    Certificate(PinnedCertificate),
}

/// Property by which a client certificate is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinnedCertificate {
    /// SHA-256 of the DER.
    Fingerprint([u8; 32]),
    /// Subject, as RFC 4514 writes it.
    Subject(String),
    /// One of the alternative names.
    Name(AlternativeName),
}

/// Action on a body that cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnparseable {
    /// Keep its bytes in quarantine and answer 200, so that it does not block the stream.
    Quarantine,
    /// Answer 400 and keep nothing.
    Reject,
}

impl SourceConfig {
    /// Reads `[sources.NAME]`; without any there is one with the defaults.
    pub(crate) fn read_all(root: &mut Section<'_>) -> Option<Vec<SourceConfig>> {
        let doc = "PingOne environments, by the name that travels with their events.";
        let mut others: Vec<(String, String)> = Vec::new();
        root.named("sources", doc, (DEFAULT_NAME, &[]), |name, section| {
            let source = read(name, section, &others)?;
            others.push((name.to_owned(), source.path.clone()));
            Some(source)
        })
    }
}

fn read(
    name: &str,
    section: &mut Section<'_>,
    others: &[(String, String)],
) -> Option<SourceConfig> {
    let doc = "Path of the webhook's URL.";
    let path = section.text_as("path", doc, parse_path).or(DEFAULT_PATH);
    if let Some((other, _)) = others.iter().find(|(_, other)| Some(other) == path.as_ref()) {
        let advice = format!("is the path of source {other:?} too; give each its own");
        section.report("path", advice);
    }
    let doc = "User names and passwords. Any one of all credentials of a source lets a request in.";
    let basics = section.tables("basic", doc, |basic| {
        let username = basic.http_username("username", "User name.").required("pingone");
        let password = basic.secret("password", Form::Line, "Password.");
        Some(Credential::Basic { username: username?, password: password? })
    });
    let headers = section.tables("headers", "Headers with a fixed value.", |header| {
        let doc = "Name of the header.";
        let name = header.text_as("name", doc, parse_header_name).required("X-Webhook-Key");
        let value = header.secret("value", Form::Line, "Value of the header.");
        Some(Credential::Header { name: name?, value: value? })
    });
    let doc = "Client certificates, each by one of fingerprint, subject and san.";
    let certificates = section.tables("certificates", doc, |certificate| {
        read_certificate(certificate).map(Credential::Certificate)
    });
    let doc = "Networks that the sender may connect from. Empty: any address.";
    let wanted = "a network such as \"198.51.100.0/24\"";
    let allow_from = section.list("allow_from", wanted, doc).or_empty();
    let doc = "True: events with findings, such as unknown fields, go to the quarantine. A type that is only missing in the registry is no reason.";
    let strict = section.boolean("strict", doc).or("false");
    let choices = [("quarantine", OnUnparseable::Quarantine), ("reject", OnUnparseable::Reject)];
    let doc = "Action on a body that cannot be parsed. reject: answer 400, which blocks PingOne's stream.";
    let on_unparseable = section.choice("on_unparseable", &choices, doc).or("quarantine");
    let doc = "Silence after which a flow run of this source is summarised; default: interactions.timeout.";
    let interaction_timeout = section.timeout("interaction_timeout", doc).optional();
    Some(SourceConfig {
        name: name.to_owned(),
        path: path?,
        credentials: [basics?, headers?, certificates?].into_iter().flatten().collect(),
        allow_from: allow_from?,
        strict: strict?,
        on_unparseable: on_unparseable?,
        interaction_timeout: interaction_timeout?,
    })
}

fn parse_path(path: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    if !path.starts_with('/') || !path.chars().all(plain) {
        return Err("must start with / and hold only letters, digits and -._~/".to_owned());
    }
    if path.split('/').any(|segment| [".", ".."].contains(&segment)) {
        // Clients resolve them before they send a request, so that no request would match.
        return Err("must be without the segments . and ..".to_owned());
    }
    Ok(path.to_owned())
}

/// Parses a header's name. An error does not show it: operators write the whole header here.
fn parse_header_name(text: &str) -> Result<http::HeaderName, String> {
    let Ok(name) = text.parse::<http::HeaderName>() else {
        return Err("is not a header name such as \"X-Webhook-Key\"".to_owned());
    };
    if TRANSPORT_HEADERS.contains(&name.as_str()) {
        return Err("belongs to HTTP itself and carries no credential; use another".to_owned());
    }
    Ok(name)
}

fn read_certificate(section: &mut Section<'_>) -> Option<PinnedCertificate> {
    let keys = ["fingerprint", "subject", "san"];
    let count = keys.iter().filter(|key| section.is_given(key)).count();
    let fingerprint = section.text_as("fingerprint", "SHA-256 of the certificate's DER.", |text| {
        hex(text).ok_or_else(|| {
            "is not a SHA-256 in 64 hexadecimal digits, as openssl x509 -noout -fingerprint -sha256 prints it"
                .to_owned()
        })
    });
    let fingerprint = fingerprint.optional();
    let wanted = "a subject such as \"CN=pingone,O=Example\" (RFC 4514), as openssl x509 -noout \
                  -subject -nameopt RFC2253 prints it";
    let subject = section.parsed::<Name>("subject", wanted, "Subject (RFC 4514).").optional();
    let wanted = "a name such as \"DNS:client.example.com\", \"URI:…\", \"email:…\" or \"IP:…\"";
    let name = section.parsed("san", wanted, "One of the alternative names.").optional();
    if count != 1 {
        section.report("fingerprint", "write one of fingerprint, subject and san in each table");
    }
    let (fingerprint, subject, name) = (fingerprint?, subject?, name?);
    fingerprint
        .map(PinnedCertificate::Fingerprint)
        .or(subject.map(|subject| PinnedCertificate::Subject(subject.to_string())))
        .or(name.map(PinnedCertificate::Name))
}

/// Parses 32 bytes in hexadecimal digits, with or without colons between them.
fn hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    (digits.len() == 64).then_some(bytes)?.try_into().ok()
}
