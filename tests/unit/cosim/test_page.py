"""`docs/cosimulation.md` and `docs/errors.md` against what is built."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from derms.columns import Params
from derms.cosim.said import DeviceSaid, EventSaid, NodeSaid, OverrideWord, ProgramSaid
from derms.cosim.wrong import Code
from derms.model import DeviceKind, DeviceStatus, FeederMode, Policy
from tests.unit.cosim.driver import Session, answers, ev

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "cosimulation.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| (`[^|]+) \|", re.MULTILINE)


def section(title: str) -> str:
    """The text below a heading, down to the next of its level."""
    mark = re.search(rf"^(#+) {re.escape(title)}$", PAGE, re.MULTILINE)
    assert mark is not None, title
    rest = PAGE[mark.end() :]
    return re.split(rf"^#{{2,{len(mark.group(1))}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(title: str) -> set[str]:
    """The names that head the rows of its tables."""
    return {name for cell in _ROW.findall(section(title)) for name in re.findall(r"`([a-z_-]+)`", cell)}


def test_every_field_has_its_row() -> None:
    assert rows("A node") == set(NodeSaid.__struct_fields__)
    assert rows("A device") == {*DeviceSaid.__struct_fields__, "min_power_kw", "power_step_kw"}
    events = {*EventSaid.__struct_fields__, *ProgramSaid.__struct_fields__} - {"id", "nodes", "start", "end"}
    assert events <= rows("Events and programs")
    assert rows("The first line") == {"nodes", "devices", "policy", "parameters"}
    assert rows("A tick") == {"now", "nodes", "devices", "gone", "events", "programs"} | rows("A node") | rows(
        "A device"
    )


def test_every_parameter_stands_with_its_default() -> None:
    text = section("Parameters")
    assert rows("Parameters") == {item.name for item in fields(Params)} | {"lockstep"}
    for names, defaults in re.findall(r"^\| (`[^|]+) \| ([0-9., ]+) \|", text, re.MULTILINE):
        for name, default in zip(re.findall(r"`(\w+)`", names), defaults.split(","), strict=True):
            assert getattr(Params(), name) == float(default), name


@pytest.mark.parametrize(
    "words", [Policy, DeviceStatus, FeederMode, OverrideWord, set(DeviceKind) - {DeviceKind.METER}]
)
def test_every_word_that_may_be_said_stands_there(words: Any) -> None:
    assert [word.value for word in words if f"`{word.value}`" not in PAGE] == []


def test_every_field_of_an_answer_stands_there() -> None:
    session = Session(
        {"feeder": {"import_limit_kw": 5}, "row": {"parent": "feeder", "mode": "advise"}},
        {"a": ev(p_actual_kw=0, node="row"), "house": {"type": "load", "node": "feeder", "p_actual_kw": 9}},
    )
    answer = session.tick()
    late = session.tick({"a": {"soc": 0.2, "at": -300}})
    assert {*answer, *late} <= rows("The answer to a tick")
    assert set(answer["nodes"]["feeder"]) == rows("The answer to a tick") - {
        "now", "setpoints", "why", "nodes", "advice", "alarms", "late"
    }  # fmt: skip
    assert set(session.ready) == {"ready", "derms", "protocol", "nodes", "devices", "policy", "parameters"}
    for alarm in answer["alarms"]:
        assert f'"alarm": "{alarm["alarm"]}"' in PAGE


def test_every_code_has_its_row_here_and_among_the_errors() -> None:
    assert rows("Errors") == {code.value for code in Code}
    errors = (DOCS / "errors.md").read_text(encoding="utf-8").split("\n## Error lines of `derms cosim`\n", 1)[1]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", errors.split("\n## ", 1)[0], re.MULTILINE)) == {
        code.value for code in Code
    }


def test_the_examples_of_the_page_are_taken() -> None:
    first, ready, tick, answer, event, error = (
        json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.S)
    )
    opened, told, dr = answers(first, tick, {**event, "now": 600})
    assert set(opened) == set(ready)
    assert {key: opened[key] for key in ("nodes", "devices", "policy")} == {
        key: ready[key] for key in ("nodes", "devices", "policy")
    }
    assert set(told) >= set(answer)
    assert told["setpoints"] == answer["setpoints"]
    assert "error" not in dr
    wrong = answers(first, '{"now": 0, "devices": {"ev-1": {"p_actul_kw": 1}}}')[-1]
    assert (wrong["error"]["code"], set(wrong["error"])) == (error["error"]["code"], set(error["error"]))
