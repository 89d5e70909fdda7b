//! `include` and `exclude`: which events a sink gets.

use std::str::FromStr;

use crate::config::section::Section;

/// Which events a sink gets: those that any of `include` matches (all, if there is none), without
/// those that any of `exclude` matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routing {
    /// At least one of these has to match; none at all lets everything in.
    pub include: Vec<Filter>,
    /// None of these may match.
    pub exclude: Vec<Filter>,
}

/// Matches an event if each list that is not empty has an entry for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// `action.type`, whole or its last part, for example `START_INTERACTION` or `DAVINCI.*`.
    pub types: Vec<Pattern>,
    /// `success`, `failure`, `unknown`.
    pub outcomes: Vec<String>,
    /// Names of `[sources]`.
    pub sources: Vec<String>,
    /// Flow ids, with or without dashes, or flow names.
    pub flows: Vec<Pattern>,
    /// Connector ids, for example `httpConnector`.
    pub connectors: Vec<Pattern>,
}

/// A text to compare with, whatever its case; a `*` at its end stands for any rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    is_prefix: bool,
}

impl Pattern {
    /// Whether `text` is meant.
    pub fn matches(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        if self.is_prefix { text.starts_with(&self.text) } else { text == self.text }
    }
}

impl FromStr for Pattern {
    type Err = ();

    fn from_str(text: &str) -> Result<Pattern, ()> {
        let (text, is_prefix) =
            text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
        if text.contains('*') || (text.is_empty() && !is_prefix) {
            return Err(());
        }
        Ok(Pattern { text: text.to_lowercase(), is_prefix })
    }
}

/// One of the words that an outcome has.
struct OutcomeName(String);

impl FromStr for OutcomeName {
    type Err = ();

    fn from_str(text: &str) -> Result<OutcomeName, ()> {
        let known = ["success", "failure", "unknown"].contains(&text);
        known.then(|| OutcomeName(text.to_owned())).ok_or(())
    }
}

pub(super) fn read(section: &mut Section<'_>) -> Routing {
    Routing { include: read_filters(section, "include"), exclude: read_filters(section, "exclude") }
}

fn read_filters(section: &mut Section<'_>, key: &str) -> Vec<Filter> {
    section.table_or_tables(key).into_iter().map(read_filter).collect()
}

fn read_filter(mut section: Section<'_>) -> Filter {
    let pattern = "a text with at most one *, at its end";
    let is_empty = section.is_empty();
    let outcomes =
        section.list::<OutcomeName>("outcomes", "\"success\", \"failure\" or \"unknown\"");
    let filter = Filter {
        types: section.list("types", pattern),
        outcomes: outcomes.into_iter().map(|name| name.0).collect(),
        sources: section.list("sources", "a name"),
        flows: section.list("flows", pattern),
        connectors: section.list("connectors", pattern),
    };
    if is_empty {
        section.report("types", "and all other lists are missing; an empty filter would match everything, write at least one".to_owned());
    }
    section.finish();
    filter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_ignore_case_and_end_with_a_star() {
        let matches = |pattern: &str, text: &str| {
            pattern.parse::<Pattern>().expect("a pattern").matches(text)
        };
        assert!(matches("Start_Interaction", "START_INTERACTION"));
        assert!(matches("DAVINCI.*", "davinci.flow.created"));
        assert!(matches("*", ""));
        assert!(!matches("DAVINCI.", "DAVINCI.FLOW"));
        assert!(!matches("DAVINCI.*", "DAVINCI_INTERACTION.X"));
        for wrong in ["", "a*b", "**"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }
}
