//! Which connectors fail: `SEND_ERROR_RESPONSE` by connector and capability.

use serde::Serialize;

use super::table::{Table, cut};

/// Connectors and capabilities that are told apart.
const CONNECTORS: usize = 256;

/// Bytes of each of the two names.
const NAME: usize = 64;

/// Between them; no name has it.
const BETWEEN: char = '\0';

/// The errors of one connector's capability since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectorLine {
    /// `connectorId`; empty for all that found no place, and for errors that name none.
    pub connector: String,
    /// `originalCapabilityName`, else `capabilityName`.
    pub capability: String,
    /// How often it failed.
    pub errors: u64,
    /// When it last did, milliseconds since the epoch.
    pub last_error: i64,
}

/// All connectors that failed.
#[derive(Debug)]
pub(super) struct Connectors(Table<(u64, i64)>);

impl Connectors {
    pub(super) fn new() -> Connectors {
        Connectors(Table::new(CONNECTORS))
    }

    /// Counts errors of a connector's capability.
    pub(super) fn add(&mut self, connector: &str, capability: &str, count: u64, now: i64) {
        let (connector, capability) = (cut(connector, NAME), cut(capability, NAME));
        let (errors, last) = match connector.is_empty() {
            true => self.0.other(),
            false => self.0.row(&format!("{connector}{BETWEEN}{capability}")),
        };
        *errors += count;
        *last = now;
    }

    /// Every connector, those with the most errors first, and what found no place last.
    pub(super) fn lines(&self) -> Vec<ConnectorLine> {
        let line = |name: &str, (errors, last_error): &(u64, i64)| {
            let (connector, capability) = name.split_once(BETWEEN).unwrap_or_default();
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
