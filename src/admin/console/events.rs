//! Charts of the events: stacked bars by type and by outcome, and the failure rate as a line. SVG is rendered on the
//! server; labels are HTML beside it, because the SVG is stretched to the width of the page.

use maud::{Markup, html};

use super::bins::{Bin, ChartRange, axis_end, bins};
use super::view::View;
use super::words::{clock, count, exact, hours, number, size};
use crate::observe::{Count, Kind};
use crate::spool::{Disposition, Loss, SpoolStats};

/// Units of the SVG.
const BAR: usize = 10;
const HEIGHT: u64 = 1000;

/// Number of labels of the x axis.
const X_LABELS: usize = 5;

const OUTCOMES: [&str; 3] = ["success", "failure", "unknown"];

/// One chart: its title, and the CSS classes of its series.
struct Chart {
    title: &'static str,
    class: &'static str,
    series: Vec<&'static str>,
    has_failure_rate: bool,
}

/// Renders the charts and the facts below.
pub(super) fn events(view: &View) -> Markup {
    let kinds = Chart {
        title: "by type",
        class: "type",
        series: Kind::ALL.map(Kind::as_str).to_vec(),
        has_failure_rate: false,
    };
    let outcomes = Chart {
        title: "by outcome",
        class: "outcome",
        series: OUTCOMES.to_vec(),
        has_failure_rate: true,
    };
    html! {
        nav class="ranges" aria-label="Time range" {
            @for range in ChartRange::ALL {
                a href={ "/console?range=" (range.name()) "#events-title" } aria-current=[(range == view.range).then_some("true")] { (range.label()) }
            }
            span class="note" data-zone { "Times in UTC" }
        }
        div class="charts" {
            (chart(&kinds, view, |count| count.kind.as_str()))
            (chart(&outcomes, view, |count| count.outcome))
        }
        p class="facts" {
            @match &view.stored { Ok(stored) => (spool(&stored.stats)), Err(_) => { span { "Spool unreadable" } " " } }
            span { "Counted since " (clock(view.observed.since)) }
        }
    }
}

fn chart(chart: &Chart, view: &View, name: impl Fn(&Count) -> &'static str) -> Markup {
    let index = |count: &Count| {
        chart.series.iter().position(|one| *one == name(count)).unwrap_or(chart.series.len())
    };
    let bins = bins(&view.observed, view.range, chart.series.len(), index);
    let highest = bins.iter().map(Bin::total).max().unwrap_or(0);
    let (total, end) = (bins.iter().map(Bin::total).sum::<u64>(), axis_end(highest));
    let width = bins.len() * BAR;
    let unit = view.range.unit();
    let label = format!(
        "{unit} {}: {} events in {}, maximum {}",
        chart.title,
        number(total),
        view.range.label(),
        number(highest)
    );
    html! {
        figure class="chart" {
            figcaption { (unit) ", " (chart.title) }
            div class="plot" {
                ol class="y" aria-hidden="true" { @for quarter in (0..=4).rev() { li { (number(end / 4 * quarter)) } } }
                svg viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
                    @for quarter in 0..4 { line class="grid" x1="0" x2=(width) y1=(HEIGHT / 4 * quarter) y2=(HEIGHT / 4 * quarter) {} }
                    @for (at, bin) in bins.iter().enumerate() { (bar(chart, bin, at, end)) }
                    @if chart.has_failure_rate { path class="failure-rate" d=(failure_line(&bins)) {} }
                }
                @if chart.has_failure_rate {
                    ol class="y right" aria-hidden="true" { @for percent in [100, 75, 50, 25, 0] { li { (percent) " %" } } }
                }
            }
            ol class={ "x" @if chart.has_failure_rate { " has-right" } } aria-hidden="true" { @for moment in x_labels(&bins) { li { (clock(moment)) } } }
            (legend(chart, &bins))
        }
    }
}

/// Returns times at equal distances, from the start of the first bar to the end of the last.
fn x_labels(bins: &[Bin]) -> Vec<i64> {
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else { return Vec::new() };
    let step = (last.to - first.from) / (X_LABELS as i64 - 1);
    (0..X_LABELS as i64).map(|number| first.from + number * step).collect()
}

/// Renders one bar from the bottom up, with its values for the pointer.
fn bar(chart: &Chart, bin: &Bin, at: usize, end: u64) -> Markup {
    let mut below = 0;
    let pieces: Vec<(&str, u64, u64)> = chart
        .series
        .iter()
        .zip(&bin.events)
        .filter(|(_, events)| **events > 0)
        .map(|(name, events)| {
            let from = scaled(below, end);
            below += events;
            // Some units high at least, so that a single event is visible.
            let to = scaled(below, end).max(from + HEIGHT / 100);
            (*name, HEIGHT.saturating_sub(to), to - from)
        })
        .collect();
    html! {
        g class={ "bin" @if bin.is_running { " is-running" } @if !bin.is_known { " is-unknown" } } data-from=(bin.from) data-to=(bin.to) {
            @for (name, y, height) in pieces {
                rect class={ (chart.class) "-" (name) } x=(at * BAR) width=(BAR - 2) y=(y) height=(height) {}
            }
            rect class="hit" x=(at * BAR) width=(BAR) y="0" height=(HEIGHT) {}
            title { (hours(bin.from)) "–" (hours(bin.to)) " UTC: " (values(chart, bin)) }
        }
    }
}

