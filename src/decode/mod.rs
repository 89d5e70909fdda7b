//! Decodes the bytes of a body into events. Pure, and the only module that knows PingOne's JSON.
//!
//! Well-formed elements are read one after the other ([`elements`]). Around a malformed element,
//! the body is split by its brackets alone ([`split`]), so that the error does not affect the
//! neighbouring elements. Wrappers are opened ([`shape`]). Each element is then typed on its own
//! ([`envelope`], [`interaction`]), or refused with a reason and a JSON path.
//!
//! The bytes of an element are never copied or changed. Time and memory grow linearly with the
//! body, and nothing recurses on its content.

mod elements;
mod envelope;
mod field_reader;
mod fields;
mod interaction;
mod json_path;
mod refusal;
mod schema;
mod shape;
mod split;

pub use elements::ElementReader;
pub use json_path::JsonPath;
pub use refusal::{Refusal, RefusalReason};
pub use schema::schema;
pub use split::MAX_DEPTH;

use crate::event::{Event, Finding, FindingKind, registry};
use crate::json::{Tape, UNLIMITED_NODES};
use field_reader::Findings;
use fields::ObjectFields;
use split::Piece;

/// Maximum number of elements in one body: forty times the largest batch that PingOne sends. Bounds
/// the memory that a body such as `[1,1,1,…` can cost.
pub const MAX_ELEMENTS: usize = 20_000;

/// Maximum number of elements of one body that are refused individually. Above it, the whole body
/// is refused and stored once, instead of as thousands of quarantine entries.
pub const MAX_REFUSED: usize = 1000;

/// One element of a body and its verdict.
#[derive(Debug)]
pub struct Element<'a> {
    /// Position in the body, from 0, over all of its records.
    pub index: usize,
    /// JSON path of the element within the body.
    pub path: JsonPath,
    /// The element's bytes, exactly as received.
    pub raw: &'a [u8],
    /// The event, or the refusal with a path from the body's root.
    pub verdict: Result<TypedEvent<'a>, Refusal>,
}

/// A typed event and its findings.
#[derive(Debug, Clone, PartialEq)]
pub struct TypedEvent<'a> {
    /// The event.
    pub event: Event<'a>,
    /// Deviations that did not prevent typing it.
    pub findings: Vec<Finding>,
}

/// Splits a body of any accepted shape into elements and types each of them. With `strict`, an
/// element with findings is refused, except for [`FindingKind::UnlistedType`].
///
/// # Errors
///
/// The body as a whole cannot be parsed: it is empty, contains no well-formed JSON value, or has
/// more than [`MAX_ELEMENTS`] elements or more than [`MAX_REFUSED`] refused ones.
pub fn body(bytes: &[u8], strict: bool) -> Result<Vec<Element<'_>>, Refusal> {
    let mut elements = Vec::new();
    each(bytes, strict, |element| elements.push(element))?;
    Ok(elements)
}

/// Does the same as [`body`], but passes each element to `take` as soon as it is typed, so that
/// hundreds of typed events need not be held in memory at once. Returns the findings of the body
/// itself.
///
/// # Errors
///
/// See [`body`]. On an error, the elements passed to `take` before must be discarded.
pub fn each<'a>(
    bytes: &'a [u8],
    strict: bool,
    take: impl FnMut(Element<'a>),
) -> Result<Vec<Finding>, Refusal> {
    ElementReader::new(strict).finish(bytes, take)
}

/// Returns whether a body consists of whitespace and at most a byte order mark.
pub fn is_blank(bytes: &[u8]) -> bool {
    split::is_blank(bytes)
}

/// Types one event again from bytes that [`body`] has accepted before.
///
/// # Errors
///
/// The bytes are not one valid event.
pub fn event(raw: &[u8]) -> Result<TypedEvent<'_>, Refusal> {
    let mut tape = Tape::default();
    typed(&elements::open(&Piece::whole(split::trim(raw)), &mut tape)?)
}

/// Types one event again, and leaves all of its fields on `tape`, a complete one.
///
/// # Errors
///
/// The bytes are not one valid event.
pub(crate) fn event_on<'a>(raw: &'a [u8], tape: &mut Tape<'a>) -> Result<TypedEvent<'a>, Refusal> {
    let fields = elements::open(&Piece::whole(split::trim(raw)), tape)?;
    // The limits of `event` decide the fields that are read of a larger event.
    if fields.count() > UNLIMITED_NODES { event(raw) } else { typed(&fields) }
}

fn typed<'a>(fields: &ObjectFields<'_, 'a>) -> Result<TypedEvent<'a>, Refusal> {
    let mut findings = Findings::default();
    let event = typed_event(fields, &mut findings)?;
    Ok(TypedEvent { event, findings: findings.found })
}

fn typed_event<'a>(
    fields: &ObjectFields<'_, 'a>,
    findings: &mut Findings,
) -> Result<Event<'a>, Refusal> {
    let envelope = envelope::read(fields, findings)?;
    Ok(match envelope.action.kind.as_ref() {
        "EVENT_DELIVERY_TEST" => Event::DeliveryTest(envelope),
        kind if kind.starts_with("DAVINCI_INTERACTION.") || kind == interaction::RUN_SUMMARY => {
            interaction::read(fields, envelope, findings)?
        }
        kind => {
            if !registry::is_listed(kind) {
                findings.note(FindingKind::UnlistedType, "$.action", "type");
            }
            let is_admin = kind.starts_with("DAVINCI.");
            if is_admin { Event::Admin(envelope) } else { Event::Other(envelope) }
        }
    })
}

#[cfg(test)]
mod tests;
