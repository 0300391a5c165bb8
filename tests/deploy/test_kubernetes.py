"""The Kubernetes objects: valid, alike in whoever composes them, and keeping what the controllers rest on."""

import importlib.util
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import kubernetes_validate
import pytest
import yaml

from derms.api.schemas.health import HealthOut
from derms.settings import Settings
from derms.settings_load import load_settings
from tests.deploy.kustomize import Thing, built, compose, containers_of, pod_specs, without_hashes
from tests.processes import ROOT, eventually

KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = {name: compose(KUBERNETES / "overlays" / name) for name in ("staging", "production")}
VERSION = "1.33"
_CUSTOM = {"ServiceMonitor", "PrometheusRule"}

each_overlay = pytest.mark.parametrize("name", sorted(OVERLAYS))


def one(things: list[Thing], kind: str, name: str = "derms") -> Thing:
    (found,) = (thing for thing in things if thing["kind"] == kind and thing["metadata"]["name"] == name)
    return found


@each_overlay
def test_every_object_fits_the_schema_of_its_kind(name: str) -> None:
    for thing in OVERLAYS[name]:
        if thing["kind"] not in _CUSTOM:
            kubernetes_validate.validate(thing, VERSION, strict=True)


@each_overlay
def test_what_is_composed_here_is_what_kustomize_composes(name: str) -> None:
    real = built(KUBERNETES / "overlays" / name)
    if real is None:
        pytest.skip("there is neither kustomize nor kubectl on this machine")

    def by_name(things: list[Thing]) -> dict[tuple[str, str], Thing]:
        return {(thing["kind"], thing["metadata"]["name"]): thing for thing in things}

    assert by_name(without_hashes(real)) == by_name(OVERLAYS[name])


@each_overlay
def test_every_object_lies_in_the_overlays_own_namespace_which_lets_in_restricted_pods_alone(name: str) -> None:
    space = next(thing for thing in OVERLAYS[name] if thing["kind"] == "Namespace")
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    inside = {thing["metadata"].get("namespace") for thing in OVERLAYS[name] if thing["kind"] != "Namespace"}
    assert inside == {space["metadata"]["name"]}


@each_overlay
def test_every_pod_runs_as_nobody_in_particular_and_writes_to_its_volumes_alone(name: str) -> None:
    for spec in pod_specs(OVERLAYS[name]):
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        volumes = {volume["name"] for volume in spec["volumes"]}
        assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(spec)
        assert not any("hostPath" in volume for volume in spec["volumes"])
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert "memory" in container["resources"]["limits"]
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert re.search(r":\d+\.\d+\.\d+$", container["image"]), "pinned by its tag"
    assert {mount["name"] for container in containers_of(OVERLAYS[name]) for mount in container["volumeMounts"]} == {
        volume["name"] for spec in pod_specs(OVERLAYS[name]) for volume in spec["volumes"]
    }


@each_overlay
def test_no_secret_stands_in_an_object(name: str) -> None:
    assert not [thing for thing in OVERLAYS[name] if thing["kind"] == "Secret"]
    for container in containers_of(OVERLAYS[name]):
        for variable in container.get("env", []):
            assert not re.search(r"PASSWORD|SECRET|TOKEN|KEY", variable["name"]), variable
    for key in one(OVERLAYS[name], "ConfigMap", "derms-settings")["data"]:
        assert not re.search(r"PASSWORD|JWT|TOKEN|AUTH|DATABASE_URL", key), key


