//! Failing connectors: `SEND_ERROR_RESPONSE` by connector and capability.

use serde::Serialize;

use super::table::{BoundedTable, cut};

/// Maximum number of distinct connectors and capabilities.
const MAX_CONNECTORS: usize = 256;

/// Maximum length of each of the two names.
const MAX_NAME_BYTES: usize = 64;

/// Separator of the two names in a key; escaped names do not contain it.
const SEPARATOR: char = '\0';

/// Errors of one capability of a connector since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectorLine {
    /// `connectorId`; empty for the sum of all others, and for errors without a connector.
    pub connector: String,
    /// `originalCapabilityName`, or else `capabilityName`.
    pub capability: String,
    /// Number of errors.
    pub errors: u64,
    /// Receive time of the last error, in ms since the Unix epoch.
    pub last_error: i64,
}

/// Errors of all connectors.
#[derive(Debug)]
pub(super) struct Connectors(BoundedTable<(u64, i64)>);

impl Connectors {
    pub(super) fn new() -> Connectors {
        Connectors(BoundedTable::new(MAX_CONNECTORS))
    }

    /// Counts errors of a connector's capability.
    pub(super) fn add(&mut self, connector: &str, capability: &str, count: u64, now: i64) {
        let (connector, capability) =
            (cut(connector, MAX_NAME_BYTES), cut(capability, MAX_NAME_BYTES));
        let (errors, last) = match connector.is_empty() {
            true => self.0.other(),
            false => self.0.row(&format!("{connector}{SEPARATOR}{capability}")),
        };
        *errors += count;
        *last = now;
    }

    /// Returns every connector, those with the most errors first, and the sum of all others last.
    pub(super) fn lines(&self) -> Vec<ConnectorLine> {
        let line = |name: &str, (errors, last_error): &(u64, i64)| {
            let (connector, capability) = name.split_once(SEPARATOR).unwrap_or_default();
            ConnectorLine {
                connector: connector.to_owned(),
                capability: capability.to_owned(),
                errors: *errors,
                last_error: *last_error,
            }
        };
        let mut lines: Vec<_> = self.0.rows().map(|(name, row)| line(name, row)).collect();
        lines.sort_by_key(|line| std::cmp::Reverse((line.errors, line.last_error)));
        lines.extend(Some(line("", self.0.others())).filter(|other| other.errors > 0));
        lines
    }
}
