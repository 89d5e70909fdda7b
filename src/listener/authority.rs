//! The authority of client certificates, and certificates that outlive a change of it on open
//! connections.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use super::certificate::Certificate;

/// The authorities and revocation lists by which client certificates are verified.
pub struct Authority {
    roots: Vec<CertificateDer<'static>>,
    lists: Vec<CertificateRevocationListDer<'static>>,
    is_required: bool,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// A certificate that a connection showed.
pub(crate) struct Shown {
    pub(crate) certificate: Certificate,
    /// As it was sent: its own first.
    chain: Vec<CertificateDer<'static>>,
    verified_by: Arc<Authority>,
}

impl Authority {
    /// An authority whose `verifier` was made of these files.
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

    /// The DER of each authority, and of each revocation list.
    pub(super) fn files(&self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let roots = self.roots.iter().map(|root| root.to_vec());
        (roots.collect(), self.lists.iter().map(|list| list.to_vec()).collect())
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Returns whether a handshake with this certificate would succeed now. Nothing is verified again while
    /// the files hold what they held at the connection's handshake.
    pub(crate) fn accepts(&self, shown: &Shown) -> bool {
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

impl Shown {
    /// Reads what a handshake has verified. Fails on a certificate that cannot be read.
    pub(super) fn new(
        chain: &[CertificateDer<'_>],
        verified_by: &Arc<Authority>,
    ) -> std::io::Result<Shown> {
        let own = chain.first().ok_or_else(|| std::io::Error::other("no certificate"))?;
        Ok(Shown {
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

impl fmt::Debug for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Shown").field(&self.certificate).finish()
    }
}
