//! The listed types: `actions.tsv`, read once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use super::{ActionType, OcsfActivity, rows};
use crate::event::{Outcome, Severity};

pub(super) const TABLE: &str = include_str!("actions.tsv");

/// Longest listed name, in bytes: a longer one need not be looked up.
const MAX_NAME_BYTES: usize = 64;

static LISTED: LazyLock<Vec<(&str, ActionType)>> =
    LazyLock::new(|| rows(TABLE).filter_map(|row| Some((row[0], entry(row)?))).collect());

static BY_NAME: LazyLock<HashMap<&str, &ActionType>> =
    LazyLock::new(|| LISTED.iter().map(|(name, entry)| (*name, entry)).collect());

/// Returns the row of a type, in any case of letters.
pub(super) fn listed(action_type: &str) -> Option<&'static ActionType> {
    if let Some(found) = BY_NAME.get(action_type) {
        return Some(found);
    }
    if action_type.len() > MAX_NAME_BYTES || !action_type.bytes().any(|b| b.is_ascii_lowercase()) {
        return None;
    }
    BY_NAME.get(&*action_type.to_ascii_uppercase()).copied()
}

pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static ActionType)> {
    LISTED.iter().map(|(name, entry)| (*name, entry))
}

fn entry(row: [&'static str; 15]) -> Option<ActionType> {
    let [_, kind, verb, outcome, usual, on_failure, target, resource_types, ..] = row;
    let [.., ecs_category, ecs_type, ocsf_1_3, ocsf_1_8, ocsf_fallback, category, title] = row;
    Some(ActionType {
        kind,
        verb,
        outcome: match outcome {
            "success" => Some(Outcome::Success),
            "failure" => Some(Outcome::Failure),
            "-" => None,
            _ => return None,
        },
        severity: Severity::named(usual)?,
        severity_on_failure: Severity::named(on_failure)?,
        target,
        resource_types,
        ecs_category: ecs_category.split(',').collect(),
        ecs_type: ecs_type.split(',').collect(),
        ocsf_1_3: OcsfActivity::read(ocsf_1_3)?,
        ocsf_1_8: OcsfActivity::read(ocsf_1_8)?,
        ocsf_fallback: OcsfActivity::read(ocsf_fallback)?,
        category,
        title: Cow::Borrowed(title),
        is_listed: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_and_names_are_unique() {
        assert_eq!(LISTED.len(), TABLE.lines().count() - 1);
        assert_eq!(BY_NAME.len(), LISTED.len());
        assert!(LISTED.iter().all(|(name, _)| name.len() <= MAX_NAME_BYTES));
        assert!(LISTED.is_sorted_by_key(|(name, _)| *name), "the table is sorted by name");
    }
}
