"""Checks detections/ from the event that PingOne sends to the query that finds it. Arguments: the program, --write.

Each rule has two files of events. The program renders them in ECS and OCSF. noida-db and osmem-server, with the
interfaces of Elasticsearch and OpenSearch, store the documents with the shipped templates and run the Lucene queries.
Every positive event of a rule has to be found, and no other event: neither a negative one of the rule nor a positive
one of another rule.

Lucene cannot correlate events and cannot compare times of day. `correlated_groups` and `is_outside_window` evaluate
that here, over the same documents: a group of hits with equal values of `group-by`, within a sliding window of
`timespan`.
"""

import datetime
import json
import pathlib
import sys

import yaml
from judges import ROOT, elasticsearch, get, opensearch, render
from sigma.correlations import SigmaCorrelationType
from sigma.validation import SigmaValidator
from sigma.validators.core import validators as known_validators
from sigma_targets import TARGETS, convert, correlation, load

DIRECTORY = ROOT / "detections"
CONVERTED = DIRECTORY / "converted"
DATA_STREAM = "logs-pingone.davinci-default"
OCSF_VERSIONS = ["1.3.0", "1.8.0"]
OCSF_INDEX = {
    "mappings": {
        "date_detection": False,
        "dynamic_templates": [{"texts": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}],
        "properties": {"unmapped": {"type": "flattened"}},
    }
}
RULES = 25
# The rule that the pipelines give a filter by time.
CHANGE_WINDOW = "davinci_deployment_outside_window"

# Checks that download the lists of MITRE. The tags are checked by form.
UNUSED_VALIDATORS = {"attacktag", "d3_fendtag"}

# Correlated rules whose class in OCSF has no user: the positive events cannot be grouped there.
NOT_IN_OCSF = {
    "otp_flood": "Entity Management of a notification has no user",
    "device_paired_after_risk": "the user of a risk evaluation is in evidences, that of a device in user",
}

problems = []


def names():
    return sorted(file.stem for file in DIRECTORY.glob("*.yml"))


def check_rules():
    """Sigma's own validators, unique ids, and the fields that this project requires."""
    chosen = {name: check for name, check in known_validators.items() if name not in UNUSED_VALIDATORS}
    seen = {}
    for name in names():
        rules = load(DIRECTORY / f"{name}.yml")
        for issue in SigmaValidator(chosen.values()).validate_rules(iter(rules.rules)):
            if issue.severity.name != "LOW":
                problems.append(f"{name}: {issue}")
        documents = list(yaml.safe_load_all((DIRECTORY / f"{name}.yml").read_text()))
        for document in documents:
            if document["id"] in seen:
                problems.append(f"{name}: the id {document['id']} is that of {seen[document['id']]}")
            seen[document["id"]] = name
        missing = {"title", "description", "references", "tags", "level", "falsepositives"} - documents[0].keys()
        if missing or not any(tag.startswith("attack.t") for tag in documents[0].get("tags", [])):
            problems.append(f"{name}: no {', '.join(sorted(missing)) or 'technique of ATT&CK'}")
    if len(names()) != RULES:
        problems.append(f"{len(names())} rules, not {RULES}")


def check_conversions(write):
    """Converts each rule for each target and compares with the stored query. Returns the number of queries."""
    expected = {}
    for name in names():
        for directory, ending, backend, pipelines, correlates in TARGETS:
            try:
                queries = convert(DIRECTORY, DIRECTORY / f"{name}.yml", backend, pipelines, correlates)
            except Exception as error:  # pySigma's errors have no common class
                problems.append(f"{name}: no conversion to {ending}: {error}")
                continue
            expected[CONVERTED / directory / f"{name}.{ending}"] = "\n".join(queries) + "\n"
    stored = {file for file in CONVERTED.glob("*/*") if file.is_file()}
    if write:
        for file in stored - expected.keys():
            file.unlink()
        for file, text in expected.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return len(expected)
    for file in sorted(stored | expected.keys()):
        if file not in stored or expected.get(file) != file.read_text():
            problems.append(f"{file.relative_to(ROOT)} is not current: .ci/detections --write")
    return len(expected)


