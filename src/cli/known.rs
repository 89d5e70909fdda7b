//! Checks of option values: an unknown value is refused with the known ones and the closest of them.

use std::collections::BTreeSet;

use super::CommandFailure;
use super::output::safe;
use crate::decode::RefusalReason;
use crate::observe::Kind;

/// Reasons that do not come from decoding an element: an unknown encoding, a corrupt chunk of the spool, and
/// dead letters.
const OTHER_REASONS: [&str; 6] =
    ["encoding", "damaged", "given_up", "rejected", "too_old", "unsendable"];

/// Outcomes of an event.
pub(super) const OUTCOMES: [&str; 3] = ["success", "failure", "unknown"];

/// Returns the reasons for which entries are in quarantine.
pub(super) fn reasons() -> BTreeSet<String> {
    RefusalReason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .chain(OTHER_REASONS)
        .map(str::to_owned)
        .collect()
}

/// Returns the event types that metrics distinguish.
pub(super) fn kinds() -> BTreeSet<String> {
    Kind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect()
}

/// Refuses an option's value that is not among the known ones.
pub(super) fn check(
    option: &str,
    value: &str,
    known: &BTreeSet<String>,
) -> Result<(), CommandFailure> {
    match known.contains(value) {
        true => Ok(()),
        false => Err(unknown(option, value, known)),
    }
}

/// Returns the failure for a value that is not among the known ones.
pub(super) fn unknown(option: &str, value: &str, known: &BTreeSet<String>) -> CommandFailure {
    let names: Vec<String> = known.iter().map(|name| safe(name)).collect();
    let hint = closest(value, known)
        .map_or_else(|| ".".to_owned(), |name| format!("; did you mean {}?", safe(name)));
    CommandFailure::Usage(format!(
        "davinci-siem: {option} {} is unknown{hint} Known are {}",
        safe(value),
        names.join(", ")
    ))
}

/// Returns the known value that is most similar, if one is close.
pub(super) fn closest<'a>(value: &str, known: &'a BTreeSet<String>) -> Option<&'a String> {
    let value = value.to_lowercase();
    let likeness = |name: &&String| strsim::jaro_winkler(&value, &name.to_lowercase());
    let best = known.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    // Jaro-Winkler is too coarse for short names; an edit distance of 1 decides there.
    let is_one_off = || value.len() > 2 && strsim::osa_distance(&value, &best.to_lowercase()) == 1;
    let is_close = likeness(&best) > 0.8 || is_one_off();
    is_close.then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_value_is_answered_with_the_known_ones() {
        let known = BTreeSet::from(["splunk".to_owned(), "out".to_owned()]);
        assert!(check("--sink", "out", &known).is_ok());
        let message_for = |value: &str| match check("--sink", value, &known) {
            Err(CommandFailure::Usage(message)) => message,
            _ => panic!("{value} is known"),
        };
        assert_eq!(
            message_for("splnk"),
            "davinci-siem: --sink splnk is unknown; did you mean splunk? Known are out, splunk"
        );
        assert_eq!(
            message_for("x\u{202e}"),
            "davinci-siem: --sink x\\u202e is unknown. Known are out, splunk"
        );
        assert!(reasons().contains("missing_field") && reasons().contains("rejected"));
    }
}
