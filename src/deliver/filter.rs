//! Filters: the events that a sink gets. Pure.

use sha2::{Digest, Sha256};

use crate::deliver::{FilterConfig, RoutingConfig, SampleConfig, SinkConfig};
use crate::event::Event;
use crate::settings::Pattern;

/// Reason why a sink does not get an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilterReason<'a> {
    /// A connection test, and `test_events` is off.
    ConnectionTest,
    /// No entry of `include` matches.
    NotIncluded,
    /// This entry of `exclude` matches. The index is that of several entries.
    Excluded(Option<usize>, &'a FilterConfig),
    /// The event's interaction is not in the sample.
    NotSampled(SampleConfig),
}

/// Returns the reason why a sink does not get an event of `source`; `None` if the sink gets the event.
pub(crate) fn filter_reason<'a>(
    sink: &'a SinkConfig,
    event: &Event<'_>,
    source: &str,
) -> Option<FilterReason<'a>> {
    if matches!(event, Event::DeliveryTest(_)) && !sink.test_events {
        return Some(FilterReason::ConnectionTest);
    }
    routing_reason(&sink.routing, event, source)
}

/// Applies `include`, `exclude` and `sample` to an event of `source`.
pub(crate) fn routing_reason<'a>(
    routing: &'a RoutingConfig,
    event: &Event<'_>,
    source: &str,
) -> Option<FilterReason<'a>> {
    let matches = |filter: &&FilterConfig| matches(filter, event, source);
    if !routing.include.is_empty() && !routing.include.iter().any(|filter| matches(&filter)) {
        return Some(FilterReason::NotIncluded);
    }
    let mut entries = routing.exclude.iter().enumerate();
    if let Some((index, filter)) = entries.find(|(_, filter)| matches(filter)) {
        let index = Some(index).filter(|_| routing.exclude.len() > 1);
        return Some(FilterReason::Excluded(index, filter));
    }
    let sample = routing.sample;
    (!keeps(sample, event)).then_some(FilterReason::NotSampled(sample))
}

/// Returns true if the event's interaction is in the sample, or if the event belongs to none. Every event of an
/// interaction, and its summary, has the same result, in every process and release. The sample of a multiple of
/// `keep_one_in` is part of the sample.
fn keeps(sample: SampleConfig, event: &Event<'_>) -> bool {
    if sample.keep_one_in == 1 {
        return true;
    }
    let Some(id) = event.interaction_id() else { return true };
    let digest = Sha256::digest(id.as_bytes());
    let first = digest.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    first.is_multiple_of(sample.keep_one_in)
}

impl FilterReason<'_> {
    /// Returns the configuration key that excludes the event, such as `sinks.x.exclude.types`. An entry with several
    /// lists, all of which match, has them in parentheses.
    pub(crate) fn key(&self, sink: &str) -> String {
        let (index, filter) = match self {
            FilterReason::ConnectionTest => return format!("sinks.{sink}.test_events"),
            FilterReason::NotIncluded => return format!("sinks.{sink}.include"),
            FilterReason::NotSampled(_) => return format!("sinks.{sink}.sample"),
            FilterReason::Excluded(index, filter) => (index, filter),
        };
        let index = index.map(|index| format!("[{index}]")).unwrap_or_default();
        match &*given(filter) {
            [list] => format!("sinks.{sink}.exclude{index}.{list}"),
            lists => format!("sinks.{sink}.exclude{index} ({})", lists.join(", ")),
        }
    }
}

impl std::fmt::Display for FilterReason<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FilterReason::ConnectionTest => out.write_str("test_events is off"),
            FilterReason::NotIncluded => out.write_str("no entry of include matches"),
            FilterReason::NotSampled(SampleConfig { keep_one_in }) => {
                write!(out, "sample keeps 1 in {keep_one_in} interactions, not this one")
            }
            FilterReason::Excluded(_, filter) => {
                write!(out, "exclude {}", given(filter).join(", "))
            }
        }
    }
}

