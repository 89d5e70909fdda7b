"""Judges the formats with programs of other authors. Arguments: the program, --write.

Judged are all fixtures, all events of detections/ and damaged variants of both. Every judge first has to refuse a
broken document: a judge that accepts everything proves nothing.
"""

import copy
import functools
import json
import pathlib
import re
import subprocess
import sys

import pycef
from deployed import check_files
from judges import ROOT, accepted, elasticsearch, opensearch, render
from jsonschema import Draft202012Validator
from mutate import mutants
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

PROGRAM = pathlib.Path(sys.argv[1]).absolute()
DATA_STREAM = "logs-pingone.davinci-default"
OCSF_VERSIONS = ["1.3.0", "1.8.0"]
ROUNDS = 6
GOLDEN = ROOT / "src/format/snapshots"

problems = []
counts = []


def fixtures():
    """Events by name: every fixture that is one event, and the events of the rules in detections/."""
    found = {}
    for file in sorted(ROOT.glob("fixtures/*/*.json")):
        if file.parent.name in ("events", "contradictions", "pingone"):
            found[f"{file.parent.name}/{file.stem}"] = json.loads(file.read_text())
    for file in sorted(ROOT.glob("detections/events/*.json")):
        for at, event in enumerate(json.loads(file.read_text())):
            found[f"{file.stem}/{at}"] = event
    return found


@functools.cache
def schema(version):
    return OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))


@functools.cache
def validator(version, class_uid, profiles):
    name = schema(version).lookup_class_name_from_uid(class_uid=class_uid)
    return Draft202012Validator(schema(version).get_class_schema(name, list(profiles)))


def ocsf_error(document, version):
    """The first violation, or None."""
    profiles = tuple((document.get("metadata") or {}).get("profiles", []))
    try:
        judge = validator(version, document.get("class_uid"), profiles)
    except (AttributeError, KeyError, ValueError) as error:
        return f"class: {error}"
    error = next(judge.iter_errors(document), None)
    return error and f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"


def refuses(judge, name, broken):
    """Notes a judge that accepts a broken document."""
    if not judge(broken):
        problems.append(f"{name} accepts a broken document: {str(broken)[:80]}")


def judge_ocsf(events, lines):
    for version in OCSF_VERSIONS:
        documents = [json.loads(line) for line in lines[version]]
        sound = documents[0]
        for change in (
            {"severity_id": 77},
            {"class_uid": 424242},
            {"time": "today"},
            {"nonsense": 1},
            {"metadata": None},
        ):
            refuses(lambda document: ocsf_error(document, version), f"OCSF {version}", {**sound, **change})
        for name in ("severity_id", "metadata", "time"):
            refuses(
                lambda document: ocsf_error(document, version),
                f"OCSF {version}",
                {field: value for field, value in sound.items() if field != name},
            )
        for name, document in zip(events, documents, strict=True):
            if document["metadata"]["version"] != version:
                problems.append(f"OCSF {version}: {name} says {document['metadata']['version']}")
            if error := ocsf_error(document, version):
                problems.append(f"OCSF {version}: {name}: {error}")
        counts.append(f"OCSF {version}: {len(documents)} documents")
    golden = 0
    for file in sorted(GOLDEN.glob("*.ocsf*.snap")):
        document = json.loads(file.read_text().split("\n---\n", 1)[1])
        golden += 1
        if error := ocsf_error(document, document["metadata"]["version"]):
            problems.append(f"OCSF: golden {file.stem}: {error}")
    counts.append(f"OCSF: {golden} golden documents")
    if not golden:
        problems.append("no golden document of OCSF")


# Kinds of findings about the type of a value, as `map --explain` prints them.
TYPE_FINDING = re.compile(r"^  finding: (?:wrong|coerced)_type at (\$.*)$")

# Differences that a schema does not state: spellings of times, objects that are only read if they have the ids of a
# parent flow, and further names of a field, which are not read beside the first one.
UNDECIDED = re.compile(r"recordedAt|tsEms|parentFlow|flowInteractionEvent\.(?:nodeID|id|ID|flowID|succcess)$")


def findings(events):
    """The paths of the findings about types of each event, as the program explains them."""
    found = []
    command = [PROGRAM, "map", "--explain"]
    explained = subprocess.run(command, input=json.dumps(events), capture_output=True, text=True, check=True)
    for line in explained.stdout.splitlines():
        if match := TYPE_FINDING.match(line):
            found[-1].append(match[1])
        elif not line.startswith("  "):
            found.append([])
    return found


