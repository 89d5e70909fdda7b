"""Checks deploy/compose/quickstart.yaml for .ci/deploy: the schema, the restrictions of containers, and that its services
print the events that its sender sends. There is no Docker here: the program runs with the variables, the commands and
the configuration that the containers have. The argument is the path of davinci-siem."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import tomllib

import compose_spec
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from deploy import PROGRAM, ROOT, keeps_to_itself, problems, want

NAME = "deploy/compose/quickstart.yaml"
SECONDS = 30


def image_config(dockerfile):
    """The configuration in the image, and the command of the container."""
    (text,) = re.findall(r"printf '(\[listen\][^']*)'", dockerfile)
    (command,) = re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)
    return text.replace("\\n", "\n"), json.loads(command)


def wait(holds, what):
    end = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"quickstart: {what} takes more than {SECONDS} s")
        time.sleep(0.05)


def variables(service, directory):
    """The variables of a container, with free ports in place of those that belong to a container alone."""
    own = {"DAVINCI_SIEM_CONFIG": str(directory / "davinci-siem.toml"), "DAVINCI_SIEM__ADMIN__ADDRESS": "127.0.0.1:0"}
    return {"PATH": os.environ["PATH"]} | own | service["environment"]


def run(services, dockerfile):
    """Runs both services. Returns the lines that the first one prints."""
    text, command = image_config(dockerfile)
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        text = text.replace("0.0.0.0:8080", "127.0.0.1:0").replace("/var/lib/davinci-siem", str(directory / "spool"))
        (directory / "davinci-siem.toml").write_text(text)
        (first, sender), out, log = services, directory / "out", directory / "log"
        # The line "ready", which names the port.
        loud = variables(first, directory) | {"DAVINCI_SIEM__LOG__LEVEL": "info", "DAVINCI_SIEM__LOG__FORMAT": "json"}
        with out.open("w") as output, log.open("w") as errors:
            service = subprocess.Popen([PROGRAM, *command], env=loud, stdout=output, stderr=errors)
        try:
            wait(lambda: '"ready"' in log.read_text() or service.poll() is not None, "the start")
            ready = [line for line in log.read_text().splitlines() if '"ready"' in line]
            if not ready:
                sys.exit(f"quickstart: it does not start: {log.read_text()}")
            sent = [word.replace("davinci-siem:8080", json.loads(ready[0])["listen"]) for word in sender["command"]]
            ended = subprocess.run([PROGRAM, *sent], env=variables(sender, directory), capture_output=True, text=True)
            if ended.returncode:
                sys.exit(f"quickstart: the sender ends with {ended.returncode}: {ended.stderr.strip()}")
            wait(lambda: out.read_text().count("\n") >= int(sent[sent.index("--count") + 1]), "the delivery")
        finally:
            service.terminate()
            service.wait()
        return out.read_text().splitlines()


def main():
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    dockerfile, text = (ROOT / "Dockerfile").read_text(), (ROOT / NAME).read_text()
    (user,) = re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE)
    try:
        compose_spec.PyCompose.from_yaml(text).validate()
    except ValueError as error:
        sys.exit(f"quickstart: {NAME}: {error}")
    compose = yaml.safe_load(text)
    for own, service in compose["services"].items():
        keeps_to_itself(service, f"{NAME}: {own}")
        want(service["image"] == f"davinci-siem:{version}", f"{NAME}: {own} is not version {version}")
        want(service["user"] == user, f"{NAME}: {own} is not user {user}")
        for port in service.get("ports", []):
            want(port == "127.0.0.1:8080:8080", f"{NAME}: {port} is reachable from outside, without credentials")
    lines = run([compose["services"][own] for own in ("davinci-siem", "sender")], dockerfile)
    want(len(lines) == 5, f"{NAME}: {len(lines)} events were printed")
    for line in lines:
        want("action" in json.loads(line), f"{NAME}: no event: {line}")
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"the quick start prints {len(lines)} events")
    sys.exit(bool(problems))


main()
