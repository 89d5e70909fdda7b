//! Audit log of operators' actions: one JSON object per line in `audit.ndjson`, beside the spool.
//!
//! A record is written after the action, and synced. The log is bounded: at 8 MiB it becomes `audit.1.ndjson`, which
//! replaces the previous one. Records hold names, numbers and addresses; no secret and nothing of an event.

mod details;
mod log;
mod read;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use details::AuditDetails;
pub(crate) use log::AuditLog;
pub(crate) use read::{AuditRead, read};

/// Beginning of the log.
const CURRENT: &str = "audit.ndjson";

/// Older records.
const PREVIOUS: &str = "audit.1.ndjson";

/// Maximum number of characters of a name that a client has sent.
const MAX_OBJECT_CHARS: usize = 100;

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditRecord {
    /// Time of the end of the action, in ms since the Unix epoch.
    pub(crate) time: i64,
    /// `admin`: with the admin password; `local`: a process of this machine, without a password; `uid:N`: a command while
    /// the service was stopped; `signal`, `file`: the trigger of a reload.
    pub(crate) actor: String,
    /// IP address of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    /// `pause`, `resume`, `replay`, `retry`, `purge`, `fetched`, `reload`, `repair`, or the path of another operation.
    pub(crate) action: String,
    /// Name of the sink or source, or number of the quarantine entry.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) object: String,
    /// `ok`; `failed` with the HTTP status; `refused` for a reload.
    pub(crate) result: String,
    /// Numbers of the answer, such as `removed`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) counts: BTreeMap<String, u64>,
    /// Keys of the configuration that a reload has changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) changed: Vec<String>,
    /// Changed keys that a reload has ignored: they need a restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ignored: Vec<String>,
    /// Parameters of the operation.
    #[serde(flatten)]
    pub(crate) details: AuditDetails,
}

impl AuditRecord {
    /// Creates a record without counts.
    pub(crate) fn new(time: i64, actor: &str, action: &str, object: &str, result: &str) -> Self {
        AuditRecord {
            time,
            actor: actor.to_owned(),
            address: None,
            action: action.to_owned(),
            object: shortened(object),
            result: result.to_owned(),
            counts: BTreeMap::new(),
            changed: Vec::new(),
            ignored: Vec::new(),
            details: AuditDetails::default(),
        }
    }
}

/// Returns a name, or its beginning with `…`: the name of a sink or source is shorter.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_OBJECT_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
