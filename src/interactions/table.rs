//! All open interactions, within a bound of memory, and the times at which they are due.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::InteractionsConfig;
use super::covered::RANGE_BYTES;
use super::open::{MAX_ID_BYTES, OpenInteraction};
use crate::event::{Event, InteractionEvent};
use crate::spool::Millis;

/// Maximum number of positions from the first event of an open interaction to the end of the log. Bounds what a restart
/// reads again.
const MAX_SPAN: u64 = 4_000_000;

/// Number of positions that is always allowed.
const MIN_SPAN: u64 = 250_000;

/// Reason of a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum EndReason {
    /// The run reported an outcome and fell silent.
    Outcome,
    /// The run fell silent without an outcome.
    Timeout,
    /// The run goes on for longer than `max_age`.
    MaxAge,
    /// Memory or disk was short, and this was the oldest open interaction.
    Limit,
}

impl EndReason {
    /// Every reason.
    pub(super) const ALL: [EndReason; 4] =
        [EndReason::Outcome, EndReason::Timeout, EndReason::MaxAge, EndReason::Limit];

    /// Returns the name in summaries and metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            EndReason::Outcome => "outcome",
            EndReason::Timeout => "timeout",
            EndReason::MaxAge => "max_age",
            EndReason::Limit => "limit",
        }
    }
}

/// An interaction whose summary is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EndedInteraction {
    pub(super) run: Box<OpenInteraction>,
    pub(super) ended_by: EndReason,
}

/// An event of a flow run, as it stands in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoggedEvent<'e> {
    pub(super) source: &'e Arc<str>,
    pub(super) position: u64,
    pub(super) event: &'e Event<'e>,
    pub(super) run: &'e InteractionEvent<'e>,
}

/// Open interactions of all sources.
#[derive(Debug)]
pub(super) struct OpenInteractions {
    settings: TableSettings,
    /// Position of the first event, by source and interaction id.
    by_id: HashMap<Arc<str>, HashMap<Box<str>, u64>>,
    open: BTreeMap<u64, Box<OpenInteraction>>,
    /// Times at which interactions are due, with the position of the first event.
    due: BTreeSet<(Millis, u64)>,
    bytes: usize,
    now: Millis,
    ended: Vec<EndedInteraction>,
}

/// Bounds in ms and bytes.
#[derive(Debug)]
struct TableSettings {
    timeout: Millis,
    timeouts: BTreeMap<String, Millis>,
    settle: Millis,
    max_age: Millis,
    memory: usize,
    /// See [`MAX_SPAN`]. A restart remembers each summary in the span, within the same memory.
    span: u64,
}

impl OpenInteractions {
    pub(super) fn new(config: &InteractionsConfig) -> OpenInteractions {
        let timeouts = config.timeouts.iter();
        let settings = TableSettings {
            timeout: millis(config.timeout),
            timeouts: timeouts.map(|(name, timeout)| (name.clone(), millis(*timeout))).collect(),
            settle: millis(config.settle),
            max_age: millis(config.max_age),
            memory: usize::try_from(config.memory).unwrap_or(usize::MAX),
            span: (config.memory / RANGE_BYTES).clamp(MIN_SPAN, MAX_SPAN),
        };
        OpenInteractions {
            settings,
            by_id: HashMap::new(),
            open: BTreeMap::new(),
            due: BTreeSet::new(),
            bytes: 0,
            now: Millis::MIN,
            ended: Vec::new(),
        }
    }

    /// Sets the time, and ends the interactions that are due by then. A clock that was set back makes no interaction
    /// wait for longer than its timeout.
    pub(super) fn advance(&mut self, now: Millis) {
        if now < self.now {
            self.due.clear();
            for (first, run) in &mut self.open {
                run.active_at = run.active_at.min(now);
                run.opened_at = run.opened_at.min(now);
                self.due.insert((due_at(&self.settings, run), *first));
            }
        }
        self.now = now;
        while let Some((at, first)) = self.due.first().copied()
            && at <= now
        {
            let reason = self.open.get(&first).map(|run| reason(&self.settings, run));
            self.end(first, reason.unwrap_or(EndReason::Timeout));
        }
    }

