//! Bytes to events, without I/O: the only path that knows PingOne's JSON.
//!
//! Well-formed elements are read one after the other ([`elements`]); around what is broken, a body is
//! split by structure alone ([`split`]), so that it cannot take its neighbours along; wrappers are opened
//! ([`shape`]); each element is then typed on its own ([`envelope`], [`interaction`]) or refused with a
//! reason and a JSON path. The bytes of an element
//! are never copied or changed. Whatever an authenticated stranger sends gets a verdict: time and
//! memory grow linearly with the body, and nothing here recurses on its content.

mod elements;
mod envelope;
mod interaction;
mod json_path;
mod members;
mod read;
mod refusal;
mod shape;
mod split;

pub use json_path::JsonPath;
pub use refusal::{Reason, Refusal};
pub use split::MAX_DEPTH;

use crate::event::{Event, Finding};
use crate::json::Tape;
use members::Members;
use read::Findings;
use split::Piece;

/// Elements one body may hold: forty times what PingOne sends at most, and a bound on the
/// bookkeeping that a body made of `[1,1,1,…` can cause.
pub const MAX_ELEMENTS: usize = 20_000;

/// Elements of one body that are refused one by one. Beyond it, the body as a whole is refused: its
/// bytes are kept once, instead of as thousands of entries.
pub const MAX_REFUSED: usize = 1000;

/// One element of a body, and what became of it.
#[derive(Debug)]
pub struct Element<'a> {
    /// Position in the body, from 0, over all of its records.
    pub index: usize,
    /// Where in the body it stands.
    pub path: JsonPath,
    /// Its bytes, exactly as received.
    pub raw: &'a [u8],
    /// The event, or why it is none. The refusal's path starts at the body's root.
    pub verdict: Result<Typed<'a>, Refusal>,
}

/// A typed event and what was odd about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed<'a> {
    /// The event.
    pub event: Event<'a>,
    /// Deviations that did not prevent typing it.
    pub findings: Vec<Finding>,
}

/// Splits a body of any accepted shape into elements and types each of them.
///
/// With `strict`, an element with findings is refused. Fails only when the body as a whole cannot be
/// parsed: it is empty, holds not one well-formed JSON value, more than [`MAX_ELEMENTS`], or more
/// than [`MAX_REFUSED`] that are no events.
pub fn body(bytes: &[u8], strict: bool) -> Result<Vec<Element<'_>>, Refusal> {
    let mut elements = Vec::new();
    each(bytes, strict, |element| elements.push(element))?;
    Ok(elements)
}

/// Does the same as [`body`], and hands out each element as soon as it is typed: hundreds of typed
/// events need not be held at once.
///
/// Returns the findings of the body itself. What was handed out counts for nothing if this fails in the end.
pub fn each<'a>(
    bytes: &'a [u8],
    strict: bool,
    take: impl FnMut(Element<'a>),
) -> Result<Vec<Finding>, Refusal> {
    elements::each(bytes, strict, take)
}

/// Reports that a body holds no more than white space and a byte order mark.
pub fn is_blank(bytes: &[u8]) -> bool {
    split::is_blank(bytes)
}

/// Types one event again from bytes that [`body`] accepted before.
pub fn event(raw: &[u8]) -> Result<Typed<'_>, Refusal> {
    let mut tape = Tape::default();
    typed(&elements::open(&Piece::whole(split::trim(raw)), &mut tape)?)
}

fn typed<'a>(members: &Members<'_, 'a>) -> Result<Typed<'a>, Refusal> {
    let mut findings = Findings::default();
    let envelope = envelope::read(members, &mut findings)?;
    let event = match envelope.action.kind.as_ref() {
        "EVENT_DELIVERY_TEST" => Event::DeliveryTest(envelope),
        kind if kind.starts_with("DAVINCI_INTERACTION.") => {
            interaction::read(members, envelope, &mut findings)?
        }
        kind if kind.starts_with("DAVINCI.") => Event::Admin(envelope),
        _ => Event::Other(envelope),
    };
    Ok(Typed { event, findings: findings.into_vec() })
}

#[cfg(test)]
mod tests;
