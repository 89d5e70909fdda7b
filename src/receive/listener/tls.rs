//! TLS: what the listener shows and whom it asks for a certificate, loaded from files and replaced
//! while connections go on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use super::certificate::Certificate;
use crate::config::{ClientAuthority, ListenTls};

/// A file that cannot be used for TLS.
#[derive(Debug, Error)]
#[error("listen.tls.{key}: {path}: {reason}")]
pub struct TlsError {
    key: &'static str,
    path: String,
    reason: String,
}

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
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| wrong("key", key, format!("holds no private key: {error}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("certificate", certificate, error.to_string()))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let (verifier, expiry) = verifier(authority, provider)?;
            expiries.push(("client_ca", expiry));
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, private).map_err(|error| {
        wrong("key", key, format!("does not belong to {}: {error}", certificate.display()))
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let own = parsed.into_iter().next().ok_or_else(|| empty("certificate", certificate))?;
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
        roots
            .add(certificate)
            .map_err(|error| wrong("client_ca", ca, format!("is no authority: {error}")))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(path) = crl {
        let lists = CertificateRevocationListDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| wrong("client_crl", path, format!("cannot be read: {error}")))?;
        if lists.is_empty() {
            return Err(empty("client_crl", path));
        }
        // A list says which certificates are revoked, not which authorities are.
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    if !is_required {
        builder = builder.allow_unauthenticated();
    }
    let named = crl.as_ref().unwrap_or(ca);
    let verifier = builder
        .build()
        .map_err(|error| wrong("client_ca", named, format!("cannot be used: {error}")))?;
    Ok((verifier, earliest(&parsed)))
}

/// The certificates of a PEM file, as they are and as they read. At least one.
fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<(Vec<CertificateDer<'static>>, Vec<Certificate>), TlsError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(key, path, format!("cannot be read: {error}")))?;
    let parsed: Vec<_> =
        found
            .iter()
            .map(|der| Certificate::read(der))
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(key, path, format!("holds a broken certificate: {error}")))?;
    if parsed.is_empty() {
        return Err(empty(key, path));
    }
    Ok((found, parsed))
}

fn earliest(certificates: &[Certificate]) -> i64 {
    certificates.iter().map(|certificate| certificate.expires).min().unwrap_or(i64::MAX)
}

fn empty(key: &'static str, path: &Path) -> TlsError {
    wrong(key, path, "holds nothing of the kind; it has to be PEM".to_owned())
}

fn wrong(key: &'static str, path: &Path, reason: String) -> TlsError {
    TlsError { key, path: PathBuf::from(path).display().to_string(), reason }
}
