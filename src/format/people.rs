//! Users and clients of an event: who acts, and who is affected.

use serde_json::Value;

use crate::event::Event;
use crate::event::registry;

/// JSON pointers of the objects that describe users and clients; `None` where the event has none.
#[derive(Debug, Default)]
pub(super) struct People {
    /// The user who acts.
    pub(super) user: Option<String>,
    /// The application that acts.
    pub(super) client: Option<String>,
    /// The user who is affected: the first resource of type `USER`.
    pub(super) target: Option<String>,
    /// The group that is affected: the first resource of type `GROUP`.
    pub(super) group: Option<String>,
    /// A membership, whose name is the group's: the first resource of type `MEMBER_OF_GROUP`.
    pub(super) membership: Option<String>,
}

impl People {
    /// Finds users and clients in an event's tree. `actors` is an object with `user` and `client`, or a
    /// list of actors with a type.
    pub(super) fn of(root: &Value) -> People {
        let actor = |name: &str, kind: &str| match root.get("actors") {
            Some(Value::Array(actors)) => first_of(actors, "/actors", kind),
            Some(Value::Object(actors)) => {
                actors.get(name).is_some_and(Value::is_object).then(|| format!("/actors/{name}"))
            }
            _ => None,
        };
        let resource = |kind: &str| match root.get("resources") {
            Some(Value::Array(resources)) => first_of(resources, "/resources", kind),
            Some(one @ Value::Object(_)) => is_of(one, kind).then(|| "/resources".to_owned()),
            _ => None,
        };
        People {
            user: actor("user", "USER"),
            client: actor("client", "CLIENT"),
            target: resource("USER"),
            group: resource("GROUP"),
            membership: resource("MEMBER_OF_GROUP"),
        }
    }
}

fn first_of(list: &[Value], base: &str, kind: &str) -> Option<String> {
    let index = list.iter().position(|entry| is_of(entry, kind))?;
    Some(format!("{base}/{index}"))
}

fn is_of(entry: &Value, kind: &str) -> bool {
    let found = entry.get("type").and_then(Value::as_str);
    found.is_some_and(|found| found.eq_ignore_ascii_case(kind))
}

/// Returns whether the affected user is also the one who acts if nobody else is named: a user who
/// signs on, or off, or uses an application.
pub(super) fn acts_on_itself(event: &Event<'_>) -> bool {
    let kind = registry::lookup(&event.envelope().action.kind).kind;
    matches!(kind, "sign_on" | "sign_off" | "session" | "access")
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
    use serde_json::json;

    use super::*;

    #[test]
    fn actors_are_an_object_or_a_list() {
        for (event, user, client) in [
            (json!({"actors": {"user": {"id": "1"}}}), Some("/actors/user"), None),
            (json!({"actors": {"user": "x", "client": {}}}), None, Some("/actors/client")),
            (
                json!({"actors": [{"type": "CLIENT"}, {"type": "user"}]}),
                Some("/actors/1"),
                Some("/actors/0"),
            ),
            (json!({"actors": ["x"]}), None, None),
            (json!({}), None, None),
        ] {
            let found = People::of(&event);
            assert_eq!((found.user.as_deref(), found.client.as_deref()), (user, client), "{event}");
        }
    }

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

    #[test]
    fn the_affected_user_is_a_resource() {
        for (resources, target, group) in [
            (
                json!([{"type": "GROUP"}, {"type": "USER"}]),
                Some("/resources/1"),
                Some("/resources/0"),
            ),
            (json!({"type": "USER"}), Some("/resources"), None),
            (json!([{"type": "FLOW"}]), None, None),
        ] {
            let found = People::of(&json!({ "resources": resources }));
            assert_eq!((found.target.as_deref(), found.group.as_deref()), (target, group));
        }
    }
}
