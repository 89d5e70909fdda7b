//! Redaction of a field: rules, the built-in profile, and exceptions from it.

use super::key::Key;
use super::recurrence;
use super::walk::InputKind;
use crate::redact::FieldPath;
use crate::redact::{REQUIRED, RedactAction, RedactConfig};

/// Paths that the profile redacts. It also redacts e-mail addresses in any text.
///
/// The name of `actors.client` is not in it: a client is a program, and alerts need to name it. The
/// name of a resource is the name of a flow, unless the resource is a user.
const PROFILE: [&str; 20] = [
    // If `actors` is an array, its entries may be users.
    "actors.name",
    "**.user.name",
    "**.username",
    "**.user_name",
    "**.preferredUsername",
    "**.preferred_username",
    "**.name.given",
    "**.name.family",
    "**.name.formatted",
    "**.givenName",
    "**.given_name",
    "**.familyName",
    "**.family_name",
    "**.firstName",
    "**.lastName",
    "**.phone",
    "**.phoneNumber",
    "**.phone_number",
    "**.mobilePhone",
    "**.userAgent",
];

/// Paths of IP addresses.
const ADDRESSES: [&str; 18] = [
    "**.ip",
    "**.ips",
    "**.ipAddress",
    "**.ipAddresses",
    "**.ip_address",
    "**.ipv4",
    "**.ipv6",
    "**.remoteIp",
    "**.remoteIpAddress",
    "**.remoteAddress",
    "**.clientIp",
    "**.client_ip",
    "**.clientIpAddress",
    "**.sourceIp",
    "**.sourceIpAddress",
    "**.userIp",
    "**.x-forwarded-for",
    "**.x-real-ip",
];

/// Names of resources, redacted if the resource is a user or a user's device: a device may be named
/// by its telephone number.
const RESOURCE_NAME: &str = "resources.name";

/// Rules of a configuration, ready to be applied.
#[derive(Debug, Clone)]
pub struct Redaction {
    rules: Vec<(FieldPath, RedactAction)>,
    keep: Vec<FieldPath>,
    profile: Option<Profile>,
    pub(super) key: Option<Key>,
    pub(super) spares_hashes: bool,
}

#[derive(Debug, Clone)]
struct Profile {
    action: RedactAction,
    paths: Vec<FieldPath>,
    /// Action for IP addresses.
    address_action: RedactAction,
    address_paths: Vec<FieldPath>,
    resource_name: Vec<FieldPath>,
}

/// Redaction of a value, inherited by the values inside it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Treatment {
    ruled: Option<RedactAction>,
    profiled: Option<RedactAction>,
    is_kept: bool,
    /// True if a rule or the profile means this field, and not only an object that contains it.
    is_direct: bool,
}

impl Treatment {
    /// Returns the action for the whole value. A rule overrides the profile, even if its action is
    /// weaker.
    pub(super) fn action(self) -> Option<RedactAction> {
        self.ruled.or(self.profiled.filter(|_| !self.is_kept))
    }

    /// Returns whether a value in the field `name` is searched for in the rest of the event.
    pub(super) fn is_sought(self, name: &str) -> bool {
        self.is_direct || (!recurrence::is_id(name) && recurrence::is_searched(name))
    }

    /// Returns whether the texts of the field `name` are searched for redacted values.
    pub(super) fn is_searched(self, name: &str) -> bool {
        !self.is_kept && recurrence::is_searched(name)
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
                rules(&config.drop, RedactAction::Drop),
                rules(&config.mask, RedactAction::Mask),
                rules(&config.hash, RedactAction::Hash),
            ]
            .concat(),
            keep: config.keep.clone(),
            profile: config.pii.map(|action| Profile {
                action,
                paths: paths(&PROFILE),
                address_action: config.addresses.unwrap_or(action),
                address_paths: paths(&ADDRESSES),
                resource_name: paths(&[RESOURCE_NAME]),
            }),
            key: config.key.as_ref().and_then(Key::new),
            spares_hashes: false,
        }
    }

    /// Returns the treatment of the field at the path `names`, within a value with the treatment
    /// `above`. `of_user` is true for fields of a resource that is a user.
    pub(super) fn treat<S: AsRef<str>>(
        &self,
        above: Treatment,
        names: &[S],
        kind: InputKind,
        of_user: bool,
    ) -> Treatment {
        let matches = |path: &FieldPath| match kind {
            InputKind::Event => path.matches(names),
            InputKind::Fragment => path.matches_fragment(names),
        };
        let mut treatment = Treatment { is_direct: false, ..above };
        for (path, action) in &self.rules {
            if Some(*action) >= treatment.ruled && matches(path) {
                treatment.ruled = Some(*action);
                treatment.is_direct = true;
            }
        }
        if let Some(profile) = &self.profile {
            let is_person = of_user || kind == InputKind::Fragment;
            let action = if profile.paths.iter().any(matches)
                || (is_person && profile.resource_name.iter().any(matches))
            {
                Some(profile.action)
            } else {
                profile.address_paths.iter().any(matches).then_some(profile.address_action)
            };
            treatment.is_direct |= action.is_some();
            treatment.profiled = treatment.profiled.max(action);
            // Exceptions match exact paths even in a fragment, so that they never apply to more
            // fields.
            treatment.is_kept |= self.keep.iter().any(|path| path.matches(names));
        }
        treatment
    }

    /// Returns whether resources that are users must be told from others.
    pub(super) fn looks_for_users(&self) -> bool {
        self.profile.is_some()
    }

    /// Returns the action for e-mail addresses, if the profile is enabled.
    pub(super) fn profile_action(&self) -> Option<RedactAction> {
        self.profile.as_ref().map(|profile| profile.action)
    }

    /// Returns the action for e-mail addresses in the name and the texts of a field.
    pub(super) fn address_action(&self, treatment: Treatment) -> Option<RedactAction> {
        self.profile_action().filter(|_| !treatment.is_kept)
    }
}

/// Returns whether the path `names`, outside of any array, is a field that every event needs.
pub(super) fn is_required<S: AsRef<str>>(names: &[S]) -> bool {
    let is = |required: &[&str]| {
        required.len() == names.len()
            && required.iter().zip(names).all(|(one, two)| *one == two.as_ref())
    };
    REQUIRED.iter().any(|required| is(required))
}
