//! Findings: deviations that are kept and counted, but are no reason to refuse an event.

use serde::Serialize;

/// One deviation from what PingOne documents or has been seen to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of deviation.
    pub kind: FindingKind,
    /// JSON path within the event, for example `$._embedded.flowInteractionEvent.success`.
    pub path: String,
}

/// The kinds of deviation; few and fixed, so that they can label a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A member that no edition of the documentation and no capture names.
    UnknownMember,
    /// A `DAVINCI_INTERACTION.*` type other than the five.
    UnknownType,
    /// A known member whose value has another type; it was read as absent.
    WrongType,
    /// A value of another type that says the same, such as `"true"`; it was read.
    CoercedType,
    /// A member that occurs twice; the last one was read.
    DuplicateMember,
    /// Text with half a surrogate pair, as a cut emoji leaves; read with U+FFFD in its place.
    LoneSurrogate,
    /// A time without an offset; it was read as UTC.
    NoOffset,
    /// Of a body: a JSON array without its end. What was whole in it was read.
    TruncatedArray,
    /// Of a body: a field beside the events of a wrapper that no known wrapper has, or that holds events.
    WrapperSibling,
    /// Of a body: an event with the id and time of another one before it, and other bytes.
    ConflictingDuplicate,
    /// Of a body: compressed, and no `Content-Encoding` says so.
    UndeclaredEncoding,
    /// More findings than are kept for one event, or for one body.
    More,
}

impl FindingKind {
    /// Every kind, for registering counters.
    pub const ALL: [FindingKind; 12] = [
        FindingKind::UnknownMember,
        FindingKind::UnknownType,
        FindingKind::WrongType,
        FindingKind::CoercedType,
        FindingKind::DuplicateMember,
        FindingKind::LoneSurrogate,
        FindingKind::NoOffset,
        FindingKind::TruncatedArray,
        FindingKind::WrapperSibling,
        FindingKind::ConflictingDuplicate,
        FindingKind::UndeclaredEncoding,
        FindingKind::More,
    ];

    /// The name used in metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingKind::UnknownMember => "unknown_member",
            FindingKind::UnknownType => "unknown_type",
            FindingKind::WrongType => "wrong_type",
            FindingKind::CoercedType => "coerced_type",
            FindingKind::DuplicateMember => "duplicate_member",
            FindingKind::LoneSurrogate => "lone_surrogate",
            FindingKind::NoOffset => "no_offset",
            FindingKind::TruncatedArray => "truncated_array",
            FindingKind::WrapperSibling => "wrapper_sibling",
            FindingKind::ConflictingDuplicate => "conflicting_duplicate",
            FindingKind::UndeclaredEncoding => "undeclared_encoding",
            FindingKind::More => "more",
        }
    }

    /// Reports that a body may not be as PingOne sent it, which is worth a line in the log.
    pub fn is_of_damaged_body(self) -> bool {
        matches!(
            self,
            FindingKind::TruncatedArray
                | FindingKind::WrapperSibling
                | FindingKind::ConflictingDuplicate
        )
    }
}
