//! Certificates for one test: an authority, a server under it, and a client under it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// PEM files in a folder, and a server that uses them.
pub struct Certificates {
    pub ca: PathBuf,
    pub client: PathBuf,
    pub client_key: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    /// Makes them; `name` begins the files' names.
    pub fn new(folder: &Path, name: &str) -> Certificates {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let file = |suffix: &str| folder.join(format!("{name}-{suffix}.pem"));
        let (client, client_key) = leaf("davinci-siem", &issuer);
        std::fs::write(file("ca"), issuer.pem()).expect("written");
        std::fs::write(file("client"), client.pem()).expect("written");
        std::fs::write(file("key"), client_key.serialize_pem()).expect("written");
        Certificates { ca: file("ca"), client: file("client"), client_key: file("key"), issuer }
    }

    /// A server for `localhost`; `asks` for a client's certificate.
    pub fn acceptor(&self, asks: bool) -> TlsAcceptor {
        drop(rustls::crypto::ring::default_provider().install_default());
        let (server, key) = leaf("localhost", &self.issuer);
        let builder = ServerConfig::builder();
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).expect("an authority");
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = builder.with_single_cert(vec![server.der().clone()], key).expect("a server");
        TlsAcceptor::from(Arc::new(config))
    }
}

fn leaf(name: &str, issuer: &CertifiedIssuer<'_, KeyPair>) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    (params.signed_by(&key, issuer).expect("signed"), key)
}
