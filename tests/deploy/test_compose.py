"""The compose stack: what every service must keep, and the same programs and files run without containers."""

import asyncio
import contextlib
import os
import random
import re
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.credentials import PasswordFile
from derms import __version__
from derms.broker import find_mosquitto
from derms.mqtt import MqttLink, TlsFiles, parse_broker_url
from derms.settings import Settings
from tests.deploy.dockerfile import read
from tests.processes import ROOT, Programs, eventually

STACK: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
MAKER = ROOT / "deploy" / "compose" / "make_secrets.py"
RULES = (ROOT / "deploy" / "mosquitto" / "derms.acl", ROOT / "deploy" / "compose" / "simulator.acl")
_VARIABLE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")
_SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|KEY|AUTH")


def plain(value: str) -> str:
    """A value as it is where no variable is set."""
    return _VARIABLE.sub(r"\2", value)


each_service = pytest.mark.parametrize("name", sorted(SERVICES))


@each_service
def test_a_service_runs_as_nobody_in_particular_and_can_do_nothing_but_its_work(name: str) -> None:
    service = SERVICES[name]
    user, _, group = plain(service["user"]).partition(":")
    assert int(user) > 0
    assert group.isdigit()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"privileged", "cap_add", "pid", "ipc", "devices", "env_file"}.isdisjoint(service)
    assert service["pids_limit"] <= 256
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert all(mount.split(":")[0] != "/var/run/docker.sock" for mount in service.get("volumes", []))


