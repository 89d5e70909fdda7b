//! `[alerts]`: messages to Slack, PagerDuty or any HTTP endpoint about problems that need an operator.
//!
//! One task of its own compares the state of the service with the alerts that are open ([`conditions`], [`tracker`]),
//! and posts what is due ([`message`], [`post`]). It only reads, so a receiver that hangs delays further messages and
//! nothing else. There is at most one open alert per kind and subject. A message that cannot be sent stays due, so no
//! queue is needed and none is lost. Open alerts are stored beside the spool ([`state_file`]): a restart repeats none.

mod conditions;
mod config;
mod message;
mod post;
mod state_file;
mod tracker;
mod watch;

pub(crate) use config::AlertsConfig;
pub(crate) use watch::{AlertInputs, run};

use serde::{Deserialize, Serialize};

/// Kind of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AlertKind {
    /// The spool cannot store events.
    SpoolFailing,
    /// The spool refuses events until the sinks catch up.
    SpoolFull,
    /// The spool has reached 80 % of `spool.max_size`.
    SpoolFilling,
    /// The quarantine refuses entries.
    QuarantineFull,
    /// The file system of the spool has less than 10 % of free space.
    DiskFilling,
    /// Batches of a source are refused, and PingOne retries them.
    SourceBlocked,
    /// A source has sent no request for `alerts.silent_after`.
    SourceSilent,
    /// A sink is paused by an operator or by an error.
    SinkPaused,
    /// The target of a sink has refused more events.
    DeadLetters,
    /// A certificate of the webhook listener expires within 14 days, or has expired.
    CertificateExpiring,
}

impl AlertKind {
    /// Returns the name in messages and in the file of open alerts.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            AlertKind::SpoolFailing => "spool_failing",
            AlertKind::SpoolFull => "spool_full",
            AlertKind::SpoolFilling => "spool_filling",
            AlertKind::QuarantineFull => "quarantine_full",
            AlertKind::DiskFilling => "disk_filling",
            AlertKind::SourceBlocked => "source_blocked",
            AlertKind::SourceSilent => "source_silent",
            AlertKind::SinkPaused => "sink_paused",
            AlertKind::DeadLetters => "dead_letters",
            AlertKind::CertificateExpiring => "certificate_expiring",
        }
    }

    /// Returns true if events may be lost without an operator: PingOne keeps them for seven days only.
    fn is_critical(self) -> bool {
        matches!(self, AlertKind::SpoolFailing | AlertKind::SpoolFull | AlertKind::SourceBlocked)
    }
}

/// Problem that exists now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) kind: AlertKind,
    /// Name of the sink, the source or the key; `spool` or `disk`.
    pub(crate) subject: String,
    /// Sentences for operators: the problem, and the remedy. Holds no secret and nothing of an event.
    pub(crate) summary: String,
}
