//! Verdicts for a server's answer to one message.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};

use super::NatsSinkConfig;
use crate::sinks::{Reason, Verdict};

/// Result for a message that was not acknowledged.
#[derive(Debug)]
pub(super) enum PublishRefusal {
    /// "No responders": no stream has the subject, or its stream has no leader. [`super::sink`] asks the servers which.
    NoResponders,
    Known(Verdict),
}

pub(super) fn refusal(error: &PublishError, settings: &NatsSinkConfig) -> PublishRefusal {
    let api = std::error::Error::source(error)
        .and_then(|cause| cause.downcast_ref::<async_nats::jetstream::Error>());
    PublishRefusal::Known(match (error.kind(), api) {
        (PublishErrorKind::StreamNotFound, _) => return PublishRefusal::NoResponders,
        (PublishErrorKind::MaxPayloadExceeded, _) => {
            let message = format!("more than the server's max_payload takes ({error})");
            Verdict::Rejected { reason: Reason::new(message) }
        }
        (PublishErrorKind::TimedOut, _) => late(settings),
        (_, Some(api)) => of_api(api, settings),
        _ => retry(format!("{}: {error}", settings.connection)),
    })
}

/// <https://github.com/nats-io/nats-server/blob/main/server/errors.json>
pub(super) fn of_api(error: &async_nats::jetstream::Error, settings: &NatsSinkConfig) -> Verdict {
    let code = error.error_code();
    let reason = |advice: &str| Reason {
        message: format!("the server refuses: error {}{advice}", code.0),
        code: Some(code.0.to_string()),
        answer: error.to_string(),
        ..Reason::default()
    };
    let advice = match code {
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
            return Verdict::Rejected { reason: reason(", larger than the stream's max_msg_size") };
        }
        ErrorCode::STREAM_NOT_MATCH => format!(
            ", another stream than {:?} takes the subject; correct stream or subject",
            settings.stream.as_deref().unwrap_or_default()
        ),
        ErrorCode::STREAM_SEALED => {
            ", the stream is sealed and takes no more; configure another".to_owned()
        }
        ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            ", this account has no JetStream; enable it, or use another account".to_owned()
        }
        // The sink states no expected last message. A stream that requires one accepts nothing from it.
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE
        | ErrorCode::STREAM_WRONG_LAST_MESSAGE_ID
        | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => {
            ", the stream wants another message first; configure another stream".to_owned()
        }
        ErrorCode::STREAM_STORE_FAILED => {
            let reason = reason(", the stream cannot store more; it may be full and discard new");
            return Verdict::Retry { after: None, reason };
        }
        // Lack of room, of a quorum or of a leader is temporary.
        _ => return Verdict::Retry { after: None, reason: reason("") },
    };
    Verdict::Fatal { reason: reason(&advice) }
}

pub(super) fn late(settings: &NatsSinkConfig) -> Verdict {
    retry(format!(
        "{}: no acknowledgement within {:?}; the stream may have no quorum",
        settings.connection, settings.timeout
    ))
}

pub(super) fn retry(message: String) -> Verdict {
    Verdict::Retry { after: None, reason: Reason::new(message) }
}
