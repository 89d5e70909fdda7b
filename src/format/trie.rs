//! Finds the fields of all slots in one walk over an event's tape. At each field of an object, a trie over the
//! JSON pointers says which slot the field fills, and which slots lie inside it.

use std::ops::Range;
use std::sync::LazyLock;

use super::event_tape::EventTape;
use super::people;
use super::slots::{POINTERS, SLOTS, Slot, slot};
use crate::json::{TapeNode, tag};

/// Object with the fields of a DaVinci run-time event; `~` at the start of a pointer.
const FLOW: &str = "/_embedded/flowInteractionEvent";

/// Array entries that have slots, as steps of a pointer.
const ENTRIES: [&str; 2] = ["0", "1"];

/// Positions on the tape of the fields of all slots.
pub(super) type SlotTable = [Option<usize>; SLOTS];

/// Slots below one object of an event.
#[derive(Debug, Default)]
pub(super) struct Branch {
    slot: Option<Slot>,
    steps: Vec<Step>,
    /// Hash index by name tag: 1 + the position in `steps`; 0 marks a free place.
    index: Vec<u8>,
}

#[derive(Debug)]
struct Step {
    tag: u32,
    name: &'static str,
    branch: Branch,
}

static EVENT: LazyLock<Branch> = LazyLock::new(|| Branch::of(""));
static PARENT: LazyLock<Branch> = LazyLock::new(|| Branch::of("^"));
pub(super) static USER: LazyLock<Branch> = LazyLock::new(|| Branch::of("@user"));
pub(super) static CLIENT: LazyLock<Branch> = LazyLock::new(|| Branch::of("@client"));
pub(super) static TARGET: LazyLock<Branch> = LazyLock::new(|| Branch::of("@target"));
pub(super) static GROUP: LazyLock<Branch> = LazyLock::new(|| Branch::of("@group"));
pub(super) static MEMBERSHIP: LazyLock<Branch> = LazyLock::new(|| Branch::of("@membership"));

/// Returns the slots of an event. `parent` is the name of the field with the parent flow.
pub(super) fn slots_of(event: &EventTape<'_>, parent: Option<&str>) -> SlotTable {
    const FLOW: Slot = slot("~");
    let mut slots = [None; SLOTS];
    EVENT.fill_fields(event, event.root(), &mut slots);
    if let Some((name, flow)) = parent.zip(slots[FLOW.index()])
        && let Some(parent) = event.find(event.inside(flow), name)
    {
        PARENT.fill_object(event, parent, &mut slots);
    }
    people::fill(event, &mut slots);
    slots
}

impl Branch {
    /// Compiles the trie of all pointers that begin with `base`.
    fn of(base: &str) -> Branch {
        let mut root = Branch::default();
        for pointer in POINTERS {
            let (base_of, steps) = match pointer.strip_prefix('~') {
                Some(rest) => ("", [FLOW, rest]),
                None => {
                    let (base, rest) = pointer.split_at(pointer.find('/').unwrap_or(pointer.len()));
                    (base, ["", rest])
                }
            };
            if base_of == base {
                let steps = steps.into_iter().flat_map(|steps| steps.split('/').skip(1));
                steps.fold(&mut root, Branch::step).slot = Some(slot(pointer));
            }
        }
        root.hash();
        root
    }

    /// Returns the branch of a name, which is added if it is missing.
    fn step(&mut self, name: &'static str) -> &mut Branch {
        let at = self.steps.iter().position(|step| step.name == name).unwrap_or(self.steps.len());
        if at == self.steps.len() {
            self.steps.push(Step { tag: tag(name), name, branch: Branch::default() });
        }
        &mut self.steps[at].branch
    }

    /// Builds the hash index, with at least half of its places free.
    fn hash(&mut self) {
        self.index = vec![0; (self.steps.len() * 2).next_power_of_two()];
        for (at, step) in self.steps.iter_mut().enumerate() {
            let mut place = hash(step.tag, self.index.len());
            while self.index[place] != 0 {
                place = (place + 1) % self.index.len();
            }
            self.index[place] = at as u8 + 1;
            step.branch.hash();
        }
    }

    fn get(&self, tag: u32, is_called: impl Fn(&str) -> bool) -> Option<&Branch> {
        let mut place = hash(tag, self.index.len());
        while let Some(at) = usize::from(self.index[place]).checked_sub(1) {
            let step = &self.steps[at];
            if step.tag == tag && is_called(step.name) {
                return Some(&step.branch);
            }
            place = (place + 1) % self.index.len();
        }
        None
    }

