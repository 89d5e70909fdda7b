//! Events per minute of the last hour, as stacked bars in SVG rendered on the server, with a text alternative.

use maud::{Markup, html};

use super::words::{clock, number};
use crate::observe::{Minute, Observed};

const MINUTES: usize = 60;
const MINUTE: i64 = 60_000;

/// Units of the SVG.
const BAR: usize = 10;
const WIDTH: usize = MINUTES * BAR;
const HEIGHT: u64 = 120;

/// One series of the stack: its name and events per minute.
struct Series {
    name: &'static str,
    events: [u64; MINUTES],
}

impl Series {
    fn total(&self) -> u64 {
        self.events.iter().sum()
    }
}

/// Renders the plots by type and by outcome.
pub(super) fn plots(observed: &Observed) -> Markup {
    html! {
        div class="plots" {
            (plot("by type", "type", observed, |count| count.kind.as_str()))
            (plot("by outcome", "outcome", observed, |count| count.outcome))
        }
    }
}

fn plot(
    title: &str,
    class: &str,
    observed: &Observed,
    name: impl Fn(&crate::observe::Count) -> &'static str,
) -> Markup {
    let first = observed.now / MINUTE - (MINUTES as i64 - 1);
    let series = stack(&observed.minutes, first, name);
    let highest = (0..MINUTES).map(|at| sum(&series, at)).max().unwrap_or(0).max(1);
    let total: u64 = series.iter().map(Series::total).sum();
    html! {
        figure {
            figcaption { "Events per minute, " (title) }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                aria-label={ (number(total)) " events in the last hour, maximum " (number(highest)) " per minute" } {
                @for at in 0..MINUTES {
                    (bar(&series, at, highest, class))
                }
            }
            div class="axis" aria-hidden="true" {
                span { (clock(first * MINUTE)) " UTC" }
                span { "Maximum " (number(highest)) }
                span { (clock(observed.now)) }
            }
            ul class="legend" {
                @for one in &series {
                    li { span class={ "swatch " (class) "-" (one.name) } {} (one.name) " " b { (number(one.total())) } }
                }
                @if series.is_empty() { li { "No events in the last hour" } }
            }
        }
    }
}

/// Renders one minute's bar, from the bottom up.
fn bar(series: &[Series], at: usize, highest: u64, class: &str) -> Markup {
    let mut below = 0;
    let pieces = series.iter().filter(|one| one.events[at] > 0).map(|one| {
        let from = below * HEIGHT / highest;
        below += one.events[at];
        // At least one unit high, so that a single event is visible.
        let to = (below * HEIGHT / highest).max(from + 1);
        (one.name, HEIGHT.saturating_sub(to), to - from)
    });
    let pieces: Vec<(&str, u64, u64)> = pieces.collect();
    html! {
        @for (name, y, height) in pieces {
            rect class={ (class) "-" (name) } x=(at * BAR) width=(BAR - 1) y=(y) height=(height) {}
        }
    }
}

fn sum(series: &[Series], at: usize) -> u64 {
    series.iter().map(|one| one.events[at]).sum()
}

/// Returns the series in the order of their names, without empty ones.
fn stack(
    minutes: &[Minute],
    first: i64,
    name: impl Fn(&crate::observe::Count) -> &'static str,
) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::new();
    for minute in minutes {
        let at = usize::try_from(minute.at / MINUTE - first).ok().filter(|at| *at < MINUTES);
        let Some(at) = at else { continue };
        for count in &minute.counts {
            let name = name(count);
            let index = series.binary_search_by_key(&name, |one| one.name);
            let index = index.unwrap_or_else(|index| {
                series.insert(index, Series { name, events: [0; MINUTES] });
                index
            });
            series[index].events[at] += u64::from(count.events);
        }
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Count, Kind};

    #[test]
    fn minutes_become_bars_of_the_last_hour() {
        let now = 28_333_333 * MINUTE + 30_000;
        let minute = |ago: i64, events| Minute {
            at: now / MINUTE * MINUTE - ago * MINUTE,
            counts: vec![
                Count { kind: Kind::Admin, outcome: "success", events },
                Count { kind: Kind::Other, outcome: "failure", events: 1 },
            ],
        };
        let minutes = vec![minute(60, 9), minute(59, 3), minute(0, 99)];
        let first = now / MINUTE - 59;
        let series = stack(&minutes, first, |count| count.outcome);
        let found: Vec<(&str, u64, u64, u64)> = series
            .iter()
            .map(|one| (one.name, one.events[0], one.events[59], one.total()))
            .collect();
        assert_eq!(found, [("failure", 1, 1, 2), ("success", 3, 99, 102)]);
        let drawn = bar(&series, 59, 100, "outcome").into_string();
        let failure =
            "<rect class=\"outcome-failure\" x=\"590\" width=\"9\" y=\"119\" height=\"1\">";
        assert!(drawn.contains(failure), "{drawn}");
        assert!(drawn.contains("y=\"0\" height=\"119\""), "{drawn}");
        assert_eq!(bar(&series, 30, 100, "outcome").into_string(), "");
    }
}
