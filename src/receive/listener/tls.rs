//! TLS: what the listener shows and whom it asks for a certificate, loaded from files and replaced
//! while connections go on.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use super::certificate::Certificate;
use crate::config::{ClientAuthority, ListenTls};
use crate::{pem, shown};

/// A file that cannot be used for TLS.
#[derive(Debug, Error)]
#[error("listen.tls.{key}: {path} {reason}")]
pub struct TlsError {
    key: &'static str,
    path: String,
    reason: String,
}

/// Said of PEM that holds the right object, which cannot be read all the same.
const UNUSABLE: &str = "holds an object that is broken, or of a kind that cannot be used";

/// Everything that new connections need.
#[derive(Debug, Clone)]
pub struct Loaded {
    config: Arc<ServerConfig>,
    /// The service's own certificate.
    pub own: Certificate,
    /// The key of each file and when the first certificate in it expires, in seconds since the epoch.
    pub expiries: Vec<(&'static str, i64)>,
}

/// What new connections get; those that are open keep what they have.
#[derive(Debug)]
pub struct Tls(RwLock<Loaded>);

impl Tls {
    /// From what was loaded.
    pub fn new(loaded: Loaded) -> Tls {
        Tls(RwLock::new(loaded))
    }

    /// Whether new connections get this certificate.
    pub fn shows(&self, loaded: &Loaded) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).own == loaded.own
    }

    /// Gives new connections something else.
    pub fn replace(&self, loaded: Loaded) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = loaded;
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let loaded = self.0.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&loaded.config))
    }
}

/// Reads all files. TLS 1.2 and 1.3 with the cipher suites that rustls has; HTTP/2 and HTTP/1.1.
pub fn load(settings: &ListenTls) -> Result<Loaded, TlsError> {
    let ListenTls { certificate, key, clients } = settings;
    let (chain, parsed) = certificates("certificate", certificate)?;
    let mut expiries = vec![("certificate", earliest(&parsed))];
    let private = pem::private_key(key).map_err(|reason| wrong("key", key, reason))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|_| wrong("certificate", certificate, UNUSABLE.to_owned()))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let (verifier, expiry) = verifier(authority, provider)?;
            expiries.push(("client_ca", expiry));
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, private)
        .map_err(|error| wrong("key", key, pem::key_mistake(&error, certificate)))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let own = parsed.into_iter().next();
    let own = own.ok_or_else(|| wrong("certificate", certificate, UNUSABLE.to_owned()))?;
    Ok(Loaded { config: Arc::new(config), own, expiries })
}

fn verifier(
    authority: &ClientAuthority,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<(Arc<dyn ClientCertVerifier>, i64), TlsError> {
    let ClientAuthority { ca, crl, is_required } = authority;
    let (certificates, parsed) = certificates("client_ca", ca)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let broken = "holds a certificate that is broken, or of no authority";
        roots.add(certificate).map_err(|_| wrong("client_ca", ca, broken.to_owned()))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(path) = crl {
        let lists =
            pem::revocation_lists(path).map_err(|reason| wrong("client_crl", path, reason))?;
        // A list says which certificates are revoked, not which authorities are.
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    if !is_required {
        builder = builder.allow_unauthenticated();
    }
    let (key, named) = crl.as_ref().map_or(("client_ca", ca), |crl| ("client_crl", crl));
    let verifier = builder.build().map_err(|_| wrong(key, named, UNUSABLE.to_owned()))?;
    Ok((verifier, earliest(&parsed)))
}

/// The certificates of a PEM file, as they are and as they read. At least one.
fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<(Vec<CertificateDer<'static>>, Vec<Certificate>), TlsError> {
    let found = pem::certificates(path).map_err(|reason| wrong(key, path, reason))?;
    let read = found.iter().map(|der| Certificate::read(der));
    let parsed = read.collect::<Result<Vec<_>, _>>();
    parsed.map(|parsed| (found, parsed)).map_err(|_| wrong(key, path, UNUSABLE.to_owned()))
}

fn earliest(certificates: &[Certificate]) -> i64 {
    certificates.iter().map(|certificate| certificate.expires).min().unwrap_or(i64::MAX)
}

fn wrong(key: &'static str, path: &Path, reason: String) -> TlsError {
    TlsError { key, path: shown::path(path), reason }
}
