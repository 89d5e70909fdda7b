//! `[listen]`: address of the webhooks, over TLS or behind a proxy.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use crate::settings::Section;

/// Lower bound of `listen.reload`: each check reads the files.
const MIN_RELOAD_INTERVAL: Duration = Duration::from_millis(10);

/// The listener for webhooks.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// Address and port. PingOne supports IPv4 only.
    pub address: SocketAddr,
    /// True if sources may have no credentials on a public address (`auth = "none"`).
    pub allows_no_credentials: bool,
    /// TLS; without it the listener speaks plain HTTP.
    pub tls: Option<ListenTlsConfig>,
    /// Networks of the proxies whose headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Header in which a trusted proxy names its client.
    pub forwarded_header: ForwardedHeader,
    /// True if connections begin with a header of the PROXY protocol, version 2.
    pub proxy_protocol: bool,
    /// Interval of checks for changed files of certificates and secrets.
    pub reload: Duration,
}

/// Certificate of the listener, and authority of its clients. Files are read at the start, on SIGHUP, and when they
/// change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenTlsConfig {
    /// Certificate chain, the service's own first; PEM.
    pub certificate: PathBuf,
    /// Its private key; PEM.
    pub key: PathBuf,
    /// Authority of client certificates; none are requested without it.
    pub clients: Option<ClientAuthority>,
}

/// The authority of client certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuthority {
    /// Certificates of the authority; PEM.
    pub ca: PathBuf,
    /// Revocation lists of the authority; PEM.
    pub crl: Option<PathBuf>,
    /// True if a client without a certificate is refused in the handshake.
    pub is_required: bool,
}

/// Header in which a proxy names its client. Only one is read: a proxy that writes one header may pass the other on
/// as its client sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `Forwarded` (RFC 7239)
    Forwarded,
}

impl ListenConfig {
    /// Returns true if a client needs a certificate to send a request.
    pub fn requires_certificate(&self) -> bool {
        let clients = self.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        clients.is_some_and(|clients| clients.is_required)
    }
}

impl ListenTlsConfig {
    /// Returns the files of the certificates and of the key.
    pub fn files(&self) -> Vec<PathBuf> {
        let clients = self.clients.iter();
        let authority = clients.flat_map(|clients| [Some(&clients.ca), clients.crl.as_ref()]);
        let files = [Some(&self.certificate), Some(&self.key)].into_iter().chain(authority);
        files.flatten().cloned().collect()
    }
}

impl ListenConfig {
    /// Reads `[listen]`.
    pub(crate) fn read(section: &mut Section<'_>) -> Option<ListenConfig> {
        let doc = "Address and port of the webhooks. PingOne supports IPv4 only.";
        let address = section.address("address", doc).or("127.0.0.1:8080");
        let auth = [("required", false), ("none", true)];
        let doc =
            "none: sources may have no credentials on an address that other machines can reach.";
        let allows_no_credentials = section.choice("auth", &auth, doc).or("required");
        let tls =
            section.optional_table("tls", "TLS of the listener. Default: plain HTTP.", read_tls);
        let doc = "Networks of the proxies whose forwarded header and PROXY protocol header are believed.";
        let wanted = "a network such as \"10.0.0.0/8\"";
        let trusted_proxies = section.list("trusted_proxies", wanted, doc).or_empty();
        let headers = [
            ("x-forwarded-for", ForwardedHeader::XForwardedFor),
            ("forwarded", ForwardedHeader::Forwarded),
        ];
        let doc = "Header in which a trusted proxy names its client.";
        let forwarded_header =
            section.choice("forwarded_header", &headers, doc).or("x-forwarded-for");
        let doc = "True: connections of trusted proxies begin with a header of the PROXY protocol, version 2.";
        let proxy_protocol = section.boolean("proxy_protocol", doc).or("false");
        let doc = "Interval of checks for changes of this file and of the files of certificates and secrets. At \
                   least 10 ms.";
        let reload = section.duration_from("reload", MIN_RELOAD_INTERVAL, doc).or("10s");
        let listen = ListenConfig {
            address: address?,
            allows_no_credentials: allows_no_credentials?,
            tls: tls?,
            trusted_proxies: trusted_proxies?,
            forwarded_header: forwarded_header?,
            proxy_protocol: proxy_protocol?,
            reload: reload?,
        };
        if listen.proxy_protocol && listen.trusted_proxies.is_empty() {
            let message = "needs trusted_proxies: the proxies whose headers are believed";
            section.report("proxy_protocol", message);
        }
        Some(listen)
    }
}

fn read_tls(section: &mut Section<'_>) -> Option<ListenTlsConfig> {
    let doc = "Certificate chain of the service, its own certificate first; PEM.";
    let certificate = section.path("certificate", doc).required("/etc/davinci-siem/tls.crt");
    let key = section.path("key", "Private key of the service; PEM.");
    let key = key.required("/etc/davinci-siem/tls.key");
    let doc =
        "Authorities of client certificates; PEM. Default: no client certificate is requested.";
    let ca = section.path("client_ca", doc).optional();
    let crl =
        section.path("client_crl", "Revocation lists of client certificates; PEM.").optional();
    let choices = [("required", true), ("optional", false)];
    let doc =
        "required: a client without a certificate is refused in the handshake. Default: required.";
    let is_required = section.choice("client_certificate", &choices, doc).optional();
    let (ca, crl, is_required) = (ca?, crl?, is_required?);
    for (name, is_given) in
        [("client_certificate", is_required.is_some()), ("client_crl", crl.is_some())]
    {
        if is_given && ca.is_none() {
            section.report(name, "needs client_ca, the authority of the certificates");
        }
    }
    let is_required = is_required.unwrap_or(true);
    Some(ListenTlsConfig {
        certificate: certificate?,
        key: key?,
        clients: ca.map(|ca| ClientAuthority { ca, crl, is_required }),
    })
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
    Ip(IpAddr),
}

impl FromStr for AlternativeName {
    type Err = ();

    /// Parses a name as OpenSSL prints it: kind, colon, name.
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
