//! `serve`: runs the service until a signal stops it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::{CommandFailure, trace};
use crate::admin::Tracer;
use crate::app::App;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::reload::Reload;
use crate::{shutdown, telemetry};

/// Timeout for the export of the last spans.
const FINAL_EXPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Signals that end a process by default and that the service ignores. `SIGXFSZ` accompanies a write beyond
/// `RLIMIT_FSIZE`, which then fails like any other write. `SIGQUIT` is not ignored: it ends the process with a core
/// dump.
const IGNORED_SIGNALS: [Signal; 11] = [
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

/// Linux real-time signals. The C library reserves the first ones, so no handler can be set for them.
const REAL_TIME: std::ops::RangeInclusive<i32> = 32..=64;

/// Serves until a signal. `text` is the content of `file`, of which `config` was read; a reload reads the file again.
pub(super) fn run(
    config: Config,
    text: String,
    file: Option<PathBuf>,
) -> Result<(), CommandFailure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(config, text, file));
    // Does not wait for blocking writes of sinks: everything that must be durable is.
    runtime.shutdown_background();
    served
}

/// Installs handlers for ignored signals. They stay for the life of the process, also without a listener.
fn ignore_signals() -> std::io::Result<()> {
    for kind in IGNORED_SIGNALS {
        drop(signal(SignalKind::from_raw(kind.as_raw()))?);
    }
    for number in REAL_TIME {
        drop(signal(SignalKind::from_raw(number)));
    }
    Ok(())
}

async fn serve(config: Config, text: String, file: Option<PathBuf>) -> Result<(), CommandFailure> {
    ignore_signals()?;
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
    let traced = Arc::new(config.clone());
    let tracer: Tracer = Arc::new(move |id| trace::for_console(id, &traced));
    let app = Box::pin(App::build(config, metrics)).await?.with_tracer(tracer);
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
            return Err(CommandFailure::Failed(
                "stopped immediately by a second signal".to_owned(),
            ));
        }
        deadline = Some(Instant::now() + grace);
        trigger.begin();
    };
    // Bounded by the rest of the grace period, so that a collector that hangs does not delay a restart.
    let left = deadline.map_or(FINAL_EXPORT_TIMEOUT, |deadline| deadline - Instant::now());
    telemetry.finish(left.min(FINAL_EXPORT_TIMEOUT)).await;
    Ok(ended?)
}
