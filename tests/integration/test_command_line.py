"""The commands as a person types them: what they load, what they say, and with which code they end."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.processes import ROOT, Programs, told

HEAVY = ("textual", "numpy", "aiohttp", "psycopg", "pydantic", "pydantic_settings", "rich.live", "paho", "amqtt", "jwt")


def _loaded(code: str) -> list[str]:
    """Which heavy libraries a piece of Python leaves loaded."""
    tail = f"import sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tail}"], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    names: list[str] = json.loads(ran.stdout.splitlines()[-1].replace("'", '"'))
    return names


def _run(words: str) -> str:
    return f"""
from derms.cli import app
try:
    app({words.split()!r}, standalone_mode=False)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("words", ["--version", "--help"])
def test_asking_for_help_loads_nothing_heavy(words: str) -> None:
    assert _loaded(_run(words)) == []


@pytest.mark.parametrize("words", ["serve --help", "cosim --help", "agent run --help", "sim run --help"])
def test_asking_for_the_help_of_a_command_loads_only_what_the_command_line_itself_is_made_of(words: str) -> None:
    assert set(_loaded(_run(words))) <= {"pydantic"}  # newer releases of typer are built on it


def test_a_start_begins_its_servers_before_it_loads_the_rest() -> None:
    loaded = set(_loaded("import derms.settings_load, derms.serve.start"))
    assert loaded <= {"pydantic", "pydantic_settings", "paho"}


def test_an_agent_run_from_the_command_line_loads_what_it_needs_and_no_more(tmp_path: Path) -> None:
    config = tmp_path / "agent.json"
    config.write_text("{}", encoding="utf-8")
    assert set(_loaded(_run(f"agent run --config {config}"))) <= {"paho", "pydantic"}
    assert _loaded("import agent.process") == ["paho"]


def test_a_simulation_loads_no_server_libraries() -> None:
    assert _loaded("import sim.runner") == ["paho"]


def _table(*rows: tuple[object, ...]) -> list[object]:
    """The first two rows as they are, the rest for the slow run: each is a process."""
    return [*rows[:2], *(pytest.param(*row, marks=pytest.mark.slow) for row in rows[2:])]


AGENT = '{"broker_host": "127.0.0.1", "device_id": "pi-1", "device_type": "battery", '


@pytest.mark.parametrize(
    ("text", "said"),
    _table(
        (None, "agent.json"),
        ("", "JSON"),
        ("[1]", "object"),
        (AGENT + '"p_max_kw": -1}', "p_max_kw"),
        (AGENT + '"p_max_kw": NaN}', "NaN"),
        (AGENT + '"colour": "red"}', "colour"),
        ('{"device_type": "battery"}', "device_id"),
        ('{"device_id": "a/b", "device_type": "battery"}', "a/b"),
        ('{"device_id": "x", "device_type": "toaster"}', "toaster"),
        (AGENT + '"broker_port": 99999}', "broker_port"),
        (AGENT + '"publish_interval_seconds": 0}', "publish_interval_seconds"),
    ),
)
def test_an_agent_refuses_a_bad_configuration_with_what_why_and_next(
    programs: Programs, tmp_path: Path, text: str | None, said: str
) -> None:
    config = tmp_path / "agent.json"
    if text is not None:
        config.write_text(text, encoding="utf-8")
    agent = programs.derms("agent", "run", "--config", config)
    assert agent.wait() == 2
    assert said in told(agent.stderr)
    assert agent.stdout == ""


@pytest.mark.parametrize(
    ("text", "line", "said"),
    _table(
        ("ts,device_id,p_kw\n0,load-1,2.5\n1,load-1,lots\n", "line 3", "lots"),
        ("ts,device_id,p_kw\n0,load-1,nan\n", "line 2", "nan"),
        ("ts,device_id,p_kw\n0,a/b,1\n", "line 2", "a/b"),
        ("ts,device_id,p_kw\n5,load-1,1\n", "", ""),
        ("when,what\n1,2\n", "line 1", ""),
        ("ts,device_id,p_kw\n0,load-1\n", "line 2", ""),
        ("ts,device_id,p_kw,soc\n0,batt-1,1,7000\n", "line 2", "7000"),
        ("ts,device_id,p_kw\nyesterday,load-1,1\n", "line 2", "yesterday"),
        ("", "empty", ""),
        ("\0\1\2", "", ""),
    ),
)
def test_a_bad_row_is_named_with_its_line_and_reason(
    programs: Programs, tmp_path: Path, closed_port: int, text: str, line: str, said: str
) -> None:
    path = tmp_path / "day.csv"
    path.write_text(text, encoding="utf-8")
    url = f"mqtt://127.0.0.1:{closed_port}"
    sim = programs.derms("sim", "run", "--replay", path, "--mqtt-url", url, "--for", "1s", "--speed", 100)
    code = sim.wait()
    if text.startswith("ts,device_id,p_kw\n5"):
        assert code == 0  # a single row is a whole file
        return
    assert code == 2
    words = told(sim.stderr)
    assert line in words
    assert said in words


