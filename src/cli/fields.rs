//! `fields`: prints the data dictionary of a format, or the schema of an event. Needs no service and no configuration.

use clap::Args;

use super::map::FormatName;
use super::{CommandFailure, output};
use crate::decode;
use crate::format::dictionary;
use crate::printable;

#[derive(Debug, Args)]
pub(super) struct FieldsArguments {
    /// Format, as in a sink's configuration
    #[arg(long, value_enum, default_value_t = FormatName::Native)]
    format: FormatName,
    /// Print JSON, one object per field
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of an event in the format native
    #[arg(long, conflicts_with_all = ["format", "json"])]
    schema: bool,
}

pub(super) fn run(arguments: &FieldsArguments) -> Result<(), CommandFailure> {
    if arguments.schema {
        let schema = serde_json::to_string_pretty(&decode::schema())?;
        print_line!("{}", printable::lines(&schema))?;
        return Ok(());
    }
    let entries: Vec<_> = dictionary(arguments.format.into()).collect();
    if arguments.json {
        return entries.iter().try_for_each(output::json);
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            [entry.field, entry.value_type, entry.source, entry.events, entry.example]
                .map(str::to_owned)
                .to_vec()
        })
        .collect();
    output::table(&["FIELD", "TYPE", "SOURCE", "EVENTS", "EXAMPLE"], &rows)
}
