"""The conversions of detections/: which pySigma backend, which pipelines, which file."""

import pathlib

from sigma.backends.elasticsearch import ESQLBackend, LuceneBackend
from sigma.backends.kusto import KustoBackend
from sigma.backends.splunk import SplunkBackend
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule, SigmaCorrelationType
from sigma.processing.pipeline import ProcessingPipeline


class CorrelatingKusto(KustoBackend):
    """pySigma's Kusto backend has no correlations. These are its other backends' ones, in KQL."""

    correlation_methods = {"stats": "summarize over fixed spans of time"}
    default_correlation_method = "stats"
    default_correlation_query = {"stats": "{search}\n{aggregate}\n{condition}"}
    correlation_search_single_rule_expression = "PingOneEvents\n| where {query}"
    correlation_search_multi_rule_expression = "union\n{queries}"
    correlation_search_multi_rule_query_expression = (
        '(PingOneEvents\n| where {query}\n| extend EventType = "{ruleid}"{normalization})'
    )
    correlation_search_multi_rule_query_expression_joiner = ",\n"
    correlation_search_field_normalization_expression = " | extend {alias} = {field}"
    correlation_search_field_normalization_expression_joiner = ""
    event_count_aggregation_expression = {
        "stats": "| summarize EventCount = count() by bin(TimeGenerated, {timespan}){groupby}"
    }
    value_count_aggregation_expression = {
        "stats": "| summarize ValueCount = dcount({field}) by bin(TimeGenerated, {timespan}){groupby}"
    }
    temporal_aggregation_expression = {
        "stats": "| summarize EventTypeCount = dcount(EventType) by bin(TimeGenerated, {timespan}){groupby}"
    }
    event_count_condition_expression = {"stats": "| where EventCount {op} {count}"}
    value_count_condition_expression = {"stats": "| where ValueCount {op} {count}"}
    temporal_condition_expression = {"stats": "| where EventTypeCount {op} {count}"}
    groupby_expression = {"stats": "{fields}"}
    groupby_field_expression = {"stats": ", {field}"}
    groupby_field_expression_joiner = {"stats": ""}


# Directory and ending of the file, backend, pipelines, whether the backend has correlations.
TARGETS = [
    ("lucene", "ecs.lucene", LuceneBackend, ["elasticsearch"], False),
    ("lucene", "ocsf.lucene", LuceneBackend, ["ocsf"], False),
    ("esql", "ecs.esql", ESQLBackend, ["elasticsearch", "esql_window"], True),
    ("spl", "native.spl", SplunkBackend, ["splunk_native", "splunk_window"], True),
    ("spl", "ecs.spl", SplunkBackend, ["splunk_ecs", "splunk_window"], True),
    ("spl", "ocsf.spl", SplunkBackend, ["ocsf", "splunk_ocsf", "splunk_window"], True),
    ("kql", "ecs.kql", CorrelatingKusto, ["kusto_ecs"], True),
]


def load(file):
    return SigmaCollection.from_yaml(file.read_text())


def correlation(rules):
    """The rule of a file that correlates the others, or none."""
    return next((rule for rule in rules.rules if isinstance(rule, SigmaCorrelationRule)), None)


def pipeline(directory: pathlib.Path, names):
    parts = [ProcessingPipeline.from_yaml((directory / f"pipelines/{name}.yml").read_text()) for name in names]
    return sum(parts[1:], parts[0])


def convert(directory, file, backend, pipelines, correlates):
    """The queries of a rule's file. Without correlations: those of the rules that are correlated, by name."""
    rules = load(file)
    rule = correlation(rules)
    if rule is not None and not correlates:
        rules.rules.remove(rule)
        for other in rules.rules:
            other._output = True
    elif rule is not None and rule.type == SigmaCorrelationType.TEMPORAL_ORDERED:
        # No backend knows an order. The query finds both orders.
        rule.type = SigmaCorrelationType.TEMPORAL
    converter = backend(processing_pipeline=pipeline(directory, pipelines))
    queries = converter.convert(rules)
    return [query if isinstance(query, str) else str(query) for query in queries]
