//! Checks of a webhook as PingOne has it. Pure.

use std::collections::HashSet;
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

/// Checks the webhooks to one source: each enabled one, or all if none is enabled, and the types of all together.
pub(super) fn examine(webhooks: &[Subscription], checks: &mut Vec<CheckResult>) {
    let is_any_enabled = webhooks.iter().any(|webhook| webhook.enabled);
    let in_use: Vec<&Subscription> =
        webhooks.iter().filter(|webhook| webhook.enabled == is_any_enabled).collect();
    for webhook in &in_use {
        checks.extend([enabled(webhook), url(webhook), verification(webhook), format(webhook)]);
    }
    if !in_use.is_empty() {
        checks.push(types(&in_use));
    }
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
    if !url.username().is_empty() || url.password().is_some() {
        return CheckResult::problem(
            CHECK,
            format!("the webhook's URL, {}, contains credentials", shown(&url)),
            "Write them into the webhook's authentication in PingOne, and remove them from the URL",
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

fn types(webhooks: &[&Subscription]) -> CheckResult {
    const CHECK: &str = "event types";
    let is_sent = |kind: &&str| webhooks.iter().any(|webhook| webhook.includes(kind));
    let missing: Vec<&str> = EXPECTED_TYPES.into_iter().filter(|kind| !is_sent(kind)).collect();
    match missing.is_empty() {
        true => {
            let included = webhooks.iter().flat_map(|it| &it.filter_options.included_action_types);
            let number = included.collect::<HashSet<_>>().len();
            CheckResult::ok(CHECK, format!("{number} types are sent, those of DaVinci included"))
        }
        false => CheckResult::problem(
            CHECK,
            format!("no webhook sends {}", missing.join(", ")),
            "Select these types in the webhook's filter in PingOne (docs/setup.md)",
        ),
    }
}

fn is_private(address: Ipv4Addr) -> bool {
    address.is_private() || address.is_loopback() || address.is_link_local()
}

/// Returns the URL without credentials and query, which may hold a secret.
pub(super) fn shown(url: &Url) -> String {
    let scheme = url.scheme();
    format!("{scheme}://{}", &url[url::Position::BeforeHost..url::Position::AfterPath])
}

#[cfg(test)]
mod tests {
    use super::super::finding::CheckState;
    use super::*;

    fn webhook() -> Subscription {
        let mut webhook = Subscription {
            enabled: true,
            format: "ACTIVITY".to_owned(),
            ..Subscription::default()
        };
        webhook.http_endpoint.url = "https://siem.example.com/webhooks/pingone".to_owned();
        webhook.filter_options.included_action_types = EXPECTED_TYPES.map(str::to_owned).into();
        webhook
    }

    /// Returns the names of the checks that find a problem.
    fn problems(change: impl FnOnce(&mut Subscription)) -> Vec<&'static str> {
        let mut webhook = webhook();
        change(&mut webhook);
        problems_of(&[webhook])
    }

    fn problems_of(webhooks: &[Subscription]) -> Vec<&'static str> {
        let mut checks = Vec::new();
        examine(webhooks, &mut checks);
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
            "https://user:canary@siem.example.com/webhooks/pingone",
        ] {
            assert_eq!(
                problems(|it| it.http_endpoint.url = url.to_owned()),
                ["webhook URL"],
                "{url}"
            );
        }
    }

    #[test]
    fn webhooks_to_one_source_are_judged_together() {
        let with = |types: &[&str]| {
            let mut webhook = webhook();
            let types = types.iter().map(|&kind| kind.to_owned()).collect();
            webhook.filter_options.included_action_types = types;
            webhook
        };
        let [first, others @ ..] = EXPECTED_TYPES;
        assert_eq!(problems_of(&[with(&[first, "USER.UPDATED"]), with(&others)]), [""; 0]);
        assert_eq!(problems_of(&[with(&[first]), with(&["USER.UPDATED"])]), ["event types"]);
        let disabled = |mut webhook: Subscription| {
            webhook.enabled = false;
            webhook
        };
        assert_eq!(problems_of(&[webhook(), disabled(webhook())]), [""; 0]);
        // A disabled webhook sends nothing.
        assert_eq!(problems_of(&[with(&[first]), disabled(with(&others))]), ["event types"]);
        assert_eq!(problems_of(&[disabled(webhook())]), ["webhook enabled"]);
    }

    #[test]
    fn no_credential_of_a_url_is_shown() {
        let url = "https://user:canary@siem.example.com:8443/a?key=canary#canary";
        let url: Url = url.parse().expect("a URL");
        assert_eq!(shown(&url), "https://siem.example.com:8443/a");
    }
}
