"""What is wrong, read from a live controller, and looked at by the watch."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from derms.alarms.desk import AlarmDesk
from derms.alarms.rules import GROUPED, RULES
from derms.alarms.sources import of_links, of_loop, of_spool
from derms.alarms.watch import AlarmWatch, Watched
from derms.alarms.watchdog import Watchdog
from derms.metrics import Metrics
from derms.model import DrEvent, Feeder
from derms.runtime import SystemClock
from tests.fakes_contract import run_virtually
from tests.plant import PARAMS, Rig, Site, running_rig

FEEDER = Feeder(feeder_id="feeder-1", import_limit_kw=40.0)


def watch_of(rig: Rig, metrics: Metrics) -> tuple[AlarmWatch, AlarmDesk]:
    desk = AlarmDesk(RULES, gather=GROUPED, on_change=lambda record, line: None)
    watched = Watched(
        loop=rig.loop, recorder=rig.recorder, spool_max_bytes=1 << 20, broker_away=lambda: False,
        interval_s=PARAMS.interval_s,
    )  # fmt: skip
    return AlarmWatch(watched, desk=desk, notices=None, clock=rig.clock, metrics=metrics), desk


async def looked(rig: Rig, watch: AlarmWatch, seconds: int) -> None:
    for _ in range(seconds):
        await rig.live(1)
        watch.look()


def event(rig: Rig, limit_kw: float) -> DrEvent:
    now = datetime.fromtimestamp(rig.clock.now_ms() / 1000, UTC)
    return DrEvent(
        event_id="dr-1", feeder_ids=("feeder-1",), start=now, end=now + timedelta(minutes=10), created_at=now,
        import_limit_kw=limit_kw,
    )  # fmt: skip


def test_an_event_that_is_not_obeyed_is_late_after_half_a_minute(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_rig(tmp_path, FEEDER) as rig:
            rig.background_kw = 10.0
            rig.sites = [Site("ev-0", 7.0)]
            await rig.live(60)
            metrics = Metrics(version="1")
            watch, desk = watch_of(rig, metrics)
            rig.loop.add_event(event(rig, 6.0))  # 10 kW are not told anything
            await looked(rig, watch, 25)
            assert "compliance-late.dr-1" not in [one.alarm_id for one in desk.records()]
            await looked(rig, watch, 12)
            late = desk.find("compliance-late.dr-1")
            assert "feeder-1 imports 10.0 kW, 4.0 kW more than the event allows" in late.cause
            assert metrics.registry.get_sample_value("derms_alarms", {"kind": "compliance-late"}) == 1.0
            assert {one.kind for one in desk.records()} >= {"import-over", "shortfall", "compliance-late"}
            rig.loop.add_event(replace(event(rig, 6.0), cancelled_at=datetime.now(UTC)))
            await looked(rig, watch, 40)
            assert {one.state.value for one in desk.records()} == {"returned_unacknowledged"}

    run_virtually(main())


def test_an_event_that_is_obeyed_raises_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_rig(tmp_path, FEEDER) as rig:
            rig.sites = [Site(f"ev-{n}", 7.0) for n in range(4)]
            await rig.live(60)
            watch, desk = watch_of(rig, Metrics(version="1"))
            rig.loop.add_event(event(rig, 10.0))
            await looked(rig, watch, 60)
            assert [one.alarm_id for one in desk.records()] == []

    run_virtually(main())


@pytest.mark.parametrize(("silent_s", "stalled"), [(0.0, False), (15.0, False), (15.1, True)])
def test_a_loop_stands_after_three_intervals(silent_s: float, stalled: bool) -> None:
    assert bool(list(of_loop(silent_s, 5.0))) is stalled


@pytest.mark.parametrize(
    ("used", "raises"),
    # of 1000: over half raises, over 40 % only keeps
    [(0, None), (400, None), (401, False), (500, False), (501, True), (1000, True)],
)
def test_a_spool_that_fills_has_a_deadband(used: int, raises: bool | None) -> None:
    found = list(of_spool(used, 1000, disk_failed=False))
    assert [one.raises for one in found] == ([] if raises is None else [raises])


def test_what_is_away_is_told_by_its_name() -> None:
    assert [one.subject for one in of_links(broker_away=True, store_away=True)] == ["broker", "store"]
    assert list(of_links(broker_away=False, store_away=False)) == []


class Beat:
    """When a loop last showed itself."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.at_s = self.clock.monotonic_s()


@pytest.fixture
def beat() -> Beat:
    return Beat()


def test_the_watchdog_tells_once_of_a_stall_and_again_of_the_next(beat: Beat) -> None:
    told: list[float] = []
    dog = Watchdog(lambda: beat.at_s, limit_s=10.0, clock=beat.clock, on_stall=told.append)
    dog.check()
    assert told == []
    beat.at_s -= 60.0
    for _ in range(3):
        dog.check()
    assert len(told) == 1
    assert told[0] == pytest.approx(60.0, abs=1.0)
    beat.at_s += 60.0
    dog.check()
    assert not dog.stalled
    beat.at_s -= 60.0
    dog.check()
    assert len(told) == 2


def test_the_watchdog_barks_while_its_own_thread_is_held(beat: Beat, caplog: pytest.LogCaptureFixture) -> None:
    barked = threading.Event()
    beat.at_s -= 60.0
    with Watchdog(lambda: beat.at_s, limit_s=1.0, clock=beat.clock, on_stall=lambda _: barked.set()):
        held_until_s = time.monotonic() + 10.0
        while not barked.is_set() and time.monotonic() < held_until_s:
            pass  # holds this thread, as a tick that never ends would
    assert barked.is_set()
    (line,) = [one for one in caplog.records if one.levelname == "CRITICAL"]
    assert "holds this thread" not in line.message
    assert "test_sources" in str(getattr(line, "where", ""))
