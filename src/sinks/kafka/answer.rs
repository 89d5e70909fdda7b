//! Verdicts for the errors of a record.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::KafkaSinkConfig;
use crate::sinks::{Reason, Verdict};

/// Returns the verdict for the error of one record. `cause` is the client's last error about its brokers.
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
        // The client sets the timestamp from this machine's clock.
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
        _ if is_refused_credential(code) => Verdict::Fatal { reason: refused(code, cause) },
        Code::UnsupportedCompressionType => Verdict::Fatal {
            reason: reason("; the brokers do not accept it: set compression = \"none\""),
        },
        Code::UnsupportedForMessageFormat
        | Code::InvalidRequiredAcks
        | Code::UnsupportedFeature
        | Code::UnsupportedVersion => {
            Verdict::Fatal { reason: reason("; the brokers are too old for this client") }
        }
        // Purged by the sink, behind a failed record.
        Code::PurgeQueue => Verdict::NotTried,
        Code::MessageTimedOut => {
            let cause = cause.map(|cause| format!("; {cause}")).unwrap_or_default();
            let after = format!(" within {:?}{cause}", settings.timeout);
            Verdict::Retry { after: None, reason: reason(&after) }
        }
        _ => Verdict::Retry { after: None, reason: reason("") },
    }
}

/// Turns a rejection into `Split`: brokers refuse a set of records together, although one record may be the cause.
pub(super) fn of_record_set(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Rejected { reason } => Verdict::Split { reason },
        verdict => verdict,
    }
}

/// Returns true if the brokers refuse the credentials, and with them every record.
pub(super) fn is_refused_credential(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism
    )
}

/// Returns the reason why no credentials are accepted. `cause` is the last error of the client or of a sign-in.
pub(super) fn refused(code: Code, cause: Option<String>) -> Reason {
    let no_token = cause.filter(|cause| cause.starts_with("no access token"));
    Reason {
        message: no_token.unwrap_or_else(|| {
            "the brokers refuse the credentials; correct sasl or entra".to_owned()
        }),
        code: Some(format!("{code:?}")),
        ..Reason::default()
    }
}
