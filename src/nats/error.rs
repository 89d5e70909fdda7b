//! Errors of connecting, and their remedies.

use async_nats::{ConnectErrorKind, ServerError};

use super::NatsConfig;
use crate::error_chain::chain;

/// Error of a connection attempt.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A secret or a certificate cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The server rejects the credentials.
    #[error("{servers}: the server refuses the credentials ({said}); correct them")]
    Unauthorized {
        servers: String,
        /// Message of the server.
        said: String,
    },
    /// TLS failed: a certificate is not trusted, or one side does not use TLS.
    #[error("{servers}: TLS: {cause}. {advice}")]
    Tls {
        servers: String,
        /// Message of the TLS library.
        cause: String,
        advice: &'static str,
    },
    /// No server answered.
    #[error("{servers}: {cause}")]
    Unreachable {
        servers: String,
        /// Error of the last attempt.
        cause: String,
    },
}

impl ConnectError {
    /// Returns true if an operator has to correct something; otherwise a retry may help.
    pub fn is_permanent(&self) -> bool {
        matches!(self, ConnectError::Unusable(_) | ConnectError::Unauthorized { .. })
    }

    pub(super) fn of(error: &async_nats::ConnectError, settings: &NatsConfig) -> ConnectError {
        let servers = settings.to_string();
        let cause = innermost(error);
        match error.kind() {
            // The client could not answer the challenge: the credentials are the cause.
            ConnectErrorKind::Authentication => ConnectError::Unusable(cause),
            ConnectErrorKind::AuthorizationViolation => {
                ConnectError::Unauthorized { servers, said: "authorization violation".to_owned() }
            }
            _ if is_refused(error) => ConnectError::Unauthorized { servers, said: cause },
            ConnectErrorKind::Tls => ConnectError::Tls { servers, cause, advice: TLS_ADVICE },
            _ if tls_error(error).is_some() => {
                ConnectError::Tls { servers, cause, advice: tls_advice(error) }
            }
            ConnectErrorKind::Dns => {
                ConnectError::Unreachable { servers, cause: format!("no such host: {cause}") }
            }
            ConnectErrorKind::TimedOut => {
                let cause = format!("no answer within {:?}", settings.connect_timeout);
                ConnectError::Unreachable { servers, cause }
            }
            _ => ConnectError::Unreachable { servers, cause: format!("cannot connect: {cause}") },
        }
    }
}

const TLS_ADVICE: &str = "Correct servers, tls.ca or tls.certificate";

fn tls_advice(error: &async_nats::ConnectError) -> &'static str {
    use rustls::{AlertDescription as Alert, CertificateError, Error};
    match tls_error(error) {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "Write the name that is in the server's certificate into servers",
        Some(Error::InvalidCertificate(_)) => "Name the server's own authority with tls.ca",
        Some(Error::AlertReceived(
            Alert::CertificateRequired | Alert::BadCertificate | Alert::UnknownCA,
        )) => "The server wants a client certificate that it trusts: tls.certificate, tls.key",
        Some(Error::InvalidMessage(_)) => "The server may speak no TLS; nats:// is without",
        _ => TLS_ADVICE,
    }
}

fn tls_error(error: &async_nats::ConnectError) -> Option<&rustls::Error> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

/// Returns true if the server rejects the credentials: refused, revoked and expired ones have texts of their own.
fn is_refused(error: &async_nats::ConnectError) -> bool {
    let mut said = chain(error).filter_map(|cause| cause.downcast_ref::<ServerError>());
    said.any(|said| refuses(&said.to_string()))
}

/// Returns true if a reconnect failed because the server refused the credentials, or they could not
/// be used. The client reports only a text for this.
pub(crate) fn is_about_credentials(said: &str) -> bool {
    refuses(said) || said.contains("failed signing nonce")
}

fn refuses(said: &str) -> bool {
    let said = said.to_lowercase();
    said.contains("authorization") || (said.contains("authentication") && !said.contains("timeout"))
}

fn innermost(error: &async_nats::ConnectError) -> String {
    without_files(&chain(error).last().map(ToString::to_string).unwrap_or_default())
}

/// Returns the client's message, unless it is about a certificate or a private key: such a message
/// quotes the file, and with it the key.
pub(crate) fn without_files(said: &str) -> String {
    match said.contains("could not load") || said.contains("could not add") {
        true => "a certificate or a private key cannot be used. Correct the files of tls.ca, \
                 tls.certificate and tls.key; davinci-siem check --connect says what is wrong"
            .to_owned(),
        false => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_not_quoted() {
        let said = "TLS error: could not load private key: base64 decode error: canary";
        assert!(!without_files(said).contains("canary"));
        assert_eq!(without_files("connection refused"), "connection refused");
    }
}
