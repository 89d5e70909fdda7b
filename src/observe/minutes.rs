//! Events by minute, type and outcome, for a day.

use serde::Serialize;

use super::kind::Kind;
use crate::event::Outcome;

/// Number of minutes in the ring.
const MINUTES: usize = 24 * 60;

const MINUTE_MS: i64 = 60_000;

/// Outcomes, each at its own index.
pub(super) const OUTCOMES: [Outcome; 3] = [Outcome::Success, Outcome::Failure, Outcome::Unknown];

/// Number of events by type and outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts([[u32; OUTCOMES.len()]; Kind::COUNT]);

/// Events of one minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Minute {
    /// Start of the minute, in ms since the Unix epoch.
    pub at: i64,
    /// Number of events by type and outcome, without zeros.
    pub counts: Vec<Count>,
}

/// Events of one type and outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Type of the events.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Outcome of the events.
    pub outcome: &'static str,
    /// Number of events.
    pub events: u32,
}

/// Ring of the last day's minutes.
#[derive(Debug)]
pub(super) struct Minutes(Box<[(i64, Counts)]>);

impl Counts {
    pub(super) fn add(&mut self, kind: Kind, outcome: Outcome) {
        let count = &mut self.0[kind as usize][index(outcome)];
        *count = count.saturating_add(1);
    }

    /// Returns the counts above 0.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Kind, Outcome, u32)> {
        Kind::ALL.into_iter().zip(&self.0).flat_map(|(kind, row)| {
            let row = OUTCOMES.into_iter().zip(*row).filter(|(_, events)| *events > 0);
            row.map(move |(outcome, events)| (kind, outcome, events))
        })
    }

    fn merge(&mut self, more: &Counts) {
        let counts = self.0.iter_mut().flatten().zip(more.0.iter().flatten());
        counts.for_each(|(count, more)| *count = count.saturating_add(*more));
    }
}

fn index(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Success => 0,
        Outcome::Failure => 1,
        Outcome::Unknown => 2,
    }
}

impl Minutes {
    pub(super) fn new() -> Minutes {
        Minutes(vec![(i64::MIN, Counts::default()); MINUTES].into())
    }

    /// Counts events at `now`. After the clock was set back by less than a day, counting continues in the
    /// earlier minutes; older times are ignored.
    pub(super) fn add(&mut self, now: i64, counts: &Counts) {
        let minute = now.div_euclid(MINUTE_MS);
        let (known, stored) = &mut self.0[minute.rem_euclid(MINUTES as i64) as usize];
        if *known < minute {
            (*known, *stored) = (minute, Counts::default());
        }
        if *known == minute {
            stored.merge(counts);
        }
    }

    /// Returns the minutes with events in the day before `now`, in order.
    pub(super) fn last_day(&self, now: i64) -> Vec<Minute> {
        let first = now.div_euclid(MINUTE_MS) - MINUTES as i64;
        let mut minutes: Vec<Minute> = self
            .0
            .iter()
            .filter(|(minute, _)| *minute > first)
            .map(|(minute, counts)| Minute {
                at: minute * MINUTE_MS,
                counts: counts
                    .iter()
                    .map(|(kind, outcome, events)| Count {
                        kind,
                        outcome: outcome.as_str(),
                        events,
                    })
                    .collect(),
            })
            .collect();
        minutes.sort_by_key(|minute| minute.at);
        minutes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_kept_and_no_more() {
        let mut minutes = Minutes::new();
        let mut one = Counts::default();
        one.add(Kind::Admin, Outcome::Failure);
        let day = MINUTES as i64 * MINUTE_MS;
        let start = 1_700_000_000_000_i64.div_euclid(MINUTE_MS) * MINUTE_MS;
        minutes.add(start, &one);
        minutes.add(start + 59_999, &one);
        minutes.add(start + MINUTE_MS, &one);
        let count = |events| vec![Count { kind: Kind::Admin, outcome: "failure", events }];
        let expected = [
            Minute { at: start, counts: count(2) },
            Minute { at: start + MINUTE_MS, counts: count(1) },
        ];
        assert_eq!(minutes.last_day(start + MINUTE_MS), expected);
        assert_eq!(minutes.last_day(start + day - 1), expected, "one minute before it goes");
        assert_eq!(minutes.last_day(start + day), expected[1..], "a day later");
        minutes.add(start + day, &one);
        let now = minutes.last_day(start + day);
        assert_eq!(now, [expected[1].clone(), Minute { at: start + day, counts: count(1) }]);
        minutes.add(start, &one);
        assert_eq!(minutes.last_day(start + day), now, "a clock set back by a day");
    }
}
