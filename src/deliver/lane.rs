//! One connection to a target, and the policy for one batch on it: attempts, waiting, pausing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::batch::{Batch, Settled};
use super::status::Control;
use super::{Backoff, SinkState, SinkStatus};
use crate::config;
use crate::files;
use crate::metrics::SharedMetrics;
use crate::shutdown::Shutdown;
use crate::sinks::{Deliver, Item, Notice, Reason, Report, Sink, Verdict};
use crate::spans;

/// How often the files of a sink that cannot deliver are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A sink's connection. A sink with `concurrency` has several.
#[derive(Debug)]
pub(super) struct Lane {
    config: Arc<config::Sink>,
    status: Arc<SinkStatus>,
    metrics: SharedMetrics,
    control: watch::Receiver<Control>,
    /// Which of the sink's lanes it is, from 0.
    number: usize,
    /// Opened at the first attempt, and again when its files have changed.
    sink: Option<Sink>,
    /// Whether its files are to be read again before the next attempt.
    is_stale: bool,
    /// Of the files that `sink` was opened with.
    fingerprint: u64,
    /// Reloads it has heard of.
    reloads: u64,
}

/// What was done with a batch.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) lane: Lane,
    pub(super) settled: Vec<Settled>,
    /// Shutdown came before everything was settled.
    pub(super) is_stopped: bool,
}

/// Shutdown has begun.
struct Stopped;

/// What follows an attempt.
enum Then {
    GoOn,
    /// Everything was taken, and the target asks for less.
    SlowDown,
    Wait(Option<Duration>),
    Pause,
}

impl Lane {
    pub(super) fn new(
        number: usize,
        config: Arc<config::Sink>,
        status: Arc<SinkStatus>,
        metrics: SharedMetrics,
    ) -> Lane {
        let control = status.control();
        Lane {
            config,
            status,
            metrics,
            control,
            number,
            sink: None,
            is_stale: true,
            fingerprint: 0,
            reloads: 0,
        }
    }

    /// Sends until everything is settled or shutdown stops it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: what was sent and not committed is sent again.
    pub(super) async fn deliver(mut self, mut batch: Batch, mut shutdown: Shutdown) -> Done {
        let has_items = !batch.groups.is_empty();
        let is_stopped = self.try_until_settled(&mut batch, &mut shutdown).await.is_err();
        if has_items && !is_stopped {
            let before = self.status.set(self.number, SinkState::Running);
            if before != SinkState::Running && self.status.state() == SinkState::Running {
                tracing::info!(sink = %self.status.name, "delivery goes on");
            }
        }
        Done { settled: batch.into_settled(), is_stopped, lane: self }
    }

    /// Ends the connection.
    pub(super) async fn close(mut self) {
        if let Some(sink) = &mut self.sink {
            sink.close().await;
        }
    }

    async fn try_until_settled(
        &mut self,
        batch: &mut Batch,
        shutdown: &mut Shutdown,
    ) -> Result<(), Stopped> {
        let mut backoff = Backoff::new(self.config.retry.min, self.config.retry.max);
        let (mut has_waited, mut attempt) = (false, "first");
        while let Some(group) = batch.groups.front() {
            self.until_not_paused(shutdown).await?;
            let items = batch.items.get(..*group).unwrap_or(&batch.items);
            self.metrics.sink_attempts.with_label_values(&[&*self.status.name, attempt]).inc();
            let bytes = || items.iter().map(|item| item.payload.len()).sum();
            let span = spans::Deliver::begin(&self.status.name, attempt, items.len(), bytes);
            let report = self.attempt(items).await;
            span.ended(report.verdicts.iter().map(Verdict::as_str));
            let then = self.note(&report, backoff.attempts());
            let has_moved = batch.settle(report.verdicts, &self.status.name);
            attempt = if has_moved { "first" } else { "repeated" };
            if has_moved {
                backoff = Backoff::new(self.config.retry.min, self.config.retry.max);
            }
            match then {
                Then::GoOn if has_moved => continue,
                // Where nothing has moved, to ask again at once would be to ask for ever.
                Then::GoOn | Then::SlowDown => self.wait(&mut backoff, None, shutdown).await?,
                Then::Wait(asked) => {
                    self.wait(&mut backoff, asked, shutdown).await?;
                    self.reopen_if_changed().await;
                }
                Then::Pause => self.until_changed(!has_waited, shutdown).await?,
            }
            has_waited = true;
        }
        Ok(())
    }

    async fn attempt(&mut self, items: &[Item]) -> Report {
        if self.is_stale
            && let Err(reason) = self.open().await
        {
            let verdicts = vec![Verdict::Fatal { reason }; items.len()];
            return Report { verdicts, notices: Vec::new() };
        }
        match &mut self.sink {
            Some(sink) => sink.deliver(items).await,
            None => Report::default(),
        }
    }

