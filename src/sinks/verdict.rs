//! Verdicts: a target's answer for each item, as the delivery policy needs it.

use std::fmt;
use std::time::Duration;

use super::Item;
use crate::aws::SigningError;
use crate::error_chain::without_numbers;
use crate::http_client::{Answer, RequestError};
use crate::oauth::TokenError;
use crate::secret::SecretError;
use crate::tls::ClientTlsError;

/// The target's answer for one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The target has stored the item, as durably as it promises.
    Delivered,
    /// A temporary failure.
    Retry {
        /// Waiting time that the target requests.
        after: Option<Duration>,
        reason: Reason,
    },
    /// The target refuses this item permanently.
    Rejected {
        /// The target's answer.
        reason: Reason,
    },
    /// Not sent: the target would replace the time of this item, and the configuration forbids that.
    TooOld {
        /// Age limit of the target.
        reason: Reason,
    },
    /// No item can be delivered until an operator changes something: credentials, a path, a URL.
    Fatal {
        /// The change that an operator has to make.
        reason: Reason,
    },
    /// The target refuses the items with this verdict together: one of them is the cause, or they are too many. An item
    /// that was sent alone is refused permanently.
    Split {
        /// The target's answer.
        reason: Reason,
    },
    /// The target has an item of this name already, and the sink itself has not sent it since the process started.
    #[cfg_attr(
        not(feature = "object_store"),
        expect(dead_code, reason = "only sinks that write objects find one")
    )]
    Exists {
        /// The target's answer.
        reason: Reason,
    },
    /// Another item kept this one from being processed. It is sent again at once.
    NotTried,
}

/// Reason why an item was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reason {
    /// Message for operators: the failure and the remedy. Contains no data of an event and no secret.
    pub message: String,
    /// The HTTP status.
    pub status: Option<u16>,
    /// The target's own code or error type.
    pub code: Option<String>,
    /// The beginning of the answer; it may repeat parts of an event, so it is never logged.
    pub answer: String,
    /// True if the target did not accept all items or did not answer in time: it may accept fewer items.
    pub is_late: bool,
}

/// An observation of an attempt that is counted besides the verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SinkFinding {
    /// Sent again after a connection was lost before it was confirmed.
    Resent,
    /// Stored in Elasticsearch's failure store instead of the data stream.
    FailureStore,
    /// Accepted, with a request to slow down.
    SlowDown,
    /// Cut to the configured size, or accepted by a target that cuts a field of it.
    Truncated,
    /// Accepted by a target that replaces the time of the event, because the event is too old, or too far ahead.
    TimeReplaced,
    /// Rejected by an OTLP receiver that does not say which records of the request these are. They count as delivered.
    #[cfg(feature = "otlp")]
    PartialSuccess,
    /// Not acknowledged by Splunk's indexers in time.
    AcknowledgementExpired,
    /// Accepted by a collector without acknowledgement, although acknowledgement is configured.
    Unacknowledged,
    /// Found in the store: an earlier attempt with the same object was not confirmed.
    AlreadyStored,
}

impl SinkFinding {
    /// Returns the name in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            SinkFinding::Resent => "resent",
            SinkFinding::FailureStore => "failure_store",
            SinkFinding::SlowDown => "slow_down",
            SinkFinding::Truncated => "truncated",
            SinkFinding::TimeReplaced => "time_replaced",
            #[cfg(feature = "otlp")]
            SinkFinding::PartialSuccess => "partial_success",
            SinkFinding::AcknowledgementExpired => "acknowledgement_expired",
            SinkFinding::Unacknowledged => "unacknowledged",
            SinkFinding::AlreadyStored => "already_stored",
        }
    }
}

/// Result of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Report {
    /// One per item, in order.
    pub verdicts: Vec<Verdict>,
    /// Further findings, each with its count.
    pub findings: Vec<(SinkFinding, u64)>,
}

