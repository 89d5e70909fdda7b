//! Reads the elements of a body, each with its verdict, in one pass where they are well-formed.

use super::fields::ObjectFields;
use super::shape::{self, Sibling, Wrapped};
use super::split::{self, MAX_DEPTH, Piece, RecordVisitor, SourceText};
use super::{
    Element, JsonPath, MAX_ELEMENTS, MAX_REFUSED, Refusal, RefusalReason, TypedEvent, typed,
};
use crate::event::{Finding, FindingKind};
use crate::json::{MAX_NODES, Tape};

/// Maximum number of findings kept for the body itself, besides those of its events.
const MAX_FINDINGS: usize = 1000;

/// Implements [`super::each`].
///
/// # Errors
///
/// See there.
pub(super) fn each<'a>(
    bytes: &'a [u8],
    strict: bool,
    mut take: impl FnMut(Element<'a>),
) -> Result<Vec<Finding>, Refusal> {
    let mut elements = Elements {
        take: &mut take,
        strict,
        tape: Tape::default(),
        count: 0,
        refused: 0,
        has_json: false,
        first_refusal: None,
        findings: Vec::new(),
    };
    split::records(bytes, &mut elements)?;
    if elements.refused > MAX_REFUSED {
        return Err(Refusal::too_many_refused(MAX_REFUSED));
    }
    let is_truncated = |finding: &Finding| finding.kind == FindingKind::TruncatedArray;
    if elements.count == 0 && elements.findings.iter().any(is_truncated) {
        return Err(Refusal::cut_before_all());
    }
    match elements.first_refusal {
        Some(refusal) if !elements.has_json => Err(refusal),
        _ => Ok(elements.findings),
    }
}

/// State of one pass over a body.
struct Elements<'t, 'a> {
    take: &'t mut dyn FnMut(Element<'a>),
    strict: bool,
    tape: Tape<'a>,
    count: usize,
    refused: usize,
    /// True if at least one record was well-formed JSON.
    has_json: bool,
    first_refusal: Option<Refusal>,
    findings: Vec<Finding>,
}

impl<'a> RecordVisitor<'a> for Elements<'_, 'a> {
    fn object(&mut self, text: &'a str, path: JsonPath) -> Result<Option<usize>, Refusal> {
        let extent = self.tape.read(text).filter(|extent| extent.depth <= MAX_DEPTH);
        let Some(extent) = extent else { return Ok(None) };
        if self.tape.is_too_large() {
            return Ok(None);
        }
        let bytes = &text.as_bytes()[..extent.end];
        self.opened(&Piece { bytes, path, depth: extent.depth })?;
        Ok(Some(extent.end))
    }

    fn piece(&mut self, piece: Piece<'a>) -> Result<(), Refusal> {
        match open(&piece, &mut self.tape) {
            Ok(_) => self.opened(&piece),
            Err(refusal) => {
                self.has_json |= refusal.reason.is_well_formed();
                self.push(&piece, Err(refusal))
            }
        }
    }

    fn truncated(&mut self, path: JsonPath) {
        self.note(FindingKind::TruncatedArray, path.to_string());
    }
}

impl<'a> Elements<'_, 'a> {
    /// Handles a piece whose fields are on the tape: unwraps a wrapper, or types an event.
    fn opened(&mut self, piece: &Piece<'a>) -> Result<(), Refusal> {
        self.has_json = true;
        let fields = ObjectFields::of(self.tape.nodes());
        let Some(Wrapped { value, path, siblings }) = shape::unwrap(&fields, piece.path) else {
            let verdict = typed(&fields).and_then(|typed| check(typed, self.strict));
            return self.push(piece, verdict);
        };
        self.wrapped(value, path)?;
        for Sibling { path, value, holds_events } in siblings {
            self.note(FindingKind::WrapperSibling, path);
            if holds_events {
                self.wrapped(value, piece.path.any_field())?;
            }
        }
        Ok(())
    }

    /// Reads the value inside a wrapper: one object, or an array.
    fn wrapped(&mut self, value: &'a str, path: JsonPath) -> Result<(), Refusal> {
        if value.starts_with('[') {
            split::array(SourceText::from(value), 1, path, self).map(drop)
        } else {
            self.piece(Piece { path, ..Piece::whole(value.as_bytes()) })
        }
    }

    /// Records a finding about the body itself.
    fn note(&mut self, kind: FindingKind, path: String) {
        let kind = match self.findings.len() {
            MAX_FINDINGS.. => return,
            length if length + 1 == MAX_FINDINGS => FindingKind::More,
            _ => kind,
        };
        self.findings.push(Finding { kind, path });
    }

    fn push(
        &mut self,
        piece: &Piece<'a>,
        verdict: Result<TypedEvent<'a>, Refusal>,
    ) -> Result<(), Refusal> {
        if self.count == MAX_ELEMENTS {
            return Err(Refusal::too_many(MAX_ELEMENTS));
        }
        let verdict = verdict.map_err(|refusal| refusal.below(piece.path));
        if let Err(refusal) = &verdict {
            self.refused += 1;
            self.first_refusal.get_or_insert_with(|| refusal.clone());
        }
        let index = self.count;
        self.count += 1;
        (self.take)(Element { index, path: piece.path, raw: piece.bytes, verdict });
        Ok(())
    }
}

/// Returns the fields of a piece.
///
/// # Errors
///
/// The piece nests too deep, is not UTF-8, or is not one well-formed JSON object.
pub(super) fn open<'t, 'a>(
    piece: &Piece<'a>,
    tape: &'t mut Tape<'a>,
) -> Result<ObjectFields<'t, 'a>, Refusal> {
    if piece.depth > MAX_DEPTH {
        return Err(Refusal::too_deep(MAX_DEPTH));
    }
    let text = std::str::from_utf8(piece.bytes).map_err(|error| Refusal::invalid_utf8(&error))?;
    let is_object = tape.read(text).is_some_and(|extent| extent.end == text.len());
    if is_object && !tape.is_too_large() {
        return Ok(ObjectFields::of(tape.nodes()));
    }
    // The tape only says that the text is malformed; a full parser says where.
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Err(error) => Err(Refusal::syntax(&error)),
        Ok(_) => {
            let detail = format!("an event is a JSON object of at most {MAX_NODES} fields");
            Err(Refusal::new(RefusalReason::NotAnObject, "$", detail))
        }
    }
}

fn check(typed: TypedEvent<'_>, strict: bool) -> Result<TypedEvent<'_>, Refusal> {
    let is_deviation = |finding: &&Finding| finding.kind != FindingKind::UnlistedType;
    match typed.findings.iter().find(is_deviation) {
        Some(finding) if strict => Err(Refusal::finding(finding)),
        _ => Ok(typed),
    }
}
