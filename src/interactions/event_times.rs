//! Times of a run's events. A few events with a wrong clock do not decide when the run began, or how long it took.

use crate::spool::Millis;

/// Longest time between two neighbouring events of a run, in ms: a day. Events further apart are of different clocks.
pub(super) const MAX_GAP: Millis = 24 * 60 * 60 * 1000;

/// Maximum number of clocks of a run. Times of further ones are ignored.
const MAX_CLOCKS: usize = 3;

/// Times of a run's events, by clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct EventTimes {
    clocks: [EventSpan; MAX_CLOCKS],
}

/// Events whose times are at most [`MAX_GAP`] apart from one another's neighbours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct EventSpan {
    /// Number of events; 0 for an entry that is not in use.
    events: u32,
    started: Millis,
    ended: Millis,
}

impl EventSpan {
    fn is_near(&self, other: &EventSpan) -> bool {
        let gap = self.started.saturating_sub(other.ended);
        gap.max(other.started.saturating_sub(self.ended)) <= MAX_GAP
    }

    fn with(self, other: EventSpan) -> EventSpan {
        EventSpan {
            events: self.events.saturating_add(other.events),
            started: self.started.min(other.started),
            ended: self.ended.max(other.ended),
        }
    }
}

impl EventTimes {
    /// Adds the time of an event. The result does not depend on the order, up to [`MAX_CLOCKS`].
    pub(super) fn add(&mut self, time: Millis) {
        let mut span = EventSpan { events: 1, started: time, ended: time };
        // The event may be the link between two spans.
        for known in &mut self.clocks {
            if known.events > 0 && known.is_near(&span) {
                span = span.with(std::mem::take(known));
            }
        }
        if let Some(free) = self.clocks.iter_mut().find(|known| known.events == 0) {
            *free = span;
        }
    }

    /// Returns the first and the last time by the clock with most events, or else by the one closest to the time of
    /// receipt.
    pub(super) fn span(&self, received_at: Millis) -> (Millis, Millis) {
        let used = self.clocks.iter().filter(|span| span.events > 0);
        let best = used.min_by_key(|span| {
            (u32::MAX - span.events, span.started.abs_diff(received_at), span.started)
        });
        best.map_or((received_at, received_at), |span| (span.started, span.ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_796_032_800_000;
    const HOUR: Millis = 60 * 60 * 1000;
    const FAR: Millis = 4_070_908_800_000;

    fn span(times: &[Millis]) -> (Millis, Millis) {
        let mut all = EventTimes::default();
        times.iter().for_each(|time| all.add(*time));
        let mut reverse = EventTimes::default();
        times.iter().rev().for_each(|time| reverse.add(*time));
        assert_eq!(all.span(NOW), reverse.span(NOW), "{times:?}");
        all.span(NOW)
    }

    #[test]
    fn wrong_clocks_do_not_decide() {
        for (times, expected) in [
            (&[][..], (NOW, NOW)),
            (&[NOW], (NOW, NOW)),
            (&[NOW + 5, NOW, 0, FAR, NOW + 9], (NOW, NOW + 9)),
            (&[0, NOW], (NOW, NOW)),
            (&[FAR, NOW], (NOW, NOW)),
            (&[0], (0, 0)),
            // Old events are as good as new ones, if they agree.
            (&[0, 3, 5], (0, 5)),
            (&[i64::MIN, i64::MAX, NOW], (NOW, NOW)),
        ] {
            assert_eq!(span(times), expected, "{times:?}");
        }
    }

    #[test]
    fn a_long_run_is_one_span_in_any_order() {
        let times: Vec<Millis> = [0, 40, 20, 60].iter().map(|hours| NOW + hours * HOUR).collect();
        assert_eq!(span(&times), (NOW, NOW + 60 * HOUR));
    }
}
