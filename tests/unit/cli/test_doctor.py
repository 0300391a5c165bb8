"""`derms doctor`: what it finds wrong, and what it says is to be done."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from derms import __version__
from derms.api.schemas.health import ControllerRole, HealthOut
from derms.cli.checkup import State, clock, disk, part, release
from derms.client.health import Seen
from tests.home import Home

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
HEALTH = HealthOut(status="ok", version="1", uptime_s=1.0, parts={}, role=ControllerRole.ACTIVE, trees={})


@pytest.mark.parametrize(
    ("said_s", "state", "words"),
    [
        (0.0, State.OK, "agree"),
        (-1.0, State.OK, "agree"),  # its clock is told to the second
        (1.9, State.OK, "agree"),
        (5.0, State.WARN, "5 s ahead"),
        (-6.0, State.WARN, "5 s behind"),
        (3600.0, State.FAIL, "3600 s ahead"),
        (-61.0, State.FAIL, "60 s behind"),
    ],
)
def test_a_clock_that_is_off_is_told_by_how_much(said_s: float, state: State, words: str) -> None:
    seen = Seen(health=HEALTH, said_at=NOON + timedelta(seconds=said_s))
    check = clock(seen, NOON, NOON)
    assert (check.state, words in check.detail) == (state, True), check
    assert bool(check.next_step) == (state is not State.OK)


def test_a_slow_answer_does_not_count_as_a_wrong_clock() -> None:
    seen = Seen(health=HEALTH, said_at=NOON + timedelta(seconds=4))
    assert clock(seen, NOON, NOON + timedelta(seconds=4.5)).state is State.OK


def test_a_server_that_does_not_tell_the_time_is_warned_of() -> None:
    assert clock(Seen(health=HEALTH, said_at=None), NOON, NOON).state is State.WARN


def test_another_release_is_warned_of() -> None:
    assert release(__version__).state is State.OK
    check = release("9.9.9")
    assert check.state is State.WARN
    assert "9.9.9" in check.detail
    assert __version__ in check.detail


@pytest.mark.parametrize(("state", "found"), [("ok", State.OK), ("starting", State.WARN), ("down", State.FAIL)])
def test_a_part_that_is_down_fails(state: str, found: State) -> None:
    check = part("mqtt", state, 12.0, "refused")
    assert check.state is found
    assert "refused" in check.detail


def test_the_disk_is_looked_at_where_the_directory_will_be(tmp_path: Path) -> None:
    check = disk(tmp_path / "not" / "yet")
    assert check.state is State.OK
    assert "GB free" in check.detail
    assert not (tmp_path / "not").exists()


def test_a_controller_that_does_not_answer_ends_with_6_and_says_what_to_do(home: Home, closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    told = home.derms("doctor", "--url", url, "--ascii")
    assert told.code == 6
    assert told.out.isascii()
    assert f"FAIL  api            {url} does not answer" in told.out
    assert "-> start the daemon with `derms serve`, or correct the URL" in told.out
    assert "OK    configuration" in told.out
    rows = json.loads(home.derms("doctor", "--url", url, "-o", "json").out)["checks"]
    assert {row["name"]: row["state"] for row in rows}["api"] == "FAIL"
    assert all(row["next_step"] for row in rows if row["state"] != "OK")


def test_wrong_settings_and_contexts_are_found_without_a_controller(
    home: Home, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMS_LEASE_S", "1")
    contexts = home.path / ".config/derms/contexts.toml"
    contexts.parent.mkdir(parents=True)
    contexts.write_text("current = 'x\n")
    told = home.derms("doctor")
    assert told.code == 1, "what is not known to be away is not away"
    assert "FAIL  configuration" in told.out
    assert "`derms config check`" in told.out
    assert "FAIL  context" in told.out
    assert "Traceback" not in told.out + told.err


def test_a_broker_that_does_not_answer_is_found(home: Home, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMS_MQTT_URL", f"mqtt://u:secret-word@127.0.0.1:{closed_port}")
    told = home.derms("doctor", "--url", f"http://127.0.0.1:{closed_port}", "--timeout", "0.5")
    assert "FAIL  broker" in told.out
    assert "secret-word" not in told.out + told.err