    fn of_field(&self, node: &TapeNode<'_>) -> Option<&Branch> {
        let TapeNode { tag, name, .. } = *node;
        if name.has_escape {
            self.get(tag, |step| name.text() == step)
        } else {
            self.get(tag, |step| name.raw == step)
        }
    }

    /// Fills the slots inside the value at `at`, if it is an object.
    pub(super) fn fill_object(&self, event: &EventTape<'_>, at: usize, slots: &mut SlotTable) {
        if event.node(at).value.starts_with('{') {
            self.fill_fields(event, event.inside(at), slots);
        }
    }

    fn fill_fields(&self, event: &EventTape<'_>, extent: Range<usize>, slots: &mut SlotTable) {
        for (at, node) in event.remaining(extent) {
            if let Some(branch) = self.of_field(node) {
                branch.found(event, at, slots);
            }
        }
    }

    fn fill_entries(&self, event: &EventTape<'_>, extent: Range<usize>, slots: &mut SlotTable) {
        for (step, (at, _)) in ENTRIES.iter().zip(event.level(extent)) {
            if let Some(branch) = self.get(tag(step), |name| name == *step) {
                branch.found(event, at, slots);
            }
        }
    }

    fn found(&self, event: &EventTape<'_>, at: usize, slots: &mut SlotTable) {
        if let Some(slot) = self.slot {
            slots[slot.index()] = Some(at);
        }
        if self.steps.is_empty() {
            return;
        }
        match event.node(at).value.as_bytes().first() {
            Some(b'{') => self.fill_fields(event, event.inside(at), slots),
            Some(b'[') => self.fill_entries(event, event.inside(at), slots),
            _ => {}
        }
    }
}

/// Returns the first place to probe for a tag. `places` is a power of two.
fn hash(tag: u32, places: usize) -> usize {
    (tag.wrapping_mul(0x9e37_79b1) >> 16) as usize % places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an event with a value at a pointer, and its fields below `around`.
    fn event(pointer: &str, around: &str) -> String {
        let steps: Vec<&str> = around.split('/').chain(pointer.split('/').skip(1)).collect();
        steps.iter().rev().filter(|step| !step.is_empty()).fold("{}".to_owned(), |value, step| {
            match (step.parse::<usize>(), *step) {
                (Ok(index), _) => format!("[{}{value}]", "0,".repeat(index)),
                (_, "USER" | "GROUP" | "MEMBER_OF_GROUP") if value == "{\"type\":{}}" => {
                    format!("[0,{{\"type\":\"{step}\"}}]")
                }
                (_, "USER" | "GROUP" | "MEMBER_OF_GROUP") => {
                    format!("[0,{{\"type\":\"{step}\",{}", value.replacen('{', "", 1) + "]")
                }
                _ => format!("{{\"{step}\":{value}}}"),
            }
        })
    }

    #[test]
    fn each_slot_is_filled_by_its_pointer_only() {
        for pointer in POINTERS {
            let (base, around) = [
                ("~", FLOW),
                ("^", "/_embedded/flowInteractionEvent/launcher"),
                ("@user", "/actors/user"),
                ("@client", "/actors/client"),
                ("@target", "/resources/USER"),
                ("@group", "/resources/GROUP"),
                ("@membership", "/resources/MEMBER_OF_GROUP"),
            ]
            .into_iter()
            .find(|(base, _)| pointer.starts_with(base))
            .unwrap_or_default();
            let rest = pointer.strip_prefix(base).expect("the base");
            let text = event(rest, around);
            let event = EventTape::read(text.as_bytes());
            let slots = slots_of(&event, Some("launcher"));
            let at = slots[slot(pointer).index()];
            let name = pointer.rsplit('/').next().filter(|_| !rest.is_empty());
            let name = name.unwrap_or("flowInteractionEvent");
            assert_eq!(at.map(|at| event.node(at).name.raw), Some(name), "{pointer} in {text}");
            let others = text.replace(name, "other");
            let event = EventTape::read(others.as_bytes());
            let slots = slots_of(&event, Some("launcher"));
            assert_eq!(slots[slot(pointer).index()], None, "{pointer} in {others}");
        }
    }
}
