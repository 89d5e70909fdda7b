//! Turns errors of libraries into messages for operators: the failed action and the peer, without
//! the error chain.

use std::error::Error;
use std::io::ErrorKind;

use rustls::{AlertDescription as Alert, CertificateError};

/// Start of the standard library's message for a failed name resolution.
const UNRESOLVED: &str = "failed to lookup address information";

/// Returns an error with its sources, each once. For the debug log.
pub(crate) fn error_chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = cause.source();
    }
    message
}

/// Iterates over an error and its sources, outermost first, including an error inside an
/// [`std::io::Error`].
pub(crate) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let next = |cause: &&'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        let cause: &'a (dyn Error + 'static) = *cause;
        match cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(hidden) => Some(hidden),
            None => cause.source(),
        }
    };
    std::iter::successors(Some(error), next)
}

/// Returns the message of an I/O error without the operating system's error number.
pub(crate) fn io_message(error: &std::io::Error) -> String {
    without_numbers(&error.to_string())
}

/// Removes the error numbers that the standard library adds to messages of the operating system.
pub(crate) fn without_numbers(message: &str) -> String {
    let mut parts = message.split(" (os error ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.push_str(rest);
            }
            _ => text.extend([" (os error ", part]),
        }
    }
    text
}

/// Returns the message for a failed connection or request. `peer` is host and port. The full error
/// chain, which may contain a URL, goes to the debug log only.
pub(crate) fn connection_failure(error: &(dyn Error + 'static), peer: &str) -> String {
    tracing::debug!(peer, chain = error_chain(error), "a connection failed");
    let found = chain(error).find_map(|cause| {
        if let Some(error) = cause.downcast_ref() {
            return Some(tls_failure(error, peer));
        }
        // Only the text distinguishes these errors: a failed resolution has no `ErrorKind` of its own, and the type of
        // hyper-util's tunnel errors is private. A changed text leads to the general message only.
        let text = cause.to_string();
        if text.starts_with(UNRESOLVED) {
            let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
            return Some(format!("the name {host} cannot be resolved"));
        }
        match text.as_str() {
            "tunnel error: proxy authorization required" => {
                return Some(format!("the proxy refuses the credentials on the way to {peer}"));
            }
            "tunnel error: unsuccessful" => {
                return Some(format!("the proxy refuses to connect to {peer}"));
            }
            _ => {}
        }
        cause.downcast_ref::<std::io::Error>().and_then(|error| io_failure(error.kind(), peer))
    });
    found.unwrap_or_else(|| http_failure(error, peer))
}

fn io_failure(kind: ErrorKind, peer: &str) -> Option<String> {
    Some(match kind {
        ErrorKind::ConnectionRefused => format!("connection refused by {peer}"),
        ErrorKind::ConnectionReset => format!("connection reset by {peer}"),
        ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof
        | ErrorKind::WriteZero => format!("connection closed by {peer}"),
        ErrorKind::TimedOut => format!("no answer from {peer} within the time limit"),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => format!("no route to {peer}"),
        ErrorKind::NetworkDown => format!("the network towards {peer} is down"),
        ErrorKind::AddrNotAvailable => format!("no local address is free to connect to {peer}"),
        ErrorKind::PermissionDenied => {
            format!("the operating system does not permit a connection to {peer}")
        }
        _ => return None,
    })
}

/// Returns whether a retry fails for the same reason: unknown name, failed TLS handshake, or a peer
/// without HTTP.
pub(crate) fn is_permanent(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|cause| {
        cause.is::<rustls::Error>()
            || cause.downcast_ref().is_some_and(hyper::Error::is_parse)
            || cause.to_string().starts_with(UNRESOLVED)
    })
}

