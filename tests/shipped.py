"""The shipped configuration of Mosquitto, as it is, on ports the system chooses."""

import asyncio
import contextlib
import random
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.certificates import Authority
from agent.credentials import PasswordFile
from derms.broker import find_mosquitto
from derms.mqtt import MqttLink, TlsFiles, parse_broker_url
from tests.processes import ROOT

JUDGE = "judge"
"""One more account, which the test adds to the rules: it may do everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedBroker:
    """A Mosquitto that runs with the files of `deploy/mosquitto`."""

    directory: Path
    """In the place of /etc/mosquitto."""
    local: int
    """The port for the broker's own machine."""
    devices: int
    """The port for devices with passwords."""
    certified: int
    """The port for devices with certificates."""
    passwords: dict[str, str]

    @property
    def ca_file(self) -> Path:
        return self.directory / "certs" / "server.crt"

    def link(self, user: str, *, client_id: str = "", **options: Any) -> MqttLink:
        """A connection of a user: devices over TLS, accounts on the machine itself."""
        device = user.startswith("pi-")
        where = f"localhost:{self.devices}" if device else f"127.0.0.1:{self.local}"
        options = {"rng": random.Random(user), "backoff_max_s": 0.5, **options}
        return MqttLink(
            parse_broker_url(f"{'mqtts' if device else 'mqtt'}://{user}:{self.passwords[user]}@{where}"),
            client_id=client_id or user,
            tls=TlsFiles(ca_file=self.ca_file),
            **options,
        )

    def certified_link(self, name: str, *, client_id: str = "", **options: Any) -> MqttLink:
        """A connection of a device that has a certificate, and no password."""
        made = Authority(self.directory / "authority").sign(name, self.directory / "devices", replace=True)
        return MqttLink(
            parse_broker_url(f"mqtts://localhost:{self.certified}"),
            client_id=client_id or name,
            rng=random.Random(name),
            tls=TlsFiles(ca_file=self.ca_file, cert_file=made.cert_file, key_file=made.key_file),
            **options,
        )


@contextlib.asynccontextmanager
async def shipped_broker(
    directory: Path, users: tuple[str, ...], *, rules: str | None = None
) -> AsyncIterator[ShippedBroker]:
    """Run one; every user has a password.

    Args:
        directory: For its files.
        users: Who is enrolled.
        rules: Other access rules than the shipped ones.
    """
    binary = find_mosquitto()
    assert binary is not None
    etc = directory / "etc"
    passwords = _installed(etc, users, rules)
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(3):
            holder = held.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            ports.append(int(holder.getsockname()[1]))
        (etc / "mosquitto.conf").write_text(_adapted(etc, ports) + f"persistence_location {etc}/\nuser root\n")
        log = held.enter_context((etc / "log").open("wb"))
        child = await asyncio.create_subprocess_exec(binary, "-c", str(etc / "mosquitto.conf"), stderr=log)
        try:
            async with asyncio.timeout(10):
                for port in ports:
                    await _answers(port)
            yield ShippedBroker(
                directory=etc, local=ports[0], devices=ports[1], certified=ports[2], passwords=passwords
            )
        finally:
            child.terminate()
            await child.wait()


def _installed(etc: Path, users: tuple[str, ...], rules: str | None) -> dict[str, str]:
    """Make what an administrator makes; the users' passwords."""
    (etc / "certs").mkdir(parents=True)
    (etc / "ca_certificates").mkdir()
    Authority(etc / "authority")
    shutil.copy(etc / "authority" / "derms.crt", etc / "ca_certificates" / "derms.crt")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    subprocess.run(
        ["openssl", "req", "-x509", *new_key, "-keyout", "server.key", "-out", "server.crt", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        cwd=etc / "certs", check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    passwords = {name: PasswordFile(etc / "derms.passwords").enrol(name).password for name in (*users, JUDGE)}
    rules = rules or (ROOT / "deploy" / "mosquitto" / "derms.acl").read_text()
    (etc / "derms.acl").write_text(f"user {JUDGE}\ntopic readwrite #\n\n{rules}")
    return passwords


def _adapted(etc: Path, ports: list[int]) -> str:
    """Other ports, another /etc/mosquitto, and the listener for certificates with its # taken away; nothing else."""
    text = (ROOT / "deploy" / "mosquitto" / "derms.conf").read_text()
    head, mark, tail = text.partition("#listener 8884")
    assert mark
    text = head + "\n".join(line.removeprefix("#") for line in (mark + tail).splitlines()) + "\n"
    for shipped, port in zip(("1883", "8883", "8884"), ports, strict=True):
        assert f"listener {shipped}" in text
        text = text.replace(f"listener {shipped}", f"listener {port}")
    assert "/etc/mosquitto/" in text
    return text.replace("/etc/mosquitto/", f"{etc}/")


async def _answers(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.02)
