"""`derms doctor` and `--chart` against a real `serve`."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.home import Home
from tests.processes import OPERATOR, PASSWORD, Programs, eventually
from tests.stage import DEVICES, Stack


@pytest.fixture
def logged_in(home: Home, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A user who has logged in, while all devices speak."""
    import io

    monkeypatch.setenv("DERMS_URL", stack.daemon.api)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    assert home.derms("login", OPERATOR, "--password-stdin").code == 0
    eventually(lambda: len(stack.daemon.ask("/api/devices")["devices"]) >= DEVICES, "all devices")
    return home


def states(home: Home, *words: str) -> tuple[int, dict[str, str], dict[str, str]]:
    """The exit code, and by name of the check its state and what it says."""
    told = home.derms("doctor", "-o", "json", *words)
    checks = json.loads(told.out)["checks"]
    return (
        told.code,
        {one["name"]: one["state"] for one in checks},
        {one["name"]: f"{one['detail']} -> {one['next_step']}" for one in checks},
    )


def test_u34_where_all_is_well_nothing_fails(logged_in: Home, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMS_MQTT_URL", stack.broker_url)
    code, found, said = states(logged_in)
    assert code == 0, said
    assert set(found.values()) == {"OK"}, said
    assert {"configuration", "context", "api", "tls", "clock", "version", "mqtt", "store", "loop", "login", "broker",
            "terminal", "disk"} <= set(found)  # fmt: skip
    assert f"{OPERATOR}, operator" in said["login"]
    assert stack.daemon.running
    assert stack.daemon.ask("/api/health")["parts"]["mqtt"]["state"] == "ok", "the doctor threw the controller out"


def test_u34_it_needs_no_login(home: Home, stack: Stack) -> None:
    code, found, said = states(home, "--url", stack.daemon.api)
    assert (code, found["login"]) == (0, "WARN")
    assert "run `derms login`" in said["login"]


def test_u34_a_token_that_is_refused_fails(home: Home, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMS_TOKEN", "a.b.c")
    code, found, said = states(home, "--url", stack.daemon.api)
    assert (code, found["login"]) == (1, "FAIL")
    assert "run `derms login`" in said["login"]


def test_u34_another_program_on_that_port_is_no_controller(home: Home, stack: Stack) -> None:
    port = stack.broker_url.rpartition(":")[2].rstrip("/")
    code, found, _ = states(home, "--url", f"http://127.0.0.1:{port}", "--timeout", "1")
    assert (code, found["api"]) == (6, "FAIL")


@contextmanager
def served_with_tls(programs: Programs, broker_url: str, database_url: str, where: Path) -> Iterator[str]:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "7",
         "-keyout", where / "key.pem", "-out", where / "cert.pem", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    daemon = programs.serve(
        mqtt_url=broker_url,
        database_url=database_url,
        api_tls_cert_file=where / "cert.pem",
        api_tls_key_file=where / "key.pem",
        topic_prefix="other",
    )
    yield daemon.api.replace("http://", "https://")
    assert daemon.terminate() == 0


def test_u34_a_certificate_that_is_not_trusted_is_told_of_and_one_that_ends_soon(
    home: Home, stack: Stack, programs: Programs, postgres_url: str, tmp_path: Path
) -> None:
    with served_with_tls(programs, stack.broker_url, postgres_url, tmp_path) as url:
        code, found, said = states(home, "--url", url)
        assert (code, found["tls"]) == (6, "FAIL")
        assert "--ca-file" in said["tls"]
        assert home.derms("context", "set", "plant", "--url", url, "--ca-file", str(tmp_path / "cert.pem")).code == 0
        eventually(lambda: states(home, "--context", "plant")[0] == 0, "a controller all of whose parts are up")
        _, found, said = states(home, "--context", "plant")
        assert (found["api"], found["tls"]) == ("OK", "WARN"), said
        assert re.search(r"ends in [67] days", said["tls"])


def test_a_feeder_is_drawn_with_its_limit(logged_in: Home, stack: Stack) -> None:
    def drawn() -> str:
        return logged_in.derms("feeder", "history", "feeder-1", "--since", "2m", "--bucket", "1s", "--chart").out

    eventually(lambda: "⠤" in drawn() or "⠒" in drawn() or "⠉" in drawn() or "⣀" in drawn(), "ticks that were stored")
    rows = drawn().splitlines()
    assert len(rows) == 20
    assert max(len(row) for row in rows) <= 80
    assert "limit" in rows[0]
    assert "load" in rows[0]
    top = max(int(found[1]) for row in rows if (found := re.match(r" *(\d+) ┤", row)))
    assert top >= stack.limit_kw
    ascii_only = logged_in.derms("feeder", "history", "feeder-1", "--since", "2m", "--chart", "--ascii")
    assert ascii_only.out.isascii()
    assert ascii_only.code == 0


def test_a_device_is_drawn_too(logged_in: Home, stack: Stack) -> None:
    device = next(one for one in stack.daemon.ask("/api/devices")["devices"] if one["type"] == "battery")
    words = ("device", "telemetry", device["device_id"], "--since", "1m", "--chart")
    eventually(lambda: "actual" in logged_in.derms(*words).out, "samples that were stored")
    rows = logged_in.derms(*words).out.splitlines()
    assert len(rows) == 20
    assert any(row.lstrip().startswith("%") and "SOC" in row for row in rows)
    assert logged_in.derms(*words, "-o", "csv").code == 2
    assert logged_in.derms("device", "telemetry", "nobody", "--chart").code == 3


def test_nothing_recorded_is_nothing_drawn(logged_in: Home) -> None:
    told = logged_in.derms(
        "feeder", "history", "feeder-1", "--since", "2020-01-01T00:00Z", "--until", "2020-01-01T01:00Z", "--chart"
    )
    assert (told.code, told.out) == (0, "")
    assert "nothing was recorded then" in told.err
