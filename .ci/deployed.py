"""Checks the files of deploy/ and detections/ that name fields, and makes those that follow from the registry."""

import csv
import io
import json
import re

import yaml
from judges import ROOT, render

DEPLOY = ROOT / "deploy"
REGISTRY = ROOT / "src/event/registry/actions.tsv"
SEVERITIES = {"informational": 1, "low": 3, "medium": 5, "high": 8}

# Of SPL: commands, functions and fields that every event has.
SPL_WORDS = set("stats count dc by as sort table timechart users _time sourcetype tag eventtype source host".split())

# ArcSight's categories by the verb of a type; the first match counts.
BEHAVIORS = [
    (r"created|added|linked|invited|accepted|issued", "/Create"),
    (r"deleted|removed|unlinked|revoked|invite_revoked", "/Delete"),
    (r"read|logs_received", "/Access"),
    (r"granted", "/Authorization/Add"),
    (r"allowed|denied|evaluated", "/Authorization/Verify"),
    (r".*", "/Modify/Configuration"),
]


def actions():
    with REGISTRY.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def outcomes(action):
    """The outcomes that an event of the type can have. A failure word in the type is the only one that is certain."""
    return ["failure"] if action["outcome"] == "failure" else ["success", "failure"]


def severity(action, outcome):
    failure = SEVERITIES[action["on_failure"]] if outcome == "failure" else 0
    return max(SEVERITIES[action["severity"]], failure)


def qid_map():
    """QRadar: category and event id to a name and a severity."""
    rows = [["category", "event_id", "name", "severity"]]
    for action in actions():
        for outcome in outcomes(action):
            category = action["category"] + ("-failure" if outcome == "failure" else "")
            name = action["title"]
            if outcome == "failure" and action["outcome"] != "failure":
                name += ": Failure"
            rows.append([category, action["type"], name, str(severity(action, outcome))])
    return rows


def behavior(action):
    if action["category"] in ("authentication", "session"):
        return "/Access/Stop" if action["ecs_type"] == "end" else "/Authentication/Verify"
    return next(found for pattern, found in BEHAVIORS if re.fullmatch(pattern, action["verb"]))


def categories():
    """ArcSight's categorizer: event class and outcome to its categories."""
    keys = ["event.deviceEventClassId", "event.eventOutcome"]
    names = ["Object", "Behavior", "Technique", "DeviceGroup", "Significance", "Outcome"]
    rows = [keys + [f"set.event.category{name}" for name in names]]
    for action in actions():
        target = "/Actor/User" if action["target"] == "user" else "/Host/Application/Service"
        for outcome in outcomes(action):
            level = severity(action, outcome)
            significance = {1: "/Normal", 3: "/Informational", 5: "/Informational/Warning", 8: "/Informational/Alert"}[
                level
            ]
            rows.append(
                [
                    action["type"],
                    outcome,
                    target,
                    behavior(action),
                    "",
                    "/Application",
                    significance,
                    f"/{outcome.capitalize()}",
                ]
            )
    return rows


GENERATED = {"leef/qid.csv": qid_map, "cef/categories.csv": categories}


def check_generated(problems, write):
    for name, make in GENERATED.items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(make())
        file = DEPLOY / name
        if write:
            file.write_text(text.getvalue())
        elif not file.exists() or file.read_text() != text.getvalue():
            problems.append(f"deploy/{name} is not current: .ci/formats --write")


def check_qids(program, events, problems):
    """Every event of a listed type has its category, its id and its severity in the map, as the program prints them."""
    known = {(row[0], row[1]): row[3] for row in qid_map()}
    listed = {action["type"] for action in actions()}
    for event, line in zip(events.values(), render(program, list(events.values()), "--format", "leef"), strict=True):
        kind = line.split("|")[4]
        category = re.search(r"[|\t]cat=([^\t]*)", line)[1]
        if kind not in listed:
            continue
        if (category, kind) not in known:
            problems.append(f"deploy/leef/qid.csv has no {category} of {kind}")
        # The content of these decides, too.
        elif not kind.startswith("DAVINCI_INTERACTION.") and "riskEvaluation" not in json.dumps(event):
            if f"\tsev={known[category, kind]}\t" not in line:
                problems.append(f"deploy/leef/qid.csv has severity {known[category, kind]} for {category}, {kind}")


