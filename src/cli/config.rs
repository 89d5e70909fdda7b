//! `config schema`: the JSON Schema of a configuration file, for editors.

use clap::Subcommand;

use super::CommandFailure;
use crate::config;
use crate::printable;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the JSON Schema (draft 2020-12) of a configuration file
    ///
    /// Editors complete and check a file whose first line is `#:schema FILE`.
    Schema,
}

pub(super) fn run(command: &ConfigCommand) -> Result<(), CommandFailure> {
    match command {
        ConfigCommand::Schema => {
            let schema = serde_json::to_string_pretty(&config::schema())?;
            println!("{}", printable::lines(&schema));
            Ok(())
        }
    }
}
