"""Checks the files in deploy/ for .ci/deploy. The argument is the path of davinci-siem."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

import compose_spec
import hcl2
import kubernetes_validate
import pycep
import yaml

PROGRAM = pathlib.Path(sys.argv[1]).absolute()
NATS = "/opt/davinci-siem-nats/usr/sbin/nats-server"
ROOT = pathlib.Path(__file__).parent.parent
COMPOSE = ROOT / "deploy/compose"
JETSTREAM = ROOT / "deploy/jetstream"
KUBERNETES = ROOT / "deploy/kubernetes"
SYSTEMD = ROOT / "deploy/systemd"
TERRAFORM = ROOT / "deploy/terraform"

# What systemd-analyze security may find at most, in tenths: 10.0 is no protection at all.
EXPOSURE = 15

# Arguments of the resource pingone_webhook and of its filter_options that all versions of the provider from 1.0 on have,
# and whether one of these versions requires them. Newer ones add connection_details_headers, connection_details_url,
# payload_options and protocol; to use these, raise required_providers in deploy/terraform first.
# https://registry.terraform.io/providers/pingidentity/pingone/latest/docs/resources/webhook
WEBHOOK = {
    "environment_id": True, "name": True, "format": True, "http_endpoint_url": True, "filter_options": True,
    "enabled": False, "http_endpoint_headers": False, "verify_tls_certificates": False,
    "tls_client_auth_key_pair_id": False,
}
FILTER_OPTIONS = {
    "included_action_types": True, "included_application_ids": False, "included_population_ids": False,
    "included_tags": False, "ip_address_exposed": False, "useragent_exposed": False,
}

# Oldest and newest supported version of Kubernetes.
VERSIONS = ["1.29", "1.37"]

# Volumes of the Pod Security Standard "restricted":
# https://kubernetes.io/docs/concepts/security/pod-security-standards/
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

problems = []


def is_fixed(image):
    """True if the tag of an image is a full version, which always names the same release."""
    return re.fullmatch(r"[a-z-]+:\d+\.\d+\.\d+(-[a-z0-9.]+)?(@sha256:[0-9a-f]{64})?", image) is not None


def want(holds, message):
    if not holds:
        problems.append(message)


def size(text):
    """Bytes of a size such as "10 GiB" or "20Gi"."""
    number, unit = re.fullmatch(r"(\d+) ?([KMGT]i)B?", text).groups()
    return int(number) * UNITS[unit]


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def port(address):
    return int(address.rsplit(":", 1)[1])


def files(config):
    """Paths of the secrets, certificates and keys in a configuration."""
    found = []
    for key, value in config.items():
        if isinstance(value, dict):
            found += files(value)
        elif isinstance(value, list):
            found += [path for item in value if isinstance(item, dict) for path in files(item)]
        elif key.endswith("_file") or key in ("certificate", "key", "ca"):
            found.append(value)
    return found


def self_signed(certificate, key):
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-subj", "/CN=siem.example.com", "-addext", "subjectAltName=DNS:siem.example.com"]
    subprocess.run([*request, *names, "-out", certificate, "-keyout", key], check=True, capture_output=True)


def program_takes(name, text):
    """Runs `davinci-siem check` on a configuration, with files for its secrets."""
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        config = tomllib.loads(text)
        for path in files(config):
            own = directory / path.lstrip("/")
            own.parent.mkdir(parents=True, exist_ok=True)
            own.write_text("5f0c2f6e3a1b4d7c8e9fa0b1c2d3e4f5\n")
            text = text.replace(f'"{path}"', f'"{own}"')
        if "tls" in config["listen"]:
            self_signed(*(directory / config["listen"]["tls"][key].lstrip("/") for key in ("certificate", "key")))
        if "jetstream" in config["spool"]:
            self_signed(directory / config["spool"]["jetstream"]["tls"]["ca"].lstrip("/"), directory / "ca.key")
        (directory / "config.toml").write_text(text)
        checked = subprocess.run(
            [PROGRAM, "check", "-c", directory / "config.toml"], capture_output=True, text=True, env={}
        )
        want(checked.returncode == 0, f"{name}: {checked.stderr.strip()}")


def grace(config):
    return 2 * seconds(config.get("limits", {}).get("shutdown_grace", "8s"))


def below(path, mounts):
    return any(path == mount or path.startswith(f"{mount}/") for mount in mounts)


def check_compose(version, user):
    name = "deploy/compose/compose.yaml"
    text = (ROOT / name).read_text()
    try:
        compose_spec.PyCompose.from_yaml(text).validate()
    except ValueError as error:
        problems.append(f"{name}: {error}")
        return
    compose = yaml.safe_load(text)
    service = compose["services"]["davinci-siem"]
    want(service["image"] == f"davinci-siem:{version}", f"{name}: the image is not that of version {version}")
    want(service["user"] == user, f"{name}: the user is not {user}, the image's")
    keeps_to_itself(service, name)

    config_text = (COMPOSE / "davinci-siem.toml").read_text()
    program_takes("deploy/compose/davinci-siem.toml", config_text)
    config = tomllib.loads(config_text)
    mounts = {}
    for volume in service["volumes"]:
        source, target, *mode = volume.split(":")
        mounts[target] = source
        is_file = source.startswith(".")
        want(is_file or source in compose["volumes"], f"{name}: there is no volume {source}")
        want(not is_file or mode == ["ro"], f"{name}: {source} can be written")
    want(config["spool"]["directory"] in mounts, f"{name}: the spool is on no volume")
    for path in files(config):
        want(below(path, mounts), f"{name}: {path} is on no volume")
    want(service["ports"] == [f"8443:{port(config['listen']['address'])}"], f"{name}: another port is published")
    want(seconds(service["stop_grace_period"]) > grace(config), f"{name}: stop_grace_period is too short")


def keeps_to_itself(service, name):
    """Checks the restrictions that every container must have."""
    want(service["read_only"] is True, f"{name}: the root can be written")
    want(service["cap_drop"] == ["ALL"] and "cap_add" not in service, f"{name}: there are capabilities")
    want("no-new-privileges:true" in service["security_opt"], f"{name}: new privileges are allowed")
    want("privileged" not in service, f"{name}: privileged")
    want({"pids_limit", "mem_limit"} <= service.keys(), f"{name}: processes or memory have no limit")


def check_restricted(pod, name):
    """Checks the Pod Security Standard "restricted", and that the root file system is read-only."""
    for key in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"):
        want(not pod.get(key), f"{name}: {key}")
    outer = pod.get("securityContext", {})
    want(outer.get("seccompProfile", {}).get("type") == "RuntimeDefault", f"{name}: no seccomp profile")
    want(not {"sysctls", "seLinuxOptions", "appArmorProfile", "windowsOptions"} & outer.keys(), f"{name}: {outer}")
    for volume in pod.get("volumes", []):
        want(volume.keys() - {"name"} <= VOLUMES, f"{name}: volume {volume['name']} is not restricted")
    for container in pod["containers"] + pod.get("initContainers", []) + pod.get("ephemeralContainers", []):
        inner = container.get("securityContext", {})
        both = outer | inner
        want(inner.get("allowPrivilegeEscalation") is False, f"{name}: privileges can be raised")
        want(inner.get("readOnlyRootFilesystem") is True, f"{name}: the root can be written")
        want(inner.get("capabilities") == {"drop": ["ALL"]}, f"{name}: there are capabilities")
        want(both.get("runAsNonRoot") is True and both.get("runAsUser", 0) > 0, f"{name}: runs as root")
        left = {"privileged", "procMount", "seLinuxOptions", "seccompProfile", "appArmorProfile", "windowsOptions"}
        want(not left & inner.keys(), f"{name}: {left & inner.keys()} of a container")
        want(not any("hostPort" in port for port in container.get("ports", [])), f"{name}: a port of the host")
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            want("host" not in container[probe]["httpGet"], f"{name}: {probe} leads to another host")


def check_kubernetes(version, user):
    objects, before = {}, len(problems)
    for path in sorted(KUBERNETES.glob("*.yaml")):
        for resource in yaml.safe_load_all(path.read_text()):
            name = f"{path.relative_to(ROOT)}"
            for kubernetes in VERSIONS:
                try:
                    kubernetes_validate.validate(resource, kubernetes, strict=True)
                except kubernetes_validate.ValidationError as error:
                    problems.append(f"{name}, Kubernetes {kubernetes}: {error.message}")
            want(resource["kind"] != "Secret", f"{name}: secrets are not committed")
            if resource["kind"] != "Namespace":
                want(resource["metadata"]["namespace"] == "davinci-siem", f"{name}: another namespace")
            objects[resource["kind"]] = resource
    if len(problems) > before:
        return
    labels = objects["Namespace"]["metadata"]["labels"]
    want(labels["pod-security.kubernetes.io/enforce"] == "restricted", "the namespace is not restricted")

    name = "deploy/kubernetes/statefulset.yaml"
    spec = objects["StatefulSet"]["spec"]
    pod, pod_labels = spec["template"]["spec"], spec["template"]["metadata"]["labels"]
    check_restricted(pod, name)
    want(pod["automountServiceAccountToken"] is False, f"{name}: holds a token of the cluster")
    want(spec["replicas"] == 1, f"{name}: a spool belongs to one process")
    context = pod["securityContext"]
    want(f"{context['runAsUser']}:{context['runAsGroup']}" == user, f"{name}: the user is not {user}, the image's")
    want(context["fsGroup"] == context["runAsGroup"], f"{name}: secrets are not readable for the group")
    (container,) = pod["containers"]
    want(container["image"] == f"davinci-siem:{version}", f"{name}: the image is not that of version {version}")
    want(pod_labels["app.kubernetes.io/version"] == version, f"{name}: the label is not {version}")
    want("memory" in container["resources"]["limits"], f"{name}: memory has no limit")

    config_text = objects["ConfigMap"]["data"]["davinci-siem.toml"]
    program_takes("deploy/kubernetes/config.yaml", config_text)
    config = tomllib.loads(config_text)
    ports = {entry["name"]: entry["containerPort"] for entry in container["ports"]}
    want(ports["webhook"] == port(config["listen"]["address"]), f"{name}: webhook is not listen.address")
    want(ports["admin"] == port(config["admin"]["address"]), f"{name}: admin is not admin.address")
    want(not config["admin"]["address"].startswith("127."), f"{name}: probes do not reach admin.address")
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        want(container[probe]["httpGet"] == {"path": path, "port": "admin"}, f"{name}: {probe} is not {path}")
    want(pod["terminationGracePeriodSeconds"] > grace(config), f"{name}: terminationGracePeriodSeconds is too short")

    claims = {claim["metadata"]["name"]: claim["spec"] for claim in spec["volumeClaimTemplates"]}
    volumes = {volume["name"] for volume in pod["volumes"]} | claims.keys()
    mounts = {}
    for mount in container["volumeMounts"]:
        want(mount["name"] in volumes, f"{name}: there is no volume {mount['name']}")
        want("subPath" not in mount, f"{name}: files below a subPath are never renewed")
        want(mount["name"] in claims or mount["readOnly"], f"{name}: {mount['name']} can be written")
        mounts[mount["mountPath"]] = mount["name"]
    claimed = [path for path, volume in mounts.items() if volume in claims]
    want(below(config["spool"]["directory"], claimed), f"{name}: the spool is on no volume")
    room = size(claims["spool"]["resources"]["requests"]["storage"])
    want(room >= 2 * size(config["spool"]["max_size"]), f"{name}: no room for a repair's second copy of the spool")
    for path in files(config):
        want(below(path, mounts), f"{name}: {path} is on no volume")

    service = objects["Service"]["spec"]
    want(service["selector"].items() <= pod_labels.items(), "the service selects no pod")
    want([entry["targetPort"] for entry in service["ports"]] == ["webhook"], "the service leads elsewhere")
    policy = objects["NetworkPolicy"]["spec"]
    want(policy["podSelector"]["matchLabels"].items() <= pod_labels.items(), "the network policy selects no pod")
    for rule in policy["ingress"]:
        for entry in rule["ports"]:
            want(entry["port"] in ports, f"the network policy names no port: {entry['port']}")
            want(entry["port"] != "admin" or "from" in rule, "anyone may reach the admin listener")


def nats_takes(name, text):
    """Runs `nats-server -t` on a configuration and the files that it includes."""
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        (directory / "secrets").mkdir()
        (directory / "secrets/password.conf").write_text('password: "5f0c2f6e3a1b4d7c8e9fa0b1c2d3e4f5"\n')
        self_signed(directory / "secrets/tls.crt", directory / "secrets/tls.key")
        (directory / "secrets/ca.crt").write_bytes((directory / "secrets/tls.crt").read_bytes())
        (directory / "nats-server.conf").write_text(text.replace("/etc/nats/", f"{directory}/"))
        checked = subprocess.run(
            [NATS, "-t", "-c", directory / "nats-server.conf"], capture_output=True, text=True,
            env={"SERVER_NAME": "nats-1"},
        )
        want(checked.returncode == 0, f"{name}: {checked.stderr.strip()}")


def agree(name, nats, config):
    """Checks that the configurations of the servers and of the receivers agree."""
    number = {"MB": 10**6, "GB": 10**9}
    found = {key: re.search(rf"(?m)^ *{key}: (\d+)(MB|GB)$", nats) for key in ("max_payload", "max_file_store")}
    bytes_of = {key: int(match[1]) * number[match[2]] for key, match in found.items()}
    want(bytes_of["max_payload"] > size(config["limits"]["body"]), f"{name}: a body is larger than max_payload")
    most = size(config["spool"]["max_size"])
    want(bytes_of["max_file_store"] > most, f"{name}: max_file_store is less than spool.max_size")
    want("\n  sync_interval: always\n" in nats, f"{name}: the servers do not sync what they acknowledge")
    own = config["spool"]["jetstream"]
    want(own["basic"]["username"] in re.findall(r"user: (\S+)", nats), f"{name}: NATS does not know the receivers")
    routes = re.findall(r"nats://([^:\"]+):6222", nats)
    clients = [re.fullmatch(r"tls://([^:]+):4222", server)[1] for server in own["servers"]]
    want(routes == clients, f"{name}: the servers are {routes} for each other and {clients} for the receivers")
    return routes, bytes_of["max_file_store"]


def check_jetstream_compose(version, user):
    name = "deploy/jetstream/compose.yaml"
    compose = yaml.safe_load((ROOT / name).read_text())
    try:
        # With YAML's anchors resolved.
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(compose)).validate()
    except ValueError as error:
        problems.append(f"{name}: {error}")
        return
    nats = (JETSTREAM / "nats-server.conf").read_text()
    nats_takes("deploy/jetstream/nats-server.conf", nats)
    config_text = (JETSTREAM / "davinci-siem.toml").read_text()
    program_takes("deploy/jetstream/davinci-siem.toml", config_text)
    config = tomllib.loads(config_text)
    servers, _ = agree("deploy/jetstream", nats, config)
    services = compose["services"]
    receivers = re.findall(r"(?m)^ *server ([\w-]+):(\d+) ", (JETSTREAM / "nginx.conf").read_text())
    want(services.keys() == {*servers, *(host for host, _ in receivers), "nginx"}, f"{name}: {services.keys()}")
    asked = {int(number) for _, number in receivers}
    want(asked == {port(config["listen"]["address"])}, f"{name}: nginx asks elsewhere: {asked}")
    stores = set()
    for own, service in services.items():
        keeps_to_itself(service, f"{name}: {own}")
        want(is_fixed(service["image"]), f"{name}: {service['image']} is not one version")
        want(service["user"] == user, f"{name}: {own} is not user {user}")
        want(own == "nginx" or "ports" not in service, f"{name}: {own} is published")
        want(own == "nginx" or "healthcheck" in service, f"{name}: {own} has no health check")
        mounts = {}
        for volume in service["volumes"]:
            source, target, *mode = volume.split(":")
            mounts[target] = source
            want(mode == ["ro"] or source == f"./data/{own}", f"{name}: {own} can write {source}")
        if own in servers:
            want(service["environment"] == {"SERVER_NAME": own}, f"{name}: {own} has another name")
            store = re.search(r"store_dir: (\S+)", nats)[1]
            want(store in mounts, f"{name}: {own} keeps events on no volume")
            stores.add(mounts.get(store))
            want(below("/etc/nats/secrets", mounts), f"{name}: {own} has no secrets")
        elif own != "nginx":
            want(service["image"] == f"davinci-siem:{version}", f"{name}: {own} is not of version {version}")
            want(seconds(service["stop_grace_period"]) > grace(config), f"{name}: stop_grace_period is too short")
            for path in files(config):
                want(below(path, mounts), f"{name}: {own} has no {path}")
    want(len(stores) == len(servers), f"{name}: servers share a store")
    proxy = services["nginx"]["networks"]["front"]["ipv4_address"]
    want(config["listen"]["trusted_proxies"] == [f"{proxy}/32"], f"{name}: nginx is not {proxy} for the receivers")


def check_jetstream_kubernetes(version, user):
    directory = KUBERNETES / "jetstream"
    objects, before = {}, len(problems)
    for path in sorted(directory.glob("*.yaml")):
        name = f"{path.relative_to(ROOT)}"
        for resource in yaml.safe_load_all(path.read_text()):
            for kubernetes in VERSIONS:
                try:
                    kubernetes_validate.validate(resource, kubernetes, strict=True)
                except kubernetes_validate.ValidationError as error:
                    problems.append(f"{name}, Kubernetes {kubernetes}: {error.message}")
            want(resource["kind"] != "Secret", f"{name}: secrets are not committed")
            want(resource["metadata"]["namespace"] == "davinci-siem", f"{name}: another namespace")
            objects[resource["kind"], resource["metadata"]["name"]] = resource
    if len(problems) > before:
        return

    name = "deploy/kubernetes/jetstream/nats.yaml"
    nats = objects["ConfigMap", "nats"]["data"]["nats-server.conf"]
    nats_takes(name, nats)
    plain = (JETSTREAM / "nats-server.conf").read_text()
    without_routes = [re.sub(r"(?m)^ *routes: .*\n", "", text) for text in (nats, plain)]
    want(without_routes[0] == without_routes[1], f"{name}: differs from deploy/jetstream/nats-server.conf")
    config_text = objects["ConfigMap", "davinci-siem"]["data"]["davinci-siem.toml"]
    program_takes("deploy/kubernetes/jetstream/config.yaml", config_text)
    config = tomllib.loads(config_text)
    servers, room = agree("deploy/kubernetes/jetstream", nats, config)
    stateful, deployment = objects["StatefulSet", "nats"]["spec"], objects["Deployment", "davinci-siem"]["spec"]
    named = [f"nats-{index}.{stateful['serviceName']}" for index in range(stateful["replicas"])]
    want(named == servers, f"{name}: the pods are {named}, and the configuration names {servers}")
    (claim,) = stateful["volumeClaimTemplates"]
    want(size(claim["spec"]["resources"]["requests"]["storage"]) > room, f"{name}: the volume is too small")
    apart = stateful["template"]["spec"]["affinity"]["podAntiAffinity"]
    (term,) = apart["requiredDuringSchedulingIgnoredDuringExecution"]
    want(term["topologyKey"] == "kubernetes.io/hostname", f"{name}: two may share a machine")
    want(deployment["replicas"] >= 2, "deploy/kubernetes/jetstream/receivers.yaml: one receiver is one too few")
    budgets = {"nats": stateful, "davinci-siem": deployment}
    for own, spec in budgets.items():
        where = f"deploy/kubernetes/jetstream: {own}"
        pod, labels = spec["template"]["spec"], spec["template"]["metadata"]["labels"]
        check_restricted(pod, where)
        want(pod["automountServiceAccountToken"] is False, f"{where}: holds a token of the cluster")
        context = pod["securityContext"]
        want(f"{context['runAsUser']}:{context['runAsGroup']}" == user, f"{where}: the user is not {user}")
        want(context["fsGroup"] == context["runAsGroup"], f"{where}: secrets are not readable for the group")
        (container,) = pod["containers"]
        want("memory" in container["resources"]["limits"], f"{where}: memory has no limit")
        want(is_fixed(container["image"]), f"{where}: {container['image']} is not one version")
        volumes = {volume["name"] for volume in pod["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        want(set(mounts.values()) == volumes, f"{where}: mounts {mounts} of {volumes}")
        for kind in ("PodDisruptionBudget", "NetworkPolicy", "Service"):
            selector = objects[kind, own]["spec"].get("selector") or objects[kind, own]["spec"]["podSelector"]
            selector = selector.get("matchLabels", selector)
            want(selector.items() <= labels.items(), f"{where}: {kind} selects no pod")
        ports = {entry["name"]: entry["containerPort"] for entry in container["ports"]}
        for entry in objects["Service", own]["spec"]["ports"]:
            want(entry["targetPort"] in ports, f"{where}: the service leads to {entry['targetPort']}")
        for rule in objects["NetworkPolicy", own]["spec"]["ingress"]:
            for entry in rule["ports"]:
                want(entry["port"] in ports, f"{where}: the network policy names no port: {entry['port']}")
                want(entry["port"] == "webhook" or "from" in rule, f"{where}: anyone may reach {entry['port']}")
        if own == "nats":
            budget = objects["PodDisruptionBudget", own]["spec"]
            want(budget["minAvailable"] == 2, f"{where}: two may be drained at once")
            want(ports == {"client": 4222, "cluster": 6222, "monitor": 8222}, f"{where}: the ports are {ports}")
            want(re.search(r"store_dir: (\S+)", nats)[1] in mounts, f"{where}: events are on no volume")
        else:
            want(container["image"] == f"davinci-siem:{version}", f"{where}: not the image of version {version}")
            want(labels["app.kubernetes.io/version"] == version, f"{where}: the label is not {version}")
            want(ports["webhook"] == port(config["listen"]["address"]), f"{where}: webhook is not listen.address")
            want(ports["admin"] == port(config["admin"]["address"]), f"{where}: admin is not admin.address")
            for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
                want(container[probe]["httpGet"] == {"path": path, "port": "admin"}, f"{where}: {probe} is not {path}")
            want(pod["terminationGracePeriodSeconds"] > grace(config), f"{where}: the grace period is too short")
            for path in [*files(config), config["spool"]["directory"]]:
                want(below(path, mounts), f"{where}: {path} is on no volume")


def settings(unit):
    """Keys of a unit, each with the list of its values."""
    found = {}
    for line in unit.splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def check_systemd():
    name = "deploy/systemd/davinci-siem.service"
    text = (ROOT / name).read_text()
    unit = settings(text)
    (installed, _, config_option, config_path) = unit["ExecStart"][0].split()
    want(config_option == "-c", f"{name}: no configuration")
    with tempfile.TemporaryDirectory() as directory:
        # `systemd-analyze verify` requires the program to exist.
        here = pathlib.Path(directory, "davinci-siem.service")
        here.write_text(text.replace(f"ExecStart={installed} ", f"ExecStart={PROGRAM} "))
        verified = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True)
        want(verified.returncode == 0 and not verified.stderr, f"{name}: {verified.stderr.strip()}")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", ROOT / name],
        capture_output=True, text=True,
    )
    overall = (judged.stdout or judged.stderr).strip().splitlines()[-1]
    want(judged.returncode == 0, f"{name}: exposed too much: {overall}")
    print(overall)

    config_text = (SYSTEMD / "davinci-siem.toml").read_text()
    program_takes("deploy/systemd/davinci-siem.toml", config_text)
    config = tomllib.loads(config_text)
    handed = {value.split(":")[0] for value in unit["LoadCredential"]}
    named = {path.removeprefix("/run/credentials/davinci-siem.service/") for path in files(config)}
    want(handed == named, f"{name}: hands over {handed}, and the configuration names {named}")
    state = f"/var/lib/{unit['StateDirectory'][0]}"
    want(below(config["spool"]["directory"], [state]), f"{name}: the spool is not in {state}")
    want(config_path == f"/etc/{unit['ConfigurationDirectory'][0]}/davinci-siem.toml", f"{name}: {config_path}")
    want(seconds(unit["TimeoutStopSec"][0]) > grace(config), f"{name}: TimeoutStopSec is too short")
    connections = config.get("limits", {}).get("connections", 1024)
    want(int(unit["LimitNOFILE"][0]) >= connections + 320, f"{name}: LimitNOFILE is too low")
    want(unit["RestartPreventExitStatus"] == ["64"], f"{name}: a wrong configuration is tried for ever")
    users = (SYSTEMD / "davinci-siem.sysusers.conf").read_text()
    want(f"\nu {unit['User'][0]} " in users and unit["User"] == unit["Group"], f"{name}: nobody makes its user")


def arguments(given, known, name):
    given = {key for key in given if not key.startswith("__")}
    for key in given - known.keys():
        problems.append(f"{name}: the provider knows no {key}")
    for key in {key for key, required in known.items() if required} - given:
        problems.append(f"{name}: {key} is missing")


def plain(text):
    """A string of HCL without its quotes, which only some versions of the parser remove."""
    return text.strip('"')


def check_terraform():
    name = "deploy/terraform/main.tf"
    parsed = {}
    for path in sorted(TERRAFORM.glob("*.tf")):
        try:
            for kind, blocks in hcl2.loads(path.read_text()).items():
                parsed.setdefault(kind, []).extend(blocks)
        except Exception as error:  # the parser's own errors have no common ancestor
            problems.append(f"{path.relative_to(ROOT)}: {error}")
            return
    resources = [(plain(kind), body) for block in parsed["resource"] for kind, body in block.items()]
    want([kind for kind, _ in resources] == ["pingone_webhook"], f"{name}: other resources than the webhook")
    (webhook,) = resources[0][1].values()
    before = len(problems)
    arguments(webhook, WEBHOOK, name)
    if len(problems) > before:
        return
    arguments(webhook["filter_options"], FILTER_OPTIONS, f"{name}, filter_options")
    want(plain(webhook["format"]) == "ACTIVITY", f"{name}: the format is not ACTIVITY")
    want(webhook["verify_tls_certificates"] is True, f"{name}: any certificate would do")

    variables = {plain(variable): body for block in parsed["variable"] for variable, body in block.items()}
    used = set(re.findall(r"\bvar\.(\w+)", (ROOT / name).read_text()))
    want(used == variables.keys(), f"{name}: {used ^ variables.keys()} used and not declared, or the other way round")
    secret = {variable for variable, body in variables.items() if body.get("sensitive") is True}
    want(secret == {"password"}, f"{name}: sensitive are {secret}")
    want("default" not in variables["password"], f"{name}: a password is committed")
    for kind in ("provider", "locals"):
        want("secret" not in json.dumps(parsed[kind]), f"{name}: a secret in {kind}")

    documented = json.loads((ROOT / "fixtures/documented_batch.json").read_text())
    lists = parsed["locals"][0]
    listed = {plain(kind) for key in ("interactions", "node_interactions") for kind in lists[key]}
    want(listed == {event["action"]["type"] for event in documented}, f"{name}: other interactions than documented")


def check_bicep():
    """The template for Sentinel parses, declares nothing that it does not use, and its page explains each parameter."""
    name = "deploy/sentinel/main.bicep"
    text = (ROOT / name).read_text()
    try:
        parsed = pycep.BicepParser().parse(text=text)
    except Exception as error:  # of the parser, or of the grammar below it
        problems.append(f"{name}: {error}")
        return
    for declared in parsed["parameters"].keys() | parsed["variables"].keys():
        want(len(re.findall(rf"\b{declared}\b", text)) > 1, f"{name}: {declared} is not used")
    page = (ROOT / "deploy/sentinel/README.md").read_text()
    for parameter in parsed["parameters"]:
        want(f"| `{parameter}` |" in page, f"deploy/sentinel/README.md does not explain {parameter}")
    want({"endpoint", "rule_id"} <= parsed["outputs"].keys(), f"{name}: the outputs are not the sink's keys")


def main():
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    (user,) = re.findall(r"^USER (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    check_compose(version, user)
    check_kubernetes(version, user)
    check_jetstream_compose(version, user)
    check_jetstream_kubernetes(version, user)
    check_systemd()
    check_terraform()
    check_bicep()
    for problem in problems:
        print(f"deploy: {problem}", file=sys.stderr)
    if not problems:
        print("the manifests and their configurations are good")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
