//! Classes of HTTP statuses, for targets whose protocol does not define more.

/// Consequence of a status for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The target has accepted all items.
    Success,
    /// The batch may succeed later.
    Retry,
    /// Wrong credentials, URL or feature. No batch succeeds until an operator changes something.
    Fatal,
    /// The batch has too many bytes.
    TooLarge,
    /// At least one item in the body is refused.
    Refused,
}

/// Classifies a status by RFC 9110 and the practice of collectors.
pub(crate) fn class_of(status: u16) -> Class {
    match status {
        200..=299 => Class::Success,
        408 | 425 | 429 => Class::Retry,
        413 => Class::TooLarge,
        // The body may be at fault. Every other 4xx concerns the request or the account, including
        // 410, by which a Standard Webhooks receiver unsubscribes.
        400 | 409 | 422 => Class::Refused,
        300..=499 | 501 | 505 | 511 => Class::Fatal,
        _ => Class::Retry,
    }
}

/// Returns the advice to operators for a fatal status.
pub(crate) fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => "it redirects, which is not followed; configure the final URL",
        401 | 403 => "it refuses the credentials; correct them",
        404 | 405 | 501 => "it does not know this URL; correct it",
        407 => "the proxy refuses the credentials; correct them",
        410 => "it says that it is gone for good; configure another",
        415 => "it does not take this content type or compression; change body or compression",
        _ => "it refuses every request; see its own log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_class() {
        for (statuses, class) in [
            (&[200, 201, 202, 204, 299][..], Class::Success),
            (&[408, 425, 429, 500, 502, 503, 504, 507, 520, 599], Class::Retry),
            (&[301, 302, 304, 307, 308, 401, 402, 403, 404, 405, 406, 407, 410], Class::Fatal),
            (&[411, 412, 414, 415, 417, 421, 426, 428, 431, 451, 501, 505, 511], Class::Fatal),
            (&[413], Class::TooLarge),
            (&[400, 409, 422], Class::Refused),
            (&[100, 103, 600, 999], Class::Retry),
        ] {
            for status in statuses {
                assert_eq!(class_of(*status), class, "{status}");
            }
        }
    }
}