fn tls_failure(error: &rustls::Error, peer: &str) -> String {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(problem) => format!("TLS: the certificate of {peer} {}", {
            match problem {
                CertificateError::UnknownIssuer => "is signed by an authority that is not trusted",
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "has expired"
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "is not valid yet; see the clock of this machine"
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => "is for another name",
                CertificateError::Revoked => "is revoked",
                CertificateError::BadSignature => "has a signature that does not match",
                CertificateError::InvalidPurpose
                | CertificateError::InvalidPurposeContext { .. } => "is not for servers",
                _ => "cannot be verified",
            }
        }),
        Tls::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::AccessDenied,
        ) => format!("TLS: {peer} asks for a client certificate that it trusts"),
        Tls::AlertReceived(Alert::UnrecognisedName) => {
            format!("TLS: {peer} does not go by this name")
        }
        Tls::AlertReceived(_) | Tls::PeerIncompatible(_) => {
            format!("TLS: {peer} and this client have no version or cipher in common")
        }
        Tls::InvalidMessage(_) => format!("TLS: {peer} does not speak TLS on this port"),
        _ => format!("TLS: the handshake with {peer} failed"),
    }
}

fn http_failure(error: &(dyn Error + 'static), peer: &str) -> String {
    let http = chain(error).find_map(|cause| cause.downcast_ref::<hyper::Error>());
    if http.is_some_and(|error| error.is_incomplete_message() || error.is_canceled()) {
        return format!("connection closed by {peer}");
    }
    if http.is_some_and(hyper::Error::is_parse) {
        return format!("the answer of {peer} is not HTTP");
    }
    let request = chain(error).find_map(|cause| cause.downcast_ref::<reqwest::Error>());
    match request {
        Some(error) if error.is_timeout() => format!("no answer from {peer} within the time limit"),
        Some(error) if error.is_decode() => format!("the answer of {peer} cannot be read"),
        Some(error) if error.is_connect() => format!("no connection to {peer}"),
        _ => format!("the connection to {peer} broke"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_errors_name_the_peer_and_no_number() {
        for (kind, words) in [
            (ErrorKind::ConnectionRefused, "connection refused by siem:6514"),
            (ErrorKind::ConnectionReset, "connection reset by siem:6514"),
            (ErrorKind::BrokenPipe, "connection closed by siem:6514"),
            (ErrorKind::TimedOut, "no answer from siem:6514 within the time limit"),
            (ErrorKind::Other, "the connection to siem:6514 broke"),
        ] {
            assert_eq!(connection_failure(&std::io::Error::from(kind), "siem:6514"), words);
        }
        let missing = std::fs::read("/nowhere/at/all").expect_err("no such file");
        assert!(missing.to_string().contains("os error"), "{missing}");
        assert_eq!(io_message(&missing), "No such file or directory");
        assert_eq!(
            without_numbers("x: Not a directory (os error 20). Set (os error x) it (os error 2)"),
            "x: Not a directory. Set (os error x) it"
        );
    }

    #[test]
    fn failures_of_tls_are_found_within_io_errors() {
        let within = |error: rustls::Error| std::io::Error::other(std::io::Error::other(error));
        let say = |error: CertificateError| {
            connection_failure(&within(rustls::Error::InvalidCertificate(error)), "siem:443")
        };
        let issuer = say(CertificateError::UnknownIssuer);
        assert_eq!(
            issuer,
            "TLS: the certificate of siem:443 is signed by an authority that is not trusted"
        );
        assert!(say(CertificateError::Expired).ends_with("siem:443 has expired"));
        assert!(say(CertificateError::NotValidForName).ends_with("is for another name"));
        assert!(is_permanent(&within(rustls::Error::DecryptError)));
        let alert = within(rustls::Error::AlertReceived(Alert::CertificateRequired));
        assert!(connection_failure(&alert, "siem:443").contains("asks for a client certificate"));
    }

    #[tokio::test]
    async fn failures_of_http_clients_have_messages_without_error_chains() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let error = client.get(format!("http://{address}/?token=s3cret")).send().await;
        let error = error.expect_err("nobody listens").without_url();
        assert_eq!(
            connection_failure(&error, &address),
            format!("connection refused by {address}")
        );
        assert!(!is_permanent(&error));
        // RFC 6761, 6.4: no resolver may know a name below "invalid".
        let error = client.get("http://siem.invalid/").send().await.expect_err("no such name");
        assert!(is_permanent(&error));
        assert_eq!(
            connection_failure(&error, "siem.invalid:80"),
            "the name siem.invalid cannot be resolved"
        );
    }
}
