//! `serve`: runs the service until a signal ends it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::Failure;
use crate::app::App;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::reload::Reload;
use crate::{shutdown, telemetry};

/// How long the end may take for exporting the last spans.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Signals that end a process that does not expect them, and mean nothing to this one. `SIGXFSZ` comes with a
/// write beyond `RLIMIT_FSIZE`, which then fails like any other write; the rest comes from people and tools.
/// `SIGQUIT` still ends the process with a core dump, for whoever needs one.
const WITHOUT_MEANING: [Signal; 11] = [
    Signal::XFSZ,
    Signal::XCPU,
    Signal::USR1,
    Signal::USR2,
    Signal::PIPE,
    Signal::ALARM,
    Signal::VTALARM,
    Signal::PROF,
    Signal::IO,
    Signal::POWER,
    Signal::STKFLT,
];

/// The real-time signals of Linux. The first of them are the C library's own, and cannot be had.
const REAL_TIME: std::ops::RangeInclusive<i32> = 32..=64;

/// `config` was made of `text`, which is that of `file`; a reload reads the file again.
pub(super) fn run(config: Config, text: String, file: Option<PathBuf>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(config, text, file));
    // A sink may be blocked for ever in a write; everything that has to be durable is.
    runtime.shutdown_background();
    served
}

/// Keeps signals without a meaning from ending the process. A handler stays for as long as the process lives,
/// also when nobody listens to it.
fn outlive_signals() -> std::io::Result<()> {
    for kind in WITHOUT_MEANING {
        drop(signal(SignalKind::from_raw(kind.as_raw()))?);
    }
    for number in REAL_TIME {
        drop(signal(SignalKind::from_raw(number)));
    }
    Ok(())
}

async fn serve(config: Config, text: String, file: Option<PathBuf>) -> Result<(), Failure> {
    outlive_signals()?;
    let (trigger, shutdown) = shutdown::channel();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let sources: Vec<String> = config
        .sources
        .iter()
        .map(|source| match source.credentials.len() {
            0 => format!("{} (no credentials)", source.path),
            _ => source.path.clone(),
        })
        .collect();
    let mut hang_up = signal(SignalKind::hangup())?;
    let scheme = if config.listen.tls.is_some() { "https" } else { "http" };
    let metrics = Arc::new(Metrics::new()?);
    let telemetry = telemetry::start(&config.log, config.traces.as_ref(), &metrics);
    let grace = config.limits.shutdown_grace;
    let directory = std::path::absolute(&config.spool.directory)?;
    let app = Box::pin(App::build(config, metrics)).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = app.address().map(tracing::field::display),
        admin = app.admin_address().map(tracing::field::display),
        scheme,
        webhooks = sources.join(", "),
        spool = %directory.display(),
        "ready"
    );
    let now = Arc::new(Notify::new());
    let environment = std::env::vars_os().collect();
    let running = app.run(Reload { now: Arc::clone(&now), file, text, environment }, shutdown);
    tokio::pin!(running);
    let mut deadline = None;
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => {
                now.notify_one();
                continue;
            }
        }
        if trigger.has_begun() {
            return Err(Failure::Failed("stopped at once by a second signal".to_owned()));
        }
        deadline = Some(Instant::now() + grace);
        trigger.begin();
    };
    // Of what is left of the grace: a collector that hangs does not hold up a restart for all of it.
    let left = deadline.map_or(LAST_SPANS, |deadline| deadline - Instant::now());
    telemetry.finish(left.min(LAST_SPANS)).await;
    Ok(ended?)
}
