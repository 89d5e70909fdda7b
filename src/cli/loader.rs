//! What a command reads of the configuration: never more than it needs, so that an operator needs no secret of a sink.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use super::Failure;
use crate::admin::AdminConfig;
use crate::config::{self, Config};
use crate::settings::{Problems, Secrets};
use crate::spool;

/// The configuration file and the environment, read when a command asks.
#[derive(Clone, Copy)]
pub(super) struct Loader<'a> {
    pub(super) file: Option<&'a Path>,
}

impl Loader<'_> {
    /// All of it, for a command that does what the service does.
    pub(super) fn config(self) -> Result<Config, Failure> {
        self.checked().map_err(|problems| mistakes(&problems))
    }

    /// All of it, and the file's text that it was made of.
    pub(super) fn text_and_config(self) -> Result<(String, Config), Failure> {
        let text = config::text_of(self.file).map_err(|problems| mistakes(&problems))?;
        let config = config::parse(&text, self.file, std::env::vars_os());
        config.map(|config| (text, config)).map_err(|problems| mistakes(&problems))
    }

    /// All of it, or every mistake.
    pub(super) fn checked(self) -> Result<Config, Problems> {
        config::load(self.file, std::env::vars_os())
    }

    /// All of it but most secrets, in whose place stands a value that is good for nothing. Those of the spool are
    /// read: without them nobody looks into streams.
    pub(super) fn config_without(self, secrets: Secrets) -> Result<Config, Failure> {
        let config = config::load_with(self.file, std::env::vars_os(), secrets)
            .map_err(|problems| mistakes(&problems))?;
        Ok(Config { spool: self.spool()?, ..config })
    }

    /// `[spool]` alone: whoever may read its directory looks into it and repairs it.
    pub(super) fn spool(self) -> Result<spool::SpoolConfig, Failure> {
        config::load_spool(self.file, std::env::vars_os()).map_err(|problems| mistakes(&problems))
    }

    /// `[admin]` alone: what reaches a running service.
    pub(super) fn admin(self) -> Result<AdminConfig, Failure> {
        config::load_admin(self.file, std::env::vars_os()).map_err(|problems| mistakes(&problems))
    }

    pub(super) fn admin_address(self) -> Result<SocketAddr, Failure> {
        config::load_admin_address(self.file, std::env::vars_os())
            .map_err(|problems| mistakes(&problems))
    }

    /// Names of the configured sources, and of the sinks.
    pub(super) fn names(self) -> Result<(BTreeSet<String>, BTreeSet<String>), Failure> {
        let (sources, sinks) = config::load_names(self.file, std::env::vars_os())
            .map_err(|problems| mistakes(&problems))?;
        Ok((sources.into_iter().collect(), sinks.into_iter().collect()))
    }
}

fn mistakes(problems: &Problems) -> Failure {
    match problems.0.len() {
        1 => Failure::Usage(problems.to_string()),
        count => Failure::Usage(format!(
            "{problems}\ndavinci-siem: {count} mistakes in the configuration"
        )),
    }
}
