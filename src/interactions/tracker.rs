//! Follows the log: which summaries are due, and how far the cursor may move. Pure: the caller reads the log and tells
//! the time.

use std::collections::VecDeque;
use std::sync::Arc;

use super::covered::CoveredRanges;
use super::table::{EndedInteraction, LoggedEvent, OpenInteractions};
use super::{InteractionsConfig, SUMMARY_SOURCE};
use crate::decode;
use crate::event::{Event, Interaction, OutcomeWords};
use crate::spool::{Millis, Read, StoredEvent, Tally};

/// Positions that share a place for the cursor.
const SECTION_POSITIONS: u64 = 256;

/// State of the summariser. It follows from the log after the cursor.
#[derive(Debug)]
pub(super) struct Tracker {
    outcomes: Arc<OutcomeWords>,
    open: OpenInteractions,
    covered: CoveredRanges,
    /// Time of the log: the latest receive time, and while nothing arrives, the clock.
    now: Millis,
    /// Last position that was read.
    read: u64,
    /// Positions after the cursor.
    sections: VecDeque<LogSection>,
}

/// Consecutive positions with the disposition of their events.
#[derive(Debug)]
struct LogSection {
    first: u64,
    last: u64,
    tally: Tally,
}

impl Tracker {
    /// Starts after `cursor`. `covered` are the summaries that the log contains after it.
    pub(super) fn new(
        config: &InteractionsConfig,
        outcomes: Arc<OutcomeWords>,
        mut covered: CoveredRanges,
        cursor: u64,
    ) -> Tracker {
        covered.sort();
        Tracker {
            outcomes,
            open: OpenInteractions::new(config),
            covered,
            now: Millis::MIN,
            read: cursor,
            sections: VecDeque::new(),
        }
    }

    /// Last position that was read.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Number of open interactions.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Takes the next entries of the log. `clock` is the wall clock. Returns the number of events that cannot be read.
    pub(super) fn take(&mut self, reads: &[Read], clock: Millis) -> u64 {
        let mut damaged = 0;
        for read in reads {
            let mut tally = Tally::default();
            let last = match read {
                Read::Event(stored) => {
                    *self.take_event(stored, clock, &mut tally) += 1;
                    stored.position
                }
                Read::Damaged(damage) => {
                    damaged += damage.last + 1 - damage.first;
                    tally.filtered += damage.last + 1 - damage.first;
                    damage.last
                }
                Read::Repeated(position) => {
                    tally.repeated += 1;
                    *position
                }
            };
            self.pass(last, tally);
        }
        damaged
    }

    /// Takes an event. Returns its disposition: delivered, if it belongs to an interaction.
    fn take_event<'t>(
        &mut self,
        stored: &StoredEvent,
        clock: Millis,
        tally: &'t mut Tally,
    ) -> &'t mut u64 {
        // An event out of quarantine has an old receive time, and is new to its interaction.
        self.advance(self.now.max(stored.received_at).min(clock.max(stored.received_at)));
        if stored.only_sink.is_some() {
            return &mut tally.not_addressed;
        }
        if *stored.source == *SUMMARY_SOURCE {
            return &mut tally.filtered;
        }
        let Ok(typed) = decode::event(&stored.bytes) else { return &mut tally.filtered };
        let mut event = typed.event;
        event.apply(&self.outcomes);
        let Event::Interaction(run) = &event else { return &mut tally.filtered };
        if matches!(run.interaction, Interaction::Summary(_)) {
            return &mut tally.filtered;
        }
        if self.covered.covers(&stored.source, &run.flow.interaction_id, stored.position) {
            self.open.note_subflow(&stored.source, run, event.flow_id());
            return &mut tally.delivered;
        }
        let (source, position) = (&stored.source, stored.position);
        match self.open.add(LoggedEvent { source, position, event: &event, run }) {
            true => &mut tally.delivered,
            false => &mut tally.filtered,
        }
    }

    /// Tells the time while the end of the log is reached.
    pub(super) fn tick(&mut self, clock: Millis) {
        self.advance(clock);
    }

    fn advance(&mut self, now: Millis) {
        self.now = now;
        self.open.advance(now);
    }

    /// Ends the oldest quarter of the open interactions whose first event is at or before `position`, so that these
    /// events can be trimmed.
    pub(super) fn release(&mut self, position: u64) {
        self.open.release(position, self.open.len().div_ceil(4));
    }

    /// Returns the interactions whose summaries have to be appended before the cursor moves again.
    pub(super) fn take_ended(&mut self) -> Vec<EndedInteraction> {
        self.open.take_ended()
    }

    /// Returns the position to which the cursor may move, and the dispositions up to there. All interactions that
    /// [`Tracker::take_ended`] has returned must have their summaries in the log.
    pub(super) fn take_passed(&mut self) -> Option<(u64, Tally)> {
        self.take_passed_before(u64::MAX)
    }

    /// Does the same as [`Tracker::take_passed`] for positions before `first`, the first position of the interactions
    /// whose summaries are not in the log yet.
    pub(super) fn take_passed_before(&mut self, first: u64) -> Option<(u64, Tally)> {
        let lowest = self.open.lowest().unwrap_or(u64::MAX).min(first);
        let mut passed: Option<(u64, Tally)> = None;
        while let Some(section) = self.sections.pop_front_if(|section| section.last < lowest) {
            let mut tally = passed.map_or(Tally::default(), |(_, tally)| tally);
            tally += section.tally;
            passed = Some((section.last, tally));
        }
        passed
    }

    /// Takes back what [`Tracker::take_passed_before`] has returned, because the cursor could not be moved.
    pub(super) fn restore(&mut self, (last, tally): (u64, Tally)) {
        self.sections.push_front(LogSection { first: last, last, tally });
    }

    fn pass(&mut self, last: u64, tally: Tally) {
        let first = self.read + 1;
        self.read = last;
        self.covered.pass(last);
        self.open.bound_span(last);
        match self.sections.back_mut() {
            Some(section) if last - section.first < SECTION_POSITIONS => {
                section.last = last;
                section.tally += tally;
            }
            _ => self.sections.push_back(LogSection { first, last, tally }),
        }
    }
}
