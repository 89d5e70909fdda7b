//! One connection to a target, and the policy for one batch on it: attempts, backoff, pause.

mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::batch::{CommitPart, DeliveryBatch};
use super::status::Control;
use super::suspect::{AttemptLimit, AttemptSummary, Suspect};
use super::{Backoff, SinkState, SinkStatus};
use crate::deliver::SinkConfig;
use crate::file_fingerprint::file_fingerprint;
use crate::metrics::SharedMetrics;
use crate::shutdown::Shutdown;
use crate::sinks::{Deliver, Item, Reason, Report, Sink, SinkFinding, Verdict};
use crate::spans;
use verdicts::confirm_existing;

/// Interval at which the files of a sink that cannot deliver are checked for changes.
const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A sink's connection. A sink with `concurrency` above 1 has several.
#[derive(Debug)]
pub(super) struct SinkConnection {
    config: Arc<SinkConfig>,
    status: Arc<SinkStatus>,
    metrics: SharedMetrics,
    control: watch::Receiver<Control>,
    /// Number of this connection, from 0.
    number: usize,
    /// Opened at the first attempt, and reopened after its files changed.
    sink: Option<Sink>,
    /// True if the files are to be read again before the next attempt.
    is_stale: bool,
    /// Fingerprint of the files that `sink` was opened with.
    fingerprint: u64,
    /// Number of reload requests seen.
    reloads: u64,
    attempt_limit: AttemptLimit,
    suspect: Option<Suspect>,
}

/// Result of one batch on a connection.
#[derive(Debug)]
pub(super) struct BatchResult {
    pub(super) connection: SinkConnection,
    pub(super) parts: Vec<CommitPart>,
    /// True if shutdown came before all verdicts were final.
    pub(super) is_stopped: bool,
    /// True if the target has an object of a name that nobody has written: no object of the batch counts as written.
    pub(super) is_name_taken: bool,
    /// Rest of the batch, if the cursor is to move before the end of the batch, or if its only event
    /// fails and another event is needed for comparison.
    pub(super) remaining: Option<DeliveryBatch>,
}

/// Shutdown was requested.
struct Stopped;

/// Longest time between two commits while a target takes a batch in parts.
const MAX_COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// Reason why the attempts with a batch end.
enum AttemptsEnd {
    Final,
    /// The target took some items, and `MAX_COMMIT_INTERVAL` has passed.
    IsPart,
    /// The only event fails, and another batch is waiting to compare it with.
    NeedsNeighbour,
    /// The target has an object of a name that nobody has written.
    NameTaken,
}

/// Action that follows an attempt.
enum NextAction {
    Continue,
    /// All items were taken, and the target asks for a lower rate.
    SlowDown,
    Wait(Option<Duration>),
    Pause,
}

impl SinkConnection {
    pub(super) fn new(
        number: usize,
        config: Arc<SinkConfig>,
        status: Arc<SinkStatus>,
        metrics: SharedMetrics,
    ) -> SinkConnection {
        let control = status.control();
        SinkConnection {
            config,
            status,
            metrics,
            control,
            number,
            sink: None,
            is_stale: true,
            fingerprint: 0,
            reloads: 0,
            attempt_limit: AttemptLimit::whole(),
            suspect: None,
        }
    }

    /// Sends until all verdicts are final or shutdown is requested.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: events that were sent and not committed are sent again.
    pub(super) async fn deliver(
        mut self,
        mut batch: DeliveryBatch,
        mut shutdown: Shutdown,
    ) -> BatchResult {
        let has_items = !batch.groups.is_empty();
        let end = self.try_until_final(&mut batch, &mut shutdown).await;
        let is_stopped = end.is_err();
        let is_name_taken = matches!(end, Ok(AttemptsEnd::NameTaken));
        if let Ok(AttemptsEnd::NeedsNeighbour | AttemptsEnd::IsPart | AttemptsEnd::NameTaken) = end
        {
            let parts = batch.take_final();
            let remaining = Some(batch);
            return BatchResult { connection: self, parts, is_stopped, is_name_taken, remaining };
        }
        if has_items && !is_stopped {
            let before = self.status.set(self.number, SinkState::Running);
            if before != SinkState::Running && self.status.state() == SinkState::Running {
                tracing::info!(sink = %self.status.name, "delivery resumed");
            }
        }
        let parts = batch.take_final();
        BatchResult { connection: self, parts, is_stopped, is_name_taken, remaining: None }
    }

