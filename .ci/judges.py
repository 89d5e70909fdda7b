"""Shared by .ci/detections and .ci/formats: the program under test, and servers that judge its output."""

import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = pathlib.Path(sys.prefix)
ELASTICSEARCH = ROOT / "deploy/elasticsearch"

# Elasticsearch's own component templates, reduced to what the shipped ones build on:
# https://github.com/elastic/elasticsearch/tree/main/x-pack/plugin/core/template-resources/src/main/resources
BUILT_IN = {
    "logs@settings": {"template": {"settings": {}}},
    "logs@mappings": {
        "template": {"mappings": {"date_detection": False, "properties": {"@timestamp": {"type": "date"}}}}
    },
    "ecs@mappings": {
        "template": {
            "mappings": {
                "dynamic_templates": [
                    {
                        "ecs_ip": {
                            "path_match": ["ip", "*.ip"],
                            "match_mapping_type": "string",
                            "mapping": {"type": "ip"},
                        }
                    },
                    {"ecs_date": {"path_match": ["@timestamp", "event.created"], "mapping": {"type": "date"}}},
                    {"ecs_keyword": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}},
                ]
            }
        }
    },
}


def render(program, events, *arguments):
    """Renders events in a format with `davinci-siem map`, one line each."""
    mapped = subprocess.run(
        [program, "map", *arguments], input=json.dumps(events), capture_output=True, text=True, check=False
    )
    lines = mapped.stdout.split("\n")[:-1]
    if mapped.returncode or len(lines) != len(events):
        sys.exit(f"map {' '.join(arguments)}: {len(lines)} lines for {len(events)} events: {mapped.stderr.strip()}")
    return lines


def accepted(program, events):
    """The events that are not refused: a mutation may have removed a required field."""
    mapped = subprocess.run([program, "map"], input=json.dumps(events), capture_output=True, text=True, check=False)
    refused = {int(number) for number in re.findall(r"^standard input:1: \$\[(\d+)\]", mapped.stderr, re.MULTILINE)}
    return [event for at, event in enumerate(events) if at not in refused]


def get(document, path):
    """Value of a dotted path. In a list, the first value counts."""
    for name in path.split("."):
        while isinstance(document, list):
            document = document[0] if document else None
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    while isinstance(document, list):
        document = document[0] if document else None
    return document


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A server with the interface of Elasticsearch, on a free port of loopback."""

    def __init__(self, command):
        self.directory = tempfile.TemporaryDirectory()
        self.port = free_port()
        command = [part.format(port=self.port, directory=self.directory.name) for part in command]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                self.request("GET", "/")
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        sys.exit(f"{command[0]} does not answer")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()  # noida-db ignores SIGTERM
        self.process.wait()
        self.directory.cleanup()

    def request(self, method, path, body=None, kind="application/json"):
        """The answer, and its status."""
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", body and body.encode(), {"Content-Type": kind}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer), answer.status
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            return (json.loads(text) if text.startswith("{") else text), error.code

    def put(self, path, body):
        answer, status = self.request("PUT", path, body)
        if status >= 300:
            sys.exit(f"PUT {path}: {status}: {answer}")

    def bulk(self, index, documents):
        """Stores (id, document) pairs. Returns the refusals: id and reason."""
        lines = []
        for name, document in documents:
            lines += [json.dumps({"create": {"_index": index, "_id": name}}), document]
        body = "\n".join(lines) + "\n"
        try:
            answer, status = self.request("POST", "/_bulk?refresh=true", body, "application/x-ndjson")
        except ConnectionError:
            sys.exit(f"bulk: the server ended while it stored {documents[0][0]} to {documents[-1][0]}")
        if status != 200:
            sys.exit(f"bulk: {status}: {answer}")
        results = [item["create"] for item in answer["items"]]
        return [(item["_id"], item["error"]["reason"]) for item in results if item["status"] >= 300]

    def hits(self, index, query):
        """Ids of the documents that a Lucene query finds."""
        search = {
            "size": 10_000,
            "_source": False,
            "query": {"query_string": {"query": query, "analyze_wildcard": True}},
        }
        answer, status = self.request("POST", f"/{index}/_search", search)
        if status != 200:
            sys.exit(f"search {query}: {status}: {answer}")
        return {hit["_id"] for hit in answer["hits"]["hits"]}


def elasticsearch():
    """noida-db with the shipped templates."""
    command = ["start", "--only", "elasticsearch", "--elasticsearch-port", "{port}", "--data-dir", "{directory}"]
    server = Server([str(VENV / "bin/noida-db"), *command])
    for name, template in BUILT_IN.items():
        server.put(f"/_component_template/{name}", template)
    for path, file in (
        ("/_component_template/ping_one_davinci@mappings", "component-template.json"),
        ("/_index_template/logs-pingone.davinci", "index-template.json"),
    ):
        server.put(path, json.loads((ELASTICSEARCH / file).read_text()))
    return server


def opensearch():
    """osmem-server with the shipped template, which becomes one of an ordinary index: it has no data streams."""
    binary = next((VENV / "lib").glob("python*/site-packages/osmem_server/bin/osmem-server"))
    server = Server([str(binary), "--no-stdin-watch", "--no-ja", "--addr", "127.0.0.1:{port}"])
    template = json.loads((ROOT / "deploy/opensearch/index-template.json").read_text())
    del template["data_stream"]
    server.put("/_index_template/pingone-davinci", template)
    return server
