//! Reads the fields that every PingOne activity has. A wrong required field refuses the event, any
//! other one leaves a finding.

use std::borrow::Cow;

use super::field_reader::{FieldReader, Findings, ReadKind, parse_time};
use super::fields::{Field, FieldNames, ObjectFields};
use super::refusal::{Refusal, RefusalReason};
use crate::event::{
    Action, Actor, Envelope, FindingKind, Resource, ResultBlock, RiskLevel, Source,
};

/// Every field seen on an activity, in webhooks or in the audit API, and `origin`, the mark of fetched events.
const KNOWN: FieldNames<15> = FieldNames::new([
    "id",
    "recordedAt",
    "createdAt",
    "correlationId",
    "internalCorrelation",
    "action",
    "actors",
    "resources",
    "result",
    "source",
    "subscriptionName",
    "tags",
    "_embedded",
    "_links",
    "origin",
]);

/// Reads the fields of the outer object.
///
/// # Errors
///
/// A required field is missing or has the wrong type.
pub(super) fn read<'a>(
    fields: &ObjectFields<'_, 'a>,
    findings: &mut Findings,
) -> Result<Envelope<'a>, Refusal> {
    let mut root = FieldReader::new(fields, "$", findings);
    root.note_unknown(&KNOWN);
    let id = required(&mut root, "id", "$.id")?;
    // Only a string with escapes can hold half a surrogate pair.
    let is_doubtful = matches!(id, Cow::Owned(_)) && id.contains(char::REPLACEMENT_CHARACTER);
    let id_exact = root.raw(&["id"]).filter(|_| is_doubtful);
    let id_exact = id_exact.and_then(|(_, field)| field.exact_text());
    let (recorded_at_text, recorded_at) = recorded_at(&mut root)?;
    let correlation_id = root.text(&["correlationId"]);
    let subscription_name = root.text(&["subscriptionName"]);
    let correlation = root.object(&["internalCorrelation"]);
    root.declare(&["action"], ReadKind::RequiredObject);
    let action = root.raw(&["action"]).ok_or_else(|| Refusal::missing("$.action", "action"))?;
    let action = action
        .1
        .object()
        .ok_or_else(|| Refusal::wrong_type("$.action", "an object with a string `type`"))?;
    let actors = actors(&mut root);
    let result = root.object(&["result"]);
    let source = root.object(&["source"]);
    let resources = resources(&mut root);

    let mut reader = FieldReader::new(&action, "$.action", findings);
    let action = Action {
        kind: required(&mut reader, "type", "$.action.type")?,
        description: reader.text(&["description"]),
    };
    let (transaction_id, session_id) = correlation.map_or((None, None), |fields| {
        let mut reader = FieldReader::new(&fields, "$.internalCorrelation", findings);
        (reader.text(&["transactionId"]), reader.text(&["sessionId"]))
    });
    let [user, client] = match actors {
        Actors::ByName(fields) => {
            let mut reader = FieldReader::new(&fields, "$.actors", findings);
            let [user, client] = [reader.object(&["user"]), reader.object(&["client"])];
            [
                user.map(|user| actor(&user, "$.actors.user", findings)),
                client.map(|client| actor(&client, "$.actors.client", findings)),
            ]
        }
        Actors::Listed(list) => ["USER", "CLIENT"].map(|kind| {
            let fields = list.iter().find(|fields| has_type(fields, kind))?;
            Some(actor(fields, "$.actors[]", findings))
        }),
    };
    let result = result.map(|fields| {
        let mut reader = FieldReader::new(&fields, "$.result", findings);
        ResultBlock { status: reader.text(&["status"]), description: reader.text(&["description"]) }
    });
    let source = source.map(|fields| {
        let mut reader = FieldReader::new(&fields, "$.source", findings);
        Source { ip_address: reader.text(&["ipAddress"]), user_agent: reader.text(&["userAgent"]) }
    });
    let risk_level = risk_level(fields, &action.kind);
    let resources = resources
        .iter()
        .enumerate()
        .map(|(index, fields)| resource(fields, &format!("$.resources[{index}]"), findings))
        .collect();
    Ok(Envelope {
        id,
        id_exact,
        recorded_at,
        recorded_at_text,
        correlation_id,
        transaction_id,
        session_id,
        action,
        user,
        client,
        resources,
        result,
        source,
        risk_level,
        subscription_name,
    })
}

/// Reads the level of a risk evaluation. A staged evaluation is a test of a policy and has none.
fn risk_level(fields: &ObjectFields<'_, '_>, kind: &str) -> Option<RiskLevel> {
    if !matches!(kind, "RISK_EVALUATION.CREATED" | "RISK_EVALUATION.UPDATED") {
        return None;
    }
    let embedded = fields.get("_embedded")?.0.object()?;
    let evaluation = embedded.get("riskEvaluation")?.0.object()?;
    let result = evaluation.get("result")?.0.object()?;
    let level = result.get("level").and_then(|(field, _)| field.text())?;
    match &*level.to_ascii_uppercase() {
        "LOW" => Some(RiskLevel::Low),
        "MEDIUM" => Some(RiskLevel::Medium),
        "HIGH" => Some(RiskLevel::High),
        _ => None,
    }
}

