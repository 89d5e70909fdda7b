//! Checks of a webhook as PingOne has it. Pure.

use std::net::Ipv4Addr;

use url::{Host, Url};

use super::finding::CheckResult;
use crate::pingone::Subscription;

/// Types without which the console and the detections have nothing to show.
const EXPECTED_TYPES: [&str; 3] = [
    "DAVINCI_INTERACTION.START_INTERACTION",
    "DAVINCI_INTERACTION.CUSTOM_ANALYTICS",
    "DAVINCI_INTERACTION.SEND_ERROR_RESPONSE",
];

/// Returns the results of all checks of a webhook.
pub(super) fn examine(webhook: &Subscription) -> Vec<CheckResult> {
    vec![enabled(webhook), url(webhook), verification(webhook), format(webhook), types(webhook)]
}

fn enabled(webhook: &Subscription) -> CheckResult {
    const CHECK: &str = "webhook enabled";
    let name = &webhook.name;
    match webhook.enabled {
        true => CheckResult::ok(CHECK, format!("webhook {name:?} is enabled")),
        false => CheckResult::problem(
            CHECK,
            format!("webhook {name:?} is disabled: PingOne keeps its events for two weeks at most"),
            "Enable it in PingOne, under Integrations, Webhooks",
        ),
    }
}

fn url(webhook: &Subscription) -> CheckResult {
    const CHECK: &str = "webhook URL";
    let protocol = webhook.protocol.as_deref().unwrap_or("HTTPS");
    let Ok(url) = webhook.http_endpoint.url.parse::<Url>() else {
        return CheckResult::problem(
            CHECK,
            format!("webhook {:?} has no valid URL", webhook.name),
            "Correct its Destination URL in PingOne",
        );
    };
    if protocol != "HTTPS" || url.scheme() != "https" {
        return CheckResult::problem(
            CHECK,
            format!("the webhook does not use HTTPS, but {protocol} with a {} URL", url.scheme()),
            "Select the protocol HTTPS in PingOne, and write a URL with https://",
        );
    }
    match url.host() {
        Some(Host::Ipv6(_)) => CheckResult::problem(
            CHECK,
            "the host of the webhook's URL is an IPv6 address, which PingOne does not support",
            "Use a host name with an IPv4 address (an A record in DNS)",
        ),
        Some(Host::Ipv4(address)) if is_private(address) => CheckResult::problem(
            CHECK,
            format!("the host of the webhook's URL, {address}, is a private address"),
            "Use a host name or an address that the internet reaches",
        ),
        Some(Host::Domain("localhost")) => CheckResult::problem(
            CHECK,
            "the host of the webhook's URL is localhost",
            "Use a host name that the internet reaches",
        ),
        _ => CheckResult::ok(CHECK, format!("the webhook posts to {}", shown(&url))),
    }
}

fn verification(webhook: &Subscription) -> CheckResult {
    const CHECK: &str = "TLS verification";
    match webhook.verify_tls_certificates {
        Some(false) => CheckResult::problem(
            CHECK,
            "PingOne does not verify the certificate of this service: anyone on the way can read the events",
            "Turn off \"Allow TLS with untrusted certificates\" in PingOne, and upload your authority if it is private",
        ),
        _ => CheckResult::ok(CHECK, "PingOne verifies the certificate of this service"),
    }
}

fn format(webhook: &Subscription) -> CheckResult {
    const CHECK: &str = "event schema";
    match webhook.format.as_str() {
        "ACTIVITY" => CheckResult::ok(CHECK, "the webhook sends the Ping Activity Format"),
        other => CheckResult::problem(
            CHECK,
            format!("the webhook sends the format {other:?}, which this service does not type"),
            "Select the event schema Ping Activity Format in PingOne",
        ),
    }
}

fn types(webhook: &Subscription) -> CheckResult {
    const CHECK: &str = "event types";
    let missing: Vec<&str> =
        EXPECTED_TYPES.into_iter().filter(|kind| !webhook.includes(kind)).collect();
    match missing.is_empty() {
        true => {
            let number = webhook.filter_options.included_action_types.len();
            CheckResult::ok(
                CHECK,
                format!("the webhook sends {number} types, those of DaVinci included"),
            )
        }
        false => CheckResult::problem(
            CHECK,
            format!("the webhook does not send {}", missing.join(", ")),
            "Select these types in the webhook's filter in PingOne (docs/setup.md)",
        ),
    }
}

fn is_private(address: Ipv4Addr) -> bool {
    address.is_private() || address.is_loopback() || address.is_link_local()
}

/// Returns the URL without its query, which may hold a secret.
pub(super) fn shown(url: &Url) -> String {
    url[..url::Position::AfterPath].to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::finding::CheckState;
    use super::*;

    /// Returns the names of the checks that find a problem.
    fn problems(change: impl FnOnce(&mut Subscription)) -> Vec<&'static str> {
        let mut webhook = Subscription {
            enabled: true,
            format: "ACTIVITY".to_owned(),
            ..Subscription::default()
        };
        webhook.http_endpoint.url = "https://siem.example.com/webhooks/pingone".to_owned();
        webhook.filter_options.included_action_types = EXPECTED_TYPES.map(str::to_owned).into();
        change(&mut webhook);
        let checks = examine(&webhook);
        assert!(checks.iter().all(|it| (it.state == CheckState::Problem) == it.fix.is_some()));
        checks.iter().filter(|it| it.state == CheckState::Problem).map(|it| it.check).collect()
    }

    #[test]
    fn each_broken_webhook_has_one_problem() {
        assert_eq!(problems(|_| ()), [""; 0]);
        assert_eq!(problems(|it| it.enabled = false), ["webhook enabled"]);
        assert_eq!(problems(|it| it.verify_tls_certificates = Some(false)), ["TLS verification"]);
        assert_eq!(problems(|it| it.format = "SPLUNK".to_owned()), ["event schema"]);
        assert_eq!(problems(|it| it.protocol = Some("TCP_IP".to_owned())), ["webhook URL"]);
        let without = |it: &mut Subscription| drop(it.filter_options.included_action_types.pop());
        assert_eq!(problems(without), ["event types"]);
        for url in [
            "http://siem.example.com/webhooks/pingone",
            "https://[2001:db8::1]/webhooks/pingone",
            "https://10.1.2.3/webhooks/pingone",
            "https://localhost/webhooks/pingone",
            "siem.example.com",
        ] {
            assert_eq!(
                problems(|it| it.http_endpoint.url = url.to_owned()),
                ["webhook URL"],
                "{url}"
            );
        }
    }
}