def is_outside_window(document):
    """Whether the event's time is outside of the change window of detections/pipelines."""
    at = time_of(document)
    return at.isoweekday() > 5 or not 6 <= at.hour < 20


def time_of(document):
    if "@timestamp" in document:
        return datetime.datetime.fromisoformat(document["@timestamp"].replace("Z", "+00:00"))
    return datetime.datetime.fromtimestamp(document["time"] / 1000, datetime.timezone.utc)


def seconds(timespan):
    return int(timespan[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[timespan[-1]]


def correlated_groups(rule, hits, fields):
    """Groups of hits, and those of them on which a correlation fires, by their values of `group-by`. `hits` are
    documents by rule name; `fields` translates field names."""
    groups, fired = {}, set()
    for base, documents in hits.items():
        for document in documents:
            key = tuple(get(document, fields(field)) for field in rule["group-by"])
            if None not in key:
                groups.setdefault(key, []).append((time_of(document), base, document))
    span = datetime.timedelta(seconds=seconds(rule["timespan"]))
    for key, group in groups.items():
        group.sort(key=lambda hit: hit[:2])
        for start, (begin, *_) in enumerate(group):
            window = [hit for hit in group[start:] if hit[0] - begin <= span]
            if fires(rule, window, fields):
                fired.add(key)
                break
    return groups, fired


def fires(rule, window, fields):
    kind, condition = rule["type"], rule.get("condition", {})
    if kind == SigmaCorrelationType.EVENT_COUNT.name.lower():
        return len(window) >= condition["gte"]
    if kind == SigmaCorrelationType.VALUE_COUNT.name.lower():
        values = {get(document, fields(condition["field"])) for _, _, document in window}
        return len(values - {None}) >= condition["gte"]
    # temporal_ordered: the rules in their order.
    wanted = list(rule["rules"])
    for _, base, _ in window:
        if wanted and base == wanted[0]:
            wanted.pop(0)
    return not wanted


class Case:
    """The documents of one rule's events in one format, and what the queries find of them."""

    def __init__(self, name, documents, found):
        self.documents = {kind: documents[f"{name}/{kind}"] for kind in ("positive", "negative")}
        self.name, self.found = name, found

    def hits(self, kind, query):
        own = self.documents[kind]
        return [own[at] for at in range(len(own)) if f"{self.name}/{kind}/{at}" in self.found[query]]


def check_case(case, schema, queries, fields):
    """Returns how many positive events, or groups of them, the rule finds."""
    file = DIRECTORY / f"{case.name}.yml"
    documents = list(yaml.safe_load_all(file.read_text()))
    if "correlation" in documents[0]:
        if schema == "ocsf" and case.name in NOT_IN_OCSF:
            return 0
        bases = [document["name"] for document in documents[1:]]
        hits = {
            kind: {base: case.hits(kind, query) for base, query in zip(bases, queries, strict=True)}
            for kind in ("positive", "negative")
        }
        for kind, count in (("positive", len(case.documents["positive"])), ("negative", 1)):
            if len({id(hit) for found in hits[kind].values() for hit in found}) < count:
                problems.append(f"{case.name}: {schema}: the queries do not find enough {kind} events")
        groups, fired = correlated_groups(documents[0]["correlation"], hits["positive"], fields)
        if not groups or fired != groups.keys():
            problems.append(f"{case.name}: {schema}: fires on {len(fired)} of {len(groups)} positive groups")
        unwanted = correlated_groups(documents[0]["correlation"], hits["negative"], fields)[1]
        if unwanted:
            problems.append(f"{case.name}: {schema}: fires on {len(unwanted)} negative groups")
        return len(fired)
    count = 0
    window = case.name == CHANGE_WINDOW
    for kind in ("positive", "negative"):
        hits = [hit for hit in case.hits(kind, queries[0]) if not window or is_outside_window(hit)]
        for document in case.documents[kind]:
            action = document.get("event", {}).get("code") or get(document, "metadata.event_code")
            if (document in hits) != (kind == "positive"):
                problems.append(
                    f"{case.name}: {schema}: {kind} event {action} is {'' if document in hits else 'not '}found"
                )
        count += len(hits) if kind == "positive" else 0
    others = {hit for hit in case.found[queries[0]] if "/positive/" in hit and not hit.startswith(f"{case.name}/")}
    if others:
        problems.append(f"{case.name}: {schema}: finds events of other rules: {sorted(others)[:3]}")
    return count


def ocsf_fields():
    """Field names of OCSF by those of ECS, from the pipeline."""
    pipeline = yaml.safe_load((DIRECTORY / "pipelines/ocsf.yml").read_text())
    mapping = next(item["mapping"] for item in pipeline["transformations"] if item["id"] == "fields")
    return lambda field: mapping.get(field, field)


def check_documents(program, server, index, schema, events, *arguments):
    """Stores the events in a format and runs the queries. Returns the number of positive events found, by rule."""
    lines = {case: render(program, batch, "--format", schema, *arguments) for case, batch in events.items()}
    stored = [(f"{case}/{at}", line) for case, batch in lines.items() for at, line in enumerate(batch)]
    for name, reason in server.bulk(index, stored):
        problems.append(f"{schema}: {name} is refused: {reason}")
    documents = {case: [json.loads(line) for line in batch] for case, batch in lines.items()}
    target = next(target for target in TARGETS if target[1] == f"{schema}.lucene")
    fields = (lambda field: field) if schema == "ecs" else ocsf_fields()
    counts = {}
    for name in names():
        queries = convert(DIRECTORY, DIRECTORY / f"{name}.yml", *target[2:])
        found = {query: server.hits(index, query) for query in queries}
        counts[name] = check_case(Case(name, documents, found), schema, queries, fields)
    return counts


def check_events(program):
    """Renders, stores, searches. Returns the numbers for the report."""
    events = {}
    for name in names():
        for kind in ("positive", "negative"):
            events[f"{name}/{kind}"] = json.loads((DIRECTORY / f"events/{name}.{kind}.json").read_text())
    stray = {file.name.split(".")[0] for file in DIRECTORY.glob("events/*.json")} - set(names())
    if stray:
        problems.append(f"events without a rule: {', '.join(sorted(stray))}")
    counts = {}
    with elasticsearch() as server:
        counts["ecs"] = check_documents(program, server, DATA_STREAM, "ecs", events)
        for version in OCSF_VERSIONS:
            index = f"ocsf-{version}"
            server.put(f"/{index}", OCSF_INDEX)
            arguments = ["--ocsf-version", version]
            counts[f"ocsf {version}"] = check_documents(program, server, index, "ocsf", events, *arguments)
    with opensearch() as server:
        counts["ecs in OpenSearch"] = check_documents(program, server, DATA_STREAM, "ecs", events)
    return events, counts


def main():
    program, write = pathlib.Path(sys.argv[1]).absolute(), "--write" in sys.argv[2:]
    check_rules()
    queries = check_conversions(write)
    events, counts = check_events(program)
    total = {
        kind: sum(len(batch) for case, batch in events.items() if case.endswith(kind))
        for kind in ("positive", "negative")
    }
    for name in names():
        correlated = correlation(load(DIRECTORY / f"{name}.yml")) is not None
        found = ", ".join(
            f"{schema} {counts[schema][name]}"
            for schema in counts
            if name not in NOT_IN_OCSF or not schema.startswith("ocsf")
        )
        what = "positive groups" if correlated else f"of {len(events[name + '/positive'])} positive events"
        print(f"{name:36} {found} {what}; {len(events[name + '/negative'])} negative events")
    for name, reason in NOT_IN_OCSF.items():
        print(f"{name}: not in OCSF: {reason}")
    for problem in problems:
        print(f"detections: {problem}", file=sys.stderr)
    if not problems:
        print(
            f"{len(names())} rules, {queries} queries; {total['positive']} positive events found, "
            f"0 of {total['negative']} negative ones"
        )
    sys.exit(bool(problems))


main()
