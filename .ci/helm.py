"""Checks the chart in deploy/helm for .ci/deploy, with Helm's own engine: lint, values, schemas of Kubernetes, and
agreement with the manifests of deploy/kubernetes and the alerts. The argument is the path of davinci-siem."""

import pathlib
import sys
import tomllib

import helm_python
import kubernetes_validate
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from deploy import KUBERNETES, ROOT, VERSIONS, check_restricted, problems, program_takes, size, want

CHART = ROOT / "deploy/helm"
ALERTS = ROOT / "deploy/prometheus/alerts.yml"

# Labels and annotations that only Helm sets.
OF_HELM = {
    "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "checksum/config",
    "helm.sh/chart",
}

# Every value that changes what is rendered.
ALL = {
    "image": {"repository": "registry.example.com/davinci-siem", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "davinci-siem", "key": "hec-token"}}}],
    "tlsSecretName": "",
    "persistence": {"storageClassName": "fast"},
    "service": {"type": "LoadBalancer", "annotations": {"example.com/kind": "tcp"}},
    "networkPolicy": {
        "webhookFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        "metricsFrom": [],
        "targetPorts": [],
        "extraEgress": [{"to": [{"podSelector": {"matchLabels": {"app": "splunk"}}}], "ports": [{"port": 8088}]}],
    },
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "runbookUrl": "https://git.example.org/davinci-siem"},
    "serviceAccountName": "siem",
    "podLabels": {"azure.workload.identity/use": "true"},
    "podAnnotations": {"example.com/team": "identity"},
    "priorityClassName": "high",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "siem", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}

# Values that the schema must refuse.
WRONG = [
    {"imagee": {}}, {"image": {"repository": ""}}, {"image": {"digest": "sha256:12"}}, {"config": ""},
    {"config": {"listen": {}}}, {"service": {"type": "External"}}, {"service": {"port": 0}},
    {"persistence": {"size": "20 GiB"}}, {"persistence": {"size": 20}}, {"networkPolicy": {"targetPorts": ["8088"]}},
    {"podMonitor": {"enabled": "yes"}}, {"prometheusRule": {"runbookUrl": "here"}}, {"podLabels": {"a": 1}},
    {"secretName": ""},
]


def rendered(chart, values):
    """The objects of a release, by kind and name."""
    files = chart.render(values, name="davinci-siem", namespace="davinci-siem")
    found = {}
    for name, text in files.items():
        for resource in yaml.safe_load_all(text) if name.endswith(".yaml") else []:
            if resource:
                found[resource["kind"], resource["metadata"]["name"]] = resource
    return found


