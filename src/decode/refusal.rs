//! Why something is not an event: a fixed reason for counting, a path and a sentence for people.

use super::JsonPath;
use crate::event::Finding;

/// Why an element, or a whole body, went to quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind, for metrics and filters.
    pub reason: Reason,
    /// JSON path from the root of the body.
    pub path: String,
    /// What was wrong, for people. Holds no value of the event.
    pub detail: String,
}

/// The kinds of refusal; few and fixed, so that they can label a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not well-formed JSON.
    Syntax,
    /// Not UTF-8.
    InvalidUtf8,
    /// Nested deeper than [`super::MAX_DEPTH`].
    TooDeep,
    /// Well-formed, but no JSON object.
    NotAnObject,
    /// A required member is missing.
    MissingMember,
    /// A required member has the wrong type or is empty.
    WrongType,
    /// `recordedAt` is no RFC 3339 time.
    BadTimestamp,
    /// Findings, with `strict` on.
    Finding,
    /// The body is empty, or ends before its first element.
    EmptyBody,
    /// The body has more elements than [`super::MAX_ELEMENTS`], or more refused ones than
    /// [`super::MAX_REFUSED`].
    TooManyElements,
}

impl Reason {
    /// Every one of them.
    pub const ALL: [Reason; 10] = [
        Reason::Syntax,
        Reason::InvalidUtf8,
        Reason::TooDeep,
        Reason::NotAnObject,
        Reason::MissingMember,
        Reason::WrongType,
        Reason::BadTimestamp,
        Reason::Finding,
        Reason::EmptyBody,
        Reason::TooManyElements,
    ];

    /// The name used in metrics, listings and filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Syntax => "syntax",
            Reason::InvalidUtf8 => "invalid_utf8",
            Reason::TooDeep => "too_deep",
            Reason::NotAnObject => "not_an_object",
            Reason::MissingMember => "missing_member",
            Reason::WrongType => "wrong_type",
            Reason::BadTimestamp => "bad_timestamp",
            Reason::Finding => "finding",
            Reason::EmptyBody => "empty_body",
            Reason::TooManyElements => "too_many_elements",
        }
    }

    /// Whether the bytes were JSON at all: a body without one such element is no batch.
    pub(super) fn is_well_formed(self) -> bool {
        !matches!(self, Reason::Syntax | Reason::InvalidUtf8)
    }
}

impl Refusal {
    pub(super) fn new(reason: Reason, path: &str, detail: impl Into<String>) -> Refusal {
        Refusal { reason, path: path.to_owned(), detail: detail.into() }
    }

    pub(super) fn missing(path: &str, what: &str) -> Refusal {
        Refusal::new(Reason::MissingMember, path, format!("{what} is required and missing"))
    }

    pub(super) fn wrong_type(path: &str, wanted: &str) -> Refusal {
        Refusal::new(Reason::WrongType, path, format!("{wanted} is required here"))
    }

    pub(super) fn empty() -> Refusal {
        Refusal::new(Reason::EmptyBody, "$", "the body is empty; did a proxy drop it?")
    }

    pub(super) fn cut_before_all() -> Refusal {
        let detail = "the body is an array that ends before its first element; did a proxy cut it?";
        Refusal::new(Reason::EmptyBody, "$", detail)
    }

    pub(super) fn too_many(limit: usize) -> Refusal {
        Refusal::new(
            Reason::TooManyElements,
            "$",
            format!("more than {limit} elements in one body"),
        )
    }

    pub(super) fn too_many_refused(limit: usize) -> Refusal {
        let detail = format!("more than {limit} elements of this body are no events");
        Refusal::new(Reason::TooManyElements, "$", detail)
    }

    pub(super) fn too_deep(limit: u32) -> Refusal {
        Refusal::new(Reason::TooDeep, "$", format!("nested more than {limit} levels deep"))
    }

    pub(super) fn invalid_utf8(error: &std::str::Utf8Error) -> Refusal {
        let offset = error.valid_up_to();
        Refusal::new(Reason::InvalidUtf8, "$", format!("not UTF-8 at byte {offset} of the element"))
    }

    pub(super) fn syntax(error: &serde_json::Error) -> Refusal {
        // serde_json's messages name positions and expectations, never the text itself.
        Refusal::new(Reason::Syntax, "$", format!("not well-formed JSON: {error} of the element"))
    }

    pub(super) fn finding(finding: &Finding) -> Refusal {
        let detail = format!("strict is on, and this is a finding: {}", finding.kind.as_str());
        Refusal::new(Reason::Finding, &finding.path, detail)
    }

    /// The same refusal, its path moved from the element's root to the body's.
    pub(super) fn below(mut self, path: JsonPath) -> Refusal {
        self.path.replace_range(..1, &path.to_string());
        self
    }
}
