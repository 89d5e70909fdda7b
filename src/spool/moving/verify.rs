//! Comparison of a moved spool with its source: events, entries, cursors and totals.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::MoveError;
use super::contents::MovedState;
use crate::spool::inspect::Inspection;
use crate::spool::{EntrySummary, Query};

/// Entries per page of a listing.
const PAGE: u32 = 500;

/// Numbers of what was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) events: u64,
    pub(super) entries: u64,
}

/// Compares the content of both spools.
///
/// # Errors
///
/// [`MoveError::Differs`] with the first difference.
pub(super) fn compare(
    source: &Inspection,
    target: &Inspection,
    state: &MovedState,
) -> Result<Compared, MoveError> {
    let differs = |part: &str| Err(MoveError::Differs(part.to_owned()));
    let events = digest_of_events(source, &state.repeated)?;
    if digest_of_events(target, &state.repeated)? != events {
        return differs("the events");
    }
    let entries = digest_of_entries(source)?;
    if digest_of_entries(target)? != entries {
        return differs("the quarantine entries");
    }
    let stats = target.stats()?;
    if (stats.head, stats.events) != (state.head, state.head - state.trimmed) {
        return differs("the positions");
    }
    let cursors: BTreeMap<&str, u64> =
        stats.sinks.iter().map(|sink| (sink.sink.as_str(), sink.cursor)).collect();
    if cursors != state.sinks.iter().map(|sink| (sink.name.as_str(), sink.cursor)).collect() {
        return differs("the cursors");
    }
    let sorted = |totals: &[_]| totals.iter().cloned().collect::<BTreeSet<_>>();
    if sorted(&stats.totals) != sorted(&state.totals) {
        return differs("the totals");
    }
    Ok(Compared { events: events.0, entries: entries.0 })
}

/// Returns number and digest of the events, without those at `skipped` positions.
fn digest_of_events(
    spool: &Inspection,
    skipped: &BTreeSet<u64>,
) -> Result<(u64, Vec<u8>), MoveError> {
    let (mut count, mut digest) = (0, Sha256::new());
    let unread = spool.each_event(
        |stored| {
            if skipped.contains(&stored.position) {
                return;
            }
            count += 1;
            digest.update(stored.position.to_le_bytes());
            digest.update(stored.received_at.to_le_bytes());
            let only_sink = stored.only_sink.as_deref();
            for part in
                [stored.source.as_bytes(), only_sink.unwrap_or_default().as_bytes(), &stored.bytes]
            {
                digest.update((part.len() as u64).to_le_bytes());
                digest.update(part);
            }
        },
        |_, _| (),
    )?;
    match unread.first() {
        None => Ok((count, digest.finalize().to_vec())),
        Some((first, last)) => Err(MoveError::Differs(format!("events {first} to {last}"))),
    }
}

/// Returns number and digest of the quarantine entries. Their numbers may differ.
fn digest_of_entries(spool: &Inspection) -> Result<(u64, Vec<u8>), MoveError> {
    let (mut count, mut digest) = (0, Sha256::new());
    each_entry(spool, |entry| {
        count += 1;
        let summary = EntrySummary { id: 0, ..entry.summary };
        digest.update(serde_json::to_vec(&summary).unwrap_or_default());
        digest.update(&entry.bytes);
        Ok(())
    })?;
    Ok((count, digest.finalize().to_vec()))
}

/// Calls `visit` with each quarantine entry, oldest first.
pub(super) fn each_entry(
    spool: &Inspection,
    mut visit: impl FnMut(crate::spool::Entry) -> Result<(), MoveError>,
) -> Result<(), MoveError> {
    let mut after = 0;
    loop {
        let page = spool.quarantine(&Query { after, limit: PAGE, ..Query::default() })?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        for summary in page {
            let entry = spool.entry(summary.id)?;
            let gone = || MoveError::Differs(format!("quarantine entry {}", summary.id));
            visit(entry.ok_or_else(gone)?)?;
        }
    }
}
