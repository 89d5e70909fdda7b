//! Which class of the schema an event is, and which activity of that class.
//!
//! Numbers and captions are those of <https://schema.ocsf.io>; the tests compare them with it.

use crate::event::{Change, Event, Interaction};
use crate::format::FormatConfig;
use crate::format::classify::is_sign_on;
use crate::format::leaves::Leaves;

/// The classes in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A user signs on. Only where the user is known: the class requires one.
    Authentication,
    /// Something was asked of PingOne or DaVinci.
    ApiActivity,
    /// No event of the business at all.
    Base,
}

/// What happened, in the words of the class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    Create,
    Update,
    Delete,
    LogOn,
    Other,
}

impl Class {
    pub(super) fn of(formatting: &FormatConfig, event: &Event<'_>, leaves: &Leaves) -> Class {
        let is_user_known =
            leaves.has_text("/actors/user/id") || leaves.has_text("/actors/user/name");
        match event {
            Event::DeliveryTest(_) => Class::Base,
            _ if is_sign_on(formatting, event) && is_user_known => Class::Authentication,
            _ => Class::ApiActivity,
        }
    }

    pub(super) fn uid(self) -> i64 {
        match self {
            Class::Authentication => 3002,
            Class::ApiActivity => 6003,
            Class::Base => 0,
        }
    }

    pub(super) fn caption(self) -> &'static str {
        match self {
            Class::Authentication => "Authentication",
            Class::ApiActivity => "API Activity",
            Class::Base => "Base Event",
        }
    }

    pub(super) fn category(self) -> &'static str {
        match self {
            Class::Authentication => "Identity & Access Management",
            Class::ApiActivity => "Application Activity",
            Class::Base => "Uncategorized",
        }
    }

    pub(super) fn activity(self, event: &Event<'_>) -> Activity {
        match (self, event) {
            (Class::Authentication, _) => Activity::LogOn,
            (Class::Base, _) => Activity::Other,
            (Class::ApiActivity, Event::Interaction(interaction)) => {
                // A flow run begins to exist.
                let is_start = matches!(interaction.interaction, Interaction::StartInteraction(_));
                if is_start { Activity::Create } else { Activity::Other }
            }
            (Class::ApiActivity, event) => match event.change() {
                Some(Change::Created) => Activity::Create,
                Some(Change::Updated) => Activity::Update,
                Some(Change::Deleted) => Activity::Delete,
                None => Activity::Other,
            },
        }
    }
}

impl Activity {
    pub(super) fn id(self) -> i64 {
        match self {
            Activity::Create | Activity::LogOn => 1,
            Activity::Update => 3,
            Activity::Delete => 4,
            Activity::Other => 99,
        }
    }

    pub(super) fn caption(self) -> &'static str {
        match self {
            Activity::Create => "Create",
            Activity::Update => "Update",
            Activity::Delete => "Delete",
            Activity::LogOn => "Logon",
            Activity::Other => "Other",
        }
    }
}
