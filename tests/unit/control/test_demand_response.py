from datetime import UTC, datetime, timedelta

import pytest

from derms.control.demand_response import constraints_on, is_active
from derms.model import DrEvent

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
    found = constraints_on("f-1", events, NOW, {"f-1": 1.0, "f-2": 1.0})
    assert [constraint.source for constraint in found] == ["a", "c"]


def test_a_shed_is_one_amount_shared_by_what_each_feeder_draws() -> None:
    # 20 kW of 30 + 10: 15 and 5; one that exports bears none
    event = _event(feeders=("f-1", "f-2", "f-3"), shed_kw=20.0, import_limit_kw=None)
    loads = {"f-1": 30.0, "f-2": 10.0, "f-3": -50.0}
    sheds = [constraints_on(feeder, [event], NOW, loads)[0].shed_kw for feeder in loads]
    assert sheds == [15.0, 5.0, 0.0]
