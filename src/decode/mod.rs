//! Bytes to events, without I/O: the only place that knows PingOne's JSON.
//!
//! A body is split into elements by structure alone ([`split`]), so that one broken element cannot
//! take its neighbours along; wrappers are opened ([`shape`]); each element is then typed on its own
//! ([`envelope`], [`interaction`]) or refused with a reason and a JSON path. The bytes of an element
//! are never copied or changed. Whatever an authenticated stranger sends gets a verdict: time and
//! memory grow linearly with the body, and nothing here recurses on its content.

mod envelope;
mod interaction;
mod members;
mod place;
mod read;
mod refusal;
mod shape;
mod split;

pub use place::Place;
pub use refusal::{Reason, Refusal};
pub use split::MAX_DEPTH;

use crate::event::{Event, Finding};
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
    pub place: Place,
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
/// events need not be held at once. What was handed out counts for nothing if this fails in the end.
pub fn each<'a>(
    bytes: &'a [u8],
    strict: bool,
    mut take: impl FnMut(Element<'a>),
) -> Result<(), Refusal> {
    let mut elements = Elements { take: &mut take, count: 0, refused: 0, first_refusal: None };
    let pieces = split::records(bytes)?;
    let mut well_formed = pieces.is_empty();
    for piece in pieces {
        well_formed |= element(piece, strict, &mut elements)?;
    }
    if elements.refused > MAX_REFUSED {
        return Err(Refusal::too_many_refused(MAX_REFUSED));
    }
    if well_formed {
        return Ok(());
    }
    Err(elements.first_refusal.unwrap_or_else(Refusal::empty))
}

/// Where elements go, and what has to be known about all of them.
struct Elements<'t, 'a> {
    take: &'t mut dyn FnMut(Element<'a>),
    count: usize,
    refused: usize,
    first_refusal: Option<Refusal>,
}

/// Types one event again from bytes that [`body`] accepted before.
pub fn event(raw: &[u8]) -> Result<Typed<'_>, Refusal> {
    typed(&open(&Piece::whole(raw))?)
}

/// Opens one piece; hands it, or what it wraps, to `elements`. Tells whether it was well-formed.
fn element<'a>(
    piece: Piece<'a>,
    strict: bool,
    elements: &mut Elements<'_, 'a>,
) -> Result<bool, Refusal> {
    let opened = match open(&piece) {
        Ok(members) => shape::unwrap(&members, piece.place)?.map_or(Ok(members), Err),
        Err(refusal) => {
            let well_formed = refusal.reason.is_well_formed();
            push(elements, &piece, Err(refusal))?;
            return Ok(well_formed);
        }
    };
    match opened {
        Ok(members) => {
            push(elements, &piece, typed(&members).and_then(|typed| check(typed, strict)))?;
        }
        Err(inner) => {
            for piece in inner {
                element(piece, strict, elements)?;
            }
        }
    }
    Ok(true)
}

fn push<'a>(
    elements: &mut Elements<'_, 'a>,
    piece: &Piece<'a>,
    verdict: Result<Typed<'a>, Refusal>,
) -> Result<(), Refusal> {
    if elements.count == MAX_ELEMENTS {
        return Err(Refusal::too_many(MAX_ELEMENTS));
    }
    let verdict = verdict.map_err(|refusal| refusal.below(piece.place));
    if let Err(refusal) = &verdict {
        elements.refused += 1;
        elements.first_refusal.get_or_insert_with(|| refusal.clone());
    }
    let index = elements.count;
    elements.count += 1;
    (elements.take)(Element { index, place: piece.place, raw: piece.bytes, verdict });
    Ok(())
}

/// The members of a piece, if it is a well-formed JSON object.
fn open<'a>(piece: &Piece<'a>) -> Result<Members<'a>, Refusal> {
    if piece.depth > MAX_DEPTH {
        return Err(Refusal::too_deep(MAX_DEPTH));
    }
    let text = std::str::from_utf8(piece.bytes).map_err(|error| Refusal::invalid_utf8(&error))?;
    Members::parse(text)
}

fn typed<'a>(members: &Members<'a>) -> Result<Typed<'a>, Refusal> {
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

fn check(typed: Typed<'_>, strict: bool) -> Result<Typed<'_>, Refusal> {
    match typed.findings.first() {
        Some(finding) if strict => Err(Refusal::finding(finding)),
        _ => Ok(typed),
    }
}

#[cfg(test)]
mod tests;
