"""A real controller, a simulated fleet that does not obey it, and a real Prometheus that watches."""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from derms.store.embedded import EmbeddedPostgres
from tests.processes import ROOT, Daemon, eventually, running_programs

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES: dict[str, Any] = yaml.safe_load((PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))
TOKEN = "a-token-that-reads-metrics-alone"
_FOR = re.compile(r"^( +for: )\w+$", re.MULTILINE)


def program(name: str) -> str:
    """The path of a program; the test is skipped where it is not."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} on this machine (Debian's package prometheus has it)")
    return found


@dataclass(frozen=True, slots=True)
class Watched:
    """What runs."""

    daemon: Daemon
    url: str
    """Of Prometheus."""

    def ask(self, path: str, **query: str) -> Any:
        """Prometheus' API; what it answers, or a failure."""
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]

    def alerts(self) -> dict[str, dict[str, Any]]:
        """The alerts that fire, by name."""
        found = self.ask("/api/v1/alerts")["alerts"]
        return {one["labels"]["alertname"]: one for one in found if one["state"] == "firing"}


@contextlib.contextmanager
def watched(directory: Path, server: EmbeddedPostgres) -> Iterator[Watched]:
    """Run all of it; ended at the end."""
    binary = program("prometheus")
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute('CREATE DATABASE "monitored"')
    try:
        with running_programs(directory / "programs") as programs:
            authority = directory / "ca.crt"
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-days", "2", "-keyout", "/dev/null", "-out", authority, "-subj", "/CN=authority"],
                check=True, capture_output=True, timeout=30,
            )  # fmt: skip
            daemon = programs.serve(
                embedded_broker_port=0,
                database_url=server.url.replace("/derms?", "/monitored?"),
                prometheus_token=TOKEN,
                feeder_import_limit_kw=1,
                mqtt_ca_file=authority,
            )
            broker = daemon.wait_logged("The controller runs")["broker"]
            programs.derms("sim", "run", "--mqtt-url", broker, "--devices", 12, "--interval", 0.5, "--free")
            with _prometheus(binary, directory, daemon.api.rpartition("/")[2]) as url:
                yield Watched(daemon, url)
    finally:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute('DROP DATABASE "monitored" WITH (FORCE)')


@contextlib.contextmanager
def _prometheus(binary: str, directory: Path, target: str) -> Iterator[str]:
    """With the shipped configuration, but other places, twice a second, and no patience."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    (directory / "token").write_text(TOKEN, encoding="utf-8")
    scrape = config["scrape_configs"][0]
    scrape["authorization"]["credentials_file"] = str(directory / "token")
    scrape["static_configs"][0]["targets"] = [target]
    rules = _FOR.sub(r"\g<1>1s", (PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))
    (directory / "rules.yml").write_text(rules, encoding="utf-8")
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [binary, f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log, cwd=directory,
        )  # fmt: skip
        try:
            eventually(lambda: _answers(process, url, directory / "log"), "Prometheus answers", 30.0)
            yield url
        finally:
            process.terminate()
            process.wait(15)


def _answers(process: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
