//! Which member of an event became which field.

use super::classify::is_sign_on;
use super::leaves::{Leaves, Taken};
use super::{Line, Received, cef, ecs, leef, line, ocsf};
use crate::event::Event;
use crate::format::{Format, FormatConfig};

/// A rendered event and where its fields come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What the format made of it.
    pub line: Line,
    /// Members and the fields that they became, by member.
    pub taken: Vec<Taken>,
    /// Fields that a rule decides, and the member that decided; none if no member tells.
    pub decided: Vec<(&'static str, &'static str)>,
}

/// What decides a field that is no member as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Time,
    Outcome,
    Severity,
    Kind,
    /// The kind, but for a sign-on.
    Class,
}

/// Renders one event, and says what became of each of its members.
pub fn explain(formatting: &FormatConfig, received: Received<'_>) -> Explanation {
    let mut leaves = Leaves::traced(received);
    let line = line(formatting, received, &mut leaves);
    let rules: &[(&str, Rule)] = match formatting.format {
        Format::Native => {
            leaves.take_rest("(as it is)");
            &[]
        }
        Format::Ecs => &ecs::RULES,
        Format::Ocsf => &ocsf::RULES,
        Format::Cef => &cef::RULES,
        Format::Leef => &leef::RULES,
    };
    let mut taken = leaves.into_trace();
    taken.sort();
    taken.dedup();
    let is_sign_on = is_sign_on(formatting, received.event);
    let decided = rules.iter().map(|(field, rule)| match rule {
        Rule::Class if is_sign_on => (*field, "outcomeType"),
        rule => (*field, member(*rule, received.event)),
    });
    Explanation { line, taken, decided: decided.collect() }
}

fn member(rule: Rule, event: &Event<'_>) -> &'static str {
    match rule {
        Rule::Time => event.time_member(),
        Rule::Outcome | Rule::Severity => event.outcome_member(),
        Rule::Kind | Rule::Class => "action.type",
    }
}

impl Taken {
    /// The member's path with dots, for example `actors.user.name`.
    pub fn path(&self) -> String {
        let path = self.member.trim_start_matches('/').replace('/', ".");
        path.replace("~1", "/").replace("~0", "~")
    }
}
