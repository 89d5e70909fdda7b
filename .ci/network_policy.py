"""Checks which connections the network policies in deploy/kubernetes allow: DNS, targets, NATS, no metadata service."""

import ipaddress
import pathlib
import sys
import tomllib
import urllib.parse

import yaml

ROOT = pathlib.Path(__file__).parent.parent
NAMESPACE = "davinci-siem"

# A peer is a text with an address, or the namespace and the labels of a pod.
DNS = [
    (("kube-system", {"k8s-app": "kube-dns"}), 53),
    ("169.254.20.10", 53),  # NodeLocal DNSCache, https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/
    (("openshift-dns", {"dns.operator.openshift.io/daemonset-dns": "default"}), 5353),
]
SERVERS = (NAMESPACE, {"app.kubernetes.io/name": "nats"})
OUTSIDE = ["203.0.113.7", "2001:db8::7"]
METADATA = ["169.254.169.254", "fe80::a9fe:a9fe", "fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe"]


def allows(rules, peer, port, protocol="TCP"):
    """True if egress rules allow a connection to this peer."""
    return any(
        any(selects(to, peer) for to in rule["to"])
        and any((entry["port"], entry.get("protocol", "TCP")) == (port, protocol) for entry in rule["ports"])
        for rule in rules
    )


def selects(to, peer):
    if isinstance(peer, str):
        address, block = ipaddress.ip_address(peer), to.get("ipBlock")
        networks = [ipaddress.ip_network(text) for text in block.get("except", [])] if block else []
        return bool(block) and address in ipaddress.ip_network(block["cidr"]) and not any(address in n for n in networks)
    if "ipBlock" in to:
        return False
    namespace, labels = peer
    own = to["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] if "namespaceSelector" in to else NAMESPACE
    return own == namespace and to["podSelector"]["matchLabels"].items() <= labels.items()


def problems(directory):
    """Yields the connections that a policy lacks, or allows without need."""
    resources = [one for path in directory.glob("*.yaml") for one in yaml.safe_load_all(path.read_text())]
    (config,) = [one["data"]["davinci-siem.toml"] for one in resources
                 if one["kind"] == "ConfigMap" and "davinci-siem.toml" in one["data"]]
    config = tomllib.loads(config)
    targets = {urllib.parse.urlsplit(sink["endpoint"]).port for sink in config["sinks"].values()}
    policies = {one["metadata"]["name"]: one["spec"]["egress"] for one in resources if one["kind"] == "NetworkPolicy"}
    for name, rules in policies.items():
        needed = [(peer, port, protocol) for peer, port in DNS for protocol in ("UDP", "TCP")]
        refused = [(address, 80, "TCP") for address in METADATA]
        reach = {(address, port, "TCP") for address in OUTSIDE for port in targets}
        if name == "nats":
            needed.append((SERVERS, 6222, "TCP"))
            refused += reach
        else:
            needed += reach
            needed += [(SERVERS, 4222, "TCP")] if "nats" in policies else []
            refused += [(address, port, "TCP") for address in METADATA for port in targets]
        yield from (f"{name} does not allow {peer}" for peer in needed if not allows(rules, *peer))
        yield from (f"{name} allows {peer}" for peer in refused if allows(rules, *peer))


found = [
    f"network_policy: {directory.relative_to(ROOT)}: {problem}"
    for directory in (ROOT / "deploy/kubernetes", ROOT / "deploy/kubernetes/jetstream")
    for problem in problems(directory)
]
print(*found or ["the network policies are good"], sep="\n")
sys.exit(bool(found))
