//! What applies to a member: rules, the built-in profile, and exceptions from it.

use super::key::Key;
use super::walk::Shape;
use crate::redact::{Action, FieldPath, REQUIRED, RedactConfig};

/// What the profile finds by name; it looks for e-mail addresses besides.
///
/// Not the name of `actors.client`: a client is a program, and which one acted is what an alert is
/// about. A resource's name is a flow's name, unless the resource is a user.
const PROFILE: [&str; 16] = [
    "actors.user.name",
    // Where `actors` is a list, nobody can tell which of them is a user.
    "actors.name",
    "resources.user.name",
    "_embedded.riskEvent.ip",
    "_embedded.riskEvent.username",
    "_embedded.riskEvaluation.event.ip",
    "_embedded.riskEvaluation.event.user.name",
    "**.ipAddress",
    "**.remoteIp",
    "**.userAgent",
    "**.name.given",
    "**.name.family",
    "**.name.formatted",
    "**.givenName",
    "**.familyName",
    "**.mobilePhone",
];

/// The names of resources, which are taken where they are users or their devices: a device may be called
/// by its telephone number.
const RESOURCE_NAME: &str = "resources.name";

/// What a configuration says, ready to be applied.
#[derive(Debug, Clone)]
pub struct Redaction {
    rules: Vec<(FieldPath, Action)>,
    keep: Vec<FieldPath>,
    profile: Option<Profile>,
    pub(super) key: Option<Key>,
    pub(super) spares_hashes: bool,
}

#[derive(Debug, Clone)]
struct Profile {
    action: Action,
    paths: Vec<FieldPath>,
    resource_name: Vec<FieldPath>,
}

/// What applies to a value; what is in it inherits it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Treatment {
    ruled: Option<Action>,
    profiled: Option<Action>,
    is_kept: bool,
}

impl Treatment {
    /// What happens to the value as a whole. A rule beats the profile, also a weaker one.
    pub(super) fn action(self) -> Option<Action> {
        self.ruled.or(self.profiled.filter(|_| !self.is_kept))
    }
}

impl Redaction {
    pub(super) fn compile(config: &RedactConfig) -> Redaction {
        let paths = |texts: &[&str]| texts.iter().filter_map(|text| text.parse().ok()).collect();
        let rules = |paths: &[FieldPath], action| {
            paths.iter().map(|path| (path.clone(), action)).collect::<Vec<_>>()
        };
        Redaction {
            rules: [
                rules(&config.drop, Action::Drop),
                rules(&config.mask, Action::Mask),
                rules(&config.hash, Action::Hash),
            ]
            .concat(),
            keep: config.keep.clone(),
            profile: config.pii.map(|action| Profile {
                action,
                paths: paths(&PROFILE),
                resource_name: paths(&[RESOURCE_NAME]),
            }),
            key: config.key.as_ref().and_then(Key::new),
            spares_hashes: false,
        }
    }

    /// What applies to the member to which `names` lead, within a value to which `above` applies.
    /// `of_user` tells whether it is a member of a resource that is a user.
    pub(super) fn treat<S: AsRef<str>>(
        &self,
        above: Treatment,
        names: &[S],
        shape: Shape,
        of_user: bool,
    ) -> Treatment {
        let matches = |path: &FieldPath| match shape {
            Shape::Event => path.matches(names),
            Shape::Fragment => path.matches_fragment(names),
        };
        let mut treatment = above;
        for (path, action) in &self.rules {
            if Some(*action) > treatment.ruled && matches(path) {
                treatment.ruled = Some(*action);
            }
        }
        if let Some(Profile { action, paths, resource_name }) = &self.profile {
            let is_person = of_user || shape == Shape::Fragment;
            if paths.iter().any(matches) || (is_person && resource_name.iter().any(matches)) {
                treatment.profiled = Some(*action);
            }
            // In a fragment, too, only where it says: what is exempt must not become more.
            treatment.is_kept |= self.keep.iter().any(|path| path.matches(names));
        }
        treatment
    }

    /// Whether resources that are users have to be told from others.
    pub(super) fn looks_for_users(&self) -> bool {
        self.profile.is_some()
    }

    /// What happens to e-mail addresses, if they are looked for.
    pub(super) fn profile_action(&self) -> Option<Action> {
        self.profile.as_ref().map(|profile| profile.action)
    }

    /// What happens to addresses in the texts of a value, and in its name.
    pub(super) fn address_action(&self, treatment: Treatment) -> Option<Action> {
        self.profile_action().filter(|_| !treatment.is_kept)
    }
}

/// Whether these names, with no list on the way, lead to what every event needs.
pub(super) fn is_required<S: AsRef<str>>(names: &[S]) -> bool {
    let is = |required: &[&str]| {
        required.len() == names.len()
            && required.iter().zip(names).all(|(one, two)| *one == two.as_ref())
    };
    REQUIRED.iter().any(|required| is(required))
}
