//! Settings of the receiver: `[sources.NAME]` and `[limits]`.

mod limits;
mod source;

pub(crate) use limits::LimitsConfig;
pub(crate) use source::DEFAULT_NAME as DEFAULT_SOURCE;
pub(crate) use source::{Credential, OnUnparseable, PinnedCertificate, SourceConfig};

use crate::listener::ListenConfig;
use crate::settings::strength;

/// Returns keys and messages about credentials that are too weak, or missing, for a listener that other machines
/// can reach. A reload passes the listener that is bound.
pub(crate) fn credential_problems(
    listen: &ListenConfig,
    sources: &[SourceConfig],
) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let is_public = !listen.address.ip().is_loopback();
    let clients = listen.tls.as_ref().and_then(|tls| tls.clients.as_ref());
    for source in sources {
        let SourceConfig { name, credentials, .. } = source;
        let key = format!("sources.{name}");
        if is_public
            && credentials.is_empty()
            && !listen.allows_no_credentials
            && !listen.requires_certificate()
        {
            problems.push(("listen.address".to_owned(), format!(
                "{} is reachable from other machines and source {name:?} has no credentials. Add \
                 basic or headers to [sources.{name}], require client certificates with \
                 listen.tls.client_ca, or set listen.auth = \"none\" if a proxy authenticates",
                listen.address
            )));
        }
        for credential in credentials {
            let weakness = match credential {
                Credential::Basic { username, password } => {
                    strength::weakness(password.expose(), Some(username))
                        .map(|weakness| (format!("{key}.basic"), "password", weakness))
                }
                Credential::Header { value, .. } => strength::weakness(value.expose(), None)
                    .map(|weakness| (format!("{key}.headers"), "value", weakness)),
                Credential::Certificate(_) => {
                    if clients.is_none() {
                        let message =
                            "needs listen.tls.client_ca, the authority of the certificates";
                        problems.push((format!("{key}.certificates"), message.to_owned()));
                    }
                    None
                }
            };
            if let Some((key, noun, weakness)) = weakness.filter(|_| is_public) {
                problems.push((key, format!(
                    "the {noun} {weakness}, and {} is reachable from other machines. Make one with \
                     openssl rand -base64 24",
                    listen.address
                )));
            }
        }
    }
    problems
}