/// Returns the names of the lists that a filter has.
fn given(filter: &FilterConfig) -> Vec<&'static str> {
    let FilterConfig { types, outcomes, severities, sources, flows, connectors } = filter;
    let lists = [
        ("types", types.is_empty()),
        ("outcomes", outcomes.is_empty()),
        ("severities", severities.is_empty()),
        ("sources", sources.is_empty()),
        ("flows", flows.is_empty()),
        ("connectors", connectors.is_empty()),
    ];
    lists.into_iter().filter(|(_, is_empty)| !is_empty).map(|(name, _)| name).collect()
}

/// Returns true if every list that is given has an entry for the event.
fn matches(filter: &FilterConfig, event: &Event<'_>, source: &str) -> bool {
    let FilterConfig { types, outcomes, severities, sources, flows, connectors } = filter;
    let action_type = &*event.envelope().action.kind;
    let last_part = action_type.rsplit('.').next().unwrap_or(action_type);
    any(types, &[Some(action_type), Some(last_part)])
        && is_listed(outcomes, event.outcome().as_str())
        && (severities.is_empty() || severities.contains(&event.severity()))
        && is_listed(sources, source)
        && any_flow(flows, event)
        && any(connectors, &[event.connector_id()])
}

fn is_listed(list: &[String], word: &str) -> bool {
    list.is_empty() || list.iter().any(|listed| listed == word)
}

fn any(patterns: &[Pattern], texts: &[Option<&str>]) -> bool {
    let mut texts = texts.iter().flatten();
    patterns.is_empty() || texts.any(|text| patterns.iter().any(|pattern| pattern.matches(text)))
}

