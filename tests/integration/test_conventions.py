"""The conventions of the command line, each a test with its number, against a real `serve`."""

import csv
import io
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from derms.settings_names import CLIENTS
from tests.processes import OPERATOR, PASSWORD, ROOT, eventually
from tests.shell import Shell
from tests.stage import DEVICES, Stack

LISTS = {
    "device list": "devices",
    "feeder list": "feeders",
    "dr list --state all": "events",
    "program list": "programs",
    "alarm list": "alarms",
    "tracking-error": "devices",
    "feeder history feeder-1": "buckets",
    "device telemetry meter-feeder-1 --since 1m": "samples",
    "context list": "contexts",
}
FAR_AWAY = "http://192.0.2.1:8080"
"""Of the network for documentation: nobody answers there."""


@pytest.fixture(scope="module")
def shell(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """An operator who has logged in, while all devices speak."""
    shell = Shell(tmp_path_factory.mktemp("home"), stack.daemon.api)
    said = shell.derms("login", OPERATOR, "--password-stdin", typed=f"{PASSWORD}\n")
    assert said.code == 0, said.err
    eventually(lambda: len(stack.daemon.ask("/api/devices")["devices"]) >= DEVICES, "all devices")
    eventually(lambda: stack.daemon.ask("/api/metrics/tracking-error")["devices"], "a tracking error")
    eventually(lambda: stack.daemon.ask("/api/feeder/history?feeder_id=feeder-1")["buckets"], "a history")
    return shell


@pytest.fixture
def event(shell: Shell) -> Iterator[str]:
    """One that binds nobody."""
    made = shell.derms("dr", "create", "--limit", "9000", "--for", "1h", "--reason", "a try", "--id-only")
    assert made.code == 0, made.err
    yield made.out.strip()
    shell.derms("dr", "cancel", made.out.strip(), "--yes")


@pytest.mark.parametrize("words", LISTS)
def test_u01_every_format_has_the_same_rows(shell: Shell, words: str) -> None:
    kind, asked = LISTS[words], words.split()
    if kind in ("buckets", "samples"):  # time goes on
        asked += ["--until", "2s"]
    told = json.loads(shell.derms(*asked, "-o", "json").out)
    rows = told[kind]
    assert json.loads(shell.derms(*asked, "--json").out).keys() == told.keys()
    names = shell.derms(*asked, "-o", "name").out.splitlines()
    sheet = list(csv.reader(io.StringIO(shell.derms(*asked, "-o", "csv").out)))
    table = shell.derms(*asked).out.splitlines()
    if kind not in ("buckets", "samples"):
        assert len(names) == len(rows) == len(sheet) - 1
        assert len(table) == (len(rows) + 1 if rows else 0)
    assert yaml.safe_load(shell.derms(*asked, "-o", "yaml").out).keys() == told.keys()


def test_u02_json_is_one_document_of_a_version_and_nothing_else(shell: Shell) -> None:
    for words in (
        "status",
        "whoami",
        "device show meter-feeder-1",
        "feeder show feeder-1",
        "why meter-feeder-1",
        "version",
    ):
        ran = shell.derms(*words.split(), "-o", "json")
        assert (ran.code, ran.err) == (0, ""), ran
        assert json.loads(ran.out)["schema_version"] == 1


def test_u03_a_table_in_a_pipe_has_no_colour_and_is_not_cut(shell: Shell) -> None:
    out = shell.derms("alarm", "list", COLUMNS="40").out + shell.derms("status", COLUMNS="40").out
    assert "\x1b" not in out
    assert "…" not in out
    assert max(map(len, out.splitlines())) > 40


def test_u04_data_goes_to_stdout_and_words_to_stderr(shell: Shell) -> None:
    made = shell.derms("dr", "create", "--limit", "9000", "--for", "10m", "-o", "json")
    event_id = json.loads(made.out)["event_id"]
    assert "devices, about" in made.err
    cancelled = shell.derms("dr", "cancel", event_id, "--yes")
    assert (cancelled.out, cancelled.err) == ("", f"{event_id} is cancelled\n")
    nothing = shell.derms("program", "list")
    assert (nothing.out, nothing.err) == ("", "there is no program\n")


def test_u05_colour_is_for_terminals_that_did_not_refuse_it(shell: Shell) -> None:
    asked = ("device", "list", "--no-pager")
    assert "\x1b[" in shell.on_terminal(*asked).out
    assert "\x1b" not in shell.on_terminal(*asked, NO_COLOR="1").out
    assert "\x1b" not in shell.on_terminal(*asked, TERM="dumb").out
    assert "\x1b" not in shell.on_terminal(*asked, "--no-color").out
    for wish in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        assert "\x1b[" in shell.derms(*asked, **{wish: "1"}).out
    for words in (("-h",), ("dr", "-h"), ("dr", "create", "-h")):
        assert "\x1b" not in shell.on_terminal(*words).out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("status", 0),
        ("device set meter-feeder-1", 2),
        ("device show nobody", 3),
        ("feeder limit nowhere 3 --yes", 3),
        ("audit", 4),
        ("user list", 4),
        ("feeder create feeder-1", 5),
        ("dr create --limit 0 --export-limit 0 --for 5m --wait --within 1s", 7),
    ],
)
def test_u06_exit_codes_say_what_became_of_it(shell: Shell, words: str, code: int) -> None:
    ran = shell.derms(*words.split())
    assert ran.code == code, ran
    if code == 7:
        assert shell.derms("dr", "cancel", ran.out.strip(), "--yes").code == 0
    listed = dict(re.findall(r"^- (\d+): (\w+)", (ROOT / "derms/cli/topics/exit-codes.md").read_text(), re.MULTILINE))
    assert set(listed) == {"0", "1", "2", "3", "4", "5", "6", "7", "130"}


