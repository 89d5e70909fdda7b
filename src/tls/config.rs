//! `tls`: certificates of the connections to one target.

use std::fs::File;
use std::path::PathBuf;

use crate::settings::Section;
use crate::shown;

/// Certificates of a connection. The files are read when the sink starts, and again after SIGHUP, after `sink
/// resume`, and when they change while the sink cannot deliver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Authorities that are trusted instead of the system's; PEM.
    pub ca: Option<PathBuf>,
    /// Client certificate chain and its private key; PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl TlsConfig {
    /// Returns the files whose change may make the target reachable.
    pub fn files(&self) -> Vec<PathBuf> {
        let own = self.certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca.iter().chain(own).cloned().collect()
    }

    /// Reads the table `tls`.
    pub(crate) fn read(section: &mut Section<'_>) -> Option<TlsConfig> {
        section.table("tls", "Certificates.", read)
    }
}

fn read(section: &mut Section<'_>) -> Option<TlsConfig> {
    let ca = section.path("ca", "Authorities that are trusted instead of the system's; PEM.");
    let ca = ca.optional();
    let certificate = section.path("certificate", "Client certificate chain; PEM.").optional();
    let key = section.path("key", "Private key of the client certificate; PEM.").optional();
    let (ca, certificate, key) = (ca?, certificate?, key?);
    if certificate.is_some() != key.is_some() {
        section.report("certificate", "and key belong together; write both");
    }
    let tls = TlsConfig { ca, certificate: certificate.zip(key) };
    for file in tls.files() {
        if let Err(error) = File::open(&file) {
            let (name, reason) = (shown::path(&file), shown::reason(&error));
            let advice = "Check the path and its permissions";
            section.report("", format!("{name} cannot be read: {reason}. {advice}"));
        }
    }
    Some(tls)
}
