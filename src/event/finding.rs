//! Findings: deviations that are recorded and counted but do not refuse an event.

use serde::Serialize;

/// One deviation from the events that PingOne documents or is known to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Kind of deviation.
    pub kind: FindingKind,
    /// JSON path within the event, for example `$._embedded.flowInteractionEvent.success`.
    pub path: String,
}

/// Kinds of deviation. The set is small and fixed, because it labels a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A field that appears in no edition of the documentation and in no captured event.
    UnknownField,
    /// A `DAVINCI_INTERACTION.*` type other than the five.
    UnknownType,
    /// An `action.type` without a row in the [registry](super::registry). It is mapped by the words of
    /// its name. Never a reason to refuse the event: the registry is this project's, not the sender's.
    UnlistedType,
    /// A known field whose value has another type. It is read as absent.
    WrongType,
    /// A value of another type with the same meaning, such as `"true"`. It is read.
    CoercedType,
    /// A field that occurs twice. The last occurrence is read.
    DuplicateField,
    /// Text with half a surrogate pair, for example a truncated emoji. It is read as U+FFFD.
    LoneSurrogate,
    /// A timestamp without an offset. It is read as UTC.
    NoOffset,
    /// Body: a JSON array that is not closed. Its complete elements are read.
    TruncatedArray,
    /// Body: a field beside the events of a wrapper that no known wrapper has, or that holds
    /// events.
    WrapperSibling,
    /// Body: an event with the id and time of an earlier event in the body, but other bytes.
    ConflictingDuplicate,
    /// Body: compressed, without a `Content-Encoding` header.
    UndeclaredEncoding,
    /// More findings than the maximum kept for one event or body.
    More,
}

impl FindingKind {
    /// Every kind, to register counters.
    pub const ALL: [FindingKind; 13] = [
        FindingKind::UnknownField,
        FindingKind::UnknownType,
        FindingKind::UnlistedType,
        FindingKind::WrongType,
        FindingKind::CoercedType,
        FindingKind::DuplicateField,
        FindingKind::LoneSurrogate,
        FindingKind::NoOffset,
        FindingKind::TruncatedArray,
        FindingKind::WrapperSibling,
        FindingKind::ConflictingDuplicate,
        FindingKind::UndeclaredEncoding,
        FindingKind::More,
    ];

    /// Returns the name used in metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingKind::UnknownField => "unknown_field",
            FindingKind::UnknownType => "unknown_type",
            FindingKind::UnlistedType => "unlisted_type",
            FindingKind::WrongType => "wrong_type",
            FindingKind::CoercedType => "coerced_type",
            FindingKind::DuplicateField => "duplicate_field",
            FindingKind::LoneSurrogate => "lone_surrogate",
            FindingKind::NoOffset => "no_offset",
            FindingKind::TruncatedArray => "truncated_array",
            FindingKind::WrapperSibling => "wrapper_sibling",
            FindingKind::ConflictingDuplicate => "conflicting_duplicate",
            FindingKind::UndeclaredEncoding => "undeclared_encoding",
            FindingKind::More => "more",
        }
    }

    /// Returns whether the finding means that the body may have been damaged on its way. Such
    /// findings are logged.
    pub fn is_of_damaged_body(self) -> bool {
        matches!(
            self,
            FindingKind::TruncatedArray
                | FindingKind::WrapperSibling
                | FindingKind::ConflictingDuplicate
        )
    }
}