fn scaled(events: u64, end: u64) -> u64 {
    (u128::from(events) * u128::from(HEIGHT) / u128::from(end.max(1))) as u64
}

/// Describes the values of a bar.
fn values(chart: &Chart, bin: &Bin) -> String {
    if !bin.is_known {
        return "no data, the service had not started".to_owned();
    }
    let mut text = count(bin.total(), "event");
    let present = chart.series.iter().zip(&bin.events).filter(|(_, events)| **events > 0);
    for (name, events) in present {
        text += &format!("; {} {}", name.replace('_', " "), number(*events));
    }
    if let Some(rate) = bin.failure_rate().filter(|_| chart.has_failure_rate) {
        text += &format!("; failure rate {:.1} %", rate * 100.0);
    }
    if bin.is_running {
        text += "; still counting";
    }
    text
}

/// Returns the path of the failure rate: a step per bar, with gaps where no event has an outcome.
fn failure_line(bins: &[Bin]) -> String {
    let (mut path, mut is_open) = (String::new(), false);
    for (at, bin) in bins.iter().enumerate() {
        let Some(rate) = bin.failure_rate() else {
            is_open = false;
            continue;
        };
        let (x, y) = (at * BAR, ((1.0 - rate) * HEIGHT as f64) as u64);
        let move_or_line = if is_open { 'L' } else { 'M' };
        path += &format!("{move_or_line}{x} {y}H{} ", x + BAR);
        is_open = true;
    }
    path
}

fn legend(chart: &Chart, bins: &[Bin]) -> Markup {
    let total = |index: usize| bins.iter().filter_map(|bin| bin.events.get(index)).sum::<u64>();
    let totals = chart.series.iter().enumerate().map(|(index, name)| (*name, total(index)));
    let present: Vec<(&str, u64)> = totals.filter(|(_, events)| *events > 0).collect();
    let sum = bins.iter().fold(Bin::default(), |sum, bin| Bin {
        successes: sum.successes + bin.successes,
        failures: sum.failures + bin.failures,
        ..sum
    });
    html! {
        ul class="legend" {
            @for (name, events) in &present {
                li { span class={ "swatch " (chart.class) "-" (name) } {} (name.replace('_', " ")) " " b { (number(*events)) } }
            }
            @if present.is_empty() { li { "No events in this time" } }
            @if chart.has_failure_rate && let Some(rate) = sum.failure_rate() {
                li { span class="swatch line" {} "failure rate " b { (format!("{:.1} %", rate * 100.0)) } }
            }
            @if let Some(known) = bins.iter().find(|bin| bin.is_known).filter(|_| bins.first().is_some_and(|bin| !bin.is_known)) {
                li { span class="swatch unknown" {} "no data before " time datetime=(exact(known.from)) data-clock=(known.from) { (hours(known.from)) } }
            }
            li { span class="swatch running-bar" {} "still counting" }
        }
    }
}

fn spool(stats: &SpoolStats) -> Markup {
    let accepted =
        stats.totals.iter().filter(|(_, disposition, _)| *disposition == Disposition::Accepted);
    let accepted: u64 = accepted.map(|(_, _, count)| count).sum();
    let lost: u64 = stats.lost.iter().map(Loss::events).sum();
    html! {
        span { "Spool: " b { (number(stats.events)) } " events, " b { (size(stats.size)) } " of " (size(stats.max_size)) } " "
        // Some engines do not count accepted events.
        @if accepted > 0 { span { "Accepted in total: " b { (number(accepted)) } } " " }
        // Shown here and not in the verdict: it never goes away, and would hide newer problems.
        @if lost > 0 {
            strong class="bad" { (count(lost, "acknowledged event")) " lost; see davinci-siem spool stats" } " "
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes() -> Chart {
        let series = OUTCOMES.to_vec();
        Chart { title: "by outcome", class: "outcome", series, has_failure_rate: true }
    }

    fn bin(successes: u64, failures: u64) -> Bin {
        let events = vec![successes, failures, 0];
        Bin { events, successes, failures, is_known: true, ..Bin::default() }
    }

    #[test]
    fn a_bar_is_stacked_and_has_its_values() {
        let drawn = bar(&outcomes(), &bin(300, 100), 2, 400).into_string();
        let success =
            "<rect class=\"outcome-success\" x=\"20\" width=\"8\" y=\"250\" height=\"750\">";
        let failure =
            "<rect class=\"outcome-failure\" x=\"20\" width=\"8\" y=\"0\" height=\"250\">";
        assert!(drawn.contains(success) && drawn.contains(failure), "{drawn}");
        assert!(
            drawn.contains("400 events; success 300; failure 100; failure rate 25.0 %"),
            "{drawn}"
        );
        let none = bar(&outcomes(), &bin(0, 0), 0, 4).into_string();
        assert!(none.contains(": 0 events<"), "{none}");
        let unknown = bar(&outcomes(), &Bin { is_known: false, ..bin(0, 0) }, 0, 4).into_string();
        assert!(unknown.contains("is-unknown") && unknown.contains(": no data"), "{unknown}");
    }

    #[test]
    fn the_failure_rate_has_gaps() {
        let bins = [bin(1, 1), bin(3, 1), bin(0, 0), bin(0, 5)];
        assert_eq!(failure_line(&bins), "M0 500H10 L10 750H20 M30 0H40 ");
    }
}
