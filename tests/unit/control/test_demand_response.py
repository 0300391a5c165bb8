from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from derms.control.demand_response import constraints_on, is_active, program_bears
from derms.model import DrEvent, DrProgram, ProgramKind

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _event(event_id: str = "e", feeders: tuple[str, ...] = ("f-1",), **said: object) -> DrEvent:
    fields = {"start": NOW, "end": NOW + timedelta(hours=1), "created_at": NOW, "import_limit_kw": 10.0} | said
    return DrEvent(event_id=event_id, feeder_ids=feeders, **fields)  # type: ignore[arg-type]  # a table of fields


@pytest.mark.parametrize(
    ("at", "active"),
    [
        (NOW - timedelta(microseconds=1), False),
        (NOW, True),
        (NOW + timedelta(hours=1) - timedelta(microseconds=1), True),
        (NOW + timedelta(hours=1), False),
    ],
)
def test_the_start_is_inside_and_the_end_is_not(at: datetime, active: bool) -> None:
    assert is_active(_event(), at) is active


def test_a_cancelled_event_bears_on_nothing() -> None:
    assert not is_active(_event(cancelled_at=NOW), NOW)


def test_an_event_bears_on_its_feeders_only_and_one_without_any_on_all() -> None:
    events = [_event("a"), _event("b", ("f-2",)), _event("c", ())]
    flat = {"f-1": None, "f-2": None}
    found = constraints_on({"f-1": 0}, events, [], NOW, {"f-1": 1.0, "f-2": 1.0}, flat)
    assert [constraint.source for constraint in found] == ["a", "c"]


def test_a_shed_is_one_amount_shared_by_what_each_feeder_draws() -> None:
    # 20 kW of 30 + 10: 15 and 5; one that exports bears none
    event = _event(feeders=("f-1", "f-2", "f-3"), shed_kw=20.0, import_limit_kw=None)
    loads = {"f-1": 30.0, "f-2": 10.0, "f-3": -50.0}
    flat = dict.fromkeys(loads)
    sheds = [constraints_on({feeder: 0}, [event], [], NOW, loads, flat)[0].shed_kw for feeder in loads]
    assert sheds == [15.0, 5.0, 0.0]


def test_a_shed_on_a_feeder_and_on_its_parent_is_taken_once() -> None:
    event = _event(feeders=("root", "leaf"), shed_kw=20.0, import_limit_kw=None)
    parents = {"root": None, "leaf": "root", "other": "root"}
    found = constraints_on({"root": 0, "leaf": 1, "other": 2}, [event], [], NOW, {"root": 50.0, "leaf": 30.0}, parents)
    assert {constraint.node: constraint.shed_kw for constraint in found} == {0: 20.0, 1: 0.0}


def _program(kind: ProgramKind, **said: object) -> DrProgram:
    fields = {"start": NOW, "end": NOW + timedelta(hours=1), "active": True, "name": "p"} | said
    return DrProgram(program_id="p", kind=kind, **fields)  # type: ignore[arg-type]  # a table of fields


@pytest.mark.parametrize(
    ("incentive", "penalty", "fraction"),
    [
        (0.0, 0.0, 0.0),
        # 0.5 x (0.06 + 0.03) / 0.30
        (0.06, 0.03, 0.15),
        # 0.5 x 3 / 0.30 = 5, but no price puts off more than 0.8
        (3.0, 0.0, 0.8),
    ],
)
def test_a_price_puts_off_a_bounded_share_of_the_flexible_load(
    incentive: float, penalty: float, fraction: float
) -> None:
    program = _program(ProgramKind.PRICE_ELASTIC, incentive_per_kwh=incentive, penalty_per_kwh=penalty)
    (found,) = constraints_on({"f-1": 0}, [], [program], NOW, {"f-1": 10.0}, {"f-1": None})
    assert found.shed_fraction == pytest.approx(fraction)
    assert found.import_limit_kw == float("inf")


def test_a_program_bears_only_while_it_is_active_and_in_its_window() -> None:
    program = _program(ProgramKind.FIXED_CAP, target_shed_kw=5.0)
    assert program_bears(program, NOW)
    assert not program_bears(program, NOW + timedelta(hours=1))
    assert not program_bears(replace(program, active=False), NOW)
