"""What the database's logs say came of an event, by a course whose figures can be worked out by hand."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from derms.api.outcome_rules import instants_of, outcome_of, wanted_of
from derms.api.schemas.outcomes import OutcomeOut, Part
from derms.model import Author, Device, DeviceKind, DeviceStatus, DrEvent, Feeder
from derms.ports import RecordBatch
from derms.runtime import SystemClock
from derms.store import open_store
from derms.store.postgres import PostgresStore
from tests.fakes_store import T0, T0_MS, decision, event, override, sample, setpoint

BEGUN = T0 + timedelta(hours=1)
BEGUN_MS = T0_MS + 3_600_000
EVENT = replace(event(), start=BEGUN, end=BEGUN + timedelta(seconds=120), import_limit_kw=60.0)


@pytest.fixture
async def store(postgres_url: str, tmp_path: Path) -> AsyncIterator[PostgresStore]:
    async with open_store(postgres_url, tmp_path, clock=SystemClock(), rng=random.Random(1)) as opened:
        await opened.save_feeders([Feeder(feeder_id="feeder-1"), Feeder(feeder_id="below", parent_id="feeder-1")])
        yield opened


async def course(
    store: PostgresStore, loads: dict[int, float], limit_kw: float = 200.0, source: str = "static"
) -> None:
    """Ticks at seconds from the start of the event: what was drawn then."""
    await store.write(
        RecordBatch(
            decisions=[
                replace(
                    decision(),
                    at_ms=BEGUN_MS + 1000 * at_s,
                    tick=1000 + at_s,
                    load_kw=load_kw,
                    measured_kw=None,
                    import_limit_kw=limit_kw,
                    limit_source=source,
                )
                for at_s, load_kw in loads.items()
            ]
        )
    )


async def outcome(store: PostgresStore, of: DrEvent = EVENT, bucket_s: float | None = None) -> OutcomeOut:
    now = of.end + timedelta(hours=1)
    wanted = wanted_of(of, bucket_s, now)
    feeders = await store.feeder_courses(wanted)
    devices = await store.device_courses(wanted, instants_of(wanted))
    return outcome_of(wanted, feeders, devices, of.feeder_ids, now)


async def test_committed_and_delivered_are_counted_against_what_flowed_before(store: PostgresStore) -> None:
    # 100 kW for a quarter of an hour, then 100 for 5 s, 80 for 5 s, and 60 for the rest of two minutes
    await course(
        store, dict.fromkeys(range(-900, 0, 5), 100.0) | {0: 100.0, 5: 80.0} | dict.fromkeys(range(10, 200, 5), 60.0)
    )
    found = await outcome(store)
    (feeder,) = found.feeders
    assert feeder.baseline_kw == pytest.approx(100.0)
    assert (feeder.observed_s, feeder.compliance_s, feeder.until_under_limit_s) == (120.0, 110.0, 10.0)
    first, second = feeder.intervals
    assert first.load_kw == pytest.approx((100 * 5 + 80 * 5 + 60 * 50) / 60)  # 65
    assert [first.committed_kw, first.delivered_kw] == pytest.approx([40.0, 35.0])
    assert [second.load_kw, second.limit_kw] == pytest.approx([60.0, 60.0])
    assert [second.committed_kw, second.delivered_kw] == pytest.approx([40.0, 40.0])
    assert found.total == feeder.intervals


async def test_a_shed_is_judged_by_the_limit_it_became(store: PostgresStore) -> None:
    await course(store, dict.fromkeys(range(-900, 0, 5), 100.0))
    await course(store, dict.fromkeys(range(0, 120, 5), 85.0), limit_kw=80.0, source="dr-1")
    found = await outcome(store, replace(EVENT, import_limit_kw=None, shed_kw=20.0), 120.0)
    (interval,) = found.feeders[0].intervals
    assert (interval.limit_kw, interval.committed_kw, interval.delivered_kw) == (80.0, 20.0, 15.0)
    assert found.feeders[0].compliance_s == 0.0


async def test_what_is_not_on_record_is_not_guessed(store: PostgresStore) -> None:
    await course(store, {-30: 100.0, 30: 50.0})
    (feeder,) = (await outcome(store)).feeders
    # one tick speaks for the 60 s that follow it at most: 30 s before the event and none of the first 30 s of it
    assert feeder.baseline_kw is None
    assert "none" in feeder.baseline_basis
    assert (feeder.observed_s, feeder.until_under_limit_s) == (60.0, 30.0)
    assert [one.delivered_kw for one in feeder.intervals] == [None, None]
    assert feeder.intervals[0].load_kw == 50.0


async def test_an_event_for_export_counts_what_flows_out(store: PostgresStore) -> None:
    await course(store, dict.fromkeys(range(-900, 0, 5), -50.0) | dict.fromkeys(range(0, 120, 5), -20.0))
    found = await outcome(store, replace(EVENT, import_limit_kw=None, export_limit_kw=20.0), 120.0)
    (interval,) = found.feeders[0].intervals
    assert (found.direction, found.feeders[0].baseline_kw) == ("export", 50.0)
    assert (interval.load_kw, interval.committed_kw, interval.delivered_kw) == (20.0, 30.0, 30.0)
    assert found.feeders[0].compliance_s == 120.0


async def test_each_device_is_told_by_the_part_it_played(store: PostgresStore) -> None:
    names = ["follows", "gives", "held", "idle", "local", "refuses", "silent"]
    await store.save_devices(
        [
            Device(
                device_id=name,
                kind=DeviceKind.BATTERY if name == "gives" else DeviceKind.EV,
                feeder_id="below",
                p_import_max_kw=9.0,
            )
            for name in names
        ]
    )
    await store.save_devices([Device(device_id="house", kind=DeviceKind.LOAD, feeder_id="below")])
    # before: 7 kW (the battery and the idle one 0); during the event as they are told, or not
    told = {"follows": 2.0, "gives": -3.0, "held": 7.0, "idle": 0.0, "local": 2.0, "refuses": 2.0, "silent": 2.0}
    does = {"follows": 2.0, "gives": -3.0, "held": 7.0, "idle": 0.0, "local": 7.0, "refuses": 6.0}
    before = dict.fromkeys(names, 7.0) | {"gives": 0.0, "idle": 0.0}
    samples = [
        sample(
            at_s + 900,
            device_id=name,
            at_ms=BEGUN_MS + 1000 * at_s,
            p_actual_kw=before[name] if at_s < 2 else does[name],
            status=DeviceStatus.LOCAL if name == "local" else DeviceStatus.OK,
        )
        for name in names
        for at_s in range(-900, 120, 2)
        if name != "silent" or at_s < -100
    ]
    leases = [
        setpoint(n, device_id=name, p_setpoint_kw=kw, issued_at_ms=at_ms, valid_until_ms=at_ms + 90_000)
        for name in names
        for n, (at_ms, kw) in enumerate([(BEGUN_MS - 60_000, before[name]), (BEGUN_MS, told[name]),
                                         (BEGUN_MS + 60_000, told[name])])
    ]  # fmt: skip
    await store.write(RecordBatch(samples=samples, setpoints=leases))
    await store.put_override(
        override("held", p_kw=7.0, created_at=BEGUN - timedelta(minutes=5), until=BEGUN + timedelta(hours=1)),
        by=Author("alice", "r"),
    )
    # The line in the log is of today, and so after the event: it bore, as far as the log tells, from then on.
    found = {one.device_id: one for one in (await outcome(store)).devices}
    assert sorted(found) == names
    parts = {name: one.part for name, one in found.items()}
    assert parts == {
        "follows": Part.PARTICIPATED,
        "gives": Part.PARTICIPATED,
        "held": Part.NOT_CALLED,
        "idle": Part.NOT_CALLED,
        "local": Part.OVERRIDDEN,
        "refuses": Part.REFUSED,
        "silent": Part.SILENT,
    }
    assert found["follows"].shed_kw == pytest.approx(5.0, abs=0.2)
    assert found["gives"].shed_kw == pytest.approx(3.0, abs=0.2)
    assert found["silent"].before_kw == pytest.approx(7.0)
    assert found["silent"].shed_kw is None
    assert found["follows"].told_kw == pytest.approx(2.0)


@pytest.mark.parametrize(("released", "part"), [(False, Part.OVERRIDDEN), (True, Part.REFUSED)])
async def test_what_an_operator_held_during_an_event_is_overridden(
    store: PostgresStore, released: bool, part: Part
) -> None:
    await store.save_devices([Device(device_id="ev", kind=DeviceKind.EV, feeder_id="feeder-1")])
    await store.put_override(
        override("ev", created_at=datetime.now(UTC), until=datetime.now(UTC) + timedelta(hours=1)), by=Author("a", "r")
    )
    if released:  # before the event began
        await store.clear_override("ev", by=Author("a", "r"))
    begun = datetime.now(UTC)
    begun_ms = round(begun.timestamp() * 1000)
    await store.write(
        RecordBatch(
            samples=[sample(n, device_id="ev", at_ms=begun_ms + 1000 * n, p_actual_kw=7.0) for n in range(0, 60, 2)],
            setpoints=[setpoint(0, device_id="ev", issued_at_ms=begun_ms, valid_until_ms=begun_ms + 60_000)],
        )
    )
    (device,) = (await outcome(store, replace(EVENT, start=begun, end=begun + timedelta(seconds=60)))).devices
    assert device.part is part