/// Matches a flow by its id, with dashes or without, or by its name.
fn any_flow(patterns: &[Pattern], event: &Event<'_>) -> bool {
    let id = event.flow().and_then(|flow| flow.flow_id.as_deref());
    let resource = event.flow().and(event.envelope().resources.first());
    let dashed = resource.and_then(|resource| resource.id.as_deref());
    any(patterns, &[id, dashed, event.flow_name()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;
    use crate::event::Severity;

    fn filter(change: impl FnOnce(&mut FilterConfig)) -> FilterConfig {
        let mut filter = FilterConfig::default();
        change(&mut filter);
        filter
    }

    fn pattern(text: &str) -> Vec<Pattern> {
        vec![text.parse().expect("a pattern")]
    }

    #[test]
    fn each_list_decides_by_its_own_property() {
        let raw = include_bytes!("../../fixtures/events/custom_analytics.json");
        let event = decode::event(raw).expect("an event").event;
        let connector = event.connector_id().expect("a connector").to_owned();
        let flow = event.flow_id().expect("a flow").to_owned();
        let name = event.flow_name().expect("a name").to_owned();
        let dashed = event.envelope().resources[0].id.clone().expect("an id").into_owned();
        assert_ne!(flow, dashed);
        let outcome = event.outcome().as_str().to_owned();
        for (filter, expected) in [
            (filter(|f| f.types = pattern("CUSTOM_ANALYTICS")), true),
            (filter(|f| f.types = pattern("davinci_interaction.custom_analytics")), true),
            (filter(|f| f.types = pattern("DAVINCI_INTERACTION.*")), true),
            (filter(|f| f.types = pattern("SEND_RESPONSE")), false),
            (filter(|f| f.outcomes = vec![outcome.clone()]), true),
            (filter(|f| f.outcomes = vec!["unknown".to_owned()]), false),
            (filter(|f| f.severities = vec![event.severity()]), true),
            (filter(|f| f.severities = vec![Severity::Low, Severity::High]), false),
            (filter(|f| f.sources = vec!["here".to_owned()]), true),
            (filter(|f| f.sources = vec!["there".to_owned()]), false),
            (filter(|f| f.flows = pattern(&flow)), true),
            (filter(|f| f.flows = pattern(&dashed)), true),
            (filter(|f| f.flows = pattern(&name)), true),
            (filter(|f| f.flows = pattern("another")), false),
            (filter(|f| f.connectors = pattern(&connector)), true),
            (filter(|f| f.connectors = pattern("another")), false),
        ] {
            let include =
                RoutingConfig { include: vec![filter.clone()], ..RoutingConfig::default() };
            let lets_through =
                |routing: &RoutingConfig| routing_reason(routing, &event, "here").is_none();
            assert_eq!(lets_through(&include), expected, "include {filter:?}");
            let exclude =
                RoutingConfig { exclude: vec![filter.clone()], ..RoutingConfig::default() };
            assert_eq!(lets_through(&exclude), !expected, "exclude {filter:?}");
        }
    }

    /// Every event of a run, its summary included, has the same result. It never changes between releases.
    #[test]
    fn a_sample_has_whole_interactions() {
        let raws: [&[u8]; 4] = [
            include_bytes!("../../fixtures/events/start_interaction.json"),
            include_bytes!("../../fixtures/events/send_error_response.json"),
            include_bytes!("../../fixtures/events/custom_analytics.json"),
            include_bytes!("../../fixtures/events/interaction_summary.json"),
        ];
        let mut events = raws.map(|raw| decode::event(raw).expect("an event").event);
        let mut kept_of = |id: &str, keep_one_in: u64| {
            let kept = events.each_mut().map(|event| {
                let Event::Interaction(run) = event else { panic!("a run") };
                run.flow.interaction_id = id.to_owned().into();
                keeps(SampleConfig { keep_one_in }, event)
            });
            assert!(kept.iter().all(|one| *one == kept[0]), "{id}: {kept:?}");
            kept[0]
        };
        let mut kept = 0;
        for number in 0..10_000 {
            let id = format!("run-{number}");
            let is_kept = kept_of(&id, 10);
            kept += u32::from(is_kept);
            assert!(kept_of(&id, 1));
            assert!(is_kept || !kept_of(&id, 100), "a larger N keeps a part of a smaller one");
        }
        assert!((800..1200).contains(&kept), "one in ten: {kept}");
        let first: Vec<u32> =
            (0..40).filter(|number| kept_of(&format!("run-{number}"), 10)).collect();
        assert_eq!(first, [0, 7, 24, 25, 33], "the same in every release");
    }

    #[test]
    fn events_without_an_interaction_are_in_every_sample() {
        let raw =
            br#"{"id":"1","recordedAt":"2026-01-01T00:00:00Z","action":{"type":"USER.UPDATED"}}"#;
        let event = decode::event(raw).expect("an event").event;
        assert!(keeps(SampleConfig { keep_one_in: 1_000_000 }, &event));
    }

    #[test]
    fn lists_of_one_filter_are_joined_by_and_and_filters_by_or() {
        let raw = include_bytes!("../../fixtures/events/start_interaction.json");
        let event = decode::event(raw).expect("an event").event;
        let right = filter(|f| f.types = pattern("START_INTERACTION"));
        let wrong = filter(|f| f.sources = vec!["there".to_owned()]);
        let both = FilterConfig { sources: wrong.sources.clone(), ..right.clone() };
        let lets = |include: &[&FilterConfig], exclude: &[&FilterConfig]| {
            let own =
                |filters: &[&FilterConfig]| filters.iter().map(|&filter| filter.clone()).collect();
            let routing = RoutingConfig {
                include: own(include),
                exclude: own(exclude),
                ..RoutingConfig::default()
            };
            routing_reason(&routing, &event, "here").is_none()
        };
        assert!(lets(&[], &[]));
        assert!(!lets(&[&both], &[]));
        assert!(lets(&[&wrong, &right], &[]));
        assert!(!lets(&[&right], &[&wrong, &right]), "exclude wins");
        assert!(lets(&[&right], &[&both]));
    }
}
