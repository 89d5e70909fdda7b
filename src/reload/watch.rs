//! Watch of files: changed files are read once two observations in a row are equal, so that a file that is being
//! written is not read.

use std::path::PathBuf;
use std::time::Duration;

use super::Reload;
use crate::config::Config;
use crate::receive::Credential;

/// Longest interval between two observations of changing files.
pub(super) const SETTLE_INTERVAL: Duration = Duration::from_secs(1);

/// Reason of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReloadCause {
    /// Start of the service: files may have changed since they were read.
    Start,
    /// SIGHUP, which needs no second observation.
    Signal,
    /// `listen.reload` has passed.
    Time,
}

/// Result of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchState {
    /// No change.
    Unchanged,
    /// The files have changed, and may still be changing: observe them again soon.
    Settling,
    /// The files are to be read now.
    Due,
}

/// Fingerprints of the watched files.
#[derive(Debug, Default)]
pub(super) struct FileWatch {
    /// Fingerprint at the last reload.
    reloaded: Option<u64>,
    /// Fingerprint at the last observation.
    observed: Option<u64>,
    /// True if the last reload was refused. It is then retried at each observation, because a file that only the
    /// refused configuration names may have appeared.
    is_refused: bool,
}

impl FileWatch {
    pub(super) fn observe(&mut self, fingerprint: u64, cause: ReloadCause) -> WatchState {
        let is_changed = self.reloaded != Some(fingerprint) || self.is_refused;
        let is_settled = self.observed == Some(fingerprint);
        self.observed = Some(fingerprint);
        match cause {
            ReloadCause::Start | ReloadCause::Signal => WatchState::Due,
            ReloadCause::Time if !is_changed => WatchState::Unchanged,
            ReloadCause::Time if is_settled => WatchState::Due,
            ReloadCause::Time => WatchState::Settling,
        }
    }

    /// Stores the result of a reload.
    pub(super) fn reloaded(&mut self, fingerprint: u64, is_refused: bool) {
        (self.reloaded, self.is_refused) = (Some(fingerprint), is_refused);
    }
}

/// Returns the configuration file and every file of its certificates and credentials.
pub(super) fn files_of(reload: &Reload, config: &Config) -> Vec<PathBuf> {
    let tls = config.listen.tls.iter().flat_map(|tls| tls.files());
    let credentials = config.sources.iter().flat_map(|source| &source.credentials);
    let secrets = credentials.filter_map(|credential| match credential {
        Credential::Basic { password: secret, .. } | Credential::Header { value: secret, .. } => {
            secret.file().map(PathBuf::from)
        }
        Credential::Certificate(_) => None,
    });
    let password = config.admin.password.iter().filter_map(|secret| secret.file());
    let password = password.map(PathBuf::from);
    reload.file.iter().cloned().chain(tls).chain(secrets).chain(password).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_when_it_is_observed_twice() {
        let mut watch = FileWatch::default();
        assert_eq!(watch.observe(1, ReloadCause::Start), WatchState::Due);
        watch.reloaded(1, false);
        assert_eq!(watch.observe(1, ReloadCause::Time), WatchState::Unchanged);
        // Written piece by piece, then restored.
        for fingerprint in [2, 3, 4] {
            assert_eq!(watch.observe(fingerprint, ReloadCause::Time), WatchState::Settling);
        }
        assert_eq!(watch.observe(1, ReloadCause::Time), WatchState::Unchanged);
        assert_eq!(watch.observe(4, ReloadCause::Time), WatchState::Settling);
        assert_eq!(watch.observe(4, ReloadCause::Time), WatchState::Due);
        watch.reloaded(4, false);
        assert_eq!(watch.observe(4, ReloadCause::Time), WatchState::Unchanged);
        assert_eq!(watch.observe(5, ReloadCause::Signal), WatchState::Due, "at once");
    }

    #[test]
    fn a_refused_reload_is_retried() {
        let mut watch = FileWatch::default();
        watch.observe(1, ReloadCause::Start);
        watch.reloaded(1, true);
        assert_eq!(watch.observe(1, ReloadCause::Time), WatchState::Due);
        assert_eq!(watch.observe(2, ReloadCause::Time), WatchState::Settling);
        assert_eq!(watch.observe(2, ReloadCause::Time), WatchState::Due);
        watch.reloaded(2, false);
        assert_eq!(watch.observe(2, ReloadCause::Time), WatchState::Unchanged);
    }
}
