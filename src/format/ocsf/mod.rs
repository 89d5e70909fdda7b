//! `ocsf`: the Open Cybersecurity Schema Framework, 1.3.0 or 1.8.0.
//!
//! The only profile is `host`, for classes that have an actor in that profile only. Both versions
//! have the same fields, except for those that only 1.8.0 defines. Event fields outside of the schema
//! are kept in `unmapped`, at their original paths. <https://schema.ocsf.io>

mod api;
mod class;
mod fields;
mod identity;
mod layout;
mod observables;
mod people;

use chrono::{DateTime, Utc};

use super::Received;
use super::classify::Facts;
use super::document::Document;
use super::explain::Derivation;
use super::leaves::{Leaves, one_line};
use super::slots::{Alternatives, Slot, any_of, slot};
use crate::event::registry::OcsfActivity;
use crate::event::{Event, Interaction, Outcome, RunSummary, Severity};
use crate::format::{FormatConfig, OcsfVersion};

#[cfg(test)]
pub(super) use fields::ALL_FIELDS;
use fields::FIELDS;
use layout::{LAYOUT, field};
use observables::Observables;

/// Fields derived by a rule.
pub(super) const RULES: [(&str, Derivation); 5] = [
    ("time", Derivation::Time),
    ("status_id", Derivation::Outcome),
    ("severity_id", Derivation::Severity),
    ("class_uid", Derivation::Class),
    ("activity_id", Derivation::Class),
];

/// Maximum length of a text of the schema (`string_t` of 1.3.0), in characters.
const MAX_TEXT_CHARS: usize = 65_535;

const COMPANY: Slot = slot("~/companyId");

/// Renders one event as a JSON document.
pub(super) fn render<'a>(
    formatting: &FormatConfig,
    received: Received<'a>,
    leaves: &mut Leaves<'a>,
) -> Vec<u8> {
    let facts = &Facts::of(formatting, received.event);
    let classified = class::of(formatting, facts, leaves);
    let (mut document, mut observables) = (Document::new(&LAYOUT), Observables::default());
    let (document, found) = (&mut document, &mut observables);
    kind(classified, facts, document);
    metadata(formatting.ocsf_version, classified.class, received, facts, leaves, document);
    if classified.class == class::DETECTION_FINDING {
        identity::detection_finding(facts, leaves, found, document);
    } else {
        status(facts, leaves, document);
    }
    if classified.class != class::BASE_EVENT {
        people::fill(classified.class, facts, leaves, found, document);
    }
    match classified.class {
        class::AUTHENTICATION => identity::authentication(facts, leaves, found, document),
        class::ACCOUNT_CHANGE => identity::account_change(facts, leaves, found, document),
        class::ENTITY_MANAGEMENT => identity::entity_management(leaves, found, document),
        class::USER_ACCESS => identity::user_access(facts, leaves, found, document),
        class::GROUP_MANAGEMENT => identity::group_management(facts, leaves, found, document),
        class::API_ACTIVITY => api::fill(facts.event, leaves, found, document),
        _ => {}
    }
    if let Event::Interaction(run) = facts.event
        && let Interaction::Summary(summary) = &run.interaction
    {
        run_times(summary, run.flow.completed_at, leaves, document);
    }
    observables.finish(document);
    document.text(const { field("message") }, &facts.message());
    rest(formatting, received, leaves, document);
    document.to_bytes()
}

/// Sets `unmapped`, and the original event if it is needed or configured. An original that is too long for
/// its field becomes a field of `unmapped`.
fn rest(
    formatting: &FormatConfig,
    received: Received<'_>,
    leaves: &mut Leaves<'_>,
    document: &mut Document,
) {
    let original = leaves.original(received);
    let original = original.or_else(|| formatting.original.then(|| one_line(received)));
    let (short, long) = match &original {
        Some(text) if text.len() > MAX_TEXT_CHARS => (None, Some(&**text)),
        text => (text.as_deref(), None),
    };
    let mut name = "_raw_data".to_owned();
    while long.is_some() && leaves.has_rest(&name) {
        name.insert(0, '_');
    }
    let long = long.map(|text| (&*name, text));
    document.try_write(const { field("unmapped") }, |out| leaves.write_rest("unmapped", long, out));
    if let Some(text) = short {
        document.whole_text(const { field("raw_data") }, text);
    }
}

/// Sets class, activity and severity, as numbers and as captions.
fn kind(classified: OcsfActivity, facts: &Facts<'_>, document: &mut Document) {
    let OcsfActivity { class, activity } = classified;
    let (class_uid, activity_id) = (i64::from(class), i64::from(activity));
    let name = class::activity_name(classified);
    // Only the activity "Other" allows a caption of one's own.
    let caption = if name == "Other" { own_caption(facts) } else { name };
    let (severity_id, severity) = match facts.severity {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
    };
    for (field, value) in [
        (const { field("class_uid") }, class_uid),
        (const { field("category_uid") }, class_uid / 1000),
        (const { field("activity_id") }, activity_id),
        (const { field("type_uid") }, class_uid * 100 + activity_id),
        (const { field("severity_id") }, severity_id),
        (const { field("time") }, facts.event.time().timestamp_millis()),
        (const { field("timezone_offset") }, 0),
    ] {
        document.plain(field, value);
    }
    let type_name = format!("{}: {name}", class::class_name(class));
    for (field, value) in [
        (const { field("class_name") }, class::class_name(class)),
        (const { field("category_name") }, class::category_name(class)),
        (const { field("activity_name") }, caption),
        (const { field("type_name") }, &type_name),
        (const { field("severity") }, severity),
    ] {
        document.text(field, value);
    }
}

