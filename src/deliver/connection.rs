//! One connection to a target, and the policy for one batch on it: attempts, waiting, pausing.

mod settle;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::batch::{Batch, Settled};
use super::status::Control;
use super::suspect::{Portion, Suspect, Tried};
use super::{Backoff, SinkState, SinkStatus};
use crate::config;
use crate::file_fingerprint::file_fingerprint;
use crate::metrics::SharedMetrics;
use crate::shutdown::Shutdown;
use crate::sinks::{Deliver, Item, Reason, Report, Sink, SinkFinding, Verdict};
use crate::spans;

/// How often the files of a sink that cannot deliver are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A sink's connection. A sink with `concurrency` has several.
#[derive(Debug)]
pub(super) struct SinkConnection {
    config: Arc<config::Sink>,
    status: Arc<SinkStatus>,
    metrics: SharedMetrics,
    control: watch::Receiver<Control>,
    /// Which of the sink's connections it is, from 0.
    number: usize,
    /// Opened at the first attempt, and again when its files have changed.
    sink: Option<Sink>,
    /// Whether its files are to be read again before the next attempt.
    is_stale: bool,
    /// Of the files that `sink` was opened with.
    fingerprint: u64,
    /// Reloads it has heard of.
    reloads: u64,
    portion: Portion,
    suspect: Option<Suspect>,
}

/// What was done with a batch.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) connection: SinkConnection,
    pub(super) settled: Vec<Settled>,
    /// Shutdown came before everything was settled.
    pub(super) is_stopped: bool,
    /// What is left of the batch, if its cursor is to move on before the end, or if its only event fails
    /// and another one is needed to tell whose fault that is.
    pub(super) unsettled: Option<Batch>,
}

/// Shutdown has begun.
struct Stopped;

/// How long the cursor may stand still while a target takes parts of a batch.
const PART: Duration = Duration::from_secs(1);

/// Reason why a batch is tried no longer.
enum End {
    Settled,
    /// Parts of it were taken, over some time.
    IsPart,
    /// Its only event fails, and there is another batch to compare it with.
    NeedsNeighbour,
}

/// What follows an attempt.
enum Then {
    GoOn,
    /// Everything was taken, and the target asks for less.
    SlowDown,
    Wait(Option<Duration>),
    Pause,
}

impl SinkConnection {
    pub(super) fn new(
        number: usize,
        config: Arc<config::Sink>,
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
            portion: Portion::whole(),
            suspect: None,
        }
    }

    /// Sends until everything is settled or shutdown stops it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: what was sent and not committed is sent again.
    pub(super) async fn deliver(mut self, mut batch: Batch, mut shutdown: Shutdown) -> Done {
        let has_items = !batch.groups.is_empty();
        let end = self.try_until_settled(&mut batch, &mut shutdown).await;
        let is_stopped = end.is_err();
        if let Ok(End::NeedsNeighbour | End::IsPart) = end {
            let settled = batch.take_settled();
            return Done { connection: self, settled, is_stopped, unsettled: Some(batch) };
        }
        if has_items && !is_stopped {
            let before = self.status.set(self.number, SinkState::Running);
            if before != SinkState::Running && self.status.state() == SinkState::Running {
                tracing::info!(sink = %self.status.name, "delivery goes on");
            }
        }
        Done { settled: batch.take_settled(), is_stopped, unsettled: None, connection: self }
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
    ) -> Result<End, Stopped> {
        let mut backoff = self.backoff();
        let (mut has_waited, mut attempt) = (false, "first");
        let began = Instant::now();
        while let Some(group) = batch.groups.front().copied() {
            self.until_not_paused(shutdown).await?;
            let is_comparison = self.wants_neighbour(batch);
            if is_comparison && batch.items.len() < 2 {
                return Ok(End::NeedsNeighbour);
            }
            let count = self.portion.of(group);
            batch.split_first(count);
            let range = if is_comparison { 1..2 } else { 0..count };
            let items = batch.items.get(range).unwrap_or(&batch.items);
            let report = self.observed_attempt(items, attempt).await;
            let then = self.note(&report, backoff.attempts());
            let has_moved = if is_comparison {
                self.settle_neighbour(batch, report)
            } else {
                let tried = Tried::of(&report.verdicts);
                let has_moved = self.settle(batch, report);
                let is_fewer = self.portion.note(tried, has_moved, backoff.attempts());
                if is_fewer && tried.is_late {
                    // Another attempt than the one that failed, and at ten of them many times longer.
                    backoff = self.backoff();
                }
                has_moved
            };
            attempt = if has_moved { "first" } else { "repeated" };
            if has_moved {
                backoff = self.backoff();
            }
            match then {
                Then::GoOn
                    if has_moved
                        && self.config.concurrency == 1
                        && batch.items.len() > 1
                        && began.elapsed() >= PART =>
                {
                    return Ok(End::IsPart);
                }
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
        Ok(End::Settled)
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
        // Looked at before they are read: a change in between is seen as one afterwards.
        self.fingerprint = file_fingerprint(self.config.kind.files()).await;
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
        for (notice, count) in &report.findings {
            self.metrics.sink_findings.with_label_values(&[name, notice.as_str()]).inc_by(*count);
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
        let asks_for_less =
            report.findings.iter().any(|(notice, _)| *notice == SinkFinding::SlowDown);
        if matches!(then, Then::GoOn) && asks_for_less {
            then = Then::SlowDown;
        }
        if let Some((reason, is_fatal)) = shown {
            self.show(reason, is_fatal, attempts + 1);
        }
        then
    }

    fn show(&self, reason: &Reason, is_fatal: bool, attempts: u32) {
        let mut text = reason.to_string();
        let sink = &*self.status.name;
        let rule = self.config.retry.give_up;
        if let Some(suspect) = self.suspect.as_ref().filter(|_| rule.attempts > 0) {
            let (failures, after) = (suspect.failures(), humantime::format_duration(rule.after));
            text.push_str(&format!(
                "; one event alone has failed {failures} times: it goes to quarantine after {} \
                 attempts and {after}, if the target takes others",
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
                !files.is_empty() && file_fingerprint(files.clone()).await != self.fingerprint;
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
        if !files.is_empty() && file_fingerprint(files).await != self.fingerprint {
            self.is_stale = true;
        }
    }
}
