//! Effects of a reload, found by comparing two configurations without a running service.

use std::ffi::OsString;

use serde::Serialize;

use super::Reload;
use super::plan::{PreparedReload, RunningConfig};
use crate::config::Config;
use crate::settings::{Keys, keys};
use crate::shown;

/// A valid configuration with the text that it was read from.
pub(crate) struct ConfigText {
    pub(crate) text: String,
    pub(crate) config: Config,
}

/// Effects of a reload.
#[derive(Debug, Serialize)]
pub(crate) struct ReloadPreview {
    /// Keys that the reload applies.
    pub(crate) applied: Vec<String>,
    /// Keys that need a restart. The reload ignores their changes.
    pub(crate) needs_restart: Vec<KeyChange>,
    /// Reasons to refuse the reload, which then changes nothing.
    pub(crate) refused: Vec<String>,
}

/// Change of one key, or of a table as a whole.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct KeyChange {
    pub(crate) key: String,
    /// Value before, if it cannot be a secret and the key was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<String>,
    /// Value after, if it cannot be a secret and the key is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
}

/// Returns the effects of a reload of `new` in a service that runs with `old`. Both have the same environment. Changes
/// of files that both name, such as certificates, are not part of it.
pub(crate) fn preview(
    old: ConfigText,
    new: ConfigText,
    environment: Vec<(OsString, OsString)>,
) -> ReloadPreview {
    let of_new = keys(&new.text, environment.iter().cloned());
    let of_old = keys(&old.text, environment.iter().cloned());
    let reload = Reload { now: Default::default(), file: None, text: old.text, environment };
    let running = RunningConfig::new(&reload, old.config);
    let mut refused = running.missing_in(&new.text, &of_new);
    if refused.is_empty() {
        refused = running.refusals(&of_new, &new.config);
    }
    let prepared = running.prepare(new.text, of_new.clone(), new.config, None, None);
    let PreparedReload { changed, ignored, .. } = prepared;
    let needs_restart = ignored.into_iter().map(|key| change(key, &of_old, &of_new)).collect();
    ReloadPreview { applied: changed, needs_restart, refused }
}

fn change(key: String, before: &Keys, after: &Keys) -> KeyChange {
    let value = |keys: &Keys| keys.values.get(&key).and_then(|value| harmless(value));
    let (before, after) = (value(before), value(after));
    KeyChange { key, before, after }
}

/// Returns a value as the file writes it, if it is a number, a flag, or a short text with a digit, such as a size. A
/// longer text may be a secret in the wrong place.
fn harmless(value: &str) -> Option<String> {
    let text = value.trim_matches('"');
    let is_flag = matches!(text, "true" | "false");
    let is_measure =
        text.starts_with(|c: char| c.is_ascii_digit()) && !shown::value(text).is_empty();
    (is_flag || is_measure).then(|| value.to_owned())
}
