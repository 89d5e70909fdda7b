//! Parameters of operations, for the audit log. They hold numbers only.

use serde::{Deserialize, Serialize};

/// Maximum number of ranges of a purge.
const MAX_RANGES: usize = 1000;

/// Parameters of an operation. Each is absent where the operation has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditDetails {
    /// True for a retry that replaced the stored content.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) replaced: bool,
    /// Numbers of the entries that a purge named, in ranges: `3-17, 20`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) entries: String,
    /// Start of the time range of a replay, in ms since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<i64>,
    /// End of the time range of a replay, exclusive, in ms since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<i64>,
}

impl AuditDetails {
    /// Returns the parameters of a retry.
    pub(crate) fn retry(is_replaced: bool) -> AuditDetails {
        AuditDetails { replaced: is_replaced, ..AuditDetails::default() }
    }

    /// Returns the parameters of a purge.
    pub(crate) fn purge(ids: &[i64]) -> AuditDetails {
        AuditDetails { entries: ranges(ids), ..AuditDetails::default() }
    }

    /// Returns the parameters of a replay.
    pub(crate) fn replay(from: i64, to: i64) -> AuditDetails {
        AuditDetails { from: Some(from), to: Some(to), ..AuditDetails::default() }
    }
}

/// Returns the numbers in ascending order, successive ones as a range. After [`MAX_RANGES`] ranges, only the number of
/// the others is given, because a request may name any number of entries.
fn ranges(ids: &[i64]) -> String {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for id in ids {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
            _ => ranges.push((id, id)),
        }
    }
    let shown = ranges.iter().take(MAX_RANGES).map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    let mut shown: Vec<String> = shown.collect();
    if ranges.len() > MAX_RANGES {
        shown.push(format!("and {} more", ranges.len() - MAX_RANGES));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_listed_in_ranges_up_to_a_bound() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[7]), "7");
        assert_eq!(ranges(&[20, 3, 5, 4, 4, i64::MAX]), "3-5, 20, 9223372036854775807");
        let many: Vec<i64> = (0..1_000_000).map(|number| number * 2).collect();
        let text = ranges(&many);
        assert!(text.len() < 10_000 && text.ends_with("1998, and 999000 more"), "{text}");
    }
}
