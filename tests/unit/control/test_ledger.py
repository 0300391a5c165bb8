"""What a tick came to, and what devices asked for and drew by the hour."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from derms.control.ledger import Ledger
from derms.control.tallies import tally
from derms.metrics import Metrics
from derms.model import DeviceKind, Feeder
from tests.fakes_api import NOW_MS, FakeClock
from tests.live import LiveController, live_controller

HOUR_MS = 3_600_000


@pytest.fixture
def live() -> Any:
    with live_controller(FakeClock(), Metrics(version="1")) as controller:
        yield controller


def ticked(live: LiveController, ledger: Ledger, feeder_id: str = "feeder-1") -> None:
    live.loop.tick()
    tree = live.loop.feeders[feeder_id].tree
    assert tree.picture is not None
    assert tree.decision is not None
    assert tree.layout is not None
    ledger.note(tree, tally(tree.picture, tree.decision, tree.layout))


def ledger_of(live: LiveController) -> Ledger:
    return Ledger(fleet=live.fleet, store=live.store, clock=live.clock, epoch=7)


def stored(live: LiveController) -> list[tuple[str, str, datetime, float, float]]:
    return [
        (one.device_id, one.feeder_id, one.hour, round(one.asked_kwh * 3600), round(one.delivered_kwh * 3600, 3))
        for one in live.store.hours.values()
    ]


def test_a_tick_is_summed_up_by_kind_and_by_what_was_held_back(live: LiveController) -> None:
    # 19 kW to give below a margin of 1; two chargers could take 7 kW each, the battery 7 kW
    for name in ("ev-1", "ev-2"):
        live.register(name, feeder_id="feeder-2")
        live.hear(name, 2.0, soc=0.1)
    live.register("load-1", DeviceKind.LOAD)
    live.hear("load-1", 15.0)
    live.register("pv-1", DeviceKind.PV)
    live.hear("pv-1", -3.0, p_max_kw=5.0)
    live.loop.tick()
    tree = live.loop.feeders["feeder-1"].tree
    assert tree.picture is not None
    assert tree.decision is not None
    assert tree.layout is not None
    tallies = tally(tree.picture, tree.decision, tree.layout)
    assert tallies.ev_kw.tolist() == [4.0, 4.0]
    assert tallies.base_kw.tolist() == [15.0, 0.0]
    assert tallies.pv_kw.tolist() == [-3.0, 0.0]
    assert sorted(tallies.asked_kw.tolist()) == [0.0, 0.0, 7.0, 7.0]
    given = sum(max(kw, 0.0) for kw, kind in zip(tree.decision.target_kw, tree.picture.devices.kind, strict=True)
                if kind == 2)  # fmt: skip
    assert tallies.deferred_kw[0] == pytest.approx(14.0 - given)
    assert given < 14.0
    assert tallies.curtailed_kw.tolist() == [0.0, 0.0]


def test_generation_is_curtailed_where_it_runs_at_a_cap_below_what_it_says_it_can_make(live: LiveController) -> None:
    live.loop.set_feeders([Feeder(feeder_id="feeder-1", export_limit_kw=2.0)])
    live.register("pv-1", DeviceKind.PV)
    clock: Any = live.clock
    for makes_kw in (5.0, 2.0, 2.0):
        clock.now += 2_000
        live.hear("pv-1", -makes_kw, p_max_kw=5.0, seq=clock.now)
        live.loop.tick()
    tree = live.loop.feeders["feeder-1"].tree
    assert tree.picture is not None
    assert tree.decision is not None
    assert tree.layout is not None
    # it says 5, is told 2, makes 2
    assert tally(tree.picture, tree.decision, tree.layout).curtailed_kw.tolist() == [pytest.approx(3.0)]


def test_hours_are_totals_that_are_written_again_and_again_and_forgotten_when_they_are_over(
    live: LiveController,
) -> None:
    async def main() -> None:
        ledger, clock = ledger_of(live), live.clock
        live.register("ev-1", feeder_id="feeder-3", capacity_kwh=60.0)
        live.hear("ev-1", 3.0, soc=0.1)
        ticked(live, ledger, "feeder-3")
        await ledger.flush()
        hour = datetime.fromtimestamp(NOW_MS / 1000, UTC)
        # one tick of 2 s: 7 kW could have been given, 3 kW were drawn
        assert stored(live) == [("ev-1", "feeder-3", hour, 14, 6.0)]
        now: Any = clock
        now.now += 2_000
        live.hear("ev-1", 5.0, soc=0.1, seq=2)
        ticked(live, ledger, "feeder-3")
        await ledger.flush()
        await ledger.flush()
        assert stored(live) == [("ev-1", "feeder-3", hour, 28, 16.0)]
        now.now += HOUR_MS
        await ledger.flush()
        live.store.hours.clear()
        await ledger.flush()
        assert stored(live) == []

    asyncio.run(main())


def test_a_device_that_is_moved_is_counted_where_it_was(live: LiveController) -> None:
    async def main() -> None:
        ledger = ledger_of(live)
        live.register("ev-1", feeder_id="feeder-1", capacity_kwh=60.0)
        clock: Any = live.clock
        for feeder_id in ("feeder-1", "feeder-2", "feeder-1"):
            live.registry.change_device("ev-1", {"feeder_id": feeder_id})
            clock.now += 2_000
            live.hear("ev-1", 3.0, soc=0.1, seq=clock.now)
            ticked(live, ledger)
        await ledger.flush()
        assert sorted(row[1:2] + row[3:] for row in stored(live)) == [("feeder-1", 28, 12.0), ("feeder-2", 14, 6.0)]

    asyncio.run(main())


def test_a_store_that_is_away_costs_no_more_than_the_oldest_of_two_days(
    live: LiveController, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = ledger_of(live)
    live.register("ev-1", feeder_id="feeder-3", capacity_kwh=60.0)
    clock: Any = live.clock
    for _ in range(50):
        clock.now += HOUR_MS
        live.hear("ev-1", 3.0, soc=0.1, seq=clock.now)
        ticked(live, ledger, "feeder-3")
    asyncio.run(ledger.flush())
    assert len(stored(live)) == 48
    assert len([record for record in caplog.records if "is lost" in record.message]) == 2
