"""How the command line is timed."""

import os
from pathlib import Path

import pytest

from derms.bench.cli import timed
from derms.errors import UnavailableError

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def test_commands_are_run_in_turns_and_once_before_it_counts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands = {name: ["-c", f"open({str(log)!r}, 'a').write({name!r})"] for name in "ab"}
    took = timed(commands, ENVIRONMENT, 2)
    assert log.read_text() == "ab" + "abab"
    assert {name: len(one.ms) for name, one in took.items()} == {"a": 2, "b": 2}
    assert all(cpu_ms > 0.0 for one in took.values() for cpu_ms in one.cpu_ms)


def test_a_command_that_fails_is_no_figure() -> None:
    with pytest.raises(UnavailableError, match="ended with 3"):
        timed({"x": ["-c", "import sys; sys.exit('no' and 3)"]}, ENVIRONMENT, 1)
