//! Authorities of client certificates, and the certificates presented on open connections, which a
//! reload may invalidate.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use super::certificate::Certificate;

/// Authorities and revocation lists that verify client certificates.
pub struct Authority {
    roots: Vec<CertificateDer<'static>>,
    lists: Vec<CertificateRevocationListDer<'static>>,
    is_required: bool,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// Client certificate presented on a connection.
pub(crate) struct PresentedCertificate {
    pub(crate) certificate: Certificate,
    /// The chain as sent, the client's own certificate first.
    chain: Vec<CertificateDer<'static>>,
    verified_by: Arc<Authority>,
}

impl Authority {
    /// Creates an authority; `verifier` was built from the same files.
    pub(super) fn new(
        roots: Vec<CertificateDer<'static>>,
        lists: Vec<CertificateRevocationListDer<'static>>,
        is_required: bool,
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> Authority {
        Authority { roots, lists, is_required, verifier }
    }

    /// Returns whether a connection without a certificate is refused.
    pub(crate) fn is_required(&self) -> bool {
        self.is_required
    }

    /// Returns the DER of each authority, and of each revocation list.
    pub(super) fn files(&self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let roots = self.roots.iter().map(|root| root.to_vec());
        (roots.collect(), self.lists.iter().map(|list| list.to_vec()).collect())
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Returns whether a handshake with this certificate would succeed now. The certificate is
    /// verified again only if the files have changed since the connection's handshake.
    pub(crate) fn accepts(&self, shown: &PresentedCertificate) -> bool {
        let before = &*shown.verified_by;
        let is_same = std::ptr::eq(self, before)
            || (self.roots == before.roots && self.lists == before.lists);
        is_same || self.verifies(&shown.chain)
    }

    fn verifies(&self, chain: &[CertificateDer<'static>]) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(now);
        let parts = chain.split_first();
        parts.is_some_and(|(own, rest)| self.verifier.verify_client_cert(own, rest, now).is_ok())
    }
}

impl PresentedCertificate {
    /// Reads the chain of a verified handshake.
    ///
    /// # Errors
    ///
    /// The chain is empty or its first certificate cannot be parsed.
    pub(super) fn new(
        chain: &[CertificateDer<'_>],
        verified_by: &Arc<Authority>,
    ) -> std::io::Result<PresentedCertificate> {
        let own = chain.first().ok_or_else(|| std::io::Error::other("no certificate"))?;
        Ok(PresentedCertificate {
            certificate: Certificate::read(own).map_err(std::io::Error::other)?,
            chain: chain.iter().map(|der| der.clone().into_owned()).collect(),
            verified_by: Arc::clone(verified_by),
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Authority")
            .field("is_required", &self.is_required)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PresentedCertificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("PresentedCertificate").field(&self.certificate).finish()
    }
}
