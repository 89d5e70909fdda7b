//! Class and activity of an event in the OCSF schema.
//!
//! Numbers and captions are those of <https://schema.ocsf.io>; the tests compare them with it.

use crate::config::Formatting;
use crate::event::{Change, Event, Interaction};
use crate::format::classify::is_sign_on;
use crate::format::leaves::Leaves;

/// The OCSF classes in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OcsfClass {
    /// A user signs on. Only if the user is known, because the class requires one.
    Authentication,
    /// A request to PingOne or DaVinci.
    ApiActivity,
    /// Not an audit event, for example a connection test.
    Base,
}

/// Activity of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OcsfActivity {
    Create,
    Update,
    Delete,
    LogOn,
    Other,
}

impl OcsfClass {
    pub(super) fn of(formatting: &Formatting, event: &Event<'_>, leaves: &Leaves) -> OcsfClass {
        let is_user_known = leaves.has_text("@user/id") || leaves.has_text("@user/name");
        match event {
            Event::DeliveryTest(_) => OcsfClass::Base,
            _ if is_sign_on(formatting, event) && is_user_known => OcsfClass::Authentication,
            _ => OcsfClass::ApiActivity,
        }
    }

    pub(super) fn uid(self) -> i64 {
        match self {
            OcsfClass::Authentication => 3002,
            OcsfClass::ApiActivity => 6003,
            OcsfClass::Base => 0,
        }
    }

    pub(super) fn caption(self) -> &'static str {
        match self {
            OcsfClass::Authentication => "Authentication",
            OcsfClass::ApiActivity => "API Activity",
            OcsfClass::Base => "Base Event",
        }
    }

    pub(super) fn category(self) -> &'static str {
        match self {
            OcsfClass::Authentication => "Identity & Access Management",
            OcsfClass::ApiActivity => "Application Activity",
            OcsfClass::Base => "Uncategorized",
        }
    }

    pub(super) fn activity(self, event: &Event<'_>) -> OcsfActivity {
        match (self, event) {
            (OcsfClass::Authentication, _) => OcsfActivity::LogOn,
            (OcsfClass::Base, _) => OcsfActivity::Other,
            (OcsfClass::ApiActivity, Event::Interaction(interaction)) => {
                // The start of a flow run creates the run.
                let is_start = matches!(interaction.interaction, Interaction::StartInteraction(_));
                if is_start { OcsfActivity::Create } else { OcsfActivity::Other }
            }
            (OcsfClass::ApiActivity, event) => match event.change() {
                Some(Change::Created) => OcsfActivity::Create,
                Some(Change::Updated) => OcsfActivity::Update,
                Some(Change::Deleted) => OcsfActivity::Delete,
                None => OcsfActivity::Other,
            },
        }
    }
}

impl OcsfActivity {
    pub(super) fn id(self) -> i64 {
        match self {
            OcsfActivity::Create | OcsfActivity::LogOn => 1,
            OcsfActivity::Update => 3,
            OcsfActivity::Delete => 4,
            OcsfActivity::Other => 99,
        }
    }

    pub(super) fn caption(self) -> &'static str {
        match self {
            OcsfActivity::Create => "Create",
            OcsfActivity::Update => "Update",
            OcsfActivity::Delete => "Delete",
            OcsfActivity::LogOn => "Logon",
            OcsfActivity::Other => "Other",
        }
    }
}
