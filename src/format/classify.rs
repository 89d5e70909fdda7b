//! Classifications shared by the formats: severity numbers, titles, addresses, sign-ons.

use core::net::{IpAddr, SocketAddr};

use crate::config::Formatting;
use crate::event::{Event, Interaction, Severity};

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

/// Returns a title for people: one of eight fixed texts.
pub(super) fn title(event: &Event<'_>) -> &'static str {
    match event {
        Event::Interaction(interaction) => match &interaction.interaction {
            Interaction::StartInteraction(_) => "DaVinci flow started",
            Interaction::CustomAnalytics(_) => "DaVinci custom analytics",
            Interaction::ReceiveRequest(_) => "DaVinci connector request received",
            Interaction::SendResponse(_) => "DaVinci connector response sent",
            Interaction::SendErrorResponse(_) => "DaVinci connector error response",
        },
        Event::Admin(_) => "DaVinci administration",
        Event::DeliveryTest(_) => "PingOne connection test",
        Event::Other(_) => "PingOne event",
    }
}

/// Returns the title with its object: flow and capability, or the type.
pub(super) fn message(event: &Event<'_>) -> String {
    let mut message = title(event).to_owned();
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