def judge_native(events):
    """Every fixture is valid, and the schema complains about a type exactly where the program has a finding."""
    command = [PROGRAM, "fields", "--schema"]
    document = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    Draft202012Validator.check_schema(document)
    judge = Draft202012Validator(document)

    def error(event):
        return next(judge.iter_errors(event), None)

    sound = events["events/custom_analytics"]
    flow = sound["_embedded"]["flowInteractionEvent"]
    for change in (
        {"id": 7},
        {"id": ""},
        {"recordedAt": None},
        {"action": "USER.LOCKED"},
        {"action": {}},
        {"result": []},
        {"_embedded": {}},
        {"_embedded": {"flowInteractionEvent": {**flow, "success": "true"}}},
        {"_embedded": {"flowInteractionEvent": {**flow, "flowVersionId": "4"}}},
        {"_embedded": {"flowInteractionEvent": {**flow, "interactionId": None}}},
    ):
        refuses(error, f"the schema of native, {change}", {**sound, **change})
    differ = 0
    for (name, event), paths in zip(events.items(), findings(list(events.values())), strict=True):
        paths = [path for path in paths if not UNDECIDED.search(path)]
        errors = [".".join(map(str, error.absolute_path)) for error in judge.iter_errors(event)]
        errors = [path for path in errors if not UNDECIDED.search(path)]
        if bool(paths) != bool(errors):
            differ += 1
            problems.append(f"native: {name}: findings {paths[:3]}, errors of the schema {errors[:3]}")
    counts.append(f"native: {len(events)} events against the schema, {differ} judged differently")


def cef_error(line):
    try:
        found = pycef.parse(line)
    except Exception as error:  # pycef raises what its parser raises
        return str(error)
    if not found:
        return "no CEF"
    missing = {"DeviceVendor", "DeviceProduct", "DeviceEventClassID", "Name", "Severity", "rt"} - found.keys()
    if missing:
        return f"without {', '.join(sorted(missing))}"
    return None if str(found["rt"]).isdigit() else f"rt is {found['rt']}"


def judge_cef(events, lines):
    for broken in (
        "no CEF at all",
        lines[0].replace(" rt=", " rt=x", 1).replace("|rt=", "|rt=x", 1),
        "|".join(lines[0].split("|")[:5]),
    ):
        refuses(cef_error, "pycef", broken)
    for name, line in zip(events, lines, strict=True):
        if error := cef_error(line):
            problems.append(f"CEF: {name}: {error}")
        elif (read := pycef.parse(line).get("externalId")) != events[name].get("id") and name.count("/") == 1:
            problems.append(f"CEF: {name}: externalId is {read}")
    counts.append(f"CEF: {len(lines)} lines")


def judge_ecs(name, server, lines):
    def is_refused(document):
        return server.bulk(DATA_STREAM, [(f"broken-{len(json.dumps(document))}", json.dumps(document))])

    sound = json.loads(lines[0][1])
    for change in (
        {"@timestamp": "yesterday"},
        {"source": {"ip": "no address"}},
        {"ping_one": {"davinci": {"flow": {"version": "x"}}}},
        {"ping_one": {"davinci": {"flow": "text"}}},
        {"ping_one": {"audit": {"action": "text"}}},
    ):
        refuses(is_refused, f"{name}, {change}", {**copy.deepcopy(sound), **change})
    for batch in range(0, len(lines), 500):
        for event, reason in server.bulk(DATA_STREAM, lines[batch : batch + 500]):
            problems.append(f"{name} refuses {event}: {reason}")
    found = server.hits(DATA_STREAM, "ping_one.davinci.extra.unlisted.word:needle")
    # Damaged variants of the event may contain the word, too.
    if "needle" not in found or len(found) > ROUNDS + 1:
        problems.append(f"{name}: the extension is not searchable: {found}")
    counts.append(f"{name}: {len(lines)} documents")


def main():
    events = fixtures()
    needle = copy.deepcopy(events["events/pingone_user_updated"])
    needle["unlisted"] = {"word": "needle"}
    events["needle"] = needle
    damaged = accepted(PROGRAM, mutants(list(events.values()), ROUNDS))
    events |= {f"damaged/{at}/of": event for at, event in enumerate(damaged)}
    given = list(events.values())
    judge_ocsf(events, {v: render(PROGRAM, given, "--format", "ocsf", "--ocsf-version", v) for v in OCSF_VERSIONS})
    judge_native(events)
    judge_cef(events, render(PROGRAM, given, "--format", "cef"))
    ecs = list(zip(events, render(PROGRAM, given, "--format", "ecs"), strict=True))
    with elasticsearch() as server:
        judge_ecs("noida-db", server, ecs)
    with opensearch() as server:
        judge_ecs("osmem-server", server, ecs)
    counts.append(check_files(PROGRAM, events, ecs, problems, "--write" in sys.argv[2:]))
    for line in counts:
        print(line)
    for problem in problems[:40]:
        print(f"formats: {problem}", file=sys.stderr)
    if problems:
        print(f"formats: {len(problems)} problems", file=sys.stderr)
    sys.exit(bool(problems))


main()
