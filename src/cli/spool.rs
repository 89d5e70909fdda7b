//! `spool stats`, `spool verify` and `spool repair`: what is stored, whether it is sound, and what to do if
//! it is not.

use clap::{Args, Subcommand};

use super::output::{count, json, progress, size, table, time};
use super::{Failure, output};
use crate::app::system_clock;
use crate::spool::{Engine, Loss, Settings, StatsListing, inspect, repair};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// What the spool holds, where each sink is, and every disposition's total
    Stats(Format),
    /// Read everything and check it; fails if anything is damaged
    Verify(Format),
    /// Set what is damaged aside and go on with everything else; the service has to be stopped
    Repair(Format),
}

#[derive(Debug, Args)]
pub(super) struct Format {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command, settings: &Settings) -> Result<(), Failure> {
    let open = || inspect::open(settings);
    match command {
        Command::Stats(format) => stats(&open()?, settings, format.json),
        Command::Verify(format) => verify(&open()?, format.json),
        Command::Repair(format) => mend(settings, format.json),
    }
}

fn stats(spool: &inspect::Inspection, settings: &Settings, as_json: bool) -> Result<(), Failure> {
    let mut stats = spool.stats()?;
    if settings.engine == Engine::Embedded {
        stats.max_size = settings.max_size;
        stats.quarantine_max_size = settings.quarantine_max_size;
    }
    if as_json {
        let mut listed = serde_json::to_value(StatsListing::from(&stats))?;
        if let (Engine::Embedded, Some(listed)) = (&settings.engine, listed.as_object_mut()) {
            // Only a running service knows: davinci-siem status --json.
            listed.remove("full");
            listed.remove("quarantine_full");
        }
        return json(&listed);
    }
    println!(
        "{}, {} of {}; last position {}",
        count(stats.events, "event"),
        size(stats.size),
        size(stats.max_size),
        stats.head
    );
    if let Some(oldest) = stats.oldest_at {
        println!("oldest event received {}", time(oldest));
    }
    println!(
        "{} in quarantine, {} of {}",
        count(stats.quarantined, "entry"),
        size(stats.quarantine_size),
        size(stats.quarantine_max_size)
    );
    losses(&stats.lost);
    let sinks = stats.sinks.iter();
    let sinks: Vec<_> = sinks
        .map(|sink| vec![sink.sink.clone(), sink.cursor.to_string(), sink.lag.to_string()])
        .collect();
    println!();
    table(&["SINK", "CURSOR", "LAG"], &sinks);
    let totals = stats.totals.iter();
    let totals: Vec<_> = totals
        .map(|(name, disposition, count)| {
            vec![name.clone(), disposition.as_str().to_owned(), count.to_string()]
        })
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
        let read = (count(found.chunks, "chunk"), count(found.events, "event"));
        match found.problems.is_empty() {
            true => println!("no damage found: read {} with {}", read.0, read.1),
            false => println!("read {} with {}", read.0, read.1),
        }
        found.problems.iter().for_each(|problem| println!("{}", output::safe(problem)));
        found.notes.iter().for_each(|note| println!("{note}"));
        losses(&found.losses);
    }
    match found.problems.len() {
        0 => Ok(()),
        problems => Err(Failure::Failed(format!(
            "{}; undamaged events are delivered, damaged ones go to quarantine. Stop the service and run \
             davinci-siem spool repair to set the damaged part aside",
            count(problems as u64, "problem")
        ))),
    }
}

fn mend(settings: &Settings, as_json: bool) -> Result<(), Failure> {
    if settings.engine != Engine::Embedded {
        return Err(Failure::Failed(
            "there is nothing of ours to repair: JetStream's servers keep what they store"
                .to_owned(),
        ));
    }
    let spinner = output::spinner("repairing");
    let done = repair::repair(&settings.directory, system_clock()());
    spinner.finish_and_clear();
    let Some(done) = done? else {
        if as_json {
            return json(&serde_json::Value::Null);
        }
        println!("the spool is sound; nothing was changed");
        return Ok(());
    };
    if as_json {
        return json(&done);
    }
    for problem in &done.problems {
        println!("{}", output::safe(problem));
    }
    println!("the damaged files are kept in {}", done.set_aside.display());
    let kept = &done.salvaged;
    println!(
        "kept: {} in {}, {} in quarantine, {}, the cursors of {}",
        count(kept.events, "event"),
        count(kept.chunks, "chunk"),
        count(kept.quarantined, "entry"),
        count(kept.ids, "id"),
        count(kept.sinks.len() as u64, "sink")
    );
    losses(&kept.lost);
    Ok(())
}

fn losses(losses: &[Loss]) {
    let lost: u64 = losses.iter().map(Loss::events).sum();
    if lost > 0 {
        let verb = if lost == 1 { "is" } else { "are" };
        println!("{} {verb} lost:", count(lost, "event"));
    }
    for loss in losses {
        println!("  {} to {}: {}", loss.first, loss.last, output::safe(&loss.detail));
    }
}
