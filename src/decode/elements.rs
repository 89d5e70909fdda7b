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

/// Reader of the elements of one body, which may arrive in pieces. The result does not depend on the pieces.
#[derive(Debug)]
pub struct ElementReader {
    is_strict: bool,
    /// Index of the next element of the outermost array; `None` before its opening bracket.
    next: Option<usize>,
    count: usize,
    refused: usize,
    /// True if at least one record was well-formed JSON.
    has_json: bool,
    first_refusal: Option<Refusal>,
    findings: Vec<Finding>,
    /// Refusal of the body as a whole, before its end.
    refusal: Option<Refusal>,
}

impl ElementReader {
    /// Creates a reader. With `is_strict`, an element with findings is refused.
    pub fn new(is_strict: bool) -> ElementReader {
        ElementReader {
            is_strict,
            next: None,
            count: 0,
            refused: 0,
            has_json: false,
            first_refusal: None,
            findings: Vec::new(),
            refusal: None,
        }
    }

    /// Reads the elements that `bytes` certainly contains: the events of the outermost array, up to the first element
    /// that is incomplete, malformed, refused or a wrapper. Returns the number of bytes read. The next call, or
    /// [`finish`](Self::finish), continues with the byte after them.
    pub fn feed<'a>(&mut self, bytes: &'a [u8], mut take: impl FnMut(Element<'a>)) -> usize {
        if self.refusal.is_some() {
            return 0;
        }
        let mut next = self.next;
        let mut elements =
            Elements { take: &mut take, tape: Tape::default(), reader: self, is_partial: true };
        let read = split::leading_objects(bytes, &mut next, &mut elements);
        self.next = next;
        read.unwrap_or_else(|refusal| {
            self.refusal = Some(refusal);
            0
        })
    }

    /// Reads the rest of the body and returns the findings of the body itself.
    ///
    /// # Errors
    ///
    /// See [`super::body`]. Then all elements passed to `take` before must be discarded.
    pub fn finish<'a>(
        mut self,
        rest: &'a [u8],
        mut take: impl FnMut(Element<'a>),
    ) -> Result<Vec<Finding>, Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let next = self.next;
        let mut elements = Elements {
            take: &mut take,
            tape: Tape::default(),
            reader: &mut self,
            is_partial: false,
        };
        match next {
            Some(next) => split::records_after(rest, next, &mut elements)?,
            None => split::records(rest, &mut elements)?,
        }
        if self.refused > MAX_REFUSED {
            return Err(Refusal::too_many_refused(MAX_REFUSED));
        }
        let is_truncated = |finding: &Finding| finding.kind == FindingKind::TruncatedArray;
        if self.count == 0 && self.findings.iter().any(is_truncated) {
            return Err(Refusal::cut_before_all());
        }
        match self.first_refusal {
            Some(refusal) if !self.has_json => Err(refusal),
            _ => Ok(self.findings),
        }
    }
}

/// One pass over a part of a body.
struct Elements<'t, 'a> {
    take: &'t mut dyn FnMut(Element<'a>),
    tape: Tape<'a>,
    reader: &'t mut ElementReader,
    /// True before the last byte of the body has arrived. Then only events are taken, until the first refused element:
    /// refused elements and the contents of wrappers can take much more memory than their bytes, and a slow sender
    /// would hold it for as long as it likes.
    is_partial: bool,
}

impl<'a> RecordVisitor<'a> for Elements<'_, 'a> {
    fn object(&mut self, text: &'a str, path: JsonPath) -> Result<Option<usize>, Refusal> {
        if self.is_partial && self.reader.refused > 0 {
            return Ok(None);
        }
        let extent = self.tape.read(text).filter(|extent| extent.depth <= MAX_DEPTH);
        let Some(extent) = extent else { return Ok(None) };
        if self.tape.is_too_large() {
            return Ok(None);
        }
        let bytes = &text.as_bytes()[..extent.end];
        let is_taken = self.opened(&Piece { bytes, path, depth: extent.depth })?;
        Ok(is_taken.then_some(extent.end))
    }

    fn piece(&mut self, piece: Piece<'a>) -> Result<(), Refusal> {
        match open(&piece, &mut self.tape) {
            Ok(_) => self.opened(&piece).map(drop),
            Err(refusal) => {
                self.reader.has_json |= refusal.reason.is_well_formed();
                self.push(&piece, Err(refusal))
            }
        }
    }

    fn truncated(&mut self, path: JsonPath) {
        self.note(FindingKind::TruncatedArray, path.to_string());
    }
}

impl<'a> Elements<'_, 'a> {
    /// Handles a piece whose fields are on the tape: unwraps a wrapper, or types an event. Returns false for a wrapper
    /// that is left for the end of the body.
    fn opened(&mut self, piece: &Piece<'a>) -> Result<bool, Refusal> {
        let fields = ObjectFields::of(self.tape.nodes());
        let Some(Wrapped { value, path, siblings }) = shape::unwrap(&fields, piece.path) else {
            self.reader.has_json = true;
            let verdict = typed(&fields).and_then(|typed| check(typed, self.reader.is_strict));
            return self.push(piece, verdict).map(|()| true);
        };
        if self.is_partial {
            return Ok(false);
        }
        self.reader.has_json = true;
        self.wrapped(value, path)?;
        for Sibling { path, value, holds_events } in siblings {
            self.note(FindingKind::WrapperSibling, path);
            if holds_events {
                self.wrapped(value, piece.path.any_field())?;
            }
        }
        Ok(true)
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
        let kind = match self.reader.findings.len() {
            MAX_FINDINGS.. => return,
            length if length + 1 == MAX_FINDINGS => FindingKind::More,
            _ => kind,
        };
        self.reader.findings.push(Finding { kind, path });
    }

    fn push(
        &mut self,
        piece: &Piece<'a>,
        verdict: Result<TypedEvent<'a>, Refusal>,
    ) -> Result<(), Refusal> {
        if self.reader.count == MAX_ELEMENTS {
            return Err(Refusal::too_many(MAX_ELEMENTS));
        }
        let verdict = verdict.map_err(|refusal| refusal.below(piece.path));
        if let Err(refusal) = &verdict {
            self.reader.refused += 1;
            self.reader.first_refusal.get_or_insert_with(|| refusal.clone());
        }
        let index = self.reader.count;
        self.reader.count += 1;
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

fn check(typed: TypedEvent<'_>, is_strict: bool) -> Result<TypedEvent<'_>, Refusal> {
    let is_deviation = |finding: &&Finding| finding.kind != FindingKind::UnlistedType;
    match typed.findings.iter().find(is_deviation) {
        Some(finding) if is_strict => Err(Refusal::finding(finding)),
        _ => Ok(typed),
    }
}
