//! `serve`: runs the service until a signal ends it.

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::app::App;
use crate::config::Config;
use crate::{shutdown, telemetry};

pub(super) fn run(config: Config) -> Result<(), Failure> {
    telemetry::init(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(config));
    // A sink may be blocked for ever in a write; everything that has to be durable is.
    runtime.shutdown_background();
    served
}

async fn serve(config: Config) -> Result<(), Failure> {
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
    let app = App::build(config).await?;
    let sinks = app.sinks().to_vec();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = app.address().map(tracing::field::display),
        admin = app.admin_address().map(tracing::field::display),
        webhooks = sources.join(", "),
        "ready"
    );
    let running = app.run(shutdown);
    tokio::pin!(running);
    loop {
        tokio::select! {
            ended = &mut running => return Ok(ended?),
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => {
                sinks.iter().for_each(|sink| sink.reload());
                tracing::info!("SIGHUP: every sink reads its credentials and certificates again");
                continue;
            }
        }
        if trigger.has_begun() {
            return Err(Failure::Failed("stopped at once by a second signal".to_owned()));
        }
        trigger.begin();
    }
}