impl Verdict {
    /// Returns the name in metrics and spans.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Verdict::Delivered => "delivered",
            Verdict::Retry { .. } => "retry",
            Verdict::Rejected { .. } => "rejected",
            Verdict::TooOld { .. } => "too_old",
            Verdict::Fatal { .. } => "fatal",
            Verdict::Split { .. } => "split",
            Verdict::Exists { .. } => "exists",
            Verdict::NotTried => "not_tried",
        }
    }

    /// Returns the reason of any verdict.
    pub(crate) fn into_reason(self) -> Reason {
        match self {
            Verdict::Delivered | Verdict::NotTried => Reason::default(),
            Verdict::Retry { reason, .. }
            | Verdict::Rejected { reason }
            | Verdict::TooOld { reason }
            | Verdict::Fatal { reason }
            | Verdict::Exists { reason }
            | Verdict::Split { reason } => reason,
        }
    }
}

impl Reason {
    /// Returns a reason without an answer of the target.
    pub(crate) fn new(message: impl Into<String>) -> Reason {
        Reason { message: without_numbers(&message.into()), ..Reason::default() }
    }

    /// Returns the reason of a timeout.
    pub(super) fn late(message: impl Into<String>) -> Reason {
        Reason { is_late: true, ..Reason::new(message) }
    }
}

impl From<SecretError> for Reason {
    fn from(error: SecretError) -> Reason {
        Reason::new(error.to_string())
    }
}

impl From<ClientTlsError> for Reason {
    fn from(error: ClientTlsError) -> Reason {
        Reason::new(error.to_string())
    }
}

impl From<RequestError> for Reason {
    fn from(error: RequestError) -> Reason {
        let RequestError { message, is_late, .. } = error;
        Reason { message, is_late, ..Reason::default() }
    }
}

/// Waiting time of a failure that no event causes: no longer than the backoff. A verdict with a waiting time never
/// makes a dead letter.
pub(super) const NOT_AN_EVENT: Duration = Duration::ZERO;

impl From<SigningError> for Verdict {
    fn from(error: SigningError) -> Verdict {
        let reason = Reason::new(error.message);
        match error.is_permanent {
            true => Verdict::Fatal { reason },
            false => Verdict::Retry { after: Some(NOT_AN_EVENT), reason },
        }
    }
}

impl From<RequestError> for Verdict {
    fn from(error: RequestError) -> Verdict {
        match error.is_permanent {
            true => Verdict::Fatal { reason: error.into() },
            false => Verdict::Retry { after: None, reason: error.into() },
        }
    }
}

impl From<TokenError> for Verdict {
    fn from(error: TokenError) -> Verdict {
        match error {
            TokenError::Unavailable { message, after } => {
                Verdict::Retry { after, reason: Reason::new(message) }
            }
            TokenError::Refused { message } => Verdict::Fatal { reason: Reason::new(message) },
        }
    }
}

impl Answer {
    /// Returns the verdict for a page that came in place of the target's answer: the target has not received the
    /// request, so that no event is delivered and none is at fault.
    pub(super) fn page_verdict(&self) -> Verdict {
        let message = format!(
            "HTTP {} with a page in HTML: a login page or a proxy answered in place of the target; correct the URL or \
             the proxy",
            self.status
        );
        Verdict::Retry { after: self.retry_after, reason: self.reason(message, None) }
    }

    /// Returns a reason that quotes this answer. `message` must hold nothing that an event may hold.
    pub(super) fn reason(&self, message: impl Into<String>, code: Option<String>) -> Reason {
        let answer = self.quote(&self.body);
        Reason { message: message.into(), status: Some(self.status), code, answer, is_late: false }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl Report {
    /// Returns the same verdict for every item.
    pub(super) fn all(items: &[Item], verdict: Verdict) -> Report {
        Report { verdicts: vec![verdict; items.len()], findings: Vec::new() }
    }

    /// Returns `Delivered` for the first `count` items, and `verdict` for the others.
    pub(super) fn first_delivered(items: &[Item], count: usize, verdict: Verdict) -> Report {
        let delivered = std::iter::repeat_n(Verdict::Delivered, count.min(items.len()));
        let verdicts = delivered.chain(std::iter::repeat(verdict)).take(items.len());
        Report { verdicts: verdicts.collect(), findings: Vec::new() }
    }

    pub(super) fn with(mut self, finding: SinkFinding, count: u64) -> Report {
        if count > 0 {
            self.findings.push((finding, count));
        }
        self
    }
}

impl From<Vec<Verdict>> for Report {
    fn from(verdicts: Vec<Verdict>) -> Report {
        Report { verdicts, findings: Vec::new() }
    }
}
