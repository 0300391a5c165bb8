"""When an event counts as held."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from derms.api.schemas.events import EventOut
from derms.api.schemas.feeders import FeederSummaryOut
from derms.cli.following import excess_kw
from derms.model import EventState, FeederMode

START = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
EVENT = EventOut(
    event_id="dr-1", feeder_ids=["feeder-1"], start=START, end=START + timedelta(hours=1), import_limit_kw=100.0,
    created_by="op", created_at=START, state=EventState.ACTIVE,
)  # fmt: skip
FEEDER = FeederSummaryOut(
    feeder_id="feeder-1", name="", mode=FeederMode.AUTO, at=START, tick=1, epoch=1, import_limit_kw=80.0,
    static_import_limit_kw=150.0, limit_source="dr-2", export_limit_kw=None, measured_kw=None, load_kw=90.0,
    background_kw=0.0, reserved_kw=0.0, headroom_kw=None, commanded_kw=0.0, shortfall_kw=0.0, pv_kw=0.0,
    battery_kw=0.0, ev_kw=0.0, base_kw=0.0, devices_total=0, devices_by_type={}, devices_by_origin={}, freshness={},
    active_events=[EVENT],
)  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "load_kw", "held"),
    [
        ({}, 90.0, True),  # another event's 80 kW are not asked about
        ({}, 100.5, True),  # 0.5 % of 100 kW
        ({}, 100.6, False),
        ({"import_limit_kw": None, "shed_kw": 10.0}, 80.0, True),  # what a shed became is the limit in force
        ({"import_limit_kw": None, "shed_kw": 10.0}, 90.0, False),
        ({"import_limit_kw": None, "export_limit_kw": 5.0}, 90.0, True),
        ({"import_limit_kw": None, "export_limit_kw": 5.0}, -5.1, True),  # 0.1 kW
        ({"import_limit_kw": None, "export_limit_kw": 5.0}, -5.2, False),
        ({"export_limit_kw": 0.0}, 101.0, False),
    ],
)
def test_a_feeder_is_judged_by_the_events_own_limits(
    limits: dict[str, float | None], load_kw: float, held: bool
) -> None:
    over = excess_kw(replace(FEEDER, load_kw=load_kw), replace(EVENT, **limits))
    assert over is not None
    assert (over <= 1e-9) is held


def test_nothing_is_known_before_a_tick_has_seen_the_event() -> None:
    assert excess_kw(replace(FEEDER, at=None), EVENT) is None
    assert excess_kw(replace(FEEDER, at=START - timedelta(seconds=1)), EVENT) is None
    assert excess_kw(replace(FEEDER, active_events=[]), EVENT) is None
