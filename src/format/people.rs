//! Users and clients of an event: who acts, and who is affected.

use super::event_tape::EventTape;
use super::slots::{Slot, slot};
use super::trie::{CLIENT, GROUP, MEMBERSHIP, SlotTable, TARGET, USER};
use crate::event::Event;
use crate::event::registry::ActionType;

const ACTORS: Slot = slot("/actors");
const RESOURCES: Slot = slot("/resources");

/// Fills the slots of users, clients and groups:
///
/// - `@user`: the user who acts,
/// - `@client`: the application that acts,
/// - `@target`: the user who is affected, the first resource of type `USER`,
/// - `@group`: the group that is affected, the first resource of type `GROUP`,
/// - `@membership`: a membership, whose name is the group's, the first resource of type `MEMBER_OF_GROUP`.
///
/// `actors` is an object with `user` and `client`, or a list of actors with a type.
pub(super) fn fill(event: &EventTape<'_>, slots: &mut SlotTable) {
    if let Some(actors) = slots[ACTORS.index()] {
        let is_list = event.node(actors).value.starts_with('[');
        for (name, branch) in [("user", &USER), ("client", &CLIENT)] {
            let actor = match is_list {
                true => first_of(event, actors, name),
                false => event.find(event.inside(actors), name),
            };
            actor.into_iter().for_each(|at| branch.fill_object(event, at, slots));
        }
    }
    if let Some(resources) = slots[RESOURCES.index()] {
        let kinds = [("USER", &TARGET), ("GROUP", &GROUP), ("MEMBER_OF_GROUP", &MEMBERSHIP)];
        for (kind, branch) in kinds {
            let resource = match event.node(resources).value.starts_with('[') {
                true => first_of(event, resources, kind),
                false => Some(resources).filter(|at| is_of(event, *at, kind)),
            };
            resource.into_iter().for_each(|at| branch.fill_object(event, at, slots));
        }
    }
}

/// Returns the first entry of a list with the type `kind`.
fn first_of(event: &EventTape<'_>, list: usize, kind: &str) -> Option<usize> {
    let mut entries = event.level(event.inside(list)).map(|(at, _)| at);
    entries.find(|at| is_of(event, *at, kind))
}

/// Returns whether a value is an object with the type `kind`.
fn is_of(event: &EventTape<'_>, at: usize, kind: &str) -> bool {
    let is_object = event.node(at).value.starts_with('{');
    let found = is_object.then(|| event.find(event.inside(at), "type")).flatten();
    let found = found.and_then(|at| event.node(at).text());
    found.is_some_and(|found| found.eq_ignore_ascii_case(kind))
}

/// Returns whether the affected user is also the one who acts if nobody else is named: a user who
/// signs on, or off, or uses an application.
pub(super) fn acts_on_itself(entry: &ActionType) -> bool {
    matches!(entry.kind, "sign_on" | "sign_off" | "session" | "access")
}

/// Returns the id of the user in the link of a resource, for example
/// `…/users/USER/memberOfGroups/GROUP`. Some events about memberships and devices name the user only
/// there.
pub(super) fn user_in_link<'e>(event: &'e Event<'_>) -> Option<&'e str> {
    if matches!(event, Event::Interaction(_)) {
        return None;
    }
    let links = event.envelope().resources.iter().filter_map(|resource| resource.href.as_deref());
    links.filter_map(user_of_link).next()
}

fn user_of_link(link: &str) -> Option<&str> {
    let (_, rest) = link.split_once("/users/")?;
    let id = rest.split(['/', '?', '#']).next()?;
    let is_id = !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic());
    is_id.then_some(id)
}

/// Returns the id of the role that was assigned or revoked: `ID` in `… for role 'ID' …`. Only the
/// result's description names it.
pub(super) fn role_id(description: &str) -> Option<&str> {
    let (_, rest) = description.split_once("role '")?;
    rest.split_once('\'').map(|(id, _)| id).filter(|id| !id.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::trie;

    #[test]
    fn a_link_names_the_user() {
        for (link, expected) in [
            ("https://api.pingone.eu/v1/environments/e/users/u1/memberOfGroups/g", Some("u1")),
            ("https://api.pingone.eu/v1/environments/e/users/u1", Some("u1")),
            ("https://api.pingone.eu/v1/environments/e/users/u1?expand=x", Some("u1")),
            ("https://api.pingone.eu/v1/environments/e/users/", None),
            ("https://api.pingone.eu/v1/environments/e/groups/g", None),
        ] {
            assert_eq!(user_of_link(link), expected, "{link}");
        }
    }

    /// Returns the text at a pointer.
    fn text_at(event: &str, pointer: &str) -> Option<String> {
        let event = EventTape::read(event.as_bytes());
        let slots = trie::slots_of(&event, None);
        let at = slots[slot(pointer).index()]?;
        event.node(at).text().map(Into::into)
    }

    #[test]
    fn actors_are_an_object_or_a_list() {
        for (event, user, client) in [
            (r#"{"actors":{"user":{"id":"1"}}}"#, Some("1"), None),
            (r#"{"actors":{"user":"x","client":{"id":"2"}}}"#, None, Some("2")),
            (
                r#"{"actors":[{"type":"CLIENT","id":"2"},{"type":"user","id":"1"}]}"#,
                Some("1"),
                Some("2"),
            ),
            (r#"{"actors":["x"]}"#, None, None),
            ("{}", None, None),
        ] {
            assert_eq!(text_at(event, "@user/id").as_deref(), user, "{event}");
            assert_eq!(text_at(event, "@client/id").as_deref(), client, "{event}");
        }
    }

    #[test]
    fn the_affected_user_is_a_resource() {
        for (event, target, group) in [
            (
                r#"{"resources":[{"type":"GROUP","id":"g"},{"id":"u","type":"user"},{"type":"USER","id":"v"}]}"#,
                Some("u"),
                Some("g"),
            ),
            (r#"{"resources":{"type":"USER","id":"u"}}"#, Some("u"), None),
            (r#"{"resources":[{"type":"FLOW","id":"f"}]}"#, None, None),
            (r#"{"resources":"USER"}"#, None, None),
        ] {
            assert_eq!(text_at(event, "@target/id").as_deref(), target, "{event}");
            assert_eq!(text_at(event, "@group/id").as_deref(), group, "{event}");
        }
    }
}
