//! `spool stats` and `spool verify`: what is stored, and whether it is sound.

use clap::{Args, Subcommand};

use super::output::{json, progress, size, table, time};
use super::{Failure, output};
use crate::config::Config;
use crate::spool::inspect;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// What the spool holds, where each sink is, and every door's total
    Stats(Format),
    /// Read everything and check it; fails if anything is damaged
    Verify(Format),
}

#[derive(Debug, Args)]
pub(super) struct Format {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command, config: &Config) -> Result<(), Failure> {
    let spool = inspect::open(&config.spool.directory)?;
    match command {
        Command::Stats(format) => stats(&spool, format.json),
        Command::Verify(format) => verify(&spool, format.json),
    }
}

fn stats(spool: &inspect::Inspection, as_json: bool) -> Result<(), Failure> {
    let stats = spool.stats()?;
    if as_json {
        return json(&stats);
    }
    println!("{} events, {}; last position {}", stats.events, size(stats.size), stats.head);
    if let Some(oldest) = stats.oldest_at {
        println!("oldest event received {}", time(oldest));
    }
    println!("{} entries in quarantine", stats.quarantined);
    let sinks = stats.sinks.iter();
    let sinks: Vec<_> = sinks
        .map(|sink| vec![sink.sink.clone(), sink.cursor.to_string(), sink.lag.to_string()])
        .collect();
    println!();
    table(&["SINK", "CURSOR", "LAG"], &sinks);
    let totals = stats.totals.iter();
    let totals: Vec<_> = totals
        .map(|(name, door, count)| vec![name.clone(), door.as_str().to_owned(), count.to_string()])
        .collect();
    println!();
    table(&["SOURCE/SINK", "DOOR", "EVENTS"], &totals);
    Ok(())
}

fn verify(spool: &inspect::Inspection, as_json: bool) -> Result<(), Failure> {
    let bar = progress(0, "chunks");
    let found = spool.verify(|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    if as_json {
        json(&found)?;
    } else {
        println!("{} chunks with {} events read", found.chunks, found.events);
        found.problems.iter().for_each(|problem| println!("{}", output::safe(problem)));
    }
    match found.problems.len() {
        0 => Ok(()),
        count => Err(Failure::Failed(format!(
            "{count} problems; undamaged events are delivered, damaged ones go to quarantine"
        ))),
    }
}
