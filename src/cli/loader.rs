//! Parts of the configuration that a command reads. Commands for operators read no secret of a sink.

use std::collections::BTreeSet;
use std::path::Path;

use url::Url;

use super::CommandFailure;
use super::admin_client::AdminTarget;
use crate::admin::AdminConfig;
use crate::config::{self, Config};
use crate::deliver;
use crate::pingone::PingOneConfig;
use crate::receive;
use crate::settings::{Problems, Secrets, Section};
use crate::spool::SpoolConfig;

/// Configuration file and environment, read on demand.
#[derive(Clone, Copy)]
pub(super) struct Loader<'a> {
    pub(super) file: Option<&'a Path>,
    /// URL of the admin listener, instead of `[admin]`.
    pub(super) admin_url: Option<&'a Url>,
    /// File with the password for `admin_url`.
    pub(super) password_file: Option<&'a Path>,
}

impl Loader<'_> {
    /// Reads the whole configuration.
    pub(super) fn config(self) -> Result<Config, CommandFailure> {
        self.checked().map_err(|problems| mistakes(&problems))
    }

    /// Reads the whole configuration. Returns also the text of the file.
    pub(super) fn text_and_config(self) -> Result<(String, Config), CommandFailure> {
        self.text_and_config_at(self.file)
    }

    /// Does the same as if the file were at `path`, where relative paths begin. Mistakes name the file itself.
    pub(super) fn text_and_config_at(
        self,
        path: Option<&Path>,
    ) -> Result<(String, Config), CommandFailure> {
        let text = config::text_of(self.file).map_err(|problems| mistakes(&problems))?;
        match (config::parse(&text, path, std::env::vars_os()), path, self.file) {
            (Ok(config), _, _) => Ok((text, config)),
            (Err(problems), Some(path), Some(file)) => Err(mistakes(&problems.moved(path, file))),
            (Err(problems), _, _) => Err(mistakes(&problems)),
        }
    }

    /// Reads the whole configuration, or returns every mistake.
    pub(super) fn checked(self) -> Result<Config, Problems> {
        config::load(self.file, std::env::vars_os())
    }

    /// Reads the configuration with only `secrets`; a placeholder replaces the others. The spool's secrets are
    /// always read, because streams cannot be opened without them.
    pub(super) fn config_without(self, secrets: Secrets) -> Result<Config, CommandFailure> {
        let config = config::load_with(self.file, std::env::vars_os(), secrets)
            .map_err(|problems| mistakes(&problems))?;
        Ok(Config { spool: self.spool()?, ..config })
    }

    /// Reads `[spool]` alone, to inspect or repair the spool. These commands put nothing into quarantine, so no body has
    /// to find room there.
    pub(super) fn spool(self) -> Result<SpoolConfig, CommandFailure> {
        self.part(Secrets::All, |root| config::read_spool(root, 0))
    }

    /// Returns the admin listener, to reach the running service: `--admin-url`, or `[admin]`.
    pub(super) fn admin(self) -> Result<AdminTarget, CommandFailure> {
        match self.admin_url {
            Some(url) => AdminTarget::new(url, self.password_file),
            None => Ok(AdminTarget::of(&self.part(Secrets::All, AdminConfig::read)?)),
        }
    }

    /// Returns the admin listener for endpoints that need no password. Reads no secret.
    pub(super) fn public_admin(self) -> Result<AdminTarget, CommandFailure> {
        match self.admin_url {
            Some(url) => AdminTarget::new(url, None),
            None => Ok(AdminTarget::at(self.part(Secrets::None, AdminConfig::read_address)?)),
        }
    }

    /// Reads `[pingone]` alone; `None` without it.
    pub(super) fn pingone(self) -> Result<Option<PingOneConfig>, CommandFailure> {
        self.part(Secrets::All, PingOneConfig::read)
    }

    /// Returns the names of the configured sources and of the sinks.
    pub(super) fn names(self) -> Result<(BTreeSet<String>, BTreeSet<String>), CommandFailure> {
        self.part(Secrets::None, |root| {
            let sources = root.names("sources", receive::DEFAULT_SOURCE);
            let sinks = root.names("sinks", deliver::DEFAULT_SINK);
            Some((sources.into_iter().collect(), sinks.into_iter().collect()))
        })
    }

    fn part<T>(
        self,
        secrets: Secrets,
        read: impl FnOnce(&mut Section<'_>) -> Option<T>,
    ) -> Result<T, CommandFailure> {
        config::load_part(self.file, std::env::vars_os(), secrets, read)
            .map_err(|problems| mistakes(&problems))
    }
}

fn mistakes(problems: &Problems) -> CommandFailure {
    match problems.0.len() {
        1 => CommandFailure::Usage(problems.to_string()),
        count => CommandFailure::Usage(format!(
            "{problems}\ndavinci-siem: {count} mistakes in the configuration"
        )),
    }
}
