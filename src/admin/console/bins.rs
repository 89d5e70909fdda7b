//! Time range of the charts, and the counts of each bar.

use url::form_urlencoded;

use crate::observe::{Count, Observed};

pub(super) const MINUTE: i64 = 60_000;

/// Time range of the charts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ChartRange {
    QuarterHour,
    #[default]
    Hour,
    SixHours,
    Day,
}

/// Counts of one bar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bin {
    /// Start and end, in ms since the Unix epoch.
    pub(super) from: i64,
    pub(super) to: i64,
    /// Events by the index of their series.
    pub(super) events: Vec<u64>,
    pub(super) successes: u64,
    pub(super) failures: u64,
    /// False if the service did not count yet.
    pub(super) is_known: bool,
    /// True if the bar still grows.
    pub(super) is_running: bool,
}

impl ChartRange {
    pub(super) const ALL: [ChartRange; 4] =
        [ChartRange::QuarterHour, ChartRange::Hour, ChartRange::SixHours, ChartRange::Day];

    /// Reads `range` of a query; an unknown one is an hour.
    pub(super) fn parse(query: &str) -> ChartRange {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let name = pairs.find(|(name, _)| name == "range").map(|(_, value)| value);
        let known = ChartRange::ALL.into_iter().find(|range| Some(range.name()) == name.as_deref());
        known.unwrap_or_default()
    }

    /// Returns the value of the query parameter.
    pub(super) fn name(self) -> &'static str {
        match self {
            ChartRange::QuarterHour => "15m",
            ChartRange::Hour => "1h",
            ChartRange::SixHours => "6h",
            ChartRange::Day => "24h",
        }
    }

    /// Returns the name for people.
    pub(super) fn label(self) -> &'static str {
        match self {
            ChartRange::QuarterHour => "15 min",
            ChartRange::Hour => "1 h",
            ChartRange::SixHours => "6 h",
            ChartRange::Day => "24 h",
        }
    }

    /// Returns the number of bars, and the minutes of each.
    pub(super) fn bars(self) -> (usize, i64) {
        match self {
            ChartRange::QuarterHour => (15, 1),
            ChartRange::Hour => (60, 1),
            ChartRange::SixHours => (72, 5),
            ChartRange::Day => (96, 15),
        }
    }

    /// Returns the unit of the y axis.
    pub(super) fn unit(self) -> &'static str {
        match self.bars().1 {
            1 => "Events per minute",
            5 => "Events per 5 minutes",
            _ => "Events per 15 minutes",
        }
    }
}

/// Returns the bars of a range, the running one as the last. `index` returns the series of a count.
pub(super) fn bins(
    observed: &Observed,
    range: ChartRange,
    series: usize,
    index: impl Fn(&Count) -> usize,
) -> Vec<Bin> {
    let (bars, minutes) = range.bars();
    let length = minutes * MINUTE;
    let first = (observed.now.div_euclid(length) - (bars as i64 - 1)) * length;
    let mut bins: Vec<Bin> = (0..bars as i64)
        .map(|number| {
            let (from, to) = (first + number * length, first + (number + 1) * length);
            Bin {
                from,
                to,
                events: vec![0; series],
                is_known: to > observed.since,
                is_running: to > observed.now,
                ..Bin::default()
            }
        })
        .collect();
    for minute in &observed.minutes {
        let number = usize::try_from((minute.at - first).div_euclid(length)).ok();
        let Some(bin) = number.and_then(|number| bins.get_mut(number)) else { continue };
        for count in &minute.counts {
            let events = u64::from(count.events);
            if let Some(sum) = bin.events.get_mut(index(count)) {
                *sum += events;
            }
            match count.outcome {
                "success" => bin.successes += events,
                "failure" => bin.failures += events,
                _ => {}
            }
        }
    }
    bins
}

impl Bin {
    pub(super) fn total(&self) -> u64 {
        self.events.iter().sum()
    }

    /// Returns the share of failures among the events with an outcome; `None` without any.
    pub(super) fn failure_rate(&self) -> Option<f64> {
        let decided = self.successes + self.failures;
        (decided > 0).then(|| self.failures as f64 / decided as f64)
    }
}

/// Returns the end of the y axis: a number that divides into four, not below `highest`.
pub(super) fn axis_end(highest: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for step in [4, 8, 12, 20, 40] {
            let end = power.saturating_mul(step);
            if end >= highest {
                return end;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Kind, Minute};

    fn observed(now: i64, since: i64) -> Observed {
        let minute = |ago: i64, events| Minute {
            at: now / MINUTE * MINUTE - ago * MINUTE,
            counts: vec![
                Count { kind: Kind::Admin, outcome: "success", events },
                Count { kind: Kind::Other, outcome: "failure", events: 1 },
            ],
        };
        let minutes = vec![minute(60, 9), minute(59, 3), minute(0, 99)];
        let (flows, connectors, sources) = (Vec::new(), Vec::new(), Vec::new());
        Observed { since, now, minutes, flows, connectors, sources }
    }

    #[test]
    fn minutes_become_bars_of_the_range() {
        let now = 28_333_320 * MINUTE + 30_000;
        let observed = observed(now, now - 30 * MINUTE);
        let of = |range| bins(&observed, range, 2, |count| usize::from(count.outcome == "failure"));
        let hour = of(ChartRange::Hour);
        assert_eq!(
            (hour.len(), &hour[0].events[..], &hour[59].events[..]),
            (60, &[3, 1][..], &[99, 1][..])
        );
        assert_eq!(hour[0].failure_rate(), Some(0.25));
        assert_eq!(hour[5].failure_rate(), None, "no event has an outcome");
        let known: Vec<usize> = (0..60).filter(|at| hour[*at].is_known).collect();
        assert_eq!(known.first(), Some(&29), "counting began in this minute");
        let running: Vec<usize> = (0..60).filter(|at| hour[*at].is_running).collect();
        assert_eq!(running, [59]);
        let total = |range| of(range).iter().map(Bin::total).collect::<Vec<_>>();
        assert_eq!(total(ChartRange::QuarterHour).iter().sum::<u64>(), 100);
        let six = total(ChartRange::SixHours);
        assert_eq!((six.len(), six.iter().sum::<u64>(), six[71]), (72, 114, 100));
        let day = of(ChartRange::Day);
        assert_eq!((day.len(), day.iter().map(Bin::total).sum::<u64>()), (96, 114));
        assert_eq!((day[95].to - day[0].from) / MINUTE, 24 * 60);
    }

    #[test]
    fn the_axis_ends_at_a_round_number() {
        let ends = [0, 4, 5, 13, 21, 41, 1_234, 99_999].map(axis_end);
        assert_eq!(ends, [4, 4, 8, 20, 40, 80, 2_000, 120_000]);
        assert!(axis_end(u64::MAX) == u64::MAX, "it ends");
    }

    #[test]
    fn a_range_is_read_from_the_query() {
        for range in ChartRange::ALL {
            assert_eq!(ChartRange::parse(&format!("x=1&range={}", range.name())), range);
        }
        assert_eq!(ChartRange::parse("range=7d"), ChartRange::Hour);
    }
}
