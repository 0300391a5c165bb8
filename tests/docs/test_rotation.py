"""Secrets and certificates are changed as docs/operations.md says, under a controller that runs, which goes on."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.credentials import PasswordFile
from derms.broker import find_mosquitto
from tests.docs.blocks import RUN, blocks, put
from tests.docs.terminals import Terminals
from tests.docs.test_operations_commands import OPERATIONS, ROTATING
from tests.processes import OPERATOR, PASSWORD, Daemon, Programs, eventually

pytestmark = [
    pytest.mark.skipif(find_mosquitto() is None, reason="there is no mosquitto on this machine"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl on this machine"),
]

BLOCKS: dict[str, list[str]] = {heading: [] for heading in ROTATING}
for _block in blocks(OPERATIONS):
    if _block.heading in ROTATING and _block.marker == RUN:
        BLOCKS[_block.heading].append(_block.text)
NEW_KEY, OLD_KEY_OUT = BLOCKS["The key of the tokens"]
(NEW_PASSWORD,) = BLOCKS["The controller's password at the broker"]
REQUEST, SIGN, IN_PLACE, LOOK = BLOCKS["Certificates"]


class Stage:
    """A broker with TLS and logins, and the directory of a controller that speaks to it."""

    def __init__(self, directory: Path, database_url: str, port: int) -> None:
        self.directory = directory
        self.secrets = directory / "secrets"
        self.broker_dir = directory / "broker"
        for place in (self.secrets, self.broker_dir):
            place.mkdir()
        for name in ("ca", "other-ca"):
            self.shell(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3 -subj /CN="
                + name
                + f" -keyout {name}.key -out {name}.crt 2>&1"
            )
        self.certify(self.broker_dir / "server", "ca")
        self.certify(self.secrets / "api", "ca")
        for name in ("jwt_secret", "prometheus_token"):
            self.shell(f"openssl rand -base64 48 > secrets/{name}")
        shutil.copy(directory / "ca.crt", self.secrets / "mqtt-ca.crt")
        self.passwords = PasswordFile(self.broker_dir / "passwords")
        (self.secrets / "mqtt_password").write_text(self.passwords.enrol("derms-controller").password)
        self.port = port
        self.settings: dict[str, object] = {
            "mqtt_url": f"mqtts://derms-controller@localhost:{port}", "mqtt_ca_file": self.secrets / "mqtt-ca.crt",
            "secrets_dir": self.secrets, "database_url": database_url, "api_tls_cert_file": self.secrets / "api.crt",
            "api_tls_key_file": self.secrets / "api.key", "state_dir": directory / "state",
        }  # fmt: skip

    def shell(self, script: str) -> str:
        names = {"/etc/derms/secrets": str(self.secrets), "/tmp/api.csr": str(self.directory / "api.csr"),
                 "install -g derms": "install", "chgrp derms": "chgrp root",
                 "--account --yes": f"--account --yes --password-file {self.broker_dir}/passwords",
                 "subjectAltName=DNS:derms.example": "subjectAltName=DNS:localhost,IP:127.0.0.1"}  # fmt: skip
        told = {f"DERMS_{name.upper()}": str(value) for name, value in getattr(self, "settings", {}).items()}
        number = len(list(self.directory.glob("sh-*")))
        ran = Terminals(self.directory / f"sh-{number}", told).run(put(script, names), cwd=self.directory)
        assert ran.code == 0, f"{script}\n{ran.out}\n{ran.err}"
        return ran.out

    def certify(self, place: Path, authority: str) -> None:
        """Make a key and a certificate as the page says, and put them where they are to be."""
        self.shell(REQUEST)
        self.shell(SIGN.replace("ca.crt", f"{authority}.crt").replace("ca.key", f"{authority}.key"))
        for kind in ("key", "crt"):
            (self.secrets / f"api.{kind}.new").replace(place.with_suffix(f".{kind}"))

    def fingerprint(self, port: int) -> str:
        """Of what is served on a port, whoever signed it."""
        pem = ssl.get_server_certificate(("127.0.0.1", port))
        return str(ssl.PEM_cert_to_DER_cert(pem).hex()[-40:])


@pytest.fixture
def stage(tmp_path: Path, postgres_url: str) -> Iterator[tuple[Stage, subprocess.Popen[bytes]]]:
    with socket.socket() as holder:
        # held, so that the port stays ours; Mosquitto sets this option too
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        there = Stage(tmp_path, postgres_url, int(holder.getsockname()[1]))
        config = there.broker_dir / "mosquitto.conf"
        config.write_text(
            f"user root\nlistener {there.port} 127.0.0.1\n"
            f"allow_anonymous false\npassword_file {there.broker_dir}/passwords\n"
            f"certfile {there.broker_dir}/server.crt\nkeyfile {there.broker_dir}/server.key\n"
        )
        with (tmp_path / "broker.log").open("wb") as log:
            broker = subprocess.Popen([find_mosquitto() or "mosquitto", "-c", str(config)], stderr=log)
        try:
            yield there, broker
        finally:
            broker.terminate()
            broker.wait(10)


def asked(daemon: Daemon, stage: Stage, path: str, token: str, body: object = None) -> tuple[int, str]:
    """Status and answer, by TLS, as somebody who trusts the authority."""
    trust = ssl.create_default_context(cafile=str(stage.directory / "ca.crt"))
    request = urllib.request.Request(
        daemon.api + path, data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def login(daemon: Daemon, stage: Stage) -> str:
    status, text = asked(daemon, stage, "/api/auth/login", "", {"username": OPERATOR, "password": PASSWORD})
    assert status == 200, text
    return str(json.loads(text)["token"])


def leads(daemon: Daemon, stage: Stage, token: str) -> None:
    """Wait until it is ready: it has met the broker, and commands."""
    eventually(lambda: asked(daemon, stage, "/api/ready", token)[0] == 200, "it is ready")


def connections(daemon: Daemon, stage: Stage) -> str:
    """How often the broker was met, as Prometheus is told."""
    status, text = asked(daemon, stage, "/metrics", (stage.secrets / "prometheus_token").read_text().strip())
    assert status == 200
    return next(line for line in text.splitlines() if line.startswith("derms_mqtt_connections_total "))


def test_every_secret_and_certificate_is_changed_and_the_controller_goes_on(
    stage: tuple[Stage, subprocess.Popen[bytes]], programs: Programs
) -> None:
    there, broker = stage
    daemon = programs.serve(**there.settings)
    first = login(daemon, there)
    leads(daemon, there, first)
    scrape = (there.secrets / "prometheus_token").read_text().strip()
    api_port = int(daemon.api.rpartition(":")[2])
    served = (there.fingerprint(api_port), there.fingerprint(there.port))

    # The broker's certificate alone, while everybody is connected: nobody is hung up on.
    there.certify(there.broker_dir / "server", "ca")
    before = connections(daemon, there)
    broker.send_signal(signal.SIGHUP)
    eventually(lambda: there.fingerprint(there.port) != served[1], "the broker shows the new one")
    assert connections(daemon, there) == before
    assert asked(daemon, there, "/api/ready", first)[0] == 200

    # All that a restart takes in: a key on top, a certificate of the API, two authorities, the other secrets.
    there.shell(NEW_KEY)
    there.shell(REQUEST)
    there.shell(SIGN)
    there.shell(IN_PLACE)
    there.shell("cat other-ca.crt >> secrets/mqtt-ca.crt; openssl rand -hex 32 > secrets/prometheus_token")
    there.shell(NEW_PASSWORD)
    broker.send_signal(signal.SIGHUP)
    assert daemon.terminate() == 0
    daemon = programs.serve(**there.settings)
    leads(daemon, there, first)
    assert asked(daemon, there, "/api/devices", first)[0] == 200, "a token of the old key is good"
    second = login(daemon, there)
    api_port = int(daemon.api.rpartition(":")[2])
    assert there.fingerprint(api_port) != served[0]
    assert "subject=CN = derms.example" in there.shell(LOOK.replace("derms.example:8080", f"127.0.0.1:{api_port}"))
    assert asked(daemon, there, "/metrics", scrape)[0] == 401, "the old token of the scrape is good no more"

    # The broker goes over to the other authority; then the old one, and the old key, are taken out.
    there.certify(there.broker_dir / "server", "other-ca")
    broker.send_signal(signal.SIGHUP)
    shutil.copy(there.directory / "other-ca.crt", there.secrets / "mqtt-ca.crt")
    there.shell(OLD_KEY_OUT)
    assert len((there.secrets / "jwt_secret").read_text().splitlines()) == 1
    assert daemon.terminate() == 0
    daemon = programs.serve(**there.settings)
    leads(daemon, there, second)
    assert asked(daemon, there, "/api/devices", first)[0] == 401
    assert asked(daemon, there, "/api/devices", second)[0] == 200
    assert oct(os.stat(there.secrets / "jwt_secret").st_mode & 0o777) == "0o640"


def test_a_certificate_and_a_key_that_do_not_fit_are_refused_before_a_start(
    stage: tuple[Stage, subprocess.Popen[bytes]], programs: Programs
) -> None:
    there, _ = stage
    there.shell(REQUEST)
    (there.secrets / "api.key.new").replace(there.secrets / "api.key")
    checked = programs.derms("config", "check", **there.settings)
    assert checked.wait() == 2
    assert "key values mismatch" in checked.stderr.replace("_", " ").lower()
