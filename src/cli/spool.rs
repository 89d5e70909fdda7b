//! `spool stats`, `spool verify`, `spool repair` and `spool move`: content of the spool, its integrity, its repair, and
//! its move to another engine.

mod recorded;

use clap::{Args, Subcommand};

#[cfg(feature = "nats")]
use super::loader::Loader;
use super::output::{count, json, progress, size, table, time};
use super::{CommandFailure, output};
use crate::app::system_clock;
#[cfg(feature = "nats")]
use crate::spool::moving;
use crate::spool::{Engine, Loss, SpoolConfig, StatsListing, inspect, repair};

#[derive(Debug, Subcommand)]
pub(super) enum SpoolCommand {
    /// Print content, cursors and totals by result
    Stats(SpoolArguments),
    /// Verify every chunk and entry; exit code 1 if anything is corrupt
    Verify(SpoolArguments),
    /// Set corrupt files aside and keep everything readable; needs a stopped service
    Repair(SpoolArguments),
    /// Move everything to the spool of another configuration; needs a stopped service
    ///
    /// Moves events, cursors, totals, quarantine and ids to the other spool.engine. Sinks continue where they were.
    /// Repeat the command after an interruption: it continues. The old spool stays, and the service refuses it.
    Move(MoveArguments),
}

#[derive(Debug, Args)]
pub(super) struct SpoolArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct MoveArguments {
    /// Configuration file of the new spool, with another spool.engine
    #[arg(long, value_name = "FILE")]
    to: std::path::PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &SpoolCommand, settings: &SpoolConfig) -> Result<(), CommandFailure> {
    let open = || inspect::open(settings);
    match command {
        SpoolCommand::Stats(arguments) => stats(&open()?, settings, arguments.json),
        SpoolCommand::Verify(arguments) => verify(&open()?, settings, arguments.json),
        SpoolCommand::Repair(arguments) => mend(settings, arguments.json),
        SpoolCommand::Move(arguments) => relocate(settings, arguments),
    }
}

fn stats(
    spool: &inspect::Inspection,
    settings: &SpoolConfig,
    as_json: bool,
) -> Result<(), CommandFailure> {
    let mut stats = spool.stats()?;
    if settings.engine == Engine::Embedded {
        stats.max_size = settings.max_size;
        stats.quarantine_max_size = settings.quarantine_max_size;
    }
    if as_json {
        let mut listed = serde_json::to_value(StatsListing::from(&stats))?;
        if let (Engine::Embedded, Some(listed)) = (&settings.engine, listed.as_object_mut()) {
            // Known only to a running service: davinci-siem status --json.
            listed.remove("full");
            listed.remove("quarantine_full");
        }
        return json(&listed);
    }
    print_line!(
        "{}, {} of {}; last position {}",
        count(stats.events, "event"),
        size(stats.size),
        size(stats.max_size),
        stats.head
    )?;
    if let Some(oldest) = stats.oldest_at {
        print_line!("oldest event received {}", time(oldest))?;
    }
    print_line!(
        "{} in quarantine, {} of {}",
        count(stats.quarantined, "entry"),
        size(stats.quarantine_size),
        size(stats.quarantine_max_size)
    )?;
    losses(&stats.lost)?;
    let sinks = stats.sinks.iter();
    let sinks: Vec<_> = sinks
        .map(|sink| vec![sink.sink.clone(), sink.cursor.to_string(), sink.lag.to_string()])
        .collect();
    print_line!("")?;
    table(&["SINK", "CURSOR", "LAG"], &sinks)?;
    let totals = stats.totals.iter();
    let totals: Vec<_> = totals
        .map(|(name, disposition, count)| {
            vec![name.clone(), disposition.as_str().to_owned(), count.to_string()]
        })
        .collect();
    print_line!("")?;
    table(&["SOURCE/SINK", "RESULT", "EVENTS"], &totals)
}

