//! Decides when changed files are read: once they are the same at two looks in a row, so that a file
//! that is being written is not taken up.

use std::path::PathBuf;
use std::time::Duration;

use super::Reload;
use crate::config::Config;
use crate::receive::Credential;

/// Longest time between two looks at files that have changed.
pub(super) const SETTLE: Duration = Duration::from_secs(1);

/// Reason why the files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The service has begun: files may have changed since it read them.
    Start,
    /// SIGHUP, which does not wait for a second look.
    Signal,
    /// `listen.reload` is over.
    Time,
}

/// The result of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// There is nothing to do.
    Same,
    /// The files have changed, and may still be changing: look again soon.
    Settling,
    /// The files are read now.
    Due,
}

/// Fingerprints of the watched files.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// When a reload was last tried.
    tried: Option<u64>,
    /// At the last look.
    seen: Option<u64>,
    /// True if what was last tried was refused. Then it is tried again at each look: a file that only
    /// the refused configuration names may have come.
    is_refused: bool,
}

impl Looks {
    pub(super) fn look(&mut self, found: u64, cause: Cause) -> Look {
        let is_changed = self.tried != Some(found) || self.is_refused;
        let is_settled = self.seen == Some(found);
        self.seen = Some(found);
        match cause {
            Cause::Start | Cause::Signal => Look::Due,
            Cause::Time if !is_changed => Look::Same,
            Cause::Time if is_settled => Look::Due,
            Cause::Time => Look::Settling,
        }
    }

    /// Remembers how the reload of these files ended.
    pub(super) fn tried(&mut self, found: u64, is_refused: bool) {
        (self.tried, self.is_refused) = (Some(found), is_refused);
    }
}

/// The configuration, and every file that its certificates and credentials are in.
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
    fn a_change_counts_when_it_is_seen_twice() {
        let mut looks = Looks::default();
        assert_eq!(looks.look(1, Cause::Start), Look::Due);
        looks.tried(1, false);
        assert_eq!(looks.look(1, Cause::Time), Look::Same);
        // Written piece by piece, and back to what it was.
        for found in [2, 3, 4] {
            assert_eq!(looks.look(found, Cause::Time), Look::Settling);
        }
        assert_eq!(looks.look(1, Cause::Time), Look::Same);
        assert_eq!(looks.look(4, Cause::Time), Look::Settling);
        assert_eq!(looks.look(4, Cause::Time), Look::Due);
        looks.tried(4, false);
        assert_eq!(looks.look(4, Cause::Time), Look::Same);
        assert_eq!(looks.look(5, Cause::Signal), Look::Due, "at once");
    }

    #[test]
    fn what_was_refused_is_tried_again() {
        let mut looks = Looks::default();
        looks.look(1, Cause::Start);
        looks.tried(1, true);
        assert_eq!(looks.look(1, Cause::Time), Look::Due);
        assert_eq!(looks.look(2, Cause::Time), Look::Settling);
        assert_eq!(looks.look(2, Cause::Time), Look::Due);
        looks.tried(2, false);
        assert_eq!(looks.look(2, Cause::Time), Look::Same);
    }
}
