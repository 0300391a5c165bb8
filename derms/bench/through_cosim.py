"""The same weeks, driven through `derms cosim`: as anybody outside would who has read `docs/cosimulation.md` alone.

The driver says what a charging site would know: registration and departure when a car comes, what each drew since the
tick before, and (`says`) what the session still needs, at every tick or only once. It follows the setpoints that live.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import numpy as np

from derms.bench.sessions import STEP_S, Run, drive
from derms.bench.weeks import Week
from derms.columns import Floats, Ints
from derms.cosim.run import Conversation
from derms.model import Policy

Ask = Callable[[dict[str, Any]], dict[str, Any]]
"""Say a line, get its answer."""


class Says(StrEnum):
    """How a driver says what a session needs."""

    LEFT = "left"
    """At every tick what is left."""
    ONCE = "once"
    """When the car comes, and never again."""


def in_process() -> Ask:
    """A session in this process, over the same bytes."""
    conversation = Conversation()
    lines = 0

    def ask(line: dict[str, Any]) -> dict[str, Any]:
        nonlocal lines
        lines += 1
        return conversation.answer(json.dumps(line).encode(), lines)

    return ask


@contextmanager
def in_subprocess() -> Iterator[Ask]:
    """A session with the command itself, over its pipes."""
    with subprocess.Popen(
        [sys.executable, "-m", "derms", "cosim"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as engine:
        said, answers = engine.stdin, engine.stdout
        assert said is not None
        assert answers is not None

        def ask(line: dict[str, Any]) -> dict[str, Any]:
            said.write(json.dumps(line).encode() + b"\n")
            said.flush()
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

        yield ask
        said.close()


def run_through(week: Week, limit_kw: float, policy: Policy, ask: Ask, says: Says = Says.LEFT) -> Run:
    """Drive a session through a week on the grid of `STEP_S`, under one limit [kW].

    Raises:
        ValueError: The session finds something wrong with a line.
    """
    answered(
        ask(
            {
                "nodes": {"site": {"import_limit_kw": limit_kw}},
                "policy": policy.value,
                "parameters": {"interval_s": STEP_S},
            }
        )
    )
    here: set[int] = set()

    def serve(present: Ints, now_s: float, left_kwh: Floats, drawn_kw: Floats, told_kw: Floats) -> Floats:
        nonlocal here
        rows = present.tolist()
        line = {
            "now": now_s,
            "devices": {
                _name(row): _device(week, row, row not in here, left, drawn, says)
                for row, left, drawn in zip(rows, left_kwh.tolist(), drawn_kw.tolist(), strict=True)
            },
            "gone": [_name(row) for row in sorted(here - set(rows))],
        }
        here = set(rows)
        answer = answered(ask(line))
        setpoints = answer["setpoints"]
        return np.array([setpoints.get(_name(row), {"p_setpoint_kw": 0.0})["p_setpoint_kw"] for row in rows])

    return drive(week, limit_kw, serve)


def _device(week: Week, row: int, is_new: bool, left_kwh: float, drawn_kw: float, says: Says) -> dict[str, Any]:
    said: dict[str, Any] = {"p_actual_kw": drawn_kw}
    if is_new or says is Says.LEFT:
        said["energy_needed_kwh"] = max(left_kwh, 0.0)
    if is_new:
        said |= {
            "type": "ev",
            "p_import_max_kw": float(week.p_max_kw[row]),
            "p_min_kw": float(week.p_min_kw[row]),
            "p_step_kw": float(week.p_step_kw[row]),
            "priority": float(week.priority[row]),
            "ready_by": float(week.departure_s[row]),
        }
    return said


def _name(row: int) -> str:
    return f"ev-{row:05d}"


def answered(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer that is no error line.

    Raises:
        ValueError: It is one.
    """
    if "error" in answer:
        raise ValueError(answer["error"]["message"])
    return answer
