//! Texts to compare with, which may end with a `*`.

use std::fmt;
use std::str::FromStr;

/// A text to compare with, ignoring case; a `*` at its end matches any rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    is_prefix: bool,
}

impl Pattern {
    /// Returns true if the pattern matches `text`.
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

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
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
