//! Verdicts for the errors of a record.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::KafkaSinkConfig;
use crate::sinks::{Reason, Verdict};

/// The verdict for an error of one record. `cause` is what the client said last of its brokers.
pub(super) fn verdict(
    error: &KafkaError,
    settings: &KafkaSinkConfig,
    cause: Option<String>,
) -> Verdict {
    let Some(code) = error.rdkafka_error_code() else {
        return Verdict::Retry { after: None, reason: Reason::new(error.to_string()) };
    };
    let reason = |advice: &str| Reason {
        message: format!("topic {}: {code}{advice}", settings.topic),
        code: Some(format!("{code:?}")),
        ..Reason::default()
    };
    match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            Verdict::Rejected {
                reason: reason("; raise max.message.bytes of the topic, and max_size here"),
            }
        }
        Code::InvalidMessage | Code::InvalidRecord | Code::PolicyViolation => {
            Verdict::Rejected { reason: reason("") }
        }
        // It is the client's, and so this machine's.
        Code::InvalidTimestamp => Verdict::Fatal {
            reason: reason("; correct this machine's clock, or the topic's bounds for timestamps"),
        },
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            Verdict::Fatal { reason: reason("; make the topic, or correct topic") }
        }
        Code::InvalidTopic => Verdict::Fatal { reason: reason("; correct topic") },
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Verdict::Fatal {
            reason: reason("; give this user the permissions to write to it, and idempotently"),
        },
        _ if is_about_us(code) => Verdict::Fatal { reason: refused(code) },
        Code::UnsupportedForMessageFormat
        | Code::InvalidRequiredAcks
        | Code::UnsupportedFeature
        | Code::UnsupportedVersion => {
            Verdict::Fatal { reason: reason("; the brokers are too old for this client") }
        }
        // Held back behind another.
        Code::PurgeQueue => Verdict::NotTried,
        Code::MessageTimedOut => {
            let cause = cause.map(|cause| format!("; {cause}")).unwrap_or_default();
            let after = format!(" within {:?}{cause}", settings.timeout);
            Verdict::Retry { after: None, reason: reason(&after) }
        }
        _ => Verdict::Retry { after: None, reason: reason("") },
    }
}

/// The verdict for what brokers have refused: a set of records together, whichever of them is at fault.
pub(super) fn of_a_set(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Rejected { reason } => Verdict::Split { reason },
        verdict => verdict,
    }
}

/// Returns the reason of an error that concerns the connection, and so every record.
pub(super) fn is_about_us(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism
    )
}

pub(super) fn refused(code: Code) -> Reason {
    Reason {
        message: "the brokers refuse the credentials; correct sasl".to_owned(),
        code: Some(format!("{code:?}")),
        ..Reason::default()
    }
}
