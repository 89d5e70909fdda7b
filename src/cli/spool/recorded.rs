//! Records of `spool repair` and `spool move` in the audit log.

use std::path::Path;

use crate::audit::AuditDetails;
use crate::cli::audit::note_offline;
use crate::spool::Salvaged;
#[cfg(feature = "nats")]
use crate::spool::{SpoolConfig, moving};

/// Records a repair that has changed the spool; `None` for one that failed.
pub(super) fn repair(directory: &Path, salvaged: Option<&Salvaged>) {
    let counts = salvaged.map(|kept| {
        let lost = kept.lost.iter().map(crate::spool::Loss::events).sum();
        vec![("events", kept.events), ("entries", kept.quarantined), ("lost", lost)]
    });
    note(directory, "repair", "", counts);
}

/// Records a move in both directories; `None` for one that failed, of which only the old one knows.
#[cfg(feature = "nats")]
pub(super) fn relocation(old: &SpoolConfig, new: &SpoolConfig, moved: Option<&moving::Moved>) {
    let to = format!("to {}", moving::describe(new));
    let counts = moved.map(|moved| vec![("events", moved.events), ("entries", moved.entries)]);
    note(&old.directory, "move", &to, counts.clone());
    let is_same = crate::paths::is_same(&old.directory, &new.directory);
    if moved.is_some() && !is_same {
        note(&new.directory, "move", &to, counts);
    }
}

/// Writes a record; without counts, the action failed.
fn note(directory: &Path, action: &str, object: &str, counts: Option<Vec<(&str, u64)>>) {
    // A receiver with the engine jetstream may never have run on this machine.
    if directory.is_dir() {
        let is_ok = counts.is_some();
        let counts = counts.unwrap_or_default();
        note_offline(directory, (action, object), is_ok, &counts, AuditDetails::default());
    }
}
