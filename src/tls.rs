//! TLS client settings for HTTP, syslog and NATS: trusted authorities and client certificate.

use std::path::{Path, PathBuf};

use rustls::{ClientConfig, RootCertStore};

use crate::{pem, shown};

/// Certificates of a connection. The files are read when the sink starts, and again after SIGHUP,
/// after `sink resume`, and after a change while the sink cannot deliver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of trusted authorities, instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of the client certificate chain and its private key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Returns the files whose change may make the target reachable.
    pub fn files(&self) -> Vec<PathBuf> {
        let own = self.certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca.iter().chain(own).cloned().collect()
    }
}

/// Builds a client configuration from the files in the settings, or from the system's authorities.
///
/// # Errors
///
/// A file cannot be read or used, or the system has no authorities.
pub(crate) fn client_config(settings: &Tls) -> Result<ClientConfig, String> {
    let roots = match &settings.ca {
        Some(path) => roots_of(path)?,
        None => system_roots()?,
    };
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let Some((certificate, key)) = &settings.certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = pem::certificates(certificate).map_err(|reason| unusable(certificate, &reason))?;
    let private = pem::private_key(key).map_err(|reason| unusable(key, &reason))?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|error| unusable(key, &pem::key_mistake(&error, certificate)))
}

fn roots_of(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(path).map_err(|reason| unusable(path, &reason))? {
        let broken = "holds a certificate that is broken, or of no authority";
        roots.add(certificate).map_err(|_| unusable(path, broken))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // Unparsable system certificates are skipped, as in every client.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let message = "this system has no certificate authorities; install ca-certificates, or name \
                       the target's own with tls.ca";
        return Err(message.to_owned());
    }
    Ok(roots)
}

/// A message about a file; the reason begins with a verb, and quotes nothing of the file.
fn unusable(path: &Path, reason: &str) -> String {
    format!("{} {reason}. Correct the file", shown::path(path))
}
