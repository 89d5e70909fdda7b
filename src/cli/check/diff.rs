//! `check --diff OLD`: effects of a reload and of a restart, from two files.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::app;
use crate::cli::CommandFailure;
use crate::cli::loader::Loader;
use crate::cli::output::{count, json, safe};
use crate::config::Config;
use crate::deliver::SinkConfig;
use crate::reload::preview::{ConfigText, KeyChange, ReloadPreview, preview};
use crate::settings::{Keys, keys};
use crate::spool::Start;

/// Differences, as JSON.
#[derive(Serialize)]
struct DiffReport {
    #[serde(flatten)]
    reload: ReloadPreview,
    sinks: Vec<SinkChange>,
}

/// A sink that is only in one of the configurations, with the consequence for its cursor.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct SinkChange {
    sink: String,
    /// `added`, `removed` or `renamed`.
    change: &'static str,
    consequence: String,
}

/// Prints the effects of replacing `old` by the configuration of `loader`. Returns `Err` if a reload would be refused.
pub(super) fn run(old: &Path, loader: Loader<'_>, as_json: bool) -> Result<(), CommandFailure> {
    let environment: Vec<_> = std::env::vars_os().collect();
    // A reload finds the new file where the old one is, so relative paths lead from there.
    let read = |loader: Loader<'_>| {
        let (text, config) = loader.text_and_config_at(Some(old))?;
        Ok::<_, CommandFailure>(ConfigText { text, config })
    };
    let (before, after) = (read(Loader { file: Some(old), ..loader })?, read(loader)?);
    let keys_of = |side: &ConfigText| keys(&side.text, environment.iter().cloned());
    let of_keys = (keys_of(&before), keys_of(&after));
    let sinks = sink_changes((&before.config, &of_keys.0), (&after.config, &of_keys.1));
    let now = app::system_clock()() / 1000;
    let report = DiffReport { reload: preview(before, after, environment, now), sinks };
    if as_json {
        json(&report)?;
    } else {
        print(&report)?;
    }
    match report.reload.refused.len() {
        0 => Ok(()),
        reasons => Err(CommandFailure::Answered(format!(
            "a reload would be refused for {}; a restart takes up the configuration as a whole",
            count(reasons as u64, "reason")
        ))),
    }
}

fn print(report: &DiffReport) -> Result<(), CommandFailure> {
    let ReloadPreview { applied, needs_restart, refused } = &report.reload;
    if applied.is_empty() && needs_restart.is_empty() && refused.is_empty() {
        print_line!("no difference")?;
    }
    for reason in refused {
        print_line!("refused by a reload: {}", safe(reason))?;
    }
    for key in applied {
        print_line!("applied by a reload: {}", safe(key))?;
    }
    for KeyChange { key, before, after } in needs_restart {
        let values = match (before, after) {
            (Some(before), Some(after)) => format!(": {before} → {after}"),
            (None, Some(after)) => format!(": {after}"),
            _ => String::new(),
        };
        print_line!("needs a restart: {}{}", safe(key), safe(&values))?;
    }
    for SinkChange { sink, change, consequence } in &report.sinks {
        print_line!("sink {} is {change}: {consequence}", safe(sink))?;
    }
    Ok(())
}

/// Returns the sinks that are added, removed or renamed.
fn sink_changes(
    (before, keys_before): (&Config, &Keys),
    (after, keys_after): (&Config, &Keys),
) -> Vec<SinkChange> {
    let is_in = |config: &Config, name: &str| config.sinks.iter().any(|sink| sink.name == name);
    let removed = before.sinks.iter().filter(|sink| !is_in(after, &sink.name));
    let mut removed: Vec<&SinkConfig> = removed.collect();
    let mut changes = Vec::new();
    for new in after.sinks.iter().filter(|sink| !is_in(before, &sink.name)) {
        let start = match new.start {
            Start::Oldest => "starts with the oldest stored event",
            Start::Now => "starts with the next received event",
        };
        let own = settings_of(keys_after, &new.name);
        let twin = removed.iter().position(|old| settings_of(keys_before, &old.name) == own);
        let (change, consequence) = match twin.map(|index| removed.remove(index)) {
            Some(old) => (
                "renamed",
                format!(
                    "was {}. A new name is a new sink, which {start}; events that {} has not delivered are not \
                     kept for it",
                    old.name, old.name
                ),
            ),
            None => (
                "added",
                format!("{start}, or continues at its cursor if the spool has one of this name"),
            ),
        };
        changes.push(SinkChange { sink: new.name.clone(), change, consequence });
    }
    changes.extend(removed.into_iter().map(|old| SinkChange {
        sink: old.name.clone(),
        change: "removed",
        consequence: "the spool keeps no more events for it; its cursor stays, in case it returns under this name"
            .to_owned(),
    }));
    changes
}

/// Returns the keys of a sink without its name.
fn settings_of<'k>(keys: &'k Keys, sink: &str) -> BTreeMap<&'k str, &'k str> {
    let prefix = format!("sinks.{sink}.");
    let own = keys
        .values
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(prefix.as_str())?, value.as_str())));
    own.collect()
}