def test_u07_ctrl_c_ends_with_130_at_once_and_a_reader_who_has_had_enough_is_no_error(shell: Shell) -> None:
    following = shell.on_terminal("status", "--watch", "1s", until=lambda text: "feeder-1" in text)
    assert following.code == 130
    assert "Traceback" not in following.out
    waiting = shell.start("dr", "create", "--limit", "0", "--export-limit", "0", "--for", "5m", "--wait")
    assert waiting.stdout is not None
    event_id = waiting.stdout.readline().strip()
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=10.0)
    assert (waiting.returncode, "Traceback" in err) == (130, False)
    shell.derms("dr", "cancel", event_id, "--yes")
    piped = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m derms device telemetry meter-feeder-1 --since 10m -o json | head -1"],
        env=shell.environment | {"DERMS_URL": shell.url}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (piped.stdout, piped.stderr) == ("{\n", "")


HEAVY = ("aiohttp", "amqtt", "keyring", "numpy", "paho", "prometheus_client", "psycopg", "pydantic", "rich", "textual")


@pytest.mark.parametrize("words", ["--help", "--version", "dr -h", "dr create -h", "device list --help", "help times"])
def test_u08_help_loads_nothing_that_takes_time(words: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "derms", *words.split()],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines()}
    assert not loaded & {*HEAVY, "asyncio", "ssl", "msgspec"}


