//! The sinks of the running service. A reload adds sinks and changes their settings; none is removed before a restart.

use std::sync::{Arc, PoisonError, RwLock};

use thiserror::Error;
use tokio::sync::{mpsc, watch};

use super::{SinkConfig, SinkStatus, Worker};
use crate::metrics::{Metrics, SharedMetrics};
use crate::spool::{Clock, CommitError, Disposition, ReadError, Registered, Spool, Start};

/// Sinks with their workers, as far as other parts of the service need them.
pub(crate) struct RunningSinks {
    spool: Arc<Spool>,
    metrics: SharedMetrics,
    clock: Clock,
    /// Cursors that are no sink's. They keep events in the spool, too.
    others: Vec<(Arc<str>, Start)>,
    sinks: RwLock<Vec<RunningSink>>,
    names: watch::Sender<Vec<Arc<str>>>,
    workers: mpsc::UnboundedSender<Worker>,
}

/// A sink that delivers.
struct RunningSink {
    status: Arc<SinkStatus>,
    config: watch::Sender<Arc<SinkConfig>>,
}

/// Sinks that are registered in the spool and do not deliver yet.
pub(crate) struct PreparedSinks(Vec<(RunningSink, Worker)>);

/// Reason why a sink cannot be added.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// The cursors could not be set up.
    #[error("the sinks' cursors cannot be set up: {0}")]
    Cursors(#[from] CommitError),
    /// The spool could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl RunningSinks {
    /// Registers the sinks and the cursors of `others`. Returns the sinks, the registered `others`, and the receiver of
    /// all workers to run: those of these sinks, later those of added ones.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if the spool is not available.
    pub(crate) async fn start(
        configs: &[SinkConfig],
        others: Vec<(Arc<str>, Start)>,
        spool: &Arc<Spool>,
        metrics: &SharedMetrics,
        clock: &Clock,
    ) -> Result<(Arc<RunningSinks>, Vec<Registered>, mpsc::UnboundedReceiver<Worker>), RegisterError>
    {
        let (workers, received) = mpsc::unbounded_channel();
        let sinks = RunningSinks {
            spool: Arc::clone(spool),
            metrics: Arc::clone(metrics),
            clock: Arc::clone(clock),
            others,
            sinks: RwLock::default(),
            names: watch::Sender::default(),
            workers,
        };
        let (prepared, others) = sinks.register(configs).await?;
        sinks.add(prepared);
        Ok((Arc::new(sinks), others, received))
    }

    /// Returns the status of every sink.
    pub(crate) fn all(&self) -> Vec<Arc<SinkStatus>> {
        let sinks = self.sinks.read().unwrap_or_else(PoisonError::into_inner);
        sinks.iter().map(|sink| Arc::clone(&sink.status)).collect()
    }

    /// Returns the status of one sink.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<SinkStatus>> {
        self.all().into_iter().find(|sink| *sink.name == *name)
    }

    /// Watches the names of all sinks.
    pub(crate) fn names(&self) -> watch::Receiver<Vec<Arc<str>>> {
        self.names.subscribe()
    }

    /// Registers those of `configs` that do not run yet. What is registered and not applied only has a cursor.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if the spool is not available; then nothing is added.
    pub(crate) async fn prepare(
        &self,
        configs: &[SinkConfig],
    ) -> Result<PreparedSinks, RegisterError> {
        let is_new = |config: &&SinkConfig| self.find(&config.name).is_none();
        let new: Vec<SinkConfig> = configs.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return Ok(PreparedSinks(Vec::new()));
        }
        Ok(self.register(&new).await?.0)
    }

    /// Starts `added`, and gives the sinks named in `changed` their settings out of `configs`. A batch that the target
    /// does not take at once is delivered with the new settings.
    pub(crate) fn apply(&self, configs: &[SinkConfig], changed: &[String], added: PreparedSinks) {
        let running = self.sinks.read().unwrap_or_else(PoisonError::into_inner);
        for sink in running.iter().filter(|sink| changed.iter().any(|it| **it == *sink.status.name))
        {
            if let Some(config) = configs.iter().find(|config| *config.name == *sink.status.name) {
                sink.config.send_replace(Arc::new(config.clone()));
            }
        }
        drop(running);
        self.add(added);
    }

    fn add(&self, PreparedSinks(prepared): PreparedSinks) {
        let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
        for (sink, worker) in prepared {
            create_series(&sink.status.name, &self.metrics);
            sinks.push(sink);
            // The receiver is gone only if the service ends.
            drop(self.workers.send(worker));
        }
        let names = sinks.iter().map(|sink| Arc::clone(&sink.status.name));
        self.names.send_replace(names.collect());
    }

    /// Registers `new` beside all that is registered already: the spool keeps events only for registered cursors.
    async fn register(
        &self,
        new: &[SinkConfig],
    ) -> Result<(PreparedSinks, Vec<Registered>), RegisterError> {
        let new_starts = new.iter().map(|sink| (Arc::from(sink.name.as_str()), sink.start));
        // A running sink has its cursor, so its start does not matter.
        let running = self.all().into_iter().map(|sink| (Arc::clone(&sink.name), Start::Oldest));
        let starts: Vec<(Arc<str>, Start)> =
            new_starts.chain(self.others.iter().cloned()).chain(running).collect();
        let mut registered = self.spool.register(&starts).await?.into_iter();
        let mut prepared = Vec::with_capacity(new.len());
        for ((config, (name, _)), Registered { cursor, is_paused }) in
            new.iter().zip(&starts).zip(registered.by_ref())
        {
            let reader = self.spool.reader(name)?;
            let status = SinkStatus::new(Arc::clone(name), cursor, is_paused, config.concurrency);
            let status = Arc::new(status);
            let config = watch::Sender::new(Arc::new(config.clone()));
            let worker = Worker::new(
                config.subscribe(),
                Arc::clone(&self.spool),
                reader,
                Arc::clone(&status),
                Arc::clone(&self.metrics),
                Arc::clone(&self.clock),
            );
            prepared.push((RunningSink { status, config }, worker));
        }
        Ok((PreparedSinks(prepared), registered.take(self.others.len()).collect()))
    }
}

impl std::fmt::Debug for RunningSinks {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RunningSinks").field("sinks", &self.all()).finish_non_exhaustive()
    }
}

/// Creates every series of a sink: Prometheus `increase()` needs an initial 0 sample.
fn create_series(sink: &str, metrics: &Metrics) {
    for disposition in Disposition::OF_SINKS {
        metrics.sink_events.with_label_values(&[sink, disposition.as_str()]);
    }
    for attempt in ["first", "repeated"] {
        metrics.sink_attempts.with_label_values(&[sink, attempt]);
    }
    metrics.damaged.with_label_values(&[sink]);
    metrics.sink_bytes.with_label_values(&[sink]);
    metrics.sink_delivery.with_label_values(&[sink]);
}
