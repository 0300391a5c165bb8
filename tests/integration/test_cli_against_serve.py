"""The commands that ask a controller, as a person or a script uses them, against a real `serve`."""

import csv
import io
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import OPERATOR, PASSWORD, eventually
from tests.shell import Ran, Shell
from tests.stage import DEVICES, Stack


@pytest.fixture(scope="module")
def shell(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A user who has logged in, while all devices speak."""
    shell = Shell(tmp_path_factory.mktemp("home"), stack.daemon.api)
    said = shell.derms("login", OPERATOR, "--password-stdin", typed=f"{PASSWORD}\n")
    assert said.code == 0, said.err
    assert said.out == ""
    eventually(lambda: len(stack.daemon.ask("/api/devices")["devices"]) >= DEVICES, "all devices")
    return shell


def test_a_login_leaves_one_file_that_only_its_owner_may_read(shell: Shell) -> None:
    assert stat.S_IMODE(shell.token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(shell.token_file.parent.stat().st_mode) == 0o700
    assert {one.name for one in shell.home.iterdir()} <= {".local", ".config", ".cache"}
    kept = json.loads(shell.token_file.read_text())
    told = shell.derms("whoami")
    assert told.out.startswith(f"{OPERATOR} (operator) at {shell.url}")
    for secret in (kept["token"], kept["refresh_token"], PASSWORD):
        assert secret not in told.out + told.err


def test_every_format_has_the_same_devices(shell: Shell) -> None:
    names = shell.derms("device", "list", "-o", "name").out.split()
    assert len(names) == DEVICES
    told = shell.derms("device", "list", "-o", "json")
    assert [one["device_id"] for one in json.loads(told.out)["devices"]] == names
    assert told.err == ""
    assert shell.derms("device", "list", "--json").out.count('"device_id"') == DEVICES
    rows = list(csv.DictReader(io.StringIO(shell.derms("device", "list", "-o", "csv").out)))
    assert [row["device_id"] for row in rows] == names
    assert all(float(row["p_actual_kw"]) is not None for row in rows)
    yaml = shell.derms("device", "list", "-o", "yaml").out.splitlines()
    assert [line.split()[-1] for line in yaml if line.startswith("  - device_id:")] == names
    table = shell.derms("device", "list").out
    assert [line.split()[0] for line in table.splitlines()[1:]] == names
    assert "\x1b" not in table


def test_an_event_is_created_followed_explained_and_cancelled(shell: Shell, stack: Stack) -> None:
    load_kw = eventually(lambda: stack.daemon.ask("/api/feeder/summary")["feeders"][0]["load_kw"] > 1.0 and
                         stack.daemon.ask("/api/feeder/summary")["feeders"][0]["load_kw"], "a load")  # fmt: skip
    limit = ("--limit", f"{load_kw + 100.0:.0f}", "--for", "10m")
    foreseen = shell.derms("dr", "create", *limit, "--dry-run")
    assert foreseen.code == 0, foreseen.err
    assert "about" in foreseen.out
    assert shell.derms("dr", "list").err == "no event is like that\n"
    made = shell.derms("dr", "create", *limit, "--reason", "a try", "--wait", "--within", "20s")
    assert made.code == 0, made.err
    event_id = made.out.strip()
    assert event_id.startswith("dr-")
    assert "kW, " in made.err
    assert "held after" in made.err
    [event] = json.loads(shell.derms("dr", "list", "-o", "json").out)["events"]
    assert (event["event_id"], event["reason"], event["state"]) == (event_id, "a try", "active")
    told = shell.derms("why", "meter-feeder-1")
    assert told.code == 0, told.err
    changed = shell.derms("dr", "amend", event_id, "--shed", "5", "--reason", "harder")
    assert changed.code == 5, changed.err  # a shed is taken before the start only
    assert shell.derms("dr", "amend", event_id, "--reason", "harder").code == 0
    refused = shell.derms("dr", "cancel", event_id)
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert shell.derms("dr", "cancel", event_id, "--yes").code == 0
    shown = shell.derms("dr", "show", event_id, "-o", "json")
    assert json.loads(shown.out)["state"] == "cancelled"
    assert shell.derms("dr", "outcome", event_id).out.startswith(f"{event_id} (cancelled)")


def test_what_cannot_be_held_ends_with_7_and_the_same_key_makes_one_event(shell: Shell) -> None:
    # No feeder can both import and export nothing but by chance, and the households go on.
    words = (
        "dr",
        "create",
        "--limit",
        "0",
        "--export-limit",
        "0",
        "--for",
        "5m",
        "--key",
        "one-of-a-kind",
        "-o",
        "name",
    )
    first, second = shell.derms(*words, "--wait", "--within", "1s"), shell.derms(*words)
    assert first.code == 7, first.err
    assert "not held within 1 s" in first.err
    assert second.code == 0, second.err
    assert first.out == second.out
    assert shell.derms("dr", "cancel", first.out.strip(), "--yes").code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("device show nobody", 3, "`derms device list`"),
        ("dr create --limit 3 --for 1m --feeder nowhere", 3, "nowhere"),
        ("audit", 4, "admin"),
        ("dr create --limit -3 --for 1m", 2, "'-3'"),
        ("dr create --limit nan --for 1m", 2, "'nan'"),
        ("dr create --limit 3", 2, "--for"),
        ("dr create --for 1m", 2, "--shed"),
        ("dr create --limit 3 --start 2020-01-01T00:00:00Z --for 1m", 2, "that is past"),
        ("dr create --limit 3 --start +2h --end +0.5h --for 1m", 2, "both"),
        ("--frobnicate", 2, "no such option"),
        ("devcie list", 2, "device"),
        ("device list --context elsewhere", 3, "elsewhere"),
    ],
)
def test_what_is_wrong_has_its_reason_and_its_code(shell: Shell, words: str, code: int, said: str) -> None:
    ran = shell.derms(*words.split())
    assert ran.code == code, ran.err
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""


def test_a_wrong_password_is_4_and_a_server_that_is_down_is_6(shell: Shell, tmp_path: Path, closed_port: int) -> None:
    stranger = Shell(tmp_path, shell.url)
    wrong = stranger.derms("login", OPERATOR, "--password-stdin", typed="a guess of mine\n")
    assert wrong.code == 4
    assert "a guess" not in wrong.err
    assert not stranger.token_file.exists()
    unknown = stranger.derms("device", "list")
    assert (unknown.code, "`derms login`" in unknown.err) == (4, True)
    asked = stranger.derms("login", OPERATOR)
    assert (asked.code, "--password-stdin" in asked.err) == (2, True)
    down = Shell(tmp_path, f"http://127.0.0.1:{closed_port}").derms("status")
    assert down.code == 6
    assert f"127.0.0.1:{closed_port}" in down.err
    assert [line.split(":")[0].strip() for line in down.err.splitlines()] == ["derms", "why", "next"]


def test_debug_shows_the_traceback_and_the_request(shell: Shell) -> None:
    ran = shell.derms("device", "show", "nobody", "--debug")
    assert ran.code == 3
    assert "Traceback" in ran.err
    assert "\nrequest " in ran.err
    assert ran.err.splitlines()[-3] == "derms: there is no device 'nobody' [not-found]"


def _spoiled(shell: Shell) -> str:
    kept = json.loads(shell.token_file.read_text())
    shell.token_file.write_text(json.dumps(kept | {"token": kept["token"][:-8] + "AAAAAAAA"}))
    return str(kept["refresh_token"])


def test_commands_that_meet_a_token_that_is_over_renew_it_one_after_the_other(shell: Shell) -> None:
    before = _spoiled(shell)
    together = [shell.start("whoami") for _ in range(3)]
    ended = [one.communicate(timeout=60.0) for one in together]
    # A refresh token that is sent twice would have ended the login for all of them.
    assert [one.returncode for one in together] == [0, 0, 0], ended
    assert json.loads(shell.token_file.read_text())["refresh_token"] != before
    assert shell.derms("whoami").code == 0
    assert stat.S_IMODE(shell.token_file.stat().st_mode) == 0o600


def test_a_reader_who_has_had_enough_is_no_error(shell: Shell) -> None:
    process = shell.start("device", "list", "-o", "json")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdin is not None
    process.stdout.close()
    process.stdin.close()
    assert process.wait(30.0) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_the_clients_own_variables_are_no_wrong_settings(shell: Shell) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "derms", "token", "--state-dir", str(shell.home / "of-another-daemon")],
        env=shell.environment
        | {"DERMS_URL": shell.url, "DERMS_TOKEN": "x", "DERMS_CONTEXT": "x", "DERMS_OUTPUT": "json"},
        cwd=shell.home, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("look", [lambda shell: shell.derms("status"), lambda shell: shell.derms("feeder", "list")])
def test_people_see_feeders_and_their_devices(shell: Shell, look: Callable[[Shell], Ran]) -> None:
    ran = look(shell)
    assert ran.code == 0
    assert "feeder-1" in ran.out
    row = next(line for line in ran.out.splitlines() if line.startswith("feeder-1"))
    assert f"{DEVICES}" in row.split()


def test_a_logout_ends_the_login_for_good(stack: Stack, tmp_path: Path) -> None:
    shell = Shell(tmp_path, stack.daemon.api)
    assert shell.derms("login", OPERATOR, "--password-stdin", typed=f"{PASSWORD}\n").code == 0
    kept = shell.token_file.read_text()
    assert shell.derms("logout").code == 0
    assert not shell.token_file.exists()
    shell.token_file.write_text(kept)
    shell.token_file.chmod(0o600)
    assert shell.derms("whoami").code == 4
