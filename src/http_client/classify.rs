//! What an HTTP status means for a batch, where the target's protocol says nothing else.

/// What a status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The target has all of it.
    Success,
    /// Later.
    Retry,
    /// Wrong credentials, URL or feature: nothing will ever go through.
    Fatal,
    /// Too many bytes at once.
    TooLarge,
    /// Something in the body is refused.
    Refused,
}

/// RFC 9110, and what collectors make of it.
pub(crate) fn class_of(status: u16) -> Class {
    match status {
        200..=299 => Class::Success,
        408 | 425 | 429 => Class::Retry,
        413 => Class::TooLarge,
        // 410 is how a Standard Webhooks receiver says that it is no longer one.
        // What a body can be to blame for; every other 4xx is about the request or the account.
        400 | 409 | 422 => Class::Refused,
        300..=499 | 501 | 505 | 511 => Class::Fatal,
        _ => Class::Retry,
    }
}

/// What to do about a status that stops everything.
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