    /// Closes the connection.
    pub(super) async fn close(mut self) {
        if let Some(sink) = &mut self.sink {
            sink.close().await;
        }
    }

    async fn try_until_final(
        &mut self,
        batch: &mut DeliveryBatch,
        shutdown: &mut Shutdown,
    ) -> Result<AttemptsEnd, Stopped> {
        let mut backoff = self.backoff();
        let (mut has_waited, mut attempt) = (false, "first");
        let started = Instant::now();
        while let Some(group) = batch.groups.front().copied() {
            self.until_not_paused(shutdown).await?;
            let is_comparison = self.wants_neighbour(batch);
            if is_comparison && batch.items.len() < 2 {
                return Ok(AttemptsEnd::NeedsNeighbour);
            }
            let count = self.attempt_limit.of(group);
            batch.split_first(count);
            let range = if is_comparison { 1..2 } else { 0..count };
            let items = batch.items.get(range).unwrap_or(&batch.items);
            let mut report = self.observed_attempt(items, attempt).await;
            if batch.may_exist {
                confirm_existing(&mut report);
            }
            let action = self.note(&report, backoff.attempts());
            if report.verdicts.iter().any(|verdict| matches!(verdict, Verdict::Exists { .. })) {
                return Ok(AttemptsEnd::NameTaken);
            }
            let has_moved = if is_comparison {
                self.apply_neighbour(batch, report)
            } else {
                let tried = AttemptSummary::of(&report.verdicts);
                let has_moved = self.apply(batch, report);
                let is_fewer = self.attempt_limit.note(tried, has_moved, backoff.attempts());
                if is_fewer && tried.is_late {
                    // A smaller request is a new series of attempts: its backoff starts at the minimum.
                    backoff = self.backoff();
                }
                has_moved
            };
            attempt = if has_moved { "first" } else { "repeated" };
            if has_moved {
                backoff = self.backoff();
            }
            match action {
                NextAction::Continue
                    if has_moved
                        && self.config.concurrency == 1
                        && batch.items.len() > 1
                        && started.elapsed() >= MAX_COMMIT_INTERVAL =>
                {
                    return Ok(AttemptsEnd::IsPart);
                }
                NextAction::Continue if has_moved => continue,
                // Without progress, an immediate retry would loop without a pause.
                NextAction::Continue | NextAction::SlowDown => {
                    self.wait(&mut backoff, None, shutdown).await?;
                }
                NextAction::Wait(requested) => {
                    self.wait(&mut backoff, requested, shutdown).await?;
                    self.reopen_if_changed().await;
                }
                NextAction::Pause => self.until_changed(!has_waited, shutdown).await?,
            }
            has_waited = true;
        }
        Ok(AttemptsEnd::Final)
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.config.retry.min, self.config.retry.max)
    }

    async fn observed_attempt(&mut self, items: &[Item], attempt: &'static str) -> Report {
        self.metrics.sink_attempts.with_label_values(&[&*self.status.name, attempt]).inc();
        let bytes = || items.iter().map(|item| item.payload.len()).sum();
        let span = spans::DeliverSpan::begin(&self.status.name, attempt, items.len(), bytes);
        let report = self.attempt(items).await;
        span.ended(report.verdicts.iter().map(Verdict::as_str));
        report
    }

    async fn attempt(&mut self, items: &[Item]) -> Report {
        if self.is_stale
            && let Err(reason) = self.open().await
        {
            let verdicts = vec![Verdict::Fatal { reason }; items.len()];
            return Report { verdicts, findings: Vec::new() };
        }
        match &mut self.sink {
            Some(sink) => sink.deliver(items).await,
            None => Report::default(),
        }
    }

    async fn open(&mut self) -> Result<(), Reason> {
        // Computed before the files are read: a change in between is detected afterwards.
        self.fingerprint = file_fingerprint(self.config.target.files()).await;
        match &mut self.sink {
            Some(sink) => sink.reopen(&self.config.target).await?,
            None => self.sink = Some(self.config.target.open()?),
        }
        self.is_stale = false;
        Ok(())
    }

    /// Counts the findings and failures of an attempt and shows its state. Returns the action that follows.
    fn note(&self, report: &Report, attempts: u32) -> NextAction {
        let name = &*self.status.name;
        for (finding, count) in &report.findings {
            self.metrics.sink_findings.with_label_values(&[name, finding.as_str()]).inc_by(*count);
        }
        let (mut action, mut failure) = (NextAction::Continue, None);
        for verdict in &report.verdicts {
            match verdict {
                Verdict::Delivered | Verdict::NotTried => continue,
                Verdict::Rejected { .. } | Verdict::TooOld { .. } | Verdict::Split { .. } => {}
                Verdict::Exists { reason } => failure = failure.or(Some((reason, false))),
                Verdict::Retry { after, reason } => {
                    action = match action {
                        NextAction::Continue | NextAction::SlowDown => NextAction::Wait(*after),
                        NextAction::Wait(requested) => NextAction::Wait(requested.max(*after)),
                        NextAction::Pause => NextAction::Pause,
                    };
                    failure = failure.or(Some((reason, false)));
                }
                Verdict::Fatal { reason } => {
                    // A fatal verdict overrides all others: an operator has to act.
                    action = NextAction::Pause;
                    failure = Some((reason, true));
                }
            }
            self.metrics.sink_failures.with_label_values(&[name, verdict.as_str()]).inc();
        }
        let asks_for_less =
            report.findings.iter().any(|(finding, _)| *finding == SinkFinding::SlowDown);
        if matches!(action, NextAction::Continue) && asks_for_less {
            action = NextAction::SlowDown;
        }
        if let Some((reason, is_fatal)) = failure {
            self.show(reason, is_fatal, attempts + 1);
        }
        action
    }

    fn show(&self, reason: &Reason, is_fatal: bool, attempts: u32) {
        let mut text = reason.to_string();
        let sink = &*self.status.name;
        let rule = self.config.retry.give_up;
        if let Some(suspect) = self.suspect.as_ref().filter(|_| rule.attempts > 0) {
            let (failures, after) = (suspect.failures(), humantime::format_duration(rule.after));
            text.push_str(&format!(
                "; an event sent alone has failed {failures} times; it becomes a dead letter after {} \
                 attempts and {after}, if the target takes other events",
                rule.attempts
            ));
        }
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
            tracing::warn!(sink, reason = text, "delivery failed; retrying");
        }
    }

    /// Waits for the backoff, or until an operator acts.
    async fn wait(
        &mut self,
        backoff: &mut Backoff,
        requested: Option<Duration>,
        shutdown: &mut Shutdown,
    ) -> Result<(), Stopped> {
        let wait = backoff.next_wait(requested, &mut rand::rng());
        self.status.set_next_attempt(self.number, Instant::now() + wait);
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            changed = self.control.changed() => changed.map_err(|_| Stopped),
            () = shutdown.begun() => Err(Stopped),
        }
    }

    /// Waits until one of the sink's files changes, an operator acts, or `retry.max` is over. With
    /// `at_once`, checks the files before waiting: a change may have caused the failed attempt.
    async fn until_changed(
        &mut self,
        at_once: bool,
        shutdown: &mut Shutdown,
    ) -> Result<(), Stopped> {
        let end = Instant::now() + self.config.retry.max;
        self.status.set_next_attempt(self.number, end);
        let files = self.config.target.files();
        let mut look = Instant::now() + if at_once { Duration::ZERO } else { FILE_CHECK_INTERVAL };
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
                !files.is_empty() && file_fingerprint(files.clone()).await != self.fingerprint;
            if has_changed || Instant::now() >= end {
                break;
            }
            look = Instant::now() + FILE_CHECK_INTERVAL;
        }
        self.is_stale = true;
        Ok(())
    }

    /// Waits while an operator pauses the sink, then notes requested reloads.
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

    /// Marks the sink stale if its files changed: a refused certificate looks like an unreachable target.
    async fn reopen_if_changed(&mut self) {
        let files = self.config.target.files();
        if !files.is_empty() && file_fingerprint(files).await != self.fingerprint {
            self.is_stale = true;
        }
    }
}
