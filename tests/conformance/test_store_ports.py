"""What every store does, run on the fake and on a real PostgreSQL."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from derms.errors import ConflictError, NotFoundError
from derms.model import Device, DeviceKind, Dialect, Enrolment, Feeder, FeederMode, Origin
from derms.ports import EventStore, RecordBatch, RecordStore, RegistryStore
from derms.runtime import SystemClock
from derms.store import open_store
from tests.fakes_store import T0, FakeStore, decision, event, sample, setpoint


class AnyStore(RecordStore, RegistryStore, EventStore, Protocol):
    async def counts(self) -> dict[str, int]: ...


@pytest.fixture(params=["fake", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyStore]:
    if request.param == "fake":
        yield FakeStore()
        return
    url = request.getfixturevalue("postgres_url")
    async with open_store(url, tmp_path, clock=SystemClock(), rng=random.Random(1)) as opened:
        yield opened


def batch() -> RecordBatch:
    return RecordBatch(
        samples=[sample(n) for n in range(20)],
        setpoints=[setpoint(n) for n in range(3)],
        decisions=[decision(n) for n in range(2)],
    )


async def test_a_batch_written_twice_leaves_one_copy(store: AnyStore) -> None:
    await store.write(batch())
    await store.write(batch())
    counts = await store.counts()
    assert [counts[name] for name in ("telemetry", "setpoints", "decisions")] == [20, 3, 2]


async def test_a_batch_that_overlaps_an_earlier_one_adds_only_what_is_new(store: AnyStore) -> None:
    await store.write(RecordBatch(samples=[sample(n) for n in range(10)]))
    await store.write(RecordBatch(samples=[sample(n) for n in range(5, 15)]))
    assert (await store.counts())["telemetry"] == 15


async def test_the_same_row_twice_in_one_batch_is_stored_once(store: AnyStore) -> None:
    await store.write(RecordBatch(samples=[sample(1), sample(1)], setpoints=[setpoint(1), setpoint(1)]))
    counts = await store.counts()
    assert (counts["telemetry"], counts["setpoints"]) == (1, 1)


async def test_two_samples_of_one_instant_with_other_sequence_numbers_are_two(store: AnyStore) -> None:
    at_ms = sample().telemetry.at_ms
    await store.write(RecordBatch(samples=[sample(seq, at_ms=at_ms) for seq in (1, 2, None)]))
    assert (await store.counts())["telemetry"] == 3


async def test_an_empty_batch_changes_nothing(store: AnyStore) -> None:
    await store.write(RecordBatch())
    assert (await store.counts())["telemetry"] == 0


async def test_a_feeder_comes_back_as_it_was_saved_and_is_replaced(store: AnyStore) -> None:
    root = Feeder(feeder_id="f0", name="Root", import_limit_kw=100.0)
    leaf = Feeder(
        feeder_id="f1",
        parent_id="f0",
        export_limit_kw=0.0,
        margin_kw=1.5,
        assumed_unmetered_kw=-2.0,
        mode=FeederMode.ADVISE,
    )
    await store.save_feeder(root)
    await store.save_feeder(leaf)
    assert await store.load_feeders() == [root, leaf]
    changed = replace(leaf, mode=FeederMode.OFF, export_limit_kw=None)
    await store.save_feeder(changed)
    assert await store.load_feeders() == [root, changed]


async def test_devices_come_back_as_they_were_saved_and_are_replaced(store: AnyStore) -> None:
    await store.save_feeder(Feeder(feeder_id="f0"))
    plain = Device(device_id="a", kind=DeviceKind.LOAD, feeder_id="f0")
    full = Device(
        device_id="b",
        kind=DeviceKind.BATTERY,
        feeder_id="f0",
        site_id="house-01",
        origin=Origin.PHYSICAL,
        enrolment=Enrolment.QUARANTINED,
        dialect=Dialect.ENVELOPE,
        soc_in_percent=True,
        p_import_max_kw=5.0,
        p_export_max_kw=4.5,
        p_min_kw=1.4,
        capacity_kwh=13.5,
        min_soc_reserve=0.1,
        target_soc=0.9,
        priority=9,
        default_power_kw=-0.5,
    )
    await store.save_devices([full, plain])
    assert await store.load_devices() == [plain, full]
    await store.save_devices([replace(full, enrolment=Enrolment.RETIRED)])
    assert await store.load_devices() == [plain, replace(full, enrolment=Enrolment.RETIRED)]


async def test_devices_of_an_unknown_feeder_are_refused_together(store: AnyStore) -> None:
    await store.save_feeder(Feeder(feeder_id="f0"))
    good = Device(device_id="a", kind=DeviceKind.LOAD, feeder_id="f0")
    with pytest.raises(NotFoundError):
        await store.save_devices([good, replace(good, device_id="b", feeder_id="nowhere")])
    assert await store.load_devices() == []


async def test_a_feeder_below_an_unknown_one_is_refused(store: AnyStore) -> None:
    with pytest.raises(NotFoundError):
        await store.save_feeder(Feeder(feeder_id="f1", parent_id="nowhere"))


async def test_an_event_is_stored_with_one_audit_line_and_only_once(store: AnyStore) -> None:
    await store.add_event(event(), actor="alice", request_id="r1")
    with pytest.raises(ConflictError):
        await store.add_event(event(), actor="alice", request_id="r2")
    assert await store.unfinished_events(T0) == [event()]
    assert (await store.counts())["audit_log"] == 1


@pytest.mark.parametrize(
    ("now_h", "expected"),
    # running [0, 2), future [3, 4), cancelled [0, 9): at 2 h the first is over, as the end does not belong to it
    [(0.0, ["running", "future"]), (1.9, ["running", "future"]), (2.0, ["future"]), (4.0, [])],
)
async def test_events_are_unfinished_until_their_end(store: AnyStore, now_h: float, expected: list[str]) -> None:
    written: list[Any] = [
        event("future", start_h=3, end_h=4),
        event("running", start_h=0, end_h=2),
        event("cancelled", start_h=0, end_h=9, cancelled=True),
    ]
    for one in written:
        await store.add_event(one, actor="alice", request_id="r")
    found = await store.unfinished_events(T0 + timedelta(hours=now_h))
    assert [one.event_id for one in found] == expected