def test_u08_a_command_that_asks_loads_no_server_and_no_engine(shell: Shell) -> None:
    script = (
        "import sys; from derms.cli import main\n"
        "try: main()\n"
        f"finally: print(sorted({set(HEAVY)!r} & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, "device", "list"], env=shell.environment | {"DERMS_URL": shell.url},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ran.stderr.splitlines()[-1] == "[]"


def test_u09_every_help_begins_with_usage_and_has_two_examples_and_a_way_on() -> None:
    from derms.cli.reference import entries

    for entry in entries():
        assert entry.usage.startswith("derms"), entry
        assert entry.what, entry.words
    ran = subprocess.run(
        [sys.executable, "-m", "derms", "dr", "create", "-h"], cwd=ROOT, capture_output=True, text=True, timeout=30,
        check=True,
    )  # fmt: skip
    assert ran.stdout.startswith("Usage: derms dr create")
    assert "/api/docs" in ran.stdout
    assert "derms help" in ran.stdout
    few = [entry.words for entry in entries() if len(entry.examples) < 2]
    assert few == []


def test_u10_what_may_have_been_meant_is_said(shell: Shell) -> None:
    for words, guess in (("devcies", "'device'"), ("dr crate", "'create'"), ("device list --sotr x", "--sort")):
        ran = shell.derms(*words.split())
        assert ran.code == 2
        assert "did you mean " in ran.err
        assert guess in ran.err


COMPLETED = {
    "bash": "source <(derms completion bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
    '_derms_complete; printf "%s\\n" "${{COMPREPLY[@]}}"',
    "fish": "derms completion fish | source; complete -C '{line}'",
    "zsh": "autoload -Uz compinit; compinit -D; source <(derms completion zsh); "
    "compadd() {{ print -l -- $shown }}; _describe() {{ print -l -- ${{shown%%:*}} }}; "
    "words=({words}); CURRENT=${{#words}}; _derms",
}


@pytest.mark.parametrize("program", COMPLETED)
def test_u11_shells_complete_commands_options_and_names_also_when_nobody_answers(shell: Shell, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    bin_dir = shell.home / "bin"
    bin_dir.mkdir(exist_ok=True)
    (bin_dir / "derms").write_text(f'#!/bin/sh\nexec {sys.executable} -m derms "$@"\n')
    (bin_dir / "derms").chmod(0o755)

    def completed(line: str, url: str) -> list[str]:
        quoted = " ".join(repr(word) for word in line.split(" "))
        script = COMPLETED[program].format(words=quoted.replace('"', "'"), line=line)
        ran = subprocess.run(
            [program, "-c", script],
            env=shell.environment | {"DERMS_URL": url, "PATH": f"{bin_dir}:{os.environ['PATH']}"},
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        return [found.split("\t")[0].strip() for found in ran.stdout.splitlines() if found.strip()]

    assert set(completed("derms de", shell.url)) == {"demo", "device"}
    assert "--feeder" in completed("derms dr create --fe", shell.url)
    assert completed("derms device show meter", shell.url) == ["meter-feeder-1"]
    assert completed("derms feeder show feeder", shell.url) == ["feeder-1"]
    cache = shell.home / ".cache/derms/names/default.json"
    kept = json.loads(cache.read_text())
    cache.write_text(
        json.dumps({"url": FAR_AWAY, "names": {kind: [0.0, names] for kind, (_, names) in kept["names"].items()}})
    )
    assert completed("derms device show meter", FAR_AWAY) == ["meter-feeder-1"]


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_u12_the_man_pages_are_clean_and_say_what_the_commands_say() -> None:
    from derms.cli.reference import man_pages

    pages = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "man/man1").iterdir()}
    assert pages == man_pages(), "run `make docs`"
    linted = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *sorted(map(str, (ROOT / "man/man1").iterdir()))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (linted.stdout, linted.returncode) == ("", 0)
    shown = subprocess.run(
        ["mandoc", "-T", "ascii", str(ROOT / "man/man1/derms-dr.1")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "derms dr create" in re.sub(".\x08", "", shown.stdout)


def test_u13_watching_goes_on_until_it_is_told_to_stop(shell: Shell) -> None:
    process = shell.start("feeder", "list", "-o", "json", "--watch", "0.2s")
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10.0)
    assert (process.returncode, err) == (130, "")
    assert lines[0]["feeders"][0]["tick"] < lines[2]["feeders"][0]["tick"] + 1
    sheet = shell.start("feeder", "list", "-o", "csv", "-w", "0.2s")
    assert sheet.stdout is not None
    rows = [sheet.stdout.readline() for _ in range(3)]
    sheet.send_signal(signal.SIGINT)
    sheet.communicate(timeout=10.0)
    assert [row.startswith("feeder_id,") for row in rows] == [True, False, False]
    screen = shell.on_terminal("device", "list", "--watch", lines=10, until=lambda text: text.count("every 2 s") > 1)
    assert screen.code == 130
    assert "lines more)" in screen.out


def test_u13_a_controller_that_never_answered_is_an_error(shell: Shell, closed_port: int) -> None:
    ran = shell.derms("feeder", "list", "-o", "name", "--watch", "0.2s", "--url", f"http://127.0.0.1:{closed_port}")
    assert (ran.code, ran.out) == (6, "")


def test_u14_what_one_command_writes_another_reads(shell: Shell, event: str) -> None:
    exported = shell.derms("dr", "export")
    assert json.loads(exported.out)["events"][0]["event_id"] == event
    foreseen = shell.derms("dr", "import", "-", "--dry-run", typed=exported.out)
    assert (foreseen.code, foreseen.out) == (0, "")
    assert "would create an event on feeder-1" in foreseen.err
    first = shell.derms("dr", "import", "-", typed=exported.out)
    second = shell.derms("dr", "import", "-", typed=exported.out)
    assert first.code == 0, first.err
    assert (first.out, first.out != f"{event}\n") == (second.out, True)
    spoiled = json.dumps({"events": [*json.loads(exported.out)["events"], {"feeder_ids": ["feeder-1"]}]})
    assert shell.derms("dr", "import", "-", typed=spoiled).code == 2
    assert shell.derms("dr", "import", "-", typed="no JSON").code == 2
    listed = shell.derms("dr", "list", "-o", "name").out
    assert sorted(listed.split()) == sorted([event, first.out.strip()])
    ended = shell.derms("dr", "cancel", "-", "--yes", typed=first.out)
    assert ended.code == 0, ended.err
    assert shell.derms("dr", "cancel", "-", "--yes", typed="\n").code == 2


def test_u15_what_others_will_feel_is_asked_about_with_context_and_effect(shell: Shell, event: str) -> None:
    for words in (
        ("dr", "cancel", event), ("feeder", "limit", "feeder-1", "120"), ("feeder", "mode", "feeder-1", "advise"),
        ("device", "block", "meter-feeder-1", "--reason", "a try"),
    ):  # fmt: skip
        refused = shell.derms(*words)
        assert (refused.code, "--yes" in refused.err) == (2, True), refused
        foreseen = shell.derms(*words, "--dry-run")
        assert foreseen.code == 0, foreseen.err
        assert foreseen.err.startswith("dry run: would "), foreseen.err
        assert f"at default {shell.url}" in foreseen.err
    no = shell.on_terminal("dr", "cancel", event, answers=[("[y/N]", "n\n")])
    assert f"[default {shell.url}] Cancel {event} on feeder-1, active until" in no.out
    assert no.code == 130
    assert json.loads(shell.derms("dr", "show", event, "--json").out)["state"] == "active"
    yes = shell.on_terminal("dr", "cancel", event, answers=[("[y/N]", "y\n")])
    assert (yes.code, f"{event} is cancelled" in yes.out) == (0, True)


def test_u16_nobody_is_asked_where_nobody_may_be(shell: Shell, event: str) -> None:
    for ran in (
        shell.derms("dr", "cancel", event),
        shell.on_terminal("dr", "cancel", event, "--no-input"),
        shell.on_terminal("login", "--no-input"),
        shell.derms("login", OPERATOR),
    ):
        assert ran.code == 2, ran
        assert "next: " in ran.out + ran.err
        assert ran.took_s < 10.0


def test_u17_a_password_is_never_a_word_of_a_command(shell: Shell, tmp_path: Path) -> None:
    stranger = Shell(tmp_path, shell.url)
    asked = stranger.on_terminal("login", OPERATOR, answers=[("Password", f"{PASSWORD}\n")])
    assert asked.code == 0, asked.out
    assert PASSWORD not in asked.out
    assert stranger.derms("login", OPERATOR, "--password", PASSWORD).code == 2
    assert "--password " not in stranger.derms("login", "-h").out


def test_u18_the_token_is_its_owners_alone_and_a_logout_ends_it_for_good(shell: Shell, tmp_path: Path) -> None:
    stranger = Shell(tmp_path, shell.url)
    assert stranger.derms("login", OPERATOR, "--password-stdin", typed=f"{PASSWORD}\n").code == 0
    assert stat.S_IMODE(stranger.token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(stranger.token_file.parent.stat().st_mode) == 0o700
    kept = stranger.token_file.read_text()
    stranger.token_file.chmod(0o644)
    assert stranger.derms("whoami").code == 2
    stranger.token_file.chmod(0o600)
    assert stranger.derms("logout").code == 0
    assert not stranger.token_file.exists()
    stranger.token_file.write_text(kept)
    stranger.token_file.chmod(0o600)
    assert stranger.derms("whoami").code == 4


def test_u18_a_keyring_keeps_it_off_the_disk(shell: Shell, tmp_path: Path) -> None:
    module = tmp_path / "ring.py"
    module.write_text(
        "import json, pathlib\n"
        "from keyring.backend import KeyringBackend\n"
        f"HELD = pathlib.Path({str(tmp_path / 'held')!r})\n"
        "class Ring(KeyringBackend):\n"
        "    priority = 1\n"
        "    def get_password(self, service, name):\n"
        "        return json.loads(HELD.read_text()).get(name) if HELD.exists() else None\n"
        "    def set_password(self, service, name, secret): HELD.write_text(json.dumps({name: secret}))\n"
        "    def delete_password(self, service, name): HELD.unlink()\n"
    )
    more = {"DERMS_KEYRING": "1", "PYTHON_KEYRING_BACKEND": "ring.Ring", "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    stranger = Shell(tmp_path, shell.url, more)
    assert stranger.process("login", OPERATOR, "--password-stdin", typed=f"{PASSWORD}\n").code == 0
    assert not stranger.token_file.exists()
    assert "refresh_token" in (tmp_path / "held").read_text()
    assert stranger.process("whoami").code == 0
    assert stranger.process("logout").code == 0
    assert not (tmp_path / "held").exists()


def test_u19_a_login_that_is_over_says_to_log_in(shell: Shell, tmp_path: Path) -> None:
    ran = Shell(tmp_path, shell.url).derms("status", DERMS_TOKEN="x.y.z")
    assert ran.code == 4
    assert "`derms login`" in ran.err


def test_u20_contexts_say_which_controller_is_meant(shell: Shell, tmp_path: Path) -> None:
    person = Shell(tmp_path, "")
    assert person.derms("context", "set", "plant", "--url", shell.url, "--feeder", "feeder-1", DERMS_URL="").code == 0
    assert person.derms("context", "set", "lab", "--url", FAR_AWAY, DERMS_URL="").code == 0
    assert person.derms("context", "use", "plant", DERMS_URL="").code == 0
    login = person.derms("login", OPERATOR, "--password-stdin", typed=f"{PASSWORD}\n", DERMS_URL="")
    assert f"Logged in to {shell.url}" in login.err
    listed = json.loads(person.derms("context", "list", "-o", "json", DERMS_URL="").out)["contexts"]
    assert {one["name"] for one in listed} == {"default", "lab", "plant"}
    for words, more in ((("--context", "lab"), {}), ((), {"DERMS_CONTEXT": "lab"})):
        ran = person.derms("status", "--timeout", "0.5", *words, DERMS_URL="", **more)
        assert (ran.code, FAR_AWAY in ran.err) == (6, True), ran
    asked = person.on_terminal("feeder", "mode", "feeder-1", "auto", answers=[("[y/N]", "n\n")], DERMS_URL="")
    assert f"[plant {shell.url}] Set the mode of feeder-1 from auto to auto?" in asked.out
    assert person.derms("context", "delete", "plant", DERMS_URL="").code == 5
    assert person.derms("context", "delete", "plant", "--yes", DERMS_URL="").code == 0
    assert not (tmp_path / ".local/state/derms/tokens/plant.json").exists()


def test_u21_a_flag_beats_a_variable_beats_a_context_beats_the_machines(shell: Shell, tmp_path: Path) -> None:
    person = Shell(tmp_path, "", {"XDG_CONFIG_DIRS": str(tmp_path / "etc")})
    (tmp_path / "etc/derms").mkdir(parents=True)
    (tmp_path / "etc/derms/contexts.toml").write_text('[context.default]\nurl = "http://127.0.0.1:2"\n')

    def asked(*words: str, **more: str) -> str:
        found = re.search(
            r"http://[0-9.:]+", person.derms("version", "--timeout", "0.5", *words, **({"DERMS_URL": ""} | more)).err
        )
        return found[0] if found else ""

    assert asked() == "http://127.0.0.1:2"
    assert person.derms("context", "set", "default", "--url", "http://127.0.0.1:3", DERMS_URL="").code == 0
    assert asked() == "http://127.0.0.1:3"
    assert asked(DERMS_URL="http://127.0.0.1:4") == "http://127.0.0.1:4"
    assert asked("--url", "http://127.0.0.1:5", DERMS_URL="http://127.0.0.1:4") == "http://127.0.0.1:5"
    told = person.derms("config", "explain", "url", DERMS_URL="http://127.0.0.1:4")
    assert "http://127.0.0.1:4" in told.out
    assert "DERMS_URL" in told.out


def test_u22_files_stand_where_xdg_says_and_nowhere_else(shell: Shell, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    dirs = {f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("CONFIG", "STATE", "CACHE", "DATA")}
    person = Shell(home, shell.url, dirs)
    assert person.derms("context", "set", "default", "--feeder", "feeder-1").code == 0
    assert person.derms("login", OPERATOR, "--password-stdin", typed=f"{PASSWORD}\n").code == 0
    assert person.derms("__complete", "--", "device", "show", "").code == 0
    assert list(home.iterdir()) == []
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found - {"state/derms/tokens/default.lock"} == {
        "config/derms/contexts.toml", "state/derms/tokens/default.json", "cache/derms/names/default.json"
    }  # fmt: skip


def test_u23_the_variables_that_are_listed_are_those_that_are_read() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "derms/cli").rglob("*.py"))
    read = set(re.findall(r'"(DERMS_[A-Z_]+)"', source)) - {
        "DERMS_AGENT_PASSWORD", "DERMS_AUTH_USERS", "DERMS_DATABASE_URL", "DERMS_MQTT_URL",
    }  # fmt: skip
    listed = set(re.findall(r"`(DERMS_[A-Z_]+)`", (ROOT / "derms/cli/topics/environment.md").read_text()))
    assert listed == set(CLIENTS)
    assert read <= listed


WRONG = [
    "devcie list", "dr lst", "device list --frob", "why", "device list --type x", "device set x --priority 11",
    "dr create --limit -3 --for 1m", "dr create --limit nan --for 1m", "dr create --limit 3", "dr create --for 1m",
    "dr create --limit 3 --start 2020-01-01T00:00:00Z --for 1m", "dr create --limit 3 --start +2h --end +0.5h --for 1m",
    "dr create --limit 3 --start 2030-01-02 --end 2030-01-01", "dr create --limit 3 --for soon",
    "dr create --limit 3 --for 1m --feeder nowhere", "device show nobody", "feeder show nowhere", "dr show dr-none",
    "audit", "user list", "device list --context elsewhere", "feeder history feeder-1 --since tomorrow",
    "tracking-error --window 1s", "status --watch 0.01s", "device list --url ftp://x", "help xyzzy",
    "device list --timeout 0", "dr import /nowhere.json", "status --url http://127.0.0.1:1",
]  # fmt: skip


@pytest.mark.parametrize("words", WRONG)
def test_u24_an_error_is_three_lines_with_its_own_reason_and_hint(shell: Shell, words: str) -> None:
    ran = shell.derms(*words.split())
    assert ran.code in (2, 3, 4, 5, 6), ran
    assert ran.out == ""
    lines = ran.err.splitlines()
    assert [line[:7] for line in lines] == ["derms: ", "  why: ", "  next:"], ran.err
    assert re.search(r" \[[a-z-]+\]$", lines[0])


def test_u24_debug_shows_the_traceback_and_the_request(shell: Shell) -> None:
    ran = shell.derms("device", "show", "nobody", "--debug")
    assert "Traceback" in ran.err
    assert "\nrequest " in ran.err


def test_u25_a_controller_that_is_down_is_told_with_its_url_in_time(shell: Shell, closed_port: int) -> None:
    down = shell.derms("status", "--url", f"http://127.0.0.1:{closed_port}")
    assert (down.code, f"127.0.0.1:{closed_port}" in down.err, "derms serve" in down.err) == (6, True, True)
    with socket.socket() as full:  # takes no connection: its queue is full
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(("127.0.0.1", port))
            silent = shell.derms("status", "--url", f"http://127.0.0.1:{port}")
    assert silent.code == 6
    assert "no connection within 5 s" in silent.err
    assert silent.took_s < 8.0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program to make a certificate")
def test_u26_a_certificate_that_is_not_trusted_says_which_option_trusts_it(shell: Shell, tmp_path: Path) -> None:
    import ssl
    import threading

    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with socket.create_server(("127.0.0.1", 0)) as door:

        def greet() -> None:
            for _ in range(1):
                one, _ = door.accept()
                with pytest.raises((ssl.SSLError, OSError)), context.wrap_socket(one, server_side=True) as tls:
                    tls.recv(1)
                one.close()

        thread = threading.Thread(target=greet)
        thread.start()
        ran = shell.derms("status", "--url", f"https://127.0.0.1:{door.getsockname()[1]}")
        thread.join(10.0)
    assert ran.code == 6
    assert "--ca-file" in ran.err
    assert "self-signed" in ran.err
    assert "insecure" not in ran.err
    assert "disable" not in ran.err


def test_u27_quiet_verbose_timeout_and_version(shell: Shell, event: str) -> None:
    assert shell.derms("dr", "cancel", event, "--yes", "-q").err == ""
    told = shell.derms("device", "list", "-v")
    assert re.fullmatch(r"GET /api/devices\?\S+ 200 \d+ ms\n", told.err), told.err
    more = shell.derms("feeder", "list", "-vv").err
    assert re.search(r"GET /api/feeder/summary 200 \d+ ms, \d+ bytes, request \S+", more), more
    assert re.fullmatch(r"derms \d+\.\d+\.\d+( \(commit [0-9a-f]{12}\))?\n", shell.derms("--version").out)
    both = json.loads(shell.derms("version", "-o", "json").out)
    assert both["controller"] == both["program"]
    assert shell.derms("status", "--timeout", "0.1", "--url", FAR_AWAY).took_s < 5.0


def test_u28_a_bar_is_shown_to_those_who_look_and_only_for_what_takes_time(shell: Shell) -> None:
    words = (
        "dr",
        "create",
        "--limit",
        "0",
        "--export-limit",
        "0",
        "--for",
        "5m",
        "--wait",
        "--within",
        "3s",
        "-o",
        "name",
    )
    shown, hidden = shell.on_terminal(*words), shell.on_terminal(*words, "--no-progress")
    piped = shell.derms(*words)
    assert "░ " in shown.out
    assert "kW too much, " in shown.out
    for ran in (hidden, piped):
        assert "░" not in ran.out + ran.err
    ids = {match for ran in (shown, hidden, piped) for match in re.findall(r"^dr-[0-9a-f]+$", ran.out, re.MULTILINE)}
    assert len(ids) == 3
    assert shell.derms("dr", "cancel", "-", "--yes", typed="\n".join(ids)).code == 0


def test_u29_times_are_local_with_their_offset_for_people_and_utc_for_programs(shell: Shell, event: str) -> None:
    zone = {"TZ": "Asia/Kathmandu"}
    assert re.search(r"start +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+05:45", shell.derms("dr", "show", event, **zone).out)
    assert re.search(r"start +\S+ \S+\+00:00", shell.derms("dr", "show", event, "--utc", **zone).out)
    assert json.loads(shell.derms("dr", "show", event, "--json", **zone).out)["start"].endswith("Z")
    assert re.search(r"\d+s ago", shell.derms("device", "list").out)


def test_u30_numbers_have_their_unit_in_the_title_and_stand_to_the_right(shell: Shell) -> None:
    table = shell.derms("device", "list").out.splitlines()
    at = table[0].index("ACTUAL kW") + len("ACTUAL kW")
    cells = [line[:at].split()[-1] for line in table[1:]]
    assert all(re.fullmatch(r"-?\d+\.\d", cell) for cell in cells), cells
    assert all(line[at - 1] != " " and line[at : at + 1] in (" ", "") for line in table[1:])
    watts = shell.derms("device", "list", "--units", "w").out.splitlines()
    assert "ACTUAL W" in watts[0]
    assert "kW" not in "".join(watts)
    assert all(re.fullmatch(r"-?\d+", line[: watts[0].index("ACTUAL W") + 8].split()[-1]) for line in watts[1:])


def test_u31_creating_is_idempotent_and_gives_the_id(shell: Shell) -> None:
    words = ("feeder", "create", "lane-2", "--parent", "feeder-1", "--limit", "80")
    assert shell.derms(*words, "--id-only").out == "lane-2\n"
    assert shell.derms(*words).code == 5
    again = shell.derms(*words, "--if-not-exists", "-o", "name")
    assert (again.code, again.out) == (0, "lane-2\n")
    keyed = ("dr", "create", "--limit", "9000", "--for", "5m", "--key", "only-once", "--id-only")
    first, second = shell.derms(*keyed), shell.derms(*keyed)
    assert first.out == second.out
    assert shell.derms("dr", "cancel", first.out.strip(), "--yes").code == 0


def test_u32_where_unicode_cannot_be_shown_there_is_none(shell: Shell) -> None:
    for words in ("status", "device list", "why meter-feeder-1", "-h", "dr create -h", "help output"):
        ran = shell.derms(*words.split(), LC_ALL="C")
        assert (ran.out + ran.err).isascii(), ran
    for words in ("status", "why meter-feeder-1"):
        assert shell.on_terminal(*words.split(), LANG="POSIX").out.isascii()
    assert shell.on_terminal("device", "list", "--ascii", "--no-pager", columns=40).out.isascii()


def test_u33_what_is_longer_than_the_screen_goes_through_the_pager(shell: Shell) -> None:
    pager = "sed s/^/paged:/"
    assert "paged:" in shell.on_terminal("device", "list", lines=8, PAGER=pager).out
    assert "paged:" in shell.on_terminal("device", "list", lines=8, PAGER="cat", DERMS_PAGER=pager).out
    for lines, other in ((60, pager), (8, "cat"), (8, "/nowhere")):
        plain = shell.on_terminal("device", "list", lines=lines, PAGER=other)
        assert ("paged:" in plain.out, "meter-feeder-1" in plain.out) == (False, True)
    assert "paged:" not in shell.on_terminal("device", "list", "--no-pager", lines=8, PAGER=pager).out
    assert "paged:" not in shell.derms("device", "list", PAGER=pager).out


def test_u34_the_doctor_checks_the_whole_way_and_fails_where_something_does(shell: Shell, closed_port: int) -> None:
    well = shell.derms("doctor", "-o", "json")
    assert well.code == 0, well
    checks = {one["name"]: one["state"] for one in json.loads(well.out)["checks"]}
    assert {"configuration", "context", "api", "tls", "clock", "version", "mqtt", "login"} <= set(checks)
    assert set(checks.values()) <= {"OK", "WARN"}
    down = shell.derms("doctor", "--url", f"http://127.0.0.1:{closed_port}")
    assert (down.code, "FAIL" in down.out, "derms serve" in down.out) == (6, True, True)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_u35_nobody_is_told_anything_but_the_controller_that_is_meant(shell: Shell, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=connect", "-o", str(trace), sys.executable, "-m", "derms", "status"],
        env=shell.environment | {"DERMS_URL": shell.url}, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    ports = set(re.findall(r"sin6?_port=htons\((\d+)\)", trace.read_text()))
    assert ports == {shell.url.rpartition(":")[2]}


def test_a_disk_that_is_full_is_told_in_a_line(shell: Shell) -> None:
    for words in ("device list", "-h"):
        with open("/dev/full", "wb") as full:
            ran = subprocess.run(
                [sys.executable, "-m", "derms", *words.split()], env=shell.environment | {"DERMS_URL": shell.url},
                stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False,
            )  # fmt: skip
        assert ran.returncode == 1
        assert "Traceback" not in ran.stderr
        assert "cannot be written" in ran.stderr


def test_docs_cli_md_says_what_the_commands_say() -> None:
    from derms.cli.reference import page

    assert (ROOT / "docs/cli.md").read_text(encoding="utf-8") == page(), "run `make docs`"
