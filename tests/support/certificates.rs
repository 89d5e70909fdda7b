//! Certificates for one test: an authority, a server under it, and a client under it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use reqwest::{Client, ClientBuilder};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// PEM files in a directory, and a server that uses them.
pub struct Certificates {
    pub ca: PathBuf,
    pub client: PathBuf,
    pub client_key: PathBuf,
    directory: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    /// Creates them; `name` is the prefix of the files' names.
    pub fn new(directory: &Path, name: &str) -> Certificates {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        // Not the name of its certificates: OpenSSL would take them for their own authority.
        params.distinguished_name.push(DnType::CommonName, format!("{name}'s authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let file = |suffix: &str| directory.join(format!("{name}-{suffix}.pem"));
        let (client, client_key) = leaf("davinci-siem", &issuer, |_| ());
        std::fs::write(file("ca"), issuer.pem()).expect("written");
        std::fs::write(file("client"), client.pem()).expect("written");
        std::fs::write(file("key"), client_key.serialize_pem()).expect("written");
        let directory = directory.to_owned();
        let (ca, client, client_key) = (file("ca"), file("client"), file("key"));
        Certificates { ca, client, client_key, directory, issuer }
    }

    /// Creates a certificate for `name`, changed by `adjust`, and its key, as two files.
    pub fn issue(&self, name: &str, adjust: impl FnOnce(&mut CertificateParams)) -> Issued {
        let (certificate, key) = leaf(name, &self.issuer, adjust);
        let pem = self.directory.join(format!("{:x}.pem", rand::random::<u64>()));
        let key_pem = pem.with_extension("key");
        std::fs::write(&pem, certificate.pem()).expect("written");
        std::fs::write(&key_pem, key.serialize_pem()).expect("written");
        Issued { certificate: pem, key: key_pem, der: certificate.der().clone() }
    }

    /// Creates a list of revoked serial numbers.
    pub fn crl(&self, revoked: &[u64]) -> PathBuf {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).expect("signed").pem().expect("PEM");
        let path = self.directory.join(format!("{:x}.crl", rand::random::<u64>()));
        std::fs::write(&path, list).expect("written");
        path
    }

    fn roots(&self) -> RootCertStore {
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("an authority");
        roots
    }

    /// Returns the settings of a client that supports one version only.
    pub fn config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&[u8]],
    ) -> ClientConfig {
        let roots = self.roots();
        let builder = ClientConfig::builder_with_protocol_versions(versions);
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config
    }

    /// Returns the certificate that a server shows to a new connection.
    pub async fn shown_by(&self, address: &str) -> Vec<u8> {
        let connector = TlsConnector::from(Arc::new(self.config(rustls::ALL_VERSIONS, &[])));
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let stream = tokio::net::TcpStream::connect(address).await.expect("connected");
        let stream = connector.connect(name, stream).await.expect("a handshake");
        let shown = stream.get_ref().1.peer_certificates().expect("a certificate");
        shown[0].as_ref().to_vec()
    }

    /// Returns a function that creates HTTP clients without a connection.
    pub fn client_maker(&self) -> impl Fn() -> Client + Send + 'static {
        let config = self.config(rustls::ALL_VERSIONS, &[b"h2", b"http/1.1"]);
        move || {
            let client = Client::builder().tls_backend_preconfigured(config.clone()).no_proxy();
            client.build().expect("a client")
        }
    }

    /// Returns an HTTP client that trusts this authority, with a certificate if `identity` has one.
    pub fn http(&self, shows: Option<&Issued>) -> Client {
        self.http_builder(shows).build().expect("a client")
    }

    /// Returns the builder of [`http`](Certificates::http).
    pub fn http_builder(&self, shows: Option<&Issued>) -> ClientBuilder {
        let builder = ClientConfig::builder().with_root_certificates(self.roots());
        let mut config = match shows {
            None => builder.with_no_client_auth(),
            Some(Issued { certificate, key, .. }) => {
                let chain = CertificateDer::pem_file_iter(certificate).expect("a file");
                let chain = chain.collect::<Result<_, _>>().expect("certificates");
                let key = PrivateKeyDer::from_pem_file(key).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a certificate")
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Client::builder().tls_backend_preconfigured(config).no_proxy()
    }

    /// Starts a server for `localhost`; `asks` requests a client certificate.
    pub fn acceptor(&self, asks: bool) -> TlsAcceptor {
        drop(rustls::crypto::ring::default_provider().install_default());
        let (server, key) = leaf("localhost", &self.issuer, |_| ());
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

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub der: CertificateDer<'static>,
}

fn leaf(
    name: &str,
    issuer: &CertifiedIssuer<'_, KeyPair>,
    adjust: impl FnOnce(&mut CertificateParams),
) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    adjust(&mut params);
    (params.signed_by(&key, issuer).expect("signed"), key)
}
