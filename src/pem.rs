//! Reads PEM files (certificates, private keys, revocation lists) and explains why one cannot be
//! used.
//!
//! A parser's error may quote the file, and with it a private key. Its text is therefore never
//! passed on: the mistake is searched here and described without quoting the file.

use std::fmt;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem::find;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretSlice};
use thiserror::Error;

use crate::shown;

/// Minimum number of base64 digits that are not a word. A certificate or key has hundreds.
const MIN_BASE64_DIGITS: usize = 40;

/// Maximum size of a file. Revocation lists of large authorities have about 100 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;

const NOT_PEM: &str = "it is not PEM, which begins with -----BEGIN";

const BEGIN_MARKER: &[u8] = b"-----BEGIN ";

/// Error of a PEM file. The message begins with a verb, to follow the file's name, and quotes nothing of the file.
#[derive(Debug, Error)]
pub(crate) enum PemError {
    /// The file cannot be read.
    #[error("cannot be read: {}", shown::reason(.0))]
    Unreadable(#[source] std::io::Error),
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("is larger than 256 MiB")]
    TooLarge,
    /// The file does not contain the required kind of object.
    #[error("holds no usable {kind}: {mistake}")]
    Unusable {
        kind: PemKind,
        /// The most likely mistake.
        mistake: &'static str,
    },
    /// The object has the right kind, but is malformed or of an unsupported type.
    #[error("holds an object that is broken, or of a kind that cannot be used")]
    Malformed,
    /// The certificate is malformed, or not one of an authority.
    #[error("holds a certificate that is broken, or of no authority")]
    NotAnAuthority,
    /// The private key belongs to another certificate.
    #[error("does not belong to the certificate in {certificate}")]
    OtherKey {
        certificate: String,
        /// Error of the TLS library.
        source: Box<rustls::Error>,
    },
    /// The private key cannot be checked, because its certificate is malformed.
    #[error("cannot be used with the certificate in {certificate}, which is broken")]
    MalformedCertificate {
        certificate: String,
        /// Error of the TLS library.
        source: Box<rustls::Error>,
    },
    /// The private key has an unsupported type.
    #[error(
        "holds a private key of a kind that cannot be used: use RSA from 2048 bits on, ECDSA \
         (P-256, P-384) or Ed25519"
    )]
    UnsupportedKey(#[source] Box<rustls::Error>),
}

/// Kind of object that a file must contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PemKind {
    /// `CERTIFICATE`
    Certificate,
    /// `PRIVATE KEY`, `RSA PRIVATE KEY` or `EC PRIVATE KEY`
    PrivateKey,
    /// `X509 CRL`
    RevocationList,
}

/// Reads at least one certificate from a file.
///
/// # Errors
///
/// The file cannot be read or used.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    all(path, PemKind::Certificate)
}

/// Reads at least one revocation list from a file.
///
/// # Errors
///
/// The file cannot be read or used.
pub(crate) fn revocation_lists(
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    all(path, PemKind::RevocationList)
}

/// Reads the first private key of a file.
///
/// # Errors
///
/// The file cannot be read or used.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    let text = read(path)?;
    let text = text.expose_secret();
    PrivateKeyDer::from_pem_slice(text).map_err(|_| unusable(text, PemKind::PrivateKey))
}

/// Returns the error of a private key that does not match its certificate.
pub(crate) fn key_error(source: rustls::Error, certificate: &Path) -> PemError {
    let certificate = shown::path(certificate);
    let source = Box::new(source);
    match *source {
        rustls::Error::InconsistentKeys(_) => PemError::OtherKey { certificate, source },
        rustls::Error::InvalidCertificate(_) => {
            PemError::MalformedCertificate { certificate, source }
        }
        _ => PemError::UnsupportedKey(source),
    }
}

fn all<T: PemObject>(path: &Path, kind: PemKind) -> Result<Vec<T>, PemError> {
    let text = read(path)?;
    let text = text.expose_secret();
    let found: Result<Vec<T>, _> = T::pem_slice_iter(text).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| unusable(text, kind))
}

fn read(path: &Path) -> Result<SecretSlice<u8>, PemError> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(PemError::Unreadable);
    let bytes = SecretSlice::from(bytes);
    match read? as u64 > MAX_FILE_BYTES {
        true => Err(PemError::TooLarge),
        false => Ok(bytes),
    }
}

fn unusable(text: &[u8], kind: PemKind) -> PemError {
    PemError::Unusable { kind, mistake: mistake(text, kind) }
}

impl fmt::Display for PemKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            PemKind::Certificate => "certificate",
            PemKind::PrivateKey => "private key",
            PemKind::RevocationList => "revocation list",
        })
    }
}

