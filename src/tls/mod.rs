//! TLS towards others: whom we trust and what we show, for HTTP, syslog and NATS alike.

mod config;

use std::path::Path;

use rustls::{ClientConfig, RootCertStore};

use crate::{pem, shown};
pub(crate) use config::TlsConfig;

/// A configuration from the files that the settings name, or from the system's authorities. An error
/// says what to correct.
pub(crate) fn client_config(settings: &TlsConfig) -> Result<ClientConfig, String> {
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
    // Those that cannot be parsed are left out, as every client does.
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