@pytest.mark.parametrize(
    ("words", "said"),
    _table(
        ("demo --for never", "never"),
        ("demo --for 0s", "0s"),
        ("demo --for -5s", "-5s"),
        ("demo --devices 3 --for 1s", "3 devices"),
        ("demo --speed 0 --for 1s", "speed"),
        ("demo --speed nan --for 1s", "speed"),
        ("demo --interval 0 --for 1s", "--interval is"),
        ("sim run --for 1x", "1x"),
        ("sim run --replay absent.csv", "absent.csv"),
        ("sim run --mqtt-url http://somewhere", "http://somewhere"),
        ("sim run --mqtt-url-from absent.txt", "absent.txt"),
        ("sim run --speed inf", "speed"),
        ("sim run --log-level loud --for 1s", "loud"),
        ("agent run --config x.json --log-level loud", "x.json"),
        ("serve --interval 0", "--interval is"),
        ("serve --limit -3", "--limit is"),
        ("serve --limit nan", "--limit is"),
        ("serve --api-port 70000", "api-port"),
        ("serve --config absent.toml", "absent.toml"),
        ("serve --log-level loud", "loud"),
        ("serve --colour red", "--colour"),
        ("token --role king", "king"),
        ("nonsense", "nonsense"),
    ),
)
def test_what_cannot_be_meant_is_refused_with_code_2(programs: Programs, words: str, said: str) -> None:
    program = programs.derms(*words.split())
    assert program.wait() == 2
    assert said in program.stderr
    assert "Traceback" not in program.stderr
    assert program.stdout in ("", "Starting broker, database, controller and feeder ...\n")


@pytest.mark.parametrize(
    ("content", "said"),
    _table(
        ("api_port = 'many'\n", "api_port"),
        ("apiport = 1\n", "apiport"),
        ("api_port = \n", "TOML"),
        ("lease_s = 2\ncontrol_interval_s = 5\n", "lease_s"),
        ("stale_after_s = 90\n", "stale_after_s"),
    ),
)
def test_a_bad_settings_file_is_refused_with_code_2(
    programs: Programs, tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "derms.toml"
    path.write_text(content, encoding="utf-8")
    serve = programs.derms("serve", "--config", path)
    assert serve.wait() == 2
    assert said.lower() in serve.stderr.lower()
    assert "Traceback" not in serve.stderr


@pytest.mark.timeout(120)
def test_a_demo_without_a_terminal_reports_and_ends_by_itself(programs: Programs) -> None:
    demo = programs.derms("demo", "--for", "14s", "--devices", 20)
    code = demo.wait(60.0)
    assert code == 0, demo.stdout + demo.stderr
    for words in ("limit  ", "peak without control", "peak under control", "complied after", "samples stored",
                  "setpoints sent", "the limit was held"):  # fmt: skip
        assert words in demo.stdout
    assert demo.stderr == ""


@pytest.mark.timeout(120)
def test_a_demo_whose_reader_has_had_enough_ends_well_and_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o711)  # as root the database runs under an account that has to pass
        demo = subprocess.Popen(
            [sys.executable, "-m", "derms", "demo", "--for", "60s", "--devices", "12"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": directory},
            cwd=ROOT,
            text=True,
        )
        assert demo.stdout is not None
        assert demo.stderr is not None
        try:
            demo.stdout.readline()
            demo.stdout.close()
            assert demo.wait(45.0) == 0
            assert demo.stderr.read() == ""
            assert os.listdir(directory) == []
        finally:
            demo.kill()
            demo.stderr.close()


@pytest.mark.timeout(120)
def test_demos_that_start_at_once_do_not_take_each_others_ports(programs: Programs) -> None:
    demos = [programs.derms("demo", "--for", "4s", "--devices", 12) for _ in range(3)]
    codes = [demo.wait(90.0) for demo in demos]
    # Whether a limit is held is not asked of three demos that share the machine's cores: 5 would be a port in use.
    assert set(codes) <= {0, 1}, [demo.stderr for demo in demos]
    brokers = [line for demo in demos for line in demo.stdout.splitlines() if line.startswith("broker ")]
    assert len(set(brokers)) == len(demos)
