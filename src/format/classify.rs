//! Classifications shared by the formats: severity numbers, titles, addresses, sign-ons.

use core::net::{IpAddr, SocketAddr};
use std::borrow::Cow;

use crate::config::Formatting;
use crate::event::{Event, Interaction, Severity, registry};

/// Maps a severity to 1–10 as ArcSight and QRadar define it: up to 3 is low, from 4 medium, from 7
/// high.
pub(super) fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 3,
        Severity::Medium => 5,
        Severity::High => 8,
    }
}

/// Product that an event comes from, as the formats name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    pub(super) name: &'static str,
    /// Name as a service and as a tag.
    pub(super) service: &'static str,
    /// `event.dataset` in ECS.
    pub(super) dataset: &'static str,
    /// `metadata.log_name` in OCSF.
    pub(super) log: &'static str,
}

const DAVINCI: Product = Product {
    name: "PingOne DaVinci",
    service: "pingone-davinci",
    dataset: "pingone.davinci",
    log: "davinci",
};

const PINGONE: Product =
    Product { name: "PingOne", service: "pingone", dataset: "ping_one.audit", log: "audit" };

/// Returns the product by the type's first word.
pub(super) fn product(event: &Event<'_>) -> Product {
    let kind = event.envelope().action.kind.as_bytes();
    let is_davinci = kind.get(..7).is_some_and(|word| word.eq_ignore_ascii_case(b"DAVINCI"));
    if is_davinci { DAVINCI } else { PINGONE }
}

/// Returns a title for people, from the registry.
pub(super) fn title(event: &Event<'_>) -> Cow<'static, str> {
    match registry::lookup(&event.envelope().action.kind) {
        Cow::Borrowed(entry) => Cow::Borrowed(&*entry.title),
        Cow::Owned(entry) => entry.title,
    }
}

/// Returns the category of the event's kind, for example `authentication` or `davinci-flow`.
pub(super) fn category(event: &Event<'_>) -> &'static str {
    registry::lookup(&event.envelope().action.kind).category
}

/// Returns the title with its object: flow and capability, or the type.
pub(super) fn message(event: &Event<'_>) -> String {
    let mut message = title(event).into_owned();
    let Event::Interaction(interaction) = event else {
        message.push_str(": ");
        message.push_str(&event.envelope().action.kind);
        return message;
    };
    let flow = event.flow_name().or(event.flow_id());
    let capability = interaction.interaction.node().original_capability_name.as_deref();
    let known = [("flow", flow), ("capability", capability)];
    let known = known.iter().filter_map(|(name, value)| Some(format!("{name} {}", (*value)?)));
    let known: Vec<String> = known.collect();
    if !known.is_empty() {
        message.push_str(": ");
        message.push_str(&known.join(", "));
    }
    message
}

/// Returns the first address in a text. Proxies append theirs after a comma. Port, brackets and
/// quotes are removed. An IPv4-mapped IPv6 address becomes IPv4.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.split(',').find_map(|entry| {
        let entry = entry.trim().trim_matches('"').trim();
        let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']'));
        let address = bare.unwrap_or(entry).parse();
        let address = address.or_else(|_| entry.parse().map(|address: SocketAddr| address.ip()));
        address.ok().map(|address: IpAddr| address.to_canonical())
    })
}

/// Returns whether the event is a sign-on: custom analytics whose `outcomeType`, which the flow's
/// author chooses, is one of the configured words.
pub(super) fn is_sign_on(formatting: &Formatting, event: &Event<'_>) -> bool {
    let Event::Interaction(interaction) = event else { return false };
    let is_analytics = matches!(interaction.interaction, Interaction::CustomAnalytics(_));
    let kind = interaction.flow.reported.kind.as_deref().filter(|_| is_analytics);
    let Some(kind) = kind else { return false };
    formatting.sign_on_types.iter().any(|pattern| pattern.matches(kind.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_every_spelling() {
        for (text, expected) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("203.0.113.7:5555", Some("203.0.113.7")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("\"[2001:db8::1]:443\"", Some("2001:db8::1")),
            ("::ffff:203.0.113.9", Some("203.0.113.9")),
            ("[::ffff:203.0.113.9]:80", Some("203.0.113.9")),
            (" 192.0.2.1 , 10.0.0.1", Some("192.0.2.1")),
            ("unknown, 192.0.2.1:51234", Some("192.0.2.1")),
            ("192.0.2.1:99999", None),
            ("192.0.2", None),
            ("", None),
        ] {
            let found = address(text).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