fn verify(
    spool: &inspect::Inspection,
    settings: &SpoolConfig,
    as_json: bool,
) -> Result<(), CommandFailure> {
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
            true => print_line!("no corruption found: read {} with {}", read.0, read.1)?,
            false => print_line!("read {} with {}", read.0, read.1)?,
        }
        found.problems.iter().try_for_each(|problem| print_line!("{}", output::safe(problem)))?;
        found.notes.iter().try_for_each(|note| print_line!("{note}"))?;
        losses(&found.losses)?;
    }
    // The JetStream engine has nothing to set aside.
    let advice = match settings.engine {
        Engine::Embedded => {
            ". Stop the service and run davinci-siem spool repair to set the corrupt part aside"
        }
        #[cfg(feature = "nats")]
        Engine::Jetstream(_) => "",
    };
    match found.problems.len() {
        0 => Ok(()),
        problems => Err(CommandFailure::Answered(format!(
            "{}; readable events are delivered, corrupt ones go to quarantine{advice}",
            count(problems as u64, "problem")
        ))),
    }
}

fn mend(settings: &SpoolConfig, as_json: bool) -> Result<(), CommandFailure> {
    if settings.engine != Engine::Embedded {
        return Err(CommandFailure::Failed(
            "nothing to repair here: the JetStream servers store the spool".to_owned(),
        ));
    }
    let spinner = output::spinner("repairing");
    let done = repair::repair(&settings.directory, system_clock()());
    spinner.finish_and_clear();
    match &done {
        Ok(None) => {}
        Ok(Some(done)) => recorded::repair(&settings.directory, Some(&done.salvaged)),
        Err(_) => recorded::repair(&settings.directory, None),
    }
    let Some(done) = done? else {
        if as_json {
            return json(&serde_json::json!({ "problems": [] }));
        }
        return print_line!("the spool has no corruption; nothing was changed");
    };
    if as_json {
        return json(&done);
    }
    for problem in &done.problems {
        print_line!("{}", output::safe(problem))?;
    }
    print_line!("the corrupt files are kept in {}", done.set_aside.display())?;
    let kept = &done.salvaged;
    print_line!(
        "kept: {} in {}, {} in quarantine, {}, the cursors of {}",
        count(kept.events, "event"),
        count(kept.chunks, "chunk"),
        count(kept.quarantined, "entry"),
        count(kept.ids, "id"),
        count(kept.sinks.len() as u64, "sink")
    )?;
    losses(&kept.lost)
}

#[cfg(not(feature = "nats"))]
fn relocate(_: &SpoolConfig, _: &MoveArguments) -> Result<(), CommandFailure> {
    let message = "this program was built without the feature nats, which spool move needs. The releases and the image \
                   have it; or build it with --features nats";
    Err(CommandFailure::Failed(message.to_owned()))
}

#[cfg(feature = "nats")]
fn relocate(settings: &SpoolConfig, arguments: &MoveArguments) -> Result<(), CommandFailure> {
    let new = Loader { file: Some(&arguments.to), admin_url: None, password_file: None }.spool()?;
    let spinner = output::spinner("moving");
    let moved = moving::run(settings, &new, &system_clock());
    spinner.finish_and_clear();
    recorded::relocation(settings, &new, moved.as_ref().ok());
    let moved = moved?;
    if arguments.json {
        return json(&moved);
    }
    let (from, to) = (output::safe(&moved.from), output::safe(&moved.to));
    if moved.was_complete {
        return print_line!("{from} was moved to {to} before; nothing was changed");
    }
    print_line!(
        "moved from {from} to {to}: {}, {} in quarantine, {}, the cursors of {}",
        count(moved.events, "event"),
        count(moved.entries, "entry"),
        count(moved.ids, "id"),
        count(moved.sinks.len() as u64, "sink")
    )?;
    if !moved.cursors_left.is_empty() {
        print_line!(
            "not moved: the cursor {}. The engine jetstream makes no summaries of flow runs",
            moved.cursors_left.join(", ")
        )?;
    }
    if !moved.files.is_empty() {
        print_line!("moved along to the new spool.directory: {}", moved.files.join(", "))?;
    }
    if !moved.files_left.is_empty() {
        let left = moved.files_left.join(", ");
        print_line!("not moved, because the new spool.directory has others of the name: {left}")?;
    }
    print_line!(
        "the new spool was compared with the old one and is equal. Start the service with {}",
        arguments.to.display()
    )
}

fn losses(losses: &[Loss]) -> Result<(), CommandFailure> {
    let lost: u64 = losses.iter().map(Loss::events).sum();
    if lost > 0 {
        let verb = if lost == 1 { "is" } else { "are" };
        print_line!("{} {verb} lost:", count(lost, "event"))?;
    }
    for loss in losses {
        print_line!("  {} to {}: {}", loss.first, loss.last, output::safe(&loss.detail))?;
    }
    Ok(())
}
