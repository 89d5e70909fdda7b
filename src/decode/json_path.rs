//! Where in a body an element stands, as a JSON path that costs no allocation until it is printed.

use std::fmt;

/// Wrappers nest at most this far: `$[0].logs[1].event` has four steps.
const MAX_STEPS: usize = 6;

/// A JSON path from the root of the body, for example `$[17]` or `$._embedded.activities[3]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JsonPath {
    steps: [Step; MAX_STEPS],
    length: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Step {
    #[default]
    Root,
    Index(u32),
    Member(&'static str),
}

impl JsonPath {
    pub(super) fn index(self, index: usize) -> JsonPath {
        self.step(Step::Index(u32::try_from(index).unwrap_or(u32::MAX)))
    }

    pub(super) fn member(self, name: &'static str) -> JsonPath {
        self.step(Step::Member(name))
    }

    /// A field of a name that is the sender's.
    pub(super) fn any_member(self) -> JsonPath {
        self.member("*")
    }

    /// Whether a wrapper may still be opened here: one more needs up to three steps.
    pub(super) fn has_room(self) -> bool {
        usize::from(self.length) + 3 <= MAX_STEPS
    }

    fn step(mut self, step: Step) -> JsonPath {
        if let Some(slot) = self.steps.get_mut(usize::from(self.length)) {
            *slot = step;
            self.length += 1;
        }
        self
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("$")?;
        for step in self.steps.iter().take(usize::from(self.length)) {
            match step {
                Step::Root => {}
                Step::Index(index) => write!(out, "[{index}]")?,
                Step::Member(name) => write!(out, ".{name}")?,
            }
        }
        Ok(())
    }
}
