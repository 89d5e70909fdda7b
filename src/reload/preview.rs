//! Effects of a reload, found by comparing two configurations without a running service.

use std::ffi::OsString;

use serde::Serialize;

use super::plan::{PreparedReload, RunningConfig};
use super::{Reload, load_tls};
use crate::config::Config;
use crate::listener::tls;
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
    /// Keys that the reload applies; none if it is refused.
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

/// Returns the effects of a reload of `new` in a service that runs with `old` and with the present content of the files
/// that `old` names. Both have the same environment. `now` is in seconds since the Unix epoch.
pub(crate) fn preview(
    old: ConfigText,
    new: ConfigText,
    environment: Vec<(OsString, OsString)>,
    now: i64,
) -> ReloadPreview {
    let of_new = keys(&new.text, environment.iter().cloned());
    let of_old = keys(&old.text, environment.iter().cloned());
    let reload = Reload { now: Default::default(), file: None, text: old.text, environment };
    // A service may run although the files have become unusable since.
    let before = old.config.listen.tls.as_ref().and_then(|settings| tls::load(settings).ok());
    let running = RunningConfig::new(&reload, old.config);
    let mut refused = running.missing_in(&new.text, &of_new);
    if refused.is_empty() {
        refused = running.refusals(&of_new, &new.config);
    }
    let mut loaded = None;
    if refused.is_empty() {
        match load_tls(&new.config, before.as_ref(), now) {
            Ok(usable) => loaded = usable,
            Err(problems) => refused = problems,
        }
    }
    let prepared = running.prepare(new.text, of_new.clone(), new.config, loaded, before.as_ref());
    let PreparedReload { changed, ignored, .. } = prepared;
    let needs_restart = ignored.into_iter().map(|key| change(key, &of_old, &of_new)).collect();
    let applied = if refused.is_empty() { changed } else { Vec::new() };
    ReloadPreview { applied, needs_restart, refused }
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