/// Reads a required string field that must not be empty.
///
/// # Errors
///
/// The field is missing, empty, or not a string.
pub(super) fn required<'a>(
    reader: &mut FieldReader<'_, '_, 'a>,
    name: &'static str,
    path: &str,
) -> Result<Cow<'a, str>, Refusal> {
    reader.declare(&[name], ReadKind::RequiredText);
    let (_, field) = reader.raw(&[name]).ok_or_else(|| Refusal::missing(path, name))?;
    match field.text() {
        // Reads the string again, because only the reader records findings. Strings without escapes
        // skip this.
        Some(Cow::Owned(text)) if !text.is_empty() => {
            Ok(reader.text(&[name]).unwrap_or(text.into()))
        }
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(Refusal::wrong_type(path, "a string that is not empty")),
    }
}

fn recorded_at<'a>(
    root: &mut FieldReader<'_, '_, 'a>,
) -> Result<(Cow<'a, str>, chrono::DateTime<chrono::Utc>), Refusal> {
    const PATH: &str = "$.recordedAt";
    let text = required(root, "recordedAt", PATH)?;
    root.declare(&["recordedAt"], ReadKind::Time);
    let Some((time, finding)) = parse_time(&text) else {
        let detail = "not an RFC 3339 timestamp such as 2024-02-15T16:07:03.995Z";
        return Err(Refusal::new(RefusalReason::BadTimestamp, PATH, detail));
    };
    if let Some(finding) = finding {
        root.note(finding, "recordedAt");
    }
    Ok((text, time))
}

/// `actors`: an object in every documented event, a list in some others.
enum Actors<'t, 'a> {
    ByName(ObjectFields<'t, 'a>),
    Listed(Vec<ObjectFields<'t, 'a>>),
}

/// Reads `actors`. A list is read with a finding.
fn actors<'t, 'a>(root: &mut FieldReader<'_, 't, 'a>) -> Actors<'t, 'a> {
    root.declare(&["actors"], ReadKind::Object);
    let Some((name, field)) = root.raw(&["actors"]) else { return Actors::Listed(Vec::new()) };
    if let Some(fields) = field.object() {
        return Actors::ByName(fields);
    }
    let list = field.listed();
    let kind = if list.is_some() { FindingKind::CoercedType } else { FindingKind::WrongType };
    root.note(kind, name);
    let (list, _) = list.unwrap_or_default();
    Actors::Listed(list.iter().filter_map(Field::object).collect())
}

fn has_type(fields: &ObjectFields<'_, '_>, kind: &str) -> bool {
    let found = fields.get("type").and_then(|(field, _)| field.text());
    found.is_some_and(|found| found.eq_ignore_ascii_case(kind))
}

/// Reads `resources`: an array of objects, or one object.
fn resources<'t, 'a>(root: &mut FieldReader<'_, 't, 'a>) -> Vec<ObjectFields<'t, 'a>> {
    root.declare(&["resources"], ReadKind::Objects);
    let Some((name, field)) = root.raw(&["resources"]) else { return Vec::new() };
    if let Some(one) = field.object() {
        return vec![one];
    }
    let Some((list, more)) = field.listed() else {
        root.note(FindingKind::WrongType, name);
        return Vec::new();
    };
    let fields: Vec<_> = list.iter().filter_map(Field::object).collect();
    if more || fields.len() < list.len() {
        root.note(FindingKind::WrongType, name);
    }
    fields
}

fn resource<'a>(
    fields: &ObjectFields<'_, 'a>,
    path: &str,
    findings: &mut Findings,
) -> Resource<'a> {
    let mut reader = FieldReader::new(fields, path, findings);
    Resource {
        id: reader.text(&["id"]),
        kind: reader.text(&["type"]),
        name: reader.text(&["name"]),
        environment_id: environment_id(reader.object(&["environment"])),
        href: reader.text(&["href"]),
    }
}

fn actor<'a>(fields: &ObjectFields<'_, 'a>, path: &str, findings: &mut Findings) -> Actor<'a> {
    let mut reader = FieldReader::new(fields, path, findings);
    Actor {
        id: reader.text(&["id"]),
        name: reader.text(&["name"]),
        kind: reader.text(&["type"]),
        environment_id: environment_id(reader.object(&["environment"])),
    }
}

fn environment_id<'a>(fields: Option<ObjectFields<'_, 'a>>) -> Option<Cow<'a, str>> {
    fields.and_then(|fields| fields.get("id")).and_then(|(field, _)| field.text())
}