    async fn open(&mut self) -> Result<(), Reason> {
        // Looked at before they are read: a change in between is seen as one afterwards.
        self.fingerprint = files::fingerprint(self.config.kind.files()).await;
        match &mut self.sink {
            Some(sink) => sink.reopen(&self.config.kind).await?,
            None => self.sink = Some(Sink::open(&self.config.kind)?),
        }
        self.is_stale = false;
        Ok(())
    }

    /// Counts and shows what an attempt came to. Says what follows.
    fn note(&self, report: &Report, attempts: u32) -> Then {
        let name = &*self.status.name;
        for (notice, count) in &report.notices {
            self.metrics.sink_notices.with_label_values(&[name, notice.as_str()]).inc_by(*count);
        }
        let (mut then, mut shown) = (Then::GoOn, None);
        for verdict in &report.verdicts {
            match verdict {
                Verdict::Delivered | Verdict::NotTried => continue,
                Verdict::Rejected { .. } | Verdict::Split { .. } => {}
                Verdict::Retry { after, reason } => {
                    then = match then {
                        Then::GoOn | Then::SlowDown => Then::Wait(*after),
                        Then::Wait(asked) => Then::Wait(asked.max(*after)),
                        Then::Pause => Then::Pause,
                    };
                    shown = shown.or(Some((reason, false)));
                }
                Verdict::Fatal { reason } => {
                    // Whatever else was said, somebody is needed.
                    then = Then::Pause;
                    shown = Some((reason, true));
                }
            }
            self.metrics.sink_failures.with_label_values(&[name, verdict.as_str()]).inc();
        }
        let asks_for_less = report.notices.iter().any(|(notice, _)| *notice == Notice::SlowDown);
        if matches!(then, Then::GoOn) && asks_for_less {
            then = Then::SlowDown;
        }
        if let Some((reason, is_fatal)) = shown {
            self.show(reason, is_fatal, attempts + 1);
        }
        then
    }

    fn show(&self, reason: &Reason, is_fatal: bool, attempts: u32) {
        let text = reason.to_string();
        let sink = &*self.status.name;
        if is_fatal {
            let before = self.status.set(self.number, SinkState::Paused { reason: text.clone() });
            if !matches!(before, SinkState::Paused { .. }) {
                tracing::error!(sink, reason = text, "delivery is paused; its events are kept");
            }
            return;
        }
        let retrying = SinkState::Retrying { attempts, reason: text.clone() };
        let before = self.status.set(self.number, retrying);
        if before == SinkState::Running {
            tracing::warn!(sink, reason = text, "delivery failed; trying again");
        }
    }

    /// Waits before the next attempt, unless an operator or shutdown comes first.
    async fn wait(
        &mut self,
        backoff: &mut Backoff,
        asked: Option<Duration>,
        shutdown: &mut Shutdown,
    ) -> Result<(), Stopped> {
        let wait = backoff.next_wait(asked, &mut rand::rng());
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            changed = self.control.changed() => changed.map_err(|_| Stopped),
            () = shutdown.begun() => Err(Stopped),
        }
    }

    /// Waits until one of the sink's files has changed, an operator acts, or the longest waiting time
    /// is over. `at_once` looks before waiting: the change may have been what made the attempt fail.
    async fn until_changed(
        &mut self,
        at_once: bool,
        shutdown: &mut Shutdown,
    ) -> Result<(), Stopped> {
        let end = Instant::now() + self.config.retry.max;
        let files = self.config.kind.files();
        let mut look = Instant::now() + if at_once { Duration::ZERO } else { LOOK };
        loop {
            tokio::select! {
                () = sleep_until(look.min(end)) => {}
                changed = self.control.changed() => {
                    changed.map_err(|_| Stopped)?;
                    break;
                }
                () = shutdown.begun() => return Err(Stopped),
            }
            let has_changed =
                !files.is_empty() && files::fingerprint(files.clone()).await != self.fingerprint;
            if has_changed || Instant::now() >= end {
                break;
            }
            look = Instant::now() + LOOK;
        }
        self.is_stale = true;
        Ok(())
    }

    /// Waits while an operator holds the sink, and then does what else was asked for.
    async fn until_not_paused(&mut self, shutdown: &mut Shutdown) -> Result<(), Stopped> {
        tokio::select! {
            resumed = self.control.wait_for(|control| !control.is_paused) => {
                resumed.map(|_| ()).map_err(|_| Stopped)?;
            }
            () = shutdown.begun(), if self.control.borrow().is_paused => return Err(Stopped),
        }
        let Control { reloads, .. } = *self.control.borrow_and_update();
        self.is_stale |= reloads != self.reloads;
        self.reloads = reloads;
        Ok(())
    }

    /// A refused certificate looks like a target that is away, so its files are looked at as well.
    async fn reopen_if_changed(&mut self) {
        let files = self.config.kind.files();
        if !files.is_empty() && files::fingerprint(files).await != self.fingerprint {
            self.is_stale = true;
        }
    }
}
