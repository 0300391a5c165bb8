"""The logs read back, on the fake and on a real PostgreSQL."""

import random
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from derms.ports import HourStore, RecordBatch, RecordStore, ReportStore
from derms.reports import DeviceHour
from derms.runtime import SystemClock
from derms.store import open_store
from tests.fakes_store import T0, T0_MS, FakeStore, decision, sample

END = T0 + timedelta(hours=1)


class AnyStore(RecordStore, ReportStore, HourStore, Protocol): ...


@pytest.fixture(params=["fake", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyStore]:
    if request.param == "fake":
        yield FakeStore()
        return
    url = request.getfixturevalue("postgres_url")
    async with open_store(url, tmp_path, clock=SystemClock(), rng=random.Random(1)) as opened:
        yield opened


def tick(at_s: float, **found: Any) -> Any:
    return decision(round(at_s), at_ms=T0_MS + round(at_s * 1000), **found)


async def test_a_history_is_in_buckets_and_leaves_out_those_without_a_tick(store: AnyStore) -> None:
    ticks = [
        tick(0, load_kw=10.0, import_limit_kw=50.0, headroom_kw=5.0, pv_kw=-1.0),
        tick(8, load_kw=20.0, import_limit_kw=40.0, headroom_kw=3.0, pv_kw=-3.0, shortfall_kw=2.0),
        tick(25, load_kw=None, import_limit_kw=None, headroom_kw=None, pv_kw=None, deferred_kw=None),  # an older row
        tick(3600, load_kw=99.0),  # the end is not inside
    ]
    await store.write(RecordBatch(decisions=ticks))
    first, second = await store.feeder_history("feeder-1", since=T0, until=END, bucket_s=10)
    assert (first.at, first.ticks, second.at, second.ticks) == (T0, 2, T0 + timedelta(seconds=20), 1)
    assert (first.load_kw, first.load_max_kw, first.load_min_kw) == (15.0, 20.0, 10.0)
    assert (first.import_limit_kw, first.headroom_kw, first.shortfall_kw, first.pv_kw) == (40.0, 3.0, 2.0, -2.0)
    assert (second.load_kw, second.import_limit_kw, second.pv_kw, second.deferred_kw) == (None, None, None, None)
    assert second.background_kw == 20.0
    assert await store.feeder_history("feeder-9", since=T0, until=END, bucket_s=10) == []


async def test_figures_weigh_each_tick_by_the_time_it_holds(store: AnyStore) -> None:
    # 10 s at 30 kW of 60; 20 s at 66 of 60: above; 60 s (the gap is longer: not known) at -12; 30 s at 6 kW, no limit
    common = {"import_limit_kw": 60.0, "export_limit_kw": 11.95, "deferred_kw": 3.6, "curtailed_kw": 0.0}
    ticks = [
        tick(0, **common | {"load_kw": 30.0}),
        tick(10, **common | {"load_kw": 66.0}),
        tick(30, **common | {"load_kw": -12.0, "curtailed_kw": 7.2}),
        tick(3570, **common | {"load_kw": 6.0, "import_limit_kw": None}),
        tick(20, **common | {"load_kw": None}),  # what was not recorded is not there
    ]
    await store.write(RecordBatch(decisions=ticks))
    figures = await store.feeder_figures("feeder-1", since=T0, until=END)
    assert figures.covered_s == 120.0
    # (300 + 1320 - 720 + 180) / 120
    assert figures.average_kw == pytest.approx(9.0)
    assert (figures.peak_kw, figures.peak_at, figures.lowest_kw) == (66.0, T0 + timedelta(seconds=10), -12.0)
    assert figures.import_kwh == pytest.approx(0.5)  # (300 + 1320 + 180) / 3600
    assert figures.export_kwh == pytest.approx(0.2)
    assert figures.utilisation == pytest.approx((0.5 * 10 + 1.1 * 20) / 90)
    assert figures.deferred_kwh == pytest.approx(0.12)
    assert figures.curtailed_kwh == pytest.approx(0.12)
    # above by 10 %; and export is 0.42 % above its limit, which is within the tolerance of 1 %
    assert (figures.violations, figures.violation_s, figures.worst_excess_kw) == (1, 20.0, 6.0)


async def test_violations_that_follow_one_another_are_one_until_the_load_is_back(store: AnyStore) -> None:
    loads = [51.0, 52.0, 40.0, 55.0, 50.4, -25.0, 51.0]  # 50.4 is within 1 % of 50
    ticks = [tick(10 * n, load_kw=kw, import_limit_kw=50.0, export_limit_kw=20.0) for n, kw in enumerate(loads)]
    await store.write(RecordBatch(decisions=ticks))
    figures = await store.feeder_figures("feeder-1", since=T0, until=T0 + timedelta(seconds=70))
    assert (figures.violations, figures.violation_s) == (3, 50.0)
    assert figures.worst_excess_kw == pytest.approx(5.0)


async def test_of_a_period_without_a_tick_nothing_is_known(store: AnyStore) -> None:
    figures = await store.feeder_figures("feeder-1", since=T0, until=END)
    known = {name: value for name, value in asdict(figures).items() if value is not None}
    assert known == {
        "covered_s": 0.0,
        "import_kwh": 0.0,
        "export_kwh": 0.0,
        "deferred_kwh": 0.0,
        "curtailed_kwh": 0.0,
        "violations": 0,
        "violation_s": 0.0,
    }


def hour(device_id: str, asked: float, delivered: float, *, at_h: int = 0, feeder_id: str = "f", epoch: int = 1) -> Any:
    at = T0 + timedelta(hours=at_h)
    return DeviceHour(
        device_id=device_id, feeder_id=feeder_id, hour=at, epoch=epoch, asked_kwh=asked, delivered_kwh=delivered
    )


async def test_fairness_is_jains_index_over_what_each_got_of_what_it_asked_for(store: AnyStore) -> None:
    await store.save_hours([hour("a", 5.0, 1.0), hour("b", 4.0, 4.0, feeder_id="g"), hour("c", 0.001, 0.0)])
    await store.save_hours([hour("a", 10.0, 4.0), hour("a", 10.0, 6.0, at_h=1)])  # a total replaces the one before
    await store.save_hours([hour("b", 4.0, 4.5, feeder_id="g", epoch=2), hour("d", 1.0, 1.0, at_h=2)])
    fair = await store.fairness({"f", "g"}, since=T0, until=T0 + timedelta(hours=2))
    # a: 10 of 20, b: 8.5 of 8, which counts as all of it; (0.5 + 1)^2 / (2 (0.25 + 1))
    assert fair.index == pytest.approx(0.9)
    assert (fair.devices, fair.asked_kwh, fair.delivered_kwh) == (2, 28.0, 18.5)
    nobody = await store.fairness({"f"}, since=END + timedelta(days=1), until=END + timedelta(days=2))
    assert (nobody.devices, nobody.index, nobody.asked_kwh) == (0, None, 0.0)


async def test_samples_come_by_instant_and_sequence_a_page_at_a_time(store: AnyStore) -> None:
    rows = [sample(3), sample(1), sample(2), sample(None, at_ms=T0_MS + 2000), sample(9, device_id="other")]
    await store.write(RecordBatch(samples=rows))
    found, after = [], None
    while page := await store.stored_samples("ev-1", since=T0, until=T0 + timedelta(seconds=3), limit=2, after=after):
        found += page
        after = (page[-1].at, page[-1].seq)
    # the one of 3 s is outside: the end is not inside
    assert [((row.at - T0).total_seconds(), row.seq) for row in found] == [(1.0, 1), (2.0, -1), (2.0, 2)]
    assert (found[0].p_actual_kw, found[0].p_setpoint_kw, found[0].status) == (3.5, None, "ok")
    assert found[0].received_at - found[0].at == timedelta(milliseconds=40)


async def test_telemetry_in_buckets_averages_what_is_there(store: AnyStore) -> None:
    rows = [
        sample(0, p_actual_kw=1.0, p_setpoint_kw=2.0, soc=0.5),
        sample(5, p_actual_kw=4.0),
        sample(10, p_actual_kw=-1.0),
    ]
    await store.write(RecordBatch(samples=rows))
    first, second = await store.telemetry_buckets("ev-1", since=T0, until=END, bucket_s=10)
    assert (first.at, first.samples, first.p_actual_kw, first.p_actual_max_kw) == (T0, 2, 2.5, 4.0)
    assert (first.p_setpoint_kw, first.soc) == (2.0, 0.5)
    assert (second.p_actual_min_kw, second.p_setpoint_kw, second.soc) == (-1.0, None, None)
