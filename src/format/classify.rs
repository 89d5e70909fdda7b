//! Classifications shared by the formats: severity numbers, titles, addresses, sign-ons.

use core::net::{IpAddr, SocketAddr};
use std::borrow::Cow;

use super::leaves::{Leaves, is_blank};
use super::slots::{Alternatives, Slot, any_of};
use crate::event::registry::{self, ActionType};
use crate::event::{Event, Interaction, Outcome, Severity};
use crate::format::{FormatConfig, Product};
use crate::settings::Pattern;

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

/// An event with the facts that follow from it, each determined once.
#[derive(Debug)]
pub(super) struct Facts<'e> {
    pub(super) event: &'e Event<'e>,
    /// Entry of its type in the registry.
    pub(super) entry: Cow<'static, ActionType>,
    pub(super) outcome: Outcome,
    pub(super) severity: Severity,
    pub(super) product: &'e Product,
}

impl<'e> Facts<'e> {
    /// Looks the event's type up in the registry.
    pub(super) fn of(formatting: &'e FormatConfig, event: &'e Event<'e>) -> Facts<'e> {
        Facts {
            event,
            entry: registry::lookup(&event.envelope().action.kind),
            outcome: event.outcome(),
            severity: event.severity(),
            product: formatting.products.of(event),
        }
    }

    /// Returns the title for people, with its object: flow and capability, or the description of the result.
    pub(super) fn message(&self) -> String {
        let mut message = String::with_capacity(160);
        message.push_str(&self.entry.title);
        let Event::Interaction(interaction) = self.event else {
            let result = self.event.envelope().result.as_ref();
            let description = result.and_then(|result| result.description.as_deref());
            if let Some(description) = description.filter(|text| !is_blank(text)) {
                message.push_str(": ");
                message.push_str(description);
            }
            return message;
        };
        let flow = self.event.flow_name().or(self.event.flow_id());
        let capability = interaction.interaction.node().original_capability_name.as_deref();
        let mut separator = ": ";
        for (name, value) in [("flow ", flow), ("capability ", capability)] {
            if let Some(value) = value {
                [separator, name, value].into_iter().for_each(|part| message.push_str(part));
                separator = ", ";
            }
        }
        message
    }
}

/// Returns the addresses in a text. Proxies append theirs after a comma. Port, brackets and quotes
/// are removed. An IPv4-mapped IPv6 address becomes IPv4.
pub(super) fn addresses(text: &str) -> impl Iterator<Item = IpAddr> {
    addresses_and_ports(text).map(|(address, _)| address)
}

/// Returns the addresses in a text, each with its port if the text states one.
fn addresses_and_ports(text: &str) -> impl Iterator<Item = (IpAddr, Option<u16>)> {
    text.split(',').filter_map(|entry| {
        let entry = entry.trim().trim_matches('"').trim();
        let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']'));
        let alone = bare.unwrap_or(entry).parse().map(|address: IpAddr| (address, None));
        let with_port = || entry.parse().map(|found: SocketAddr| (found.ip(), Some(found.port())));
        let (address, port) = alone.or_else(|_| with_port()).ok()?;
        Some((address.to_canonical(), port))
    })
}

/// Event fields with the address of the user's device.
pub(super) const ADDRESSES: Alternatives = any_of([
    "/source/ipAddress",
    "~/ipAddress",
    "/_embedded/riskEvent/ip",
    "/_embedded/riskEvaluation/event/ip",
    "/_embedded/request/ipAddress",
    "/request/ipAddress",
]);

/// Event fields with the user agent of the user's device.
pub(super) const USER_AGENTS: Alternatives = any_of([
    "/source/userAgent",
    "~/userAgent",
    "/_embedded/riskEvent/userAgent",
    "/_embedded/riskEvaluation/event/browser/userAgent",
]);

/// Returns the address of the user's device and its event field: the first field that contains an
/// address.
pub(super) fn source_address(leaves: &Leaves<'_>) -> Option<(Slot, IpAddr)> {
    ADDRESSES.slots().iter().find_map(|slot| {
        let text = leaves.string_at(*slot)?;
        Some((*slot, addresses(&text).next()?))
    })
}

/// Returns the port that stands beside the address of [`source_address`], and its event field.
pub(super) fn source_port(leaves: &Leaves<'_>) -> Option<(Slot, u16)> {
    let (slot, _) = source_address(leaves)?;
    let (_, port) = addresses_and_ports(&leaves.string_at(slot)?).next()?;
    Some((slot, port?))
}

/// Start or end of a user's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionChange {
    SignOn,
    SignOff,
}

/// Returns whether custom analytics, or the summary of a flow run, report a sign-on or a sign-off. The flow's
/// author chooses `outcomeType`. Its text is compared as a whole, and from the start of each of its words: `User
/// Login` is a sign-on like `login`.
pub(super) fn session_change(
    formatting: &FormatConfig,
    event: &Event<'_>,
) -> Option<SessionChange> {
    let Event::Interaction(interaction) = event else { return None };
    let states_outcome = matches!(
        interaction.interaction,
        Interaction::CustomAnalytics(_) | Interaction::Summary(_)
    );
    let kind = interaction.flow.reported.kind.as_deref().filter(|_| states_outcome)?.trim();
    let is_one_of = |patterns: &[Pattern]| from_each_word(kind).any(|text| is_any(patterns, text));
    if is_one_of(&formatting.sign_off_types) {
        Some(SessionChange::SignOff)
    } else {
        is_one_of(&formatting.sign_on_types).then_some(SessionChange::SignOn)
    }
}

fn is_any(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

/// Returns the text, and the rest of the text from each further word on.
fn from_each_word(text: &str) -> impl Iterator<Item = &str> {
    let is_separator = |c: char| c.is_whitespace() || matches!(c, '_' | '-' | '.' | ':' | '/');
    let starts = text.match_indices(is_separator).map(|(at, found)| at + found.len());
    core::iter::once(0).chain(starts).filter_map(|at| text.get(at..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_every_spelling() {
        for (text, expected, expected_port) in [
            ("203.0.113.7", Some("203.0.113.7"), None),
            ("203.0.113.7:5555", Some("203.0.113.7"), Some(5555)),
            ("2001:db8::1", Some("2001:db8::1"), None),
            ("[2001:db8::1]", Some("2001:db8::1"), None),
            ("[2001:db8::1]:443", Some("2001:db8::1"), Some(443)),
            ("\"[2001:db8::1]:443\"", Some("2001:db8::1"), Some(443)),
            ("::ffff:203.0.113.9", Some("203.0.113.9"), None),
            ("[::ffff:203.0.113.9]:80", Some("203.0.113.9"), Some(80)),
            (" 192.0.2.1 , 10.0.0.1:80", Some("192.0.2.1"), None),
            ("unknown, 192.0.2.1:51234", Some("192.0.2.1"), Some(51234)),
            ("192.0.2.1:99999", None, None),
            ("192.0.2", None, None),
            ("", None, None),
        ] {
            let found = addresses_and_ports(text).next();
            let address = found.map(|(address, _)| address.to_string());
            assert_eq!(address.as_deref(), expected, "{text}");
            assert_eq!(found.and_then(|(_, port)| port), expected_port, "{text}");
        }
    }
}
