//! `[listen]`: where PingOne reaches the service, over TLS or through a proxy.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::section::Section;

/// Shortest interval of looking at files: they are read each time.
const MIN_RELOAD: Duration = Duration::from_millis(10);

/// The listener for webhooks.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Address and port. PingOne supports IPv4 only.
    pub address: SocketAddr,
    /// `auth = "none"`: sources without credentials are meant, also on a public address.
    pub allows_no_credentials: bool,
    /// TLS; without it the listener speaks plain HTTP.
    pub tls: Option<ListenTls>,
    /// Networks of the proxies that may say whom they speak for.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they say it.
    pub forwarded_header: ForwardedHeader,
    /// Whether connections begin with a header of the PROXY protocol, version 2.
    pub proxy_protocol: bool,
    /// How often files of certificates and secrets are looked at for changes.
    pub reload: Duration,
}

/// What the listener shows, and whom it asks for a certificate. Files are read at the start, on
/// SIGHUP, and when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenTls {
    /// Certificate chain, the service's own first; PEM.
    pub certificate: PathBuf,
    /// Its private key; PEM.
    pub key: PathBuf,
    /// Whose certificates clients may show.
    pub clients: Option<ClientAuthority>,
}

/// The authority of client certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuthority {
    /// Its certificates; PEM.
    pub ca: PathBuf,
    /// Its revocation lists; PEM.
    pub crl: Option<PathBuf>,
    /// Whether a client without a certificate is refused in the handshake.
    pub is_required: bool,
}

/// The header in which a proxy says whom it speaks for. One only: a proxy that writes one may pass
/// the other on as its client sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `Forwarded` (RFC 7239)
    Forwarded,
}

impl Listen {
    /// Whether only holders of a certificate get as far as a request.
    pub fn requires_certificate(&self) -> bool {
        let clients = self.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        clients.is_some_and(|clients| clients.is_required)
    }
}

impl ListenTls {
    /// The files it is made of.
    pub fn files(&self) -> Vec<PathBuf> {
        let clients = self.clients.iter();
        let authority = clients.flat_map(|clients| [Some(&clients.ca), clients.crl.as_ref()]);
        let files = [Some(&self.certificate), Some(&self.key)].into_iter().chain(authority);
        files.flatten().cloned().collect()
    }
}

pub(super) fn read(mut section: Section<'_>) -> Listen {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    let listen = Listen {
        address: section.address("address").unwrap_or(default),
        allows_no_credentials: section
            .choice("auth", &[("required", false), ("none", true)])
            .unwrap_or(false),
        tls: section.table_if_given("tls").and_then(read_tls),
        trusted_proxies: section.list("trusted_proxies", "a network such as \"10.0.0.0/8\""),
        forwarded_header: section
            .choice(
                "forwarded_header",
                &[
                    ("x-forwarded-for", ForwardedHeader::XForwardedFor),
                    ("forwarded", ForwardedHeader::Forwarded),
                ],
            )
            .unwrap_or(ForwardedHeader::XForwardedFor),
        proxy_protocol: section.boolean("proxy_protocol").unwrap_or(false),
        reload: section.duration_from("reload", MIN_RELOAD).unwrap_or(Duration::from_secs(10)),
    };
    if listen.proxy_protocol && listen.trusted_proxies.is_empty() {
        let message = "needs trusted_proxies: whoever may say where a connection comes from";
        section.report("proxy_protocol", message.to_owned());
    }
    section.finish();
    listen
}

fn read_tls(mut section: Section<'_>) -> Option<ListenTls> {
    let certificate = section.required_path("certificate", "/etc/davinci-siem/tls.crt");
    let key = section.required_path("key", "/etc/davinci-siem/tls.key");
    let ca = section.path("client_ca");
    let crl = section.path("client_crl");
    let is_required =
        section.choice("client_certificate", &[("required", true), ("optional", false)]);
    for (name, is_given) in
        [("client_certificate", is_required.is_some()), ("client_crl", crl.is_some())]
    {
        if is_given && ca.is_none() {
            section.report(name, "needs client_ca, the authority of the certificates".to_owned());
        }
    }
    section.finish();
    let is_required = is_required.unwrap_or(true);
    Some(ListenTls {
        certificate: certificate?,
        key: key?,
        clients: ca.map(|ca| ClientAuthority { ca, crl, is_required }),
    })
}