@each_service
def test_a_service_that_stays_says_how_it_does_and_is_started_again(name: str) -> None:
    service = SERVICES[name]
    if name == "secrets":
        assert service["restart"] == "no"
        return
    check = service["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)
    assert service["restart"] == "unless-stopped"


@each_service
def test_an_image_is_pinned_by_its_tag(name: str) -> None:
    image, _, tag = plain(SERVICES[name]["image"]).rpartition(":")
    assert image
    assert re.match(r"v?\d+[.\d]*", tag)
    if "build" in SERVICES[name]:
        assert tag == __version__
        assert SERVICES[name]["build"]["target"] in read(ROOT / "Dockerfile")[1]


@each_service
def test_no_secret_stands_in_the_file_nor_in_a_variable(name: str) -> None:
    for key, value in SERVICES[name].get("environment", {}).items():
        if _SECRET.search(key) and key != "GF_SECURITY_ADMIN_USER":
            assert key.endswith("_FILE") or key == "DERMS_SECRETS_DIR", key
            assert value.startswith("/run/secrets/"), key
        assert not re.search(r"://[^/]*@", str(value)), key


@each_service
def test_a_service_sees_its_own_secrets_alone_and_cannot_change_them(name: str) -> None:
    mounts = [mount.split(":") for mount in SERVICES[name]["volumes"]]
    secret = [mount for mount in mounts if mount[0].endswith("-secrets") or mount[0] == "authority"]
    if name == "secrets":
        assert {mount[1] for mount in mounts} == {mount[1] for mount in secret}
        return
    assert len(secret) == 1
    assert secret[0][2] == "ro"
    assert [mount[2] for mount in mounts if mount[0].startswith("./")] == ["ro"] * sum(
        mount[0].startswith("./") for mount in mounts
    )
    assert all((ROOT / mount[0]).exists() for mount in mounts if mount[0].startswith("./"))


def test_what_is_named_is_declared_and_what_is_declared_is_named() -> None:
    used = {mount.split(":")[0] for service in SERVICES.values() for mount in service["volumes"]}
    assert {name for name in used if not name.startswith("./")} == set(STACK["volumes"])
    assert {name for service in SERVICES.values() for name in service.get("networks", [])} == set(STACK["networks"])
    for service in SERVICES.values():
        for name, wanted in service.get("depends_on", {}).items():
            stays = wanted["condition"] == "service_healthy"
            assert stays == ("healthcheck" in SERVICES[name])


def test_one_command_starts_the_stack_and_profiles_add_to_it() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    always = {name for name, needed in profiles.items() if not needed}
    assert always == {"secrets", "database", "broker", "serve"}
    assert profiles["sim"] == ["sim"]
    assert profiles["prometheus"] == profiles["grafana"] == ["monitoring"]
    for name in SERVICES:
        assert set(SERVICES[name].get("depends_on", {})) <= always, "a profile must not need another one"


def test_the_database_cannot_be_reached_from_outside_and_nothing_is_published_unless_told() -> None:
    assert STACK["networks"]["data"] == {"internal": True}
    assert [name for name, service in SERVICES.items() if "data" in service.get("networks", [])] == [
        "database",
        "serve",
    ]
    assert SERVICES["database"]["networks"] == ["data"]
    for service in SERVICES.values():
        for port in service.get("ports", []):
            assert plain(port).startswith("127.0.0.1:"), port
    published = {plain(port).rpartition(":")[2] for port in SERVICES["broker"]["ports"]}
    assert published == {"8883"}, "devices come by TLS alone"


def test_every_setting_of_the_controller_is_one() -> None:
    for name in SERVICES["serve"]["environment"]:
        assert name.removeprefix("DERMS_").lower() in Settings.model_fields, name
    # A variable of the stack's own in a `.env` must not be taken for a setting of derms.
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    for name in {name for name, _ in _VARIABLE.findall(text)}:
        assert name.startswith("STACK_") or name.removeprefix("DERMS_").lower() in Settings.model_fields, name


def told(path: Path) -> dict[str, list[str]]:
    """A configuration of Mosquitto: what each line that has effect says, by its first word."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            found.setdefault(word, []).append(rest)
    return found


def test_the_broker_is_told_what_the_shipped_configuration_tells_it() -> None:
    shipped = told(ROOT / "deploy" / "mosquitto" / "derms.conf")
    stack = told(ROOT / "deploy" / "compose" / "mosquitto.conf")
    places = {"password_file", "acl_file", "certfile", "keyfile", "listener", "persistence_location", "log_dest"}
    assert {word: said for word, said in stack.items() if word not in places} == {
        word: said for word, said in shipped.items() if word not in places
    }
    assert shipped["listener"] == ["1883 127.0.0.1", "8883"]
    assert stack["listener"] == ["1883", "8883"]
    files = [stack[word][0] for word in ("password_file", "acl_file", "certfile", "keyfile")]
    assert {str(Path(file).parent) for file in files} == {"/run/secrets/broker"}


def make(place: Path) -> str:
    place.mkdir(exist_ok=True)
    made = subprocess.run(
        [sys.executable, MAKER, place, "localhost", *RULES],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return made.stdout


def test_secrets_are_made_once_and_no_two_are_alike(tmp_path: Path) -> None:
    assert make(tmp_path / "a") == "The secrets are made\n"
    files = {path.relative_to(tmp_path / "a"): path for path in (tmp_path / "a").rglob("*") if path.is_file()}
    before = {name: path.read_text() for name, path in files.items()}
    assert make(tmp_path / "a") == "The secrets are there\n"
    assert {name: path.read_text() for name, path in files.items()} == before
    make(tmp_path / "b")
    same = {str(name) for name, text in before.items() if (tmp_path / "b" / name).read_text() == text}
    assert same == {"authority/made", "broker/derms.acl"}
    for name in ("database/password", "controller/mqtt_password", "controller/prometheus_token", "grafana/password"):
        assert len(before[Path(name)]) >= 24
    assert stat.S_IMODE(files[Path("authority/ca.key")].stat().st_mode) == 0o400
    # Every volume of the stack is filled, and every file that the stack names is made.
    assert {str(name.parent) for name in files} == {
        mount.split(":")[1].removeprefix("/secrets/") for mount in SERVICES["secrets"]["volumes"]
    }
    text = (ROOT / "compose.yaml").read_text() + (ROOT / "deploy/compose/mosquitto.conf").read_text()
    text += (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    for named in re.findall(r"/run/secrets/(\w+/[\w.]+)", text):
        assert Path(named) in files, named
    controller = {str(name.name) for name in files if name.parent == Path("controller")}
    assert controller <= set(Settings.model_fields)


def test_a_start_that_was_cut_off_makes_all_of_them_anew(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "authority" / "made").unlink()
    (tmp_path / "database" / "password").unlink()
    assert make(tmp_path) == "The secrets are made\n"
    password = (tmp_path / "database" / "password").read_text()
    assert password in (tmp_path / "controller" / "database_url").read_text()


@contextlib.asynccontextmanager
async def broker_of_the_stack(place: Path, directory: Path) -> AsyncIterator[tuple[int, int]]:
    """Mosquitto with the stack's files; its ports: of the stack's own network, and of devices."""
    binary = find_mosquitto()
    if binary is None:
        pytest.skip("there is no mosquitto on this machine")
    text = (ROOT / "deploy" / "compose" / "mosquitto.conf").read_text(encoding="utf-8")
    with contextlib.ExitStack() as held:
        ports = []
        for shipped in ("1883", "8883"):
            holder = held.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            ports.append(int(holder.getsockname()[1]))
            text = text.replace(f"listener {shipped}", f"listener {ports[-1]} 127.0.0.1")
        text = text.replace("/run/secrets/", f"{place}/").replace("/mosquitto/data/", f"{directory}/")
        (directory / "mosquitto.conf").write_text(f"{text}\nuser root\n")
        log = held.enter_context((directory / "log").open("wb"))
        child = await asyncio.create_subprocess_exec(binary, "-c", str(directory / "mosquitto.conf"), stderr=log)
        try:
            async with asyncio.timeout(20):
                while b"running" not in (directory / "log").read_bytes():  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.05)
            yield ports[0], ports[1]
        finally:
            child.terminate()
            await child.wait()


async def test_the_stack_works_with_the_secrets_that_it_makes(
    programs: Programs, tmp_path: Path, postgres_url: str
) -> None:
    place, kept = tmp_path / "secrets", tmp_path / "broker"
    kept.mkdir()
    await asyncio.to_thread(make, place)
    # A device outside, enrolled as docs/install.md says.
    device = PasswordFile(place / "broker" / "derms.passwords").enrol("pi-1")
    async with broker_of_the_stack(place, kept) as (inside, outside):
        settings = {name.removeprefix("DERMS_").lower(): plain(value)
                    for name, value in SERVICES["serve"]["environment"].items()}  # fmt: skip
        settings |= {"secrets_dir": str(place / "controller"), "mqtt_url": f"mqtt://127.0.0.1:{inside}"}
        # Its database is at another place; whatever else it is told stays.
        daemon = programs.serve(**settings, database_url=postgres_url)
        url = place / "simulator" / "mqtt_url"
        url.chmod(0o644)
        url.write_text(url.read_text().replace("broker:1883", f"127.0.0.1:{inside}"))
        command = [plain(word).replace("/run/secrets", str(place)) for word in SERVICES["sim"]["command"]]
        command[-1] = "12"
        programs.derms(*command, "--interval", "0.5")
        await asyncio.to_thread(
            eventually, lambda: daemon.metric("derms_setpoints_sent_total") > 0, "the simulator is led", 60.0
        )
        assert daemon.health()["mqtt"] == "ok"

        link = MqttLink(
            parse_broker_url(f"mqtts://pi-1:{device.password}@localhost:{outside}"),
            client_id="pi-1",
            rng=random.Random(1),
            tls=TlsFiles(ca_file=place / "authority" / "ca.crt"),
        )
        async with link:
            await link.wait_connected(20)
