//! Which events a sink gets. Pure.

use crate::config::{Filter, Pattern, Routing, Sink};
use crate::event::Event;

/// Whether a sink is to deliver an event of `source`, by its filters and what it does with connection
/// tests.
pub fn wants(sink: &Sink, event: &Event<'_>, source: &str) -> bool {
    let is_unwanted_test = matches!(event, Event::DeliveryTest(_)) && !sink.test_events;
    !is_unwanted_test && lets_through(&sink.routing, event, source)
}

/// Whether an event of `source` goes to the sink.
fn lets_through(routing: &Routing, event: &Event<'_>, source: &str) -> bool {
    let matches = |filter: &Filter| matches(filter, event, source);
    let is_included = routing.include.is_empty() || routing.include.iter().any(matches);
    is_included && !routing.exclude.iter().any(matches)
}

/// Whether every list that is given has an entry for the event.
fn matches(filter: &Filter, event: &Event<'_>, source: &str) -> bool {
    let Filter { types, outcomes, sources, flows, connectors } = filter;
    let action_type = &*event.envelope().action.kind;
    let last_part = action_type.rsplit('.').next().unwrap_or(action_type);
    any(types, &[Some(action_type), Some(last_part)])
        && is_listed(outcomes, event.outcome().as_str())
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

/// A flow is named by its id, with dashes or without, or by its name.
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

    fn filter(change: impl FnOnce(&mut Filter)) -> Filter {
        let mut filter = Filter::default();
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
            (filter(|f| f.sources = vec!["here".to_owned()]), true),
            (filter(|f| f.sources = vec!["there".to_owned()]), false),
            (filter(|f| f.flows = pattern(&flow)), true),
            (filter(|f| f.flows = pattern(&dashed)), true),
            (filter(|f| f.flows = pattern(&name)), true),
            (filter(|f| f.flows = pattern("another")), false),
            (filter(|f| f.connectors = pattern(&connector)), true),
            (filter(|f| f.connectors = pattern("another")), false),
        ] {
            let include = Routing { include: vec![filter.clone()], exclude: Vec::new() };
            assert_eq!(lets_through(&include, &event, "here"), expected, "include {filter:?}");
            let exclude = Routing { include: Vec::new(), exclude: vec![filter.clone()] };
            assert_eq!(lets_through(&exclude, &event, "here"), !expected, "exclude {filter:?}");
        }
    }

    #[test]
    fn lists_of_one_filter_are_joined_by_and_and_filters_by_or() {
        let raw = include_bytes!("../../fixtures/events/start_interaction.json");
        let event = decode::event(raw).expect("an event").event;
        let right = filter(|f| f.types = pattern("START_INTERACTION"));
        let wrong = filter(|f| f.sources = vec!["there".to_owned()]);
        let both = Filter { sources: wrong.sources.clone(), ..right.clone() };
        let lets = |include: &[&Filter], exclude: &[&Filter]| {
            let own = |filters: &[&Filter]| filters.iter().map(|&filter| filter.clone()).collect();
            lets_through(&Routing { include: own(include), exclude: own(exclude) }, &event, "here")
        };
        assert!(lets(&[], &[]));
        assert!(!lets(&[&both], &[]));
        assert!(lets(&[&wrong, &right], &[]));
        assert!(!lets(&[&right], &[&wrong, &right]), "exclude wins");
        assert!(lets(&[&right], &[&both]));
    }
}
