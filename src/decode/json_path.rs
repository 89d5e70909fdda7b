//! JSON path of an element within a body. Costs no allocation until it is printed.

use std::fmt;

/// Maximum number of steps: `$[0].logs[1].event` has four.
const MAX_STEPS: usize = 6;

/// A JSON path from the root of the body, for example `$[17]` or `$._embedded.activities[3]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JsonPath {
    steps: [PathStep; MAX_STEPS],
    length: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum PathStep {
    #[default]
    Root,
    Index(u32),
    Field(&'static str),
}

impl JsonPath {
    pub(super) fn index(self, index: usize) -> JsonPath {
        self.step(PathStep::Index(u32::try_from(index).unwrap_or(u32::MAX)))
    }

    pub(super) fn field(self, name: &'static str) -> JsonPath {
        self.step(PathStep::Field(name))
    }

    /// Appends a step for a field whose name the sender chose; it is printed as `*`.
    pub(super) fn any_field(self) -> JsonPath {
        self.field("*")
    }

    /// Returns whether another wrapper may be opened below this path; it needs up to three steps.
    pub(super) fn has_room(self) -> bool {
        usize::from(self.length) + 3 <= MAX_STEPS
    }

    fn step(mut self, step: PathStep) -> JsonPath {
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
                PathStep::Root => {}
                PathStep::Index(index) => write!(out, "[{index}]")?,
                PathStep::Field(name) => write!(out, ".{name}")?,
            }
        }
        Ok(())
    }
}