/// Returns the most likely mistake in a file that cannot be used.
fn mistake(text: &[u8], kind: PemKind) -> &'static str {
    let has = |what: &[u8]| find(text, what).is_some();
    if text.trim_ascii().is_empty() {
        return "it is empty";
    }
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        return "it is UTF-16; save it as plain ASCII text";
    }
    if text.starts_with(b"\xef\xbb\xbf") {
        return "it begins with a byte order mark; save it without one";
    }
    if !has(BEGIN_MARKER) {
        return without_markers(text);
    }
    if has(b"\0") {
        return "it holds NUL bytes; write it again as plain text";
    }
    if has(b"\\n") || has(b"\\r") {
        return "its line breaks are written as a backslash and an n; write real ones, for example \
                with printf '%b'";
    }
    if has(b"ENCRYPTED") {
        return "it is encrypted (ENCRYPTED PRIVATE KEY); decrypt it with openssl pkey -in FILE -out \
                NEW-FILE";
    }
    let lines: Vec<&[u8]> = text.split(|byte| [b'\n', b'\r'].contains(byte)).collect();
    let markers = lines.iter().filter(|line| find(line, BEGIN_MARKER).is_some());
    if markers.clone().any(|line| label(line.trim_ascii()).is_none()) {
        return "line breaks are missing: -----BEGIN and -----END stand on lines of their own";
    }
    if markers.clone().any(|line| !line.starts_with(BEGIN_MARKER)) {
        return "its lines are indented; remove the blanks before -----BEGIN";
    }
    let labels: Vec<&[u8]> = markers.filter_map(|line| label(line.trim_ascii())).collect();
    if !labels.iter().any(|label| kind.is(label)) {
        return other_object(&labels);
    }
    if labels.iter().any(|label| !has(&[b"-----END ", *label, b"-----"].concat())) {
        return "it ends before -----END: part of it is missing";
    }
    "what stands between its markers is not base64"
}

/// Returns the mistake in a file without `-----BEGIN`.
fn without_markers(text: &[u8]) -> &'static str {
    if !text.is_ascii() {
        return "it is not PEM text; convert DER with openssl, option -inform DER, and PKCS #12 with \
                openssl pkcs12";
    }
    let any_padding =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let digits: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if digits.len() < MIN_BASE64_DIGITS {
        return NOT_PEM;
    }
    let digits = SecretSlice::from(digits);
    match GeneralPurpose::new(&STANDARD, any_padding).decode(digits.expose_secret()) {
        Ok(inner) if find(&inner, BEGIN_MARKER).is_some() => {
            drop(SecretSlice::from(inner));
            "it is base64 of a PEM file; decode it with base64 -d"
        }
        Ok(inner) => {
            drop(SecretSlice::from(inner));
            "it is base64 without PEM markers (-----BEGIN …-----, -----END …-----)"
        }
        Err(_) => NOT_PEM,
    }
}

/// Names the object that the file contains instead.
fn other_object(labels: &[&[u8]]) -> &'static str {
    let is = |name: &[u8]| labels.contains(&name);
    let has_key = labels.iter().any(|label| PemKind::PrivateKey.is(label));
    if has_key {
        "it holds a private key; another file belongs here"
    } else if is(b"OPENSSH PRIVATE KEY") {
        "it is a key of OpenSSH; make one with openssl genpkey"
    } else if is(b"PUBLIC KEY") || is(b"RSA PUBLIC KEY") {
        "it holds a public key; another file belongs here"
    } else if is(b"CERTIFICATE REQUEST") || is(b"NEW CERTIFICATE REQUEST") {
        "it holds a signing request; the certificate that an authority made of it belongs here"
    } else if is(b"CERTIFICATE") || is(b"TRUSTED CERTIFICATE") {
        "it holds a certificate; another file belongs here"
    } else if is(b"X509 CRL") {
        "it holds a revocation list; another file belongs here"
    } else {
        "it holds PEM of another kind"
    }
}

/// Returns the label of a complete `-----BEGIN LABEL-----`.
fn label(line: &[u8]) -> Option<&[u8]> {
    let label = line.strip_prefix(BEGIN_MARKER)?.strip_suffix(b"-----")?;
    let is_plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ';
    label.iter().all(is_plain).then_some(label)
}

impl PemKind {
    fn is(self, label: &[u8]) -> bool {
        match self {
            PemKind::Certificate => label == b"CERTIFICATE",
            PemKind::PrivateKey => {
                [&b"PRIVATE KEY"[..], b"RSA PRIVATE KEY", b"EC PRIVATE KEY"].contains(&label)
            }
            PemKind::RevocationList => label == b"X509 CRL",
        }
    }
}

#[cfg(test)]
mod tests;