    /// Adds an event at the current time. Returns false if the event belongs to no interaction: its id is too long.
    pub(super) fn add(&mut self, logged: LoggedEvent<'_>) -> bool {
        let LoggedEvent { source, position, event, run } = logged;
        let id = &*run.flow.interaction_id;
        if id.len() > MAX_ID_BYTES {
            return false;
        }
        self.note_subflow(source, run, event.flow_id());
        let first = self.first(source, id).unwrap_or_else(|| {
            let ids = self.by_id.entry(Arc::clone(source)).or_default();
            ids.insert(id.into(), position);
            let opened = OpenInteraction::new(source, id, position, self.now);
            self.bytes += opened.bytes();
            self.open.insert(position, Box::new(opened));
            position
        });
        if let Some(open) = self.open.get_mut(&first) {
            self.due.remove(&(due_at(&self.settings, open), first));
            self.bytes -= open.bytes();
            open.add(position, self.now, event, run);
            self.bytes += open.bytes();
            self.due.insert((due_at(&self.settings, open), first));
        }
        while let Some(oldest) = self.lowest()
            && self.bytes > self.settings.memory
        {
            self.end(oldest, EndReason::Limit);
        }
        true
    }

    /// Ends the interactions that began too many positions before `position`, the end of the log.
    pub(super) fn bound_span(&mut self, position: u64) {
        while let Some(oldest) = self.lowest()
            && position.saturating_sub(oldest) > self.settings.span
        {
            self.end(oldest, EndReason::Limit);
        }
    }

    /// Notes a subflow with its parent, if that is open.
    pub(super) fn note_subflow(
        &mut self,
        source: &Arc<str>,
        run: &InteractionEvent<'_>,
        flow_id: Option<&str>,
    ) {
        let Some(parent) = &run.flow.parent else { return };
        let id = &*run.flow.interaction_id;
        let first = self.first(source, &parent.interaction_id);
        if let Some(open) = first.and_then(|first| self.open.get_mut(&first))
            && parent.interaction_id != id
        {
            self.bytes -= open.bytes();
            open.add_subflow(id, flow_id);
            self.bytes += open.bytes();
        }
    }

    /// Ends the oldest `count` interactions whose first event is at or before `position`.
    pub(super) fn release(&mut self, position: u64, count: usize) {
        let oldest: Vec<u64> =
            self.open.range(..=position).take(count).map(|(first, _)| *first).collect();
        oldest.into_iter().for_each(|first| self.end(first, EndReason::Limit));
    }

    /// Returns the interactions that have ended since the last call, in the order in which they ended.
    pub(super) fn take_ended(&mut self) -> Vec<EndedInteraction> {
        std::mem::take(&mut self.ended)
    }

    /// Position of the first event of the oldest open interaction.
    pub(super) fn lowest(&self) -> Option<u64> {
        self.open.first_key_value().map(|(first, _)| *first)
    }

    /// Number of open interactions.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Memory of the open interactions, in bytes: an upper bound.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn first(&self, source: &str, id: &str) -> Option<u64> {
        self.by_id.get(source)?.get(id).copied()
    }

    fn end(&mut self, first: u64, ended_by: EndReason) {
        let Some(run) = self.open.remove(&first) else { return };
        self.due.remove(&(due_at(&self.settings, &run), first));
        self.bytes -= run.bytes();
        if let Some(ids) = self.by_id.get_mut(&run.source) {
            ids.remove(&run.id);
        }
        self.ended.push(EndedInteraction { run, ended_by });
    }
}

/// Returns the time at which silence ends an interaction.
fn silent_at(settings: &TableSettings, run: &OpenInteraction) -> Millis {
    let timeout = || settings.timeouts.get(&*run.source).copied().unwrap_or(settings.timeout);
    let wait = if run.outcome.is_some() { settings.settle } else { timeout() };
    run.active_at.saturating_add(wait)
}

/// Returns the reason that comes first. It does not depend on the time at which the end is noticed.
fn reason(settings: &TableSettings, run: &OpenInteraction) -> EndReason {
    if silent_at(settings, run) > due_at(settings, run) {
        EndReason::MaxAge
    } else if run.outcome.is_some() {
        EndReason::Outcome
    } else {
        EndReason::Timeout
    }
}

/// Returns the time at which an interaction is due.
fn due_at(settings: &TableSettings, run: &OpenInteraction) -> Millis {
    silent_at(settings, run).min(run.opened_at.saturating_add(settings.max_age))
}

fn millis(duration: Duration) -> Millis {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