def fields(value, at=""):
    """The dotted names of all fields of a document; lists have the names of their entries."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from fields(inner, f"{at}.{name}" if at else name)
    elif isinstance(value, list):
        for inner in value:
            yield from fields(inner, at)
    else:
        yield at


def kuery_fields(query):
    return re.findall(r"([a-z_@][\w.]*)\s*:", query)


def kibana_fields():
    """Every field that the saved objects name."""
    found = set()
    for line in (DEPLOY / "elasticsearch/dashboard.ndjson").read_text().splitlines():
        attributes = json.loads(line)["attributes"]
        source = json.loads(attributes.get("kibanaSavedObjectMeta", {}).get("searchSourceJSON", "{}"))
        found |= set(kuery_fields(source.get("query", {}).get("query", "")))
        found |= set(attributes.get("columns", []))
        for part in json.loads(attributes.get("visState", "{}")).get("aggs", []):
            found |= {part["params"]["field"]} if "field" in part["params"] else set()
    return found


def check_references(problems):
    """Every saved object that another one refers to is in the file."""
    objects = [json.loads(line) for line in (DEPLOY / "elasticsearch/dashboard.ndjson").read_text().splitlines()]
    known = {(item["type"], item["id"]) for item in objects}
    for item in objects:
        names = {reference["name"].rpartition(":")[2] for reference in item["references"]}
        for panel in json.loads(item["attributes"].get("panelsJSON", "[]")):
            if panel["panelRefName"] not in names:
                problems.append(f"dashboard.ndjson: {item['attributes']['title']}: no reference {panel['panelRefName']}")
        for reference in item["references"]:
            if (reference["type"], reference["id"]) not in known:
                problems.append(f"dashboard.ndjson: {item['attributes']['title']} refers to nothing")


def rule_fields():
    found = set()
    for file in (ROOT / "detections").glob("*.yml"):
        for document in yaml.safe_load_all(file.read_text()):
            for name, selection in document.get("detection", {}).items():
                if name != "condition":
                    found |= {field.split("|")[0] for field in selection}
            correlation = document.get("correlation", {})
            found |= set(correlation.get("group-by", []))
            found |= {correlation["condition"]["field"]} if "field" in correlation.get("condition", {}) else set()
    return found


def kusto_names(text):
    """Columns that a text assigns, and all names in it that look like columns."""
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r'"[^"\n]*"', "", text)
    return set(re.findall(r"\b([A-Z]\w+)\s*=(?![=~])", text)), set(re.findall(r"\b([A-Z][A-Za-z]+)\b", text))


def check_kusto(emitted, problems):
    sentinel = DEPLOY / "sentinel"
    parser = (sentinel / "PingOneEvents.kql").read_text()
    for path in re.findall(r"to(?:string|long|double)\(([^()]+)\)", parser):
        if re.sub(r"\[\d+\]", "", path) not in emitted:
            problems.append(f"deploy/sentinel/PingOneEvents.kql: nothing emits {path}")
    columns = kusto_names(parser)[0] | {"TimeGenerated", "PingOneEvents"}
    texts = {file.name: file.read_text() for file in sentinel.glob("ASim*.kql")}
    workbook = json.loads((sentinel / "workbook.json").read_text())
    texts |= {item["name"]: item["content"]["query"] for item in workbook["items"] if "query" in item["content"]}
    texts |= {file.name: file.read_text() for file in (ROOT / "detections/converted/kql").glob("*.kql")}
    for name, text in texts.items():
        assigned, used = kusto_names(text)
        for column in used - assigned - columns:
            problems.append(f"{name}: PingOneEvents has no column {column}")
    return len(texts)


def check_splunk(problems):
    default = DEPLOY / "splunk/davinci_siem/default"
    known = set(re.findall(r"^EVAL-(\S+) =", (default / "props.conf").read_text(), re.MULTILINE)) | SPL_WORDS
    known |= set(re.findall(r"^\[(\w+)\]", (default / "fields.conf").read_text(), re.MULTILINE))
    texts = re.findall(r"<query>(.*?)</query>", (default / "data/ui/views/pingone.xml").read_text(), re.DOTALL)
    texts += re.findall(r"^search = (.*)$", (default / "eventtypes.conf").read_text(), re.MULTILINE)
    texts += [file.read_text() for file in (ROOT / "detections/converted/spl").glob("*.native.spl")]
    for text in texts:
        used = (
            set(re.findall(r"\b(\w+)=", text))
            | set(re.findall(r"\b(\w+) IN \(", text))
            | set(re.findall(r"dc\((\w+)\)", text))
        )
        # What a search computes itself, and what it counts by.
        made = set(re.findall(r"\bas (\w+)", text)) | set(re.findall(r"(?:eval|,) (\w+)=", text)) | {"span"}
        for words in re.findall(r"\b(?:by|table) ([\w ]+)", text):
            used |= set(words.split())
        used -= made
        for field in used - known:
            problems.append(f"the add-on for Splunk has no field {field}: {text[:60]}")
    return len(texts)


def check_files(program, events, ecs, problems, write):
    check_generated(problems, write)
    check_references(problems)
    check_qids(program, events, problems)
    sound = [line for name, line in ecs if not name.startswith("damaged/")]
    emitted = {field for line in sound for field in fields(json.loads(line))}
    for name, used in (("the dashboards of Kibana", kibana_fields()), ("the rules", rule_fields())):
        for field in used - emitted:
            problems.append(f"{name}: nothing emits {field}")
    kusto, splunk = check_kusto(emitted, problems), check_splunk(problems)
    return (
        f"deploy: {len(kibana_fields())} fields of Kibana, {len(rule_fields())} of the rules, {kusto} texts of KQL and "
        f"{splunk} searches of SPL name only what is emitted"
    )
