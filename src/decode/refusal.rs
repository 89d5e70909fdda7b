//! Refusal of an element or a body: a reason from a fixed set for metrics, a JSON path, and a
//! sentence for operators.

use super::JsonPath;
use crate::event::Finding;

/// Refusal of an element, or of a whole body. The bytes go to quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Kind of the refusal, for metrics and filters.
    pub reason: RefusalReason,
    /// JSON path from the root of the body.
    pub path: String,
    /// Explanation for operators. Holds no value of the event.
    pub detail: String,
}

/// Kinds of refusal. The set is small and fixed, because it labels a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// The bytes are not well-formed JSON.
    Syntax,
    /// The bytes are not UTF-8.
    InvalidUtf8,
    /// The element nests deeper than [`super::MAX_DEPTH`].
    TooDeep,
    /// The element is well-formed JSON but not an object.
    NotAnObject,
    /// A required field is missing.
    MissingField,
    /// A required field has the wrong type or is empty.
    WrongType,
    /// `recordedAt` is not an RFC 3339 timestamp.
    BadTimestamp,
    /// The element has findings and the source is strict.
    Finding,
    /// The body is empty, or ends before its first element.
    EmptyBody,
    /// The body has more than [`super::MAX_ELEMENTS`] elements, or more than [`super::MAX_REFUSED`]
    /// refused ones.
    TooManyElements,
}

impl RefusalReason {
    /// Every reason.
    pub const ALL: [RefusalReason; 10] = [
        RefusalReason::Syntax,
        RefusalReason::InvalidUtf8,
        RefusalReason::TooDeep,
        RefusalReason::NotAnObject,
        RefusalReason::MissingField,
        RefusalReason::WrongType,
        RefusalReason::BadTimestamp,
        RefusalReason::Finding,
        RefusalReason::EmptyBody,
        RefusalReason::TooManyElements,
    ];

    /// Returns the name used in metrics, listings and filters.
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalReason::Syntax => "syntax",
            RefusalReason::InvalidUtf8 => "invalid_utf8",
            RefusalReason::TooDeep => "too_deep",
            RefusalReason::NotAnObject => "not_an_object",
            RefusalReason::MissingField => "missing_field",
            RefusalReason::WrongType => "wrong_type",
            RefusalReason::BadTimestamp => "bad_timestamp",
            RefusalReason::Finding => "finding",
            RefusalReason::EmptyBody => "empty_body",
            RefusalReason::TooManyElements => "too_many_elements",
        }
    }

    /// Returns whether the refused bytes were JSON. A body without one JSON element is refused as a
    /// whole.
    pub(super) fn is_well_formed(self) -> bool {
        !matches!(self, RefusalReason::Syntax | RefusalReason::InvalidUtf8)
    }
}

impl Refusal {
    pub(super) fn new(reason: RefusalReason, path: &str, detail: impl Into<String>) -> Refusal {
        Refusal { reason, path: path.to_owned(), detail: detail.into() }
    }

    pub(super) fn missing(path: &str, what: &str) -> Refusal {
        Refusal::new(RefusalReason::MissingField, path, format!("{what} is required and missing"))
    }

    pub(super) fn wrong_type(path: &str, wanted: &str) -> Refusal {
        Refusal::new(RefusalReason::WrongType, path, format!("{wanted} is required here"))
    }

    pub(super) fn empty() -> Refusal {
        Refusal::new(RefusalReason::EmptyBody, "$", "the body is empty; did a proxy drop it?")
    }

    pub(super) fn cut_before_all() -> Refusal {
        let detail = "the body is an array that ends before its first element; did a proxy cut it?";
        Refusal::new(RefusalReason::EmptyBody, "$", detail)
    }

    pub(super) fn too_many(limit: usize) -> Refusal {
        Refusal::new(
            RefusalReason::TooManyElements,
            "$",
            format!("more than {limit} elements in one body"),
        )
    }

    pub(super) fn too_many_refused(limit: usize) -> Refusal {
        let detail = format!("more than {limit} elements of this body are no events");
        Refusal::new(RefusalReason::TooManyElements, "$", detail)
    }

    pub(super) fn too_deep(limit: u32) -> Refusal {
        Refusal::new(RefusalReason::TooDeep, "$", format!("nested more than {limit} levels deep"))
    }

    pub(super) fn invalid_utf8(error: &std::str::Utf8Error) -> Refusal {
        let offset = error.valid_up_to();
        Refusal::new(
            RefusalReason::InvalidUtf8,
            "$",
            format!("not UTF-8 at byte {offset} of the element"),
        )
    }

    pub(super) fn syntax(error: &serde_json::Error) -> Refusal {
        // serde_json's messages name positions and expectations, never the text itself.
        Refusal::new(
            RefusalReason::Syntax,
            "$",
            format!("not well-formed JSON: {error} of the element"),
        )
    }

    pub(super) fn finding(finding: &Finding) -> Refusal {
        let detail = format!("strict is on, and this is a finding: {}", finding.kind.as_str());
        Refusal::new(RefusalReason::Finding, &finding.path, detail)
    }

    /// Returns the same refusal with its path relative to the body's root instead of the element's.
    pub(super) fn below(mut self, path: JsonPath) -> Refusal {
        self.path.replace_range(..1, &path.to_string());
        self
    }
}