/// Sets start, end and duration of a summarised flow run, in ms.
fn run_times(
    summary: &RunSummary<'_>,
    ended_at: Option<DateTime<Utc>>,
    leaves: &mut Leaves<'_>,
    document: &mut Document,
) {
    if let Some(at) = summary.started_at {
        leaves.copied(&["start_time"], const { slot("~/summary/startedAt") });
        document.plain(const { field("start_time") }, at.timestamp_millis());
    }
    if let Some(at) = ended_at {
        leaves.copied(&["end_time"], const { slot("~/tsEms") });
        document.plain(const { field("end_time") }, at.timestamp_millis());
    }
    if let Some(duration) = summary.duration_ms.filter(|duration| *duration >= 0) {
        let from = const { &any_of(["~/summary/durationMs"]) };
        leaves.take(&["duration"], from, |text| text == duration.to_string());
        document.plain(const { field("duration") }, duration);
    }
}

fn own_caption<'f>(facts: &'f Facts<'_>) -> &'f str {
    match facts.event {
        Event::Interaction(run) => match &run.interaction {
            Interaction::CustomAnalytics(_) => "Custom Analytics",
            Interaction::StartInteraction(_) => "Start Interaction",
            Interaction::ReceiveRequest(_) => "Receive Request",
            Interaction::SendResponse(_) => "Send Response",
            Interaction::SendErrorResponse(_) => "Send Error Response",
            Interaction::Summary(_) => "Interaction Summary",
        },
        Event::DeliveryTest(_) => "Other",
        Event::Admin(_) | Event::Other(_) => &facts.entry.title,
    }
}

fn metadata(
    version: OcsfVersion,
    class: u16,
    received: Received<'_>,
    facts: &Facts<'_>,
    leaves: &mut Leaves<'_>,
    document: &mut Document,
) {
    let event = facts.event;
    for (field, value) in [
        (const { field("metadata.version") }, version.as_str()),
        (const { field("metadata.product.name") }, &facts.product.name),
        (const { field("metadata.product.vendor_name") }, "Ping Identity"),
        (const { field("metadata.product.lang") }, "en"),
        (const { field("metadata.log_name") }, facts.product.log),
        (const { field("metadata.log_provider") }, "PingOne"),
    ] {
        document.text(field, value);
    }
    if has_actor_by_profile(version, class) {
        document.texts(const { field("metadata.profiles") }, ["host"]);
    }
    let logged_at = event.envelope().recorded_at.timestamp_millis();
    document.plain(const { field("metadata.logged_time") }, logged_at);
    document.plain(const { field("metadata.processed_time") }, received.received_at);
    if let Some(id) = event.environment_id() {
        document.text(const { field("metadata.tenant_uid") }, id);
        if leaves.string_at(COMPANY).is_some_and(|company| company == id) {
            leaves.take_text(&["metadata.tenant_uid"], const { &any_of(["~/companyId"]) });
        }
    }
    // From 1.7 on, the schema has a field for the event's id in its product.
    if version == OcsfVersion::V1_8 && leaves.has_text(const { slot("/id") }) {
        document.text(const { field("metadata.original_event_uid") }, &event.envelope().id);
    }
    document.fill(&FIELDS, leaves);
}

/// Returns whether a class has `actor` in the profile `host` only.
fn has_actor_by_profile(version: OcsfVersion, class: u16) -> bool {
    match (version, class) {
        (_, class::DETECTION_FINDING) => true,
        (OcsfVersion::V1_3, class) => {
            matches!(class, class::ENTITY_MANAGEMENT | class::USER_ACCESS | class::GROUP_MANAGEMENT)
        }
        (OcsfVersion::V1_8, _) => false,
    }
}

/// Sets the status. The status of `result` is shown only if it does not contradict the outcome.
fn status(facts: &Facts<'_>, leaves: &mut Leaves<'_>, document: &mut Document) {
    let (event, outcome) = (facts.event, facts.outcome);
    let result = event.envelope().result.as_ref();
    let agrees = result.is_some_and(|result| result.outcome() == outcome);
    let reported = event.flow().and_then(|flow| flow.reported.outcome());
    let contradicts =
        reported.is_some_and(|stated| stated != outcome && stated != Outcome::Unknown);
    let from: &Alternatives = match (contradicts, agrees) {
        (false, true) => const { &any_of(["~/outcomeStatus", "/result/status"]) },
        (false, false) => const { &any_of(["~/outcomeStatus"]) },
        (true, true) => const { &any_of(["/result/status"]) },
        (true, false) => const { &any_of([]) },
    };
    let code = leaves.take_text(&["status_code"], from);
    let (id, caption) = match (outcome, &code) {
        (Outcome::Success, _) => (1, "Success"),
        (Outcome::Failure, _) => (2, "Failure"),
        // The flow author's own word, which the schema does not define.
        (Outcome::Unknown, Some(word)) => (99, &**word),
        (Outcome::Unknown, None) => (0, "Unknown"),
    };
    document.plain(const { field("status_id") }, id);
    document.text(const { field("status") }, caption);
    if let Some(code) = &code {
        document.text(const { field("status_code") }, code);
    }
}
