//! Connection to NATS that reconnects by itself.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{AuthError, Client, ConnectOptions, Event, ServerAddr};

use super::events::ConnectionLog;
use super::{Authentication, ConnectError, NatsConfig, credentials};
use crate::tls;

/// First and longest backoff between two attempts; half of it is random.
const BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Ping interval of a silent server; after two missed pings the connection is closed.
/// Without pings, a server that has lost its power would be detected by TCP after about 15 minutes.
const PING: Duration = Duration::from_secs(3);

/// Connects once, to the first server that accepts the connection. The caller decides on a retry.
///
/// From then on a lost connection is reopened, without end, with secrets and certificates read again. `name` is
/// the connection's name in the server's listings and in the log. A request without an answer ends after
/// `request_timeout`. `on_event` is called with each event, such as an error that the server reports.
///
/// # Errors
///
/// [`ConnectError`] with the cause and the remedy.
pub(crate) async fn connect(
    settings: &NatsConfig,
    name: &str,
    request_timeout: Duration,
    on_event: impl Fn(&Event) + Send + Sync + 'static,
) -> Result<Client, ConnectError> {
    // Checked first, because these messages are better than the client's.
    credentials::answer(&settings.authentication, b"")
        .map_err(|error| ConnectError::Unusable(error.to_string()))?;
    if settings.requires_tls() {
        tls::client_config(&settings.tls)
            .map_err(|error| ConnectError::Unusable(error.to_string()))?;
    } else if is_sent(&settings.authentication) && !settings.servers.iter().all(is_loopback) {
        tracing::warn!(
            servers = %settings,
            "credentials go over the network in the clear, unless the servers ask for TLS; use tls://"
        );
    }
    let servers: Result<Vec<ServerAddr>, _> =
        settings.servers.iter().cloned().map(ServerAddr::from_url).collect();
    let servers = servers.map_err(|error| ConnectError::Unusable(error.to_string()))?;
    let log = Arc::new(ConnectionLog::new(name));
    let on_event = Arc::new(on_event);
    options(settings)
        .name(format!("davinci-siem {name}"))
        .connection_timeout(settings.connect_timeout)
        .request_timeout(Some(request_timeout))
        .max_reconnects(None)
        .reconnect_delay_callback(|attempt| wait(attempt, rand::random()))
        .ping_interval(PING)
        .no_echo()
        .event_callback(move |event| {
            log.note(&event);
            on_event(&event);
            std::future::ready(())
        })
        .connect(&servers[..])
        .await
        .map_err(|error| ConnectError::of(&error, settings))
}

/// Sets the files of the certificates, which the client reads again for each connection.
fn options(settings: &NatsConfig) -> ConnectOptions {
    let authentication = settings.authentication.clone();
    let mut options = match &authentication {
        Authentication::None => ConnectOptions::new(),
        _ => ConnectOptions::with_auth_callback(move |challenge| {
            let answer = credentials::answer(&authentication, &challenge);
            std::future::ready(answer.map_err(AuthError::new))
        }),
    };
    options = options.require_tls(settings.requires_tls());
    if let Some(ca) = &settings.tls.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &settings.tls.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    options
}

/// Returns the backoff before an attempt, counted from 1. `random` is below 1.
fn wait(attempt: usize, random: f64) -> Duration {
    let Some(failed) = attempt.checked_sub(2) else { return Duration::ZERO };
    let doubled = 1_u32.checked_shl(u32::try_from(failed).unwrap_or(u32::MAX));
    let bound = BACKOFF.saturating_mul(doubled.unwrap_or(u32::MAX)).min(MAX_BACKOFF);
    bound.mul_f64(0.5 + random / 2.0)
}

/// Returns true if the secret itself is sent to the server.
fn is_sent(authentication: &Authentication) -> bool {
    matches!(authentication, Authentication::Token(_) | Authentication::Password { .. })
}

fn is_loopback(server: &url::Url) -> bool {
    let host = server.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_and_is_bounded() {
        for (attempt, longest) in [
            (0, 0),
            (1, 0),
            (2, 100),
            (3, 200),
            (7, 3200),
            (8, 5000),
            (33, 5000),
            (34, 5000),
            (usize::MAX, 5000),
        ] {
            let longest = Duration::from_millis(longest);
            assert_eq!(wait(attempt, 1.0), longest, "{attempt}");
            assert_eq!(wait(attempt, 0.0), longest / 2, "{attempt}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (url, expected) in [
            ("nats://localhost:4222", true),
            ("nats://127.0.0.9", true),
            ("nats://[::1]:4222", true),
            ("nats://10.0.0.1", false),
            ("nats://localhost.example.com", false),
        ] {
            assert_eq!(is_loopback(&url.parse().expect("a URL")), expected, "{url}");
        }
    }
}