@each_overlay
def test_two_controllers_with_a_name_and_a_spool_each_stand_for_one_another(name: str) -> None:
    deployment = one(OVERLAYS[name], "Deployment")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    spec = deployment["template"]["spec"]
    serve = spec["containers"][0]
    named = {variable["name"]: variable for variable in serve["env"]}
    assert named["DERMS_CONTROLLER_ID"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    state = next(volume for volume in spec["volumes"] if volume["name"] == "state")
    assert "emptyDir" in state, "of the pod alone"
    budget = one(OVERLAYS[name], "PodDisruptionBudget")["spec"]
    assert budget["minAvailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= deployment["template"]["metadata"]["labels"].items()
    # The spool has room in its volume, with a tenth to spare.
    assert Settings.model_fields["spool_max_mb"].default * 1.1 < 1024
    assert state["emptyDir"]["sizeLimit"] == "1Gi"


@each_overlay
def test_the_probes_ask_addresses_that_answer(name: str) -> None:
    document = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    serve = one(OVERLAYS[name], "Deployment")["spec"]["template"]["spec"]["containers"][0]
    paths = {kind: serve[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {
        "startupProbe": "/api/health", "livenessProbe": "/api/health", "readinessProbe": "/api/ready",
    }  # fmt: skip
    assert all(path in document for path in paths.values())


@each_overlay
def test_services_and_policies_find_the_pods_that_they_are_for(name: str) -> None:
    things = OVERLAYS[name]
    labels = one(things, "Deployment")["spec"]["template"]["metadata"]["labels"]
    everyone = one(things, "Service")["spec"]
    commands = one(things, "Service", "derms-commands")["spec"]
    assert everyone["selector"].items() <= labels.items()
    assert commands["selector"] == {**everyone["selector"], "derms-role": "active"}
    # What is away is best seen at the one that commands, which is then not ready.
    assert commands["publishNotReadyAddresses"] is everyone["publishNotReadyAddresses"] is True
    policy = one(things, "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    broker = one(things, "ConfigMap", "derms-settings")["data"]["DERMS_MQTT_URL"]
    assert int(broker.rpartition(":")[2]) in ports


@each_overlay
def test_the_ingress_leads_to_the_one_that_commands_over_tls(name: str) -> None:
    ingress = one(OVERLAYS[name], "Ingress")
    assert ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"].startswith("letsencrypt")
    (rule,) = ingress["spec"]["rules"]
    assert ingress["spec"]["tls"] == [{"hosts": [rule["host"]], "secretName": "derms-tls"}]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": "derms-commands", "port": {"name": "http"}}


@each_overlay
def test_the_settings_are_ones_that_fit_together(name: str, tmp_path: Path) -> None:
    data = one(OVERLAYS[name], "ConfigMap", "derms-settings")["data"]
    given = {key.removeprefix("DERMS_").lower(): value for key, value in data.items()}
    assert given.keys() <= Settings.model_fields.keys()
    settings = load_settings(isolated=True, **{**given, "secrets_dir": tmp_path})
    assert settings.registration == "approve"
    assert (settings.feeder_mode == "advise") == (name == "staging"), "staging commands nothing"
    mounts = {mount["mountPath"] for mount in containers_of(OVERLAYS[name])[0]["volumeMounts"]}
    assert data["DERMS_SECRETS_DIR"] in mounts
    assert str(Path(data["DERMS_MQTT_CA_FILE"]).parent) == data["DERMS_SECRETS_DIR"]


@each_overlay
def test_prometheus_is_told_the_same_rules_and_where_the_token_is(name: str) -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text(encoding="utf-8"))
    assert one(OVERLAYS[name], "PrometheusRule")["spec"] == rules, "run scripts/kubernetes-rules"
    monitor = one(OVERLAYS[name], "ServiceMonitor")["spec"]
    service = one(OVERLAYS[name], "Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "derms", "the job that the rules ask for"
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["authorization"]["credentials"] == {"name": "derms", "key": "prometheus_token"}


@each_overlay
def test_the_nightly_backup_calls_a_command_that_is_there(name: str) -> None:
    job = one(OVERLAYS[name], "CronJob", "derms-backup")["spec"]
    assert job["concurrencyPolicy"] == "Forbid"
    script = job["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"][-1]
    assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
    words = script.split()[:4]
    assert words == ["derms", "db", "backup", "--yes"]
    asked = [sys.executable, "-m", *words[:3], "--help"]
    assert "--yes" in subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.fixture(scope="module")
def labeller() -> ModuleType:
    spec = importlib.util.spec_from_file_location("role_label", KUBERNETES / "base" / "role_label.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("role", "leaders", "label"),
    [
        ("active", ["me"], "active"),
        ("active", ["me", "other"], "active"),
        ("standby", ["other"], "standby"),
        # The database is away: it keeps, and answers what is read.
        ("standby", ["me"], None),
        ("standby", [None], None),
        ("standby", [], None),
    ],
)
def test_the_label_goes_with_the_lead_and_stays_when_nobody_has_it(
    role: str, leaders: list[str | None], label: str | None, labeller: ModuleType
) -> None:
    trees = {f"tree-{n}": {"role": role, "leader": leader, "epoch": 1} for n, leader in enumerate(leaders)}
    assert {"role", "trees"} <= set(HealthOut.__struct_fields__)
    assert labeller.wanted({"role": role, "trees": trees}, "me") == label


class Answers(BaseHTTPRequestHandler):
    """The health of a controller, and the API of a cluster that notes what it is told."""

    health: dict[str, Any]
    told: list[tuple[str, str, str, Any]]

    def do_GET(self) -> None:
        self._answer(json.dumps(self.health).encode())

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.told.append((self.path, self.headers["Authorization"], self.headers["Content-Type"], body))
        self._answer(b"{}")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def cluster() -> Iterator[tuple[str, type[Answers]]]:
    handler = type("Noted", (Answers,), {"health": {"role": "standby", "trees": {}}, "told": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_pod_of_the_one_that_commands_is_labelled_through_the_clusters_api(
    cluster: tuple[str, type[Answers]], tmp_path: Path
) -> None:
    url, noted = cluster
    (tmp_path / "token").write_text("the-token\n")
    environment = {"HEALTH_URL": f"{url}/api/health", "API_URL": url, "POD_NAME": "derms-1", "POD_NAMESPACE": "derms",
                   "ACCOUNT_DIR": str(tmp_path), "KUBERNETES_SERVICE_HOST": "10.0.0.1",
                   "KUBERNETES_SERVICE_PORT": "443"}  # fmt: skip
    process = subprocess.Popen([sys.executable, KUBERNETES / "base" / "role_label.py"], env=environment,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    def last(role: str) -> Callable[[], bool]:
        return lambda: bool(noted.told) and noted.told[-1][3] == {"metadata": {"labels": {"derms-role": role}}}

    try:
        noted.health = {"role": "active", "trees": {"feeder-1": {"leader": "derms-1"}}}
        eventually(last("active"), "it is labelled", 60.0)
        path, bearer, kind, _ = noted.told[-1]
        assert path == "/api/v1/namespaces/derms/pods/derms-1"
        assert (bearer, kind) == ("Bearer the-token", "application/merge-patch+json")
        noted.health = {"role": "standby", "trees": {"feeder-1": {"leader": "derms-2"}}}
        eventually(last("standby"), "the label goes with the lead", 60.0)
        assert process.stdout is not None
        out = b""
        while b"is standby now" not in out:  # it says so once it has the answer
            line = process.stdout.readline()
            assert line, "it ended"
            out += line
    finally:
        process.terminate()
        process.communicate(timeout=15)
    # What has not changed is not told again, unless an answer was late.
    said = [line for line in out.decode().splitlines() if "kept" not in line]
    assert said == ["derms-1 is active now", "derms-1 is standby now"]
    assert len(noted.told) == 2 or "cannot be kept" in out.decode()
