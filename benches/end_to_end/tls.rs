//! A certificate for the server, and the client's side of a TLS connection.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

static ISSUED: LazyLock<rcgen::CertifiedKey<rcgen::KeyPair>> = LazyLock::new(|| {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate")
});

/// Configuration of the server's listener.
pub(crate) const LISTENER: &str = "[listen.tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";

/// Writes the certificate and the key into the server's directory.
pub(crate) fn write(directory: &Path) {
    std::fs::write(directory.join("cert.pem"), ISSUED.cert.pem()).expect("written");
    std::fs::write(directory.join("key.pem"), ISSUED.signing_key.serialize_pem()).expect("written");
}

/// Performs the handshake.
pub(crate) async fn connect(stream: TcpStream) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ISSUED.cert.der().clone()).expect("a root");
    let config =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake")
}