def validate(objects, name):
    for (kind, own), resource in objects.items():
        want(resource["metadata"]["namespace"] == "davinci-siem", f"{name}: {kind} {own} has another namespace")
        for version in VERSIONS if "monitoring.coreos.com" not in resource["apiVersion"] else []:
            try:
                kubernetes_validate.validate(resource, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                problems.append(f"{name}: {kind} {own}, Kubernetes {version}: {error.message}")
    check_restricted(objects["StatefulSet", "davinci-siem"]["spec"]["template"]["spec"], name)


def plain(value):
    """A value without Helm's own labels, and without fields that only repeat a default."""
    if isinstance(value, dict):
        kept = {key: plain(inner) for key, inner in value.items() if key not in OF_HELM}
        if kept.get("type") == "ClusterIP":
            del kept["type"]
        return kept
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def manifests():
    """The objects of deploy/kubernetes that the chart has, too."""
    files = [*KUBERNETES.glob("*.yaml"), KUBERNETES / "monitoring/podmonitor.yaml"]
    resources = [resource for path in files for resource in yaml.safe_load_all(path.read_text())]
    found = {(one["kind"], one["metadata"]["name"]): one for one in resources if one["kind"] != "Namespace"}
    for volume in found["StatefulSet", "davinci-siem"]["spec"]["template"]["spec"]["volumes"]:
        # The value tlsSecretName says whether there is a certificate.
        volume.get("secret", {}).pop("optional", None)
    return found


def check_manifests(chart):
    """With the values of the manifests, the chart is the manifests."""
    wanted = manifests()
    values = {
        "config": wanted["ConfigMap", "davinci-siem"]["data"]["davinci-siem.toml"],
        "networkPolicy": {"targetPorts": [8088]},
        "podMonitor": {"enabled": True},
    }
    objects = rendered(chart, values)
    want(objects.keys() == wanted.keys(), f"deploy/helm has {objects.keys() ^ wanted.keys()} alone, or lacks it")
    for key in objects.keys() & wanted.keys():
        own, other = plain(objects[key]), plain(wanted[key])
        if own != other:
            parts = [part for part in own.keys() | other.keys() if own.get(part) != other.get(part)]
            problems.append(f"deploy/helm: {' '.join(key)} differs from deploy/kubernetes in {', '.join(parts)}")


def check_all(chart):
    objects = rendered(chart, ALL)
    validate(objects, "deploy/helm with all values")
    rule = objects["PrometheusRule", "davinci-siem"]["spec"]
    alerts = ALERTS.read_text().replace("https://example.com/davinci-siem", ALL["prometheusRule"]["runbookUrl"])
    want(rule == yaml.safe_load(alerts), "deploy/helm: the rules differ from deploy/prometheus/alerts.yml")
    pod = objects["StatefulSet", "davinci-siem"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    want(container["image"].endswith("davinci-siem@" + ALL["image"]["digest"]), "deploy/helm: no digest")
    want(container["env"] == ALL["env"], "deploy/helm: no variables")
    want("tls" not in {volume["name"] for volume in pod["spec"]["volumes"]}, "deploy/helm: TLS is not left out")
    want(pod["metadata"]["labels"].items() >= ALL["podLabels"].items(), "deploy/helm: no labels of the pod")
    off = rendered(chart, {"networkPolicy": {"enabled": False}})
    want(not {"NetworkPolicy", "PodMonitor", "PrometheusRule"} & {kind for kind, _ in off}, "deploy/helm: not left out")


def check_names(chart):
    """All objects have the name of the release, which contains the chart's name, and a length that Kubernetes takes."""
    names = {"siem": "siem-davinci-siem", "davinci-siem-eu": "davinci-siem-eu", "a" * 53: "a" * 52}
    for release, wanted in names.items():
        files = chart.render(ALL, name=release, namespace="siem")
        texts = [text for path, text in files.items() if path.endswith(".yaml")]
        resources = [resource for text in texts for resource in yaml.safe_load_all(text) if resource]
        own = {resource["metadata"]["name"] for resource in resources}
        want(own == {wanted, f"{wanted}-pods"}, f"deploy/helm: the release {release} has {own}")


def main():
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    report = helm_python.lint(CHART, strict=True)
    found = report["errors"] + [message["error"] for message in report["messages"] if message["severity"] > 1]
    want(report["total_charts_linted"] == 1 and not found, f"deploy/helm: {'; '.join(found)}")
    with helm_python.Chart.load(CHART) as chart:
        meta = chart.metadata
        want(meta["version"] == meta["appVersion"] == version, f"deploy/helm: the version is not {version}")
        want(f">={VERSIONS[0]}.0-0" == meta["kubeVersion"], f"deploy/helm: another Kubernetes than {VERSIONS[0]}")
        validate(rendered(chart, {}), "deploy/helm")
        program_takes("deploy/helm/values.yaml", chart.values["config"])
        config = tomllib.loads(chart.values["config"])
        room = size(chart.values["persistence"]["size"])
        want(room >= 2 * size(config["spool"]["max_size"]), "deploy/helm: no room for a second copy of the spool")
        check_manifests(chart)
        check_all(chart)
        check_names(chart)
        for values in WRONG:
            try:
                chart.validate_schema(values)
                problems.append(f"deploy/helm/values.schema.json takes {values}")
            except helm_python.HelmValuesError:
                pass
    for problem in problems:
        print(f"helm: {problem}", file=sys.stderr)
    if not problems:
        print(f"Helm {helm_python.helm_sdk_version()}: the chart is good, and is the manifests with other names")
    sys.exit(bool(problems))


main()
