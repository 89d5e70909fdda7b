//! `drift`: how the events differ from what PingOne documents, as the running service has seen it.

use clap::Args;

use super::admin_client::AdminClient;
use super::{Failure, block_on, output};
use crate::admin::AdminConfig;
use crate::observe::{DriftLine, Drifted, Shape};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, admin: &AdminConfig) -> Result<(), Failure> {
    let client = AdminClient::new(admin)?;
    let drifted: Drifted = block_on(client.ask(client.get("/api/drift")))?;
    if arguments.json {
        return drifted.drift.iter().try_for_each(output::json);
    }
    let since = output::time(drifted.since);
    if drifted.drift.is_empty() {
        println!("since {since}, every event was as PingOne documents it");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = drifted.drift.iter().map(row).collect();
    output::table(
        &["FIRST SEEN", "LAST SEEN", "COUNT", "FINDING", "TYPE", "MEMBER", "FOR EXAMPLE"],
        &rows,
    );
    if drifted.other > 0 {
        eprintln!("and {} findings for which there was no room", drifted.other);
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

fn example(shape: &Shape) -> String {
    let kind = output::safe(&shape.kind);
    match shape.length {
        Some(length) => format!("{kind}({length})"),
        None => kind,
    }
}
