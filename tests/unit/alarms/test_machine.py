"""The states of one alarm, by tables and by chance."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derms.alarms.machine import Condition, Point, Rule, acknowledged, shelved, stepped, unshelved
from derms.errors import ConflictError
from derms.model import AlarmChange, AlarmRecord, AlarmState, Priority

T0 = datetime(2026, 1, 1, tzinfo=UTC)
RULE = Rule(priority=Priority.HIGH, on_s=3.0, off_s=2.0, consequence="c", response="r")
FAR = Condition(kind="import-over", subject="f", cause="far")
NEAR = replace(FAR, cause="near", raises=False)
"""Within the deadband."""


def at(second: float) -> datetime:
    return T0 + timedelta(seconds=second)


def said(record: AlarmRecord, step: str, second: float) -> AlarmRecord:
    """`a` acknowledged, `s` shelved for 5 s, `u` unshelved."""
    match step:
        case "a":
            return acknowledged(record, "alice", at(second))
        case "s":
            return shelved(record, at(second + 5), "alice", "tests")
        case _:
            return unshelved(record)


def walked(steps: str, rule: Rule = RULE) -> list[str]:
    """Look once a second: `X` far, `n` near, `.` gone; `a` acknowledge, `s` shelve for 5 s, `u` unshelve between looks.

    Returns:
        The state after each look.
    """
    point, states, second = Point(), [], 0.0
    for step in steps:
        record = point.record
        if step in "asu":
            assert record is not None
            point = replace(point, record=said(record, step, second))
            continue
        condition = {"X": FAR, "n": NEAR, ".": None}[step]
        point, _ = stepped(point, condition, rule, at(second), second)
        states.append("" if point.record is None else point.record.state.value[:3])
        second += 1.0
    return states


@pytest.mark.parametrize(
    ("steps", "states"),
    # an on-delay of 3 s: the look 3 s after the first one raises; an off-delay of 2 s
    [
        ("XXXX", ["", "", "", "una"]),
        ("XXX.XXXX", ["", "", "", "", "", "", "", "una"]),  # interrupted: it begins anew
        ("nnnnn", ["", "", "", "", ""]),  # within the deadband nothing is raised
        ("XXnXXXX", ["", "", "", "", "", "", "una"]),  # nor does it count towards the delay
        ("XXXXnnnn", ["", "", "", "una", "una", "una", "una", "una"]),  # but it keeps what is there
        ("XXXX..", ["", "", "", "una", "una", "una"]),
        ("XXXX...", ["", "", "", "una", "una", "una", "ret"]),
        ("XXXX..X..", ["", "", "", "una", "una", "una", "una", "una", "una"]),
        ("XXXXaX", ["", "", "", "una", "ack"]),
        ("XXXXa...", ["", "", "", "una", "ack", "ack", "nor"]),
        ("XXXX...a.", ["", "", "", "una", "una", "una", "ret", "nor"]),
        ("XXXX...XXXX", ["", "", "", "una", "una", "una", "ret", "ret", "ret", "ret", "una"]),
        ("XXXXa...XXXX", ["", "", "", "una", "ack", "ack", "nor", "nor", "nor", "nor", "una"]),
        ("XXXXsXXXXXX", ["", "", "", "una", "she", "she", "she", "she", "she", "una"][:4] + ["she"] * 5 + ["una"]),
        ("XXXXasXXXXXX", ["", "", "", "una"] + ["she"] * 5 + ["ack"]),  # what was acknowledged stays so
        ("XXXXsX.....", ["", "", "", "una"] + ["she"] * 5 + ["ret"]),  # and what was not, too
        ("XXXXas......", ["", "", "", "una"] + ["she"] * 5 + ["nor"]),
        ("XXXXsXuX", ["", "", "", "una", "she", "una"]),
    ],
)
def test_an_alarm_goes_its_way(steps: str, states: list[str]) -> None:
    assert walked(steps) == states


def test_what_comes_while_it_is_shelved_is_there_afterwards() -> None:
    steps = "XXXXas...XXXX"  # acknowledged, shelved, gone, and back: nobody knows of the second occurrence
    assert walked(steps)[-1] == "una"


def test_without_delays_it_is_raised_and_returns_at_once() -> None:
    assert walked("X.X", replace(RULE, on_s=0.0, off_s=0.0)) == ["una", "ret", "una"]


def record(**changes: object) -> AlarmRecord:
    values: dict[str, object] = {
        "kind": "k", "subject": "s", "priority": Priority.LOW, "cause": "", "consequence": "", "response": "",
        "active": True, "acknowledged": False, "occurrences": 1, "raised_at": T0,
    }  # fmt: skip
    return AlarmRecord(**(values | changes))  # type: ignore[arg-type]  # a table of fields


def test_what_cannot_be_said_of_an_alarm_is_refused() -> None:
    with pytest.raises(ConflictError, match="alice did so"):
        acknowledged(record(acknowledged=True, acknowledged_by="alice"), "bob", T0)
    with pytest.raises(ConflictError, match="is normal"):
        shelved(record(active=False, acknowledged=True), at(1), "bob", "x")
    with pytest.raises(ConflictError, match="was not shelved"):
        unshelved(record())


def test_an_occurrence_is_counted_until_somebody_knew_of_it() -> None:
    rule = replace(RULE, on_s=0.0, off_s=0.0)
    point = Point()
    for n, condition in enumerate([FAR, None, FAR, None, FAR]):
        point, _ = stepped(point, condition, rule, at(n), n)
    assert point.record is not None
    assert point.record.occurrences == 3
    assert (point.record.raised_at, point.record.returned_at) == (at(4), None)
    known = replace(point, record=acknowledged(point.record, "alice", at(5)))
    for n, condition in enumerate([None, FAR], 6):
        known, _ = stepped(known, condition, rule, at(n), n)
    assert known.record is not None
    assert (known.record.occurrences, known.record.acknowledged_by) == (1, None)


@given(st.text("Xn.asu", max_size=60), st.floats(0, 5), st.floats(0, 5))
def test_nobody_is_told_less_than_happened(actions: str, on_s: float, off_s: float) -> None:
    """Acknowledged only by somebody; raised and returned take turns; what nobody knows of never becomes normal."""
    rule = replace(RULE, on_s=on_s, off_s=off_s)
    point, history, known = Point(), [], True
    for second, action in enumerate(actions):
        before = point.record
        if action in "asu":
            if before is None:
                continue
            try:
                point = replace(point, record=said(before, action, second))
            except ConflictError:
                continue
            known = known or action == "a"
        else:
            condition = {"X": FAR, "n": NEAR, ".": None}[action]
            point, changes = stepped(point, condition, rule, at(second), float(second))
            history += [one for one in changes if one in (AlarmChange.RAISED, AlarmChange.RETURNED)]
            if AlarmChange.RAISED in changes:
                known = False
        if point.record is not None:
            assert point.record.acknowledged == known
            assert known or point.record.state is not AlarmState.NORMAL
            assert point.record.active == (history[-1] is AlarmChange.RAISED)
            assert (point.record.shelved_until is None) == (point.record.state is not AlarmState.SHELVED)
    turns = [AlarmChange.RAISED, AlarmChange.RETURNED] * len(history)
    assert history == turns[: len(history)]
    # Once it is gone for good it returns, whatever was said of it.
    for second in range(len(actions), len(actions) + 8):
        point, _ = stepped(point, None, rule, at(second), float(second))
    assert point.record is None or not point.record.active
