//! Events by minute, type and outcome, for a day.

use serde::Serialize;

use super::kind::Kind;
use crate::event::Outcome;

/// Minutes that are kept.
const MINUTES: usize = 24 * 60;

const MILLIS: i64 = 60_000;

/// How an event ended, each at its own index.
pub(super) const OUTCOMES: [Outcome; 3] = [Outcome::Success, Outcome::Failure, Outcome::Unknown];

/// How many events of each type ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts([[u32; OUTCOMES.len()]; Kind::COUNT]);

/// One minute in which something came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Minute {
    /// When it began, milliseconds since the epoch.
    pub at: i64,
    /// What came in it.
    pub counts: Vec<Count>,
}

/// Events of one type and outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// What they are about.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// How they ended.
    pub outcome: &'static str,
    /// How many.
    pub events: u32,
}

/// The last day, as a ring.
#[derive(Debug)]
pub(super) struct Minutes(Box<[(i64, Counts)]>);

impl Counts {
    pub(super) fn add(&mut self, kind: Kind, outcome: Outcome) {
        let place = &mut self.0[kind as usize][index(outcome)];
        *place = place.saturating_add(1);
    }

    /// What is not 0.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Kind, Outcome, u32)> {
        Kind::ALL.into_iter().zip(&self.0).flat_map(|(kind, row)| {
            let row = OUTCOMES.into_iter().zip(*row).filter(|(_, events)| *events > 0);
            row.map(move |(outcome, events)| (kind, outcome, events))
        })
    }

    fn merge(&mut self, more: &Counts) {
        let places = self.0.iter_mut().flatten().zip(more.0.iter().flatten());
        places.for_each(|(place, more)| *place = place.saturating_add(*more));
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

    /// Counts what came at `now`. A clock that was set back counts on where it stands, unless that is
    /// more than a day before what came last.
    pub(super) fn add(&mut self, now: i64, counts: &Counts) {
        let minute = now.div_euclid(MILLIS);
        let (known, kept) = &mut self.0[minute.rem_euclid(MINUTES as i64) as usize];
        if *known < minute {
            (*known, *kept) = (minute, Counts::default());
        }
        if *known == minute {
            kept.merge(counts);
        }
    }

    /// The minutes of the day before `now` in which something came, in order.
    pub(super) fn last_day(&self, now: i64) -> Vec<Minute> {
        let first = now.div_euclid(MILLIS) - MINUTES as i64;
        let mut minutes: Vec<Minute> = self
            .0
            .iter()
            .filter(|(minute, _)| *minute > first)
            .map(|(minute, counts)| Minute {
                at: minute * MILLIS,
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
        let day = MINUTES as i64 * MILLIS;
        let start = 1_700_000_000_000_i64.div_euclid(MILLIS) * MILLIS;
        minutes.add(start, &one);
        minutes.add(start + 59_999, &one);
        minutes.add(start + MILLIS, &one);
        let count = |events| vec![Count { kind: Kind::Admin, outcome: "failure", events }];
        let expected = [
            Minute { at: start, counts: count(2) },
            Minute { at: start + MILLIS, counts: count(1) },
        ];
        assert_eq!(minutes.last_day(start + MILLIS), expected);
        assert_eq!(minutes.last_day(start + day - 1), expected, "one minute before it goes");
        assert_eq!(minutes.last_day(start + day), expected[1..], "a day later");
        minutes.add(start + day, &one);
        let now = minutes.last_day(start + day);
        assert_eq!(now, [expected[1].clone(), Minute { at: start + day, counts: count(1) }]);
        minutes.add(start, &one);
        assert_eq!(minutes.last_day(start + day), now, "a clock set back by a day");
    }
}
