//! `drift`: differences between the events and PingOne's documentation, as counted by the running service.

use clap::Args;

use super::admin_client::{AdminClient, AdminTarget};
use super::{CommandFailure, block_on, output};
use crate::observe::{DriftLine, DriftReport, ValueShape};

#[derive(Debug, Args)]
pub(super) struct DriftArguments {
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &DriftArguments, admin: &AdminTarget) -> Result<(), CommandFailure> {
    let client = AdminClient::new(admin)?;
    let drifted: DriftReport = block_on(client.request(client.get("/api/drift")))?;
    if arguments.json {
        return drifted.drift.iter().try_for_each(output::json);
    }
    let since = output::time(drifted.since);
    if drifted.drift.is_empty() {
        print_line!("since {since}, every event matched PingOne's documentation")?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = drifted.drift.iter().map(row).collect();
    output::table(
        &["FIRST SEEN", "LAST SEEN", "COUNT", "FINDING", "TYPE", "FIELD", "EXAMPLE"],
        &rows,
    )?;
    if drifted.other > 0 {
        eprintln!("and {} findings beyond the size of the table", drifted.other);
    }
    eprintln!("counted since {since}");
    Ok(())
}

fn row(line: &DriftLine) -> Vec<String> {
    vec![
        output::time(line.first_seen),
        output::time(line.last_seen),
        line.count.to_string(),
        output::safe(&line.finding),
        output::safe(&line.kind),
        output::safe(&line.path),
        line.example.as_ref().map(example).unwrap_or_default(),
    ]
}

fn example(shape: &ValueShape) -> String {
    let kind = output::safe(&shape.kind);
    match shape.length {
        Some(length) => format!("{kind}({length})"),
        None => kind,
    }
}
