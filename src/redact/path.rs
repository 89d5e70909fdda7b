//! Paths of field names, and the fields that they match.

use std::fmt;
use std::str::FromStr;

use super::config::REQUIRED;

/// Matches fields of an event.
///
/// Lists have no step of their own: `resources.name` matches the name of one resource and of each in a list.
/// Names are compared ignoring ASCII case, since DaVinci writes `flowId` and `flowID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    /// True if other names may come before the first step.
    anywhere: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Any,
    /// In lower case.
    Name(String),
}

impl FieldPath {
    /// Returns true if the path matches the field that these names lead to from the event's root.
    pub fn matches<S: AsRef<str>>(&self, names: &[S]) -> bool {
        let fits = if self.anywhere { usize::ge } else { usize::eq };
        fits(&names.len(), &self.steps.len()) && self.agrees(names)
    }

    /// Matches in bytes that are no event: other names may come before the path, and the path's beginning may be
    /// missing. The required fields are only matched by their whole path.
    pub fn matches_fragment<S: AsRef<str>>(&self, names: &[S]) -> bool {
        if names.len() >= self.steps.len() {
            return self.agrees(names);
        }
        let known = self.steps.iter().rev().take(names.len()).any(|step| *step != Step::Any);
        let is = |required: &[&str]| {
            required.len() == names.len()
                && required.iter().zip(names).all(|(one, two)| *one == two.as_ref())
        };
        known && self.agrees(names) && !REQUIRED.iter().any(|required| is(required))
    }

    /// Compares from the end up to the shorter length.
    fn agrees<S: AsRef<str>>(&self, names: &[S]) -> bool {
        let mut pairs = self.steps.iter().rev().zip(names.iter().rev());
        pairs.all(|(step, name)| match step {
            Step::Any => true,
            Step::Name(step) => step.eq_ignore_ascii_case(name.as_ref()),
        })
    }
}

impl FromStr for FieldPath {
    type Err = ();

    fn from_str(text: &str) -> Result<FieldPath, ()> {
        let (anywhere, rest) = text.strip_prefix("**.").map_or((false, text), |rest| (true, rest));
        let step = |name: &str| match name {
            "*" => Ok(Step::Any),
            // Other notations would match no field without a message.
            _ if name.is_empty()
                || name.trim() != name
                || name.starts_with('$')
                || name.contains(['*', '[', ']', '/', '"', '\\'])
                || name.contains(char::is_control) =>
            {
                Err(())
            }
            _ => Ok(Step::Name(name.to_ascii_lowercase())),
        };
        let steps = rest.split('.').map(step).collect::<Result<Vec<_>, ()>>()?;
        Ok(FieldPath { anywhere, steps })
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.anywhere { "**" } else { "" })?;
        for (index, step) in self.steps.iter().enumerate() {
            let dot = if index > 0 || self.anywhere { "." } else { "" };
            let name = match step {
                Step::Any => "*",
                Step::Name(name) => name,
            };
            write!(out, "{dot}{name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FieldPath {
        text.parse().expect("a path")
    }

    fn names(text: &str) -> Vec<&str> {
        text.split('.').collect()
    }

    #[test]
    fn a_path_means_these_members_and_no_others() {
        for (text, member, is_meant, is_in_fragment) in [
            ("actors.user.name", "actors.user.name", true, true),
            ("actors.user.name", "ACTORS.User.NAME", true, true),
            ("actors.user.name", "actors.user", false, false),
            ("actors.user.name", "actors.user.name.first", false, false),
            ("actors.user.name", "event.actors.user.name", false, true),
            ("actors.user.name", "user.name", false, true),
            ("actors.user.name", "name", false, true),
            ("actors.user.name", "client.name", false, false),
            ("actors.user.id", "id", false, false),
            ("actors.*.name", "actors.client.name", true, true),
            ("actors.*.name", "actors.name", false, true),
            ("actors.user.*", "anything", false, false),
            ("*", "anything", true, true),
            ("*.name", "a.b.name", false, true),
            ("**.userAgent", "userAgent", true, true),
            ("**.userAgent", "a.b.useragent", true, true),
            ("**.userAgent", "a.userAgent.b", false, false),
            ("**.b.*", "a.b.c", true, true),
            ("**.b.*", "b", false, false),
            ("ÄB", "äb", false, false),
            ("ÄB", "Äb", true, true),
        ] {
            let found = path(text).matches(&names(member));
            assert_eq!(found, is_meant, "{text} {member}");
            let found = path(text).matches_fragment(&names(member));
            assert_eq!(found, is_in_fragment, "{text} {member} in a fragment");
        }
    }

    #[test]
    fn invalid_paths_are_refused() {
        for text in [
            "", ".", "a.", ".a", "a..b", "**", "**.", "a.**", "a.**.b", "**.**.a", "a*", "*a",
            "$.a", "$", "a[0].b", "a[*]", "/a/b", " a", "a .b", "a.\n", "\"a\"",
        ] {
            assert!(text.parse::<FieldPath>().is_err(), "{text:?}");
        }
        for text in ["a", "**.a.*.b", "*", "**.*", "a b.c", "_embedded.x-y"] {
            assert_eq!(path(text).to_string(), text);
        }
    }
}
