//! Fields of an X.509 certificate (RFC 5280) that the service uses.

use std::net::IpAddr;

use sha2::{Digest, Sha256};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::listener::AlternativeName;

/// Parsed certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of its DER.
    pub fingerprint: [u8; 32],
    /// Subject in the form of RFC 4514.
    pub subject: String,
    /// Subject alternative names of the kinds that a configuration can name.
    pub names: Vec<AlternativeName>,
    /// End of validity, in seconds since the Unix epoch.
    pub expires: i64,
}

impl Certificate {
    /// Parses a certificate in DER.
    ///
    /// # Errors
    ///
    /// The DER is not a certificate.
    pub fn read(der: &[u8]) -> Result<Certificate, x509_cert::der::Error> {
        let parsed = x509_cert::Certificate::from_der(der)?;
        let parsed = parsed.tbs_certificate();
        let names = parsed.get_extension::<SubjectAltName>()?.map(|(_, names)| names.0);
        let expires = parsed.validity().not_after.to_unix_duration().as_secs();
        Ok(Certificate {
            fingerprint: Sha256::digest(der).into(),
            subject: parsed.subject().to_string(),
            names: names.iter().flatten().filter_map(name).collect(),
            expires: i64::try_from(expires).unwrap_or(i64::MAX),
        })
    }

    /// Returns the fingerprint in hexadecimal digits.
    pub fn hex(&self) -> String {
        self.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn name(name: &GeneralName) -> Option<AlternativeName> {
    Some(match name {
        GeneralName::DnsName(name) => AlternativeName::Dns(name.as_str().to_ascii_lowercase()),
        GeneralName::UniformResourceIdentifier(uri) => {
            AlternativeName::Uri(uri.as_str().to_owned())
        }
        GeneralName::Rfc822Name(address) => AlternativeName::Email(address.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => AlternativeName::Ip(match *bytes.as_bytes() {
            [a, b, c, d] => IpAddr::from([a, b, c, d]),
            ref bytes => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        }),
        _ => return None,
    })
}
