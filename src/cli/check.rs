//! `check`: a configuration that loads has been checked; says what it amounts to.

use std::path::Path;

use super::Failure;
use crate::config::{Config, SinkKind};

/// Everything that is wrong was reported by loading it; this prints what is right.
pub(super) fn run(config: &Config, file: Option<&Path>) -> Result<(), Failure> {
    match file {
        Some(file) => println!("{}: no mistakes", file.display()),
        None => println!("no configuration file: the defaults apply"),
    }
    println!("webhooks on http://{}", config.listen.address);
    for source in &config.sources {
        let credentials = match source.credentials.len() {
            0 => "no credentials".to_owned(),
            1 => "1 credential".to_owned(),
            count => format!("{count} credentials"),
        };
        println!("  source {}: {} ({credentials})", source.name, source.path);
    }
    println!(
        "spool in {}, at most {}",
        config.spool.directory.display(),
        super::output::size(config.spool.max_size)
    );
    for sink in &config.sinks {
        match &sink.kind {
            SinkKind::Stdout => println!("  sink {}: standard output", sink.name),
            SinkKind::File(file) => println!("  sink {}: {}", sink.name, file.path.display()),
        }
    }
    println!("admin on http://{}", config.admin.address);
    Ok(())
}
