"""`derms cosim` as a process, and the drivers that come with it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

PAGE = ROOT / "docs" / "cosimulation.md"
COSIM = [sys.executable, "-m", "derms", "cosim"]
OPEN = {"nodes": {"f": {"import_limit_kw": 10}}, "devices": {"a": {"type": "ev", "p_max_kw": 7}}}


def ran(command: list[str], said: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, input=said, capture_output=True, text=True, timeout=60, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_stdout_carries_an_answer_a_line_and_the_end_of_input_ends_it_well() -> None:
    lines = [json.dumps(OPEN), "", '{"now": 0, "devices": {"a": {"p_actual_kw": 0}}}', "nonsense", '{"now": 1}']
    first, second = ran(COSIM, "\n".join(lines)), ran(COSIM, "\n".join(lines))
    assert (first.returncode, first.stderr) == (0, "")
    ready, told, wrong, after = map(json.loads, first.stdout.splitlines())
    assert ready["ready"] is True
    assert told["now"] == 0.0
    assert (wrong["error"]["code"], wrong["error"]["line"]) == ("malformed", 4)
    assert after["now"] == 1.0
    assert first.stdout == second.stdout
    assert ran(COSIM).returncode == 0


def test_a_line_is_answered_before_the_next_one_is_written() -> None:
    with subprocess.Popen(
        COSIM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as engine:
        assert engine.stdin is not None
        assert engine.stdout is not None
        for line in (OPEN, {"now": 0}, {"now": 300}):
            engine.stdin.write(json.dumps(line).encode() + b"\n")
            engine.stdin.flush()
            assert "error" not in json.loads(engine.stdout.readline())
        engine.stdin.close()
        assert engine.wait(30) == 0


def test_a_driver_that_has_had_enough_of_answers_ends_it_quietly() -> None:
    many = "\n".join([json.dumps(OPEN), *(f'{{"now": {now}}}' for now in range(5000))])
    with subprocess.Popen(
        COSIM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as engine:  # fmt: skip
        assert engine.stdin is not None
        assert engine.stdout is not None
        assert engine.stderr is not None
        engine.stdout.close()
        try:
            engine.stdin.write(many.encode())
            engine.stdin.close()
        except BrokenPipeError:
            pass
        assert engine.stderr.read() == b""
        assert engine.wait(30) == 0


def test_the_car_park_runs_and_keeps_its_limit() -> None:
    shown = ran([sys.executable, "examples/cosim_car_park.py"])
    assert (shown.returncode, shown.stderr) == (0, "")
    *table, result = shown.stdout.splitlines()
    hours = [line.split() for line in table[1:]]
    assert len(hours) > 6
    # limit and load of each full hour; from 11:00 the event's 18 kW
    assert all(float(hour[4]) <= float(hour[1]) + 0.05 for hour in hours)
    assert next(hour[1] for hour in hours if hour[0] == "11:00") == "18.0"
    delivered, asked = map(float, re.findall(r"[\d.]+", result)[:2])
    assert 0.8 * asked < delivered <= asked


def test_the_driver_on_the_page_runs_as_it_stands_there(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert '["derms", "cosim"]' in code
    driver = tmp_path / "driver.py"
    driver.write_text(code.replace('["derms", "cosim"]', repr(COSIM)), encoding="utf-8")
    shown = ran([sys.executable, str(driver)])
    assert (shown.returncode, shown.stderr) == (0, "")
    rows = [line.split(maxsplit=2) for line in shown.stdout.splitlines()]
    # 5 kWh at 6 kW: ten steps of half a kWh, then nothing
    assert [float(row[1]) for row in rows] == pytest.approx([6.0] * 10 + [0.0] * 2)
    assert rows[0][2] == "garage import limit"
    assert rows[-1][2] == "full"
